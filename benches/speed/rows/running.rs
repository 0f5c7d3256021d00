//! The program itself with 100,000 keys: its first deploy, one changed key, a minute in which nothing happens, and a restart.

use std::time::{Duration, Instant};

use crate::daemon::{Controller, Place, until, until_steady};
use crate::load::{BYTES, Load, PREFIX, key};
use crate::repo::TestRepo;
use crate::support::Agent;
use crate::table::{Line, median, ratio, seconds, spread};
use crate::wire::{Counts, Proxy, floor};

/// From the start of the process, the first fetch included, until all is written and proven.
const GOAL_DEPLOY: Duration = Duration::from_secs(6);
/// Resident memory in MiB, at most.
const GOAL_MEMORY: f64 = 80.0;
/// How long nothing happens.
const IDLE: Duration = Duration::from_mins(1);
/// Of one core while nothing happens, at most.
const GOAL_IDLE: f64 = 0.005;
/// From the start of the process until it watches, at most.
const GOAL_RESTART: Duration = Duration::from_secs(2);
/// Nothing is on its way any more when nothing was for this long.
const QUIET: Duration = Duration::from_millis(400);

pub(crate) fn measure(rounds: usize) -> Vec<Line> {
    let load = Load(100_000);
    let (mut repo, agent) = (load.repository(), Agent::start());
    let proxy = Proxy::before(agent.port());
    let place = Place::at(&proxy.address(), &repo.path().display().to_string());
    let mut lines = Vec::new();

    let floor = floor(&Agent::start(), load);
    let begin = Instant::now();
    let controller = place.start();
    until_steady(&agent, &repo.tip().to_string());
    let took = begin.elapsed();
    load.check(&agent);
    proxy.quiet(QUIET);
    let deployed = controller.usage();
    lines.push(Line {
        what: "first deploy of 100,000 keys by the program: from the start of its process until it is steady".into(),
        beside: format!("raw transactions of 64: {}", seconds(floor)),
        ours: format!("{}: {:.2} x, the first fetch and the reading included", seconds(took), ratio(took, floor)),
        goal: format!("at most {}", seconds(GOAL_DEPLOY)),
        share: Some(ratio(took, GOAL_DEPLOY)),
        usage: Some(deployed),
    });
    lines.push(Line {
        what: format!("memory of the program, 100,000 keys of {BYTES} bytes, first deploy"),
        beside: "gonsul 107 to 126 MiB, git2consul-go 257 MiB (measured once)".into(),
        ours: format!("{:.0} MiB at its peak, {:.0} after", deployed.peak, deployed.resident),
        goal: format!("at most {GOAL_MEMORY} MiB"),
        share: Some(deployed.peak / GOAL_MEMORY),
        usage: Some(deployed),
    });

    lines.extend(changed(rounds, load, &mut repo, &agent, &proxy, &controller));
    lines.push(idle(&proxy, &controller));
    lines.push(restart(rounds, &place, &agent, &proxy, controller));
    assert!(!place.log().contains("panicked"), "{}", place.log());
    lines
}

/// One key after the other gets another value.
fn changed(rounds: usize, load: Load, repo: &mut TestRepo, agent: &Agent, proxy: &Proxy, controller: &Controller) -> [Line; 2] {
    let (mut times, mut until_quiet) = (Vec::new(), Counts::default());
    for round in 0..3 * rounds {
        let (number, value) = ((round * 7919 + 1) % load.0, format!("round-{round}"));
        let index = agent.index_of(&key(number));
        proxy.take();
        load.change(repo, number, &value);
        let begin = Instant::now();
        agent.await_change(&key(number), index);
        times.push(begin.elapsed());
        assert_eq!(agent.get(&key(number)), Some(value.into_bytes()));
        until_steady(agent, &repo.tip().to_string());
        proxy.quiet(QUIET);
        until_quiet = proxy.take();
    }
    let visible = Line {
        what: "one changed key of 100,000, commit in the origin to visible (with the fetch)".into(),
        ours: spread(&times),
        usage: Some(controller.usage()),
        ..Line::default()
    };
    let requests = Line {
        what: "all requests for one changed key, until nothing moves any more".into(),
        ours: format!(
            "{} requests, {} full reads, {} kB out, {} kB back ({})",
            until_quiet.requests(),
            until_quiet.full_reads(),
            until_quiet.sent / 1000,
            until_quiet.received / 1000,
            until_quiet.kinds()
        ),
        ..Line::default()
    };
    [visible, requests]
}

/// Nothing happens.
fn idle(proxy: &Proxy, controller: &Controller) -> Line {
    std::thread::sleep(Duration::from_secs(5));
    proxy.take();
    let before = controller.usage();
    std::thread::sleep(IDLE);
    let (after, idle) = (controller.usage(), proxy.take());
    let share = ratio(after.cpu.saturating_sub(before.cpu), IDLE);
    Line {
        what: format!("idle for {}, 100,000 keys", seconds(IDLE)),
        beside: "nothing".into(),
        ours: format!(
            "{} writes, {} full reads, {:.2} % of a core, {:.1} ms for each poll of 30 s; {} requests, {} kB back ({})",
            idle.writes(),
            idle.full_reads(),
            share * 100.0,
            share * 30_000.0,
            idle.requests(),
            idle.received / 1000,
            idle.kinds()
        ),
        goal: format!("0 writes, 0 full reads, under {} % of a core", GOAL_IDLE * 100.0),
        share: Some(if idle.writes() + idle.full_reads() > 0 { 2.0 } else { share / GOAL_IDLE }),
        usage: Some(after),
    }
}

/// The controller ends in good order and is started again, while nothing is to be done.
fn restart(rounds: usize, place: &Place, agent: &Agent, proxy: &Proxy, mut controller: Controller) -> Line {
    let mut restarts = Vec::new();
    for round in 0..rounds {
        controller.stop();
        proxy.take();
        let begin = Instant::now();
        controller = place.start();
        until("it reads everything and watches", Duration::from_millis(5), || {
            let counts = proxy.counts();
            counts.full_reads() > 0 && counts.asked.iter().any(|line| watches(line))
        });
        restarts.push(proxy.quiet(QUIET) - begin);
        assert_eq!((proxy.counts().writes(), proxy.counts().full_reads()), (1, 1), "the lease is taken, and all is read once");
        // That it does watch.
        let (edited, index) = (key(round), agent.index_of(&key(round)));
        agent.put(&edited, b"by hand");
        until("the key is restored", Duration::from_millis(5), || {
            agent.index_of(&edited) > index && agent.get(&edited).is_some_and(|value| value != b"by hand")
        });
        proxy.quiet(QUIET);
    }
    let restarted = controller.usage();
    controller.stop();
    Line {
        what: "graceful restart with 100,000 keys in step: from the start of the process until it is steady and watches".into(),
        ours: spread(&restarts),
        goal: format!("at most {}", seconds(GOAL_RESTART)),
        share: Some(ratio(median(&restarts), GOAL_RESTART)),
        usage: Some(restarted),
        ..Line::default()
    }
}

/// Whether a request waits for news below the root, knowing what is there.
fn watches(line: &str) -> bool {
    line.contains(&format!("/v1/kv/{PREFIX}?")) && line.contains("&wait=") && !line.contains("&index=0&")
}
