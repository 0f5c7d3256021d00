//! An environment that the branch no longer has: left as it is, removed by a person, and back again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::faults::end_sessions;
use super::service::Service;
use super::site::{ENVIRONMENT, MANY, Running, Site, dump, many};
use crate::fake::{Asked, Fake, Reply};
use crate::repo::TestRepo;
use crate::support::{Agent, eventually};
use lockstep::domain::revision::Revision;

/// Another environment, without which a repository has none.
pub(super) const OTHER: (&str, &str) = ("environments/other/environment.yaml", "layers: [base]\n");

/// Takes the environment `test` out of the branch.
fn retire(repo: &mut TestRepo) -> Revision {
    repo.commit("Another one", &[OTHER]);
    repo.remove("Test is not needed any more", &[ENVIRONMENT.0])
}

fn state(agent: &Agent) -> Vec<String> {
    agent.tree("lockstep/").into_iter().map(|(key, _)| key).filter(|key| !key.contains("/history/")).collect()
}

/// The number in a key's `Flags`.
pub(super) fn flags(agent: &Agent, key: &str) -> u64 {
    let (_, body) = agent.curl("GET", &format!("/v1/kv/{key}?consistent"), b"");
    serde_json::from_slice::<serde_json::Value>(&body).unwrap()[0]["Flags"].as_u64().unwrap()
}

pub(super) fn put_flags(agent: &Agent, key: &str, value: &[u8], flags: u64) {
    assert_eq!(agent.curl("PUT", &format!("/v1/kv/{key}?flags={flags}"), value).0, 200);
}

