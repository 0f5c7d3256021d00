//! One commit, two names: the domain's and libgit2's.

use git2::Oid;

use crate::domain::revision::Revision;

/// The domain's name of a commit.
pub(super) fn revision(id: Oid) -> Revision {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(id.as_bytes());
    Revision::from_bytes(bytes)
}

/// libgit2's name of a commit.
pub(super) fn oid(revision: Revision) -> Oid {
    let Ok(id) = Oid::from_bytes(revision.as_bytes()) else { unreachable!("an id of 20 bytes is an object id") };
    id
}
