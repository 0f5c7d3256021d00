//! A directory as a target: for one machine without Consul, and for a first try.
//!
//! ```text
//! live/test/
//!   current -> versions/17      what programs read: switched by one rename, so a commit becomes visible at once
//!   versions/17/config/…        one file per key, mode 0444
//!   versions/17.manifest        revision and generation of the version; digest and mark of each key
//!   .lockstep/                  record, lease, history, requests, answers: mode 0600
//! ```
//!
//! * A version is never changed by lockstep once it is live. Every plan builds a whole new one beside it, so a reader that
//!   resolved `current` once sees one revision for as long as it keeps that path.
//! * Files that lockstep does not manage are taken along into the next version (sockets, pipes and devices are not): a
//!   switch must not delete what somebody else put there.
//! * The lease is a file lock, so daemon and CLI must run on the same machine, and the directory must not be on a network
//!   file system without locks.

mod files;
mod fault;
mod manifest;
mod version;
mod walk;
mod build;
mod state;
mod keep;
mod lease;
mod disk;
mod apply;
mod dissolve;
mod recover;
mod rename;
mod watch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use self::build::misfits;
pub use self::lease::DirectoryLease;

use self::disk::Disk;
use self::fault::{SYSTEM, fault};
use crate::config;
use crate::domain::desired::DesiredState;
use crate::domain::live::{Fence, LiveState};
use crate::domain::name::{EnvironmentName, KeyPath, RepositoryName};
use crate::domain::revision::Generation;
use crate::domain::rollout::{
    Answer, Apply, Farewell, HistoryLine, Identity, Recovery, Remains, Request, RequestId, Retention, Save, Stored,
};
use crate::port::{Character, Clock, EdgeError, EdgeKind, Leading, Target, Told, Wake, Written};

/// How long reading or moving state may take: a file system that hangs must not hang the loop.
const STATE_LIMIT: Duration = Duration::from_secs(30);
/// How long reading a version may take, and each part of building one: some hundred thousand files on a slow disk.
const VERSION_LIMIT: Duration = Duration::from_mins(10);

/// One environment in a directory of its own.
///
/// All file work runs on the runtime's blocking threads. A call whose future is dropped, or that ran into its deadline, may
/// still finish there; it keeps the lease locked until it has, so nobody else writes meanwhile. A large version stops being
/// built then.
pub struct DirectoryTarget {
    disk: Arc<Disk>,
}

impl std::fmt::Debug for DirectoryTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectoryTarget").field("path", &self.disk.path).finish_non_exhaustive()
    }
}

impl DirectoryTarget {
    /// The target at the configured path, for one environment of one repository. Nothing is read or made yet.
    ///
    /// The clock says how old a version is (`keep`); it is compared with the file system's times.
    #[must_use]
    pub fn new(
        directory: &config::Directory,
        repository: RepositoryName,
        environment: EnvironmentName,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let config::Directory { path, services: _, keep, keys } = directory;
        let disk = Disk { path: path.clone(), repository, environment, roots: keys.clone(), keep: *keep, clock };
        Self { disk: Arc::new(disk) }
    }

    async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Disk) -> Result<T, EdgeError> + Send + 'static,
    ) -> Result<T, EdgeError> {
        let (_, no_borders) = mpsc::channel(1);
        self.attended(limit, no_borders, &|| true, work).await
    }

    /// Takes away what a removal left that was killed at its very end, when there was no record any more.
    ///
    /// # Errors
    /// When the directory can't be read or written.
    pub async fn end_dissolving(&self) -> Result<(), EdgeError> {
        self.run(STATE_LIMIT, Disk::end_dissolving).await
    }

    /// Runs work that asks at its borders whether to go on; the limit is on the silence between two of them.
    async fn attended<T: Send + 'static>(
        &self,
        limit: Duration,
        borders: mpsc::Receiver<Question>,
        go_on: &(dyn Fn() -> bool + Sync),
        work: impl FnOnce(&Disk) -> Result<T, EdgeError> + Send + 'static,
    ) -> Result<T, EdgeError> {
        let disk = Arc::clone(&self.disk);
        let operation = || format!("work in {}", self.disk.path.display());
        match attend(tokio::task::spawn_blocking(move || work(&disk)), limit, borders, go_on).await {
            Some(Ok(result)) => result,
            Some(Err(stopped)) => Err(EdgeError::new(SYSTEM, EdgeKind::Transient, operation()).because(stopped)),
            None => {
                let because = format!("the file system has not answered for {} s", limit.as_secs());
                Err(fault(EdgeKind::Transient, operation(), because))
            }
        }
    }
}

/// Somebody at a border of long work, who waits to hear whether to go on.
type Question = oneshot::Sender<bool>;

