//! Records that are lost in every way that a Consul can lose them, and made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::retire::{AtWrite, OTHER, flags, put_flags};
use super::service::Service;
use super::site::{MANY, Running, Site, dump, many};
use crate::support::{Agent, Options, eventually};

const RECORD: &str = "lockstep/demo/test/record";

/// Keys, values and marks below the roots, whatever their index.
fn keys(agent: &Agent) -> Vec<(String, Vec<u8>, u64)> {
    let values = agent.values("config/");
    values.into_iter().map(|(key, value)| (key.clone(), value, flags(agent, &key))).collect()
}

/// Runs `recover` and gives what it says.
#[track_caller]
fn recover(site: &Site, more: &[&str]) -> Value {
    let arguments = [&["recover", "test", "--yes", "--reason", "it was lost", "--output", "json"], more].concat();
    site.run(&arguments).exits(0).json()
}

fn owner_entries(agent: &Agent) -> BTreeMap<String, Vec<u8>> {
    agent.values("lockstep/owners/")
}

#[test]
fn a_record_deleted_by_hand_is_made_anew_beside_a_controller_and_no_key_and_no_number_is_lost() {
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Three", &[(MANY, &many(3, "x"))]);
    });
    it.release("two");
    it.site.until_steady();
    let mark = flags(&it.agent, "config/app/version");
    put_flags(&it.agent, "config/copied", b"4", mark);
    it.agent.put("config/by-hand", b"5");
    let (before, entries) = (keys(&it.agent), owner_entries(&it.agent));

    // Nothing is lost yet.
    let said = recover(&it.site, &[]);
    assert_eq!((&said["changed"], said["owner"].as_u64()), (&false.into(), Some(owner_of(mark))), "{said:#}");
    it.agent.delete(RECORD);
    eventually("the controller notices", || it.controller.log().contains("record was lost"));
    let log = it.controller.log();
    let given_up = log.find("there is no record of the environment here any more");
    assert!(given_up.is_some_and(|at| !log[..at].contains("record was lost")), "told once, by who waits for one: {log}");
    let shown = it.site.run(&["recover", "test"]).exits(2).err;
    assert!(shown.contains("recover test at consul") && shown.contains("no key is written or deleted"), "{shown}");
    assert!(it.agent.get(RECORD).is_none());

    // The controller goes on by itself: its pin holds, since the owner entry knows the target id.
    let said = recover(&it.site, &[]);
    assert_eq!((&said["changed"], &said["keys"]), (&true.into(), &5.into()), "{said:#}");
    it.site.until_steady();
    assert_eq!(owner_entries(&it.agent), entries);
    assert_eq!(keys(&it.agent), before, "no key was written or deleted");
    let history = it.site.run(&["history", "test", "--output", "json"]).exits(0).json();
    let numbers: Vec<u64> =
        history["lines"].as_array().unwrap().iter().map(|line| line["generation"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] > pair[1]), "{numbers:?}");
    let line = history["lines"].as_array().unwrap().iter().find(|line| line["intent"] == "recover").unwrap();
    assert!(line["by"].as_str().unwrap().starts_with("ann@") && line["because"] == "it was lost", "{line:#}");
    // A first one: what the head changes is written, and a stray stays.
    it.release("three");
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"three");
    assert_eq!(it.agent.get("config/copied").unwrap(), b"4");
}

/// The owner in a mark.
fn owner_of(mark: u64) -> u64 {
    mark >> 28 & 0xFFFF
}

#[test]
fn without_anything_below_lockstep_the_marks_say_whose_the_keys_are_and_the_target_gets_another_id() {
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Three", &[(MANY, &many(3, "x"))]);
    });
    it.release("two");
    it.site.until_steady();
    let before = keys(&it.agent);
    let highest = before.iter().map(|(_, _, flags)| flags & 0xFFF_FFFF).max().unwrap();
    assert_eq!(it.agent.curl("DELETE", "/v1/kv/lockstep/?recurse", b"").0, 200);
    eventually("the controller notices", || it.controller.log().contains("record was lost"));
    assert_eq!(keys(&it.agent), before);
    let said = recover(&it.site, &[]);
    assert_eq!(said["generation"].as_u64(), Some(highest + 1), "{said:#}");
    // The running one pins the id that is gone, and writes nothing.
    let state = dump(&it.agent, "config/");
    eventually("it says so", || it.controller.log().contains("target id is"));
    assert_eq!(dump(&it.agent, "config/"), state);
    it.controller.terminate();
    it.controller.ended();
    it.site.pin(said["target_id"].as_str().unwrap());
    let _controller = it.site.start("one");
    it.site.until_steady();
    assert_eq!(keys(&it.agent), before);
}

