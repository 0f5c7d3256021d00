//! Reading a revision without following a branch: a commit by its name, a repository without a mirror, a work tree as it is.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository};

use super::fault::{fault, from_git};
use super::history::describe;
use super::keep::place;
use super::{GitSource, TreeLimits, local, tree};
use crate::domain::desired::{FileTree, Node};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::port::{Commit, EdgeError, EdgeKind, Source as _, Tip};

impl GitSource {
    /// The commit that a text names: an id of at least four digits, `HEAD` or the followed branch's name, with `~N` or `^`
    /// behind it.
    ///
    /// # Errors
    /// `NotFound` when the mirror has none, or several, of that name.
    pub async fn resolve(&self, text: &str) -> Result<Revision, EdgeError> {
        let head = self.head().await?;
        let text = text.to_owned();
        let operation = format!("find the revision {}", super::fault::tidy(&text, 120));
        self.read(operation.clone(), move |inner, mirror| {
            let (base, suffix) = text.split_at(text.find(['~', '^']).unwrap_or(text.len()));
            let digits = base.len() >= 4 && base.len() <= 40 && base.bytes().all(|byte| byte.is_ascii_hexdigit());
            let base = match head.tip {
                Tip::At(tip) if base == "HEAD" || base == inner.mirror.branch() => tip.to_string(),
                _ if digits => base.to_owned(),
                Tip::At(_) | Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty | Tip::Unfetched => {
                    return Err(fault(EdgeKind::NotFound, operation)
                        .because("it is neither HEAD, nor the branch, nor an id of at least four digits"));
                }
            };
            named(mirror, &format!("{base}{suffix}"), &operation)
        })
        .await
    }

    /// Where the branch stood last, while it is gone from the origin.
    ///
    /// # Errors
    /// When the mirror can't be read.
    pub async fn last_stood(&self) -> Result<Option<Revision>, EdgeError> {
        let this = self.branch_only();
        this.read("see where the branch stood last".to_owned(), |inner, mirror| Ok(inner.mirror.last_stood(mirror))).await
    }

    /// The commits that the mirror keeps for an environment (rule S2), newest last is not promised.
    ///
    /// # Errors
    /// When the mirror can't be read.
    pub async fn kept(&self, environment: &EnvironmentName) -> Result<Vec<Revision>, EdgeError> {
        let pattern = format!("{}*", place(environment));
        let operation = format!("list the commits kept for {environment}");
        let this = self.branch_only();
        this.read(operation.clone(), move |_, mirror| {
            let failed = |error| from_git(operation.as_str(), error);
            let kept = mirror.references_glob(&pattern).map_err(failed)?;
            Ok(kept.filter_map(|reference| revision(reference.ok()?.target()?)).collect())
        })
        .await
    }
}

/// A commit of the repository at `path` by any name that git knows. Blocks.
///
/// # Errors
/// As [`read_commit`].
pub fn find_commit(path: &Path, name: &str) -> Result<Commit, EdgeError> {
    super::prepare().map_err(|error| from_git("set libgit2 up", error))?;
    let operation = format!("find the revision {} in {}", super::fault::tidy(name, 120), path.display());
    let repository = local::open(path)?;
    let id = super::id::oid(named(&repository, name, &operation)?);
    let commit = repository.find_commit(id).map_err(|error| from_git(operation, error))?;
    Ok(describe(&commit))
}

/// A commit of the repository at `path` and its files, by any name that git knows: no mirror, nothing checked out. Blocks.
///
/// # Errors
/// When there is no repository, or no such commit in it.
pub fn read_commit(path: &Path, name: &str, limits: &TreeLimits) -> Result<(Revision, FileTree), EdgeError> {
    super::prepare().map_err(|error| from_git("set libgit2 up", error))?;
    let operation = format!("find the revision {} in {}", super::fault::tidy(name, 120), path.display());
    let repository = local::open(path)?;
    let revision = named(&repository, name, &operation)?;
    Ok((revision, tree::read(&repository, revision, limits, None)?))
}

fn named(repository: &Repository, name: &str, operation: &str) -> Result<Revision, EdgeError> {
    let found = repository.revparse_single(name).and_then(|object| object.peel_to_commit());
    let commit = found.map_err(|error| {
        let why = if error.code() == ErrorCode::NotFound {
            "there is no such commit"
        } else if error.code() == ErrorCode::Ambiguous {
            "several objects begin so; give more digits"
        } else {
            "it names no commit"
        };
        fault(EdgeKind::NotFound, operation.to_owned()).because(why)
    })?;
    revision(commit.id()).ok_or_else(|| fault(EdgeKind::Refused, operation.to_owned()).because("its id has another length"))
}

fn revision(id: git2::Oid) -> Option<Revision> {
    Revision::parse(&id.to_string()).ok()
}

/// Whether `path` is a bare repository, which has commits and no files of its own.
#[must_use]
pub fn is_bare(path: &Path) -> bool {
    super::prepare().is_ok() && local::open(path).is_ok_and(|repository| repository.is_bare())
}

/// The files below a directory as they lie there, within the same limits as a commit's. `.git` is left out; symbolic links
/// are told and not followed. Blocks.
///
/// # Errors
/// When a directory or file can't be read.
pub fn read_directory(path: &Path, limits: &TreeLimits) -> Result<FileTree, EdgeError> {
    let failed = |place: &Path, error: io::Error| {
        let kind = if error.kind() == io::ErrorKind::NotFound { EdgeKind::NotFound } else { EdgeKind::Refused };
        EdgeError::new("directory", kind, format!("read {}", place.display())).because(error)
    };
    let mut tree = FileTree::default();
    let (mut entries, mut bytes) = (0, 0);
    let mut directories: Vec<(String, PathBuf, usize)> = vec![(String::new(), path.to_owned(), 0)];
    while let Some((prefix, place, depth)) = directories.pop() {
        for entry in fs::read_dir(&place).map_err(|error| failed(&place, error))? {
            let entry = entry.map_err(|error| failed(&place, error))?;
            if entry.file_name() == ".git" {
                continue;
            }
            entries += 1;
            let name = entry.file_name();
            let shown = if prefix.is_empty() {
                name.to_string_lossy().into_owned()
            } else {
                format!("{prefix}/{}", name.to_string_lossy())
            };
            if entries > limits.entries || depth > limits.depth || shown.len() > limits.path || bytes > limits.total {
                tree.cut = Some("it has more files, directories or bytes than are read of a revision".to_owned());
                return Ok(tree);
            }
            let kind = entry.file_type().map_err(|error| failed(&entry.path(), error))?;
            if kind.is_dir() {
                directories.push((shown, entry.path(), depth + 1));
                continue;
            }
            let node = if name.to_str().is_none() {
                Node::BadName
            } else if kind.is_symlink() {
                Node::Symlink
            } else if kind.is_file() {
                file(&entry, limits).map_err(|error| failed(&entry.path(), error))?
            } else {
                continue; // Sockets and pipes are in no commit.
            };
            if let Node::File(content) = &node {
                bytes += content.len() as u64;
            }
            tree.nodes.insert(shown, node);
        }
    }
    Ok(tree)
}

fn file(entry: &DirEntry, limits: &TreeLimits) -> io::Result<Node> {
    let mut bytes = Vec::new();
    File::open(entry.path())?.take(limits.file + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits.file {
        return Ok(Node::TooLarge { size: entry.metadata()?.len() });
    }
    Ok(Node::File(bytes.into()))
}
