//! T5: the memory of the real daemon around a burst, around large bodies, and around an attack; and its log.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::stage::{Connection, RECORDED, Request, write};
use crate::cli::stage::Stage;
use crate::support::git_server::GitServer;
use crate::support::ports::free_place;

const PATIENCE: Duration = Duration::from_mins(1);

/// `lockstep run` with both endpoints, on a repository behind a real git server; it ends with the test.
struct Daemon {
    stage: Stage,
    git: GitServer,
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    fn start() -> Self {
        let (stage, address) = (Stage::new(), free_place());
        let git = GitServer::of(&stage.repo.path());
        write(&stage.home.path().join("secret"), RECORDED);
        let secrets = "{secrets: [{file: secret}, {env: SECOND}]}";
        let text = format!(
            "repository: {{url: '{}', poll: 1h}}\ndata_dir: ./data\nenvironments:\n  test: {{directory: {{path: ./test}}}}\n\
             server: {{listen: '{address}'}}\nwebhooks: {{github: {secrets}, gitea: {secrets}}}\n",
            git.url
        );
        std::fs::write(stage.config(), text).unwrap();
        let log = std::fs::File::create(stage.home.path().join("log")).unwrap();
        let mut command = stage.command(&["run"]);
        let child = command.env("SECOND", "another-canary").stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let daemon = Self { stage, git, child, address };
        daemon.until("it listens", || std::net::TcpStream::connect(address).is_ok());
        daemon.until("it is in step", || !daemon.stage.live().is_empty());
        daemon
    }

    /// How often the git server was asked where the branch stands.
    fn looks(&self) -> usize {
        self.git.requests().iter().filter(|line| line.contains("/info/refs")).count()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.stage.home.path().join("log")).unwrap()
    }

    /// Kibibytes that are resident.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "waited for: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn deliver(&self, connections: usize, each: usize, request: &Request, status: u16) {
        deliver(self.address, connections, each, request, status);
    }
}

/// Deliveries on so many connections at once; every answer has this status.
fn deliver(address: SocketAddr, connections: usize, each: usize, request: &Request, status: u16) {
    let bytes = request.bytes();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut connection = Connection::to(address);
                for _ in 0..each {
                    connection.write(&bytes);
                    assert_eq!(connection.answer().status, status);
                }
            });
        }
    });
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What it may have more than before, in kibibytes: 20 MiB where the bodies were hundreds.
const MORE: u64 = 20 << 10;

#[test]
fn t5_memory_stays_flat_around_ten_thousand_deliveries_and_around_large_bodies() {
    let daemon = Daemon::start();
    let push = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gitea/01-push.body")).unwrap();
    // What a first use of anything takes is taken.
    daemon.deliver(8, 20, &Request::of_github(RECORDED, &push), 202);
    let before = daemon.resident();
    daemon.deliver(8, 1_250, &Request::of_github(RECORDED, &push), 202);
    let after_burst = daemon.resident();
    // 400 MiB in all, half of them with a wrong signature.
    let large = vec![b'x'; 25 << 20];
    let right = Request::of_github(RECORDED, &large);
    let wrong = Request::of_github("wrong", &large);
    let (mut most, address) = (0, daemon.address);
    std::thread::scope(|scope| {
        let sending =
            [scope.spawn(|| deliver(address, 4, 2, &right, 202)), scope.spawn(|| deliver(address, 4, 2, &wrong, 401))];
        while sending.iter().any(|sender| !sender.is_finished()) {
            most = most.max(daemon.resident());
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let after = daemon.resident();
    let kibibytes = [before, after_burst, most, after];
    assert!(
        kibibytes.iter().all(|now| *now < before + MORE),
        "before, after the burst, during large bodies, after: {kibibytes:?}"
    );
}

#[test]
fn t7_ten_thousand_wrong_deliveries_are_a_line_for_each_reason_and_none_shows_what_was_presented() {
    let mut daemon = Daemon::start();
    let body = b"{\"canary\":true}";
    let presented = "deadbeef".repeat(8);
    let wrong = Request::of_github(RECORDED, body).without("x-hub-signature-256");
    daemon.deliver(8, 250, &wrong.clone().and("x-hub-signature-256", format!("sha256={presented}")), 401);
    for index in 0..200 {
        let malformed = wrong.clone().and("x-hub-signature-256", format!("{presented}{index}"));
        daemon.deliver(1, 1, &malformed, 401);
    }
    let log = daemon.log();
    let told = |reason: &str| log.lines().filter(|line| line.contains(reason)).count();
    assert_eq!((told("signature-wrong"), told("signature-malformed")), (1, 1), "{log}");
    assert!(log.contains("listening") && log.contains("/webhooks/github /webhooks/gitea"), "{log}");
    for secret in ["deadbeef", "canary", RECORDED] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon.child), rustix::process::Signal::TERM).unwrap();
    let began = Instant::now();
    while daemon.child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn t8_a_delivery_is_looked_into_at_once_although_the_next_poll_is_an_hour_away() {
    let mut daemon = Daemon::start();
    daemon.stage.repo.commit("more", &[("base/kv/more.yaml", "more: delivered\n")]);
    let before = daemon.looks();
    daemon.deliver(8, 100, &Request::of_github(RECORDED, b"{}"), 202);
    daemon.until("the key is live", || daemon.stage.live().iter().any(|(_, value)| value == "delivered"));
    // A fetch that brings something asks twice where the branch stands at most.
    assert!(daemon.looks() <= before + 4, "{:?}", daemon.git.requests());
}

#[test]
fn t8_a_delivery_before_its_ref_is_visible_is_looked_into_until_it_is() {
    let mut daemon = Daemon::start();
    let before = daemon.looks();
    daemon.deliver(1, 1, &Request::of_github(RECORDED, b"{}"), 202);
    daemon.until("it has looked in vain", || daemon.looks() > before);
    daemon.stage.repo.commit("more", &[("base/kv/more.yaml", "more: delivered\n")]);
    daemon.until("the key is live", || daemon.stage.live().iter().any(|(_, value)| value == "delivered"));
}
