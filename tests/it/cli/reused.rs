//! An environment that goes on under a name which was another environment's before: both are in the commits that it needs.

use lockstep::domain::revision::Revision;

use super::stage::{MANIFEST, Stage};
use crate::support::repo::Change;

const TIMES: &str = "rollout: {min_healthy_time: 0s, healthy_deadline: 1s, fail_after: 1}\n";
const OURS: &str = "environments/next/environment.yaml";
const THEIRS: &str = "environments/test/environment.yaml";
const PORT: &str = "ours/kv/config.yaml";

/// `next` is deployed on a directory, and goes on as `test`, which was another environment of the same repository until then.
/// Gives the commit that has both.
fn renamed() -> (Stage, String) {
    let (ours, theirs) = (format!("layers: [ours]\n{TIMES}"), format!("layers: [theirs]\n{TIMES}"));
    let files = [
        MANIFEST,
        (OURS, ours.as_str()),
        (THEIRS, theirs.as_str()),
        (PORT, "app: {port: 8080, secret: !sensitive hunter2canary}\n"),
        ("theirs/kv/config.yaml", "app: {port: 1, secret: plain, more: other}\n"),
    ];
    let mut stage = Stage::with(&files);
    let both = stage.repo.tip().to_string();
    stage.configure("  next: {directory: {path: ./test}}\n");
    stage.run(&["apply", "--once"]).exits(0);
    let renamed = format!("{ours}formerly: next\n");
    stage.repo.change("Next is test", &[(OURS, Change::Gone), (THEIRS, Change::File(renamed.as_bytes()))]);
    stage.configure("  test: {directory: {path: ./test}}\n");
    (stage, both)
}

