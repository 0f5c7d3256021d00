//! The world: keys with flags and indexes, the record, the lease, mirrors, a service whose health follows its keys.
//!
//! What a target carries out is in `writes`, what comes and goes with an environment in `comings`, the service in `service`.

mod comings;
mod posts;
mod service;
mod statuses;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use lockstep::domain::commit_status::StatusContext;
use lockstep::domain::live::{Fence, LiveEntry, LiveState};
use lockstep::domain::name::{EnvironmentName, KeyPath};
use lockstep::domain::plan::Intent;
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::{Generation, Revision, ValueDigest};
use lockstep::domain::rollout::{Answer, HistoryLine, Identity, Kept, Request, RequestId, Rollout};

pub(crate) use self::comings::Careless;
use self::posts::Posts;
pub(crate) use self::statuses::Stands;
use crate::bugs::Bug;
use crate::invariants;
use crate::random::Random;
use crate::repository::{Content, NAMES, Origin, named};

/// The controllers.
pub(crate) const REPLICAS: usize = 2;
/// Whoever removes an environment by hand: a process of its own, with a mirror of its own, while it lasts.
pub(crate) const PERSON: usize = REPLICAS;
pub(crate) const PROCESSES: usize = REPLICAS + 1;
/// How long a session outlives its last renewal.
pub(crate) const SESSION: i64 = 10_000;
/// How long the service goes on as before after its keys changed.
pub(crate) const REACTION: i64 = 1_500;
/// From one fetch to the next, where nobody polls seldom.
pub(crate) const POLL: i64 = 5_000;
/// The same where webhooks make up for it.
const SELDOM: i64 = 100_000;

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

/// What somebody asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: Option<Answer>,
    /// Of the environment with this name.
    pub(crate) of: EnvironmentName,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) keys: BTreeMap<String, Stored>,
    pub(crate) index: u64,
    /// Under whichever name the environment has.
    pub(crate) record: Option<(Rollout, u64)>,
    /// A second one, under a name of before: only a planted bug leaves it there.
    pub(crate) left: Option<(Rollout, u64)>,
    pub(crate) history: BTreeMap<Generation, HistoryLine>,
    pub(crate) requests: BTreeMap<RequestId, Asked>,
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

#[expect(clippy::struct_excessive_bools, reason = "each says another thing, and any of them goes with any")]
pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) random: Random,
    /// Keys are files on this target, so that none lies below another (rule D3).
    pub(crate) files: bool,
    pub(crate) origin: Origin,
    /// From one fetch of a controller to the next.
    pub(crate) poll: i64,
    posts: Posts,
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
    /// Whose environment was removed, and not made anew yet.
    pub(crate) removed: Option<Identity>,
    /// A removal is being carried out by hand.
    pub(crate) removing: bool,
    /// It has come to its last step, the record.
    pub(crate) dissolving: bool,
    /// Which start of it began the removal that the record has open.
    pub(crate) removal_began: u64,
    /// Somebody sees to it that what was half removed goes wholly.
    pub(crate) removes_to_the_end: bool,
    /// What each process has the environment under in its configuration.
    pub(crate) configured: Vec<EnvironmentName>,
    /// What the forge shows.
    pub(crate) statuses: BTreeMap<(Revision, StatusContext), Stands>,
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
        let mut random = Random::new(seed);
        let seldom = seed % 5 == 4;
        let poll = if seldom { SELDOM } else { POLL };
        Self {
            poll,
            posts: Posts::new(seed, seldom || !seed.is_multiple_of(3)),
            now: 1_000_000,
            files: random.percent(25),
            random,
            origin: Origin::default(),
            store: Store::default(),
            statuses: BTreeMap::new(),
            snapshot: None,
            lease: None,
            sessions: 0,
            mirrors: vec![Mirror::default(); PROCESSES],
            skew: vec![0; PROCESSES],
            term_skew: vec![0; PROCESSES],
            stood_still: vec![0; PROCESSES],
            slept: 0,
            starts: vec![0; PROCESSES],
            dead_until: vec![0; PROCESSES],
            paused_until: vec![0; PROCESSES],
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
            removed: None,
            removing: false,
            dissolving: false,
            removal_began: 0,
            removes_to_the_end: false,
            configured: vec![named(NAMES[0]); PROCESSES],
            bug: None,
            truth: invariants::Truth::of_a_world_polled_each(poll),
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

    /// The record under this name.
    pub(crate) fn stored_as(&self, name: &EnvironmentName) -> Option<(Rollout, u64)> {
        let Store { record, left, .. } = &self.store;
        record.iter().chain(left).find(|(record, _)| record.identity.environment == *name).cloned()
    }

    /// The session that has the lease now.
    pub(crate) fn leader(&self) -> Option<&Session> {
        self.lease.as_ref().filter(|session| session.expires > self.now)
    }

    pub(crate) fn holds(&self, session: u64) -> bool {
        self.leader().is_some_and(|held| held.id == session)
    }

    /// What the branch says, if it is there.
    pub(crate) fn head(&self) -> Option<&Content> {
        self.origin.tip.map(|tip| self.origin.content(tip))
    }

    /// Whether the record says that the environment is being removed.
    pub(crate) fn is_half_removed(&self) -> bool {
        let open = self.record().and_then(|record| record.repair.as_ref());
        open.is_some_and(|line| line.intent == Intent::Remove)
    }

    /// The mirrors of those who would lead.
    pub(crate) fn controllers(&self) -> &[Mirror] {
        &self.mirrors[..REPLICAS]
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
        // Nobody renews its session any more.
        self.starts[replica] += 1;
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
}

impl Stored {
    pub(crate) fn entry(&self) -> LiveEntry {
        LiveEntry { digest: ValueDigest::of(&self.value), flags: Flags(self.flags), fence: Fence(self.index) }
    }
}
