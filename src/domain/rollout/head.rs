//! What the branch head is to an environment: in step, a candidate, or something that is not followed and why.

use super::Step;
use super::note::{HeadNote, HeadVerdict};
use super::observation::{HeadView, Observation, TroubleKind};
use super::people::Permit;
use super::phase::Phase;
use super::reached::Reached;
use super::record::Rollout;
use crate::domain::commit::Commit;
use crate::domain::desired::DesiredState;
use crate::domain::guard::{Circumstances, Refusal, guard};
use crate::domain::plan::{Action, Intent, Plan};
use crate::domain::revision::{Revision, RevisionDigest};

/// A head that the environment could go to.
pub(super) struct Candidate<'a> {
    pub(super) tip: Revision,
    pub(super) desired: &'a DesiredState,
    /// Its digest was rejected here and a newer commit asks to try again (rule R2).
    pub(super) retried: bool,
}

/// What the head is.
pub(super) enum Judgement<'a> {
    /// It says what the goal says.
    InStep,
    /// It says something else, and nothing but the guard stands against it.
    Candidate(Candidate<'a>),
    /// It is not followed.
    NotFollowed(HeadNote),
}

/// What comes of the head while nothing stands in the way but what a decision about it finds.
pub(super) enum Outlook<'a> {
    /// It says what the goal says.
    InStep,
    /// It is not followed.
    NotFollowed(HeadNote),
    /// The last failure asks for patience.
    Waits(Step),
    /// It was denied: the record that remembers so.
    Denied(Box<Rollout>),
    /// It is gone to, with this plan.
    Followed(Candidate<'a>, Plan),
}

