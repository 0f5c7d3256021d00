//! What one process remembers of one environment between passes. All of it can be lost: the next leader starts without.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::ahead::Ahead;
use super::denial::Denial;
use super::reading::{Fit, Reading, Readings};
use crate::domain::desired::DesiredState;
use crate::domain::health::{Finding, HealthLog, Sample};
use crate::domain::live::{Fence, LiveState};
use crate::domain::name::{CheckName, EnvironmentName, KeyPath, RepositoryName};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{HistoryLine, LogSubject, Phase, Reached, Request, Rollout, Stored, Trouble};
use crate::domain::time::Timestamp;
use crate::port::{Source, Tip};

/// What people were told of what ails an environment: each part once, and again only after it was well.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) late: BTreeSet<CheckName>,
    pub(super) drifted: BTreeSet<KeyPath>,
}

/// Caches, samples and the last failure of one environment.
#[derive(Debug)]
pub struct Memory {
    pub(super) readings: Readings,
    pub(super) stored: Option<Stored>,
    pub(super) live: Option<LiveState>,
    /// A managed key may have changed since `live` was seen.
    pub(super) doubtful: bool,
    /// Keys that the look did not show and that were asked about since.
    pub(super) asked: BTreeSet<KeyPath>,
    /// When a look that hides keys is made again: rights change without a sign.
    pub(super) look_again: Option<Timestamp>,
    pub(super) denial: Denial,
    pub(super) requests: Option<Vec<Request>>,
    pub(super) ahead: Ahead,
    /// What is named in the mirror: commits, and last good among them.
    pub(super) kept: Option<(Vec<Revision>, Option<Revision>)>,
    pub(super) health: HealthLog,
    /// What the samples are of.
    pub(super) health_of: Option<LogSubject>,
    pub(super) trouble: Option<Trouble>,
    pub(super) failures: u32,
    /// A move ended something since old history was last forgotten.
    pub(super) untidy: bool,
    /// The highest generation and record fence ever seen: both only grow, unless the target was restored (rule A6).
    pub(super) remembered: Generation,
    pub(super) highest: Fence,
    pub(super) restored: bool,
    /// The goal and generation of the record that was seen last, whatever was forgotten since: what failures are about.
    pub(super) about: Option<(Option<Revision>, Generation)>,
    /// The head that was found not to be in the way of another record.
    pub(super) unrivalled: Option<Revision>,
    /// Which of what ails the environment people were told.
    pub(super) told: Told,
    /// The head whose trailers were looked at last.
    pub(super) trailers_of: Option<Revision>,
    /// The attempt that people were last told of.
    announced: Option<(Generation, Revision)>,
}

impl Memory {
    /// Nothing remembered.
    #[must_use]
    pub fn new(environment: EnvironmentName, repository: RepositoryName, fit: Fit) -> Self {
        Self {
            readings: Readings::new(environment, repository, fit),
            stored: None,
            live: None,
            doubtful: false,
            asked: BTreeSet::new(),
            look_again: None,
            denial: Denial::default(),
            requests: None,
            ahead: Ahead::default(),
            kept: None,
            health: HealthLog::default(),
            health_of: None,
            trouble: None,
            failures: 0,
            untidy: false,
            remembered: Generation::default(),
            highest: Fence::default(),
            restored: false,
            about: None,
            unrivalled: None,
            told: Told::default(),
            trailers_of: None,
            announced: None,
        }
    }

    /// A managed key may have changed: what has is looked for.
    pub fn live_changed(&mut self) {
        self.doubtful = true;
    }

    /// Nothing that was seen of the keys counts any more: all are read again.
    pub fn live_forgotten(&mut self) {
        self.live = None;
    }

    /// The record or a request may have changed: both are read again.
    pub fn state_changed(&mut self) {
        self.stored = None;
        self.requests = None;
    }

