//! What is not as it should be although nothing is done about it: late failures, reported drift, contested keys (rules H5,
//! R9, R10). It is said in the record, and each part of it once as an event.

use std::collections::{BTreeMap, BTreeSet};

use super::observation::Observation;
use super::phase::Phase;
use super::record::Rollout;
use crate::domain::desired::DesiredState;
use crate::domain::environment::DriftPolicy;
use crate::domain::health::Finding;
use crate::domain::name::{CheckName, KeyPath};
use crate::domain::plan::Intent;
use crate::domain::words::{count, listed};

/// What ails an environment that rests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ailing {
    /// Checks of a proven goal that fail throughout, and what they found last: reported, never rolled back.
    pub late: BTreeMap<CheckName, String>,
    /// Checks that passed when they were asked last.
    pub passing: BTreeSet<CheckName>,
    /// Keys that differ from the goal and are left, because the policy is to report.
    pub drifted: BTreeSet<KeyPath>,
}

impl Rollout {
    /// What ails the environment; none while an attempt is under way, which has its own evidence.
    #[must_use]
    pub fn ailing(&self, seen: &Observation<'_>) -> Option<Ailing> {
        if matches!(self.phase, Phase::Idle | Phase::Applying | Phase::Verifying) {
            return None;
        }
        let desired = seen.books.of(self.goal.as_ref()?)?;
        let last = |name: &CheckName| seen.health.track(name)?.last.as_ref().map(|(_, finding)| finding);
        let mut ailing = Ailing { drifted: self.reported_drift(desired, seen).into_iter().collect(), ..Ailing::default() };
        for name in desired.checks().keys() {
            if last(name) == Some(&Finding::Pass) {
                ailing.passing.insert(name.clone());
            }
        }
        if self.failing_on_last_good(seen).is_some() {
            for name in failing(desired, seen) {
                let because = match last(&name) {
                    Some(Finding::Fail { because } | Finding::Unknown { because }) => because.clone(),
                    Some(Finding::Pass) | None => String::new(),
                };
                ailing.late.insert(name, because);
            }
        }
        Some(ailing)
    }

    fn reported_drift(&self, desired: &DesiredState, seen: &Observation<'_>) -> Vec<KeyPath> {
        let Some(goal) = self.goal.as_ref().filter(|_| desired.environment().policy.drift == DriftPolicy::Report) else {
            return Vec::new();
        };
        self.plan(Intent::Repair, goal.revision, desired, goal.generation, seen).drifted
    }

    /// The same in one line, for the record.
    pub(super) fn ailments(&self, goal: Option<&DesiredState>, seen: &Observation<'_>) -> String {
        let Some(desired) = goal else { return String::new() };
        let mut texts = Vec::new();
        let failing: Vec<String> = failing(desired, seen).iter().map(ToString::to_string).collect();
        if !failing.is_empty() {
            texts.push(format!("failing now: {}", failing.join(", ")));
        }
        let plan = self.goal.as_ref().map(|goal| self.plan(Intent::Repair, goal.revision, desired, goal.generation, seen));
        let (held, drifted) = plan.map(|plan| (super::applying::except(&plan), plan.drifted)).unwrap_or_default();
        if !held.is_empty() {
            texts.push(format!("left as it is: {}", listed(held.into_iter())));
        }
        if let Some(first) = drifted.first()
            && desired.environment().policy.drift == DriftPolicy::Report
        {
            texts.push(format!("drift is reported only: {}, {first} among them", count(drifted.len(), "key")));
        }
        let contested: Vec<&str> = self.repairs.contested.keys().take(3).map(KeyPath::as_str).collect();
        if !contested.is_empty() {
            texts.push(format!("contested, repaired with back-off: {}", contested.join(", ")));
        }
        texts.join("; ")
    }
}

/// The checks that fail throughout.
fn failing(desired: &DesiredState, seen: &Observation<'_>) -> Vec<CheckName> {
    let failing = seen.health.failing_throughout(desired.environment().policy.rollout.fail_after);
    failing.into_iter().filter(|name| desired.checks().contains_key(name)).collect()
}
