//! Checks that ask Consul itself, its catalog and its DNS: a bad commit is taken back within the time that its rules give,
//! and so is the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::idle::Looks;
use super::site::{APP, CHECK, Site, dump};
use crate::support::{Agent, PATIENCE, request};

/// The environment's `healthy_deadline`, and two seconds to go back in.
const LIMIT: Duration = Duration::from_secs(5 + 2);

/// What becomes of the service while its version is a bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    /// Its own check in Consul is critical.
    Critical,
    /// It is in the catalog no more.
    Absent,
}

/// A service that follows the key `config/app/version`, and is well as long as that doesn't begin with `bad`.
struct Follower {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(agent: &Agent, becomes: Becomes) -> Self {
        let (port, end) = (agent.port(), Arc::new(AtomicBool::new(false)));
        register(port);
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut index = 0;
            while !ended.load(Ordering::Acquire) {
                let path = format!("/v1/kv/config/app/version?index={index}&wait=1s");
                let Some((200, body)) = request(port, "GET", &path, b"") else { continue };
                let found: Value = serde_json::from_slice(&body).unwrap();
                let version = crate::support::decode(&found[0]["Value"]);
                index = found[0]["ModifyIndex"].as_u64().unwrap();
                match (version.starts_with(b"bad"), becomes) {
                    (false, _) => register(port),
                    (true, Becomes::Critical) => put(port, "/v1/agent/check/fail/service:app"),
                    (true, Becomes::Absent) => put(port, "/v1/agent/service/deregister/app"),
                }
            }
        });
        Self { end, thread: Some(thread) }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn register(port: u16) {
    let body = r#"{"Name": "app", "Address": "127.0.0.1", "Port": 9, "Check": {"TTL": "1h", "Status": "passing"}}"#;
    assert_eq!(request(port, "PUT", "/v1/agent/service/register", body.as_bytes()).map(|(status, _)| status), Some(200));
    // Registered again it would keep the status that it had.
    put(port, "/v1/agent/check/pass/service:app");
}

fn put(port: u16, path: &str) {
    assert_eq!(request(port, "PUT", path, b"").map(|(status, _)| status), Some(200), "{path}");
}

/// Two keys that always say the same: a reader that finds them different has seen half a commit.
fn twins(version: &str) -> String {
    format!("version: {version}\ntwin: {version}\n")
}

/// Commits a bad version, and watches it go live and away again: how long that took.
#[track_caller]
fn goes_and_comes_back(site: &mut Site, agent: &Agent, version: &str) -> Duration {
    let before = agent.values("config/");
    site.repo.commit(&format!("Version {version}"), &[(APP, &twins(version))]);
    let (begin, mut live) = (Instant::now(), None);
    loop {
        let now = agent.values("config/");
        assert_eq!(now["config/app/version"], now["config/app/twin"], "half a commit");
        match live {
            None if now != before => live = Some(Instant::now()),
            Some(since) if now == before => return since.elapsed(),
            _ => {}
        }
        assert!(begin.elapsed() < PATIENCE, "it stays:\n{}", site.logs());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn check(kind: &str, becomes: Becomes, says: &[&str]) {
    let agent = Agent::start();
    let _service = Follower::start(&agent, becomes);
    let mut site = Site::new(&agent);
    site.reach(&agent.address(), &format!("dns: \"{}\"", agent.dns()));
    let asks = format!("{kind}\ninterval: 500ms\ntimeout: 500ms\n");
    site.repo.commit("Another check", &[(CHECK.0, &asks), (APP, &twins("one"))]);
    let mut controller = site.start("one");
    site.until_steady();

    for (number, version) in ["bad", "bad-again"].into_iter().enumerate() {
        let took = goes_and_comes_back(&mut site, &agent, version);
        assert!(took < LIMIT, "{version} was live for {took:?}\n{}", site.logs());
        let tip = site.repo.tip().to_string();
        let status = site.until("it is held and proven", |status| {
            status["phase"] == "held-after-rollback" && status["head"]["revision"] == tip.as_str() && status["proven"] == true
        });
        let rejected = status["rejected"].as_array().unwrap();
        let reason = rejected.iter().find(|entry| entry["revision"] == tip.as_str()).unwrap()["reason"].as_str().unwrap();
        assert!(says.iter().all(|part| reason.contains(part)), "{reason}");
        let for_people = site.run(&["status", "test"]).exits(0).out;
        assert!(says.iter().all(|part| for_people.contains(part)), "{for_people}");
        let mut outcomes = vec!["proven"];
        outcomes.extend(["rolled-back", "proven"].repeat(number + 1));
        assert_eq!(site.outcomes(), outcomes);
    }
    // However often it looks, neither is tried again.
    let before = dump(&agent, "");
    Looks::at(&site.repo).again(20);
    assert_eq!(dump(&agent, ""), before);
    assert!(controller.runs());
}

#[test]
fn a_commit_that_makes_the_service_critical_is_taken_back_in_time_and_the_next_such_commit_too() {
    let says = ["app-answers", "0 of 1 instance(s) of app pass"];
    check("kind: consul-service\nservice: app\nat_least: 1", Becomes::Critical, &says);
}

#[test]
fn a_commit_that_makes_the_service_leave_the_catalog_is_taken_back_in_time_and_the_next_such_commit_too() {
    let says = ["app-answers", "the catalog has no instance of app"];
    check("kind: consul-service\nservice: app\nat_least: 1", Becomes::Absent, &says);
}

#[test]
fn a_commit_after_which_the_name_does_not_resolve_is_taken_back_in_time_and_the_next_such_commit_too() {
    let says = ["app-answers", "app.service.consul", "has no A record"];
    check("kind: dns\nname: app.service.consul\nrecord: A\nexpect: 127.0.0.1", Becomes::Critical, &says);
}
