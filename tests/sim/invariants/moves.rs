//! What must hold of the record's moves: where an attempt may go, and what a verdict rests on.

use std::collections::BTreeSet;

use lockstep::domain::plan::Intent;
use lockstep::domain::revision::{Revision, RevisionDigest};
use lockstep::domain::rollout::{Phase, Rejection, Rollout, Unproven};
use lockstep::domain::time::Timestamp;

use super::{adopted, desired, newest};
use crate::world::World;

/// R4: drift is judged against the goal and nothing else.
pub(super) fn repairs_go_to_the_goal(world: &mut World, before: &Rollout, record: &Rollout) {
    let Some(line) = world.store.history.get(&record.generation).cloned() else { return };
    let new = record.generation > before.generation && line.intent == Intent::Repair;
    if new && before.goal.as_ref().map(|goal| goal.revision) != Some(line.revision) {
        world.violated(format!("R4: a repair went to {} instead of the goal", line.revision.short()));
    }
}

pub(super) fn attempts_are_allowed(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    let Some(attempt) = &record.attempt else { return };
    let new = before.attempt.as_ref().is_none_or(|was| was.line.generation != attempt.line.generation);
    if !new {
        return;
    }
    let Some(goal) = record.goal.clone() else { return };
    match attempt.line.intent {
        Intent::Advance => {
            newest::waits_where_it_must(world, replica, before);
            let rejected_at = world.truth.rejected.get(&goal.digest).copied();
            if rejected_at.is_some_and(|at| !world.truth.pardoned_since(at)) {
                world.violated(format!("R2: {} is rejected and was tried again", goal.revision.short()));
            }
            if world.truth.frozen_at.take().is_some_and(|at| !world.truth.pardoned_since(at)) {
                world.violated("R6: a frozen environment moved");
            }
            if world.truth.pinned.contains(&goal.digest) {
                world.violated("R11: a pinned environment moved to what was seen");
            }
            world.truth.pinned.clear();
            world.truth.taken_back.clear();
            let from = before.goal.as_ref().map(|goal| goal.tip);
            if let Some(from) = from
                && from != goal.tip
                && world.origin.descends(from, goal.tip)
                && world.now - world.truth.rewound_at > 4 * world.truth.lag
            {
                world.violated(format!("S1: went back from {} to its ancestor {}", from.short(), goal.tip.short()));
            }
        }
        Intent::RollBack => {
            let asked = record.pin.is_some();
            if record.pin == before.pin {
                newest::a_fix_needs_no_detour(world, replica, before);
                goes_back_for_a_reason(world, replica, before);
            }
            let back = before.attempt.as_ref().filter(|was| was.line.intent == Intent::RollBack && was.line.closed.is_none());
            if !asked && back.is_some() {
                world.violated(format!("R5: a rollback was rolled back, to {}", goal.revision.short()));
            }
            if let Some(pin) = record.pin.as_ref().filter(|pin| before.pin.as_ref() != Some(pin)) {
                world.truth.pinned.clone_from(&pin.seen);
            }
            if !asked && before.last_good.as_ref().map(|good| good.revision) != Some(goal.revision) {
                world.violated(format!("R1: rolled back to {}, which is not last good", goal.revision.short()));
            }
        }
        Intent::Repair | Intent::Remove | Intent::Restored | Intent::Act(_) => {}
    }
}

/// H6, R8: what is merely unreachable turns nothing back, and of what is held only what could not be told goes back.
fn goes_back_for_a_reason(world: &mut World, replica: usize, before: &Rollout) {
    let advancing = before.attempt.as_ref().is_some_and(|attempt| attempt.line.intent == Intent::Advance);
    if before.phase == Phase::Applying && advancing && !world.truth.eyes[replica].denied {
        world.violated("H6: turned back from what was not denied");
    }
    let told = !matches!(before.unproven, None | Some(Unproven::Unknown | Unproven::NothingToGoBackTo));
    if before.phase == Phase::HeldUnproven && told {
        world.violated(format!("R8: held as {:?} and taken back", before.unproven));
    }
}

