//! What a run was made of, for the line at its end.

use std::fmt;

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) commits: usize,
    pub(super) kills: usize,
    pub(super) copies: usize,
    /// Keys of others that were taken over.
    pub(super) adopted: usize,
    /// Of those, the ones that were theirs again later, with their values.
    pub(super) given_back: usize,
    /// Of those, the ones that a commit removed.
    pub(super) deleted: usize,
    /// Adoptions that were refused.
    pub(super) refused: usize,
    pub(super) removals: usize,
    pub(super) renames: usize,
    pub(super) recoveries: usize,
    /// Keys of others that are there at the end.
    pub(super) foreign: usize,
    /// How often all of them were compared.
    pub(super) comparisons: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commits,
            kills,
            copies,
            adopted,
            given_back,
            deleted,
            refused,
            removals,
            renames,
            recoveries,
            foreign,
            comparisons,
        } = self;
        write!(
            f,
            "{commits} commits, {kills} kills, {copies} copies; adopted {adopted} keys, of which {given_back} were given back and "
        )?;
        write!(f, "{deleted} deleted by commits, {refused} adoptions refused; {removals} removals, {renames} renames, ")?;
        write!(f, "{recoveries} recoveries; {foreign} keys of others as they were, compared {comparisons} times")
    }
}
