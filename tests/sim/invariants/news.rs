//! What must hold of how news is acted on: a wake is no work (rule R12), what changes nothing moves nothing (rule R3), and what
//! can't be followed disturbs nothing (rules G3, O9).

use lockstep::domain::plan::Intent;
use lockstep::domain::rollout::{Phase, Rollout};

use super::desired;
use crate::world::World;

/// A process that runs has looked at its mirror within this time.
const LOOKED: i64 = 2_500;

/// R12, R3, G3: an advance goes to the branch as it is, to something new, and to what can be read.
pub(super) fn advances_go_to_the_head_as_it_is(world: &mut World, replica: usize, before: &Rollout, after: &Rollout) {
    let Some(line) = after.attempt.as_ref().map(|attempt| attempt.line.clone()) else { return };
    let begins = before.attempt.as_ref().is_none_or(|was| was.line.generation != line.generation);
    if !begins || line.intent != Intent::Advance {
        return;
    }
    let known = world.truth.eyes[replica].knows_tip_since(world.now - LOOKED);
    if let Some(tip) = known.filter(|tip| *tip != line.revision) {
        world.violated(format!("R12: {} is gone to although the branch is at {}", line.revision.short(), tip.short()));
    }
    let digest = |of: &Rollout| of.goal.as_ref().map(|goal| goal.digest);
    if digest(before) == digest(after) {
        world.violated(format!("R3: {} says what the goal says and is an attempt", line.revision.short()));
    }
    if desired(world, line.revision).is_none() {
        world.violated(format!("G3: {} can't be read and takes the place of what is under way", line.revision.short()));
    }
}

/// G3: what is being judged is left half-way for nothing but a verdict, a newer commit or a person.
pub(super) fn nothing_refused_interrupts(world: &mut World, before: &Rollout, after: &Rollout) {
    if before.phase == Phase::Verifying && after.phase == Phase::HeldRefused {
        world.violated("G3: an attempt that was being judged was interrupted by what is refused");
    }
}

/// O9: an environment that the head does not have is left as it is, but for what a person asks and a repair that had begun.
pub(super) fn what_is_retired_is_left(world: &mut World, replica: usize, before: &Rollout, after: &Rollout, writes: bool) {
    let known = world.truth.eyes[replica].knows_tip_since(world.now - LOOKED);
    let retired = known.is_some_and(|tip| {
        let content = world.origin.content(tip);
        // A forced push is not believed at once, and until then drift is drift (rule S1).
        let believed = before
            .goal
            .as_ref()
            .is_none_or(|goal| world.mirrors[replica].known.contains(&goal.tip) && world.origin.descends(tip, goal.tip));
        !content.has(&before.identity.environment) && !content.broken && believed
    });
    let repairs = after.repair.as_ref().is_some_and(|line| line.intent != Intent::Remove);
    let begins = after.generation > before.generation && repairs && before.repair.is_none();
    if writes && retired && begins {
        world.violated("O9: a key of a retired environment was put right");
    }
}
