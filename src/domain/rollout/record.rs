//! The record of one environment: phase, goal, last good, what was rejected, and the attempt under way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::name::{CheckName, EnvironmentName, KeyPath, RepositoryName};
use crate::domain::plan::{Counts, Intent};
use crate::domain::resource::OwnerId;
use crate::domain::revision::{Generation, Revision, RevisionDigest, StateDigest, ValueDigest};
use crate::domain::time::Timestamp;

/// The random id that `init` gave to a target (rule O6): a wrong address, an empty Consul or another environment's record
/// has another id, and nothing is written there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetId(Arc<str>);

impl TargetId {
    /// Checks a text: 8 to 64 of `0-9`, `a-z` and `-`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ((8..=64).contains(&text.len()) && text.chars().all(plain)).then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose record this is; all of it must fit before anything is written (rule O6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The config repository's own name.
    pub repository: RepositoryName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The target's id.
    pub target: TargetId,
    /// The owner id in the marks of this environment's keys.
    pub owner: OwnerId,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Initialised; no revision was ever attempted.
    Idle,
    /// A plan is being written.
    Applying,
    /// Written completely; samples are being judged.
    Verifying,
    /// On a proven goal that the branch head agrees with.
    Steady,
    /// On last good, because the head is rejected or a person pinned the environment.
    HeldAfterRollback,
    /// On a goal that could not be proven.
    HeldUnproven,
    /// The head (or the attempt under way) was refused: by the guard, by a conflict, or because it is invalid.
    HeldRefused,
    /// A rollback was itself unhealthy: no automatic move until a person acts (rules R5, R6).
    Frozen,
}

impl Phase {
    /// The word for it in status, history and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Applying => "applying",
            Self::Verifying => "verifying",
            Self::Steady => "steady",
            Self::HeldAfterRollback => "held-after-rollback",
            Self::HeldUnproven => "held-unproven",
            Self::HeldRefused => "held-refused",
            Self::Frozen => "frozen",
        }
    }

    /// Every phase, for tables and parsers.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Applying,
        Self::Verifying,
        Self::Steady,
        Self::HeldAfterRollback,
        Self::HeldUnproven,
        Self::HeldRefused,
        Self::Frozen,
    ];
}

/// A revision that this environment was taken to, or on the way to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The commit.
    pub revision: Revision,
    /// The branch tip it was chosen from (rule S1).
    pub tip: Revision,
    /// What it writes.
    pub state: StateDigest,
    /// What it writes and how it is judged.
    pub digest: RevisionDigest,
    /// The attempt that took it here.
    pub generation: Generation,
    /// The newest commit followed that says the same: what it says of deletes, drift and the rest of the policy that no digest
    /// covers holds now (rule G4). `revision` itself until a commit changes nothing else; always, in [`Rollout::attempted`].
    pub rules: Revision,
}

/// Why an environment stays on a goal that is not proven (rules A9, G5, R8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// The checks could not be made, or flapped, until the deadline. Unhealthy later: rolled back.
    Unknown,
    /// The same, of a rollback. Unhealthy later: frozen.
    RollbackUnknown,
    /// Unhealthy, and there is no last good to go back to.
    NothingToGoBackTo,
    /// Unhealthy, and the policy says not to roll back.
    AutoRevertOff,
    /// A rollback left keys that somebody else holds.
    Except,
    /// The desired state is empty: never last good.
    Empty,
    /// Keys drifted while it was judged, and drift is only reported.
    Drifted,
    /// A person released it from the freeze.
    Released,
}

impl Unproven {
    /// The word for it in the stored record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::RollbackUnknown => "rollback-unknown",
            Self::NothingToGoBackTo => "nothing-to-go-back-to",
            Self::AutoRevertOff => "auto-revert-off",
            Self::Except => "except",
            Self::Empty => "empty",
            Self::Drifted => "drifted",
            Self::Released => "released",
        }
    }

    /// Every reason, for tables and parsers.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::RollbackUnknown,
        Self::NothingToGoBackTo,
        Self::AutoRevertOff,
        Self::Except,
        Self::Empty,
        Self::Drifted,
        Self::Released,
    ];
}

/// An advance that was denied or refused part-way (rule H6): not rejected, but not tried again as long as nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedAttempt {
    /// What was denied.
    pub digest: RevisionDigest,
    /// The credential it was denied to, as the target tells them apart; another one is worth another try.
    pub rights: u64,
    /// Why, for people.
    pub text: String,
}

