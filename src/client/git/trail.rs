//! The past of a few files: at which commits of a branch they changed, and what they were, without reading any other.
//!
//! Only first parents are walked, since those are what the branch was at. A directory that is the same in two commits is
//! not looked into again, so a commit that has nothing to do with the files costs one tree: its root's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use git2::{Commit, ErrorCode, Oid, Repository};

use super::GitSource;
use super::fault::fault;
use super::history::describe;
use super::id::{oid, revision};
use super::tree::{self, Reading, TreeLimits, damaged};
use crate::domain::desired::{ENVIRONMENT_FILE, ENVIRONMENTS, FileTree, Node};
use crate::domain::revision::Revision;
use crate::port::{self, EdgeError, EdgeKind};

/// Files that follow from another as a commit has it.
type Following = dyn Fn(Option<&Node>) -> Vec<String> + Send;

/// Which files of a commit are read.
pub struct Wanted {
    /// This one, which may be absent.
    pub first: String,
    /// And these, which follow from the first as the commit has it.
    pub then: Box<Following>,
}

impl Wanted {
    /// One file alone.
    #[must_use]
    pub fn alone(first: String) -> Self {
        Self { first, then: Box::new(|_| Vec::new()) }
    }
}

/// A commit at which some of the wanted files are not what they were at its first parent.
#[derive(Debug, Clone)]
pub struct Step {
    /// The commit.
    pub commit: port::Commit,
    /// The wanted files as they were there, and no others.
    pub tree: FileTree,
    /// Which of the marked commits have the files as they are here: from this commit on up to the next newer step.
    pub marked: Vec<Revision>,
}

/// A part of the past, newest first.
#[derive(Debug, Clone)]
pub struct Trail {
    /// The commits at which something changed.
    pub steps: Vec<Step>,
    /// Marked commits further back than the last step: they have the files of the first step of the next part.
    pub beyond: Vec<Revision>,
    /// Why it ends where it does.
    pub end: TrailEnd,
}

/// Why a trail ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailEnd {
    /// At the first commit of all.
    Root,
    /// It goes on at this commit: there were as many steps as were asked for, or as much as one part may read.
    More(Revision),
    /// The last step brought the first of the wanted files; it goes on at this commit, which may have it by another name.
    Begun(Revision),
}

impl TrailEnd {
    /// Where it goes on.
    #[must_use]
    pub const fn next(self) -> Option<Revision> {
        match self {
            Self::Root => None,
            Self::More(next) | Self::Begun(next) => Some(next),
        }
    }
}

/// The most commits that one part goes back: a call to the mirror must end in time.
const MOST_COMMITS: usize = 20_000;
/// A part that read so many bytes of files ends: what it holds must fit in memory.
const MOST_BYTES: u64 = 16 << 20;

impl GitSource {
    /// The commits from `upto` back along first parents at which the wanted files changed, at most so many of them and none
    /// before one that brings the first file; and where between them some marked commits lie.
    ///
    /// # Errors
    /// `NotFound` when the mirror does not have the commit.
    pub async fn trail(
        &self,
        upto: Revision,
        wanted: Wanted,
        marks: BTreeSet<Revision>,
        at_most: usize,
    ) -> Result<Trail, EdgeError> {
        self.read(format!("read the past of some files up to {upto}"), move |inner, mirror| {
            Walk::new(mirror, wanted, &inner.options.tree, upto)?.trail(upto, &marks, at_most)
        })
        .await
    }

    /// The same of every environment's own file.
    ///
    /// # Errors
    /// As [`Self::trail`].
    pub async fn trail_of_environments(&self, upto: Revision, at_most: usize) -> Result<Trail, EdgeError> {
        self.read(format!("read the past of the environments up to {upto}"), move |inner, mirror| {
            let walk = Walk::new(mirror, Wanted::alone(ENVIRONMENTS.to_owned()), &inner.options.tree, upto)?;
            Walk { first: Shape::of_environments(), ..walk }.trail(upto, &BTreeSet::new(), at_most)
        })
        .await
    }

