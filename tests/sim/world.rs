//! The world: keys with flags and indexes, the record, the lease, mirrors, a service whose health follows its keys.

use std::collections::{BTreeMap, BTreeSet};

use lockstep::domain::health::Finding;
use lockstep::domain::live::{Fence, LiveEntry, LiveState};
use lockstep::domain::name::KeyPath;
use lockstep::domain::plan::{Action, Change};
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::{Generation, Revision, ValueDigest};
use lockstep::domain::rollout::{Answer, HistoryLine, Identity, Kept, Phase, Request, RequestId, Retention, Rollout, Save};

use crate::bugs::Bug;
use crate::invariants;
use crate::random::Random;
use crate::repository::Origin;

pub(crate) const REPLICAS: usize = 2;
/// How long a session outlives its last renewal.
pub(crate) const SESSION: i64 = 10_000;
/// How long the service goes on as before after its keys changed.
pub(crate) const REACTION: i64 = 1_500;
/// From one fetch to the next.
pub(crate) const POLL: i64 = 5_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) value: Vec<u8>,
    pub(crate) flags: u64,
    pub(crate) index: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) replica: usize,
    /// Which start of that replica: nobody renews a dead process's session.
    pub(crate) start: u64,
    pub(crate) expires: i64,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) keys: BTreeMap<String, Stored>,
    pub(crate) index: u64,
    pub(crate) record: Option<(Rollout, u64)>,
    pub(crate) history: BTreeMap<Generation, HistoryLine>,
    pub(crate) requests: BTreeMap<RequestId, (Request, Option<Answer>)>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Mirror {
    pub(crate) fetched: bool,
    pub(crate) tip: Option<Revision>,
    pub(crate) known: BTreeSet<Revision>,
    pub(crate) kept: BTreeSet<Revision>,
    pub(crate) seen_at: i64,
    pub(crate) confirmed: bool,
    /// The last fetch showed an old state.
    pub(crate) lagged: bool,
}

/// How often things go wrong, in percent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) fails: u32,
    pub(crate) answer_lost: u32,
}

impl Faults {
    pub(crate) const NONE: Self = Self { fails: 0, answer_lost: 0 };
}

pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) random: Random,
    pub(crate) origin: Origin,
    pub(crate) store: Store,
    /// And what was edited by hand then.
    pub(crate) snapshot: Option<(Store, BTreeMap<String, i64>)>,
    pub(crate) lease: Option<Session>,
    pub(crate) sessions: u64,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) skew: Vec<i64>,
    /// The same when each replica's term began: its clock goes by that.
    pub(crate) term_skew: Vec<i64>,
    /// How long each replica's monotonic clock stood still while its machine slept.
    pub(crate) stood_still: Vec<i64>,
    /// How long the machines slept: the storm lasts so much longer.
    pub(crate) slept: i64,
    /// How often each replica was started.
    pub(crate) starts: Vec<u64>,
    /// A replica that died comes back then.
    pub(crate) dead_until: Vec<i64>,
    pub(crate) paused_until: Vec<i64>,
    pub(crate) faults: Faults,
    /// Things still happen.
    pub(crate) stormy: bool,
    /// Checks can't be made until then.
    pub(crate) blind_until: i64,
    /// The service fails whatever its keys say until then.
    pub(crate) sick_until: i64,
    /// Writes to this key are denied.
    pub(crate) denied: Option<&'static str>,
    /// What was denied before that, and until when: whoever is asked about rights may go by it for a while.
    pub(crate) denied_before: (Option<&'static str>, i64),
    /// The token that is used.
    pub(crate) rights: u64,
    /// A key that somebody keeps writing: when next, and until when.
    pub(crate) fight: Option<(&'static str, i64, i64)>,
    /// When each key was last written by hand.
    pub(crate) edited: BTreeMap<String, i64>,
    /// What the service's health followed before its keys last changed, and when they did.
    pub(crate) health_before: (Option<Vec<u8>>, i64),
    /// The generation that was wholly written before the last one, the last one, and when it was.
    pub(crate) shown: (Generation, Generation, i64),
    pub(crate) last_fail: i64,
    pub(crate) last_unknown: i64,
    pub(crate) last_write: i64,
    pub(crate) restored_at: i64,
    /// Whose record was lost and not made anew yet.
    pub(crate) lost: Option<Identity>,
    /// The planted bug, where it is in what people run.
    pub(crate) bug: Option<Bug>,
    pub(crate) truth: invariants::Truth,
    pub(crate) situations: BTreeSet<&'static str>,
    pub(crate) violations: Vec<String>,
    pub(crate) log: Vec<String>,
}

/// So little of the past stays that forgetting it can break what still needs it.
pub(crate) const KEPT: Kept = Kept { lines: 3, answers: 2 };

/// Why a transaction was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    Session,
    Record,
    Keys(Vec<String>),
    Denied(Vec<String>),
    History(Generation),
}

