//! `env remove` on a directory, and on a command line that is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::stage::{Daemon, ENVIRONMENT, KEYS, MANIFEST, Stage, until};

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
    let said = stage.run(&["history", "test", "--removed"]).exits(0);
    let note = "note: test was not removed: this is what `lockstep history test` shows, without --removed\n";
    assert_eq!((said.err.as_str(), said.out.as_str()), (note, stage.run(&["history", "test"]).exits(0).out.as_str()));
    let said = stage.run(&["env", "remove", "test", "--yes", "--reason", "moved"]).exits(0).out;
    assert!(said.contains("test is removed") && said.contains("3 keys deleted"), "{said}");
    assert!(stage.kept().is_empty(), "{:?}", stage.kept());
    assert_eq!(names(&stage, "test"), [".lockstep"]);
    assert_eq!(names(&stage, "test/.lockstep"), ["answers", "history", "requests"]);
    let again = stage.run(&["env", "remove", "test", "--yes", "--output", "json"]).exits(0).json();
    assert_eq!(again["changed"], false, "{again}");
    let said = stage.run(&["history", "test", "--removed"]).exits(0);
    assert!(said.out.contains("moved") && said.err.is_empty(), "{said:?}");
    let said = stage.run(&["history", "test"]).exits(0).out;
    assert_eq!(said, "test was removed: `lockstep history test --removed` shows what was done to it\n");

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
    let said = stage.run(&["kv", "get", "config/app/port", "--at", "2"]).exits(2).err;
    assert!(said.contains("generation 2 of test is its removal: nothing of it was live from then on"), "{said}");
}

#[test]
fn a_retired_environment_is_said_to_be_so_by_apply_and_by_status_and_no_controller_is_asked_for() {
    let stage = retired();
    let said = stage.run(&["apply", "--once", "test"]).exits(1).out;
    assert!(
        said.starts_with("test  retired, steady on ") && said.contains("has no environment test; nothing is written"),
        "{said}"
    );
    assert!(said.contains("hint: `lockstep env remove test` takes it out"), "{said}");
    let json = stage.run(&["apply", "--once", "test", "--output", "json"]).exits(1).json();
    let end = &json["environments"][0];
    assert_eq!((&end["retired"], &end["in_step"]), (&true.into(), &false.into()), "{json:#}");
    let said = stage.run(&["status", "test"]).exits(0).out;
    assert!(said.starts_with("test  steady, retired\n") && said.contains("`lockstep env remove test`"), "{said}");
    assert!(!said.contains("lockstep run") && !said.contains("apply --once"), "{said}");
}

#[test]
fn a_file_that_lost_its_mark_stays_and_is_named_before_and_after() {
    let stage = retired();
    let port = stage.home.path().join("test/current/config/app/port");
    std::fs::remove_file(&port).unwrap();
    std::fs::write(&port, "by hand").unwrap();
    let left = "  1 key of its last revision and without its mark stays as it is; delete it by hand if nobody needs it:\n    config/app/port\n";
    let said = stage.run(&["env", "remove", "test"]).exits(2).err;
    assert!(said.contains("2 keys deleted, 0 released") && said.contains(left), "{said}");
    let said = stage.run(&["env", "remove", "test", "--yes"]).exits(0).out;
    assert!(said.contains("2 keys deleted, 0 released") && said.contains(left), "{said}");
    assert_eq!(stage.live(), [("config/app/port".to_owned(), "by hand".to_owned())]);
    let said = stage.run(&["history", "test", "--removed"]).exits(0).out;
    assert!(said.contains("removed; 1 key without its mark stays"), "{said}");
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

#[test]
fn a_controller_gives_the_lease_of_a_retired_environment_up_although_a_contested_key_waits_for_its_next_repair() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Another one", &[OTHER]);
    let daemon = Daemon::start(&stage);
    daemon.says("lease-gained");
    let port = || stage.home.path().join("test/current/config/app/port");
    let contested = || {
        let status = stage.run(&["status", "test", "--output", "json"]).json();
        status["environments"][0]["contested"].as_array().is_some_and(|keys| !keys.is_empty())
    };
    for turn in 0..3 {
        std::fs::remove_file(port()).unwrap();
        std::fs::write(port(), format!("by hand {turn}")).unwrap();
        until("it is repaired", || std::fs::read_to_string(port()).is_ok_and(|value| value == "8080"));
    }
    until("it is contested", contested);
    std::fs::remove_file(port()).unwrap();
    stage.repo.remove("Not needed any more", &[ENVIRONMENT.0]);
    let said = stage.run(&["env", "remove", "test", "--yes"]).exits(0);
    assert!(said.out.contains("test is removed"), "{said:?}");
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

/// Where in a removal its process is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// The record says that a removal is under way.
    Opened,
    /// The version without a file is built.
    Built,
    /// `current` shows it.
    Switched,
    /// `current` is gone.
    Unlinked,
    /// Of the version that was live nothing is left.
    Cleared,
    /// Its line of history is closed.
    Closed,
    /// After so many microseconds from the moment that the record says so.
    After(u64),
}

