//! What a forge would make of a pull request: a merge in memory, within limits, that writes objects and nothing else.
//!
//! Anybody may have made what is merged. Nothing is checked out, so no hook, filter or link of it has a place to act. No
//! merge driver of its attributes runs either: libgit2 knows three, which are its own code, runs no command for one, and in a
//! bare repository reads no attributes of a commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use git2::{Commit, ErrorClass, FileMode, MergeOptions, ObjectType, Odb, Oid, Repository, Tree};

use super::fault::{Said, fault, tidy};
use super::id::{oid, revision};
use super::part::named_twice;
use super::tree::{TreeLimits, is_directory, would_mislead};
use crate::domain::revision::Revision;
use crate::port::{EdgeError, EdgeKind, Merged};

/// What every merge says: the same parents always give the same commit.
const MESSAGE: &str = "Merge a pull request\n";
/// So many conflicting files are told.
const MOST_CONFLICTS: usize = 20;
/// The longest of their paths, in characters.
const LONGEST_PATH: usize = 300;
/// The most merge bases. Each is merged with those before it.
const MOST_BASES: usize = 8;
/// The most bytes of a file whose lines are merged or compared: it is in memory, and hostile lines take long to compare.
const MOST_BYTES: u64 = 1 << 20;
/// The most bytes of all files whose lines are merged.
const MOST_BYTES_IN_ALL: u64 = 16 << 20;
/// So many files that one side added or removed are compared for renames; beyond, only what is the same to the byte counts.
const MOST_RENAMES: u32 = 400;

/// Merges `head` into `base`, both of which the repository has.
pub(super) fn merge(repository: &Repository, limits: &TreeLimits, head: Revision, base: Revision) -> Result<Merged, EdgeError> {
    let operation = format!("merge {head} into {base}");
    let odb = repository.odb().map_err(|error| failed(&operation, error))?;
    Merging { repository, odb, limits, operation, measured: HashMap::new() }.run(oid(head), oid(base))
}

struct Merging<'m> {
    repository: &'m Repository,
    odb: Odb<'m>,
    limits: &'m TreeLimits,
    operation: String,
    /// Directories that were measured already: a tree can name the same one a hundred thousand times.
    measured: HashMap<Oid, Extent>,
}

/// How much unfolds below a directory.
#[derive(Clone, Copy, Default)]
struct Extent {
    entries: usize,
    depth: usize,
    path: usize,
}

impl<'m> Merging<'m> {
    fn run(mut self, head: Oid, base: Oid) -> Result<Merged, EdgeError> {
        let (ours, theirs) = (self.commit(base)?, self.commit(head)?);
        let bases: Vec<Oid> = match self.repository.merge_bases(base, head) {
            Ok(bases) => bases.iter().copied().collect(),
            Err(error) if error.class() == ErrorClass::Merge => return Err(self.refused("they have no commit in common")),
            Err(error) => return Err(self.failed(error)),
        };
        if bases.contains(&head) {
            return Ok(Merged::At(revision(base)));
        }
        let tree = if bases.contains(&base) {
            theirs.tree().map_err(|error| self.failed(error))?
        } else {
            match self.combine(&ours, &theirs, &bases)? {
                Ok(tree) => tree,
                Err(conflicts) => return Ok(Merged::Conflicts(conflicts)),
            }
        };
        let (author, committer) = (theirs.author(), theirs.committer());
        let merged = self.repository.commit(None, &author, &committer, MESSAGE, &tree, &[&ours, &theirs]);
        merged.map(|id| Merged::At(revision(id))).map_err(|error| self.failed(error))
    }

