//! What people, machines and bad luck do to the world: one event after the other, chosen by the seed.

use lockstep::domain::resource::{Flags, KeyMark};
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{LetPass, Request, RequestId, Verb};
use lockstep::domain::scope::{KeyPrefix, KeyScope};
use lockstep::domain::time::Timestamp;

use crate::losses;
use crate::repository::{Content, Health, bulk};
use crate::world::World;

/// What happened, as far as the run must act on it.
pub(crate) enum Event {
    Nothing,
    /// This replica dies between two awaits.
    Crash(usize),
    /// This replica is told to end in good order.
    Stop(usize),
}

pub(crate) const KEYS: [&str; 8] =
    ["config/a", "config/b", "config/c", "config/d", "config/e", "config/f", "config/health", "config/g"];

/// Keys that are there before lockstep, and that a commit may want later.
pub(crate) const FOREIGN: [&str; 4] = ["config/old/1", "config/old/2", "config/old/3", "config/old/4"];

/// One event.
pub(crate) fn happen(world: &mut World) -> Event {
    world.origin.now = world.now;
    if world.lost.is_some() && world.random.percent(40) {
        losses::recover(world);
        return Event::Nothing;
    }
    if world.record().is_some_and(|record| record.refused.is_some()) && world.random.percent(20) {
        deny_another(world);
        return Event::Nothing;
    }
    // Such a refusal rarely outlives the next commit; what is allowed holds for the refused one only.
    if deletes_refused(world).is_some() && world.random.percent(50) {
        ask(world);
        return Event::Nothing;
    }
    if stands_before_somebodys_key(world) && world.random.percent(50) {
        answer_an_obstacle(world);
        return Event::Nothing;
    }
    match world.random.below(100) {
        0..=24 => commit(world),
        25..=29 => adopt(world),
        30..=34 => revert(world),
        35..=38 => {
            rewind(world);
            if world.random.percent(50) {
                return crash(world);
            }
        }
        39..=52 => by_hand(world),
        53..=56 => outage(world),
        57..=61 => return crash(world),
        62..=63 => return Event::Stop(world.random.below(crate::world::REPLICAS)),
        64..=67 => pause(world),
        68 => sleep(world),
        69..=71 => jump(world),
        72..=86 => ask(world),
        87 if world.random.percent(50) => losses::lose(world),
        87..=89 => snapshot(world),
        90..=91 => deny(world),
        92..=93 => branch(world),
        _ => faults(world),
    }
    Event::Nothing
}

/// From now on only what repairs itself happens.
pub(crate) fn calm(world: &mut World) {
    world.stormy = false;
    world.faults = crate::world::Faults::NONE;
    world.blind_until = 0;
    world.sick_until = 0;
    world.denies(None);
    world.fight = None;
    world.paused_until.fill(0);
    losses::recover(world);
    world.truth.calm_at = Some(world.now);
    world.note("calm from here on");
    // The first ends a suspension, the second a pin.
    for verb in [Verb::Resume, Verb::Resume, release(None, None, false)] {
        submit(world, verb);
        world.now += 1;
    }
}

fn commit(world: &mut World) {
    let Some(tip) = world.origin.tip else { return };
    let mut content = world.origin.content(tip).clone();
    let mut trailers = Vec::new();
    if is_proven_in_bulk(world) && is_bulky(&content) && world.random.percent(40) {
        return drop_the_bulk(world, tip, content);
    }
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
            trailers.push((trailer.to_owned(), "test".to_owned()));
            world.truth.pardoned_at = world.now;
        }
    }
    let revision = world.origin.commit(Some(tip), content.clone(), trailers);
    world.note(format!("commit {} on {}: {content:?}", revision.short(), tip.short()));
}

