//! Which names an environment had or has, as the own files of all environments say from commit to commit (rule O9).

use std::collections::BTreeSet;

use super::edges::Edges;
use crate::client::git::Wanted;
use crate::domain::desired::{Heirs, environment_file};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::port::EdgeError;

/// So many commits at which some own file changed are looked at at a time.
const STEPS: usize = 64;

/// An environment's own file, and no other.
pub(super) fn file_alone(environment: &EnvironmentName) -> Wanted {
    Wanted::alone(environment_file(environment))
}

/// Whether a commit has an environment of this name.
///
/// # Errors
/// As [`names`].
pub(super) async fn has(edges: &Edges, name: &EnvironmentName, at: Revision) -> Result<bool, EdgeError> {
    let tree = edges.source.pick(at, file_alone(name)).await?;
    Ok(tree.nodes.contains_key(&environment_file(name)))
}

/// The names under which an environment went on up to a commit, its own first: where the commit has it, that is the only one.
/// Commits without any of them may lie between two names.
///
/// # Errors
/// When the mirror can't be read; `NotFound` when it does not have the commit.
pub(super) async fn names(
    edges: &Edges,
    environment: &EnvironmentName,
    upto: Revision,
) -> Result<Vec<EnvironmentName>, EdgeError> {
    if has(edges, environment, upto).await? {
        return Ok(vec![environment.clone()]);
    }
    let mut heirs = Heirs::of(environment.clone());
    let mut next = Some(upto);
    while let Some(from) = next {
        let trail = edges.source.trail_of_environments(from, STEPS).await?;
        let goes_on = trail.steps.iter().all(|step| heirs.look(&step.tree));
        next = trail.end.next().filter(|_| goes_on);
    }
    Ok(heirs.names())
}

/// What an environment was called when it was last there, up to a commit that does not have it under the newer of two names.
/// One that was retired and is back was called as it is now.
///
/// # Errors
/// As [`names`].
pub(super) async fn last_called(
    edges: &Edges,
    newer: &EnvironmentName,
    former: &EnvironmentName,
    upto: Revision,
) -> Result<EnvironmentName, EdgeError> {
    let files = [newer, former].map(environment_file);
    let mut next = Some(upto);
    while let Some(from) = next {
        let other = files[1].clone();
        let wanted = Wanted { first: files[0].clone(), then: Box::new(move |_| vec![other.clone()]) };
        let trail = edges.source.trail(from, wanted, BTreeSet::new(), 2).await?;
        for step in &trail.steps {
            let [has_newer, has_former] = files.each_ref().map(|file| step.tree.nodes.contains_key(file));
            if has_former {
                return Ok(former.clone());
            }
            if has_newer {
                return Ok(newer.clone());
            }
        }
        next = trail.end.next();
    }
    Ok(former.clone())
}