    /// The files of both, or which of them conflict.
    fn combine(
        &mut self,
        ours: &Commit<'m>,
        theirs: &Commit<'m>,
        bases: &[Oid],
    ) -> Result<Result<Tree<'m>, Vec<String>>, EdgeError> {
        if bases.len() > MOST_BASES {
            return Err(self.refused(format!("they have {} common ancestors of equal rank", bases.len())));
        }
        // libgit2 unfolds every directory of each, also those that are the same.
        let bases = bases.iter().map(|base| self.commit(*base)).collect::<Result<Vec<_>, _>>()?;
        for commit in bases.iter().chain([ours, theirs]) {
            self.measure(commit.tree_id(), 0)?;
        }
        let mut options = MergeOptions::new();
        options
            .find_renames(self.may_look_for_renames(&bases, ours, theirs)?)
            .rename_threshold(50)
            .target_limit(MOST_RENAMES)
            .recursion_limit(u32::try_from(MOST_BASES).unwrap_or(u32::MAX));
        let failed = |error| failed(&self.operation, error);
        let mut index = self.repository.merge_commits(ours, theirs, Some(&options)).map_err(failed)?;
        if index.has_conflicts() {
            let mut paths = BTreeSet::new();
            for conflict in index.conflicts().map_err(failed)? {
                let conflict = conflict.map_err(failed)?;
                let side = conflict.our.or(conflict.their).or(conflict.ancestor);
                paths.extend(side.map(|entry| tidy(&String::from_utf8_lossy(&entry.path), LONGEST_PATH)));
            }
            return Ok(Err(paths.into_iter().take(MOST_CONFLICTS).collect()));
        }
        let tree = index.write_tree_to(self.repository).map_err(failed)?;
        self.repository.find_tree(tree).map(Ok).map_err(failed)
    }

    /// How much unfolds below a directory, within the limits of a commit that is read.
    fn measure(&mut self, id: Oid, above: usize) -> Result<Extent, EdgeError> {
        if let Some(known) = self.measured.get(&id) {
            return Ok(*known);
        }
        let limits = self.limits;
        // The size first: what is too large never comes into memory.
        let (size, kind) = self.odb.read_header(id).map_err(|error| self.failed(error))?;
        if kind != ObjectType::Tree || size as u64 > limits.file {
            return Err(self.refused(format!("a directory is a {} of {size} bytes", kind.str())));
        }
        let tree = self.repository.find_tree(id).map_err(|error| self.failed(error))?;
        let twice = named_twice(&tree).map(|name| (name, "is there twice"));
        let odd = || tree.iter().find(|entry| would_mislead(entry.name_bytes()));
        let odd = twice.or_else(|| odd().map(|entry| (entry.name_bytes().to_vec(), "is no name that git would check out")));
        if let Some((name, why)) = odd {
            return Err(self.refused(format!("{:?} {why}", tidy(&String::from_utf8_lossy(&name), LONGEST_PATH))));
        }
        let mut here = Extent::default();
        for entry in &tree {
            let below = match is_directory(&entry) {
                true if above >= limits.depth => return Err(self.too_much("directories inside one another", limits.depth)),
                true => self.measure(entry.id(), above + 1)?,
                false => Extent::default(),
            };
            here.entries = here.entries.saturating_add(below.entries).saturating_add(1);
            here.depth = here.depth.max(below.depth + usize::from(is_directory(&entry)));
            here.path = here.path.max(entry.name_bytes().len() + 1 + below.path);
            if here.entries > limits.entries {
                return Err(self.too_much("files and directories", limits.entries));
            }
            if here.depth > limits.depth {
                return Err(self.too_much("directories inside one another", limits.depth));
            }
            if here.path > limits.path + 1 {
                return Err(self.too_much("bytes in a path", limits.path));
            }
        }
        self.measured.insert(id, here);
        Ok(here)
    }

    /// Whether all that is compared for renames is small enough.
    ///
    /// # Errors
    /// When what both sides changed is not.
    fn may_look_for_renames(&self, bases: &[Commit<'_>], ours: &Commit<'_>, theirs: &Commit<'_>) -> Result<bool, EdgeError> {
        let mut fits = true;
        for base in bases {
            let (ours, theirs) = (self.changed(base, ours)?, self.changed(base, theirs)?);
            let both = || ours.iter().filter_map(|(path, size)| Some((path, *size.max(theirs.get(path)?))));
            if let Some((path, size)) = both().find(|(_, size)| *size > MOST_BYTES) {
                let path = tidy(&String::from_utf8_lossy(path), LONGEST_PATH);
                return Err(self.refused(format!("both changed {path}, which is too large to merge: {size} bytes")));
            }
            if both().map(|(_, size)| size).sum::<u64>() > MOST_BYTES_IN_ALL {
                return Err(self.refused(format!("both changed files of more than {} MiB", MOST_BYTES_IN_ALL >> 20)));
            }
            let sizes = || ours.values().chain(theirs.values());
            fits &= sizes().all(|size| *size <= MOST_BYTES) && sizes().sum::<u64>() <= self.limits.total;
        }
        Ok(fits)
    }

    /// The files that differ between two commits, each with its larger size.
    fn changed(&self, before: &Commit<'_>, after: &Commit<'_>) -> Result<BTreeMap<Vec<u8>, u64>, EdgeError> {
        let failed = |error| self.failed(error);
        let (before, after) = (before.tree().map_err(failed)?, after.tree().map_err(failed)?);
        let diff = self.repository.diff_tree_to_tree(Some(&before), Some(&after), None).map_err(failed)?;
        let mut changed = BTreeMap::new();
        for delta in diff.deltas() {
            for file in [delta.old_file(), delta.new_file()] {
                let Some(path) = file.path_bytes().filter(|_| file.exists()) else { continue };
                // A submodule's is no object of this repository.
                let is_here = file.mode() != FileMode::Commit;
                let size = if is_here { self.odb.read_header(file.id()).map_err(failed)?.0 as u64 } else { 0 };
                let largest: &mut u64 = changed.entry(path.to_vec()).or_default();
                *largest = size.max(*largest);
            }
        }
        Ok(changed)
    }

    fn commit(&self, id: Oid) -> Result<Commit<'m>, EdgeError> {
        self.repository.find_commit(id).map_err(|error| self.failed(error))
    }

    fn too_much(&self, of: &str, limit: usize) -> EdgeError {
        self.refused(format!("one of them has more than {limit} {of}"))
    }

    fn refused(&self, why: impl Into<String>) -> EdgeError {
        fault(EdgeKind::Refused, self.operation.clone()).because(why.into())
    }

    fn failed(&self, error: git2::Error) -> EdgeError {
        failed(&self.operation, error)
    }
}

/// What git can't make sense of will not be better next time; what it can't read may be, from a repository that is begun anew.
fn failed(operation: &str, error: git2::Error) -> EdgeError {
    let senseless = [ErrorClass::Tree, ErrorClass::Object, ErrorClass::Invalid, ErrorClass::Index, ErrorClass::Merge];
    let kind = if senseless.contains(&error.class()) { EdgeKind::Refused } else { EdgeKind::Transient };
    fault(kind, operation).because(Said(error))
}
