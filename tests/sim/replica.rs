//! One controller of the simulation: the real keeper and the real polls of the repository, on a world of virtual time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lockstep::domain::rollout::{Observation, Rollout, Step};
use lockstep::runtime::keeper::Keeper;
use lockstep::runtime::polling::Polling;
use lockstep::runtime::reporting::Reporting;
use lockstep::runtime::reports::{Reports, Says, Speaker};
use lockstep::runtime::wakes::{Fetches, Wakes};
use lockstep::telemetry::Telemetry;
use tokio_util::sync::CancellationToken;
use tracing::Dispatch;

use crate::bugs::Bug;
use crate::ears::Ears;
use crate::edges::Edge;
use crate::executor::{Process, Task};
use crate::person;
use crate::planted::Planted;
use crate::world::KEPT;

/// A running replica. Dropping it is a crash.
pub(crate) struct Replica {
    pub(crate) process: Arc<Process>,
    task: Task,
    stop: CancellationToken,
    ears: Dispatch,
}

impl Replica {
    pub(crate) fn start(edge: impl FnOnce(Arc<Process>) -> Edge) -> Self {
        let process = Arc::new(Process::default());
        let stop = CancellationToken::new();
        let edge = edge(Arc::clone(&process));
        Self::running(process, stop.clone(), &edge.clone(), run(edge, stop))
    }

    /// A person's removal, which ends by itself.
    pub(crate) fn removing(edge: impl FnOnce(Arc<Process>) -> Edge) -> Self {
        let process = Arc::new(Process::default());
        let edge = edge(Arc::clone(&process));
        Self::running(process, CancellationToken::new(), &edge.clone(), person::removes(edge))
    }

    fn running(
        process: Arc<Process>,
        stop: CancellationToken,
        edge: &Edge,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let ears = Ears { world: Arc::clone(&edge.world), bug: edge.bug, spans: AtomicU64::new(0) };
        Self { process, task: Box::pin(task), stop, ears: Dispatch::new(ears) }
    }

    /// Asks it to end in good order, as SIGTERM does.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Lets it cross one border; true when it has ended.
    pub(crate) fn go_on(&mut self) -> bool {
        let Self { process, task, ears, .. } = self;
        tracing::dispatcher::with_default(ears, || process.go_on(task))
    }
}

async fn run(edge: Edge, stop: CancellationToken) {
    let telemetry = Arc::new(Telemetry::new());
    let wakes = Arc::new(Wakes::default());
    let fetches = Fetches::default();
    let reports: Arc<Reports> = Arc::default();
    let deliveries = edge.world().hears(edge.replica, &fetches);
    let (repository, fit) = person::fit(&edge.world());
    let keeper = Keeper {
        environment: edge.name.clone(),
        repository,
        fit,
        initialises_itself: false,
        source: edge.clone(),
        target: Arc::new(edge.clone()),
        probe: Arc::new(edge.clone()),
        scheduler: edge.clone(),
        wakes: Arc::clone(&wakes),
        fetches: fetches.clone(),
        kept: KEPT,
        speaker: Some(Speaker { reports: Arc::clone(&reports), says: Says::Changes }),
        telemetry: Arc::clone(&telemetry),
    };
    let reporting = Reporting {
        forge: Arc::new(edge.clone()),
        reports,
        scheduler: edge.clone(),
        telemetry: Arc::clone(&telemetry),
        public_url: None,
    };
    let polling = Polling {
        source: edge.clone(),
        interval: Duration::from_millis(edge.world().poll.unsigned_abs()),
        scheduler: edge.clone(),
        telemetry,
        wakes: if edge.bug == Some(Bug::SleepsThroughANewHead) { Vec::new() } else { vec![wakes] },
        fetches,
        deliveries,
    };
    let decide = |record: &Rollout, seen: &Observation<'_>| {
        edge.world().knows(edge.replica, seen.live);
        let decided = Planted { edge: &edge }.decide(record, seen);
        match &decided {
            Step::Wait(waiting) => {
                edge.waits(&waiting.reason);
                edge.world().passed(edge.replica);
            }
            Step::Record(save) => edge.tells(&save.history),
            Step::Apply(apply) => edge.tells(&apply.at_once().history),
        }
        decided
    };
    tokio::select! {
        biased;
        () = keeper.keep_with(&stop, &decide) => {}
        () = reporting.run() => {}
        // Fetches take their time at times: mirrors lag by up to a few polls.
        () = polling.run(|| f64::from(u32::try_from(edge.world().random.below(1_000)).unwrap()) / 1_000.0) => {}
    }
}
