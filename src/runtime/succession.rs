//! An environment that goes on under another name, where the branch head says so (rule O9).

use std::collections::{BTreeMap, BTreeSet};

use super::observe::{is_rewound, keep_renamed};
use super::reading::{Fit, Reading, Readings};
use crate::domain::desired::{DesiredState, FileTree, environment_names, former_name, goes_on_as, head_of, heads};
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{Needed, Rollout, Stored};
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, EdgeKind, LastSeen, Source, Target, Tip};

/// So many names in a row are followed.
const MOST_NAMES: usize = 16;

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

/// The record of a former name that a revision gives an environment, where the target has no record of its own: of the newest that
/// has one.
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
/// When the mirror or the target can't be read; `Refused` when the revision can't be used and names a former name that has a
/// record: then nothing was lost.
pub async fn claim<S: Source, T: Target>(
    readings: &mut Readings,
    source: &S,
    target: &T,
    at: Revision,
) -> Result<Option<Heir>, EdgeError> {
    let Some(former) = claimed(readings, source, at).await? else {
        return barred(readings, source, target, at).await.map_or(Ok(None), Err);
    };
    if let Some(stored) = target.former(&former).await? {
        return Ok(Some(Heir { former, stored }));
    }
    for former in names_before(readings, source, at).await? {
        if let Some(stored) = target.former(&former).await? {
            return Ok(Some(Heir { former, stored }));
        }
    }
    Ok(None)
}

/// Why the record of a former name is not taken over that the environment's own file gives: the revision can't be used. Nothing where
/// that is not so, and where nobody can say.
async fn barred<S: Source, T: Target>(readings: &mut Readings, source: &S, target: &T, at: Revision) -> Option<EdgeError> {
    if readings.unclaimed == Some(at) {
        return None;
    }
    let Ok(Reading::Invalid(text)) = readings.of(at, source).await else { return None };
    let name = readings.environment();
    let former = former_name(&source.some_files(at, &head_of(name)).await.ok()?, name)?;
    match target.former(&former).await {
        Ok(Some(_)) => {}
        // One that can't be taken over, whatever is wrong with it, is one as well.
        Err(error) if error.kind == EdgeKind::Refused => {}
        Ok(None) | Err(_) => return None,
    }
    let operation = format!("take the record of {former} over as {name}");
    let because = format!("{}, which gives {name} that former name, can't be used: {text}", at.short());
    let hint = format!("put the branch right, and {name} goes on with that record; until then nothing of either is written");
    Some(EdgeError::new("lockstep", EdgeKind::Refused, operation).because(because).hint(hint))
}

/// The names that a revision says the environment had before, the newest first: the one that it gives, and those across which it
/// came to that one.
///
/// # Errors
/// When the mirror can't be read.
pub async fn former_names<S: Source>(
    readings: &mut Readings,
    source: &S,
    at: Revision,
) -> Result<Vec<EnvironmentName>, EdgeError> {
    let Some(first) = claimed(readings, source, at).await? else { return Ok(Vec::new()) };
    Ok([first].into_iter().chain(names_before(readings, source, at).await?).collect())
}

