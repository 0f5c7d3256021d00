//! What machines and bad luck do: crashes, pauses, clocks, outages, restored snapshots, rights that come and go.

use lockstep::domain::plan::Intent;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{Phase, Verb};

use super::people::submit;
use super::{Event, KEYS};
use crate::world::{Faults, Mirror, PROCESSES, REPLICAS, World};

pub(super) fn outage(world: &mut World) {
    let lasts = 1_000 * i64::try_from(5 + world.random.below(60)).unwrap();
    if world.random.percent(50) {
        world.blind_until = world.now + lasts;
        world.reached("checks that can't be made");
    } else {
        sicken(world, lasts);
    }
}

/// The service fails for so many milliseconds, whatever it reads.
fn sicken(world: &mut World, lasts: i64) {
    world.sick_until = world.now + lasts;
    world.reached("a service that is sick by itself");
}

/// The service fails while a rollback is judged.
pub(super) fn fail_the_rollback(world: &mut World) {
    sicken(world, 30_000);
}

pub(super) fn judges_a_rollback(world: &World) -> bool {
    world.record().is_some_and(|record| {
        let intent = record.attempt.as_ref().map(|attempt| attempt.line.intent);
        record.phase == Phase::Verifying && intent == Some(Intent::RollBack)
    })
}

/// A replica dies, and at times its disk with it.
pub(super) fn crash(world: &mut World) -> Event {
    let replica = world.random.below(REPLICAS);
    world.note(format!("replica {replica} dies"));
    // Soon after a forced push it takes the last copy of the old commits with it.
    let chance = if world.now - world.truth.rewound_at < 60_000 { 80 } else { 25 };
    if world.random.percent(chance) {
        return loses_its_disk(world, replica);
    }
    Event::Crash(replica)
}

/// A replica dies, and its mirror is lost.
pub(super) fn loses_its_disk(world: &mut World, replica: usize) -> Event {
    world.mirrors[replica] = Mirror::default();
    world.reached("a lost mirror");
    world.note(format!("the mirror of replica {replica} is lost"));
    Event::Crash(replica)
}

/// Somebody who has a commit that the environment reached and that the branch has no more.
pub(super) fn keeps_what_the_branch_lost(world: &World) -> Option<usize> {
    let (record, tip) = (world.record()?, world.origin.tip?);
    let lost = |revision: &Revision| !world.origin.descends(tip, *revision);
    let reached = record.attempted.iter().map(|reached| reached.revision).find(lost)?;
    (0..REPLICAS).find(|replica| world.mirrors[*replica].known.contains(&reached))
}

pub(super) fn pause(world: &mut World) {
    let replica = world.random.below(if world.removing { PROCESSES } else { REPLICAS });
    let lasts = 1_000 * i64::try_from(5 + world.random.below(30)).unwrap();
    world.paused_until[replica] = world.now + lasts;
    world.reached("a paused process");
    world.note(format!("replica {replica} is paused for {lasts} ms"));
}

/// The machines sleep for two hours; monotonic clocks go on meanwhile or stand still, as the kernel has it.
pub(super) fn sleep(world: &mut World) {
    const LASTS: i64 = 7_200_000;
    let still = world.random.percent(50);
    world.now += LASTS;
    world.slept += LASTS;
    // Nobody saw anything of the branch meanwhile.
    world.truth.rewound_at += LASTS;
    world.slept_through_deliveries();
    // Nobody renewed the session.
    world.lease = None;
    for replica in (0..PROCESSES).filter(|_| still) {
        world.stood_still[replica] += LASTS;
        world.term_skew[replica] -= LASTS;
    }
    world.reached("a machine that slept for two hours");
    world.note(format!("two hours later; clocks stood still: {still}"));
}

pub(super) fn jump(world: &mut World) {
    let replica = world.random.below(REPLICAS);
    let by = 1_000 * (i64::try_from(world.random.below(14_400)).unwrap() - 7_200);
    world.skew[replica] = by;
    world.reached("a clock jump");
    world.note(format!("clock of replica {replica} is off by {by} ms"));
}

/// A snapshot is taken, or the last one is restored: indexes, keys and record go back, as on a rebuilt Consul.
pub(super) fn snapshot(world: &mut World) {
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
    world.removed = None;
    world.edited = edited;
    world.restored_at = world.now;
    world.lease = None;
    world.truth.forget_the_future(&world.store);
}

pub(super) fn deny(world: &mut World) {
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
pub(super) fn deny_another(world: &mut World) {
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

pub(super) fn faults(world: &mut World) {
    world.faults = *world.random.pick(&[
        Faults { fails: 0, answer_lost: 0 },
        Faults { fails: 10, answer_lost: 10 },
        Faults { fails: 40, answer_lost: 5 },
        Faults { fails: 0, answer_lost: 40 },
    ]);
}
