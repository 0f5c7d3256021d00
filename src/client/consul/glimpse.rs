//! What the transaction that took the lease has read beside it: record and requests, for whoever leads to begin with.
//!
//! It is handed out once and for a moment only. Whatever happens after that moment rings the watch, is refused by a fence, or
//! is seen at the next look, as with every other read.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::kv::Read;
use super::txn::Found;

/// Whoever has taken the lease looks at once.
const FRESH: Duration = Duration::from_secs(1);

/// What was read, until it is asked for.
#[derive(Debug, Default)]
pub(super) struct Glimpse(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    at: Instant,
    found: Vec<Read>,
    /// Asked for already: the record, and what lies below a prefix.
    taken: [bool; 2],
}

impl Glimpse {
    /// Keeps what a transaction has found.
    pub(super) fn keep(&self, found: Vec<Found>) {
        let found = found.into_iter().map(Read::from).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { at: Instant::now(), found, taken: [false; 2] });
    }

    /// Keeps nothing any more: something was written since.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// This key, the first time that it is asked for.
    pub(super) fn record(&self, key: &str) -> Option<Read> {
        self.take(0, |read| read.key == key)?.pop()
    }

    /// All that lies below this prefix, the first time that it is asked for.
    pub(super) fn below(&self, prefix: &str) -> Option<Vec<Read>> {
        self.take(1, |read| read.key.starts_with(prefix))
    }

    fn take(&self, which: usize, wanted: impl Fn(&Read) -> bool) -> Option<Vec<Read>> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.as_mut().filter(|seen| seen.at.elapsed() < FRESH && !seen.taken[which])?;
        seen.taken[which] = true;
        Some(seen.found.extract_if(.., |read| wanted(read)).collect())
    }
}
