//! Repositories from the layouts of other tools, against a real Consul that holds what those tools load.
//!
//! What a tool loads is written out here by hand, from its source and from what was seen of it; the tools themselves are not
//! run.

use std::path::Path;

use serde_json::{Value, json};

use crate::import::{load, run};
use crate::repo::{Change, TestRepo};
use crate::support::Agent;

pub(crate) fn repository(files: &[(&str, &[u8])]) -> TestRepo {
    let changes: Vec<(&str, Change<'_>)> = files.iter().map(|(path, bytes)| (*path, Change::File(bytes))).collect();
    let mut repo = TestRepo::empty();
    repo.change("What the tool reads", &changes);
    repo
}

fn loaded(agent: &Agent, keys: &[(&str, &[u8])]) {
    let keys: Vec<(String, Vec<u8>, u64)> = keys.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec(), 0)).collect();
    load(agent, &keys);
}

/// Runs an import with its report, and the check of what it wrote.
#[track_caller]
fn imported(home: &Path, arguments: &[&str], code: i32) -> Value {
    let all = [&["import"], arguments, &["--into", "new", "--output", "json"]].concat();
    let report = run(home, &all).exits(code).json();
    run(home, &["validate", "new"]).exits(0);
    report
}

pub(crate) const GIT2CONSUL: &str = r#"{
  "version": "1.0", "local_store": "/var/cache",
  "repos": [{
    "name": "vp_config", "url": "ssh://git.example/vp.git", "branches": ["dev", "main"], "mountpoint": "config/git",
    "source_root": "data", "expand_keys": true, "ignore_file_extension": true,
    "hooks": [{"type": "polling", "interval": "1"}]
  }]
}"#;

