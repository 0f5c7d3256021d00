//! What `status`, `plan` and `rollback` say while something waits: for a person, for a check, or for a controller.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use lockstep::domain::revision::Revision;

use super::stage::{Daemon, ENVIRONMENT, KEYS, MANIFEST, Stage, finish, until};
use crate::support::ports::free_place;

/// The only environment, as `status` tells it to programs.
fn status(stage: &Stage) -> serde_json::Value {
    stage.run(&["status", "--output", "json"]).exits(0).json()["environments"][0].take()
}

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_rollback_that_waits_for_resume_is_shown_with_what_is_live_and_with_its_keys() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let (first, before) = (stage.repo.tip().short(), stage.live());
    let second = stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]).short();
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["suspend", "test", "--until", "2h", "--reason", "migration"]).exits(0);
    stage.run(&["rollback", "test", "--reason", "slow"]).exits(0);

    let said = stage.run(&["status"]).exits(0).out;
    let next = format!("next         rollback to {first} waits: suspended by ann@");
    says(&said, &["test  applying, suspended\n", &format!("live         {second} Second, generation 2\n"), &next]);
    says(
        &said,
        &["migration; `lockstep resume test` carries it out\n", "is not followed (pinned)", "rollback by ann@", "not begun"],
    );
    let told = status(&stage);
    assert!(told["live"]["revision"].as_str().unwrap().starts_with(&second), "{told:#}");
    assert!(told["goal"]["revision"].as_str().unwrap().starts_with(&first) && told["waits"].is_string(), "{told:#}");
    assert!(told["headline"].as_str().unwrap().contains(&format!("on {second}; a rollback to {first} waits")), "{told:#}");

    let plan = stage.run(&["plan"]).exits(3).out;
    let headline = format!("test  2 to create, 1 to update by the rollback to {first}, which goes first\n");
    says(
        &plan,
        &[&headline, &format!("the rollback to {first} waits: suspended by ann@"), "~ config/app/port", "+ config/app/motd"],
    );
    says(&plan, &["      - 2\n", "      + 8080\n"]);
    let planned = stage.run(&["plan", "--output", "json"]).exits(3).json()["environments"][0].take();
    assert_eq!(planned["first"]["intent"], "rollback", "{planned:#}");
    assert_eq!(planned["first"]["changes"].as_array().unwrap().len(), 3, "{planned:#}");
    assert!(planned["changes"].as_array().unwrap().is_empty(), "{planned:#}");
    // Of the revision itself it is the same attempt, and no drift.
    let plan = stage.run(&["plan", "--rev", &first]).exits(3).out;
    says(&plan, &["test  2 to create, 1 to update\n", "not applied: suspended by ann@", "~ config/app/port"]);

    let again = stage.run(&["rollback", "test", "--reason", "twice"]).exits(0).out;
    says(&again, &[&format!("nothing to do: it is going to {first} already; still nothing is written before")]);
    let rejected = status(&stage)["rejected"].take();
    assert_eq!(rejected.as_array().unwrap().len(), 1, "only what was live is rejected: {rejected}");
    stage.run(&["resume", "test"]).exits(0);
    stage.run(&["apply", "--once"]).exits(1);
    assert_eq!((stage.live(), stage.phase().as_str()), (before, "held-after-rollback"));
}

#[test]
fn a_decision_is_in_status_at_once_although_no_controller_runs() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    stage.run(&["apply", "--once"]).exits(1);
    let port = stage.home.path().join("test/current/config/app/port");
    std::fs::remove_file(&port).unwrap();
    std::fs::write(&port, "1").unwrap();
    stage.run(&["apply", "--once"]).exits(1);
    assert_eq!(status(&stage)["head"]["verdict"], "suspended");

    let again = stage.run(&["suspend", "test", "--reason", "migration", "--output", "json"]).exits(0).json();
    assert_eq!((&again["accepted"], &again["changed"]), (&true.into(), &false.into()), "{again}");
    stage.run(&["resume", "test"]).exits(0);
    let told = status(&stage);
    assert_eq!((&told["phase"], &told["head"]["verdict"]), (&"steady".into(), &"not-judged".into()), "{told:#}");
    assert_eq!(told["drift"]["keys"], 1, "it is there still: {told:#}");
    let said = stage.run(&["status"]).exits(0).out;
    says(&said, &["drift        1 key differs from the revision and is put right next\n"]);
    assert!(!said.contains("suspended"), "{said}");
    // Two decisions had a number each, and the keys are as the first attempt wrote them.
    assert_eq!((&told["generation"], &told["last_generation"]), (&1.into(), &3.into()), "{told:#}");
    assert_eq!(told["goal"]["generation"], told["generation"], "{told:#}");
    says(&said, &["generation 1 since"]);

    stage.run(&["suspend", "test", "--reason", "again", "--until", "1s"]).exits(0);
    until("the suspension is over, and nobody was there", || status(&stage)["suspension"].is_null());
    assert!(!stage.run(&["status"]).exits(0).out.contains("suspended"));
}

