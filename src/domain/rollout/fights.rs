//! Fights over keys: how often each was repaired lately, and which are repaired with patience (rule R9).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::name::KeyPath;
use crate::domain::revision::ValueDigest;
use crate::domain::time::Timestamp;

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
