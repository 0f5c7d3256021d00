//! The catalog of a real Consul: instances, their health, and what an empty answer means.

use std::collections::BTreeMap;

use lockstep::client::consul::{Catalog, Instance, Server};
use lockstep::domain::name::ServiceName;
use lockstep::port::EdgeKind;

use crate::support::{Agent, MASTER, Options, config, free_ports};

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

fn register(agent: &Agent, id: &str, port: u16, tag: &str, revision: &str, status: &str) {
    let body = serde_json::json!({
        "ID": id, "Name": "build", "Port": port, "Tags": [tag], "Meta": { "revision": revision },
        "Check": { "TTL": "1h", "Status": status },
    });
    assert_eq!(agent.curl("PUT", "/v1/agent/service/register", body.to_string().as_bytes()).0, 200);
}

fn ports(found: &[Instance]) -> Vec<(u16, bool)> {
    let mut ports: Vec<_> = found.iter().map(|instance| (instance.port, instance.passing)).collect();
    ports.sort_unstable();
    ports
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_found_by_tag_and_metadata_with_their_health() {
    let agent = Agent::start();
    register(&agent, "b1", 8001, "active", "r1", "passing");
    register(&agent, "b2", 8002, "active", "r2", "critical");
    register(&agent, "b3", 8003, "passive", "it's \"r\\3\"", "passing");
    let catalog = Catalog::new(Server::connect(&config(&agent.address())).unwrap());
    let none = BTreeMap::new();
    let build = service("build");

    let all = catalog.instances(&build, None, &none).await.unwrap();
    assert_eq!(ports(&all), [(8001, true), (8002, false), (8003, true)]);
    assert!(all.iter().all(|instance| instance.address == "127.0.0.1"), "{all:?}");
    let active = catalog.instances(&build, Some("active"), &none).await.unwrap();
    assert_eq!(ports(&active), [(8001, true), (8002, false)]);
    for (revision, expected) in
        [("r1", vec![(8001, true)]), ("it's \"r\\3\"", vec![(8003, true)]), ("r1\" or \"\" == \"", vec![])]
    {
        let meta = BTreeMap::from([("revision".to_owned(), revision.to_owned())]);
        assert_eq!(ports(&catalog.instances(&build, None, &meta).await.unwrap()), expected, "{revision}");
    }
    assert!(catalog.instances(&service("absent"), None, &none).await.unwrap().is_empty());
    assert!(catalog.may_read(&service("absent")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_service_says_nothing_to_a_token_that_could_not_see_it() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let blind = Catalog::new(Server::connect(&config(&agent.address())).unwrap());
    assert!(blind.instances(&service("build"), None, &BTreeMap::new()).await.unwrap().is_empty());
    assert!(!blind.may_read(&service("build")).await);

    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&agent.address());
    config.token = Some(crate::consul_faults::credential(&dir, "token", MASTER));
    let seeing = Catalog::new(Server::connect(&config).unwrap());
    assert!(seeing.may_read(&service("build")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_nodes_that_the_token_may_not_read_is_not_taken_for_absent() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let body = br#"{"Name": "build", "Address": "127.0.0.1", "Port": 8080}"#;
    assert_eq!(agent.curl("PUT", "/v1/agent/service/register", body).0, 200);
    let dir = tempfile::tempdir().unwrap();
    let services = r#"service_prefix "" { policy = "read" }"#;
    let both = format!(r#"{services} node_prefix "" {{ policy = "read" }}"#);
    for (policy, rules, sees) in [("services", services, false), ("nodes-too", &both, true)] {
        let body = serde_json::json!({ "Name": policy, "Rules": rules }).to_string();
        assert_eq!(agent.curl("PUT", "/v1/acl/policy", body.as_bytes()).0, 200);
        let body = serde_json::json!({ "Policies": [{ "Name": policy }] }).to_string();
        let (_, token) = agent.curl("PUT", "/v1/acl/token", body.as_bytes());
        let token: serde_json::Value = serde_json::from_slice(&token).unwrap();
        let mut config = config(&agent.address());
        config.token = Some(crate::consul_faults::credential(&dir, policy, token["SecretID"].as_str().unwrap()));
        let catalog = Catalog::new(Server::connect(&config).unwrap());
        let found = catalog.instances(&service("build"), None, &BTreeMap::new()).await.unwrap();
        assert_eq!((found.len(), catalog.may_read(&service("build")).await), (usize::from(sees), sees), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_cannot_be_asked_is_an_error_and_not_an_empty_one() {
    let [closed] = free_ports();
    let catalog = Catalog::new(Server::connect(&config(&format!("http://127.0.0.1:{closed}"))).unwrap());
    let failed = catalog.instances(&service("build"), None, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(failed.kind, EdgeKind::Transient);
    assert!(!catalog.may_read(&service("build")).await);
    let busy = crate::fake::Fake::start(|_| crate::fake::Reply::refuse(500, "No cluster leader"));
    let catalog = Catalog::new(Server::connect(&config(&busy.address())).unwrap());
    let failed = catalog.instances(&service("build"), None, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(failed.kind, EdgeKind::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = crate::fake::Fake::start(|_| crate::fake::Reply::refuse(200, &"[".repeat(9 << 20)));
    let catalog = Catalog::new(Server::connect(&config(&endless.address())).unwrap());
    let failed = catalog.instances(&service("build"), None, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(failed.kind, EdgeKind::Refused);
    assert!(failed.chain().contains("longer than 8388608 bytes"), "{}", failed.chain());
}
