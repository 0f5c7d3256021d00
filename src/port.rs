//! The edge: what the loop needs from the outside, as traits with few methods in the domain's words.
//!
//! They are traits because each has several real implementations (Consul, a directory, the simulation). Every method has
//! a deadline of its own inside its implementation; none blocks for ever. A future that is dropped between two polls
//! leaves the outside as a part of its work would, in the order that its contract names, never something else.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::domain::check::Check;
pub use crate::domain::commit::Commit;
use crate::domain::commit_status::{Posted, StatusContext};
use crate::domain::desired::{DesiredState, FileTree, Selection};
use crate::domain::health::Finding;
use crate::domain::live::{Fence, LiveEntry, LiveState};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::pull::{Comment, CommentId, NewPull, PullNumber, PullRequest};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{
    Answer, Apply, Farewell, HistoryLine, Identity, Recovery, Remains, Request, RequestId, Retention, Save, Stored,
};
use crate::domain::time::Timestamp;

/// What kind of failure a call to the outside was. Policy looks at nothing else, and metrics are labelled by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// May go well later: unreachable, time-out, no leader, 429, 5xx.
    Transient,
    /// Somebody else moved first; look again.
    Conflict,
    /// The other side will not do this: too large, unsupported, invalid.
    Refused,
    /// It is not there.
    NotFound,
    /// We may not.
    Denied,
}

impl EdgeKind {
    /// The metric label.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
        }
    }
}

/// A failed call to the outside: which system, which operation on which thing, and of what kind.
///
/// `Display` names the operation only; the cause is the source, printed once at the edge of the program.
#[derive(Debug)]
pub struct EdgeError {
    /// `consul`, `git`, `directory`, …
    pub system: &'static str,
    /// What was being done to what: "write transaction 3 of 17 to consul.example:8501". Never a secret.
    pub operation: String,
    /// Of what kind the failure is.
    pub kind: EdgeKind,
    /// The cause.
    pub source: Option<Box<dyn Error + Send + Sync>>,
    /// Keys or names that a conflict or a denial is about, when the other side said so.
    pub about: Vec<String>,
    /// What the person who reads this can do.
    pub hint: Option<String>,
    /// The credential is known and lacks a right; the hint says which, as far as the other side told.
    pub lacks_right: bool,
    /// For so many seconds the other side asked to be left alone.
    pub retry_after: Option<u32>,
}

impl EdgeError {
    /// A failure of this kind, with no cause yet.
    #[must_use]
    pub fn new(system: &'static str, kind: EdgeKind, operation: impl Into<String>) -> Self {
        Self {
            system,
            operation: operation.into(),
            kind,
            source: None,
            about: Vec::new(),
            hint: None,
            lacks_right: false,
            retry_after: None,
        }
    }

    /// With its cause: an error, or a text.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With what it is about.
    #[must_use]
    pub fn about(mut self, about: Vec<String>) -> Self {
        self.about = about;
        self
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For want of a right, with what to do about it.
    #[must_use]
    pub fn lacks_right(self, hint: impl Into<String>) -> Self {
        Self { lacks_right: true, ..self.hint(hint) }
    }

    /// Not to be tried again before this has passed, as the other side said.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)), ..self }
    }

    /// How long the other side asked to be left alone, if it did.
    #[must_use]
    pub fn asked_to_wait(&self) -> Option<Duration> {
        self.retry_after.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The operation and every cause below it in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for EdgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.system, self.operation)
    }
}

impl Error for EdgeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// The branch as the mirror has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Where the branch stands.
    pub tip: Tip,
    /// Two fetches by this controller, one poll interval apart and without an error between, agree on it: a rewind may be
    /// believed (rule S1).
    pub confirmed: bool,
    /// The last fetch failed; the mirror may be behind.
    pub trouble: Option<String>,
}

/// Where a branch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tip {
    /// At a commit.
    At(Revision),
    /// The repository has no branch of this name, and had none as far as is known.
    NoBranch(String),
    /// The branch of this name was followed, and is gone from the repository: deleted, whatever else is there.
    Gone(String),
    /// The repository has no commit at all, and had none as far as is known.
    Empty,
    /// Nothing was fetched yet.
    Unfetched,
}

