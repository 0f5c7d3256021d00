//! Every verb that takes a commit for one environment takes the number of a generation of it as well.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use expect_test::expect;

use super::stage::{ENVIRONMENT, KEYS, Stage};

const KEY: &str = "config/app/port";

/// Generations 1 and 4, and two decisions between them.
fn deployed() -> Stage {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    stage.run(&["resume", "test"]).exits(0);
    stage.repo.commit("second", &[(KEYS.0, &KEYS.1.replace("8080", "9090"))]);
    stage.run(&["apply", "--once"]).exits(0);
    stage
}

#[test]
fn each_verb_takes_a_commit_or_a_generation_and_says_what_a_decision_stands_for() {
    let stage = deployed();
    let note = "is a decision and no deployment (suspend by ann@";
    for (verb, code, says, noted) in [
        (&["why", KEY, "--at", "1"][..], 0, "config/app/port at 16e0d4f (generation 1)\ntest: 8080\n", false),
        (&["why", KEY, "--at", "HEAD~1"], 0, "config/app/port at 16e0d4f\ntest: 8080\n", false),
        (&["why", KEY, "--at", "2"], 0, "config/app/port at 16e0d4f (generation 1)\ntest: 8080\n", true),
        (&["kv", "get", KEY, "--at", "1"], 0, "8080", false),
        (&["kv", "log", KEY, "--at", "1"], 0, "config/app/port in test\n  16e0d4f  ", false),
        (&["kv", "log", KEY, "--at", "2"], 0, "config/app/port in test\n  16e0d4f  ", true),
        (&["render", "test", "--at", "2"], 0, "test at 16e0d4f: 3 keys", true),
        (&["diff", "1", "4", "--env", "test"], 3, "16e0d4f (generation 1) → ", false),
        (&["diff", "2", "HEAD", "--env", "test"], 3, "16e0d4f (generation 1) → ", true),
        (&["diff", "HEAD~1", "1", "--env", "test"], 0, "16e0d4f → 16e0d4f (generation 1)\ntest: the same\n", false),
    ] {
        let said = stage.run(verb).exits(code);
        assert!(said.out.starts_with(says), "{verb:?}: {}", said.out);
        assert_eq!(said.err.contains(note), noted, "{verb:?}: {}", said.err);
    }
    let diff = stage.run(&["diff", "2", "4", "--env", "test", "--output", "json"]).exits(3).json();
    assert_eq!((&diff["from_generation"], &diff["to_generation"]), (&1.into(), &4.into()), "{diff:#}");
    let why = stage.run(&["why", KEY, "--at", "2", "--output", "json"]).exits(0).json();
    assert_eq!((&why["generation"], &why["decision"]), (&1.into(), &2.into()), "{why:#}");
    for verb in [
        &["why", KEY, "--at", "9"][..],
        &["kv", "log", KEY, "--at", "9"],
        &["kv", "get", KEY, "--at", "9"],
        &["render", "test", "--at", "9"],
        &["diff", "1", "9", "--env", "test"],
        &["rollback", "test", "--to", "9", "--reason", "x"],
    ] {
        let said = stage.run(verb).exits(2).err;
        assert!(said.contains("test has no generation 9 yet: the newest is 4"), "{verb:?}: {said}");
    }
}

#[test]
fn an_environment_goes_back_to_a_generation_by_its_number() {
    for (to, noted) in [("1", false), ("2", true)] {
        let stage = deployed();
        let said = stage.run(&["rollback", "test", "--to", to, "--reason", "it was well"]).exits(0);
        assert_eq!(said.err.contains("live then was generation 1, of 16e0d4f"), noted, "{said:?}");
        assert!(stage.live().contains(&(KEY.to_owned(), "8080".to_owned())), "{:?}", stage.live());
    }
}

#[test]
fn a_generation_without_the_environment_that_it_is_of_is_refused() {
    let mut stage = deployed();
    expect![[r#"
        error: 1 is the number of a generation, and each environment has its own
          hint: say which: --env test
    "#]]
    .assert_eq(&stage.run(&["diff", "1", "4"]).exits(2).err);
    stage.repo.commit("another", &[("environments/other/environment.yaml", ENVIRONMENT.1)]);
    stage.configure("  other: {directory: {path: ./other}}\n  test: {directory: {path: ./test}}\n");
    expect![[r#"
        error: 1 is the number of a generation, and each environment has its own
          hint: say which: --env other, --env test
    "#]]
    .assert_eq(&stage.run(&["why", KEY, "--at", "1"]).exits(2).err);
    for verb in [
        &["diff", "1", "HEAD"][..],
        &["diff", "HEAD", "1", "--env", "test", "--env", "other"],
        &["diff", "HEAD", "1", "--env", "nowhere"],
        &["why", KEY, "--at", "1", "--env", "test", "--env", "other"],
        &["kv", "log", KEY, "--at", "1"],
    ] {
        let said = stage.run(verb).exits(2).err;
        assert!(said.contains("1 is the number of a generation, and each environment has its own"), "{verb:?}: {said}");
        assert!(said.contains("hint: say which: --env other, --env test"), "{verb:?}: {said}");
    }
    // Four digits may begin a commit's id as well.
    let said = stage.run(&["why", KEY, "--at", "7777"]).exits(2).err;
    assert!(said.contains("there is no such commit"), "{said}");
    assert!(
        said.contains("hint: if 7777 is the number of a generation, and each environment has its own, say which: --env "),
        "{said}"
    );
    stage.run(&["why", KEY, "--at", "1", "--env", "test"]).exits(0);
    stage.run(&["kv", "log", KEY, "--at", "HEAD"]).exits(0);
}
