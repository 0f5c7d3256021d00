//! Why a key is not in the repository that an import writes, and what to do about it.

use crate::domain::desired::LARGEST_VALUE;
use crate::domain::resource::OwnerId;

/// A key that was found and not written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The key as it was found; may hold anything.
    pub key: String,
    /// Why.
    pub reason: Reason,
}

/// Why a key was not written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It ends with `/`.
    Folder,
    /// It lies below `lockstep/`.
    OwnState,
    /// It is no key that lockstep can manage; the text says what is wrong with it.
    Name(String),
    /// Its value has so many bytes.
    TooLarge(usize),
    /// A session holds it.
    Locked,
    /// It carries lockstep's mark: an environment keeps it already, or it is a copy from where one does.
    Kept(OwnerId),
    /// Another program's flags.
    Flagged(u64),
    /// No file of a repository can hold it: its own name or its value's bytes leave none.
    NoPlace,
    /// The other tool's own affair; the text says which.
    Other {
        /// Why.
        why: String,
        /// What to do.
        advice: String,
        /// The file that would give the key.
        file: String,
    },
}

impl Reason {
    /// Why, for a person.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Folder => "it is a folder key: it ends with '/'".to_owned(),
            Self::OwnState => "it is lockstep's own state".to_owned(),
            Self::Name(problem) => format!("lockstep manages no such key: it {problem}"),
            Self::TooLarge(size) => format!("its value has {size} bytes; a key holds {LARGEST_VALUE} at most"),
            Self::Locked => "a session holds it: it is a lock or an election, not configuration".to_owned(),
            Self::Kept(owner) => format!("it carries the mark of an environment of lockstep (owner id {owner})"),
            Self::Flagged(flags) => format!("its Flags are {flags:#x}: another program uses them"),
            Self::NoPlace => "no file can hold it: git or a file system refuses its name, or its bytes are no text".to_owned(),
            Self::Other { why, .. } => why.clone(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &str {
        match self {
            Self::Folder => "nothing reads it but Consul's UI, which makes such keys; leave it or delete it",
            Self::OwnState => "nothing: it is no configuration",
            Self::Name(_) => "give it another name, or leave it: lockstep lists it as not manageable and never touches it",
            Self::TooLarge(_) => "split it, or keep it elsewhere and name its place; lockstep never touches it",
            Self::Locked => "leave it: lockstep never touches it",
            Self::Kept(_) => {
                "if that environment is here, its own repository says it; if it is a copy, as `consul kv import` makes it of another \
                 Consul's key, write it again without the mark, as `consul kv put` does, and import again"
            }
            Self::Flagged(_) => {
                "leave it, or set its Flags to 0 if nobody reads them and import again: adoption would replace them"
            }
            Self::NoPlace => "give it another name, or leave it: lockstep never touches it",
            Self::Other { advice, .. } => advice,
        }
    }

    /// The file that would give the key, where it comes from one.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Other { file, .. } => Some(file),
            Self::Folder
            | Self::OwnState
            | Self::Name(_)
            | Self::TooLarge(_)
            | Self::Locked
            | Self::Kept(_)
            | Self::Flagged(_)
            | Self::NoPlace => None,
        }
    }

    /// One word, the same for all keys of a kind.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::OwnState => "own_state",
            Self::Name(_) => "name",
            Self::TooLarge(_) => "too_large",
            Self::Locked => "locked",
            Self::Kept(_) => "kept",
            Self::Flagged(_) => "flagged",
            Self::NoPlace => "no_place",
            Self::Other { .. } => "tool",
        }
    }
}
