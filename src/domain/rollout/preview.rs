//! What a revision would do to an environment now, for showing: judged, planned and guarded as a pass would.

use super::head::{Candidate, Judgement};
use super::note::HeadNote;
use super::observation::Observation;
use super::people::Suspension;
use super::phase::Phase;
use super::record::Rollout;
use crate::domain::commit::misread;
use crate::domain::desired::DesiredState;
use crate::domain::plan::{Intent, Plan};
use crate::domain::revision::Revision;

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
    /// Trailers of the commits on the way that say nothing, each with why.
    pub misread: Vec<String>,
    /// What goes on before the revision can be gone to, where that is something else.
    pub first: Option<Unfinished>,
}

/// An attempt whose writes are not over, such as a rollback that waits for `resume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// What it still writes; its revision is the one gone to.
    pub plan: Plan,
    /// Why nothing of it is written now.
    pub waits: Option<String>,
}

impl Rollout {
    /// What would be written if `revision` were the branch head, and what stands against it: for showing, not for doing.
    ///
    /// `seen.head` must say that the head is at `revision`, and `seen.books` must hold what a decision about it needs. The
    /// same judgement, plan and guard as in [`Rollout::decide`] speak here, so that what is shown is what will be done.
    #[must_use]
    pub fn preview(&self, revision: Revision, desired: &DesiredState, seen: &Observation<'_>) -> Preview {
        let loosened = self.loosened(desired, seen);
        let misread = misread(self.commits_to(revision, seen));
        let first = |is_followed| self.unfinished(is_followed, seen);
        let suspended = || self.is_suspended(seen.now).then(|| self.suspended_note(revision));
        match self.judge_head(seen) {
            Judgement::InStep => {
                // An attempt that is not over goes on as what it is; its keys are repaired only afterwards.
                let intent = self.being_written().map_or(Intent::Repair, |attempt| attempt.line.intent);
                let leave = self.repairs.waiting(seen.now).filter(|_| intent == Intent::Repair).collect();
                let mut plan = self.plan_leaving(&leave, intent, revision, desired, self.next_generation(seen), seen);
                for obstacle in &mut plan.obstacles {
                    if let Some(fight) = self.repairs.contested.get(&obstacle.key).filter(|_| leave.contains(&obstacle.key)) {
                        (obstacle.why, obstacle.values) = (fight.said(), String::new());
                    }
                }
                Preview { plan, hindrance: suspended(), in_step: true, loosened, misread, first: None }
            }
            Judgement::NotFollowed(note) => {
                let (plan, _) = self.weigh(&Candidate { tip: revision, desired, retried: false }, seen);
                Preview { plan, hindrance: Some(note), in_step: false, loosened, misread, first: first(false) }
            }
            Judgement::Candidate(candidate) => {
                let (plan, refusal) = self.weigh(&candidate, seen);
                let first = first(refusal.is_none());
                Preview { plan, hindrance: refusal.or_else(suspended), in_step: false, loosened, misread, first }
            }
        }
    }

    /// What goes on first: an advance gives way to a head that is followed, a rollback to none before it is written.
    fn unfinished(&self, is_followed: bool, seen: &Observation<'_>) -> Option<Unfinished> {
        let attempt = self.being_written().filter(|_| self.phase == Phase::Applying)?;
        let (goal, intent) = (self.goal.as_ref()?, attempt.line.intent);
        let desired = seen.books.of(goal).filter(|_| intent == Intent::RollBack || !is_followed)?;
        let plan = self.plan(intent, goal.revision, desired, goal.generation, seen);
        let waits = self.suspension.as_ref().filter(|_| self.is_suspended(seen.now)).map(Suspension::said);
        Some(Unfinished { plan, waits })
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
}
