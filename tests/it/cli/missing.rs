//! Questions about versions where something is missing: the environment, the history, the generation, or most of the past.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use expect_test::expect;

use super::stage::{ENVIRONMENT, KEYS, Stage};

const KEY: &str = "config/app/port";

#[test]
fn an_environment_to_which_nothing_was_applied_says_so() {
    let stage = Stage::new();
    for (verb, note) in [
        (&["kv", "list", "test"][..], "note: nothing was ever applied to test\n"),
        (&["kv", "list", "test", "config/"], "note: nothing was ever applied to test\n"),
        (&["kv", "list", "test", "--changed-since", "1h"], "note: nothing was ever applied to test\n"),
    ] {
        let said = stage.run(verb).exits(0);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", note), "{verb:?}");
    }
    let listed = stage.run(&["kv", "list", "test", "--output", "json"]).exits(0).json();
    assert_eq!((&listed["deployed"], &listed["keys"]), (&false.into(), &serde_json::json!([])), "{listed}");
    expect![[r#"
        error: test has no generation 3: nothing was ever applied to it
    "#]]
    .assert_eq(&stage.run(&["kv", "get", KEY, "--at", "3"]).exits(2).err);
    for verb in [&["kv", "get", KEY, "--at", "deadbeef"][..], &["wait", "test", "--revision", "deadbeef"]] {
        let said = stage.run(verb).exits(2).err;
        assert!(said.contains("there is no such commit") && said.contains("hint: name a commit of the branch"), "{said}");
    }
    stage.run(&["kv", "list", "test", "--changed-since", "3"]).exits(2);
    stage.run(&["render", "test", "--at", "3"]).exits(2);
    let log = stage.run(&["kv", "log", KEY]).exits(0).out;
    assert!(log.contains("never live"), "{log}");
    // The place itself may be missing: a mistyped path must not look like an empty environment.
    stage.configure("  test: {directory: {path: ./no/where}}\n");
    let said = stage.run(&["kv", "list", "test"]).exits(4).err;
    assert!(said.contains("make the parent directory"), "{said}");
}

#[test]
fn a_log_says_nothing_of_what_was_live_where_nobody_can_say_and_tells_commits_that_cannot_be_read() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let unknown = |stage: &Stage, why: &str| {
        let said = stage.run(&["kv", "log", KEY]).exits(0);
        assert!(said.out.contains("by Tester  not known whether live\n") && !said.out.contains("never live"), "{said:?}");
        assert!(said.err.contains("note: what was live in ") && said.err.contains(why), "{said:?}");
        let log = stage.run(&["kv", "log", KEY, "--output", "json"]).exits(0).json();
        let version = &log["environments"][0]["versions"][0];
        assert!(version["live"].is_null() && version["generations"].is_null(), "{log:#}");
        assert!(version.get("live").is_some(), "{log:#}");
    };
    stage.configure("  test: {directory: {path: ./no/where}}\n");
    unknown(&stage, "is not known: ");
    let renamed = format!("{}formerly: test\n", ENVIRONMENT.1);
    stage.repo.commit("Preview was test", &[("environments/preview/environment.yaml", &renamed)]);
    stage.configure("  preview: {directory: {path: ./test}}\n");
    unknown(&stage, "test");
    stage.repo.commit("Broken", &[("base/kv/x.yaml", "bad: [\n")]);
    let said = stage.run(&["kv", "log", "x/bad"]).exits(1).out;
    assert!(said.contains("  no commit of the branch had the key, as far as they can be read\n"), "{said}");
    assert!(said.contains(" was invalid: base/kv/x.yaml:"), "{said}");
    let log = stage.run(&["kv", "log", "x/bad", "--output", "json"]).exits(1).json();
    assert_eq!(log["environments"][0]["invalid"][0]["revision"], stage.repo.tip().to_string(), "{log:#}");
}

#[test]
fn a_list_that_is_empty_says_of_what_there_is_none() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let note = |rest: &[&str]| stage.run(&[&["kv", "list", "test"], rest].concat()).exits(0).err;
    assert_eq!(note(&["config/nothing"]), "note: test has no key that begins with config/nothing\n");
    assert_eq!(note(&["--changed-since", "1"]), "note: no key of test has a newer value than 1\n");
    assert_eq!(note(&["config/", "--changed-since", "1"]), "note: no key of test below config/ has a newer value than 1\n");
    assert_eq!(note(&[]), "");
}

