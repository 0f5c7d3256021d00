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

            invalid test: 3 problems
        "#]],
    );
    check(
        &[("base/kv/bad.yaml", "a: [1,\n")],
        1,
        &expect![[r"
        base/kv/bad.yaml:2:1: is not valid YAML: while parsing a node, did not find expected node content
          hint: look at the indentation and the quotes of this line and the one before

        invalid test: 1 problem
    "]],
    );
    check(
        &[("base/kv/bad.yaml", "pass: !sensitive ${nowhere}hunter2canary\n")],
        1,
        &expect![[r#"
        base/kv/bad.yaml:1:1: the variable "nowhere" is not defined in this environment
          hint: define it under variables: in environment.yaml, or write $${ for a literal ${

        invalid test: 1 problem
    "#]],
    );
}

#[test]
fn a_line_that_may_be_a_sensitive_value_of_another_layer_is_not_shown() {
    check(
        &[("environments/test/kv/config/app.yaml", "password: hunter2canary${nowhere}\n")],
        1,
        &expect![[r#"
        environments/test/kv/config/app.yaml:1:1: the variable "nowhere" is not defined in this environment
          hint: define it under variables: in environment.yaml, or write $${ for a literal ${

        invalid test: 1 problem
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
fn without_a_path_the_repository_of_the_configuration_is_checked_and_named() {
    let stage = Stage::new();
    let said = stage.run(&["validate"]).exits(0).out;
    let path = stage.repo.path().display().to_string();
    let path = path.trim_end_matches('/');
    assert!(said.contains("ok test: 3 keys") && said.contains(&format!("note: read {path}, the repository that")), "{said}");
    // A directory that is a config repository is meant itself.
    write(stage.home.path(), &[MANIFEST, ENVIRONMENT, ("base/kv/config.yaml", "a: 1\n")]);
    let said = stage.run(&["validate"]).exits(0).out;
    assert!(said.contains("ok test: 1 key") && !said.contains("note: read"), "{said}");
    std::fs::remove_file(stage.home.path().join("lockstep.yaml")).unwrap();
    // Of one that is elsewhere there is what was fetched.
    let text =
        "repository: {url: https://git.invalid/a.git}\ndata_dir: ./data\nenvironments: {test: {directory: {path: ./test}}}\n";
    std::fs::write(stage.config(), text).unwrap();
    let said = stage.run(&["validate"]).exits(1).err;
    assert!(said.contains("no commit of the repository") && said.contains("hint: name a clone of it"), "{said}");
}

#[test]
fn what_can_not_be_used_is_a_problem_and_not_unreadable() {
    let large = format!("a: {}\n", "x".repeat(390_001));
    for bad in [("base/kv/config.yaml", &*large), ("base/kv/config.yaml", "a: ${b}\n"), ("base/checks/a.yaml", "kind: b\n")] {
        let stage = Stage::with(&[MANIFEST, ENVIRONMENT, bad]);
        let said = stage.run(&["validate", &stage.repo.path().display().to_string(), "--rev", "main"]).exits(1).out;
        assert!(said.ends_with("\ninvalid test: 1 problem\n"), "{said}");
    }
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
    // The same words as a program reads them, and their places.
    let said = stage.run(&["validate", &path, "--environment", "test", "--output", "json"]).exits(1).json();
    let places: Vec<String> = said["problems"].as_array().unwrap().iter().map(place).collect();
    expect![[r#"
        base/checks/run.yaml:2:1 the check run: the controller's list has no program "smoke"
        base/kv/other.yaml:1:1 the key other/a can't be a file, since other/a/b (base/kv/other.yaml:2) lies below it
        base/kv/other.yaml:1:1 the key other/a lies outside this environment's roots
        base/kv/other.yaml:2:1 the key other/a/b lies outside this environment's roots"#]]
    .assert_eq(&places.join("\n"));
    let mut alone = stage.command(&["validate", &path]);
    alone.env_remove("LOCKSTEP_CONFIG");
    super::stage::finish(alone).exits(0);
}

#[test]
fn environments_that_share_a_place_are_refused_offline() {
    let stage = Stage::new();
    let path = stage.repo.path().display().to_string();
    let consul = |roots: &str| format!("{{consul: {{address: 'http://127.0.0.1:8500'}}, keys: [{roots}]}}");
    for (test, more, expected) in [
        ("{directory: {path: ./live}}", "{directory: {path: ./x/../live/}}", "have the same directory"),
        (&consul("config/"), &consul("config/b/"), "may write the same keys of one Consul"),
    ] {
        stage.configure(&format!("  test: {test}\n  more: {more}\n"));
        let said = stage.run(&["validate", &path]).exits(1).err;
        assert!(said.contains(expected) && said.contains(":5:3: ") && said.contains("(at 4:3)"), "{said}");
    }
}

fn place(problem: &serde_json::Value) -> String {
    let text = |name: &str| problem[name].as_str().unwrap().to_owned();
    format!("{}:{}:{} {}", text("file"), problem["line"], problem["column"], text("message"))
}

#[test]
fn what_a_check_may_not_do_is_told_at_the_check_and_of_the_layer_that_counts() {
    let stage = Stage::with(&[
        MANIFEST,
        ENVIRONMENT,
        KEYS,
        ("base/checks/dns.yaml", "interval: 5s\nkind: dns\nname: build.service\n"),
        ("base/checks/raw.yaml", "kind: tcp\naddress: 10.0.0.7:80\n"),
        ("base/checks/catalog.yaml", "kind: consul-service\nservice: build\n"),
        ("base/checks/web.yaml", "kind: http\nservice: other\n"),
        ("environments/test/checks/web.yaml", "\nkind: http\npath: /health\nservice: build\n"),
    ]);
    let path = stage.repo.path().display().to_string();
    let said = stage.run(&["validate", &path, "--output", "json"]).exits(1).json();
    let places: Vec<String> = said["problems"].as_array().unwrap().iter().map(place).collect();
    expect![[r"
        base/checks/catalog.yaml:1:1 the check catalog: a directory has no catalog to ask
        base/checks/dns.yaml:2:1 the check dns: the environment has no DNS server to ask
        base/checks/raw.yaml:2:1 the check raw: raw addresses such as 10.0.0.7 are not allowed here
        environments/test/checks/web.yaml:4:1 the check web: the controller's configuration has no address of the service build"]]
    .assert_eq(&places.join("\n"));
    let shown = stage.run(&["validate", &path]).exits(1).out;
    assert!(shown.contains("2 | address: 10.0.0.7:80"), "{shown}");
}
