//! What a forge shows of each commit.

use lockstep::domain::commit_status::{Posted, StatusContext, StatusState, commit_statuses};
use lockstep::domain::plan::Intent;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{HistoryLine, Rollout};

use super::{KEPT, World};

/// So many texts of one state are written without a pause.
const REWORDINGS: u32 = 3;

/// The newest status of one context at a commit.
#[derive(Debug, Clone)]
pub(crate) struct Stands {
    pub(crate) posted: Posted,
    /// The replica and its start that wrote it.
    pub(crate) by: (usize, u64),
    /// Whoever wrote it knows that it did.
    pub(crate) is_known: bool,
    /// How often the state that it has was given another text.
    pub(crate) reworded: u32,
}

impl World {
    /// A status is written.
    pub(crate) fn posted(&mut self, revision: Revision, context: &StatusContext, posted: &Posted, by: (usize, u64)) {
        let short = revision.short();
        let said = posted.state.map_or("", StatusState::word);
        self.note(format!("status {context} of {short} by {}: {said}: {}", by.0, posted.text));
        let before = self.statuses.get(&(revision, context.clone()));
        match before {
            Some(before) if before.posted == *posted && before.by == by && before.is_known => {
                self.violated(format!("a status was written twice: {context} of {short}: {said}: {}", posted.text));
            }
            Some(before) if before.by != by => self.reached("a status that another process left"),
            Some(_) | None => {}
        }
        match posted.state {
            Some(StatusState::Failure) if posted.text.starts_with("rolled back") => self.reached("a status of a rollback"),
            Some(StatusState::Error) if posted.text.starts_with("superseded by a newer") => {
                self.reached("a status that nobody spoke of any more");
            }
            _ => {}
        }
        let same = self.statuses.get(&(revision, context.clone())).filter(|before| before.posted.state == posted.state);
        let reworded = same.map_or(0, |before| before.reworded + 1);
        let stands = Stands { posted: posted.clone(), by, is_known: false, reworded };
        self.statuses.insert((revision, context.clone()), stands);
    }

    /// Once nothing disturbs anybody any more, the forge shows what the record says, and nothing is left pending.
    pub(crate) fn statuses_are_true(&mut self, record: &Rollout) {
        let context = StatusContext::of(&record.identity.environment);
        // Forgetting leaves old lines whose numbers live keys carry: only the newest follow each other.
        let skipped = self.store.history.len().saturating_sub(KEPT.lines);
        let lines: Vec<HistoryLine> = self.store.history.values().skip(skipped).cloned().collect();
        let expected = commit_statuses(record, &lines, None);
        let mut wrong = Vec::new();
        for (revision, status) in &expected {
            let stands = self.statuses.get(&(*revision, context.clone()));
            let says_it = stands.is_some_and(|stands| {
                // Another text alone waits, once there were some; a success is a success however it is worded.
                let may_differ = status.state == StatusState::Success || stands.reworded >= REWORDINGS;
                stands.posted.state == Some(status.state) && (may_differ || stands.posted.text == status.text)
            });
            // What the last leader had on its way when the target was restored may arrive after its successor's word.
            let leader = self.lease.as_ref().map(|session| session.replica);
            let is_late = self.restored_at != 0 && stands.is_some_and(|stands| Some(stands.by.0) != leader);
            if !says_it && !is_late {
                wrong.push(format!("{}: {stands:?}, not {}: {}", revision.short(), status.state.word(), status.text));
            }
        }
        // Whoever leads next looks at the lines that are left of history, and at what the branch has since the first of them.
        let oldest = lines.iter().find(|line| matches!(line.intent, Intent::Advance | Intent::RollBack));
        let oldest = oldest.map(|line| line.from.unwrap_or(line.revision));
        let is_looked_at = |revision: Revision| {
            let is_in_branch = self.origin.tip.is_some_and(|tip| self.origin.descends(tip, revision));
            let is_newer = oldest.is_some_and(|oldest| oldest != revision && self.origin.descends(revision, oldest));
            is_in_branch && is_newer || lines.iter().any(|line| line.revision == revision)
        };
        for ((revision, of), stands) in &self.statuses {
            let is_pending = stands.posted.state == Some(StatusState::Pending) && *of == context;
            if is_pending && is_looked_at(*revision) && !expected.contains_key(revision) {
                wrong.push(format!("{} is left pending: {}", revision.short(), stands.posted.text));
            }
        }
        for text in wrong {
            self.violated(format!("liveness: status {text}"));
        }
    }
}
