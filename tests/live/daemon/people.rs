//! Verbs of another process while a controller leads: they go through requests, and it carries them out.

use super::site::{APP, MANY, Running, app, many};
use crate::support::{Agent, eventually};

#[test]
fn people_act_from_another_process_and_plan_says_what_is_different() {
    let mut it = Running::start();
    let first = it.site.repo.tip();
    it.site.run(&["plan"]).exits(0);

    it.site.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    it.release("two");
    it.site.run(&["plan"]).exits(3);
    let status = it.site.status();
    assert_eq!(status["suspension"]["reason"], "migration", "{status:#}");
    assert!(it.controller.leads(&status), "{status:#}");
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"one");
    it.site.run(&["resume", "test"]).exits(0);
    it.site.until_steady();
    it.site.run(&["plan"]).exits(0);

    let back = it.site.run(&["rollback", "test", "--to", &first.short(), "--reason", "slow", "--output", "json"]);
    let back = back.exits(0).json();
    assert_eq!(back["accepted"], true, "{back}");
    let status = it.site.until("rolled back", |status| status["phase"] == "held-after-rollback");
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"one");
    assert!(status["pin"]["by"].as_str().unwrap().starts_with("ann@"), "{status:#}");
    it.site.run(&["plan"]).exits(3);
    assert_eq!(status["head"]["verdict"], "pinned", "{status:#}");
    it.site.run(&["resume", "test"]).exits(0);
    // That alone goes on: the head is tried anew, as an attempt of its own.
    let before = status["generation"].as_u64().unwrap();
    it.site.until_steady();
    let status = it.site.status();
    assert!(status["generation"].as_u64().unwrap() > before && status["rejected"].as_array().unwrap().is_empty(), "{status:#}");
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"two");
    assert_eq!(it.site.status()["requests_waiting"], 0);
    it.site.repo.commit("Three", &[(APP, &app("three"))]);
    it.site.until_steady();
}

#[test]
fn a_suspension_stops_a_large_apply_part_way_and_resuming_finishes_it() {
    const LARGE: usize = 6_000;
    let mut it = Running::start();
    it.site.repo.commit("Large", &[(MANY, &many(LARGE, "x"))]);
    let written = |agent: &Agent| agent.tree("config/many/").len();
    eventually("some of it is written", || written(&it.agent) > 0);
    it.site.run(&["suspend", "test", "--reason", "stop it"]).exits(0);
    let (before, status) = (written(&it.agent), it.site.status());
    assert!(before < LARGE, "the apply was over before it could be stopped");
    assert_eq!(status["suspension"]["reason"], "stop it", "{status:#}");
    assert_eq!(status["phase"], "applying", "{status:#}");
    // A look at everything, and still nothing is written.
    it.agent.put("config/of-others", b"x");
    it.site.run(&["status", "test"]).exits(0);
    assert_eq!(written(&it.agent), before);
    it.site.run(&["resume", "test"]).exits(0);
    it.site.until_steady();
    assert_eq!(written(&it.agent), LARGE);
}
