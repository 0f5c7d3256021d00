//! A Consul full of other people's keys: what is taken over keeps its bytes, and nothing else is touched (rule O8).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockstep::domain::resource::{Flags, Ownership};
use serde_json::Value;

use super::killer::Killer;
use super::service::Service;
use super::site::{APP, MANY, Running, Site, app, dump, many};
use crate::fake::Fake;
use crate::support::{Agent, eventually};

/// Writes keys as somebody else would, with flags of their own.
#[track_caller]
fn put_all<'k>(agent: &Agent, keys: impl IntoIterator<Item = (&'k str, &'k [u8], u64)>) {
    let operations: Vec<Value> = keys
        .into_iter()
        .map(|(key, value, flags)| {
            serde_json::json!({ "KV": { "Verb": "set", "Key": key, "Value": STANDARD.encode(value), "Flags": flags } })
        })
        .collect();
    for some in operations.chunks(64) {
        let body = serde_json::to_vec(some).unwrap();
        assert_eq!(agent.curl("PUT", "/v1/txn", &body).0, 200);
    }
}

/// The keys of [`many`], as somebody else wrote them.
#[track_caller]
fn put_many(agent: &Agent, count: usize, value: &str) {
    let keys: Vec<String> = (0..count).map(|number| format!("config/many/k{number:05}")).collect();
    put_all(agent, keys.iter().map(|key| (key.as_str(), value.as_bytes(), 0)));
}

/// Which keys carry a mark, and whether it says adopted.
fn marks(agent: &Agent) -> BTreeMap<String, bool> {
    let pairs = agent.pairs("config/");
    let marked = pairs.iter().filter_map(|pair| match Flags(pair["Flags"].as_u64()?).ownership() {
        Ownership::Marked(mark) => Some((pair["Key"].as_str()?.to_owned(), mark.adopted)),
        Ownership::Unmarked | Ownership::Foreign => None,
    });
    marked.collect()
}

fn history(site: &Site) -> Vec<Value> {
    site.run(&["history", "test", "--output", "json"]).exits(0).json()["lines"].as_array().unwrap().clone()
}

#[track_caller]
fn until_refused(site: &Site, with: &str) -> String {
    let status =
        site.until("held, refused", |status| status["phase"] == "held-refused" && status["head"].to_string().contains(with));
    status["head"].to_string()
}