impl Rollout {
    /// Judges the head against the record (rules S1, G3, R2, R3, R6, R11); the guard comes later, with the plan.
    pub(super) fn judge_head<'a>(&self, seen: &Observation<'a>) -> Judgement<'a> {
        let note = |revision, verdict, text: String| Judgement::NotFollowed(HeadNote { revision, verdict, text });
        let tip = match &seen.head {
            HeadView::None(text) => return note(None, HeadVerdict::NotBelieved, text.clone()),
            HeadView::Rewound(tip) => {
                let text = format!(
                    "the branch went to {}, which does not contain the commit followed so far; it is believed when the next fetch agrees",
                    tip.short()
                );
                return note(Some(*tip), HeadVerdict::NotBelieved, text);
            }
            HeadView::Invalid(tip, text) => return note(Some(*tip), HeadVerdict::Invalid, text.clone()),
            HeadView::Unfit(tip, text) => return note(Some(*tip), HeadVerdict::Refused, text.clone()),
            HeadView::Retired(tip) => {
                return note(Some(*tip), HeadVerdict::Retired, self.retired_at(*tip));
            }
            HeadView::At(tip) => *tip,
        };
        let Some(desired) = seen.books.desired(tip) else {
            return note(Some(tip), HeadVerdict::NotBelieved, format!("{} is not in the mirror yet", tip.short()));
        };
        let digest = desired.revision_digest();
        if self.is_in_step_with(digest) {
            return Judgement::InStep;
        }
        let name = &self.identity.environment;
        if self.phase == Phase::Frozen {
            let text = format!(
                "waiting, frozen: run `lockstep release {name}`, or give a commit the trailer `Lockstep-Release: {name}`"
            );
            return note(Some(tip), HeadVerdict::Frozen, text);
        }
        if let Some(pin) = self.pin.as_ref().filter(|pin| pin.seen.contains(&digest)) {
            // Resuming takes back what going back rejected, and nothing else.
            let stays = self.rejection(digest).is_some() && !pin.rejected.contains(&digest);
            let also = if stays { format!(" with `lockstep release {name}`") } else { String::new() };
            let text = format!(
                "pinned by a rollback of {} ({}); a newer change or `lockstep resume {name}`{also} moves on",
                pin.by, pin.reason
            );
            return note(Some(tip), HeadVerdict::Pinned, text);
        }
        let retried = match self.rejection(digest) {
            None => false,
            Some(rejection) if seen.books.after(rejection.tip, tip).iter().any(|commit| commit.retries(name)) => true,
            Some(rejection) => {
                let text = format!(
                    "rejected as {}: {}; a newer change, `lockstep release {name}` or the trailer `Lockstep-Retry: {name}` moves on",
                    rejection.revision.short(),
                    rejection.reason
                );
                return note(Some(tip), HeadVerdict::Rejected, text);
            }
        };
        if let Some(refused) = self.refused.as_ref().filter(|refused| refused.digest == digest && refused.stands(seen)) {
            return note(Some(tip), HeadVerdict::Refused, refused.text.clone());
        }
        Judgement::Candidate(Candidate { tip, desired, retried })
    }

    /// Whether a revision with this digest says what the goal says: as the head it changes nothing here (rule R3).
    #[must_use]
    pub fn is_in_step_with(&self, digest: RevisionDigest) -> bool {
        self.goal.as_ref().is_some_and(|goal| goal.digest == digest)
    }

    /// What comes of the head now: judged, planned, guarded, and with the last failure in mind.
    pub(super) fn outlook<'a>(&self, seen: &Observation<'a>) -> Outlook<'a> {
        let candidate = match self.judge_head(seen) {
            Judgement::InStep => return Outlook::InStep,
            Judgement::NotFollowed(note) => return Outlook::NotFollowed(note),
            Judgement::Candidate(candidate) => candidate,
        };
        if self.is_suspended(seen.now) {
            return Outlook::NotFollowed(self.suspended_note(candidate.tip));
        }
        match self.plan_advance(&candidate, seen) {
            Err(refusal) => Outlook::NotFollowed(refusal),
            Ok(plan) => self.hindrance(candidate.desired, candidate.tip, seen).unwrap_or(Outlook::Followed(candidate, plan)),
        }
    }

    /// Why the head is not followed, for the record. While something is under way a head that only waits for its turn has no
    /// note, unless nothing is written for anybody.
    pub(super) fn head_note(&self, seen: &Observation<'_>) -> Option<HeadNote> {
        let writes = !self.is_suspended(seen.now);
        if writes && self.phase == Phase::Applying {
            return None;
        }
        if writes && self.phase == Phase::Verifying {
            return match self.judge_head(seen) {
                Judgement::NotFollowed(note) => self.as_kept(Some(note)),
                Judgement::InStep | Judgement::Candidate(_) => None,
            };
        }
        match self.outlook(seen) {
            Outlook::NotFollowed(note) => self.as_kept(Some(note)),
            Outlook::InStep | Outlook::Waits(_) | Outlook::Denied(_) | Outlook::Followed(..) => None,
        }
    }

    /// The plan to a candidate, if the guard lets it pass.
    pub(super) fn plan_advance(&self, candidate: &Candidate<'_>, seen: &Observation<'_>) -> Result<Plan, HeadNote> {
        let (plan, refusal) = self.weigh(candidate, seen);
        refusal.map_or(Ok(plan), Err)
    }

    /// The plan to a candidate, and what the guard has against it.
    pub(super) fn weigh(&self, candidate: &Candidate<'_>, seen: &Observation<'_>) -> (Plan, Option<HeadNote>) {
        let plan = self.plan(Intent::Advance, candidate.tip, candidate.desired, self.next_generation(seen), seen);
        let permit = self.permit_for(candidate.desired.revision_digest());
        let around = self.circumstances(candidate, permit, seen);
        let refusal = guard(&plan, &around).err().map(|Refusal(text)| HeadNote {
            revision: Some(candidate.tip),
            verdict: HeadVerdict::Refused,
            text,
        });
        (plan, refusal)
    }

    fn circumstances<'s>(
        &self,
        candidate: &Candidate<'s>,
        permit: Option<&Permit>,
        seen: &'s Observation<'_>,
    ) -> Circumstances<'s> {
        let base = self.last_good.as_ref().or(self.complete.as_ref());
        Circumstances {
            desired: candidate.desired,
            complete: self.complete.as_ref().and_then(|reached| seen.books.of(reached)),
            last_good: self.last_good.as_ref().and_then(|reached| seen.books.of(reached)),
            base_is_lost: base.is_some_and(|base| seen.books.of(base).is_none()),
            proven: self.is_proven(candidate.desired.revision_digest()),
            commits: self.commits_to(candidate.tip, seen),
            allowed_deletes: permit.map_or(0, Permit::allowed_deletes),
            overridden: permit.is_some_and(|permit| permit.every_gate.is_some()),
        }
    }

    /// What of a permit let this plan pass: nothing that it would have passed without (rules G1, G4).
    pub(super) fn needed(&self, permit: &Permit, candidate: &Candidate<'_>, plan: &Plan, seen: &Observation<'_>) -> Permit {
        let passes = |permit: Option<&Permit>| guard(plan, &self.circumstances(candidate, permit, seen)).is_ok();
        let by_trailers = self.adopted_by_trailers(candidate.tip, seen);
        let mut adopted = plan.changes.iter().filter(|change| change.action == Action::Adopt);
        let adopts = permit.adopts.clone().filter(|_| adopted.any(|change| !by_trailers.covers(&change.key)));
        let permit = Permit { adopts, ..permit.clone() };
        let allowance = Permit { every_gate: None, ..permit.clone() };
        if passes(None) {
            Permit { deletes: None, ..allowance }
        } else if passes(Some(&allowance)) {
            allowance
        } else {
            Permit { deletes: None, ..permit }
        }
    }

    /// What the last failure says against advancing now, although the guard has nothing against it.
    fn hindrance(&self, desired: &DesiredState, tip: Revision, seen: &Observation<'_>) -> Option<Outlook<'static>> {
        let trouble = seen.trouble?;
        if let Some(denied) = seen.denied(Intent::Advance, tip) {
            let refused = denied.refusal(desired.revision_digest(), seen.rights);
            return Some(Outlook::Denied(Box::new(Self { refused: Some(refused), ..self.clone() })));
        }
        let wait = seen.backing_off()?;
        let fought_over = trouble.kind == TroubleKind::Conflict && trouble.revision == tip;
        if fought_over && seen.now.since(trouble.since) >= desired.environment().policy.rollout.apply_deadline {
            let note = HeadNote { revision: Some(tip), verdict: HeadVerdict::Refused, text: trouble.text.clone() };
            return Some(Outlook::NotFollowed(note));
        }
        Some(Outlook::Waits(wait))
    }

    /// Whether a commit after the freeze ends it (rule R6).
    pub(super) fn released_by_commit<'a>(&self, seen: &Observation<'a>) -> Option<&'a Commit> {
        let HeadView::At(tip) = seen.head else { return None };
        self.unfreezing(|frozen| seen.books.after(frozen, tip))
    }

    /// The commit that ends a freeze, given what came after a commit: one that nobody had seen when it began.
    pub(super) fn unfreezing<'c>(&self, after: impl Fn(Revision) -> &'c [Commit]) -> Option<&'c Commit> {
        let unseen = self.frozen_head.map(&after);
        let is_new = |commit: &Commit| unseen.is_none_or(|unseen| unseen.iter().any(|new| new.revision == commit.revision));
        after(self.frozen_tip?).iter().find(|commit| commit.releases(&self.identity.environment) && is_new(commit))
    }

    /// What is said of a head that does not have the environment (rule O9).
    pub(super) fn retired_at(&self, tip: Revision) -> String {
        format!("{} has no environment {}; nothing is written or deleted", tip.short(), self.identity.environment)
    }

    /// The branch tip as far as it is believed: what a rejection or a freeze remembers.
    #[expect(clippy::unused_self, reason = "it reads as a question about the rollout, like its neighbours")]
    pub(super) fn believed_tip(&self, seen: &Observation<'_>, fallback: &Reached) -> Revision {
        match seen.head {
            HeadView::At(tip) | HeadView::Invalid(tip, _) | HeadView::Retired(tip) | HeadView::Unfit(tip, _) => tip,
            HeadView::None(_) | HeadView::Rewound(_) => fallback.tip,
        }
    }
}
