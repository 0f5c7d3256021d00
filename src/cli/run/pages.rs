//! What pages show, read from the targets and kept for a moment: whoever asks again and again asks no Consul.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::cli::edges::AnyTarget;
use crate::cli::error::Failure;
use crate::domain::name::EnvironmentName;
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, Target as _};
use crate::runtime::clock::SystemClock;
use crate::server::pages::{Sight, Sights};

/// How long what was read is shown again.
const FRESH: Duration = Duration::from_secs(2);
/// So many of the newest lines of history are shown.
const LINES: usize = 50;

/// The environments of one controller. Until the repository was read there are none.
#[derive(Default)]
pub(super) struct Pages(OnceLock<BTreeMap<EnvironmentName, Page>>);

struct Page {
    target: AnyTarget,
    clock: SystemClock,
    /// Held while it is read: however many ask, one read answers.
    seen: Mutex<Option<(Timestamp, Sight)>>,
}

impl Pages {
    /// From now on these are shown.
    pub(super) fn open(
        &self,
        targets: impl Iterator<Item = Result<(EnvironmentName, AnyTarget), Failure>>,
    ) -> Result<(), Failure> {
        let page = |target| Page { target, clock: SystemClock::start(), seen: Mutex::default() };
        let pages: BTreeMap<_, _> =
            targets.map(|found| found.map(|(name, target)| (name, page(target)))).collect::<Result<_, _>>()?;
        // A controller opens them once.
        let _ = self.0.set(pages);
        Ok(())
    }
}

impl Sights for Pages {
    async fn of(&self, environment: &EnvironmentName) -> Sight {
        let Some(pages) = self.0.get() else { return Sight::Unreadable };
        let Some(page) = pages.get(environment) else { return Sight::Missing };
        let mut seen = page.seen.lock().await;
        let now = page.clock.now();
        if let Some((_, sight)) = seen.as_ref().filter(|(at, _)| now.since(*at) < FRESH) {
            return sight.clone();
        }
        let sight = page.read().await.unwrap_or_else(|error| {
            tracing::warn!(%environment, error = error.chain(), hint = error.hint, "a page can't be shown");
            Sight::Unreadable
        });
        *seen = Some((now, sight.clone()));
        sight
    }
}

impl Page {
    async fn read(&self) -> Result<Sight, EdgeError> {
        let Some(stored) = self.target.load().await? else { return Ok(Sight::Missing) };
        let lines = self.target.history(LINES).await?;
        Ok(Sight::There(Arc::new((stored.record, lines))))
    }
}
