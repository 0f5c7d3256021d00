//! The environment comes and goes: it is retired and wanted again, removed by hand in a removal that breaks off, made anew, and
//! called by another name, which every controller learns at another time.

use lockstep::domain::name::EnvironmentName;

use super::{Event, KEYS};
use crate::repository::{Content, NAMES, named};
use crate::world::{PERSON, REPLICAS, World};

/// What somebody does next about an environment that is on its way out, back, or to another name; none: something else happens.
pub(super) fn next(world: &mut World) -> Option<Event> {
    let retired = world.head().is_some_and(|head| head.retired && !head.broken);
    let here = world.record().is_some();
    // Few removals get there, and fewer stop there.
    if retired && world.is_half_removed() && world.truth.has_given_back() && world.random.percent(50) {
        return Some(bring_back(world));
    }
    if world.removing {
        // The last step is a short one: whoever is to be caught in it must be met there.
        if world.dissolving && world.random.percent(50) {
            return Some(lose_the_session(world));
        }
        return match world.random.below(100) {
            0..=19 if retired => Some(bring_back(world)),
            20..=39 => Some(Event::Crash(PERSON)),
            40..=44 => Some(lose_the_session(world)),
            _ => None,
        };
    }
    if world.is_half_removed() && retired {
        return match world.random.below(100) {
            0..=19 => Some(bring_back(world)),
            20..=89 => Some(remove(world)),
            _ => None,
        };
    }
    if retired && here && world.random.percent(35) {
        return Some(remove(world));
    }
    if world.removed.is_some() && world.random.percent(40) {
        return Some(if retired { bring_back(world) } else { initialise(world) });
    }
    // Another name before anybody led it under the last one.
    if is_renamed(world) && world.random.percent(10) {
        return Some(rename(world));
    }
    let late = (0..REPLICAS).find(|replica| world.head().is_some_and(|head| named(head.name) != world.configured[*replica]));
    late.filter(|_| world.random.percent(35)).map(|replica| reconfigure(world, replica))
}

/// The session of whoever removes ends, and the process does not know: a controller may lead by the time it writes.
fn lose_the_session(world: &mut World) -> Event {
    if world.lease.take_if(|session| session.replica == PERSON).is_some() {
        world.note("the session of the removal ends");
    }
    Event::Nothing
}

/// The environment is taken out of the branch.
pub(super) fn retire(world: &mut World) -> Event {
    world.reached("a retired environment");
    change(world, "retires", |content| content.retired = true)
}

/// And back into it.
fn bring_back(world: &mut World) -> Event {
    if world.is_half_removed() {
        world.reached("a commit brought back what was half removed");
    }
    change(world, "brings back", |content| content.retired = false)
}

/// The environment is called by another name.
pub(super) fn rename(world: &mut World) -> Event {
    world.reached("a rename");
    let before = world.head().map(|head| head.name);
    let others: Vec<&str> = NAMES.into_iter().filter(|name| Some(*name) != before).collect();
    let name = *world.random.pick(&others);
    change(world, "renames", |content| {
        (content.name, content.formerly, content.retired) = (name, before, false);
    })
}

/// Whether the branch calls it by a name under which nobody leads it yet.
fn is_renamed(world: &World) -> bool {
    let known = world.record().map(|record| record.identity.environment.clone());
    known.is_some_and(|known| world.head().is_some_and(|head| !head.retired && named(head.name) != known))
}

fn change(world: &mut World, does: &str, change: impl FnOnce(&mut Content)) -> Event {
    let Some(tip) = world.origin.tip else { return Event::Nothing };
    let mut content = world.origin.content(tip).clone();
    change(&mut content);
    let revision = world.origin.commit(Some(tip), content.clone(), Vec::new());
    world.note(format!("commit {} on {}: {does} the environment: {content:?}", revision.short(), tip.short()));
    Event::Nothing
}

/// A person begins to remove what is retired, or goes on with what another began.
pub(crate) fn remove(world: &mut World) -> Event {
    let Some(name) = world.record().map(|record| record.identity.environment.clone()) else { return Event::Nothing };
    world.note(format!("somebody removes {name}"));
    world.configured[PERSON] = name;
    if world.stormy && world.random.percent(15) {
        copy_a_mark(world);
    }
    Event::Remove
}

/// A key of the environment was copied with its mark to where no commit has one.
fn copy_a_mark(world: &mut World) {
    let marked = KEYS.iter().filter_map(|key| world.store.keys.get(*key)).find(|stored| stored.flags != 0);
    if let Some((value, flags)) = marked.map(|stored| (stored.value.clone(), stored.flags)) {
        world.edit("config/copy-0", Some((value, flags)));
        world.reached("a copied mark");
    }
}

/// Makes anew what was removed and the branch has.
pub(crate) fn want_again(world: &mut World) {
    if world.removed.is_some() && world.head().is_some_and(|head| !head.retired) {
        initialise(world);
    }
}

fn initialise(world: &mut World) -> Event {
    if let Some(name) = world.head().map(|head| named(head.name)) {
        world.initialise(&name);
    }
    Event::Nothing
}

/// A controller is given the name that the branch has: it starts anew with that, in good order or not.
fn reconfigure(world: &mut World, replica: usize) -> Event {
    let Some(name) = world.head().map(|head| named(head.name)) else { return Event::Nothing };
    world.note(format!("replica {replica} is configured for {name}"));
    world.configured[replica] = name;
    if world.random.percent(50) { Event::Stop(replica) } else { Event::Crash(replica) }
}

/// From now on: whoever is half gone goes wholly or comes back, what is wanted is made, and all call it by one name. Which
/// controllers start anew for that.
pub(super) fn settle(world: &mut World) -> Vec<Event> {
    let Some(head) = world.head().cloned() else { return Vec::new() };
    let known = world.record().map(|record| record.identity.environment.clone());
    let strange = known.as_ref().filter(|known| named(head.name) != **known);
    let said = world.origin.tip.map(|tip| world.origin.former_names(tip)).unwrap_or_default();
    let strange = strange.and_then(|known| NAMES.into_iter().find(|name| *name == known.as_str()));
    if let Some(former) = strange.filter(|former| head.broken || !said.contains(former)) {
        // Somebody notices that the branch does not say so, or says it in a file with an error.
        change(world, "renames", |content| {
            (content.formerly, content.retired, content.broken) = (Some(former), false, false);
        });
    } else if head.retired && world.is_half_removed() {
        if world.random.percent(40) {
            bring_back(world);
        } else {
            world.removes_to_the_end = true;
            change(world, "has an error no more and retires", |content| content.broken = false);
        }
    }
    want_again(world);
    (0..REPLICAS).filter_map(|replica| late(world, replica)).collect()
}

fn late(world: &mut World, replica: usize) -> Option<Event> {
    let name = named(world.head()?.name);
    if world.configured[replica] == name {
        return None;
    }
    world.configured[replica] = name;
    Some(Event::Crash(replica))
}

/// Under which name something is asked: people ask about what the branch has; of what it has no more, by the name that it had.
pub(super) fn asked_under(world: &World) -> EnvironmentName {
    let head = world.head().filter(|head| !head.retired).map(|head| named(head.name));
    let known = world.record().map(|record| record.identity.environment.clone());
    if world.stormy { known.or(head) } else { head.or(known) }.unwrap_or_else(|| named(NAMES[0]))
}
