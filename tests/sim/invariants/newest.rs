//! The newest commit supersedes: when it must, and when it has to wait (rule R7).

use lockstep::domain::environment::DriftPolicy;
use lockstep::domain::plan::Intent;
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{Phase, Rollout};

use super::desired;
use crate::world::World;

/// A process that runs sees and weighs a new head within this time: some calls of a pass take a second and more.
const WEIGHED: i64 = 3_500;
/// How long samples don't count, and a little more.
const SETTLED: i64 = 2_200;

/// Whether nothing can speak against going to this commit, whoever weighs it: few deletes, checks, no key of others, and no
/// change of any of that lately. A commit that is not sure may be a candidate all the same.
fn is_surely_a_candidate(world: &mut World, replica: usize, record: &Rollout, tip: Revision) -> bool {
    let Some(new) = desired(world, tip) else { return false };
    if !world.origin.content(tip).has(&record.identity.environment) {
        return false;
    }
    let named: Vec<Revision> = [&record.goal, &record.complete, &record.last_good]
        .into_iter()
        .flatten()
        .flat_map(|reached| [reached.revision, reached.tip])
        .collect();
    let known = named.iter().all(|revision| world.mirrors[replica].known.contains(revision));
    let follows = record.goal.as_ref().is_none_or(|goal| world.origin.descends(tip, goal.tip));
    let digest = new.revision_digest();
    let wanted = record.goal.as_ref().is_none_or(|goal| goal.digest != digest) && record.rejection(digest).is_none();
    let free = record.pin.is_none() && record.suspension.is_none() && record.refused.is_none() && record.phase != Phase::Frozen;
    let quiet = [world.restored_at, world.truth.answered_at].into_iter().chain(world.edited.values().copied()).max();
    let quiet = quiet.is_none_or(|last| last + 5_000 < world.now);
    if !(known && follows && wanted && free && quiet) {
        return false;
    }
    let complete = record.complete.as_ref().map(|complete| complete.revision).and_then(|complete| desired(world, complete));
    let good = record.last_good.as_ref().map(|good| good.revision).and_then(|good| desired(world, good));
    let held = new.entries().keys().any(|key| {
        let in_complete = complete.as_ref().is_some_and(|complete| complete.entries().contains_key(key));
        let stored = world.store.keys.get(key.as_str());
        !in_complete && stored.is_some_and(|stored| Flags(stored.flags).mark_of(record.identity.owner).is_none())
    });
    let said = good.iter().chain(&complete).flat_map(|state| state.entries().keys());
    let lost = said.filter(|key| !new.entries().contains_key(*key)).count();
    let corrects = |state: &lockstep::domain::desired::DesiredState| state.environment().policy.drift == DriftPolicy::Correct;
    !held && lost <= 3 && !new.checks().is_empty() && corrects(&new)
}

/// A newer commit that this replica has known for long enough and must go to.
fn superseding(world: &mut World, replica: usize, record: &Rollout) -> Option<Revision> {
    let eyes = &world.truth.eyes[replica];
    let tip = eyes.knows_tip_since(world.now - WEIGHED).filter(|_| !eyes.troubled)?;
    is_surely_a_candidate(world, replica, record, tip).then_some(tip)
}

/// At once while applying: not one more transaction of an advance that a newer commit takes the place of.
pub(super) fn stops_at_the_next_border(world: &mut World, replica: usize, before: &Rollout, after: &Rollout, writes: bool) {
    let under_way = |of: &Rollout| of.attempt.as_ref().filter(|attempt| attempt.line.closed.is_none()).map(|a| a.line.clone());
    let Some(line) = under_way(before).filter(|line| line.intent == Intent::Advance) else { return };
    if !writes || before.phase != Phase::Applying || under_way(after).map(|line| line.generation) != Some(line.generation) {
        return;
    }
    if let Some(tip) = superseding(world, replica, before) {
        world.violated(format!("R7: {} is written on although {} is there", line.revision.short(), tip.short()));
    }
}

/// When a rollback begins by itself: at once while failing means that a fix needs no detour.
pub(super) fn a_fix_needs_no_detour(world: &mut World, replica: usize, before: &Rollout) {
    if before.phase == Phase::Verifying
        && let Some(tip) = superseding(world, replica, before)
    {
        world.violated(format!("R7: taken back although {} is there", tip.short()));
    }
}

/// When an advance begins: neither in the middle of a rollback nor while a proof is only a matter of time.
pub(super) fn waits_where_it_must(world: &mut World, replica: usize, before: &Rollout) {
    let Some(attempt) = before.attempt.as_ref().filter(|attempt| attempt.line.closed.is_none()) else { return };
    if before.phase == Phase::Applying && attempt.line.intent == Intent::RollBack {
        world.violated("R7: superseded in the middle of a rollback");
    }
    if before.phase != Phase::Verifying || !before.baseline.is_empty() {
        return;
    }
    let Some(state) = before.goal.as_ref().and_then(|goal| desired(world, goal.revision)) else { return };
    let eyes = &world.truth.eyes[replica];
    let since = world.truth.written_before.max(eyes.term_at) + SETTLED;
    let passing = |check: &str| eyes.passed(check, since, 3);
    if !state.checks().is_empty() && state.checks().keys().all(|check| passing(check.as_str())) {
        world.violated("R7: superseded while every check passed");
    }
}