#[test]
fn what_git2consul_has_loaded_is_imported_without_a_change() {
    let agent = Agent::start();
    let home = tempfile::tempdir().unwrap();
    let repo = repository(&[
        ("data/foo_service/log_level", b"trace\n"),
        (
            "data/foo_service/settings.json",
            br#"{"pool": {"min": 1, "max": 10.50}, "name": "foo", "debug": false, "none": null}"#,
        ),
        ("data/bar.yaml", b"port: 8080\nmode: 0755\nquoted: '007'\nwith space:\n  inner: a\n"),
        ("data/app.properties", b"base=/srv\nlogs=${base}/logs\n"),
        ("data/page.html", b"<p>\n  text\n</p>\n"),
        ("elsewhere/file", b"not read\n"),
    ]);
    loaded(
        &agent,
        &[
            ("config/git/vp_config/main/foo_service/log_level", b"trace"),
            ("config/git/vp_config/main/foo_service/settings/pool/min", b"1"),
            ("config/git/vp_config/main/foo_service/settings/pool/max", b"10.5"),
            ("config/git/vp_config/main/foo_service/settings/name", b"foo"),
            ("config/git/vp_config/main/foo_service/settings/debug", b"false"),
            ("config/git/vp_config/main/foo_service/settings/none", b""),
            ("config/git/vp_config/main/bar/port", b"8080"),
            ("config/git/vp_config/main/bar/mode", b"493"),
            ("config/git/vp_config/main/bar/quoted", b"007"),
            ("config/git/vp_config/main/bar/with%20space/inner", b"a"),
            ("config/git/vp_config/main/app/base", b"/srv"),
            ("config/git/vp_config/main/app/logs", b"/srv/logs"),
            ("config/git/vp_config/main/page.html", b"<p>\n  text\n</p>"),
            ("config/git/vp_config/main.ref", b"0123"),
            ("config/of-others", b"x"),
        ],
    );
    std::fs::write(home.path().join("git2consul.json"), GIT2CONSUL).unwrap();
    let (path, address) = (repo.path().display().to_string(), agent.address());
    let asked = ["git2consul", "production", "git2consul.json", "--repo", &path, "--branch", "main", "--against", &address];
    let report = imported(home.path(), &asked, 0);
    let parity = &report["parity"];
    assert_eq!(parity["equal"], 13, "{report:#}");
    for kind in ["differing", "only_repository", "only_live"] {
        assert_eq!(parity[kind], json!([]), "{report:#}");
    }
    assert_eq!(report["tool"]["converted"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(report["tool"]["repaired"], json!([]));
}

#[test]
fn what_git2consul_spoils_differs_and_is_told() {
    let agent = Agent::start();
    let home = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let repo = repository(&[
        ("data/bytes.bin", &bytes),
        ("data/list.json", br#"{"hosts": ["a"], "id": 12345678901234567890, "a/b": 1}"#),
        ("data2/x", b"beside\n"),
    ]);
    loaded(
        &agent,
        &[
            ("config/git/vp_config/main/bytes.bin", String::from_utf8_lossy(&bytes).trim().as_bytes()),
            ("config/git/vp_config/main/list/id", b"12345678901234567000"),
            ("config/git/vp_config/main/list/a%2Fb", b"1"),
            ("config/git/vp_config/main/by-hand", b"1"),
        ],
    );
    std::fs::write(home.path().join("git2consul.json"), GIT2CONSUL).unwrap();
    let (path, address) = (repo.path().display().to_string(), agent.address());
    let asked = ["git2consul", "production", "git2consul.json", "--repo", &path, "--branch", "main", "--against", &address];
    let report = imported(home.path(), &asked, 3);
    let prefix = "config/git/vp_config/main/";
    let keys = |keys: &[&str]| keys.iter().map(|key| json!(format!("{prefix}{key}"))).collect::<Vec<_>>();
    assert_eq!(report["parity"]["differing"], json!(keys(&["bytes.bin", "list/id"])), "{report:#}");
    assert_eq!(report["parity"]["only_live"], json!(keys(&["by-hand"])));
    assert_eq!(report["parity"]["only_repository"], json!([]));
    let left: Vec<&Value> = report["left_out"].as_array().unwrap().iter().map(|left| &left["key"]).collect();
    assert_eq!(json!(left), json!(keys(&["list/a%2Fb", "list/hosts"])), "{report:#}");
    assert_eq!(std::fs::read(home.path().join(format!("new/environments/production/files/{prefix}bytes.bin"))).unwrap(), bytes);
    assert!(report["tool"]["notes"][0].as_str().unwrap().contains("data2/x is left out"), "{report:#}");
}

#[test]
fn what_gonsul_has_loaded_is_imported_without_a_change() {
    let agent = Agent::start();
    let home = tempfile::tempdir().unwrap();
    let repo = repository(&[
        ("prod/website1/config.json", br#"{"pool": {"max": 1000000, "ratio": 0.5}, "debug": false}"#),
        ("prod/website1/db-pass.txt", b"a\nb\n"),
        ("prod/app/settings.ini", b"[a]\r\nb=1\r\n"),
        ("prod/README.md", b"not read"),
        ("stg/app/settings.ini", b"not read"),
    ]);
    loaded(
        &agent,
        &[
            ("team/website1/config/pool/max", b"1e+06"),
            ("team/website1/config/pool/ratio", b"0.5"),
            ("team/website1/config/debug", b"false"),
            ("team/website1/db-pass", b"a\nb\n"),
            ("team/app/settings", b"[a]\r\nb=1\r\n"),
            ("teamwork/other", b"x"),
        ],
    );
    let (path, address) = (repo.path().display().to_string(), agent.address());
    let asked =
        ["gonsul", "prod", "--repo", &path, "--repo-base-path", "/prod", "--consul-base-path", "team", "--expand-json=true"];
    let report = imported(home.path(), &[&asked[..], &["--against", &address]].concat(), 0);
    assert_eq!(report["parity"]["equal"], 5, "{report:#}");
    assert_eq!(report["parity"]["only_live"], json!([]), "{report:#}");
    // Against an environment of the controller's configuration too.
    let text = format!(
        "repository: {{url: \"{path}\"}}\ndata_dir: ./data\nenvironments:\n  prod: {{consul: {{address: \"{address}\"}}, keys: [team/]}}\n"
    );
    std::fs::write(home.path().join("lockstep-controller.yaml"), text).unwrap();
    std::fs::remove_dir_all(home.path().join("new")).unwrap();
    agent.put("team/website1/db-pass", b"changed by hand");
    let report = imported(home.path(), &[&asked[..], &["--against", "prod"]].concat(), 3);
    assert_eq!(report["parity"]["differing"], json!(["team/website1/db-pass"]), "{report:#}");
}
