//! One controller of the simulation: takes the lease, samples, and runs the real pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep::domain::health::{Finding, Sample};
use lockstep::domain::name::{KeyRoots, RepositoryName};
use lockstep::domain::rollout::{Phase, Rollout};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, EdgeKind, Leading, Source, Target};
use lockstep::runtime::memory::Memory;
use lockstep::runtime::observe::equipped;
use lockstep::runtime::pass::{Passed, World, pass_with};
use lockstep::runtime::reading::Fit;

use crate::edges::{Edge, Lease};
use crate::executor::border;
use crate::invariants::{self, environment};
use crate::planted::{Bug, Planted};
use crate::world::POLL;

const SAMPLE: i64 = 1_000;
/// How often a replica without the commits that it needs lets the other go first.
const PATIENCE: u32 = 30;

/// Runs until it is dropped.
pub(crate) async fn run(mut edge: Edge) {
    let fit = Fit { roots: KeyRoots::parse(&["config/"]).unwrap(), files: true, settle: Duration::ZERO };
    let mut memory = Memory::new(environment(), RepositoryName::parse("sim").unwrap(), fit);
    let mut fetched = i64::MIN / 2;
    let mut patience = PATIENCE;
    loop {
        fetch(&edge, &mut fetched).await;
        let skew = edge.world().skew[edge.replica];
        edge.skew = skew;
        // A mirror that lacks commits leaves the lease to the other replica for a while.
        if !equipped(&mut memory, &edge, &edge).await.unwrap_or(false) && patience > 0 {
            patience -= 1;
            edge.world().reached("a mirror without the commits it needs");
            sleep(&edge, 2_000).await;
            continue;
        }
        patience = PATIENCE;
        match edge.lead().await {
            Ok(Leading::Ours(lease)) => {
                edge.world().note(format!("replica {} leads", edge.replica));
                lead(&edge, &mut memory, &lease, &mut fetched).await;
            }
            Ok(Leading::Theirs(_)) | Err(_) => sleep(&edge, 1_000).await,
        }
    }
}

async fn lead(edge: &Edge, memory: &mut Memory, lease: &Lease, fetched: &mut i64) {
    memory.led_anew();
    let led_since = edge.now();
    let mut sampled = 0;
    let mut version = 0;
    let mut said = String::new();
    loop {
        fetch(edge, fetched).await;
        {
            let lost = !edge.holds(lease);
            let mut world = edge.world();
            // Losing the lease is noticed late at times; the fence is what counts.
            if lost && world.random.percent(50) {
                return;
            }
            // News of a change comes late at times: what was read before is then stale, and the fences must hold.
            if world.store.index != version && world.random.percent(60) {
                version = world.store.index;
                memory.live_changed();
                memory.state_changed();
            }
        }
        if edge.world().now >= sampled + SAMPLE {
            sampled = edge.world().now;
            sample(edge, memory).await;
        }
        let interrupted = AtomicBool::new(false);
        let go_on = || {
            let stop = edge.world().random.percent(10);
            interrupted.fetch_or(stop, Ordering::Relaxed);
            !stop
        };
        let settled = if edge.bug == Some(Bug::TrustsEveryStamp) { Timestamp::from_millis(0) } else { led_since };
        let world = World { source: edge, target: edge, clock: edge, led_since: settled, go_on: &go_on, announce: &|_, _| () };
        let planted = Planted { bug: edge.bug, edge };
        let passed = pass_with(&world, memory, lease, |record, seen| planted.decide(record, seen)).await;
        if interrupted.load(Ordering::Relaxed) {
            // What stops a long write is news of a newer commit.
            *fetched = i64::MIN / 2;
        }
        match passed {
            Ok(Passed::Moved(step)) => {
                let to = step.to;
                let mut world = edge.world();
                let goal = to.goal.as_ref().map(|goal| goal.revision.short()).unwrap_or_default();
                let text = format!("replica {}: {} {} {}", edge.replica, to.phase.word(), goal, to.reason);
                world.note(text);
            }
            Ok(Passed::Stale) => {}
            Ok(Passed::Waiting { waiting, fetch }) => {
                if waiting.reason != said {
                    said.clone_from(&waiting.reason);
                    edge.world().note(format!("replica {} waits: {said}", edge.replica));
                }
                if fetch {
                    let _ = edge.fetch().await;
                }
                let until = waiting.until.map_or(i64::MAX, |at| at.as_millis() - edge.skew);
                let now = edge.world().now;
                sleep(edge, (until - now).clamp(1, SAMPLE)).await;
            }
            Ok(Passed::Troubled(error)) | Err(error) => {
                if error.kind == EdgeKind::Conflict && edge.world().random.percent(50) {
                    return;
                }
                sleep(edge, 300).await;
            }
        }
    }
}

async fn fetch(edge: &Edge, fetched: &mut i64) {
    let now = edge.world().now;
    // Mirrors lag by up to three polls.
    let due = now - *fetched >= POLL && (now - *fetched >= 3 * POLL || edge.world().random.percent(60));
    if due {
        *fetched = now;
        let _ = edge.fetch().await;
    }
}

async fn sample(edge: &Edge, memory: &mut Memory) {
    let Some(stored) = memory.stored().cloned() else { return };
    let Rollout { phase, goal: Some(goal), .. } = stored.record else { return };
    if matches!(phase, Phase::Idle | Phase::Applying) {
        return;
    }
    let checks: Vec<_> = {
        let mut world = edge.world();
        invariants::desired(&mut world, goal.revision).map(|state| state.checks().keys().cloned().collect()).unwrap_or_default()
    };
    for check in checks {
        let at = edge.now();
        let finding = edge.world().probe();
        let finding = match (edge.bug, finding) {
            (Some(Bug::TakesUnknownForFailure), Finding::Unknown { because }) => Finding::Fail { because },
            (Some(Bug::TakesUnknownForHealthy), Finding::Unknown { .. }) => Finding::Pass,
            (_, finding) => finding,
        };
        border().await;
        memory.take(&Sample { check, at, finding });
    }
}

/// Sleeps in virtual time.
async fn sleep(edge: &Edge, millis: i64) {
    let until = edge.world().now + millis.abs();
    edge.world().wake_at[edge.replica] = until;
    while edge.world().now < until {
        border().await;
    }
}
