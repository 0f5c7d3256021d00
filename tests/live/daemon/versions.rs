//! The versions of a key, as they are asked for on a Consul.

use super::retire::{flags, put_flags};
use super::site::{APP, Running, app};
use crate::repo::Change;
use crate::support::Agent;

#[test]
fn a_keys_versions_are_known_across_a_rename_and_a_move_with_the_generations_that_consul_carries() {
    const KEY: &str = "config/app/version";
    let mut it = Running::start();
    it.release("two");
    it.site.until_steady();
    it.site
        .repo
        .commit("Moved to the environment", &[(APP, "name: x\n"), ("environments/test/kv/config/app.yaml", &app("two"))]);
    it.site.until_steady();

    let log = it.site.run(&["kv", "log", KEY, "--output", "json"]).exits(0).json();
    let versions = log["environments"][0]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{log:#}");
    assert_eq!(versions[0]["value"]["text"], "two");
    assert_eq!(versions[0]["generations"], serde_json::json!([2]), "{log:#}");
    assert_eq!(versions[0]["live"], true);
    let files: Vec<&str> =
        versions[0]["places"].as_array().unwrap().iter().map(|place| place["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["environments/test/kv/config/app.yaml", APP]);
    assert_eq!(versions[1]["generations"], serde_json::json!([1]));

    let get = |at: &[&str]| it.site.run(&[&["kv", "get", KEY][..], at].concat()).exits(0).out;
    assert_eq!([get(&[]), get(&["--at", "1"]), get(&["--at", "2"])], ["two", "one", "two"]);
    let newer = it.site.run(&["kv", "list", "test", "--changed-since", "2", "--output", "json"]).exits(0).json();
    let keys: Vec<&str> = newer["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["config/app/name"], "{newer:#}");
    let history = it.site.run(&["history", "test", "--output", "json"]).exits(0).json();
    let evidence = history["lines"][0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("app-answers passed for "), "{evidence}");
}

#[test]
fn a_list_tells_copies_and_folders_from_managed_keys_and_neither_changed_since_anything() {
    let it = Running::start();
    put_flags(&it.agent, "config/copied", b"4", flags(&it.agent, "config/app/version"));
    it.agent.put("config/folder/", b"");
    let list = |rest: &[&str]| it.site.run(&[&["kv", "list", "test"], rest].concat()).exits(0);
    let listed = list(&["--output", "json"]).json();
    let copied = listed["keys"].as_array().unwrap().iter().find(|key| key["key"] == "config/copied").unwrap();
    assert_eq!(*copied, serde_json::json!({"key": "config/copied", "managed": false, "stray": true}), "{listed:#}");
    assert_eq!(listed["unmanageable"], serde_json::json!(["config/folder/"]), "{listed:#}");
    let app: Vec<&serde_json::Value> =
        listed["keys"].as_array().unwrap().iter().filter(|key| key["managed"] == true).map(|key| &key["stray"]).collect();
    assert!(!app.is_empty() && app.iter().all(|stray| stray.is_null()), "{listed:#}");
    let text = list(&[]).out;
    assert!(text.contains("     -  stray    config/copied\n") && text.contains("not manageable  config/folder/\n"), "{text}");
    let newer = list(&["--changed-since", "2001-01-01"]).out;
    assert!(newer.contains("config/app/version") && !newer.contains("copied") && !newer.contains("folder"), "{newer}");
}

#[test]
fn what_render_exports_is_what_consul_imports_and_exports_again_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    let long = vec![b'x'; 300_000];
    let mut it = Running::on(Agent::start(), |repo| {
        let values: [(&str, &[u8]); 6] = [
            ("base/files/config/bytes", &bytes),
            ("base/files/config/long", &long),
            ("base/files/config/empty", b""),
            ("base/files/config/umlaut ä/wörld", "grüße\n".as_bytes()),
            ("base/files/config/odd !\u{1f980}", b"\x00"),
            ("base/kv/config/list.yaml", b"of: [1, two, {three: 4}]\nempty: \"\"\n"),
        ];
        let changes: Vec<(&str, Change<'_>)> = values.iter().map(|(path, bytes)| (*path, Change::File(bytes))).collect();
        repo.change("Odd values", &changes);
    });
    it.site.until_steady();
    let file = it.site.home().join("export.json");
    let exported = it.site.run(&["render", "test", "--format", "consul-export"]).exits(0).out;
    std::fs::write(&file, &exported).unwrap();
    let elsewhere = Agent::start();
    elsewhere.consul(&["kv", "import", &format!("@{}", file.display())]);
    assert_eq!(elsewhere.values(""), it.agent.values("config/"));
    assert!(elsewhere.tree("").iter().all(|(_, flags)| *flags == 0));
    assert_eq!(elsewhere.consul(&["kv", "export", ""]), exported);
    // Some other commit, by the number of its attempt.
    it.release("two");
    it.site.until_steady();
    assert_eq!(it.site.run(&["render", "test", "--at", "1", "--format", "consul-export"]).exits(0).out, exported);
}

#[test]
fn an_export_is_told_to_stop_at_the_first_of_those_keys_that_consul_does_not_import() {
    let it = Running::on(Agent::start(), |repo| {
        let odd = "\"space\\u00a0here\": 1\n\"turned\\u202ehere\": 2\n\"joined\\u200bhere\": 3\n\"combined e\\u0301\": 4\n\"grün\": 5\n";
        repo.commit("Odd keys", &[("base/kv/config/odd.yaml", odd)]);
    });
    it.site.until_steady();
    let said = it.site.run(&["render", "test", "--format", "consul-export"]).exits(0);
    assert!(said.err.contains("`consul kv import` refuses a key"), "{}", said.err);
    assert!(said.err.contains(": config/odd/joined\\u{200b}here, and 2 more\n"), "{}", said.err);
    let elsewhere = Agent::start();
    let exported = said.json();
    let refused = exported.as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap()).filter(|key| {
        let url = key.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        elsewhere.curl("PUT", &format!("/v1/kv/{url}"), b"x").0 == 400
    });
    let expected = ["config/odd/joined\u{200b}here", "config/odd/space\u{a0}here", "config/odd/turned\u{202e}here"];
    assert_eq!(refused.collect::<Vec<_>>(), expected);
}
