//! The mirror against real repositories: on this machine, behind real `git http-backend`, and behind an ssh that answers as
//! one does; and against the servers and repositories that wish it no good.

mod behaviour;
mod hostile;
mod kept;
mod network;
mod ssh;
mod part;
mod pulls;
mod proposed;
mod trail;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lockstep::client::git::{GitOptions, GitSource};
use lockstep::config::{KeepRefs, Repository, RepositoryUrl};
use lockstep::domain::desired::{FileTree, Node};
use lockstep::domain::revision::Revision;
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, EdgeError, EdgeKind, Head, Source, Tip};
use tempfile::TempDir;
use tokio::time::Instant;

/// The poll interval of all tests here.
const POLL: Duration = Duration::from_secs(30);

fn no_branch() -> Tip {
    Tip::NoBranch("main".to_owned())
}

fn gone() -> Tip {
    Tip::Gone("main".to_owned())
}

/// A clock that the test moves.
#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A controller's data directory, its settings and its clock.
struct Place {
    data: TempDir,
    clock: Arc<Hand>,
    settings: Repository,
    options: GitOptions,
}

impl Place {
    fn of(url: RepositoryUrl) -> Self {
        let settings = Repository {
            url,
            branch: "main".to_owned(),
            poll: POLL,
            fetch_timeout: Duration::from_secs(30),
            token: None,
            ssh_key: None,
            known_hosts: None,
            ca: None,
            keep_refs: KeepRefs::Mirror,
        };
        Self { data: tempfile::tempdir().unwrap(), clock: Arc::default(), settings, options: GitOptions::default() }
    }

    fn local(path: &Path) -> Self {
        Self::of(RepositoryUrl::Local(path.to_owned()))
    }

    fn http(url: &str) -> Self {
        Self::of(RepositoryUrl::Http(url.to_owned()))
    }

    fn open(&self) -> GitSource {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<GitSource, EdgeError> {
        GitSource::open(&self.settings, self.data.path(), self.clock.clone(), self.options.clone())
    }

    fn later(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The mirrors in the data directory.
    fn mirrors(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.data.path()).unwrap();
        let mut mirrors: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
        mirrors.sort();
        mirrors
    }

    fn mirror(&self) -> PathBuf {
        let [mirror] = self.mirrors().try_into().unwrap();
        mirror
    }

    /// A file with a credential in it.
    fn secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.data.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

async fn fetched(source: &GitSource) -> Head {
    source.fetch().await.unwrap_or_else(|error| panic!("{}", error.chain()));
    source.head().await.unwrap()
}

/// A fetch that fails, within its deadline and a little, in this way and saying this; the head says so too.
#[track_caller]
fn check_failure(began: Instant, limit: Duration, error: &EdgeError, head: &Head, kind: EdgeKind, says: &str) {
    let text = format!("{} ({})", error.chain(), error.hint.as_deref().unwrap_or_default());
    assert_eq!(error.kind, kind, "{text}");
    assert!(text.contains(says), "{text:?} does not say {says:?}");
    assert!(began.elapsed() < limit + Duration::from_secs(3), "it took {:?}", began.elapsed());
    assert!(!head.confirmed);
    assert_eq!(head.trouble.as_deref(), Some(error.chain().as_str()));
}

async fn check_fetch_fails(source: &GitSource, limit: Duration, kind: EdgeKind, says: &str) {
    let began = Instant::now();
    let error = source.fetch().await.expect_err("the fetch went well");
    check_failure(began, limit, &error, &source.head().await.unwrap(), kind, says);
}

fn text_of<'a>(tree: &'a FileTree, path: &str) -> &'a str {
    match &tree.nodes[path] {
        Node::File(bytes) => std::str::from_utf8(bytes).unwrap(),
        other @ (Node::TooLarge { .. } | Node::Symlink | Node::Submodule | Node::BadName) => panic!("{path} is {other:?}"),
    }
}

async fn subjects(source: &GitSource, after: Option<Revision>, upto: Revision) -> Vec<String> {
    source.commits(after, upto).await.unwrap().into_iter().map(|commit| commit.subject).collect()
}