/// How an environment was when a branch had it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSeen {
    /// What its own file said of the name that it had before.
    pub formerly: Option<EnvironmentName>,
    /// The commit that does not have it any more; none: it is there.
    pub gone: Option<Revision>,
}

/// What merging a pull request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// This commit, which can be read like any other.
    At(Revision),
    /// These files conflict, as far as they are told.
    Conflicts(Vec<String>),
    /// The pull request is gone or proposes another commit by now: another look at the proposals is worth it.
    Gone,
}

/// The config repository's mirror.
pub trait Source: Send + Sync {
    /// The branch, as of the last fetch.
    fn head(&self) -> impl Future<Output = Result<Head, EdgeError>> + Send;

    /// Fetches now, with a deadline; the outcome shows in [`Source::head`].
    fn fetch(&self) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// The files of a commit. `NotFound` when the mirror does not have it.
    fn tree(&self, revision: Revision) -> impl Future<Output = Result<FileTree, EdgeError>> + Send;

    /// The selected files of a commit, and no others. Where not said otherwise all of it is read for them.
    fn some_files(&self, revision: Revision, files: &Selection) -> impl Future<Output = Result<FileTree, EdgeError>> + Send {
        async move { Ok(self.tree(revision).await?.selected(files)) }
    }

    /// The paths of the files that are not the same in two commits; none when that is not known, or so many that it is not worth
    /// knowing.
    fn differing(
        &self,
        before: Revision,
        after: Revision,
    ) -> impl Future<Output = Result<Option<Vec<String>>, EdgeError>> + Send {
        let _ = (before, after);
        std::future::ready(Ok(None))
    }

    /// Whether `revision` is `of` or has it among its ancestors. False when the mirror lacks `of`.
    fn descends(&self, revision: Revision, of: Revision) -> impl Future<Output = Result<bool, EdgeError>> + Send;

    /// The commits reachable from `upto` and not from `after`, newest first, at most 1,000 of them.
    /// With no `after`, or one that the mirror lacks: only `upto` itself.
    fn commits(&self, after: Option<Revision>, upto: Revision) -> impl Future<Output = Result<Vec<Commit>, EdgeError>> + Send;

    /// How these environments were when each was there last, going back once from `upto` along first parents, and no further than
    /// to `since`. One that is left out was not there, or nobody knows.
    fn last_seen(
        &self,
        environments: &BTreeSet<EnvironmentName>,
        upto: Revision,
        since: Option<Revision>,
    ) -> impl Future<Output = Result<BTreeMap<EnvironmentName, LastSeen>, EdgeError>> + Send;

    /// Calls `wake` whenever the branch may have moved, until the future is dropped; never, where that can't be known.
    fn watch(&self, wake: &(dyn Fn() + Sync)) -> impl Future<Output = ()> + Send;

    /// Keeps these commits in the mirror whatever happens to the branch, under names of this environment (rule S2). Commits
    /// that the mirror lacks are left out. Where the configuration says so, a later fetch names last good at the origin too.
    fn keep(
        &self,
        environment: &EnvironmentName,
        revisions: &[Revision],
        last_good: Option<Revision>,
    ) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// Keeps nothing any more under names of this environment, which is gone or goes on as `heir`. What a later fetch was to
    /// name at the origin, or had named, goes there too: for an heir not before its own last good is named.
    fn forget(
        &self,
        environment: &EnvironmentName,
        heir: Option<&EnvironmentName>,
    ) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// What each pull request proposes, open or not, as of the last fetch: those with the highest numbers where there are too
    /// many. Asking costs nothing.
    fn proposals(&self) -> impl Future<Output = Result<BTreeMap<PullNumber, Revision>, EdgeError>> + Send {
        std::future::ready(Ok(BTreeMap::new()))
    }

    /// What the branch would be at if a pull request that proposes `head` were merged into `base`: the same commit whenever it
    /// is asked. What it brings in stands beside the mirror, where nothing that deploys looks.
    ///
    /// # Errors
    /// `NotFound` when the mirror lacks `base`; `Refused` for what can't be merged however often it is tried.
    fn merged(
        &self,
        pull: PullNumber,
        head: Revision,
        base: Revision,
    ) -> impl Future<Output = Result<Merged, EdgeError>> + Send {
        let _ = (pull, head, base);
        std::future::ready(Ok(Merged::Gone))
    }
}

