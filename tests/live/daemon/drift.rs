//! Keys that somebody changes by hand: put right at once, put right although the watch is blind, only told of where that is
//! the policy, and never written over by a plan that has not seen them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::kept::Kept;
use super::service::Service;
use super::site::{APP, ENVIRONMENT, MANY, Running, Site, app, dump, many};
use crate::fake::{Asked, Fake};
use crate::support::{Agent, eventually};

#[test]
fn a_hand_edit_is_put_right_within_two_seconds() {
    let it = Running::on(Agent::start(), |repo| {
        repo.commit("Some", &[(MANY, &many(100, "x"))]);
    });
    let begin = Instant::now();
    it.agent.put("config/app/version", b"by hand");
    eventually("it is put right", || it.agent.get("config/app/version").unwrap() == b"one");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    it.site.until("the repair is over", |status| status["phase"] == "steady");
    eventually("its line is closed", || it.site.outcomes() == ["proven", "repaired"]);
}

#[test]
fn a_hand_edit_that_no_watch_tells_of_is_put_right_by_the_hourly_look() {
    const AN_HOUR_IN_FIVE_SECONDS: u32 = 720;
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let (blind, port) = (Arc::new(AtomicBool::new(false)), agent.port());
    let is_blind = Arc::clone(&blind);
    let proxy = Fake::start(move |asked| {
        let watches = asked.is_of_a_watch();
        let answer = asked.forward(port);
        // Longer than this test takes: no answer, and no error either that would end in another look.
        if watches && is_blind.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_mins(2));
        }
        answer
    });
    site.readdress(&proxy.address());
    let kept = Kept::start(&site, AN_HOUR_IN_FIVE_SECONDS);
    site.readdress(&agent.address());
    site.until_steady();
    blind.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    agent.put("config/app/version", b"by hand");
    eventually("it is put right", || agent.get("config/app/version").unwrap() == b"one");
    // Less than the time after which a watch without an answer asks anew.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    eventually("it is told", || kept.events("drift-repaired").len() == 1);
}

#[test]
fn where_the_policy_is_to_report_a_hand_edit_is_told_and_stays_and_so_does_a_deleted_key() {
    let mut it = Running::on(Agent::start(), |repo| {
        let environment = format!("{}drift: report\n", ENVIRONMENT.1);
        repo.commit("Report", &[(ENVIRONMENT.0, &environment), (MANY, &many(20, "x"))]);
    });
    it.agent.put("config/app/version", b"by hand");
    it.agent.delete("config/many/k00003");
    eventually("it is told", || it.controller.log().contains("event=\"drift-reported\""));
    let before = dump(&it.agent, "");
    let planned = it.site.run(&["plan", "--output", "json"]).exits(3).json();
    let drifted = planned["environments"][0]["drifted"].clone();
    assert_eq!(drifted, serde_json::json!(["config/app/version", "config/many/k00003"]), "{planned:#}");
    // News of another key: both are seen again, and stay.
    it.agent.put("config/of-others", b"1");
    let tip = it.site.repo.commit("Beside it", &[("base/kv/config/other.yaml", "x: 1\n")]);
    it.site.until("the commit is in", |status| status["goal"]["revision"] == tip.to_string() && status["phase"] == "steady");
    let untouched = |(key, _, _): &&(String, Vec<u8>, u64)| key.starts_with("config/app") || key.starts_with("config/many");
    let now = dump(&it.agent, "");
    assert_eq!(now.iter().filter(untouched).collect::<Vec<_>>(), before.iter().filter(untouched).collect::<Vec<_>>());
}

/// What became of a key that somebody changed under a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    ToCome,
    Unseen,
    /// A look at the keys was answered after it.
    Seen,
    /// Consul refused to write over it, unseen as it was.
    Refused,
    WrittenOverUnseen,
}

/// What begins the keys that a request reads.
fn looked_at(asked: &Asked) -> Vec<String> {
    if let Some((prefix, _)) = asked.path.strip_prefix("/v1/kv/").and_then(|path| path.split_once("?recurse")) {
        return vec![prefix.to_owned()];
    }
    let operations: Vec<serde_json::Value> = serde_json::from_slice(&asked.body).unwrap_or_default();
    let reads = operations
        .iter()
        .map(|operation| &operation["KV"])
        .filter(|kv| ["get", "get-tree"].map(Into::into).contains(&kv["Verb"]));
    reads.filter_map(|kv| kv["Key"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_key_changed_by_hand_while_a_plan_is_written_is_not_written_over_unseen() {
    const KEYS: usize = 300;
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let (port, edit) = (agent.port(), Arc::new(Mutex::new(Edit::ToCome)));
    let armed = Arc::new(AtomicBool::new(false));
    let (shared, is_armed) = (Arc::clone(&edit), Arc::clone(&armed));
    // When the plan's first write comes, one of its keys becomes somebody else's, which the look before did not see; every
    // other write of the plan waits for that.
    let last = format!("config/many/k{:05}", KEYS - 1);
    let victim = last.clone();
    let proxy = Fake::start(move |asked| {
        let body = String::from_utf8_lossy(&asked.body);
        let of_the_plan = asked.writes() && body.contains("config/many/") && is_armed.load(Ordering::SeqCst);
        let before = {
            let mut edit = shared.lock().unwrap();
            if of_the_plan && *edit == Edit::ToCome {
                let put = crate::support::request(port, "PUT", &format!("/v1/kv/{victim}"), b"by hand").unwrap();
                assert_eq!(put.0, 200);
                *edit = Edit::Unseen;
            }
            *edit
        };
        let answer = asked.forward(port);
        // A look that was asked for before the edit may be answered after it, by a list or one by one.
        if looked_at(asked).iter().any(|prefix| victim.starts_with(prefix)) {
            let mut edit = shared.lock().unwrap();
            *edit = if *edit == Edit::Unseen { Edit::Seen } else { *edit };
        }
        if before == Edit::Unseen && of_the_plan && body.contains(&victim) {
            let refused = answer.status() == Some(409);
            *shared.lock().unwrap() = if refused { Edit::Refused } else { Edit::WrittenOverUnseen };
        }
        answer
    });
    site.repo.commit("Many", &[(MANY, &many(KEYS, "old"))]);
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();
    armed.store(true, Ordering::SeqCst);
    site.repo.commit("All of them, and the version", &[(MANY, &many(KEYS, "new")), (APP, &app("two"))]);
    site.until_steady();
    // A wake that comes late ends the write between two transactions: then the next look sees the edit before Consul refuses.
    let edit = *edit.lock().unwrap();
    assert!(matches!(edit, Edit::Refused | Edit::Seen), "{edit:?}");
    assert_eq!(agent.get(&last).as_deref(), Some(b"new".as_slice()), "and the next look saw it and put it right");
    assert_eq!(site.outcomes(), ["proven", "proven"]);
    site.check_history();
    assert!(controller.runs());
}
