//! The record of one environment: phase, goal, last good, what was rejected, and the attempt under way.

use std::collections::BTreeSet;

use super::fights::{Drift, RepairLog};
use super::identity::Identity;
use super::line::{Attempt, HistoryLine};
use super::note::HeadNote;
use super::people::{Permit, Pin, Suspension};
use super::phase::{Phase, Unproven};
use super::reached::{Proof, Reached, RefusedAttempt, Rejection};
use super::succession::Former;
use crate::domain::name::CheckName;
use crate::domain::revision::{Generation, Revision, RevisionDigest};
use crate::domain::scope::KeyScope;

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
    /// Revisions attempted since `complete`, the goal included, until a plan is empty (rule R7). A goal whose rollback waits for
    /// writing to be allowed is not among them yet ([`Self::is_pending`]).
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
    /// Drift that is left as it is.
    pub drift: Drift,
    /// Why the goal is not proven, while the phase says so.
    pub unproven: Option<Unproven>,
    /// What was denied part-way.
    pub refused: Option<RefusedAttempt>,
    /// Set by `release --allow-deletes` and `--override`: what one head may do.
    pub permit: Option<Permit>,
    /// Set by `apply --overwrite-drift`: drift is put right once although the policy is to report it.
    pub overwrite_drift: bool,
    /// Keys among which are all that were ever adopted here (rule O8): a plain write takes the mark that says so off a key.
    pub adopted: KeyScope,
    /// The branch tip at the moment of freezing: only a later commit's `Lockstep-Release` trailer counts.
    pub frozen_tip: Option<Revision>,
    /// A head that was seen then and not believed yet: what it had already is no later commit either.
    pub frozen_head: Option<Revision>,
    /// The head with which the branch says again what the environment is on, after it had said something that was taken back or
    /// not followed: the commit that people look at then (rule R3).
    pub back_in_step: Option<Revision>,
    /// The names that it had before, the first one first: what they were is written under them (rule O9).
    pub former: Vec<Former>,
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
            drift: Drift::default(),
            unproven: None,
            refused: None,
            permit: None,
            overwrite_drift: false,
            adopted: KeyScope::default(),
            frozen_tip: None,
            frozen_head: None,
            back_in_step: None,
            former: Vec::new(),
        }
    }

    /// Whether this digest is rejected, and by which entry.
    #[must_use]
    pub fn rejection(&self, digest: RevisionDigest) -> Option<&Rejection> {
        self.rejected.iter().find(|rejection| rejection.digest == digest)
    }

    /// What people let a head with this digest do beyond what the guard lets pass.
    #[must_use]
    pub fn permit_for(&self, digest: RevisionDigest) -> Option<&Permit> {
        self.permit.as_ref().filter(|permit| permit.digest == digest)
    }

    /// Whether this digest was proven here.
    #[must_use]
    pub fn is_proven(&self, digest: RevisionDigest) -> bool {
        self.proven.iter().any(|proof| proof.digest == digest)
    }
}
