//! A token whose rights change: nothing is decided about keys that it does not see, and what was denied is tried again when
//! it may be written.

use super::idle::Looks;
use super::service::Service;
use super::site::{APP, MANY, Site, app, dump, many};
use crate::fake::{Fake, Reply};
use crate::support::{Agent, Options};

const SECRET: &str = "base/kv/config/secret.yaml";
const RULES: &str = r#"key_prefix "config/" { policy = "write" } key_prefix "lockstep/" { policy = "write" }
    session_prefix "" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
const HOLE: &str = r#"key_prefix "config/secret/" { policy = "deny" }"#;

/// A policy that can be narrowed and widened.
pub(super) struct Policy<'a> {
    agent: &'a Agent,
    id: String,
}

impl<'a> Policy<'a> {
    pub(super) fn new(agent: &'a Agent) -> Self {
        let body = serde_json::json!({ "Name": "lockstep", "Rules": RULES }).to_string();
        let policy = json(agent.curl("PUT", "/v1/acl/policy", body.as_bytes()));
        Self { agent, id: policy["ID"].as_str().unwrap().to_owned() }
    }

    pub(super) fn token(&self) -> String {
        let body = serde_json::json!({ "Policies": [{ "ID": self.id }] }).to_string();
        json(self.agent.curl("PUT", "/v1/acl/token", body.as_bytes()))["SecretID"].as_str().unwrap().to_owned()
    }

    pub(super) fn set(&self, rules: &str) {
        let body = serde_json::json!({ "ID": self.id, "Name": "lockstep", "Rules": rules }).to_string();
        json(self.agent.curl("PUT", &format!("/v1/acl/policy/{}", self.id), body.as_bytes()));
    }
}

/// A Consul with ACLs.
pub(super) fn with_acls() -> Agent {
    Agent::with(&Options { acl: true, ..Options::default() })
}

