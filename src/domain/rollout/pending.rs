//! A rollback that waits: asked for while all writes are stopped. What was live before is live still (rule R11).
//!
//! Until it may write, its goal is not among the revisions attempted; that is how it is told apart, exactly and by whoever
//! looks, from a rollback that was stopped part-way.

use super::fights::Drift;
use super::line::Attempt;
use super::observation::Observation;
use super::phase::Phase;
use super::reached::Reached;
use super::record::Rollout;
use crate::domain::plan::Intent;
use crate::domain::time::Timestamp;

impl Rollout {
    /// Whether nothing is written yet of the rollback that a person asked for, because all writes were stopped then.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        let (Some(goal), Some(attempt)) = (&self.goal, &self.attempt) else { return false };
        let reached = |reached: &Reached| reached.generation == goal.generation;
        self.phase == Phase::Applying
            && attempt.line.intent == Intent::RollBack
            && !self.attempted.iter().chain(&self.complete).any(reached)
    }

    /// Where the environment is while a rollback waits, and else its goal.
    #[must_use]
    pub fn stands_on(&self) -> Option<&Reached> {
        if self.is_pending() { self.attempted.last().or(self.complete.as_ref()) } else { self.goal.as_ref() }
    }

    /// The attempt whose writes are not over.
    #[must_use]
    pub fn being_written(&self) -> Option<&Attempt> {
        self.attempt.as_ref().filter(|attempt| attempt.line.closed.is_none() && attempt.applied.is_none())
    }

    /// The revision that was being written when writing stopped, or is: some of its keys may be live beside those of
    /// [`Self::complete`].
    #[must_use]
    pub fn partly_written(&self) -> Option<&Reached> {
        self.being_written()?;
        if self.is_pending() { self.attempted.last() } else { self.goal.as_ref() }
    }

    /// The record of a rollback that has just been asked for; it waits where nothing may be written.
    pub(super) fn pending_while_suspended(mut self, now: Timestamp) -> Self {
        if self.is_suspended(now) {
            self.attempted.pop();
        }
        self
    }

    /// The record of a rollback that waited, before its first write.
    pub(super) fn begun(&self) -> Option<Self> {
        let goal = self.goal.as_ref().filter(|_| self.is_pending())?;
        let mut record = self.clone();
        record.attempted.push(Reached { rules: goal.revision, ..goal.clone() });
        Some(record)
    }

    /// Drift from what is live while a rollback waits. None where that is no whole revision, or not known.
    pub(super) fn drift_while_pending(&self, seen: &Observation<'_>) -> Option<Drift> {
        let live = self.complete.as_ref().filter(|_| self.is_pending() && self.attempted.is_empty())?;
        let desired = seen.books.of(live)?;
        let before = Self { phase: Phase::Steady, goal: Some(live.clone()), attempt: None, ..self.clone() };
        Some(before.left(desired, seen))
    }
}
