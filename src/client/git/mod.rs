//! The config repository's mirror, read through libgit2.
//!
//! One [`GitSource`] follows one branch of one repository, on this machine, over https or over ssh. Objects are read from a
//! bare mirror: nothing is checked out, so hooks, filters, symbolic links and submodules of the repository never act. Every
//! fetch has a deadline, a limit on how long nothing may come and one on size, and there is one at a time.

mod fault;
mod address;
mod transport;
mod libgit2;
mod packs;
mod id;
mod proposed;
mod local;
mod mirror;
mod tree;
mod part;
mod merge;
mod pulls;
mod history;
mod trail;
mod names;
mod keep;
mod publish;
mod watch;
mod offline;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::config::{KeepRefs, Repository as Settings, RepositoryUrl};
use crate::domain::desired::{FileTree, Selection};
use crate::domain::name::EnvironmentName;
use crate::domain::pull::PullNumber;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::port::{Clock, Commit, EdgeError, EdgeKind, Head, LastSeen, Merged, Source, Tip};

use address::{address, check_branch, check_path, check_url};
use fault::{fault, overdue};
use mirror::{Mirror, Origin};
use proposed::{Found, Proposals};
use publish::{Exchange, Publishing};
use pulls::Pulls;
use transport::{Bounds, Deadline, Endpoint, Http, Session, Ssh};

pub use libgit2::{prepare, read_unverified};
pub use offline::{find_commit, is_bare, read_commit, read_directory};
pub use trail::{Step, Trail, TrailEnd, Wanted};
pub use tree::TreeLimits;

/// The longest that reading from the mirror may take, and the longest that it waits for those before it: it is a local disk.
const READ: Duration = Duration::from_mins(1);
/// The longest that naming last good at the origin may take: fetches wait for it.
const EXCHANGE: Duration = Duration::from_secs(15);
/// The longest that a fetch may go without a byte or an object: a slow network still brings some.
const PATIENCE: Duration = Duration::from_mins(2);
/// How much longer than its deadline a fetch may take to notice it, before the caller is told without it.
const GRACE: Duration = Duration::from_secs(1);

/// What is the same for every repository, and differs in tests.
#[derive(Debug, Clone)]
pub struct GitOptions {
    /// The ssh client.
    pub ssh: PathBuf,
    /// How much of a revision is read.
    pub tree: TreeLimits,
    /// The most bytes that one fetch may bring.
    pub fetch_at_most: u64,
    /// The longest that a fetch may go without a byte or an object.
    pub patience: Duration,
    /// The most bytes that one pull request may bring.
    pub pull_at_most: u64,
    /// From so many bytes on, what was fetched of pull requests is removed and begun anew.
    pub pulls_at_most: u64,
}

impl Default for GitOptions {
    /// `ssh` from the path, the usual limits on trees, 1 GiB a fetch, two minutes without anything; 64 MiB a pull request, 512 MiB
    /// of all of them.
    fn default() -> Self {
        Self {
            ssh: PathBuf::from("ssh"),
            tree: TreeLimits::default(),
            fetch_at_most: 1 << 30,
            patience: PATIENCE,
            pull_at_most: 64 << 20,
            pulls_at_most: 512 << 20,
        }
    }
}

/// One branch of the config repository. Clones share the mirror and what is known of the branch.
#[derive(Clone)]
pub struct GitSource(Arc<Inner>, Sight);

/// How much of the origin a handle reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// The branch and what was kept of it: all that may ever be deployed.
    Branch,
    /// What was brought in of pull requests, too.
    Proposals,
}

struct Inner {
    settings: Settings,
    options: GitOptions,
    mirror: Mirror,
    pulls: Pulls,
    clock: Arc<dyn Clock>,
    /// Held by the fetch that is under way, by its thread even when nobody waits for it any more.
    lane: Arc<tokio::sync::Mutex<()>>,
    /// Held while the mirror is read, by the thread that reads: a thousand environments that start together must neither make
    /// a thousand threads nor hold a thousand trees in memory.
    readers: Arc<Semaphore>,
    known: Mutex<Known>,
    publishing: Mutex<Publishing>,
}

/// What the fetches of this process found (rule S1).
#[derive(Debug)]
struct Known {
    tip: Tip,
    /// When the first of the fetches without an error since that found this tip had ended.
    since: Option<Timestamp>,
    /// A later one found it again, a poll interval or more after.
    confirmed: bool,
    trouble: Option<String>,
    /// An object could not be read: the next fetch starts afresh.
    damaged: bool,
    /// As the last fetch without an error found them.
    proposals: Proposals,
}

