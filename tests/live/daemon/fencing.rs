//! A leader that does not know that it is one no longer: paused, with a write on its way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::service::Service;
use super::site::{APP, MANY, Site, app, dump, many};
use crate::fake::Fake;
use crate::support::{Agent, eventually};

const KEYS: usize = 1_000;
/// Twice the session's time to live of ten seconds, and two.
const TAKE_OVER: Duration = Duration::from_secs(22);

/// Stops a process when one of its writes is on its way, and keeps that write until it is let through.
struct Gate {
    proxy: Fake,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// Whom to stop at which of its writes to `config/many/`.
    armed: Option<(u32, usize)>,
    held: bool,
    open: bool,
    /// What Consul said to the write that was held.
    answered: Option<u16>,
}

impl Gate {
    fn in_front_of(agent: &Agent) -> Self {
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let (shared, port, writes) = (Arc::clone(&state), agent.port(), AtomicUsize::new(0));
        let proxy = Fake::start(move |asked| {
            let (state, changed) = &*shared;
            let of_many = asked.writes() && String::from_utf8_lossy(&asked.body).contains("config/many/");
            let mut seen = state.lock().unwrap();
            match seen.armed {
                Some((whom, which)) if of_many && writes.fetch_add(1, Ordering::Relaxed) + 1 == which => {
                    kill_process(Pid::from_raw(i32::try_from(whom).unwrap()).unwrap(), Signal::STOP).unwrap();
                    seen.held = true;
                    while !seen.open {
                        seen = changed.wait(seen).unwrap();
                    }
                    drop(seen);
                    let reply = asked.forward(port);
                    state.lock().unwrap().answered = reply.status();
                    reply
                }
                _ => {
                    drop(seen);
                    asked.forward(port)
                }
            }
        });
        Self { proxy, state }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
    }

    fn see<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.0.lock().unwrap())
    }
}

#[test]
fn a_leader_paused_in_a_large_apply_changes_nothing_after_another_took_over_not_even_with_a_write_on_its_way() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let gate = Gate::in_front_of(&agent);
    site.readdress(&gate.proxy.address());
    let mut first = site.start("first");
    site.readdress(&agent.address());
    site.until_steady();
    let second = site.start("second");

    gate.set(|state| state.armed = Some((first.id(), 3)));
    site.repo.commit("Large", &[(MANY, &many(KEYS, "first"))]);
    eventually("it is stopped in the middle", || gate.see(|state| state.held));
    let stopped = Instant::now();
    let half = agent.tree("config/many/").len();
    assert!(half > 0 && half < KEYS, "{half} keys are written");
    assert!(first.leads(&site.status()));

    site.repo.commit("Newer", &[(MANY, &many(KEYS, "second"))]);
    site.until("the other leads", |status| second.leads(status));
    let took = stopped.elapsed();
    assert!(took < TAKE_OVER, "{took:?}\n{}", site.logs());
    site.until_steady();
    let after = dump(&agent, "");

    // The write that left before the pause arrives now; then the process wakes up and finds out.
    gate.set(|state| state.open = true);
    eventually("the late write is answered", || gate.see(|state| state.answered.is_some()));
    assert_eq!(gate.see(|state| state.answered), Some(409), "a write without the lease was carried out");
    first.signal(Signal::CONT);
    eventually("it says that it leads no longer", || first.log().contains("this controller leads no longer"));
    assert_eq!(dump(&agent, ""), after);

    site.repo.commit("Newest", &[(APP, &app("three"))]);
    site.until_steady();
    assert!(second.leads(&site.status()) && first.runs());
    let values = agent.values("config/many/");
    assert_eq!(values.len(), KEYS);
    assert!(values.values().all(|value| value == b"second"));
    site.check_history();
    assert_eq!(site.outcomes(), ["proven", "superseded", "proven", "proven"]);
}

/// When a line of the log was written.
fn written_at(log: &str, says: &str) -> jiff::Timestamp {
    let line = log.lines().rfind(|line| line.contains(says)).unwrap_or_else(|| panic!("{says:?} is not in:\n{log}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_leader_that_ends_well_is_followed_within_a_second() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let site = Site::new(&agent);
    let mut first = site.start("first");
    site.until_steady();
    let second = site.start("second");
    eventually("the second stands by", || second.log().contains("standing by"));
    first.terminate();
    assert!(first.ended().success());
    eventually("the second leads", || second.log().contains("this controller leads now"));
    let (end, next) = (written_at(&first.log(), "gave the lease back"), written_at(&second.log(), "leads now"));
    let took = next.duration_since(end);
    assert!(took < jiff::SignedDuration::from_secs(1), "{took:?}\n{}", site.logs());
}
