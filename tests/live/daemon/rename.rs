//! An environment that goes on under another name.

use std::sync::Arc;

use super::faults::end_sessions;
use super::retire::{AtWrite, OTHER, flags};
use super::service::Service;
use super::site::{APP, ENVIRONMENT, MANY, Running, Site, app, dump, many};
use crate::repo::TestRepo;
use crate::support::{Agent, eventually};

/// The environment's file under its new name.
const RENAMED: &str = "environments/preview/environment.yaml";

/// A request to it under its old name.
const REQUEST: &str = "lockstep/demo/test/requests/0123456789abcdef";

/// Gives the environment `test` the name `preview` while nobody looks.
pub(super) fn rename(repo: &mut TestRepo) {
    let file = format!("{}formerly: test\n", ENVIRONMENT.1);
    repo.remove("Test is not called so any more", &[ENVIRONMENT.0]);
    repo.commit("Preview was test", &[(RENAMED, &file)]);
}

#[test]
fn a_renamed_environment_keeps_its_keys_its_owner_and_its_numbers_and_its_history_is_shown_with_the_old_name() {
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    });
    it.release("two");
    it.site.until_steady();
    let keys = |agent: &Agent| agent.values("config/");
    let (before, mark) = (keys(&it.agent), flags(&it.agent, "config/many/k00000"));
    let owners = it.agent.tree("lockstep/owners/");
    let last = it.site.status()["last_generation"].as_u64().unwrap();
    it.controller.terminate();
    it.controller.ended();

    rename(&mut it.site.repo);
    it.site.environment = "preview";
    // Told before it happens, by whoever only looks.
    let plan = it.site.run(&["plan"]);
    assert!(plan.out.contains("takes over the record and the keys of test"), "{plan:?}");
    let status = it.site.run(&["status"]).exits(1).out;
    assert!(status.contains("takes over that of test, at generation"), "{status}");
    let key = "config/many/k00000";
    for look in [
        &["history", "preview"][..],
        &["kv", "list", "preview"],
        &["kv", "get", key],
        &["kv", "get", key, "--at", "1"],
        &["render", "preview", "--at", "1"],
    ] {
        let said = it.site.run(look).exits(1).err;
        assert!(said.contains("takes over that of test") && !said.contains("recover"), "{look:?}: {said}");
    }
    let said = it.site.run(&["kv", "log", key]).exits(0).err;
    assert!(said.contains("takes over that of test") && !said.contains("lost"), "{said}");

    let controller = it.site.start("two");
    it.site.until_in_step();
    assert_eq!(keys(&it.agent), before);
    assert_eq!(flags(&it.agent, "config/many/k00000"), mark, "no key was written");
    assert_eq!(it.agent.tree("lockstep/owners/"), owners);
    let entry = it.agent.get(&owners[0].0).unwrap();
    assert!(String::from_utf8(entry).unwrap().contains("\"environment\":\"preview\""));
    for gone in ["record", "revision", "lease"] {
        assert!(it.agent.get(&format!("lockstep/demo/test/{gone}")).is_none(), "{gone}");
    }
    assert_eq!(it.site.status()["last_generation"].as_u64(), Some(last + 1));
    let history = it.site.run(&["history", "preview", "--output", "json"]).exits(0).json();
    let lines = history["lines"].as_array().unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line["intent"].as_str().unwrap(), line["formerly"].as_str())).collect();
    assert_eq!(told[..2], [("rename", None), ("advance", Some("test"))], "{history:#}");
    assert_eq!(lines.len() as u64, last + 1);

    // What is asked of a key goes on before the rename.
    let log = it.site.run(&["kv", "log", "config/many/k00000", "--output", "json"]).exits(0).json();
    let version = &log["environments"][0]["versions"][0];
    assert_eq!((&version["live"], &version["formerly"][0]["name"]), (&true.into(), &"test".into()), "{log:#}");
    assert_eq!(version["generations"].as_array().map(Vec::len), Some(1), "{log:#}");
    let listed = it.site.run(&["kv", "list", "preview", "config/many/", "--output", "json"]).exits(0).json();
    assert_eq!(listed["keys"][0]["revision"], version["revision"], "{listed:#}");

    // A change and a delete, and back, over the rename.
    let good = it.site.repo.tip();
    it.site.repo.commit("Fewer", &[(MANY, &many(2, "x")), (APP, &app("three"))]);
    eventually("the key is gone", || it.agent.get("config/many/k00002").is_none());
    it.site.until("it is proven", |status| status["phase"] == "steady" && status["proven"] == true);
    it.site.run(&["rollback", "preview", "--to", &good.short(), "--reason", "back"]).exits(0);
    eventually("it is back", || keys(&it.agent) == before);
    drop(controller);

    // Under the old name it is told where it went.
    it.site.environment = "test";
    let said = it.site.run(&["status"]).exits(1).out;
    assert!(said.contains("test goes on as preview"), "{said}");
}