impl GitSource {
    /// Prepares to follow the branch. Reads the mirror of an earlier run if there is one, so that work goes on while the
    /// origin is away; contacts nobody.
    ///
    /// `clock` must never go back while this lives.
    ///
    /// # Errors
    /// `Refused` for an address or a branch that git or ssh could take for something else; `Denied` for an ssh key that
    /// others may read.
    pub fn open(settings: &Settings, data_dir: &Path, clock: Arc<dyn Clock>, options: GitOptions) -> Result<Self, EdgeError> {
        prepare().map_err(|error| fault::from_git("set libgit2 up", error))?;
        check_branch(&settings.branch)?;
        match &settings.url {
            RepositoryUrl::Local(path) => check_path(path)?,
            RepositoryUrl::Http(url) => check_url(url)?,
            RepositoryUrl::Ssh { .. } => {}
        }
        let mirror = Mirror::new(data_dir, &address(&settings.url), &settings.branch);
        // An unreadable mirror is replaced by the first fetch; until then nothing is known.
        let tip = mirror.read(|repository| mirror.last_known(repository)).unwrap_or(Tip::Unfetched);
        let known = Known { tip, since: None, confirmed: false, trouble: None, damaged: false, proposals: Proposals::new() };
        let inner = Inner {
            settings: settings.clone(),
            options,
            pulls: Pulls::beside(&mirror),
            mirror,
            clock,
            lane: Arc::default(),
            readers: Arc::new(Semaphore::new(readers())),
            known: Mutex::new(known),
            publishing: Mutex::default(),
        };
        let source = Self(Arc::new(inner), Sight::Branch);
        if let Some(ssh) = source.0.ssh() {
            ssh.check()?;
        }
        Ok(source)
    }

    /// The same, with what was brought in of pull requests in sight: for looking at merge results, never for deploying.
    #[must_use]
    pub fn with_proposals(&self) -> Self {
        Self(Arc::clone(&self.0), Sight::Proposals)
    }

    /// The same, with nothing but the mirror in sight.
    fn branch_only(&self) -> Self {
        Self(Arc::clone(&self.0), Sight::Branch)
    }

    /// With `keep_refs: push`: names last good at the origin, and brings in what others named there. Each fetch begins to do
    /// it too, for as long as the program runs on; a failure is logged.
    pub async fn exchange_last_good(&self) {
        if let Some(work) = self.exchange() {
            work.await.ok();
        }
    }

    /// Whether a last good commit is not named at the origin yet although it should be.
    #[must_use]
    pub fn has_last_good_to_publish(&self) -> bool {
        self.0.settings.keep_refs == KeepRefs::Push && self.0.publishing().has_news()
    }

    fn exchange(&self) -> Option<JoinHandle<()>> {
        if self.0.settings.keep_refs != KeepRefs::Push || self.0.publishing().work(self.0.clock.now()).is_none() {
            return None;
        }
        let inner = Arc::clone(&self.0);
        Some(spawn_blocking(move || {
            let _turn = Arc::clone(&inner.lane).blocking_lock_owned();
            inner.exchange_marks();
        }))
    }

    /// Runs `work` on the mirror, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        operation: String,
        work: impl FnOnce(&Inner, &git2::Repository) -> Result<T, EdgeError> + Send + 'static,
    ) -> Result<T, EdgeError> {
        let (inner, sight) = (Arc::clone(&self.0), self.1);
        let readers = match sight {
            Sight::Branch => &inner.readers,
            Sight::Proposals => &inner.pulls.readers,
        };
        // Nobody closes it, so the only failure is that those before it hang.
        let Ok(Ok(turn)) = tokio::time::timeout(READ, Arc::clone(readers).acquire_owned()).await else {
            return Err(overdue(format!("{operation} (earlier reads still hang)"), READ));
        };
        let work = spawn_blocking(move || {
            let _turn = turn;
            match sight {
                Sight::Branch => {
                    let outcome = inner.mirror.read(|mirror| work(&inner, mirror));
                    if outcome.as_ref().is_err_and(fault::shows_damage) {
                        inner.known().damaged = true;
                    }
                    outcome
                }
                // What is wrong with a pull request says nothing of the mirror.
                Sight::Proposals => {
                    inner.mirror.read(|mirror| inner.pulls.read(&inner.mirror, mirror, |pulls| work(&inner, pulls)))
                }
            }
        });
        match tokio::time::timeout(READ, work).await {
            Ok(outcome) => outcome.unwrap_or_else(|panic| Err(panicked(operation, panic))),
            Err(_) => Err(overdue(operation, READ)),
        }
    }
}

impl Source for GitSource {
    async fn watch(&self, wake: &(dyn Fn() + Sync)) {
        match &self.0.settings.url {
            RepositoryUrl::Local(path) => watch::watch(path, self.0.settings.poll, wake).await,
            RepositoryUrl::Http(_) | RepositoryUrl::Ssh { .. } => std::future::pending().await,
        }
    }