/// A revision digest that was applied and stayed healthy here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What was proven.
    pub digest: RevisionDigest,
    /// The commit that first carried it.
    pub revision: Revision,
    /// When it was first proven.
    pub at: Timestamp,
}

/// A revision digest that was unhealthy, or that a person rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What is rejected.
    pub digest: RevisionDigest,
    /// The commit that carried it.
    pub revision: Revision,
    /// The branch tip at that moment: only a later commit's `Lockstep-Retry` trailer counts.
    pub tip: Revision,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Healthy for long enough.
    Proven,
    /// Unhealthy: taken back to last good.
    RolledBack,
    /// A newer commit took its place.
    Superseded,
    /// Could not be proven; the environment stays there and checks on.
    Unproven,
    /// Stopped half-way: a conflict or a denial.
    Refused,
    /// A rollback that was unhealthy.
    Frozen,
    /// Drift was put right.
    Repaired,
    /// The target was found restored from a snapshot.
    Restored,
}

impl Outcome {
    /// The word for it in history and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::RolledBack => "rolled-back",
            Self::Superseded => "superseded",
            Self::Unproven => "unproven",
            Self::Refused => "refused",
            Self::Frozen => "frozen",
            Self::Repaired => "repaired",
            Self::Restored => "restored",
        }
    }

    /// Every outcome, for tables and parsers.
    pub const ALL: [Self; 8] = [
        Self::Proven,
        Self::RolledBack,
        Self::Superseded,
        Self::Unproven,
        Self::Refused,
        Self::Frozen,
        Self::Repaired,
        Self::Restored,
    ];
}

/// One line of history: one generation, created when its attempt starts, closed when it ends (rule A5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    /// The attempt's number.
    pub generation: Generation,
    /// What it was for.
    pub intent: Intent,
    /// The revision gone to.
    pub revision: Revision,
    /// The goal before it.
    pub from: Option<Revision>,
    /// Who caused it: the commit's author, or the person behind a request.
    pub by: String,
    /// Why, for people; for a rollback, the evidence.
    pub because: String,
    /// What it planned to write at its start.
    pub counts: Counts,
    /// When it started.
    pub started: Timestamp,
    /// When it ended and how; none while it is under way.
    pub closed: Option<Closed>,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// The evidence, for people.
    pub text: String,
}

/// The advance or rollback under way, from its first write to its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its line of history, open.
    pub line: HistoryLine,
    /// When the plan was first empty: the deadlines of the verdict count from here (rule H6).
    pub applied: Option<Timestamp>,
    /// Keys that a rollback had to leave, with who holds them (rule A9); such a rollback is not proven.
    pub except: Vec<String>,
    /// Keys that had drifted, under `drift: report`, before it began: they don't stand in the way of its proof (rule R10).
    pub drifted_before: BTreeSet<KeyPath>,
}

/// What the branch head is to this environment while the environment does not follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadNote {
    /// The head, when there is one.
    pub revision: Option<Revision>,
    /// Why it is not followed.
    pub verdict: HeadVerdict,
    /// The reason with numbers, names and what to do.
    pub text: String,
}

/// Why a head is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadVerdict {
    /// The repository is invalid there for this environment.
    Invalid,
    /// The guard or the plan refused it.
    Refused,
    /// Its digest is rejected here.
    Rejected,
    /// A person pinned the environment or suspended it.
    Pinned,
    /// The environment is frozen.
    Frozen,
    /// It isn't a descendant of the tip followed so far, and is not yet believed; or the branch is gone (rule S1).
    NotBelieved,
    /// The environment is not in it: retired (rule O9).
    Retired,
}

impl HeadVerdict {
    /// The word for it in status.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Pinned => "pinned",
            Self::Frozen => "waiting-frozen",
            Self::NotBelieved => "not-believed",
            Self::Retired => "retired",
        }
    }

    /// Every verdict, for tables and parsers.
    pub const ALL: [Self; 7] =
        [Self::Invalid, Self::Refused, Self::Rejected, Self::Pinned, Self::Frozen, Self::NotBelieved, Self::Retired];
}

