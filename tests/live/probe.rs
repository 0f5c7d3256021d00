//! Health checks against a real Consul: its catalog, its DNS, and what its silence means.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use lockstep::client::consul::{Catalog, Server};
use lockstep::client::probe::{Prober, Services};
use lockstep::config::Checks;
use lockstep::domain::check::{Check, CheckKind, DnsRecord, Place};
use lockstep::domain::health::Finding;
use lockstep::domain::name::{CheckName, EnvironmentName, ServiceName};
use lockstep::port::Probe as _;

use crate::support::{Agent, Options, config, free_ports};

fn build() -> ServiceName {
    ServiceName::parse("build").unwrap()
}

fn register(agent: &Agent, id: &str, port: u16, tag: &str, revision: &str, status: &str) {
    let body = serde_json::json!({
        "ID": id, "Name": "build", "Port": port, "Tags": [tag], "Meta": { "revision": revision },
        "Check": { "TTL": "1h", "Status": status },
    });
    assert_eq!(agent.curl("PUT", "/v1/agent/service/register", body.to_string().as_bytes()).0, 200);
}

fn prober(address: &str, dns: Option<SocketAddr>) -> Prober<Catalog> {
    let catalog = Catalog::new(Server::connect(&config(address)).unwrap());
    Prober::new(EnvironmentName::parse("test").unwrap(), Services::Catalog(catalog), Checks::default(), dns).unwrap()
}

async fn sample(prober: &Prober<Catalog>, kind: CheckKind) -> String {
    let timeout = Duration::from_secs(3);
    let check = Check { name: CheckName::parse("c").unwrap(), kind, interval: Duration::from_secs(2), timeout };
    match prober.sample(&check).await {
        Finding::Pass => "pass".to_owned(),
        Finding::Fail { because } => format!("fail: {because}"),
        Finding::Unknown { because } => format!("unknown: {because}"),
    }
}

fn in_catalog(tag: Option<&str>, revision: Option<&str>, at_least: u32) -> CheckKind {
    let meta: BTreeMap<String, String> = revision.map(|value| ("revision".to_owned(), value.to_owned())).into_iter().collect();
    CheckKind::ConsulService { service: build(), tag: tag.map(str::to_owned), meta, at_least }
}

fn http(tag: &str) -> CheckKind {
    let at = Place::Service { service: build(), tag: Some(tag.to_owned()) };
    CheckKind::Http { at, path: "/health".into(), status: 200, body: None }
}

fn dns(name: &str, record: DnsRecord, expect: Option<&str>) -> CheckKind {
    CheckKind::Dns { name: name.into(), record, expect: expect.map(str::to_owned) }
}

/// Answers every request with 200 for as long as the test runs.
fn answering() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_find_their_services_in_the_environments_own_catalog() {
    let agent = Agent::start();
    let [closed] = free_ports();
    let good = answering();
    register(&agent, "b1", good, "active", "r1", "passing");
    register(&agent, "b2", closed, "standby", "r2", "critical");
    let prober = prober(&agent.address(), Some(agent.dns()));

    assert_eq!(sample(&prober, in_catalog(Some("active"), Some("r1"), 1)).await, "pass");
    let failing = sample(&prober, in_catalog(None, None, 1)).await;
    assert_eq!(failing, format!("fail: 1 of 2 instance(s) of build pass; 127.0.0.1:{closed} does not"));
    let other = sample(&prober, in_catalog(None, Some("r3"), 1)).await;
    assert_eq!(other, "fail: the catalog has no instance of build with revision=r3");
    assert_eq!(sample(&prober, http("active")).await, "pass");
    let refused = sample(&prober, http("standby")).await;
    assert!(refused.starts_with(&format!("fail: connect to 127.0.0.1:{closed}: Connection refused")), "{refused}");

    assert_eq!(sample(&prober, dns("active.build.service.consul", DnsRecord::A, Some("127.0.0.1"))).await, "pass");
    let place = format!(":{good}");
    let found = sample(&prober, dns("active.build.service.consul", DnsRecord::Srv, Some("nowhere"))).await;
    assert!(found.starts_with("fail: ") && found.contains(&place), "{found}");
    let critical_only = sample(&prober, dns("standby.build.service.consul", DnsRecord::A, None)).await;
    assert!(critical_only.starts_with("fail: standby.build.service.consul. has no A record"), "{critical_only}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_may_not_see_and_a_consul_that_is_gone_are_unknown() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    register(&agent, "b1", 1, "active", "r1", "passing");
    let blind = sample(&prober(&agent.address(), None), in_catalog(None, None, 1)).await;
    assert_eq!(blind, "unknown: the catalog shows no instance of build; may the token read the service build and its nodes?");
    let address = agent.address();
    let dns_server = {
        let [port] = free_ports();
        SocketAddr::from(([127, 0, 0, 1], port))
    };
    drop(agent);
    let gone = prober(&address, Some(dns_server));
    for kind in [in_catalog(None, None, 1), http("active"), dns("build.service.consul", DnsRecord::A, None)] {
        let found = sample(&gone, kind).await;
        assert!(found.starts_with("unknown: "), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_gives_a_metadata_server_as_its_address_is_not_asked() {
    let agent = Agent::start();
    let prober = prober(&agent.address(), None);
    for (address, why) in [
        ("169.254.169.254", "is link-local"),
        ("fe80::1", "is link-local"),
        ("::ffff:169.254.169.254", "is link-local"),
        ("100.100.100.200", "is a metadata service"),
        ("fd00:ec2::254", "is a metadata service"),
        ("224.0.0.1", "names no single host"),
    ] {
        let body = serde_json::json!({ "Name": "build", "Port": 80, "Address": address, "Tags": ["active"] }).to_string();
        assert_eq!(agent.curl("PUT", "/v1/agent/service/register", body.as_bytes()).0, 200);
        let found = sample(&prober, http("active")).await;
        assert!(found.starts_with("unknown: ") && found.contains(why), "{address}: {found}");
    }
}
