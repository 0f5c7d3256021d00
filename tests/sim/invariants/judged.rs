//! By which checks a goal is judged: its own, and those of nothing else (rule H1).

use lockstep::domain::rollout::{Phase, Rollout, Unproven};

use super::desired;
use crate::world::World;

/// Every check that the simulation knows.
const CHECKS: [&str; 2] = ["build", "generation"];
/// Samples that a proof takes at least: checks come once a second.
const SAMPLES: usize = 3;

/// H1: a verdict names the goal's own checks, and a proof rests on samples of each of them.
pub(super) fn by_its_own_checks(world: &mut World, replica: usize, before: &Rollout, after: &Rollout) {
    let decided = before.phase == Phase::Verifying
        && matches!(after.phase, Phase::Steady | Phase::Frozen | Phase::HeldUnproven)
        && before.goal.as_ref().map(|goal| goal.generation) == after.goal.as_ref().map(|goal| goal.generation);
    if !decided {
        return;
    }
    let Some(goal) = before.goal.as_ref().and_then(|goal| desired(world, goal.revision)) else { return };
    let own = |check: &str| goal.checks().keys().any(|name| name.as_str() == check);
    let by_verdict = matches!(after.phase, Phase::Frozen)
        || matches!(after.unproven, Some(Unproven::Unknown | Unproven::RollbackUnknown | Unproven::NothingToGoBackTo));
    if by_verdict {
        for check in CHECKS.iter().filter(|check| !own(check)) {
            // Keys are called config/…, so that no text but a verdict has a check's name in it.
            if after.reason.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == *check) {
                world.violated(format!("H1: judged by {check}, which the goal does not have: {}", after.reason));
            }
        }
    }
    if after.phase == Phase::Steady && before.baseline.is_empty() {
        let since = world.truth.eyes[replica].term_at.max(world.truth.applied_at);
        for check in CHECKS.iter().filter(|check| own(check)) {
            if !world.truth.eyes[replica].passed(check, since, SAMPLES) {
                world.violated(format!("H1: proven without {check}, which the goal has"));
            }
        }
    }
}
