//! Station 6: the rollout, one environment's durable record, and the one step that follows from looking at the world.
//!
//! The record holds everything that a controller must remember; a controller that dies is replaced by another that reads
//! it. [`Rollout`] is plain data here; how it moves is in the files beside this one.

pub mod request;
mod identity;
mod phase;
mod reached;
mod line;
mod note;
mod people;
mod fights;
mod succession;
pub mod record;
pub mod observation;
pub mod retention;
mod head;
mod preview;
mod attempt;
mod adopting;
mod baseline;
mod moves;
mod sampled;
mod repairing;
mod pending;
mod applying;
mod verifying;
mod ailing;
mod resting;
mod asked;
mod awaited;
mod renaming;
mod removal;
mod recovery;

pub use ailing::Ailing;
pub use awaited::Awaited;
pub use fights::{Contested, Drift, Drifted, RepairLog, Sides};
pub use identity::{Identity, TargetId};
pub use line::{Attempt, Closed, HistoryLine, Outcome};
pub use note::{HeadNote, HeadVerdict};
pub use observation::{Books, HeadView, Needed, Observation, Trouble, TroubleKind};
pub use people::{Adoption, Allowance, Grant, Permit, Pin, Suspension};
pub use phase::{Phase, Unproven};
pub use preview::{Preview, Unfinished};
pub use reached::{Proof, Reached, RefusedAttempt, Rejection};
pub use record::Rollout;
pub use recovery::{Marks, Recovery, Remains};
pub use removal::{Farewell, NotRemoved, Removal};
pub use request::{Answer, LetPass, Request, RequestId, Verb};
pub use retention::{Kept, Retention};
pub use sampled::{LogSubject, SampleSubject};
pub use succession::{Former, Formerly};

use std::borrow::Cow;

use super::live::Fence;
use super::plan::Plan;
use super::revision::Generation;

/// What one pass does: exactly one of these (rule R12).
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing to do now; the texts say what is waited for.
    Wait(Waiting),
    /// The record moves; no managed resource is touched.
    Record(Box<Save>),
    /// A plan is written.
    Apply(Box<Apply>),
}

/// What looking after a goal came to.
enum Care {
    /// It needs this.
    Step(Step),
    /// Nothing is to be done now. The repair of all its keys, which is not to be planned again, if it was planned.
    Nothing(Option<Plan>),
}

/// Why nothing is done now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// What is waited for, for people; empty when all is in step.
    pub reason: String,
    /// When a look is worth it even if nothing else happens.
    pub until: Option<super::time::Timestamp>,
    /// Samples will end it: to stop here would be to stop half-way.
    pub sampling: bool,
    /// What is not as it should be meanwhile, of an environment that rests.
    pub ailing: Option<Ailing>,
    /// The environment is retired, and nothing that was begun for it goes on: whatever else there is to look at again, nobody needs
    /// to lead it (rule O9).
    pub retired: bool,
}

/// A move of the record, with the history lines and answers that belong in the same transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Save {
    /// The record as it shall be.
    pub record: Rollout,
    /// The generation that begins with this move: its line is created and must not exist yet, because a number is given
    /// out once. Every other line exists and is closed.
    pub opens: Option<Generation>,
    /// Lines to create or to close.
    pub history: Vec<HistoryLine>,
    /// Requests that this move carries out or refuses.
    pub answers: Vec<Answer>,
}

impl Save {
    /// A move of the record alone.
    #[must_use]
    pub fn of(record: Rollout) -> Self {
        Self { record, opens: None, history: Vec::new(), answers: Vec::new() }
    }

    /// A move that begins this line's generation.
    #[must_use]
    pub fn opening(record: Rollout, line: HistoryLine) -> Self {
        Self { opens: Some(line.generation), history: vec![line], ..Self::of(record) }
    }
}

/// A plan with the record around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    /// The record while the plan is being written; none when the record says so already (an attempt that goes on).
    ///
    /// A target that writes the whole plan in one transaction leaves this record out and takes its history lines and answers.
    pub opening: Option<Save>,
    /// What is written, in order. Its values come from the desired state of `plan.revision`.
    pub plan: Plan,
    /// The record once the whole plan is written.
    pub closing: Save,
}

impl Apply {
    /// The one move of a target that writes the whole plan at once: the closing record, with the lines and answers of both.
    #[must_use]
    pub fn at_once(&self) -> Save {
        let mut save = self.closing.clone();
        if let Some(opening) = &self.opening {
            save.opens = opening.opens;
            let closed: Vec<_> = save.history.iter().map(|line| line.generation).collect();
            save.history.extend(opening.history.iter().filter(|line| !closed.contains(&line.generation)).cloned());
            save.answers.extend(opening.answers.iter().cloned());
        }
        save
    }
}

/// A record as a target holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The record.
    pub record: Rollout,
    /// What the next write of it must name.
    pub fence: Fence,
}

impl Rollout {
    /// Decides the one step that follows from what was seen (rule R12).
    ///
    /// Requests go first, then what the phase asks for. Nothing here depends on how the state was reached: a controller that
    /// takes over in the middle decides the same.
    #[must_use]
    pub fn decide(&self, seen: &Observation<'_>) -> Step {
        if seen.restored {
            return self.note_restored(seen);
        }
        if let Some(request) = seen.requests.first() {
            return self.carry_out(request, seen);
        }
        if self.has_outlived_its_permit(seen) {
            return Step::record(Self { permit: None, ..self.clone() });
        }
        if let Cow::Owned(record) = self.as_of(seen.now) {
            return Step::record(record);
        }
        match self.phase {
            Phase::Applying => self.while_applying(seen),
            Phase::Verifying => self.while_verifying(seen),
            Phase::Idle
            | Phase::Steady
            | Phase::HeldAfterRollback
            | Phase::HeldUnproven
            | Phase::HeldRefused
            | Phase::Frozen => self.while_resting(seen),
        }
    }
}

impl Step {
    fn record(record: Rollout) -> Self {
        Self::Record(Box::new(Save::of(record)))
    }

    fn wait(reason: impl Into<String>, until: Option<super::time::Timestamp>) -> Self {
        Self::Wait(Waiting { reason: reason.into(), until, ..Waiting::default() })
    }
}

#[cfg(test)]
pub(crate) mod tests;
