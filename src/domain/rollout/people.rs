//! What people did that holds until somebody undoes it (rule R11).

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Revision, RevisionDigest};
use crate::domain::scope::KeyScope;
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
    /// Since when, without a break: another word on how long or why does not change it.
    pub at: Timestamp,
}

impl Suspension {
    /// By whom, until when, and why.
    #[must_use]
    pub fn said(&self) -> String {
        let until = self.until.map_or_else(String::new, |until| format!(" until {until}"));
        format!("suspended by {}{until}: {}", self.by, self.reason)
    }

    /// The same, and what that keeps from happening until what.
    #[must_use]
    pub fn stops(&self, environment: &EnvironmentName) -> String {
        let (said, resume) = (self.said(), format!("`lockstep resume {environment}`"));
        match self.until {
            Some(_) => format!("{said}; nothing is written until then, or until {resume}"),
            None => format!("{said}; nothing is written until {resume}"),
        }
    }
}

/// People let one head pass what the guard has against it: `release --allow-deletes` or `--override`, `adopt` (rules G1, G4, O8). Each on
/// their own word; a permit that grants nothing is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The head, as people name it.
    pub revision: Revision,
    /// What it says: a head that says something else is not let pass.
    pub digest: RevisionDigest,
    /// It may delete more than the limits allow.
    pub deletes: Option<Allowance>,
    /// It passes every gate.
    pub every_gate: Option<Grant>,
    /// It may take over keys that are there with its values already.
    pub adopts: Option<Adoption>,
}

impl Permit {
    /// How many keys it may delete beyond the limits.
    #[must_use]
    pub fn allowed_deletes(&self) -> u32 {
        self.deletes.as_ref().map_or(0, |allowance| allowance.count.get())
    }

    /// Whether it grants anything.
    #[must_use]
    pub const fn grants(&self) -> bool {
        self.deletes.is_some() || self.every_gate.is_some() || self.adopts.is_some()
    }
}

/// So many deletes beyond the limits, and on whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// How many keys.
    pub count: NonZeroU32,
    /// Whose word it is.
    pub grant: Grant,
}

/// These keys are taken over where they have the wanted values already, and on whose word (rule O8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// Which keys; never none.
    pub scope: KeyScope,
    /// Whose word it is.
    pub grant: Grant,
}

/// A person's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Grant {
    /// Who, and why if that was said.
    #[must_use]
    pub fn who(&self) -> String {
        if self.reason.is_empty() { self.by.clone() } else { format!("{}: {}", self.by, self.reason) }
    }
}
