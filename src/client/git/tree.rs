//! Git objects become the domain's file tree: within limits, with nothing followed and nothing run.

use std::collections::HashMap;
use std::sync::Arc;

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository, TreeEntry};

use super::fault::{fault, from_git};
use super::id::oid;
use crate::domain::desired::{Extent, FileTree, Node, Selection, Size};
use crate::domain::revision::Revision;
use crate::port::{EdgeError, EdgeKind};

/// How much of a revision is read at most. A tree beyond them is cut, which the format's reader reports.
#[derive(Debug, Clone, Copy)]
pub struct TreeLimits {
    /// Files and directories.
    pub entries: usize,
    /// Directories inside one another.
    pub depth: usize,
    /// Bytes of one file; a larger one is known by its size only.
    pub file: u64,
    /// Bytes of all files, each content counted once.
    pub total: u64,
    /// Bytes of one path.
    pub path: usize,
}

impl Default for TreeLimits {
    /// 200,000 entries, 64 levels, 10 MiB a file, 256 MiB in all, 4,096 bytes a path.
    fn default() -> Self {
        Self { entries: 200_000, depth: 64, file: 10 << 20, total: 256 << 20, path: 4096 }
    }
}

const KIND: i32 = 0o170_000;
const DIRECTORY: i32 = 0o040_000;
const SYMLINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;

/// Reads the files of a commit: all of them, or those that are selected.
pub(super) fn read(
    mirror: &Repository,
    revision: Revision,
    limits: &TreeLimits,
    selection: Option<&Selection>,
) -> Result<FileTree, EdgeError> {
    let operation = || format!("read the files of {revision}");
    let failed = |error: git2::Error| damaged(operation(), error);
    let commit = match mirror.find_commit(oid(revision)) {
        Ok(commit) => commit,
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(fault(EdgeKind::NotFound, operation()).because("the mirror does not have this commit"));
        }
        Err(error) => return Err(failed(error)),
    };
    let mut reading = Reading::of(mirror, limits).map_err(failed)?;
    let mut tree = FileTree::default();
    // A stack of our own: a tree as deep as its author likes must not use up the thread's.
    let mut directories = vec![(String::new(), commit.tree_id(), 0, selection)];
    let mut entries = 0;
    while let Some((path, id, depth, selection)) = directories.pop() {
        let directory = mirror.find_tree(id).map_err(failed)?;
        for entry in &directory {
            entries += 1;
            if entries > limits.entries {
                return Ok(cut(tree, format!("it has more than {} files and directories", limits.entries)));
            }
            let (name, name_is_good) = name(entry.name_bytes());
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            let below = match (selection, is_directory(&entry)) {
                (None, _) => None,
                (Some(selection), true) => match selection.extent(&path) {
                    Extent::Nothing => continue,
                    Extent::Part => Some(selection),
                    Extent::Whole => None,
                },
                (Some(selection), false) if selection.takes(&path) => None,
                (Some(_), false) => continue,
            };
            if path.len() > limits.path {
                return Ok(cut(tree, format!("it has a path of more than {} bytes", limits.path)));
            }
            if !name_is_good {
                put(&mut tree, path, Node::BadName);
                continue;
            }
            if !is_directory(&entry) {
                let node = reading.node(entry.id(), entry.filemode_raw()).map_err(failed)?;
                put(&mut tree, path, node);
                if reading.bytes > limits.total {
                    return Ok(cut(tree, format!("its files have more than {} MiB", limits.total >> 20)));
                }
            } else if depth == limits.depth {
                return Ok(cut(tree, format!("it has more than {} directories inside one another", limits.depth)));
            } else {
                if below.is_some() {
                    tree.partly.insert(path.clone());
                }
                directories.push((path, entry.id(), depth + 1, below));
            }
        }
    }
    tree.size = Size { entries, bytes: reading.bytes };
    tree.limit = Size { entries: limits.entries, bytes: limits.total };
    Ok(tree)
}

/// Whether an entry of a tree is a tree.
pub(super) fn is_directory(entry: &TreeEntry<'_>) -> bool {
    entry.filemode_raw() & KIND == DIRECTORY
}

