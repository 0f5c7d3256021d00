//! The bare mirror on disk: made, checked, filled from the origin, and kept in few packs.
//!
//! Its directory is named after the origin's address, so two origins never mix, and nothing in it is ever checked out:
//! hooks, filters and attributes have no place to run. Whatever is in it can be fetched again.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::fault::{Said, fault, from_git};
use super::id::{oid, revision};
use super::libgit2;
use super::proposed::{Found, proposals};
use super::transport::Session;
use super::{local, packs};
use crate::domain::revision::{Revision, ValueDigest};
use crate::port::{EdgeError, EdgeKind, Tip};
use git2::{Direction, ErrorClass, ErrorCode, Oid, Repository, RepositoryInitOptions, RepositoryOpenFlags};

/// Below this the mirror keeps where branches of the origin stood at the last fetch.
const TRACKED: &str = "refs/remotes/origin/";
/// Below this it keeps where a branch stood last that is gone from the origin since.
const GONE: &str = "refs/gone/";
/// Below this the mirror keeps commits for environments (rule S2).
pub(super) const KEPT: &str = "refs/lockstep/";
/// Whom a fetch may wait for.
const ELSEWHERE: &str = "another lockstep on this machine fetches into the same `data_dir`; what is here serves meanwhile";
/// How long to wait before asking again for a lock that another process holds.
const LOCKED: Duration = Duration::from_millis(20);

/// The mirror of one branch of one origin.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    path: PathBuf,
    /// The origin's address as people write it, without credentials.
    origin: String,
    branch: String,
    /// Readers stand in it while they read, so that no file vanishes under them.
    doors: Arc<RwLock<()>>,
}

