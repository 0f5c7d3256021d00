//! One pass: look at the world, decide exactly one step, do it (rule R12).

use std::sync::atomic::{AtomicBool, Ordering};

use super::denial::{DENIAL_HOLDS, Denial};
use super::interruption::Interruption;
use super::memory::Memory;
use super::observe;
use super::succession::rival;
use crate::domain::live::LiveState;
use crate::domain::name::{KeyPath, STATE_PREFIX};
use crate::domain::plan::Intent;
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{
    Answer, Apply, Books, HeadView, HistoryLine, Kept, Observation, RefusedAttempt, Request, Retention, Rollout, Save, Step,
    Stored, Trouble, TroubleKind, Waiting,
};
use crate::domain::time::Timestamp;
use crate::domain::words::listed;
use crate::port::{Clock, EdgeError, EdgeKind, Source, Target, Written};

/// So few keys that were written are followed one by one in any case.
const MANY: usize = 1_000;

/// What a pass runs on.
pub struct World<'a, S, T, C> {
    /// The config repository.
    pub source: &'a S,
    /// The place that holds the environment.
    pub target: &'a T,
    /// The time.
    pub clock: &'a C,
    /// Since when this process leads.
    pub led_since: Timestamp,
    /// Asked at each border of a long write, which may end there for it (rules R7, R11).
    pub interrupted: &'a (dyn Fn() -> Option<Interruption> + Sync),
    /// How much of the past stays.
    pub kept: Kept,
    /// Told of each attempt once, just before its first write.
    pub announce: &'a (dyn Fn(&Rollout, &HistoryLine) + Sync),
}

/// What is decided of what was seen: [`Rollout::decide`].
pub type Decide<'a> = dyn Fn(&Rollout, &Observation<'_>) -> Step + Sync + 'a;

/// What a pass wrote.
#[derive(Debug)]
pub struct Move {
    /// The record before.
    pub from: Rollout,
    /// The record now.
    pub to: Rollout,
    /// The lines of history that were opened or closed.
    pub lines: Vec<HistoryLine>,
    /// Requests that were carried out or refused.
    pub answered: Vec<(Request, Answer)>,
}

/// What came of a pass.
#[derive(Debug)]
pub enum Passed {
    /// Something was written: look again at once.
    Moved(Box<Move>),
    /// Somebody else moved first: look again at once.
    Stale,
    /// Nothing to do until something wakes the loop, or until the moment it names.
    Waiting {
        /// Why.
        waiting: Waiting,
        /// The mirror lacks a commit that the record or a request names: fetch.
        fetch: bool,
    },
    /// A write failed; the decision after the next look takes it into account.
    Troubled(EdgeError),
}

/// Looks, decides, does.
///
/// A pass may be dropped at any await: whatever it had written by then, the next pass of any controller goes on from there.
///
/// # Errors
/// When the world can't be looked at: nothing was decided or written then.
pub async fn pass<S: Source, T: Target, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    lease: &T::Lease,
) -> Result<Passed, EdgeError> {
    pass_with(world, memory, lease, &Rollout::decide).await
}

/// Notes whether somebody asked for something while a plan is being written, for [`World::interrupted`]: people don't wait for its
/// end (rule R11). Worth it whenever a request may have arrived; our own writes ring too, so it is looked.
pub(super) async fn notice<T: Target>(target: &T, asked: &AtomicBool) {
    // Nobody knows while it can't be read: then a look of the next pass is worth its time.
    if !target.requests().await.is_ok_and(|requests| requests.is_empty()) {
        asked.store(true, Ordering::Release);
    }
}

