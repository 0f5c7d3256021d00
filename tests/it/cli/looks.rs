//! Verbs that look: `plan`, `status`, `history`, help and completions; and how every verb fails on bad input.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use expect_test::{Expect, expect};

use super::stage::{Daemon, ENVIRONMENT, KEYS, MANIFEST, Stage, finish, until};
use crate::support::ports::free_place;

/// So many keys with this value.
fn lines(number: usize, value: &str) -> String {
    (0..number).map(|number| format!("k{number}: {value}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_help_lists_every_verb_with_what_it_is_for() {
    let help = Stage::new().run(&["--help"]).exits(0).out;
    let verbs: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect();
    expect![[r"
        run          Keep every environment in step with the repository, until told to stop
        validate     Check a config repository, offline: every problem with file, line and column
        init         Prepare a target for an environment, once, and print the `target_id` to pin
        acl-policy   Print the least ACL rules that a token needs for an environment on Consul
        plan         Show what a revision would change in each environment; exit 3 if anything
        apply        Take environments to the branch head now and judge them, then stop
        wait         Wait until a revision is live and proven in an environment
        status       Show where environments stand: phase, revision, whether it is proven, and what to do
        history      Show every attempt and every decision of a person, with its cause and its end
        why          Show which line of which layer gives a key its value, and what it overrides
        kv           Look at keys and their versions: what each is and was
        render       Print what a revision says of an environment
        diff         Show what lies between two revisions for each environment
        import       Write a config repository from what is there already, and say what it could not hold
        rollback     Take an environment back to a proven revision, and keep it there
        release      Drop rejections or a freeze, or let the branch head pass the guard
        adopt        Let the branch head take over keys that are there with its values already
        unmanaged    List the live keys that lockstep does not manage
        strays       List marked copies that no reached revision contains
        suspend      Write nothing to an environment until it is resumed
        resume       Follow the branch again: undo a suspension or a rollback
        env          Do something about an environment as a whole
        recover      Make the record of an environment anew after it was lost, from the marks on its keys
        forge        Look after the connection to GitHub, Gitea or Forgejo
        completions  Print what a shell needs to complete lockstep's command line
        help         Show the help of a command"]]
    .assert_eq(&verbs.join("\n"));
}

#[test]
fn every_verb_explains_itself_with_an_example() {
    let stage = Stage::new();
    for verb in [
        "run",
        "validate",
        "init",
        "plan",
        "apply",
        "status",
        "history",
        "rollback",
        "release",
        "adopt",
        "unmanaged",
        "strays",
        "suspend",
        "resume",
        "completions",
    ] {
        let help = stage.run(&[verb, "--help"]).exits(0).out;
        assert!(help.contains("Example") && help.contains(&format!("lockstep {verb}")), "{help}");
    }
    assert!(stage.run(&["completions", "bash"]).exits(0).out.contains("rollback"));
}

#[test]
fn apply_writes_exactly_what_the_plan_says_and_then_there_is_nothing_left() {
    let stage = Stage::new();
    let plan = stage.run(&["plan", "--output", "json"]).exits(3).json();
    expect![[r#"
        {
          "environments": [
            {
              "changes": [
                {
                  "action": "create",
                  "after": {
                    "text": "one\ntwo\n"
                  },
                  "key": "config/app/motd",
                  "why": "new in base/kv/config.yaml:3"
                },
                {
                  "action": "create",
                  "after": {
                    "sensitive": {
                      "changed": false
                    }
                  },
                  "key": "config/app/password",
                  "why": "new in base/kv/config.yaml:6"
                },
                {
                  "action": "create",
                  "after": {
                    "text": "8080"
                  },
                  "key": "config/app/port",
                  "why": "new in base/kv/config.yaml:2"
                }
              ],
              "checks": 0,
              "counts": {
                "adopted": 0,
                "created": 3,
                "deleted": 0,
                "released": 0,
                "updated": 0
              },
              "drifted": [],
              "environment": "test",
              "first_deploy": true,
              "foreign": {
                "count": 0,
                "some": []
              },
              "initialised": false,
              "obstacles": [],
              "state": "changes",
              "strays": [],
              "target": "directory HOME/test",
              "unmanageable": [],
              "unmanaged": []
            }
          ],
          "repository": "demo",
          "revision": "16e0d4f3910a914321a407f992b3863740f9624c",
          "subject": "first",
          "version": 1
        }"#]]
    .assert_eq(&stage.steady(&serde_json::to_string_pretty(&plan).unwrap()));
    let planned: Vec<&str> =
        plan["environments"][0]["changes"].as_array().unwrap().iter().map(|change| change["key"].as_str().unwrap()).collect();
    stage.run(&["apply", "--once"]).exits(0);
    let live = stage.live();
    assert_eq!(live.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), planned);
    let plan = stage.run(&["plan", "--output", "json"]).exits(0).json();
    assert_eq!(plan["environments"][0]["state"], "in-step");
    let history = stage.run(&["history", "test", "--output", "json"]).exits(0).json();
    assert_eq!((history["lines"][0]["created"].as_u64(), history["lines"].as_array().unwrap().len()), (Some(3), 1));
    assert_eq!(history["lines"][0]["outcome"], "proven");
}

#[test]
fn a_plan_shows_values_line_by_line_and_hides_the_sensitive() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let changed = "app:\n  port: 9090\n  motd: |\n    one\n    three\n  password: !sensitive hunter2canary2\n";
    stage.repo.change(
        "Other values",
        &[
            (KEYS.0, crate::support::repo::Change::File(changed.as_bytes())),
            ("base/files/logo.bin", crate::support::repo::Change::File(b"\xff\x00\x01")),
        ],
    );
    let said = stage.run(&["plan", "--full"]).exits(3);
    expect![[r"
        demo at 7d9bed0 Other values

        test  1 to create, 3 to update
          no checks: proven when it was live for min_healthy_time
          ~ config/app/motd (changed in base/kv/config.yaml:3)
                one
              - two
              + three
          ~ config/app/password (changed in base/kv/config.yaml:6)
              - (sensitive)
              + (sensitive, changed)
          ~ config/app/port (changed in base/kv/config.yaml:2)
              - 8080
              + 9090
          + logo.bin (new in base/files/logo.bin)
              + (3 bytes, sha256 942e1e2a…)
    "]]
    .assert_eq(&said.out);
    for arguments in [["plan", "--output", "json"], ["plan", "--output", "yaml"]] {
        stage.run(&arguments).exits(3);
    }
    // A key that is hidden no longer is still hidden where it was.
    stage.repo.commit("Open", &[(KEYS.0, "app:\n  password: open\n")]);
    stage.run(&["plan", "--full"]).exits(3);
}

#[test]
fn drift_and_what_is_in_the_way_are_shown() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let key = stage.home.path().join("test/current/config/app/port");
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, "1").unwrap();
    let shown = stage.run(&["plan"]).exits(3).out;
    assert!(shown.contains("1 to update (drift)") && shown.contains("- 1") && shown.contains("+ 8080"), "{shown}");
    std::fs::write(stage.home.path().join("test/current/config/other"), "theirs").unwrap();
    stage.repo.commit("Want it", &[("base/kv/config/other.yaml", "x: 1\n"), ("base/files/config/other", "ours")]);
    stage.repo.remove("Only the file", &["base/kv/config/other.yaml"]);
    let blocked = stage.run(&["plan"]).exits(3).out;
    assert!(
        blocked.contains("in the way, with another value: 1 key") && blocked.contains("not applied (refused)"),
        "{blocked}"
    );
    let refused = stage.run(&["apply", "--once"]).exits(1).out;
    assert!(refused.contains("config/other"), "{refused}");
}

#[test]
fn the_guard_speaks_in_the_plan() {
    let many = lines(80, "x");
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, ("base/kv/config.yaml", &many)]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Lose most", &[("base/kv/config.yaml", "k1: x\n")]);
    let plan = stage.run(&["plan", "--output", "json"]).exits(3).json();
    let environment = &plan["environments"][0];
    assert_eq!(environment["counts"]["deleted"], 79);
    assert!(environment["refusal"]["text"].as_str().unwrap().contains("79 of 80 keys"), "{environment}");
    assert!(stage.run(&["apply", "--once"]).exits(1).out.contains("79 of 80 keys"));
    // A limit that the same commit loosens does not count for it.
    let loose = "layers: [base]\ndeletes: {at_most: 500, at_most_percent: 100}\n";
    stage.repo.commit("And loosen", &[(ENVIRONMENT.0, loose)]);
    let plan = stage.run(&["plan", "--output", "json"]).exits(3).json();
    let environment = &plan["environments"][0];
    assert!(environment["refusal"]["text"].as_str().unwrap().contains("79 of 80 keys"), "{environment}");
    assert_eq!(
        environment["loosened"],
        serde_json::json!([
            "deletes.at_most is loosened from 50 to 500; that counts from the next revision on",
            "deletes.at_most_percent is loosened from 20 to 100; that counts from the next revision on",
        ])
    );
    assert!(stage.run(&["plan"]).exits(3).out.contains("deletes.at_most is loosened from 50 to 500"));
    // The command that the refusal prints, as it stands there: it is about this commit.
    let text = environment["refusal"]["text"].as_str().unwrap();
    let command = text.split('`').find_map(|part| part.strip_prefix("lockstep ")).unwrap();
    assert_eq!(command, format!("release test {} --allow-deletes 79", stage.repo.tip().short()));
    stage.run(&command.split(' ').collect::<Vec<_>>()).exits(0);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live().len(), 1);
}

#[test]
fn status_is_one_document_with_the_phase_as_a_word() {
    let stage = Stage::new();
    assert_eq!(stage.phase(), "uninitialised");
    stage.run(&["status", "--exit-code"]).exits(1);
    let before = stage.run(&["status"]).exits(0).out;
    assert!(before.contains("hint: the first deploy makes its record") && !before.contains("lockstep init"), "{before}");
    stage.run(&["apply", "--once"]).exits(0);
    let status = stage.run(&["status", "--output", "json", "--exit-code"]).exits(0).json();
    let environment = &status["environments"][0];
    assert_eq!(status["version"], 1);
    assert_eq!(environment["phase"], "steady");
    assert_eq!(environment["proven"], true);
    assert_eq!(environment["checks"], 0);
    assert_eq!(environment["goal"]["revision"], stage.repo.tip().to_string());
    assert_eq!(environment["goal"]["subject"], "first");
    assert!(stage.run(&["status"]).exits(0).out.contains("proven (no checks)"));
}

#[test]
fn status_says_that_no_controller_keeps_the_environment() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let nobody = "leader       none: no controller keeps this environment, and nobody looks for drift; start `lockstep run`, or `lockstep apply --once test`";
    let alone = stage.run(&["status"]).exits(0).out;
    assert!(alone.contains(nobody), "{alone}");
    let daemon = Daemon::start(&stage);
    until("a controller leads", || !stage.run(&["status"]).exits(0).out.contains("none: no controller"));
    daemon.stop();
    assert!(stage.run(&["status"]).exits(0).out.contains(nobody));
}

#[test]
fn history_fails_as_status_does_where_the_target_is_not_there() {
    let stage = Stage::new();
    assert_eq!(stage.run(&["history", "test"]).exits(0).out, "nothing was ever done to test\n");
    stage.configure("  test: {directory: {path: ./missing/test}}\n");
    stage.run(&["status"]).exits(4);
    let said = stage.run(&["history", "test"]).exits(4);
    assert!(said.out.is_empty() && said.err.contains("missing") && said.err.contains("hint:"), "{said:?}");
}

#[test]
fn plan_and_status_of_an_invalid_head_name_the_command_that_shows_every_problem() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let bad = stage.repo.commit("Two mistakes", &[(KEYS.0, "a: ${b}\nc: ${d}\n")]);
    let hint = format!(
        "hint: `lockstep validate {} --rev {} --config {}` shows every problem\n",
        stage.repo.path().display().to_string().trim_end_matches('/'),
        bad.short(),
        stage.config().display()
    );
    let plan = stage.run(&["plan"]).exits(1).out;
    assert!(plan.contains("2 problems, the first") && plan.contains(&hint), "{plan}");
    stage.run(&["apply", "--once"]).exits(1);
    let status = stage.run(&["status"]).exits(0).out;
    assert!(status.contains(&hint), "{status}");
    // It is a command that works, and shows both.
    let command = hint.split('`').nth(1).unwrap();
    let said = stage.run(&command.split(' ').skip(1).collect::<Vec<_>>()).exits(1).out;
    assert!(said.contains("base/kv/config.yaml:1:") && said.contains("base/kv/config.yaml:2:"), "{said}");
}