#[test]
fn two_thousand_keys_of_others_are_taken_over_and_become_the_baseline_without_a_byte_that_changes() {
    const KEYS: usize = 2_000;
    let agent = Agent::start();
    put_many(&agent, KEYS, "x");
    agent.put("config/app/version", b"one");
    let theirs: Vec<String> = (0..500).map(|number| format!("config/theirs/{number:03}")).collect();
    put_all(
        &agent,
        theirs.iter().enumerate().map(|(number, key)| (key.as_str(), [0xFF, 0, 0x1B].as_slice(), number as u64 % 2 * 42)),
    );
    let before = dump(&agent, "config/");

    // The check has no service: nothing of what happens here may ask it.
    let mut site = Site::named("demo", &agent.address());
    let said = site.init();
    assert!(said.contains("2501 keys are there already, below its roots; none was touched"), "{said}");
    site.repo.commit("All of it", &[(MANY, &many(KEYS, "x"))]);
    let plan = site.run(&["plan", "test", "--output", "json"]).exits(3).json()["environments"][0].take();
    let kinds: Vec<&str> = plan["obstacles"].as_array().unwrap().iter().map(|found| found["kind"].as_str().unwrap()).collect();
    assert!(kinds.len() == KEYS + 1 && kinds.iter().all(|kind| *kind == "adoptable"), "{:?}", plan["counts"]);
    assert_eq!((&plan["foreign"]["count"], plan["changes"].as_array().unwrap().len()), (&500.into(), 0), "{}", plan["counts"]);
    let text = site.run(&["plan", "test"]).exits(3).out;
    assert!(text.contains("run `lockstep adopt test config/`") && text.contains("Lockstep-Adopt: config/"), "{text}");
    let counts = site.run(&["unmanaged", "test", "--output", "json"]).exits(0).json()["counts"].take();
    assert_eq!((&counts["unwanted"], &counts["adoptable"]), (&500.into(), &(KEYS + 1).into()), "{counts}");

    let controller = site.start("one");
    until_refused(&site, "lockstep adopt test config/");
    let said = site.run(&["adopt", "test", "config/", "--reason", "under git", "--output", "json"]).exits(0).json();
    assert_eq!((&said["accepted"], &said["changed"]), (&true.into(), &true.into()), "{said}");
    assert!(said["text"].as_str().unwrap().contains("may adopt 2001 keys"), "{said}");
    site.until_steady();

    let lines = history(&site);
    assert_eq!(lines[0]["evidence"], "adopted 2001 keys; nothing changed value", "{:#}", lines[0]);
    assert_eq!((&lines[0]["adopted"], &lines[0]["updated"]), (&(KEYS + 1).into(), &0.into()), "{:#}", lines[0]);
    let because = lines[0]["because"].as_str().unwrap();
    assert!(because.contains("2001 keys adopted by ann@") && because.contains("under git"), "{because}");
    let after = dump(&agent, "config/");
    let bytes = |found: &[(String, Vec<u8>, u64)]| -> BTreeMap<String, Vec<u8>> {
        found.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect()
    };
    assert_eq!(bytes(&after), bytes(&before));
    // What nobody wants was not even written.
    let untouched = |found: &[(String, Vec<u8>, u64)]| -> Vec<(String, u64)> {
        found
            .iter()
            .filter(|(key, ..)| key.starts_with("config/theirs/"))
            .map(|(key, _, index)| (key.clone(), *index))
            .collect()
    };
    assert_eq!(untouched(&after), untouched(&before));
    let marked = marks(&agent);
    assert!(marked.len() == KEYS + 1 && marked.values().all(|adopted| *adopted), "{} marked", marked.len());

    site.run(&["plan", "test"]).exits(0);
    let again = site.run(&["adopt", "test", "--output", "json"]).exits(0).json();
    assert_eq!((&again["accepted"], &again["changed"]), (&true.into(), &false.into()), "{again}");
    let counts = site.run(&["unmanaged", "test", "--output", "json"]).exits(0).json()["counts"].take();
    assert_eq!((&counts["unwanted"], &counts["adoptable"]), (&500.into(), &0.into()), "{counts}");
    site.check_history();
    drop(controller);
}

#[test]
fn a_trailer_adopts_what_has_the_value_and_a_differing_one_is_refused_until_somebody_decides() {
    let mut it = Running::start();
    let first = it.site.repo.tip();
    put_many(&it.agent, 3, "x");
    it.agent.put("config/many/k00001", b"another");
    let before = it.agent.values("config/many/");
    it.site.repo.commit("Adopt\n\nLockstep-Adopt: config/many/\n", &[(MANY, &many(3, "x"))]);
    let head = until_refused(&it.site, "k00001");
    assert!(head.contains("with another value; nothing was written"), "{head}");
    let listed = it.site.run(&["unmanaged", "test"]).exits(0).out;
    assert!(listed.contains("with another value: live sha256 ae448ac8…, wanted sha256 2d711642…"), "{listed}");
    let said = it.site.run(&["adopt", "test", "config/many/"]).exits(1);
    assert!(said.out.contains("refused: config/many/k00001") && said.out.contains("sha256 ae448ac8…"), "{said:?}");
    assert_eq!(it.agent.values("config/many/"), before);
    assert_eq!(marks(&it.agent).len(), 1, "only the application's own key is marked");
    let listed = it.site.run(&["unmanaged", "test", "config/many/", "--output", "json"]).exits(0).json();
    assert_eq!((&listed["counts"]["adopting"], &listed["counts"]["differing"]), (&2.into(), &1.into()), "{listed:#}");

    it.agent.put("config/many/k00001", b"x");
    it.site.until_steady();
    assert_eq!(history(&it.site)[0]["evidence"], "adopted 3 keys; nothing changed value");
    assert_eq!(marks(&it.agent).values().filter(|adopted| **adopted).count(), 3);

    // Another value by a commit, and back: given back as it is then, and not deleted.
    it.site.repo.commit("Y", &[(MANY, &many(3, "y"))]);
    it.site.until_steady();
    it.site.run(&["rollback", "test", "--to", &first.short(), "--reason", "to see"]).exits(0);
    it.site.until("rolled back", |status| status["phase"] == "held-after-rollback");
    let values = it.agent.values("config/many/");
    assert!(values.len() == 3 && values.values().all(|value| value == b"y"), "{values:?}");
    assert_eq!(marks(&it.agent).into_keys().collect::<Vec<_>>(), ["config/app/version"]);
    it.site.check_history();
}

