//! What must hold of a rename (rule O9): one record, before and after, which says the same but for the name; nobody leads meanwhile.

use lockstep::domain::resource::Flags;
use lockstep::domain::rollout::{Former, Phase, Rollout};

use super::past;
use crate::world::World;

/// So long a process may take from a look at its mirror to what it concludes from that.
const CONCLUDED: i64 = 3_500;

/// The branch says so, as this process has had it for a while.
fn says_the_branch(world: &mut World, replica: usize, before: &Rollout, after: &Rollout) {
    let eyes = &world.truth.eyes[replica];
    let moved_lately = eyes.knows_tip_since(i64::MAX).is_some() && eyes.knows_tip_since(world.now - CONCLUDED).is_none();
    let Some(tip) = world.mirrors[replica].tip.filter(|_| !moved_lately) else { return };
    let (head, former) = (world.origin.content(tip), before.identity.environment.as_str());
    let is_across = head.formerly != Some(former);
    if !head.has(&after.identity.environment) || is_across && !world.origin.former_names(tip).contains(&former) {
        world.violated(format!("O9: {former} was taken over, and no commit says so"));
    } else if is_across {
        world.reached("a record was taken over across a name that nobody led");
    }
    if after.goal.as_ref().is_some_and(|goal| goal.tip != tip) {
        world.violated(format!("S1: {former} was taken over, and a branch from before that would be believed"));
    }
    let goal = before.goal.as_ref().map(|goal| goal.tip);
    let mirror = &world.mirrors[replica];
    let follows = goal.is_none_or(|goal| mirror.known.contains(&goal) && world.origin.descends(tip, goal));
    if !follows && !mirror.confirmed {
        world.violated(format!("S1: {former} was taken over by a branch that went back, which one fetch has seen"));
    }
}

/// A record was taken over under another name.
pub(crate) fn renamed(world: &mut World, replica: usize, led_by: Option<usize>, before: &Rollout, after: &Rollout) {
    if let Some(leader) = led_by {
        world.violated(format!("O9: the record was taken over while replica {leader} led it"));
    }
    if world.store.left.is_some() {
        let (old, new) = (&before.identity.environment, &after.identity.environment);
        world.violated(format!("O9: {old} and {new} both have a record, and each would keep the same keys"));
    }
    let mut same = before.clone();
    same.identity.environment = after.identity.environment.clone();
    same.generation = after.generation;
    same.note = None;
    same.former.clone_from(&after.former);
    // What it follows from now on is the commit that gave it the name, and it is on what it was on.
    if let (Some(goal), Some(now)) = (&mut same.goal, &after.goal) {
        goal.tip = now.tip;
    }
    if same != *after {
        world.violated("O9: a rename changed more of the record than the name");
    }
    let owned = |of: &Rollout| {
        let mark = |flags: u64| Flags(flags).mark_of(of.identity.owner).is_some();
        world.store.keys.values().filter(|stored| mark(stored.flags)).count()
    };
    let (was, is) = (owned(before), owned(after));
    if is != was {
        world.violated(format!("O9: of {was} keys {is} are still the environment's under its new name"));
    }
    let known = Former { name: before.identity.environment.clone(), until: before.generation };
    if after.former.last() != Some(&known) {
        world.violated("O9: nobody knows any more what the environment was called before");
    }
    says_the_branch(world, replica, before, after);
    past::generations_are_given_out_once(world, replica, before, after);
    past::history_is_written_once(world);
    if after.generation <= before.generation || after.generation < world.truth.highest {
        world.violated(format!("A5: {} was given out again by a rename", after.generation));
    }
    world.truth.highest = world.truth.highest.max(after.generation);
    world.truth.before = Some(after.clone());
    world.reached("a record was taken over");
    if after.former.len() > 1 {
        world.reached("an environment got its old name back");
    }
    if matches!(after.phase, Phase::Applying | Phase::Verifying) {
        world.reached("an attempt went on under another name");
    }
}
