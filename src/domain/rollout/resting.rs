//! While nothing is under way: follow the head, put drift right, and say why not (rules R3, R4, R6, R8, G3).

use std::borrow::Cow;

use super::ailing::Ailing;
use super::fights::Drift;
use super::head::Outlook;
use super::note::{HeadNote, HeadVerdict};
use super::observation::{HeadView, Observation, TroubleKind};
use super::people::Suspension;
use super::phase::{Phase, Unproven};
use super::reached::Reached;
use super::record::Rollout;
use super::{Care, Step, Waiting};
use crate::domain::desired::DesiredState;
use crate::domain::health::HealthVerdict;
use crate::domain::plan::Intent;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::words::is_kept;

impl Rollout {
    /// The step while the phase is one of rest.
    pub(super) fn while_resting(&self, seen: &Observation<'_>) -> Step {
        if self.phase == Phase::Frozen
            && let Some(commit) = self.released_by_commit(seen)
        {
            let by = format!("commit {} of {}", commit.revision.short(), commit.author);
            return Step::record(self.clone().unfrozen(&by));
        }
        let note = match self.outlook(seen) {
            Outlook::InStep => match self.under_new_rules(seen) {
                Some(record) => return Step::record(record),
                None => None,
            },
            Outlook::NotFollowed(note) => Some(note),
            Outlook::Waits(step) => return step,
            Outlook::Denied(record) => return Step::record(*record),
            Outlook::Followed(candidate, plan) => {
                return self.await_baseline(&candidate, seen).unwrap_or_else(|| self.advance(&candidate, plan, seen));
            }
        };
        let goal = self.goal.as_ref().and_then(|goal| seen.books.of(goal));
        let Some(desired) = goal else {
            let finished = self.finish_removal_of_nothing(seen);
            return finished.unwrap_or_else(|| self.rest(note, None, <_>::default(), seen));
        };
        match self.look_after(desired, seen) {
            Care::Step(step) => step,
            Care::Nothing(repair) => {
                let (ailing, text, drift) = self.ailing(desired, repair, seen);
                self.rest(note, Some((desired, ailing)), (text, drift), seen)
            }
        }
    }

    /// The record under the rules of a head that says the same as the goal and differs only in what no digest covers: such a
    /// commit is no attempt (rule R3), and yet it is followed (rule G4).
    fn under_new_rules(&self, seen: &Observation<'_>) -> Option<Self> {
        let HeadView::At(tip) = seen.head else { return None };
        let goal = self.goal.as_ref()?;
        let (now, new) = (seen.books.of(goal)?, seen.books.desired(tip)?);
        if now.environment().policy == new.environment().policy {
            return None;
        }
        let mut record = self.clone();
        let same = [&mut record.goal, &mut record.complete, &mut record.last_good].into_iter().flatten();
        same.filter(|reached| reached.digest == goal.digest).for_each(|reached| reached.rules = tip);
        record.repairs.go_on_under(new);
        Some(record)
    }

    /// What the goal needs while it is the goal: its unfinished attempt, repairs, its proof.
    pub(super) fn look_after(&self, desired: &DesiredState, seen: &Observation<'_>) -> Care {
        // A retired environment is left as it is (rule O9); only a repair that has begun is finished.
        let retired = matches!(seen.head, HeadView::Retired(_)) && !self.repairs_on();
        if self.is_suspended(seen.now) || retired {
            return Care::Nothing(None);
        }
        if self.phase == Phase::HeldRefused && self.attempt.as_ref().is_some_and(|attempt| attempt.line.closed.is_none()) {
            return self.resume_attempt(desired, seen).map_or(Care::Nothing(None), Care::Step);
        }
        match self.repair(desired, seen) {
            Care::Nothing(repair) if self.phase == Phase::HeldUnproven => {
                self.judge_held(desired, seen).map_or(Care::Nothing(repair), Care::Step)
            }
            care @ (Care::Step(_) | Care::Nothing(_)) => care,
        }
    }

