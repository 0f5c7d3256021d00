//! Where `validate` finds the files: where the caller says, here, or where the controller's configuration says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::client::git::{self, GitOptions, GitSource, TreeLimits};
use crate::config::{Config, RepositoryUrl};
use crate::domain::desired::FileTree;
use crate::port::{Commit, EdgeError, Source as _, Tip};
use crate::runtime::clock::SystemClock;

/// Where the files are.
pub(super) enum Place<'a> {
    /// A directory or a repository of this machine.
    Path(PathBuf),
    /// The repository of this machine that the configuration names.
    Named(&'a Config, PathBuf),
    /// What an earlier fetch brought of a repository elsewhere.
    Mirror(&'a Config),
}

impl<'a> Place<'a> {
    /// The caller's word counts; without one, this directory if it may be meant, else the configuration.
    pub(super) fn of(path: Option<&Path>, config: Option<&'a Config>) -> Self {
        let here = Path::new(".");
        match (path, config) {
            (Some(path), _) => Self::Path(path.to_owned()),
            (None, Some(config)) if !is_repository(here) => match &config.repository.url {
                RepositoryUrl::Local(path) => Self::Named(config, path.clone()),
                RepositoryUrl::Http(_) | RepositoryUrl::Ssh { .. } => Self::Mirror(config),
            },
            (None, _) => Self::Path(here.to_owned()),
        }
    }

    /// What was read, if the caller did not say it.
    pub(super) fn note(&self, options: &Options) -> Option<String> {
        let config = options.config().display();
        match self {
            Self::Path(_) => None,
            Self::Named(_, path) => Some(format!("read {}, the repository that {config} names", path.display())),
            Self::Mirror(_) => Some(format!("read what an earlier fetch brought of the repository that {config} names")),
        }
    }

    /// The files, and of which commit they are. Nothing is contacted here, so what is not there is a failure, not an outage.
    pub(super) async fn files(self, rev: Option<String>) -> Result<(Option<Commit>, FileTree), Failure> {
        let (path, branch) = match self {
            Self::Path(path) => (path, "HEAD".to_owned()),
            Self::Named(config, path) => (path, config.repository.branch.clone()),
            Self::Mirror(config) => return mirrored(config, rev).await,
        };
        let read = tokio::task::spawn_blocking(move || read_files(&path, rev.as_deref(), &branch)).await;
        read.map_err(|error| Failure::new("read the files").because(&error))?.map_err(offline)
    }
}

/// Whether a directory may be meant as the repository: it has the files of one, or is one for git.
fn is_repository(path: &Path) -> bool {
    path.join("lockstep.yaml").exists() || path.join(".git").exists() || git::is_bare(path)
}

fn read_files(path: &Path, rev: Option<&str>, branch: &str) -> Result<(Option<Commit>, FileTree), EdgeError> {
    let limits = TreeLimits::default();
    let commit = match rev {
        Some(rev) => rev,
        // A bare repository has no files of its own.
        None if git::is_bare(path) => branch,
        None => return Ok((None, git::read_directory(path, &limits)?)),
    };
    let (_, tree) = git::read_commit(path, commit, &limits)?;
    Ok((Some(git::find_commit(path, commit)?), tree))
}

async fn mirrored(config: &Config, rev: Option<String>) -> Result<(Option<Commit>, FileTree), Failure> {
    let clock = Arc::new(SystemClock::start());
    let source = GitSource::open(&config.repository, &config.data_dir, clock, GitOptions::default()).map_err(offline)?;
    let revision = match rev {
        Some(rev) => source.resolve(&rev).await.map_err(offline)?,
        None => match source.head().await.map_err(offline)?.tip {
            Tip::At(tip) => tip,
            Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty | Tip::Unfetched => {
                return Err(Failure::new("this machine has no commit of the repository that the configuration names")
                    .hint("name a clone of it: `lockstep validate PATH`; `lockstep plan` fetches it"));
            }
        },
    };
    let commit = source.commits(None, revision).await.map_err(offline)?.into_iter().next();
    Ok((commit, source.tree(revision).await.map_err(offline)?))
}

fn offline(error: EdgeError) -> Failure {
    Failure { exit: Exit::Failed, ..Failure::from(error) }
}
