//! What happens at random to the controller and to what it reads.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Dice;
use super::play::Play;
use crate::daemon::site::Controller;
use crate::support::eventually;

impl Play {
    pub(super) fn kills_at_a_write(&mut self, dice: &mut Dice) -> String {
        if dice.once_in(3) {
            self.kill();
            return "kill".into();
        }
        // At one of the transactions of a commit that mostly has several.
        self.kills_in(dice, Self::commits_many)
    }

    /// Kills the controller at one of the writes of what is done, carried out or not, or a while later; and starts it again.
    pub(super) fn kills_in(&mut self, dice: &mut Dice, does: impl FnOnce(&mut Self, &mut Dice) -> String) -> String {
        self.killer.arm(self.controller.id(), dice.below(4), dice.once_in(2));
        let said = does(self, dice);
        let begin = Instant::now();
        while !self.killer.has_struck() && begin.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.killer.disarm();
        self.kill();
        format!("killed at a write of {said}")
    }

    /// `kill -9`, and another one.
    pub(super) fn kill(&mut self) {
        self.tally.kills += 1;
        self.controller.kill();
        self.end_the_lease();
        self.start();
    }

    /// Starts the controller over the proxy, where it can be killed.
    pub(super) fn start(&mut self) {
        self.controller = self.over_the_proxy(&["run"]);
    }

    /// Starts any command so.
    pub(super) fn over_the_proxy(&mut self, arguments: &[&str]) -> Controller {
        self.site.readdress(&self.proxy.address());
        let name = if arguments == ["run"] { "one" } else { "cli" };
        let started = self.site.begin(name, arguments);
        self.site.readdress(&self.agent.address());
        started
    }

    /// What Consul does by itself some time after the holder died.
    pub(super) fn end_the_lease(&self) {
        let (_, body) = self.agent.curl("GET", &format!("/v1/kv/{}?consistent", self.state("lease")), b"");
        let lease: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(session) = lease[0]["Session"].as_str() {
            self.agent.curl("PUT", &format!("/v1/session/destroy/{session}"), b"");
        }
    }

    /// Asks the controller to stop, and waits until it has.
    pub(super) fn stop(&mut self) {
        self.controller.terminate();
        self.controller.ended();
    }

    pub(super) fn asks_the_controller_to_stop(&mut self, _: &mut Dice) -> String {
        self.stop();
        self.start();
        "stopped and started".into()
    }

    /// What `git gc` does to the packs that a controller reads.
    pub(super) fn packs_the_repository(&mut self, _: &mut Dice) -> String {
        let packed = Command::new("git").arg("-C").arg(self.site.repo.path()).args(["repack", "-adq"]).status();
        assert!(packed.unwrap().success());
        "repository packed".into()
    }

    pub(super) fn asks_for_a_rollback(&mut self, _: &mut Dice) -> String {
        let said = self.site.run(&["rollback", self.site.environment, "--reason", "random", "--timeout", "20s"]);
        let resumed = self.site.run(&["resume", self.site.environment, "--timeout", "20s"]);
        format!("rollback ended with {}, resume with {}", said.code, resumed.code)
    }

    /// Waits until nobody leads any more.
    pub(super) fn until_retired(&self) {
        self.site.until("it is retired", |status| status["head"]["verdict"] == "retired");
        eventually("the lease is given up", || self.site.status()["leader"].is_null());
    }
}
