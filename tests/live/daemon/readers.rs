//! A token that may only read (rule L2): what looks works, what acts says which right is missing and changes nothing.

use super::service::Service;
use super::site::{APP, Site, app, dump};
use super::tokens::{RULES, issue_with};
use crate::support::{Agent, Options, eventually};

const READS: &str = r#"key_prefix "config/" { policy = "read" } key_prefix "lockstep/demo/test/" { policy = "read" }
    service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;

/// A site that was deployed once, with nobody who leads and a token that only reads; and the agent.
fn site() -> (Agent, Service, Site) {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    site.use_token(&issue_with(&agent, "writes", RULES).1);
    site.init();
    site.run(&["apply", "--once"]).exits(0);
    site.repo.commit("Two", &[(APP, &app("two"))]);
    site.use_token(&issue_with(&agent, "reads", READS).1);
    (agent, service, site)
}

#[test]
fn with_a_token_that_may_only_read_status_history_and_plan_say_all_that_they_say_with_another() {
    let (agent, _service, site) = site();
    let looks: [(&[&str], i32); 4] = [
        (&["status", "test"], 0),
        (&["history", "test"], 0),
        (&["plan", "test"], 3),
        (&["plan", "test", "--output", "json"], 3),
    ];
    // What `status` says of the head rests on the mirror, which a plan fetches.
    site.run(&["plan", "test"]).exits(3);
    let before = dump(&agent, "");
    let read = looks.map(|(verb, code)| site.run(verb).exits(code));
    assert_eq!(dump(&agent, ""), before);
    for said in &read {
        assert!(!said.out.contains("denied") && said.err.is_empty(), "{said:?}");
    }
    assert_eq!(site.status()["phase"], "steady");
    site.use_token(&issue_with(&agent, "writes", RULES).1);
    for ((verb, code), said) in looks.into_iter().zip(read) {
        assert_eq!(site.run(verb).exits(code).out, said.out, "{verb:?}");
    }
}

#[test]
fn with_a_token_that_may_only_read_each_verb_that_acts_names_the_missing_right_and_changes_nothing() {
    let (agent, _service, site) = site();
    let sessions = || agent.curl("GET", "/v1/session/list", b"").1;
    let before = (dump(&agent, ""), sessions());
    let own = r#"key_prefix "lockstep/demo/test/" write"#;
    let verbs: [(&[&str], &str); 5] = [
        (&["suspend", "test", "--reason", "x"], own),
        (&["resume", "test"], own),
        (&["release", "test"], own),
        (&["rollback", "test", "--reason", "x"], own),
        (&["apply", "--once"], r#"session_prefix "" write"#),
    ];
    for (verb, right) in verbs {
        let said = site.run(verb).exits(1);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("Permission denied") && text.contains("hint") && text.contains(right), "{verb:?}: {text}");
        assert_eq!((dump(&agent, ""), sessions()), before, "{verb:?}");
    }
}

#[test]
fn a_controller_with_a_token_that_may_only_read_names_the_missing_right_and_changes_nothing() {
    let (agent, _service, site) = site();
    let before = dump(&agent, "");
    let mut controller = site.start("one");
    eventually("it says what it lacks", || controller.log().contains("the token lacks session_prefix"));
    assert_eq!(dump(&agent, ""), before);
    // With the right it goes on by itself.
    site.use_token(&issue_with(&agent, "writes", RULES).1);
    site.until_steady();
    assert!(controller.runs());
}