#[test]
fn keys_imported_into_a_rebuilt_consul_are_recovered_with_their_marks() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.repo.commit("Three", &[(MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let before = keys(&agent);
    agent.wipe();
    agent.start_again();
    agent.wait();
    // Empty: nothing that could be recovered, and nothing is made.
    let said = site.run(&["recover", "test", "--yes"]).exits(1).err;
    assert!(said.contains("nothing of it is left here") && said.contains("hint:"), "{said}");
    assert!(agent.values("lockstep/").is_empty());
    // As `consul kv export | consul kv import` does.
    for (key, value, flags) in &before {
        put_flags(&agent, key, value, *flags);
    }
    let said = site.run(&["apply", "--once"]).exits(1);
    assert!(format!("{said:?}").contains("record was lost"), "{said:?}");
    let said = recover(&site, &[]);
    site.pin(said["target_id"].as_str().unwrap());
    let _service = Service::start(&agent);
    site.run(&["apply", "--once"]).exits(0);
    assert_eq!(keys(&agent), before);
}

#[test]
fn a_snapshot_from_before_the_loss_is_the_other_way_back() {
    let mut it = Running::on(Agent::with(&Options { durable: true, ..Options::default() }), |_| ());
    it.release("two");
    it.site.until_steady();
    let snapshot = it.site.home().join("before.snap").display().to_string();
    it.agent.consul(&["snapshot", "save", &snapshot]);
    it.release("three");
    it.site.until_steady();
    let before = it.site.status()["last_generation"].as_u64().unwrap();
    it.agent.delete(RECORD);
    eventually("the controller notices", || it.controller.log().contains("record was lost"));
    it.agent.consul(&["snapshot", "restore", &snapshot]);
    it.site.until("it goes on above every number", |status| {
        status["last_generation"].as_u64().is_some_and(|generation| generation > before)
    });
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"three");
    let said = recover(&it.site, &[]);
    assert_eq!(said["changed"], false, "{said:#}");
}

#[test]
fn an_older_record_that_was_put_back_beside_newer_lines_of_history_goes_on_above_them() {
    let mut it = Running::on(Agent::start(), |_| ());
    it.controller.terminate();
    it.controller.ended();
    let put_back = |it: &Running| {
        let old = it.agent.get(RECORD).unwrap();
        // Two numbers that no key carries.
        it.site.run(&["suspend", "test", "--reason", "a look first"]).exits(0);
        it.site.run(&["resume", "test"]).exits(0);
        let newest = it.site.status()["last_generation"].as_u64().unwrap();
        it.agent.put(RECORD, &old);
        let lines = it.agent.values("lockstep/demo/test/history/");
        assert_eq!(it.site.status()["last_generation"].as_u64(), Some(newest - 2));
        (newest, lines)
    };
    let goes_on = |it: &Running, (newest, lines): (u64, BTreeMap<String, Vec<u8>>)| {
        assert!(it.site.status()["last_generation"].as_u64() > Some(newest));
        for (key, line) in lines {
            assert_eq!(it.agent.get(&key), Some(line), "{key}");
        }
        it.site.check_history();
    };
    // Whoever begins remembers no number.
    let before = put_back(&it);
    it.release("two");
    it.site.run(&["apply", "--once"]).exits(0);
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"two");
    goes_on(&it, before);

    let before = put_back(&it);
    it.controller = it.site.start("one");
    it.release("three");
    it.site.until_steady();
    goes_on(&it, before);
    let log = it.controller.log();
    assert_eq!(log.matches("event=\"lease-gained\"").count(), 2, "one term before and one since: {log}");

    // A person's word, and the end of the environment, go on above them as well.
    it.controller.terminate();
    it.controller.ended();
    let before = put_back(&it);
    it.site.run(&["suspend", "test", "--reason", "again"]).exits(0);
    it.site.run(&["resume", "test"]).exits(0);
    goes_on(&it, before);
    let (newest, lines) = put_back(&it);
    it.site.repo.commit("Another one", &[OTHER]);
    it.site.repo.remove("No test", &[super::site::ENVIRONMENT.0]);
    it.site.run(&["env", "remove", "test", "--yes"]).exits(0);
    let left = it.agent.values("lockstep/demo/test/history/");
    assert!(lines.iter().all(|(key, line)| left.get(key) == Some(line)));
    assert!(left.contains_key(&format!("lockstep/demo/test/history/{}", newest + 1)), "{:?}", left.keys());
}

/// A key of [`MANY`].
const KEY: &str = "config/many/k00000";

