//! One term of leadership: passes, samples in between, and sleep until something is new.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::events;
use super::failing::Failing;
use super::interruption::Interruption;
use super::keeper::Keeper;
use super::lack::Lack;
use super::memory::Memory;
use super::next::{Next, after};
use super::pass::{Decide, Passed, World, notice, pass_with};
use super::sampling::Sampling;
use super::speaking::Speech;
use super::sweeps::Sweeps;
use crate::domain::rollout::{HistoryLine, Rollout};
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, EdgeKind, Probe, Scheduler, Source, Target};
use crate::telemetry::Event;

/// A pass is made this often at least, out of what is known already: that a watchdog sees the loop alive.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Why a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Asked to stop.
    Stopped,
    /// Somebody else may have the lease now.
    Lost,
    /// The environment is retired: nothing to lead until the head moves (rule O9).
    Retired,
    /// The mirror lacks the commit that the environment is on: another controller may have it (rule S2).
    Lacking,
    /// There is no record here that it could lead by: it went just before the lease was taken, or since (rule O6).
    Gone,
}

impl End {
    /// What to tell of it: a lease that was given back in good order is nothing to worry about.
    pub(super) fn told(self, released: bool) -> Event {
        let because = match self {
            Self::Stopped => "this controller stops",
            Self::Lost => "somebody else may hold it now",
            Self::Retired => "the environment is retired",
            Self::Gone => "there is no record of the environment here any more",
            Self::Lacking => "this controller's mirror lacks the commit that the environment is on; another may have it",
        }
        .to_owned();
        match self {
            Self::Stopped | Self::Retired | Self::Lacking | Self::Gone if released => Event::LeaseReleased { because },
            Self::Stopped | Self::Retired | Self::Lacking | Self::Gone | Self::Lost => Event::LeaseLost { because },
        }
    }
}

