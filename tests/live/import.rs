//! A repository from the keys of a real Consul: what it holds is what was there, and what it can't hold is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::repo::{Change, TestRepo};
use crate::support::{Agent, eventually, free_ports};

/// What the program left behind.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(arguments).current_dir(home).stdin(Stdio::null()).env_clear().env("USER", "ann");
    command
}

pub(crate) fn run(home: &Path, arguments: &[&str]) -> Said {
    let output = command(home, arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let said = Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said
}

/// Writes keys of any name, as only a transaction can.
pub(crate) fn load(agent: &Agent, keys: &[(String, Vec<u8>, u64)]) {
    for some in keys.chunks(60) {
        let set = |(key, value, flags): &(String, Vec<u8>, u64)| {
            let value = STANDARD.encode(value);
            json!({"KV": {"Verb": "set", "Key": key, "Value": value, "Flags": flags}})
        };
        let body = Value::Array(some.iter().map(set).collect()).to_string();
        let (status, answer) = agent.curl("PUT", "/v1/txn", body.as_bytes());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    }
}

/// A key that a session holds.
fn lock(agent: &Agent, key: &str) {
    let (_, body) = agent.curl("PUT", "/v1/session/create", br#"{"TTL": "60s", "Checks": []}"#);
    let id: Value = serde_json::from_slice(&body).unwrap();
    let (status, body) = agent.curl("PUT", &format!("/v1/kv/{key}?acquire={}", id["ID"].as_str().unwrap()), b"me");
    assert_eq!((status, body.trim_ascii()), (200, b"true".as_slice()));
}

/// The files of a directory as a commit.
pub(crate) fn committed(directory: &Path) -> TestRepo {
    use lockstep::domain::desired::Node::{BadName, File, Submodule, Symlink, TooLarge};
    let tree = lockstep::client::git::read_directory(directory, &lockstep::client::git::TreeLimits::default()).unwrap();
    let files: Vec<(&str, Change<'_>)> = tree
        .nodes
        .iter()
        .map(|(path, node)| match node {
            File(bytes) => (path.as_str(), Change::File(bytes)),
            TooLarge { .. } | Symlink | Submodule | BadName => panic!("{path} is no file"),
        })
        .collect();
    let mut repo = TestRepo::empty();
    repo.change("What is there", &files);
    repo
}

/// A key and its value.
type Good = (String, Vec<u8>);
/// A key, its value, its flags, and the kind of reason for which it is left out.
type Bad = (String, Vec<u8>, u64, &'static str);

/// Keys that a repository can hold, and those that it can't.
fn odd_keys() -> (Vec<Good>, Vec<Bad>) {
    let text = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
    let mut good = vec![
        text("config/plain", "8080"),
        text("config/empty", ""),
        text("config/yes", "yes"),
        text("config/octal", "0755"),
        text("config/version", "1.10"),
        text("config/tilde", "~"),
        text("config/variable", "${name} and $${name}"),
        text("config/a b", "spaces inside "),
        text("config/grün/ñ", "日本"),
        text("config/%41", "percent"),
        text("config/a:b", "colon: here"),
        text("config/#x", "# hash"),
        text("config/.dot", "leading"),
        text("config/dot.", "trailing"),
        text("config/a..b", "dots"),
        text("config/<<", "merge"),
        text("config/.git/config", "git's"),
        text("config/.gitignore", "*\n"),
        text("config/both", "leaf"),
        text("config/both/below", "under a leaf"),
        text("config/file", "1\n"),
        text("config/file/below", "2\n"),
        text("config/block", "a\n\n  b\nc"),
        text("config/windows", "a\r\nb\r\n"),
        text("config/password", "hunter2canary"),
        text("top", "one segment"),
    ];
    good.push((format!("config/{}", "l".repeat(500)), b"long name".to_vec()));
    good.push(("config/bytes".to_owned(), (0..=255).collect()));
    good.push(("config/near".to_owned(), vec![b'x'; 390_000]));
    let bad = vec![
        ("config/folder/".to_owned(), Vec::new(), 0, "folder"),
        ("config//double".to_owned(), b"x".to_vec(), 0, "name"),
        ("config/../up".to_owned(), b"x".to_vec(), 0, "name"),
        ("/lead".to_owned(), b"x".to_vec(), 0, "name"),
        (format!("config/{}", "n".repeat(600)), b"x".to_vec(), 0, "name"),
        ("config/flags".to_owned(), b"x".to_vec(), 42, "flagged"),
        ("config/kept".to_owned(), b"x".to_vec(), 0x9_8020_1000_0011, "kept"),
        ("lockstep/other/test/record".to_owned(), b"{}".to_vec(), 0, "own_state"),
    ];
    (good, bad)
}

#[test]
fn every_key_is_in_the_repository_or_in_the_report_and_a_plan_changes_none() {
    let agent = Agent::start();
    let home = tempfile::tempdir().unwrap();
    let (mut good, bad) = odd_keys();
    good.extend((0..5_000).map(|n| (format!("config/many/{}/k{n:04}", n % 10), format!("value {n}").into_bytes())));
    for (key, value) in good.iter().filter(|(_, value)| value.len() > 100_000) {
        agent.put(key, value);
    }
    let unmarked = good.iter().filter(|(_, value)| value.len() <= 100_000).map(|(key, value)| (key.clone(), value.clone(), 0));
    let marked = bad.iter().map(|(key, value, flags, _)| (key.clone(), value.clone(), *flags));
    load(&agent, &unmarked.chain(marked).collect::<Vec<_>>());
    agent.put("config/huge", &vec![b'x'; 512 << 10]);
    lock(&agent, "config/locked");
    let before = agent.tree("");

    let address = agent.address();
    let asked = ["import", "consul", "test", "--address", &address, "--into", "new", "/", "--output", "json"];
    let said = run(home.path(), &asked).exits(3);
    assert!(!said.out.contains("hunter2canary") && !said.err.contains("hunter2canary"), "a value was printed");
    let report = said.json();
    let left: BTreeMap<&str, &str> = report["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| (left["key"].as_str().unwrap(), left["kind"].as_str().unwrap()))
        .collect();
    let mut expected: BTreeMap<&str, &str> = bad.iter().map(|(key, _, _, kind)| (key.as_str(), *kind)).collect();
    expected.extend([("config/huge", "too_large"), ("config/locked", "locked")]);
    assert_eq!(left, expected);
    assert_eq!(report["equal"], good.len(), "{report:#}");
    assert_eq!(report["differing"], json!([]));
    assert_eq!(report["look_like_secrets"], json!(["config/password"]));
    assert_eq!(report["found"], good.len() + expected.len());

    run(home.path(), &["validate", "new"]).exits(0);
    let repo = committed(&home.path().join("new"));
    let configure = |pin: &str| {
        let url = repo.path().display().to_string();
        let text = format!(
            "repository: {{url: \"{url}\"}}\ndata_dir: ./data\nenvironments:\n  test: {{consul: {{address: \"{address}\"}}, {pin}keys: \
             [config/, top/]}}\n"
        );
        std::fs::write(home.path().join("lockstep-controller.yaml"), text).unwrap();
    };
    configure("");
    let exported: Vec<Value> =
        serde_json::from_str(&run(home.path(), &["render", "test", "--format", "consul-export"]).exits(0).out).unwrap();
    let rendered: BTreeMap<String, Vec<u8>> = exported
        .iter()
        .map(|pair| (pair["key"].as_str().unwrap().to_owned(), crate::support::decode(&pair["value"])))
        .collect();
    assert_eq!(rendered, good.into_iter().collect::<BTreeMap<_, _>>());
    assert_eq!(agent.tree(""), before, "an import changes nothing");
}

#[test]
fn the_first_plan_finds_every_imported_key_present_and_would_write_none() {
    let agent = Agent::start();
    let home = tempfile::tempdir().unwrap();
    for (key, value) in [("config/a", "1"), ("config/b/c", "2"), ("config/page", "<p>\n"), ("other/x", "3")] {
        agent.put(key, value.as_bytes());
    }
    let address = agent.address();
    let asked = ["import", "consul", "test", "--address", &address, "--into", "new", "config/"];
    let said = run(home.path(), &asked).exits(0).out;
    assert!(said.contains("test: 3 keys found") && said.contains("3 keys written"), "{said}");
    let repo = committed(&home.path().join("new"));
    let config = |pin: &str| {
        let text = format!(
            "repository: {{url: \"{}\"}}\ndata_dir: ./data\nenvironments:\n  test: {{consul: {{address: \"{address}\"}}, \
             {pin}keys: [config/]}}\n",
            repo.path().display()
        );
        std::fs::write(home.path().join("lockstep-controller.yaml"), text).unwrap();
    };
    config("");
    let said = run(home.path(), &["init", "test"]).exits(0).out;
    let id = said.lines().find(|line| line.starts_with("target_id: ")).unwrap().to_owned();
    config(&format!("{id}, "));
    let plan = run(home.path(), &["plan", "test", "--output", "json"]).exits(3).json()["environments"][0].take();
    let obstacles: BTreeSet<&str> =
        plan["obstacles"].as_array().unwrap().iter().map(|obstacle| obstacle["key"].as_str().unwrap()).collect();
    assert_eq!(obstacles, BTreeSet::from(["config/a", "config/b/c", "config/page"]), "{plan:#}");
    assert_eq!(plan["changes"], json!([]), "{plan:#}");

    let again = run(home.path(), &asked).exits(1);
    assert!(again.err.contains("it is not empty"), "{}", again.err);
    // With the configuration, neither address nor prefixes are needed.
    let report = run(home.path(), &["import", "consul", "test", "--into", "second", "--output", "json"]).exits(0).json();
    assert_eq!(report["equal"], 3);
    let third = ["import", "consul", "test", "--into", "third", "--leave-out", "config/b*", "--output", "json"];
    let report = run(home.path(), &third).exits(0).json();
    assert_eq!((report["equal"].as_u64(), report["asked_out"].as_u64()), (Some(2), Some(1)), "{report:#}");
}

#[test]
fn a_killed_import_leaves_no_half_repository() {
    let agent = Agent::start();
    let home = tempfile::tempdir().unwrap();
    let keys: Vec<(String, Vec<u8>, u64)> = (0..4_000).map(|n| (format!("config/k{n:04}"), b"a file\n".to_vec(), 0)).collect();
    load(&agent, &keys);
    let address = agent.address();
    let into = home.path().join("new");
    let asked = ["import", "consul", "test", "--address", &address, "--into", "new", "config/"];
    let mut child = command(home.path(), &asked).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let is_begun = || std::fs::read_dir(home.path()).unwrap().count() > 0;
    eventually("the import writes", is_begun);
    child.kill().unwrap();
    child.wait().unwrap();
    if into.exists() {
        // It had been quicker; then it is whole.
        run(home.path(), &["validate", "new"]).exits(0);
        std::fs::remove_dir_all(&into).unwrap();
    }
    run(home.path(), &asked).exits(0);
    run(home.path(), &["validate", "new"]).exits(0);
}

#[test]
fn an_absent_consul_is_unreachable_and_a_token_without_rights_is_told() {
    let home = tempfile::tempdir().unwrap();
    let [port] = free_ports();
    let address = format!("http://127.0.0.1:{port}");
    run(home.path(), &["import", "consul", "test", "--address", &address, "--into", "new", "config/"]).exits(4);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);

    let agent = Agent::with(&crate::support::Options { acl: true, ..crate::support::Options::default() });
    agent.put("config/a", b"1");
    let address = agent.address();
    let asked = ["import", "consul", "test", "--address", &address, "--into", "new", "config/"];
    let said = run(home.path(), &asked);
    assert!(
        said.code == 1 && (said.err.contains("no key to write") || said.err.contains("denied")),
        "{}\n{}",
        said.out,
        said.err
    );
    let mut command = command(home.path(), &asked);
    let output = command.env("CONSUL_HTTP_TOKEN", crate::support::MASTER).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
