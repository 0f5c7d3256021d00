//! Questions about versions: `why`, `kv get`, `kv log`, `kv list`, `render` and `diff`.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use expect_test::expect;

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage};
use crate::support::repo::{Change, TestRepo};

const OWN: (&str, &str) = ("environments/test/kv/config/app.yaml", "port: 9090\n");

/// Moments, which differ from run to run.
fn steady(text: &str) -> String {
    let ago = |line: &str| match (line.find(" ("), line.find(" ago)")) {
        (Some(from), Some(to)) if from < to => format!("{} (…{}", &line[..from], &line[to..]),
        _ => line.to_owned(),
    };
    text.lines().map(ago).collect::<Vec<_>>().join("\n")
}

/// Lines that all begin with blanks, below one that does not: a snapshot has no common indentation.
fn titled(text: &str) -> String {
    format!("keys:\n{text}")
}

#[test]
fn why_names_the_line_that_wins_and_what_it_overrides() {
    let mut stage = Stage::new();
    stage.repo.commit("our port", &[OWN]);
    expect![[r#"
        config/app/port at 07af796
        test: 9090
          > environments/test/kv/config/app.yaml:1  9090
            overrides base/kv/config.yaml:2  8080
    "#]]
    .assert_eq(&stage.run(&["why", "config/app/port"]).exits(0).out);
    expect![[r#"
        config/app/password at 07af796
        test: (sensitive)
          > base/kv/config.yaml:6  (sensitive)
    "#]]
    .assert_eq(&stage.run(&["why", "config/app/password"]).exits(0).out);
    expect![[r#"
        config/app/prt at 07af796
        test: no layer has the key
    "#]]
    .assert_eq(&stage.run(&["why", "config/app/prt"]).exits(1).out);
    expect![[r#"
        {
          "version": 1,
          "key": "config/app/port",
          "revision": "07af796482311cf2c136d0fcc3c3c272c004f329",
          "environments": [
            {
              "environment": "test",
              "value": {
                "text": "9090"
              },
              "said": [
                {
                  "layer": "base",
                  "file": "base/kv/config.yaml",
                  "line": 2,
                  "value": {
                    "text": "8080"
                  },
                  "taken_back": false,
                  "wins": false
                },
                {
                  "layer": "environments/test",
                  "file": "environments/test/kv/config/app.yaml",
                  "line": 1,
                  "value": {
                    "text": "9090"
                  },
                  "taken_back": false,
                  "wins": true
                }
              ],
              "retired": false,
              "problems": []
            }
          ]
        }
    "#]]
    .assert_eq(&stage.run(&["why", "config/app/port", "--output", "json"]).exits(0).out);
    stage.run(&["why", "../x"]).exits(2);
}

#[test]
fn a_keys_log_follows_it_across_files_layers_removals_and_commits_that_are_invalid() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("our port", &[OWN]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit_nothing("nothing");
    stage.repo.remove("move it", &[OWN.0]);
    stage.repo.amend("move it", &[("environments/test/kv/config.yaml", "app:\n  # here\n  port: 9090\n")]);
    stage.repo.commit("broken", &[("environments/test/kv/config.yaml", "app:\n  port: 1\n  port: 2\n")]);
    stage.repo.commit("mended", &[("environments/test/kv/config.yaml", "app:\n  port: 9090\n")]);
    stage.repo.commit("not here", &[("environments/test/kv/config.yaml", "app:\n  port: !absent\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    expect![[r#"
        config/app/port in test
          47fcb2c  2023-11-14 22:21:20Z (… ago) by Tester  live since generation 3
                   not here
                   taken away
          07af796  2023-11-14 22:15:20Z (… ago) by Tester  was live: generation 2
                   our port
                   9090  (environments/test/kv/config.yaml:2)
                   moved there from environments/test/kv/config/app.yaml:1 in ffd3de7
                   dc0dfab was invalid: environments/test/kv/config.yaml:3:3: the key "port" stands here and on line 2 of the same mapping
          16e0d4f  2023-11-14 22:14:20Z (… ago) by Tester  was live: generation 1
                   first
                   8080  (base/kv/config.yaml:2)"#]].assert_eq(&steady(&stage.run(&["kv", "log", "config/app/port"]).exits(0).out));
    expect![[r#"
        config/app/port in test
          47fcb2c  2023-11-14 22:21:20Z (… ago) by Tester  live since generation 3
                   not here
                   taken away
          … there are older ones: --limit shows more, --at 47fcb2c~1 goes on from here"#]]
    .assert_eq(&steady(&stage.run(&["kv", "log", "config/app/port", "--limit", "1"]).exits(0).out));
    expect![[r#"
        config/app/never in test
          no commit of the branch had the key, as far as they can be read
                   dc0dfab was invalid: environments/test/kv/config.yaml:3:3: the key "port" stands here and on line 2 of the same mapping
    "#]]
    .assert_eq(&stage.run(&["kv", "log", "config/app/never"]).exits(1).out);
    let json = stage.run(&["kv", "log", "config/app/port", "--output", "json"]).exits(0).json();
    assert_eq!(json["environments"][0]["versions"][1]["generations"], serde_json::json!([2]));
}

#[test]
fn a_key_is_read_as_it_is_live_as_a_commit_has_it_and_as_a_generation_had_it() {
    let mut stage = Stage::new();
    stage.run(&["kv", "get", "config/app/port"]).exits(1);
    stage.run(&["apply", "--once"]).exits(0);
    let second = stage.repo.commit("our port", &[OWN]);
    let get = |at: &[&str]| stage.run(&[&["kv", "get", "config/app/port"], at].concat()).exits(0).out;
    assert_eq!(get(&[]), "8080");
    assert_eq!(get(&["--at", "HEAD"]), "9090");
    assert_eq!(get(&["--at", "HEAD~1"]), "8080");
    assert_eq!(get(&["--at", &second.to_string()]), "9090");
    assert_eq!(get(&["--at", "1"]), "8080");
    expect![[r#"
        {
          "version": 1,
          "environment": "test",
          "key": "config/app/port",
          "value": {
            "text": "8080"
          },
          "generation": 1,
          "revision": "16e0d4f3910a914321a407f992b3863740f9624c",
          "file": "base/kv/config.yaml",
          "line": 2
        }
    "#]]
    .assert_eq(&get(&["--at", "1", "--output", "json"]));
    expect![[r#"
        error: test has no generation 7 yet: the newest is 1
          hint: `lockstep history test` lists them
    "#]]
    .assert_eq(&stage.run(&["kv", "get", "config/app/port", "--at", "7"]).exits(2).err);
    expect![[r#"
        error: config/app/password is tagged !sensitive and is never printed (16e0d4f)
          hint: read it from the target itself, with rights of your own
    "#]]
    .assert_eq(&stage.run(&["kv", "get", "config/app/password"]).exits(1).err);
    expect![[r#"
        error: config/app/password is tagged !sensitive and is never printed (base/kv/config.yaml:6)
          hint: read it from the target itself, with rights of your own
    "#]]
    .assert_eq(&stage.run(&["kv", "get", "config/app/password", "--at", "HEAD"]).exits(1).err);
    expect![[r#"
        error: test has no config/app/never live
          hint: `lockstep why config/app/never --env test` tells what the repository says of it
    "#]]
    .assert_eq(&stage.run(&["kv", "get", "config/app/never"]).exits(1).err);
    expect![[r#"
        error: test has no config/app/never at 07af796
          hint: `lockstep kv log config/app/never --env test` tells which commits had it
    "#]]
    .assert_eq(&stage.run(&["kv", "get", "config/app/never", "--at", "HEAD"]).exits(1).err);
}

#[test]
fn live_keys_are_listed_with_the_attempt_that_gave_each_its_value() {
    let mut stage = Stage::new();
    let first = stage.repo.tip().to_string();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("our port", &[OWN]);
    stage.run(&["apply", "--once"]).exits(0);
    expect![[r#"
        keys:
             1  16e0d4f  config/app/motd
             1  16e0d4f  config/app/password
             2  07af796  config/app/port
    "#]]
    .assert_eq(&titled(&stage.run(&["kv", "list", "test"]).exits(0).out));
    let newer = stage.run(&["kv", "list", "test", "--changed-since", "1"]).exits(0).out;
    expect![[r#"
        keys:
             2  07af796  config/app/port
    "#]]
    .assert_eq(&titled(&newer));
    assert_eq!(stage.run(&["kv", "list", "test", "--changed-since", &first]).exits(0).out, newer);
    assert_eq!(stage.run(&["kv", "list", "test", "config/app/m"]).exits(0).out.lines().count(), 1);
    expect![[r#"
        error: git: find the revision HEAD~9
          because: there is no such commit
          hint: name a generation, a commit, a moment such as 2026-12-27T08:00:00Z, or 2h for two hours ago
    "#]]
    .assert_eq(&stage.run(&["kv", "list", "test", "--changed-since", "HEAD~9"]).exits(2).err);
    let since = |text: &str| stage.run(&["kv", "list", "test", "--changed-since", text]).exits(0);
    assert_eq!(since("1h").out.lines().count(), 3, "all came within an hour");
    assert_eq!(since("2001-09-09").out.lines().count(), 3);
    expect![[r#"
        error: 2999-01-01T00:00:00Z is still to come: nothing can have changed since
          hint: name a moment that is over, such as 2026-12-27T08:00:00Z, or 2h for two hours ago
    "#]]
    .assert_eq(&stage.run(&["kv", "list", "test", "--changed-since", "2999-01-01T00:00:00Z"]).exits(2).err);
    expect![[r#"
        error: test has no generation 3 yet: the newest is 2
          hint: `lockstep history test` lists them
    "#]]
    .assert_eq(&stage.run(&["kv", "list", "test", "--changed-since", "3"]).exits(2).err);
}

#[test]
fn a_revision_is_rendered_for_people_for_programs_and_as_consul_takes_it() {
    let mut stage = Stage::new();
    stage.repo.commit("our port", &[OWN]);
    expect![[r#"
        test at 07af796: 3 keys, 0 checks
          config/app/motd = one… (and 1 more line)  (base/kv/config.yaml:3)
          config/app/password = (sensitive)  (base/kv/config.yaml:6)
          config/app/port = 9090  (environments/test/kv/config/app.yaml:1)
    "#]]
    .assert_eq(&stage.run(&["render", "test"]).exits(0).out);
    let json = stage.run(&["render", "test", "--format", "json"]).exits(0);
    assert_eq!(json.out, stage.run(&["render", "test", "--output", "json"]).exits(0).out);
    assert_eq!(json.json()["keys"][2]["value"]["text"], "9090");
    let export = stage.run(&["render", "test", "--at", "HEAD~1", "--format", "consul-export"]).exits(0);
    expect![[r#"
        [
        	{
        		"key": "config/app/motd",
        		"flags": 0,
        		"value": "b25lCnR3bwo="
        	},
        	{
        		"key": "config/app/port",
        		"flags": 0,
        		"value": "ODA4MA=="
        	}
        ]
    "#]]
    .assert_eq(&export.out);
    expect![[r#"
        note: left out, because tagged !sensitive: 1 key
    "#]]
    .assert_eq(&export.err);
}

#[test]
fn a_difference_is_one_of_environments_and_not_of_files() {
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, KEYS, OWN]);
    stage.repo.commit("overridden here", &[("base/kv/config.yaml", &KEYS.1.replace("8080", "7070"))]);
    expect![[r#"
        9446854 → 22b956e
        test: the same
    "#]]
    .assert_eq(&stage.run(&["diff", "HEAD~1", "HEAD"]).exits(0).out);
    stage.repo.commit(
        "much",
        &[
            ("base/kv/config.yaml", "app:\n  port: 1\n  password: !sensitive other\n  new: x\n"),
            ("environments/test/environment.yaml", "layers: [base]\n"),
            ("environments/test/checks/answers.yaml", "kind: exec\nprogram: smoke\n"),
            ("environments/other/environment.yaml", "layers: [base]\n"),
        ],
    );
    let diff = stage.run(&["diff", "HEAD~1", "HEAD"]).exits(3).out;
    assert_eq!(diff.matches("note:").count(), 0);
    let (title, rest) = diff.split_once('\n').unwrap();
    assert!(title.contains('→'), "{title}");
    expect![[r#"
        other: a new environment, 3 keys
          + config/app/new (base/kv/config.yaml:4)
              + x
          + config/app/password (base/kv/config.yaml:3)
              + (sensitive)
          + config/app/port (base/kv/config.yaml:2)
              + 1
        test: 3 keys differ
          - config/app/motd (base/kv/config.yaml:3)
              - one
              - two
          + config/app/new (base/kv/config.yaml:4)
              + x
          ~ config/app/password (base/kv/config.yaml:3)
              - (sensitive)
              + (sensitive, changed)
          + check answers
          ~ the rules of environment.yaml differ: rollout
    "#]]
    .assert_eq(rest);
    stage.run(&["diff", "HEAD~1", "HEAD", "--env", "nowhere"]).exits(2);
}

#[test]
fn a_keys_log_follows_the_rename_of_its_file_and_its_move_to_another_layer() {
    let mut stage = Stage::new();
    let old = ("base/kv/config.yaml", "app:\n  motd: x\n");
    stage.repo.commit("renamed", &[("base/kv/config/app.yaml", "# by itself\nport: 8080\n"), old]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("moved to the environment", &[OWN, ("base/kv/config/app.yaml", "name: x\n")]);
    stage.repo.amend("moved to the environment", &[("environments/test/kv/config/app.yaml", "port: 8080\n")]);
    stage.repo.commit("as a file", &[("environments/test/kv/config/app.yaml", "{}\n"), ("base/files/config/app/port", "8080")]);
    stage.run(&["apply", "--once"]).exits(0);
    expect![[r#"
        config/app/port in test
          16e0d4f  2023-11-14 22:14:20Z (… ago) by Tester  live since generation 1
                   first
                   8080  (base/files/config/app/port)
                   moved there from environments/test/kv/config/app.yaml:1 in 5371c5e
                   moved there from base/kv/config/app.yaml:2 in 0a8d252
                   moved there from base/kv/config.yaml:2 in b83c452"#]]
    .assert_eq(&steady(&stage.run(&["kv", "log", "config/app/port"]).exits(0).out));
}

#[test]
fn a_rewritten_branch_is_told_and_the_rest_is_read() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("our port", &[OWN]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.amend("forced", &[("environments/test/kv/config/app.yaml", "port: 7070\n")]);
    let log = |stage: &Stage| steady(&stage.run(&["kv", "log", "config/app/port"]).exits(0).out);
    expect![[r#"
        config/app/port in test
          eecfa1c  2023-11-14 22:16:20Z (… ago) by Tester  never live
                   forced
                   7070  (environments/test/kv/config/app.yaml:1)
          07af796  2023-11-14 22:15:20Z (… ago) by Tester  is live with generation 2, and is not on the branch any more
                   our port
                   9090  (environments/test/kv/config/app.yaml:1)
          16e0d4f  2023-11-14 22:14:20Z (… ago) by Tester  was live: generation 1
                   first
                   8080  (base/kv/config.yaml:2)"#]]
    .assert_eq(&log(&stage));
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", "2"]).exits(0).out, "9090");
    let json = stage.run(&["kv", "log", "config/app/port", "--output", "json"]).exits(0).json();
    assert_eq!(json["environments"][0]["off_branch"][0]["generations"], serde_json::json!([2]));
    // A repository that was never at that commit.
    stage.repo = TestRepo::with(&[MANIFEST, ENVIRONMENT, KEYS]);
    stage.repo.commit("forced", &[("environments/test/kv/config/app.yaml", "port: 7070\n")]);
    std::fs::remove_dir_all(stage.home.path().join("data")).unwrap();
    stage.configure("  test: {directory: {path: ./test}}\n");
    expect![[r#"
        config/app/port in test
          3bcf35e  2023-11-14 22:15:20Z (… ago) by Tester  never live
                   forced
                   7070  (environments/test/kv/config/app.yaml:1)
          07af796  is live with generation 2, and is not on the branch any more
                   nor in the mirror: what it said is not known
          16e0d4f  2023-11-14 22:14:20Z (… ago) by Tester  was live: generation 1
                   first
                   8080  (base/kv/config.yaml:2)"#]]
    .assert_eq(&log(&stage));
    expect![[r#"
        error: generation 2 of test was of 07af796, which the mirror does not have
          hint: the branch was rewritten since; somebody's clone may still have that commit
    "#]]
    .assert_eq(&stage.run(&["kv", "get", "config/app/port", "--at", "2"]).exits(1).err);
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", "1"]).exits(0).out, "8080");
    // What is live may be shown only if the commit that gave it says so.
    expect![[r#"
        error: whether config/app/port may be shown is not known without 07af796, which is live
          because: git: read the past of environments/test/environment.yaml up to 07af796482311cf2c136d0fcc3c3c272c004f329
          because: the mirror does not have this commit
    "#]]
    .assert_eq(&stage.run(&["kv", "get", "config/app/port"]).exits(1).err);
    expect![[r#"
        keys:
             1  16e0d4f  config/app/motd
             1  16e0d4f  config/app/password
             2  07af796  config/app/port
    "#]]
    .assert_eq(&titled(&stage.run(&["kv", "list", "test"]).exits(0).out));
}

#[test]
fn a_binary_value_is_told_by_size_and_digest_and_printed_byte_for_byte() {
    let mut stage = Stage::new();
    let bytes = b"\x00\xff\x1b[31m";
    stage.repo.change("binary", &[("base/files/config/blob", Change::File(bytes))]);
    stage.run(&["apply", "--once"]).exits(0);
    let log = stage.run(&["kv", "log", "config/blob"]).exits(0).out;
    assert!(log.contains("(7 bytes, sha256 "), "{log}");
    for at in [&["--at", "HEAD"][..], &[]] {
        let printed = stage.command(&[&["kv", "get", "config/blob"], at].concat()).output().unwrap();
        assert_eq!(printed.stdout, bytes);
    }
    for verb in [&["why", "config/blob"][..], &["render", "test"], &["diff", "HEAD~1", "HEAD"]] {
        let said = stage.run(verb);
        assert!(said.out.contains("(7 bytes, sha256 ") && !said.out.contains('\u{1b}'), "{verb:?}: {}", said.out);
    }
    // A long value is told the same way, and costs the log no memory.
    stage.repo.commit("long", &[("base/files/config/blob", &"long".repeat(2000))]);
    let log = stage.run(&["kv", "log", "config/blob", "--output", "json"]).exits(0).json();
    assert_eq!(log["environments"][0]["versions"][0]["value"]["bytes"]["size"], 8000);
}

#[test]
fn names_of_nothing_are_refused_with_what_there_is() {
    let stage = Stage::new();
    let told = |code, verb: &[&str]| stage.run(verb).exits(code).err;
    for verb in [&["why"][..], &["kv", "log"], &["kv", "get"]] {
        let with = |rest: &[&'static str]| [verb, rest].concat();
        assert!(told(2, &with(&["config//x"])).contains("has an empty segment"));
        assert!(told(2, &with(&["config/x", "--env", "nowhere"])).contains("it has test"));
        assert!(told(2, &with(&["config/x", "--at", "7777777"])).contains("there is no such commit"));
        assert!(told(2, &with(&["config/x", "--at", "feature"])).contains("neither HEAD, nor the branch"));
    }
    assert!(told(2, &["render", "nowhere"]).contains("it has test"));
    assert!(told(2, &["render", "test", "--at", "7777777"]).contains("there is no such commit"));
    assert!(told(2, &["diff", "7777777", "HEAD"]).contains("there is no such commit"));
    assert!(told(2, &["diff", "HEAD", "HEAD", "--env", "nowhere"]).contains("they have test"));
    assert!(told(2, &["kv", "list", "nowhere"]).contains("it has test"));
    assert!(told(2, &["kv", "list", "test", "--changed-since", "7777777"]).contains("there is no such commit"));
    assert_eq!(stage.run(&["diff", "HEAD", "HEAD"]).exits(0).out.lines().count(), 2);
}

#[test]
fn a_log_from_a_mirror_that_a_disk_spoilt_shows_no_value_that_no_commit_has() {
    let mut stage = Stage::new();
    for port in 1..20 {
        stage.repo.commit("Another port", &[(KEYS.0, &format!("app: {{port: {port}}}\n"))]);
    }
    let log = |stage: &Stage| stage.run(&["kv", "log", "config/app/port", "--limit", "100"]);
    let whole = log(&stage).exits(0).out;
    let pack = std::fs::read_dir(stage.mirror().join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().unwrap() == "pack").unwrap();
    let bytes = std::fs::read(&pack).unwrap();
    let mut failed = 0;
    // Behind the header, before the trailer: all objects.
    for at in (12..bytes.len() - 20).step_by(bytes.len() / 40) {
        let mut spoilt = bytes.clone();
        spoilt[at] ^= 1;
        std::fs::remove_file(&pack).unwrap();
        std::fs::write(&pack, spoilt).unwrap();
        let said = log(&stage);
        failed += usize::from(said.code != 0);
        assert!(said.out == whole || said.code != 0, "{at}: {said:?}");
    }
    assert!(failed > 10, "{failed}");
}
