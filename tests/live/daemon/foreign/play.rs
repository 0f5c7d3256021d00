//! Everything that takes part, what it is at rest, and what is demanded of it then and at any other time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep::domain::resource::{Flags, OwnerId};
use lockstep::domain::revision::Revision;
use serde_json::Value;

use super::Dice;
use super::deeds::{Deed, Kind};
use super::found::{self, Baseline, Found, Values};
use super::tally::Tally;
use super::theirs::{Theirs, Whole, below, everything};
use crate::daemon::killer::Killer;
use crate::daemon::retire::OTHER;
use crate::daemon::service::Service;
use crate::daemon::site::{APP, Controller, MANY, Site, app};
use crate::fake::Fake;
use crate::repo::Change;
use crate::support::Agent;

/// Times so short that much happens, and deletes without a limit: they are what could go wrong.
pub(super) const RULES: &str = "layers: [base]\ndeletes: {at_most: 100000, at_most_percent: 100}\n\
     rollout: {settle: 0s, min_healthy_time: 300ms, healthy_deadline: 3s, fail_after: 2}\n";
/// Keys that every commit has; people change them by hand.
pub(super) const FIXED: &str = "base/kv/config/fixed.yaml";
/// Keys whose names come once: people change them by hand, and commits drop them before or after it is put right.
pub(super) const ONCE: &str = "base/kv/config/once.yaml";
/// A commit that wants a key of others has it here.
pub(super) const GREEDY: &str = "base/kv/config/theirs.yaml";
pub(super) const FIXED_KEYS: usize = 20;
/// The longest that it may take to come to rest.
const PATIENCE: Duration = Duration::from_mins(2);
/// So long nobody helps it to.
const ALONE: Duration = Duration::from_secs(2);

/// Everything that takes part.
pub(super) struct Play {
    pub(super) agent: Agent,
    _service: Service,
    pub(super) proxy: Fake,
    pub(super) site: Site,
    pub(super) killer: Arc<Killer>,
    pub(super) controller: Controller,
    pub(super) theirs: Theirs,
    pub(super) found: Found,
    /// The environment's own.
    pub(super) owner: OwnerId,
    /// The branch never goes back beyond this commit.
    pub(super) floor: Revision,
    /// What it was last taken to and proven at, at rest.
    pub(super) baseline: Baseline,
    pub(super) is_at_rest: bool,
    /// Its record was lost once: every key that loses its mark counts as adopted from then on, and is given back.
    pub(super) was_recovered: bool,
    /// Names that are given out once.
    pub(super) once: usize,
    pub(super) tally: Tally,
}

impl Play {
    /// A Consul full of others' keys, then the first deploy, which adopts some of them.
    pub(super) fn begin(foreign: usize, dice: &mut Dice) -> Self {
        let agent = Agent::start();
        let mut theirs = Theirs::fill(&agent, foreign, dice);
        let mut found = Found::fill(&mut theirs, &agent, dice);
        let service = Service::start(&agent);
        let mut site = Site::named("demo", &agent.address());
        site.poll = "1s";
        theirs.explain_marks(&agent, true);
        site.init();
        theirs.explain_marks(&agent, false);
        theirs.mark_some(&agent, dice);
        site.repo.commit("Another one", &[OTHER]);
        let group = found.free(dice).unwrap();
        found.hold(group, &mut theirs, None);
        // The trailer that counts on the first deploy is the head's own.
        let baseline = commit_state(&mut site, "Begin", dice.next(), &found.wanted(), true);
        let killer = Arc::new(Killer::default());
        let proxy = killer.start(agent.port());
        site.readdress(&proxy.address());
        let controller = site.start("one");
        site.readdress(&agent.address());
        let mut play = Self {
            floor: site.repo.tip(),
            owner: owner(&agent, &site),
            agent,
            _service: service,
            proxy,
            site,
            killer,
            controller,
            theirs,
            found,
            baseline,
            is_at_rest: false,
            was_recovered: false,
            once: 0,
            tally: Tally { commits: 1, adopted: found::keys(group).count(), ..Tally::default() },
        };
        play.comes_to_rest();
        // Below the root, where only the second lock of a delete keeps them.
        play.copies("config/fixed/f0", "config/copy");
        play
    }

    /// Does something, and says what it was.
    pub(super) fn does(&mut self, deed: &Deed, dice: &mut Dice) -> String {
        match deed.kind {
            Kind::Meanwhile => self.is_at_rest = false,
            Kind::FromRest => self.rest(dice),
        }
        (deed.does)(self, dice)
    }

    /// Where the environment's own file is.
    pub(super) fn place(&self) -> String {
        place(self.site.environment)
    }

    /// A key of lockstep's own for this environment.
    pub(super) fn state(&self, name: &str) -> String {
        format!("lockstep/demo/{}/{name}", self.site.environment)
    }

