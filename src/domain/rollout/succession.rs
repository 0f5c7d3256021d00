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

/// What is known of the name that an environment without a record had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formerly {
    /// A valid branch head has the environment, and says of no other name.
    Never,
    /// A valid branch head says that these were its names, the newest first.
    As(Vec<EnvironmentName>),
    /// No branch head says anything of the environment, and why: it may be any other one's new name.
    Unknown(String),
}
