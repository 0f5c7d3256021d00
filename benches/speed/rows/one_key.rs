//! One changed key: from the commit in the mirror until the value is in Consul, in a large and in a small repository, in turn.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::inside::Inside;
use crate::load::{Load, key};
use crate::repo::TestRepo;
use crate::support::Agent;
use crate::table::{Line, median, ratio, seconds, spread};
use crate::wire::{Counts, Plain, Proxy};
use crate::{on_runtime, runtime};

/// From the mirror to Consul, at most.
const GOAL: Duration = Duration::from_millis(100);
/// Of the time in a small repository, at most.
const GOAL_RATIO: f64 = 1.5;
/// Requests, at most.
const GOAL_REQUESTS: usize = 3;

struct Place {
    load: Load,
    repo: TestRepo,
    agent: Agent,
    proxy: Proxy,
    inside: Inside,
    times: Vec<Duration>,
    phases: BTreeMap<&'static str, Vec<Duration>>,
    counts: Vec<Counts>,
}

impl Place {
    fn with(load: Load) -> Self {
        let (repo, agent) = (load.repository(), Agent::start());
        let proxy = Proxy::before(agent.port());
        let (address, path) = (proxy.address(), repo.path());
        let inside = on_runtime(async move {
            let mut inside = Inside::start(&address, path).await;
            inside.write().await;
            inside.settle().await;
            inside
        });
        Self { load, repo, agent, proxy, inside, times: Vec::new(), phases: BTreeMap::new(), counts: Vec::new() }
    }

    fn change(&mut self, round: usize) {
        let number = (round * 7919 + 1) % self.load.0;
        let value = format!("round-{round}");
        self.load.change(&mut self.repo, number, &value);
        let (inside, proxy) = (&mut self.inside, &self.proxy);
        let (deploy, counts) = runtime().block_on(async {
            inside.fetch().await;
            proxy.take();
            let deploy = inside.write().await;
            let counts = proxy.take();
            inside.settle().await;
            (deploy, counts)
        });
        assert_eq!(self.agent.get(&key(number)), Some(value.into_bytes()));
        self.times.push(deploy.total);
        for (phase, time) in deploy.phases {
            self.phases.entry(phase).or_default().push(time);
        }
        self.counts.push(counts);
    }
}

pub(crate) fn measure(rounds: usize) -> Vec<Line> {
    let rounds = 3 * rounds;
    let (mut small, mut large) = (Place::with(Load(1_000)), Place::with(Load(100_000)));
    let mut plain = Plain::to(&large.agent);
    let mut puts = Vec::new();
    for round in 0..rounds {
        small.change(round);
        large.change(round);
        let begin = Instant::now();
        plain.put("elsewhere", &round.to_string());
        puts.push(begin.elapsed());
    }
    println!("one changed key: where the time goes");
    for place in [&small, &large] {
        for (phase, times) in &place.phases {
            println!("{:>8} keys {phase:<34} {}", place.load.0, spread(times));
        }
    }
    let (few, many) = (median(&small.times), median(&large.times));
    let most = large.counts.iter().max_by_key(|counts| counts.requests()).unwrap();
    let what = "one changed key of 100,000, commit in the mirror to visible";
    vec![
        Line {
            what: what.to_owned(),
            beside: format!("one PUT: {}", spread(&puts)),
            ours: spread(&large.times),
            goal: format!("at most {}", seconds(GOAL)),
            share: Some(ratio(many, GOAL)),
            usage: None,
        },
        Line {
            what: what.to_owned(),
            beside: format!("the same in a repository of 1,000 keys: {}", spread(&small.times)),
            ours: format!("{:.2} x", ratio(many, few)),
            goal: format!("at most {GOAL_RATIO} x"),
            share: Some(ratio(many, few) / GOAL_RATIO),
            usage: None,
        },
        Line {
            what: "requests for it until it is visible".to_owned(),
            beside: String::new(),
            ours: format!("{}, {} bytes out, {} back ({})", most.requests(), most.sent, most.received, most.kinds()),
            goal: format!("at most {GOAL_REQUESTS}, none of them a full read"),
            #[allow(clippy::cast_precision_loss, reason = "a handful")]
            share: Some((most.requests() as f64 / GOAL_REQUESTS as f64).max(if most.full_reads() > 0 { 2.0 } else { 0.0 })),
            usage: None,
        },
    ]
}
