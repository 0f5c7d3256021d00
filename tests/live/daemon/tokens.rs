//! The ACL token: from a file or a variable, rotated while the controller runs, missing, or open to others.

use std::path::PathBuf;

use super::service::Service;
use super::site::{APP, MANY, Site, app, dump, many};
use crate::support::{Agent, MASTER, Options, eventually, set_mode};

/// What a controller needs, and no more.
pub(super) const RULES: &str = r#"key_prefix "config/" { policy = "write" } key_prefix "lockstep/" { policy = "write" }
    session_prefix "" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;

/// Makes a token with the rights of [`RULES`]: its accessor and its secret.
fn issue(agent: &Agent) -> (String, String) {
    issue_with(agent, "lockstep", RULES)
}

/// The same with rules of its own: one policy of this name has them.
pub(super) fn issue_with(agent: &Agent, policy: &str, rules: &str) -> (String, String) {
    let body = serde_json::json!({ "Name": policy, "Rules": rules }).to_string();
    // The second time it is there already.
    agent.curl("PUT", "/v1/acl/policy", body.as_bytes());
    let body = serde_json::json!({ "Policies": [{ "Name": policy }] }).to_string();
    let (status, body) = agent.curl("PUT", "/v1/acl/token", body.as_bytes());
    assert_eq!(status, 200);
    let token: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let text = |field: &str| token[field].as_str().unwrap().to_owned();
    (text("AccessorID"), text("SecretID"))
}

/// Puts a secret where the configuration looks for it, by one rename as a secrets manager does.
fn put(site: &Site, secret: &str) -> PathBuf {
    let path = site.home().join("token");
    let beside = site.home().join("token.new");
    std::fs::write(&beside, format!("{secret}\n")).unwrap();
    set_mode(&beside, 0o600);
    std::fs::rename(&beside, &path).unwrap();
    path
}

fn site(agent: &Agent) -> Site {
    let mut site = Site::named("demo", &agent.address());
    site.reach(&agent.address(), "token: {file: ./token}");
    site
}

#[test]
fn a_token_that_is_rotated_while_the_controller_runs_counts_from_the_next_request_on() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = site(&agent);
    let (first, secret) = issue(&agent);
    put(&site, &secret);
    site.init();
    let mut controller = site.start("one");
    site.until_steady();

    let (_, next) = issue(&agent);
    put(&site, &next);
    assert_eq!(agent.curl("DELETE", &format!("/v1/acl/token/{first}"), b"").0, 200);
    site.repo.commit("Two", &[(APP, &app("two"))]);
    site.until_steady();
    assert_eq!(agent.get("config/app/version").unwrap(), b"two");
    assert!(controller.runs());
    let log = site.logs();
    assert!(![secret.as_str(), &next, MASTER].iter().any(|secret| log.contains(secret)), "{log}");
}

#[test]
fn a_token_from_a_variable_serves_as_well() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = site(&agent);
    let (_, secret) = issue(&agent);
    site.reach(&agent.address(), "token: {env: OF_CONSUL}");
    let said = site.run(&["init", "test"]).exits(1);
    assert!(said.err.contains("OF_CONSUL") && said.err.contains("not set"), "{said:?}");
    site.variables.push(("OF_CONSUL", secret));
    site.init();
    let _controller = site.start("one");
    site.until_steady();
}

#[test]
fn a_token_that_is_missing_open_to_others_or_revoked_is_named_and_the_controller_waits_for_a_better_one() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let _service = Service::start(&agent);
    let site = site(&agent);
    let (accessor, secret) = issue(&agent);
    let path = put(&site, &secret);
    site.init();
    let before = dump(&agent, "");

    std::fs::remove_file(&path).unwrap();
    let mut controller = site.start("one");
    let said = |words: &[&str]| {
        eventually(&format!("the log says {words:?}"), || words.iter().all(|word| controller.log().contains(word)));
    };
    let place = path.display().to_string();
    said(&["read the credential file", &place, "No such file"]);
    put(&site, &secret);
    set_mode(&path, 0o644);
    said(&["0644", "chmod 600"]);
    assert_eq!(dump(&agent, ""), before);
    assert!(site.run(&["apply", "--once"]).exits(1).out.contains("chmod 600"));

    set_mode(&path, 0o600);
    site.until_steady();
    assert_eq!(agent.curl("DELETE", &format!("/v1/acl/token/{accessor}"), b"").0, 200);
    let said = site.run(&["apply", "--once"]).exits(1);
    assert!(said.out.contains("ACL not found") && said.out.contains("hint"), "{said:?}");
    assert!(!site.logs().contains(&secret) && !said.out.contains(&secret));
    assert!(controller.runs());
}

#[test]
fn a_key_that_the_token_may_not_write_takes_the_whole_commit_back_and_a_better_token_brings_it() {
    const KEYS: usize = 300;
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = site(&agent);
    // The key is in the third transaction of five: two are written before Consul says no.
    let denied = "config/many/k00150";
    let rules = format!("{RULES} key \"{denied}\" {{ policy = \"read\" }}");
    let (_, narrow) = issue_with(&agent, "narrow", &rules);
    put(&site, &narrow);
    site.init();
    let mut controller = site.start("one");
    site.until_steady();
    let before = agent.values("config/");

    let large = site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]);
    let status = site.until("refused and back", |status| {
        status["head"]["revision"] == large.to_string() && status["head"]["verdict"] == "refused" && status["proven"] == true
    });
    let text = status["head"]["text"].as_str().unwrap();
    assert!(text.contains("Permission denied") && text.contains(denied), "{status:#}");
    assert_eq!(agent.values("config/"), before);

    let (_, wide) = issue(&agent);
    put(&site, &wide);
    // Whatever wakes it: the token is part of what it looks at.
    site.repo.commit_nothing("Look again");
    site.until("in step", |status| status["phase"] == "steady" && status["head"].is_null());
    assert_eq!(agent.tree("config/many/").len(), KEYS);
    site.check_history();
    assert!(controller.runs());
    assert!(!site.logs().contains(&narrow) && !site.logs().contains(&wide));
}
