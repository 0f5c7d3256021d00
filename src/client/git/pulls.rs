//! What pull requests propose, beside the mirror and never in it: whoever may open one may put anything in.
//!
//! A second bare repository borrows the mirror's objects and holds what is only in pull requests. It has a lock, a lane and
//! readers of its own, so that nothing about a pull request makes the branch wait, and nothing in it that can't be fetched
//! again: where it is damaged, too large or another mirror's, it is removed whole and begun anew.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use git2::{Direction, ErrorClass, ErrorCode, Repository};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::fault::{Said, fault, from_git, overdue, shows_damage};
use super::id::oid;
use super::mirror::{self, Mirror, Origin};
use super::proposed::named;
use super::transport::{Bounds, Deadline, Session};
use super::{GitSource, Inner, READ, StillAtIt, ended, libgit2, local, merge, packs, panicked};
use crate::domain::pull::PullNumber;
use crate::domain::revision::Revision;
use crate::port::{EdgeError, EdgeKind, Merged};

/// The longest that bringing in a pull request may take.
const BRING: Duration = Duration::from_mins(1);
/// The only ref in it: what is asked for is what this does not reach.
const BASE: &str = "refs/heads/base";
/// From so many files on it is begun anew, however small they are.
const MOST_FILES: u64 = 20_000;
/// What a failure asks for.
const AGAIN: &str = "what was fetched of pull requests is removed and fetched anew; the mirror is not concerned";

/// The repository of what pull requests propose.
pub(super) struct Pulls {
    path: PathBuf,
    /// Readers stand in it while they read, so that it is not removed under them.
    doors: RwLock<()>,
    /// An object in it could not be read.
    damaged: AtomicBool,
    /// Held by the merge that is under way.
    lane: Arc<tokio::sync::Mutex<()>>,
    /// Held while it is read: one at a time, and none of the branch's readers waits for it.
    pub(super) readers: Arc<Semaphore>,
}

impl Pulls {
    pub(super) fn beside(mirror: &Mirror) -> Self {
        Self {
            path: mirror.path().with_extension("pulls"),
            doors: RwLock::default(),
            damaged: AtomicBool::new(false),
            lane: Arc::default(),
            readers: Arc::new(Semaphore::new(1)),
        }
    }

    /// Reads from it, or from the mirror alone where it is not to be used. Whoever calls this stands in the mirror.
    pub(super) fn read<T>(
        &self,
        of: &Mirror,
        mirror: &Repository,
        work: impl FnOnce(&Repository) -> Result<T, EdgeError>,
    ) -> Result<T, EdgeError> {
        let _inside = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        match self.open(of) {
            Ok(pulls) => self.noting_damage(work(&pulls)),
            Err(_) => work(mirror),
        }
    }