/// Who leads an environment.
#[derive(Debug)]
pub enum Leading<L> {
    /// This process does; the lease proves it, and every write takes it.
    Ours(L),
    /// Somebody else does; the text says who.
    Theirs(String),
}

/// What a write left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// What the next write of the record must name.
    pub record: Fence,
    /// Whether the whole plan was written and the closing record with it; if not, `go_on` said stop at a batch boundary.
    pub complete: bool,
    /// Each key that was written, as it is now; none: it is gone.
    pub keys: Vec<(KeyPath, Option<LiveEntry>)>,
}

/// What a target is like, where decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Character {
    /// For messages: "consul at consul.example:8501, datacenter production".
    pub name: String,
    /// How long samples don't count after an apply, where the environment doesn't say (rule H2).
    pub settle: Duration,
    /// Differs whenever the credential does: what was denied is tried again then (rule H6).
    pub rights: u64,
    /// Whether what [`Target::apply`] wrote before it was stopped stays, so that the next one goes on from there.
    pub resumes: bool,
    /// How long the lease of a leader that died lasts at most, until another controller can take it; zero: it ends with its
    /// holder (rule L1).
    pub outlived: Duration,
}

/// What the line of history of a decision about a target says.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Where the branch stood.
    pub revision: Revision,
    /// Who decided it.
    pub by: &'a str,
    /// Why; may be empty.
    pub because: &'a str,
    /// When.
    pub at: Timestamp,
}

/// How a watch tells the loop that a look is worth it. It may be called too often, never too seldom (rule R12).
pub trait Wake: Send + Sync {
    /// A managed key may have changed.
    fn live(&self);
    /// The record, the lease or a request may have changed.
    fn state(&self);
}

/// A place that holds an environment: keys, the record, the lease, history and requests.
pub trait Target: Send + Sync {
    /// Proof of holding the lease. Dropping it does not release it; [`Target::release`] does, and otherwise it runs out.
    type Lease: Send + Sync;

    /// What it is like.
    fn character(&self) -> Character;

    /// The record, read consistently; none when there never was one. A record of another repository, environment or target
    /// id than the configuration's is `Refused`, and so is a target whose record was lost.
    fn load(&self) -> impl Future<Output = Result<Option<Stored>, EdgeError>> + Send;

    /// Makes the first record: allocates an owner id and a random target id. Where the configuration pins the record that is
    /// there, nothing is made and its identity is the answer.
    ///
    /// # Errors
    /// `Refused` when there is another record already, or when there was one that is lost (rule O6).
    fn initialise(&self) -> impl Future<Output = Result<Identity, EdgeError>> + Send;

    /// What is left of an environment whose record was lost; none where a record is there, whatever is wrong with that.
    ///
    /// # Errors
    /// `Denied` when the credential may not see all of it.
    fn remains(&self) -> impl Future<Output = Result<Option<Remains>, EdgeError>> + Send;