/// `test`, deployed twice, goes on as `preview`.
fn renamed(agent: &Agent) -> Site {
    let mut site = Site::new(agent);
    for count in [3, 4] {
        site.repo.commit(&format!("{count} keys"), &[OTHER, (MANY, &many(count, "x"))]);
        site.run(&["apply", "--once"]).exits(0);
    }
    super::rename::rename(&mut site.repo);
    site.environment = "preview";
    site.run(&["apply", "--once"]).exits(0);
    site
}

#[test]
fn the_record_of_a_renamed_environment_is_told_to_be_lost_like_any_other_and_gone_only_under_the_old_name() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = renamed(&agent);
    agent.delete("lockstep/demo/preview/record");
    for look in [
        &["plan"][..],
        &["apply", "--once"],
        &["wait", "preview", "--timeout", "2s"],
        &["status", "preview"],
        &["history", "preview"],
        &["init", "preview"],
        &["kv", "list", "preview"],
        &["strays", "preview"],
        &["unmanaged", "preview"],
    ] {
        let said = site.run(look);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("the record was lost") && text.contains("`lockstep recover preview`"), "{look:?}: {text}");
        assert!(!text.contains("gone from here"), "{look:?}: {text}");
    }
    site.environment = "test";
    let said = site.run(&["kv", "list", "test"]).exits(1).err;
    assert!(said.contains("gone from here") && said.contains("test goes on as preview"), "{said}");
}

#[test]
fn the_record_of_a_renamed_environment_is_made_anew_with_its_former_name_and_every_version() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let site = renamed(&agent);
    let told = || {
        let history = site.run(&["history", "preview", "--output", "json"]).exits(0).json();
        let lines = history["lines"].as_array().unwrap().iter().filter(|line| line["intent"] != "recover").cloned();
        let listed = site.run(&["kv", "list", "preview", "--output", "json"]).exits(0).json();
        (lines.collect::<Vec<Value>>(), listed["keys"].clone(), site.run(&["kv", "get", KEY, "--at", "1"]).exits(0).out)
    };
    let before = (told(), keys(&agent));
    assert!(before.0.0.iter().any(|line| line["formerly"] == "test"), "{:#?}", before.0.0);
    agent.delete("lockstep/demo/preview/record");
    site.run(&["recover", "preview", "--yes"]).exits(0);
    assert_eq!((told(), keys(&agent)), before);
    site.run(&["apply", "--once"]).exits(0);
    assert_eq!(keys(&agent), before.1);
}

#[test]
fn an_environment_that_was_removed_is_not_recovered_from_marks_that_are_left() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let mark = flags(&agent, "config/app/version");
    let theirs = if owner_of(mark) == 9 { 10 } else { 9 };
    put_flags(&agent, "config/rival/a", b"1", mark & !(0xFFFF << 28) | theirs << 28);
    put_flags(&agent, "config/copied", b"2", mark);
    site.repo.remove("No test", &[super::site::ENVIRONMENT.0]);
    site.run(&["env", "remove", "test", "--yes", "--reason", "not needed"]).exits(0);
    let before = agent.values("");
    for more in [&[][..], &["--owner", &theirs.to_string()], &["--owner", &owner_of(mark).to_string()]] {
        let said = site.run(&[&["recover", "test", "--yes"], more].concat()).exits(1).err;
        assert!(said.contains("was removed from here at") && said.contains("not needed"), "{more:?}: {said}");
        assert!(said.contains("has no environment test") && !said.contains("chooses"), "{more:?}: {said}");
    }
    assert_eq!(agent.values(""), before);
}

#[test]
fn an_environment_that_went_on_under_another_name_is_not_recovered_under_the_old_one() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = renamed(&agent);
    site.environment = "test";
    let before = agent.values("");
    let said = site.run(&["recover", "test", "--yes"]).exits(1).err;
    assert!(said.contains("gone from here") && said.contains("has no environment test"), "{said}");
    assert_eq!(agent.values(""), before);
}