    async fn head(&self) -> Result<Head, EdgeError> {
        let known = self.0.known();
        Ok(Head { tip: known.tip.clone(), confirmed: known.confirmed, trouble: known.trouble.clone() })
    }

    async fn fetch(&self) -> Result<(), EdgeError> {
        let inner = Arc::clone(&self.0);
        let (limit, patience) = (inner.settings.fetch_timeout, inner.options.patience);
        let late = |what: &str| format!("{} {what}", inner.operation());
        // One at a time: a fetch that hangs in the file system can't be ended, so no second thread follows it.
        let error = match tokio::time::timeout(limit, Arc::clone(&inner.lane).lock_owned()).await {
            Err(_) => overdue(late("(an earlier fetch still hangs)"), limit),
            Ok(turn) => {
                let work = Arc::clone(&inner);
                let deadline = Deadline::within(limit, patience);
                let within = deadline.clone();
                let fetching = spawn_blocking(move || {
                    let _turn = turn;
                    work.fetch_and_note(within)
                });
                match ended(fetching, &deadline).await {
                    Ok(Ok(noted)) => {
                        if noted.is_ok() {
                            // Beside whatever the caller does next: what was fetched must not wait for it.
                            drop(self.exchange());
                        }
                        return noted;
                    }
                    Ok(Err(panic)) => panicked(inner.operation(), panic),
                    Err(StillAtIt) => deadline.passed(late("(it does not even stop)")),
                }
            }
        };
        inner.note(inner.clock.now(), Err(error))
    }

