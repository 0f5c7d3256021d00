//! What may be forgotten: lines of history that nothing names any more, and answers that nobody waits for (rule A5).
//!
//! Every target asks here, so that the same past stays on all of them.

use std::collections::BTreeSet;

use super::Rollout;
use crate::domain::live::LiveState;
use crate::domain::revision::Generation;

/// How much of the past stays whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Lines of history: the newest so many.
    pub lines: usize,
    /// Answers to requests: the newest so many. Whoever asked has read an answer long before.
    pub answers: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { lines: 1_000, answers: 200 }
    }
}

/// What of one environment's past has to stay, as of one moment.
#[derive(Debug, Clone)]
pub struct Retention {
    kept: Kept,
    newest: Generation,
    /// Generations that the record names or that a live key carries: people ask for their lines, and the record's own are
    /// still to be closed.
    named: BTreeSet<Generation>,
}

impl Retention {
    /// Lines, and as many answers, that are forgotten in one go: a long past goes bit by bit and delays nothing.
    pub const AT_ONCE: usize = 30;

    /// What has to stay beside this record and these keys.
    #[must_use]
    pub fn new(kept: Kept, record: &Rollout, live: &LiveState) -> Self {
        let reached = [&record.goal, &record.complete, &record.last_good].into_iter().flatten().chain(&record.attempted);
        let lines = record.attempt.iter().map(|attempt| &attempt.line).chain(&record.repair);
        let named = reached
            .map(|reached| reached.generation)
            .chain(lines.map(|line| line.generation))
            .chain(live.generations(record.identity.owner))
            .collect();
        Self { kept, newest: record.generation, named }
    }

    /// Whether so few attempts were made that no line can be old: nothing has to be looked at then.
    #[must_use]
    pub fn keeps_every_line(&self) -> bool {
        usize::try_from(self.newest.number()).is_ok_and(|attempts| attempts <= self.kept.lines)
    }

    /// Which of all these lines may go, oldest first, at most [`Self::AT_ONCE`].
    #[must_use]
    pub fn old_lines(&self, lines: impl IntoIterator<Item = Generation>) -> Vec<Generation> {
        let lines: BTreeSet<Generation> = lines.into_iter().collect();
        let old = lines.len().saturating_sub(self.kept.lines);
        lines.into_iter().take(old).filter(|line| !self.named.contains(line)).take(Self::AT_ONCE).collect()
    }

    /// Whether so few answers are there that none is old.
    #[must_use]
    pub fn keeps_every_answer_of(&self, count: usize) -> bool {
        count <= self.kept.answers
    }

    /// Which of all these answers may go, at most [`Self::AT_ONCE`]; their order is their age, the smallest the oldest.
    #[must_use]
    pub fn old_answers<A: Ord>(&self, answers: impl IntoIterator<Item = A>) -> Vec<A> {
        let mut answers: Vec<A> = answers.into_iter().collect();
        answers.sort_unstable();
        answers.truncate(answers.len().saturating_sub(self.kept.answers).min(Self::AT_ONCE));
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<Generation> {
        numbers.into_iter().filter_map(Generation::new).collect()
    }

    fn retention(kept: usize, named: &[u32]) -> Retention {
        let named = numbers(named.iter().copied());
        Retention { kept: Kept { lines: kept, answers: kept }, newest: Generation::default(), named }
    }

    #[track_caller]
    fn check(kept: usize, named: &[u32], lines: impl IntoIterator<Item = u32>, expected: &[u32]) {
        let old: Vec<u32> = retention(kept, named).old_lines(numbers(lines)).iter().map(|line| line.number()).collect();
        assert_eq!(old, expected);
    }

    #[test]
    fn a_line_goes_when_enough_newer_ones_are_there_and_nothing_names_it() {
        check(3, &[], 1..=3, &[]);
        check(3, &[], 1..=5, &[1, 2]);
        check(3, &[1], 1..=5, &[2]);
        check(3, &[1, 2], 1..=5, &[]);
        check(3, &[], [2, 9, 4, 7], &[2]);
        check(0, &[], 1..=100, &(1..=30).collect::<Vec<_>>());
    }

    #[test]
    fn the_newest_answers_stay() {
        assert_eq!(retention(2, &[]).old_answers(["c", "a", "b"]), ["a"]);
        assert_eq!(retention(9, &[]).old_answers([1, 2]), Vec::<i32>::new());
        assert_eq!(retention(1, &[]).old_answers(0..100).len(), Retention::AT_ONCE);
    }
}
