//! Looking at what a revision would do to an environment now, without a lease and without a write.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::memory::Memory;
use super::observe;
use super::reading::{Fit, Reading};
use super::succession::{Place, heir, is_missing, rival};
use crate::domain::desired::DesiredState;
use crate::domain::health::HealthLog;
use crate::domain::live::LiveState;
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::resource::{OwnerId, Ownership};
use crate::domain::rollout::{Books, HeadView, Identity, Needed, Observation, Preview, Rollout, Stored, TargetId};
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, EdgeKind, Source, Target};

/// What was found.
#[derive(Debug)]
pub enum Previewed {
    /// What the revision would do.
    Look(Box<Look>),
    /// It can't be read for this environment; the text counts and names the problems.
    Invalid(String),
    /// It is valid and can't be gone to all the same; the text says why and what to do (rule O9).
    Unfit(String),
    /// It is valid and has no such environment (rule O9).
    Retired,
    /// The mirror does not have the commit.
    Missing,
}

/// A revision beside an environment.
#[derive(Debug)]
pub struct Look {
    /// The record; none when the target was never initialised for the environment.
    pub record: Option<Rollout>,
    /// The name under which that record still is: it is taken over before anything is done.
    pub former: Option<EnvironmentName>,
    /// What was found in the target.
    pub live: LiveState,
    /// What the revision says.
    pub desired: Arc<DesiredState>,
    /// What the revisions say that the environment reached before: they know which values are sensitive.
    pub before: Vec<Arc<DesiredState>>,
    /// What would be done.
    pub preview: Preview,
    /// What the attempt says that goes first, if one does.
    pub first: Option<Arc<DesiredState>>,
}

/// Which revision is looked at, and how.
#[derive(Debug)]
pub struct Asked {
    /// The revision.
    pub at: Needed,
    /// What was found in the target a moment ago, where that is good enough.
    pub live: Option<LiveState>,
    /// Its commits come from somebody who need not be trusted: their trailers let nothing pass.
    pub is_untrusted: bool,
}

impl From<Needed> for Asked {
    fn from(at: Needed) -> Self {
        Self { at, live: None, is_untrusted: false }
    }
}

/// Looks at what `asked.at` would do to the environment if it were the branch head. What was reached is what it was when the environment
/// was taken there, under whatever name; anything else is what the commit says of the name that the environment has now.
///
/// # Errors
/// When the mirror or the target can't be read.
pub async fn preview<S: Source, T: Target>(
    environment: &EnvironmentName,
    repository: &RepositoryName,
    fit: Fit,
    source: &S,
    target: &T,
    asked: impl Into<Asked>,
    now: Timestamp,
) -> Result<Previewed, EdgeError> {
    let Asked { at, live, is_untrusted } = asked.into();
    let mut memory = Memory::new(environment.clone(), repository.clone(), fit);
    let mut found = target.load().await;
    if let Ok(Some(stored)) = &found {
        memory.readings.known_as(&stored.record);
    }
    let reading = match at.digest {
        Some(_) => memory.readings.reached(at, source).await?,
        None => memory.readings.of(at.revision, source).await?,
    };
    let at = at.revision;
    let desired = match reading {
        Reading::Valid(desired) => desired,
        Reading::Invalid(text) => return Ok(Previewed::Invalid(text)),
        Reading::Retired => return Ok(Previewed::Retired),
        Reading::Missing => return Ok(Previewed::Missing),
    };
    let mut former = None;
    if is_missing(&found) {
        let fit = memory.readings.fit().clone();
        let place = Place { environment, repository, fit: &fit };
        if let Some(heir) = heir(&mut memory.readings, place, source, target, at).await? {
            let record = heir.stored.record.renamed(environment, heir.stored.record.generation, at, now).record;
            found = Ok(Some(Stored { record, ..heir.stored }));
            former = Some(heir.former);
        }
    }
    let stored = found?.map(|stored| stored.record);
    // What the environment is on already is shown as it is.
    let is_new = |record: &&Rollout| record.goal.as_ref().is_none_or(|goal| at != goal.revision && at != goal.rules);
    if let Some(record) = stored.as_ref().filter(is_new)
        && let Some(text) = rival(record, &desired, target).await?
    {
        return Ok(Previewed::Unfit(text));
    }
    let mut live = match live {
        Some(live) => live,
        None => match target.live().await {
            // Before its first use a directory need not even exist.
            Err(error) if error.kind == EdgeKind::NotFound && stored.is_none() => LiveState::default(),
            other => other?,
        },
    };
    let record = stored.clone().unwrap_or_else(|| Rollout::new(before_init(environment, repository, &live)));
    memory.readings.known_as(&record);
    let mut books = Books::default();
    for one in record.revisions_needed(&[]) {
        if let Reading::Valid(desired) = memory.readings.reached(one, source).await? {
            books.desired.insert(one, desired);
        }
    }
    books.desired.insert(Needed::named(at), Arc::clone(&desired));
    observe::hidden(&mut live, &mut BTreeSet::new(), &books, target).await?;
    for after in record.ranges_needed().into_iter().filter(|after| *after != at) {
        books.commits.insert((after, at), source.commits(Some(after), at).await?);
    }
    books.head = source.commits(None, at).await?.into_iter().next();
    if is_untrusted {
        books.commits.values_mut().flatten().chain(&mut books.head).for_each(|commit| commit.trailers.clear());
    }
    let character = target.character();
    let seen = Observation {
        now,
        led_since: now,
        settle: character.settle,
        rights: character.rights,
        permitted: false,
        head: HeadView::At(at),
        books: &books,
        live: &live,
        health: &HealthLog::default(),
        requests: &[],
        trouble: None,
        remembered: record.generation,
        restored: false,
    };
    let preview = record.preview(at, &desired, &seen);
    let goal = record.goal.as_ref().filter(|_| preview.first.is_some()).map(|goal| goal.digest);
    let first = books.desired.values().find(|desired| Some(desired.revision_digest()) == goal).cloned();
    let before = books.desired.into_values().collect();
    Ok(Previewed::Look(Box::new(Look { record: stored, former, live, desired, before, preview, first })))
}

/// The identity of an environment that has none yet, with an owner that no key of the target names: nothing there is ours.
fn before_init(environment: &EnvironmentName, repository: &RepositoryName, live: &LiveState) -> Identity {
    let owners: BTreeSet<OwnerId> = live
        .entries
        .values()
        .filter_map(|entry| match entry.flags.ownership() {
            Ownership::Marked(mark) => Some(mark.owner),
            Ownership::Unmarked | Ownership::Foreign => None,
        })
        .collect();
    let owner = (1..=u16::MAX).filter_map(OwnerId::new).find(|owner| !owners.contains(owner)).or(OwnerId::new(1));
    let (Some(owner), Some(target)) = (owner, TargetId::parse("not-initialised")) else {
        unreachable!("1 is an owner, and the id is well-formed")
    };
    Identity { repository: repository.clone(), environment: environment.clone(), target, owner }
}
