//! Verbs that act, with and without a controller.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::stage::{Daemon, ENVIRONMENT, KEYS, MANIFEST, Stage, until};
use crate::support::ports::free_place;

#[test]
fn init_prints_the_line_to_pin_and_works_once() {
    let stage = Stage::new();
    let said = stage.run(&["init", "test"]).exits(0).out;
    let id = said.lines().find_map(|line| line.strip_prefix("target_id: ")).unwrap();
    assert!(id.len() >= 8, "{said}");
    let again = stage.run(&["init", "test"]).exits(1).err;
    assert!(again.contains("error:") && again.contains("hint:"), "{again}");
    assert_eq!(stage.phase(), "idle");
}

#[test]
fn a_commit_whose_check_fails_is_taken_back_and_apply_says_why() {
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free_place();
    let check = |service: &str| format!("kind: tcp\nservice: {service}\ninterval: 200ms\ntimeout: 200ms\n");
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, KEYS, ("base/checks/web.yaml", &check("good"))]);
    stage.configure(&format!(
        "  test: {{directory: {{path: ./test, services: {{good: {}, dead: {dead}}}}}}}\n",
        good.local_addr().unwrap()
    ));
    stage.run(&["apply", "--once"]).exits(0);
    let first = stage.live();
    let bad = stage.repo.commit("Bad", &[("base/checks/web.yaml", &check("dead")), (KEYS.0, "app: {port: 1}\n")]);
    let ended = stage.run(&["apply", "--once", "--output", "json"]).exits(1).json();
    assert_eq!(ended["environments"][0]["phase"], "held-after-rollback", "{ended}");
    assert_eq!(stage.live(), first);
    let status = stage.run(&["status"]).exits(0).out;
    assert!(status.contains("is not followed (rejected)") && status.contains("web"), "{status}");
    stage.run(&["plan"]).exits(3);
    // Released, it is tried again, and fails again.
    assert!(stage.run(&["release", "test", &bad.short()]).exits(0).out.contains("released"));
    stage.run(&["apply", "--once"]).exits(1);
    stage.repo.revert(bad);
    stage.run(&["apply", "--once"]).exits(0);
    let history = stage.run(&["history", "test", "--output", "json"]).exits(0).json();
    let outcomes: Vec<_> =
        history["lines"].as_array().unwrap().iter().rev().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["proven", "rolled-back", "proven", "done", "rolled-back", "proven"], "{history}");
}

#[test]
fn people_act_without_a_controller() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let (first, before) = (stage.repo.tip(), stage.live());
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    stage.run(&["apply", "--once"]).exits(0);

    let back = stage.run(&["rollback", "test", "--to", &first.short(), "--reason", "slow", "--output", "json"]).exits(0).json();
    assert_eq!((back["accepted"].as_bool(), back["phase"].as_str()), (Some(true), Some("held-after-rollback")), "{back}");
    assert_eq!(stage.live(), before);
    let status = stage.run(&["status"]).exits(0).out;
    assert!(status.contains("pinned") && status.contains("ann@") && status.contains("slow"), "{status}");
    let again = stage.run(&["rollback", "test", "--to", &first.short(), "--reason", "twice"]).exits(0).out;
    assert!(again.contains("nothing to do: it is on") && again.contains("stays there"), "{again}");

    stage.run(&["suspend", "test", "--until", "2h", "--reason", "migration"]).exits(0);
    assert!(stage.run(&["status"]).exits(0).out.contains("suspended"));
    stage.repo.commit("Third", &[(KEYS.0, "app: {port: 3}\n")]);
    stage.run(&["apply", "--once"]).exits(1);
    assert_eq!(stage.live(), before, "nothing is written while it is suspended");
    stage.run(&["resume", "test"]).exits(0);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.phase(), "steady");
    assert!(stage.run(&["release", "test", "--override"]).exits(2).err.contains("--reason"));
}

#[test]
fn drift_that_is_only_reported_can_be_overwritten_once() {
    let environment = format!("{}drift: report\n", ENVIRONMENT.1);
    let stage = Stage::with(&[MANIFEST, (ENVIRONMENT.0, &environment), KEYS]);
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    let key = stage.home.path().join("test/current/config/app/port");
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, "1").unwrap();
    assert!(stage.run(&["plan"]).exits(3).out.contains("drifted, reported only: 1 key"));
    stage.run(&["apply", "--once"]).exits(0);
    assert_ne!(stage.live(), before);
    stage.run(&["apply", "--once", "--overwrite-drift"]).exits(0);
    assert_eq!(stage.live(), before);
}