#[test]
fn a_take_over_beside_another_leader_another_owner_or_other_roots_is_refused_and_writes_nothing() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    rename(&mut site.repo);
    site.environment = "preview";
    let before = agent.values("");
    let refused = |site: &Site, says: &str| {
        let said = site.run(&["apply", "--once"]).exits(1);
        assert!(format!("{}{}", said.out, said.err).contains(says), "{says}: {said:?}");
        assert!(agent.get("lockstep/demo/preview/record").is_none());
    };
    // Somebody leads it under its old name still.
    let (_, body) = agent.curl("PUT", "/v1/session/create", br#"{"Name": "somebody", "LockDelay": "0s"}"#);
    let session = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["ID"].as_str().unwrap().to_owned();
    agent.curl("PUT", &format!("/v1/kv/lockstep/demo/test/lease?acquire={session}"), b"somebody");
    refused(&site, "test is led by somebody");
    end_sessions(&agent);
    // Keys outside the roots that it has under the new name.
    let narrow = site.repo.remove("Only many", &[APP]);
    site.roots = "config/many/";
    refused(&site, "outside");
    site.roots = "config/";
    site.repo.revert(narrow);
    // The owner entry is another's by now.
    agent.put(REQUEST, b"asked under the old name");
    let owner = agent.tree("lockstep/owners/")[0].0.clone();
    let entry = agent.get(&owner).unwrap();
    agent.put(&owner, br#"{"repository": "demo", "environment": "somebody", "target": "x"}"#);
    refused(&site, "is not of test");
    agent.put(&owner, &entry);
    // Its next line is there already: the one transaction that takes it over is refused.
    let line = format!("lockstep/demo/test/history/{}", agent.tree("lockstep/demo/test/history/").len() + 1);
    agent.put(&line, b"{}");
    refused(&site, &line);
    agent.delete(&line);
    assert!(agent.get(REQUEST).is_some(), "what was asked is answered as long as it is called test");
    agent.delete(REQUEST);
    let of_keys = |values: &std::collections::BTreeMap<String, Vec<u8>>| {
        values.iter().filter(|(key, _)| !key.ends_with("/lease")).map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    assert_eq!(of_keys(&agent.values("")), of_keys(&before));
    // And with nothing in the way it goes on.
    let said = site.run(&["apply", "--once"]).exits(0);
    assert!(said.err.contains("goes on with the record of its former name"), "{said:?}");
}

#[test]
fn a_take_over_that_is_killed_or_raced_is_done_once_or_not_at_all() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let killer = Arc::new(AtWrite::default());
    let proxy = killer.start(agent.port());
    let mut site = Site::new(&agent);
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let keys = agent.values("config/");
    rename(&mut site.repo);
    site.environment = "preview";
    for (after, made) in [(0, false), (1, true)] {
        site.readdress(&proxy.address());
        let mut apply = site.begin("killed", &["apply", "--once"]);
        killer.arm(apply.id(), after);
        eventually("it is killed", || !apply.runs());
        assert!(killer.disarm());
        site.readdress(&agent.address());
        end_sessions(&agent);
        let has = |name: &str| agent.get(&format!("lockstep/demo/{name}/record")).is_some();
        assert_eq!((has("test"), has("preview")), (!made, made), "one record leads one owner");
    }
    let mut both = [site.start("one"), site.start("two")];
    site.until_in_step();
    assert!(both.iter_mut().all(super::site::Controller::runs));
    assert_eq!(agent.values("config/"), keys);
    assert_eq!(agent.tree("lockstep/owners/").len(), 1);
}

#[test]
fn init_under_the_new_name_makes_nothing_and_says_what_to_pin_and_the_take_over_is_as_if_nobody_had_asked() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    let said = site.init();
    let pin = said.lines().find(|line| line.starts_with("target_id: ")).unwrap();
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let mark = flags(&agent, "config/many/k00000");
    rename(&mut site.repo);
    site.environment = "preview";
    site.forget_pin();
    let before = agent.values("");
    let said = site.run(&["init", "preview"]).exits(1).err;
    assert!(said.contains("formerly: test") && said.contains(pin) && said.contains("takes it over"), "{said}");
    // Nor while nobody can say whether it had another name.
    let broken = site.repo.commit("Broken", &[(RENAMED, "layers: [base\n")]);
    let said = site.run(&["init", "preview"]).exits(1).err;
    assert!(said.contains("the mark of another environment of demo") && said.contains("can't be used here"), "{said}");
    assert_eq!(agent.values(""), before);
    site.repo.revert(broken);

    site.pin(pin.strip_prefix("target_id: ").unwrap());
    let said = site.run(&["init", "preview"]).exits(1).err;
    assert!(said.contains("`lockstep run` takes it over") && !said.contains(pin), "{said}");
    let _controller = site.start("one");
    site.until_in_step();
    assert_eq!(flags(&agent, "config/many/k00000"), mark);
    assert!(site.run(&["init", "preview"]).exits(0).out.contains(pin), "what it goes on with is its own record");
    site.repo.commit("Fewer", &[(MANY, &many(2, "x"))]);
    eventually("its keys are its own", || agent.get("config/many/k00002").is_none());
}