#[test]
fn a_retired_environment_is_left_as_it_is_and_removed_only_when_a_person_says_so() {
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Three", &[(MANY, "keep: !keep 1\nadopted: 2\nmine: 3\n")]);
    });
    let mark = flags(&it.agent, "config/many/mine");
    put_flags(&it.agent, "config/many/adopted", b"2", mark | 1 << 44);
    put_flags(&it.agent, "config/copied", b"4", mark);
    it.agent.put("config/by-hand", b"5");
    it.agent.put("other/by-hand", b"6");
    let before = it.agent.values("");

    // While the head has it, it is broken, or the branch is gone, nothing of it is removed.
    let refused = |site: &Site, says: &str| {
        let said = site.run(&["env", "remove", "test", "--yes"]).exits(1).err;
        assert!(said.contains(says), "{says}: {said}");
    };
    refused(&it.site, "has the environment test");
    let broken = it.site.repo.commit("Broken", &[OTHER, (ENVIRONMENT.0, "layers: [base\n")]);
    refused(&it.site, "invalid");
    it.site.repo.revert(broken);
    it.site.repo.commit("Another one", &[OTHER]);
    it.site.until_in_step();
    it.site.run(&["suspend", "test", "--reason", "a look first"]).exits(0);
    it.site.repo.remove("Test is not needed any more", &[ENVIRONMENT.0]);
    it.site.until("it is retired", |status| status["head"]["verdict"] == "retired");
    refused(&it.site, "suspended by ann");
    it.site.run(&["resume", "test"]).exits(0);
    eventually("the lease is given up", || it.site.status()["leader"].is_null());
    let now = it.agent.values("");
    let of_keys = |values: &std::collections::BTreeMap<String, Vec<u8>>| {
        values.iter().filter(|(key, _)| !key.starts_with("lockstep/")).map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    assert_eq!(of_keys(&now), of_keys(&before), "nothing is written or deleted while it is retired");

    // Nobody confirms it, or it is more than may go: shown, and left.
    let said = it.site.run(&["env", "remove", "test"]).exits(2).err;
    assert!(said.contains("remove test from consul") && said.contains("- config/many/mine"), "{said}");
    assert!(said.contains("o config/many/keep") && said.contains("config/copied") && said.contains("--yes"), "{said}");
    let said = it.site.run(&["env", "remove", "test", "--yes", "--at-most", "1"]).exits(1).err;
    assert!(said.contains("2 keys would be deleted, and at most 1 may be") && said.contains("--at-most 2"), "{said}");
    assert_eq!(of_keys(&it.agent.values("")), of_keys(&before));

    // Somebody else leads it.
    let (_, body) = it.agent.curl("PUT", "/v1/session/create", br#"{"Name": "somebody", "LockDelay": "0s"}"#);
    let session = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["ID"].as_str().unwrap().to_owned();
    let lease = format!("/v1/kv/lockstep/demo/test/lease?acquire={session}");
    assert!(it.agent.curl("PUT", &lease, b"somebody").1.starts_with(b"true"));
    refused(&it.site, "led by somebody");
    end_sessions(&it.agent);

    // With the controller running beside it.
    assert!(it.site.kept("one") > 0);
    let said = it.site.run(&["env", "remove", "test", "--yes", "--reason", "moved", "--output", "json"]).exits(0).json();
    assert_eq!((&said["changed"], &said["deleted"], &said["released"]), (&true.into(), &2.into(), &2.into()), "{said:#}");
    assert_eq!(said["strays"], serde_json::json!(["config/copied"]));
    let left = it.agent.values("config/");
    let expected: [(&str, &[u8]); 4] =
        [("config/by-hand", b"5"), ("config/copied", b"4"), ("config/many/adopted", b"2"), ("config/many/keep", b"1")];
    assert_eq!(left.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect::<Vec<_>>(), expected);
    assert_eq!([flags(&it.agent, "config/many/adopted"), flags(&it.agent, "config/many/keep")], [0, 0]);
    assert_eq!(it.agent.get("other/by-hand").unwrap(), b"6");
    // Only what says that the stray's owner id is in use.
    let state = state(&it.agent);
    assert!(state.len() == 1 && state[0].starts_with("lockstep/owners/"), "{state:?}");
    assert!(String::from_utf8(it.agent.get(&state[0]).unwrap()).unwrap().contains("\"removed\":true"));

    // Nobody mistakes it for a loss, and asked again there is nothing to do.
    let again = it.site.run(&["env", "remove", "test", "--yes"]).exits(0).out;
    assert!(again.contains("nothing to do: the environment was removed from here") && again.contains("moved"), "{again}");
    let said = it.site.run(&["status", "test"]).exits(1).out;
    assert!(said.contains("was removed from here") && said.contains("by ann@"), "{said}");
    let lines = it.site.run(&["history", "test", "--removed", "--output", "json"]).exits(0).json();
    let line = &lines["lines"][0];
    assert_eq!((&line["intent"], &line["outcome"]), (&"remove".into(), &"removed".into()), "{lines:#}");
    let numbers = line["generation"].as_u64().unwrap();
    assert!(it.controller.runs(), "{}", it.controller.log());
    it.site.repo.commit("Something else", &[("README.md", "test was moved")]);
    eventually("the controller's mirror keeps nothing for it", || it.site.kept("one") == 0);
    it.controller.terminate();
    it.controller.ended();

    // A later first use is one, stray or not, and goes on with the numbers.
    it.site.forget_pin();
    it.site.init();
    it.site.repo.commit("Test again", &[ENVIRONMENT, (MANY, "mine: 3\n")]);
    let _controller = it.site.start("one");
    it.site.until_steady();
    assert_eq!(it.site.status()["last_generation"], numbers + 1);
    assert_eq!(it.agent.values("config/").len(), left.len() + 2);
}

#[test]
fn a_key_that_lost_its_mark_stays_and_is_named_as_the_strays_are() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    site.init();
    site.repo.commit("Two", &[(MANY, "lost: 1\nmine: 2\n")]);
    site.run(&["apply", "--once"]).exits(0);
    retire(&mut site.repo);
    agent.put("config/many/lost", b"by hand");
    let said = site.run(&["env", "remove", "test", "--yes", "--output", "json"]).exits(0).json();
    assert_eq!(said["unmanaged"], serde_json::json!(["config/many/lost"]), "{said:#}");
    assert_eq!(agent.values("config/").into_iter().collect::<Vec<_>>(), [("config/many/lost".to_owned(), b"by hand".to_vec())]);
    // Without its mark it keeps no owner id from anybody; a stray does, and that is said.
    assert!(state(&agent).is_empty(), "{:?}", state(&agent));
    site.forget_pin();
    site.init();
    site.repo.commit("Back", &[ENVIRONMENT, (MANY, "mine: 2\n")]);
    site.run(&["apply", "--once"]).exits(0);
    put_flags(&agent, "config/copied", b"3", flags(&agent, "config/many/mine"));
    retire(&mut site.repo);
    let said = site.run(&REMOVE).exits(0).out;
    assert!(said.contains("its entry below lockstep/owners/ stays too") && said.contains("config/copied"), "{said}");
    assert!(state(&agent).iter().all(|key| key.starts_with("lockstep/owners/")), "{:?}", state(&agent));
}

