//! What differs between two commits, and parts of one: no directory is read that is the same in both, or not asked for.

use git2::{ErrorCode, Oid, Repository, Tree};

use super::GitSource;
use super::fault::fault;
use super::id::oid;
use super::tree::{self, TreeLimits, damaged, is_directory};
use crate::domain::desired::{FileTree, Selection};
use crate::domain::revision::Revision;
use crate::port::{EdgeError, EdgeKind};

impl GitSource {
    /// The selected files of a commit, within the limits of a whole one.
    ///
    /// # Errors
    /// `NotFound` when the mirror does not have it.
    pub async fn part(&self, revision: Revision, selection: Selection) -> Result<FileTree, EdgeError> {
        self.read(format!("read some files of {revision}"), move |inner, mirror| {
            tree::read(mirror, revision, &inner.options.tree, Some(&selection))
        })
        .await
    }

    /// The paths of the files that are not the same in two commits, in no order.
    ///
    /// # Errors
    /// `NotFound` when the mirror lacks one of them; `Refused` when more differs than is read of a commit, or names can't be told
    /// apart.
    pub async fn changed(&self, before: Revision, after: Revision) -> Result<Vec<String>, EdgeError> {
        self.read(format!("compare {before} with {after}"), move |inner, mirror| {
            Comparison { mirror, limits: &inner.options.tree, operation: format!("compare {before} with {after}") }
                .run(before, after)
        })
        .await
    }
}

/// A name that a tree has more than once, which git itself never writes.
pub(super) fn named_twice(tree: &Tree<'_>) -> Option<Vec<u8>> {
    let mut seen = std::collections::HashSet::new();
    tree.iter().map(|entry| entry.name_bytes().to_vec()).find(|name| !seen.insert(name.clone()))
}

struct Comparison<'m> {
    mirror: &'m Repository,
    limits: &'m TreeLimits,
    operation: String,
}

/// A directory that differs: its path, and what it is on both sides.
struct Differing {
    path: String,
    before: Option<Oid>,
    after: Option<Oid>,
    depth: usize,
}

impl Comparison<'_> {
    fn run(&self, before: Revision, after: Revision) -> Result<Vec<String>, EdgeError> {
        let (before, after) = (Some(self.root(before)?), Some(self.root(after)?));
        let mut differing = vec![Differing { path: String::new(), before, after, depth: 0 }];
        let mut changed = Vec::new();
        let mut entries = 0;
        while let Some(directory) = differing.pop() {
            if directory.before == directory.after {
                continue;
            }
            if directory.depth > self.limits.depth {
                return Err(self.too_much(&format!("more than {} directories inside one another", self.limits.depth)));
            }
            let (before, after) = (self.tree(directory.before)?, self.tree(directory.after)?);
            if let Some(twice) = after.as_ref().and_then(named_twice) {
                let because = format!("{:?} is there twice", String::from_utf8_lossy(&twice));
                return Err(fault(EdgeKind::Refused, self.operation.clone()).because(because));
            }
            for (here, other, is_before) in [(&before, &after, true), (&after, &before, false)] {
                for entry in here.iter().flat_map(Tree::iter) {
                    let there = other.as_ref().and_then(|other| other.get_name_bytes(entry.name_bytes()));
                    let same =
                        |there: &git2::TreeEntry<'_>| there.id() == entry.id() && there.filemode_raw() == entry.filemode_raw();
                    if there.as_ref().is_some_and(same) {
                        continue;
                    }
                    entries += 1;
                    let name = String::from_utf8_lossy(entry.name_bytes());
                    let path = if directory.path.is_empty() { name.into_owned() } else { format!("{}/{name}", directory.path) };
                    if entries > self.limits.entries || path.len() > self.limits.path {
                        return Err(self.too_much(&format!("more than {} files and directories", self.limits.entries)));
                    }
                    let there = there.filter(is_directory).map(|there| there.id());
                    match (is_directory(&entry), is_before) {
                        (false, _) => changed.push(path),
                        (true, true) => {
                            let (before, depth) = (Some(entry.id()), directory.depth + 1);
                            differing.push(Differing { path, before, after: there, depth });
                        }
                        // One that is a directory on both sides is met on the first.
                        (true, false) if there.is_some() => {}
                        (true, false) => {
                            let (after, depth) = (Some(entry.id()), directory.depth + 1);
                            differing.push(Differing { path, before: None, after, depth });
                        }
                    }
                }
            }
        }
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    fn root(&self, revision: Revision) -> Result<Oid, EdgeError> {
        let commit = self.mirror.find_commit(oid(revision)).map_err(|error| {
            if error.code() == ErrorCode::NotFound {
                let because = format!("the mirror does not have {revision}");
                return fault(EdgeKind::NotFound, self.operation.clone()).because(because);
            }
            damaged(self.operation.clone(), error)
        })?;
        Ok(commit.tree_id())
    }

    fn tree(&self, id: Option<Oid>) -> Result<Option<Tree<'_>>, EdgeError> {
        let tree = id.map(|id| self.mirror.find_tree(id)).transpose();
        tree.map_err(|error| damaged(self.operation.clone(), error))
    }

    fn too_much(&self, what: &str) -> EdgeError {
        fault(EdgeKind::Refused, self.operation.clone()).because(format!("{what} differ"))
    }
}
