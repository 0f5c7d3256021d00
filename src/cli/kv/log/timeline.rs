//! One order for the versions of a key and for the attempts whose commits the branch has no more.

use std::cmp::{Ordering, Reverse};

use crate::domain::revision::ValueDigest;
use crate::domain::time::Timestamp;

/// What a commit says of the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Says {
    /// Nobody can say.
    #[default]
    Unknown,
    /// It has no such key.
    Nothing,
    /// This value.
    Value(ValueDigest),
}

impl Says {
    /// What one says that can be read.
    pub(super) fn of(digest: Option<ValueDigest>) -> Self {
        digest.map_or(Self::Nothing, Self::Value)
    }
}

/// What tells the place of a commit in that order, and what stands beside what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// When it was made, where that is known.
    pub(super) committed: Option<Timestamp>,
    /// The first generation that was of it.
    pub(super) first: Option<u32>,
    /// What it says.
    pub(super) says: Says,
}

/// One value that the key had for some commits in a row.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// The version of the branch.
    pub(super) version: Option<usize>,
    /// The commits beside the branch that say the same, newest first.
    pub(super) astray: Vec<usize>,
}

/// The blocks, newest first. The versions are newest first already, and stay so.
pub(super) fn timeline(versions: &[Mark], astray: &[Mark]) -> Vec<Block> {
    let mut order: Vec<usize> = (0..astray.len()).collect();
    order.sort_by_key(|at| Reverse(astray[*at].first));
    let mut blocks = Blocks::default();
    let mut open = 0;
    for at in order {
        while versions.get(open).is_some_and(|version| !is_older(version, &astray[at])) {
            blocks.block(&versions[open], true).version = Some(open);
            open += 1;
        }
        blocks.block(&astray[at], false).astray.push(at);
    }
    for (at, version) in versions.iter().enumerate().skip(open) {
        blocks.block(version, true).version = Some(at);
    }
    blocks.all
}

/// Whether a version was there before a commit: by the clock, and where that does not tell, by what went live first.
fn is_older(version: &Mark, commit: &Mark) -> bool {
    match version.committed.zip(commit.committed).map(|(version, commit)| version.cmp(&commit)) {
        Some(Ordering::Less) => true,
        Some(Ordering::Greater) => false,
        Some(Ordering::Equal) | None => version.first.is_some_and(|first| Some(first) < commit.first),
    }
}

#[derive(Default)]
struct Blocks {
    all: Vec<Block>,
    /// What the last of them says.
    says: Says,
}

impl Blocks {
    /// The block that the next commit belongs to: the last one where that says the same, else a new one.
    fn block(&mut self, next: &Mark, is_version: bool) -> &mut Block {
        let is_same = next.says != Says::Unknown && next.says == self.says;
        let goes_on = is_same && self.all.last().is_some_and(|last| !is_version || last.version.is_none());
        if !goes_on {
            self.all.push(Block::default());
        }
        self.says = next.says;
        let last = self.all.len() - 1;
        &mut self.all[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By words: `a@5g2` says `a`, was made at 5 and first live with generation 2; `-` has no such key, `?` is not known.
    fn mark(words: &str) -> Mark {
        let (says, rest) = words.split_once('@').unwrap();
        let (committed, first) = rest.split_once('g').map_or((rest, None), |(at, first)| (at, first.parse().ok()));
        let says = match says {
            "?" => Says::Unknown,
            "-" => Says::Nothing,
            value => Says::Value(ValueDigest::of(value.as_bytes())),
        };
        Mark { committed: committed.parse().ok().map(Timestamp::from_millis), first, says }
    }

    /// Versions and commits beside the branch, each newest first, and the blocks that come of them: `v0` a version, `a0` a commit.
    #[track_caller]
    fn check(versions: &[&str], astray: &[&str], expected: &[&str]) {
        let marks = |words: &[&str]| words.iter().map(|words| mark(words)).collect::<Vec<_>>();
        let blocks = timeline(&marks(versions), &marks(astray)).into_iter().map(|Block { version, astray }| {
            let version = version.map(|at| format!("v{at}"));
            version.into_iter().chain(astray.iter().map(|at| format!("a{at}"))).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(blocks.collect::<Vec<_>>(), expected, "{versions:?} {astray:?}");
    }

    #[test]
    fn versions_and_commits_that_the_branch_has_no_more_are_one_row_by_the_clock_and_else_by_generations() {
        check(&[], &[], &[]);
        check(&["b@5", "a@1g1"], &[], &["v0", "v1"]);
        check(&["b@5", "a@1g1"], &["c@3g2"], &["v0", "a0", "v1"]);
        check(&["b@5g4", "a@1g1"], &["d@4g3", "c@3g2"], &["v0", "a0", "a1", "v1"]);
        check(&["b@5g4", "a@3g2"], &["d@6g5", "c@1g1"], &["a0", "v0", "v1", "a1"]);
        // A commit that nobody has any more has no time.
        check(&["b@5", "a@1g1"], &["?@g2"], &["v0", "a0", "v1"]);
        check(&["b@5g3", "a@1g1"], &["?@g2"], &["v0", "a0", "v1"]);
        check(&["b@5", "a@1"], &["?@g2"], &["v0", "v1", "a0"]);
        // Made in the same second.
        check(&["b@5", "a@5g1"], &["c@5g2"], &["v0", "a0", "v1"]);
        // What the branch has in another order than the clock stays so.
        check(&["b@2", "a@7"], &["c@5g1"], &["a0", "v0", "v1"]);
    }

    #[test]
    fn a_value_that_stands_beside_itself_is_told_once() {
        check(&["b@5", "a@1g1"], &["b@3g2"], &["v0 a0", "v1"]);
        check(&["b@5", "a@1g1"], &["a@3g2"], &["v0", "v1 a0"]);
        check(&["a@5"], &["a@6g3", "a@4g2", "a@3g1"], &["v0 a0 a1 a2"]);
        check(&["b@5g4", "a@1g1"], &["b@4g3", "c@3g2"], &["v0 a0", "a1", "v1"]);
        check(&["b@5g4", "a@1g1"], &["c@4g3", "c@3g2"], &["v0", "a0 a1", "v1"]);
        check(&["-@5g4", "a@1g1"], &["-@4g3"], &["v0 a0", "v1"]);
        // What came back, and what nobody knows.
        check(&["b@5g3", "a@1g1"], &["c@4g2", "b@3g1"], &["v0", "a0", "a1", "v1"]);
        check(&["b@5"], &["?@g2", "?@g1"], &["v0", "a0", "a1"]);
    }
}
