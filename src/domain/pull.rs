//! Pull requests and comments on them, as far as decisions need to know.

use std::fmt;

use super::revision::Revision;

/// The number of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PullNumber(pub u64);

impl fmt::Display for PullNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a forge calls a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommentId(pub u64);

/// An open pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: PullNumber,
    /// The newest commit that it proposes.
    pub head: Revision,
    /// It comes from another repository, where whoever opened it may write and need not be trusted.
    pub from_fork: bool,
}

impl PullRequest {
    /// So many open pull requests are looked at: the newest ones.
    pub const MOST: usize = 200;
}

/// A comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// What the forge calls it.
    pub id: CommentId,
    /// Its text.
    pub text: String,
}

/// A pull request to be opened, within the repository itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPull {
    /// The branch that it proposes.
    pub branch: String,
    /// The branch that it is to be merged into.
    pub base: String,
    /// One line.
    pub title: String,
    /// What it is about, as Markdown.
    pub text: String,
}
