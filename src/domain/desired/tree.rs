//! The files of one revision, as they were read from git objects: bounded, and nothing followed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One entry of a revision's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file's bytes.
    File(Arc<[u8]>),
    /// A file over the size limit; its bytes were not read.
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link: never followed.
    Symlink,
    /// A submodule: never fetched.
    Submodule,
    /// A name that is not UTF-8, or that git itself would refuse to check out; the path shown is an approximation.
    BadName,
}

/// Files and directories, and bytes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Files and directories.
    pub entries: usize,
    /// Bytes of the files, each content counted once.
    pub bytes: u64,
}

impl Size {
    /// No limit.
    pub const UNLIMITED: Self = Self { entries: usize::MAX, bytes: u64::MAX };

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { entries: self.entries.saturating_add(other.entries), bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// Whether it is within a limit.
    #[must_use]
    pub fn is_within(self, limit: Self) -> bool {
        self.entries <= limit.entries && self.bytes <= limit.bytes
    }
}

/// All files of one revision by their path in the repository, `/` between segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTree {
    /// The files and what stands in for them.
    pub nodes: BTreeMap<String, Node>,
    /// Set when reading stopped at a limit (entries, depth or total bytes): the tree can't be used, and this says why.
    pub cut: Option<String>,
    /// Directories that the revision has and of which only the selected files are here; empty when all were read.
    pub partly: BTreeSet<String>,
    /// How much was read.
    pub size: Size,
    /// How much would have been read at most.
    pub limit: Size,
}

impl Default for FileTree {
    /// No files, of a source that reads any number.
    fn default() -> Self {
        let (nodes, partly) = (BTreeMap::new(), BTreeSet::new());
        Self { nodes, cut: None, partly, size: Size::default(), limit: Size::UNLIMITED }
    }
}

impl FileTree {
    /// A tree of plain files, for tests and for a directory that is no git repository.
    #[must_use]
    pub fn of_files(files: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>) -> Self {
        let files = files.into_iter().map(|(path, bytes)| (path.as_ref().to_owned(), Node::File(bytes.as_ref().into())));
        let nodes = files.collect();
        Self { nodes, ..Self::default() }
    }
}
