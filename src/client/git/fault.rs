//! How a failure of git becomes an error that says what to do.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use git2::{ErrorClass, ErrorCode};

use crate::port::{EdgeError, EdgeKind};

/// A failure of this part of the program.
pub(super) fn fault(kind: EdgeKind, operation: impl Into<String>) -> EdgeError {
    EdgeError::new("git", kind, operation)
}

/// What libgit2 said, without the numbers that it adds.
#[derive(Debug)]
pub(super) struct Said(pub(super) git2::Error);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tidy(self.0.message(), 400))
    }
}

impl Error for Said {}

/// A failure that libgit2 reported.
pub(super) fn from_git(operation: impl Into<String>, error: git2::Error) -> EdgeError {
    let (kind, hint) = match (error.code(), error.class()) {
        (ErrorCode::Owner, _) => (
            EdgeKind::Denied,
            Some("the repository's directory must belong to the user that runs lockstep: chown it, or run as that user"),
        ),
        (ErrorCode::NotFound, _) => (EdgeKind::NotFound, None),
        (ErrorCode::Locked, _) | (_, ErrorClass::Net | ErrorClass::Os) => (EdgeKind::Transient, None),
        (_, ErrorClass::Repository) if error.message().contains("extension") || error.message().contains("object format") => (
            EdgeKind::Refused,
            Some("lockstep reads repositories with SHA-1 ids and files for refs (no reftable, no partial clone)"),
        ),
        (ErrorCode::InvalidSpec | ErrorCode::Invalid, _) => (EdgeKind::Refused, None),
        _ => (EdgeKind::Transient, None),
    };
    let mut fault = fault(kind, operation).because(Said(error));
    fault.hint = hint.map(str::to_owned);
    fault
}

/// Whether a failed read means that the mirror lacks something it should have, or that something in it is broken. Running
/// out of file descriptors or memory does not.
pub(super) fn shows_damage(error: &EdgeError) -> bool {
    let cause = error.source.as_ref().and_then(|source| source.downcast_ref::<Said>());
    error.kind == EdgeKind::Transient
        && cause.is_some_and(|cause| !matches!(cause.0.class(), ErrorClass::Os | ErrorClass::NoMemory | ErrorClass::Thread))
}

/// A call that took longer than it may.
pub(super) fn overdue(operation: impl Into<String>, limit: Duration) -> EdgeError {
    fault(EdgeKind::Transient, operation)
        .because(format!("no end after {limit:?}"))
        .hint("see whether the server answers; `fetch_timeout` of the repository sets how long one fetch may take")
}

/// A call in which nothing moved for longer than may be.
pub(super) fn stalled(operation: impl Into<String>, patience: Duration) -> EdgeError {
    fault(EdgeKind::Transient, operation)
        .because(format!("nothing came for {patience:?}"))
        .hint("see whether the server answers, and whether the network between lets it through; lockstep tries again")
}

/// Text that another program or machine wrote, made fit for a log line: no control characters, bounded.
pub(super) fn tidy(text: &str, at_most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(at_most) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}