/// Kills a process at one of its writes, before it is carried out or just after.
#[derive(Default)]
pub(super) struct AtWrite {
    whom: AtomicUsize,
    after: AtomicUsize,
}

impl AtWrite {
    pub(super) fn start(self: &Arc<Self>, port: u16) -> Fake {
        let this = Arc::clone(self);
        Fake::start(move |asked| {
            let whom = this.whom.load(Ordering::SeqCst);
            let writes = asked.is_transaction() && ["cas", "delete-cas", "set"].iter().any(|verb| asked.count(verb) > 0);
            if whom == 0 || !writes {
                return asked.forward(port);
            }
            let after = this.after.fetch_sub(1, Ordering::SeqCst);
            if after > 1 {
                return asked.forward(port);
            }
            if after == 1 {
                // Carried out, and nobody hears of it.
                assert_eq!(asked.forward(port).status(), Some(200));
            }
            kill_process(Pid::from_raw(i32::try_from(whom).unwrap()).unwrap(), Signal::KILL).unwrap();
            this.whom.store(0, Ordering::SeqCst);
            Reply::Lost
        })
    }

    /// At the write with this number, from 1; 0: before the first one.
    pub(super) fn arm(&self, whom: u32, after: usize) {
        self.after.store(after, Ordering::SeqCst);
        self.whom.store(whom as usize, Ordering::SeqCst);
    }

    pub(super) fn disarm(&self) -> bool {
        self.whom.swap(0, Ordering::SeqCst) == 0
    }
}

const KEYS: usize = 1_000;
const REMOVE: [&str; 6] = ["env", "remove", "test", "--yes", "--at-most", "2000"];