#[test]
fn while_a_revision_is_judged_status_names_the_check_that_does_not_pass_the_deadline_and_a_newer_head() {
    let dead = free_place();
    let rules = "layers: [base]\nrollout: {min_healthy_time: 10s, healthy_deadline: 10m, fail_after: 3}\n";
    let check = ("base/checks/web.yaml", "kind: tcp\nservice: dead\ninterval: 200ms\ntimeout: 200ms\n");
    let mut stage = Stage::with(&[MANIFEST, (ENVIRONMENT.0, rules), KEYS, check]);
    stage.configure(&format!("  test: {{directory: {{path: ./test, services: {{dead: {dead}}}}}}}\n"));
    let first = stage.repo.tip().short();
    let daemon = Daemon::start(&stage);
    until("the check is named", || {
        status(&stage)["reason"].as_str().is_some_and(|reason| reason.starts_with("not passing: web ("))
    });
    let told = status(&stage);
    assert_eq!((&told["phase"], &told["verifying"]["healthy_seconds"]), (&"verifying".into(), &10.0.into()), "{told:#}");
    assert!(told["verifying"]["deadline"].is_string() && told["headline"].as_str().unwrap().contains("web"), "{told:#}");
    says(
        &stage.run(&["status"]).exits(0).out,
        &["waits        for every check to pass for 10s, by 2", " (in 9m", &format!("in step with {first}")],
    );
    let generation = &told["last_generation"];

    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    let newer = stage.repo.commit("Newer", &[(KEYS.0, "app: {port: 2}\n")]);
    until("the newer head is named", || status(&stage)["head"]["revision"] == newer.to_string());
    let told = status(&stage);
    assert_eq!((&told["phase"], &told["head"]["verdict"]), (&"verifying".into(), &"suspended".into()), "{told:#}");
    assert_eq!(told["last_generation"], generation.as_u64().unwrap() + 1, "{told:#}");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn wait_ends_when_a_commit_is_proven_or_when_it_will_not_be() {
    let mut stage = Stage::new();
    let first = stage.repo.tip();
    let daemon = Daemon::start(&stage);
    let told = stage.run(&["wait", "test", "--timeout", "60s", "--output", "json"]).exits(0).json();
    assert_eq!((told["proven"].as_bool(), told["live"].as_str()), (Some(true), Some(first.to_string().as_str())), "{told:#}");
    // A commit that changes nothing is in step at once.
    let readme = stage.repo.commit("Words", &[("README.md", "words\n")]).short();
    let said = stage.run(&["wait", "test", "--revision", &readme, "--timeout", "60s"]).exits(0).out;
    says(&said, &[&format!("test  proven, generation 1: {} is proven, which says the same as {readme}\n", first.short())]);
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    let second = stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]).short();
    let said = stage.run(&["wait", "test", "--revision", &second, "--timeout", "2s"]).exits(1).out;
    says(&said, &["test  not proven: not within 2s: suspended by ann@"]);
    stage.run(&["resume", "test", "--reason", "over"]).exits(0);
    stage.run(&["wait", "test", "--revision", &second, "--timeout", "60s"]).exits(0);
    // What a newer proven commit holds is proven with it.
    let said = stage.run(&["wait", "test", "--revision", &first.short(), "--timeout", "60s"]).exits(0).out;
    says(&said, &[&format!("{second} is proven, which has {}", first.short())]);
    stage.run(&["rollback", "test", "--reason", "slow"]).exits(0);
    let said = stage.run(&["wait", "test", "--revision", &second, "--timeout", "60s"]).exits(1).out;
    says(&said, &[&format!("{second} is rejected: rolled back by ann@")]);
    stage.run(&["wait", "test", "--revision", "0000000"]).exits(2);
    daemon.stop();
}

/// `wait` of another machine, which has a mirror of its own.
fn elsewhere(stage: &Stage, arguments: &[&str]) -> Command {
    let text = std::fs::read_to_string(stage.config()).unwrap();
    let config = stage.home.path().join("elsewhere.yaml");
    std::fs::write(&config, text.replace("data_dir: ./data", "data_dir: ./elsewhere")).unwrap();
    let mut command = stage.command(&[&["wait"], arguments].concat());
    command.env("LOCKSTEP_CONFIG", config).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether the mirror of that machine has a commit.
fn has_elsewhere(stage: &Stage, revision: Revision) -> bool {
    let mirrors = std::fs::read_dir(stage.home.path().join("elsewhere")).into_iter().flatten();
    let mut paths = mirrors.map(|mirror| mirror.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "git"));
    let id = git2::Oid::from_bytes(revision.as_bytes()).unwrap();
    paths.any(|path| {
        let branch = git2::Repository::open_bare(path).and_then(|mirror| mirror.refname_to_id("refs/remotes/origin/main"));
        branch.is_ok_and(|at| at == id)
    })
}

