//! Carrying out what a person asked for (rules L2, R11): one request a pass, answered in the same move.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::attempt::Aim;
use super::fights::Drift;
use super::head::Judgement;
use super::line::{Closed, HistoryLine, Outcome};
use super::observation::{HeadView, Observation};
use super::people::{Allowance, Grant, Permit, Pin, Suspension};
use super::phase::Phase;
use super::reached::{Reached, Rejection};
use super::record::Rollout;
use super::request::{Answer, Request, Verb};
use super::{Save, Step};
use crate::domain::desired::DesiredState;
use crate::domain::plan::{Act, Counts, Intent};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::words::{count, listed};

impl Rollout {
    pub(super) fn carry_out(&self, request: &Request, seen: &Observation<'_>) -> Step {
        let outcome = match &request.verb {
            Verb::RollBack { to } => self.asked_back(*to, request, seen),
            Verb::Release { revision, lets_pass } => {
                let granted = lets_pass.as_ref().map(|lets_pass| (lets_pass.allow_deletes, lets_pass.overriding));
                let (allow_deletes, overriding) = granted.unwrap_or_default();
                self.asked_release(*revision, allow_deletes, overriding, request, seen)
            }
            Verb::Suspend { until } => Ok(self.asked_suspend(*until, request, seen)),
            Verb::Resume => Ok(self.asked_resume(seen)),
            Verb::OverwriteDrift => self.asked_to_overwrite(seen),
        };
        let changed = outcome.as_ref().is_ok_and(|(save, _)| save.record != *self);
        let (mut save, accepted, text) = match outcome {
            Ok((save, text)) => {
                let save = if changed { self.noted(save, &text, request, seen) } else { save };
                let text = if changed { text } else { format!("nothing to do: {text}") };
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
        let (tip, view) = match seen.head {
            HeadView::At(tip) => (Some(tip), Some(tip)),
            HeadView::Invalid(tip, _) | HeadView::Retired(tip) | HeadView::Rewound(tip) => (None, Some(tip)),
            HeadView::None(_) => (None, None),
        };
        let about = if let Verb::Release { revision, .. } = verb {
            let permit = if after.permit == self.permit { None } else { after.permit.as_ref().or(self.permit.as_ref()) };
            let mut released = self.rejected.iter().rev().filter(|rejection| after.rejection(rejection.digest).is_none());
            let retried = tip.filter(|tip| {
                let digest = seen.books.desired(*tip).map(DesiredState::revision_digest);
                self.refused.as_ref().is_some_and(|refused| after.refused.is_none() && Some(refused.digest) == digest)
            });
            let named = permit.map(|permit| permit.revision).or(*revision);
            named.or_else(|| released.next().map(|rejection| rejection.revision)).or(retried)
        } else {
            None
        };
        about.or(self.goal.as_ref().map(|goal| goal.revision)).or(view)
    }

    fn asked_back(&self, to: Option<Revision>, request: &Request, seen: &Observation<'_>) -> Result<(Save, String), String> {
        let goal = self.goal.as_ref().ok_or("nothing was ever applied here")?;
        let to = to.or_else(|| self.way_back()).ok_or_else(|| self.no_way_back(goal))?;
        let desired = seen.books.desired(to).ok_or_else(|| seen.books.why_unknown(to))?;
        let digest = desired.revision_digest();
        if digest == goal.digest {
            return Ok((Save::of(self.clone()), self.there_already(to)));
        }
        if let Some(rejection) = self.rejection(digest) {
            return Err(format!("{} is rejected: {}; release it first", to.short(), rejection.reason));
        }
        // The guard lets every rollback pass, so only what was proven here may be gone back to (rule G2).
        if !self.is_proven(digest) && self.last_good.as_ref().is_none_or(|good| good.digest != digest) {
            let proven: Vec<String> = self.proven.iter().rev().take(3).map(|proof| proof.revision.short()).collect();
            return Err(format!("{} was never proven here; proven last: {}", to.short(), proven.join(", ")));
        }
        let because = format!("rolled back by {}: {}", request.by, request.reason);
        let mut before = self.clone();
        if let Some(failing) = self.failing_on_last_good(seen) {
            before.baseline = failing;
        }
        let mut rejected = self.pin.as_ref().map_or_else(BTreeSet::new, |pin| pin.rejected.clone());
        // What its checks have rejected already is rejected for their reason, which no `resume` takes back.
        if self.rejection(goal.digest).is_none() {
            before.reject(goal, &because, seen);
            rejected.insert(goal.digest);
        }
        rejected.retain(|digest| before.rejection(*digest).is_some());
        // What a person rejects is no place to go back to later.
        if before.last_good.as_ref().is_some_and(|good| good.digest == goal.digest) {
            before.last_good = before.newest_proof(seen);
        }
        let mut pinned: BTreeSet<_> = [goal.digest].into();
        if let HeadView::At(tip) = seen.head {
            pinned.extend(seen.books.desired(tip).map(DesiredState::revision_digest));
        }
        pinned.remove(&digest);
        let closed = before.close_open_lines(Outcome::RolledBack, &because, seen.now);
        let plan = before.plan(Intent::RollBack, to, desired, before.next_generation(seen), seen);
        let tip = self.believed_tip(seen, goal);
        let (by, reason) = (request.by.clone(), request.reason.clone());
        let aim = Aim { intent: Intent::RollBack, revision: to, tip, by: by.clone(), because: reason.clone() };
        let mut save = before.begin(aim, desired, &plan, seen.now).with_lines(closed);
        save.record.pin = Some(Pin { seen: pinned, rejected, by, reason, at: seen.now });
        Ok((save, format!("rolling back from {} to {}", goal.revision.short(), to.short())))
    }

    /// Why there is nowhere to go back to, and what to do about it.
    fn no_way_back(&self, goal: &Reached) -> String {
        let (name, short) = (&self.identity.environment, goal.revision.short());
        if !self.is_proven(goal.digest) {
            return format!(
                "it is on {short}, and nothing was proven here yet: commit a fix, or take the change back with `git revert`"
            );
        }
        let resume =
            if self.pin.is_some() { format!(", or follow the branch again: `lockstep resume {name}`") } else { String::new() };
        format!(
            "it is on {short}, and nothing older that was proven here is left to go back to; `lockstep history {name}` shows what \
             was tried. To leave {short}, commit a change or a `git revert`{resume}"
        )
    }

    /// The environment is where a person wants it; whether it stays there is said too.
    fn there_already(&self, to: Revision) -> String {
        let short = to.short();
        let stays =
            if self.pin.is_some() { "and stays there" } else { "and follows the branch: `lockstep suspend` keeps it there" };
        format!("it is on {short} already, {stays}")
    }

    /// The newest revision that is still taken for proven and that the mirror has.
    fn newest_proof(&self, seen: &Observation<'_>) -> Option<Reached> {
        self.proven.iter().rev().find_map(|proof| {
            let desired = seen.books.desired(proof.revision)?;
            Some(Reached {
                revision: proof.revision,
                tip: proof.revision,
                state: desired.state_digest(),
                digest: proof.digest,
                generation: self.generation,
                rules: proof.revision,
            })
        })
    }

    /// Last good; when that is where the environment is, the newest other revision that was proven.
    fn way_back(&self) -> Option<Revision> {
        let goal = self.goal.as_ref()?;
        let good = self.last_good.as_ref().filter(|good| good.digest != goal.digest).map(|good| good.revision);
        good.or_else(|| self.proven.iter().rev().find(|proof| proof.digest != goal.digest).map(|proof| proof.revision))
    }

    fn asked_release(
        &self,
        revision: Option<Revision>,
        allow_deletes: Option<u32>,
        overriding: bool,
        request: &Request,
        seen: &Observation<'_>,
    ) -> Result<(Save, String), String> {
        let mut record = self.clone();
        let mut done = Vec::new();
        // To let the head delete more says nothing of what its checks rejected, nor of a freeze.
        let only_allows = allow_deletes.is_some() && !overriding && revision.is_none();
        if let Some(revision) = revision {
            let before = record.rejected.len();
            record.rejected.retain(|rejection| rejection.revision != revision);
            if record.rejected.len() < before {
                done.push(format!("released {}", revision.short()));
            }
        } else if !only_allows {
            if !record.rejected.is_empty() {
                let revisions = record.rejected.iter().map(|rejection| rejection.revision.short());
                done.push(format!("released {}", listed(revisions)));
                record.rejected.clear();
            }
            if record.phase == Phase::Frozen {
                record = record.unfrozen(&request.by);
                done.push("ended the freeze".to_owned());
            }
        }
        if !only_allows && record.refused.take().is_some() {
            done.push("the refused revision is tried again".to_owned());
        }
        if allow_deletes.is_some() || overriding {
            done.extend(record.permit_the_head(allow_deletes, overriding, request, seen)?);
        }
        if done.is_empty() {
            done.push(match revision {
                _ if only_allows => "nothing was allowed beyond the limits".to_owned(),
                None => "nothing is rejected, refused or frozen here".to_owned(),
                Some(revision) => format!("{} is not rejected here", revision.short()),
            });
        }
        Ok((Save::of(record), done.join("; ")))
    }

    /// Lets the head pass what the guard has against it, this head and no other, and says so. A head that says something else
    /// than the commit that was meant is not let pass: whoever asked has not seen it.
    fn permit_the_head(
        &mut self,
        allow_deletes: Option<u32>,
        overriding: bool,
        request: &Request,
        seen: &Observation<'_>,
    ) -> Result<Vec<String>, String> {
        let HeadView::At(tip) = seen.head else {
            return Err("the branch has no head that could be let pass; `lockstep status` says why".to_owned());
        };
        let desired = seen.books.desired(tip).ok_or_else(|| seen.books.why_unknown(tip))?;
        let (short, digest) = (tip.short(), desired.revision_digest());
        if let Some(meant) = request.verb.lets_pass().filter(|meant| *meant != tip) {
            let (name, meant_short) = (&self.identity.environment, meant.short());
            let Some(other) = seen.books.desired(meant) else {
                return Err(format!(
                    "{meant_short} was to be let pass, and the branch is at {short} for whoever leads, where {meant_short} can't be \
                     read; ask again when `lockstep status {name}` shows {meant_short} as the head"
                ));
            };
            if other.revision_digest() != digest {
                return Err(format!(
                    "{meant_short} was to be let pass, and the branch is at {short}, which says something else here; look at it with \
                     `lockstep plan {name}`, and ask again if {short} may pass"
                ));
            }
        }
        if self.goal.as_ref().is_some_and(|goal| goal.digest == digest) {
            return Err(format!(
                "{short} changes nothing here, so there is nothing to allow; ask again when the change is on the branch"
            ));
        }
        let grant = Grant { by: request.by.clone(), reason: request.reason.clone(), at: seen.now };
        let before = self.permit_for(digest).cloned();
        let mut permit = before.unwrap_or(Permit { revision: tip, digest, deletes: None, every_gate: None });
        let mut done = Vec::new();
        if let Some(deletes) = allow_deletes {
            let allowance = NonZeroU32::new(deletes).map(|count| Allowance { count, grant: grant.clone() });
            match (&permit.deletes, &allowance) {
                (_, Some(_)) => done.push(format!("{short} may delete {} more", count(deletes, "key"))),
                (Some(_), None) => done.push(format!("{short} keeps to the limits again")),
                (None, None) => {}
            }
            permit.deletes = allowance;
        }
        if overriding {
            permit.every_gate = Some(grant);
            done.push(format!("{short} passes every gate"));
        }
        if !done.is_empty() {
            self.permit = Some(Permit { revision: tip, ..permit }).filter(Permit::grants);
        }
        Ok(done)
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
        match self.judge_head(seen) {
            Judgement::NotFollowed(note) => Some(format!("the head is still not followed: {}", note.text)),
            Judgement::Candidate(_) if self.is_suspended(seen.now) => Some(stopped()),
            Judgement::InStep | Judgement::Candidate(_) => None,
        }
    }

    /// Whether the head is another one by now than the one that a person let pass, or is what the environment is on.
    pub(super) fn has_outlived_its_permit(&self, seen: &Observation<'_>) -> bool {
        let (Some(permit), HeadView::At(tip)) = (&self.permit, &seen.head) else { return false };
        let in_step = self.goal.as_ref().is_some_and(|goal| goal.digest == permit.digest);
        in_step || seen.books.desired(*tip).is_some_and(|desired| desired.revision_digest() != permit.digest)
    }

    fn asked_suspend(&self, until: Option<Timestamp>, request: &Request, seen: &Observation<'_>) -> (Save, String) {
        let suspension = Suspension { until, by: request.by.clone(), reason: request.reason.clone(), at: seen.now };
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
        let record = Self { suspension: None, drift: Drift::default(), ..self.clone() };
        (Save::of(record), format!("resumed{still}"))
    }

    /// Follows the branch again: what a rollback rejected is no more rejected, since that was to stay away from it.
    fn asked_unpin(&self) -> (Save, String) {
        let Some(pin) = &self.pin else {
            return (Save::of(self.clone()), "it is neither suspended nor pinned".to_owned());
        };
        let mut record = Self { pin: None, drift: Drift::default(), ..self.clone() };
        let taken_back = |rejection: &Rejection| pin.rejected.contains(&rejection.digest);
        record.rejected.retain(|rejection| !taken_back(rejection));
        let again: Vec<String> = self
            .rejected
            .iter()
            .filter(|rejection| taken_back(rejection))
            .map(|rejection| rejection.revision.short())
            .collect();
        let text = "unpinned".to_owned();
        let text = if again.is_empty() { text } else { format!("{text}; {} may be tried again", listed(again.into_iter())) };
        (Save::of(record), text)
    }
}
