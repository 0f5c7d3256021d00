//! An environment that goes on under another name, where the branch head says so (rule O9).

use std::collections::BTreeSet;

use super::observe::{is_rewound, keep_renamed};
use super::reading::{Fit, Reading, Readings};
use crate::domain::desired::DesiredState;
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{Needed, Rollout, Stored};
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

/// The same, whether it can be taken over or not: a few small reads, and of a revision that was read before none of the repository.
///
/// # Errors
/// When the mirror or the target can't be read.
pub async fn claim<S: Source, T: Target>(
    readings: &mut Readings,
    source: &S,
    target: &T,
    at: Revision,
) -> Result<Option<Heir>, EdgeError> {
    let Some(former) = claimed(readings, source, at).await? else { return Ok(None) };
    let stored = target.former(&former).await?;
    Ok(stored.map(|stored| Heir { former, stored }))
}

/// The former name that a revision gives the environment.
async fn claimed<S: Source>(readings: &mut Readings, source: &S, at: Revision) -> Result<Option<EnvironmentName>, EdgeError> {
    let Reading::Valid(desired) = readings.of(at, source).await? else { return Ok(None) };
    Ok(desired.environment().formerly.clone())
}

/// Whether everything that was reached under the former name fits the place under the new one.
async fn fits<S: Source>(heir: &Heir, place: Place<'_>, source: &S) -> Result<(), EdgeError> {
    let Heir { former, stored } = heir;
    let Place { environment: name, repository, fit } = place;
    let mut before = Readings::new(former.clone(), repository.clone(), fit.clone());
    before.known_as(&stored.record);
    for one in stored.record.revisions_needed(&[]) {
        if let Reading::Invalid(text) = before.reached(one, source).await? {
            let operation = format!("take the record of {former} over as {name}");
            let because = format!("{}, which {former} reached, does not fit {name}: {text}", one.revision.short());
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
    /// The record of the former name goes on here, and this is the number that it was given.
    Over(Generation),
    /// There is none to take over, and the head names no former name.
    Nothing,
    /// The head names a former name, and there is no record of it either.
    NotThere,
    /// There is one, and the head that says so may be an old one: whether it is will show at the next fetch (rule S1).
    NotYet(EdgeError),
}

/// Takes a record over if the branch head says that the environment was called otherwise before. The numbers go on above
/// `remembered`, which this process has seen: a restored target may have forgotten it (rule A5).
///
/// # Errors
/// As [`heir`], [`Target::may_take_over`] and [`Target::take_over`].
pub async fn take_over<S: Source, T: Target>(
    readings: &mut Readings,
    place: Place<'_>,
    source: &S,
    target: &T,
    remembered: Generation,
    now: Timestamp,
) -> Result<Taken, EdgeError> {
    let head = source.head().await?;
    let Tip::At(tip) = head.tip else { return Ok(Taken::Nothing) };
    // Without a record there is nothing that earlier heads are kept for.
    readings.keep_only(&BTreeSet::from([Needed::named(tip)]));
    let Some(heir) = claim(readings, source, target, tip).await? else {
        let is_claimed = claimed(readings, source, tip).await?.is_some();
        return Ok(if is_claimed { Taken::NotThere } else { Taken::Nothing });
    };
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
    let own = target.newest_number().await?;
    let marked = target.live().await?.highest_generation(stored.record.identity.owner);
    let above = own.max(marked).unwrap_or_default().max(remembered);
    let save = stored.record.renamed(place.environment, above, tip, now);
    target.take_over(former, stored.fence, &save).await?;
    keep_renamed(source, &save.record).await;
    tracing::info!(environment = %place.environment, %former, "goes on with the record of its former name");
    Ok(Taken::Over(save.record.generation))
}

/// Why a head can't be followed that says the environment was called otherwise before: there is a record under each of the two
/// names, and which of them the keys are to go on with is for people to say. Nothing where it is not so, where that name was
/// taken over already, or where the other record may not be read: then nothing of it can be touched either.
///
/// # Errors
/// When the target can't be read.
pub async fn rival<T: Target>(record: &Rollout, desired: &DesiredState, target: &T) -> Result<Option<String>, EdgeError> {
    let taken_over = |name: &EnvironmentName| record.former.iter().any(|former| former.name == *name);
    let Some(former) = desired.environment().formerly.as_ref().filter(|name| !taken_over(name)) else { return Ok(None) };
    match target.former(former).await {
        Ok(None) => return Ok(None),
        Err(error) if error.kind == EdgeKind::Denied => {
            tracing::debug!(error = error.chain(), "nobody knows whether there is a record of the former name");
            return Ok(None);
        }
        // One that can't be taken over, whatever is wrong with it, is one as well.
        Ok(Some(_)) => {}
        Err(error) if error.kind == EdgeKind::Refused => {}
        Err(error) => return Err(error),
    }
    let name = &record.identity.environment;
    Ok(Some(format!(
        "it says `formerly: {former}`, and {former} and {name} each have a record here: nothing is taken over, and no key of either \
         is written for this commit; if they are two environments, take `formerly` out of environments/{name}/environment.yaml \
         (`lockstep env remove {former}` takes the retired one away); if the record of {name} was made by mistake, take {name} out \
         of the branch, run `lockstep env remove {name}`, and rename {former} then"
    )))
}

/// Whether a target that answered so may hold the record under another name.
#[must_use]
pub fn is_missing(found: &Result<Option<Stored>, EdgeError>) -> bool {
    match found {
        Ok(stored) => stored.is_none(),
        Err(error) => error.kind == EdgeKind::Refused,
    }
}
