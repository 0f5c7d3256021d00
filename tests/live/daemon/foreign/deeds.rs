//! What happens at random: to the repository, to the keys, and to the controller.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep::domain::revision::Revision;
use serde_json::{Value, json};

use super::Dice;
use super::theirs::{Theirs, everything};
use crate::daemon::killer::Killer;
use crate::daemon::service::{BAD, Service};
use crate::daemon::site::{APP, Controller, MANY, Site, app};
use crate::fake::Fake;
use crate::support::Agent;

/// Times so short that much happens, and deletes without a limit: they are what could go wrong.
const ENVIRONMENT: (&str, &str) = (
    "environments/test/environment.yaml",
    "layers: [base]\ndeletes: {at_most: 100000, at_most_percent: 100}\n\
     rollout: {settle: 0s, min_healthy_time: 300ms, healthy_deadline: 3s, fail_after: 2}\n",
);
/// Keys that every commit has; people change them by hand.
const FIXED: &str = "base/kv/config/fixed.yaml";
/// Keys whose names come once: people change them by hand, and commits drop them before or after it is put right.
const ONCE: &str = "base/kv/config/once.yaml";
/// A commit that wants a key of others has it here.
const GREEDY: &str = "base/kv/config/theirs.yaml";
const FIXED_KEYS: usize = 20;
/// The longest that the end may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Something that happens, and what it was.
pub(super) type Deed = fn(&mut Play, &mut Dice) -> String;

/// How often each happens, in parts of all. A verb that writes or releases keys belongs here as soon as it exists: adoptions of
/// some of theirs (which then leave [`Theirs`]), and the removal of an environment with its return.
pub(super) const DEEDS: [(usize, Deed); 16] = [
    (8, Play::commits_values),
    (8, Play::commits_many),
    (4, Play::commits_new_names),
    (3, Play::commits_a_bad_version),
    (2, Play::commits_what_is_invalid),
    (3, Play::commits_what_others_have),
    (5, Play::reverts),
    (1, Play::goes_back_by_force),
    (5, Play::changes_a_key_by_hand),
    (4, Play::changes_a_passing_key_by_hand),
    (6, Play::lets_others_write),
    (3, Play::copies_marked_keys),
    (4, Play::kills_at_a_write),
    (1, Play::asks_the_controller_to_stop),
    (1, Play::packs_the_repository),
    (3, Play::asks_for_a_rollback),
];

/// Everything that takes part.
pub(super) struct Play {
    agent: Agent,
    _service: Service,
    proxy: Fake,
    site: Site,
    killer: Arc<Killer>,
    controller: Controller,
    theirs: Theirs,
    /// The branch never goes back beyond this commit.
    first: Revision,
    /// Names that are given out once.
    once: usize,
    copies: usize,
    kills: usize,
    commits: usize,
}

impl Play {
    /// A Consul full of others' keys, then the first deploy.
    pub(super) fn begin(foreign: usize, dice: &mut Dice) -> Self {
        let agent = Agent::start();
        let mut theirs = Theirs::fill(&agent, foreign, dice);
        let service = Service::start(&agent);
        let mut site = Site::named("demo", &agent.address());
        site.poll = "1s";
        site.init();
        theirs.mark_some(&agent, dice);
        let first = site.repo.commit("Begin", &[ENVIRONMENT, (FIXED, &fixed(0))]);
        let killer = Arc::new(Killer::default());
        let proxy = killer.start(agent.port());
        site.readdress(&proxy.address());
        let controller = site.start("one");
        site.readdress(&agent.address());
        site.until_steady();
        let play = Self {
            agent,
            _service: service,
            proxy,
            site,
            killer,
            controller,
            theirs,
            first,
            once: 0,
            copies: 0,
            kills: 0,
            commits: 1,
        };
        play.check_theirs();
        play
    }

    fn commit(&mut self, what: &str, files: &[(&str, &str)]) -> String {
        self.commits += 1;
        format!("commit {}: {what}", self.site.repo.commit(what, files).short())
    }

    fn commits_values(&mut self, dice: &mut Dice) -> String {
        let files = [(FIXED, fixed(dice.next())), (APP, app(&dice.below(1000).to_string()))];
        self.commit("values", &files.each_ref().map(|(path, text)| (*path, text.as_str())))
    }

    fn commits_many(&mut self, dice: &mut Dice) -> String {
        // From none to five transactions, each time another choice of names.
        let (count, step) = (dice.below(300), 1 + dice.below(3));
        let mut text = String::new();
        for number in 0..count {
            writeln!(text, "k{:05}: {}", number * step, dice.below(3)).unwrap();
        }
        if count == 0 {
            text = "{}\n".into();
        }
        self.commit(&format!("{count} keys"), &[(MANY, &text)])
    }

