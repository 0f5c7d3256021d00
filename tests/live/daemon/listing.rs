//! A Consul that refuses lists of what a token may not read whole (`acl.enable_key_list_policy`), and a token with the rights
//! that `init` prints: the shared watch on `lockstep/` is refused, and nothing is missed for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::service::Service;
use super::site::{APP, Site, app};
use super::tokens::issue_with;
use crate::fake::Fake;
use crate::support::{Agent, Options, eventually};

/// What `init` prints for the environment.
const OWN: &str = r#"key_prefix "config/" { policy = "write" } key_prefix "lockstep/demo/test/" { policy = "write" }
    session_prefix "" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;

#[test]
fn a_controller_that_may_list_its_own_prefixes_only_notices_hand_edits_and_requests_and_asks_no_more_for_it() {
    let agent = Agent::with(&Options { acl: true, list_policy: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    let with_owners = format!(r#"{OWN} key_prefix "lockstep/owners/" {{ policy = "write" }}"#);
    site.use_token(&issue_with(&agent, "initialise", &with_owners).1);
    site.init();
    site.use_token(&issue_with(&agent, "own", OWN).1);

    let (looks, refused, port) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), agent.port());
    let (counted, denied) = (Arc::clone(&looks), Arc::clone(&refused));
    let proxy = Fake::start(move |asked| {
        let reply = asked.forward(port);
        if asked.is_of_a_watch() {
            counted.fetch_add(1, Ordering::SeqCst);
            denied.fetch_add(usize::from(reply.status() == Some(403)), Ordering::SeqCst);
        }
        reply
    });
    site.readdress(&proxy.address());
    // What comes within the patience of this test was noticed, not polled.
    site.poll = "1h";
    let controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();
    let first = site.repo.tip();
    assert_eq!(refused.load(Ordering::SeqCst), 1, "the shared watch is refused once and not asked for again");

    let version = || agent.get("config/app/version").unwrap();
    agent.put("config/app/version", b"by hand");
    eventually("the hand edit is put right", || version() == b"one");
    assert_eq!(site.outcomes().last().unwrap(), "repaired");

    site.run(&["suspend", "test", "--reason", "migration"]).exits(0);
    assert!(controller.leads(&site.status()), "it was another process that heard it");
    site.repo.commit("Two", &[(APP, &app("two"))]);
    site.until("the commit waits", |status| status["head"]["verdict"] == "suspended");
    assert_eq!(version(), b"one");
    site.run(&["resume", "test"]).exits(0);
    site.until_steady();
    assert_eq!(version(), b"two");
    site.run(&["rollback", "test", "--to", &first.short(), "--reason", "slow"]).exits(0);
    site.until("it went back", |status| status["phase"] == "held-after-rollback");
    assert_eq!(version(), b"one");
    assert!(controller.leads(&site.status()));

    // Nothing is new: two watches wait, and whoever spins asks thousands of times.
    let before = looks.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(3));
    let more = looks.load(Ordering::SeqCst) - before;
    assert!(more <= 4, "{more} looks in three seconds without news");
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    let log = controller.log();
    assert_eq!(log.matches("each is watched by itself").count(), 1, "{log}");
}