    fn noting_damage<T>(&self, outcome: Result<T, EdgeError>) -> Result<T, EdgeError> {
        if outcome.as_ref().is_err_and(shows_damage) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Opens it as it is.
    ///
    /// # Errors
    /// When it is not there whole, or borrows from another mirror than this one.
    fn open(&self, of: &Mirror) -> Result<Repository, EdgeError> {
        let refused = || fault(EdgeKind::Transient, format!("open {}", self.path.display())).hint(AGAIN);
        let made_for = fs::read_to_string(self.path.join("description")).ok();
        if made_for.is_none() || made_for != of.stamp() {
            return Err(refused().because("it is not whole, or of another mirror"));
        }
        mirror::open_exactly(&self.path).map_err(|error| refused().because(Said(error)))
    }

    /// Takes its lock, and makes it where it is not there or not to be used any more.
    fn enter(&self, of: &Mirror, session: &Session, at_most: u64) -> Result<File, EdgeError> {
        let lock = mirror::lock(&self.path.with_extension("pulls-lock"), session)?;
        let Some(stamp) = of.stamp() else {
            return Err(fault(EdgeKind::NotFound, session.operation()).because("nothing was fetched yet"));
        };
        if self.path.exists() {
            let why = match self.open(of) {
                Err(_) => Some("it is not whole, or of another mirror"),
                Ok(_) if self.damaged.load(Ordering::Relaxed) => Some("an object in it could not be read"),
                Ok(_) if !Use::of(&self.path).is_within(at_most) => Some("it is large"),
                Ok(_) => None,
            };
            if let Some(why) = why {
                tracing::info!(repository = %self.path.display(), why, "what was fetched of pull requests is begun anew");
                self.remove()?;
            }
        }
        if !self.path.exists() {
            self.make(of, &stamp)?;
        }
        self.damaged.store(false, Ordering::Relaxed);
        Ok(lock)
    }

    fn make(&self, of: &Mirror, stamp: &str) -> Result<(), EdgeError> {
        mirror::make(&self.path, "not whole yet")?;
        let failed = |error: io::Error| fault(EdgeKind::Transient, format!("make {}", self.path.display())).because(error);
        // Both lie in one directory, whose own name may hold what this file can't.
        let mirror = of.path().file_name().unwrap_or_default().to_string_lossy();
        fs::write(self.path.join("objects/info/alternates"), format!("../../{mirror}/objects\n")).map_err(failed)?;
        // Last: without it nobody uses this.
        fs::write(self.path.join("description"), stamp).map_err(failed)
    }

    fn remove(&self) -> Result<(), EdgeError> {
        let _alone = self.doors.write().unwrap_or_else(PoisonError::into_inner);
        // First: what is left after a crash is not whole.
        fs::remove_file(self.path.join("description")).ok();
        mirror::remove(&self.path)
    }
}

/// How much of the disk a directory takes.
#[derive(Default)]
struct Use {
    files: u64,
    bytes: u64,
}

impl Use {
    fn of(directory: &Path) -> Self {
        let mut all = Self::default();
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                all.files += 1;
                all.bytes += metadata.blocks() * 512;
                if metadata.is_dir() {
                    directories.push(entry.path());
                }
            }
        }
        all
    }

    fn is_within(&self, at_most: u64) -> bool {
        self.files <= MOST_FILES && self.bytes <= at_most
    }
}

impl GitSource {
    /// What merging this pull request comes to.
    pub(super) async fn merge_result(&self, pull: PullNumber, head: Revision, base: Revision) -> Result<Merged, EdgeError> {
        let merged = self.try_to_merge(pull, head, base).await;
        if merged.is_err() && self.0.pulls.damaged.load(Ordering::Relaxed) {
            // Once: it is begun anew, so whatever is wrong now is wrong with the pull request or with the mirror.
            return self.try_to_merge(pull, head, base).await;
        }
        merged
    }

    async fn try_to_merge(&self, pull: PullNumber, head: Revision, base: Revision) -> Result<Merged, EdgeError> {
        let inner = Arc::clone(&self.0);
        let operation = format!("merge pull request {pull} of {}", inner.mirror.origin());
        let limit = BRING.min(inner.settings.fetch_timeout);
        let Ok(turn) = tokio::time::timeout(limit, Arc::clone(&inner.pulls.lane).lock_owned()).await else {
            return Err(overdue(format!("{operation} (an earlier one still hangs)"), limit));
        };
        let deadline = Deadline::within(limit, inner.options.patience);
        let (work, text, within) = (Arc::clone(&inner), operation.clone(), deadline.clone());
        let bringing = spawn_blocking(move || (turn, work.bring(pull, head, base, text, within)));
        let (turn, lock) = match ended(bringing, &deadline).await {
            Ok(Ok((turn, brought))) => match brought? {
                Some(lock) => (turn, lock),
                None => return Ok(Merged::Gone),
            },
            Ok(Err(panic)) => return Err(panicked(operation, panic)),
            Err(StillAtIt) => return Err(deadline.passed(format!("{operation} (it does not even stop)"))),
        };
        let merging = spawn_blocking(move || {
            let _alone = (turn, lock);
            inner.merge(head, base)
        });
        match tokio::time::timeout(READ, merging).await {
            Ok(outcome) => outcome.unwrap_or_else(|panic| Err(panicked(operation, panic))),
            Err(_) => Err(overdue(operation, READ)),
        }
    }
}

