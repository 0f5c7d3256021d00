//! What the leader of an environment has to say of its commits, put down for a forge after each move.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::keeper::Keeper;
use super::memory::Memory;
use super::pass::Passed;
use super::reports::{Says, Speaker};
use crate::domain::commit_status::{StatusContext, commit_statuses};
use crate::domain::plan::Intent;
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{Closed, HistoryLine, Outcome, Rollout};
use crate::port::{EdgeError, Probe, Scheduler, Source, Target, Tip};

/// So many of the newest lines of history are read when a term begins.
const READ: usize = 60;
/// So many of them, the newest that took the environment somewhere, say what became of a commit.
const LINES: usize = 20;
/// So many of the newest commits may have something pending of which the record knows nothing any more.
const DOUBTFUL: usize = 40;
/// So often they are looked for in a term.
const LOOKS: u8 = 2;

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
    /// Lines that are taken for closed until it is known how they were.
    taken: BTreeSet<Generation>,
    /// The oldest commit that history still speaks of.
    since: Option<Revision>,
    /// The head up to which the branch was looked through, and how often it was: whoever takes over may have a mirror that lags.
    looked: (Option<Revision>, u8),
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
        inner.take_for_superseded_by(line);
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
        let (since, mut looked) = {
            let inner = self.inner();
            (inner.since, inner.looked)
        };
        let doubtful = commits_to_doubt(since, &mut looked, source).await.unwrap_or_default();
        let mut inner = self.inner();
        inner.looked = looked;
        lines.iter().rev().for_each(|line| inner.learn(line));
        inner.taken.clear();
        inner.in_step = in_step;
        self.put_down(&mut inner, &record);
        self.speaker.reports.doubt(&self.context, doubtful);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_down(&self, inner: &mut Inner, record: &Rollout) {
        let has_begun = inner.said_of.replace(record.clone()).is_some();
        if self.speaker.says == Says::Nothing {
            if !has_begun {
                self.speaker.reports.begin_mute(&self.context);
            }
            return;
        }
        let statuses = commit_statuses(record, &inner.lines, inner.in_step);
        if has_begun {
            self.speaker.reports.tell(&self.context, statuses);
        } else {
            self.speaker.reports.begin(&self.context, statuses, std::mem::take(&mut inner.doubtful));
        }
    }
}

/// The newest commits of the branch, of which an earlier leader may have left some pending: looked for when a term begins, and at
/// the first head after that.
async fn commits_to_doubt<S: Source>(
    since: Option<Revision>,
    looked: &mut (Option<Revision>, u8),
    source: &S,
) -> Result<Vec<Revision>, EdgeError> {
    let (upto, times) = *looked;
    let (Some(since), true) = (since, times < LOOKS) else { return Ok(Vec::new()) };
    let Tip::At(tip) = source.head().await?.tip else { return Ok(Vec::new()) };
    if tip == since || upto == Some(tip) {
        return Ok(Vec::new());
    }
    let commits = source.commits(Some(since), tip).await?;
    *looked = (Some(tip), times + 1);
    Ok(commits.iter().take(DOUBTFUL).map(|commit| commit.revision).collect())
}

impl Inner {
    async fn look_back<S: Source, T: Target>(&mut self, source: &S, target: &T) -> Result<(), EdgeError> {
        target.history(READ).await?.iter().rev().for_each(|line| self.learn(line));
        self.doubtful.extend(self.lines.iter().map(|line| line.revision));
        self.since = self.lines.first().map(|line| line.from.unwrap_or(line.revision));
        self.doubtful.extend(commits_to_doubt(self.since, &mut self.looked, source).await?);
        Ok(())
    }

    /// What was under way ends with an attempt that begins. How it ended is not known before that is written.
    fn take_for_superseded_by(&mut self, line: &HistoryLine) {
        for before in self.lines.iter_mut().filter(|before| before.closed.is_none() && before.generation < line.generation) {
            let text = format!("superseded by {}", line.revision.short());
            before.closed = Some(Closed { at: line.started, outcome: Outcome::Superseded, text });
            self.taken.insert(before.generation);
        }
    }

    /// Whether the end of an earlier attempt was not learnt: the answer to the write that closed it was lost.
    fn misses_an_end(&self, record: &Rollout) -> bool {
        if !self.taken.is_empty() {
            return true;
        }
        let current = record.attempt.as_ref().map(|attempt| attempt.line.generation);
        self.lines.iter().any(|line| line.closed.is_none() && Some(line.generation) != current)
    }

    /// Keeps a line, in place of what was known of its attempt.
    fn learn(&mut self, line: &HistoryLine) {
        if !matches!(line.intent, Intent::Advance | Intent::RollBack) {
            return;
        }
        self.taken.remove(&line.generation);
        match self.lines.binary_search_by_key(&line.generation, |known| known.generation) {
            Ok(at) => self.lines[at].clone_from(line),
            Err(at) => self.lines.insert(at, line.clone()),
        }
        let surplus = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..surplus);
    }
}
