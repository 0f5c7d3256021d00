//! The record is lost, and a person makes it anew from what is left (rule A6).

use lockstep::domain::resource::{Flags, Ownership};
use lockstep::domain::revision::Generation;
use lockstep::domain::rollout::{Marks, Recovery, Remains};
use lockstep::domain::time::Timestamp;

use crate::bugs::Bug;
use crate::world::World;

/// Somebody deletes the record; keys, history and the owner entry stay.
pub(crate) fn lose(world: &mut World) {
    let Some((record, _)) = world.store.record.take() else { return };
    world.note("the record is lost");
    world.reached("a lost record");
    world.store.index += 1;
    world.lost = Some(record.identity);
}

/// A person makes the record anew, if it is lost. No key changes by that.
pub(crate) fn recover(world: &mut World) {
    let Some(revision) = world.origin.tip else { return };
    let Some(identity) = world.lost.take() else { return };
    let newest = world.store.history.keys().next_back().copied();
    let remains = Remains {
        entries: [(identity.owner, Some(identity.target.clone()))].into(),
        marks: Marks::of(&world.live()),
        newest,
        open: Remains::open(world.store.history.values().cloned().collect()),
        ..Remains::default()
    };
    let mut recovery: Recovery = remains.recovery(Some(identity.owner)).unwrap();
    if world.bug == Some(Bug::RecoversUnderAnOldNumber) {
        recovery.generation = newest.unwrap_or_default();
    }
    let now = Timestamp::from_millis(world.now);
    let save = recovery.save(identity.clone(), revision, "Grace", "it was lost", now);
    let record = save.record;
    let marked = |flags: u64| match Flags(flags).ownership() {
        Ownership::Marked(mark) if mark.owner == identity.owner => Some(mark.generation),
        Ownership::Marked(_) | Ownership::Unmarked | Ownership::Foreign => None,
    };
    let ours: Vec<(String, Generation)> =
        world.store.keys.iter().filter_map(|(key, stored)| Some((key.clone(), marked(stored.flags)?))).collect();
    let given_out = ours.iter().map(|(_, generation)| *generation).chain(newest).max().unwrap_or_default();
    if record.generation <= given_out {
        world.violated(format!("A6: recovered under generation {}, and {given_out} was given out", record.generation));
    }
    if record.last_good.is_some() || record.goal.is_some() {
        world.violated("A6: a recovered record knows what nobody can know");
    }
    world.note(format!("recovered at generation {}", record.generation));
    world.reached("a recovered record");
    world.store.index += 1;
    world.store.history.extend(save.history.into_iter().map(|line| (line.generation, line)));
    world.store.record = Some((record, world.store.index));
    world.restored_at = world.now;
    world.truth.forget_the_future(&world.store);
    // What no revision that is reached from now on has can't be proven ours to delete.
    world.truth.are_strays(ours.into_iter().map(|(key, _)| key));
}