    fn commits_new_names(&mut self, dice: &mut Dice) -> String {
        let mut text = String::new();
        for _ in 0..=dice.below(8) {
            self.once += 1;
            writeln!(text, "n{:06}: x", self.once).unwrap();
        }
        self.commit("names that come once", &[(ONCE, &text)])
    }

    fn commits_a_bad_version(&mut self, _: &mut Dice) -> String {
        self.commit("bad", &[(APP, &app(BAD))])
    }

    fn commits_what_is_invalid(&mut self, dice: &mut Dice) -> String {
        let bad = format!("version: {}\nversion: 2\n", dice.below(1000));
        self.commit("invalid", &[(APP, &bad)]);
        self.commit("valid again", &[(APP, &app("again"))])
    }

    fn commits_what_others_have(&mut self, dice: &mut Dice) -> String {
        let key = self.theirs.any(dice);
        let name = key.strip_prefix("config/theirs/").unwrap();
        let said = self.commit(&format!("wants {key}"), &[(GREEDY, &format!("\"{name}\": mine\n"))]);
        if dice.below(2) == 0 {
            self.commits += 1;
            self.site.repo.remove("wants it no more", &[GREEDY]);
        }
        said
    }

    fn reverts(&mut self, dice: &mut Dice) -> String {
        let tip = self.site.repo.tip();
        if tip == self.first {
            return self.commits_values(dice);
        }
        self.commits += 1;
        format!("revert of {}: {}", tip.short(), self.site.repo.revert(tip).short())
    }

    fn goes_back_by_force(&mut self, dice: &mut Dice) -> String {
        let tip = self.site.repo.tip();
        if tip == self.first {
            return self.commits_values(dice);
        }
        let tip = self.site.repo.git().find_commit(git2::Oid::from_bytes(tip.as_bytes()).unwrap()).unwrap();
        let before = Revision::parse(&tip.parent_id(0).unwrap().to_string()).unwrap();
        drop(tip);
        self.site.repo.move_to(before);
        format!("force push back to {}", self.site.repo.tip().short())
    }

    fn changes_a_key_by_hand(&mut self, dice: &mut Dice) -> String {
        let key = format!("config/fixed/f{:02}", dice.below(FIXED_KEYS));
        if dice.below(3) == 0 {
            self.agent.delete(&key);
            return format!("{key} deleted by hand");
        }
        self.agent.put(&key, &dice.bytes(40));
        format!("{key} changed by hand")
    }

    fn changes_a_passing_key_by_hand(&mut self, dice: &mut Dice) -> String {
        // From now on it may be nobody's: lockstep puts it right, or leaves it once no commit wants it.
        let key = format!("config/once/n{:06}", 1 + dice.below(self.once.max(1)));
        self.agent.put(&key, b"by hand");
        format!("{key} written by hand")
    }

    fn lets_others_write(&mut self, dice: &mut Dice) -> String {
        let key = self.theirs.any(dice);
        match dice.below(4) {
            0 => {
                self.theirs.delete(&self.agent, &key);
                format!("{key} deleted by its owner")
            }
            1 => {
                let key = format!("config/theirs/0new{:05}", dice.below(100_000));
                self.theirs.put(&self.agent, &[(key.clone(), dice.bytes(200), dice.next())]);
                format!("{key} made by its owner")
            }
            _ => {
                self.theirs.put(&self.agent, &[(key.clone(), dice.bytes(200), dice.next())]);
                format!("{key} changed by its owner")
            }
        }
    }

    /// `consul kv export | consul kv import` somewhere else copies the mark with the value.
    fn copies_marked_keys(&mut self, dice: &mut Dice) -> String {
        self.copies += 1;
        let place = ["config/copy", "backup", "config/fixed/copy", "config/many/copy"][dice.below(4)];
        let exported = self.agent.consul(&["kv", "export", "config/fixed/f0"]);
        let mut pairs: Vec<Value> = serde_json::from_str(&exported).unwrap();
        let mut written = Vec::new();
        for pair in &mut pairs {
            let key = format!("{place}{}/{}", self.copies, pair["key"].as_str().unwrap());
            written.push((key.clone(), crate::support::decode(&pair["value"]), pair["flags"].as_u64().unwrap()));
            pair["key"] = json!(key);
        }
        let file = self.site.home().join("copy.json");
        std::fs::write(&file, Value::from(pairs).to_string()).unwrap();
        self.agent.consul(&["kv", "import", &format!("@{}", file.display())]);
        self.theirs.learn(&self.agent, &written);
        format!("{} keys copied with their marks to {place}{}", written.len(), self.copies)
    }