#[test]
fn a_controller_follows_the_branch_carries_requests_out_and_stops_in_good_order() {
    let mut stage = Stage::new();
    let daemon = Daemon::start(&stage);
    until("the first commit is proven", || stage.phase() == "steady");
    let (first, before) = (stage.repo.tip(), stage.live());
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    until("the second commit is live", || stage.live().len() == 1);
    until("it is proven", || stage.phase() == "steady");
    // Somebody else leads, so this only asks.
    let said = stage.run(&["apply", "--once"]).exits(0);
    assert!(said.err.contains("which does the work"), "{}", said.err);
    stage.run(&["rollback", "test", "--to", &first.short(), "--reason", "slow"]).exits(0);
    until("it is back", || stage.live() == before && stage.phase() == "held-after-rollback");
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("event=\"lease-released\"") && !log.contains("lease-lost"), "{log}");
    // The lease is free again.
    stage.run(&["resume", "test"]).exits(0);
    assert!(stage.run(&["apply", "--once"]).err.is_empty());
}

#[test]
fn an_environment_that_a_commit_breaks_holds_still_while_the_same_commit_goes_live_in_the_others() {
    let (mine, other) = (("environments/other/environment.yaml", ENVIRONMENT.1), "environments/other/kv/config/own.yaml");
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, KEYS, mine]);
    stage.configure("  test: {directory: {path: ./test}}\n  other: {directory: {path: ./other}}\n");
    let daemon = Daemon::start(&stage);
    let both = || stage.run(&["status", "--output", "json"]).json()["environments"].take();
    until("both are steady", || both().as_array().unwrap().iter().all(|one| one["phase"] == "steady"));
    let before = stage.live();

    let tip =
        stage.repo.commit("One is wrong", &[("environments/test/kv/config/own.yaml", "a: ${nothing}\n"), (other, "a: 1\n")]);
    until("the other one has it", || {
        std::fs::read_to_string(stage.home.path().join("other/current/config/own/a")).is_ok_and(|live| live == "1")
    });
    let said = |phase: &str| {
        let all = stage.run(&["status", "--output", "json"]).json()["environments"].take();
        all.as_array().unwrap().iter().find(|one| one["phase"] == phase).cloned()
    };
    until("the broken one says why", || said("held-refused").is_some());
    let broken = said("held-refused").unwrap();
    assert_eq!((&broken["environment"], &broken["head"]["verdict"]), (&"test".into(), &"invalid".into()), "{broken:#}");
    assert_eq!(broken["head"]["revision"], tip.to_string());
    until("the other one is proven", || said("steady").is_some_and(|one| one["goal"]["revision"] == tip.to_string()));
    assert_eq!(stage.live(), before);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_commit_is_in_current_within_a_second_without_a_poll() {
    let mut stage = Stage::new();
    // What comes within the patience of this test was noticed, not polled.
    stage.configure_polling("1h", "  test: {directory: {path: ./test}}\n");
    let daemon = Daemon::start(&stage);
    until("the first commit is steady", || stage.phase() == "steady");
    let mut fastest = Duration::MAX;
    for port in ["8081", "8082", "8083"] {
        let begin = Instant::now();
        stage.repo.commit("Another port", &[(KEYS.0, &format!("app: {{port: \"{port}\"}}\n"))]);
        until("the commit is in current", || {
            std::fs::read_to_string(stage.home.path().join("test/current/config/app/port")).is_ok_and(|live| live == port)
        });
        fastest = fastest.min(begin.elapsed());
        until("the commit is proven", || stage.phase() == "steady");
    }
    // Of three, so that what else this machine does in the meantime decides nothing.
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_deleted_branch_removes_nothing_and_the_environment_holds_on_to_its_goal() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    let goal = stage.repo.tip();
    stage.repo.git().set_head_detached(git2::Oid::from_bytes(goal.as_bytes()).unwrap()).unwrap();
    stage.repo.delete_branch("main");
    let key = stage.home.path().join("test/current/config/app/port");
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, "1").unwrap();
    let said = stage.run(&["apply", "--once"]).exits(1).out;
    let text = "branch main is gone from the repository; the environment holds on to";
    assert!(said.contains(text) && said.contains("steady on"), "{said}");
    assert_eq!(stage.live(), before, "drift was put right, and nothing was removed");
    let status = stage.run(&["status"]).exits(0).out;
    assert!(status.contains(text) && status.contains("nothing is removed"), "{status}");
    let plan = stage.run(&["plan"]).exits(1).err;
    assert!(plan.contains("error: branch main is gone from the repository"), "{plan}");
    stage.run(&["plan", "--rev", &goal.short()]).exits(0);
    // It comes back with something else: that is a rewind and no descendant, so it is looked at twice and then believed.
    stage.repo.on("main").commit("Anew", &[MANIFEST, ENVIRONMENT, ("base/kv/config.yaml", "app: {port: 1}\n")]);
    let back = stage.run(&["plan"]).exits(3).out;
    assert!(back.contains("to delete"), "{back}");
}

