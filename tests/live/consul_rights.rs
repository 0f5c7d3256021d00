//! A token that may read only some of the keys: Consul leaves the others out of lists without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep::client::consul::{ConsulTarget, Server};
use lockstep::domain::name::{EnvironmentName, KeyPath, KeyRoots, RepositoryName};
use lockstep::port::Target as _;

use crate::consul_faults::token;
use crate::consul_watch::Watching;
use crate::fake::Fake;
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

#[tokio::test(flavor = "multi_thread")]
async fn environments_whose_common_prefix_may_not_be_listed_are_asked_in_turn_and_all_are_woken() {
    const NAMES: [&str; 3] = ["dev", "test", "prod"];
    let agent = Agent::with(&Options { acl: true, list_policy: true, ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let own = |name: &str| {
        format!(
            r#"key_prefix "config/{name}/" {{ policy = "write" }} key_prefix "lockstep/calvin-config/{name}/" {{ policy = "write" }} "#
        )
    };
    let (looks, port) = (Arc::new(AtomicUsize::new(0)), agent.port());
    let counted = Arc::clone(&looks);
    let proxy = Fake::start(move |asked| {
        counted.fetch_add(1, Ordering::SeqCst);
        asked.forward(port)
    });
    let mut config = config(&proxy.address());
    config.token = Some(token(&agent, &dir, "own", &NAMES.map(own).concat()));
    let server = Server::connect(&config).unwrap();
    let watching = NAMES.map(|name| {
        let repository = RepositoryName::parse("calvin-config").unwrap();
        let keys = KeyRoots::parse(&[format!("config/{name}/")]).unwrap();
        let environment = EnvironmentName::parse(name).unwrap();
        Watching::start(ConsulTarget::new(server.clone(), repository, environment, keys, None))
    });
    for watching in &watching {
        watching.until("it starts", |live, state| live > 0 && state > 0).await;
    }
    for (name, watching) in NAMES.iter().zip(&watching) {
        let before = watching.count();
        agent.put(&format!("config/{name}/key"), b"by hand");
        agent.put(&format!("lockstep/calvin-config/{name}/requests/0123456789abcdef"), b"x");
        let begin = Instant::now();
        watching.until(name, |live, state| live > before.0 && state > before.1).await;
        assert!(begin.elapsed() < Duration::from_secs(7), "{name}: woken after {:?}", begin.elapsed());
    }
    // Nothing is new: each environment's state is asked for once in five seconds.
    let before = looks.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let more = looks.load(Ordering::SeqCst) - before;
    assert!((3..=8).contains(&more), "{more} looks in six seconds without news");
}
