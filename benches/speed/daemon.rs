//! The program as it is shipped, in a process of its own, with what it costs as the kernel counts it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::Agent;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where controllers run: their configuration and their data.
pub(crate) struct Place {
    home: TempDir,
}

impl Place {
    /// For the environment `test` at a Consul, which it initialises.
    pub(crate) fn at(consul: &str, repository: &str) -> Self {
        let place = Self { home: tempfile::tempdir().unwrap() };
        place.configure(consul, repository, "");
        place.configure(consul, repository, &place.init("test"));
        place
    }

    /// Initialises an environment; what its configuration pins from then on.
    pub(crate) fn init(&self, environment: &str) -> String {
        let made = self.command(&["init", environment]).output().unwrap();
        let out = String::from_utf8(made.stdout).unwrap();
        let id = out.lines().find_map(|line| line.strip_prefix("target_id: ")).expect("init prints the target's id");
        format!("target_id: {id}, ")
    }

    /// With a configuration of one's own.
    pub(crate) fn with(text: &str) -> Self {
        let place = Self { home: tempfile::tempdir().unwrap() };
        place.write(text);
        place
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.home.path().join("lockstep.yaml"), text).unwrap();
    }

    fn configure(&self, consul: &str, repository: &str, pin: &str) {
        self.write(&format!(
            "repository: {{url: \"{repository}\", poll: 30s}}\ndata_dir: ./data\nenvironments:\n  test: {{consul: {{address: \
             \"{consul}\"}}, {pin}keys: [config/]}}\n"
        ));
    }

    /// The program with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null());
        command.env_clear().env("LOCKSTEP_CONFIG", self.home.path().join("lockstep.yaml")).env("TZ", "UTC");
        command
    }

    /// Starts a controller.
    pub(crate) fn start(&self) -> Controller {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.home.path().join("log")).unwrap();
        Controller(self.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// What controllers logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Resident memory at its highest, and now, in MiB.
    pub(crate) peak: f64,
    pub(crate) resident: f64,
    /// Processor time, in steps of 10 ms.
    pub(crate) cpu: Duration,
}

/// A running controller, killed when dropped.
pub(crate) struct Controller(Child);

impl Controller {
    pub(crate) fn usage(&self) -> Usage {
        usage(self.0.id())
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success(), "the controller did not end well");
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has used.
fn usage(process: u32) -> Usage {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mebibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // After the name, which may hold anything: fields 14 and 15 are ticks in the program and in the kernel.
    let ticks: u64 =
        stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Usage { peak: mebibytes("VmHWM:"), resident: mebibytes("VmRSS:"), cpu: Duration::from_millis(ticks * 10) }
}

/// Waits until the environment rests on a revision; by its record alone, so that waiting costs Consul nothing.
pub(crate) fn until_steady(agent: &Agent, revision: &str) {
    until("the environment is steady", Duration::from_millis(10), || {
        let record = agent.get("lockstep/calvin-config/test/record").unwrap_or_default();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
        let record = &record["record"];
        record["phase"] == "steady" && record["goal"]["tip"] == revision
    });
}

/// Waits until something is so, looking this often.
pub(crate) fn until(what: &str, every: Duration, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(every);
    }
}
