//! T7, T8: every real delivery is accepted with its own signature, and refused with each kind of wrong one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::stage::{RECORDED, Request, Site, write};
use crate::support::signing::sign;

const GITEA: &str = "/webhooks/gitea";
const GITHUB: &str = "/webhooks/github";
const HUB: &str = "x-hub-signature-256";

/// Other people's contracts: `LOCKSTEP_CONTRACTS`, or what `scripts/install-contracts` finds. Without them the tests fail.
fn contracts() -> &'static Path {
    static CONTRACTS: OnceLock<PathBuf> = OnceLock::new();
    CONTRACTS.get_or_init(|| {
        if let Some(path) = std::env::var_os("LOCKSTEP_CONTRACTS") {
            return path.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-contracts");
        let output = Command::new(script).output().expect("scripts/install-contracts runs");
        assert!(output.status.success(), "no contracts to test with: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}

/// A delivery that its forge would send, and the headers that hold its signatures.
struct Genuine {
    name: String,
    event: String,
    request: Request,
    /// Each header with what stands before the digits.
    signed_in: Vec<(&'static str, &'static str)>,
}

/// What a Gitea really sent, byte for byte.
fn recorded() -> Vec<Genuine> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gitea");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".body").map(str::to_owned))
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let body = std::fs::read(folder.join(format!("{name}.body"))).unwrap();
            let headers = std::fs::read_to_string(folder.join(format!("{name}.headers.json"))).unwrap();
            let headers: BTreeMap<String, String> = serde_json::from_str(&headers).unwrap();
            let event = headers["X-Gitea-Event"].clone();
            let headers = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
            let request = Request { method: "POST", path: GITEA.to_owned(), headers, body };
            Genuine {
                name,
                event,
                request,
                signed_in: vec![("x-gitea-signature", ""), ("x-gogs-signature", ""), (HUB, "sha256=")],
            }
        })
        .collect()
}

/// GitHub's own examples of these events, signed as GitHub signs.
fn examples() -> Vec<Genuine> {
    let file = contracts().join("octokit-webhooks-examples-7.6.1/api.github.com/index.json");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for event in ["push", "pull_request", "ping"] {
        let entry = events.iter().find(|entry| entry["name"] == event).unwrap();
        for (number, example) in entry["examples"].as_array().unwrap().iter().enumerate() {
            let body = serde_json::to_vec(example).unwrap();
            let signature = format!("sha256={}", sign(RECORDED.as_bytes(), &body));
            let sha1 = format!("sha1={}", &signature[7..47]);
            let headers = [
                ("user-agent", "GitHub-Hookshot/044aadd"),
                ("content-type", "application/json"),
                ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
                ("x-github-event", event),
                ("x-hub-signature", sha1.as_str()),
                (HUB, signature.as_str()),
            ];
            let request = Request::to(GITHUB, &headers, &body);
            let name = format!("{event} {number}");
            found.push(Genuine { name, event: event.to_owned(), request, signed_in: vec![(HUB, "sha256=")] });
        }
    }
    found
}

fn all() -> Vec<Genuine> {
    recorded().into_iter().chain(examples()).collect()
}

impl Genuine {
    /// The same, with other values in one header of a signature.
    fn presenting(&self, header: &str, values: &[Vec<u8>]) -> Request {
        values.iter().fold(self.request.clone().without(header), |request, value| request.and(header, value))
    }

    /// Signed with this secret, wherever it was signed.
    fn signed_with(&self, secret: &str) -> Request {
        let digits = sign(secret.as_bytes(), &self.request.body);
        self.signed_in.iter().fold(self.request.clone(), |request, (header, prefix)| {
            request.without(header).and(header, format!("{prefix}{digits}"))
        })
    }
}

#[test]
fn every_recorded_delivery_and_every_example_of_github_is_accepted() {
    let site = Site::start();
    let mut events: BTreeMap<(String, String), usize> = BTreeMap::new();
    for genuine in all() {
        let answer = site.send(&genuine.request);
        assert_eq!((answer.status, answer.body.as_str()), (202, "{\"status\":\"accepted\"}"), "{}", genuine.name);
        // The bell that it rings, and no other.
        let rung = (site.deliveries.take_branch(), site.takes_pulls());
        let expected = match genuine.event.as_str() {
            "push" | "create" => (true, false),
            "pull_request" => (false, true),
            _ => (false, false),
        };
        assert_eq!(rung, expected, "{}", genuine.name);
        *events.entry((genuine.request.path, genuine.event)).or_default() += 1;
    }
    let count = |path: &str, event: &str| events[&(path.to_owned(), event.to_owned())];
    assert_eq!([count(GITHUB, "push"), count(GITHUB, "pull_request"), count(GITHUB, "ping")], [7, 29, 4]);
    assert_eq!([count(GITEA, "push"), count(GITEA, "pull_request"), count(GITEA, "create")], [6, 3, 2]);
    assert_eq!((site.counted("gitea", "accepted"), site.counted("github", "accepted")), (12, 40));
}

#[test]
fn t7_every_delivery_is_refused_with_each_kind_of_wrong_signature() {
    let site = Site::start();
    let mut sent = 0;
    for genuine in all() {
        for (header, prefix) in &genuine.signed_in {
            let right = sign(RECORDED.as_bytes(), &genuine.request.body);
            let of_another_secret = sign(b"another-secret", &genuine.request.body);
            let of_another_body = sign(RECORDED.as_bytes(), b"{}");
            let flipped = format!("{}{}", if right.starts_with('0') { '1' } else { '0' }, &right[1..]);
            let with = |digits: &str| format!("{prefix}{digits}").into_bytes();
            let other_prefix = if prefix.is_empty() { "sha256=" } else { "" };
            let wrong: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
                ("empty", vec![Vec::new()], "signature-malformed"),
                ("no digits", vec![with("")], "signature-malformed"),
                ("short", vec![with(&right[..63])], "signature-malformed"),
                ("one byte short", vec![with(&right[..62])], "signature-malformed"),
                ("long", vec![with(&format!("{right}0"))], "signature-malformed"),
                ("one byte long", vec![with(&format!("{right}00"))], "signature-malformed"),
                ("very long", vec![with(&right.repeat(100))], "signature-malformed"),
                ("no hexadecimal digit", vec![with(&format!("{}g", &right[..63]))], "signature-malformed"),
                ("a sign among the digits", vec![with(&format!("+{}", &right[1..]))], "signature-malformed"),
                ("no text", vec![[prefix.as_bytes(), &[0xff; 64]].concat()], "signature-malformed"),
                (
                    "white space before the digits",
                    vec![with(&format!(" {right}"))],
                    if prefix.is_empty() { "" } else { "signature-malformed" },
                ),
                (
                    "white space among the digits",
                    vec![with(&format!("{} {}", &right[..32], &right[32..]))],
                    "signature-malformed",
                ),
                (
                    "a space of another alphabet behind",
                    vec![[&with(&right)[..], "\u{a0}".as_bytes()].concat()],
                    "signature-malformed",
                ),
                ("wrong prefix", vec![format!("{other_prefix}{right}").into_bytes()], "signature-malformed"),
                ("prefix in capitals", vec![format!("SHA256={right}").into_bytes()], "signature-malformed"),
                ("sha1 in its place", vec![format!("sha1={}", &right[..40]).into_bytes()], "signature-malformed"),
                ("wrong in the first digit", vec![with(&flipped)], "signature-wrong"),
                ("zeros", vec![with(&"0".repeat(64))], "signature-wrong"),
                ("of another secret", vec![with(&of_another_secret)], "signature-wrong"),
                ("of another body", vec![with(&of_another_body)], "signature-wrong"),
                ("twice the same", vec![with(&right), with(&right)], "signature-repeated"),
                ("twice, first right", vec![with(&right), with(&flipped)], "signature-repeated"),
                ("twice, last right", vec![with(&flipped), with(&right)], "signature-repeated"),
                ("joined by a comma", vec![[with(&right), with(&right)].join(&b","[..])], "signature-malformed"),
                ("joined by a comma and a space", vec![[with(&flipped), with(&right)].join(&b", "[..])], "signature-malformed"),
            ];
            for (kind, values, code) in wrong {
                let answer = site.send(&genuine.presenting(header, &values));
                let expected = if code.is_empty() { 202 } else { 401 };
                assert_eq!((answer.status, answer.code().as_str()), (expected, code), "{}, {header}: {kind}", genuine.name);
                let said = format!("{}{}", answer.headers, answer.body).into_bytes();
                for tail in values.iter().filter_map(|value| value.last_chunk::<32>()) {
                    assert!(!said.windows(32).any(|part| part == tail), "{answer:?} repeats what was presented");
                }
                sent += 1;
            }
        }
        let unsigned = genuine.signed_in.iter().fold(genuine.request.clone(), |request, (header, _)| request.without(header));
        let answer = site.send(&unsigned);
        assert_eq!((answer.status, answer.code().as_str()), (401, "signature-sha1"), "{}: sha1 only", genuine.name);
        let answer = site.send(&unsigned.without("x-hub-signature"));
        assert_eq!((answer.status, answer.code().as_str()), (401, "signature-missing"), "{}: none", genuine.name);
        sent += 2;
    }
    assert!(sent > 1_900, "only {sent} were sent");
    assert!(site.counted("gitea", "signature-wrong") >= 12 * 3 * 4 && site.counted("github", "signature-wrong") >= 40 * 4);
}

