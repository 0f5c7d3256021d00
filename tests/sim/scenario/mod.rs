//! What people, machines and bad luck do to the world: one event after the other, chosen by the seed.

mod comings;
mod commits;
mod machines;
mod people;

use lockstep::domain::rollout::Verb;

pub(crate) use self::comings::{remove, want_again};
pub(crate) use self::people::fight_on;
use crate::losses;
use crate::world::{Faults, REPLICAS, World};

/// What happened, as far as the run must act on it.
pub(crate) enum Event {
    Nothing,
    /// This replica dies between two awaits.
    Crash(usize),
    /// This replica is told to end in good order.
    Stop(usize),
    /// A person begins to remove the environment.
    Remove,
}

pub(crate) const KEYS: [&str; 8] =
    ["config/a", "config/b", "config/c", "config/d", "config/e", "config/f", "config/health", BELOW];

/// The key that lies below another one.
pub(crate) const BELOW: &str = "config/a/b/g";

/// Keys that are there before lockstep, and that a commit may want later.
pub(crate) const FOREIGN: [&str; 4] = ["config/old/1", "config/old/2", "config/old/3", "config/old/4"];

/// One event.
pub(crate) fn happen(world: &mut World) -> Event {
    world.origin.now = world.now;
    if world.lost.is_some() && world.random.percent(40) {
        losses::recover(world);
        return Event::Nothing;
    }
    if let Some(event) = comings::next(world) {
        return event;
    }
    if world.record().is_some_and(|record| record.refused.is_some()) && world.random.percent(20) {
        machines::deny_another(world);
        return Event::Nothing;
    }
    // Such a refusal rarely outlives the next commit; what is allowed holds for the refused one only.
    if people::deletes_refused(world).is_some() && world.random.percent(50) {
        people::ask(world);
        return Event::Nothing;
    }
    // What is adopted is soon given back by something else, and must meet a removal before.
    if world.truth.has_adopted() && world.random.percent(8) {
        return comings::retire(world);
    }
    if world.random.percent(10)
        && let Some(replica) = machines::keeps_what_the_branch_lost(world)
    {
        return machines::loses_its_disk(world, replica);
    }
    if commits::drops_the_bulk(world) {
        return Event::Nothing;
    }
    // It is judged for some seconds only: what makes it fail comes then, or never.
    if machines::judges_a_rollback(world) && world.random.percent(20) {
        machines::fail_the_rollback(world);
        return Event::Nothing;
    }
    if people::stands_before_somebodys_key(world) && world.random.percent(50) {
        people::answer_an_obstacle(world);
        return Event::Nothing;
    }
    match world.random.below(100) {
        0..=22 => commits::commit(world),
        23..=27 => people::adopt(world),
        28..=32 => commits::revert(world),
        33..=36 => {
            commits::rewind(world);
            if world.random.percent(50) {
                return machines::crash(world);
            }
        }
        37..=50 => people::by_hand(world),
        51..=54 => machines::outage(world),
        55..=59 => return machines::crash(world),
        60..=61 => return Event::Stop(world.random.below(REPLICAS)),
        62..=65 => machines::pause(world),
        66 => machines::sleep(world),
        67..=69 => machines::jump(world),
        70..=83 => people::ask(world),
        84 if world.random.percent(50) => losses::lose(world),
        84..=86 => machines::snapshot(world),
        87..=88 => machines::deny(world),
        89..=90 => commits::branch(world),
        91..=92 => return comings::retire(world),
        93..=94 => return comings::rename(world),
        _ => machines::faults(world),
    }
    Event::Nothing
}

/// From now on only what repairs itself happens, and these controllers start anew for it.
pub(crate) fn calm(world: &mut World) -> Vec<Event> {
    world.stormy = false;
    world.faults = Faults::NONE;
    world.blind_until = 0;
    world.sick_until = 0;
    world.denies(None);
    world.fight = None;
    world.paused_until.fill(0);
    losses::recover(world);
    let anew = comings::settle(world);
    world.posts_again();
    world.truth.calm_at = Some(world.now);
    world.note("calm from here on");
    // The first ends a suspension, the second a pin.
    for verb in [Verb::Resume, Verb::Resume, people::release(None, None, false)] {
        people::submit(world, verb);
        world.now += 1;
    }
    anew
}
