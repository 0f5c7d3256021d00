//! Everything around one controller: a repository, a Consul, the controller's file, and the program run on them.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::service::Service;
use crate::repo::TestRepo;
use crate::support::{Agent, PATIENCE};

/// The environment's file: times so short that a test can wait for a verdict.
pub(super) const ENVIRONMENT: (&str, &str) = (
    "environments/test/environment.yaml",
    "layers: [base]\nrollout: {settle: 0s, min_healthy_time: 1s, healthy_deadline: 5s, fail_after: 3}\n",
);
/// The one check: every instance of `app` answers 200.
pub(super) const CHECK: (&str, &str) = (
    "base/checks/app-answers.yaml",
    "kind: http\nservice: app\npath: /health\nexpect: {status: 200}\ninterval: 500ms\ntimeout: 500ms\n",
);
/// Where the version is that the service reads.
pub(super) const APP: &str = "base/kv/config/app.yaml";
/// Where many keys are.
pub(super) const MANY: &str = "base/kv/config/many.yaml";

/// A repository with one environment, `test`, on a Consul.
pub(super) struct Site {
    pub(super) repo: TestRepo,
    home: TempDir,
    /// The members of the target's `consul:` section.
    consul: String,
    /// Where the program fetches the repository from; none: from its path.
    pub(super) fetch_from: Option<String>,
    /// Environment variables that the program gets besides its own few.
    pub(super) variables: Vec<(&'static str, String)>,
    target_id: RefCell<Option<String>>,
    /// The time between two looks at the repository.
    pub(super) poll: &'static str,
    /// The environment's key roots, as the controller's file lists them.
    pub(super) roots: &'static str,
    token: RefCell<Option<PathBuf>>,
    /// The name of the environment in the controller's file.
    pub(super) environment: &'static str,
    /// More lines of the controller's file.
    pub(super) more: String,
}

/// What a command left behind.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    /// Standard output as JSON.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

/// The file that gives the service its version.
pub(super) fn app(version: &str) -> String {
    format!("version: {version}\n")
}

/// A file with this many keys of one value below `config/many/`.
pub(super) fn many(count: usize, value: &str) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "k{number:05}: {value}").unwrap();
    }
    text
}

impl Site {
    /// The repository `demo`, initialised on this Consul and pinned, with the version `one`.
    pub(super) fn new(agent: &Agent) -> Self {
        let site = Self::named("demo", &agent.address());
        site.init();
        site
    }

    /// A repository of any name with the version `one`; its target is not initialised.
    pub(super) fn named(name: &str, address: &str) -> Self {
        let manifest = format!("name: {name}\nlockstep: \"^1\"\n");
        let files = [("lockstep.yaml", manifest.as_str()), ENVIRONMENT, CHECK, (APP, &app("one"))];
        Self {
            repo: TestRepo::with(&files),
            home: tempfile::tempdir().unwrap(),
            consul: format!("address: \"{address}\""),
            fetch_from: None,
            variables: Vec::new(),
            target_id: RefCell::default(),
            poll: "1s",
            roots: "config/",
            token: RefCell::default(),
            environment: "test",
            more: String::new(),
        }
    }

    /// Runs `lockstep init`, pins what it prints, and gives all of it.
    pub(super) fn init(&self) -> String {
        let said = self.run(&["init", self.environment]).exits(0).out;
        let id = said.lines().find_map(|line| line.strip_prefix("target_id: ")).unwrap();
        *self.target_id.borrow_mut() = Some(id.to_owned());
        said
    }

    /// Pins this id.
    pub(super) fn pin(&self, id: &str) {
        *self.target_id.borrow_mut() = Some(id.to_owned());
    }

    /// Takes the pin out of the configuration again.
    pub(super) fn forget_pin(&self) {
        *self.target_id.borrow_mut() = None;
    }

    /// From now on with this token, in a file as an operator would leave it.
    pub(super) fn use_token(&self, secret: &str) {
        let path = self.home.path().join("token");
        std::fs::write(&path, secret).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        *self.token.borrow_mut() = Some(path);
    }

    /// The same configuration with the address of another Consul.
    pub(super) fn readdress(&mut self, address: &str) {
        self.reach(address, "");
    }

    /// Another address, and more members of the `consul:` section. Controllers that run already keep theirs.
    pub(super) fn reach(&mut self, address: &str, more: &str) {
        let separator = if more.is_empty() { "" } else { ", " };
        self.consul = format!("address: \"{address}\"{separator}{more}");
    }

