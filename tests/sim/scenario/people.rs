//! What people do: they edit keys by hand, ask for things, answer refusals, and let keys be adopted.

use lockstep::domain::resource::{Flags, KeyMark, OwnerId};
use lockstep::domain::revision::{Generation, Revision};
use lockstep::domain::rollout::{LetPass, Request, RequestId, Verb};
use lockstep::domain::scope::{KeyPrefix, KeyScope};
use lockstep::domain::time::Timestamp;

use super::comings::asked_under;
use super::commits::{change, commit};
use super::{FOREIGN, KEYS};
use crate::repository::Health;
use crate::world::{Asked, World};

pub(super) fn by_hand(world: &mut World) {
    let key = *if world.random.percent(15) { world.random.pick(&FOREIGN) } else { world.random.pick(&KEYS) };
    match world.random.below(8) {
        0 => world.edit(key, None),
        6 => world.fight = Some((key, world.now, world.now + 25_000)),
        1 | 2 => {
            let value = world.random.below(9).to_string().into_bytes();
            world.edit(key, Some((value, 0)));
            world.reached("a hand edit");
        }
        3 | 7 => {
            for key in KEYS {
                world.edit(key, Some((b"all of them".to_vec(), 0)));
            }
            commit(world);
        }
        4 => {
            // A copy carries the mark to wherever it goes.
            let Some(stored) = world.store.keys.get(key).cloned() else { return };
            let to = format!("config/copy-{}", world.random.below(3));
            world.edit(&to, Some((stored.value, stored.flags)));
            world.reached("a copied mark");
        }
        _ => {
            let other = KeyMark { adopted: false, owner: OwnerId::new(99).unwrap(), generation: Generation::new(1).unwrap() };
            let flags = if world.random.percent(50) { other.flags() } else { Flags(42) };
            let free = !world.store.keys.contains_key(key);
            if free {
                world.edit(key, Some((b"theirs".to_vec(), flags.0)));
                world.reached("somebody else's key");
            }
        }
    }
}

/// Somebody who writes a key whenever it was put right.
pub(crate) fn fight_on(world: &mut World) {
    let Some((key, next, until)) = world.fight else { return };
    if world.now >= until {
        world.fight = None;
    } else if world.now >= next {
        world.fight = Some((key, world.now + 2_500, until));
        world.edit(key, Some((b"mine".to_vec(), 0)));
    }
}

/// How many deletes a person is asked to allow, and of which commit, while it is refused for them.
pub(super) fn deletes_refused(world: &World) -> Option<(u32, Option<Revision>)> {
    let note = world.record()?.note.as_ref()?;
    let deletes = note.text.rsplit_once("--allow-deletes ")?.1.split('`').next()?.parse().ok()?;
    Some((deletes, note.revision))
}

/// To release everything, and to let this head pass if anything is said of it.
pub(super) fn release(head: Option<Revision>, allow_deletes: Option<u32>, overriding: bool) -> Verb {
    Verb::Release { revision: None, lets_pass: head.and_then(|head| LetPass::new(head, allow_deletes, overriding)) }
}

pub(super) fn ask(world: &mut World) {
    if let Some((named, seen)) = deletes_refused(world)
        && world.random.percent(75)
    {
        // Whoever reads a refusal answers it more often than not, and mostly with what it says.
        let overriding = world.random.percent(45);
        let enough = if world.random.percent(80) { named } else { named / 2 };
        let allow_deletes = (!overriding).then_some(enough);
        // They mean what they have read about, and more seldom whatever the branch is at.
        let head = if world.random.percent(70) { seen } else { world.origin.tip };
        submit(world, release(head, allow_deletes, overriding));
        // What they let pass is not always the newest for long.
        if world.random.percent(25) {
            commit(world);
        }
        return;
    }
    let verb = match world.random.below(10) {
        0..=1 => {
            submit(world, Verb::RollBack { to: None });
            world.now += 1;
            // A release drops the rejection; the pin stays.
            if world.random.percent(50) {
                return;
            }
            release(None, None, false)
        }
        2..=3 => {
            let allow_deletes = if world.random.percent(40) { u32::try_from(5 + world.random.below(10)).ok() } else { None };
            let overriding = world.random.percent(15);
            let Some(tip) = world.origin.tip else { return };
            release(Some(tip), allow_deletes, overriding)
        }
        4 => return,
        5..=6 => {
            let until = if world.random.percent(50) { None } else { Some(Timestamp::from_millis(world.now + 20_000)) };
            Verb::Suspend { until }
        }
        7..=8 => Verb::Resume,
        _ => Verb::OverwriteDrift,
    };
    submit(world, verb);
}

