//! Carrying out what a person asked for (rules L2, R11): one request a pass, answered in the same move.

mod back;
mod release;

use super::head::Outlook;
use super::line::{Closed, HistoryLine, Outcome};
use super::note::HeadVerdict;
use super::observation::Observation;
use super::people::Suspension;
use super::reached::Rejection;
use super::record::Rollout;
use super::request::{Answer, Request, Verb};
use super::{Save, Step};
use crate::domain::desired::DesiredState;
use crate::domain::plan::{Act, Counts, Intent};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::words::listed;

impl Rollout {
    pub(super) fn carry_out(&self, request: &Request, seen: &Observation<'_>) -> Step {
        let outcome = match &request.verb {
            Verb::RollBack { to } => self.asked_back(*to, request, seen),
            Verb::Release { revision, lets_pass } => self.asked_release(*revision, lets_pass.as_ref(), request, seen),
            Verb::Suspend { until } => Ok(self.asked_suspend(*until, request, seen)),
            Verb::Resume => Ok(self.asked_resume(seen)),
            Verb::OverwriteDrift => self.asked_to_overwrite(seen),
        };
        let changed = outcome.as_ref().is_ok_and(|(save, _)| save.record != *self);
        let (mut save, accepted, text) = match outcome {
            Ok((save, text)) => {
                let (save, text) = if changed {
                    let judged = Save { record: save.record.with_head_judged(seen), ..save };
                    (self.noted(judged, &text, request, seen), text)
                } else {
                    (save, format!("nothing to do: {text}"))
                };
                let hindered = save.record.hindered_after(request, seen);
                (save, true, [Some(text), hindered].into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
            Err(text) => (Save::of(self.clone()), false, text),
        };
        save.answers.push(Answer { id: request.id.clone(), at: seen.now, accepted, changed, text });
        Step::Record(Box::new(save))
    }

    /// With a line of history about what a person decided. A rollback has its own; before the first commit there is nothing
    /// that a line could name.
    fn noted(&self, save: Save, text: &str, request: &Request, seen: &Observation<'_>) -> Save {
        let act = match request.verb {
            Verb::RollBack { .. } => return save,
            Verb::Release { .. } => Act::Release,
            Verb::Suspend { .. } => Act::Suspend,
            Verb::Resume => Act::Resume,
            Verb::OverwriteDrift => Act::OverwriteDrift,
        };
        let Some(revision) = self.decided_about(&save.record, &request.verb, seen) else { return save };
        let mut record = save.record;
        record.generation = self.next_generation(seen);
        let line = HistoryLine {
            generation: record.generation,
            intent: Intent::Act(act),
            revision,
            from: None,
            by: request.by.clone(),
            because: request.reason.clone(),
            counts: Counts::default(),
            started: seen.now,
            closed: Some(Closed { at: seen.now, outcome: Outcome::Done, text: text.to_owned() }),
        };
        Save { answers: save.answers, ..Save::opening(record, line) }
    }

    /// The revision that a decision is about: the one let pass, released or tried again, and else where the environment is.
    fn decided_about(&self, after: &Self, verb: &Verb, seen: &Observation<'_>) -> Option<Revision> {
        let about = if let Verb::Release { revision, .. } = verb {
            let permit = if after.permit == self.permit { None } else { after.permit.as_ref().or(self.permit.as_ref()) };
            let mut released = self.rejected.iter().rev().filter(|rejection| after.rejection(rejection.digest).is_none());
            let retried = seen.head.followable().filter(|tip| {
                let digest = seen.books.desired(*tip).map(DesiredState::revision_digest);
                self.refused.as_ref().is_some_and(|refused| after.refused.is_none() && Some(refused.digest) == digest)
            });
            let named = permit.map(|permit| permit.revision).or(*revision);
            named.or_else(|| released.next().map(|rejection| rejection.revision)).or(retried)
        } else {
            None
        };
        about.or_else(|| self.revision_here(seen))
    }

    /// What keeps the environment from its head after a person's word that was to let it go there.
    fn hindered_after(&self, request: &Request, seen: &Observation<'_>) -> Option<String> {
        let stopped = || {
            let said = self.suspension.as_ref().map_or_else(String::new, Suspension::said);
            format!("still nothing is written before `lockstep resume {}`: {said}", self.identity.environment)
        };
        match request.verb {
            Verb::RollBack { .. } => return self.is_suspended(seen.now).then(stopped),
            Verb::Suspend { .. } | Verb::OverwriteDrift => return None,
            Verb::Release { .. } | Verb::Resume => {}
        }
        let Outlook::NotFollowed(note) = self.outlook(seen) else { return None };
        let waits = note.verdict == HeadVerdict::Suspended;
        Some(if waits { stopped() } else { format!("the head is still not followed: {}", note.text) })
    }

    fn asked_suspend(&self, until: Option<Timestamp>, request: &Request, seen: &Observation<'_>) -> (Save, String) {
        let before = self.suspension.as_ref().filter(|_| self.is_suspended(seen.now));
        let at = before.map_or(seen.now, |before| before.at);
        let suspension = Suspension { until, by: request.by.clone(), reason: request.reason.clone(), at };
        let text = until.map_or_else(
            || format!("suspended until `lockstep resume {}`", self.identity.environment),
            |until| format!("suspended until {until}"),
        );
        // What was to be overwritten may be meant to stay by the time that writing goes on.
        let ends = if self.overwrite_drift { "; drift is not put right any more" } else { "" };
        let record = Self { suspension: Some(suspension), overwrite_drift: false, ..self.clone() };
        (Save::of(record), format!("{text}{ends}"))
    }

    /// Lets writing go on, or follows the branch again: one thing at a time, so that what somebody stopped for an hour does not
    /// end what another went back for.
    fn asked_resume(&self, seen: &Observation<'_>) -> (Save, String) {
        if !self.is_suspended(seen.now) {
            return self.asked_unpin();
        }
        let still = self.pin.as_ref().map_or_else(String::new, |pin| format!("; still pinned by a rollback of {}", pin.by));
        let goal = self.goal.as_ref().filter(|_| self.is_pending());
        let goes_on = goal.map_or_else(String::new, |goal| format!("; the rollback to {} comes next", goal.revision.short()));
        (Save::of(Self { suspension: None, ..self.clone() }), format!("resumed{goes_on}{still}"))
    }

    /// Follows the branch again: what a rollback rejected is no more rejected, since that was to stay away from it.
    fn asked_unpin(&self) -> (Save, String) {
        let Some(pin) = &self.pin else {
            return (Save::of(self.clone()), "it is neither suspended nor pinned".to_owned());
        };
        let mut record = Self { pin: None, ..self.clone() };
        let taken_back = |rejection: &Rejection| pin.rejected.contains(&rejection.digest);
        record.rejected.retain(|rejection| !taken_back(rejection));
        let again: Vec<String> = self
            .rejected
            .iter()
            .filter(|rejection| taken_back(rejection))
            .map(|rejection| rejection.revision.short())
            .collect();
        let text = match again.len() {
            0 => "unpinned".to_owned(),
            _ => format!("unpinned; {} may be tried again", listed(again.into_iter())),
        };
        (Save::of(record), text)
    }
}
