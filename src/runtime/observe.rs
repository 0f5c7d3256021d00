//! Looking at the world: everything that one decision needs, from the mirror, the target and memory.

use std::collections::BTreeSet;

use super::memory::Memory;
use super::reading::Reading;
use crate::domain::commit::misread;
use crate::domain::desired::{environment_names, heads};
use crate::domain::live::{Fence, LiveState};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Revision;
use crate::domain::rollout::{Books, HeadView, Needed, Request, Rollout, Stored};
use crate::port::{EdgeError, EdgeKind, Head, Source, Target, Tip};

/// The record, read again where memory does not have it.
///
/// # Errors
/// When it can't be read; `Refused` when there is none (rule O6).
pub(super) async fn record<T: Target>(memory: &mut Memory, target: &T) -> Result<Stored, EdgeError> {
    if let Some(stored) = &memory.stored {
        return Ok(stored.clone());
    }
    let stored = target.load().await?.ok_or_else(|| no_record(target))?;
    // Both only grow; less means that the target was restored from a snapshot (rule A6).
    if stored.fence < memory.highest || stored.record.generation < memory.remembered {
        memory.restored = true;
        memory.live_forgotten();
        memory.requests = None;
        memory.highest = Fence::default();
    }
    memory.saw(stored.clone());
    Ok(stored)
}

/// A target without a record: nothing at all may be written there, not even a lease (rule O6).
#[must_use]
pub fn no_record<T: Target>(target: &T) -> EdgeError {
    let operation = format!("read the record of this environment at {}", target.character().name);
    EdgeError::new("lockstep", EdgeKind::Refused, operation)
        .because("there is none: this target was never initialised for it, its record was lost, or the address is wrong")
        .hint("for a new target run `lockstep init ENVIRONMENT` and pin the target_id that it prints")
}

/// The head as far as it may be believed, and the books for deciding about it and about these requests.
///
/// # Errors
/// When the mirror can't be read.
pub(super) async fn repository<S: Source>(
    record: &Rollout,
    memory: &mut Memory,
    source: &S,
    requests: &[Request],
) -> Result<(HeadView, Books, bool), EdgeError> {
    memory.readings.known_as(record);
    let head = source.head().await?;
    let mut books = Books::default();
    let mut missing = false;
    let mut needed = record.revisions_needed(requests);
    let view = view(record, &head, memory, source).await?;
    if let Tip::At(tip) = head.tip {
        books.rewritten = head.confirmed && leaves_what_was_followed(record, tip, source).await?;
    }
    if let HeadView::At(tip) = view {
        needed.insert(Needed::named(tip));
        for after in record.ranges_needed() {
            if after != tip {
                books.commits.insert((after, tip), source.commits(Some(after), tip).await?);
            }
        }
        books.head = source.commits(None, tip).await?.into_iter().next();
        if memory.trailers_of.replace(tip) != Some(tip) {
            tell_misread(record, &books, tip);
        }
    }
    for one in &needed {
        match memory.readings.reached(*one, source).await? {
            Reading::Valid(desired) => {
                books.desired.insert(*one, desired);
            }
            Reading::Missing => missing = true,
            Reading::Invalid(text) => drop(books.unusable.insert(one.revision, text)),
            Reading::Retired => drop(books.unusable.insert(one.revision, "it has no such environment".to_owned())),
        }
    }
    memory.readings.keep_only(&needed);
    Ok((view, books, missing))
}

/// Says what trailers on the way to a new head say nothing: whoever wrote one waits for what it would have done.
fn tell_misread(record: &Rollout, books: &Books, tip: Revision) {
    let ways = record.complete.as_ref().and_then(|complete| books.commits.get(&(complete.revision, tip)));
    let commits = ways.map_or_else(|| books.head.iter().collect::<Vec<_>>(), |commits| commits.iter().collect());
    for because in misread(commits) {
        tracing::warn!(environment = %record.identity.environment, because, "a trailer of a commit says nothing");
    }
}

