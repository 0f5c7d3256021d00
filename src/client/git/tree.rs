//! Git objects become the domain's file tree: within limits, with nothing followed and nothing run.

use std::collections::HashMap;
use std::sync::Arc;

use git2::{ErrorCode, ObjectType, Odb, Oid, Repository};

use super::fault::{fault, from_git};
use super::id::oid;
use crate::domain::desired::{FileTree, Node};
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

const DIRECTORY: i32 = 0o040_000;
const SYMLINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;

/// Reads the files of a commit.
pub(super) fn read(mirror: &Repository, revision: Revision, limits: &TreeLimits) -> Result<FileTree, EdgeError> {
    let operation = || format!("read the files of {revision}");
    let failed = |error: git2::Error| damaged(operation(), error);
    let commit = match mirror.find_commit(oid(revision)) {
        Ok(commit) => commit,
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(fault(EdgeKind::NotFound, operation()).because("the mirror does not have this commit"));
        }
        Err(error) => return Err(failed(error)),
    };
    let mut reading =
        Reading { odb: mirror.odb().map_err(failed)?, limits, tree: FileTree::default(), known: HashMap::new(), bytes: 0 };
    // A stack of our own: a tree as deep as its author likes must not use up the thread's.
    let mut directories = vec![(String::new(), commit.tree_id(), 0)];
    let mut entries = 0;
    while let Some((path, id, depth)) = directories.pop() {
        let directory = mirror.find_tree(id).map_err(failed)?;
        for entry in &directory {
            entries += 1;
            if entries > limits.entries {
                return Ok(reading.cut(format!("it has more than {} files and directories", limits.entries)));
            }
            let (name, name_is_good) = name(entry.name_bytes());
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            if path.len() > limits.path {
                return Ok(reading.cut(format!("it has a path of more than {} bytes", limits.path)));
            }
            if !name_is_good {
                reading.put(path, Node::BadName);
                continue;
            }
            match entry.filemode_raw() & 0o170_000 {
                DIRECTORY if depth == limits.depth => {
                    return Ok(reading.cut(format!("it has more than {} directories inside one another", limits.depth)));
                }
                DIRECTORY => directories.push((path, entry.id(), depth + 1)),
                SYMLINK => reading.put(path, Node::Symlink),
                SUBMODULE => reading.put(path, Node::Submodule),
                _ => {
                    let node = reading.file(entry.id()).map_err(failed)?;
                    reading.put(path, node);
                    if reading.bytes > limits.total {
                        return Ok(reading.cut(format!("its files have more than {} MiB", limits.total >> 20)));
                    }
                }
            }
        }
    }
    Ok(reading.tree)
}

/// An object that should be there and is not, or can't be read, means a damaged mirror, which the next fetch replaces.
pub(super) fn damaged(operation: String, error: git2::Error) -> EdgeError {
    let mut fault = from_git(operation, error);
    fault.kind = EdgeKind::Transient;
    fault.hint("the mirror seems damaged; the next fetch replaces it")
}

struct Reading<'a> {
    odb: Odb<'a>,
    limits: &'a TreeLimits,
    tree: FileTree,
    /// Contents that were read already: a tree can name the same one a hundred thousand times.
    known: HashMap<Oid, Node>,
    bytes: u64,
}

impl Reading<'_> {
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

    /// Two entries of the same path would hide one another from a reviewer: neither is believed.
    fn put(&mut self, path: String, node: Node) {
        self.tree.nodes.entry(path).and_modify(|other| *other = Node::BadName).or_insert(node);
    }

    fn cut(mut self, why: String) -> FileTree {
        self.tree.cut = Some(why);
        self.tree
    }
}

/// A name as text, and whether git itself would check it out.
fn name(bytes: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(bytes);
    let good = matches!(text, std::borrow::Cow::Borrowed(_))
        && !matches!(&*text, "" | "." | "..")
        && !text.contains(['/', '\0'])
        && !is_dot_git(&text);
    (text.into_owned(), good)
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
