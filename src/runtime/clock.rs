//! Real time: the one place that reads clocks, and the one that starts tasks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::domain::time::Timestamp;
use crate::port::{Clock, Scheduler};

/// Wall time when it was made, plus what the monotonic clock measured since: it never goes back, and a jump of the wall
/// clock moves no deadline (rule L3). Each term of leadership takes a new one.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    wall: Timestamp,
    since: Instant,
}

impl SystemClock {
    /// A clock that starts at the wall clock's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        Self { wall: Timestamp::from_millis(millis), since: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall + self.since.elapsed()
    }
}

/// The scheduler of the program: tokio's timers and tasks. Needs a tokio runtime around it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealTime;

impl Scheduler for RealTime {
    type Clock = SystemClock;
    type Work = AbortOnDropHandle<()>;

    fn clock(&self) -> SystemClock {
        SystemClock::start()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[expect(clippy::disallowed_methods, reason = "the task has an owner: it ends when its handle is dropped")]
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Self::Work {
        AbortOnDropHandle::new(tokio::spawn(work))
    }
}
