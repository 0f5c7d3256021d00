//! Going on under another name: the record as it shall be, and the line of history that says so (rule O9).
//!
//! Whatever is under way goes on: its lines were opened under the old name and are closed under the new one. Nothing is
//! written to a key, so every mark stays true.

use super::Save;
use super::line::{Closed, HistoryLine, Outcome};
use super::record::Rollout;
use super::succession::Former;
use crate::domain::name::EnvironmentName;
use crate::domain::plan::{Act, Counts, Intent};
use crate::domain::revision::{Generation, Revision};
use crate::domain::time::Timestamp;

impl Rollout {
    /// How many former names are kept.
    pub const FORMER: usize = 16;

    /// The former name under which a number was given out; none: under the one that it has now.
    #[must_use]
    pub fn formerly_at(&self, generation: Generation) -> Option<&EnvironmentName> {
        self.former.iter().find(|former| generation <= former.until).map(|former| &former.name)
    }

    /// What the environment was called when a number was given out.
    #[must_use]
    pub fn called_at(&self, generation: Generation) -> &EnvironmentName {
        self.formerly_at(generation).unwrap_or(&self.identity.environment)
    }

    /// The record under another name, as the branch head says, above every number that was given out under either name.
    #[must_use]
    pub fn renamed(&self, name: &EnvironmentName, above: Generation, head: Revision, now: Timestamp) -> Save {
        let before = &self.identity.environment;
        let mut record = self.clone();
        record.generation = self.generation.max(above).next();
        record.former.push(Former { name: before.clone(), until: self.generation });
        let surplus = record.former.len().saturating_sub(Self::FORMER);
        record.former.drain(..surplus);
        // Whoever sees a branch from before this head sees a rewind (rule S1): it would take the record back to the old name.
        if let Some(goal) = &mut record.goal {
            goal.tip = head;
        }
        // What was said of the head was said of an environment that it does not have.
        record.note = None;
        let line = HistoryLine {
            generation: record.generation,
            intent: Intent::Act(Act::Rename),
            revision: head,
            from: None,
            by: HistoryLine::LOCKSTEP.to_owned(),
            because: HistoryLine::renames(before, name),
            counts: Counts::default(),
            started: now,
            closed: Some(Closed { at: now, outcome: Outcome::Done, text: String::new() }),
        };
        record.identity.environment = name.clone();
        Save::opening(record, line)
    }
}
