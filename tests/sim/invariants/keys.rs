//! What must hold of every write of a key: whose it is, what it was read as, and what the record may say of it afterwards.

use std::sync::Arc;

use lockstep::domain::environment::DriftPolicy;
use lockstep::domain::plan::{Action, Change, Intent};
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{HistoryLine, Phase, Rollout, Save};

use super::{adopted, desired};
use crate::world::World;

/// O2, O3, A2: only our keys are written, only what was reached is deleted, and nothing that moved since it was read.
pub(super) fn are_ours_and_as_read(
    world: &mut World,
    record: &Rollout,
    after: &Rollout,
    changes: &[(Change, Option<Vec<u8>>)],
) {
    let owner = record.identity.owner;
    let reached: Vec<Revision> = [&record.goal, &record.complete, &record.last_good, &after.goal]
        .into_iter()
        .flatten()
        .chain(&record.attempted)
        .map(|reached| reached.revision)
        .collect();
    let complete = record.complete.as_ref().map(|reached| reached.revision).and_then(|revision| desired(world, revision));
    for (change, _) in changes {
        let Some(found) = world.store.keys.get(change.key.as_str()).cloned() else { continue };
        let marked = Flags(found.flags).mark_of(owner).is_some();
        let in_complete = complete.as_ref().is_some_and(|state| state.entries().contains_key(&change.key));
        if !marked && !in_complete && change.action != Action::Adopt {
            world.violated(format!("O2: {} is not ours and was written", change.key));
        }
        if change.action == Action::Delete {
            if !marked {
                world.violated(format!("O3: {} has no mark of ours and was deleted", change.key));
            }
            let known = reached
                .iter()
                .any(|revision| desired(world, *revision).is_some_and(|state| state.entries().contains_key(&change.key)));
            if !known {
                world.violated(format!("O3: {} is in no revision that was reached and was deleted", change.key));
            }
        }
        if found.index != change.fence.0 {
            world.violated(format!("A2: {} changed since it was read and was overwritten", change.key));
        }
    }
}

/// R10: under `drift: report` a key without our mark was changed by somebody, and is left.
pub(super) fn reported_drift_is_left(
    world: &mut World,
    replica: usize,
    record: &Rollout,
    after: &Rollout,
    changes: &[(Change, Option<Vec<u8>>)],
) {
    let Some(rules) = after.goal.as_ref().map(|goal| goal.rules) else { return };
    if !world.mirrors[replica].known.contains(&rules) {
        // Forced out and lost with the mirror: then what the goal itself says of drift holds.
        world.reached("rules that the mirror lost");
        return;
    }
    let Some(rules) = desired(world, rules) else { return };
    if rules.environment().policy.drift == DriftPolicy::Correct || record.overwrite_drift {
        return;
    }
    // What a removal gave back has its value still, and nobody's mark; it gets ours back.
    let half_removed = record.repair.as_ref().is_some_and(|line| line.intent == Intent::Remove)
        || record.attempt.as_ref().is_some_and(|attempt| attempt.puts_back);
    for (change, value) in changes.iter().filter(|(change, _)| change.action != Action::Adopt) {
        let found = world.store.keys.get(change.key.as_str());
        let given_back = found.is_some_and(|found| half_removed && found.flags == 0 && Some(&found.value) == value.as_ref());
        if !given_back && found.is_some_and(|found| Flags(found.flags).mark_of(record.identity.owner).is_none()) {
            world.violated(format!("R10: {} was changed by hand and was written, and drift is only reported", change.key));
        }
    }
}

