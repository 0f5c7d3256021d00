//! From keys that another tool wrote to an environment that lockstep keeps: import, init, adopt. No value changes on that way, and
//! what the import left out stays as it is, to the index.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::import::{committed, load, run};
use crate::import_tools::repository;
use crate::support::Agent;

/// Where a tool's keys come from, and what Consul holds.
struct Way<'a> {
    /// What follows `lockstep import`, but for the tool's repository and the place.
    asked: &'a [&'a str],
    /// The tool's own repository; none: it is read from Consul.
    files: &'a [(&'a str, &'a [u8])],
    /// The environment's roots.
    roots: &'a str,
    /// The keys that the tool wrote.
    loaded: &'a [(&'a str, &'a [u8])],
    /// Keys that are not the tool's, or that no repository can hold, with their flags.
    left: &'a [(&'a str, &'a [u8], u64)],
}

/// A key's value and flags, and the index of its last write.
type Seen = (String, u64, u64);

/// Everything but what lockstep itself has.
fn seen(agent: &Agent) -> BTreeMap<String, Seen> {
    let pairs = agent.pairs("");
    let pairs = pairs.iter().map(|pair| {
        let number = |field: &str| pair[field].as_u64().unwrap();
        let value = pair["Value"].as_str().unwrap_or_default().to_owned();
        (pair["Key"].as_str().unwrap().to_owned(), (value, number("Flags"), number("ModifyIndex")))
    });
    pairs.filter(|(key, _)| !key.starts_with("lockstep/")).collect()
}

fn configure(home: &Path, repository: &Path, agent: &Agent, roots: &str, pin: &str) {
    let text = format!(
        "repository: {{url: \"{}\"}}\ndata_dir: ./data\nenvironments:\n  prod: {{consul: {{address: \"{}\"}}, {pin}keys: [{roots}]}}\n",
        repository.display(),
        agent.address()
    );
    std::fs::write(home.join("lockstep-controller.yaml"), text).unwrap();
}

#[track_caller]
fn check(way: &Way<'_>) {
    let (agent, home) = (Agent::start(), tempfile::tempdir().unwrap());
    let tools = (!way.files.is_empty()).then(|| repository(way.files));
    let kept = |(key, value): &(&str, &[u8])| ((*key).to_owned(), value.to_vec(), 0);
    let left = |(key, value, flags): &(&str, &[u8], u64)| ((*key).to_owned(), value.to_vec(), *flags);
    load(&agent, &way.loaded.iter().map(kept).chain(way.left.iter().map(left)).collect::<Vec<_>>());
    let before = seen(&agent);

    std::fs::write(home.path().join("git2consul.json"), crate::import_tools::GIT2CONSUL).unwrap();
    let address = agent.address();
    let from = match &tools {
        Some(repo) => ["--repo".to_owned(), repo.path().display().to_string()],
        None => ["--address".to_owned(), address],
    };
    let place: Vec<&str> = from.iter().map(String::as_str).chain(["--into", "new"]).collect();
    let said = run(home.path(), &[&["import"], way.asked, &place].concat());
    assert!(matches!(said.code, 0 | 3), "{}\n{}", said.out, said.err);

    let repo = committed(&home.path().join("new"));
    configure(home.path(), &repo.path(), &agent, way.roots, "");
    let said = run(home.path(), &["init", "prod"]).exits(0).out;
    let pin = said.lines().find(|line| line.starts_with("target_id: ")).unwrap();
    configure(home.path(), &repo.path(), &agent, way.roots, &format!("{pin}, "));
    let plan = run(home.path(), &["plan", "prod", "--output", "json"]).exits(3).json()["environments"][0].take();
    assert_eq!(plan["changes"], json!([]), "{plan:#}");
    assert_eq!(plan["obstacles"].as_array().unwrap().len(), way.loaded.len(), "{plan:#}");
    run(home.path(), &["apply", "--once"]).exits(1);
    assert_eq!(seen(&agent), before, "nothing is written before somebody adopts it");

    run(home.path(), &["adopt", "prod", "--reason", "brought under git"]).exits(0);
    run(home.path(), &["apply", "--once"]).exits(0);
    let status = run(home.path(), &["status", "prod", "--output", "json"]).exits(0).json()["environments"][0].take();
    assert_eq!(status["phase"], "steady", "{status:#}");
    run(home.path(), &["plan", "prod"]).exits(0);
    let after = seen(&agent);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (key, was) in &before {
        let is = &after[key];
        if way.left.iter().any(|(left, ..)| left == key) {
            assert_eq!(is, was, "{key} was left out");
        } else {
            assert_eq!(is.0, was.0, "{key} was adopted");
            assert_ne!(is.1, 0, "{key} has a mark");
        }
    }
}

#[test]
fn keys_from_every_source_are_imported_and_adopted_with_equal_bytes_and_what_is_left_out_is_not_touched() {
    check(&Way {
        asked: &["consul", "prod", "config/"],
        files: &[],
        roots: "config/",
        loaded: &[("config/a", b"1"), ("config/b/c", b"\xff\x00"), ("config/page", b"<p>\n"), ("config/empty", b"")],
        left: &[("config/folder/", b"", 0), ("config/odd//name", b"x", 0), ("config/app", b"theirs", 42), ("other/x", b"3", 0)],
    });
    check(&Way {
        asked: &["git2consul", "prod", "git2consul.json", "--branch", "main"],
        files: &[("data/app/level", b"trace\n"), ("data/bar.yaml", b"port: 8080\nmode: 0755\n")],
        roots: "config/",
        loaded: &[
            ("config/git/vp_config/main/app/level", b"trace"),
            ("config/git/vp_config/main/bar/port", b"8080"),
            ("config/git/vp_config/main/bar/mode", b"493"),
        ],
        left: &[("config/git/vp_config/main.ref", b"0123", 0), ("config/of-others", b"x", 7)],
    });
    check(&Way {
        asked: &["gonsul", "prod", "--repo-base-path", "/prod", "--consul-base-path", "team", "--expand-json=true"],
        files: &[("prod/site/config.json", br#"{"pool": {"max": 1000000}, "debug": false}"#), ("prod/app/x.ini", b"[a]\r\n")],
        roots: "team/",
        loaded: &[("team/site/config/pool/max", b"1e+06"), ("team/site/config/debug", b"false"), ("team/app/x", b"[a]\r\n")],
        left: &[("team/by-hand", b"x", 0), ("teamwork/other", b"x", 0)],
    });
    check(&Way {
        asked: &["set-consulkv", "prod"],
        files: &[
            (
                "config/kv/services.yaml",
                b"config:\n  - {key: config/on, value: true}\n  - {key: config/rules, file: rules.txt}\n",
            ),
            ("config/kv/rules.txt", b"one\ntwo"),
        ],
        roots: "config/",
        loaded: &[("config/on", b"True"), ("config/rules", b"one\r\ntwo\r\n")],
        left: &[("config/by-hand", b"x", 0)],
    });
}