#[test]
fn t7_a_body_changed_by_one_byte_is_refused() {
    let site = Site::start();
    for genuine in all() {
        let length = genuine.request.body.len();
        for at in [0, length / 2, length - 1] {
            let mut request = genuine.request.clone();
            request.body[at] ^= 1;
            let answer = site.send(&request);
            assert_eq!((answer.status, answer.code().as_str()), (401, "signature-wrong"), "{}, byte {at}", genuine.name);
        }
    }
    assert!(!site.deliveries.take_branch() && !site.takes_pulls(), "a refused delivery rang");
}

#[test]
fn capitals_in_the_digits_and_white_space_around_a_value_change_nothing() {
    let site = Site::start();
    let body = b"{}";
    let digits = sign(RECORDED.as_bytes(), body);
    let headers = [("x-gitea-event", "push")];
    for value in [digits.to_uppercase(), format!("{digits} "), format!("{digits}\t "), format!(" \t{digits}")] {
        let answer = site.send(&Request::to(GITEA, &headers, body).and("X-GITEA-SIGNATURE", &value));
        assert_eq!(answer.status, 202, "{value:?}: {answer:?}");
    }
    // What is no white space for HTTP is part of the value.
    for value in [format!("{digits}\u{b}"), format!("{digits}\u{c}")] {
        let answer = site.send(&Request::to(GITEA, &headers, body).and("x-gitea-signature", &value));
        assert!(matches!(answer.status, 400 | 401), "{value:?}: {answer:?}");
    }
}