/// H6, H5, A3: the deadline of health counts from the first empty plan and once, what failed before stays so while a revision is
/// judged, and what is denied is not fought for.
pub(super) fn deadlines_are_kept(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    const DEADLINE: i64 = 20_000;
    let (Some(was), Some(is)) = (&before.attempt, &record.attempt) else { return };
    let same = was.line.generation == is.line.generation;
    let judged = before.phase == Phase::Verifying && record.phase == Phase::Verifying;
    if same && judged && record.baseline != before.baseline {
        world.violated("H5: which checks failed before was changed while a revision is judged");
    }
    if same && was.applied.is_some() && was.applied != is.applied {
        world.violated("H6: the deadline of health was started again");
    }
    let clock = world.now + world.term_skew[replica];
    let this_term = world.truth.eyes[replica].term_at + world.term_skew[replica];
    let overdue = |rejection: &Rejection| {
        before.rejection(rejection.digest).is_none() && rejection.reason.contains("failed at the deadline")
    };
    if let Some(applied) = was.applied.map(Timestamp::as_millis).filter(|at| (this_term..=clock).contains(at))
        && record.rejected.iter().any(overdue)
        && clock - applied < DEADLINE
    {
        world.violated(format!("H6: rejected at the deadline {} ms after it was applied", clock - applied));
    }
    let gave_up = same && before.phase == Phase::Applying && record.phase == Phase::HeldRefused;
    let advancing = is.line.intent == Intent::Advance && record.reason.contains("it was refused");
    if gave_up && advancing && world.truth.eyes[replica].denied {
        let good = before.last_good.as_ref().map(|good| good.revision);
        let good = good.filter(|good| world.mirrors[replica].known.contains(good));
        if good.is_some_and(|good| desired(world, good).is_some()) {
            world.violated("A3: what was denied was fought for until the deadline");
        }
    }
}

/// H5: a check that failed before, and that the commit leaves as it was, is no evidence against it.
fn blames_no_baseline(world: &mut World, before: &Rollout, rejection: &Rejection) {
    // Without the commit of last good nobody can tell whether a check is as it was there.
    let known = |world: &World, good: Revision| world.controllers().iter().all(|mirror| mirror.known.contains(&good));
    let good = before.last_good.as_ref().map(|good| good.revision).filter(|good| known(world, *good));
    let good = good.and_then(|good| desired(world, good));
    let Some((good, bad)) = good.zip(desired(world, rejection.revision)) else { return };
    for name in &before.baseline {
        if rejection.reason.starts_with(&format!("{name} failed")) && good.checks().get(name) == bad.checks().get(name) {
            world.violated(format!("H5: {} was blamed for {name}, which failed before", rejection.revision.short()));
        }
    }
}

pub(super) fn verdicts_are_honest(world: &mut World, before: &Rollout, record: &Rollout) {
    for rejection in &record.rejected {
        if before.rejection(rejection.digest).is_none() {
            // A trailer counts from the tip that the rejection knew.
            let known = world.origin.commits.get(&rejection.tip).map_or(world.now, |commit| commit.at);
            world.truth.rejected.insert(rejection.digest, known);
            let by_person = rejection.reason.contains("rolled back by");
            if by_person {
                world.truth.taken_back.insert(rejection.digest);
            } else {
                world.truth.taken_back.remove(&rejection.digest);
            }
            blames_no_baseline(world, before, rejection);
            let after = world.truth.applied_at.saturating_add(1_000);
            if !by_person && (world.last_fail < after) && world.restored_at < world.truth.applied_at {
                world.violated(format!("H4: {} was rejected without a failure after its apply", rejection.revision.short()));
            }
        }
    }
    let known: BTreeSet<RevisionDigest> = record.rejected.iter().map(|rejection| rejection.digest).collect();
    let forgotten: Vec<RevisionDigest> =
        before.rejected.iter().map(|rejection| rejection.digest).filter(|digest| !known.contains(digest)).collect();
    for digest in forgotten {
        let proven_now = record.last_good.as_ref().is_some_and(|good| good.digest == digest);
        let rejected_at = world.truth.rejected.get(&digest).copied().unwrap_or_default();
        if !world.truth.pardoned_since(rejected_at) && !proven_now && world.restored_at == 0 {
            world.violated("R2: a rejection was forgotten");
        }
        world.truth.rejected.remove(&digest);
    }
    let proven = |of: &Rollout| of.last_good.as_ref().map(|good| good.generation);
    if proven(record) != proven(before) && record.phase == Phase::Steady {
        let Some(good) = record.last_good.clone() else { return };
        if adopted::was_only_adopted(world, before, record) {
            return;
        }
        let checked = desired(world, good.revision).is_some_and(|state| !state.checks().is_empty());
        let quiet = world.now - world.last_fail.max(world.last_unknown);
        if checked && quiet < 3_500 && record.baseline.is_empty() && before.baseline.is_empty() {
            world.violated(format!("H3: {} was proven {quiet} ms after a sample that did not pass", good.revision.short()));
        }
        let since = world.now.saturating_sub(world.truth.applied_at);
        if world.truth.applied_at != i64::MAX && since < 5_500 {
            world.violated(format!("H2: {} was proven {since} ms after it was applied", good.revision.short()));
        }
    }
}
