//! Questions about descent, and commits as decisions need them.

use git2::{ErrorCode, Repository, Sort};

use super::fault::{fault, tidy};
use super::id::{oid, revision};
use super::tree::damaged;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::port::{Commit, EdgeError, EdgeKind};

/// The most commits that one answer holds.
const MOST_COMMITS: usize = 1000;
/// The longest subject or name, in characters.
const LONGEST_TEXT: usize = 300;
/// The longest trailer value, in characters: any key fits, and what is cut is too long for one.
const LONGEST_VALUE: usize = 600;
/// The trailers that lockstep listens to begin with this, in any case.
const OURS: &str = "lockstep-";

/// Whether `later` is `earlier` or comes after it.
pub(super) fn descends(mirror: &Repository, later: Revision, earlier: Revision) -> Result<bool, EdgeError> {
    let operation = || format!("see whether {later} descends from {earlier}");
    if mirror.find_commit(oid(later)).is_err() {
        return Err(fault(EdgeKind::NotFound, operation()).because(format!("the mirror does not have {later}")));
    }
    if later == earlier {
        return Ok(true);
    }
    if mirror.find_commit(oid(earlier)).is_err() {
        return Ok(false);
    }
    mirror.graph_descendant_of(oid(later), oid(earlier)).map_err(|error| damaged(operation(), error))
}

/// The commits from `upto` back to `after`, newest first.
pub(super) fn commits(mirror: &Repository, after: Option<Revision>, upto: Revision) -> Result<Vec<Commit>, EdgeError> {
    let operation = || format!("list the commits up to {upto}");
    let failed = |error: git2::Error| damaged(operation(), error);
    let last = match mirror.find_commit(oid(upto)) {
        Ok(last) => last,
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(fault(EdgeKind::NotFound, operation()).because("the mirror does not have this commit"));
        }
        Err(error) => return Err(failed(error)),
    };
    let Some(after) = after.filter(|after| mirror.find_commit(oid(*after)).is_ok()) else {
        return Ok(vec![describe(&last)]);
    };
    let mut walk = mirror.revwalk().map_err(failed)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME).map_err(failed)?;
    walk.push(oid(upto)).map_err(failed)?;
    walk.hide(oid(after)).map_err(failed)?;
    let mut commits = Vec::new();
    for id in walk.take(MOST_COMMITS) {
        let commit = mirror.find_commit(id.map_err(failed)?).map_err(failed)?;
        commits.push(describe(&commit));
    }
    Ok(commits)
}

pub(super) fn describe(commit: &git2::Commit<'_>) -> Commit {
    let message = String::from_utf8_lossy(commit.message_bytes());
    let author = commit.author();
    let author = String::from_utf8_lossy(author.name_bytes());
    let (trailers, unread) = trailers(&message);
    let subject = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Commit {
        revision: revision(commit.id()),
        author: tidy(&author, LONGEST_TEXT),
        subject: tidy(subject, LONGEST_TEXT),
        trailers,
        unread,
        at: Timestamp::from_millis(commit.time().seconds().saturating_mul(1000)),
    }
}

/// `Lockstep-…: value` lines of the last paragraph, in order, as `git interpret-trailers` finds them, as many as are read; and
/// how many more there are.
fn trailers(message: &str) -> (Vec<(String, String)>, usize) {
    // A message with a NUL can't be given to libgit2; git itself writes none.
    let Ok(found) = git2::message_trailers_strs(message) else { return (Vec::new(), 0) };
    let ours = |key: &str| key.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
    let mut found = found.iter().filter(|(key, _)| ours(key));
    let read = found.by_ref().take(Commit::MOST_TRAILERS);
    let read = read.map(|(key, value)| (key.to_owned(), tidy(value, LONGEST_VALUE))).collect();
    (read, found.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: &[(&str, &str)]) {
        let (found, unread) = trailers(message);
        assert_eq!(unread, 0, "of {message:?}");
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, expected, "of {message:?}");
    }

    #[test]
    fn only_our_trailers_of_the_last_paragraph_count() {
        check("subject", &[]);
        check("subject\n\nLockstep-Allow-Deletes: 60\n", &[("Lockstep-Allow-Deletes", "60")]);
        check("subject\n\nlockstep-x: a\nSigned-off-by: B\nLOCKSTEP-Y:  c d \n", &[("lockstep-x", "a"), ("LOCKSTEP-Y", "c d")]);
        check("subject\n\nLockstep-Allow-Deletes: 60\n\nand more text\n", &[]);
        check("Lockstep-Allow-Deletes: 60", &[]);
        check("subject\n\nLockstepX: 1\nLockste\u{301}p-: 2\n", &[]);
        check("a\0b\n\nLockstep-X: 1\n", &[]);
    }

    #[test]
    fn what_is_beyond_a_limit_is_counted_or_stays_too_long() {
        let message = |count: usize| format!("subject\n\n{}Signed-off-by: B\n", "Lockstep-Adopt: a\n".repeat(count));
        for (count, expected) in [(1, (1, 0)), (50, (50, 0)), (51, (50, 1)), (1_000, (50, 950))] {
            let (found, unread) = trailers(&message(count));
            assert_eq!((found.len(), unread), expected);
        }
        for (length, expected) in [(513, 513), (600, 600), (601, 601), (100_000, 601)] {
            let (found, _) = trailers(&format!("subject\n\nLockstep-Adopt: {}\n", "k".repeat(length)));
            assert_eq!(found[0].1.chars().count(), expected);
        }
    }
}