/// Why there is no head, for people.
#[must_use]
pub fn no_head(tip: &Tip) -> String {
    match tip {
        Tip::At(tip) => format!("the branch is at {}", tip.short()),
        Tip::NoBranch(branch) => format!("the repository has no branch {branch}"),
        Tip::Gone(branch) => format!("branch {branch} is gone from the repository"),
        Tip::Empty => "the repository is empty: it has no commit yet".to_owned(),
        Tip::Unfetched => "the repository was not fetched yet".to_owned(),
    }
}

/// Without a head the environment stays where it is: that is no removal, and drift from the goal is still drift (rules O9, R4).
fn holding_on(record: &Rollout, why: String) -> String {
    match &record.goal {
        None => why,
        Some(goal) => format!(
            "{why}; the environment holds on to {}: nothing is removed, and drift from it is treated as before",
            goal.revision.short()
        ),
    }
}

/// Adds to a partial look which keys of these revisions were not shown because the credential may not read them. Keys that
/// were asked about since the look are not asked about again.
///
/// # Errors
/// When the target can't be asked.
pub(super) async fn hidden<T: Target>(
    live: &mut LiveState,
    asked: &mut BTreeSet<KeyPath>,
    books: &Books,
    target: &T,
) -> Result<(), EdgeError> {
    if !live.partial {
        return Ok(());
    }
    let keys = books.desired.values().flat_map(|desired| desired.entries().keys());
    let unseen: BTreeSet<&KeyPath> = keys.filter(|key| !live.entries.contains_key(*key) && !asked.contains(*key)).collect();
    let unseen: Vec<KeyPath> = unseen.into_iter().cloned().collect();
    if !unseen.is_empty() {
        let hidden = target.hidden(&unseen).await?;
        if let Some((_, why)) = hidden.first_key_value() {
            tracing::warn!(keys = hidden.len(), why, "keys can't be read: nothing is decided about them");
        }
        live.hidden.extend(hidden);
        asked.extend(unseen);
    }
    Ok(())
}

/// Whether the branch went back behind what this record follows, as far as one fetch can tell (rule S1).
///
/// # Errors
/// When the mirror can't be read.
pub(super) async fn is_rewound<S: Source>(record: &Rollout, head: &Head, tip: Revision, source: &S) -> Result<bool, EdgeError> {
    Ok(!head.confirmed && leaves_what_was_followed(record, tip, source).await?)
}

/// Whether this tip does not contain the one that the goal was chosen from.
async fn leaves_what_was_followed<S: Source>(record: &Rollout, tip: Revision, source: &S) -> Result<bool, EdgeError> {
    let Some(goal) = record.goal.as_ref().filter(|goal| goal.tip != tip) else { return Ok(false) };
    Ok(!source.descends(tip, goal.tip).await?)
}

async fn view<S: Source>(record: &Rollout, head: &Head, memory: &mut Memory, source: &S) -> Result<HeadView, EdgeError> {
    let Tip::At(tip) = head.tip else {
        return Ok(HeadView::None(holding_on(record, no_head(&head.tip))));
    };
    if is_rewound(record, head, tip, source).await? {
        return Ok(HeadView::Rewound(tip));
    }
    Ok(match memory.readings.of(tip, source).await? {
        Reading::Valid(_) => HeadView::At(tip),
        Reading::Invalid(text) => HeadView::Invalid(tip, text),
        Reading::Retired => HeadView::Retired(tip),
        Reading::Missing => HeadView::None(format!("the commit {} is not in the mirror yet", tip.short())),
    })
}

/// Whether the branch head is valid and does not have the environment (rule O9).
///
/// # Errors
/// When the mirror can't be read.
pub(super) async fn is_retired<S: Source>(memory: &mut Memory, source: &S) -> Result<bool, EdgeError> {
    let Tip::At(tip) = source.head().await?.tip else { return Ok(false) };
    Ok(matches!(memory.readings.of(tip, source).await?, Reading::Retired))
}

