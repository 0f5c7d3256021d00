//! A scratch repository, a configuration with directory targets, and the program run on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::repo::TestRepo;

/// Small enough to read, with a value that nobody may see.
pub(crate) const MANIFEST: (&str, &str) = ("lockstep.yaml", "name: demo\nlockstep: \"^1\"\n");
pub(crate) const ENVIRONMENT: (&str, &str) = (
    "environments/test/environment.yaml",
    "layers: [base]\nrollout: {min_healthy_time: 0s, healthy_deadline: 1s, fail_after: 1}\n",
);
pub(crate) const KEYS: (&str, &str) =
    ("base/kv/config.yaml", "app:\n  port: 8080\n  motd: |\n    one\n    two\n  password: !sensitive hunter2canary\n");

/// Everything that a command needs.
pub(crate) struct Stage {
    pub(crate) home: TempDir,
    pub(crate) repo: TestRepo,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

impl Stage {
    /// One environment, `test`, at the first commit.
    pub(crate) fn new() -> Self {
        Self::with(&[MANIFEST, ENVIRONMENT, KEYS])
    }

    /// One environment, `test`, and a repository of these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let stage = Self { home: tempfile::tempdir().unwrap(), repo: TestRepo::with(files) };
        stage.configure("  test: {directory: {path: ./test}}\n");
        stage
    }

    /// Writes the controller's configuration with these environments, and what follows them.
    pub(crate) fn configure(&self, environments: &str) {
        self.configure_polling("1s", environments);
    }

    /// The same with another time between two looks at the repository.
    pub(crate) fn configure_polling(&self, poll: &str, environments: &str) {
        let url = self.repo.path();
        let text =
            format!("repository: {{url: {}, poll: {poll}}}\ndata_dir: ./data\nenvironments:\n{environments}", url.display());
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("lockstep-controller.yaml")
    }

    /// A command of the program that knows the configuration and nothing else of this machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null());
        command.env_clear().env("LOCKSTEP_CONFIG", self.config()).env("USER", "ann").env("TZ", "UTC");
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments))
    }

    /// The phase of the environment.
    pub(crate) fn phase(&self) -> String {
        let status = self.run(&["status", "test", "--output", "json"]).json();
        status["environments"][0]["phase"].as_str().unwrap().to_owned()
    }

    /// What a program finds below `current`, by key.
    pub(crate) fn live(&self) -> Vec<(String, String)> {
        let current = self.home.path().join("test/current");
        let mut found = Vec::new();
        let mut places = vec![current.clone()];
        while let Some(place) = places.pop() {
            for entry in std::fs::read_dir(&place).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    places.push(path);
                } else {
                    let key = path.strip_prefix(&current).unwrap().display().to_string();
                    found.push((key, std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    /// Where the mirror is.
    pub(crate) fn mirror(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.home.path().join("data")).unwrap();
        entries.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap()
    }

    /// The environments that the mirror keeps commits for, each with so many.
    pub(crate) fn kept(&self) -> BTreeMap<String, usize> {
        let mut kept = BTreeMap::new();
        for found in git2::Repository::open_bare(self.mirror()).unwrap().references_glob("refs/lockstep/*").unwrap().flatten() {
            let name = found.name().unwrap().split('/').nth(2).unwrap().to_owned();
            *kept.entry(name).or_default() += 1;
        }
        kept
    }

    /// Takes out of a text what differs from run to run.
    pub(crate) fn steady(&self, text: &str) -> String {
        text.replace(&Path::display(self.home.path()).to_string(), "HOME")
    }
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let said = Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!said.err.contains("panicked"), "{}", said.err);
    assert!(!format!("{said:?}").contains("hunter2canary"), "a sensitive value was printed: {said:?}");
    said
}

/// A controller in the background, ended when dropped.
pub(crate) struct Daemon(Option<Child>, PathBuf);

impl Daemon {
    pub(crate) fn start(stage: &Stage) -> Self {
        let mut command = stage.command(&["run"]);
        let log = stage.home.path().join("daemon.log");
        let file = std::fs::File::create(&log).unwrap();
        Self(Some(command.stdout(Stdio::null()).stderr(file).spawn().unwrap()), log)
    }

    /// Waits until its log has this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        until(text, || std::fs::read_to_string(&self.1).unwrap().contains(text));
    }

    /// Asks it to stop, as a service manager does, and returns its exit code and log.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        let mut child = self.0.take().unwrap();
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        (status.code(), std::fs::read_to_string(&self.1).unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something holds, for twenty seconds at most.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
