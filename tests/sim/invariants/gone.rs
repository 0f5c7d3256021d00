//! What must hold of an environment that is taken away (rule O9): nothing goes but what is its own, the record goes last and under
//! its fences, and a branch that has the environment again ends it.

use lockstep::domain::plan::{Action, Change, Intent};
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{Farewell, Outcome, Rollout};

use super::desired;
use crate::world::World;

/// So long a process may take from a fetch to what it concludes from it.
const CONCLUDED: i64 = 5_000;

/// Whether the branch, as this process fetched it last, does not have the environment of this record.
fn shows_it_retired(world: &World, replica: usize, record: &Rollout, since: i64) -> bool {
    // What it has known for so long; nothing when that is newer.
    let Some(tip) = world.truth.eyes[replica].knows_tip_since(since) else { return true };
    world.origin.lets_go(tip, &record.identity.environment)
}

/// Before a key goes: it is ours, a line of history says so, and the branch does not have the environment again.
pub(super) fn takes_what_is_ours(world: &mut World, replica: usize, record: &Rollout, after: &Rollout, changes: &[Change]) {
    if changes.is_empty() || !world.truth.eyes[replica].writes(Intent::Remove) {
        return;
    }
    let line = after.repair.as_ref().filter(|line| line.intent == Intent::Remove).map(|line| line.generation);
    if line.is_none() {
        world.violated("O9: keys of a removed environment go, and no line of history says so");
    }
    for change in changes {
        let found = world.store.keys.get(change.key.as_str()).map(|stored| stored.flags);
        let ours = found.is_some_and(|flags| Flags(flags).mark_of(record.identity.owner).is_some());
        if !ours {
            world.violated(format!("O9: {} is not ours any more, and the removal took it", change.key));
        }
        if !matches!(change.action, Action::Delete | Action::Release) {
            world.violated(format!("O9: the removal wrote {}", change.key));
        }
    }
    if !shows_it_retired(world, replica, record, world.now - CONCLUDED) {
        world.violated("O9: a key went although the branch had the environment again");
    }
    let start = world.starts[replica];
    if record.repair.as_ref().map(|line| line.generation) != line {
        world.removal_began = start;
        world.reached("a removal");
    } else if world.removal_began != start {
        world.reached("a removal was taken up again");
    }
}

/// Before the record goes: every key that it owned is gone, it goes by the branch as it is, and all fences hold.
pub(crate) fn dissolved(world: &mut World, replica: usize, (holds, expected): (bool, u64), farewell: &Farewell) {
    let Some((record, index)) = world.store.record.clone() else { return };
    if !holds || index != expected {
        world.violated("O9: the record of a removed environment went without the lease, or after it had moved");
    }
    let named = [&record.goal, &record.complete, &record.last_good].into_iter().flatten().chain(&record.attempted);
    let reached: Vec<Revision> = named.map(|reached| reached.revision).collect();
    let owned: Vec<String> = world
        .store
        .keys
        .iter()
        .filter(|(_, stored)| Flags(stored.flags).mark_of(record.identity.owner).is_some())
        .map(|(key, _)| key.clone())
        .collect();
    let has = |world: &mut World, key: &str| {
        reached.iter().any(|revision| desired(world, *revision).is_some_and(|state| state.entries().contains_key(key)))
    };
    for key in &owned {
        if has(world, key) {
            world.violated(format!("O9: the record went, and {key} is still there with its mark"));
        }
    }
    if !owned.is_empty() {
        world.reached("a removal left strays");
        if !farewell.marks_stay {
            world.violated("O9: marks stay, and their owner id is given to somebody else");
        }
    }
    if !shows_it_retired(world, replica, &record, world.now) {
        world.violated("O9: the record went although the branch had the environment again");
    }
    if world.truth.eyes[replica].has_written_since_its_fetch() {
        world.violated("O9: the record went, and nobody looked at the branch after the last key had gone");
    }
    if record.repair.as_ref().map(|line| line.generation) != Some(farewell.line.generation)
        || farewell.line.closed.as_ref().is_none_or(|closed| closed.outcome != Outcome::Removed)
    {
        world.violated("O9: the record went, and its removal's line of history is not closed with it");
    }
}
