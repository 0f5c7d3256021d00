//! An environment that goes on under another name: the same record, owner and numbers (rule O9).

use crate::domain::name::EnvironmentName;
use crate::domain::revision::Generation;

/// A name that an environment had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The name.
    pub name: EnvironmentName,
    /// The last number that was given out under it.
    pub until: Generation,
}