/// The head is refused for a key that is there and nobody's.
pub(super) fn stands_before_somebodys_key(world: &World) -> bool {
    let note = world.record().and_then(|record| record.note.as_ref());
    note.is_some_and(|note| note.text.contains("not managed by lockstep"))
}

/// Whoever reads such a refusal lets the head take the keys over, or commits what is live, or does without them.
pub(super) fn answer_an_obstacle(world: &mut World) {
    let Some(note) = world.record().and_then(|record| record.note.clone()) else { return };
    let differs = note.text.contains("with another value");
    if differs {
        world.reached("an adoption was refused for another value");
    }
    let Some(tip) = world.origin.tip else { return };
    if !differs && world.random.percent(70) {
        let head = if world.random.percent(70) { note.revision.unwrap_or(tip) } else { tip };
        submit(world, adopting(head, KeyScope::every()));
        return;
    }
    let mut content = world.origin.content(tip).clone();
    for key in FOREIGN.iter().chain(&KEYS) {
        let live = world.store.keys.get(*key).filter(|stored| stored.flags == 0).map(|stored| stored.value.clone());
        if let Some(live) = live.filter(|_| content.keys.contains_key(*key)) {
            if world.random.percent(40) {
                content.keys.remove(*key);
            } else {
                content.keys.insert((*key).to_owned(), String::from_utf8_lossy(&live).into_owned());
            }
        }
    }
    let trailers = if world.random.percent(70) { vec![("Lockstep-Adopt".to_owned(), "*".to_owned())] } else { Vec::new() };
    let revision = world.origin.commit(Some(tip), content.clone(), trailers);
    world.note(format!("commit {} on {}: as it is live: {content:?}", revision.short(), tip.short()));
}

/// That this head may take over these keys, and nothing else.
fn adopting(head: Revision, scope: KeyScope) -> Verb {
    Verb::Release { revision: None, lets_pass: Some(LetPass::adopting(head, scope)) }
}

/// A commit wants keys that were there before, mostly with their values and by a word of somebody; or it wants them no more.
pub(super) fn adopt(world: &mut World) {
    let Some(tip) = world.origin.tip else { return };
    let mut content = world.origin.content(tip).clone();
    let wanted: Vec<&str> = FOREIGN.into_iter().filter(|_| world.random.percent(60)).collect();
    let drops = world.random.percent(25);
    for key in &wanted {
        if drops {
            content.keys.remove(*key);
            continue;
        }
        if !world.store.keys.contains_key(*key) && world.random.percent(70) {
            world.edit(key, Some((b"1".to_vec(), 0)));
        }
        let live = world.store.keys.get(*key).map(|stored| String::from_utf8_lossy(&stored.value).into_owned());
        let value = live.filter(|_| world.random.percent(85)).unwrap_or_else(|| "another".to_owned());
        content.keys.insert((*key).to_owned(), value);
    }
    match world.random.below(10) {
        0..=2 => change(world, &mut content, 1),
        3..=4 => content.health = Health::Bad,
        _ => {}
    }
    let mut trailers = Vec::new();
    if world.random.percent(50) {
        let all: &[&str] = if world.random.percent(70) { &["config/old/"] } else { &wanted };
        trailers.extend(all.iter().map(|prefix| ("Lockstep-Adopt".to_owned(), (*prefix).to_owned())));
    }
    let asks = trailers.is_empty() && world.random.percent(70);
    let revision = world.origin.commit(Some(tip), content.clone(), trailers);
    world.note(format!("commit {} on {}: adopts {wanted:?}: {content:?}", revision.short(), tip.short()));
    if asks {
        let scope = KeyScope::of(wanted.iter().filter_map(|key| KeyPrefix::parse(key).ok()));
        if !scope.is_empty() {
            submit(world, adopting(revision, scope));
        }
    }
}

pub(super) fn submit(world: &mut World, verb: Verb) {
    let id = RequestId::parse(&format!("{:016x}", world.random.next())).unwrap();
    world.note(format!("asked: {verb:?}"));
    let at = Timestamp::from_millis(world.now);
    let request = Request { id: id.clone(), by: "Grace".to_owned(), at, reason: "to see".to_owned(), verb };
    world.store.index += 1;
    let of = asked_under(world);
    world.store.requests.insert(id, Asked { request, answer: None, of });
}
