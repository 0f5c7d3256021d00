//! Values tagged `!sensitive`, asked for as they were at other commits.

use base64::Engine as _;

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage};

const OWN: (&str, &str) = ("environments/test/kv/config/app.yaml", "port: 9090\n");

/// No output has the value in any form, the one of an export included.
#[track_caller]
fn check_hidden(stage: &Stage, verbs: &[&[&str]]) {
    let exported = base64::engine::general_purpose::STANDARD.encode("hunter2canary");
    for verb in verbs {
        for form in ["human", "json", "yaml"] {
            let said = stage.run(&[verb, &["--output", form][..]].concat());
            assert!(said.code == 0 || said.code == 3 || said.err.contains("!sensitive"), "{verb:?}: {said:?}");
            assert!(!format!("{said:?}").contains(&exported), "{verb:?} shows the value in base64: {said:?}");
        }
    }
}

#[test]
fn a_value_that_is_tagged_at_one_commit_is_shown_at_no_commit_that_has_it() {
    const KEY: &str = "config/app/password";
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, (KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    stage.repo.commit("beside it", &[OWN]);
    let verbs: &[&[&str]] = &[
        &["kv", "log", KEY],
        &["kv", "log", KEY, "--at", "HEAD~2"],
        &["kv", "get", KEY],
        &["kv", "get", KEY, "--at", "HEAD~2"],
        &["kv", "get", KEY, "--at", "1"],
        &["kv", "list", "test"],
        &["why", KEY, "--at", "HEAD~2"],
        &["render", "test", "--at", "HEAD~2"],
        &["render", "test", "--at", "HEAD~2", "--format", "consul-export"],
        &["render", "test", "--at", "HEAD~2", "--format", "json"],
        &["diff", "HEAD~2", "HEAD~1", "--full"],
        &["diff", "HEAD~1", "HEAD~2", "--full"],
        &["diff", "HEAD~2", "HEAD", "--full"],
    ];
    check_hidden(&stage, verbs);
    // Tagged once, and untagged since with another value.
    stage.repo.commit("the secret again", &[KEYS]);
    stage.repo.commit("untagged", &[(KEYS.0, &KEYS.1.replace("!sensitive hunter2canary", "public"))]);
    let log = stage.run(&["kv", "log", KEY]).exits(0).out;
    assert!(log.contains("public") && !log.contains("second"), "{log}");
    let verbs: &[&[&str]] = &[
        &["kv", "log", KEY],
        &["kv", "get", KEY, "--at", "HEAD~1"],
        &["why", KEY, "--at", "HEAD~1"],
        &["render", "test", "--at", "HEAD~1", "--format", "consul-export"],
        &["render", "test", "--at", "HEAD~1", "--format", "json"],
        &["diff", "HEAD~1", "HEAD", "--full"],
        &["diff", "HEAD", "HEAD~1", "--full"],
    ];
    check_hidden(&stage, verbs);
}

#[test]
fn a_branch_head_that_cannot_be_read_shows_nothing_that_the_commit_before_it_hides_and_hides_nothing_else() {
    const KEY: &str = "config/app/password";
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, (KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    let breakages: [(&str, &str); 3] =
        [(KEYS.0, "app: {port: 1, port: 2}\n"), (ENVIRONMENT.0, "layers: 1\n"), ("lockstep.yaml", "nome: demo\n")];
    for (file, text) in breakages {
        stage.repo.commit("broken", &[(file, text)]);
        let back = |commits: usize| format!("HEAD~{commits}");
        let broken = breakages.iter().position(|(other, _)| *other == file).unwrap() + 1;
        let (tagged, plain) = (back(broken), back(broken + 1));
        let verbs: &[&[&str]] = &[
            &["kv", "log", KEY],
            &["kv", "log", KEY, "--at", &plain],
            &["kv", "get", KEY],
            &["kv", "get", KEY, "--at", &plain],
            &["kv", "get", KEY, "--at", "1"],
            &["why", KEY, "--at", &plain],
            &["render", "test", "--at", &plain],
            &["render", "test", "--at", "1", "--format", "consul-export"],
            &["diff", &plain, &tagged, "--full"],
            &["diff", &tagged, &plain, "--full"],
        ];
        check_hidden(&stage, verbs);
        let port = ["config/app/port", "--at", &plain];
        assert_eq!(stage.run(&[&["kv", "get"], &port[..]].concat()).exits(0).out, "8080", "{file}");
        assert_eq!(stage.run(&["kv", "get", port[0]]).exits(0).out, "8080", "{file}");
        assert!(stage.run(&[&["why"], &port[..]].concat()).exits(0).out.contains("8080"), "{file}");
        let log = stage.run(&["kv", "log", port[0]]).exits(0).out;
        assert!(log.contains("8080") && log.contains("live since generation 1"), "{file}: {log}");
        let rendered = stage.run(&["render", "test", "--at", "1"]).exits(0).out;
        assert!(rendered.contains("config/app/port = 8080"), "{file}: {rendered}");
    }
}

#[test]
fn a_key_that_was_tagged_and_is_gone_since_is_shown_at_no_commit() {
    const KEY: &str = "config/app/password";
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, (KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    stage.repo.commit("gone", &[(KEYS.0, "app: {port: 1}\n")]);
    let verbs: &[&[&str]] =
        &[&["kv", "log", KEY], &["kv", "get", KEY], &["kv", "get", KEY, "--at", "HEAD~2"], &["why", KEY, "--at", "HEAD~2"]];
    check_hidden(&stage, verbs);
}
