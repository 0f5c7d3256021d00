//! A Consul that is killed while a controller writes to it, one that is restored, and one that shows part of what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use super::killer::Killer;
use super::service::Service;
use super::site::{ENVIRONMENT, MANY, Running, Site, app, dump, many};
use crate::fake::{Fake, Reply};
use crate::support::{Agent, Options, eventually};

const KEYS: usize = 1_000;

/// Writes of a commit of [`KEYS`] keys.
const WRITES: usize = 17;
/// Once at each of them, and three times more the other way round.
const ROUNDS: usize = 20;

#[test]
fn a_consul_killed_anywhere_in_a_large_apply_ends_with_the_commit_byte_for_byte_and_one_line_of_history() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    agent.put("config/by-hand", b"untouched");
    let killer = Arc::new(Killer::default());
    let proxy = killer.start(agent.port());
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();
    let by_hand = dump(&agent, "config/by-hand");

    let mut before = (site.repo.tip(), String::new());
    for round in 0..ROUNDS {
        // Before the write is carried out, or when all but the answer was there.
        let (after, carried_out) = (round * 7 % WRITES, round % 2 == 1);
        let told = format!("round {round}: write {after}, carried out: {carried_out}");
        killer.arm(agent.pid(), after, carried_out);
        let value = format!("round {round} \u{1f980}");
        let tip = site.repo.commit(&value, &[(MANY, &many(KEYS, &value))]);
        eventually("Consul is killed", || killer.has_struck());
        // So that what the crash left can be looked at.
        controller.signal(Signal::STOP);
        agent.kill();
        assert_eq!(site.run(&["status", "test"]).code, 4, "{told}");
        agent.start_again();
        agent.wait();

        let marker: serde_json::Value = serde_json::from_slice(&agent.get("lockstep/demo/test/revision").unwrap()).unwrap();
        let found = (marker["state"].as_str().unwrap(), marker["revision"].as_str().unwrap());
        let values = agent.values("config/many/");
        let new = values.values().filter(|found| **found == value.as_bytes()).count();
        let old = values.values().filter(|found| **found == before.1.as_bytes()).count();
        assert_eq!(new + old, values.len(), "{told}");
        let (was, is) = (before.0.to_string(), tip.to_string());
        match found {
            ("applying", revision) => assert_eq!(revision, is, "{told}"),
            ("complete", revision) if revision == was => assert_eq!(new, 0, "{told}"),
            ("complete", revision) => assert_eq!((revision, new), (is.as_str(), KEYS), "{told}"),
            other => panic!("{told}: {other:?}"),
        }

        controller.signal(Signal::CONT);
        site.until_steady();
        let mut wanted: Vec<_> =
            (0..KEYS).map(|number| (format!("config/many/k{number:05}"), value.clone().into_bytes())).collect();
        wanted.sort();
        assert_eq!(agent.values("config/many/").into_iter().collect::<Vec<_>>(), wanted, "{told}");
        assert_eq!(dump(&agent, "config/by-hand"), by_hand);
        assert_eq!(site.outcomes(), vec!["proven"; round + 2], "{told}");
        before = (tip, value);
    }
    site.check_history();
    assert!(controller.runs());
}

#[test]
fn an_apply_in_the_foreground_whose_consul_dies_half_way_fails_and_the_next_one_ends_with_the_commit() {
    check_cut_short(true, "correct", &["proven", "proven"]);
}

#[test]
fn a_first_deploy_whose_consul_dies_half_way_is_gone_on_with_also_where_drift_is_only_reported() {
    check_cut_short(false, "report", &["proven"]);
}

