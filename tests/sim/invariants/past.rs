//! What must hold of history, its numbers, and the marks that name them (rule A5).

use lockstep::domain::resource::Flags;
use lockstep::domain::revision::Generation;
use lockstep::domain::rollout::{HistoryLine, Rollout};

use super::desired;
use crate::world::World;

/// A5: an owned key's value equals the desired value of the revision that its generation names.
pub(super) fn marks_tell_the_truth(world: &mut World) {
    let Some(record) = world.record().cloned() else { return };
    let keys: Vec<(String, Vec<u8>, Generation)> = world
        .store
        .keys
        .iter()
        .filter(|(key, _)| !world.edited.contains_key(*key))
        .filter_map(|(key, stored)| {
            Flags(stored.flags).mark_of(record.identity.owner).map(|mark| (key.clone(), stored.value.clone(), mark.generation))
        })
        .collect();
    for (key, value, generation) in keys {
        let Some(line) = world.store.history.get(&generation).cloned() else {
            world.violated(format!("A5: {key} names generation {generation}, which history does not have"));
            continue;
        };
        let says = desired(world, line.revision).and_then(|state| {
            state.entries().iter().find(|(name, _)| name.as_str() == key).map(|(_, entry)| entry.value.to_vec())
        });
        if says.as_ref() != Some(&value) {
            world.violated(format!("A5: {key} names generation {generation} but has another value than {:?}", line.revision));
        }
    }
}

/// A5: one line a generation, closed once.
pub(super) fn history_is_written_once(world: &mut World) {
    let lines: Vec<HistoryLine> = world.store.history.values().cloned().collect();
    let mut open = 0;
    for line in lines {
        match world.truth.closed.get(&line.generation) {
            Some(known) if *known != line => {
                world.violated(format!("A5: generation {} was closed and changed", line.generation));
            }
            Some(_) => {}
            None if line.closed.is_some() => {
                world.truth.closed.insert(line.generation, line);
            }
            None => open += 1,
        }
    }
    if open > 2 {
        world.violated(format!("A5: {open} lines of history are open at once"));
    }
}

/// A5: what this process has given out is not given out again, even when the target forgot it.
pub(super) fn generations_are_given_out_once(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    if record.generation <= before.generation {
        return;
    }
    let highest = world.truth.given_out[replica];
    if record.generation <= highest {
        world.violated(format!("A5: replica {replica} gave out {} after {highest}", record.generation));
    }
}
