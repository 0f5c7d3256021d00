//! `validate`: offline, and good for a check before a merge.

use std::path::Path;

use expect_test::{Expect, expect};

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage};

fn write(home: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[track_caller]
fn check(files: &[(&str, &str)], code: i32, expected: &Expect) {
    let stage = Stage::new();
    write(&stage.home.path().join("work"), &[MANIFEST, ENVIRONMENT, KEYS]);
    write(&stage.home.path().join("work"), files);
    let mut command = stage.command(&["validate", "work"]);
    command.env_remove("LOCKSTEP_CONFIG");
    let said = super::stage::finish(command).exits(code);
    expected.assert_eq(&said.out);
}

#[test]
fn the_example_repository_is_valid() {
    let stage = Stage::new();
    let mut command = stage.command(&["validate", concat!(env!("CARGO_MANIFEST_DIR"), "/config-repo-example")]);
    command.env_remove("LOCKSTEP_CONFIG");
    let said = super::stage::finish(command).exits(0);
    assert!(said.out.contains("ok production") && said.out.contains("ok test"), "{}", said.out);
}

#[test]
fn every_problem_has_its_place_its_line_and_a_hint() {
    check(
        &[],
        0,
        &expect![[r"
        ok test: 3 keys, no checks
    "]],
    );
    check(
        &[("base/kv/bad.yaml", "a: 1\na: 2\nb: ${nowhere}\n"), ("base/checks/x.yaml", "kind: htp\n")],
        1,
        &expect![[r#"
            base/checks/x.yaml:1:1: there is no kind of check "htp"
                1 | kind: htp
                    ^
              hint: did you mean "http"?
            base/kv/bad.yaml:2:1: the key "a" stands here and on line 1 of the same mapping
                2 | a: 2
                    ^
              hint: remove one of the two
            base/kv/bad.yaml:3:1: the variable "nowhere" is not defined in this environment
                3 | b: ${nowhere}
                    ^
              hint: define it under variables: in environment.yaml, or write $${ for a literal ${

            invalid test: 3 problems (unreadable)
        "#]],
    );
    check(
        &[("base/kv/bad.yaml", "a: [1,\n")],
        1,
        &expect![[r"
        base/kv/bad.yaml:2:1: is not valid YAML: while parsing a node, did not find expected node content
          hint: look at the indentation and the quotes of this line and the one before

        invalid test: 1 problem (unreadable)
    "]],
    );
    check(
        &[("base/kv/bad.yaml", "pass: !sensitive ${nowhere}hunter2canary\n")],
        1,
        &expect![[r#"
        base/kv/bad.yaml:1:1: the variable "nowhere" is not defined in this environment
          hint: define it under variables: in environment.yaml, or write $${ for a literal ${

        invalid test: 1 problem (unreadable)
    "#]],
    );
}

#[test]
fn a_commit_is_checked_without_checking_it_out() {
    let mut stage = Stage::new();
    let good = stage.repo.tip();
    stage.repo.change("Link", &[("base/kv/link.yaml", crate::support::repo::Change::Link("/etc/passwd"))]);
    let path = stage.repo.path().display().to_string();
    let said = stage.run(&["validate", &path, "--rev", "main", "--output", "json"]).exits(1).json();
    assert!(said["problems"][0]["message"].as_str().unwrap().contains("symbolic link"), "{said}");
    stage.run(&["validate", &path]).exits(1);
    stage.run(&["validate", &path, "--rev", &good.short()]).exits(0);
    stage.run(&["validate", &path, "--rev", "nowhere"]).exits(1);
    stage.run(&["validate", &path, "--rev", "main", "--environment", "nowhere"]).exits(2);
    stage.run(&["validate", "./nowhere"]).exits(1);
}

#[test]
fn a_link_in_a_work_tree_is_told_and_not_followed() {
    let stage = Stage::new();
    let work = stage.home.path().join("work");
    write(&work, &[MANIFEST, ENVIRONMENT, KEYS]);
    std::os::unix::fs::symlink("/etc", work.join("base/kv/etc")).unwrap();
    let said = stage.run(&["validate", "work"]).exits(1).out;
    assert!(said.contains("base/kv/etc") && said.contains("symbolic link"), "{said}");
}

#[test]
fn with_the_configuration_roots_and_permissions_are_checked_too() {
    let stage = Stage::with(&[
        MANIFEST,
        ENVIRONMENT,
        KEYS,
        ("base/kv/other.yaml", "a: 1\na/b: 2\n"),
        ("base/checks/run.yaml", "kind: exec\nprogram: smoke\n"),
        ("environments/more/environment.yaml", "layers: [base]\n"),
    ]);
    stage.configure("  test: {directory: {path: ./test}, keys: [config/]}\n");
    let path = stage.repo.path().display().to_string();
    let said = stage.run(&["validate", &path, "--environment", "test"]).exits(1).out;
    for expected in ["other/a lies outside", "no program \"smoke\"", "has no environment more"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let mut alone = stage.command(&["validate", &path]);
    alone.env_remove("LOCKSTEP_CONFIG");
    super::stage::finish(alone).exits(0);
}
