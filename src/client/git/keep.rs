//! Refs of our own, so that the commits an environment may need stay in the mirror when the branch drops them (rule S2).

use std::collections::BTreeSet;
use std::time::Duration;

use git2::Repository;

use super::fault::from_git;
use super::id::oid;
use super::mirror::{KEPT, free};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::port::EdgeError;

/// A ref's lock that is so old is held by nobody: to write one takes milliseconds.
const LEFT: Duration = Duration::from_mins(1);

/// Keeps exactly these commits under the environment's name, as far as the mirror has them: one that was forced out of the
/// branch before this mirror was made is lost to it, and must not stand in the way of all others. Writes nothing when they
/// are kept already.
pub(super) fn keep(mirror: &Repository, environment: &EnvironmentName, revisions: &[Revision]) -> Result<(), EdgeError> {
    let operation = || format!("keep the commits of {environment} in the mirror");
    let failed = |error| from_git(operation(), error);
    let place = place(environment);
    let wanted: BTreeSet<Revision> = revisions.iter().copied().collect();
    for revision in &wanted {
        let name = format!("{place}{revision}");
        if mirror.refname_to_id(&name).is_ok_and(|id| id == oid(*revision)) {
            continue;
        }
        if mirror.find_commit(oid(*revision)).is_err() {
            continue;
        }
        free(mirror, &name, LEFT);
        mirror.reference(&name, oid(*revision), true, "keep").map_err(failed)?;
    }
    for mut reference in mirror.references_glob(&format!("{place}*")).map_err(failed)?.flatten() {
        let named = reference.name().ok().and_then(|name| name.strip_prefix(&place)).and_then(|id| Revision::parse(id).ok());
        if named.is_none_or(|revision| !wanted.contains(&revision)) {
            free(mirror, reference.name().unwrap_or_default(), LEFT);
            reference.delete().map_err(failed)?;
        }
    }
    Ok(())
}

/// Where an environment's refs lie. Git allows no ref whose name has a part that ends in `.lock`, an environment may; `_`
/// is in no environment's name, so the two can't meet.
pub(super) fn place(environment: &EnvironmentName) -> String {
    let end = if environment.as_str().to_ascii_lowercase().ends_with(".lock") { "_" } else { "" };
    format!("{KEPT}{environment}{end}/")
}
