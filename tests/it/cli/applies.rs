//! `apply --once` where it can't go on, and drift that it overwrites on a person's word.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::{Daemon, ENVIRONMENT, KEYS, MANIFEST, Said, Stage, finish, until};

/// What one apply said of the only environment, for programs.
#[track_caller]
fn told(said: &Said) -> Value {
    said.json()["environments"][0].take()
}

fn reporting() -> Stage {
    let environment = format!("{}drift: report\n", ENVIRONMENT.1);
    let stage = Stage::with(&[MANIFEST, (ENVIRONMENT.0, &environment), KEYS]);
    stage.run(&["apply", "--once"]).exits(0);
    stage
}

/// Somebody edits a value in place.
fn edit(stage: &Stage, value: &str) {
    let key = stage.home.path().join("test/current/config/app/port");
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, value).unwrap();
}

fn intents(stage: &Stage) -> Vec<String> {
    let history = stage.run(&["history", "test", "--output", "json"]).exits(0).json();
    let lines = history["lines"].as_array().unwrap().clone();
    lines.iter().rev().map(|line| line["intent"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_apply_to_a_suspended_environment_ends_at_once_and_says_who_stopped_it_why_and_until_when() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["suspend", "test", "--until", "2h", "--reason", "migration"]).exits(0);
    // On the head and proven already: that it is suspended is said, and nothing failed.
    let said = stage.run(&["apply", "--once"]).exits(0).out;
    assert!(said.contains("steady") && said.contains("suspended by ann@"), "{said}");

    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    let start = Instant::now();
    let said = stage.run(&["apply", "--once"]).exits(1).out;
    assert!(said.contains("suspended by ann@") && said.contains(" until 2") && said.contains(": migration"), "{said}");
    assert!(said.contains("`lockstep resume test`"), "{said}");
    let one = told(&stage.run(&["apply", "--once", "--output", "json"]).exits(1));
    assert_eq!((&one["in_step"], &one["suspension"]["reason"]), (&false.into(), &"migration".into()), "{one:#}");
    assert!(one["suspension"]["until"].as_str().unwrap().starts_with('2'), "{one:#}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn an_apply_that_somebody_elses_controller_carries_out_ends_as_soon_as_that_is_suspended() {
    let patient = "layers: [base]\nrollout: {min_healthy_time: 10m, healthy_deadline: 20m}\n";
    let mut stage = Stage::new();
    let _daemon = Daemon::start(&stage);
    until("the first commit is proven", || stage.phase() == "steady");
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n"), (ENVIRONMENT.0, patient)]);
    until("it is being verified", || stage.phase() == "verifying");
    stage.run(&["suspend", "test", "--reason", "stop it"]).exits(0);
    let said = stage.run(&["apply", "--once", "--timeout", "60s"]).exits(1);
    assert!(said.out.contains("test  verifying") && said.out.contains("suspended by ann@"), "{said:?}");
    assert!(!said.out.contains("did not come to rest"), "{said:?}");
}

#[test]
fn overwriting_where_nothing_drifted_has_nothing_to_do_and_leaves_no_line() {
    let stage = reporting();
    let one = told(&stage.run(&["apply", "--once", "--overwrite-drift", "--output", "json"]).exits(0));
    let answer = &one["overwrite_drift"];
    assert_eq!((&answer["accepted"], &answer["changed"]), (&true.into(), &false.into()), "{one:#}");
    assert_eq!(answer["text"], "nothing to do: nothing drifted here");
    assert_eq!(intents(&stage), ["advance"]);
}

#[test]
fn overwriting_is_noted_with_who_asked_and_why_as_every_verb_is() {
    let stage = reporting();
    edit(&stage, "9");
    let mut anonymous = stage.command(&["apply", "--once", "--overwrite-drift", "--reason", "it is in git now"]);
    anonymous.env_remove("USER");
    let said = finish(anonymous).exits(0).out;
    assert!(said.contains("overwrite-drift: drift is put right once"), "{said}");
    assert_eq!(intents(&stage), ["advance", "overwrite-drift", "repair"]);
    let history = stage.run(&["history", "test", "--output", "json"]).exits(0).json();
    let (by, because) = (history["lines"][1]["by"].as_str().unwrap(), &history["lines"][1]["because"]);
    assert!(by.starts_with("uid ") && by.contains('@') && because == "it is in git now", "{history:#}");
    // The reason is the overwriting's.
    assert!(stage.run(&["apply", "--once", "--reason", "x"]).exits(2).err.contains("--overwrite-drift"));
    assert!(stage.run(&["apply", "--once", "--overwrite-drift", "--reason", " "]).exits(2).err.contains("say why"));
}

#[test]
fn overwriting_in_a_suspended_environment_is_refused_and_not_carried_out_afterwards() {
    let stage = reporting();
    edit(&stage, "9");
    let edited = stage.live();
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    let said = stage.run(&["apply", "--once", "--overwrite-drift"]).exits(1).out;
    assert!(said.contains("overwrite-drift: refused: suspended by ann@") && said.contains(": migration"), "{said}");
    stage.run(&["resume", "test"]).exits(0);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live(), edited);
}

#[test]
fn a_key_that_stays_although_drift_was_to_be_overwritten_is_named_with_why_and_is_a_failure() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    for _ in 0..3 {
        edit(&stage, "9");
        stage.run(&["apply", "--once"]).exits(0);
    }
    edit(&stage, "9");
    let said = stage.run(&["apply", "--once", "--overwrite-drift"]).exits(1).out;
    assert!(said.contains("refused: left as it is: config/app/port: somebody else keeps changing it"), "{said}");
    let one = told(&stage.run(&["apply", "--once", "--overwrite-drift", "--output", "json"]).exits(1));
    let left = &one["overwrite_drift"]["left"][0];
    assert_eq!((&one["in_step"], &left["key"]), (&false.into(), &"config/app/port".into()), "{one:#}");
    assert!(left["why"].as_str().unwrap().contains("not repaired again before"), "{one:#}");
}

#[test]
fn overwriting_waits_for_the_answer_to_its_own_request_whoever_gives_it() {
    let stage = reporting();
    let before = stage.live();
    let mut daemon = Some(Daemon::start(&stage));
    until("it leads", || stage.run(&["status", "test"]).out.contains("leader"));
    for round in 0..6 {
        edit(&stage, &format!("by hand {round}"));
        // Half of the times whoever led has just gone, and this one leads.
        if round % 2 == 1 {
            daemon = None;
        }
        let one = told(&stage.run(&["apply", "--once", "--overwrite-drift", "--output", "json"]).exits(0));
        assert_eq!(one["overwrite_drift"]["changed"], true, "round {round}: {one:#}");
        assert_eq!(stage.live(), before, "round {round}");
        daemon = daemon.or_else(|| Some(Daemon::start(&stage)));
    }
    let asked = intents(&stage).iter().filter(|intent| *intent == "overwrite-drift").count();
    assert_eq!(asked, 6);
}