/// The same with another decision: the simulation plants bugs here and must notice each.
///
/// # Errors
/// As [`pass`].
pub async fn pass_with<S: Source, T: Target, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    lease: &T::Lease,
    decide: &Decide<'_>,
) -> Result<Passed, EdgeError> {
    let stored = observe::record(memory, world.target).await?;
    if memory.requests.is_none() {
        memory.requests = Some(world.target.requests().await?);
    }
    let now = world.clock.now();
    let asked = memory.requests.as_deref().unwrap_or_default();
    let requests = memory.ahead.ready(asked, &mut memory.readings, world.source, now).await?;
    let awaits_a_commit = requests.len() < asked.len();
    let (head, books, missing) = observe::repository(&stored.record, memory, world.source, &requests).await?;
    let head = unless_rivalled(world.target, memory, &stored.record, head, &books).await?;
    if memory.look_again.is_some_and(|due| due <= now) {
        memory.live_forgotten();
    }
    let news = memory.live.is_none() || memory.doubtful;
    if news {
        memory.asked.clear();
        memory.live = Some(match memory.live.take() {
            Some(before) => world.target.look_again(before).await?,
            None => world.target.live().await?,
        });
        memory.doubtful = false;
    }
    if let Some(live) = &mut memory.live {
        observe::hidden(live, &mut memory.asked, &books, world.target).await?;
        let due = memory.look_again.filter(|due| *due > now).unwrap_or(now + DENIAL_HOLDS);
        memory.look_again = (!live.hidden.is_empty()).then_some(due);
    }
    let character = world.target.character();
    let now = world.clock.now();
    let permitted = permitted(world, memory, stored.record.refusal_in_the_way(&head, &books), news, now).await;
    if let Some(desired) = stored.record.goal.as_ref().and_then(|goal| books.of(goal)) {
        stored.record.align(&mut memory.health, &mut memory.health_of, desired, character.settle, world.led_since, now);
    }
    let empty = LiveState::default();
    let seen = Observation {
        now,
        led_since: world.led_since,
        settle: character.settle,
        rights: character.rights,
        permitted,
        head,
        books: &books,
        live: memory.live.as_ref().unwrap_or(&empty),
        health: &memory.health,
        requests: &requests,
        trouble: memory.trouble.as_ref(),
        remembered: memory.remembered,
        restored: memory.restored,
    };
    match decide(&stored.record, &seen) {
        Step::Wait(mut waiting) => {
            forget(world, memory, lease, &stored).await;
            let until = if awaits_a_commit { memory.ahead.until() } else { None };
            waiting.until = [waiting.until, memory.look_again, memory.denial.ask_again(), until].into_iter().flatten().min();
            waiting.retired &= !awaits_a_commit;
            Ok(Passed::Waiting { waiting, fetch: missing || awaits_a_commit })
        }
        Step::Record(save) => Ok(record(world, memory, lease, stored, &save).await),
        Step::Apply(apply) => Ok(write(world, memory, lease, stored, &apply, &books).await),
    }
}

/// The head, unless it names the environment's former name and there is a record under both (rule O9). That there is none is asked
/// once for each head; that there is one until it is gone.
async fn unless_rivalled<T: Target>(
    target: &T,
    memory: &mut Memory,
    record: &Rollout,
    head: HeadView,
    books: &Books,
) -> Result<HeadView, EdgeError> {
    let Some(tip) = head.tip().filter(|tip| memory.unrivalled != Some(*tip)) else { return Ok(head) };
    let Some(desired) = books.desired(tip) else { return Ok(head) };
    let rival = rival(record, desired, target).await?;
    memory.unrivalled = rival.is_none().then_some(tip);
    Ok(rival.map_or(head, |text| HeadView::Unfit(tip, text)))
}

/// Whether the credential may write by now what it was denied: asked with every look at the keys, and every minute.
async fn permitted<S: Source, T: Target, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    refused: Option<&RefusedAttempt>,
    news: bool,
    now: Timestamp,
) -> bool {
    let Some(refused) = refused else {
        memory.denial.is_idle();
        return false;
    };
    if memory.denial.is_due(&refused.keys, news, now) {
        let keys: Vec<KeyPath> = refused.keys.iter().cloned().collect();
        // The answer is advice, and no reason to do nothing: without one nobody knows, and it is asked again.
        let over = world.target.permits(&keys).await.unwrap_or_else(|error| {
            tracing::debug!(error = error.chain(), "nobody says whether what was denied may be written by now");
            false
        });
        memory.denial.answered(&refused.keys, over, now);
    }
    let permitted = memory.denial.is_over(&refused.keys);
    if permitted {
        memory.trouble.take_if(|trouble| refused.is_about(trouble));
    }
    permitted
}