    fn kills_at_a_write(&mut self, dice: &mut Dice) -> String {
        self.kills += 1;
        let mut said = "kill".to_owned();
        if dice.below(3) > 0 {
            // At one of the transactions of a commit that mostly has several, done or not.
            self.killer.arm(self.controller.id(), dice.below(4), dice.below(2) == 0);
            said = format!("kill at a write of {}", self.commits_many(dice));
            let begin = Instant::now();
            while !self.killer.has_struck() && begin.elapsed() < Duration::from_secs(2) {
                std::thread::sleep(Duration::from_millis(10));
            }
            self.killer.disarm();
        }
        self.controller.kill();
        self.end_the_lease();
        self.site.readdress(&self.proxy.address());
        self.controller = self.site.start("one");
        self.site.readdress(&self.agent.address());
        said
    }

    /// What Consul does by itself some time after the holder died.
    fn end_the_lease(&self) {
        let (_, body) = self.agent.curl("GET", "/v1/kv/lockstep/demo/test/lease?consistent", b"");
        let lease: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(session) = lease[0]["Session"].as_str() {
            self.agent.curl("PUT", &format!("/v1/session/destroy/{session}"), b"");
        }
    }

    fn asks_the_controller_to_stop(&mut self, _: &mut Dice) -> String {
        self.controller.terminate();
        self.controller.ended();
        self.site.readdress(&self.proxy.address());
        self.controller = self.site.start("one");
        self.site.readdress(&self.agent.address());
        "stopped and started".into()
    }

    /// What `git gc` does to the packs that a controller reads.
    fn packs_the_repository(&mut self, _: &mut Dice) -> String {
        let packed = Command::new("git").arg("-C").arg(self.site.repo.path()).args(["repack", "-adq"]).status();
        assert!(packed.unwrap().success());
        "repository packed".into()
    }

    fn asks_for_a_rollback(&mut self, _: &mut Dice) -> String {
        let said = self.site.run(&["rollback", "test", "--reason", "random", "--timeout", "20s"]);
        let resumed = self.site.run(&["resume", "test", "--timeout", "20s"]);
        format!("rollback ended with {}, resume with {}", said.code, resumed.code)
    }

    /// Asserts that nothing of theirs was touched so far.
    pub(super) fn check_theirs(&self) {
        self.theirs.check(&everything(&self.agent));
    }

    /// Takes the environment to a last commit, and asserts that all keys are what they are to be: ours as that commit says,
    /// theirs as they left them, and no others.
    pub(super) fn end(mut self) -> String {
        assert!(self.controller.runs(), "the controller ended by itself:\n{}", self.site.logs());
        // Nothing of it was there before: neither a fight over a key nor a rejection is about it.
        let nothing = [MANY, ONCE, GREEDY].map(|path| (path, "{}\n"));
        self.site.repo.commit("The end", &[&[(FIXED, fixed(u64::MAX).as_str()), (APP, &app("end"))], &nothing[..]].concat());
        self.site.run(&["resume", "test"]);
        self.site.run(&["release", "test"]);
        self.site.until_steady_within(PATIENCE);

        let live = everything(&self.agent);
        self.theirs.check(&live);
        let mut ours: BTreeMap<String, Vec<u8>> = BTreeMap::from([("config/app/version".to_owned(), b"end".to_vec())]);
        ours.extend((0..FIXED_KEYS).map(|at| (format!("config/fixed/f{at:02}"), value(u64::MAX, at).into_bytes())));
        for (key, value) in &ours {
            assert_eq!(live.get(key).map(|whole| &whole.value), Some(value), "{key}");
        }
        let accounted = |key: &str| {
            let passing = key.starts_with("config/once/") && live[key].flags == 0;
            self.theirs.has(key) || ours.contains_key(key) || passing || is_state(key)
        };
        let strange: BTreeSet<&String> = live.keys().filter(|key| !accounted(key)).collect();
        assert!(strange.is_empty(), "nobody wanted these keys: {strange:?}");
        let generations = self.site.status()["last_generation"].as_u64().unwrap();
        // Older lines may be gone by then.
        if generations <= 1000 {
            self.site.check_history();
        }
        format!(
            "{} commits, {generations} generations, {} kills, {} copies, {} keys of others as they were",
            self.commits,
            self.kills,
            self.copies,
            self.theirs.count()
        )
    }
}

/// lockstep's own keys for this environment.
fn is_state(key: &str) -> bool {
    key.starts_with("lockstep/demo/test/") || key.starts_with("lockstep/owners/")
}

fn fixed(seed: u64) -> String {
    let mut text = String::new();
    for at in 0..FIXED_KEYS {
        writeln!(text, "f{at:02}: \"{}\"", value(seed, at)).unwrap();
    }
    text
}

fn value(seed: u64, at: usize) -> String {
    format!("{at} of {seed}")
}