/// A person took the environment somewhere: heads with a digest seen at that moment don't move it (rule R11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The digests that don't move it.
    pub seen: BTreeSet<RevisionDigest>,
    /// What going there rejected, and what the rollbacks did that it took the place of: `resume` takes these rejections back,
    /// and no others.
    pub rejected: BTreeSet<RevisionDigest>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A person stopped all writes to managed resources (rule R11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Until when; none: until `resume`.
    pub until: Option<Timestamp>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A key that somebody else keeps changing (rule R9). Of a sensitive key neither digest is kept: a short value can be guessed
/// from its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    /// The digest of the value that it should have; none when it should not be there.
    pub ours: Option<ValueDigest>,
    /// The digest that it was given last; none when it was deleted.
    pub theirs: Option<ValueDigest>,
    /// The wait after its last repair; it doubles up to ten minutes.
    pub wait: Duration,
    /// Not repaired before this moment.
    pub next: Timestamp,
}

/// When each key was repaired lately, so that a fight over a key is noticed (rule R9).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairLog {
    /// Repairs of the last ten minutes.
    pub recent: BTreeMap<KeyPath, Vec<Timestamp>>,
    /// Keys repaired with back-off.
    pub contested: BTreeMap<KeyPath, Contested>,
}

/// One environment's record.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Whose it is.
    pub identity: Identity,
    /// The highest generation given out.
    pub generation: Generation,
    /// Where it stands.
    pub phase: Phase,
    /// The revision the environment was last taken to, or is being taken to.
    pub goal: Option<Reached>,
    /// The revision last applied completely.
    pub complete: Option<Reached>,
    /// The newest revision applied and proven.
    pub last_good: Option<Reached>,
    /// Revisions attempted since `complete`, the goal included, until a plan is empty (rule R7).
    pub attempted: Vec<Reached>,
    /// What was proven here: the last [`Self::PROOFS`].
    pub proven: Vec<Proof>,
    /// What is rejected here: the last [`Self::REJECTIONS`].
    pub rejected: Vec<Rejection>,
    /// The advance or rollback under way.
    pub attempt: Option<Attempt>,
    /// The line of a repair under way.
    pub repair: Option<HistoryLine>,
    /// Checks that failed throughout before the environment left last good (rule H5).
    pub baseline: BTreeSet<CheckName>,
    /// Why the phase is what it is, for people, when that needs saying.
    pub reason: String,
    /// Why the head is not followed.
    pub note: Option<HeadNote>,
    /// Set by `rollback`.
    pub pin: Option<Pin>,
    /// Set by `suspend`.
    pub suspension: Option<Suspension>,
    /// Fights over keys.
    pub repairs: RepairLog,
    /// Why the goal is not proven, while the phase says so.
    pub unproven: Option<Unproven>,
    /// What was denied part-way.
    pub refused: Option<RefusedAttempt>,
    /// Set by `release --allow-deletes`: how many deletes the next advance may make beyond the limits.
    pub allowed_deletes: u32,
    /// Set by `release --override`: who lets the next advance pass every gate, and why.
    pub overridden: Option<String>,
    /// Set by `apply --overwrite-drift`: drift is put right once although the policy is to report it.
    pub overwrite_drift: bool,
    /// The branch tip at the moment of freezing: only a later commit's `Lockstep-Release` trailer counts.
    pub frozen_tip: Option<Revision>,
}

impl Rollout {
    /// How many rejections are kept (rule R2).
    pub const REJECTIONS: usize = 32;
    /// How many proofs are kept (rule P1).
    pub const PROOFS: usize = 100;

    /// The record of an environment that `init` has just made.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            generation: Generation::default(),
            phase: Phase::Idle,
            goal: None,
            complete: None,
            last_good: None,
            attempted: Vec::new(),
            proven: Vec::new(),
            rejected: Vec::new(),
            attempt: None,
            repair: None,
            baseline: BTreeSet::new(),
            reason: String::new(),
            note: None,
            pin: None,
            suspension: None,
            repairs: RepairLog::default(),
            unproven: None,
            refused: None,
            allowed_deletes: 0,
            overridden: None,
            overwrite_drift: false,
            frozen_tip: None,
        }
    }

    /// Whether this digest is rejected, and by which entry.
    #[must_use]
    pub fn rejection(&self, digest: RevisionDigest) -> Option<&Rejection> {
        self.rejected.iter().find(|rejection| rejection.digest == digest)
    }

    /// Whether this digest was proven here.
    #[must_use]
    pub fn is_proven(&self, digest: RevisionDigest) -> bool {
        self.proven.iter().any(|proof| proof.digest == digest)
    }
}