/// Forgets what may go of the past, once after each move that ended something and not before there is nothing else to do
/// (rule A5). A failure is no trouble: the next such move tries again.
async fn forget<S: Source, T: Target, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    lease: &T::Lease,
    stored: &Stored,
) {
    // A key that is not seen may name any line.
    let Some(live) = memory.live.as_ref().filter(|live| memory.untidy && !live.partial) else { return };
    memory.untidy = false;
    let retention = Retention::new(world.kept, &stored.record, live);
    if let Err(error) = world.target.forget(lease, stored.fence, &retention).await {
        tracing::debug!(environment = %stored.record.identity.environment, error = error.chain(), "old history stays for now");
    }
}

async fn record<S: Source, T: Target, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    lease: &T::Lease,
    stored: Stored,
    save: &Save,
) -> Passed {
    if let Err(error) = observe::keep(memory, world.source, &[&stored.record, &save.record], true).await {
        return failed(world, memory, error, None);
    }
    // A rollback that waits for a suspension to end is announced when it begins; its line is in history since it was asked for.
    let waited = stored.record.attempt.as_ref().filter(|_| stored.record.is_pending() && save.history.is_empty());
    if !save.record.is_pending() {
        announce(world, memory, &save.record, waited.map(|attempt| &attempt.line).into_iter().chain(&save.history));
    }
    match world.target.save(lease, stored.fence, save).await {
        Ok(fence) => {
            memory.restored = false;
            // That the record moved says nothing of a write that was denied; a person's word is worth a try at once.
            memory.trouble.take_if(|trouble| trouble.kind != TroubleKind::Denied || !save.answers.is_empty());
            moved(memory, stored.record, Stored { record: save.record.clone(), fence }, save)
        }
        Err(error) => {
            learn_numbers(world, memory, &error, save.opens).await;
            failed(world, memory, error, None)
        }
    }
}

async fn write<S: Source, T: Target, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    lease: &T::Lease,
    stored: Stored,
    apply: &Apply,
    books: &Books,
) -> Passed {
    let about = Some((apply.plan.intent, apply.plan.revision));
    let Some(desired) = apply.closing.record.goal.as_ref().and_then(|goal| books.of(goal)) else {
        // The decision was made from these books, so this can't be; if it is, looking again is harmless.
        return Passed::Stale;
    };
    // Interrupted, the attempt still rests on what the record names now; finished, on what the closing one names.
    let opening = apply.opening.as_ref().map_or(&stored.record, |opening| &opening.record);
    if let Err(error) = observe::keep(memory, world.source, &[&stored.record, opening, &apply.closing.record], true).await {
        return failed(world, memory, error, about);
    }
    if let Some(opening) = &apply.opening {
        announce(world, memory, &opening.record, opening.history.iter());
    }
    // What fails now is about this attempt, and the record does not name it yet.
    let begun = &apply.closing.record;
    memory.about = Some((begun.goal.as_ref().map(|goal| goal.revision), begun.generation));
    let resumes = world.target.character().resumes;
    let go_on = || !(world.interrupted)().is_some_and(|why| why.ends(apply.plan.intent, resumes));
    match world.target.apply(lease, stored.fence, apply, desired, &go_on).await {
        Ok(Written { record: fence, complete, keys }) => {
            memory.trouble = None;
            if complete && apply.plan.intent == Intent::Advance {
                memory.denial = Denial::default();
            }
            if let Some(live) = &mut memory.live {
                let many = keys.len();
                for (key, entry) in keys {
                    match entry {
                        Some(entry) => live.entries.insert(key, entry),
                        None => live.entries.remove(&key),
                    };
                }
                // To go down to each of them would take longer than to read everything once more.
                if many > MANY.max(live.entries.len() / 2) {
                    live.as_of = None;
                }
            }
            let save = match (&apply.opening, complete) {
                (_, true) => apply.at_once(),
                (Some(opening), false) => opening.clone(),
                (None, false) => Save::of(stored.record.clone()),
            };
            moved(memory, stored.record, Stored { record: save.record.clone(), fence }, &save)
        }
        Err(error) => {
            let opens = apply.opening.as_ref().and_then(|opening| opening.opens);
            learn_numbers(world, memory, &error, opens).await;
            failed(world, memory, error, about)
        }
    }
}