fn change(world: &mut World, content: &mut Content, times: usize) {
    for _ in 0..times {
        let key = (*world.random.pick(&KEYS)).to_owned();
        if key == "config/health" {
            continue;
        }
        if world.random.percent(25) {
            content.keys.remove(&key);
        } else {
            let value = world.random.below(4).to_string();
            content.keys.insert(key, value);
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
        content.keys.extend(KEYS.iter().filter(|key| **key != "config/health").map(|key| ((*key).to_owned(), "1".to_owned())));
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

/// Many keys go that are proven: by what a commit of before said, or by a commit that says nothing else.
fn drop_the_bulk(world: &mut World, tip: Revision, mut content: Content) {
    let before = world.origin.ancestry(tip).find(|older| !is_bulky(world.origin.content(*older)));
    match before.filter(|_| world.random.percent(50)) {
        Some(before) => content.clone_from(world.origin.content(before)),
        None => content.keys.retain(|key, _| !bulk().any(|bulky| bulky == *key)),
    }
    let revision = world.origin.commit(Some(tip), content, Vec::new());
    world.note(format!("commit {} on {}: without the bulk", revision.short(), tip.short()));
}

/// Back to what a commit of before said.
fn revert(world: &mut World) {
    let Some(tip) = world.origin.tip else { return };
    let older: Vec<Revision> = world.origin.ancestry(tip).skip(1).take(4).collect();
    if older.is_empty() {
        return;
    }
    let content = world.origin.content(*world.random.pick(&older)).clone();
    let revision = world.origin.commit(Some(tip), content, Vec::new());
    world.reached("a revert");
    world.note(format!("revert {} of {}", revision.short(), tip.short()));
}

/// A forced push to an older commit, or to a new one beside the branch.
fn rewind(world: &mut World) {
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

fn by_hand(world: &mut World) {
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
            let other = KeyMark {
                adopted: false,
                owner: lockstep::domain::resource::OwnerId::new(99).unwrap(),
                generation: lockstep::domain::revision::Generation::new(1).unwrap(),
            };
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

fn outage(world: &mut World) {
    let lasts = 1_000 * i64::try_from(5 + world.random.below(60)).unwrap();
    if world.random.percent(50) {
        world.blind_until = world.now + lasts;
        world.reached("checks that can't be made");
    } else {
        world.sick_until = world.now + lasts;
        world.reached("a service that is sick by itself");
    }
}

/// A replica dies, and at times its disk with it.
fn crash(world: &mut World) -> Event {
    let replica = world.random.below(crate::world::REPLICAS);
    world.note(format!("replica {replica} dies"));
    // Soon after a forced push it takes the last copy of the old commits with it.
    let chance = if world.now - world.truth.rewound_at < 60_000 { 80 } else { 25 };
    if world.random.percent(chance) {
        world.mirrors[replica] = crate::world::Mirror::default();
        world.reached("a lost mirror");
        world.note("and its mirror is lost");
    }
    Event::Crash(replica)
}

fn pause(world: &mut World) {
    let replica = world.random.below(crate::world::REPLICAS);
    let lasts = 1_000 * i64::try_from(5 + world.random.below(30)).unwrap();
    world.paused_until[replica] = world.now + lasts;
    world.reached("a paused process");
    world.note(format!("replica {replica} is paused for {lasts} ms"));
}

/// The machines sleep for two hours; monotonic clocks go on meanwhile or stand still, as the kernel has it.
fn sleep(world: &mut World) {
    const LASTS: i64 = 7_200_000;
    let still = world.random.percent(50);
    world.now += LASTS;
    world.slept += LASTS;
    // Nobody renewed the session.
    world.lease = None;
    for replica in (0..crate::world::REPLICAS).filter(|_| still) {
        world.stood_still[replica] += LASTS;
        world.term_skew[replica] -= LASTS;
    }
    world.reached("a machine that slept for two hours");
    world.note(format!("two hours later; clocks stood still: {still}"));
}

fn jump(world: &mut World) {
    let replica = world.random.below(crate::world::REPLICAS);
    let by = 1_000 * (i64::try_from(world.random.below(14_400)).unwrap() - 7_200);
    world.skew[replica] = by;
    world.reached("a clock jump");
    world.note(format!("clock of replica {replica} is off by {by} ms"));
}

/// How many deletes a person is asked to allow, and of which commit, while it is refused for them.
fn deletes_refused(world: &World) -> Option<(u32, Option<Revision>)> {
    let note = world.record()?.note.as_ref()?;
    let deletes = note.text.rsplit_once("--allow-deletes ")?.1.split('`').next()?.parse().ok()?;
    Some((deletes, note.revision))
}

/// To release everything, and to let this head pass if anything is said of it.
fn release(head: Option<Revision>, allow_deletes: Option<u32>, overriding: bool) -> Verb {
    Verb::Release { revision: None, lets_pass: head.and_then(|head| LetPass::new(head, allow_deletes, overriding)) }
}

fn ask(world: &mut World) {
    if let Some((named, seen)) = deletes_refused(world)
        && world.random.percent(75)
    {
        // Whoever reads a refusal answers it more often than not, and mostly with what it says.
        let overriding = world.random.percent(30);
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
fn stands_before_somebodys_key(world: &World) -> bool {
    let note = world.record().and_then(|record| record.note.as_ref());
    note.is_some_and(|note| note.text.contains("not managed by lockstep"))
}

/// Whoever reads such a refusal lets the head take the keys over, or commits what is live, or does without them.
fn answer_an_obstacle(world: &mut World) {
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
fn adopt(world: &mut World) {
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

fn submit(world: &mut World, verb: Verb) {
    let id = RequestId::parse(&format!("{:016x}", world.random.next())).unwrap();
    world.note(format!("asked: {verb:?}"));
    let at = Timestamp::from_millis(world.now);
    let request = Request { id: id.clone(), by: "Grace".to_owned(), at, reason: "to see".to_owned(), verb };
    world.store.index += 1;
    world.store.requests.insert(id, (request, None));
}

/// A snapshot is taken, or the last one is restored: indexes, keys and record go back, as on a rebuilt Consul.
fn snapshot(world: &mut World) {
    let Some((old, edited)) = world.snapshot.take() else {
        world.snapshot = Some((world.store.clone(), world.edited.clone()));
        return;
    };
    if old.record.is_none() {
        return;
    }
    world.reached("a restored snapshot");
    world.note("the target is restored from a snapshot");
    world.store = old;
    world.lost = None;
    world.edited = edited;
    world.restored_at = world.now;
    world.lease = None;
    world.truth.forget_the_future(&world.store);
}

fn deny(world: &mut World) {
    let key = *world.random.pick(&KEYS);
    match world.random.below(5) {
        // Another token, with the same rights or with all.
        0 => {
            world.rights += 1;
            if world.random.percent(50) {
                world.denies(None);
            }
            world.reached("another token");
        }
        // The same token and another policy.
        1 => world.denies(Some(key)),
        _ => {
            let to = if world.denied.is_some() { None } else { Some(key) };
            world.denies(to);
        }
    }
}

/// What was denied may be written, and another key, which needs to be put right, may not; at times somebody goes back meanwhile.
fn deny_another(world: &mut World) {
    let key = *world.random.pick(&KEYS);
    if world.denied == Some(key) {
        return;
    }
    world.denies(Some(key));
    world.edit(key, Some((b"meanwhile".to_vec(), 0)));
    if world.random.percent(60) {
        submit(world, Verb::RollBack { to: None });
    }
    world.reached("one denial was over and another began");
}

fn branch(world: &mut World) {
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

fn faults(world: &mut World) {
    world.faults = *world.random.pick(&[
        crate::world::Faults { fails: 0, answer_lost: 0 },
        crate::world::Faults { fails: 10, answer_lost: 10 },
        crate::world::Faults { fails: 40, answer_lost: 5 },
        crate::world::Faults { fails: 0, answer_lost: 40 },
    ]);
}