#[test]
fn what_was_reached_under_the_former_name_is_kept_and_gone_back_to_although_the_new_name_was_anothers_there() {
    let (mut stage, both) = renamed();
    let before = stage.live();
    let plan = stage.run(&["plan"]).exits(0).out;
    assert!(plan.contains("takes over the record and the keys of next"), "{plan}");
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live(), before);
    // Again, now that nothing is taken over: what is live is what was reached, and nothing is to be put right.
    stage.run(&["plan"]).exits(0);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live(), before);
    stage.repo.commit("Two", &[(PORT, "app: {port: 2}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live(), [("config/app/port".to_owned(), "2".to_owned())], "what it reached before is its own to delete");
    stage.run(&["rollback", "test", "--to", &both, "--reason", "slow"]).exits(0);
    assert_eq!(stage.live(), before);
    // Whatever number it has by now, and under whatever name that was given out.
    let history = stage.run(&["history", "test", "--output", "json"]).exits(0).json();
    let newest = &history["lines"][0];
    assert_eq!((&newest["intent"], &newest["formerly"]), (&"rollback".into(), &serde_json::Value::Null), "{history:#}");
    let newest = newest["generation"].to_string();
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", &newest]).exits(0).out, "8080");
    stage.run(&["resume", "test"]).exits(0);
    stage.run(&["apply", "--once"]).exits(0);
    stage.run(&["rollback", "test", "--reason", "slow"]).exits(0);
    assert_eq!(stage.live(), before);
}

#[test]
fn a_generation_is_what_the_environment_was_called_then_and_a_commit_what_it_calls_so() {
    let (mut stage, both) = renamed();
    stage.run(&["apply", "--once"]).exits(0);
    let get = |at: &str| stage.run(&["kv", "get", "config/app/port", "--at", at]).exits(0).out;
    assert_eq!((get("1"), get(&both)), ("8080".to_owned(), "1".to_owned()));
    let render = |at: &str| stage.run(&["render", "test", "--at", at]).exits(0).out;
    let said = render("1");
    assert!(said.starts_with(&format!("test (called next then) at {}: 2 keys", &both[..7])), "{said}");
    assert!(said.contains("config/app/port = 8080") && said.contains("config/app/secret = (sensitive)"), "{said}");
    let said = render(&both);
    assert!(said.starts_with(&format!("test at {}: 3 keys", &both[..7])) && said.contains("port = 1"), "{said}");
    let log = stage.run(&["kv", "log", "config/app/port", "--output", "json"]).exits(0).json();
    let versions = log["environments"][0]["versions"].as_array().unwrap();
    assert_eq!((versions.len(), &versions[0]["value"]["text"]), (1, &"8080".into()), "{log:#}");
    assert_eq!(versions[0]["generations"], serde_json::json!([1]), "{log:#}");
    // Two generations are of one environment, also where no commit says so any more.
    stage.repo.commit("Two", &[(PORT, "app: {port: 2, secret: !sensitive hunter2canary}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("It is test", &[(THEIRS, &format!("layers: [ours]\n{TIMES}"))]);
    for (sides, port) in [(["1", "3"], "- 8080"), (["3", "1"], "- 2"), (["1", "HEAD"], "- 8080")] {
        let said = stage.run(&["diff", sides[0], sides[1], "--env", "test"]).exits(3).out;
        assert!(said.contains("test (formerly next): 1 key differs") && said.contains(port), "{sides:?}: {said}");
    }
    // What is live was written under the other name, whatever the head or this name's says of the key.
    stage.repo.commit("Not tagged", &[(PORT, "app: {port: 8080, secret: hunter2canary}\n")]);
    stage.run(&["kv", "get", "config/app/secret", "--env", "test"]).exits(1);
}

#[test]
fn an_attempt_whose_commit_the_branch_has_no_more_says_what_the_environment_had_under_the_name_that_it_had_then() {
    let (mut stage, both) = renamed();
    stage.run(&["apply", "--once"]).exits(0);
    // The branch begins anew, without the very commit that had both.
    stage.repo.move_to(Revision::parse(&both).unwrap());
    stage.repo.amend("Both, in other words", &[(PORT, "app: {port: 9}\n")]);
    let file = format!("layers: [ours]\n{TIMES}formerly: next\n");
    stage.repo.change("Next is test", &[(OURS, Change::Gone), (THEIRS, Change::File(file.as_bytes()))]);
    let log = stage.run(&["kv", "log", "config/app/port", "--output", "json"]).exits(0).json();
    let lost = &log["environments"][0]["off_branch"][0];
    assert_eq!((&lost["revision"], &lost["value"]["text"]), (&both.as_str().into(), &"8080".into()), "{log:#}");
}

#[test]
fn where_the_head_cannot_be_used_no_key_is_wanted_because_the_environment_wanted_it_that_had_the_name_before() {
    let (mut stage, both) = renamed();
    stage.run(&["apply", "--once"]).exits(0);
    std::fs::write(stage.home.path().join("test/current/config/app/more"), "other").unwrap();
    stage.repo.commit("Broken", &[(PORT, "app: [\n")]);
    let listed = stage.run(&["unmanaged", "test", "--output", "json"]).exits(0).json();
    assert_eq!(listed["revision"], both, "{listed:#}");
    let keys = listed["keys"].as_array().unwrap();
    let told: Vec<_> = keys.iter().map(|key| (key["key"].as_str().unwrap(), key["standing"].as_str().unwrap())).collect();
    assert_eq!(told, [("config/app/more", "unwanted")], "{listed:#}");
    let said = stage.run(&["strays", "test"]).exits(0);
    assert!(said.out.contains("0 strays") && !said.err.contains("can't be read here"), "{said:?}");
}

#[test]
fn a_commit_has_an_environment_under_the_name_that_it_had_there_although_a_later_one_was_anothers() {
    let (mut stage, both) = renamed();
    stage.run(&["apply", "--once"]).exits(0);
    let file = format!("layers: [ours]\n{TIMES}formerly: test\n");
    stage.repo.change(
        "Test is last",
        &[(THEIRS, Change::Gone), ("environments/last/environment.yaml", Change::File(file.as_bytes()))],
    );
    stage.configure("  last: {directory: {path: ./test}}\n");
    stage.run(&["apply", "--once"]).exits(0);
    let said = stage.run(&["render", "last", "--at", &both]).exits(0).out;
    assert!(said.starts_with("last (called next then) at ") && said.contains("config/app/port = 8080"), "{said}");
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", &both]).exits(0).out, "8080");
}

#[test]
fn a_log_says_where_the_name_changed_also_where_that_is_the_last_of_the_commits_that_are_read_at_a_time() {
    const AT_A_TIME: u32 = 64;
    let (mut stage, _) = renamed();
    stage.run(&["apply", "--once"]).exits(0);
    let renaming = stage.repo.tip().to_string();
    for port in 1..AT_A_TIME {
        stage.repo.commit("Another port", &[(PORT, &format!("app: {{port: {port}}}\n"))]);
    }
    let log = stage.run(&["kv", "log", "config/app/port", "--limit", "100", "--output", "json"]).exits(0).json();
    let versions = log["environments"][0]["versions"].as_array().unwrap();
    let oldest = versions.last().unwrap();
    assert_eq!((versions.len(), &oldest["value"]["text"]), (64, &"8080".into()), "{log:#}");
    assert_eq!(oldest["formerly"], serde_json::json!([{"name": "next", "until": renaming}]), "{log:#}");
}

/// Takes an environment to two ports under one name, and to a third under another, which was somebody else's until then.
fn check_differences(former: &str, name: &str) {
    let ours = format!("layers: [ours]\n{TIMES}");
    let [old, new] = [former, name].map(|name| format!("environments/{name}/environment.yaml"));
    let mut stage = Stage::with(&[
        MANIFEST,
        (&old, &ours),
        (&new, &format!("layers: [theirs]\n{TIMES}")),
        ("environments/other/environment.yaml", &ours),
        (PORT, "app: {port: 8080}\n"),
        ("theirs/kv/config.yaml", "app: {port: 1}\n"),
    ]);
    let both = stage.repo.tip().to_string();
    stage.configure(&format!("  {former}: {{directory: {{path: ./test}}}}\n"));
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Two", &[(PORT, "app: {port: 2}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    let words = stage.repo.commit("Words", &[("README.md", "words\n")]).to_string();
    let renamed = format!("{ours}formerly: {former}\n");
    stage.repo.change("It has another name", &[(&old, Change::Gone), (&new, Change::File(renamed.as_bytes()))]);
    stage.configure(&format!("  {name}: {{directory: {{path: ./test}}}}\n"));
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Three", &[(PORT, "app: {port: 3}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    for (from, to, before, after, formerly) in [
        ("1", "2", 8080, 2, false),
        ("2", "1", 2, 8080, false),
        ("1", "4", 8080, 3, true),
        ("4", "1", 3, 8080, true),
        ("4", &both, 3, 8080, true),
        (&both, "4", 8080, 3, true),
        ("1", "HEAD", 8080, 3, true),
    ] {
        let said = stage.run(&["diff", from, to, "--env", name, "--output", "json"]).exits(3).json();
        let environment = &said["environments"][0];
        let told = (&environment["environment"], environment["formerly"].is_string());
        assert_eq!(told, (&name.into(), formerly), "{from} {to}: {said:#}");
        let key = &environment["keys"][0];
        let values = [&key["before"]["text"], &key["after"]["text"]].map(|text| text.as_str().unwrap_or_default().to_owned());
        assert_eq!(values, [before.to_string(), after.to_string()], "{from} {to}: {said:#}");
    }
    assert!(stage.run(&["diff", "1", &both, "--env", name]).exits(0).out.contains(": the same"));
    for several in [["--env", name, "--env", "other"], ["--env", "other", "--env", name]] {
        let said = stage.run(&[&["diff", "1", "4"], several.as_slice()].concat()).exits(2).err;
        assert!(said.contains("each environment has its own"), "{said}");
    }
    // What the attempt before it says of its own environment, the commit says too.
    let newer = stage.run(&["kv", "list", name, "--changed-since", &words]).exits(0).out;
    assert!(newer.lines().count() == 1 && newer.starts_with("     4  "), "{newer}");
}

#[test]
fn what_lies_between_two_generations_is_of_one_environment_whatever_it_and_others_were_called() {
    check_differences("next", "test");
    check_differences("zeta", "alpha");
}
