//! Places for requests: as many as there may be connections, each used by one request at a time (rule A10).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

/// An HTTP client takes a connection back a moment after the answer on it was read; a request that comes sooner would open
/// another one. It takes microseconds, and two transactions under way at a time must not wait for it: a place rests longer
/// than this while the other one is answered.
const HANDING_BACK: Duration = Duration::from_millis(1);

/// The places of one client.
#[derive(Debug)]
pub(super) struct Slots {
    permits: Semaphore,
    /// When each free place was left, oldest first: one request after the other takes another place and never waits.
    left: Mutex<VecDeque<Option<Instant>>>,
}

/// One place; dropping it frees it.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    _permit: SemaphorePermit<'a>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self { permits: Semaphore::new(count), left: Mutex::new(VecDeque::from(vec![None; count])) }
    }

    /// A place, first come first served; none within `patience`.
    pub(super) async fn take(&self, patience: Duration) -> Option<Slot<'_>> {
        let permit = timeout(patience, self.permits.acquire()).await.ok()?.ok()?;
        let slot = Slot { slots: self, _permit: permit };
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(Some(left)) = left {
            sleep_until(left + HANDING_BACK).await;
        }
        Some(slot)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.slots.left.lock().unwrap_or_else(PoisonError::into_inner).push_back(Some(Instant::now()));
    }
}
