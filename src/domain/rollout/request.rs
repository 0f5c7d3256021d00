//! What people ask of an environment: written beside the record by the CLI, carried out by whoever leads (rule L2).

use std::fmt;

use crate::domain::revision::Revision;
use crate::domain::scope::KeyScope;
use crate::domain::time::Timestamp;

/// The random id of a request: 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Checks a text: 16 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)))
            .then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// Who asks: user and host.
    pub by: String,
    /// When, by the asker's clock: for people only.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// What.
    pub verb: Verb,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Reject what is live, go back, and stay there (rule R11).
    RollBack {
        /// Where to; none: last good, or the proven one before it when last good is live.
        to: Option<Revision>,
    },
    /// Drop a rejection or the freeze and try head again.
    Release {
        /// Only the rejection of this revision; none: all rejections and the freeze.
        revision: Option<Revision>,
        /// What one head may do from now on.
        lets_pass: Option<LetPass>,
    },
    /// Write nothing to managed resources.
    Suspend {
        /// Until when.
        until: Option<Timestamp>,
    },
    /// Undo a suspension and a rollback: its pin, and the rejections that it made (rule R11).
    Resume,
    /// Put drift right although the policy says `report` (rule R10).
    OverwriteDrift,
}

impl Verb {
    /// The commit that a person wants let pass.
    #[must_use]
    pub fn lets_pass(&self) -> Option<Revision> {
        match self {
            Self::Release { lets_pass, .. } => lets_pass.as_ref().map(|lets_pass| lets_pass.head),
            Self::RollBack { .. } | Self::Suspend { .. } | Self::Resume | Self::OverwriteDrift => None,
        }
    }
}

/// What a person lets one head do beyond what the guard allows, and which: no commit that says something else is let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetPass {
    /// The commit as whoever asks has seen it.
    pub head: Revision,
    /// It may delete so many keys beyond the limits (rule G1); 0 takes an allowance back.
    pub allow_deletes: Option<u32>,
    /// It passes every gate (rule G4).
    pub overriding: bool,
    /// It may take over these keys where they are there with its values already (rule O8); empty: nothing is said of that.
    pub adopts: KeyScope,
}

impl LetPass {
    /// What is let pass, if anything is.
    #[must_use]
    pub fn new(head: Revision, allow_deletes: Option<u32>, overriding: bool) -> Option<Self> {
        let adopts = KeyScope::default();
        (allow_deletes.is_some() || overriding).then_some(Self { head, allow_deletes, overriding, adopts })
    }

    /// That the head may take over these keys, and nothing else.
    #[must_use]
    pub const fn adopting(head: Revision, adopts: KeyScope) -> Self {
        Self { head, allow_deletes: None, overriding: false, adopts }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which request.
    pub id: RequestId,
    /// When it was carried out or refused.
    pub at: Timestamp,
    /// Whether it was carried out.
    pub accepted: bool,
    /// Whether the record changed by it. Accepted and unchanged: all was so already, which is no failure.
    pub changed: bool,
    /// What was done or why not, for people.
    pub text: String,
}