#[test]
fn recover_under_the_new_name_makes_no_second_record_beside_the_one_that_is_to_be_taken_over() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    rename(&mut site.repo);
    site.environment = "preview";
    // A key that carries a mark of nobody: one that a record under the new name could be made from.
    let nobody = flags(&agent, "config/many/k00000") ^ (1 << 28);
    super::retire::put_flags(&agent, "config/copied", b"4", nobody);
    let before = dump(&agent, "");
    let said = site.run(&["recover", "preview", "--yes"]).exits(1).err;
    assert!(said.contains("formerly: test") && said.contains("takes it over"), "{said}");
    assert_eq!(dump(&agent, ""), before);
}

#[test]
fn two_records_under_the_old_and_the_new_name_are_told_with_what_to_do_and_neither_is_touched() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    let id = |said: &str| said.lines().find_map(|line| line.strip_prefix("target_id: ")).unwrap().to_owned();
    let of_test = id(&site.init());
    // Somebody means well and makes the new name a record of its own, before there is a key that could be of another.
    site.environment = "preview";
    site.forget_pin();
    let of_preview = id(&site.run(&["init", "preview"]).exits(0).out);
    site.environment = "test";
    site.pin(&of_test);
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    site.environment = "preview";
    rename(&mut site.repo);
    let keys = dump(&agent, "config/");
    let of_former = dump(&agent, "lockstep/demo/test/");

    site.pin(&of_preview);
    let told = "each have a record here";
    let controller = site.start("one");
    let status = site.until("it is told", |status| status["head"]["verdict"] == "refused");
    let text = status["head"]["text"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains(told) && text.contains("`lockstep env remove preview`"), "{status:#}");
    assert!(controller.log().contains(told), "{}", controller.log());
    let plan = site.run(&["plan", "--output", "json"]).exits(1).json();
    let planned = &plan["environments"][0];
    assert_eq!(planned["state"], "invalid", "{plan:#}");
    assert!(planned["note"].as_str().is_some_and(|note| note.contains(told)), "{plan:#}");
    for listing in ["strays", "unmanaged"] {
        let said = site.run(&[listing, "preview"]).exits(1).err;
        assert!(said.contains(told) && said.contains("`lockstep kv list preview`"), "{listing}: {said}");
    }
    assert!(site.run(&["status"]).out.contains(told));
    drop(controller);
    end_sessions(&agent);
    let once = site.run(&["apply", "--once"]);
    assert!(once.code != 0 && format!("{}{}", once.out, once.err).contains(told), "{once:?}");
    assert_eq!(dump(&agent, "config/"), keys);
    assert_eq!(dump(&agent, "lockstep/demo/test/"), of_former);

    // As it is told to be done: the record that was made by mistake goes, and then the rename is one.
    let renamed = site.repo.remove("Not yet", &[RENAMED]);
    site.run(&["env", "remove", "preview", "--yes"]).exits(0);
    assert_eq!(dump(&agent, "config/"), keys);
    site.repo.revert(renamed);
    site.pin(&of_test);
    let said = site.run(&["apply", "--once"]).exits(0);
    assert!(said.err.contains("goes on with the record of its former name"), "{said:?}");
    assert_eq!(dump(&agent, "config/"), keys);
    assert_eq!(agent.tree("lockstep/owners/").len(), 1);
}

#[test]
fn an_environment_that_got_two_names_in_a_row_is_not_begun_anew_and_goes_on_with_its_keys() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    let said = site.init();
    let pin = said.lines().find_map(|line| line.strip_prefix("target_id: ")).unwrap().to_owned();
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let keys = dump(&agent, "config/");
    rename(&mut site.repo);
    let file = format!("{}formerly: preview\n", ENVIRONMENT.1);
    site.repo.remove("Preview is not called so either", &[RENAMED]);
    site.repo.commit("Live was preview", &[("environments/live/environment.yaml", &file)]);
    let before = dump(&agent, "");
    // Its keys are wanted still.
    let said = site.run(&["env", "remove", "test", "--yes"]).exits(1).err;
    assert!(said.contains("test goes on as live"), "{said}");

    site.environment = "live";
    site.forget_pin();
    let said = site.run(&["init", "live"]).exits(1).err;
    assert!(said.contains("`formerly: preview`, preview was called test before") && said.contains(&pin), "{said}");
    site.pin(&pin);
    let said = site.run(&["recover", "live", "--yes"]).exits(1).err;
    assert!(said.contains("test has its record here"), "{said}");
    let rules = site.run(&["acl-policy", "live"]).exits(0).out;
    assert!(["preview", "test"].iter().all(|name| rules.contains(&format!("\"lockstep/demo/{name}/\""))), "{rules}");
    assert_eq!(dump(&agent, ""), before);

    let said = site.run(&["apply", "--once"]).exits(0);
    assert!(said.err.contains("goes on with the record of its former name"), "{said:?}");
    assert_eq!(dump(&agent, "config/"), keys);
    assert!(agent.get("lockstep/demo/test/record").is_none());
    assert_eq!(agent.tree("lockstep/owners/").len(), 1);
}
