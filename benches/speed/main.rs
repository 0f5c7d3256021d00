//! The speed table: what lockstep does, each against its floor or rival in the same run, on the same machine and Consul.
//!
//! `cargo bench --bench speed [-- [--rounds N] [--write] ROW…]`; without rows, all of them. Figures are medians; what counts
//! is their ratios. `--write` puts table and plot into `docs/`. It ends with an error when a goal is missed.

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

#[path = "../../tests/it/support/git_server.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod git_server;

#[path = "../../tests/it/support/signing.rs"]
mod signing;

mod load;
mod wire;
mod rival;
mod timed;
mod inside;
mod daemon;
mod table;
mod plot;
mod rows;

use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Runtime;

use rows::{ROWS, Row};
use support::Agent;
use table::Line;

/// Interleaved measurements of each kind, unless the command line says otherwise.
const ROUNDS: usize = 7;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut rounds, mut wanted, mut write) = (ROUNDS, Vec::new(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next().and_then(|number| number.parse().ok()).expect("--rounds has a number"),
            "--write" => write = true,
            name => {
                wanted.push(*ROWS.iter().find(|(row, _)| *row == name).unwrap_or_else(|| panic!("no row {name}: {}", names())));
            }
        }
    }
    let rows: Vec<Row> = if wanted.is_empty() { ROWS.to_vec() } else { wanted };
    let mut lines: Vec<Line> = Vec::new();
    for (name, measure) in rows {
        println!("--- {name}\n");
        let measured = measure(rounds);
        table::print(&measured);
        println!();
        lines.extend(measured);
    }
    println!("{}\n\n{}", table::machine(), table::markdown(&lines));
    if write {
        document(&lines);
    }
    if lines.iter().all(|line| line.share.is_none_or(|share| share <= 1.0)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Puts the table between its marks in the documentation, and the plot beside it.
fn document(lines: &[Line]) {
    const MARKS: [&str; 2] = ["<!-- the table begins -->", "<!-- the table ends -->"];
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = std::fs::read_to_string(docs.join("benchmarks.md")).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).expect("the page has the first mark");
    let (_, after) = rest.split_once(MARKS[1]).expect("the page has the second mark");
    let table = format!("{}\n\n{}\n\n{}", MARKS[0], table::machine(), table::markdown(lines));
    std::fs::write(docs.join("benchmarks.md"), format!("{before}{table}\n{}{after}", MARKS[1])).unwrap();
    std::fs::write(docs.join("benchmarks.svg"), plot::draw(lines)).unwrap();
}

fn names() -> String {
    ROWS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// As the daemon's.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// Runs a task on it, as an environment's loop is one.
fn on_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    runtime().block_on(runtime().spawn(work)).unwrap()
}

/// The index that Consul's answer tells.
fn index(headers: &str) -> u64 {
    let line = headers.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-consul-index:").map(str::to_owned));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

impl Agent {
    /// The index of a key's last change.
    fn index_of(&self, key: &str) -> u64 {
        let path = format!("/v1/kv/{key}?consistent");
        let answer = support::exchange(self.port(), "", "GET", &path, b"", Duration::from_secs(20)).expect("Consul answers");
        index(&answer.headers)
    }

    /// Waits until a key has changed since.
    fn await_change(&self, key: &str, index: u64) {
        let path = format!("/v1/kv/{key}?consistent&wait=60s&index={index}");
        support::exchange(self.port(), "", "GET", &path, b"", Duration::from_secs(70)).expect("Consul answers");
    }
}
