//! Whose record it is: what must fit before anything is written (rule O6).

use std::fmt;
use std::sync::Arc;

use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::resource::OwnerId;

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
