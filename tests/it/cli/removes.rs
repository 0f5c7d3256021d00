//! `env remove` on a directory, and on a command line that is wrong.

use super::stage::{Daemon, ENVIRONMENT, KEYS, Stage, until};

const OTHER: (&str, &str) = ("environments/other/environment.yaml", "layers: [base]\n");

/// An environment that was applied and retired since.
fn retired() -> Stage {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Another one", &[OTHER]);
    stage.repo.remove("Not needed any more", &[ENVIRONMENT.0]);
    stage
}

fn names(stage: &Stage, place: &str) -> Vec<String> {
    let entries = std::fs::read_dir(stage.home.path().join(place)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_retired_environment_goes_with_its_versions_and_its_state_and_comes_back_as_new() {
    let mut stage = retired();
    let said = stage.run(&["env", "remove", "test"]).exits(2).err;
    assert!(said.contains("3 keys deleted") && said.contains("- config/app/port") && said.contains("--yes"), "{said}");
    assert_eq!(stage.live().len(), 3);
    let said = stage.run(&["env", "remove", "test", "--yes", "--reason", "moved"]).exits(0).out;
    assert!(said.contains("test is removed") && said.contains("3 keys deleted"), "{said}");
    assert_eq!(names(&stage, "test"), [".lockstep"]);
    assert_eq!(names(&stage, "test/.lockstep"), ["answers", "history", "requests"]);
    let again = stage.run(&["env", "remove", "test", "--yes", "--output", "json"]).exits(0).json();
    assert_eq!(again["changed"], false, "{again}");
    assert!(stage.run(&["history", "test", "--removed"]).exits(0).out.contains("moved"));

    // A controller makes no record of what the branch does not have.
    let daemon = Daemon::start(&stage);
    daemon.says("the branch head has no such environment");
    assert_eq!(names(&stage, "test/.lockstep"), ["answers", "history", "requests"]);
    stage.repo.commit("Back", &[ENVIRONMENT]);
    until("it is back", || stage.live().len() == 3);
    until("it is proven", || stage.phase() == "steady");
    drop(daemon);
    let history = stage.run(&["history", "test", "--output", "json"]).exits(0).json();
    let numbers: Vec<_> =
        history["lines"].as_array().unwrap().iter().map(|line| line["generation"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [3, 2, 1], "{history:#}");
}

#[test]
fn files_of_others_stay_where_they_are() {
    let stage = retired();
    let current = stage.home.path().join("test/current");
    std::fs::write(current.join("config/by-hand"), "theirs").unwrap();
    std::fs::write(stage.home.path().join("test/beside"), "theirs").unwrap();
    std::fs::write(stage.home.path().join("test/versions/note"), "theirs").unwrap();
    stage.run(&["env", "remove", "test", "--yes"]).exits(0);
    assert_eq!(names(&stage, "test"), [".lockstep", "beside", "current", "versions"]);
    assert_eq!(stage.live(), [("config/by-hand".to_owned(), "theirs".to_owned())]);
    assert_eq!(names(&stage, "test/versions"), ["2", "note"]);
    // And a first use is one all the same.
    stage.run(&["init", "test"]).exits(0);
    assert_eq!(stage.live().len(), 1);
}

#[track_caller]
fn refused(stage: &Stage, says: &str) {
    let said = stage.run(&["env", "remove", "test", "--yes"]).exits(1).err;
    assert!(said.contains(says) && said.contains("hint:"), "{said}");
}

#[test]
fn what_is_not_retired_is_not_removed() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    refused(&stage, "has the environment test");
    let broken = stage.repo.commit("Broken", &[OTHER, (ENVIRONMENT.0, "layers: [base\n")]);
    refused(&stage, "invalid");
    stage.repo.revert(broken);
    stage.repo.delete_branch("main");
    refused(&stage, "branch main is gone");
    assert_eq!(stage.live(), before);
}

#[test]
fn the_last_environment_is_retired_by_a_repository_that_says_so_and_by_no_other_that_is_empty() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    stage.repo.remove("By accident", &[ENVIRONMENT.0]);
    refused(&stage, "there is no environment");
    let status = stage.run(&["plan", "test"]).exits(1).out;
    assert!(status.contains("environments/.gitkeep") || status.contains("nothing is deleted"), "{status}");
    stage.repo.commit("The last one is retired", &[("environments/.gitkeep", "")]);
    let said = stage.run(&["validate", "--rev", "HEAD", &stage.repo.path().display().to_string()]).exits(0).out;
    assert!(said.contains("those that were there before are retired"), "{said}");
    assert!(stage.run(&["plan", "test"]).exits(0).out.contains("not in this revision"));
    stage.run(&["apply", "--once"]);
    assert_eq!(stage.live(), before, "nothing goes unasked");
    let said = stage.run(&["env", "remove", "test", "--yes"]).exits(0).out;
    assert!(said.contains("3 keys deleted"), "{said}");
    // The same repository may have one again.
    stage.repo.commit("Back", &[ENVIRONMENT]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live(), before);
}

#[test]
fn the_command_line_is_read_with_care_and_explained_with_examples() {
    let stage = Stage::with(&[super::stage::MANIFEST, ENVIRONMENT, KEYS]);
    let help = stage.run(&["env", "remove", "--help"]).exits(0).out;
    for text in ["Examples:", "lockstep env remove staging --yes --at-most", "--reason", "Exits with 0"] {
        assert!(help.contains(text), "{text}: {help}");
    }
    for wrong in [
        &["env"][..],
        &["env", "remove"],
        &["env", "remove", "nowhere", "--yes"],
        &["env", "remove", "test", "--at-most", "-1"],
        &["env", "remove", "test", "--at-most", "many"],
        &["env", "remove", "test", "--reason", " "],
        &["env", "delete", "test"],
    ] {
        stage.run(wrong).exits(2);
    }
    // Nothing was ever there.
    stage.run(&["env", "remove", "test", "--yes"]).exits(1);
}
