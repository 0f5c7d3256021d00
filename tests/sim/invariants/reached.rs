//! What a history reached, as far as the record shows it.

use lockstep::domain::plan::Intent;
use lockstep::domain::rollout::{Outcome, Phase, Rollout};

use crate::world::World;

pub(super) fn count(world: &mut World, before: &Rollout, record: &Rollout) {
    if before.phase != record.phase {
        world.reached(match record.phase {
            Phase::Idle => "idle",
            Phase::Applying => "applying over several steps",
            Phase::Verifying => "verifying",
            Phase::Steady => "steady",
            Phase::HeldAfterRollback => "held after a rollback",
            Phase::HeldUnproven => "held unproven",
            Phase::HeldRefused => "held refused",
            Phase::Frozen => "frozen",
        });
    }
    let lines: Vec<(Intent, Outcome)> = world
        .store
        .history
        .values()
        .filter_map(|line| line.closed.as_ref().map(|closed| (line.intent, closed.outcome)))
        .collect();
    for line in lines {
        world.reached(match line {
            (Intent::Advance, Outcome::Proven) => "an advance was proven",
            (Intent::Advance, Outcome::RolledBack) => "an advance was rolled back",
            (Intent::Advance, Outcome::Superseded) => "an advance was superseded",
            (Intent::Advance, Outcome::Unproven) => "an advance stayed unproven",
            (Intent::Advance, Outcome::Refused) => "an advance was refused part-way",
            (Intent::RollBack, Outcome::Proven) => "a rollback was proven",
            (Intent::RollBack, Outcome::Frozen) => "a rollback was frozen",
            (Intent::RollBack, Outcome::Superseded) => "a rollback was superseded",
            (Intent::RollBack, Outcome::Unproven) => "a rollback stayed unproven",
            (Intent::Repair, Outcome::Repaired) => "drift was repaired",
            (Intent::Repair, Outcome::Superseded) => "a repair was superseded",
            (Intent::Restored, _) => "a restored target was noticed",
            _ => "another end",
        });
    }
    if record.pin.is_some() {
        world.reached("pinned by a person");
    }
    if record.suspension.is_some() {
        world.reached("suspended by a person");
    }
    if !record.repairs.contested.is_empty() {
        world.reached("a contested key");
    }
    if !record.baseline.is_empty() {
        world.reached("a baseline failure");
    }
    let goal = record.goal.as_ref().map(|goal| goal.digest);
    let moved = before.goal.as_ref().map(|goal| goal.digest) != goal;
    if moved && before.refused.as_ref().is_some_and(|refused| (Some(refused.digest), refused.rights) == (goal, world.rights)) {
        world.reached("the same token was allowed to write what it was denied");
    }
    if before.phase == Phase::Applying && record.phase == Phase::Applying && before.goal != record.goal {
        world.reached("superseded while applying");
    }
}
