//! The first deploy of 10,000 keys of 100 bytes into a real Consul, against what Consul itself needs for them and against
//! `consul kv import`, interleaved in one run: `cargo bench --bench first_deploy [-- ROUNDS]`.
//!
//! Every measurement has a fresh development agent. Figures are medians; what counts is their ratios. This is no test: it
//! ends well whatever the figures are, and says so when a goal is missed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::similar_names,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark fails by panicking, measures real time and prints; its items are for this binary"
)]

#[path = "../../tests/live/support.rs"]
#[allow(dead_code, reason = "the live tests use the rest of it")]
mod support;

#[path = "../../tests/it/support/repo.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod repo;

mod load;
mod wire;
mod rival;
mod timed;
mod lockstep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use support::Agent;

/// Interleaved measurements of each kind, unless the command line says otherwise.
const ROUNDS: usize = 7;
/// Of the floor's time, at most.
const GOAL_FLOOR: f64 = 1.5;
/// Times faster than `consul kv import`, at least.
const GOAL_IMPORT: f64 = 8.0;

fn main() {
    // Cargo adds `--bench`.
    let rounds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).filter(|rounds| *rounds > 0).unwrap_or(ROUNDS);
    // As the daemon's, and the deploy is a task on it as an environment's loop is.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let deploy =
        |address: String, repository: PathBuf| runtime.block_on(runtime.spawn(lockstep::deploy(address, repository))).unwrap();
    let repository = load::repository();
    let mut times: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    let mut note = |what, time| times.entry(what).or_default().push(time);
    for _ in 0..rounds {
        note(FLOOR, wire::floor(&fresh()));
        let agent = fresh();
        let deploy = deploy(agent.address(), repository.path());
        load::check(&agent);
        note(DEPLOY, deploy.total);
        for (phase, time) in deploy.phases {
            note(phase, time);
        }
        note(IMPORT, rival::import(&fresh()));
    }
    let agent = fresh();
    let proxy = wire::Proxy::before(agent.port());
    deploy(proxy.address(), repository.path());
    let counted = proxy.counts();
    print(rounds, &times, &counted);
}

const FLOOR: &str = "floor: raw transactions of 64";
const DEPLOY: &str = "lockstep: one pass";
const IMPORT: &str = "consul kv import";

/// An agent that has written something already, so that no measurement pays for its first writes.
fn fresh() -> Agent {
    let agent = Agent::start();
    for number in 0..200 {
        agent.put(&format!("warm/{number}"), b"up");
    }
    agent
}

fn print(rounds: usize, times: &BTreeMap<&'static str, Vec<Duration>>, counted: &wire::Counts) {
    let median = |what: &str| {
        let mut sorted = times[what].clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2].as_secs_f64() * 1e3
    };
    let (floor, deploy, import) = (median(FLOOR), median(DEPLOY), median(IMPORT));
    println!("\nfirst deploy of {} keys of {} bytes; median (least to most) of {rounds} rounds", load::KEYS, load::BYTES);
    println!("{}\n", machine());
    println!("{:<34} {:>9}  {:<18} {:>8}", "", "ms", "", "x floor");
    for what in [FLOOR, DEPLOY, IMPORT].into_iter().chain(timed::PHASES) {
        let millis = times[what].iter().map(|time| time.as_secs_f64() * 1e3);
        let (least, most) = (millis.clone().fold(f64::MAX, f64::min), millis.fold(0.0, f64::max));
        let range = format!("({least:.1} to {most:.1})");
        println!("{what:<34} {:>9.1}  {range:<18} {:>8.2}", median(what), median(what) / floor);
    }
    println!(
        "\nlockstep sent {} requests on {} connections: {} kB out, {} kB back",
        counted.requests,
        counted.connections,
        counted.sent / 1000,
        counted.received / 1000
    );
    verdict(&format!("at most {GOAL_FLOOR} x the floor"), deploy / floor, deploy / floor <= GOAL_FLOOR);
    verdict(&format!("at least {GOAL_IMPORT} x faster than consul kv import"), import / deploy, import / deploy >= GOAL_IMPORT);
}

fn verdict(goal: &str, ratio: f64, met: bool) {
    println!("{} goal: {goal}; it is {ratio:.2} x", if met { "met   " } else { "MISSED" });
}

/// What the figures were taken on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_start_matches(['\t', ':', ' ']);
    let version = Command::new(support::binary()).arg("version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version);
    format!("lockstep {}, {}, {cores} cores ({model})", env!("CARGO_PKG_VERSION"), version.lines().next().unwrap_or_default())
}
