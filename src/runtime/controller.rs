//! The daemon: fetches the repository, keeps every environment, and stops in good order.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::clock::RealTime;
use super::keeper::Keeper;
use super::polling::Polling;
use super::wakes::{Deliveries, Fetches};
use crate::port::{EdgeError, EdgeKind, Probe, Source, Target};
use crate::telemetry::Telemetry;

/// How long the environments have to finish their passes and give their leases back.
const FAREWELL: Duration = Duration::from_secs(10);

/// Runs the environments of one repository.
pub struct Controller<S> {
    polling: Polling<S, RealTime>,
    stop: CancellationToken,
    environments: JoinSet<()>,
    /// What goes on beside them, and needs no farewell.
    beside: JoinSet<()>,
}

impl<S: Source + Clone + 'static> Controller<S> {
    /// A controller without environments, which fetches the repository this often.
    #[must_use]
    pub fn new(source: S, interval: Duration, telemetry: Arc<Telemetry>) -> Self {
        let (wakes, fetches, deliveries) = (Vec::new(), Fetches::default(), Deliveries::default());
        let polling = Polling { source, interval, scheduler: RealTime, telemetry, wakes, fetches, deliveries };
        Self { polling, stop: CancellationToken::new(), environments: JoinSet::new(), beside: JoinSet::new() }
    }

    /// Where its environments ask for a fetch.
    #[must_use]
    pub fn fetches(&self) -> Fetches {
        self.polling.fetches.clone()
    }

    /// From now on these deliveries wake it.
    #[must_use]
    pub fn woken_by(mut self, deliveries: Deliveries) -> Self {
        self.polling.deliveries = deliveries;
        self
    }

    /// Begins to keep an environment.
    pub fn keep<T: Target + 'static, P: Probe + 'static>(&mut self, keeper: Keeper<S, T, P, RealTime>) {
        self.polling.wakes.push(Arc::clone(&keeper.wakes));
        let stop = self.stop.clone();
        self.environments.spawn(async move { keeper.keep(&stop).await });
    }

    /// Lets this go on beside the environments, for ever: it is dropped when they have ended.
    pub fn beside(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.beside.spawn(work);
    }

    /// Runs until `end` is over; then every environment finishes its pass and gives its lease back, within ten seconds.
    ///
    /// `jitter` gives a number from 0 to 1 and spreads polls, so that many controllers don't ask the same server at once.
    ///
    /// # Errors
    /// When an environment's task ended by itself, which is a bug: a daemon that keeps only some of its environments must not
    /// look well.
    pub async fn run(self, end: impl Future<Output = ()>, jitter: impl FnMut() -> f64) -> Result<(), EdgeError> {
        let Self { polling, stop, mut environments, mut beside } = self;
        let outcome = tokio::select! {
            () = end => Ok(()),
            () = polling.run(jitter) => Ok(()),
            Some(ended) = environments.join_next() => Err(over("keep every environment", ended)),
            Some(ended) = beside.join_next() => Err(over("tell the forge", ended)),
        };
        stop.cancel();
        let farewell = async { while environments.join_next().await.is_some() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("an environment did not finish its pass in time; its lease runs out by itself");
        }
        outcome
    }
}

/// A task ended by itself.
fn over(doing: &str, ended: Result<(), JoinError>) -> EdgeError {
    EdgeError::new("lockstep", EdgeKind::Refused, doing)
        .because(ended.err().map_or_else(|| "a task ended".to_owned(), |panic| panic.to_string()))
        .hint("this is a bug; please report it with the log")
}
