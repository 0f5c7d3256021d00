//! Config repositories for tests, built in milliseconds: `repo.commit("subject", &[("base/kv/a.yaml", "x: 1")])`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use git2::{IndexEntry, IndexTime, Oid, Repository, RepositoryInitOptions, Signature, Time};
use lockstep::domain::revision::Revision;
use tempfile::TempDir;

/// A bare repository in a directory of its own, gone when dropped. Its branch is `main` until [`Self::on`] says otherwise.
///
/// Every commit changes the files of the one before: paths that are not named stay as they are. Authors and times are the
/// same on every run, so commit ids are too.
pub(crate) struct TestRepo {
    _home: TempDir,
    repository: Repository,
    branch: String,
    /// Seconds since 1970 of the next commit.
    now: i64,
}

/// What a path becomes.
pub(crate) enum Change<'a> {
    /// A file with this content.
    File(&'a [u8]),
    /// A symbolic link to this path.
    Link(&'a str),
    /// A submodule at some commit.
    Submodule,
    /// Nothing.
    Gone,
}

impl TestRepo {
    /// An empty repository.
    pub(crate) fn empty() -> Self {
        lockstep::client::git::prepare().unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut options = RepositoryInitOptions::new();
        options.bare(true).initial_head("main").external_template(false);
        let repository = Repository::init_opts(home.path().join("origin.git"), &options).unwrap();
        Self { _home: home, repository, branch: "main".to_owned(), now: 1_700_000_000 }
    }

    /// A repository with one commit of these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let mut repo = Self::empty();
        repo.commit("first", files);
        repo
    }

    /// Goes on with this branch; it comes into being with the next commit.
    pub(crate) fn on(&mut self, branch: &str) -> &mut Self {
        branch.clone_into(&mut self.branch);
        self
    }

    /// Where the repository is.
    pub(crate) fn path(&self) -> PathBuf {
        self.repository.path().to_owned()
    }

    /// The repository itself, for what this type has no word for.
    pub(crate) fn git(&self) -> &Repository {
        &self.repository
    }

    /// The branch's commit.
    pub(crate) fn tip(&self) -> Revision {
        revision(self.tip_id().unwrap())
    }

    /// The commit of any branch.
    pub(crate) fn tip_of(&self, branch: &str) -> Revision {
        revision(self.repository.refname_to_id(&format!("refs/heads/{branch}")).unwrap())
    }

    /// Commits these files on top of the branch.
    pub(crate) fn commit(&mut self, message: &str, files: &[(&str, &str)]) -> Revision {
        let changes: Vec<_> = files.iter().map(|(path, text)| (*path, Change::File(text.as_bytes()))).collect();
        self.change(message, &changes)
    }

    /// Commits the removal of these files.
    pub(crate) fn remove(&mut self, message: &str, paths: &[&str]) -> Revision {
        let changes: Vec<_> = paths.iter().map(|path| (*path, Change::Gone)).collect();
        self.change(message, &changes)
    }

    /// Commits changes of any kind on top of the branch.
    pub(crate) fn change(&mut self, message: &str, changes: &[(&str, Change<'_>)]) -> Revision {
        let parents: Vec<Oid> = self.tip_id().into_iter().collect();
        self.write_files(message, parents.first().copied(), changes, &parents)
    }

    /// Commits nothing new.
    pub(crate) fn commit_nothing(&mut self, message: &str) -> Revision {
        self.change(message, &[])
    }

    /// Replaces the branch's last commit (what `commit --amend` and `push --force` do).
    pub(crate) fn amend(&mut self, message: &str, files: &[(&str, &str)]) -> Revision {
        let tip = self.tip_id().unwrap();
        let parents: Vec<Oid> = self.repository.find_commit(tip).unwrap().parent_ids().collect();
        let changes: Vec<_> = files.iter().map(|(path, text)| (*path, Change::File(text.as_bytes()))).collect();
        self.write_files(message, Some(tip), &changes, &parents)
    }

    /// Commits the files of the commit before `reverted`, on top of the branch (what `git revert` does when nothing else
    /// touched them).
    pub(crate) fn revert(&mut self, reverted: Revision) -> Revision {
        let reverted = self.find(reverted);
        let message = format!("Revert {:?}", reverted.summary().unwrap().unwrap_or_default());
        let tree = reverted.parent(0).unwrap().tree_id();
        let parents: Vec<Oid> = self.tip_id().into_iter().collect();
        drop(reverted);
        self.write(&message, tree, &parents)
    }

    /// Merges a commit into the branch; files of both, its own where they differ.
    pub(crate) fn merge(&mut self, message: &str, other: Revision) -> Revision {
        let ours = self.tip_id().unwrap();
        let other = self.find(other);
        let mut index = git2::Index::new().unwrap();
        index.read_tree(&self.repository.find_commit(ours).unwrap().tree().unwrap()).unwrap();
        let mut theirs = git2::Index::new().unwrap();
        theirs.read_tree(&other.tree().unwrap()).unwrap();
        for entry in theirs.iter() {
            if index.get_path(Path::new(std::str::from_utf8(&entry.path).unwrap()), 0).is_none() {
                index.add(&entry).unwrap();
            }
        }
        let tree = index.write_tree_to(&self.repository).unwrap();
        let parents = [ours, other.id()];
        drop(other);
        self.write(message, tree, &parents)
    }

    /// Moves the branch somewhere else, forward or back.
    pub(crate) fn move_to(&mut self, revision: Revision) {
        let id = self.find(revision).id();
        self.repository.reference(&self.reference(), id, true, "test").unwrap();
    }

    /// Deletes a branch.
    pub(crate) fn delete_branch(&mut self, branch: &str) {
        self.repository.find_reference(&format!("refs/heads/{branch}")).unwrap().delete().unwrap();
    }

    /// Commits a tree that was made by hand, with entries that no index would take.
    pub(crate) fn commit_raw_tree(&mut self, message: &str, raw: &[u8]) -> Revision {
        let tree = self.repository.odb().unwrap().write(git2::ObjectType::Tree, raw).unwrap();
        // Not through `find_tree`: it may well be one that libgit2 would rather not write.
        let parents: Vec<Oid> = self.tip_id().into_iter().collect();
        self.now += 60;
        let mut text = format!("tree {tree}\n");
        for parent in &parents {
            writeln!(text, "parent {parent}").unwrap();
        }
        let who = format!("Tester <tester@example.org> {} +0000", self.now);
        write!(text, "author {who}\ncommitter {who}\n\n{message}").unwrap();
        let id = self.repository.odb().unwrap().write(git2::ObjectType::Commit, text.as_bytes()).unwrap();
        self.repository.reference(&self.reference(), id, true, "test").unwrap();
        revision(id)
    }

    /// Writes a file's content and returns its id's bytes, for trees made by hand.
    pub(crate) fn blob(&self, bytes: &[u8]) -> [u8; 20] {
        *revision(self.repository.blob(bytes).unwrap()).as_bytes()
    }

    /// Commits one after another of one file's texts, thousands in a second.
    pub(crate) fn versions_of(&mut self, path: &str, texts: impl Iterator<Item = String>) {
        let mut import = std::process::Command::new("git");
        import.arg("--git-dir").arg(self.path()).args(["fast-import", "--quiet"]).stdin(std::process::Stdio::piped());
        let mut import = import.spawn().unwrap();
        let mut stream = std::io::BufWriter::new(import.stdin.take().unwrap());
        let branch = self.reference();
        let mut from = format!("from {}\n", self.tip_id().unwrap());
        for text in texts {
            self.now += 60;
            let who = format!("committer Tester <tester@example.org> {} +0000", self.now);
            let from = std::mem::take(&mut from);
            write!(stream, "commit {branch}\n{who}\ndata 4\nnext\n{from}M 100644 inline {path}\ndata {}\n{text}\n", text.len())
                .unwrap();
        }
        stream.flush().unwrap();
        drop(stream);
        assert!(import.wait().unwrap().success(), "git fast-import failed");
        self.repository.odb().unwrap().refresh().unwrap();
    }

    fn write_files(&mut self, message: &str, base: Option<Oid>, changes: &[(&str, Change<'_>)], parents: &[Oid]) -> Revision {
        // Objects gather in memory and become one pack: ten thousand small files would take seconds.
        let repository = Repository::open(self.path()).unwrap();
        let store = repository.odb().unwrap();
        let memory = store.add_new_mempack_backend(1000).unwrap();
        let mut index = git2::Index::new().unwrap();
        if let Some(base) = base {
            index.read_tree(&repository.find_commit(base).unwrap().tree().unwrap()).unwrap();
        }
        for (path, change) in changes {
            let (mode, id) = match change {
                Change::File(bytes) => (0o100_644, repository.blob(bytes).unwrap()),
                Change::Link(to) => (0o120_000, repository.blob(to.as_bytes()).unwrap()),
                Change::Submodule => (0o160_000, Oid::from_bytes(&[7; 20]).unwrap()),
                Change::Gone => {
                    index.remove(Path::new(path), 0).unwrap();
                    continue;
                }
            };
            index.add(&entry(path, mode, id)).unwrap();
        }
        let tree = index.write_tree_to(&repository).unwrap();
        let id = self.write_commit(&repository, message, tree, parents);
        let mut pack = git2::Buf::new();
        memory.dump(&repository, &mut pack).unwrap();
        let permanent = self.repository.odb().unwrap();
        let mut writer = permanent.packwriter().unwrap();
        writer.write_all(&pack).unwrap();
        writer.commit().unwrap();
        self.point_at(id)
    }

    fn write(&mut self, message: &str, tree: Oid, parents: &[Oid]) -> Revision {
        let repository = Repository::open(self.path()).unwrap();
        let id = self.write_commit(&repository, message, tree, parents);
        self.point_at(id)
    }

    fn write_commit(&mut self, repository: &Repository, message: &str, tree: Oid, parents: &[Oid]) -> Oid {
        self.now += 60;
        let who = Signature::new("Tester", "tester@example.org", &Time::new(self.now, 0)).unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let parents: Vec<_> = parents.iter().map(|id| repository.find_commit(*id).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        repository.commit(None, &who, &who, message, &tree, &parents).unwrap()
    }

    fn point_at(&self, id: Oid) -> Revision {
        self.repository.odb().unwrap().refresh().unwrap();
        self.repository.reference(&self.reference(), id, true, "test").unwrap();
        revision(id)
    }

    fn find(&self, revision: Revision) -> git2::Commit<'_> {
        self.repository.find_commit(Oid::from_bytes(revision.as_bytes()).unwrap()).unwrap()
    }

    fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    fn tip_id(&self) -> Option<Oid> {
        self.repository.refname_to_id(&self.reference()).ok()
    }
}

fn revision(id: Oid) -> Revision {
    Revision::parse(&id.to_string()).unwrap()
}

fn entry(path: &str, mode: u32, id: Oid) -> IndexEntry {
    let time = IndexTime::new(0, 0);
    let path = path.as_bytes().to_vec();
    IndexEntry {
        ctime: time,
        mtime: time,
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path,
    }
}