    async fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
        let sight = self.1;
        self.read(format!("read the files of {revision}"), move |inner, mirror| {
            let tree = tree::read(mirror, revision, &inner.options.tree, None);
            if sight == Sight::Branch && tree.as_ref().is_err_and(|error| error.kind == EdgeKind::NotFound) {
                inner.publishing().missed();
            }
            tree
        })
        .await
    }

    async fn some_files(&self, revision: Revision, files: &Selection) -> Result<FileTree, EdgeError> {
        self.part(revision, files.clone()).await
    }

    async fn differing(&self, before: Revision, after: Revision) -> Result<Option<Vec<String>>, EdgeError> {
        match self.changed(before, after).await {
            Ok(paths) => Ok(Some(paths)),
            Err(error) if matches!(error.kind, EdgeKind::NotFound | EdgeKind::Refused) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn descends(&self, revision: Revision, of: Revision) -> Result<bool, EdgeError> {
        let operation = format!("see whether {revision} descends from {of}");
        self.read(operation, move |_, mirror| history::descends(mirror, revision, of)).await
    }

    async fn commits(&self, after: Option<Revision>, upto: Revision) -> Result<Vec<Commit>, EdgeError> {
        let operation = format!("list the commits up to {upto}");
        self.read(operation, move |_, mirror| history::commits(mirror, after, upto)).await
    }

    async fn last_seen(
        &self,
        environments: &BTreeSet<EnvironmentName>,
        upto: Revision,
        since: Option<Revision>,
    ) -> Result<BTreeMap<EnvironmentName, LastSeen>, EdgeError> {
        self.seen_last(environments, upto, since).await
    }

    async fn keep(
        &self,
        environment: &EnvironmentName,
        revisions: &[Revision],
        last_good: Option<Revision>,
    ) -> Result<(), EdgeError> {
        if let Some(last_good) = last_good {
            self.0.publishing().mark(environment, last_good);
        }
        let (environment, revisions) = (environment.clone(), revisions.to_vec());
        let operation = format!("keep the commits of {environment} in the mirror");
        self.branch_only().read(operation, move |_, mirror| keep::keep(mirror, &environment, &revisions)).await
    }

    async fn forget(&self, environment: &EnvironmentName, heir: Option<&EnvironmentName>) -> Result<(), EdgeError> {
        self.0.publishing().forget(environment, heir);
        let environment = environment.clone();
        let operation = format!("let the commits of {environment} go from the mirror");
        let forget = move |_: &Inner, mirror: &git2::Repository| {
            keep::keep(mirror, &environment, &[])?;
            publish::forget_found(mirror, &environment)
        };
        self.branch_only().read(operation, forget).await
    }

    async fn proposals(&self) -> Result<BTreeMap<PullNumber, Revision>, EdgeError> {
        Ok(self.0.known().proposals.clone())
    }

    async fn merged(&self, pull: PullNumber, head: Revision, base: Revision) -> Result<Merged, EdgeError> {
        self.merge_result(pull, head, base).await
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publishing(&self) -> MutexGuard<'_, Publishing> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operation(&self) -> String {
        format!("fetch {} from {}", self.mirror.branch(), self.mirror.origin())
    }

    fn fetch_and_note(&self, deadline: Deadline) -> Result<(), EdgeError> {
        let began = self.clock.now();
        let outcome = self.fetch(deadline);
        self.note(began, outcome)
    }

    fn at_most(&self) -> Bounds {
        Bounds { bytes: self.options.fetch_at_most, objects: usize::MAX }
    }

    /// Brings last good commits in that others named at the origin, and names ours there.
    fn exchange_marks(&self) {
        let Some(work) = self.publishing().work(self.clock.now()) else { return };
        let outcome = self.exchange(Deadline::within(EXCHANGE.min(self.settings.fetch_timeout), EXCHANGE), &work);
        self.publishing().note(work, outcome, self.clock.now());
    }

    fn exchange(&self, deadline: Deadline, work: &Exchange) -> Result<(), EdgeError> {
        let operation = format!("keep last good in {}", self.mirror.origin());
        let (session, origin) = self.session(operation, deadline, self.at_most())?;
        let _alone = self.mirror.lock(&session)?;
        publish::exchange(&self.mirror.open()?, &session, origin, work)
    }

    /// The way to the origin.
    fn session(&self, operation: String, deadline: Deadline, at_most: Bounds) -> Result<(Arc<Session>, Origin<'_>), EdgeError> {
        let (endpoint, origin) = match &self.settings.url {
            RepositoryUrl::Local(path) => (None, Origin::Here(path)),
            RepositoryUrl::Http(url) => (Some(Endpoint::Http(self.http(url)?)), Origin::There),
            RepositoryUrl::Ssh { .. } => (self.ssh().map(Endpoint::Ssh), Origin::There),
        };
        Ok((Arc::new(Session::new(endpoint, operation, deadline, at_most)), origin))
    }

    /// Keeps what a fetch that began then found.
    fn note(&self, began: Timestamp, outcome: Result<Found, EdgeError>) -> Result<(), EdgeError> {
        let now = self.clock.now();
        let mut known = self.known();
        match outcome {
            Ok(Found { tip, proposals }) => {
                known.trouble = None;
                known.proposals = proposals;
                if let Some(since) = known.since.filter(|_| known.tip == tip) {
                    known.confirmed |= began.since(since) >= self.settings.poll;
                } else {
                    (known.since, known.confirmed) = (Some(now), false);
                }
                known.tip = tip;
                Ok(())
            }
            Err(error) => {
                known.trouble = Some(error.chain());
                (known.since, known.confirmed) = (None, false);
                Err(error)
            }
        }
    }

    fn fetch(&self, deadline: Deadline) -> Result<Found, EdgeError> {
        let (session, origin) = self.session(self.operation(), deadline, self.at_most())?;
        let _alone = self.mirror.lock(&session)?;
        let damaged = std::mem::take(&mut self.known().damaged);
        match self.mirror.open_or_make() {
            Ok(repository) if !damaged => self.mirror.fetch(&repository, &session, origin),
            Err(error) if matches!(error.kind, EdgeKind::Denied | EdgeKind::Transient) => Err(error),
            Ok(_) | Err(_) => {
                tracing::warn!(mirror = %self.mirror.path().display(), "the mirror is damaged; fetching it anew");
                self.publishing().missed();
                self.mirror.replace(&session, origin).inspect_err(|_| self.known().damaged = true)
            }
        }
    }

    fn http(&self, url: &str) -> Result<Http, EdgeError> {
        let token = self.settings.token.as_ref().map(crate::config::Credential::read).transpose();
        let token = token
            .map_err(|error| fault(EdgeKind::Denied, self.operation()).because(error).hint("see `token` of the repository"))?;
        Http::new(url, token, self.settings.ca.as_deref())
    }

    fn ssh(&self) -> Option<Ssh> {
        let RepositoryUrl::Ssh { user, host, port, path } = &self.settings.url else { return None };
        Some(Ssh {
            program: self.options.ssh.clone(),
            user: user.clone(),
            host: host.clone(),
            port: *port,
            path: path.clone(),
            key: self.settings.ssh_key.clone(),
            known_hosts: self.settings.known_hosts.clone(),
        })
    }
}

/// How many read from the mirror at once: each keeps a core busy, and the smallest machine has a second read under way while one
/// waits for the disk.
fn readers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 16))
}

/// It went on past its deadline and past [`GRACE`].
struct StillAtIt;

/// Waits for a fetch for as long as something moves in it, and a little longer.
async fn ended<T>(mut fetching: JoinHandle<T>, deadline: &Deadline) -> Result<Result<T, JoinError>, StillAtIt> {
    loop {
        let left = deadline.left();
        match tokio::time::timeout(left.unwrap_or_default() + GRACE, &mut fetching).await {
            Ok(ended) => return Ok(ended),
            Err(_) if deadline.left().is_some() => {}
            Err(_) => return Err(StillAtIt),
        }
    }
}

fn panicked(operation: String, panic: JoinError) -> EdgeError {
    fault(EdgeKind::Transient, operation).because(panic)
}