#[test]
fn a_revert_gives_back_and_a_commit_that_removes_deletes() {
    let mut it = Running::start();
    put_many(&it.agent, 3, "x");
    let adopts = it.site.repo.commit("Adopt\n\nLockstep-Adopt: config/many/\n", &[(MANY, &many(3, "x"))]);
    it.site.until_steady();
    it.site.repo.revert(adopts);
    it.site.until_steady();
    assert_eq!(it.agent.values("config/many/").len(), 3);
    assert_eq!(marks(&it.agent).len(), 1);

    it.site.repo.commit("Again\n\nLockstep-Adopt: config/many/\n", &[(MANY, &many(3, "x"))]);
    it.site.until_steady();
    it.site.repo.commit("Two of them, and another version", &[(MANY, &many(2, "x")), (APP, &app("two"))]);
    it.site.until_steady();
    assert_eq!(it.agent.values("config/many/").len(), 2, "what a commit removes is deleted, adopted or not");
}

#[test]
fn a_controller_killed_anywhere_in_an_adoption_ends_it_once_and_changes_no_value() {
    const KEYS: usize = 1_000;
    for (after, carried_out) in [(1, false), (6, true), (13, false)] {
        let agent = Agent::start();
        let _service = Service::start(&agent);
        let mut site = Site::new(&agent);
        put_many(&agent, KEYS, "x");
        let before = agent.values("config/");
        let killer = Arc::new(Killer::default());
        let proxy = killer.start(agent.port());
        site.readdress(&proxy.address());
        let mut controller = site.start("one");
        site.readdress(&agent.address());
        site.until_steady();
        killer.arm(controller.id(), after, carried_out);
        site.repo.commit("Adopt\n\nLockstep-Adopt: *\n", &[(MANY, &many(KEYS, "x"))]);
        eventually("the controller is killed", || killer.has_struck());
        controller.kill();
        let marked = marks(&agent).into_values().filter(|adopted| *adopted).count();
        assert!((1..KEYS).contains(&marked), "{marked} are adopted after {after} writes");
        let _second = site.start("two");
        site.until_steady();
        assert_eq!(marks(&agent).into_values().filter(|adopted| *adopted).count(), KEYS);
        let mut values = agent.values("config/");
        values.remove("config/app/version");
        assert_eq!(values, before, "after {after} writes");
        assert_eq!(site.outcomes(), ["proven", "proven"]);
        assert_eq!(history(&site)[0]["evidence"], "adopted 1000 keys; nothing changed value");
        site.check_history();
    }
}

