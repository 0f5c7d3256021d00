//! What was measured, against what, and whether the goal is met: for a terminal and for the documentation.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use crate::daemon::Usage;
use crate::support;

/// One line of the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    /// What was done.
    pub(crate) what: String,
    /// The floor or the rival in the same run.
    pub(crate) beside: String,
    /// What lockstep took.
    pub(crate) ours: String,
    /// What it may take.
    pub(crate) goal: String,
    /// The measure as a part of the goal: at most 1 meets it. None: there is no goal, it is only told.
    pub(crate) share: Option<f64>,
    /// What the process used, where it was the program itself.
    pub(crate) usage: Option<Usage>,
}

impl Line {
    fn verdict(&self) -> &'static str {
        match self.share {
            None => "told",
            Some(share) if share <= 1.0 => "met",
            Some(_) => "MISSED",
        }
    }

    fn memory(&self) -> String {
        self.usage.map_or_else(String::new, |usage| format!("{:.0} / {:.0}", usage.peak, usage.resident))
    }

    fn cpu(&self) -> String {
        self.usage.map_or_else(String::new, |usage| seconds(usage.cpu))
    }
}

/// The middle one of some measurements.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// How many times as long.
pub(crate) fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// A time with three digits.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

/// A median with its least and most.
pub(crate) fn spread(times: &[Duration]) -> String {
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    format!("{} ({} to {})", seconds(median(times)), seconds(*least), seconds(*most))
}

/// For a terminal.
pub(crate) fn print(lines: &[Line]) {
    for line in lines {
        println!("{:<7} {}", line.verdict(), line.what);
        println!("        ours   {}", line.ours);
        if !line.beside.is_empty() {
            println!("        beside {}", line.beside);
        }
        if !line.goal.is_empty() {
            println!("        goal   {}", line.goal);
        }
        if line.usage.is_some() {
            println!("        memory {} MiB at its peak / at the end, {} of processor time", line.memory(), line.cpu());
        }
    }
}

/// For the documentation.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut text = String::from(
        "| what | floor or rival, same run | lockstep | goal | | MiB peak / end | CPU |\n|---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        let Line { what, beside, ours, goal, .. } = line;
        let (verdict, memory, cpu) = (line.verdict(), line.memory(), line.cpu());
        writeln!(text, "| {what} | {beside} | {ours} | {goal} | {verdict} | {memory} | {cpu} |").unwrap();
    }
    text
}

/// What the figures were taken on.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_start_matches(['\t', ':', ' ']);
    let version = Command::new(support::binary()).arg("version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "lockstep {}, {}, {cores} cores ({model}), load {} at the end",
        env!("CARGO_PKG_VERSION"),
        version.lines().next().unwrap_or_default(),
        load.split(' ').next().unwrap_or_default()
    )
}