/// A site with a thousand keys, applied in the foreground.
fn large(agent: &Agent) -> Site {
    let mut site = Site::named("demo", &agent.address());
    site.init();
    site.repo.commit("Many", &[(MANY, &many(KEYS, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    retire(&mut site.repo);
    site
}

#[test]
fn a_removal_of_a_thousand_keys_killed_anywhere_is_finished_by_the_next_one() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    agent.put("config/by-hand", b"untouched");
    agent.put("foreign/key", b"untouched");
    let others = || [dump(&agent, "config/by-hand"), dump(&agent, "foreign/")].concat();
    let before = others();
    let killer = Arc::new(AtWrite::default());
    let proxy = killer.start(agent.port());
    let mut site = large(&agent);
    let mut seen_whole = false;
    for after in [0, 1, 2, 9, 17, 18, 19, 20] {
        site.readdress(&proxy.address());
        // Armed before it writes: it reads the repository first.
        let mut removal = site.begin("removal", &REMOVE);
        killer.arm(removal.id(), after);
        eventually("it ends", || !removal.runs());
        let struck = killer.disarm();
        site.readdress(&agent.address());
        end_sessions(&agent);
        let state = state(&agent);
        let has = |what: &str| state.iter().any(|key| key.contains(what));
        assert_eq!(has("/record"), has("/owners/"), "record and owner entry go together, after {after}: {state:?}");
        seen_whole |= struck && !has("/record");
        if has("/record") {
            let plan = site.run(&["plan"]).exits(0).out;
            assert!(plan.contains("not in this revision"), "{plan}");
        }
        let said = site.run(&REMOVE).exits(0);
        assert!(agent.values("config/many/").is_empty() && agent.values("config/app/").is_empty(), "after {after}: {said:?}");
        assert!(self::state(&agent).is_empty(), "after {after}: {:?}", self::state(&agent));
        assert_eq!(others(), before, "after {after}");
        let lines = site.run(&["history", "test", "--removed", "--output", "json"]).exits(0).json();
        assert!(lines["lines"].as_array().unwrap().iter().all(|line| line["outcome"].is_string()), "{lines:#}");

        site.forget_pin();
        site.init();
        site.repo.commit("Back", &[ENVIRONMENT]);
        site.run(&["apply", "--once"]).exits(0);
        assert_eq!(agent.values("config/many/").len(), KEYS);
        site.repo.remove("Gone again", &[ENVIRONMENT.0]);
    }
    assert!(seen_whole, "no kill came after the last write");
}

#[test]
fn a_record_that_was_made_since_a_removal_is_no_leftover_of_it() {
    let agent = Agent::start();
    let mut site = Site::named("demo", &agent.address());
    site.init();
    retire(&mut site.repo);
    site.run(&REMOVE).exits(0);
    assert!(state(&agent).is_empty(), "{:?}", state(&agent));
    // Made anew, nothing deployed, and its id not pinned yet.
    site.forget_pin();
    let said = site.run(&["init", "test"]).exits(0).out;
    let pin = said.lines().find(|line| line.starts_with("target_id: ")).unwrap();
    let said = site.run(&REMOVE).exits(1).err;
    assert!(said.contains(pin) && state(&agent).len() == 2, "{said}");
    site.pin(pin.strip_prefix("target_id: ").unwrap());
    assert!(site.run(&REMOVE).exits(0).out.contains("test is removed"));
    assert!(state(&agent).is_empty(), "{:?}", state(&agent));
}

#[test]
fn what_was_asked_of_an_environment_goes_with_its_record_and_not_before() {
    const REQUEST: &str = "lockstep/demo/test/requests/0123456789abcdef";
    let agent = Agent::start();
    let (port, refuses) = (agent.port(), Arc::new(AtomicBool::new(true)));
    let proxy = {
        let refuses = Arc::clone(&refuses);
        Fake::start(move |asked| {
            let body = String::from_utf8_lossy(&asked.body);
            let ends = asked.is_transaction() && asked.count("delete-cas") > 0 && body.contains("/test/record\"");
            if ends && refuses.load(Ordering::SeqCst) {
                return Reply::refuse(413, "Request body too large");
            }
            asked.forward(port)
        })
    };
    let mut site = Site::named("demo", &agent.address());
    site.init();
    agent.put(REQUEST, b"asked meanwhile");
    retire(&mut site.repo);
    site.readdress(&proxy.address());
    let said = site.run(&REMOVE).exits(1).err;
    assert!(said.contains("what is removed stays removed; `lockstep env remove test` goes on from there"), "{said}");
    assert!(agent.get(REQUEST).is_some(), "{said}");
    refuses.store(false, Ordering::SeqCst);
    site.run(&REMOVE).exits(0);
    assert!(state(&agent).is_empty(), "{:?}", state(&agent));
    // Killed in between, the next one finishes it.
    agent.put(REQUEST, b"asked meanwhile");
    assert!(site.run(&REMOVE).exits(0).out.contains("nothing to do"));
    assert!(state(&agent).is_empty(), "{:?}", state(&agent));
}

#[test]
fn a_commit_that_brings_the_environment_back_before_its_removal_is_over_puts_every_key_back() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let killer = Arc::new(AtWrite::default());
    let proxy = killer.start(agent.port());
    let mut site = large(&agent);
    let before = agent.values("config/");
    let retired = site.repo.tip();
    site.readdress(&proxy.address());
    let mut removal = site.begin("removal", &REMOVE);
    killer.arm(removal.id(), 6);
    eventually("it is killed", || !removal.runs());
    assert!(killer.disarm());
    site.readdress(&agent.address());
    end_sessions(&agent);
    let left = agent.values("config/many/").len();
    assert!(left > 0 && left < KEYS, "{left} keys are left");
    let marker: serde_json::Value = serde_json::from_slice(&agent.get("lockstep/demo/test/revision").unwrap()).unwrap();
    assert_eq!(marker["state"], "applying", "no reader takes half of it for whole");

    // As long as the head does not have it, nobody puts a key back.
    let controller = site.start("one");
    site.run(&["release", "test"]).exits(0);
    eventually("it is led by nobody", || site.status()["leader"].is_null());
    assert_eq!(agent.values("config/many/").len(), left);
    site.repo.revert(retired);
    site.until_in_step();
    eventually("every key is back", || agent.values("config/") == before);
    drop(controller);
    let outcomes = site.outcomes();
    assert!(!outcomes.contains(&"open".to_owned()) && outcomes.contains(&"superseded".to_owned()), "{outcomes:?}");
    assert!(site.run(&["history", "test"]).exits(0).out.contains("the environment is wanted again"));
}

/// Holds a request until it is let go, so that something happens just before it.
#[derive(Default)]
struct Gate {
    held: AtomicBool,
    open: AtomicBool,
}

impl Gate {
    /// Holds the first one that is so.
    fn start(self: &Arc<Self>, port: u16, is_it: fn(&Asked) -> bool) -> Fake {
        let this = Arc::clone(self);
        Fake::start(move |asked| {
            if is_it(asked) && !this.held.swap(true, Ordering::SeqCst) {
                eventually("it is let go", || this.open.load(Ordering::SeqCst));
            }
            asked.forward(port)
        })
    }
}

/// A removal during which the environment comes back into the branch, just before the first request that is so; what it said.
fn removed_meanwhile(agent: &Agent, site: &mut Site, is_it: fn(&Asked) -> bool) -> String {
    let retired = site.repo.tip();
    let gate = Arc::new(Gate::default());
    let proxy = gate.start(agent.port(), is_it);
    site.readdress(&proxy.address());
    let mut removal = site.begin("removal", &REMOVE);
    eventually("it is held", || gate.held.load(Ordering::SeqCst));
    site.repo.revert(retired);
    gate.open.store(true, Ordering::SeqCst);
    eventually("it ends", || !removal.runs());
    site.readdress(&agent.address());
    removal.log()
}

#[test]
fn a_commit_that_brings_the_environment_back_stops_a_removal_that_is_under_way() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = large(&agent);
    let before = agent.values("config/");
    let has_a_record = || agent.get("lockstep/demo/test/record").is_some();

    // Between the look and the first write: nothing goes at all.
    let said = removed_meanwhile(&agent, &mut site, |asked| asked.path.starts_with("/v1/session/create"));
    assert!(said.contains("has the environment test") && !said.contains("env remove test"), "{said}");
    assert!(has_a_record() && agent.values("config/") == before, "{said}");

    // While keys go: the record stays, and with it what it takes to put every key back.
    site.repo.remove("Gone again", &[ENVIRONMENT.0]);
    let deletes = |asked: &Asked| asked.is_transaction() && asked.count("delete-cas") > 0;
    let said = removed_meanwhile(&agent, &mut site, deletes);
    assert!(said.contains("has the environment test") && said.contains("the removal was stopped"), "{said}");
    assert!(has_a_record(), "{said}");
    let controller = site.start("one");
    site.until_in_step();
    eventually("every key is back", || agent.values("config/") == before);
    drop(controller);
}
