//! What is pushed: commits, reverts, forced pushes, and a branch that is gone for a while.

use lockstep::domain::revision::Revision;

use super::{BELOW, KEYS};
use crate::repository::{Content, Health, bulk};
use crate::world::World;

pub(super) fn commit(world: &mut World) {
    let Some(tip) = world.origin.tip else { return };
    let mut content = world.origin.content(tip).clone();
    let mut trailers = Vec::new();
    match world.random.below(24) {
        0..=5 => change(world, &mut content, 1),
        6..=8 => {
            change(world, &mut content, 4);
            world.reached("a commit of several transactions");
        }
        9..=11 => content.health = *world.random.pick(&[Health::Bad, Health::Bad, Health::Flapping, Health::Unknown]),
        12..=14 => content.health = Health::Good,
        15 => match world.random.below(4) {
            0 => content.report_drift = !content.report_drift,
            1 => content.follows = !content.follows,
            _ => content.readme += 1,
        },
        16 => content.broken = !content.broken,
        17 => {
            content.checked = !content.checked;
            trailers.push(("Lockstep-Allow-No-Checks".to_owned(), "true".to_owned()));
        }
        18 => {
            let retired = !content.retired;
            content.retired = retired;
        }
        19 => {
            let emptied = world.random.percent(30);
            if emptied {
                content.keys.clear();
            } else {
                content.keys.insert("config/a".to_owned(), "1".to_owned());
            }
        }
        20 => content.at_most = if content.at_most == 3 { 50 } else { 3 },
        21 => content.auto_revert = !content.auto_revert,
        _ => drop_many(world, &mut content),
    }
    if content.keys.len() + 3 < world.origin.content(tip).keys.len() && world.random.percent(30) {
        let allowed = 1 + world.random.below(14);
        trailers.push(("Lockstep-Allow-Deletes".to_owned(), allowed.to_string()));
    }
    for (trailer, chance) in [("Lockstep-Retry", 10), ("Lockstep-Release", 15)] {
        if world.random.percent(chance) {
            trailers.push((trailer.to_owned(), content.name.to_owned()));
            world.truth.pardoned_at = world.now;
        }
    }
    let revision = world.origin.commit(Some(tip), content.clone(), trailers);
    world.note(format!("commit {} on {}: {content:?}", revision.short(), tip.short()));
}

pub(super) fn change(world: &mut World, content: &mut Content, times: usize) {
    for _ in 0..times {
        let key = (*world.random.pick(&KEYS)).to_owned();
        if key == "config/health" || key == BELOW && world.files {
            continue;
        }
        if world.random.percent(25) {
            content.keys.remove(&key);
        } else {
            let value = world.random.below(4).to_string();
            content.keys.insert(key, value);
            if content.keys.contains_key("config/a") && content.keys.contains_key(BELOW) {
                world.reached("a key below another");
            }
        }
    }
    // A good change is mostly healthy; otherwise the environment would rest on its first rejection for ever.
    if world.random.percent(70) {
        content.health = Health::Good;
    }
}

/// More keys than a commit may delete; they come back with another commit, or by its revert.
fn drop_many(world: &mut World, content: &mut Content) {
    if content.keys.len() < 5 {
        content.keys.extend(
            KEYS.iter()
                .filter(|key| **key != "config/health" && (**key != BELOW || !world.files))
                .map(|key| ((*key).to_owned(), "1".to_owned())),
        );
    } else if world.random.percent(50) {
        content.keys.retain(|key, _| key == "config/a");
    } else if bulk().any(|key| content.keys.contains_key(&key)) {
        bulk().for_each(|key| drop(content.keys.remove(&key)));
    } else {
        content.keys.extend(bulk().map(|key| (key, "1".to_owned())));
        // So that at times the share is what stands in the way of their deletion.
        if world.random.percent(50) {
            content.at_most = 50;
        }
    }
}

fn is_bulky(content: &Content) -> bool {
    bulk().any(|key| content.keys.contains_key(&key))
}

fn is_proven_in_bulk(world: &World) -> bool {
    let good = world.record().and_then(|record| record.last_good.as_ref());
    good.is_some_and(|good| is_bulky(world.origin.content(good.revision)))
}

/// Many keys that are proven go, if there are, and nobody waits for long with that: they rarely stay proven.
pub(super) fn drops_the_bulk(world: &mut World) -> bool {
    let Some(tip) = world.origin.tip else { return false };
    let content = world.origin.content(tip).clone();
    let drops = is_proven_in_bulk(world) && is_bulky(&content) && world.random.percent(50);
    if drops {
        drop_the_bulk(world, tip, content);
    }
    drops
}

/// Many keys go that are proven: by what a commit of before said, or by a commit that says nothing else.
fn drop_the_bulk(world: &mut World, tip: Revision, mut content: Content) {
    let before = world.origin.ancestry(tip).find(|older| !is_bulky(world.origin.content(*older)));
    match before.filter(|_| world.random.percent(50)) {
        Some(before) => content = content.as_before(world.origin.content(before)),
        None => content.keys.retain(|key, _| !bulk().any(|bulky| bulky == *key)),
    }
    let revision = world.origin.commit(Some(tip), content, Vec::new());
    world.note(format!("commit {} on {}: without the bulk", revision.short(), tip.short()));
}

/// Back to what a commit of before said.
pub(super) fn revert(world: &mut World) {
    let Some(tip) = world.origin.tip else { return };
    let older: Vec<Revision> = world.origin.ancestry(tip).skip(1).take(4).collect();
    if older.is_empty() {
        return;
    }
    let before = *world.random.pick(&older);
    let content = world.origin.content(tip).as_before(world.origin.content(before));
    let revision = world.origin.commit(Some(tip), content, Vec::new());
    world.reached("a revert");
    world.note(format!("revert {} of {}", revision.short(), tip.short()));
}

/// A forced push to an older commit, or to a new one beside the branch.
pub(super) fn rewind(world: &mut World) {
    let Some(tip) = world.origin.tip else { return };
    let ancestors: Vec<Revision> = world.origin.ancestry(tip).take(4).collect();
    let base = *world.random.pick(&ancestors);
    world.truth.rewound_at = world.now;
    world.reached("a forced push");
    if world.random.percent(50) {
        world.origin.tip = Some(base);
    } else {
        let mut content = world.origin.content(base).clone();
        change(world, &mut content, 2);
        world.origin.commit(Some(base), content, Vec::new());
    }
    world.note(format!("forced push to {:?}", world.origin.tip));
}

pub(super) fn branch(world: &mut World) {
    if let Some(tip) = world.origin.tip {
        // Deleted, and back a little later with the next event of this kind.
        world.truth.deleted = Some(tip);
        world.origin.tip = None;
        world.reached("a deleted branch");
    } else {
        world.origin.tip = world.truth.deleted.take();
        // What was pushed while nobody could see it shows only now.
        world.truth.rewound_at = world.now;
    }
}
