//! Commits that go live, are proven, or are taken back.

use std::time::{Duration, Instant};

use super::service::{BAD, Service};
use super::site::{APP, CHECK, MANY, Running, Site, app, dump, many};
use crate::support::{Agent, eventually};

#[test]
fn a_commit_goes_live_a_bad_one_is_taken_back_with_the_reason_and_its_revert_is_steady() {
    let mut it = Running::start();
    it.release("two");
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"two");

    let bad = it.release(BAD);
    let status = it.site.until("taken back", |status| status["phase"] == "held-after-rollback");
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"two");
    assert_eq!(status["head"]["revision"], bad.to_string(), "{status:#}");
    assert_eq!(status["head"]["verdict"], "rejected", "{status:#}");
    let told = status["rejected"][0]["reason"].as_str().unwrap();
    assert!(told.contains("app-answers") && told.contains("503"), "{told}");
    let history = it.site.run(&["history", "test", "--output", "json"]).exits(0).json();
    let rolled_back = history["lines"].as_array().unwrap().iter().find(|line| line["outcome"] == "rolled-back").unwrap();
    assert!(rolled_back["evidence"].as_str().unwrap().contains("503"), "{history:#}");
    let for_people = it.site.run(&["status", "test"]).exits(0).out;
    assert!(for_people.contains("503") && for_people.contains("leader"), "{for_people}");

    // The revert says what is live already: nothing is written, and nothing is held any more.
    it.site.repo.revert(bad);
    it.site.until("in step", |status| status["phase"] == "steady" && status["head"].is_null());
    assert_eq!(it.site.outcomes(), ["proven", "proven", "rolled-back", "proven"]);

    let three = it.release("three");
    it.site.until_steady();
    it.site.repo.revert(three);
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"two");
    assert_eq!(it.site.outcomes(), ["proven", "proven", "rolled-back", "proven", "proven", "proven"]);
}

#[test]
fn a_fix_pushed_while_the_checks_fail_goes_live_without_a_rollback() {
    let mut it = Running::start();
    it.release(BAD);
    it.site.until("verifying the bad commit", |status| {
        status["phase"] == "verifying" && status["goal"]["revision"] == it.site.repo.tip().to_string()
    });
    it.release("fixed");
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"fixed");
    assert_eq!(it.site.outcomes(), ["proven", "superseded", "proven"]);
}

#[test]
fn a_bad_commit_that_deletes_its_own_checks_is_refused() {
    let mut it = Running::start();
    let before = it.agent.values("config/");
    let tip = it
        .site
        .repo
        .change("Hide it", &[(CHECK.0, crate::repo::Change::Gone), (APP, crate::repo::Change::File(app(BAD).as_bytes()))]);
    let status = it.site.until("a word on the commit", |status| status["head"]["revision"] == tip.to_string());
    assert_eq!(status["head"]["verdict"], "refused", "{status:#}");
    assert!(status["head"]["text"].as_str().unwrap().contains("check"), "{status:#}");
    assert_eq!(it.agent.values("config/"), before);
    assert_eq!(it.site.outcomes(), ["proven"]);
}

#[test]
fn a_revert_of_a_commit_that_added_five_hundred_keys_passes_the_guard() {
    let mut it = Running::start();
    let before = it.agent.values("config/");
    let added = it.site.repo.commit("Many", &[(MANY, &many(500, "x"))]);
    it.site.until_steady();
    assert_eq!(it.agent.values("config/").len(), before.len() + 500);
    it.site.repo.revert(added);
    it.site.until_steady();
    assert_eq!(it.agent.values("config/"), before);
}

#[test]
fn a_commit_is_in_consul_within_a_second_without_a_poll() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    // What comes within the patience of this test was noticed, not polled.
    site.poll = "1h";
    let _controller = site.start("one");
    site.until_steady();
    let mut fastest = Duration::MAX;
    for version in ["two", "three", "four"] {
        let begin = Instant::now();
        site.repo.commit("Another version", &[(APP, &app(version))]);
        eventually("the commit is in Consul", || agent.get("config/app/version").as_deref() == Some(version.as_bytes()));
        fastest = fastest.min(begin.elapsed());
        site.until_steady();
    }
    // Of three, so that what else this machine does in the meantime decides nothing.
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
}

#[test]
fn each_turn_of_a_story_is_one_event_in_the_log() {
    let mut it = Running::start();
    it.agent.put("config/app/version", b"by hand");
    it.site.until("the repair", |_| it.site.outcomes().last().is_some_and(|outcome| outcome == "repaired"));
    it.release(BAD);
    it.site.until("taken back", |status| status["phase"] == "held-after-rollback");
    let log = it.controller.log();
    let events: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("event=\"")?.1.split_once('"')).map(|(event, _)| event).collect();
    assert_eq!(
        events,
        [
            "lease-gained",
            "rollout-started",
            "applied",
            "proven",
            "rollout-started",
            "drift-repaired",
            "rollout-started",
            "applied",
            "rollback-started",
            "unhealthy",
            "applied",
            "head-not-followed",
            "rollback-finished"
        ],
        "{log}"
    );
}

#[test]
fn an_empty_commit_opens_no_attempt_and_a_merge_writes_what_both_sides_changed() {
    let mut it = Running::start();
    let (live, repo) = (dump(&it.agent, "config/"), &mut it.site.repo);
    let begin = repo.tip();
    repo.on("side").move_to(begin);
    let side = repo.commit("Three more on a branch", &[(MANY, &many(3, "x"))]);
    repo.on("main").commit_nothing("Nothing in it");
    it.site.run(&["plan", "test"]).exits(0);
    assert_eq!(dump(&it.agent, "config/"), live);

    it.site.repo.merge("Merge the branch", side);
    it.site.until_steady();
    assert_eq!(it.agent.values("config/many/").len(), 3);
    assert!(live.iter().all(|key| dump(&it.agent, "config/").contains(key)), "what neither side changed was not written");
    // The first deploy and the merge.
    assert_eq!(it.site.outcomes(), ["proven", "proven"]);
    it.site.check_history();
}

#[test]
fn a_commit_to_a_file_leaves_the_keys_alone_that_lie_below_its_key() {
    let mut it = Running::start();
    it.site.repo.commit(
        "A key with others below it, from every kind of file",
        &[
            ("base/files/config/motd", "one"),
            ("base/kv/config/motd/sub.yaml", "a: 1\nb: 2\n"),
            ("environments/test/files/config/motd/file", "x"),
            ("environments/test/kv/config/motd.yaml", "c: 3\n"),
        ],
    );
    it.site.until_steady();
    let mut expected = it.agent.values("config/");
    assert_eq!(expected.keys().filter(|key| key.starts_with("config/motd")).count(), 5, "{expected:?}");
    let changed = it.site.repo.commit("Another text", &[("base/files/config/motd", "two")]);
    it.site.until_steady();
    expected.insert("config/motd".to_owned(), b"two".to_vec());
    assert_eq!(it.agent.values("config/"), expected);
    it.site.repo.revert(changed);
    it.site.until_steady();
    expected.insert("config/motd".to_owned(), b"one".to_vec());
    assert_eq!(it.agent.values("config/"), expected);
}