#[test]
fn on_another_machine_wait_ends_too_when_a_commit_is_proven_that_came_after_it_began() {
    let mut stage = Stage::new();
    let daemon = Daemon::start(&stage);
    stage.run(&["wait", "test", "--timeout", "60s"]).exits(0);
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    let second = stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    let waiting = elsewhere(&stage, &["test", "--revision", &second.to_string(), "--timeout", "60s"]).spawn().unwrap();
    until("the other machine has the second commit", || has_elsewhere(&stage, second));
    let third = stage.repo.commit("Third", &[(KEYS.0, "app: {port: 3}\n")]);
    stage.run(&["resume", "test"]).exits(0);
    let output = waiting.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    says(&out, &[&format!("{} is proven, which has {}", third.short(), second.short())]);
    // One that the repository never had is not waited for by mistake.
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    let fourth = stage.repo.commit("Fourth", &[(KEYS.0, "app: {port: 4}\n")]).to_string();
    let said = finish(elsewhere(&stage, &["test", "--revision", &fourth, "--timeout", "2s"]));
    says(&said.exits(1).out, &["not within 2s: suspended by ann@"]);
    daemon.stop();
}

#[test]
fn a_commit_that_asks_to_try_a_rejected_change_again_is_waited_for() {
    let place = free_place();
    let mut stage = Stage::new();
    stage.configure(&format!("  test: {{directory: {{path: ./test, services: {{web: {place}}}}}}}\n"));
    stage.run(&["apply", "--once"]).exits(0);
    let check = "kind: tcp\nservice: web\ninterval: 200ms\ntimeout: 200ms\n";
    let rejected = stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n"), ("base/checks/web.yaml", check)]);
    stage.run(&["apply", "--once"]).exits(1);
    let wait = |stage: &Stage, revision: Revision| {
        stage.run(&["wait", "test", "--revision", &revision.to_string(), "--timeout", "2s"])
    };
    says(&wait(&stage, rejected).exits(1).out, &[&format!("{} is rejected: ", rejected.short())]);
    let again = stage.repo.commit_nothing("Again\n\nLockstep-Retry: test\n");
    says(&wait(&stage, again).exits(1).out, &[&format!("not within 2s: nothing of {} is written yet", again.short())]);
    let _service = TcpListener::bind(place).unwrap();
    stage.run(&["apply", "--once"]).exits(0);
    wait(&stage, again).exits(0);
}

#[test]
fn a_commit_that_asked_to_try_again_and_was_rejected_at_a_newer_one_is_lost_on_a_machine_without_that() {
    let place = free_place();
    let mut stage = Stage::new();
    stage.configure(&format!("  test: {{directory: {{path: ./test, services: {{web: {place}}}}}}}\n"));
    stage.run(&["apply", "--once"]).exits(0);
    let check = "kind: tcp\nservice: web\ninterval: 200ms\ntimeout: 200ms\n";
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n"), ("base/checks/web.yaml", check)]);
    stage.run(&["apply", "--once"]).exits(1);
    let again = stage.repo.commit_nothing("Again\n\nLockstep-Retry: test\n");
    let waiting = elsewhere(&stage, &["test", "--revision", &again.to_string(), "--timeout", "40s"]).spawn().unwrap();
    until("the other machine has the commit that asks for it", || has_elsewhere(&stage, again));
    stage.repo.commit("Words", &[("README.md", "words\n")]);
    stage.run(&["apply", "--once"]).exits(1);
    let output = waiting.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    says(&out, &[&format!("not proven: {} is rejected: ", again.short())]);
}

#[test]
fn a_rename_that_is_not_carried_out_yet_is_waited_for() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let file = format!("{}formerly: test\n", ENVIRONMENT.1);
    stage.repo.remove("Test is not called so any more", &[ENVIRONMENT.0]);
    stage.repo.commit("Preview was test", &[("environments/preview/environment.yaml", &file)]);
    stage.configure("  preview: {directory: {path: ./test}}\n");
    let said = stage.run(&["wait", "preview", "--timeout", "2s"]).exits(1).out;
    says(&said, &["preview  not proven: not within 2s: preview has still to take over the record of test"]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["wait", "preview", "--timeout", "60s"]).exits(0);
    // Under the old name nobody comes any more.
    stage.configure("  test: {directory: {path: ./test}}\n");
    let first = stage.repo.git().revparse_single("main~2").unwrap().id().to_string();
    let said = stage.run(&["wait", "test", "--revision", &first, "--timeout", "60s"]).exits(1).err;
    says(&said, &["it holds environment preview"]);
}