    /// Where its files are.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs the program to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command("cli", arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let said = Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
        assert!(!said.err.contains("panicked"), "{}", said.err);
        said
    }

    /// Starts a controller with a mirror of its own.
    pub(super) fn start(&self, name: &str) -> Controller {
        self.begin(name, &["run"])
    }

    /// Starts any command in the background.
    pub(super) fn begin(&self, name: &str, arguments: &[&str]) -> Controller {
        let log = self.home.path().join(format!("{name}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = self.command(name, arguments).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Controller { child, log }
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null());
        command.env_clear().env("LOCKSTEP_CONFIG", self.configure(name)).env("USER", "ann").env("TZ", "UTC");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Writes the file of one controller.
    pub(super) fn configure(&self, name: &str) -> PathBuf {
        let pin = self.target_id.borrow().as_ref().map_or_else(String::new, |id| format!("target_id: {id}, "));
        let token =
            self.token.borrow().as_ref().map_or_else(String::new, |path| format!(", token: {{file: {}}}", path.display()));
        let url = self.fetch_from.clone().unwrap_or_else(|| self.repo.path().display().to_string());
        let text = format!(
            "repository: {{url: \"{url}\", poll: {}}}\ndata_dir: ./{name}\nenvironments:\n  {}: {{consul: {{{}{token}}}, {pin}keys: \
             [{}]}}\n{}",
            self.poll, self.environment, self.consul, self.roots, self.more
        );
        let path = self.home.path().join(format!("{name}.yaml"));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// How many names the mirror of a controller has for commits of the environment.
    pub(super) fn kept(&self, name: &str) -> usize {
        let mut entries = std::fs::read_dir(self.home.path().join(name)).unwrap().map(|entry| entry.unwrap().path());
        let mirror = git2::Repository::open_bare(entries.find(|path| path.is_dir()).unwrap()).unwrap();
        let found = mirror.references_glob(&format!("refs/lockstep/{}/*", self.environment)).unwrap();
        found.count()
    }

    /// What `status` says of the environment.
    #[track_caller]
    pub(super) fn status(&self) -> Value {
        self.run(&["status", self.environment, "--output", "json"]).json()["environments"][0].take()
    }

    /// The outcomes in history, oldest first; an open line is `open`.
    #[track_caller]
    pub(super) fn outcomes(&self) -> Vec<String> {
        let history = self.run(&["history", self.environment, "--limit", "1000", "--output", "json"]).exits(0).json();
        let lines = history["lines"].as_array().unwrap().iter().rev();
        lines.map(|line| line["outcome"].as_str().unwrap_or("open").to_owned()).collect()
    }

    /// Waits until the environment rests on the branch head, proven.
    #[track_caller]
    pub(super) fn until_steady(&self) {
        self.until_steady_within(PATIENCE);
    }

    /// The same with patience of its own.
    #[track_caller]
    pub(super) fn until_steady_within(&self, patience: Duration) {
        let tip = self.repo.tip().to_string();
        self.until_within(patience, "steady on the branch head", |status| {
            status["phase"] == "steady" && status["goal"]["revision"] == tip.as_str() && status["proven"] == true
        });
    }

    /// Waits until it is steady and in step with the branch head, which may say the same as a commit before it.
    #[track_caller]
    pub(super) fn until_in_step(&self) {
        // What `status` says of the head rests on its own mirror, which a plan fetches.
        self.run(&["plan"]);
        self.until("in step with the branch head", |status| {
            status["phase"] == "steady" && status["head"]["verdict"] == "in-step"
        });
    }

    /// Asserts that history has one line for each generation, in order, and every one is closed.
    #[track_caller]
    pub(super) fn check_history(&self) {
        let history = self.run(&["history", self.environment, "--limit", "1000", "--output", "json"]).exits(0).json();
        let lines = history["lines"].as_array().unwrap();
        let generations: Vec<u64> = lines.iter().rev().map(|line| line["generation"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (1..=self.status()["last_generation"].as_u64().unwrap()).collect();
        assert_eq!(generations, expected, "{history:#}");
        assert!(lines.iter().all(|line| line["outcome"].is_string()), "{history:#}");
    }

    /// Waits until the status is so, and gives it.
    #[track_caller]
    pub(super) fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, what, holds)
    }

    #[track_caller]
    fn until_within(&self, patience: Duration, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            assert!(begin.elapsed() < patience, "not within {patience:?}: {what}\n{status:#}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What every controller logged.
    pub(super) fn logs(&self) -> String {
        logs(self.home.path())
    }
}

/// What every controller of a place logged.
pub(super) fn logs(home: &Path) -> String {
    let mut logs = String::new();
    for entry in std::fs::read_dir(home).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            writeln!(logs, "--- {}\n{}", path.display(), std::fs::read_to_string(&path).unwrap()).unwrap();
        }
    }
    logs
}

/// Everything that a Consul's KV holds: key, value and the index of its last write.
pub(super) fn dump(agent: &Agent, prefix: &str) -> Vec<(String, Vec<u8>, u64)> {
    let text = |pair: &Value, field: &str| pair[field].as_str().unwrap().to_owned();
    agent
        .pairs(prefix)
        .iter()
        .map(|pair| (text(pair, "Key"), crate::support::decode(&pair["Value"]), pair["ModifyIndex"].as_u64().unwrap()))
        .collect()
}

/// One environment with its Consul, its service and a running controller, proven on its first commit.
pub(super) struct Running {
    pub(super) site: Site,
    pub(super) controller: Controller,
    _service: Service,
    pub(super) agent: Agent,
}

impl Running {
    /// With a development server and the first commit only.
    pub(super) fn start() -> Self {
        Self::on(Agent::start(), |_| ())
    }

    /// With any Consul and more commits before the start.
    pub(super) fn on(agent: Agent, before: impl FnOnce(&mut TestRepo)) -> Self {
        let service = Service::start(&agent);
        let mut site = Site::new(&agent);
        before(&mut site.repo);
        let controller = site.start("one");
        site.until_steady();
        Self { site, controller, _service: service, agent }
    }

    /// Commits a version of the application.
    pub(super) fn release(&mut self, version: &str) -> lockstep::domain::revision::Revision {
        self.site.repo.commit(&format!("Version {version}"), &[(APP, &app(version))])
    }
}

/// A running controller, killed when dropped.
pub(super) struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether a status names it as the leader.
    pub(super) fn leads(&self, status: &Value) -> bool {
        status["leader"].as_str().is_some_and(|leader| leader.ends_with(&format!(":{}", self.id())))
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, as a service manager does.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its end, after [`Self::terminate`].
    pub(super) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Whether it runs still.
    pub(super) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.kill();
    }
}
