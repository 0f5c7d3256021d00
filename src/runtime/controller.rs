//! The daemon: fetches the repository, keeps every environment, and stops in good order.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::wakes::Wakes;
use crate::port::{EdgeError, EdgeKind, Head, Probe, Source, Target};
use crate::telemetry::{ControllerEvent, Telemetry};

/// How long the environments have to finish their passes and give their leases back.
const FAREWELL: Duration = Duration::from_secs(10);
/// After a failed fetch the next one comes sooner than the poll interval at first, then ever later, up to this multiple.
const SLOWEST_POLL: u32 = 4;

/// Runs the environments of one repository.
pub struct Controller<S> {
    source: S,
    poll: Duration,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
    environments: JoinSet<()>,
    wakes: Vec<Arc<Wakes>>,
}

impl<S: Source + Clone + 'static> Controller<S> {
    /// A controller without environments.
    #[must_use]
    pub fn new(source: S, poll: Duration, telemetry: Arc<Telemetry>) -> Self {
        Self { source, poll, telemetry, stop: CancellationToken::new(), environments: JoinSet::new(), wakes: Vec::new() }
    }

    /// Begins to keep an environment.
    pub fn keep<T: Target + 'static, P: Probe + 'static>(&mut self, keeper: Keeper<S, T, P>) {
        self.wakes.push(Arc::clone(&keeper.wakes));
        let stop = self.stop.clone();
        self.environments.spawn(async move { keeper.keep(&stop).await });
    }

    /// Runs until `end` is over; then every environment finishes its pass and gives its lease back, within ten seconds.
    ///
    /// `jitter` gives a number from 0 to 1 and spreads polls, so that many controllers don't ask the same server at once.
    ///
    /// # Errors
    /// When an environment's task ended by itself, which is a bug: a daemon that keeps only some of its environments must not
    /// look well.
    pub async fn run(mut self, end: impl Future<Output = ()>, mut jitter: impl FnMut() -> f64) -> Result<(), EdgeError> {
        let news = tokio::sync::Notify::new();
        let ring = || news.notify_one();
        let watch = async {
            self.source.watch(&ring).await;
            std::future::pending::<()>().await;
        };
        let mut environments = std::mem::take(&mut self.environments);
        let polls = self.polls(&news, &mut jitter);
        let outcome = tokio::select! {
            () = end => Ok(()),
            () = watch => Ok(()),
            () = polls => Ok(()),
            Some(ended) = environments.join_next() => Err(EdgeError::new("lockstep", EdgeKind::Refused, "keep every environment")
                .because(ended.err().map_or_else(|| "a task ended".to_owned(), |panic| panic.to_string()))
                .hint("this is a bug; please report it with the log")),
        };
        self.stop.cancel();
        let farewell = async { while environments.join_next().await.is_some() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("an environment did not finish its pass in time; its lease runs out by itself");
        }
        outcome
    }

    async fn polls(&self, news: &tokio::sync::Notify, jitter: &mut impl FnMut() -> f64) {
        let mut before: Option<Head> = None;
        let mut failures: u32 = 0;
        loop {
            let fetched = self.source.fetch().await;
            failures = if fetched.is_ok() { 0 } else { failures.saturating_add(1) };
            if let Err(error) = &fetched
                && failures == 1
            {
                self.report(error);
            }
            let head = self.source.head().await.ok();
            if head != before {
                before = head;
                self.wakes.iter().for_each(|wakes| wakes.head());
            }
            let wait = self.next_poll(failures).mul_f64(0.9 + 0.2 * jitter().clamp(0.0, 1.0));
            tokio::select! {
                () = sleep(wait) => {}
                () = news.notified() => {}
            }
        }
    }

    /// The poll interval; after failures a tenth of it, doubling up to four times of it.
    fn next_poll(&self, failures: u32) -> Duration {
        if failures == 0 {
            return self.poll;
        }
        let sooner = self.poll / 10;
        (sooner * (1 << failures.min(8))).min(self.poll * SLOWEST_POLL).max(Duration::from_secs(1))
    }

    fn report(&self, error: &EdgeError) {
        self.telemetry.emit_controller(&ControllerEvent::FetchFailed { kind: error.kind, because: error.chain() });
    }
}
