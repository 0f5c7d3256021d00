//! What people did that holds until somebody undoes it (rule R11).

use std::collections::BTreeSet;

use crate::domain::revision::{Revision, RevisionDigest};
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

impl Suspension {
    /// By whom, until when, and why.
    #[must_use]
    pub fn said(&self) -> String {
        let until = self.until.map_or_else(String::new, |until| format!(" until {until}"));
        format!("suspended by {}{until}: {}", self.by, self.reason)
    }
}

/// A person let one head pass what the guard has against it: `release --allow-deletes` or `--override` (rules G1, G4). How far
/// is in [`super::Rollout::allowed_deletes`] and [`super::Rollout::overridden`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The head at that moment, as people name it.
    pub revision: Revision,
    /// What it says: a head that says something else is not let pass.
    pub digest: RevisionDigest,
    /// Who.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Permit {
    /// Who, and why if that was said.
    #[must_use]
    pub fn who(&self) -> String {
        if self.reason.is_empty() { self.by.clone() } else { format!("{}: {}", self.by, self.reason) }
    }
}