/// Two entries of the same path would hide one another from a reviewer: neither is believed.
fn put(tree: &mut FileTree, path: String, node: Node) {
    tree.nodes.entry(path).and_modify(|other| *other = Node::BadName).or_insert(node);
}

fn cut(mut tree: FileTree, why: String) -> FileTree {
    tree.cut = Some(why);
    tree
}

/// An object that should be there and is not, or can't be read, means a damaged mirror, which the next fetch replaces.
pub(super) fn damaged(operation: String, error: git2::Error) -> EdgeError {
    let mut fault = from_git(operation, error);
    fault.kind = EdgeKind::Transient;
    fault.hint("the mirror seems damaged; the next fetch replaces it")
}

/// Files become nodes, each content once.
pub(super) struct Reading<'a> {
    odb: Odb<'a>,
    limits: &'a TreeLimits,
    /// Contents that were read already: a tree can name the same one a hundred thousand times.
    known: HashMap<Oid, Node>,
    bytes: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn of(mirror: &'a Repository, limits: &'a TreeLimits) -> Result<Self, git2::Error> {
        Ok(Self { odb: mirror.odb()?, limits, known: HashMap::new(), bytes: 0 })
    }

    /// How many bytes of files were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What an entry that is no directory is to the domain.
    pub(super) fn node(&mut self, id: Oid, mode: i32) -> Result<Node, git2::Error> {
        match mode & KIND {
            SYMLINK => Ok(Node::Symlink),
            SUBMODULE => Ok(Node::Submodule),
            _ => self.file(id),
        }
    }

    fn file(&mut self, id: Oid) -> Result<Node, git2::Error> {
        if let Some(node) = self.known.get(&id) {
            return Ok(node.clone());
        }
        // The size first: what is too large never comes into memory.
        let (size, kind) = self.odb.read_header(id)?;
        let size = size as u64;
        let node = if kind != ObjectType::Blob {
            Node::BadName
        } else if size > self.limits.file {
            Node::TooLarge { size }
        } else {
            self.bytes += size;
            if self.bytes > self.limits.total {
                return Ok(Node::TooLarge { size });
            }
            Node::File(Arc::from(self.odb.read(id)?.data()))
        };
        self.known.insert(id, node.clone());
        Ok(node)
    }
}

/// A name as text, and whether git itself would check it out.
fn name(bytes: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(bytes);
    let good = matches!(text, std::borrow::Cow::Borrowed(_)) && !would_mislead(bytes);
    (text.into_owned(), good)
}

/// Whether a name leads elsewhere than to one entry of its own directory, or into git's.
pub(super) fn would_mislead(bytes: &[u8]) -> bool {
    matches!(bytes, b"" | b"." | b"..")
        || bytes.iter().any(|byte| matches!(byte, b'/' | b'\0'))
        || is_dot_git(&String::from_utf8_lossy(bytes))
}

/// Whether some file system would take the name for `.git`.
fn is_dot_git(name: &str) -> bool {
    // HFS+ ignores these characters; NTFS drops dots and spaces at the end and takes `:…` for a stream.
    let ignored =
        |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let plain: String = name.chars().filter(|c| !ignored(*c)).collect::<String>().to_ascii_lowercase();
    let plain = plain.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    plain == ".git" || plain == "git~1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_would_not_check_out_are_bad() {
        for bad in [
            b"".as_slice(),
            b".",
            b"..",
            b".git",
            b".GIT",
            b".Git ",
            b".git.",
            b".git::$INDEX_ALLOCATION",
            b"git~1",
            b"a/b",
            b"\xff\xfe",
            b"a\0b",
            ".g\u{200c}it".as_bytes(),
        ] {
            assert!(!name(bad).1, "{bad:?} was accepted");
        }
        for good in [".gitignore", ".gitattributes", "git", "a b", "ü", "...", "-x", ";$(id)", "git~2"] {
            assert!(name(good.as_bytes()).1, "{good:?} was refused");
        }
    }
}
