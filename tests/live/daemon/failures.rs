//! A write that fails is seen wherever somebody looks: in the exit code, in `status`, in the metrics, and as an event that names
//! the commit.

use std::sync::Arc;

use super::kept::Kept;
use super::killer::Killer;
use super::rights::{site_without, with_acls};
use super::service::Service;
use super::site::{MANY, Site, many};
use crate::support::{Agent, Options, eventually};

const KEYS: usize = 300;

#[test]
fn a_commit_with_a_key_that_is_denied_fails_the_command_and_is_in_status_metrics_and_an_event_with_its_id() {
    let agent = with_acls();
    let _service = Service::start(&agent);
    let denied = "config/many/k00150";
    let (mut site, _policy) = site_without(&agent, denied);
    let kept = Kept::start(&site, 1);
    site.until_steady();
    let large = site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]).to_string();
    let status = site.until("refused and back", |status| {
        status["head"]["revision"] == large.as_str() && status["head"]["verdict"] == "refused" && status["proven"] == true
    });
    assert!(status["head"]["text"].as_str().unwrap().contains(denied), "{status:#}");

    assert_eq!(kept.metric("pass_failures_total", "kind=\"denied\""), 1);
    // The record moves first, and is counted once that is known.
    eventually("the end is counted", || kept.metric("attempts_finished_total", "outcome=\"refused\"") == 1);
    let failed = kept.events("pass-failed");
    assert!(failed[0]["because"].as_str().unwrap().contains(denied), "{failed:?}");
    assert_eq!(failed[0]["revision"], large.as_str(), "{failed:?}");
    let refused = kept.events("head-not-followed");
    assert_eq!((refused.len(), &refused[0]["revision"]), (1, &large.as_str().into()), "{refused:?}");

    // With a controller and without one.
    let said = site.run(&["apply", "--once"]).exits(1);
    assert!(said.out.contains(denied), "{said:?}");
    drop(kept);
    let said = site.run(&["apply", "--once"]).exits(1);
    assert!(said.out.contains(denied), "{said:?}");
    // Without anybody's word of it before, too.
    site.repo.commit("Other values", &[(MANY, &many(KEYS, "y"))]);
    let said = site.run(&["apply", "--once"]).exits(1);
    assert!(said.out.contains(denied), "{said:?}");
}

#[test]
fn a_consul_that_is_gone_half_way_fails_the_command_and_is_in_status_metrics_and_an_event_with_the_commits_id() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let killer = Arc::new(Killer::default());
    let proxy = killer.start(agent.port());
    site.readdress(&proxy.address());
    let kept = Kept::start(&site, 1);
    site.readdress(&agent.address());
    site.until_steady();

    killer.arm(agent.pid(), 2, false);
    let large = site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]).to_string();
    eventually("Consul is killed", || killer.has_struck());
    agent.kill();
    eventually("the failure is counted", || kept.metric("pass_failures_total", "kind=\"transient\"") > 0);
    let failed = kept.events("pass-failed");
    assert_eq!(failed[0]["revision"], large.as_str(), "{failed:?}");
    let said = site.run(&["status", "test", "--output", "json"]).exits(4);
    assert_eq!(said.json()["environments"][0]["phase"], "unreachable", "{said:?}");
    site.run(&["apply", "--once"]).exits(4);

    agent.start_again();
    agent.wait();
    site.until_steady();
    assert_eq!(agent.tree("config/many/").len(), KEYS);
    // The record moves first, and is counted once that is known.
    eventually("the proof is counted", || kept.metric("attempts_finished_total", "outcome=\"proven\"") == 2);
    site.check_history();
}
