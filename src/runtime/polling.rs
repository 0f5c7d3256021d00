//! Keeps the mirror fetched: at every poll, when the repository itself gives a sign, and when somebody misses a commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::failing::Failing;
use super::wakes::{Fetches, Wakes};
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, Head, Scheduler, Source};
use crate::telemetry::{ControllerEvent, Telemetry};

/// After a failed fetch the next one comes sooner than the poll interval at first, then ever later, up to this multiple.
const SLOWEST_POLL: u32 = 4;
/// A wall clock that moved by more than this beside the monotonic one has jumped (rule L3).
const JUMP: Duration = Duration::from_mins(1);

/// The polls of one repository.
pub struct Polling<S, R> {
    /// The mirror.
    pub source: S,
    /// From one fetch to the next, unless something calls for one sooner.
    pub interval: Duration,
    /// Real or virtual time.
    pub scheduler: R,
    /// Where failures and jumps of the clock are reported.
    pub telemetry: Arc<Telemetry>,
    /// Who is told of a new head.
    pub wakes: Vec<Arc<Wakes>>,
    /// Who asks for a fetch.
    pub fetches: Fetches,
}

impl<S: Source, R: Scheduler> Polling<S, R> {
    /// Polls until it is dropped.
    ///
    /// `jitter` gives a number from 0 to 1 and spreads polls, so that many controllers don't ask the same server at once.
    pub async fn run(&self, jitter: impl FnMut() -> f64) {
        let news = Notify::new();
        let ring = || news.notify_one();
        let watch = async {
            self.source.watch(&ring).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.polls(&news, jitter) => {}
            () = watch => {}
        }
    }

    async fn polls(&self, news: &Notify, mut jitter: impl FnMut() -> f64) {
        let mut before: Option<Head> = None;
        let mut failures: u32 = 0;
        let mut failing = Failing::default();
        let clock = self.scheduler.clock();
        let mut ahead = Gap::default();
        loop {
            let fetched = self.source.fetch().await;
            failures = if fetched.is_ok() { 0 } else { failures.saturating_add(1) };
            match &fetched {
                Ok(()) => failing.is_over(),
                Err(error) => self.report(error, &mut failing),
            }
            let head = self.source.head().await.ok();
            if head != before {
                before = head;
                self.wakes.iter().for_each(|wakes| wakes.head());
            }
            if let Some(by) = ahead.jumped(self.scheduler.clock().now(), clock.now()) {
                self.telemetry.emit_controller(&ControllerEvent::ClockJumped { by });
            }
            let wait = next_poll(self.interval, failures).mul_f64(0.9 + 0.2 * jitter().clamp(0.0, 1.0));
            let asked = async {
                // A commit that stays away must not make us ask without a break.
                self.scheduler.sleep(sooner(self.interval)).await;
                self.fetches.asked().await;
            };
            tokio::select! {
                biased;
                () = news.notified() => {}
                () = asked => {}
                () = self.scheduler.sleep(wait) => {}
            }
        }
    }

    /// Every failed fetch is counted; one that fails like the one before is no event of its own.
    fn report(&self, error: &EdgeError, failing: &mut Failing) {
        if failing.is_news(error) {
            let event = ControllerEvent::FetchFailed { kind: error.kind, because: error.chain(), hint: error.hint.clone() };
            self.telemetry.emit_controller(&event);
        } else {
            self.telemetry.metrics().fetch_failed(error.kind);
        }
    }
}

/// The shortest time between two fetches that nobody but ourselves has a reason for. However seldom the repository is polled, a
/// commit that a person's request names is fetched while they wait for the answer.
fn sooner(interval: Duration) -> Duration {
    (interval / 10).clamp(Duration::from_secs(1), Duration::from_secs(10))
}

/// The poll interval; after failures a tenth of it, doubling up to four times of it.
fn next_poll(interval: Duration, failures: u32) -> Duration {
    if failures == 0 {
        return interval;
    }
    (interval / 10 * (1 << failures.min(8))).min(interval * SLOWEST_POLL).max(Duration::from_secs(1))
}

/// How far the wall clock is ahead of the monotonic one, in milliseconds, when it was last looked at.
#[derive(Debug, Default)]
struct Gap(i64);

impl Gap {
    /// How far the wall clock moved beside the monotonic one since the last look, if that is a jump.
    fn jumped(&mut self, wall: Timestamp, monotonic: Timestamp) -> Option<Duration> {
        let gap = wall.as_millis().saturating_sub(monotonic.as_millis());
        let by = Duration::from_millis(gap.abs_diff(self.0));
        self.0 = gap;
        (by > JUMP).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_is_noticed_once_in_either_direction() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let mut gap = Gap::default();
        let seen = [(100, 100), (131, 130), (3_760, 160), (3_790, 190), (220, 220), (281, 250)];
        let jumps = seen.map(|(wall, monotonic)| gap.jumped(at(wall), at(monotonic)).map(|by| by.as_secs()));
        assert_eq!(jumps, [None, None, Some(3_599), None, Some(3_600), None]);
    }

    #[test]
    fn after_failures_the_poll_comes_sooner_at_first_and_then_ever_later() {
        let polls = [0, 1, 2, 5, 40].map(|failures| next_poll(Duration::from_secs(30), failures).as_secs());
        assert_eq!(polls, [30, 6, 12, 96, 120]);
        assert_eq!(next_poll(Duration::from_secs(1), 1), Duration::from_secs(1));
    }
}