    /// Commits these files as they are.
    pub(super) fn commit(&mut self, what: &str, files: &[(&str, &str)]) -> String {
        self.tally.commits += 1;
        format!("commit {}: {what}", self.site.repo.commit(what, files).short())
    }

    /// Commits a whole state, see [`commit_state`].
    pub(super) fn commit_state(&mut self, what: &str, seed: u64, groups: &BTreeMap<usize, Values>, adopts: bool) {
        self.tally.commits += 1;
        self.baseline = commit_state(&mut self.site, what, seed, groups, adopts);
    }

    /// Takes the environment to a commit of its own that nothing stands against, and asserts that all keys are what they are to
    /// be: ours as that commit says, theirs as they left them, and no others.
    pub(super) fn rest(&mut self, dice: &mut Dice) {
        if !self.is_at_rest {
            self.commit_state("Rest", dice.next(), &self.found.wanted(), true);
            self.comes_to_rest();
        }
    }

    /// Waits until the branch head is proven, and asserts that all is at rest.
    pub(super) fn comes_to_rest(&mut self) {
        self.until_steady();
        self.must_be_at_rest();
    }

    /// Waits until the branch head is proven.
    pub(super) fn until_steady(&self) {
        let tip = self.site.repo.tip().to_string();
        let begin = Instant::now();
        loop {
            let status = self.site.status();
            if status["phase"] == "steady" && status["goal"]["revision"] == tip.as_str() && status["proven"] == true {
                return;
            }
            // Not while the tip is on its way: what was rolled back would be taken again, and proven, before it.
            if status["pin"].is_object() && status["head"]["revision"] == tip.as_str() {
                self.asks("resume");
            }
            if status["phase"] == "frozen" {
                self.asks("release");
            }
            if begin.elapsed() > ALONE {
                self.owners_agree();
            }
            assert!(begin.elapsed() < PATIENCE, "not steady on {tip} within {PATIENCE:?}\n{status:#}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn asks(&self, verb: &str) {
        self.site.run(&[verb, self.site.environment, "--timeout", "20s"]);
    }

    /// A commit wants a value, and a key that was adopted and is somebody's again, or was just written by hand, has another:
    /// whoever wrote it writes the wanted one, unless it has changed meanwhile.
    fn owners_agree(&self) {
        for (key, value, index) in self.found.disputed(&below(&self.agent, found::BELOW)) {
            self.agent.curl("PUT", &format!("/v1/kv/{key}?cas={index}"), value.as_bytes());
        }
    }

    /// Asserts that nothing of theirs was touched so far, and that what was adopted is nothing that nobody said.
    pub(super) fn check_under_way(&mut self) {
        let live = everything(&self.agent);
        self.check_theirs(&live);
        let trouble = self.found.trouble_under_way(&live, self.owner);
        assert!(trouble.is_none(), "{}", trouble.unwrap_or_default());
        assert!(self.controller.runs(), "the controller ended by itself");
    }

    /// Asserts that nothing of theirs was touched so far.
    pub(super) fn check_theirs(&mut self, live: &BTreeMap<String, Whole>) {
        self.tally.comparisons += 1;
        self.theirs.check(live);
    }

    /// Asserts that every key is what it has to be where the branch head is applied and nothing else happens.
    pub(super) fn must_be_at_rest(&mut self) {
        let begin = Instant::now();
        loop {
            let live = everything(&self.agent);
            self.check_theirs(&live);
            let trouble = self.trouble_of_ours(&live).or_else(|| self.found.trouble_at_rest(&live, self.owner));
            let Some(trouble) = trouble else {
                self.account_for_the_rest(&live);
                self.found.rest();
                self.floor = self.site.repo.tip();
                self.is_at_rest = true;
                return;
            };
            // Drift that was made just before is put right just after.
            assert!(begin.elapsed() < PATIENCE, "not so within {PATIENCE:?}: {trouble}");
        }
    }

    /// What is wrong with the keys that were never anybody else's.
    fn trouble_of_ours(&self, live: &BTreeMap<String, Whole>) -> Option<String> {
        let is_so = |(key, value): &(String, String)| {
            let whole = live.get(key);
            let mark = whole.and_then(|whole| Flags(whole.flags).mark_of(self.owner));
            // None was there before lockstep.
            let is_plain = mark.is_some_and(|mark| !mark.adopted || self.was_recovered);
            is_plain && whole.is_some_and(|whole| whole.value == value.as_bytes())
        };
        let wrong = self.ours().into_iter().find(|each| !is_so(each));
        wrong.map(|(key, value)| format!("{key} is {:?} and not ours with {value:?}", live.get(&key)))
    }

    fn ours(&self) -> BTreeMap<String, String> {
        let seed = self.baseline.seed;
        let mut ours = BTreeMap::from([("config/app/version".to_owned(), version(seed))]);
        ours.extend((0..FIXED_KEYS).map(|at| (format!("config/fixed/f{at:02}"), value(seed, at))));
        ours
    }

    /// Asserts that there is no key whose being there nobody can explain.
    fn account_for_the_rest(&mut self, live: &BTreeMap<String, Whole>) {
        let ours = self.ours();
        let mut strange = Vec::new();
        for (key, whole) in live {
            if self.theirs.has(key) || ours.contains_key(key) || self.found.has(key) || is_state(key) {
                continue;
            }
            let was_ours = ["config/fixed/", "config/many/k", "config/once/"].iter().any(|place| key.starts_with(place));
            if key.starts_with("config/once/") && whole.flags == 0 {
                // Written by hand and dropped by a commit before that was put right: nobody's from then on.
                self.theirs.keep(key, whole.clone());
            } else if self.was_recovered && was_ours && whole.flags == 0 {
                // Given back, and nobody has use for it; it would stand in the way of the next commit that wants it.
                self.agent.delete(key);
            } else {
                strange.push((key, whole));
            }
        }
        assert!(strange.is_empty(), "nobody wanted these keys: {strange:#?}");
    }

    /// What the run was made of so far.
    pub(super) fn tally(&mut self) -> &Tally {
        self.tally.foreign = self.theirs.count();
        &self.tally
    }

    /// Takes the environment to a last state, and says what the run was made of.
    pub(super) fn end(mut self, dice: &mut Dice) -> String {
        assert!(self.controller.runs(), "the controller ended by itself");
        self.is_at_rest = false;
        self.rest(dice);
        let generations = self.site.status()["last_generation"].as_u64().unwrap();
        // Older lines may be gone by then; numbers that were given out under a name that was removed are in its history only.
        if generations <= 1000 && !(self.tally.removals > 0 && self.tally.renames > 0) {
            self.site.check_history();
        }
        format!("{generations} generations; {}", self.tally())
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.controller.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("its last lines are\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// Commits a whole state: what follows from the seed, these groups and no other, and nothing that stands in anybody's way. If
/// so, with leave to adopt the groups.
fn commit_state(site: &mut Site, what: &str, seed: u64, groups: &BTreeMap<usize, Values>, adopts: bool) -> Baseline {
    let mut message = format!("{what}\n\n");
    let mut files: BTreeMap<String, Option<String>> = BTreeMap::new();
    let place = place(site.environment);
    let rules = read(site, &place).filter(|text| text.starts_with(RULES)).unwrap_or_else(|| RULES.to_owned());
    for (path, text) in [(FIXED, fixed(seed)), (APP, app(&version(seed))), (&*place, rules)] {
        files.insert(path.to_owned(), Some(text));
    }
    files.extend([MANY, ONCE, GREEDY].map(|path| (path.to_owned(), Some("{}\n".to_owned()))));
    for group in found::groups() {
        let path = found::path(group);
        if let Some(values) = groups.get(&group) {
            files.insert(path, Some(found::file(values)));
            if adopts {
                message += &found::trailer(group);
            }
        } else if read(site, &path).is_some() {
            files.insert(path, None);
        }
    }
    let changes: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_ref().map_or(Change::Gone, |text| Change::File(text.as_bytes()))))
        .collect();
    let revision = site.repo.change(&message, &changes).to_string();
    Baseline { revision, seed, found: groups.clone() }
}

/// Where an environment's own file is.
pub(super) fn place(environment: &str) -> String {
    format!("environments/{environment}/environment.yaml")
}

/// A file as the branch head has it.
fn read(site: &Site, path: &str) -> Option<String> {
    let git = site.repo.git();
    let tip = git.find_commit(git2::Oid::from_bytes(site.repo.tip().as_bytes()).unwrap()).unwrap();
    let entry = tip.tree().unwrap().get_path(path.as_ref()).ok()?;
    Some(String::from_utf8(git.find_blob(entry.id()).unwrap().content().to_vec()).unwrap())
}

/// Whose marks the environment's are.
pub(super) fn owner(agent: &Agent, site: &Site) -> OwnerId {
    let record = record(agent, site).expect("the environment has a record");
    OwnerId::new(record["identity"]["owner"].as_u64().unwrap().try_into().unwrap()).unwrap()
}

/// The record as it is stored.
pub(super) fn record(agent: &Agent, site: &Site) -> Option<Value> {
    let bytes = agent.get(&format!("lockstep/demo/{}/record", site.environment))?;
    Some(serde_json::from_slice::<Value>(&bytes).unwrap()["record"].take())
}

/// lockstep's own keys for this environment, under all names that it has.
pub(super) fn is_state(key: &str) -> bool {
    ["lockstep/demo/test/", "lockstep/demo/preview/", "lockstep/owners/"].iter().any(|place| key.starts_with(place))
}

pub(super) fn fixed(seed: u64) -> String {
    let mut text = String::new();
    for at in 0..FIXED_KEYS {
        writeln!(text, "f{at:02}: \"{}\"", value(seed, at)).unwrap();
    }
    text
}

fn value(seed: u64, at: usize) -> String {
    format!("{at} of {seed}")
}

fn version(seed: u64) -> String {
    format!("v{seed}")
}
