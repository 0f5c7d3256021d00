//! Controllers that are killed, and a Consul that is away.

use std::sync::Arc;

use serde_json::Value;

use super::idle::Looks;
use super::killer::Killer;
use super::service::Service;
use super::site::{CHECK, MANY, Running, Site, dump, many};
use crate::support::{Agent, Options, eventually};

const KEYS: usize = 1_000;

/// Ends the sessions of a killed process, as Consul does once their time to live is over.
pub(super) fn end_sessions(agent: &Agent) {
    let (_, body) = agent.curl("GET", "/v1/session/list", b"");
    let sessions: Vec<Value> = serde_json::from_slice(&body).unwrap();
    for session in sessions {
        let id = session["ID"].as_str().unwrap();
        assert_eq!(agent.curl("PUT", &format!("/v1/session/destroy/{id}"), b"").0, 200);
    }
}

#[test]
fn killed_between_any_two_writes_of_a_large_apply_it_converges_and_every_line_of_history_is_closed_once() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    agent.put("foreign/key", b"untouched");
    agent.put("config/by-hand", b"untouched");
    let foreign = || {
        let mut keys = dump(&agent, "foreign/");
        keys.extend(dump(&agent, "config/by-hand"));
        keys
    };
    let before = foreign();
    let killer = Arc::new(Killer::default());
    let proxy = killer.start(agent.port());
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.until_steady();
    // A thousand keys are seventeen writes.
    for after in 0..17 {
        let value = format!("killed after {after}");
        killer.arm(controller.id(), after, after % 2 == 0);
        site.repo.commit(&value, &[(MANY, &many(KEYS, &value))]);
        eventually("it is killed", || killer.has_struck());
        controller.kill();
        end_sessions(&agent);
        controller = site.start("one");
        site.until_steady();
        let values = agent.values("config/many/");
        assert!(values.len() == KEYS && values.values().all(|found| *found == value.as_bytes()), "killed after {after}");
    }
    assert_eq!(foreign(), before);
    site.check_history();
}

#[test]
fn it_waits_for_a_consul_that_is_away_and_goes_on_by_itself_after_one_dies_in_a_large_apply() {
    const LARGE: usize = 6_000;
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    agent.kill();
    let mut controller = site.start("one");
    eventually("it says what it waits for", || controller.log().contains("pass failed") || !controller.runs());
    assert!(controller.runs(), "{}", controller.log());
    agent.start_again();
    agent.wait();
    site.until_steady();

    site.repo.commit("Large", &[(MANY, &many(LARGE, "x"))]);
    let written = |agent: &Agent| agent.tree("config/many/").len();
    eventually("some of it is written", || written(&agent) > 0);
    agent.kill();
    agent.start_again();
    agent.wait();
    let after = written(&agent);
    assert!(after < LARGE, "the apply was over before Consul was killed");
    site.until_steady();
    assert_eq!(written(&agent), LARGE);
    assert!(controller.runs());
    assert!(site.outcomes().iter().all(|outcome| outcome != "open"));
}

#[test]
fn it_waits_for_a_repository_that_is_not_there_yet_and_a_signal_ends_the_wait() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let site = Site::new(&agent);
    let path = site.repo.path();
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    let mut controller = site.start("one");
    eventually("it says what it waits for", || controller.log().contains("waiting for the repository"));
    assert!(controller.runs());
    controller.terminate();
    eventually("the signal ends it", || !controller.runs());
    assert!(controller.ended().success());
    let mut controller = site.start("two");
    eventually("it waits", || controller.log().contains("waiting for the repository"));
    std::fs::rename(&away, &path).unwrap();
    site.until_steady();
    assert!(controller.runs());
}

#[test]
fn a_first_deploy_that_is_denied_half_way_writes_nothing_more_until_a_person_says_that_the_rights_are_there() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let put = |path: &str, body: Value| -> Value {
        let (status, answer) = agent.curl("PUT", path, body.to_string().as_bytes());
        assert_eq!(status, 200);
        serde_json::from_slice(&answer).unwrap()
    };
    let rules = |last: &str| {
        format!(
            r#"key_prefix "config/" {{ policy = "write" }} key "config/many/k00399" {{ policy = "{last}" }}
               key_prefix "lockstep/" {{ policy = "write" }} session_prefix "" {{ policy = "write" }}"#
        )
    };
    let policy = put("/v1/acl/policy", serde_json::json!({ "Name": "lockstep", "Rules": rules("read") }));
    let token = put("/v1/acl/token", serde_json::json!({ "Policies": [{ "Name": "lockstep" }] }));
    let mut site = Site::named("demo", &agent.address());
    site.use_token(token["SecretID"].as_str().unwrap());
    site.init();
    site.repo.remove("No checks", &[CHECK.0]);
    site.repo.commit("Many", &[(MANY, &many(400, "x"))]);
    let _controller = site.start("one");
    let held = site.until("it is held", |status| status["phase"] == "held-refused");
    assert!(held["advice"][0].as_str().unwrap().contains("`lockstep release test`"), "{held}");
    assert!(held["reason"].as_str().unwrap().contains("config/many/k00399"), "{held}");
    let before = dump(&agent, "");
    assert!(before.iter().any(|(key, _, _)| key == "config/many/k00000"), "it was denied part-way");

    // Each look is a chance to try again, and none is taken.
    Looks::at(&site.repo).again(100);
    assert_eq!(dump(&agent, ""), before);
    let id = policy["ID"].as_str().unwrap();
    put(&format!("/v1/acl/policy/{id}"), serde_json::json!({ "ID": id, "Name": "lockstep", "Rules": rules("write") }));
    site.run(&["release", "test"]).exits(0);
    site.until_steady();
    assert_eq!(agent.values("config/many/").len(), 400);
}

#[test]
fn a_consul_that_has_lost_its_leader_is_waited_for_and_gets_the_commit_once_it_has_one_again() {
    let [agent, mut other] = Agent::pair();
    let mut it = Running::on(agent, |_| ());
    other.kill();
    eventually("there is no leader", || it.agent.curl("GET", "/v1/status/leader", b"").1.trim_ascii() == b"\"\"");
    let said = it.site.run(&["status", "test"]).exits(4);
    assert!(said.out.contains("No cluster leader"), "{said:?}");
    let tip = it.release("two");
    eventually("the controller says what it waits for", || it.controller.log().contains("No cluster leader"));

    other.start_again();
    it.agent.wait();
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").as_deref(), Some(b"two".as_slice()));
    assert_eq!(it.site.status()["goal"]["revision"], tip.to_string());
    it.site.check_history();
}
