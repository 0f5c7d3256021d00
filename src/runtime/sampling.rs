//! Takes samples of an environment's checks: one task a check, each at its own interval, for as long as the goal stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::memory::Memory;
use crate::domain::check::Check;
use crate::domain::health::Sample;
use crate::domain::revision::{Generation, RevisionDigest};
use crate::domain::rollout::{Phase, Rollout};
use crate::domain::time::Timestamp;
use crate::port::{Clock, Probe, Scheduler};

/// Samples that wait for the loop: it takes them at once, so that a full queue only slows the checks down.
const WAITING: usize = 64;

/// What is sampled: an attempt at a revision. Repairs go on under it without starting it anew.
type Subject = (Generation, RevisionDigest, Option<Timestamp>);

/// The samplers of one environment; dropping them ends them.
pub struct Sampling<P, R: Scheduler> {
    probe: Arc<P>,
    scheduler: R,
    clock: R::Clock,
    subject: Option<Subject>,
    tasks: Vec<R::Work>,
    sender: mpsc::Sender<Sample>,
    samples: mpsc::Receiver<Sample>,
}

impl<P: Probe + 'static, R: Scheduler> Sampling<P, R> {
    /// None running yet. Samples carry the time of this term's clock.
    #[must_use]
    pub fn new(probe: Arc<P>, scheduler: R, clock: R::Clock) -> Self {
        let (sender, samples) = mpsc::channel(WAITING);
        Self { probe, scheduler, clock, subject: None, tasks: Vec::new(), sender, samples }
    }

    /// Samples what the record says is to be judged now: the goal, from when its samples count; nothing while it is written.
    pub fn follow(&mut self, record: &Rollout, memory: &Memory) {
        let subject = subject(record);
        if subject == self.subject {
            return;
        }
        let Some(desired) = record.goal.as_ref().and_then(|goal| memory.desired(goal)) else { return };
        // The old tasks and what they have found already are about something else.
        self.tasks.clear();
        (self.sender, self.samples) = mpsc::channel(WAITING);
        self.subject = subject;
        let Some((goal, attempt)) = subject.and(record.goal.as_ref().zip(record.attempt.as_ref())) else { return };
        let wait = memory.health().start().since(self.clock.now());
        for check in desired.checks().values() {
            let check = check.filled(&goal.revision, attempt.line.generation);
            let sampler =
                Sampler { probe: Arc::clone(&self.probe), scheduler: self.scheduler.clone(), clock: self.clock.clone() };
            self.tasks.push(self.scheduler.spawn(sampler.run(check, wait, self.sender.clone())));
        }
    }

    /// A sample that waits to be taken, if there is one.
    pub(super) fn waiting(&mut self) -> Option<Sample> {
        self.samples.try_recv().ok()
    }

    /// The next sample.
    pub async fn next(&mut self) -> Sample {
        // This struct holds a sender itself, so the channel never closes.
        match self.samples.recv().await {
            Some(sample) => sample,
            None => std::future::pending().await,
        }
    }
}

fn subject(record: &Rollout) -> Option<Subject> {
    if matches!(record.phase, Phase::Idle | Phase::Applying) {
        return None;
    }
    let (goal, attempt) = record.goal.as_ref().zip(record.attempt.as_ref())?;
    attempt.applied.is_some().then_some((attempt.line.generation, goal.digest, attempt.applied))
}

/// Takes the samples of one check.
struct Sampler<P, R: Scheduler> {
    probe: Arc<P>,
    scheduler: R,
    clock: R::Clock,
}

impl<P: Probe, R: Scheduler> Sampler<P, R> {
    async fn run(self, check: Check, wait: Duration, samples: mpsc::Sender<Sample>) {
        let mut due = self.clock.now() + wait;
        loop {
            self.scheduler.sleep(due.since(self.clock.now())).await;
            let at = self.clock.now();
            let finding = self.probe.sample(&check).await;
            if samples.send(Sample { check: check.name.clone(), at, finding }).await.is_err() {
                return;
            }
            // From start to start; after a slow sample the next one is not made up for.
            due = (due + check.interval).max(self.clock.now());
        }
    }
}
