//! A token that may read only some of the keys: Consul leaves the others out of lists without a word.

use lockstep::client::consul::{ConsulTarget, Server};
use lockstep::domain::name::KeyPath;
use lockstep::port::Target as _;

use crate::consul_faults::token;
use crate::stage::key;
use crate::support::{Agent, Options, config, controller, target};

fn with_token(agent: &Agent, dir: &tempfile::TempDir, name: &str, rules: &str) -> ConsulTarget {
    let mut config = config(&agent.address());
    config.token = Some(token(agent, dir, name, rules));
    target(Server::connect(&config).unwrap(), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_says_when_keys_may_be_hidden_and_which_and_what_right_is_missing() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<KeyPath> = ["config/a", "config/absent", "config/secret/x", "config/secret/absent"].map(key).to_vec();
    for there in ["config/a", "config/secret/x"] {
        agent.put(there, b"1");
    }
    let root = r#"key_prefix "config/" { policy = "write" }"#;
    let secret = "config/secret/x, config/secret/absent";
    // Rules, keys that are seen, whether there may be more, and which are hidden.
    let cases = [
        ("whole", root.to_owned(), 2, false, ""),
        ("hole", format!(r#"{root} key_prefix "config/secret/" {{ policy = "deny" }}"#), 1, true, secret),
        ("read-only", format!(r#"{root} key_prefix "config/secret/" {{ policy = "read" }}"#), 2, true, ""),
        (
            "nothing",
            r#"key_prefix "other/" { policy = "write" }"#.to_owned(),
            0,
            true,
            "config/a, config/absent, config/secret/x, config/secret/absent",
        ),
    ];
    for (name, rules, seen, partial, hidden) in cases {
        let target = with_token(&agent, &dir, name, &rules);
        let live = target.live().await.unwrap();
        assert_eq!((live.entries.len(), live.partial), (seen, partial), "{name}");
        let found = target.hidden(&keys).await.unwrap();
        let names: Vec<&str> = keys.iter().filter(|key| found.contains_key(*key)).map(KeyPath::as_str).collect();
        assert_eq!(names.join(", "), hidden, "{name}");
        for (key, why) in found {
            assert!(why.contains(key.as_str()) && why.contains(r#"key_prefix "config/" write"#), "{why}");
        }
    }
    // More questions than Consul answers at once.
    let many: Vec<KeyPath> = (0..200).map(|n| key(&format!("config/secret/{n}"))).collect();
    let hole = with_token(&agent, &dir, "hole2", r#"key_prefix "config/a" { policy = "write" }"#);
    assert_eq!(hole.hidden(&many).await.unwrap().len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acls_nothing_is_hidden() {
    let agent = Agent::start();
    let target = controller(&agent.address(), None);
    assert!(!target.live().await.unwrap().partial);
    assert!(target.hidden(&[key("config/a")]).await.unwrap().is_empty());
}