/// A large apply whose Consul dies half-way, as the first one or after another, and how all of them end.
fn check_cut_short(after_another: bool, drift: &str, outcomes: &[&str]) {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    if after_another {
        site.run(&["apply", "--once"]).exits(0);
    }
    let killer = Arc::new(Killer::default());
    let proxy = killer.start(agent.port());
    let environment = format!("{}drift: {drift}\n", ENVIRONMENT.1);
    site.repo.commit("Large", &[(ENVIRONMENT.0, &environment), (MANY, &many(KEYS, "x"))]);
    killer.arm(agent.pid(), WRITES / 2, false);
    site.readdress(&proxy.address());
    let said = site.run(&["apply", "--once", "--timeout", "3s"]);
    assert!(killer.has_struck());
    assert!([1, 4].contains(&said.code) && said.out.contains("failed"), "{said:?}");

    agent.kill();
    agent.start_again();
    agent.wait();
    let written = agent.tree("config/many/").len();
    assert!((1..KEYS).contains(&written), "{written} keys");
    site.readdress(&agent.address());
    // The session of the one that failed has ten seconds to live.
    eventually("the next one leads", || site.run(&["apply", "--once", "--timeout", "20s"]).code == 0);
    assert_eq!(agent.tree("config/many/").len(), KEYS);
    assert_eq!(site.outcomes(), outcomes);
    site.check_history();
}

#[test]
fn a_consul_that_shows_a_few_of_its_keys_costs_no_key() {
    const SHOWN: usize = 9;
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.repo.commit("Some", &[(MANY, &many(300, "x"))]);
    let (partial, shown, deletes) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (is_partial, seen, counted, port) = (Arc::clone(&partial), Arc::clone(&shown), Arc::clone(&deletes), agent.port());
    let proxy = Fake::start(move |asked| {
        counted.fetch_add(asked.count("delete-cas") + asked.count("delete") + asked.count("delete-tree"), Ordering::SeqCst);
        match asked.forward(port) {
            Reply::Answer { status: 200, headers, body }
                if is_partial.load(Ordering::SeqCst) && asked.path.starts_with("/v1/kv/config") =>
            {
                seen.fetch_add(1, Ordering::SeqCst);
                let pairs: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
                let body = serde_json::to_vec(&pairs[..pairs.len().min(SHOWN)]).unwrap();
                Reply::Answer { status: 200, headers, body }
            }
            other @ (Reply::Answer { .. } | Reply::Lost) => other,
        }
    });
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();

    // It starts anew against a server that is still replaying its log, and somebody pushes meanwhile.
    controller.terminate();
    assert!(controller.ended().success());
    let before = dump(&agent, "config/");
    partial.store(true, Ordering::SeqCst);
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    eventually("it has looked", || shown.load(Ordering::SeqCst) >= 2);
    site.repo.commit("Meanwhile", &[(super::site::APP, &app("two"))]);
    let looks = shown.load(Ordering::SeqCst);
    eventually("it has looked again", || shown.load(Ordering::SeqCst) >= looks + 2);
    let keys = |dump: &[(String, Vec<u8>, u64)]| dump.iter().map(|(key, _, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&dump(&agent, "config/")), keys(&before));
    assert_eq!(deletes.load(Ordering::SeqCst), 0);

    partial.store(false, Ordering::SeqCst);
    site.until_steady();
    assert_eq!(keys(&dump(&agent, "config/")), keys(&before));
    assert_eq!(agent.get("config/app/version").unwrap(), b"two");
    assert_eq!(deletes.load(Ordering::SeqCst), 0);
    site.check_history();
    assert!(controller.runs());
}

#[test]
fn a_consul_restored_from_a_snapshot_is_noted_and_brought_back_in_step_and_no_number_goes_down() {
    let mut running = Running::on(Agent::with(&Options { durable: true, ..Options::default() }), |_| ());
    let snapshot = running.site.home().join("before.snap").display().to_string();
    running.agent.consul(&["snapshot", "save", &snapshot]);
    for version in ["two", "three"] {
        running.release(version);
        running.site.until_steady();
    }
    let before = running.site.status()["last_generation"].as_u64().unwrap();
    assert_eq!((running.agent.get("config/app/version").unwrap(), before), (b"three".to_vec(), 3));

    running.agent.consul(&["snapshot", "restore", &snapshot]);
    running.site.until("it is noted, and the head is back", |status| {
        status["last_generation"].as_u64().is_some_and(|generation| generation > before)
    });
    running.site.until_steady();
    assert_eq!(running.agent.get("config/app/version").unwrap(), b"three");
    let history = running.site.run(&["history", "test", "--output", "json"]).exits(0).out;
    assert!(history.contains("target was restored"), "{history}");
    let log = running.controller.log();
    assert!(running.controller.runs(), "{log}");
}
