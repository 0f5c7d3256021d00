//! What docs/operations.md tells operators to do, done: its commands as they are printed there, in their order, on a real Consul.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::pages;
use crate::support::Agent;

const PAGE: &str = "docs/operations.md";
const TAKE_OVER: &str = "Take over keys that live already";
const RECORD: &str = "lockstep/calvin-config/production/record";
/// What people must find besides what they removed: an environment that stays.
const OTHER: &str = "layers: []\n";

/// An operator's machine.
struct Operator {
    home: tempfile::TempDir,
    agent: Agent,
    pin: String,
}

impl Operator {
    fn of(agent: Agent) -> Self {
        let it = Self { home: tempfile::tempdir().unwrap(), agent, pin: String::new() };
        it.configure("production");
        it
    }

    fn configure(&self, environment: &str) {
        let text = format!(
            "repository: {{url: ./calvin-config, poll: 1s}}\ndata_dir: ./data\nenvironments:\n  {environment}:\n    \
             consul: {{address: \"{}\"}}\n{}    keys: [config/]\n",
            self.agent.address(),
            self.pin
        );
        std::fs::write(self.home.path().join("lockstep-controller.yaml"), text).unwrap();
    }

    /// Runs the block of that number below a heading, as it is printed.
    #[track_caller]
    fn does(&self, heading: &str, block: usize) -> String {
        self.runs(&pages::commands(&pages::page(PAGE), heading)[block])
    }

    #[track_caller]
    fn runs(&self, commands: &str) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_lockstep")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let person = ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "USER"].map(|name| (name, "ann"));
        let address = ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "ann@example.org"));
        let mut variables = vec![("PATH", path.as_str()), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("TZ", "UTC")];
        variables.extend(person.into_iter().chain(address));
        pages::run(commands, self.home.path(), &variables).unwrap()
    }

    fn start(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.arg("run").current_dir(self.home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Keys below the roots with their values.
    fn values(&self) -> BTreeMap<String, Vec<u8>> {
        self.agent.values("config/")
    }
}

/// A controller that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_documented_steps_take_keys_over_recover_rename_and_remove_an_environment_and_no_value_changes() {
    let agent = Agent::start();
    for number in 0..20 {
        agent.put(&format!("config/app/setting-{number:02}"), format!("value {number}").as_bytes());
    }
    agent.put("config/app/binary", b"\xff\x00");
    agent.put("other/theirs", b"not ours");
    let mut operator = Operator::of(agent);
    let before = operator.values();
    let same = |operator: &Operator| assert_eq!(operator.values(), before);

    operator.does(TAKE_OVER, 0);
    let said = operator.does(TAKE_OVER, 1);
    let pin = said.lines().find(|line| line.starts_with("target_id: ")).unwrap();
    operator.pin = format!("    {pin}\n");
    operator.configure("production");
    let said = operator.does(TAKE_OVER, 2);
    assert!(said.contains("exists already") && said.contains("21"), "{said}");
    let controller = Running(operator.start());
    let said = operator.does(TAKE_OVER, 3);
    assert!(said.contains("adopted 21 keys; nothing changed value") && said.contains("brought under git"), "{said}");
    same(&operator);

    operator.agent.delete(RECORD);
    let said = operator.does("Bring a lost record back", 0);
    assert!(operator.agent.get(RECORD).is_some() && said.contains("production"), "{said}");
    drop(controller);
    same(&operator);

    operator.runs(&format!(
        "mkdir calvin-config/environments/other\nprintf '{OTHER}' >calvin-config/environments/other/environment.yaml\n\
         git -C calvin-config add --all"
    ));
    let said = operator.does("Give an environment another name", 0);
    assert!(said.contains("takes over the record and the keys of production"), "{said}");
    let said = operator.does("Give an environment another name", 1);
    assert!(said.contains("production") && operator.agent.get(RECORD).is_none(), "{said}");
    same(&operator);

    let said = operator.does("Retire an environment, and remove it", 0);
    assert!(said.contains("the revision has no such environment; nothing is written or deleted"), "{said}");
    same(&operator);
    let said = operator.does("Retire an environment, and remove it", 1);
    assert!(said.contains("moved to the new cluster"), "{said}");
    // Adopted keys are given back.
    same(&operator);
    let state = operator.agent.tree("lockstep/").into_iter().map(|(key, _)| key).filter(|key| !key.contains("/history/"));
    assert_eq!(state.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(operator.agent.get("other/theirs").unwrap(), b"not ours");
}