/// Answers every request with a refusal.
fn refusing(text: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let length = text.len();
            let _ = write!(stream, "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
        }
    });
    address
}

#[track_caller]
fn check_consul(consul: &str, arguments: &[&str], code: i32, expected: &[&str]) {
    let stage = Stage::new();
    stage.configure(&format!("  test: {{consul: {{{consul}}}, keys: [config/]}}\n"));
    let said = stage.run(arguments).exits(code);
    let found = stage.steady(&format!("{}{}", said.out, said.err));
    for expected in expected {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    assert_eq!(found.matches("because:").count(), expected.iter().filter(|line| line.contains("because:")).count(), "{found}");
}

#[test]
fn a_consul_that_can_not_be_asked_is_told_with_one_reason_and_what_to_do() {
    let place = free_place();
    let refused = "because: Connection refused (os error 111)";
    let hint = "hint: is Consul running there, and is `address:` of the environment right?";
    check_consul(&format!("address: 'http://{place}'"), &["status"], 4, &[refused, hint]);
    let unread = [
        "because: read the credential file HOME/none",
        "because: No such file or directory",
        "hint: put the token there, readable for lockstep's own user only, or correct `token:` of the environment",
    ];
    let no_token = format!("address: 'http://{place}', token: {{file: ./none}}");
    check_consul(&no_token, &["status"], 1, &unread);
    check_consul(&no_token, &["init", "test"], 1, &unread);
    let unknown = ["because: consul answered 403: ACL not found", "hint: the token is unknown to this Consul"];
    check_consul(&format!("address: '{}'", refusing("ACL not found")), &["status"], 1, &unknown);
    check_consul(&format!("address: '{}'", refusing("ACL not found")), &["init", "test"], 1, &unknown);
    let lacking = ["because: consul answered 403: Permission denied", "hint: the token needs these rules: key_prefix"];
    check_consul(&format!("address: '{}'", refusing("Permission denied")), &["init", "test"], 1, &lacking);
}

#[test]
fn a_broken_head_does_not_take_status_and_rollback_away() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Two", &[("base/kv/other.yaml", "a: 1\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Break it", &[("lockstep.yaml", "name: [\n")]);
    let plan = stage.run(&["plan"]).exits(1).out;
    assert!(plan.contains("lockstep.yaml:"), "{plan}");
    assert!(stage.run(&["apply", "--once"]).exits(1).out.contains("held-refused"));
    assert!(stage.run(&["status"]).exits(0).out.contains("is not followed (invalid)"));
    stage.run(&["rollback", "test", "--reason", "head is broken"]).exits(0);
}

#[track_caller]
fn check_failure(prepare: impl FnOnce(&Stage), arguments: &[&str], code: i32, expected: &Expect) {
    let stage = Stage::new();
    prepare(&stage);
    let said = stage.run(arguments).exits(code);
    expected.assert_eq(&stage.steady(&said.err).replace(&stage.repo.path().display().to_string(), "REPO"));
}

#[test]
fn bad_input_is_told_with_its_cause_and_what_to_do() {
    check_failure(
        |stage| std::fs::remove_file(stage.config()).unwrap(),
        &["status"],
        1,
        &expect![[r"
        error: read the controller's configuration HOME/lockstep-controller.yaml
          because: No such file or directory (os error 2)
          hint: name it with --config FILE or LOCKSTEP_CONFIG; docs/controller.md has every field
    "]],
    );
    check_failure(
        |_| {},
        &["status", "tset"],
        2,
        &expect![[r#"
        error: the configuration has no environment "tset"
          hint: it has test
    "#]],
    );
    check_failure(
        |_| {},
        &["plan", "--rev", "deadbeef"],
        2,
        &expect![[r"
        error: git: find the revision deadbeef
          because: there is no such commit
          hint: name a commit of the branch: HEAD, HEAD~1, or an id or its first digits, as `git log` has them
    "]],
    );
    check_failure(
        |_| {},
        &["plan", "--rev", "--upload-pack=x"],
        2,
        &expect![[r"
        error: unexpected argument '--upload-pack' found

          tip: to pass '--upload-pack' as a value, use '-- --upload-pack'

        Usage: lockstep plan [OPTIONS] [ENV]...

        For more information, try '--help'.
    "]],
    );
    check_failure(
        |stage| std::fs::write(stage.config(), "repository: {url: [\n").unwrap(),
        &["plan"],
        1,
        &expect![[r"
        error: the controller's configuration is invalid
          HOME/lockstep-controller.yaml:1:19: unclosed bracket '['
    "]],
    );
    check_failure(
        |_| {},
        &["rollback", "test", "--reason", " "],
        2,
        &expect![[r"
        error: invalid value ' ' for '--reason <TEXT>': say why

        For more information, try '--help'.
    "]],
    );
    check_failure(
        |_| {},
        &["rollback", "test", "--reason", "x"],
        1,
        &expect![[r"
            error: lockstep: read the record of this environment at directory HOME/test
              because: there is none: this target was never initialised for it, its record was lost, or the address is wrong
              hint: nothing was applied to test yet; the first deploy makes its record
        "]],
    );
    check_failure(|stage| stage.configure("  test: {directory: {path: ./missing/test}}\n"), &["status"], 4, &expect![[r""]]);
}

#[test]
fn an_absent_repository_or_consul_is_not_reachable_and_the_others_are_shown() {
    let stage = Stage::with(&[MANIFEST, ENVIRONMENT, KEYS, ("environments/away/environment.yaml", "layers: [base]\n")]);
    std::fs::write(
        stage.config(),
        "repository: {url: ./none}\ndata_dir: ./data\nenvironments: {test: {directory: {path: ./test}}}",
    )
    .unwrap();
    stage.run(&["plan"]).exits(4);
    let place = free_place();
    stage.configure(&format!(
        "  away: {{consul: {{address: 'http://{place}'}}, keys: [config/]}}\n  test: {{directory: {{path: ./test}}}}\n"
    ));
    let plan = stage.run(&["plan", "--output", "json"]).exits(4).json();
    let found: Vec<_> = plan["environments"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(found, ["unreachable", "changes"]);
    let status = stage.run(&["status", "--output", "json"]).exits(4).json();
    assert_eq!(status["environments"][0]["phase"], "unreachable");
    assert_eq!(status["environments"][1]["phase"], "uninitialised");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let many = lines(5_000, "some value to fill a pipe with");
    let stage = Stage::with(&[MANIFEST, ENVIRONMENT, ("base/kv/config.yaml", &many)]);
    let mut child = stage.command(&["plan", "--full"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.as_str()), (Some(3), ""));
}

#[test]
fn colours_are_for_those_who_want_them() {
    let stage = Stage::new();
    let has_colour = |text: &str| text.contains('\u{1b}');
    assert!(!has_colour(&stage.run(&["plan"]).out), "into a pipe");
    assert!(has_colour(&stage.run(&["plan", "--color", "always"]).out), "always");
    let mut command = stage.command(&["plan"]);
    command.env("NO_COLOR", "1").env("CLICOLOR_FORCE", "0");
    assert!(!has_colour(&finish(command).out), "NO_COLOR");
    assert!(!has_colour(&stage.run(&["plan", "--color", "never"]).out), "never");
    assert!(!has_colour(&stage.run(&["plan", "--color", "always", "--output", "json"]).out), "in JSON");
}
