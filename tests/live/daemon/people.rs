//! Verbs of another process while a controller leads: they go through requests, and it carries them out.

use super::service::Service;
use super::site::{APP, MANY, Running, Site, app, many};
use crate::git_server::GitServer;
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
    // Nobody waits for what can't go on.
    let ended = it.site.run(&["apply", "--once", "--timeout", "60s", "--output", "json"]).exits(1).json();
    let ended = &ended["environments"][0];
    assert_eq!((&ended["phase"], &ended["suspension"]["reason"]), (&"applying".into(), &"stop it".into()), "{ended:#}");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("`lockstep resume test`") && reason.contains("some keys may be written already"), "{ended:#}");
    // A look at everything, and still nothing is written.
    it.agent.put("config/of-others", b"x");
    it.site.run(&["status", "test"]).exits(0);
    assert_eq!(written(&it.agent), before);
    it.site.run(&["resume", "test"]).exits(0);
    it.site.until_steady();
    assert_eq!(written(&it.agent), LARGE);
}

#[test]
fn a_commit_that_a_person_lets_pass_before_the_leader_has_fetched_it_is_fetched_and_not_refused() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let server = GitServer::of(&site.repo.path());
    // Nothing tells the controller of a commit before its next poll; what it misses it may ask for sooner.
    site.fetch_from = Some(server.url.clone());
    site.poll = "2m";
    site.repo.commit("Many", &[(MANY, &many(100, "x"))]);
    let _controller = site.start("one");
    site.until_steady();
    let emptied = site.repo.remove("Drop many", &[MANY]);
    let said = site.run(&["release", "test", "--allow-deletes", "100"]).exits(0);
    assert!(said.out.contains(&format!("{} may delete 100 keys more", emptied.short())), "{said:?}");
    site.until_steady();
    assert!(agent.tree("config/many/").is_empty());
}