impl Mirror {
    pub(super) fn new(data_dir: &Path, origin: &str, branch: &str) -> Self {
        // A digest, since an address may hold characters that a file name can't.
        let name = ValueDigest::of(origin.as_bytes()).to_string();
        Self {
            path: data_dir.join(format!("mirror-{}.git", &name[..16])),
            origin: origin.to_owned(),
            branch: branch.to_owned(),
            doors: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn branch(&self) -> &str {
        &self.branch
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Opens the mirror as it is.
    ///
    /// # Errors
    /// `NotFound` when there is none yet, `Refused` when it is another origin's or no repository.
    pub(super) fn open(&self) -> Result<Repository, EdgeError> {
        let operation = || format!("open the mirror {}", self.path.display());
        if !self.path.exists() {
            return Err(fault(EdgeKind::NotFound, operation()).because("nothing was fetched yet"));
        }
        let repository = open_exactly(&self.path).map_err(|error| match (error.code(), error.class()) {
            (ErrorCode::Owner, _) => from_git(operation(), error),
            (_, ErrorClass::Os) => fault(EdgeKind::Transient, operation())
                .because(Said(error))
                .hint("if this stays, remove that directory: it holds nothing that cannot be fetched again"),
            _ => fault(EdgeKind::Refused, operation()).because(Said(error)),
        })?;
        let of = fs::read_to_string(self.path.join("description")).unwrap_or_default();
        if of.trim_end() != self.origin {
            return Err(fault(EdgeKind::Refused, operation()).because("it is the mirror of another repository"));
        }
        Ok(repository)
    }

    /// Reads from the mirror, or writes refs, while nothing is taken away from it.
    ///
    /// # Errors
    /// As [`Self::open`], and those of `work`.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Repository) -> Result<T, EdgeError>) -> Result<T, EdgeError> {
        let _inside = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        work(&self.open()?)
    }

    /// The lock that keeps other processes from writing to this mirror meanwhile; it ends with the file.
    pub(super) fn lock(&self, session: &Session) -> Result<File, EdgeError> {
        lock(&self.path.with_extension("lock"), session)
    }

    /// What differs from one mirror in this place to the next. None: there is none.
    pub(super) fn stamp(&self) -> Option<String> {
        // Written once, when it is made.
        let made = fs::metadata(self.path.join("config")).ok()?;
        Some(format!("{} {}.{} {}", made.ino(), made.mtime(), made.mtime_nsec(), self.origin))
    }

    /// Opens the mirror for a fetch, making it where there is none.
    ///
    /// # Errors
    /// `Refused` when it is there but can't be used: the caller replaces it.
    pub(super) fn open_or_make(&self) -> Result<Repository, EdgeError> {
        // A process that ended while it replaced the mirror left the old one aside; it may hold what the origin has not.
        if !self.path.exists() && fs::rename(self.aside(), &self.path).is_err() {
            self.make()?;
        }
        let repository = self.open()?;
        self.recorded(&repository)?;
        Ok(repository)
    }

    /// Makes an empty mirror.
    fn make(&self) -> Result<(), EdgeError> {
        let repository = make(&self.path, &self.origin)?;
        // A kept commit may be nowhere else by the time the power fails.
        let careful = repository.config().and_then(|mut config| config.set_bool("core.fsyncObjectFiles", true));
        careful.map_err(|error| from_git(format!("make the mirror {}", self.path.display()), error))
    }

    /// Fetches into a new mirror, which then takes this one's place: readers have the old one until it is complete. The
    /// commits that were kept for environments come over as far as they can still be read.
    pub(super) fn replace(&self, session: &Arc<Session>, from: Origin<'_>) -> Result<Found, EdgeError> {
        let fresh = Self { path: self.path.with_extension("new"), ..self.clone() };
        remove(&fresh.path)?;
        let repository = fresh.open_or_make()?;
        let found = fresh.fetch(&repository, session, from)?;
        let failed = |error: std::io::Error| {
            fault(EdgeKind::Transient, format!("replace the mirror {}", self.path.display())).because(error)
        };
        remove(&self.aside())?;
        {
            // From here on nobody keeps another commit in the old one.
            let _alone = self.doors.write().unwrap_or_else(PoisonError::into_inner);
            self.carry_over(&repository, session)?;
            drop(repository);
            fs::rename(&self.path, self.aside()).map_err(failed)?;
            fs::rename(&fresh.path, &self.path).map_err(failed)?;
        }
        remove(&self.aside())?;
        Ok(found)
    }

    /// Brings the commits that are kept here into another mirror of the same origin.
    ///
    /// # Errors
    /// When time runs out: then the old mirror stays. A commit that can't be read any more is no error.
    fn carry_over(&self, to: &Repository, session: &Session) -> Result<(), EdgeError> {
        let Ok(old) = self.open() else { return Ok(()) };
        for reference in old.references_glob(&format!("{KEPT}*")).into_iter().flatten().flatten() {
            let (Ok(name), Some(id)) = (reference.name(), reference.target()) else { continue };
            let saved = local::send(&old, to, id, session)
                .and_then(|()| to.reference(name, id, true, "replace").map_err(|error| from_git(name, error)));
            session.go_on()?;
            if let Err(error) = saved {
                tracing::warn!(reference = name, error = %error.chain(), "a kept commit is lost with the old mirror");
            }
        }
        Ok(())
    }

    /// Where the old mirror is while a new one takes its place.
    fn aside(&self) -> PathBuf {
        self.path.with_extension("old")
    }

    /// Where the branch stood at the last fetch, checked to be a commit that can be read.
    pub(super) fn recorded(&self, repository: &Repository) -> Result<Option<Oid>, EdgeError> {
        let operation = || format!("read the branch {} in the mirror {}", self.branch, self.path.display());
        match repository.refname_to_id(&self.tracked()) {
            Ok(id) => {
                repository.find_commit(id).map_err(|error| fault(EdgeKind::Refused, operation()).because(Said(error)))?;
                Ok(Some(id))
            }
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(fault(EdgeKind::Refused, operation()).because(Said(error))),
        }
    }

    /// Brings the branch in. When it stands where it stood, nothing is written.
    pub(super) fn fetch(&self, repository: &Repository, session: &Arc<Session>, from: Origin<'_>) -> Result<Found, EdgeError> {
        let Found { tip, proposals } = match from {
            Origin::Here(path) => local::fetch(repository, path, &self.branch, self.recorded(repository)?, session)?,
            Origin::There => self.fetch_over_network(repository, session)?,
        };
        session.go_on()?;
        let was_there = self.recorded(repository)?.is_some() || self.is_gone(repository);
        let (tip, id) = match tip {
            Tip::At(revision) => {
                let id = oid(revision);
                self.check_history(repository, id, session)?;
                (tip, Some(id))
            }
            // Whatever else the origin has or has not, this is what matters to whoever follows the branch.
            Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty if was_there => (Tip::Gone(self.branch.clone()), None),
            Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty | Tip::Unfetched => (tip, None),
        };
        self.record(repository, id)?;
        packs::tidy(repository, session, &self.doors)?;
        Ok(Found { tip, proposals })
    }

    fn fetch_over_network(&self, repository: &Repository, session: &Arc<Session>) -> Result<Found, EdgeError> {
        let failed = |error| libgit2::failure(session, error);
        libgit2::within(session, || {
            let wanted = self.at_origin();
            let mut remote = repository.remote_anonymous(libgit2::REMOTE).map_err(failed)?;
            let mut connection = remote.connect_auth(Direction::Fetch, None, None).map_err(failed)?;
            let heads = connection.list().map_err(failed)?;
            let proposals = proposals(heads.iter().map(|head| (head.name(), head.oid())));
            let tip = heads.iter().find(|head| head.name() == wanted).map(git2::RemoteHead::oid);
            let Some(tip) = tip else {
                // A detached HEAD is no branch, and holds commits all the same.
                let any = heads.iter().any(|head| !head.oid().is_zero());
                let tip = if any { Tip::NoBranch(self.branch.clone()) } else { Tip::Empty };
                return Ok(Found { tip, proposals });
            };
            if self.recorded(repository)? != Some(tip) {
                libgit2::download(&mut connection, &[&wanted], session).map_err(failed)?;
            }
            Ok(Found { tip: Tip::At(revision(tip)), proposals })
        })
    }

    /// A commit whose ancestors are missing would make every later question about descent a guess.
    fn check_history(&self, repository: &Repository, tip: Oid, session: &Session) -> Result<(), EdgeError> {
        if self.recorded(repository)? == Some(tip) {
            return Ok(());
        }
        let broken = |error: git2::Error| {
            fault(EdgeKind::Refused, session.operation())
                .because(Said(error))
                .hint("the origin did not send the whole history: is it a shallow clone? Run `git fetch --unshallow` there")
        };
        let mut walk = repository.revwalk().map_err(broken)?;
        walk.push(tip).map_err(broken)?;
        for reference in repository.references().map_err(broken)?.flatten() {
            if let Some(id) = reference.target() {
                walk.hide(id).map_err(broken)?;
            }
        }
        for commit in walk {
            commit.map_err(broken)?;
            session.go_on()?;
        }
        Ok(())
    }

    /// Whether the branch was at the origin once and was not at the last fetch.
    fn is_gone(&self, repository: &Repository) -> bool {
        repository.refname_to_id(&self.gone()).is_ok()
    }

    /// What the last fetch of an earlier run found.
    ///
    /// # Errors
    /// When the mirror can't be read; the next fetch replaces it.
    pub(super) fn last_known(&self, repository: &Repository) -> Result<Tip, EdgeError> {
        Ok(match self.recorded(repository)? {
            Some(id) => Tip::At(revision(id)),
            None if self.is_gone(repository) => Tip::Gone(self.branch.clone()),
            None => Tip::Unfetched,
        })
    }

    /// Where the branch stood last, once it is gone.
    pub(super) fn last_stood(&self, repository: &Repository) -> Option<Revision> {
        repository.refname_to_id(&self.gone()).ok().map(revision)
    }

    /// Writes down where the branch stands, or stood last, and forgets branches that are no longer followed.
    fn record(&self, repository: &Repository, tip: Option<Oid>) -> Result<(), EdgeError> {
        let tracked = self.tracked();
        let failed = |error| from_git(format!("write {tracked} in the mirror"), error);
        // The lock of the whole mirror is held, so one of a ref was left by a process that was killed while it wrote: it would keep
        // every later fetch from ending.
        for name in [&tracked, &self.gone()] {
            free(repository, name, Duration::ZERO);
        }
        if let Some(last) = self.recorded(repository)?.filter(|_| tip.is_none()) {
            repository.reference(&self.gone(), last, true, "the branch is gone").map_err(failed)?;
        }
        let keep = if tip.is_some() { tracked.clone() } else { self.gone() };
        for place in [TRACKED, GONE] {
            for mut reference in repository.references_glob(&format!("{place}*")).map_err(failed)?.flatten() {
                if reference.name().ok() != Some(&keep) {
                    reference.delete().map_err(failed)?;
                }
            }
        }
        if let Some(tip) = tip
            && repository.refname_to_id(&tracked).ok() != Some(tip)
        {
            repository.reference(&tracked, tip, true, "fetch").map_err(failed)?;
        }
        Ok(())
    }

    fn tracked(&self) -> String {
        format!("{TRACKED}{}", self.branch)
    }

    fn gone(&self) -> String {
        format!("{GONE}{}", self.branch)
    }

    fn at_origin(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }
}

/// Takes the lock in this file, which ends when the file is closed.
pub(super) fn lock(path: &Path, session: &Session) -> Result<File, EdgeError> {
    let failed = |error: std::io::Error| {
        fault(EdgeKind::Transient, format!("lock {}", path.display()))
            .because(error)
            .hint("`data_dir` must be writable and have room")
    };
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    }
    let file = File::options().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    loop {
        match file.try_lock() {
            Ok(()) => {
                session.go_on()?;
                return Ok(file);
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            // Another lockstep on this machine fetches into the same `data_dir`.
            Err(TryLockError::WouldBlock) => session.in_time().map_err(|late| late.hint(ELSEWHERE))?,
        }
        std::thread::sleep(LOCKED);
    }
}

/// Opens the bare repository that is exactly at this path.
pub(super) fn open_exactly(path: &Path) -> Result<Repository, git2::Error> {
    let exactly_here = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT | RepositoryOpenFlags::BARE;
    Repository::open_ext(path, exactly_here, std::iter::empty::<&std::ffi::OsStr>())
}

/// Makes an empty bare repository.
pub(super) fn make(path: &Path, description: &str) -> Result<Repository, EdgeError> {
    let operation = || format!("make the repository {}", path.display());
    let failed = |error: std::io::Error| {
        fault(EdgeKind::Transient, operation()).because(error).hint("`data_dir` must be writable and have room")
    };
    // The repository may hold what not every user of this machine should read.
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mut options = RepositoryInitOptions::new();
    // Without a template of the machine's no hooks come in.
    options.bare(true).external_template(false).description(description).initial_head("lockstep");
    let repository = Repository::init_opts(path, &options).map_err(|error| from_git(operation(), error))?;
    // libgit2 puts an example there; an empty repository has nothing that could ever run.
    remove(&path.join("hooks"))?;
    Ok(repository)
}

/// Removes the lock of a ref that a process which was killed while it wrote left behind: nobody else ever would. One that is
/// younger than `left` may be held.
pub(super) fn free(mirror: &Repository, name: &str, left: Duration) {
    let lock = mirror.path().join(format!("{name}.lock"));
    let age = lock.metadata().and_then(|lock| lock.modified()).map(|since| since.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age >= left) && fs::remove_file(&lock).is_ok() {
        tracing::warn!(lock = %lock.display(), "a process was killed while it wrote to the mirror; the lock that it left is removed");
    }
}

pub(super) fn remove(directory: &Path) -> Result<(), EdgeError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(fault(EdgeKind::Transient, format!("remove {}", directory.display())).because(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where a fetch takes its objects from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// A repository on this machine.
    Here(&'a Path),
    /// The session's endpoint.
    There,
}