/// Whether the mirror has every commit that deciding about this environment needs; a controller without them leaves the
/// lease to another one as long as it can (rule S2).
///
/// # Errors
/// When the mirror can't be read.
pub(super) async fn equipped<S: Source>(memory: &mut Memory, source: &S, record: &Rollout) -> Result<bool, EdgeError> {
    memory.readings.known_as(record);
    for one in record.revisions_needed(&[]) {
        if matches!(memory.readings.reached(one, source).await?, Reading::Missing) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Names the commits of these records in the mirror, whatever happens to the branch: before anything is written that rests
/// on them, and by a controller that stands by, so that it can go on from there (rule S2). Only who leads
/// says which of them is last good, that of the last record: another controller may see an older one.
///
/// # Errors
/// When the mirror can't be written.
pub(super) async fn keep<S: Source>(
    memory: &mut Memory,
    source: &S,
    records: &[&Rollout],
    leads: bool,
) -> Result<(), EdgeError> {
    let keep: BTreeSet<Revision> = records.iter().flat_map(|record| to_keep(record)).collect();
    let keep: Vec<Revision> = keep.into_iter().collect();
    let Some(record) = records.last() else { return Ok(()) };
    let last_good = record.last_good.as_ref().map(|good| good.revision).filter(|_| leads);
    if memory.kept.as_ref().is_some_and(|kept| (&kept.0, kept.1) == (&keep, last_good)) {
        return Ok(());
    }
    source.keep(&record.identity.environment, &keep, last_good).await?;
    let is_first = memory.kept.replace((keep, last_good)).is_none();
    if is_first {
        forget_former(source, record).await;
    }
    Ok(())
}

/// Keeps the commits of a record that was just taken over under its new name, and nothing more under the old one. What fails
/// is done by whoever leads next.
pub(super) async fn keep_renamed<S: Source>(source: &S, record: &Rollout) {
    match source.keep(&record.identity.environment, &to_keep(record), None).await {
        Ok(()) => forget_former(source, record).await,
        Err(error) => tracing::debug!(error = error.chain(), "the commits of a renamed environment are kept later"),
    }
}

/// Keeps nothing under the names that an environment had before, whose commits are kept under its own. A name that the branch
/// head has is another environment's by now.
async fn forget_former<S: Source>(source: &S, record: &Rollout) {
    if record.former.is_empty() {
        return;
    }
    let forget = async {
        let Tip::At(tip) = source.head().await?.tip else { return Ok(()) };
        let names = environment_names(&source.some_files(tip, &heads()).await?);
        let heir = &record.identity.environment;
        let unused: BTreeSet<&EnvironmentName> =
            record.former.iter().map(|former| &former.name).filter(|name| *name != heir && !names.contains(*name)).collect();
        for name in unused {
            source.forget(name, Some(heir)).await?;
        }
        Ok::<(), EdgeError>(())
    };
    if let Err(error) = forget.await {
        tracing::debug!(error = error.chain(), "the mirror keeps commits under a former name");
    }
}

/// Keeps nothing for an environment that the branch head does not have and that has no record here: it was removed. What is
/// named at the origin is taken away by whoever removed it.
///
/// # Errors
/// When the mirror can't be read or written.
pub(super) async fn forget_removed<S: Source, T: Target>(
    memory: &mut Memory,
    source: &S,
    target: &T,
    environment: &EnvironmentName,
) -> Result<(), EdgeError> {
    let nothing = Some((Vec::new(), None));
    if memory.kept == nothing || !is_retired(memory, source).await? {
        return Ok(());
    }
    // Where one is only refused there is one.
    if let Ok(None) = target.former(environment).await {
        source.keep(environment, &[], None).await?;
        memory.kept = nothing;
    }
    Ok(())
}

/// The record's commits that must stay in the mirror whatever happens to the branch (rule S2).
fn to_keep(record: &Rollout) -> Vec<Revision> {
    let mut keep: Vec<Revision> = record.revisions_needed(&[]).into_iter().map(|one| one.revision).collect();
    keep.extend([&record.goal, &record.complete, &record.last_good].into_iter().flatten().map(|reached| reached.tip));
    keep.extend(record.proven.iter().map(|proof| proof.revision));
    keep
}
