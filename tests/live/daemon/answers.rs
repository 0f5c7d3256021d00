//! A Consul that stays up and answers badly: answers that are lost, and answers that say no.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::service::Service;
use super::site::{APP, MANY, Site, app, many};
use crate::fake::{Fake, Reply};
use crate::support::{Agent, eventually};

/// Loses the answer to one write, counted from when it is told to, and counts the keys that were written.
#[derive(Default)]
struct Losing {
    /// Writes that are answered first; none is lost while this is at the top.
    after: AtomicUsize,
    written: AtomicUsize,
}

#[test]
fn a_write_whose_answer_is_lost_is_found_done_by_the_controller_and_nothing_is_written_twice() {
    const KEYS: usize = 200;
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let losing = Arc::new(Losing { after: AtomicUsize::new(usize::MAX), ..Losing::default() });
    let (lose, port) = (Arc::clone(&losing), agent.port());
    let proxy = Fake::start(move |asked| {
        let answer = asked.forward(port);
        if !asked.writes() {
            return answer;
        }
        if answer.status() == Some(200) {
            lose.written.fetch_add(String::from_utf8_lossy(&asked.body).matches("config/many/").count(), Ordering::SeqCst);
        }
        let before = lose.after.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
            usize::MAX => None,
            0 => Some(usize::MAX),
            left => Some(left - 1),
        });
        if before == Ok(0) { Reply::Lost } else { answer }
    });
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();

    let mut commits = 1;
    // A plan of one transaction and the two moves of the record after it; then plans of four.
    for (writes, keys) in [(3, 10), (6, KEYS)] {
        for lost in 0..writes {
            let value = format!("{keys} keys, answer {lost} lost");
            losing.written.store(0, Ordering::SeqCst);
            losing.after.store(lost, Ordering::SeqCst);
            site.repo.commit(&value, &[(MANY, &many(keys, &value)), (APP, &app(&value))]);
            site.until_steady();
            commits += 1;
            assert_eq!(losing.after.load(Ordering::SeqCst), usize::MAX, "{value}: no answer was lost");
            assert!(agent.values("config/many/").values().all(|found| *found == value.as_bytes()), "{value}");
            assert_eq!(losing.written.load(Ordering::SeqCst), keys, "{value}: a key was written twice");
            assert_eq!(site.outcomes(), vec!["proven"; commits], "{value}");
        }
    }
    site.check_history();
    assert!(controller.runs());
}

/// What a Consul in trouble answers, to everything or to writes alone.
#[track_caller]
fn check(status: u16, headers: &'static str, text: &'static str, writes_only: bool) {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let (broken, refused, port) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), agent.port());
    let (is_broken, count) = (Arc::clone(&broken), Arc::clone(&refused));
    let proxy = Fake::start(move |asked| {
        if !is_broken.load(Ordering::SeqCst) || writes_only && !asked.writes() {
            return asked.forward(port);
        }
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Answer { status, headers: headers.into(), body: text.as_bytes().to_vec() }
    });
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.until_steady();
    broken.store(true, Ordering::SeqCst);
    let tip = site.repo.commit("Two", &[(APP, &app("two"))]).to_string();
    let told = |controller: &super::site::Controller| {
        let log = controller.log();
        log.lines().filter(|line| line.contains("event=\"pass-failed\"") && line.contains(text)).count()
    };
    if writes_only {
        // Reads are answered, so what it says is the state and not an outage: the commit is neither live nor rejected.
        eventually("writes are refused", || refused.load(Ordering::SeqCst) > 2);
        let seen = site.status();
        assert!(seen["rejected"].as_array().unwrap().is_empty() && seen["head"]["verdict"] != "rejected", "{seen:#}");
        assert_eq!(agent.get("config/app/version").as_deref(), Some(b"one".as_slice()));
    } else {
        let since = Instant::now();
        eventually("it is told as an event", || told(&controller) > 0);
        assert!(since.elapsed() < Duration::from_secs(15), "people hear of it late: {:?}", since.elapsed());
        let said = site.run(&["status", "test"]).exits(4);
        assert!(said.out.contains(text), "{said:?}");
        site.run(&["apply", "--once"]).exits(4);
    }
    // It keeps trying.
    let (tried, since) = (refused.load(Ordering::SeqCst), Instant::now());
    eventually("it tries again", || refused.load(Ordering::SeqCst) > tried);
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    broken.store(false, Ordering::SeqCst);
    site.until_steady();
    let seen = site.status();
    assert_eq!(seen["goal"]["revision"], tip.as_str(), "{seen:#}");
    assert!(seen["rejected"].as_array().unwrap().is_empty(), "{seen:#}");
    assert_eq!(site.outcomes(), ["proven", "proven"]);
    assert!(controller.runs());
    assert!(writes_only || told(&controller) < 10, "one line for each kind of trouble:\n{}", controller.log());
}

#[test]
fn a_consul_that_answers_500_to_everything_is_told_waited_for_and_rejects_nothing() {
    check(500, "", "rpc error making call: EOF", false);
}

#[test]
fn a_consul_that_answers_500_to_writes_is_waited_for_and_rejects_nothing() {
    check(500, "", "rpc error making call: EOF", true);
}

#[test]
fn a_consul_that_answers_429_to_everything_is_told_waited_for_and_rejects_nothing() {
    check(429, "Retry-After: 1\r\n", "rate limit exceeded", false);
}