/// R9: a key that was repaired three times lately is not repaired again at once.
pub(super) fn repairs_are_patient(world: &mut World, save: Option<&Save>, changes: &[(Change, Option<Vec<u8>>)]) {
    const WINDOW: i64 = 590_000;
    const FIRST: i64 = 9_000;
    let opened = save.and_then(|save| {
        let is_new = |line: &&HistoryLine| !world.store.history.contains_key(&line.generation);
        let mut intents = save.history.iter().filter(is_new).map(|line| line.intent);
        intents.rfind(|intent| matches!(intent, Intent::Advance | Intent::RollBack | Intent::Repair))
    });
    // What follows in further transactions belongs to what was begun last.
    world.truth.writing = opened.or(world.truth.writing);
    if let Some(Intent::Advance | Intent::RollBack) = world.truth.writing {
        // A fight is over a value: it ends with that, and a key that another revision gives another one begins anew.
        for (change, _) in changes {
            world.truth.repaired.remove(change.key.as_str());
        }
    }
    if opened != Some(Intent::Repair) {
        return;
    }
    // Another clock's back-off is not trusted, and a restored record has forgotten it.
    let exact = world.skew.iter().chain(&world.term_skew).all(|skew| *skew == 0) && world.restored_at == 0;
    let now = world.now;
    for (change, _) in changes {
        let times = world.truth.repaired.entry(change.key.to_string()).or_default();
        times.retain(|at| now - at < WINDOW);
        let hasty = times.len() >= 3 && times.last().is_some_and(|last| now - last < FIRST);
        times.push(now);
        if hasty && exact {
            world.violated(format!("R9: {} was repaired again without patience", change.key));
        }
    }
}

/// A4: what is called complete is there, but for what people did to it meanwhile.
pub(super) fn complete_is_complete(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    let (Some(complete), was) = (&record.complete, &before.complete) else { return };
    if was.as_ref().is_some_and(|was| was.generation == complete.generation) {
        return;
    }
    let Some(state) = desired(world, complete.revision) else {
        world.violated("A4: an invalid revision is called complete");
        return;
    };
    let excepted = record.attempt.as_ref().map(|attempt| attempt.except.join(" ")).unwrap_or_default();
    let rules = desired(world, complete.rules).unwrap_or_else(|| Arc::clone(&state));
    let report = [&state, &rules].iter().any(|state| state.environment().policy.drift == DriftPolicy::Report);
    for (key, entry) in state.entries() {
        let name = key.as_str();
        if world.edited.contains_key(name) || excepted.contains(name) || report {
            continue;
        }
        if world.store.keys.get(name).map(|stored| stored.value.as_slice()) != Some(&entry.value) {
            world.violated(format!("A4: {} is called complete and {name} is not as it says", complete.revision.short()));
        }
    }
    let owner = record.identity.owner;
    let surplus: Vec<String> = world
        .store
        .keys
        .iter()
        .filter(|(key, stored)| {
            Flags(stored.flags).mark_of(owner).is_some()
                && !world.edited.contains_key(*key)
                && !state.entries().keys().any(|known| known.as_str() == key.as_str())
        })
        .map(|(key, _)| key.clone())
        .filter(|key| !excepted.contains(key.as_str()) && !report && !world.truth.strays.contains(key.as_str()))
        .collect();
    // Keys of a commit that is in no mirror any more can't be proven ours to delete (rule O3): they stay as strays.
    let named = before.attempted.iter().chain(&before.complete).chain(&before.last_good);
    if named.into_iter().any(|reached| !world.mirrors[replica].known.contains(&reached.revision)) {
        world.reached("a commit that the mirror lost");
        world.truth.strays.extend(surplus);
        return;
    }
    for key in surplus {
        world.violated(format!("A4: {} is called complete and {key} was left behind", complete.revision.short()));
    }
}

/// S2: a commit that the record names can't vanish from the mirror of who wrote it.
pub(super) fn commits_are_kept(world: &mut World, replica: usize, record: &Rollout) {
    let mirror = &world.mirrors[replica];
    let lost: Vec<String> = [&record.goal, &record.complete, &record.last_good]
        .into_iter()
        .flatten()
        .map(|reached| reached.revision)
        .filter(|revision| mirror.known.contains(revision) && !mirror.kept.contains(revision))
        .map(|revision| revision.short())
        .collect();
    if !lost.is_empty() {
        world.violated(format!("S2: the record names {lost:?}, which the next forced push takes away"));
    }
}

