//! What people are told of deliveries: once, with the cause, and never with what was presented.

use std::os::unix::fs::PermissionsExt as _;

use lockstep::server::Limits;

use super::stage::{RECORDED, Request, Site, write};
use crate::cli::stage::Stage;

#[test]
fn an_order_of_checks_tells_the_first_thing_that_is_wrong() {
    let site = Site::with(&[RECORDED], &[], Limits { body_bytes: 10, ..Limits::default() });
    let right = Request::of_github(RECORDED, b"{}");
    let wrong = right.clone().without("x-hub-signature-256").and("x-hub-signature-256", format!("sha256={}", "0".repeat(64)));
    let unsigned = right.clone().without("x-hub-signature-256");
    let eventless = right.clone().without("x-github-event");
    let long = |request: &Request| Request { body: vec![b'x'; 11], ..request.clone() }.without("content-length");
    for (request, code) in [
        (Request { method: "GET", ..long(&unsigned) }, "method-not-allowed"),
        (long(&unsigned), "length-missing"),
        (long(&unsigned).and("content-length", "11"), "body-too-large"),
        (unsigned.clone().without("x-github-event"), "signature-missing"),
        (wrong.clone().without("x-github-event"), "event-missing"),
        (eventless.clone(), "event-missing"),
        (eventless.clone().and("x-github-event", "push").and("x-github-event", "push"), "event-missing"),
        (wrong, "signature-wrong"),
        (right, ""),
    ] {
        assert_eq!(site.send(&request).code(), code);
    }
}

#[test]
fn a_secret_that_can_not_be_read_refuses_deliveries_until_it_can() {
    let site = Site::with(&["one", "two"], &[], Limits::default());
    let path = site.secret("github-1");
    let deliver = |secret: &str| {
        let answer = site.send(&Request::of_github(secret, b"{}"));
        (answer.status, answer.code())
    };
    let refused = (503, "secret-unreadable".to_owned());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(deliver("one"), refused);
    write(&path, "");
    assert_eq!(deliver("one"), refused);
    write(&path, "two");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!((deliver("two"), deliver("two")), (refused.clone(), refused));
    write(&path, "two");
    assert_eq!((deliver("one").0, deliver("two").0), (202, 202));
    // Missing, empty, readable for others: three causes, each told once.
    let text = site.telemetry.metrics().encode().unwrap();
    assert!(text.contains("lockstep_webhook_secrets_unreadable_total{forge=\"github\"} 3"), "{text}");
    assert_eq!(site.counted("github", "secret-unreadable"), 4);
}

/// A configuration of a daemon with these sections.
fn configured(stage: &Stage, sections: &str) {
    stage.configure(&format!("  test: {{directory: {{path: ./test}}}}\n{sections}"));
}

#[test]
fn a_daemon_does_not_start_with_a_secret_that_can_not_be_read_or_an_address_that_is_in_use() {
    let stage = Stage::new();
    configured(&stage, "webhooks: {gitea: {secrets: [{file: secret}]}}\n");
    let said = stage.run(&["run"]).exits(1);
    assert!(said.err.contains("read the secrets of webhooks.gitea") && said.err.contains("No such file"), "{}", said.err);
    write(&stage.home.path().join("secret"), "canary");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    configured(&stage, &format!("server: {{listen: '{address}'}}\nwebhooks: {{gitea: {{secrets: [{{file: secret}}]}}}}\n"));
    let said = stage.run(&["run"]).exits(1);
    assert!(said.err.contains(&format!("listen at {address}")) && said.err.contains("in use"), "{}", said.err);
    assert!(!said.err.contains("canary"), "{}", said.err);
}