/// The live version: its generation, and a part where one generation has several.
fn version(place: &Path) -> Option<String> {
    Some(std::fs::read_link(place.join("current")).ok()?.file_name()?.to_str()?.to_owned())
}

impl Point {
    fn is_reached(self, place: &Path, before: &str, opened: &mut Option<Instant>) -> bool {
        let next = before.split('-').next().and_then(|generation| generation.parse::<u32>().ok()).unwrap() + 1;
        let says = |file: &Path, word: &str| std::fs::read_to_string(file).is_ok_and(|text| text.contains(word));
        let record = place.join(".lockstep/record");
        if opened.is_none() && says(&record, "\"intent\":\"remove\"") {
            *opened = Some(Instant::now());
        }
        let live = version(place);
        match self {
            Self::Opened => opened.is_some(),
            Self::Built => place.join(format!("versions/{next}.manifest")).exists(),
            Self::Switched => live.as_deref() != Some(before),
            Self::Unlinked => live.is_none(),
            Self::Cleared => !place.join(format!("versions/{before}")).exists(),
            Self::Closed => !record.exists() || says(&place.join(format!(".lockstep/history/{next}")), "\"removed\""),
            Self::After(micros) => opened.is_some_and(|at| at.elapsed() >= Duration::from_micros(micros)),
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Removes, and kills the process that does it at this point, or sees it end first.
fn killed_at(stage: &Stage, place: &Path, point: Point) {
    let (before, mut opened) = (version(place).unwrap(), None);
    let mut command = stage.command(&REMOVE);
    let mut removal = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let limit = Instant::now() + Duration::from_secs(20);
    while !point.is_reached(place, &before, &mut opened) && removal.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < limit, "{point:?} was not reached");
        std::thread::yield_now();
    }
}

const REMOVE: [&str; 6] = ["env", "remove", "test", "--yes", "--at-most", "2000"];

#[test]
fn a_removal_that_is_killed_anywhere_is_finished_by_the_next_one_or_undone_by_a_commit_and_never_shows_half_a_version() {
    let many: String = (0..400).map(|key| format!("k{key:03}: {key}\n")).collect::<Vec<_>>().concat();
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, ("base/kv/config.yaml", &many)]);
    let place = stage.home.path().join("test");
    stage.run(&["apply", "--once"]).exits(0);
    let wanted = stage.live();
    let theirs = [place.join("beside"), place.join("versions/note")];
    for path in &theirs {
        std::fs::write(path, "theirs").unwrap();
    }
    stage.repo.commit("Another one", &[OTHER]);
    let mut points = vec![Point::Opened, Point::Opened, Point::Built, Point::Built, Point::Switched, Point::Switched];
    points.extend([Point::Unlinked, Point::Cleared, Point::Closed]);
    points.extend((0..6).map(|step| Point::After(1_300 * step * step)));
    let mut seen = BTreeSet::new();
    for (turn, point) in points.into_iter().enumerate() {
        let retired = stage.repo.remove("Not needed any more", &[ENVIRONMENT.0]);
        killed_at(&stage, &place, point);
        let live = stage.live();
        assert!(live == wanted || live.is_empty(), "{point:?}: {} of {} files are live", live.len(), wanted.len());
        let has_record = place.join(".lockstep/record").exists();
        seen.insert((live.is_empty(), has_record));
        if turn % 2 == 0 {
            stage.run(&REMOVE).exits(0);
            assert_eq!(names(&stage, "test"), [".lockstep", "beside", "versions"], "{point:?}");
            assert_eq!(names(&stage, "test/versions"), ["note"], "{point:?}");
            assert_eq!(names(&stage, "test/.lockstep"), ["answers", "history", "requests"], "{point:?}");
        }
        // Whatever was gone by then: a commit that brings the environment back brings every file back.
        stage.repo.revert(retired);
        stage.run(&["apply", "--once"]).exits(0);
        assert_eq!(stage.live(), wanted, "{point:?}");
        for path in &theirs {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "theirs", "{point:?}: {}", path.display());
        }
        let history = stage.run(&["history", "test", "--limit", "1000", "--output", "json"]).exits(0).json();
        assert!(history["lines"].as_array().unwrap().iter().all(|line| line["outcome"].is_string()), "{point:?}: {history:#}");
    }
    assert!(seen.contains(&(false, true)) || seen.contains(&(true, true)), "never killed half-way: {seen:?}");
}