    /// Which of some commits the branch was never at, as `upto` has it: none of them is it, nor a first parent before it. Each with
    /// the newest that it has in common with the branch, going back along first parents; none: there is none, or the mirror does
    /// not have the commit. However many they are, no commit is looked at twice.
    ///
    /// # Errors
    /// `NotFound` when the mirror does not have `upto`.
    pub async fn astray(
        &self,
        upto: Revision,
        mut of: BTreeSet<Revision>,
    ) -> Result<BTreeMap<Revision, Option<Revision>>, EdgeError> {
        let operation = format!("look for {} commits before {upto}", of.len());
        self.read(operation.clone(), move |_, mirror| {
            let mut joints: HashMap<Oid, Option<Oid>> = HashMap::new();
            let mut next = Some(find(mirror, upto, &operation)?);
            while let Some(commit) = next.filter(|_| !of.is_empty()) {
                of.remove(&revision(commit.id()));
                joints.insert(commit.id(), Some(commit.id()));
                next = parent(&commit, &operation)?;
            }
            let mut astray = BTreeMap::new();
            for start in of {
                let mut passed = Vec::new();
                let mut next = mirror.find_commit(oid(start)).ok();
                let joint = loop {
                    let Some(commit) = next else { break None };
                    if let Some(known) = joints.get(&commit.id()) {
                        break *known;
                    }
                    passed.push(commit.id());
                    next = parent(&commit, &operation)?;
                };
                joints.extend(passed.into_iter().map(|commit| (commit, joint)));
                astray.insert(start, joint.map(revision));
            }
            Ok(astray)
        })
        .await
    }

    /// The wanted files of one commit, and no others.
    ///
    /// # Errors
    /// `NotFound` when the mirror does not have it.
    pub async fn pick(&self, at: Revision, wanted: Wanted) -> Result<FileTree, EdgeError> {
        self.read(format!("read some files of {at}"), move |inner, mirror| {
            let mut walk = Walk::new(mirror, wanted, &inner.options.tree, at)?;
            let commit = find(mirror, at, &walk.operation)?;
            let sight = walk.look(&commit, None)?;
            walk.files(&sight)
        })
        .await
    }
}

/// The directories and files that are looked for.
#[derive(Default)]
struct Shape {
    directories: BTreeMap<String, Shape>,
    files: BTreeSet<String>,
    /// What is looked for in every other directory.
    each: Option<Box<Shape>>,
}

impl Shape {
    /// `environments/*/environment.yaml`.
    fn of_environments() -> Self {
        let own = Self { files: BTreeSet::from([ENVIRONMENT_FILE.to_owned()]), ..Self::default() };
        let all = Self { each: Some(Box::new(own)), ..Self::default() };
        Self { directories: BTreeMap::from([(ENVIRONMENTS.to_owned(), all)]), ..Self::default() }
    }

    fn of(paths: &[String]) -> Self {
        let mut shape = Self::default();
        for path in paths {
            let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
            let mut place = &mut shape;
            for segment in directories.split('/').filter(|segment| !segment.is_empty()) {
                place = place.directories.entry(segment.to_owned()).or_default();
            }
            place.files.insert(name.to_owned());
        }
        shape
    }
}

/// What a directory has of its shape. Two commits that have the same directory share it.
#[derive(PartialEq, Eq)]
struct Seen {
    id: Oid,
    directories: BTreeMap<String, Rc<Seen>>,
    /// Object and mode.
    files: BTreeMap<String, (Oid, i32)>,
}

impl Seen {
    fn is_there(&self) -> bool {
        !self.files.is_empty() || self.directories.values().any(|seen| seen.is_there())
    }

    fn has_the_files_of(&self, other: &Self) -> bool {
        self.id == other.id
            || self.files == other.files
                && self.directories.len() == other.directories.len()
                && self
                    .directories
                    .iter()
                    .all(|(name, seen)| other.directories.get(name).is_some_and(|other| seen.has_the_files_of(other)))
    }
}

/// What a commit has of the wanted files.
struct Sight {
    first: Rc<Seen>,
    then: Rc<Seen>,
    shape: Rc<Shape>,
}

impl Sight {
    fn has_the_files_of(&self, other: &Self) -> bool {
        self.first.has_the_files_of(&other.first) && self.then.has_the_files_of(&other.then)
    }
}

struct Walk<'m> {
    mirror: &'m Repository,
    wanted: Wanted,
    first: Shape,
    reading: Reading<'m>,
    operation: String,
}

impl<'m> Walk<'m> {
    fn new(mirror: &'m Repository, wanted: Wanted, limits: &'m TreeLimits, upto: Revision) -> Result<Self, EdgeError> {
        let operation = format!("read the past of {} up to {upto}", wanted.first);
        let reading = Reading::of(mirror, limits).map_err(|error| damaged(operation.clone(), error))?;
        let first = Shape::of(std::slice::from_ref(&wanted.first));
        Ok(Self { mirror, wanted, first, reading, operation })
    }

    fn failed(&self, error: git2::Error) -> EdgeError {
        damaged(self.operation.clone(), error)
    }

