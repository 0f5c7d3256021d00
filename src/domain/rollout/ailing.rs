//! What is not as it should be although nothing is done about it: late failures, reported drift, contested keys (rules H5,
//! R9, R10). It is said in the record, and each part of it once as an event.

use std::collections::{BTreeMap, BTreeSet};

use super::fights::{Drift, Sides};
use super::observation::Observation;
use super::record::Rollout;
use crate::domain::desired::DesiredState;
use crate::domain::health::Finding;
use crate::domain::name::{CheckName, KeyPath};
use crate::domain::plan::{Intent, Plan};
use crate::domain::time::Timestamp;
use crate::domain::words::listed;

/// What ails an environment that rests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ailing {
    /// Checks of a proven goal that fail throughout, and what they found last: reported, never rolled back.
    pub late: BTreeMap<CheckName, String>,
    /// Checks that passed when they were asked last.
    pub passing: BTreeSet<CheckName>,
    /// Keys that differ from the goal and are left, because the policy is to report or all writes are stopped.
    pub drifted: BTreeSet<KeyPath>,
}

impl Rollout {
    /// What ails the environment, which rests on this goal; for the record the same in one line, and the drift that is left.
    ///
    /// `repair` is the goal's repair with no key left out, where it was planned already.
    pub(super) fn ailing(
        &self,
        desired: &DesiredState,
        repair: Option<Plan>,
        seen: &Observation<'_>,
    ) -> (Ailing, String, Drift) {
        let Some(repair) = repair.or_else(|| self.repair_plan(desired, seen)) else { return <_>::default() };
        let failing = failing(desired, seen);
        let text = self.ailments(&failing, &repair, seen);
        let last = |name: &CheckName| seen.health.track(name)?.last.as_ref().map(|(_, finding)| finding);
        let passing = desired.checks().keys().filter(|name| last(name) == Some(&Finding::Pass)).cloned().collect();
        let left = self.left_keys(&repair, seen.now);
        let drift = self.drift_of(&left, desired, seen);
        let drifted = left.into_iter().cloned().collect();
        let mut ailing = Ailing { passing, drifted, ..Ailing::default() };
        if self.failing_on_last_good(seen).is_some() {
            for name in failing {
                let because = match last(&name) {
                    Some(Finding::Fail { because } | Finding::Unknown { because }) => because.clone(),
                    Some(Finding::Pass) | None => String::new(),
                };
                ailing.late.insert(name, because);
            }
        }
        (ailing, text, drift)
    }

    /// What a repair would write now, and drift that it would leave.
    fn repair_plan(&self, desired: &DesiredState, seen: &Observation<'_>) -> Option<Plan> {
        let goal = self.goal.as_ref()?;
        Some(self.plan(Intent::Repair, goal.revision, desired, goal.generation, seen))
    }

    /// The keys that drifted and are left: the policy is to report them, or a person stopped all writes.
    fn left_keys<'p>(&self, plan: &'p Plan, now: Timestamp) -> BTreeSet<&'p KeyPath> {
        // What an attempt that stands half-way has not written yet did not drift.
        let stopped = self.is_suspended(now) && self.being_written().is_none();
        plan.drifted.iter().chain(plan.changes.iter().map(|change| &change.key).filter(|_| stopped)).collect()
    }

    /// Drift that is left, with both sides of some keys.
    pub(super) fn left(&self, desired: &DesiredState, seen: &Observation<'_>) -> Drift {
        let plan = self.repair_plan(desired, seen);
        plan.map_or_else(Drift::default, |plan| self.drift_of(&self.left_keys(&plan, seen.now), desired, seen))
    }

    fn drift_of(&self, keys: &BTreeSet<&KeyPath>, desired: &DesiredState, seen: &Observation<'_>) -> Drift {
        let sides = |key: &KeyPath| {
            let (wanted, live) = (desired.entries().get(key), seen.live.entries.get(key));
            Sides::of(wanted.map(|entry| entry.digest), live.map(|entry| entry.digest), seen.books.hides(key))
        };
        let drift = Drift {
            keys: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            named: keys.iter().take(Drift::NAMED).map(|&key| (key.clone(), sides(key))).collect(),
            at: seen.now,
        };
        drift.unless_known(&self.drift)
    }

    fn ailments(&self, failing: &[CheckName], repair: &Plan, seen: &Observation<'_>) -> String {
        let mut texts = Vec::new();
        if !failing.is_empty() {
            let failing: Vec<String> = failing.iter().map(ToString::to_string).collect();
            texts.push(format!("failing now: {}", failing.join(", ")));
        }
        let held = super::applying::except(repair);
        if !held.is_empty() {
            texts.push(format!("left as it is: {}", listed(held.into_iter())));
        }
        let waiting: BTreeSet<KeyPath> = self.repairs.waiting(seen.now).collect();
        let contested = repair.changes.iter().map(|change| &change.key).filter(|key| waiting.contains(*key));
        let contested: Vec<String> = contested.map(ToString::to_string).collect();
        if !contested.is_empty() && !self.is_suspended(seen.now) {
            texts.push(format!("contested, the next repair waits: {}", listed(contested.into_iter())));
        }
        texts.join("; ")
    }

    /// The keys of whose values it has digests, as far as it names them one by one.
    #[must_use]
    pub fn keys_with_digests(&self) -> BTreeSet<KeyPath> {
        let drifted = self.drift.named.iter().filter(|(_, sides)| sides.wanted.or(sides.live).is_some());
        let contested = self.repairs.contested.iter().filter(|(_, fight)| fight.ours.or(fight.theirs).is_some());
        drifted.map(|(key, _)| key).chain(contested.map(|(key, _)| key)).cloned().collect()
    }

    /// The same without those of some keys, which a commit tags that it knows nothing of: for people only, since it decides by them.
    #[must_use]
    pub fn without_digests(mut self, of: &BTreeSet<KeyPath>) -> Self {
        for (_, sides) in self.drift.named.iter_mut().filter(|(key, _)| of.contains(*key)) {
            (sides.wanted, sides.live) = (None, None);
        }
        for (_, fight) in self.repairs.contested.iter_mut().filter(|(key, _)| of.contains(*key)) {
            (fight.ours, fight.theirs) = (None, None);
        }
        self
    }
}

/// The checks that fail throughout.
fn failing(desired: &DesiredState, seen: &Observation<'_>) -> Vec<CheckName> {
    let failing = seen.health.failing_throughout(desired.environment().policy.rollout.fail_after);
    failing.into_iter().filter(|name| desired.checks().contains_key(name)).collect()
}
