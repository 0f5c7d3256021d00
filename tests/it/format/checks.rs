//! `checks/`: every kind, its defaults, and what is refused.

use std::time::Duration;

use lockstep::domain::check::{Check, CheckKind, DnsRecord, Place};
use lockstep::domain::name::{CheckName, ServiceName};
use lockstep::domain::revision::{Generation, Revision};

use super::{check_told, state, tree};

fn read(yaml: &str) -> Check {
    state(&[("base/checks/it.yaml", yaml)]).checks()[&CheckName::parse("it").unwrap()].clone()
}

#[track_caller]
fn check(yaml: &str, kind: &CheckKind) {
    assert_eq!(&read(yaml).kind, kind, "{yaml}");
}

#[track_caller]
fn check_refused(yaml: &str, expected: &[&str]) {
    check_told(&tree(&[("base/checks/it.yaml", yaml)]), expected);
}

fn service(name: &str, tag: Option<&str>) -> Place {
    Place::Service { service: ServiceName::parse(name).unwrap(), tag: tag.map(str::to_owned) }
}

#[test]
fn every_kind_is_read() {
    check(
        "kind: http\nservice: build\ntag: active\npath: /health?a=b\nexpect: {status: 204, body: '\"revision\":\"${lockstep.revision}\"'}\n",
        &CheckKind::Http {
            at: service("build", Some("active")),
            path: "/health?a=b".into(),
            status: 204,
            body: Some("\"revision\":\"${lockstep.revision}\"".into()),
        },
    );
    check(
        "kind: http\nservice: build\n",
        &CheckKind::Http { at: service("build", None), path: "/".into(), status: 200, body: None },
    );
    let address = |host: &str| Place::Address { host: host.into(), port: 8080 };
    check("kind: tcp\naddress: mail.${domain}:8080\n", &CheckKind::Tcp { at: address("mail.consulverse") });
    check("kind: tcp\naddress: '[::1]:8080'\n", &CheckKind::Tcp { at: address("::1") });
    check(
        "kind: dns\nname: active.build.service.${domain}\n",
        &CheckKind::Dns { name: "active.build.service.consulverse".into(), record: DnsRecord::A, expect: None },
    );
    check(
        "kind: dns\nname: x\nrecord: SRV\nexpect: a.b\n",
        &CheckKind::Dns { name: "x".into(), record: DnsRecord::Srv, expect: Some("a.b".into()) },
    );
    check(
        "kind: consul-service\nservice: queue\ntag: amqp\nmeta: {revision: '${lockstep.revision}'}\nat_least: 3\n",
        &CheckKind::ConsulService {
            service: ServiceName::parse("queue").unwrap(),
            tag: Some("amqp".into()),
            meta: [("revision".into(), "${lockstep.revision}".into())].into(),
            at_least: 3,
        },
    );
    check("kind: exec\nprogram: smoke\n", &CheckKind::Exec { program: "smoke".into(), subject: None });
}

#[test]
fn intervals_and_timeouts_have_defaults_that_fit_each_other() {
    for (fields, interval, timeout) in [
        ("", 2000, 1000),
        ("interval: 500ms\n", 500, 500),
        ("timeout: 5s\n", 5000, 5000),
        ("interval: 1m\ntimeout: 30s\n", 60_000, 30_000),
    ] {
        let check = read(&format!("kind: exec\nprogram: p\n{fields}"));
        assert_eq!(
            (check.interval, check.timeout),
            (Duration::from_millis(interval), Duration::from_millis(timeout)),
            "{fields}"
        );
    }
    check_refused(
        "kind: exec\nprogram: p\ninterval: 1s\ntimeout: 2s\n",
        &["the timeout (2s) is longer than the interval (1s)"],
    );
}

