//! A token that loses sight of some keys: nothing is decided about what it does not see.

use super::service::Service;
use super::site::{APP, Site, app, dump};
use crate::support::{Agent, Options};

const SECRET: &str = "base/kv/config/secret.yaml";
const RULES: &str = r#"key_prefix "config/" { policy = "write" } key_prefix "lockstep/" { policy = "write" }
    session_prefix "" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
const HOLE: &str = r#"key_prefix "config/secret/" { policy = "deny" }"#;

/// A policy that can be narrowed and widened.
struct Policy<'a> {
    agent: &'a Agent,
    id: String,
}

impl<'a> Policy<'a> {
    fn new(agent: &'a Agent) -> Self {
        let body = serde_json::json!({ "Name": "lockstep", "Rules": RULES }).to_string();
        let policy = json(agent.curl("PUT", "/v1/acl/policy", body.as_bytes()));
        Self { agent, id: policy["ID"].as_str().unwrap().to_owned() }
    }

    fn token(&self) -> String {
        let body = serde_json::json!({ "Policies": [{ "ID": self.id }] }).to_string();
        json(self.agent.curl("PUT", "/v1/acl/token", body.as_bytes()))["SecretID"].as_str().unwrap().to_owned()
    }

    fn set(&self, rules: &str) {
        let body = serde_json::json!({ "ID": self.id, "Name": "lockstep", "Rules": rules }).to_string();
        json(self.agent.curl("PUT", &format!("/v1/acl/policy/{}", self.id), body.as_bytes()));
    }
}

#[track_caller]
fn json((status, body): (u16, Vec<u8>)) -> serde_json::Value {
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn a_commit_about_keys_that_the_token_cannot_read_is_refused_by_name_and_writes_nothing() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
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
