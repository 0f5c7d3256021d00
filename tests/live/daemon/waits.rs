//! `wait` beside a Consul that is away for longer than a request is tried again, and what it asks of one that has no record yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::rename::rename;
use super::retire::OTHER;
use super::service::Service;
use super::site::{MANY, Site, many};
use crate::fake::Fake;
use crate::support::{Agent, Options, eventually};

#[test]
fn wait_outlasts_a_consul_that_is_away_and_says_at_the_end_that_it_still_is() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let site = Site::new(&agent);
    site.run(&["apply", "--once"]).exits(0);
    agent.kill();
    let said = site.run(&["wait", "test", "--timeout", "3s"]).exits(4).err;
    assert!(said.contains("was not proven within 3s in test, as far as could be seen"), "{said}");
    let mut waiting = site.begin("waiting", &["wait", "test", "--timeout", "2m"]);
    // An ordinary request is given up after ten seconds.
    eventually("it says that Consul does not answer", || waiting.log().contains("note: test: "));
    agent.start_again();
    agent.wait();
    assert_eq!(waiting.ended().code(), Some(0), "{}", waiting.log());
}

#[test]
fn without_a_record_wait_reads_the_keys_once_however_long_it_waits() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let (reads, port) = (Arc::new(AtomicUsize::new(0)), agent.port());
    let counted = Arc::clone(&reads);
    let proxy = Fake::start(move |asked| {
        let of_keys = asked.path.starts_with("/v1/kv/config/") || String::from_utf8_lossy(&asked.body).contains("config/");
        counted.fetch_add(usize::from(of_keys), Ordering::SeqCst);
        asked.forward(port)
    });
    let mut site = Site::named("demo", &agent.address());
    site.init();
    site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    rename(&mut site.repo);
    site.environment = "preview";
    site.readdress(&proxy.address());
    let reads_within = |site: &Site, timeout: &str, says: &str| {
        let before = reads.load(Ordering::SeqCst);
        let said = site.run(&["wait", "preview", "--timeout", timeout]).exits(1);
        assert!(said.out.contains(says), "{says}: {said:?}");
        reads.load(Ordering::SeqCst) - before
    };
    // Before the take-over of a record that the configuration pins: nothing of the keys is to be known.
    assert_eq!(reads_within(&site, "4s", "preview has still to take over the record of test"), 0);
    // And before there is a record at all, with keys below the roots.
    site.repo.commit("Preview is another one", &[("environments/preview/environment.yaml", super::site::ENVIRONMENT.1)]);
    site.forget_pin();
    let once = reads_within(&site, "1s", "nothing was applied here yet");
    assert!(once > 0, "it is known what the keys say");
    assert_eq!(reads_within(&site, "5s", "nothing was applied here yet"), once);
}