/// Which of its checks a target leaves out: planted bugs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unfenced {
    pub(crate) session: bool,
    pub(crate) record: bool,
    pub(crate) keys: bool,
}

/// A key as a write left it; none when it is gone.
pub(crate) type Found = (KeyPath, Option<LiveEntry>);

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 1_000_000,
            random: Random::new(seed),
            origin: Origin::default(),
            store: Store::default(),
            snapshot: None,
            lease: None,
            sessions: 0,
            mirrors: vec![Mirror::default(); REPLICAS],
            skew: vec![0; REPLICAS],
            term_skew: vec![0; REPLICAS],
            stood_still: vec![0; REPLICAS],
            slept: 0,
            starts: vec![0; REPLICAS],
            dead_until: vec![0; REPLICAS],
            paused_until: vec![0; REPLICAS],
            faults: Faults::NONE,
            stormy: true,
            blind_until: 0,
            sick_until: 0,
            denied: None,
            denied_before: (None, 0),
            rights: 1,
            fight: None,
            edited: BTreeMap::new(),
            health_before: (None, 0),
            shown: (Generation::default(), Generation::default(), 0),
            last_fail: 0,
            last_unknown: 0,
            last_write: 0,
            restored_at: 0,
            lost: None,
            bug: None,
            truth: invariants::Truth::default(),
            situations: BTreeSet::new(),
            violations: Vec::new(),
            log: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.log.push(format!("{:>7} {}", self.now - 1_000_000, text.into()));
    }

    pub(crate) fn reached(&mut self, situation: &'static str) {
        self.situations.insert(situation);
    }

    pub(crate) fn violated(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.note(format!("VIOLATED {text}"));
        self.violations.push(text);
    }

    pub(crate) fn record(&self) -> Option<&Rollout> {
        self.store.record.as_ref().map(|(record, _)| record)
    }

    pub(crate) fn live(&self) -> LiveState {
        let mut live = LiveState::default();
        for (key, stored) in &self.store.keys {
            match KeyPath::parse(key) {
                Ok(path) => {
                    live.entries.insert(path, stored.entry());
                }
                Err(_) => live.unmanageable.push(key.clone()),
            }
        }
        live
    }

    /// A process is gone; the next one of this replica starts a little later and remembers nothing.
    pub(crate) fn dies(&mut self, replica: usize) {
        self.dead_until[replica] = self.now + 2_000;
        self.truth.given_out[replica] = Generation::default();
        self.truth.eyes[replica] = invariants::Eyes::default();
    }

    /// A process that is neither paused nor dead renews its session in time; otherwise it runs out.
    pub(crate) fn renew_the_session(&mut self) {
        let now = self.now;
        let Some(session) = &mut self.lease else { return };
        if session.start == self.starts[session.replica] && self.paused_until[session.replica] <= now {
            session.expires = session.expires.max(now + SESSION);
        } else if session.expires <= now {
            self.lease = None;
        }
    }

    /// The policy of the token becomes another.
    pub(crate) fn denies(&mut self, key: Option<&'static str>) {
        self.note(format!("denied: {key:?}"));
        self.denied_before = (std::mem::replace(&mut self.denied, key), self.now);
        self.truth.may_try_again();
    }

    /// Whether the token may write these keys, as an agent answers whose cache may be old.
    pub(crate) fn permits(&mut self, replica: usize, keys: &[KeyPath]) -> bool {
        const CACHED: i64 = 10_000;
        let (before, since) = self.denied_before;
        let old = self.now - since < CACHED && self.random.percent(70);
        let says = |denied: Option<&str>| keys.iter().all(|key| denied != Some(key.as_str()));
        let (said, is) = (says(if old { before } else { self.denied }), says(self.denied));
        if said && !is {
            self.reached("an agent said that a denied key may be written");
        }
        self.truth.eyes[replica].permitted |= said;
        said
    }

    /// Somebody writes, copies or deletes a key.
    pub(crate) fn edit(&mut self, key: &str, to: Option<(Vec<u8>, u64)>) {
        self.note(format!("hand: {key} = {to:?}"));
        self.touch_health(key);
        self.store.index += 1;
        if let Some((value, flags)) = to {
            let index = self.store.index;
            self.store.keys.insert(key.to_owned(), Stored { value, flags, index });
        } else {
            self.store.keys.remove(key);
            self.truth.is_gone(key);
        }
        self.edited.insert(key.to_owned(), self.now);
    }

    fn touch_health(&mut self, key: &str) {
        if key == "config/health" && self.now - self.health_before.1 > REACTION {
            self.health_before = (self.store.keys.get(key).map(|stored| stored.value.clone()), self.now);
        }
    }

    /// Whether the service has read this generation: it takes a while to notice a new one.
    pub(crate) fn follows(&mut self, asked: &str) -> Finding {
        let (before, last, since) = self.shown;
        let read = if self.now - since < REACTION { before } else { last };
        if self.now < self.blind_until {
            return Finding::Unknown { because: "the checker is blind".to_owned() };
        }
        if read.to_string() == asked && self.now >= self.sick_until {
            return Finding::Pass;
        }
        // A controller that does not lead any more may ask for an old one: that says nothing about the goal.
        if self.record().and_then(|record| record.goal.as_ref()).is_some_and(|goal| goal.generation.to_string() == asked) {
            self.last_fail = self.now;
        }
        Finding::Fail { because: format!("it has read {read}, not {asked}") }
    }

    /// What a check of the service finds now.
    pub(crate) fn probe(&mut self) -> Finding {
        if self.now < self.blind_until {
            return Finding::Unknown { because: "the checker is blind".to_owned() };
        }
        let current = self.store.keys.get("config/health").map(|stored| stored.value.clone());
        let follows = if self.now - self.health_before.1 < REACTION { self.health_before.0.clone() } else { current };
        let fail = |because: &str| Finding::Fail { because: because.to_owned() };
        let finding = match follows.as_deref() {
            _ if self.now < self.sick_until => fail("the service is sick"),
            None | Some(b"good") => Finding::Pass,
            Some(b"bad") => fail("got 503"),
            Some(b"flapping") if self.now / 1000 % 2 == 0 => Finding::Pass,
            Some(b"flapping") => fail("got 503 this time"),
            Some(_) => Finding::Unknown { because: "can't be told".to_owned() },
        };
        match finding {
            Finding::Fail { .. } => self.last_fail = self.now,
            Finding::Unknown { .. } => self.last_unknown = self.now,
            Finding::Pass => {}
        }
        finding
    }

    /// One transaction: all or nothing.
    pub(crate) fn transact(
        &mut self,
        session: u64,
        replica: usize,
        expected: u64,
        save: Option<&Save>,
        changes: &[(Change, Option<Vec<u8>>)],
        unfenced: Unfenced,
    ) -> Result<(u64, Vec<Found>), Refused> {
        let holds = self.lease.as_ref().is_some_and(|lease| lease.id == session && lease.expires > self.now);
        if !holds && !unfenced.session {
            self.reached("a stale leader's write was refused");
            return Err(Refused::Session);
        }
        if self.store.record.as_ref().map_or(0, |(_, index)| *index) != expected && !unfenced.record {
            return Err(Refused::Record);
        }
        let denied: Vec<String> =
            changes.iter().map(|(change, _)| change.key.to_string()).filter(|key| self.denied == Some(key.as_str())).collect();
        if !denied.is_empty() {
            self.reached("a write was denied");
            return Err(Refused::Denied(denied));
        }
        let stale: Vec<String> = changes
            .iter()
            .filter(|(change, _)| self.store.keys.get(change.key.as_str()).map_or(0, |stored| stored.index) != change.fence.0)
            .map(|(change, _)| change.key.to_string())
            .collect();
        if !stale.is_empty() && !unfenced.keys {
            self.reached("a conflict on a key");
            return Err(Refused::Keys(stale));
        }
        if let Some(opened) = save.and_then(|save| save.opens).filter(|opened| self.store.history.contains_key(opened)) {
            return Err(Refused::History(opened));
        }
        invariants::before_write(self, replica, (holds, expected), save, changes);
        self.store.index += 1;
        self.last_write = self.now;
        let index = self.store.index;
        let mut written = Vec::new();
        for (change, value) in changes {
            let key = change.key.as_str();
            self.touch_health(key);
            let entry = match (change.action, value) {
                (Action::Delete, _) => {
                    self.store.keys.remove(key);
                    None
                }
                (Action::Release, _) => {
                    let value = self.store.keys.get(key).map(|stored| stored.value.clone()).unwrap_or_default();
                    Some(Stored { value, flags: change.flags.0, index })
                }
                (Action::Create | Action::Update | Action::Adopt, value) => {
                    Some(Stored { value: value.clone().unwrap_or_default(), flags: change.flags.0, index })
                }
            };
            self.edited.remove(key);
            written.push((change.key.clone(), entry.as_ref().map(Stored::entry)));
            if let Some(entry) = entry {
                self.store.keys.insert(key.to_owned(), entry);
            }
        }
        let mut fence = expected;
        if let Some(save) = save {
            for line in &save.history {
                self.store.history.insert(line.generation, line.clone());
            }
            for answer in &save.answers {
                if self.store.requests.get(&answer.id).is_none_or(|(_, known)| known.is_some()) {
                    self.violated(format!("L2: the request {} was answered again", answer.id));
                }
                invariants::answered(self, answer, &save.record);
                if let Some((_, slot)) = self.store.requests.get_mut(&answer.id) {
                    *slot = Some(answer.clone());
                }
            }
            let Rollout { phase, reason, .. } = &save.record;
            let goal = save.record.goal.as_ref().map(|goal| goal.revision.short()).unwrap_or_default();
            self.note(format!("replica {replica}: {} {goal} {reason}", phase.word()));
            self.store.record = Some((save.record.clone(), index));
            fence = index;
            let goal = save.record.goal.as_ref().map(|goal| goal.generation).unwrap_or_default();
            if save.record.repair.is_none() && save.record.phase != Phase::Applying && goal != self.shown.1 {
                self.shown = (self.shown.1, goal, self.now);
            }
        }
        invariants::after_write(self, replica, save.is_some());
        Ok((fence, written))
    }

    /// Lines that may go, as of now. Careless: keys' generations don't count.
    pub(crate) fn old_lines(&self, retention: &Retention, careless: bool) -> Vec<Generation> {
        let lines = self.store.history.keys().copied();
        match self.record().filter(|_| careless) {
            Some(record) => Retention::new(KEPT, record, &LiveState::default()).old_lines(lines),
            None => retention.old_lines(lines),
        }
    }

    /// Answers that may go, as of now.
    pub(crate) fn old_answers(&self, retention: &Retention) -> Vec<RequestId> {
        let answers = self.store.requests.values().filter_map(|(_, answer)| answer.as_ref());
        let old = retention.old_answers(answers.map(|answer| (answer.at, answer.id.clone())));
        old.into_iter().map(|(_, id)| id).collect()
    }

    /// Drops this of the past in one transaction, under the fences of every write.
    pub(crate) fn forget(
        &mut self,
        session: u64,
        replica: usize,
        expected: u64,
        lines: &[Generation],
        answers: &[RequestId],
    ) -> Result<(), Refused> {
        if !self.lease.as_ref().is_some_and(|lease| lease.id == session && lease.expires > self.now) {
            self.reached("a stale leader's forgetting was refused");
            return Err(Refused::Session);
        }
        if self.store.record.as_ref().map_or(0, |(_, index)| *index) != expected {
            return Err(Refused::Record);
        }
        self.store.index += 1;
        for line in lines {
            self.store.history.remove(line);
            self.reached("a line of history was forgotten");
        }
        for id in answers {
            self.store.requests.remove(id);
            self.reached("an answer was forgotten");
        }
        invariants::after_write(self, replica, false);
        Ok(())
    }
}

impl Stored {
    pub(crate) fn entry(&self) -> LiveEntry {
        LiveEntry { digest: ValueDigest::of(&self.value), flags: Flags(self.flags), fence: Fence(self.index) }
    }
}