    /// The lease was lost or is new: nothing that was read before counts. Samples start again (rule L3).
    pub fn led_anew(&mut self) {
        self.state_changed();
        self.live_forgotten();
        self.health_of = None;
        self.trouble = None;
        self.denial = Denial::default();
        self.ahead = Ahead::default();
        self.failures = 0;
    }

    /// The branch head, where it says what the environment is on although it is another commit: as far as it can be told cheaply.
    pub(super) async fn head_in_step<S: Source>(&mut self, record: &Rollout, source: &S) -> Option<Revision> {
        let goal = record.goal.as_ref().filter(|_| record.note.is_none())?;
        let Tip::At(tip) = source.head().await.ok()?.tip else { return None };
        let reading = self.readings.of(tip, source).await.ok().filter(|_| tip != goal.revision)?;
        matches!(reading, Reading::Valid(desired) if desired.revision_digest() == goal.digest).then_some(tip)
    }

    /// What was read in the moment in which the lease was taken need not be read again.
    pub fn begin_with(&mut self, requests: Option<Vec<Request>>) {
        self.requests = requests;
    }

    /// A sample was taken. True when it may change a decision: while nothing is judged, that the check passes as before is
    /// no news.
    pub fn take(&mut self, sample: &Sample) -> bool {
        let word = |finding: &Finding| match finding {
            Finding::Pass => 0,
            Finding::Fail { .. } => 1,
            Finding::Unknown { .. } => 2,
        };
        let before = self.health.track(&sample.check).and_then(|track| track.last.as_ref()).map(|(_, finding)| word(finding));
        self.health.take(sample);
        let judged = self
            .stored
            .as_ref()
            .is_none_or(|stored| matches!(stored.record.phase, Phase::Applying | Phase::Verifying | Phase::HeldUnproven));
        judged || before != Some(0) || word(&sample.finding) != 0
    }

    /// The record as it was last seen.
    #[must_use]
    pub fn stored(&self) -> Option<&Stored> {
        self.stored.as_ref()
    }

    /// What a reached revision says, as far as it was read for the last decision.
    #[must_use]
    pub fn desired(&self, reached: &Reached) -> Option<Arc<DesiredState>> {
        self.readings.valid(reached)
    }

    /// The samples so far.
    #[must_use]
    pub fn health(&self) -> &HealthLog {
        &self.health
    }

    /// The record as it is now.
    pub(super) fn saw(&mut self, stored: Stored) {
        let record = &stored.record;
        self.highest = self.highest.max(stored.fence);
        self.remembered = self.remembered.max(record.generation);
        self.about = Some((record.goal.as_ref().map(|goal| goal.revision), record.generation));
        self.stored = Some(stored);
    }

    /// A number was given out, whatever is read of it afterwards.
    pub(super) fn gave_out(&mut self, number: Generation) {
        self.remembered = self.remembered.max(number);
    }

    /// The world could not be looked at, or not be written to: it is read again.
    pub(super) fn failed(&mut self) {
        self.state_changed();
        self.live_forgotten();
        self.failures = self.failures.saturating_add(1);
    }

    /// Somebody else moved first: that is looked at. When it happens again and again what is remembered may be wrong.
    pub(super) fn raced(&mut self) {
        let before = self.live.take().filter(|_| self.failures == 0);
        self.failed();
        self.live = before;
        self.live_changed();
    }

    /// Whether this is the first time that this process begins this attempt: a first write that failed begins it again.
    pub(super) fn is_news(&mut self, line: &HistoryLine) -> bool {
        let attempt = (line.generation, line.revision);
        self.announced.replace(attempt) != Some(attempt)
    }

    /// The wait before the next try, after the failures so far: doubles from 500 ms up to 30 s.
    pub(super) fn back_off(&self) -> Duration {
        back_off(self.failures)
    }

    /// The same after a failure that is not counted yet.
    pub(super) fn next_back_off(&self) -> Duration {
        back_off(self.failures.saturating_add(1))
    }
}

fn back_off(failures: u32) -> Duration {
    Duration::from_millis(250 << failures.min(7)).min(Duration::from_secs(30))
}