impl<S: Source, T: Target, P: Probe + 'static, R: Scheduler> Keeper<S, T, P, R> {
    /// Makes passes until the lease is gone.
    pub(super) async fn lead(
        &self,
        memory: &mut Memory,
        lease: &T::Lease,
        lack: &mut Lack,
        stop: &CancellationToken,
        decide: &Decide<'_>,
    ) -> End {
        memory.led_anew();
        memory.begin_with(self.target.requests_at_lead());
        lack.begins_a_term();
        let clock = self.scheduler.clock();
        let led_since = clock.now();
        let mut sampling = Sampling::new(Arc::clone(&self.probe), self.scheduler.clone(), clock.clone());
        let mut sweeps = Sweeps::after(led_since, &self.environment);
        let mut failing = Failing::default();
        let asked = AtomicBool::new(false);
        let interrupted = || {
            let asked = stop.is_cancelled() || asked.load(Ordering::Acquire);
            let new_head = self.wakes.head_is_new().then_some(Interruption::NewHead);
            if asked { Some(Interruption::Asked) } else { new_head }
        };
        let speech = Speech::begin(self).await;
        let announce = |record: &Rollout, line: &HistoryLine| {
            self.telemetry.emit(&events::about(line, record), &events::of_beginning(line));
            if let Some(speech) = &speech {
                speech.announce(record, line);
            }
        };
        while !stop.is_cancelled() {
            if !self.target.holds(lease) {
                return End::Lost;
            }
            self.hear(memory, clock.now(), &mut sweeps);
            // A failure found during the last pass must not be overlooked by this one.
            while let Some(sample) = sampling.waiting() {
                memory.take(&sample);
            }
            let world = World {
                source: &self.source,
                target: &*self.target,
                clock: &clock,
                led_since,
                interrupted: &interrupted,
                kept: self.kept,
                announce: &announce,
            };
            asked.store(false, Ordering::Release);
            let outcome = tokio::select! {
                biased;
                outcome = pass_with(&world, memory, lease, decide) => outcome,
                never = self.listen(&asked) => match never {},
            };
            // Whoever asks for the lease next meets the same refusal, and tells it.
            if is_gone(&outcome, memory) {
                return End::Gone;
            }
            self.tell(&outcome, memory, clock.now(), &mut failing);
            if let Some(speech) = &speech {
                speech.say(&outcome, memory, &self.source, &*self.target).await;
            }
            let next = after(&outcome, memory);
            if let Some(stored) = memory.stored() {
                self.telemetry.metrics().in_phase(&self.environment, stored.record.phase);
                sampling.follow(&stored.record, memory);
            }
            let wait = match next {
                Next::Again => continue,
                Next::GiveUp => return End::Lost,
                Next::Wait { .. } if is_retired(&outcome) => return End::Retired,
                Next::Wait { until, fetch } => {
                    if fetch {
                        self.fetches.ask();
                    }
                    if lack.is_too_long(fetch && lacks_its_goal(memory), clock.now()) {
                        return End::Lacking;
                    }
                    let until = until.into_iter().chain(lack.until()).fold(sweeps.next(), Timestamp::min);
                    until.since(clock.now()).clamp(Duration::from_millis(1), HEARTBEAT)
                }
                Next::BackOff(wait) => wait,
            };
            self.sleep(wait, &mut sampling, memory, stop).await;
        }
        End::Stopped
    }

    /// Listens for requests while a pass goes on.
    async fn listen(&self, asked: &AtomicBool) -> Infallible {
        loop {
            self.wakes.next_of_state().await;
            notice(&*self.target, asked).await;
        }
    }

    /// Forgets what the news makes doubtful, and what was not read for long.
    fn hear(&self, memory: &mut Memory, now: Timestamp, sweeps: &mut Sweeps) {
        let due = sweeps.due(self.wakes.take(), now);
        if due.state {
            memory.state_changed();
        }
        if due.moved {
            memory.live_changed();
        }
        if due.keys {
            memory.live_forgotten();
        }
    }

    /// Says what a pass came to.
    fn tell(&self, outcome: &Result<Passed, EdgeError>, memory: &mut Memory, now: Timestamp, failing: &mut Failing) {
        match outcome {
            Ok(Passed::Moved(done)) => {
                for (subject, event) in events::of_move(done) {
                    self.telemetry.emit(&subject, &event);
                }
                for outcome in events::outcomes(done) {
                    self.telemetry.metrics().attempt_finished(&self.environment, outcome);
                }
                failing.is_over();
            }
            Ok(Passed::Waiting { waiting, .. }) => {
                self.telemetry.metrics().pass_succeeded(&self.environment, now);
                failing.is_over();
                if let Some((ailing, stored)) = waiting.ailing.as_ref().zip(memory.stored()) {
                    let subject = events::subject(&stored.record);
                    for event in events::of_ailing(&mut memory.told, ailing) {
                        self.telemetry.emit(&subject, &event);
                    }
                }
            }
            Ok(Passed::Stale) => {}
            Ok(Passed::Troubled(error)) | Err(error) => self.report_once(error, memory, failing),
        }
    }

    /// Sleeps until the time is over, something is new, or a sample changes the picture.
    async fn sleep(&self, wait: Duration, sampling: &mut Sampling<P, R>, memory: &mut Memory, stop: &CancellationToken) {
        let timer = self.scheduler.sleep(wait);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wakes.next() => return,
                sample = sampling.next() => {
                    if memory.take(&sample) {
                        return;
                    }
                }
                () = &mut timer => return,
            }
        }
    }
}

/// Whether the branch head no longer names the environment, and nobody needs to lead it.
fn is_retired(outcome: &Result<Passed, EdgeError>) -> bool {
    matches!(outcome, Ok(Passed::Waiting { waiting, .. }) if waiting.retired)
}

/// Whether the record was not there to be read, or is not ours.
fn is_gone(outcome: &Result<Passed, EdgeError>, memory: &Memory) -> bool {
    memory.stored().is_none() && outcome.as_ref().is_err_and(|error| error.kind == EdgeKind::Refused)
}

/// Whether what the environment is on is in no commit that the mirror has.
fn lacks_its_goal(memory: &Memory) -> bool {
    let goal = memory.stored().and_then(|stored| stored.record.goal.as_ref());
    goal.is_some_and(|goal| memory.desired(goal).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lease_that_was_not_given_back_in_good_order_is_a_lost_one() {
        for (end, released, expected) in [
            (End::Stopped, true, "lease-released"),
            (End::Retired, true, "lease-released"),
            (End::Lacking, true, "lease-released"),
            (End::Gone, true, "lease-released"),
            (End::Stopped, false, "lease-lost"),
            (End::Retired, false, "lease-lost"),
            (End::Lost, true, "lease-lost"),
            (End::Lost, false, "lease-lost"),
        ] {
            assert_eq!(end.told(released).name(), expected, "{end:?}, released: {released}");
        }
    }
}