/// A site on it, initialised, whose token may do all that it needs but write this key.
pub(super) fn site_without<'a>(agent: &'a Agent, key: &str) -> (Site, Policy<'a>) {
    let policy = Policy::new(agent);
    let site = Site::named("demo", &agent.address());
    site.use_token(&policy.token());
    policy.set(&format!(r#"{RULES} key "{key}" {{ policy = "read" }}"#));
    site.init();
    (site, policy)
}

#[track_caller]
fn json((status, body): (u16, Vec<u8>)) -> serde_json::Value {
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn a_commit_about_keys_that_the_token_cannot_read_is_refused_by_name_and_writes_nothing() {
    let agent = with_acls();
    let policy = Policy::new(&agent);
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    site.use_token(&policy.token());
    site.init();
    site.repo.commit("A secret", &[(SECRET, "x: 1\n")]);
    let controller = site.start("one");
    site.until_steady();

    policy.set(&format!("{RULES} {HOLE}"));
    let before = dump(&agent, "config/");
    for (subject, secret) in [("Another", "x: 1\ny: 2\n"), ("Another value", "x: 2\n")] {
        let revision = site.repo.commit(subject, &[(SECRET, secret)]).to_string();
        refused(&site, &revision);
        assert_eq!(dump(&agent, "config/"), before, "{subject}");
    }
    // A delete of what is not seen can neither be made nor be left out.
    let dropped = site.repo.remove("Drop it", &[SECRET]).to_string();
    refused(&site, &dropped);
    let planned = site.run(&["plan", "test"]);
    assert!(planned.out.contains("config/secret/x") && planned.out.contains("key_prefix"), "{planned:?}");
    assert_eq!(dump(&agent, "config/"), before);
    let looks = controller.log().matches("keys can't be read").count();
    assert!(looks < 20, "{looks} looks: it asks without pause\n{}", controller.log());

    policy.set(RULES);
    // Any news of the keys is worth a look.
    agent.put("config/by-hand", b"1");
    site.until_steady();
    let left: Vec<String> = agent.values("config/").into_keys().collect();
    assert_eq!(left, ["config/app/version", "config/by-hand"]);
    site.repo.commit("Two", &[(APP, &app("two"))]);
    site.until_steady();
}

#[track_caller]
fn refused(site: &Site, revision: &str) {
    let status = site.until("the commit is refused", |status| {
        status["head"]["revision"] == revision && status["head"]["verdict"] == "refused"
    });
    let text = status["head"]["text"].as_str().unwrap();
    let says = ["config/secret/", "the token can't read", r#"key_prefix "config/" write"#];
    assert!(says.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn a_commit_that_was_denied_for_one_key_goes_live_by_itself_when_the_policy_of_the_same_token_is_widened() {
    const KEYS: usize = 300;
    let agent = with_acls();
    let _service = Service::start(&agent);
    // The key is in the third transaction of five: two are written before Consul says no.
    let denied = "config/many/k00150";
    let (mut site, policy) = site_without(&agent, denied);
    // What comes within the patience of this test was noticed, not polled.
    site.poll = "1h";
    let mut controller = site.start("one");
    site.until_steady();

    let large = site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]).to_string();
    let status = site.until("refused and back", |status| {
        status["head"]["revision"] == large.as_str() && status["head"]["verdict"] == "refused" && status["proven"] == true
    });
    let text = status["head"]["text"].as_str().unwrap();
    assert!(text.contains("Permission denied") && text.contains(denied), "{text}");
    // News of the keys are worth a look, and no look is worth a try while the right is missing.
    let outcomes = site.outcomes();
    for value in ["1", "2", "3"] {
        agent.put("config/by-hand", value.as_bytes());
        site.run(&["status", "test"]).exits(0);
    }
    assert_eq!(site.outcomes(), outcomes);

    policy.set(RULES);
    agent.put("config/by-hand", b"4");
    site.until_steady();
    assert_eq!(agent.tree("config/many/").len(), KEYS);
    assert_eq!(site.outcomes(), ["proven", "refused", "proven", "proven"]);
    site.check_history();
    assert!(controller.runs());
}

#[test]
fn a_consul_that_says_a_denied_key_may_be_written_and_denies_it_again_is_not_believed_for_a_while() {
    let agent = with_acls();
    let _service = Service::start(&agent);
    let (mut site, _policy) = site_without(&agent, "config/many/k00150");
    let port = agent.port();
    let proxy = Fake::start(move |asked| match asked.forward(port) {
        Reply::Answer { status: 200, headers, body } if asked.path.starts_with("/v1/internal/acl/authorize") => {
            let body = String::from_utf8(body).unwrap().replace(r#""Allow": false"#, r#""Allow": true"#).into_bytes();
            Reply::Answer { status: 200, headers, body }
        }
        other @ (Reply::Answer { .. } | Reply::Lost) => other,
    });
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();
    site.repo.commit("Large", &[(MANY, &many(300, "x"))]);
    let refused = |outcomes: &[String]| outcomes.iter().filter(|outcome| *outcome == "refused").count();
    site.until("it is believed once, and the environment is back", |_| {
        let outcomes = site.outcomes();
        refused(&outcomes) == 2 && outcomes.last().is_some_and(|last| last == "proven")
    });
    let twice = site.outcomes();
    for value in ["1", "2", "3"] {
        agent.put("config/by-hand", value.as_bytes());
        site.run(&["plan", "test"]);
    }
    Looks::at(&site.repo).again(20);
    assert_eq!(site.outcomes(), twice);
    assert!(controller.runs());
}

#[test]
fn a_question_about_rights_that_gets_no_answer_keeps_nothing_else_from_being_done() {
    let agent = with_acls();
    let _service = Service::start(&agent);
    let (mut site, _policy) = site_without(&agent, "config/many/k00001");
    let port = agent.port();
    let proxy = Fake::start(move |asked| {
        let of_a_key = String::from_utf8_lossy(&asked.body).contains(r#""Access":"write""#);
        if asked.path.starts_with("/v1/internal/acl/authorize") && of_a_key {
            return Reply::refuse(500, "not now");
        }
        asked.forward(port)
    });
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();
    let large = site.repo.commit("Large", &[(MANY, &many(2, "x"))]).to_string();
    site.until("refused", |status| status["head"]["revision"] == large.as_str() && status["head"]["verdict"] == "refused");
    let before = agent.values("config/");
    agent.put("config/app/version", b"by hand");
    site.until("put right", |_| agent.values("config/") == before);
    site.repo.commit("Without", &[(APP, &app("two")), (MANY, &many(1, "x"))]);
    site.until_steady();
    assert!(controller.runs());
}