/// Looks which numbers were given out, where a move that gives one out was refused and no key is to blame: history may have lines
/// above an older record that somebody put back beside it, and numbers go on above both (rule A5).
async fn learn_numbers<S: Source, T: Target, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    error: &EdgeError,
    opens: Option<Generation>,
) {
    if opens.is_none() || !is_about_our_state(error) {
        return;
    }
    match world.target.newest_number().await {
        Ok(newest) => memory.gave_out(newest.unwrap_or_default()),
        // The next refusal asks again.
        Err(error) => tracing::debug!(error = error.chain(), "which numbers were given out is not known"),
    }
}

/// A conflict about our own state is about the lease, the record or its history, not about a key that somebody fights for.
pub(super) fn is_about_our_state(error: &EdgeError) -> bool {
    error.kind == EdgeKind::Conflict && error.about.iter().all(|key| key.starts_with(STATE_PREFIX))
}

fn announce<'l, S, T, C>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    record: &Rollout,
    lines: impl Iterator<Item = &'l HistoryLine>,
) {
    for line in lines.filter(|line| line.closed.is_none()) {
        if memory.is_news(line) {
            (world.announce)(record, line);
        }
    }
}

fn moved(memory: &mut Memory, from: Rollout, to: Stored, save: &Save) -> Passed {
    let requests = if save.answers.is_empty() { Vec::new() } else { memory.requests.take().unwrap_or_default() };
    let answered = requests
        .into_iter()
        .filter_map(|request| {
            let answer = save.answers.iter().find(|answer| answer.id == request.id)?.clone();
            Some((request, answer))
        })
        .collect();
    memory.untidy |= !save.answers.is_empty() || save.history.iter().any(|line| line.closed.is_some());
    memory.failures = 0;
    let record = to.record.clone();
    memory.saw(to);
    Passed::Moved(Box::new(Move { from, to: record, lines: save.history.clone(), answered }))
}

/// What a failed write means for the next decision. Whoever makes the passes counts the failure.
pub(super) fn failed<S, T, C: Clock>(
    world: &World<'_, S, T, C>,
    memory: &mut Memory,
    error: EdgeError,
    about: Option<(Intent, Revision)>,
) -> Passed {
    let Some((intent, revision)) = about else {
        return if error.kind == EdgeKind::Conflict { Passed::Stale } else { Passed::Troubled(error) };
    };
    let kind = match error.kind {
        EdgeKind::Transient | EdgeKind::NotFound => TroubleKind::Transient,
        EdgeKind::Conflict => TroubleKind::Conflict,
        EdgeKind::Refused | EdgeKind::Denied => TroubleKind::Denied,
    };
    let now = world.clock.now();
    let before =
        memory.trouble.as_ref().filter(|trouble| (trouble.kind, trouble.intent, trouble.revision) == (kind, intent, revision));
    let since = before.map_or(now, |trouble| trouble.since);
    // The first conflict is ordinary news: somebody wrote between look and write.
    let first = before.is_none() && kind == TroubleKind::Conflict;
    let retry = match kind {
        TroubleKind::Denied => now + DENIAL_HOLDS,
        TroubleKind::Conflict if first => now,
        TroubleKind::Conflict | TroubleKind::Transient => now + memory.next_back_off(),
    };
    let keys = error.about.iter().filter_map(|key| KeyPath::parse(key).ok()).collect();
    if (kind, intent) == (TroubleKind::Denied, Intent::Advance) {
        memory.denial.denied(now);
    }
    memory.trouble = Some(Trouble { kind, text: with_its_keys(&error), keys, intent, revision, since, retry });
    if first { Passed::Stale } else { Passed::Troubled(error) }
}

/// What failed and why, and which keys it is about where the text does not say so itself.
fn with_its_keys(error: &EdgeError) -> String {
    let text = error.chain();
    let untold: Vec<String> = error.about.iter().filter(|key| !text.contains(key.as_str())).cloned().collect();
    if untold.is_empty() { text } else { format!("{text} ({})", listed(untold.into_iter())) }
}
