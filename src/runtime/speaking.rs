//! What the leader of an environment has to say of its commits, put down for a forge after each move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::keeper::Keeper;
use super::memory::Memory;
use super::pass::Passed;
use super::reports::{Says, Speaker};
use crate::domain::commit_status::{StatusContext, commit_statuses};
use crate::domain::plan::Intent;
use crate::domain::revision::Revision;
use crate::domain::rollout::{HistoryLine, Rollout};
use crate::port::{EdgeError, Probe, Scheduler, Source, Target, Tip};

/// So many of the newest lines of history are read when a term begins.
const READ: usize = 60;
/// So many of them, the newest that took the environment somewhere, say what became of a commit.
const LINES: usize = 20;
/// So many of the newest commits may have something pending of which the record knows nothing any more.
const DOUBTFUL: usize = 40;

/// What one term has to say.
pub(super) struct Speech<'s> {
    speaker: &'s Speaker,
    context: StatusContext,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Advances and rollbacks, oldest first.
    lines: Vec<HistoryLine>,
    doubtful: BTreeSet<Revision>,
    /// The head that says what the goal says.
    in_step: Option<Revision>,
    /// The record that was said of last.
    said_of: Option<Rollout>,
}

impl<'s> Speech<'s> {
    /// What a term begins with: what history says, and what an earlier leader may have left pending. None where nobody listens.
    pub(super) async fn begin<S: Source, T: Target, P: Probe + 'static, R: Scheduler>(
        keeper: &'s Keeper<S, T, P, R>,
    ) -> Option<Self> {
        let speaker = keeper.speaker.as_ref()?;
        let mut inner = Inner::default();
        if speaker.says != Says::Nothing
            && let Err(error) = inner.look_back(&keeper.source, &*keeper.target).await
        {
            // What is said from now on does not need it.
            tracing::debug!(environment = %keeper.environment, error = error.chain(), "earlier commits' statuses are left as they are");
        }
        Some(Self { speaker, context: StatusContext::of(&keeper.environment), inner: Mutex::new(inner) })
    }

    /// An attempt begins: said before its first write.
    pub(super) fn announce(&self, record: &Rollout, line: &HistoryLine) {
        let mut inner = self.inner();
        inner.learn(line);
        self.put_down(&mut inner, record);
    }

    /// What a pass came to.
    pub(super) async fn say<S: Source, T: Target>(
        &self,
        outcome: &Result<Passed, EdgeError>,
        memory: &mut Memory,
        source: &S,
        target: &T,
    ) {
        let Some(record) = memory.stored().map(|stored| stored.record.clone()) else { return };
        let in_step = if self.speaker.says == Says::EveryCommit { memory.head_in_step(&record, source).await } else { None };
        if let Ok(Passed::Moved(done)) = outcome {
            let mut inner = self.inner();
            done.lines.iter().for_each(|line| inner.learn(line));
        }
        let (is_new, misses) = {
            let inner = self.inner();
            (inner.said_of.as_ref() != Some(&record) || inner.in_step != in_step, inner.misses_an_end(&record))
        };
        if !is_new {
            return;
        }
        // Once for each record: an end that is not in history either is lost for good.
        let lines = if misses { target.history(READ).await.unwrap_or_default() } else { Vec::new() };
        let mut inner = self.inner();
        lines.iter().rev().for_each(|line| inner.learn(line));
        inner.in_step = in_step;
        self.put_down(&mut inner, &record);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_down(&self, inner: &mut Inner, record: &Rollout) {
        let statuses = match self.speaker.says {
            Says::Nothing => BTreeMap::new(),
            Says::Changes | Says::EveryCommit => commit_statuses(record, &inner.lines, inner.in_step),
        };
        if inner.said_of.replace(record.clone()).is_some() {
            self.speaker.reports.tell(&self.context, statuses);
        } else {
            self.speaker.reports.begin(&self.context, statuses, std::mem::take(&mut inner.doubtful));
        }
    }
}

impl Inner {
    async fn look_back<S: Source, T: Target>(&mut self, source: &S, target: &T) -> Result<(), EdgeError> {
        target.history(READ).await?.iter().rev().for_each(|line| self.learn(line));
        self.doubtful.extend(self.lines.iter().map(|line| line.revision));
        let Tip::At(tip) = source.head().await?.tip else { return Ok(()) };
        let oldest = self.lines.first().map(|line| line.from.unwrap_or(line.revision));
        if let Some(since) = oldest.filter(|since| *since != tip) {
            let commits = source.commits(Some(since), tip).await?;
            self.doubtful.extend(commits.iter().take(DOUBTFUL).map(|commit| commit.revision));
        }
        Ok(())
    }

    /// Whether the end of an earlier attempt was not learnt: the answer to the write that closed it was lost.
    fn misses_an_end(&self, record: &Rollout) -> bool {
        let current = record.attempt.as_ref().map(|attempt| attempt.line.generation);
        self.lines.iter().any(|line| line.closed.is_none() && Some(line.generation) != current)
    }

    /// Keeps a line, in place of what was known of its attempt.
    fn learn(&mut self, line: &HistoryLine) {
        if !matches!(line.intent, Intent::Advance | Intent::RollBack) {
            return;
        }
        match self.lines.binary_search_by_key(&line.generation, |known| known.generation) {
            Ok(at) => self.lines[at].clone_from(line),
            Err(at) => self.lines.insert(at, line.clone()),
        }
        let surplus = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..surplus);
    }
}