/// The former name that a revision gives the environment. Of one that gives none, as nearly all, only the own file is read.
async fn claimed<S: Source>(readings: &mut Readings, source: &S, at: Revision) -> Result<Option<EnvironmentName>, EdgeError> {
    if readings.unclaimed == Some(at) {
        return Ok(None);
    }
    if !readings.has_read(at) {
        let name = readings.environment();
        match source.some_files(at, &head_of(name)).await {
            Ok(head) if former_name(&head, name).is_none() => {
                readings.unclaimed = Some(at);
                return Ok(None);
            }
            Ok(_) => {}
            Err(error) if error.kind == EdgeKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let Reading::Valid(desired) = readings.of(at, source).await? else { return Ok(None) };
    Ok(desired.environment().formerly.clone())
}

/// The names before the former one that a revision gives: an environment may have got another one again before anybody took its
/// record over. Of each name its newest word counts, as that of the environment does; a name that was somebody else's since leads
/// to nobody's record.
async fn names_before<S: Source>(readings: &mut Readings, source: &S, at: Revision) -> Result<Vec<EnvironmentName>, EdgeError> {
    if let Some((_, names)) = readings.names_before.as_ref().filter(|(known, _)| *known == at) {
        return Ok(names.clone());
    }
    let Reading::Valid(desired) = readings.of(at, source).await? else { return Ok(Vec::new()) };
    let environment = desired.environment();
    let Some(first) = &environment.formerly else { return Ok(Vec::new()) };
    let mut names = vec![environment.name.clone(), first.clone()];
    let mut seen = last_seen(source, first, at).await?;
    let said = source.some_files(at, &heads()).await?;
    while let Some(LastSeen { formerly: Some(former), gone: Some(gone) }) = seen {
        let is_anothers = matches!(goes_on_as(&said, &former), Ok(Some(_)));
        if is_anothers || names.contains(&former) || names.len() > MOST_NAMES {
            break;
        }
        seen = last_seen(source, &former, at).await?;
        let is_older = match &seen {
            None => true,
            Some(LastSeen { gone: None, .. }) => false,
            Some(LastSeen { gone: Some(before), .. }) => *before != gone && source.descends(gone, *before).await?,
        };
        if !is_older {
            break;
        }
        names.push(former);
    }
    let names = names.split_off(2);
    readings.names_before = Some((at, names.clone()));
    Ok(names)
}

/// How an environment was when the branch had it last, up to a revision.
async fn last_seen<S: Source>(
    source: &S,
    environment: &EnvironmentName,
    upto: Revision,
) -> Result<Option<LastSeen>, EdgeError> {
    Ok(source.last_seen(&BTreeSet::from([environment.clone()]), upto, None).await?.remove(environment))
}

/// As which environment of a revision one goes on that it does not have, across names that it does not have either; and the former
/// name that the heir gives. The [`heads`] of the revision tell whose former name it is itself. Of a revision that was looked at
/// before nothing is read.
///
/// # Errors
/// When the mirror can't be read.
pub async fn goes_on_across<S: Source>(
    readings: &mut Readings,
    source: &S,
    said: &FileTree,
    at: Revision,
) -> Result<Option<(EnvironmentName, EnvironmentName)>, EdgeError> {
    if let Some((_, heir)) = readings.heir_across.as_ref().filter(|(known, _)| *known == at) {
        return Ok(heir.clone());
    }
    let heir = heir_across(readings.environment(), source, said, at).await?;
    readings.heir_across = Some((at, heir.clone()));
    Ok(heir)
}

/// The same, looked for: all heirs at once go one name back after the other, so that few ways back along the branch tell it,
/// however many they are.
async fn heir_across<S: Source>(
    gone: &EnvironmentName,
    source: &S,
    said: &FileTree,
    at: Revision,
) -> Result<Option<(EnvironmentName, EnvironmentName)>, EdgeError> {
    let heirs = environment_names(said).into_iter().filter_map(|heir| former_name(said, &heir).map(|former| (heir, former)));
    // Who goes on from which name. Of two who come to the same one the other leads nowhere else.
    let mut led: BTreeMap<EnvironmentName, (EnvironmentName, EnvironmentName)> =
        heirs.map(|(heir, former)| (former.clone(), (heir, former))).collect();
    if led.is_empty() {
        return Ok(None);
    }
    let since = match last_seen(source, gone, at).await? {
        Some(LastSeen { gone: None, .. }) => return Ok(None),
        seen => seen.and_then(|seen| seen.gone),
    };
    let mut asked = BTreeSet::new();
    for _ in 0..MOST_NAMES {
        let names: BTreeSet<EnvironmentName> = led.keys().cloned().collect();
        if names.is_empty() {
            break;
        }
        let mut seen = source.last_seen(&names, at, since).await?;
        asked.extend(names);
        let before = |(name, heir)| Some((seen.remove(&name)?.formerly?, heir));
        led = std::mem::take(&mut led).into_iter().filter_map(before).filter(|(name, _)| !asked.contains(name)).collect();
        if let Some(heir) = led.remove(gone) {
            return Ok(Some(heir));
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests;
