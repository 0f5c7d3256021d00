//! What commits are told: each thing once, whatever fails or dies.

use std::time::Duration;

use lockstep::config::ForgeKind;

use super::super::service::BAD;
use super::super::site::{APP, app};
use super::Town;
use crate::forge_server::Reply;
use crate::support::eventually;

const TEST: &str = "lockstep/test";

fn states(town: &Town, commit: lockstep::domain::revision::Revision) -> Vec<String> {
    town.desk.told(commit, TEST).into_iter().map(|status| status.state).collect()
}

#[test]
fn a_merge_is_deployed_a_bad_one_is_taken_back_and_fails_and_its_revert_succeeds() {
    for kind in [ForgeKind::Gitea, ForgeKind::GitHub] {
        let mut town = Town::at(kind);
        town.start();
        let first = town.site.repo.tip();
        town.desk.until(first, TEST, "success", "proven: healthy (app-answers passed for");

        let good = town.repo().commit("Version two", &[(APP, &app("two"))]);
        assert_eq!(town.deliver("push"), 202);
        let told = town.desk.until(good, TEST, "success", "proven: healthy");
        assert_eq!(town.agent.get("config/app/version").unwrap(), b"two");
        assert_eq!(told.link, "https://lockstep.example/environments/test/rollouts/2");
        assert_eq!(states(&town, good).first().map(String::as_str), Some("pending"), "{:?}", town.desk.told(good, TEST));

        let bad = town.repo().commit("Version bad", &[(APP, &app(BAD))]);
        assert_eq!(town.deliver("push"), 202);
        let told = town.desk.until(bad, TEST, "failure", "rolled back to");
        assert_eq!(town.agent.get("config/app/version").unwrap(), b"two");
        assert!(told.text.starts_with(&format!("rolled back to {}: app-answers", good.short())), "{told:?}");
        assert!(told.text.contains("503"), "{told:?}");

        let revert = town.repo().revert(bad);
        assert_eq!(town.deliver("push"), 202);
        town.desk.until(revert, TEST, "success", &format!("in step, unchanged since {}", good.short()));
        assert_eq!(town.agent.get("config/app/version").unwrap(), b"two");

        // A commit that changes nothing here says nothing, and nothing more is asked of the forge.
        let quiet = town.desk.asked();
        let readme = town.repo().commit("Say more", &[("README.md", "more\n")]);
        assert_eq!(town.deliver("push"), 202);
        town.site.until_in_step();
        std::thread::sleep(Duration::from_millis(500));
        let asked = town.desk.lines().split_off(quiet);
        assert!(asked.iter().all(|line| line.ends_with("/pulls")), "{asked:?}");
        assert!(town.desk.told(readme, TEST).is_empty());
        assert_eq!(town.deliver("ping"), 202);
    }
}

#[test]
fn every_commit_has_a_status_where_the_repository_wants_one() {
    let mut town = Town::with(ForgeKind::Gitea, ", statuses: every-commit");
    town.start();
    let first = town.site.repo.tip();
    let readme = town.repo().commit("Say more", &[("README.md", "more\n")]);
    assert_eq!(town.deliver("push"), 202);
    town.desk.until(readme, TEST, "success", &format!("in step, unchanged since {}", first.short()));
}

#[test]
fn a_forge_that_is_down_delays_no_rollout_and_is_told_everything_once_when_it_is_back() {
    let mut town = Town::at(ForgeKind::Gitea);
    town.desk.fails(Some(Reply::text(502, "<html>Bad Gateway</html>")));
    town.start();
    let first = town.site.repo.tip();
    let good = town.repo().commit("Version two", &[(APP, &app("two"))]);
    assert_eq!(town.deliver("push"), 202);
    town.site.until_steady();
    assert_eq!(town.agent.get("config/app/version").unwrap(), b"two");
    assert_eq!(town.desk.written(), 0);

    town.desk.fails(None);
    town.desk.until(first, TEST, "success", "proven");
    town.desk.until(good, TEST, "success", "proven");
    // What was over when it came back was never said.
    assert_eq!((states(&town, first), states(&town, good)), (vec!["success".to_owned()], vec!["success".to_owned()]));
}

#[test]
fn a_token_that_may_not_write_is_told_once_and_delays_no_rollout() {
    let mut town = Town::at(ForgeKind::GitHub);
    town.desk.fails(Some(Reply::json(401, &serde_json::json!({ "message": "Bad credentials" }))));
    town.start();
    town.repo().commit("Version two", &[(APP, &app("two"))]);
    assert_eq!(town.deliver("push"), 202);
    town.site.until_steady();
    // Each kind of call once: of statuses, and of pull requests.
    eventually("the failures are told", || town.site.logs().matches("forge-failed").count() >= 2);
    let log = town.site.logs();
    assert_eq!(log.matches("read the commit statuses").count(), 1, "{log}");
    assert_eq!(log.matches("list the open pull requests").count(), 1, "{log}");
    assert!(log.contains("401") && !log.contains(crate::forge_server::TOKEN), "{log}");
}

#[test]
fn a_controller_that_is_killed_leaves_nothing_pending_and_says_nothing_twice() {
    let mut town = Town::at(ForgeKind::Gitea);
    town.start();
    let first = town.site.repo.tip();
    town.desk.until(first, TEST, "success", "proven");
    let bad = town.repo().commit("Version bad", &[(APP, &app(BAD))]);
    assert_eq!(town.deliver("push"), 202);
    town.desk.until(bad, TEST, "pending", "applied");
    // It dies while the commit is judged, and the fix comes while nobody is there.
    town.controller.take().unwrap().kill();
    let fix = town.repo().commit("Version three", &[(APP, &app("three"))]);
    town.controller = Some(town.site.start("one"));
    town.desk.until(fix, TEST, "success", "proven");
    town.desk.until(bad, TEST, "error", "superseded by");

    // The next one finds everything said.
    let written = town.desk.written();
    town.controller.take().unwrap().kill();
    let looked = town.desk.asked();
    town.controller = Some(town.site.start("one"));
    eventually("it looks what stands there", || {
        let asked = town.desk.lines().split_off(looked);
        [first, bad, fix].iter().all(|commit| asked.iter().any(|line| line.contains(&commit.to_string())))
    });
    let next = town.repo().commit("Version four", &[(APP, &app("four"))]);
    assert_eq!(town.deliver("push"), 202);
    town.desk.until(next, TEST, "success", "proven");
    assert_eq!(town.desk.written() - written, town.desk.told(next, TEST).len());
}

#[test]
fn of_two_controllers_one_speaks_and_the_other_goes_on_where_it_dies() {
    let mut town = Town::at(ForgeKind::Gitea);
    town.start();
    let first = town.site.repo.tip();
    town.desk.until(first, TEST, "success", "proven");
    town.site.more = town.site.more.replace(&format!(":{}\"", town.port), ":0\"");
    town.site.poll = "1s";
    let _second = town.site.start("two");
    let bad = town.repo().commit("Version bad", &[(APP, &app(BAD))]);
    assert_eq!(town.deliver("push"), 202);
    town.desk.until(bad, TEST, "pending", "");
    town.controller.take().unwrap().kill();
    town.desk.until(bad, TEST, "failure", "rolled back to");
    let told = town.desk.told(bad, TEST);
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:#?}");
    assert_eq!(town.desk.told(first, TEST).iter().filter(|status| status.state == "success").count(), 1);
}