#[test]
fn a_check_can_mean_healthy_with_this_revision() {
    let yaml = "kind: http\nservice: build\nexpect: {body: '${lockstep.revision} ${lockstep.generation} ${domain}'}\n";
    let revision = Revision::from_bytes([7; 20]);
    let CheckKind::Http { body, .. } = read(yaml).filled(&revision, Generation::new(12).unwrap()).kind else { panic!() };
    assert_eq!(body.unwrap(), format!("{revision} 12 consulverse"));
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    check_refused(
        "kind: htp\nservice: a\n",
        &["base/checks/it.yaml:1:1: there is no kind of check \"htp\" [test] did you mean \"http\"?"],
    );
    check_refused("kind: prometheus\nquery: up\n", &["the kind \"prometheus\" is not supported by this version of lockstep"]);
    check_refused("kind: metrics\n", &["the kind \"metrics\" is not supported by this version of lockstep"]);
    check_refused("service: a\n", &["the field \"kind\" is missing"]);
    check_refused(
        "kind: http\n",
        &[":1:1: the field \"service\" is missing [test] name one that the environment's catalog knows"],
    );
    check_refused("kind: tcp\nservice: a\naddress: b:1\n", &[":3:1: a check asks a service or an address, not both"]);
    check_refused("kind: tcp\naddress: b:1\ntag: x\n", &[":3:1: a tag selects instances of a service"]);
    check_refused("kind: exec\nprogram: p\npath: /\n", &[":3:1: an exec check has no field \"path\""]);
    check_refused("kind: exec\nprogram: /bin/sh\n", &["\"program\": check name \"/bin/sh\" must be"]);
    check_refused(
        "kind: http\nservice: a\nexpect: {stauts: 200}\n",
        &["expect has no field \"stauts\" [test] did you mean \"status\"?"],
    );
    check_refused("kind: http\nservice: a\nexpect: {status: 42}\n", &["\"status\" must be a whole number from 100 to 599"]);
    check_refused("kind: http\nservice: a\npath: health\n", &["\"path\" must be a path that begins with '/'"]);
    check_refused("kind: http\nservice: a\npath: \"/a\\r\\nHost: b\"\n", &["\"path\" must be a path that begins with '/'"]);
    check_refused("kind: http\nservice: ${lockstep.revision}\n", &["${lockstep.…} can't stand in \"service\""]);
    check_refused("kind: http\nservice: ${sevice}\n", &["the variable \"sevice\" is not defined"]);
    check_refused("kind: tcp\naddress: 10.0.0.1\n", &["an address is host:port"]);
    check_refused(
        "kind: dns\nname: 'a b'\nrecord: MX\n",
        &["\"name\" must be a DNS name", "\"record\" must be one of A, AAAA, SRV"],
    );
    check_refused("kind: exec\nprogram: !keep p\n", &["the tag !keep stands only before values below kv/"]);
    check_refused("kind: exec\nprogram: p\ninterval: 1d\n", &["\"interval\": \"1d\" is not a duration"]);
    check_refused("kind: exec\nprogram: p\ninterval: 1ms\n", &["\"interval\" must be a duration from 100ms to 1h"]);
}

#[test]
fn a_later_layers_check_replaces_or_takes_back_one_of_the_same_name() {
    let base = ("base/checks/it.yaml", "kind: exec\nprogram: base\n");
    let own = |yaml| state(&[base, ("environments/test/checks/it.yaml", yaml)]);
    assert_eq!(
        own("kind: exec\nprogram: own\n").checks().values().next().unwrap().kind,
        CheckKind::Exec { program: "own".into(), subject: None }
    );
    assert!(own("!absent\n").checks().is_empty());
    check_told(&tree(&[("base/checks/x.yaml", "!absent\n")]), &["base/checks/x.yaml: no earlier layer has the check x"]);
}

#[test]
fn hostile_text_in_any_field_is_refused_or_stays_text() {
    const EVIL: &str = "';$(id)`id`|&>\\x'";
    for field in [
        "kind", "service", "tag", "path", "interval", "timeout", "address", "name", "record", "program", "expect", "meta",
        "at_least",
    ] {
        for kind in ["http", "tcp", "dns", "exec", "consul-service"] {
            let yaml = format!("kind: {kind}\n{field}: {EVIL}\n");
            let tree = tree(&[("base/checks/it.yaml", &yaml)]);
            let state = lockstep::domain::desired::read_environment(&tree, &super::name("test"));
            assert!(state.is_err(), "{yaml} was accepted");
        }
    }
    // A tag and an expected body are only ever compared.
    let check = read(&format!("kind: http\nservice: a\ntag: {EVIL}\nexpect: {{body: {EVIL}}}\n"));
    assert!(matches!(check.kind, CheckKind::Http { body: Some(body), .. } if body == EVIL.trim_matches('\'')));
}
