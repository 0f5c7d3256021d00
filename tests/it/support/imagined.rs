//! A repository that a test makes up: where its branch stands, and what each commit has.

use std::collections::{BTreeMap, BTreeSet};

use lockstep::domain::commit::Commit;
use lockstep::domain::desired::{FileTree, Selection};
use lockstep::domain::name::EnvironmentName;
use lockstep::domain::revision::Revision;
use lockstep::domain::time::Timestamp;
use lockstep::port::{EdgeError, Head, LastSeen, Source, Tip};

/// What the test says of it. All else is as of one straight line of commits that was fetched long ago.
pub(crate) trait Branch: Send + Sync {
    fn head(&self) -> Head;

    fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError>;

    /// Somebody reads these files of a commit, and no others.
    fn selected(&self, _files: &Selection) {}

    /// Somebody fetches.
    fn fetched(&self) -> Result<(), EdgeError> {
        Ok(())
    }

    fn descends(&self, _revision: Revision, _of: Revision) -> bool {
        true
    }

    fn last_seen(
        &self,
        _environments: &BTreeSet<EnvironmentName>,
        _since: Option<Revision>,
    ) -> BTreeMap<EnvironmentName, LastSeen> {
        BTreeMap::new()
    }
}

/// The mirror of such a repository.
#[derive(Clone, Default)]
pub(crate) struct Imagined<B>(pub(crate) B);

/// A branch that stands there, as two fetches have found it.
pub(crate) fn stands_at(revision: Revision) -> Head {
    Head { tip: Tip::At(revision), confirmed: true, trouble: None }
}

/// The commit of this number.
pub(crate) fn commit(number: u8) -> Revision {
    Revision::from_bytes([number; 20])
}

impl<B: Branch> Source for Imagined<B> {
    async fn head(&self) -> Result<Head, EdgeError> {
        Ok(self.0.head())
    }

    async fn fetch(&self) -> Result<(), EdgeError> {
        self.0.fetched()
    }

    async fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
        self.0.tree(revision)
    }

    async fn some_files(&self, revision: Revision, files: &Selection) -> Result<FileTree, EdgeError> {
        self.0.selected(files);
        Ok(self.0.tree(revision)?.selected(files))
    }

    async fn descends(&self, revision: Revision, of: Revision) -> Result<bool, EdgeError> {
        Ok(self.0.descends(revision, of))
    }

    async fn commits(&self, _: Option<Revision>, upto: Revision) -> Result<Vec<Commit>, EdgeError> {
        let (author, subject, at) = ("Ada".to_owned(), "a change".to_owned(), Timestamp::from_millis(0));
        Ok(vec![Commit { revision: upto, author, subject, trailers: Vec::new(), unread: 0, at }])
    }

    async fn last_seen(
        &self,
        environments: &BTreeSet<EnvironmentName>,
        _: Revision,
        since: Option<Revision>,
    ) -> Result<BTreeMap<EnvironmentName, LastSeen>, EdgeError> {
        Ok(self.0.last_seen(environments, since))
    }

    async fn watch(&self, _: &(dyn Fn() + Sync)) {}

    async fn keep(&self, _: &EnvironmentName, _: &[Revision], _: Option<Revision>) -> Result<(), EdgeError> {
        Ok(())
    }

    async fn forget(&self, _: &EnvironmentName, _: Option<&EnvironmentName>) -> Result<(), EdgeError> {
        Ok(())
    }
}
