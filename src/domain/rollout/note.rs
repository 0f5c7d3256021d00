//! What the branch head is to an environment that does not follow it.

use crate::domain::revision::Revision;

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
    /// A person's rollback keeps the environment where it is.
    Pinned,
    /// A person stopped all writes.
    Suspended,
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
            Self::Suspended => "suspended",
            Self::Frozen => "waiting-frozen",
            Self::NotBelieved => "not-believed",
            Self::Retired => "retired",
        }
    }

    /// Every verdict, for tables and parsers.
    pub const ALL: [Self; 8] = [
        Self::Invalid,
        Self::Refused,
        Self::Rejected,
        Self::Pinned,
        Self::Suspended,
        Self::Frozen,
        Self::NotBelieved,
        Self::Retired,
    ];
}
