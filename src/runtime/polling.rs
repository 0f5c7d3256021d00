//! Keeps the mirror fetched: at every poll, when the repository itself gives a sign, when somebody misses a commit, and when a
//! webhook was delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::failing::Failing;
use super::wakes::{Deliveries, Fetches, Wakes};
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, Head, Scheduler, Source};
use crate::telemetry::{ControllerEvent, Telemetry};

/// After a failed fetch the next one comes sooner than the poll interval at first, then ever later, up to this multiple.
const SLOWEST_POLL: u32 = 4;
/// A wall clock that moved by more than this beside the monotonic one has jumped (rule L3).
const JUMP: Duration = Duration::from_mins(1);
/// Deliveries come in bursts: this long without another one ends it.
const BURST: Duration = Duration::from_millis(50);
/// A burst that does not end is answered after this time.
const LONGEST_BURST: Duration = Duration::from_secs(5);
/// How long after a look that found nothing new the next one comes, for a delivery that came before its ref can be seen.
const SECOND_LOOK: Duration = Duration::from_secs(1);

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
    /// What webhooks have delivered.
    pub deliveries: Deliveries,
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
        let mut series = Series::default();
        let mut proposals = BTreeMap::new();
        loop {
            let delivered = self.deliveries.take_branch();
            let fetched = self.source.fetch().await;
            failures = if fetched.is_ok() { 0 } else { failures.saturating_add(1) };
            match &fetched {
                Ok(()) => failing.is_over(),
                Err(error) => self.report(error, &mut failing),
            }
            let head = self.source.head().await.ok();
            series.looked(delivered, fetched.is_ok() && has_moved(before.as_ref(), head.as_ref()));
            let proposed = self.source.proposals().await.unwrap_or_default();
            if head != before || proposed != proposals {
                self.deliveries.pulls();
            }
            proposals = proposed;
            if head != before {
                before = head;
                self.wakes.iter().for_each(|wakes| wakes.head());
            }
            if let Some(by) = ahead.jumped(self.scheduler.clock().now(), clock.now()) {
                self.telemetry.emit_controller(&ControllerEvent::ClockJumped { by });
            }
            let wait = next_poll(self.interval, failures).mul_f64(0.9 + 0.2 * jitter().clamp(0.0, 1.0));
            let wait = wait.min(series.next(self.interval).unwrap_or(wait));
            let asked = async {
                // A commit that stays away must not make us ask without a break.
                self.scheduler.sleep(sooner(self.interval)).await;
                self.fetches.asked().await;
            };
            tokio::select! {
                biased;
                () = news.notified() => {}
                () = asked => {}
                () = self.delivered() => {}
                () = self.scheduler.sleep(wait) => {}
            }
        }
    }

    /// Waits for a delivery, and then for the end of its burst.
    async fn delivered(&self) {
        self.deliveries.next_of_branch().await;
        let over = async {
            loop {
                tokio::select! {
                    biased;
                    () = self.deliveries.next_of_branch() => {}
                    () = self.scheduler.sleep(BURST) => return,
                }
            }
        };
        tokio::select! {
            biased;
            () = self.scheduler.sleep(LONGEST_BURST) => {}
            () = over => {}
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

/// Whether the branch stands elsewhere than before. What was not known before has not moved.
fn has_moved(before: Option<&Head>, now: Option<&Head>) -> bool {
    before.zip(now).is_some_and(|(before, now)| before.tip != now.tip)
}

/// The looks after a delivery whose ref could not be seen yet: ever later, until the ordinary poll is as near.
#[derive(Debug, Default)]
struct Series(Option<Duration>);

impl Series {
    /// A look was made, for a delivery or not, and the branch has moved or not. A look that failed has seen nothing move.
    fn looked(&mut self, delivered: bool, moved: bool) {
        self.0 = match self.0 {
            _ if moved => None,
            _ if delivered => Some(SECOND_LOOK),
            Some(wait) => Some(wait * 2),
            None => None,
        };
    }

    /// When to look again, if that is before the next poll; else the series is over.
    fn next(&mut self, poll: Duration) -> Option<Duration> {
        self.0 = self.0.filter(|wait| *wait < poll);
        self.0
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
mod tests;
