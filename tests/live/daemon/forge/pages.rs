//! Where the links of commit statuses lead.

use lockstep::config::ForgeKind;

use super::super::service::BAD;
use super::super::site::{APP, app};
use super::Town;
use crate::support::{eventually, exchange, request};

const TEST: &str = "lockstep/test";

/// T17: what somebody wrote into a commit is shown and does nothing.
#[test]
fn a_status_links_to_its_rollout_where_nothing_that_somebody_wrote_acts() {
    let mut town = Town::at(ForgeKind::Gitea);
    town.start();
    let first = town.site.repo.tip();
    let bad = town.repo().commit("<script>alert(1)</script> & \"x\"", &[(APP, &app(BAD))]);
    assert_eq!(town.deliver("push"), 202);
    let link = town.desk.until(bad, TEST, "failure", "rolled back to").link;
    let path = link.strip_prefix("https://lockstep.example").unwrap();
    assert_eq!(path, "/environments/test/rollouts/3");
    let page = |path: &str| {
        let (status, body) = request(town.port, "GET", path, b"").unwrap();
        (status, String::from_utf8(body).unwrap())
    };
    let (status, text) = page(path);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("Rollout 3: rollback to") && text.contains(&first.to_string()), "{text}");
    assert!(text.contains("app-answers") && text.contains("503"), "{text}");
    let (_, advance) = page("/environments/test/rollouts/2");
    assert!(advance.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !advance.contains("<script>"), "{advance}");
    // What was read a moment ago is shown again for two seconds.
    eventually("it rests", || page("/environments/test").1.contains("held-after-rollback"));
    let (_, whole) = page("/environments/test");
    assert!(whole.contains("href=\"/environments/test/rollouts/3\""), "{whole}");
    // No value of a key is ever on a page.
    assert!(!whole.contains("config/app/version"), "{whole}");

    // T15, T2: what is not there and what could not be there get the same answer.
    let missing = page("/environments/other");
    for path in [
        "/environments/..",
        "/environments/%2e%2e%2fsecret",
        "/environments/test%00",
        "/environments/test/rollouts/99",
        "/environments/test/rollouts/-1",
        "/environments/test/rollouts/99999999999999999999",
    ] {
        let answer = page(path);
        assert_eq!(answer.0, 404, "{path}: {}", answer.1);
        assert!(path.ends_with("..") || answer.1 == missing.1, "{path}: {}", answer.1);
    }
    let answer = exchange(town.port, "", "GET", path, b"", crate::support::PATIENCE).unwrap();
    let headers = answer.headers.to_ascii_lowercase();
    for expected in ["default-src 'none'", "frame-ancestors 'none'", "x-content-type-options: nosniff"] {
        assert!(headers.contains(expected), "{headers}");
    }
    assert_eq!(request(town.port, "POST", path, b"").unwrap().0, 405);
}
