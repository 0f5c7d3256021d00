//! Takes samples of an environment's checks: one task a check, each at its own interval, for as long as the goal stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::memory::Memory;
use crate::domain::check::Check;
use crate::domain::health::Sample;
use crate::domain::name::CheckName;
use crate::domain::rollout::{Rollout, SampleSubject};
use crate::port::{Clock, Probe, Scheduler};

/// Samples that wait for the loop: it takes them at once, so that a full queue only slows the checks down.
const WAITING: usize = 64;

/// The samplers of one environment; dropping them ends them.
pub struct Sampling<P, R: Scheduler> {
    probe: Arc<P>,
    scheduler: R,
    clock: R::Clock,
    subject: Option<SampleSubject>,
    running: BTreeMap<CheckName, Running<R>>,
    /// How many samplers were ever started: each sample says by which one it was taken.
    started: u64,
    sender: mpsc::Sender<(u64, Sample)>,
    samples: mpsc::Receiver<(u64, Sample)>,
}

struct Running<R: Scheduler> {
    number: u64,
    _work: R::Work,
}

impl<P: Probe + 'static, R: Scheduler> Sampling<P, R> {
    /// None running yet. Samples carry the time of this term's clock.
    #[must_use]
    pub fn new(probe: Arc<P>, scheduler: R, clock: R::Clock) -> Self {
        let (sender, samples) = mpsc::channel(WAITING);
        Self { probe, scheduler, clock, subject: None, running: BTreeMap::new(), started: 0, sender, samples }
    }

    /// Samples what the record says is to be judged now: the goal, from when its samples count; nothing while it is written.
    ///
    /// A repair changes what the checks that name the generation ask; the others go on.
    pub fn follow(&mut self, record: &Rollout, memory: &Memory) {
        let subject = record.sampled();
        if subject == self.subject {
            return;
        }
        let Some(desired) = record.goal.as_ref().and_then(|goal| memory.desired(goal)) else { return };
        let before = std::mem::replace(&mut self.subject, subject);
        let goes_on = subject.zip(before).is_some_and(|(now, before)| now.only_rewrites(&before));
        let stale = |name: &CheckName| !goes_on || desired.checks().get(name).is_none_or(Check::names_the_generation);
        // What the old samplers have found already is about something else, and is not taken any more.
        self.running.retain(|name, _| !stale(name));
        if subject.is_none() {
            return;
        }
        for check in record.checks_asked(&desired) {
            if self.running.contains_key(&check.name) {
                continue;
            }
            let wait = memory.health().start_of(&check.name).since(self.clock.now());
            let sampler =
                Sampler { probe: Arc::clone(&self.probe), scheduler: self.scheduler.clone(), clock: self.clock.clone() };
            self.started += 1;
            let (name, number) = (check.name.clone(), self.started);
            let work = self.scheduler.spawn(sampler.run(check, wait, number, self.sender.clone()));
            self.running.insert(name, Running { number, _work: work });
        }
    }

    /// A sample that waits to be taken, if there is one.
    pub(super) fn waiting(&mut self) -> Option<Sample> {
        while let Ok((number, sample)) = self.samples.try_recv() {
            if self.is_asked(number, &sample) {
                return Some(sample);
            }
        }
        None
    }

    /// The next sample.
    pub async fn next(&mut self) -> Sample {
        loop {
            // This struct holds a sender itself, so the channel never closes.
            let Some((number, sample)) = self.samples.recv().await else { return std::future::pending().await };
            if self.is_asked(number, &sample) {
                return sample;
            }
        }
    }

    /// Whether a sample was taken by a sampler that runs still.
    fn is_asked(&self, number: u64, sample: &Sample) -> bool {
        self.running.get(&sample.check).is_some_and(|running| running.number == number)
    }
}

/// Takes the samples of one check.
struct Sampler<P, R: Scheduler> {
    probe: Arc<P>,
    scheduler: R,
    clock: R::Clock,
}

impl<P: Probe, R: Scheduler> Sampler<P, R> {
    async fn run(self, check: Check, wait: Duration, number: u64, samples: mpsc::Sender<(u64, Sample)>) {
        let mut due = self.clock.now() + wait;
        loop {
            self.scheduler.sleep(due.since(self.clock.now())).await;
            let at = self.clock.now();
            let finding = self.probe.sample(&check).await;
            if samples.send((number, Sample { check: check.name.clone(), at, finding })).await.is_err() {
                return;
            }
            // From start to start; after a slow sample the next one is not made up for.
            due = (due + check.interval).max(self.clock.now());
        }
    }
}
