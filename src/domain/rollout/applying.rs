//! While a plan is being written: go on, give way to a newer commit, hold, or turn back (rules H6, R7, A9).

use std::collections::BTreeSet;

use super::adopting::writes_only_marks;
use super::head::Outlook;
use super::line::{Attempt, Outcome};
use super::moves::trusted;
use super::observation::{Observation, Trouble, TroubleKind};
use super::phase::Phase;
use super::reached::Reached;
use super::record::Rollout;
use super::{Apply, Save, Step};
use crate::domain::desired::DesiredState;
use crate::domain::plan::{Intent, Plan};
use crate::domain::time::Timestamp;

impl Rollout {
    /// The step while the phase is `Applying`.
    pub(super) fn while_applying(&self, seen: &Observation<'_>) -> Step {
        let (Some(goal), Some(attempt)) = (&self.goal, &self.attempt) else {
            return Step::wait("the record says applying without an attempt; run `lockstep release`", None);
        };
        if self.is_suspended(seen.now) {
            return self.stopped(seen);
        }
        if let Some(begun) = self.begun() {
            return Step::record(begun);
        }
        let intent = attempt.line.intent;
        if intent == Intent::Advance
            && let Some(step) = self.supersede(seen)
        {
            return step;
        }
        let Some(desired) = seen.books.of(goal) else {
            return self.without_its_goal(goal, seen);
        };
        let mut leave = BTreeSet::new();
        if let Some(denied) = seen.denied(intent, goal.revision) {
            match intent {
                Intent::RollBack if !denied.keys.is_empty() => leave.extend(denied.keys.iter().cloned()),
                Intent::RollBack => return self.hold_back(&denied.text),
                Intent::Advance | Intent::Repair | Intent::Remove | Intent::Restored | Intent::Act(_) => {
                    return self.turn_back(goal, denied, seen);
                }
            }
        }
        if let Some(wait) = seen.backing_off() {
            return overdue(attempt, desired, seen).map_or(wait, |text| self.hold_back(&text));
        }
        let plan = self.plan_leaving(&leave, intent, goal.revision, desired, goal.generation, seen);
        if intent == Intent::Advance && !plan.obstacles.is_empty() {
            return self.blocked(attempt, desired, &plan, seen);
        }
        // Somebody wrote meanwhile: said before what follows from it is written, since that may be cut short.
        let meanwhile = self.clone().judged_after_all(&plan).knowing_adopted(&plan);
        if meanwhile != *self {
            return Step::record(meanwhile);
        }
        if plan.is_empty() { self.written(&plan, seen) } else { self.write_on(plan) }
    }

    /// The record before a plan that writes a value, of an attempt that was to write marks alone: there is something to judge.
    fn judged_after_all(mut self, plan: &Plan) -> Self {
        if let Some(attempt) = self.attempt.as_mut().filter(|_| !plan.is_empty() && !writes_only_marks(plan)) {
            attempt.only_marks = false;
        }
        self
    }

    /// While nothing may be written: what the head is, and what drifted where that can be told, are said all the same.
    fn stopped(&self, seen: &Observation<'_>) -> Step {
        let (note, drift) = (self.head_note(seen), self.drift_while_pending(seen).unwrap_or_else(|| self.drift.clone()));
        if (&note, &drift) != (&self.note, &self.drift) {
            return Step::record(Self { note, drift, ..self.clone() });
        }
        let reason = if self.is_pending() { "suspended before the rollback" } else { "suspended while applying" };
        Step::wait(reason, self.suspended_until())
    }

    /// The commit gone to was forced out of the branch and is in no mirror here, or can't be used under today's configuration:
    /// only a newer head can go on from this.
    pub(super) fn without_its_goal(&self, goal: &Reached, seen: &Observation<'_>) -> Step {
        let text = seen.books.why_unknown(goal.revision);
        self.supersede(seen).unwrap_or_else(|| Step::wait(text, None))
    }

