//! What holds of every decision, whatever happened: it is made, it is the same again, and it breaks no border.

use proptest::prelude::*;

use super::world::World;
use crate::domain::name::KeyPath;
use crate::domain::plan::{Intent, Plan};
use crate::domain::rollout::{Phase, Rollout, Step, Unproven};

/// Steps that meet each other in every order. `pass` and `tick` are many, so that things are caught half-way.
const STEPS: &[&str] = &[
    "commit a=2",
    "commit a=3 b=2",
    "commit bad",
    "commit good",
    "commit unknown",
    "commit flapping",
    "commit k*30",
    "commit -k*",
    "fork r1 -b",
    "commit blank",
    "commit invalid",
    "commit retired",
    "commit readme +Retry=test",
    "commit good +Release=test",
    "commit @drift=report",
    "commit @drift=correct",
    "commit @auto_revert=off",
    "commit ?rot=rotten",
    "commit -?build",
    "rewind r1",
    "believe",
    "branch gone",
    "lose r1",
    "find r1",
    "by hand a=9",
    "by hand b=9",
    "by hand health=bad",
    "copy a z",
    "theirs b",
    "foreign c",
    "deny a",
    "deny b",
    "allow",
    "contend a",
    "peace",
    "unreachable",
    "reachable",
    "new rights",
    "batch 1",
    "whole",
    "build sick",
    "build blind",
    "build well",
    "take over",
    "snapshot",
    "restore",
    "ask rollback",
    "ask release",
    "ask release override",
    "ask release deletes 50",
    "ask suspend",
    "ask suspend 5",
    "ask resume",
    "ask overwrite drift",
    "wait 3",
    "wait 25",
    "wait 70",
    "tick",
    "tick",
    "pass",
    "pass",
    "pass",
    "pass",
];

/// Carries a story out as far as it makes sense: nothing is restored before a snapshot, and nothing copied that isn't there.
fn tell(story: &[usize]) -> World {
    let mut world = World::new();
    world.tell("commit good b=1 c=1");
    for step in story {
        let step = STEPS[*step];
        let possible = match step {
            "restore" => world.has_snapshot(),
            "copy a z" => world.values.contains_key("a"),
            "rewind r1" | "lose r1" | "find r1" => !world.commits.is_empty(),
            _ => true,
        };
        if possible {
            world.tell(step);
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// `World::pass` holds every step on the way to what must always be true of one.
    #[test]
    fn no_story_breaks_a_border(story in prop::collection::vec(0..STEPS.len(), 0..30)) {
        tell(&story);
    }

    /// What is shown of the branch head is what the passes write, as long as nothing but the plan decides.
    #[test]
    fn what_a_plan_shows_is_what_is_written(story in prop::collection::vec(0..STEPS.len(), 0..30)) {
        let mut world = tell(&story);
        for _ in 0..20 {
            let Some(preview) = world.preview() else { break };
            match world.decided() {
                // What is not followed is shown with why; what is written meanwhile is the goal's repair.
                Step::Apply(_) if preview.hindrance.is_some() => break,
                // While a head waits for the samples of last good, drift is put right, and nothing becomes ours that it gives up.
                Step::Apply(apply) if apply.plan.intent == Intent::Repair && !preview.in_step => {
                    let taken = |key: &KeyPath| apply.plan.changes.iter().any(|change| change.key == *key);
                    prop_assert!(!preview.plan.unmanaged.iter().any(taken), "{:?}", apply.plan);
                    break;
                }
                Step::Apply(apply) => {
                    let keys = |plan: &Plan| plan.changes.iter().map(|change| (change.key.clone(), change.action)).collect::<Vec<_>>();
                    prop_assert_eq!(keys(&apply.plan), keys(&preview.plan));
                    break;
                }
                // A head waits for the samples of last good, whatever it writes.
                Step::Wait(waiting) if waiting.sampling => break,
                Step::Wait(_) => {
                    prop_assert!(preview.plan.is_empty() || preview.hindrance.is_some(), "{:?}", preview);
                    break;
                }
                Step::Record(_) => drop(world.pass()),
            }
        }
    }

    /// Records that no story gives, such as an older release could have left behind: a decision is still made.
    #[test]
    fn a_decision_is_made_about_any_record(
        story in prop::collection::vec(0..STEPS.len(), 0..15),
        phase in prop::sample::select(Phase::ALL.to_vec()),
        unproven in prop::option::of(prop::sample::select(Unproven::ALL.to_vec())),
        without in prop::collection::vec(any::<bool>(), 5),
    ) {
        let mut world = tell(&story);
        let record: &mut Rollout = &mut world.record;
        (record.phase, record.unproven) = (phase, unproven);
        let drop_when = |drop: bool, what: &mut Option<_>| if drop { *what = None };
        drop_when(without[0], &mut record.goal);
        drop_when(without[1], &mut record.complete);
        drop_when(without[2], &mut record.last_good);
        if without[3] { record.attempt = None; }
        if without[4] { record.attempted.clear(); }
        let step = world.decided();
        prop_assert_eq!(step, world.decided());
    }
}