    /// An attempt that was held half-way goes on when nothing stands in its way any more.
    fn resume_attempt(&self, desired: &DesiredState, seen: &Observation<'_>) -> Option<Step> {
        let (goal, attempt) = (self.goal.as_ref()?, self.attempt.as_ref()?);
        if let Some(wait) = seen.backing_off() {
            return Some(wait);
        }
        let intent = attempt.line.intent;
        // Nor while the head was denied to the same rights: to try the two in turn would be to ask without a pause (rule H6).
        if intent == Intent::Advance && self.refused.as_ref().is_some_and(|refused| refused.stands(seen)) {
            return None;
        }
        // Whatever was denied: to try this and the head in turn would be to ask without a pause.
        if seen.trouble.is_some_and(|trouble| trouble.kind == TroubleKind::Denied && trouble.retry > seen.now) {
            return None;
        }
        let plan = self.plan(intent, goal.revision, desired, goal.generation, seen);
        let clear = intent != Intent::Advance || plan.obstacles.is_empty();
        clear.then(|| Step::record(Self { phase: Phase::Applying, reason: String::new(), refused: None, ..self.clone() }))
    }

    /// An unproven goal is judged on, without a deadline of its own (rule R8).
    fn judge_held(&self, desired: &DesiredState, seen: &Observation<'_>) -> Option<Step> {
        let (why, attempt) = (self.unproven?, self.attempt.as_ref()?);
        let (verdict, _) = self.verdict(desired, seen);
        match (verdict, why) {
            (HealthVerdict::Healthy, Unproven::AutoRevertOff | Unproven::Empty) => None,
            (HealthVerdict::Healthy, _) => match self.obstacle_to_proof(attempt, desired, seen) {
                None => Some(self.prove(seen)),
                Some(_) => None,
            },
            // There may be something to go back to by now: last good was in no mirror, and a fetch brought it.
            (HealthVerdict::Unhealthy { because }, Unproven::Unknown | Unproven::NothingToGoBackTo) => {
                let goal = self.goal.as_ref()?;
                let mut rejected = self.clone();
                rejected.reject(goal, &because, seen);
                rejected.roll_back(super::Outcome::RolledBack, &because, seen)
            }
            (HealthVerdict::Unhealthy { because }, Unproven::RollbackUnknown) => Some(self.freeze(&because, seen)),
            (HealthVerdict::Unhealthy { .. } | HealthVerdict::Unknown { .. }, _) => None,
        }
    }

    /// Settles phase, note and reason; writes only when one of them differs from the record.
    fn rest(
        &self,
        note: Option<HeadNote>,
        goal: Option<(&DesiredState, Ailing)>,
        (ailments, drift): (String, Drift),
        seen: &Observation<'_>,
    ) -> Step {
        let note = self.as_kept(note);
        let phase = self.resting_phase(note.as_ref());
        let held = matches!(phase, Phase::HeldUnproven | Phase::Frozen) || (phase == Phase::HeldRefused && self.phase == phase);
        let reason = if held && !self.reason.is_empty() { self.reason.clone() } else { ailments };
        let reason = if is_kept(&self.reason, &reason) { self.reason.clone() } else { reason };
        let followed = self.goal_followed_from(seen);
        let back_in_step = self.back_in_step_at(note.as_ref(), seen);
        let before = (self.phase, &self.note, &self.reason, &self.drift, &self.goal, self.back_in_step);
        if (phase, &note, &reason, &drift, &followed, back_in_step) != before {
            return Step::record(Self { phase, reason, note, drift, goal: followed, back_in_step, ..self.clone() });
        }
        let (desired, ailing) = goal.unzip();
        let suspended_until = self.suspended_until();
        let until = [self.next_repair(seen.now), suspended_until, self.due(desired, seen)].into_iter().flatten().min();
        // The record says of itself when a suspension is over.
        let retired = note.as_ref().is_some_and(|note| note.verdict == HeadVerdict::Retired) && suspended_until.is_none();
        let reason = note.map_or_else(String::new, |note| note.text);
        Step::Wait(Waiting { reason, until, ailing, retired, ..Waiting::default() })
    }

    /// The goal, from now on beside the head of a branch that was rewritten and leaves the environment where it is: what is
    /// built on that is no rewind (rule S1).
    fn goal_followed_from(&self, seen: &Observation<'_>) -> Option<Reached> {
        let goal = self.goal.clone()?;
        let tip = if seen.books.rewritten { self.believed_tip(seen, &goal) } else { goal.tip };
        Some(Reached { tip, ..goal })
    }

