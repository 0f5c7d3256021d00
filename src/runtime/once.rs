//! One environment in the foreground, as far as it goes now: what the command line runs where no controller does.
//!
//! It makes the same passes as the controller, one after the other, and takes the samples that they wait for. Whoever drops
//! the future leaves the environment as a crash would, and the next pass of anybody goes on from there; a limit on time is
//! the caller's.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::{RealTime, SystemClock};
use super::interruption::Interruption;
use super::memory::Memory;
use super::next::{Next, after};
use super::pass::{Passed, World, notice, pass};
use super::sampling::Sampling;
use crate::domain::rollout::{Answer, HeadVerdict, HistoryLine, Kept, Phase, RequestId, Rollout, TroubleKind};
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, EdgeKind, Probe, Scheduler, Source, Target};

/// The world is looked at this often at least: nobody watches it here.
const IDLE: Duration = Duration::from_secs(1);

/// What an environment is taken somewhere with.
pub struct Once<'a, S, T, P> {
    /// The config repository.
    pub source: &'a S,
    /// The place that holds the environment.
    pub target: &'a T,
    /// Takes the samples.
    pub probe: Arc<P>,
    /// How long to wait before a rewound branch is fetched again, to be believed (rule S1).
    pub poll: Duration,
}

/// What is going on, for whoever watches.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The record moved.
    Moved(&'a Rollout),
    /// Nothing can be done yet, and why.
    Waiting(&'a str),
    /// A call failed; it is tried again.
    Trouble(&'a EdgeError),
}

impl<S: Source, T: Target, P: Probe + 'static> Once<'_, S, T, P> {
    /// Makes passes until nothing more is to be done now: the phase is one of rest, and the last write did not fail.
    ///
    /// # Errors
    /// When the world can't be looked at, or somebody else keeps moving the record.
    pub async fn until_rest(
        &self,
        memory: &mut Memory,
        lease: &T::Lease,
        tell: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Rollout, EdgeError> {
        memory.led_anew();
        memory.begin_with(self.target.requests_at_lead());
        let clock = RealTime.clock();
        let led_since = clock.now();
        let mut sampling = Sampling::new(Arc::clone(&self.probe), RealTime, clock);
        let (mut has_moved, mut fetched_again) = (false, false);
        loop {
            let outcome = self.pass(memory, lease, clock, led_since).await;
            let next = after(&outcome, memory);
            let mut awaits_samples = false;
            match outcome {
                Ok(Passed::Moved(step)) => {
                    has_moved = true;
                    tell(Progress::Moved(&step.to));
                }
                Ok(Passed::Waiting { waiting, .. }) => {
                    awaits_samples = waiting.sampling;
                    tell(Progress::Waiting(&waiting.reason));
                }
                Ok(Passed::Troubled(error)) => tell(Progress::Trouble(&error)),
                Ok(Passed::Stale) => {}
                // Once something was written, an outage is waited for rather than left half-way.
                Err(error) if has_moved && error.kind == EdgeKind::Transient => tell(Progress::Trouble(&error)),
                Err(error) => return Err(error),
            }
            match next {
                Next::Again => {}
                Next::GiveUp => return Err(self.somebody_else()),
                Next::BackOff(wait) => RealTime.sleep(wait).await,
                Next::Wait { until, fetch } => {
                    if fetch && let Err(error) = self.source.fetch().await {
                        tell(Progress::Trouble(&error));
                    }
                    let Some(record) = memory.stored().map(|stored| stored.record.clone()) else { continue };
                    if awaits_samples || !rests(&record, memory, clock.now()) {
                        sampling.follow(&record, memory);
                        let until = until.map_or(IDLE, |until| until.since(clock.now()));
                        wait(until.clamp(Duration::from_millis(1), IDLE), &mut sampling, memory).await;
                    } else if is_rewound(&record) && !fetched_again && !record.is_suspended(clock.now()) {
                        fetched_again = true;
                        RealTime.sleep(self.poll).await;
                        self.source.fetch().await?;
                    } else {
                        return Ok(record);
                    }
                }
            }
        }
    }

    /// Makes passes until a request has its answer.
    ///
    /// # Errors
    /// When the world can't be looked at, or the record can't be moved.
    pub async fn until_answered(&self, memory: &mut Memory, lease: &T::Lease, id: &RequestId) -> Result<Answer, EdgeError> {
        memory.led_anew();
        memory.begin_with(self.target.requests_at_lead());
        let clock = RealTime.clock();
        let led_since = clock.now();
        loop {
            // Whoever led before may have answered already; a pass would then do something that nobody asked for.
            if let Some(answer) = self.target.answer(id).await? {
                return Ok(answer);
            }
            let outcome = self.pass(memory, lease, clock, led_since).await;
            let next = after(&outcome, memory);
            if let Ok(Passed::Troubled(error)) | Err(error) = outcome {
                return Err(error);
            }
            match next {
                Next::Again => {}
                Next::GiveUp => return Err(self.somebody_else()),
                Next::Wait { .. } | Next::BackOff(_) => RealTime.sleep(IDLE).await,
            }
        }
    }

    async fn pass(
        &self,
        memory: &mut Memory,
        lease: &T::Lease,
        clock: SystemClock,
        led_since: Timestamp,
    ) -> Result<Passed, EdgeError> {
        let Self { source, target, .. } = *self;
        let announce = |_: &Rollout, _: &HistoryLine| {};
        let asked = AtomicBool::new(false);
        let interrupted = || asked.load(Ordering::Acquire).then_some(Interruption::Asked);
        let world = World {
            source,
            target,
            clock: &clock,
            led_since,
            interrupted: &interrupted,
            kept: Kept::default(),
            announce: &announce,
        };
        let outcome = tokio::select! {
            biased;
            outcome = Box::pin(pass(&world, memory, lease)) => outcome,
            never = self.listen(&asked) => match never {},
        };
        if asked.into_inner() {
            memory.state_changed();
        }
        outcome
    }

    /// Looks for requests while a pass goes on, now and then: nobody watches here.
    async fn listen(&self, asked: &AtomicBool) -> Infallible {
        loop {
            RealTime.sleep(IDLE).await;
            notice(self.target, asked).await;
        }
    }

    fn somebody_else(&self) -> EdgeError {
        EdgeError::new("lockstep", EdgeKind::Conflict, format!("move the record at {}", self.target.character().name))
            .because("somebody else moved it first each time, or the lease is lost")
            .hint("does a controller lead this environment? Then leave the work to it")
    }
}

/// Takes samples until the time is over, or until one may change a decision.
async fn wait<P: Probe + 'static>(time: Duration, sampling: &mut Sampling<P, RealTime>, memory: &mut Memory) {
    let news = async {
        loop {
            let sample = sampling.next().await;
            if memory.take(&sample) {
                return;
            }
        }
    };
    // Over in time or not: the next pass looks.
    let _ = tokio::time::timeout(time, news).await;
}

fn rests(record: &Rollout, memory: &Memory, now: Timestamp) -> bool {
    let under_way = matches!(record.phase, Phase::Applying | Phase::Verifying);
    let retries = memory.trouble.as_ref().is_some_and(|trouble| trouble.kind != TroubleKind::Denied);
    record.is_suspended(now) || !under_way && !retries
}

fn is_rewound(record: &Rollout) -> bool {
    record.note.as_ref().is_some_and(|note| note.verdict == HeadVerdict::NotBelieved && note.revision.is_some())
}