    /// Makes the record that was lost anew, in one step with its line of history and the owner entry, where there is none.
    ///
    /// # Errors
    /// `Refused` when somebody else has made one meanwhile; nothing is written then.
    fn recover(&self, recovery: &Recovery, told: &Told<'_>) -> impl Future<Output = Result<Identity, EdgeError>> + Send;

    /// The record of this environment under a name that it had before, which this target may hold in its place: of the same
    /// repository and target. None when there is none.
    fn former(&self, name: &EnvironmentName) -> impl Future<Output = Result<Option<Stored>, EdgeError>> + Send;

    /// Whether the record of a former name could be taken over now, as far as a few small reads show it: asked before all that
    /// taking it over reads and writes.
    ///
    /// # Errors
    /// Those of [`Target::take_over`]; `Refused`, too, when there is a record here already, which only a person takes away; `Denied`
    /// when the credential lacks a right that it takes.
    fn may_take_over(
        &self,
        former: &EnvironmentName,
        identity: &Identity,
    ) -> impl Future<Output = Result<(), EdgeError>> + Send {
        let _ = (former, identity);
        std::future::ready(Ok(()))
    }

    /// Takes over the record of a former name, in one step: made under this name, gone under the other, the owner entry rewritten.
    /// Only while nobody leads it under the other name, the record there is as `expected` says, and there is none here.
    ///
    /// # Errors
    /// `Conflict`, which may pass by itself, when somebody leads it, when it moved or went meanwhile, or when a record was made here
    /// meanwhile; `Refused` when the owner entry is another's. Nothing is written then.
    fn take_over(
        &self,
        former: &EnvironmentName,
        expected: Fence,
        save: &Save,
    ) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// Every key below the environment's roots that the credential may read, read consistently; [`LiveState::partial`]
    /// says when that may not be all.
    fn live(&self) -> impl Future<Output = Result<LiveState, EdgeError>> + Send;

    /// The same, where `before` is what was seen of them: what has not moved since need not be read again. Every target may read
    /// everything.
    fn look_again(&self, before: LiveState) -> impl Future<Output = Result<LiveState, EdgeError>> + Send {
        drop(before);
        self.live()
    }

    /// Which of these keys, none of which [`Target::live`] showed, may be there all the same because the credential may not
    /// read them, each with the right that is missing. Asked only when the look was partial.
    fn hidden(&self, keys: &[KeyPath]) -> impl Future<Output = Result<BTreeMap<KeyPath, String>, EdgeError>> + Send;

    /// Whether the credential may write all of these keys, which it was denied; false where the target can't tell.
    fn permits(&self, keys: &[KeyPath]) -> impl Future<Output = Result<bool, EdgeError>> + Send;

    /// The values of some keys, for showing a plan; absent keys are left out.
    fn values(&self, keys: &[KeyPath]) -> impl Future<Output = Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError>> + Send;

    /// Takes the lease if it is free.
    fn lead(&self) -> impl Future<Output = Result<Leading<Self::Lease>, EdgeError>> + Send;

    /// Who leads, for people; none when nobody does. Asking takes nothing and disturbs nobody.
    fn leader(&self) -> impl Future<Output = Result<Option<String>, EdgeError>> + Send;

    /// Whether the lease is still ours as far as this process knows: only a write can tell for certain.
    fn holds(&self, lease: &Self::Lease) -> bool;

    /// Gives the lease back.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// Moves the record, in one step with its history lines and answers: all or nothing, only while the lease is held and
    /// the record is as `expected` says. The line that [`Save::opens`] names is created and must not exist yet.
    ///
    /// # Errors
    /// `Conflict` when the lease is lost or the record moved; nothing is written then.
    fn save(&self, lease: &Self::Lease, expected: Fence, save: &Save) -> impl Future<Output = Result<Fence, EdgeError>> + Send;

    /// Writes a plan, in one step or in several, each only while the lease is held, the record is ours and each key is as its
    /// change's fence says. The first step carries the opening record, the last one the closing record; sets come before
    /// deletes, and neither in a certain order among themselves. Between two steps it asks `go_on`.
    ///
    /// # Errors
    /// After an error some steps may have been written: look again.
    fn apply(
        &self,
        lease: &Self::Lease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> impl Future<Output = Result<Written, EdgeError>> + Send;

    /// The highest number that history has a line of under this name, whether or not that can be read, and whether or not there is
    /// a record: none is given out twice (rule A5). None: it has no line.
    fn newest_number(&self) -> impl Future<Output = Result<Option<Generation>, EdgeError>> + Send;

    /// History, newest first.
    fn history(&self, at_most: usize) -> impl Future<Output = Result<Vec<HistoryLine>, EdgeError>> + Send;

    /// The open requests of the moment in which this handle took the lease: where the target read them with it, once, and
    /// only just after. What is put down later is news of its own.
    fn requests_at_lead(&self) -> Option<Vec<Request>> {
        None
    }

    /// Requests without an answer, oldest first.
    fn requests(&self) -> impl Future<Output = Result<Vec<Request>, EdgeError>> + Send;

    /// Puts a request down (create only).
    fn submit(&self, request: &Request) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// The answer to a request, if it has one.
    fn answer(&self, id: &RequestId) -> impl Future<Output = Result<Option<Answer>, EdgeError>> + Send;

    /// Forgets a bounded part of what may go of history and answers; nothing when nothing may. Only while the lease is held
    /// and the record is as `expected` says.
    fn forget(
        &self,
        lease: &Self::Lease,
        expected: Fence,
        retention: &Retention,
    ) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// Takes away what lockstep itself holds of an environment whose keys are gone, only while the lease is held and the record
    /// is as `expected` says: requests and answers first, record and owner entry last and together. History stays.
    ///
    /// # Errors
    /// `Conflict` when the lease is lost or the record moved. As long as the record is there, all of it can be done again.
    fn dissolve(
        &self,
        lease: &Self::Lease,
        expected: Fence,
        farewell: &Farewell,
    ) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// Calls `wake` whenever something may have changed, until the future is dropped. It survives every error by itself.
    fn watch(&self, wake: &dyn Wake) -> impl Future<Output = ()> + Send;
}

/// The forge that has the config repository: GitHub, Gitea or Forgejo. It is told what happened, and asked about pull requests;
/// what is deployed comes from git alone.
///
/// Errors are told apart by their kind: `Refused` will not do it however often it is asked (a commit has all the statuses that it
/// can have), `Denied` wants another credential, `Transient` may go well later, and [`EdgeError::retry_after`] says when. After a
/// `Transient` one nobody knows whether a write was made.
pub trait Forge: Send + Sync {
    /// For messages: "gitea at git.example, ops/calvin-config".
    fn name(&self) -> String;

    /// The least time between two writes that the forge asks for.
    fn pace(&self) -> Duration;

    /// The newest status of each of lockstep's contexts at a commit.
    fn statuses(&self, revision: Revision) -> impl Future<Output = Result<BTreeMap<StatusContext, Posted>, EdgeError>> + Send;

    /// Adds a status to a commit.
    fn post(
        &self,
        revision: Revision,
        context: &StatusContext,
        status: &Posted,
    ) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// The open pull requests against a branch, newest first, at most [`PullRequest::MOST`] of them.
    fn pulls(&self, branch: &str) -> impl Future<Output = Result<Vec<PullRequest>, EdgeError>> + Send;

    /// The comments on a pull request that this credential wrote and that contain this text, oldest first.
    fn comments(&self, pull: PullNumber, marker: &str) -> impl Future<Output = Result<Vec<Comment>, EdgeError>> + Send;

    /// Writes a comment.
    fn comment(&self, pull: PullNumber, text: &str) -> impl Future<Output = Result<CommentId, EdgeError>> + Send;

    /// Gives a comment another text; `NotFound` when somebody removed it.
    fn edit(&self, comment: CommentId, text: &str) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// Takes a comment away; one that is gone is no error.
    fn remove(&self, comment: CommentId) -> impl Future<Output = Result<(), EdgeError>> + Send;

    /// The pull requests from a branch of the repository itself, open or not, newest first.
    fn pulls_from(&self, branch: &str) -> impl Future<Output = Result<Vec<PullNumber>, EdgeError>> + Send;

    /// Opens a pull request; `Conflict` when there is one from that branch.
    fn open_pull(&self, pull: &NewPull) -> impl Future<Output = Result<PullNumber, EdgeError>> + Send;
}

/// Carries out health checks.
pub trait Probe: Send + Sync {
    /// Takes one sample, within the check's own time-out. The check's texts are filled in already.
    fn sample(&self, check: &Check) -> impl Future<Output = Finding> + Send;
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Monotonic within one term of leadership: wall time at its start plus what a monotonic clock measured since (rule L3).
    fn now(&self) -> Timestamp;
}

/// Lets time pass and lets work go on beside: tokio in the program, virtual time in the simulation.
pub trait Scheduler: Clone + Send + Sync + 'static {
    /// The clock of one term.
    type Clock: Clock + Clone + 'static;
    /// Work that goes on beside, until it is over or this is dropped.
    type Work: Send;

    /// A clock that starts at the wall clock's time.
    fn clock(&self) -> Self::Clock;

    /// Is over when this time has passed.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// Lets this go on beside.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Self::Work;
}
