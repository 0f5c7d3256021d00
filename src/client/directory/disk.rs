//! The target's operations as plain, blocking file work: [`super::DirectoryTarget`] runs them off the loop's threads.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::fault::{During, fault, of_io};
use super::files::Dir;
use super::lease::DirectoryLease;
use super::manifest::Manifest;
use super::state::{Journal, State, StateError};
use super::version::{CURRENT, VERSIONS, Version};
use super::walk::{LONGEST_READ, Snapshot, live_state, snapshot};
use crate::domain::live::{Fence, LiveState};
use crate::domain::name::{EnvironmentName, KeyPath, KeyRoots, RepositoryName};
use crate::domain::resource::OwnerId;
use crate::domain::revision::Generation;
use crate::domain::rollout::{Answer, HistoryLine, Identity, Request, RequestId, Rollout, Save, Stored, TargetId};
use crate::port::{Clock, EdgeError, EdgeKind, Leading};

/// Bytes of the longest list that is read: a million keys of a hundred bytes.
const LONGEST_MANIFEST: usize = 256 << 20;

/// One environment's directory.
pub(super) struct Disk {
    pub path: PathBuf,
    pub repository: RepositoryName,
    pub environment: EnvironmentName,
    pub roots: KeyRoots,
    pub keep: Duration,
    pub clock: Arc<dyn Clock>,
}

/// The live version as it was read.
pub(super) struct Live {
    pub version: Version,
    pub dir: Dir,
    pub manifest: Option<Manifest>,
    pub snapshot: Snapshot,
}

impl Disk {
    pub(super) fn root(&self, operation: &str) -> Result<Dir, EdgeError> {
        Dir::open(&self.path).during(operation, &self.path)
    }

    pub(super) fn state(&self, operation: &str) -> Result<State, EdgeError> {
        let root = self.root(operation)?;
        State::open(&root).during(operation, &self.path.join(super::state::STATE)).map_err(|error| {
            if error.kind == EdgeKind::NotFound {
                error.hint(format!("this directory was never initialised: run `lockstep init {}`", self.environment))
            } else {
                error
            }
        })
    }

    pub(super) fn fail(&self, operation: &str, error: StateError) -> EdgeError {
        let kind = match error {
            StateError::Io(error) => return of_io(error, operation, &self.path),
            StateError::Wire(_) | StateError::Damaged(_) => EdgeKind::Refused,
            StateError::Moved { .. } | StateError::LineExists(_) => EdgeKind::Conflict,
        };
        EdgeError::new(super::fault::SYSTEM, kind, format!("{operation} {}", self.path.display())).because(error)
    }

    /// A number that changes when somebody gives us other rights here: owner, group or mode of the places we write to.
    pub(super) fn rights(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        for place in ["", VERSIONS, super::state::STATE] {
            let about = std::fs::symlink_metadata(self.path.join(place)).ok();
            about.map(|about| (about.uid(), about.gid(), about.mode())).hash(&mut hash);
        }
        hash.finish()
    }

