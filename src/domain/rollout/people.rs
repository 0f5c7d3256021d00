//! What people did that holds until somebody undoes it (rule R11).

use std::collections::BTreeSet;

use crate::domain::revision::RevisionDigest;
use crate::domain::time::Timestamp;

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