impl Inner {
    /// Stands in no door of the mirror: a merge that takes long must not make the branch wait. What is taken away from the mirror
    /// meanwhile is found elsewhere in it, or is a failure that the next try does not have.
    fn merge(&self, head: Revision, base: Revision) -> Result<Merged, EdgeError> {
        let _inside = self.pulls.doors.read().unwrap_or_else(PoisonError::into_inner);
        let merged = self.pulls.open(&self.mirror).and_then(|pulls| merge::merge(&pulls, &self.options.tree, head, base));
        self.pulls.noting_damage(merged)
    }

    /// Brings in what a pull request proposes, where it is not there yet. None: it is gone, or proposes another commit.
    fn bring(
        &self,
        pull: PullNumber,
        head: Revision,
        base: Revision,
        operation: String,
        deadline: Deadline,
    ) -> Result<Option<File>, EdgeError> {
        let at_most = Bounds { bytes: self.options.pull_at_most, objects: self.options.tree.entries };
        let (session, origin) = self.session(operation, deadline, at_most)?;
        let lock = self.pulls.enter(&self.mirror, &session, self.options.pulls_at_most)?;
        let pulls = self.pulls.open(&self.mirror)?;
        let has = |revision: Revision| match pulls.find_commit(oid(revision)) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
            Err(error) => {
                let mut fault = from_git(session.operation(), error);
                fault.kind = EdgeKind::Transient;
                self.pulls.noting_damage(Err(fault))
            }
        };
        if !has(base)? {
            return Err(fault(EdgeKind::NotFound, session.operation()).because(format!("the mirror does not have {base}")));
        }
        if has(head)? {
            return Ok(Some(lock));
        }
        // Nobody else holds it: this one's lock is held.
        mirror::free(&pulls, BASE, Duration::ZERO);
        let based = pulls.reference(BASE, oid(base), true, "base");
        based.map_err(|error| from_git(format!("write {BASE} of {}", self.pulls.path.display()), error))?;
        let is_there = match origin {
            Origin::Here(path) => from_here(&pulls, path, pull, head, &session)?,
            Origin::There => self.over_network(&pulls, pull, head, &session)?,
        };
        if !is_there {
            return Ok(None);
        }
        if !has(head)? {
            return Err(fault(EdgeKind::Refused, session.operation()).because(format!("{head} is no commit")));
        }
        packs::tidy(&pulls, &session, &self.pulls.doors)?;
        Ok(Some(lock))
    }

    fn over_network(
        &self,
        pulls: &Repository,
        pull: PullNumber,
        head: Revision,
        session: &Arc<Session>,
    ) -> Result<bool, EdgeError> {
        let failed = |error: git2::Error| {
            // What it has does not fit what came; or what came is broken.
            if matches!(error.class(), ErrorClass::Indexer | ErrorClass::Odb | ErrorClass::Zlib) {
                self.pulls.damaged.store(true, Ordering::Relaxed);
            }
            libgit2::failure(session, error)
        };
        libgit2::within(session, || {
            let wanted = named(pull);
            let mut remote = pulls.remote_anonymous(libgit2::REMOTE).map_err(failed)?;
            let mut connection = remote.connect_auth(Direction::Fetch, None, None).map_err(failed)?;
            let heads = connection.list().map_err(failed)?;
            if !heads.iter().any(|there| there.name() == wanted && there.oid() == oid(head)) {
                return Ok(false);
            }
            libgit2::download(&mut connection, &[&wanted], session).map_err(failed)?;
            Ok(true)
        })
    }
}

/// The same from a repository on this machine.
fn from_here(pulls: &Repository, path: &Path, pull: PullNumber, head: Revision, session: &Session) -> Result<bool, EdgeError> {
    let origin = local::open(path)?;
    session.go_on()?;
    if origin.refname_to_id(&named(pull)).ok() != Some(oid(head)) {
        return Ok(false);
    }
    if origin.find_commit(oid(head)).is_err() {
        return Err(fault(EdgeKind::Refused, session.operation()).because(format!("{head} is no commit")));
    }
    local::send(&origin, pulls, oid(head), session)?;
    Ok(true)
}