    fn trail(mut self, upto: Revision, marks: &BTreeSet<Revision>, at_most: usize) -> Result<Trail, EdgeError> {
        let mut commit = find(self.mirror, upto, &self.operation)?;
        let mut here = self.look(&commit, None)?;
        let mut steps = Vec::new();
        let mut marked = Vec::new();
        let mut walked = 0;
        let end = loop {
            let enough = steps.len() >= at_most || walked >= MOST_COMMITS || self.reading.bytes() > MOST_BYTES;
            if enough && walked > 0 {
                break TrailEnd::More(revision(commit.id()));
            }
            walked += 1;
            marked.extend(marks.get(&revision(commit.id())));
            let earlier = parent(&commit, &self.operation)?;
            let before = match &earlier {
                Some(parent) => Some(self.look(parent, Some(&here))?),
                None => None,
            };
            if before.as_ref().is_none_or(|before| !here.has_the_files_of(before)) {
                let tree = self.files(&here)?;
                steps.push(Step { commit: describe(&commit), tree, marked: std::mem::take(&mut marked) });
            }
            let (Some(earlier), Some(before)) = (earlier, before) else { break TrailEnd::Root };
            if here.first.is_there() && !before.first.is_there() {
                break TrailEnd::Begun(revision(earlier.id()));
            }
            (commit, here) = (earlier, before);
        };
        Ok(Trail { steps, beyond: marked, end })
    }

    /// What a commit has, where what a neighbour has is known already.
    fn look(&mut self, commit: &Commit<'_>, near: Option<&Sight>) -> Result<Sight, EdgeError> {
        let root = commit.tree_id();
        let first = self.seen(root, &self.first, near.map(|near| &near.first))?;
        if let Some(near) = near
            && first.has_the_files_of(&near.first)
        {
            let then = self.seen(root, &near.shape, Some(&near.then))?;
            return Ok(Sight { first, then, shape: Rc::clone(&near.shape) });
        }
        let mut file = FileTree::default();
        self.collect(&first, "", &mut file)?;
        let shape = Rc::new(Shape::of(&(self.wanted.then)(file.nodes.get(&self.wanted.first))));
        let then = self.seen(root, &shape, None)?;
        Ok(Sight { first, then, shape })
    }

    fn seen(&self, id: Oid, shape: &Shape, near: Option<&Rc<Seen>>) -> Result<Rc<Seen>, EdgeError> {
        if let Some(near) = near.filter(|near| near.id == id) {
            return Ok(Rc::clone(near));
        }
        let tree = self.mirror.find_tree(id).map_err(|error| self.failed(error))?;
        let mut seen = Seen { id, directories: BTreeMap::new(), files: BTreeMap::new() };
        for (name, below) in &shape.directories {
            let Some(entry) = tree.get_name(name) else { continue };
            if tree::is_directory(&entry) {
                let near = near.and_then(|near| near.directories.get(name));
                seen.directories.insert(name.clone(), self.seen(entry.id(), below, near)?);
            } else {
                // A link or a file in a directory's place: whoever reads the files says what is wrong with it.
                seen.files.insert(name.clone(), (entry.id(), entry.filemode_raw()));
            }
        }
        if let Some(below) = &shape.each {
            for entry in tree.iter().filter(tree::is_directory) {
                let Some(name) = entry.name().ok().filter(|name| !shape.directories.contains_key(*name)) else { continue };
                let near = near.and_then(|near| near.directories.get(name));
                seen.directories.insert(name.to_owned(), self.seen(entry.id(), below, near)?);
            }
        }
        for name in &shape.files {
            if let Some(entry) = tree.get_name(name).filter(|entry| !tree::is_directory(entry)) {
                seen.files.insert(name.clone(), (entry.id(), entry.filemode_raw()));
            }
        }
        Ok(Rc::new(seen))
    }

    fn files(&mut self, sight: &Sight) -> Result<FileTree, EdgeError> {
        let mut files = FileTree::default();
        self.collect(&sight.first, "", &mut files)?;
        self.collect(&sight.then, "", &mut files)?;
        Ok(files)
    }

    fn collect(&mut self, seen: &Seen, directory: &str, files: &mut FileTree) -> Result<(), EdgeError> {
        for (name, (id, mode)) in &seen.files {
            let node = self.reading.node(*id, *mode).map_err(|error| damaged(self.operation.clone(), error))?;
            files.nodes.insert(format!("{directory}{name}"), node);
        }
        seen.directories.iter().try_for_each(|(name, seen)| self.collect(seen, &format!("{directory}{name}/"), files))
    }
}

pub(super) fn parent<'m>(commit: &Commit<'m>, operation: &str) -> Result<Option<Commit<'m>>, EdgeError> {
    match commit.parent_count() {
        0 => Ok(None),
        _ => commit.parent(0).map(Some).map_err(|error| damaged(operation.to_owned(), error)),
    }
}

pub(super) fn find<'m>(mirror: &'m Repository, revision: Revision, operation: &str) -> Result<Commit<'m>, EdgeError> {
    mirror.find_commit(oid(revision)).map_err(|error| {
        if error.code() == ErrorCode::NotFound {
            return fault(EdgeKind::NotFound, operation.to_owned()).because("the mirror does not have this commit");
        }
        damaged(operation.to_owned(), error)
    })
}