#[test]
fn a_generation_that_history_forgot_is_named_as_such() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    for port in ["1", "2"] {
        stage.repo.commit(port, &[(KEYS.0, &KEYS.1.replace("8080", port))]);
        stage.run(&["apply", "--once"]).exits(0);
    }
    assert_eq!(stage.run(&["kv", "get", KEY, "--at", "1"]).exits(0).out, "8080");
    assert!(stage.run(&["render", "test", "--at", "1"]).exits(0).out.contains("config/app/port = 8080"));
    // As retention does once a thousand newer ones exist and no live key carries it.
    std::fs::remove_file(stage.home.path().join("test/.lockstep/history/1")).unwrap();
    for verb in [&["kv", "get", KEY, "--at", "1"][..], &["render", "test", "--at", "1"]] {
        expect![[r#"
            error: the history of test does not have generation 1 any more
              hint: it keeps the newest thousand, and those that a live key carries; `lockstep kv log` has every commit, `lockstep history test` lists them
        "#]]
        .assert_eq(&stage.run(verb).exits(2).err);
    }
    let newer = stage.run(&["kv", "list", "test", "--changed-since", "1"]).exits(0).out;
    assert_eq!(newer.lines().count(), 1, "{newer}");
    let log = stage.run(&["kv", "log", KEY]).exits(0).out;
    assert_eq!(log.matches("by Tester").count(), 3, "{log}");
}

#[test]
fn a_long_past_is_told_page_by_page_and_a_page_does_not_grow_with_it() {
    const VERSIONS: usize = 10_000;
    let mut stage = Stage::new();
    stage.repo.versions_of(KEYS.0, (1..VERSIONS).map(|port| format!("app: {{port: {port}}}\n")));
    let page = |at: &str| stage.run(&["kv", "log", KEY, "--at", at]).exits(0).out;
    let first = page("HEAD");
    assert_eq!(first.matches("by Tester").count(), 20, "{first}");
    let next = first.lines().last().unwrap().split("--at ").nth(1).unwrap().split(' ').next().unwrap();
    let second = page(next);
    assert!(first.contains(&format!("  {}  (base", VERSIONS - 20)) && second.contains(&format!("  {}  (base", VERSIONS - 21)));
    let all = stage.run(&["kv", "log", KEY, "--limit", "60000", "--output", "json"]).exits(0).json();
    let of_test = &all["environments"][0];
    assert_eq!((of_test["versions"].as_array().unwrap().len(), &of_test["more"]), (VERSIONS, &false.into()));
}

#[test]
fn a_shallow_repository_is_refused_with_the_command_that_mends_it() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("second", &[(KEYS.0, &KEYS.1.replace("8080", "9090"))]);
    let url = format!("file://{}", stage.repo.path().display());
    let clone = stage.home.path().join("shallow.git");
    let cloned = std::process::Command::new("git").args(["clone", "-q", "--bare", "--depth=1", &url]).arg(&clone).status();
    assert!(cloned.unwrap().success());
    let configure = |data: &str| {
        let text = format!(
            "repository: {{url: {}}}\ndata_dir: {data}\nenvironments:\n  test: {{directory: {{path: ./test}}}}\n",
            clone.display()
        );
        std::fs::write(stage.config(), text).unwrap();
    };
    configure("./fresh");
    let said = stage.run(&["kv", "log", KEY]).exits(1).err;
    assert!(said.contains("is a shallow clone") && said.contains("git fetch --unshallow"), "{said}");
}

#[test]
fn without_a_branch_each_verb_names_the_option_that_it_has_for_a_commit() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.delete_branch("main");
    for (verb, option) in [
        (&["why", KEY][..], "--at"),
        (&["kv", "log", KEY], "--at"),
        (&["render", "test"], "--at"),
        (&["wait", "test"], "--revision"),
        (&["plan"], "--rev"),
    ] {
        let said = stage.run(verb).exits(1).err;
        let hint = format!("hint: a commit that the mirror has can be named with {option}\n");
        assert!(said.contains("branch main is gone") && said.ends_with(&hint), "{verb:?}: {said}");
    }
}

#[test]
fn a_value_that_may_have_been_live_with_a_generation_that_history_forgot_is_not_called_never_live() {
    let mut stage = Stage::new();
    for port in [1, 2, 3] {
        stage.repo.commit("Another port", &[(KEYS.0, &format!("app: {{port: {port}}}\n"))]);
        stage.run(&["apply", "--once"]).exits(0);
    }
    let log = |stage: &Stage| stage.run(&["kv", "log", "config/app/port", "--output", "json"]).exits(0).json();
    let live = |log: &serde_json::Value| {
        let versions = log["environments"][0]["versions"].as_array().unwrap().clone();
        versions.into_iter().map(|version| version["live"].clone()).collect::<serde_json::Value>()
    };
    assert_eq!(live(&log(&stage)), serde_json::json!([true, false, false, false]));
    std::fs::remove_file(stage.home.path().join("test/.lockstep/history/2")).unwrap();
    let told = log(&stage);
    assert_eq!(live(&told), serde_json::json!([true, null, false, null]), "{told:#}");
    let said = stage.run(&["kv", "log", "config/app/port"]).exits(0).out;
    assert_eq!(said.matches("not known whether live").count(), 2, "{said}");
    assert!(said.contains("was live: generation 1") && !said.contains("never live"), "{said}");
}