#[test]
fn t7_a_forge_without_a_secret_has_no_endpoint() {
    let site = Site::with(&[], &[RECORDED], lockstep::server::Limits::default());
    let github = &examples()[0];
    let answer = site.send(&github.request);
    assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"));
    let gitea = &recorded()[0];
    assert_eq!(site.send(&gitea.request).status, 202);
    // Each endpoint has its own secret, and GitHub's has no other form.
    let site = Site::with(&["of-github"], &[RECORDED], lockstep::server::Limits::default());
    assert_eq!(site.send(&github.request).code(), "signature-wrong");
    assert_eq!(site.send(&github.signed_with("of-github")).status, 202);
    let elsewhere = Request { path: GITHUB.to_owned(), ..gitea.request.clone().without(HUB).without("x-hub-signature") };
    assert_eq!(site.send(&elsewhere).code(), "signature-missing");
}

#[test]
fn two_secrets_serve_while_one_takes_the_others_place() {
    let site = Site::with(&["old", "new"], &["old", "new"], lockstep::server::Limits::default());
    for genuine in all() {
        for (secret, status) in [("old", 202), ("new", 202), ("older", 401), ("", 401), ("old,new", 401), ("oldnew", 401)] {
            assert_eq!(site.send(&genuine.signed_with(secret)).status, status, "{} with {secret:?}", genuine.name);
        }
    }
    // All that one delivery presents is of one secret.
    let gitea = &recorded()[0];
    let mixed = gitea.presenting("x-gogs-signature", &[sign(b"old", &gitea.request.body).into_bytes()]);
    let mixed = mixed.without("x-gitea-signature").and("x-gitea-signature", sign(b"new", &gitea.request.body));
    assert_eq!(site.send(&mixed.without(HUB)).code(), "signature-wrong");
}

#[test]
fn a_secret_that_is_replaced_counts_from_the_next_delivery_on() {
    let site = Site::with(&[RECORDED], &[], lockstep::server::Limits::default());
    let mut connection = site.connect();
    let mut deliver = |secret: &str| {
        connection.write(&Request::of_github(secret, b"{}").bytes());
        connection.answer().status
    };
    assert_eq!((deliver(RECORDED), deliver("next")), (202, 401));
    write(&site.secret("github-0"), "next\n");
    assert_eq!((deliver(RECORDED), deliver("next")), (401, 202));
}

#[test]
fn t8_a_replayed_delivery_is_accepted_and_rings_as_one() {
    let site = Site::start();
    let push = &recorded()[0];
    let mut connection = site.connect();
    for _ in 0..100 {
        connection.write(&push.request.bytes());
        assert_eq!(connection.answer().status, 202);
    }
    assert!(site.deliveries.take_branch(), "nothing rang");
    assert!(!site.deliveries.take_branch(), "it rang more than once");
}
