//! What `status`, `history` and the verbs that act say to somebody who was not there.

use std::net::TcpListener;

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage};
use crate::support::ports::free_place;

/// The only environment, as `status` tells it to programs.
fn status(stage: &Stage) -> serde_json::Value {
    stage.run(&["status", "--output", "json"]).exits(0).json()["environments"][0].take()
}

/// Changes keys in `current` as a person with an editor does.
fn by_hand(stage: &Stage, key: &str, value: Option<&str>) {
    let path = stage.home.path().join("test/current").join(key);
    std::fs::remove_file(&path).unwrap();
    if let Some(value) = value {
        std::fs::write(&path, value).unwrap();
    }
}

#[test]
fn a_head_that_changes_nothing_is_said_to_be_in_step_and_since_when() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let first = stage.repo.tip();
    let said = stage.run(&["status"]).exits(0).out;
    assert!(said.contains(&format!("head         in step with {}\n", first.short())), "{said}");

    let readme = stage.repo.commit("Explain it", &[("README.md", "What this is.\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    let said = stage.run(&["status"]).exits(0).out;
    let line = format!("in step with {} Explain it, unchanged since {}\n", readme.short(), first.short());
    assert!(said.contains(&line), "{said}");
    let told = status(&stage);
    assert_eq!(told["head"]["verdict"], "in-step", "{told}");
    assert_eq!(told["head"]["revision"], readme.to_string(), "{told}");
    assert_eq!(told["head"]["unchanged_since"], first.to_string(), "{told}");
    assert_eq!(told["goal"]["revision"], first.to_string(), "{told}");

    // A head that nobody has judged is not said to be anything.
    let other = stage.repo.commit("Another port", &[(KEYS.0, "app: {port: 1}\n")]);
    stage.run(&["plan"]).exits(3);
    let told = status(&stage);
    assert_eq!((&told["head"]["verdict"], &told["head"]["revision"]), (&"not-judged".into(), &other.to_string().into()));
    // Nor does a mirror that is behind the record know the head.
    stage.run(&["apply", "--once"]).exits(0);
    let record = std::fs::read(stage.home.path().join("test/.lockstep/record")).unwrap();
    std::fs::remove_dir_all(stage.home.path().join("data")).unwrap();
    stage.repo.move_to(readme);
    let told = status(&stage);
    assert!(told["head"].is_null(), "{told}");
    assert_eq!(std::fs::read(stage.home.path().join("test/.lockstep/record")).unwrap(), record, "looking writes nothing");
}

#[test]
fn what_a_person_decided_is_in_history_with_who_and_why() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["suspend", "test", "--until", "2h", "--reason", "migration"]).exits(0);
    stage.run(&["resume", "test", "--reason", "it is over", "--by", "bob"]).exits(0);
    stage.run(&["resume", "test"]).exits(0);
    let told = stage.run(&["history", "test", "--output", "json"]).exits(0).json();
    let lines = told["lines"].as_array().unwrap();
    let said = |at: usize| {
        let line = &lines[at];
        ["intent", "outcome", "because"].map(|field| line[field].as_str().unwrap().to_owned())
    };
    assert_eq!(lines.len(), 3, "what changed nothing is no decision: {told}");
    assert_eq!(said(0), ["resume", "done", "it is over"]);
    assert_eq!(said(1), ["suspend", "done", "migration"]);
    assert!(lines[0]["by"].as_str().unwrap().starts_with("bob@"), "{told}");
    assert!(lines[1]["by"].as_str().unwrap().starts_with("ann@"), "{told}");
    assert!(lines[1]["evidence"].as_str().unwrap().starts_with("suspended until 2"), "{told}");
    let text = stage.run(&["history", "test"]).exits(0).out;
    assert!(text.contains("  3  resume  ") && text.contains(": it is over\n"), "{text}");
    // The keys are as the first attempt wrote them, and are said to be.
    assert!(stage.run(&["status"]).exits(0).out.contains("proven (no checks), generation 1 since"));
}

#[test]
fn nothing_to_do_is_a_success_in_words_and_a_refusal_is_none() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let tip = stage.repo.tip().short();
    for verb in [
        &["release", "test"][..],
        &["release", "test", &tip],
        &["resume", "test"],
        &["rollback", "test", "--to", &tip, "--reason", "x"],
    ] {
        let told = stage.run(&[verb, &["--output", "json"]].concat()).exits(0);
        assert!(told.err.is_empty(), "{}", told.err);
        let told = told.json();
        assert_eq!((&told["accepted"], &told["changed"]), (&true.into(), &false.into()), "{told}");
        assert!(told["text"].as_str().unwrap().starts_with("nothing to do: "), "{told}");
    }
    let refused = stage.run(&["rollback", "test", "--reason", "x"]).exits(1).out;
    let expected = format!("refused: it is on {tip}, and nothing older that was proven here is left to go back to");
    assert!(refused.contains(&expected) && refused.contains("`lockstep history test`"), "{refused}");
    let lines = stage.run(&["history", "test", "--output", "json"]).json()["lines"].take();
    assert_eq!(lines.as_array().unwrap().len(), 1, "{lines}");
}

