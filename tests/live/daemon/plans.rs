//! What `plan` shows is what the apply after it writes, and no more: by the index of every key's last write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::service::Service;
use super::site::{Site, dump};
use crate::support::Agent;

/// Where the keys are that the commit is about.
const KEYS: &str = "base/kv/config/plan.yaml";

/// What is done to `count` keys each, and five times as many that stay.
fn before_and_after(count: usize) -> (String, String) {
    let (mut before, mut after) = (String::new(), String::new());
    for number in 0..count * 5 {
        for text in [&mut before, &mut after] {
            writeln!(text, "stays{number:03}: same").unwrap();
        }
    }
    for number in 0..count {
        write!(before, "updated{number:03}: old\ndeleted{number:03}: old\nreleased{number:03}: !keep old\n").unwrap();
        write!(after, "updated{number:03}: new\ncreated{number:03}: new\n").unwrap();
    }
    (before, after)
}

/// Key to value and index.
fn state(agent: &Agent) -> BTreeMap<String, (Vec<u8>, u64)> {
    dump(agent, "config/").into_iter().map(|(key, value, index)| (key, (value, index))).collect()
}

#[track_caller]
fn check(count: usize, one_transaction: bool) {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    agent.put("config/of-others", b"untouched");
    agent.put("elsewhere", b"untouched");
    let (before, after) = before_and_after(count);
    site.repo.commit("Before", &[(KEYS, &before)]);
    site.run(&["apply", "--once"]).exits(0);
    site.run(&["plan"]).exits(0);

    site.repo.commit("All four", &[(KEYS, &after)]);
    let everything = dump(&agent, "");
    let plan = site.run(&["plan", "--output", "json"]).exits(3).json()["environments"][0].take();
    assert_eq!(dump(&agent, ""), everything, "a plan writes nothing");
    let planned: BTreeMap<String, String> = plan["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["key"].as_str().unwrap().to_owned(), change["action"].as_str().unwrap().to_owned()))
        .collect();
    let expected = |action: &str, name: &str| {
        (0..count).map(|number| (format!("config/plan/{name}{number:03}"), action.to_owned())).collect::<Vec<_>>()
    };
    let mut all = expected("create", "created");
    all.extend(expected("update", "updated"));
    all.extend(expected("delete", "deleted"));
    all.extend(expected("release", "released"));
    assert_eq!(planned, all.into_iter().collect());
    let counts = serde_json::json!({ "created": count, "updated": count, "adopted": 0, "deleted": count, "released": count });
    assert_eq!(plan["counts"], counts);

    let old = state(&agent);
    site.run(&["apply", "--once"]).exits(0);
    let new = state(&agent);
    let written: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
    assert_eq!(written, planned.keys().collect());
    let flags: BTreeMap<String, u64> = agent.tree("config/").into_iter().collect();
    for (key, action) in &planned {
        let value = new.get(key).map(|(value, _)| value.as_slice());
        let expected: Option<&[u8]> = match action.as_str() {
            "delete" => None,
            "release" => Some(b"old"),
            _ => Some(b"new"),
        };
        assert_eq!(value, expected, "{action} {key}");
        assert_eq!(flags.get(key) == Some(&0), action == "release", "{action} {key}");
    }
    let indexes: BTreeSet<u64> = written.iter().filter_map(|key| new.get(*key)).map(|(_, index)| *index).collect();
    assert_eq!(indexes.len() == 1, one_transaction, "{indexes:?}");
    let elsewhere = |(key, _, _): &(String, Vec<u8>, u64)| !key.starts_with("config/") && !key.starts_with("lockstep/");
    let others = everything.into_iter().filter(elsewhere).collect::<Vec<_>>();
    assert_eq!(dump(&agent, "").into_iter().filter(elsewhere).collect::<Vec<_>>(), others);

    site.run(&["plan"]).exits(0);
    site.run(&["apply", "--once"]).exits(0);
    assert_eq!(state(&agent), new, "the second apply has nothing to do");
}

#[test]
fn an_apply_of_one_transaction_writes_what_the_plan_shows_and_no_more() {
    check(2, true);
}

#[test]
fn an_apply_of_several_transactions_writes_what_the_plan_shows_and_no_more() {
    check(40, false);
}