/// Waits for work and answers at its borders; none when nothing was heard of it for so long. A border is proof of life: what
/// is large and gets on takes as long as it takes.
async fn attend<W: Future>(
    work: W,
    silence: Duration,
    mut borders: mpsc::Receiver<Question>,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Option<W::Output> {
    tokio::pin!(work);
    loop {
        let question = tokio::select! {
            biased;
            done = &mut work => return Some(done),
            Some(question) = borders.recv() => question,
            () = tokio::time::sleep(silence) => return None,
        };
        // Who asked may be gone by now.
        let _ = question.send(go_on());
    }
}

impl Target for DirectoryTarget {
    type Lease = DirectoryLease;

    fn character(&self) -> Character {
        // Programs read files whenever they like; there is nothing to wait for by default.
        Character {
            name: format!("directory {}", self.disk.path.display()),
            settle: Duration::ZERO,
            rights: self.disk.rights(),
            // Half a version is no version.
            resumes: false,
            // The kernel drops a lock with the process that holds it.
            outlived: Duration::ZERO,
        }
    }

    async fn load(&self) -> Result<Option<Stored>, EdgeError> {
        self.run(STATE_LIMIT, Disk::load).await
    }

    async fn initialise(&self) -> Result<Identity, EdgeError> {
        self.run(STATE_LIMIT, Disk::initialise).await
    }

    async fn remains(&self) -> Result<Option<Remains>, EdgeError> {
        self.run(VERSION_LIMIT, Disk::remains).await
    }

    async fn recover(&self, recovery: &Recovery, told: &Told<'_>) -> Result<Identity, EdgeError> {
        let (recovery, at, revision) = (recovery.clone(), told.at, told.revision);
        let (by, because) = (told.by.to_owned(), told.because.to_owned());
        self.run(STATE_LIMIT, move |disk| disk.recover(&recovery, &Told { revision, by: &by, because: &because, at })).await
    }

    async fn former(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        let name = name.clone();
        self.run(STATE_LIMIT, move |disk| disk.former(&name)).await
    }

    async fn take_over(&self, former: &EnvironmentName, expected: Fence, save: &Save) -> Result<(), EdgeError> {
        let (former, save) = (former.clone(), save.clone());
        self.run(STATE_LIMIT, move |disk| disk.take_over(&former, expected, &save)).await
    }

    async fn live(&self) -> Result<LiveState, EdgeError> {
        self.run(VERSION_LIMIT, Disk::live).await
    }

    async fn hidden(&self, _keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, String>, EdgeError> {
        // A file that may not be read fails the look itself.
        Ok(BTreeMap::new())
    }

    async fn permits(&self, _keys: &[KeyPath]) -> Result<bool, EdgeError> {
        // Other rights show as such: see [`Disk::rights`].
        Ok(false)
    }

    async fn values(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        let keys = keys.to_vec();
        self.run(VERSION_LIMIT, move |disk| disk.values(&keys)).await
    }

    async fn lead(&self) -> Result<Leading<DirectoryLease>, EdgeError> {
        self.run(STATE_LIMIT, Disk::lead).await
    }

    async fn leader(&self) -> Result<Option<String>, EdgeError> {
        self.run(STATE_LIMIT, Disk::leader).await
    }

    fn holds(&self, _lease: &DirectoryLease) -> bool {
        true // The lock of an open file ends with the process and not before.
    }

    async fn release(&self, lease: DirectoryLease) -> Result<(), EdgeError> {
        // The lock goes with its file, once the last write that holds it is through.
        self.run(VERSION_LIMIT, move |disk| {
            drop(lease.writing());
            disk.take_name_off(&lease);
            drop(lease);
            Ok(())
        })
        .await
    }

    async fn save(&self, lease: &DirectoryLease, expected: Fence, save: &Save) -> Result<Fence, EdgeError> {
        let (lease, save) = (lease.clone(), save.clone());
        self.run(STATE_LIMIT, move |disk| disk.save(&lease, expected, &save)).await
    }

    /// A version of few files in one step; a large one in groups of files, then the switch.
    async fn apply(
        &self,
        lease: &DirectoryLease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, EdgeError> {
        // Values are shared, so the copies are small beside the files that are about to be written.
        let (lease, apply, desired) = (lease.clone(), apply.clone(), desired.clone());
        let (border, borders) = mpsc::channel(1);
        self.attended(VERSION_LIMIT, borders, go_on, move |disk| {
            // Nobody who answers is nobody who waits for this write: it stops.
            let may_go_on = || {
                let (answer, heard) = oneshot::channel();
                border.blocking_send(answer).is_ok() && heard.blocking_recv().unwrap_or(false)
            };
            disk.apply(&lease, expected, &apply, &desired, &may_go_on)
        })
        .await
    }

    async fn newest_number(&self) -> Result<Option<Generation>, EdgeError> {
        self.run(STATE_LIMIT, Disk::newest_number).await
    }

    async fn history(&self, at_most: usize) -> Result<Vec<HistoryLine>, EdgeError> {
        self.run(STATE_LIMIT, move |disk| disk.history(at_most)).await
    }

    async fn requests(&self) -> Result<Vec<Request>, EdgeError> {
        self.run(STATE_LIMIT, Disk::requests).await
    }

    async fn submit(&self, request: &Request) -> Result<(), EdgeError> {
        let request = request.clone();
        self.run(STATE_LIMIT, move |disk| disk.submit(&request)).await
    }

    async fn answer(&self, id: &RequestId) -> Result<Option<Answer>, EdgeError> {
        let id = id.clone();
        self.run(STATE_LIMIT, move |disk| disk.answer(&id)).await
    }

    async fn forget(&self, lease: &DirectoryLease, expected: Fence, retention: &Retention) -> Result<(), EdgeError> {
        let (lease, retention) = (lease.clone(), retention.clone());
        self.run(STATE_LIMIT, move |disk| disk.forget_past(&lease, expected, &retention)).await
    }

    async fn dissolve(&self, lease: &DirectoryLease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        let (lease, farewell) = (lease.clone(), farewell.clone());
        self.run(VERSION_LIMIT, move |disk| disk.dissolve(&lease, expected, &farewell)).await
    }

    async fn watch(&self, wake: &dyn Wake) {
        watch::watch(&self.disk.path, wake).await;
    }
}