#[test]
fn drift_of_a_suspended_environment_is_in_status_and_tells_nothing_of_a_sensitive_value() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    by_hand(&stage, "config/app/port", Some("1"));
    by_hand(&stage, "config/app/password", Some("hunter3"));
    by_hand(&stage, "config/app/motd", None);
    stage.run(&["apply", "--once"]).exits(1);
    let told = status(&stage);
    assert_eq!(told["drift"]["keys"], 3, "{told:#}");
    let named = told["drift"]["named"].as_array().unwrap();
    let of = |key: &str| named.iter().find(|one| one["key"] == key).unwrap();
    let digest = |key: &str, side: &str| of(key)[side].as_str().map(|digest| digest[..8].to_owned());
    let both = |key: &str| (of(key)["how"].as_str().unwrap(), digest(key, "live"), digest(key, "wanted"));
    assert_eq!((both("config/app/port").0, both("config/app/port").1), ("changed", Some("6b86b273".to_owned())), "{told:#}");
    assert_eq!(both("config/app/password"), ("changed", None, None), "{told:#}");
    assert_eq!((both("config/app/motd").0, both("config/app/motd").1), ("deleted", None), "{told:#}");
    assert!(both("config/app/motd").2.is_some(), "{told:#}");
    let said = stage.run(&["status"]).exits(0).out;
    for expected in [
        "test  steady, suspended\n",
        "drift        3 keys differ from the revision and are left while it is suspended\n",
        "config/app/password: changed; its value is sensitive\n",
        "config/app/port: changed, live sha256 6b86b273…, wanted sha256 ",
        "hint: `lockstep resume test` goes on\n",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    stage.run(&["resume", "test"]).exits(0);
    stage.run(&["apply", "--once"]).exits(0);
    assert!(status(&stage)["drift"].is_null());
}

#[test]
fn once_a_revert_is_in_step_the_old_rollback_is_no_reason_any_more() {
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free_place();
    let check = |service: &str| format!("kind: tcp\nservice: {service}\ninterval: 200ms\ntimeout: 200ms\n");
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, KEYS, ("base/checks/web.yaml", &check("good"))]);
    let at = good.local_addr().unwrap();
    stage.configure(&format!("  test: {{directory: {{path: ./test, services: {{good: {at}, dead: {dead}}}}}}}\n"));
    stage.run(&["apply", "--once"]).exits(0);
    let bad = stage.repo.commit("Bad", &[("base/checks/web.yaml", &check("dead"))]);
    stage.run(&["apply", "--once"]).exits(1);
    assert!(stage.run(&["status"]).exits(0).out.contains("web failed"));
    stage.repo.revert(bad);
    stage.run(&["apply", "--once"]).exits(0);
    let said = stage.run(&["status"]).exits(0).out;
    assert!(said.contains("attempt      rollback by lockstep, proven\n") && !said.contains("web failed"), "{said}");
    assert!(said.contains("unchanged since"), "{said}");
    assert!(stage.run(&["history", "test"]).exits(0).out.contains("web failed"));
}

#[test]
fn a_head_that_no_longer_names_the_repository_takes_status_and_history_away_from_nobody() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let good = stage.repo.tip();
    stage.repo.remove("Lose the manifest", &[MANIFEST.0]);
    stage.repo.commit("And go on", &[("README.md", "Still lost.\n")]);
    // Another machine's mirror keeps no commit of any environment.
    std::fs::remove_dir_all(stage.home.path().join("data")).unwrap();
    assert_eq!(status(&stage)["goal"]["revision"], good.to_string());
    assert!(stage.run(&["history", "test"]).exits(0).out.contains(&good.short()));
    stage.run(&["suspend", "test", "--reason", "to look at it"]).exits(0);
    assert!(stage.run(&["plan"]).exits(1).out.contains("lockstep.yaml"));
}

#[test]
fn what_a_person_lets_pass_is_one_commit_and_status_shows_each_grant_with_its_own_person() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    let second = stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]).short();
    let nothing = stage.run(&["release", "test", "--allow-deletes", "0", "--output", "json"]).exits(0).json();
    assert_eq!((&nothing["accepted"], &nothing["changed"]), (&true.into(), &false.into()), "{nothing}");
    stage.run(&["release", "test", "--override", "--reason", "agreed", "--by", "grace"]).exits(0);
    stage.run(&["release", "test", &second, "--allow-deletes", "9", "--by", "ada"]).exits(0);
    let permit = &status(&stage)["permit"];
    let by = |grant: &str| permit[grant]["by"].as_str().unwrap().split('@').next().unwrap().to_owned();
    assert_eq!((by("override"), by("deletes")), ("grace".to_owned(), "ada".to_owned()), "{permit:#}");
    assert_eq!((&permit["deletes"]["count"], &permit["override"]["reason"]), (&9.into(), &"agreed".into()), "{permit:#}");
    let said = stage.run(&["status"]).exits(0).out;
    for expected in ["may delete 9 keys beyond the limits, by ada@", "passes every gate, by grace@"] {
        assert!(said.contains(&format!("allowed      {second} {expected}")), "{expected}: {said}");
    }
    let third = stage.repo.commit("Third", &[(KEYS.0, "app: {port: 3}\n")]).short();
    let refused = stage.run(&["release", "test", &second, "--override", "--reason", "agreed"]).exits(1).out;
    let expected =
        format!("refused: {second} was to be let pass, and the branch is at {third}, which says something else here");
    assert!(refused.contains(&expected), "{refused}");
    stage.run(&["apply", "--once"]).exits(1);
    assert!(status(&stage)["permit"].is_null(), "the permit outlived its head");
}
