//! Questions about versions where people decided something between two deployments: a decision has a number and writes nothing.

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage};

const KEY: &str = "config/app/port";

#[test]
fn what_changed_since_a_commit_and_what_a_generation_was_are_told_of_deployments_and_not_of_decisions() {
    let own = format!("{}deletes: {{at_most: 0}}\n", ENVIRONMENT.1);
    let mut stage = Stage::with(&[MANIFEST, (ENVIRONMENT.0, &own), KEYS]);
    stage.run(&["apply", "--once"]).exits(0);
    let second = stage.repo.commit("fewer", &[(KEYS.0, "app: {port: 2, motd: hi}\n")]).short();
    let newer = |stage: &Stage| stage.run(&["kv", "list", "test", "--changed-since", &second]);
    stage.run(&["apply", "--once"]).exits(1);
    stage.run(&["release", "test", &second, "--allow-deletes", "1", "--reason", "meant"]).exits(0);
    let history = stage.run(&["history", "test"]).exits(0).out;
    assert!(history.contains(&format!("release  {second}")), "{history}");
    assert!(newer(&stage).exits(2).err.contains(&format!("test was never taken to {second}")));
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    stage.run(&["resume", "test"]).exits(0);
    stage.repo.commit("third", &[(KEYS.0, "app: {port: 3, motd: hi}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    let listed = newer(&stage).exits(0).out;
    assert!(listed.lines().count() == 1 && listed.starts_with("     6  ") && listed.contains(KEY), "{listed}");

    let at = |generation: &str| stage.run(&["kv", "get", KEY, "--env", "test", "--at", generation]);
    for (generation, value, note) in [
        ("1", "8080", None),
        ("2", "8080", Some(("release", 1))),
        ("3", "2", None),
        ("4", "2", Some(("suspend", 3))),
        ("5", "2", Some(("resume", 3))),
        ("6", "3", None),
    ] {
        let said = at(generation).exits(0);
        assert_eq!(said.out, value, "{generation}");
        assert_eq!(said.err.is_empty(), note.is_none(), "{said:?}");
        if let Some((what, live)) = note {
            let note = format!("note: generation {generation} of test is a decision and no deployment ({what} by ann@");
            assert!(said.err.starts_with(&note), "{said:?}");
            assert!(said.err.contains(&format!("live then was generation {live}, of ")), "{said:?}");
        }
    }
    let told = stage.run(&["kv", "get", KEY, "--env", "test", "--at", "4", "--output", "json"]).exits(0).json();
    assert_eq!((&told["generation"], &told["decision"]), (&3.into(), &4.into()), "{told:#}");
    let rendered = stage.run(&["render", "test", "--at", "5"]).exits(0);
    assert!(rendered.out.starts_with(&format!("test at {second}: 2 keys")), "{rendered:?}");
    assert!(rendered.err.contains("(resume by ann@"), "{rendered:?}");
    // What history forgot may have been a deployment.
    std::fs::remove_file(stage.home.path().join("test/.lockstep/history/3")).unwrap();
    let said = at("5").exits(2).err;
    assert!(said.contains("history does not have what was live then any more") && said.contains("hint:"), "{said}");
}

#[test]
fn a_commit_that_changed_no_key_stands_for_the_attempt_before_it_and_one_that_says_what_is_live_for_that() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let newer = |stage: &Stage, since: &str| {
        // What is fetched is known, whether the environment was taken there or not.
        stage.run(&["plan"]);
        stage.run(&["kv", "list", "test", "--changed-since", since])
    };
    let words = stage.repo.commit("Words", &[("README.md", "words\n")]).short();
    assert_eq!(newer(&stage, "HEAD").exits(0).out, "");
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(newer(&stage, "HEAD").exits(0).out, "");
    stage.repo.commit("second", &[(KEYS.0, "app: {port: 2, motd: hi}\n")]);
    let said = newer(&stage, "HEAD").exits(2).err;
    assert!(said.contains("test was never taken to"), "{said}");
    stage.repo.commit("More words", &[("README.md", "more\n")]);
    newer(&stage, "HEAD").exits(2);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(newer(&stage, "HEAD").exits(0).out, "");
    let listed = newer(&stage, &words).exits(0).out;
    assert!(listed.lines().count() == 2 && listed.starts_with("     2  "), "{listed}");
    // The branch is rewritten, and says what is live.
    stage.repo.amend("In other words", &[("README.md", "other\n")]);
    assert_eq!(newer(&stage, "HEAD").exits(0).out, "");
    // What was live before a rollback is found behind it.
    stage.run(&["rollback", "test", "--reason", "to see"]).exits(0);
    stage.run(&["apply", "--once"]).exits(1);
    let listed = newer(&stage, "HEAD").exits(0).out;
    assert!(listed.lines().count() == 3 && listed.lines().all(|line| line.starts_with("     3  ")), "{listed}");
}

#[test]
fn a_commit_that_was_never_live_stands_for_nothing_although_a_later_one_says_the_same() {
    let mut stage = Stage::new();
    let keys = |port: u32| format!("app: {{port: {port}}}\n");
    stage.run(&["apply", "--once"]).exits(0);
    let never = stage.repo.commit("Never live", &[(KEYS.0, &keys(2))]).short();
    for port in [3, 2] {
        stage.repo.commit("Live", &[(KEYS.0, &keys(port))]);
        stage.run(&["apply", "--once"]).exits(0);
    }
    let said = stage.run(&["kv", "list", "test", "--changed-since", &never]).exits(2).err;
    assert!(said.contains(&format!("test was never taken to {never}")), "{said}");
}

#[test]
fn a_commit_that_came_with_a_merge_or_with_others_stands_for_the_first_attempt_that_brought_it() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let since = |stage: &Stage, since: &str| stage.run(&["kv", "list", "test", "--changed-since", since]);
    let main = stage.repo.tip();
    stage.repo.on("feature").move_to(main);
    let feature = stage.repo.commit("Feature", &[("base/files/config/new", "1")]);
    stage.repo.on("main").commit("Words", &[("README.md", "words\n")]);
    stage.repo.merge("Merge the feature", feature);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(since(&stage, &feature.short()).exits(0).out, "");
    let keys = stage.repo.commit("Keys", &[(KEYS.0, "app: {port: 3}\n")]).short();
    stage.repo.commit("More words", &[("README.md", "more\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(since(&stage, &keys).exits(0).out, "");
    assert!(since(&stage, &feature.short()).exits(0).out.contains(KEY));
    // Of a branch that is gone nobody knows what it lost.
    let other = stage.repo.amend("In other words", &[]).short();
    stage.run(&["plan"]).exits(0);
    let head = stage.repo.tip();
    stage.repo.git().set_head_detached(git2::Oid::from_bytes(head.as_bytes()).unwrap()).unwrap();
    stage.repo.delete_branch("main");
    stage.run(&["plan"]).exits(1);
    assert_eq!(since(&stage, &other).exits(0).out, "");
}
