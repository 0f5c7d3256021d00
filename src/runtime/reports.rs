//! What a forge is to be told, as it should be now: the loop puts it down here and goes on, and [`super::reporting`] tells it.
//!
//! Only the newest word on each commit is kept, so a forge that is slow or away costs the loop nothing and memory no more than
//! what there is to say. Whoever begins to lead says all of it again: nothing here need outlive the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::commit_status::{CommitStatus, StatusContext};
use crate::domain::revision::Revision;

/// What is to be said under one context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Each commit's status.
    pub statuses: BTreeMap<Revision, CommitStatus>,
    /// Commits on which an earlier leader may have left something pending.
    pub doubtful: BTreeSet<Revision>,
    /// Counts the terms of this process: what was known of the context before this one does not count any more.
    pub term: u64,
    /// Another process speaks under the context now.
    pub is_over: bool,
    /// This process leads, and says nothing of it.
    pub is_mute: bool,
}

impl Said {
    /// Whether what stands under the context is this process's own affair.
    pub(super) const fn counts(&self) -> bool {
        !self.is_over && !self.is_mute
    }
}

/// What is to be said, by context. One for the process, shared.
#[derive(Debug, Default)]
pub struct Reports {
    said: Mutex<BTreeMap<StatusContext, Said>>,
    bell: Notify,
    moves: Notify,
}

/// Of which commits something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Of those that change an environment (rule R3).
    Changes,
    /// Of a head that changes nothing, too: for repositories that require a status of every commit.
    EveryCommit,
    /// Of none: only who leads is known here.
    Nothing,
}

/// Where leaders put down what they have to say.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// What a forge is to be told.
    pub reports: Arc<Reports>,
    /// Of which commits.
    pub says: Says,
}

impl Reports {
    /// A term begins: from now on this process alone speaks under the context. What each commit's status should be, and which
    /// others an earlier leader may have left pending.
    pub fn begin(&self, context: &StatusContext, statuses: BTreeMap<Revision, CommitStatus>, doubtful: BTreeSet<Revision>) {
        let mut said = self.said();
        let term = said.get(context).map_or(0, |before| before.term) + 1;
        said.insert(context.clone(), Said { statuses, doubtful, term, is_over: false, is_mute: false });
        self.ring(context);
    }

    /// A term begins of which nothing is said.
    pub fn begin_mute(&self, context: &StatusContext) {
        self.said().insert(context.clone(), Said { is_mute: true, ..Said::default() });
        self.ring(context);
    }

    /// What each commit's status should be, in place of what was said before in this term.
    pub fn tell(&self, context: &StatusContext, statuses: BTreeMap<Revision, CommitStatus>) {
        if let Some(known) = self.said().get_mut(context).filter(|known| !known.is_over && known.statuses != statuses) {
            known.statuses = statuses;
            self.ring(context);
        }
    }

    /// More commits on which an earlier leader may have left something pending.
    pub fn doubt(&self, context: &StatusContext, revisions: impl IntoIterator<Item = Revision>) {
        if let Some(known) = self.said().get_mut(context).filter(|known| known.counts()) {
            known.doubtful.extend(revisions);
        }
        self.bell.notify_one();
    }

    /// The term is over: another process speaks under the context now.
    pub fn end(&self, context: &StatusContext) {
        if let Some(said) = self.said().get_mut(context) {
            *said = Said { term: said.term, is_over: true, ..Said::default() };
            self.ring(context);
        }
    }

    /// Whether this process speaks under the context.
    #[must_use]
    pub fn speaks(&self, context: &StatusContext) -> bool {
        self.said().get(context).is_some_and(|said| !said.is_over)
    }

    /// Waits until an environment moved or a term began or ended; at once if one did since the last time.
    pub(super) async fn moves(&self) {
        self.moves.notified().await;
    }

    /// What is told of plans moves no environment.
    fn ring(&self, context: &StatusContext) {
        self.bell.notify_one();
        if !context.is_plan() {
            self.moves.notify_one();
        }
    }

    /// All of it, as it is now.
    #[must_use]
    pub fn now(&self) -> BTreeMap<StatusContext, Said> {
        self.said().clone()
    }

    /// Waits until something is to be said that was not before; at once if something was since the last time.
    pub(super) async fn news(&self) {
        self.bell.notified().await;
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<StatusContext, Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