#[test]
fn a_lost_record_of_a_directory_is_told_in_the_same_words_by_every_verb_and_by_the_controller() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    std::fs::remove_file(stage.home.path().join("test/.lockstep/record")).unwrap();
    let expected = [
        "read the record in",
        "it has a live version and no record: the record was lost",
        "restore `.lockstep` from a backup, or make the record anew with `lockstep recover test`; or move `current` and `versions` away to begin anew",
    ];
    for arguments in
        [&["status"][..], &["history", "test"], &["plan"], &["apply", "--once"], &["init", "test"], &["resume", "test"]]
    {
        let said = stage.run(arguments).exits(1);
        let text = format!("{}{}", said.out, said.err);
        assert!(expected.iter().all(|part| text.contains(part)), "{arguments:?}: {text}");
    }
    let daemon = Daemon::start(&stage);
    daemon.says(expected[1]);
    daemon.says(expected[2]);
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(stage.live(), before);
    // The whole state is lost no less than its record.
    std::fs::remove_dir_all(stage.home.path().join("test/.lockstep")).unwrap();
    assert!(stage.run(&["status"]).exits(1).out.contains(expected[1]));
}

#[test]
fn a_directory_whose_parent_is_missing_is_told_with_what_to_do_by_every_verb_and_by_the_controller() {
    let stage = Stage::new();
    stage.configure("  test: {directory: {path: ./missing/test}}\n");
    let home = std::fs::canonicalize(stage.home.path()).unwrap();
    let hint = format!("make the parent directory {}/missing first, or correct `path` of test", home.display());
    for arguments in
        [&["status"][..], &["history", "test"], &["plan"], &["apply", "--once"], &["init", "test"], &["resume", "test"]]
    {
        let said = stage.run(arguments).exits(4);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("find the directory that shall hold") && text.contains(&hint), "{arguments:?}: {text}");
    }
    let daemon = Daemon::start(&stage);
    daemon.says(&hint);
    assert_eq!(daemon.stop().0, Some(0));
    assert!(!home.join("missing").exists());
}

#[test]
fn a_check_that_failed_before_an_apply_does_not_blame_the_commit() {
    let old = TcpListener::bind(free_place()).unwrap();
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let check = |service: &str| format!("kind: tcp\nservice: {service}\ninterval: 200ms\ntimeout: 200ms\n");
    let environment = ENVIRONMENT.1.replace("fail_after: 1", "fail_after: 3");
    let mut stage = Stage::with(&[
        MANIFEST,
        (ENVIRONMENT.0, &environment),
        KEYS,
        ("base/checks/old.yaml", &check("old")),
        ("base/checks/web.yaml", &check("web")),
    ]);
    let (at_old, at_web) = (old.local_addr().unwrap(), web.local_addr().unwrap());
    stage.configure(&format!("  test: {{directory: {{path: ./test, services: {{old: {at_old}, web: {at_web}}}}}}}\n"));
    stage.run(&["apply", "--once"]).exits(0);
    drop(old);
    stage.repo.commit("Other keys", &[(KEYS.0, "app: {port: 1}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live(), [("config/app/port".to_owned(), "1".to_owned())]);
    // What the commit itself breaks counts as ever.
    let worse = stage.repo.commit("Worse", &[("base/checks/web.yaml", &check("old")), (KEYS.0, "app: {port: 2}\n")]);
    let ended = stage.run(&["apply", "--once", "--output", "json"]).exits(1).json();
    assert_eq!(ended["environments"][0]["phase"], "held-after-rollback", "{ended}");
    assert!(stage.run(&["status"]).exits(0).out.contains(&worse.short()));
}