#[test]
fn a_key_that_somebody_writes_in_the_middle_of_an_adoption_is_looked_at_again_and_never_overwritten() {
    for keys in [3, 300] {
        let agent = Arc::new(Agent::start());
        let _service = Service::start(&agent);
        let mut site = Site::new(&agent);
        put_many(&agent, keys, "x");
        let last = format!("config/many/k{:05}", keys - 1);
        let armed = Arc::new(AtomicBool::new(false));
        let proxy = {
            let (agent, armed, last) = (Arc::clone(&agent), Arc::clone(&armed), last.clone());
            Fake::start(move |asked| {
                let adopts = asked.writes() && String::from_utf8_lossy(&asked.body).contains("config/many/");
                if adopts && armed.swap(false, Ordering::SeqCst) {
                    agent.put(&last, b"raced");
                }
                asked.forward(agent.port())
            })
        };
        site.readdress(&proxy.address());
        let _controller = site.start("one");
        site.readdress(&agent.address());
        site.until_steady();
        armed.store(true, Ordering::SeqCst);
        site.repo.commit("Adopt\n\nLockstep-Adopt: config/\n", &[(MANY, &many(keys, "x"))]);
        eventually("it is raced", || agent.get(&last).is_some_and(|value| value == b"raced"));
        let adopted = || marks(&agent).into_values().filter(|adopted| *adopted).count();
        if keys == 3 {
            until_refused(&site, "with another value");
            assert_eq!(adopted(), 0, "all or nothing");
        } else {
            // Begun: what is left of it waits for that key.
            eventually("some are adopted", || adopted() > 0);
            assert_eq!(site.status()["phase"], "applying");
        }
        assert_eq!(agent.get(&last).unwrap(), b"raced");
        agent.put(&last, b"x");
        site.until_steady();
        assert_eq!(adopted(), keys);
        assert!(agent.values("config/many/").into_values().all(|value| value == b"x"));
        assert_eq!(site.outcomes(), ["proven", "proven"]);
    }
}

#[test]
fn keys_of_another_program_or_environment_are_neither_adopted_nor_touched_and_strays_are_listed() {
    let mut it = Running::start();
    put_many(&it.agent, 3, "x");
    let ours = it.agent.curl("GET", "/v1/kv/config/app/version", b"").1;
    let ours: Vec<Value> = serde_json::from_slice(&ours).unwrap();
    let flags = ours[0]["Flags"].as_u64().unwrap();
    // Another owner's mark, another program's flags, and a copy of one of ours.
    put_all(
        &it.agent,
        [
            ("config/many/k00001", b"x".as_slice(), flags + (1 << 28)),
            ("config/many/k00002", b"x", 3_304_740_253_564_472_344),
            ("config/copy of it", b"one", flags),
        ],
    );
    let before = dump(&it.agent, "config/");
    it.site.repo.commit("Adopt\n\nLockstep-Adopt: *\n", &[(MANY, &many(3, "x"))]);
    let head = until_refused(&it.site, "owned by lockstep owner");
    assert!(head.contains("another program's flags; nothing was written"), "{head}");
    it.site.run(&["adopt", "test"]).exits(1);
    assert_eq!(dump(&it.agent, "config/"), before);
    let strays = it.site.run(&["strays", "test", "--output", "json"]).exits(0).json();
    assert_eq!((&strays["count"], &strays["keys"][0]["key"]), (&1.into(), &"config/copy of it".into()), "{strays:#}");
    let text = it.site.run(&["strays", "test"]).exits(0).out;
    let index = strays["keys"][0]["index"].as_u64().unwrap();
    assert!(text.contains(&format!("consul kv delete -cas -modify-index={index} 'config/copy of it'")), "{text}");
    let text = it.site.run(&["unmanaged", "test"]).exits(0).out;
    let mut expected = String::new();
    write!(expected, "3 unmanaged keys: 1 taken over by the next advance, 1 wanted, with another program's flags, ").unwrap();
    assert!(text.contains(&expected) && text.contains("1 wanted, with another environment's mark"), "{text}");
}

#[test]
fn twenty_thousand_keys_of_others_are_listed_by_whoever_reads_some_of_them() {
    const KEYS: usize = 20_000;
    let it = Running::start();
    put_many(&it.agent, KEYS, "x");
    let listed = it.site.run(&["unmanaged", "test", "--output", "json"]).exits(0).json();
    assert_eq!((listed["keys"].as_array().unwrap().len(), &listed["counts"]["unwanted"]), (KEYS, &KEYS.into()));
    let text = it.site.run(&["unmanaged", "test", "config/many/k0001"]).exits(0).out;
    assert_eq!(text.lines().count(), 11, "{text}");
    it.site.run(&["plan", "test"]).exits(0);
}
