//! The one place that reads clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::domain::time::Timestamp;
use crate::port::Clock;

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