    /// To a newer commit that may take this attempt's place; a refused or invalid one takes no place (rule G3).
    pub(super) fn supersede(&self, seen: &Observation<'_>) -> Option<Step> {
        match self.outlook(seen) {
            Outlook::Followed(candidate, plan) => Some(self.advance(&candidate, plan, seen)),
            Outlook::Denied(record) => Some(Step::record(*record)),
            // What is under way has its own things to do meanwhile.
            Outlook::InStep | Outlook::NotFollowed(_) | Outlook::Waits(_) => None,
        }
    }

    /// Everything is written that can be: from now on health counts (rule H6).
    fn written(&self, plan: &Plan, seen: &Observation<'_>) -> Step {
        let mut record = self.clone().after_writing(plan);
        record.phase = Phase::Verifying;
        if let Some(attempt) = &mut record.attempt {
            attempt.applied = Some(seen.now);
            attempt.except = except(plan);
        }
        record.reason = String::new();
        if record.attempt.as_ref().is_some_and(|attempt| attempt.only_marks) && plan.obstacles.is_empty() {
            return record.prove_marks(seen);
        }
        record.note = record.head_note(seen);
        Step::record(record)
    }

    fn write_on(&self, plan: Plan) -> Step {
        let mut record = self.clone().after_writing(&plan);
        if let Some(attempt) = &mut record.attempt {
            attempt.except = except(&plan);
        }
        let closing = Save::of(record);
        Step::Apply(Box::new(Apply { opening: None, plan, closing }))
    }

    /// A key that the attempt needs became somebody else's after its first write.
    fn blocked(&self, attempt: &Attempt, desired: &DesiredState, plan: &Plan, seen: &Observation<'_>) -> Step {
        let text = format!("waiting for keys that somebody else holds: {}", except(plan).join(", "));
        let deadline = apply_deadline(attempt, desired, seen);
        if seen.now >= deadline { self.hold_back(&text) } else { Step::wait(text, Some(deadline)) }
    }

    /// Stops half-way without blaming the revision; judged again when head or live state changes.
    fn hold_back(&self, text: &str) -> Step {
        let mut record = self.clone();
        record.phase = Phase::HeldRefused;
        text.clone_into(&mut record.reason);
        Step::record(record)
    }

    /// Denied part-way: back to last good, and no further try as long as nothing changes (rule H6).
    fn turn_back(&self, goal: &Reached, denied: &Trouble, seen: &Observation<'_>) -> Step {
        let text = &denied.text;
        let before = Self { refused: Some(denied.refusal(goal.digest, seen.rights)), ..self.clone() };
        // With nothing to go back to this attempt is the one to go on with, once the rights or the revision are others.
        before.roll_back(Outcome::Refused, text, seen).unwrap_or_else(|| before.hold_back(text))
    }
}

/// A conflict that went on beyond the deadline holds the attempt; what is merely unreachable never does.
fn overdue(attempt: &Attempt, desired: &DesiredState, seen: &Observation<'_>) -> Option<String> {
    let conflict = seen.trouble.filter(|trouble| trouble.kind == TroubleKind::Conflict)?;
    let deadline = apply_deadline(attempt, desired, seen);
    (seen.now >= deadline).then(|| conflict.text.clone())
}

fn apply_deadline(attempt: &Attempt, desired: &DesiredState, seen: &Observation<'_>) -> Timestamp {
    let allowed = desired.environment().policy.rollout.apply_deadline;
    trusted(attempt.line.started, allowed, seen.led_since, seen.now) + allowed
}

/// The obstacles as people read them.
pub(super) fn except(plan: &Plan) -> Vec<String> {
    const SHOWN: usize = 20;
    let mut list: Vec<String> =
        plan.obstacles.iter().take(SHOWN).map(|obstacle| format!("{} ({})", obstacle.key, obstacle.why)).collect();
    let more = plan.obstacles.len().saturating_sub(SHOWN);
    if more > 0 {
        list.push(format!("{more} more"));
    }
    list
}
