//! Revisions that an environment was taken to, and what became of them: proven, rejected, refused.

use std::collections::BTreeSet;

use crate::domain::name::KeyPath;
use crate::domain::revision::{Generation, Revision, RevisionDigest, StateDigest};
use crate::domain::time::Timestamp;

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
    /// covers holds now (rule G4). `revision` itself until a commit changes nothing else; always, in [`super::Rollout::attempted`].
    pub rules: Revision,
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
    /// The keys that may not be written, as far as the target said which: it is asked about them again.
    pub keys: BTreeSet<KeyPath>,
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