    /// The head that led the branch back to what the environment is on: by taking back a commit that was not followed, or one that
    /// was taken back here.
    fn back_in_step_at(&self, note: Option<&HeadNote>, seen: &Observation<'_>) -> Option<Revision> {
        let (None, HeadView::At(tip)) = (note, &seen.head) else { return self.back_in_step };
        if self.goal.as_ref().is_none_or(|goal| goal.revision == *tip) {
            return self.back_in_step;
        }
        let was_not_followed = self.note.as_ref().is_some_and(|note| note.verdict != HeadVerdict::NotBelieved);
        let was_taken_back = self.attempt.as_ref().is_some_and(|attempt| attempt.line.intent == Intent::RollBack);
        if was_not_followed { Some(*tip) } else { self.back_in_step.or(was_taken_back.then_some(*tip)) }
    }

    /// The note as the record has it already, where that says the same.
    pub(super) fn as_kept(&self, note: Option<HeadNote>) -> Option<HeadNote> {
        let same = |was: &&HeadNote, now: &HeadNote| {
            (was.revision, was.verdict) == (now.revision, now.verdict) && is_kept(&was.text, &now.text)
        };
        note.map(|now| self.note.as_ref().filter(|was| same(was, &now)).cloned().unwrap_or(now))
    }

    /// The record with what the next pass would find the head to be: whoever made this move may make no other for long.
    pub(super) fn with_head_judged(self, seen: &Observation<'_>) -> Self {
        let note = self.head_note(seen);
        let under_way = matches!(self.phase, Phase::Applying | Phase::Verifying);
        let phase = if under_way { self.phase } else { self.resting_phase(note.as_ref()) };
        Self { phase, note, ..self }
    }

    fn resting_phase(&self, note: Option<&HeadNote>) -> Phase {
        let unfinished =
            self.phase == Phase::HeldRefused && self.attempt.as_ref().is_some_and(|attempt| attempt.line.closed.is_none());
        if unfinished || matches!(self.phase, Phase::Frozen | Phase::HeldUnproven) {
            return self.phase;
        }
        match note.map(|note| note.verdict) {
            Some(HeadVerdict::Refused | HeadVerdict::Invalid) => Phase::HeldRefused,
            None | Some(_) if self.goal.is_none() => Phase::Idle,
            None => Phase::Steady,
            Some(HeadVerdict::Rejected | HeadVerdict::Pinned) => Phase::HeldAfterRollback,
            // A suspension stops writes; it takes the environment nowhere.
            Some(HeadVerdict::Suspended | HeadVerdict::NotBelieved | HeadVerdict::Retired | HeadVerdict::Frozen) => {
                if self.phase == Phase::HeldAfterRollback { Phase::HeldAfterRollback } else { Phase::Steady }
            }
        }
    }

    fn due(&self, goal: Option<&DesiredState>, seen: &Observation<'_>) -> Option<Timestamp> {
        let desired = goal.filter(|_| self.phase == Phase::HeldUnproven)?;
        match self.verdict(desired, seen).0 {
            HealthVerdict::Unknown { healthy_at, .. } => healthy_at.filter(|at| *at > seen.now),
            HealthVerdict::Healthy | HealthVerdict::Unhealthy { .. } => None,
        }
    }

    pub(super) fn suspended_note(&self, tip: crate::domain::revision::Revision) -> HeadNote {
        let text = self.suspension.as_ref().map_or_else(String::new, Suspension::said);
        HeadNote { revision: Some(tip), verdict: HeadVerdict::Suspended, text }
    }

    /// Whether a person stopped all writes, as of this moment.
    #[must_use]
    pub fn is_suspended(&self, now: Timestamp) -> bool {
        self.suspension.as_ref().is_some_and(|suspension| suspension.until.is_none_or(|until| until > now))
    }

    /// The record as it holds at this moment: a suspension that has run out is over, whoever may have noticed, and no head
    /// waits for it any more.
    #[must_use]
    pub fn as_of(&self, now: Timestamp) -> Cow<'_, Self> {
        if self.suspension.is_none() || self.is_suspended(now) {
            return Cow::Borrowed(self);
        }
        let note = self.note.clone().filter(|note| note.verdict != HeadVerdict::Suspended);
        Cow::Owned(Self { suspension: None, note, ..self.clone() })
    }

    pub(super) fn suspended_until(&self) -> Option<Timestamp> {
        self.suspension.as_ref().and_then(|suspension| suspension.until)
    }

    /// The record after a freeze was ended: on an unproven goal, with the head judged anew.
    pub(super) fn unfrozen(mut self, by: &str) -> Self {
        self.phase = Phase::HeldUnproven;
        self.unproven = Some(Unproven::Released);
        self.reason = format!("released from the freeze by {by}");
        (self.frozen_tip, self.frozen_head) = (None, None);
        self.note = None;
        self
    }
}
