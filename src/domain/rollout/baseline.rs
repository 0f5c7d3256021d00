//! What failed before a commit came: no commit is blamed for it (rule H5).

use std::collections::BTreeSet;
use std::time::Duration;

use super::head::Candidate;
use super::observation::Observation;
use super::phase::Phase;
use super::reached::Reached;
use super::record::Rollout;
use super::{Care, Step, Waiting};
use crate::domain::desired::DesiredState;
use crate::domain::name::CheckName;

/// However slow the checks are, this is the longest that a commit waits for them after a term began.
const LONGEST: Duration = Duration::from_mins(1);

impl Rollout {
    /// Last good, if the environment stands on it and nothing is under way: then its checks say what failed before (rule H5).
    #[must_use]
    pub fn standing_on_last_good(&self) -> Option<&Reached> {
        let (goal, good) = (self.goal.as_ref()?, self.last_good.as_ref()?);
        let resting = matches!(self.phase, Phase::Steady | Phase::HeldAfterRollback | Phase::HeldRefused);
        (resting && goal.digest == good.digest).then_some(good)
    }

    /// Checks that failed all along while the environment stood on last good: not the next commit's fault (rule H5).
    pub(super) fn failing_on_last_good(&self, seen: &Observation<'_>) -> Option<BTreeSet<CheckName>> {
        let desired = seen.books.of(self.standing_on_last_good()?)?;
        Some(seen.health.failing_throughout(desired.environment().policy.rollout.fail_after))
    }

    /// The step instead of an advance while nobody knows what fails already: whoever has just begun to lead has no samples.
    ///
    /// Each check of last good is waited for until it passed once or was sampled as often as makes a failure count; not at all
    /// when a person said that the head goes live whatever stands against it.
    pub(super) fn await_baseline(&self, candidate: &Candidate<'_>, seen: &Observation<'_>) -> Option<Step> {
        self.sampled()?;
        if self.permit_for(candidate.desired.revision_digest()).is_some_and(|permit| permit.every_gate.is_some()) {
            return None;
        }
        let desired = seen.books.of(self.standing_on_last_good()?)?;
        let end = seen.led_since + LONGEST;
        let often = desired.environment().policy.rollout.fail_after;
        let awaited = desired.checks().values().filter_map(|check| seen.health.awaited(check, often));
        if seen.now >= end || awaited.min().is_none_or(|due| due >= end) {
            return None;
        }
        // Meanwhile the environment is looked after as ever.
        Some(if let Care::Step(step) = self.look_after(desired, seen) {
            step
        } else {
            let reason = "sampling the checks of last good, so that what fails already does not count against the commit";
            Step::Wait(Waiting { reason: reason.to_owned(), until: Some(end), sampling: true, ..Waiting::default() })
        })
    }

    /// The goal's checks that failed before and don't count. One that is new or changed since last good counts fully (rule H5).
    pub(super) fn not_counted(&self, desired: &DesiredState, seen: &Observation<'_>) -> BTreeSet<CheckName> {
        let good = self.last_good.as_ref().and_then(|good| seen.books.of(good));
        let unchanged = |name: &&CheckName| {
            desired.checks().get(*name).is_some_and(|check| good.is_some_and(|good| good.checks().get(*name) == Some(check)))
        };
        self.baseline.iter().filter(unchanged).cloned().collect()
    }
}