#[test]
fn between_rivals_a_person_chooses_and_the_others_keys_stay_theirs() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.repo.commit("Three", &[(MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let mark = flags(&agent, "config/app/version");
    let (ours, theirs) = (owner_of(mark), if owner_of(mark) == 9 { 10 } else { 9 });
    let rival = mark & !(0xFFFF << 28) | theirs << 28;
    put_flags(&agent, "config/rival/a", b"1", rival);
    put_flags(&agent, "config/rival/b", b"2", rival);
    agent.delete(RECORD);
    let before = keys(&agent);
    let said = site.run(&["recover", "test", "--yes"]).exits(1).err;
    for text in
        [format!("owner {ours} (its entry names this environment): 4 keys"), format!("owner {theirs} (no entry): 2 keys")]
    {
        assert!(said.contains(&text), "{text}: {said}");
    }
    assert!(agent.get(RECORD).is_none());
    let wrong = site.run(&["recover", "test", "--yes", "--owner", "77"]);
    assert!(wrong.exits(1).err.contains("owner 77 can't be meant"));
    site.run(&["recover", "test", "--owner", "0"]).exits(2);
    let said = recover(&site, &["--owner", &ours.to_string()]);
    assert_eq!(said["owner"].as_u64(), Some(ours));
    site.run(&["apply", "--once"]).exits(0);
    assert_eq!(keys(&agent), before);
    // Nor are they taken over when a commit wants one of them.
    site.repo.commit("Theirs", &[("base/kv/config/rival.yaml", "a: 3\n")]);
    assert!(site.run(&["apply", "--once"]).exits(1).out.contains(&format!("owner {theirs}")));
    assert_eq!(keys(&agent), before);
}

#[test]
fn of_an_init_and_recoveries_at_the_same_moment_one_makes_the_record_and_a_kill_leaves_all_or_nothing() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.repo.commit("Three", &[(MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let before = keys(&agent);
    for round in 0..3 {
        agent.delete(RECORD);
        let mut recoveries: Vec<_> =
            (0..3).map(|number| site.begin(&format!("r{round}-{number}"), &["recover", "test", "--yes"])).collect();
        let init = site.run(&["init", "test"]);
        eventually("all end", || recoveries.iter_mut().all(|recovery| !recovery.runs()));
        let ended: Vec<bool> = recoveries.iter_mut().map(|recovery| recovery.ended().success()).collect();
        assert!(ended.contains(&true) && agent.get(RECORD).is_some(), "{ended:?}: {init:?}\n{}", site.logs());
        assert_eq!(owner_entries(&agent).len(), 1);
    }
    let killer = Arc::new(AtWrite::default());
    let proxy = killer.start(agent.port());
    for (after, made) in [(0, false), (1, true)] {
        agent.delete(RECORD);
        site.readdress(&proxy.address());
        let mut recovery = site.begin("killed", &["recover", "test", "--yes"]);
        killer.arm(recovery.id(), after);
        eventually("it is killed", || !recovery.runs());
        assert!(killer.disarm());
        site.readdress(&agent.address());
        assert_eq!(agent.get(RECORD).is_some(), made);
        let said = recover(&site, &[]);
        assert_eq!(said["changed"], !made, "{said:#}");
    }
    site.run(&["apply", "--once"]).exits(0);
    assert_eq!(keys(&agent), before);
    assert!(!site.outcomes().contains(&"open".to_owned()));
}

#[test]
fn a_marked_copy_from_another_consul_is_told_as_what_it_may_be_and_unmarking_it_or_recover_goes_on() {
    const MARK: u64 = 0x9_8020_1000_0011;
    let agent = Agent::start();
    let site = Site::named("demo", &agent.address());
    put_flags(&agent, "config/copied", b"4", MARK);
    agent.put("config/plain", b"5");
    let said = site.run(&["import", "consul", "test", "--into", "new"]).exits(3).out;
    assert!(said.contains("if nobody here has a record for the mark on 1 key, it refuses"), "{said}");
    assert!(said.contains("if it is a copy"), "{said}");
    for verb in [&["init", "test"][..], &["plan", "test"], &["unmanaged", "test"], &["status", "test"]] {
        let said = site.run(verb);
        let told = format!("{}{}", said.out, said.err);
        let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in
            ["config/copied", "the record was lost, or they are copies", "without the mark", "`lockstep recover test`"]
        {
            assert!(words.contains(expected), "{verb:?}: {told}");
        }
    }
    assert!(agent.tree("lockstep/").is_empty());

    // As it is said: without the mark it is a key like any other.
    agent.put("config/copied", b"4");
    site.init();
    assert_eq!(agent.curl("DELETE", "/v1/kv/lockstep/?recurse", b"").0, 200);
    site.forget_pin();
    // And with it the record goes on with that mark, and the copy stays.
    put_flags(&agent, "config/copied", b"4", MARK);
    let said = recover(&site, &[]);
    assert_eq!((&said["changed"], said["owner"].as_u64()), (&true.into(), Some(owner_of(MARK))), "{said:#}");
    site.pin(said["target_id"].as_str().unwrap());
    let plan = site.run(&["plan", "test", "--output", "json"]).exits(3).json();
    assert_eq!(plan["environments"][0]["strays"], serde_json::json!(["config/copied"]), "{plan:#}");
    assert_eq!(agent.get("config/copied").as_deref(), Some(&b"4"[..]));
}
