//! What the samples of an environment are about: which checks are asked for, and which of their samples count.
//!
//! A repair writes the goal again under a generation of its own. What a check that names the generation found before is then
//! about another question than the one that is asked now: it neither proves, nor fails, nor excuses anything.

use std::time::Duration;

use super::phase::Phase;
use super::record::Rollout;
use crate::domain::check::Check;
use crate::domain::desired::DesiredState;
use crate::domain::health::HealthLog;
use crate::domain::revision::{Generation, RevisionDigest};
use crate::domain::time::Timestamp;

/// What a log of samples is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSubject {
    attempt: Generation,
    applied: Option<Timestamp>,
    led_since: Timestamp,
    written: Written,
}

/// What is sampled: the goal as it was written last. Nothing while its attempt writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleSubject {
    attempt: Generation,
    applied: Timestamp,
    digest: RevisionDigest,
    written: Written,
}

/// Which generation the goal's keys show; while a repair is under way, they begin to show another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    generation: Generation,
    repairing: bool,
}

impl Rollout {
    /// Makes a log fit for a decision about this record: starts it anew for another attempt or another term (rules H2, L3),
    /// and the checks that name the generation when the goal was written under another one.
    ///
    /// `settle` is the target's, where the environment gives none; `desired` is what the goal says.
    pub fn align(
        &self,
        log: &mut HealthLog,
        about: &mut Option<LogSubject>,
        desired: &DesiredState,
        settle: Duration,
        led_since: Timestamp,
        now: Timestamp,
    ) {
        let Some((attempt, written)) = self.attempt.as_ref().zip(self.keys_shown()) else { return };
        let subject = LogSubject { attempt: attempt.line.generation, applied: attempt.applied, led_since, written };
        let Some(before) = about.replace(subject) else {
            *log = HealthLog::counting_from(self.samples_count_from(desired, settle, led_since, now));
            return;
        };
        if (LogSubject { written, ..before }) != subject {
            *log = HealthLog::counting_from(self.samples_count_from(desired, settle, led_since, now));
        } else if before != subject {
            let settle = desired.environment().policy.rollout.settle.unwrap_or(settle);
            desired.checks().values().filter(|check| check.names_the_generation()).for_each(|check| {
                log.restart(&check.name, now + settle);
            });
        }
    }

    /// When samples of the goal count from (rules H2, L3).
    fn samples_count_from(&self, desired: &DesiredState, settle: Duration, led_since: Timestamp, now: Timestamp) -> Timestamp {
        let settle = desired.environment().policy.rollout.settle.unwrap_or(settle);
        // A repair of the term before may not have been read yet by whoever is asked.
        let repaired = self.repairs.recent.values().flatten().filter(|at| **at <= now).max();
        // What was proven has settled long ago, whoever leads now.
        let applied = if self.standing_on_last_good().is_some() { None } else { self.applied(desired, led_since, now) };
        let written = applied.into_iter().chain(repaired.copied()).max();
        written.map_or(led_since, |written| (written + settle).max(led_since))
    }

    /// What is to be sampled now.
    #[must_use]
    pub fn sampled(&self) -> Option<SampleSubject> {
        if matches!(self.phase, Phase::Idle | Phase::Applying) {
            return None;
        }
        let (attempt, goal) = self.attempt.as_ref().zip(self.goal.as_ref())?;
        let (applied, written) = (attempt.applied?, self.keys_shown()?);
        Some(SampleSubject { attempt: attempt.line.generation, applied, digest: goal.digest, written })
    }

    /// The goal's checks as they are asked now: with the revision and the generation that its keys show.
    pub fn checks_asked<'a>(&'a self, desired: &'a DesiredState) -> impl Iterator<Item = Check> + 'a {
        let goal = self.goal.as_ref();
        goal.into_iter().flat_map(|goal| desired.checks().values().map(|check| check.filled(&goal.revision, goal.generation)))
    }

    fn keys_shown(&self) -> Option<Written> {
        let goal = self.goal.as_ref()?;
        Some(Written { generation: goal.generation, repairing: self.repair.is_some() })
    }
}

impl SampleSubject {
    /// Whether what goes on under `before` can go on under this, but for the checks that name the generation.
    #[must_use]
    pub fn only_rewrites(&self, before: &Self) -> bool {
        Self { written: before.written, ..*self } == *before
    }
}
