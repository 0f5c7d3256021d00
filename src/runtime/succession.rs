//! An environment that goes on under another name, where the branch head says so (rule O9).

use std::collections::BTreeSet;

use super::observe::is_rewound;
use super::reading::{Fit, Reading, Readings};
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::revision::Revision;
use crate::domain::rollout::Stored;
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, EdgeKind, Source, Target, Tip};

/// An environment and what its target takes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its name now.
    pub environment: &'a EnvironmentName,
    /// The config repository's name.
    pub repository: &'a RepositoryName,
    /// What its target takes.
    pub fit: &'a Fit,
}

/// A record that can be taken over.
#[derive(Debug)]
pub struct Heir {
    /// The name that it has there.
    pub former: EnvironmentName,
    /// The record, as it is there.
    pub stored: Stored,
}

/// The record of the former name that a revision gives an environment, where the target has no record of its own.
///
/// # Errors
/// When the mirror or the target can't be read; `Refused` when the record can't be taken over, and why.
pub async fn heir<S: Source, T: Target>(
    readings: &mut Readings,
    place: Place<'_>,
    source: &S,
    target: &T,
    at: Revision,
) -> Result<Option<Heir>, EdgeError> {
    let Some(heir) = claim(readings, source, target, at).await? else { return Ok(None) };
    fits(&heir, place, source).await?;
    Ok(Some(heir))
}

/// What the revision claims for the environment.
async fn claim<S: Source, T: Target>(
    readings: &mut Readings,
    source: &S,
    target: &T,
    at: Revision,
) -> Result<Option<Heir>, EdgeError> {
    let Reading::Valid(desired) = readings.of(at, source).await? else { return Ok(None) };
    let Some(former) = desired.environment().formerly.clone() else { return Ok(None) };
    let stored = target.former(&former).await?;
    Ok(stored.map(|stored| Heir { former, stored }))
}

/// Whether everything that was reached under the former name fits the place under the new one.
async fn fits<S: Source>(heir: &Heir, place: Place<'_>, source: &S) -> Result<(), EdgeError> {
    let Heir { former, stored } = heir;
    let Place { environment: name, repository, fit } = place;
    let mut before = Readings::new(former.clone(), repository.clone(), fit.clone());
    before.known_as(&stored.record);
    for revision in stored.record.revisions_needed(&[]) {
        if let Reading::Invalid(text) = before.reached(revision, source).await? {
            let operation = format!("take the record of {former} over as {name}");
            let because = format!("{}, which {former} reached, does not fit {name}: {text}", revision.short());
            return Err(EdgeError::new("lockstep", EdgeKind::Refused, operation)
                .because(because)
                .hint("give the environment the same roots under its new name; they can be narrowed afterwards"));
        }
    }
    Ok(())
}

/// What came of a look for a record to take over.
#[derive(Debug)]
pub enum Taken {
    /// The record of the former name goes on here.
    Over,
    /// There is none to take over.
    Nothing,
    /// There is one, and the head that says so may be an old one: whether it is will show at the next fetch (rule S1).
    NotYet(EdgeError),
}

/// Takes a record over if the branch head says that the environment was called otherwise before.
///
/// # Errors
/// As [`heir`]; `Refused` when the owner entry is another's; `Conflict` when somebody leads it under its former name, or when it
/// moved meanwhile.
pub async fn take_over<S: Source, T: Target>(
    readings: &mut Readings,
    place: Place<'_>,
    source: &S,
    target: &T,
    now: Timestamp,
) -> Result<Taken, EdgeError> {
    let head = source.head().await?;
    let Tip::At(tip) = head.tip else { return Ok(Taken::Nothing) };
    // Without a record there is nothing that earlier heads are kept for.
    readings.keep_only(&BTreeSet::from([tip]));
    let Some(heir) = claim(readings, source, target, tip).await? else { return Ok(Taken::Nothing) };
    let Heir { former, stored } = &heir;
    if is_rewound(&stored.record, &head, tip, source).await? {
        let operation = format!("take the record of {former} over as {}", place.environment);
        let because = format!(
            "the branch head {} says so, and does not contain the commit that {former} followed last: a git server may be behind",
            tip.short()
        );
        return Ok(Taken::NotYet(
            EdgeError::new("lockstep", EdgeKind::Transient, operation)
                .because(because)
                .hint("it is believed once a second fetch, one poll interval later, agrees"),
        ));
    }
    // What is refused is refused before the history, the revisions and the keys are read: that may go on for long.
    target.may_take_over(former, &stored.record.identity).await?;
    fits(&heir, place, source).await?;
    // A name that was used before has a history of its own.
    let own = match target.history(1).await {
        Ok(lines) => lines.first().map(|line| line.generation),
        Err(error) if error.kind == EdgeKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let marked = target.live().await?.highest_generation(stored.record.identity.owner);
    let save = stored.record.renamed(place.environment, own.max(marked).unwrap_or_default(), tip, now);
    target.take_over(former, stored.fence, &save).await?;
    tracing::info!(environment = %place.environment, %former, "goes on with the record of its former name");
    Ok(Taken::Over)
}

/// Whether a target that answered so may hold the record under another name.
#[must_use]
pub fn is_missing(found: &Result<Option<Stored>, EdgeError>) -> bool {
    match found {
        Ok(stored) => stored.is_none(),
        Err(error) => error.kind == EdgeKind::Refused,
    }
}
