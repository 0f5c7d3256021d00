//! The first deploy of keys of 100 bytes into a real Consul, against what Consul itself needs for them and against
//! `consul kv import`, interleaved. Every measurement has a fresh agent, a development server unless it is to keep its data.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::inside::{Deploy, Inside};
use crate::load::{BYTES, Load};
use crate::support::{Agent, Options};
use crate::table::{Line, median, ratio, spread};
use crate::{on_runtime, rival, timed, wire};

/// Of the floor's time, at most.
const GOAL_FLOOR: f64 = 1.5;
/// Times faster than `consul kv import`, at least.
const GOAL_IMPORT: f64 = 8.0;

pub(crate) fn ten_thousand(rounds: usize) -> Vec<Line> {
    measure(Load(10_000), rounds, Kind { with_import: true, durable: false })
}

pub(crate) fn hundred_thousand(rounds: usize) -> Vec<Line> {
    measure(Load(100_000), rounds.div_ceil(2), Kind { with_import: false, durable: false })
}

/// Into a server that writes all to its disk before it answers, as in production.
pub(crate) fn durable(rounds: usize) -> Vec<Line> {
    measure(Load(100_000), rounds.div_ceil(3), Kind { with_import: false, durable: true })
}

/// Against what, and where.
#[derive(Clone, Copy)]
struct Kind {
    with_import: bool,
    durable: bool,
}

fn measure(load: Load, rounds: usize, Kind { with_import, durable }: Kind) -> Vec<Line> {
    let consul = || Agent::with(&Options { durable, ..Options::default() });
    let repository = load.repository();
    let deploy = |address: String| {
        let path = repository.path();
        on_runtime(async move {
            let mut inside = Inside::start(&address, path).await;
            let deploy = inside.write().await;
            inside.explain(deploy).await
        })
    };
    let (mut floors, mut fenced, mut deploys, mut imports) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut phases: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    for _ in 0..rounds {
        floors.push(wire::floor(&consul(), load));
        fenced.push(wire::fenced(&consul(), load));
        let agent = consul();
        let Deploy { total, phases: times } = deploy(agent.address());
        load.check(&agent);
        deploys.push(total);
        for (phase, time) in times {
            phases.entry(phase).or_default().push(time);
        }
        if with_import {
            imports.push(rival::import(&Agent::start(), load));
        }
    }
    let agent = consul();
    let proxy = wire::Proxy::before(agent.port());
    deploy(proxy.address());
    let counted = proxy.counts();

    let (floor, fenced, ours) = (median(&floors), median(&fenced), median(&deploys));
    let where_to = if durable { ", a server that keeps its data on disk" } else { "" };
    let what = format!("first deploy of {} keys of {BYTES} bytes{where_to}", load.0);
    println!("{what}: where the time goes");
    for phase in timed::PHASES {
        println!("{phase:<34} {}", spread(&phases[phase]));
    }
    println!(
        "  {} requests on {} connections: {} kB out, {} kB back\n",
        counted.requests(),
        counted.connections,
        counted.sent / 1000,
        counted.received / 1000
    );
    let mut lines = vec![Line {
        what: what.clone(),
        beside: format!("raw transactions of 64: {}; fenced as ours: {:.2} x", spread(&floors), ratio(fenced, floor)),
        ours: format!("{}: {:.2} x, {} requests", spread(&deploys), ratio(ours, floor), counted.requests()),
        goal: format!("at most {GOAL_FLOOR} x"),
        share: Some(ratio(ours, floor) / GOAL_FLOOR),
        usage: None,
    }];
    if with_import {
        let import = median(&imports);
        lines.push(Line {
            what,
            beside: format!("`consul kv import`: {}", spread(&imports)),
            ours: format!("{:.1} x faster", ratio(import, ours)),
            goal: format!("at least {GOAL_IMPORT} x faster"),
            share: Some(GOAL_IMPORT / ratio(import, ours)),
            usage: None,
        });
    }
    lines
}