    pub(super) fn load(&self) -> Result<Option<Stored>, EdgeError> {
        const OPERATION: &str = "read the record in";
        // A directory that is still to be made is a first use; one whose parent is missing is a wrong path.
        let root = match Dir::open(&self.path) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.parent().map(|_| None);
            }
            Err(error) => return Err(error).during(OPERATION, &self.path),
        };
        let Some(journal) = self.journal(&root, OPERATION)? else { return self.first_use(&root).map(|()| None) };
        self.check_identity(OPERATION, &journal.record.identity)?;
        Ok(Some(Stored { record: journal.record, fence: Fence(journal.sequence) }))
    }

    /// The directory that holds this one. Only that one is made, so that a mistyped path is not followed far.
    fn parent(&self) -> Result<Dir, EdgeError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| ".".as_ref());
        Dir::open(parent).during("find the directory that shall hold", &self.path).map_err(|error| match error.kind {
            EdgeKind::NotFound => error.hint(format!(
                "make the parent directory {} first, or correct `path` of {} in the controller's configuration",
                parent.display(),
                self.environment
            )),
            EdgeKind::Transient | EdgeKind::Conflict | EdgeKind::Refused | EdgeKind::Denied => error,
        })
    }

    fn check_identity(&self, operation: &str, found: &Identity) -> Result<(), EdgeError> {
        if found.repository == self.repository && found.environment == self.environment {
            return Ok(());
        }
        let because = format!(
            "it holds environment {} of repository {}, not {} of {}",
            found.environment, found.repository, self.environment, self.repository
        );
        Err(fault(EdgeKind::Refused, format!("{operation} {}", self.path.display()), because)
            .hint("give each environment a directory of its own in the controller's configuration"))
    }

    pub(super) fn initialise(&self) -> Result<Identity, EdgeError> {
        const OPERATION: &str = "initialise";
        let name = name_of(&self.path).during(OPERATION, &self.path)?;
        let parent = self.parent()?;
        if parent.stat(name).during(OPERATION, &self.path)?.is_none() {
            parent.make_new_sub(name, 0o755).during(OPERATION, &self.path)?;
        }
        let root = self.root(OPERATION)?;
        if self.journal(&root, OPERATION)?.is_none() {
            self.first_use(&root)?;
        }
        let state = State::make(&root).during(OPERATION, &self.path)?;
        let identity = self.new_identity()?;
        // The history of an environment that was removed from here stays: no number is given out twice under one name.
        let generation = self.newest_number()?.unwrap_or_default();
        match state.begin(&Save::of(Rollout { generation, ..Rollout::new(identity.clone()) })) {
            Ok(()) => Ok(identity),
            Err(StateError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(fault(EdgeKind::Refused, format!("{OPERATION} {}", self.path.display()), "it has a record already"))
            }
            Err(error) => Err(self.fail(OPERATION, error)),
        }
    }

    /// What the record's file holds; none when there is no such file.
    pub(super) fn journal(&self, root: &Dir, operation: &str) -> Result<Option<Journal>, EdgeError> {
        match State::open(root) {
            Ok(state) => state.journal().map_err(|error| self.fail(operation, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).during(operation, &self.path),
        }
    }

    /// Whether a directory without a record may be taken for one that was never used: a live version says otherwise (rule O6).
    ///
    /// # Errors
    /// `Refused` when the record was lost: in these words for every verb and for the controller.
    fn first_use(&self, root: &Dir) -> Result<(), EdgeError> {
        const OPERATION: &str = "read the record in";
        if root.read_link(CURRENT).during(OPERATION, &self.path)?.is_none() {
            return Ok(());
        }
        // What others had put beside the keys of an environment that was removed stays, and `current` with it.
        let newest = State::open(root).and_then(|state| state.newest_line());
        if newest.is_ok_and(|line| line.is_some_and(|line| line.removal_said(&self.environment).is_some())) {
            return Ok(());
        }
        let because = "it has a live version and no record: the record was lost";
        Err(fault(EdgeKind::Refused, format!("{OPERATION} {}", self.path.display()), because).hint(format!(
            "restore `.lockstep` from a backup, or make the record anew with `lockstep recover {}`; or move `current` and \
                 `versions` away to begin anew",
            self.environment
        )))
    }

    pub(super) fn new_identity(&self) -> Result<Identity, EdgeError> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|error| fault(EdgeKind::Transient, "draw a target id", error.to_string()))?;
        let [a, b, id @ ..] = random;
        let target = format!("{:016x}", u64::from_be_bytes(id));
        // A directory holds one environment, so any owner id is free; 0 alone is none.
        let owner = OwnerId::new(u16::from_le_bytes([a, b]).max(1));
        match (owner, TargetId::parse(&target)) {
            (Some(owner), Some(target)) => {
                Ok(Identity { repository: self.repository.clone(), environment: self.environment.clone(), target, owner })
            }
            _ => Err(fault(EdgeKind::Refused, "draw a target id", "the drawn id is none")),
        }
    }

    /// Which version is live.
    pub(super) fn current(&self, root: &Dir, operation: &str) -> Result<Option<Version>, EdgeError> {
        let link = root.read_link(CURRENT).during(operation, &self.path.join(CURRENT))?;
        let Some(target) = link else { return Ok(None) };
        Version::of_link(&target).map(Some).ok_or_else(|| {
            fault(
                EdgeKind::Refused,
                format!("{operation} {}", self.path.display()),
                format!("`current` points to {:?}, which lockstep did not make", target.to_string_lossy()),
            )
            .hint("point `current` to a directory below versions/, or remove it")
        })
    }

    /// Reads the live version; none when there is none yet.
    pub(super) fn look(&self, root: &Dir, operation: &str) -> Result<Option<Live>, EdgeError> {
        let Some(version) = self.current(root, operation)? else { return Ok(None) };
        let path = self.path.join(VERSIONS).join(version.to_string());
        let versions = match root.sub(VERSIONS) {
            Ok(versions) => versions,
            // Somebody removed everything: nothing is live.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).during(operation, &self.path.join(VERSIONS)),
        };
        let dir = match versions.sub(version.to_string()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).during(operation, &path),
        };
        let manifest = match versions.read(version.manifest(), LONGEST_MANIFEST).during(operation, &path)? {
            Some(bytes) => Manifest::from_text(&bytes)
                // Without its marks every key is drift, and putting that right writes a new list.
                .inspect_err(|problem| tracing::warn!(version = %version, %problem, "the list of a version can't be read"))
                .ok(),
            None => None,
        };
        let snapshot = snapshot(&dir).during(operation, &path)?;
        Ok(Some(Live { version, dir, manifest, snapshot }))
    }

    pub(super) fn live(&self) -> Result<LiveState, EdgeError> {
        const OPERATION: &str = "read the live version in";
        let root = match Dir::open(&self.path) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LiveState::default()),
            Err(error) => return Err(error).during(OPERATION, &self.path),
        };
        let live = self.look(&root, OPERATION)?;
        Ok(live.map_or_else(LiveState::default, |live| {
            live_state(live.version, &live.snapshot, live.manifest.as_ref(), &self.roots)
        }))
    }

    pub(super) fn values(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        const OPERATION: &str = "read values in";
        let root = self.root(OPERATION)?;
        let mut values = BTreeMap::new();
        let Some(version) = self.current(&root, OPERATION)? else { return Ok(values) };
        let limit = usize::try_from(LONGEST_READ).unwrap_or(usize::MAX);
        for key in keys {
            let (folders, name) = key.as_str().rsplit_once('/').map_or(("", key.as_str()), |(folders, name)| (folders, name));
            let version = version.to_string();
            let mut steps = [VERSIONS, version.as_str()].into_iter().chain(folders.split('/').filter(|step| !step.is_empty()));
            let value = match steps.try_fold(root.again().during(OPERATION, &self.path)?, |dir, step| dir.sub(step)) {
                Ok(dir) => dir.read(name, limit),
                Err(error) => Err(error),
            };
            match value {
                Ok(Some(value)) => drop(values.insert(key.clone(), value)),
                Ok(None) => {}
                // A link or a file where the key's folder was: the key itself is absent.
                Err(error) if is_absence(error.kind()) => {}
                Err(error) => return Err(error).during(OPERATION, &self.path.join(CURRENT).join(key.as_str())),
            }
        }
        Ok(values)
    }

    pub(super) fn lead(&self) -> Result<Leading<DirectoryLease>, EdgeError> {
        const OPERATION: &str = "take the lease of";
        let state = self.state(OPERATION)?;
        let lease = match DirectoryLease::take(&state.0).during(OPERATION, &self.path)? {
            Ok(lease) => lease,
            Err(holder) => return Ok(Leading::Theirs(holder)),
        };
        let root = self.root(OPERATION)?;
        state.tidy(self.clock.now()).during("remove what a crash left in", &self.path)?;
        // A `current` that can't be understood is reported when it is needed; until then nothing is removed on its word.
        if let Ok(current) = self.current(&root, OPERATION)
            && let Err(error) = super::keep::tidy_versions(&root, current)
        {
            tracing::warn!(path = %self.path.display(), %error, "what a crash left can't be removed");
        }
        if let Some(journal) = state.journal().map_err(|error| self.fail(OPERATION, error))? {
            state.catch_up(&journal).during("copy history out in", &self.path)?;
        }
        Ok(Leading::Ours(lease))
    }

    /// Who leads. The lock itself is not tried: for that moment nobody else could take it.
    pub(super) fn leader(&self) -> Result<Option<String>, EdgeError> {
        const OPERATION: &str = "read who leads";
        match Dir::open(&self.path).and_then(|root| State::open(&root)) {
            Ok(state) => DirectoryLease::holder(&state.0).during(OPERATION, &self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).during(OPERATION, &self.path),
        }
    }

    /// Before the lease is given back: afterwards the name might be another's. A failure only leaves a name that is
    /// wrong until this process ends.
    pub(super) fn take_name_off(&self, lease: &DirectoryLease) {
        let gone = self.state("give the lease back in").map(|state| lease.take_name_off(&state.0));
        if let Ok(Err(error)) = gone {
            tracing::debug!(path = %self.path.display(), %error, "the holder's name stays");
        }
    }

    pub(super) fn check_lease(&self, lease: &DirectoryLease, state: &State, operation: &str) -> Result<(), EdgeError> {
        if lease.is_held(&state.0).during(operation, &self.path)? {
            return Ok(());
        }
        Err(fault(
            EdgeKind::Conflict,
            format!("{operation} {}", self.path.display()),
            "the lease is lost: somebody removed or replaced `.lockstep/lease`",
        ))
    }

    pub(super) fn save(&self, lease: &DirectoryLease, expected: Fence, save: &Save) -> Result<Fence, EdgeError> {
        const OPERATION: &str = "move the record in";
        let _writing = lease.writing();
        self.save_locked(OPERATION, lease, expected, save)
    }

    /// As [`Self::save`], by somebody who is writing already.
    pub(super) fn save_locked(
        &self,
        operation: &str,
        lease: &DirectoryLease,
        expected: Fence,
        save: &Save,
    ) -> Result<Fence, EdgeError> {
        let state = self.state(operation)?;
        self.check_lease(lease, &state, operation)?;
        let journal = state.journal().map_err(|error| self.fail(operation, error))?;
        let journal = journal
            .ok_or_else(|| fault(EdgeKind::Conflict, format!("{operation} {}", self.path.display()), "the record is gone"))?;
        self.check_identity(operation, &journal.record.identity)?;
        state.save(&journal, expected.0, save).map(Fence).map_err(|error| self.fail(operation, error))
    }

    /// The highest number that history has a line of, whether or not that can be read; none where no state is yet.
    pub(super) fn newest_number(&self) -> Result<Option<Generation>, EdgeError> {
        match Dir::open(&self.path).and_then(|root| State::open(&root)).and_then(|state| state.newest_number()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.during("read history in", &self.path),
        }
    }

    pub(super) fn history(&self, at_most: usize) -> Result<Vec<HistoryLine>, EdgeError> {
        const OPERATION: &str = "read history in";
        self.state(OPERATION)?.history(at_most).map_err(|error| self.fail(OPERATION, error))
    }

    pub(super) fn requests(&self) -> Result<Vec<Request>, EdgeError> {
        const OPERATION: &str = "read requests in";
        self.state(OPERATION)?.requests().map_err(|error| self.fail(OPERATION, error))
    }

    pub(super) fn submit(&self, request: &Request) -> Result<(), EdgeError> {
        const OPERATION: &str = "put a request down in";
        match self.state(OPERATION)?.submit(request) {
            Err(StateError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(fault(EdgeKind::Conflict, format!("{OPERATION} {}", self.path.display()), "its id is taken"))
            }
            other => other.map_err(|error| self.fail(OPERATION, error)),
        }
    }

    pub(super) fn answer(&self, id: &RequestId) -> Result<Option<Answer>, EdgeError> {
        const OPERATION: &str = "read an answer in";
        self.state(OPERATION)?.answer(id).map_err(|error| self.fail(OPERATION, error))
    }
}

fn name_of(path: &std::path::Path) -> io::Result<&std::ffi::OsStr> {
    path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn is_absence(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