/// A3: what is repeated because its answer was lost changes nothing.
pub(super) fn is_carried_out_once(world: &mut World, expected: u64, moves: bool, changes: &[Change]) {
    let this = (expected, moves, changes.to_vec());
    if world.truth.carried_out.replace(this.clone()) == Some(this) {
        world.violated("A3: a transaction was repeated and carried out twice");
    }
}

/// Keys of a revision that are somebody else's, as this replica has seen them.
fn held_by_others(world: &mut World, replica: usize, record: &Rollout, revision: Revision, adopts: bool) -> Vec<String> {
    let Some(state) = desired(world, revision) else { return Vec::new() };
    let complete = record.complete.as_ref().and_then(|complete| desired(world, complete.revision));
    let looked = world.truth.eyes[replica].looked;
    let names = state.entries().iter().filter(|(key, entry)| {
        let stored = world.store.keys.get(key.as_str()).filter(|stored| stored.index <= looked);
        let ours = complete.as_ref().is_some_and(|complete| complete.entries().contains_key(*key));
        let adopted = adopts && adopted::may_be_adopted(world, key, &entry.value);
        !ours && !adopted && stored.is_some_and(|stored| Flags(stored.flags).mark_of(record.identity.owner).is_none())
    });
    names.map(|(key, _)| key.to_string()).collect()
}

/// A9: an advance that needs somebody else's key writes nothing at all.
pub(super) fn advances_wholly_or_not(world: &mut World, replica: usize, before: &Rollout, after: &Rollout) {
    let Some(line) = after.attempt.as_ref().map(|attempt| &attempt.line) else { return };
    let begins = before.attempt.as_ref().is_none_or(|was| was.line.generation != line.generation);
    if !begins || line.intent != Intent::Advance {
        return;
    }
    let held = held_by_others(world, replica, before, line.revision, true);
    if !held.is_empty() {
        world.violated(format!("A9: an advance to {} began although {held:?} is somebody else's", line.revision.short()));
    }
}

/// A9: a rollback that left a key is not proven.
pub(super) fn a_rollback_is_proven_whole(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    let proven = |of: &Rollout| of.last_good.as_ref().map(|good| good.generation);
    let went_back = before.attempt.as_ref().is_some_and(|attempt| attempt.line.intent == Intent::RollBack);
    if !went_back || proven(before) == proven(record) || record.phase != Phase::Steady {
        return;
    }
    let Some(goal) = record.goal.as_ref().map(|goal| goal.revision) else { return };
    let held = held_by_others(world, replica, before, goal, false);
    if !held.is_empty() {
        world.violated(format!("A9: a rollback that left {held:?} was proven"));
    }
}

/// R9, R10: a proof is of the goal's own values, whoever fights over them; all that may differ is what had drifted before the
/// attempt where that is only reported, and what nobody has seen yet.
pub(super) fn a_proof_is_of_what_the_goal_says(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    let proven = |of: &Rollout| of.last_good.as_ref().map(|good| good.generation);
    if proven(before) == proven(record) || record.phase != Phase::Steady {
        return;
    }
    let Some(state) = record.goal.as_ref().and_then(|goal| desired(world, goal.revision)) else { return };
    let drifted = record.attempt.as_ref().map(|attempt| attempt.drifted_before.clone()).unwrap_or_default();
    let seen_at = world.truth.eyes[replica].looked_at;
    for (key, entry) in state.entries().iter().filter(|(key, _)| !drifted.contains(*key)) {
        let unseen = world.edited.get(key.as_str()).is_some_and(|at| *at >= seen_at);
        let is_so = world.store.keys.get(key.as_str()).is_some_and(|stored| *stored.value == *entry.value);
        if !unseen && !is_so {
            world.violated(format!("R9: a revision was proven although {key} is another than it says"));
        }
    }
}
