//! A key changed by hand is put right: the program against one wake and one write of nobody's making.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::{Place, until_steady};
use crate::load::{Load, PREFIX, key};
use crate::support::Agent;
use crate::table::{Line, median, ratio, seconds, spread};
use crate::wire::{Plain, Proxy};

/// From the change by hand until the value is back, at most.
const GOAL: Duration = Duration::from_millis(50);
const QUIET: Duration = Duration::from_millis(400);
/// Beside the environment's keys, as many.
const OTHERS: &str = "others/";

pub(crate) fn measure(rounds: usize) -> Vec<Line> {
    let rounds = 3 * rounds;
    let load = Load(10_000);
    let (repo, agent) = (load.repository(), Agent::start());
    let proxy = Proxy::before(agent.port());
    let place = Place::at(&proxy.address(), &repo.path().display().to_string());
    let mut controller = place.start();
    until_steady(&agent, &repo.tip().to_string());
    proxy.quiet(QUIET);
    let floor = Floor::start(&agent);
    let (mut floors, mut times, mut counted) = (Vec::new(), Vec::new(), None);
    for round in 0..rounds {
        floors.push(floor.once());
        // Each key once: one that is fought over is left for a while.
        let edited = key((round * 499 + 7) % load.0);
        let right = agent.get(&edited).unwrap();
        proxy.take();
        let begin = Instant::now();
        agent.put(&edited, b"by hand");
        loop {
            let index = agent.index_of(&edited);
            if agent.get(&edited).as_ref() == Some(&right) {
                break;
            }
            agent.await_change(&edited, index);
        }
        times.push(begin.elapsed());
        proxy.quiet(QUIET);
        counted = Some(proxy.take());
    }
    let counted = counted.unwrap();
    let usage = controller.usage();
    controller.stop();
    vec![Line {
        what: "drift: a key of 10,000 changed by hand until it is restored".into(),
        beside: format!("one wake and one PUT: {}", spread(&floors)),
        ours: format!(
            "{}; with what follows {} requests, {} kB back ({})",
            spread(&times),
            counted.requests(),
            counted.received / 1000,
            counted.kinds()
        ),
        goal: format!("at most {} (median)", seconds(GOAL)),
        share: Some(ratio(median(&times), GOAL)),
        usage: Some(usage),
    }]
}

/// Somebody who waits for a change of some keys and writes one of them.
struct Floor<'a> {
    agent: &'a Agent,
    stop: Arc<AtomicBool>,
}

impl<'a> Floor<'a> {
    const KEY: &'static str = "others/service-0000/setting-00";

    fn start(agent: &'a Agent) -> Self {
        for number in 0..1_000 {
            agent.put(&key(number).replacen(PREFIX, OTHERS, 1), b"right");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (port, stopped) = (agent.port(), Arc::clone(&stop));
        let mut plain = Plain::to(agent);
        std::thread::spawn(move || {
            let mut index = 0;
            while !stopped.load(Ordering::Relaxed) {
                let path = format!("/v1/kv/{OTHERS}?keys&separator=/&consistent&wait=5s&index={index}");
                let Some(answer) = crate::support::exchange(port, "", "GET", &path, b"", Duration::from_secs(10)) else {
                    return;
                };
                let news = crate::index(&answer.headers);
                if index > 0 && news != index {
                    plain.put(Self::KEY, "right");
                    // Its own write is no news.
                    index = 0;
                } else {
                    index = news;
                }
            }
        });
        std::thread::sleep(Duration::from_millis(100));
        Self { agent, stop }
    }

    fn once(&self) -> Duration {
        let begin = Instant::now();
        self.agent.put(Self::KEY, b"by hand");
        loop {
            let index = self.agent.index_of(Self::KEY);
            if self.agent.get(Self::KEY).as_deref() == Some(b"right") {
                break;
            }
            self.agent.await_change(Self::KEY, index);
        }
        let time = begin.elapsed();
        std::thread::sleep(Duration::from_millis(100));
        time
    }
}

impl Drop for Floor<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
