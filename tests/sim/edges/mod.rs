//! The ports of the simulation: each call crosses two borders, one before its effect and one before its answer arrives.
//!
//! Here is what all of them share, the time and the checks; the mirror and the target have files of their own.

mod comings;
mod forge;
mod look;
mod source;
mod target;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use lockstep::domain::check::{Check, CheckKind};
use lockstep::domain::health::Finding;
use lockstep::domain::live::LiveState;
use lockstep::domain::name::EnvironmentName;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{HistoryLine, Permit, Request};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, EdgeError, EdgeKind, Probe, Scheduler};

use crate::bugs::Bug;
use crate::executor::{Process, Work, border};
use crate::world::World;

pub(crate) type Shared = Arc<Mutex<World>>;

/// How long whoever has nothing to do sleeps at most.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// One replica's view of the world.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) world: Shared,
    pub(crate) replica: usize,
    /// What its configuration calls the environment.
    pub(crate) name: EnvironmentName,
    /// How often the replica was started: a session belongs to one process.
    pub(crate) start: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) process: Arc<Process>,
    said: Arc<Mutex<String>>,
    /// Heads that wakes were about, oldest first: a planted bug works them off.
    told: Arc<Mutex<Vec<Revision>>>,
    /// What was refused: a planted bug never judges it again.
    pub(crate) refused: Arc<Mutex<BTreeSet<Revision>>>,
    /// What a person let a head do: a planted bug never forgets it.
    pub(crate) permitted: Arc<Mutex<Option<Permit>>>,
    /// What was read first: a planted bug never reads again.
    first_look: Arc<Mutex<Option<LiveState>>>,
    /// What was read of requests with the lease.
    at_lead: Arc<Mutex<Option<Vec<Request>>>>,
    /// The index of its last write: a planted bug takes it for the end of the news.
    own_write: Arc<Mutex<u64>>,
}

impl Edge {
    pub(crate) fn new(world: Shared, replica: usize, bug: Option<Bug>, process: Arc<Process>) -> Self {
        let (start, name) = {
            let mut world = world.lock().unwrap();
            world.starts[replica] += 1;
            (world.starts[replica], world.configured[replica].clone())
        };
        Self {
            world,
            replica,
            name,
            start,
            bug,
            process,
            said: Arc::default(),
            told: Arc::default(),
            refused: Arc::default(),
            permitted: Arc::default(),
            first_look: Arc::default(),
            at_lead: Arc::default(),
            own_write: Arc::default(),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Notes what the replica waits for, once.
    pub(crate) fn waits(&self, reason: &str) {
        let mut said = self.said.lock().unwrap();
        if *said != reason {
            reason.clone_into(&mut said);
            self.world().note(format!("replica {} waits: {reason}", self.replica));
        }
    }

    /// With the bug: tells the end of these lines before it is written.
    pub(crate) fn tells(&self, lines: &[HistoryLine]) {
        if self.has(Bug::TellsBeforeItIsWritten) {
            let closed = lines.iter().filter(|line| line.closed.is_some());
            closed.for_each(|line| self.world().told("proven", line.generation.number().into()));
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Crosses a border, or several: other work of the same process may go first.
    async fn border(&self) {
        border().await;
        while self.world().random.percent(20) {
            border().await;
        }
    }

    /// Takes up to this long at times.
    pub(crate) async fn dawdle(&self, percent: u32, upto: i64) {
        let lasts = {
            let mut world = self.world();
            if !world.stormy || !world.random.percent(percent) {
                return;
            }
            world.random.below(usize::try_from(upto).unwrap())
        };
        self.sleep(Duration::from_millis(lasts as u64)).await;
    }

    /// Before the effect: the call may fail.
    async fn call(&self, what: &str) -> Result<(), EdgeError> {
        self.border().await;
        let mut world = self.world();
        let percent = world.faults.fails;
        if world.random.percent(percent) {
            world.reached("a call failed");
            return Err(EdgeError::new("sim", EdgeKind::Transient, what).because("it failed"));
        }
        Ok(())
    }

    /// After the effect: the answer may be lost.
    async fn answer(&self, what: &str) -> Result<(), EdgeError> {
        self.border().await;
        let mut world = self.world();
        let percent = world.faults.answer_lost;
        if world.random.percent(percent) {
            world.reached("an answer was lost");
            return Err(EdgeError::new("sim", EdgeKind::Transient, what).because("its answer was lost"));
        }
        Ok(())
    }
}

/// A replica's clock: the world's time, how far its wall clock was off when the term began, and how long it stood still since.
#[derive(Clone)]
pub(crate) struct SimClock {
    world: Shared,
    replica: usize,
    skew: i64,
    stood_still: i64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let world = self.world.lock().unwrap();
        Timestamp::from_millis(world.now + self.skew - (world.stood_still[self.replica] - self.stood_still))
    }
}

impl Scheduler for Edge {
    type Clock = SimClock;
    type Work = Work;

    fn clock(&self) -> SimClock {
        let world = self.world();
        let (skew, stood_still) = (world.skew[self.replica], world.stood_still[self.replica]);
        SimClock { world: Arc::clone(&self.world), replica: self.replica, skew, stood_still }
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        // With the bug, only news ends the sleep of whoever has nothing to do.
        let for_ever = self.has(Bug::SleepsWithoutAHeartbeat) && time == HEARTBEAT;
        let lasts = i64::try_from(time.as_millis()).ok().filter(|_| !for_ever).unwrap_or(i64::MAX / 4);
        let mut until = None;
        std::future::poll_fn(move |_| {
            let (now, stood_still) = {
                let world = self.world();
                (world.now - world.stood_still[self.replica], world.stood_still[self.replica])
            };
            let until = *until.get_or_insert(now.saturating_add(lasts));
            if until <= now {
                return Poll::Ready(());
            }
            self.process.timer(until.saturating_add(stood_still));
            Poll::Pending
        })
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Work {
        self.process.spawn(Box::pin(work))
    }
}

impl Edge {
    fn asks_for(&self, generation: &str) -> Finding {
        let mut world = self.world();
        if !self.has(Bug::ChecksTheOldGeneration) {
            return world.follows(generation);
        }
        let attempt = world.record().and_then(|record| record.attempt.as_ref());
        let old = attempt.map_or_else(String::new, |attempt| attempt.line.generation.to_string());
        world.follows(&old)
    }
}

impl Probe for Edge {
    async fn sample(&self, check: &Check) -> Finding {
        let finding = match &check.kind {
            CheckKind::Http { body: Some(asked), .. } => self.asks_for(asked),
            CheckKind::Http { .. }
            | CheckKind::ConsulService { .. }
            | CheckKind::Tcp { .. }
            | CheckKind::Dns { .. }
            | CheckKind::Exec { .. } => self.world().probe(),
        };
        let name = if matches!(check.kind, CheckKind::Http { .. }) { "generation" } else { "build" };
        self.world().sampled(self.replica, name, finding == Finding::Pass);
        self.border().await;
        match finding.clone() {
            Finding::Unknown { because } if self.has(Bug::TakesUnknownForFailure) => Finding::Fail { because },
            Finding::Unknown { .. } if self.has(Bug::TakesUnknownForHealthy) => Finding::Pass,
            Finding::Pass | Finding::Fail { .. } | Finding::Unknown { .. } => finding,
        }
    }
}
