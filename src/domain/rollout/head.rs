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
use crate::domain::plan::{Intent, Plan};
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

/// Why a candidate is not gone to now.
pub(super) enum Hindrance {
    /// The last failure asks for patience.
    Wait(Step),
    /// It is refused for as long as somebody else keeps writing its keys.
    Note(HeadNote),
    /// It was denied: the record that remembers so.
    Refused(Box<Rollout>),
}

/// What a revision would do to an environment now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// What would be written; of a revision that the environment is on already: its repair.
    pub plan: Plan,
    /// Why it would not be written as it is.
    pub hindrance: Option<HeadNote>,
    /// The environment's goal says the same.
    pub in_step: bool,
    /// Limits that the revision loosens: what they were and what they will be. They count from the revision after it (rule G4).
    pub loosened: Vec<String>,
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
            HeadView::Retired(tip) => {
                let text =
                    format!("{} has no environment {}; nothing is written or deleted", tip.short(), self.identity.environment);
                return note(Some(*tip), HeadVerdict::Retired, text);
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

    /// The plan to a candidate, if the guard lets it pass.
    pub(super) fn plan_advance(&self, candidate: &Candidate<'_>, seen: &Observation<'_>) -> Result<Plan, HeadNote> {
        let (plan, refusal) = self.weigh(candidate, seen);
        refusal.map_or(Ok(plan), Err)
    }

    /// The plan to a candidate, and what the guard has against it.
    fn weigh(&self, candidate: &Candidate<'_>, seen: &Observation<'_>) -> (Plan, Option<HeadNote>) {
        let plan = self.plan(Intent::Advance, candidate.tip, candidate.desired, self.next_generation(seen), seen);
        let complete = self.complete.as_ref().and_then(|reached| seen.books.of(reached));
        let digest = candidate.desired.revision_digest();
        let permit = self.permit_for(digest);
        let around = Circumstances {
            desired: candidate.desired,
            complete,
            last_good: self.last_good.as_ref().and_then(|reached| seen.books.of(reached)),
            base_is_lost: self.last_good.as_ref().or(self.complete.as_ref()).is_some_and(|base| seen.books.of(base).is_none()),
            proven: self.is_proven(digest),
            commits: self.complete.as_ref().map_or(&[], |reached| seen.books.after(reached.revision, candidate.tip)),
            allowed_deletes: permit.map_or(0, Permit::allowed_deletes),
            overridden: permit.is_some_and(|permit| permit.every_gate.is_some()),
        };
        let refusal = guard(&plan, &around).err().map(|Refusal(text)| HeadNote {
            revision: Some(candidate.tip),
            verdict: HeadVerdict::Refused,
            text,
        });
        (plan, refusal)
    }

    /// What would be written if `revision` were the branch head, and what stands against it: for showing, not for doing.
    ///
    /// `seen.head` must say that the head is at `revision`, and `seen.books` must hold what a decision about it needs. The
    /// same judgement, plan and guard as in [`Rollout::decide`] speak here, so that what is shown is what will be done.
    #[must_use]
    pub fn preview(&self, revision: Revision, desired: &DesiredState, seen: &Observation<'_>) -> Preview {
        let loosened = self.loosened(desired, seen);
        let suspended = || self.is_suspended(seen.now).then(|| self.suspended_note(revision));
        match self.judge_head(seen) {
            Judgement::InStep => {
                // An attempt that is not over goes on as what it is; its keys are repaired only afterwards.
                let open = self.attempt.as_ref().filter(|attempt| attempt.line.closed.is_none() && attempt.applied.is_none());
                let intent = open.map_or(Intent::Repair, |attempt| attempt.line.intent);
                let leave = self.repairs.waiting(seen.now).filter(|_| intent == Intent::Repair).collect();
                let mut plan = self.plan_leaving(&leave, intent, revision, desired, self.next_generation(seen), seen);
                for obstacle in &mut plan.obstacles {
                    if let Some(fight) = self.repairs.contested.get(&obstacle.key).filter(|_| leave.contains(&obstacle.key)) {
                        obstacle.why = fight.said();
                    }
                }
                Preview { plan, hindrance: suspended(), in_step: true, loosened }
            }
            Judgement::NotFollowed(note) => {
                let (plan, _) = self.weigh(&Candidate { tip: revision, desired, retried: false }, seen);
                Preview { plan, hindrance: Some(note), in_step: false, loosened }
            }
            Judgement::Candidate(candidate) => {
                let (plan, refusal) = self.weigh(&candidate, seen);
                Preview { plan, hindrance: refusal.or_else(suspended), in_step: false, loosened }
            }
        }
    }

    /// The limits that a revision loosens, in words.
    fn loosened(&self, desired: &DesiredState, seen: &Observation<'_>) -> Vec<String> {
        let Some(live) = self.complete.as_ref().and_then(|reached| seen.books.of(reached)) else { return Vec::new() };
        let (now, new) = (&live.environment().policy.deletes, &desired.environment().policy.deletes);
        [("deletes.at_most", now.at_most, new.at_most), ("deletes.at_most_percent", now.at_most_percent, new.at_most_percent)]
            .iter()
            .filter(|(_, now, new)| new > now)
            .map(|(limit, now, new)| format!("{limit} is loosened from {now} to {new}; that counts from the next revision on"))
            .collect()
    }

    /// What the last failure says against advancing now, although the guard has nothing against it.
    pub(super) fn hindrance(&self, desired: &DesiredState, tip: Revision, seen: &Observation<'_>) -> Option<Hindrance> {
        let trouble = seen.trouble?;
        if let Some(denied) = seen.denied(Intent::Advance, tip) {
            let refused = denied.refusal(desired.revision_digest(), seen.rights);
            return Some(Hindrance::Refused(Box::new(Self { refused: Some(refused), ..self.clone() })));
        }
        let wait = seen.backing_off()?;
        let fought_over = trouble.kind == TroubleKind::Conflict && trouble.revision == tip;
        if fought_over && seen.now.since(trouble.since) >= desired.environment().policy.rollout.apply_deadline {
            let note = HeadNote { revision: Some(tip), verdict: HeadVerdict::Refused, text: trouble.text.clone() };
            return Some(Hindrance::Note(note));
        }
        Some(Hindrance::Wait(wait))
    }

    /// Whether a commit after the freeze ends it (rule R6).
    pub(super) fn released_by_commit<'a>(&self, seen: &Observation<'a>) -> Option<&'a Commit> {
        let HeadView::At(tip) = seen.head else { return None };
        let frozen = self.frozen_tip?;
        seen.books.after(frozen, tip).iter().find(|commit| commit.releases(&self.identity.environment))
    }

    /// The branch tip as far as it is believed: what a rejection or a freeze remembers.
    #[expect(clippy::unused_self, reason = "it reads as a question about the rollout, like its neighbours")]
    pub(super) fn believed_tip(&self, seen: &Observation<'_>, fallback: &Reached) -> Revision {
        match seen.head {
            HeadView::At(tip) | HeadView::Invalid(tip, _) | HeadView::Retired(tip) => tip,
            HeadView::None(_) | HeadView::Rewound(_) => fallback.tip,
        }
    }
}
