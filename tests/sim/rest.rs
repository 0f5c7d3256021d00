//! Where a history has to end up once nothing disturbs anybody any more.

use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{HeadVerdict, Phase, Rollout, Unproven};

use crate::invariants;
use crate::repository::Health;
use crate::world::{REPLICAS, World};

const QUIET: i64 = 60_000;

/// Whether a head waits for something that is over once nobody does anything any more.
const fn waits(verdict: HeadVerdict) -> bool {
    matches!(verdict, HeadVerdict::NotBelieved | HeadVerdict::Pinned | HeadVerdict::Suspended | HeadVerdict::Frozen)
}

/// Whether whoever leads lacks this commit; between two terms nobody leads.
fn is_out_of_reach(world: &World, goal: Revision) -> bool {
    let leader = world.lease.as_ref().map(|session| session.replica);
    let has = |replica: usize| world.mirrors[replica].known.contains(&goal);
    leader.map_or_else(|| !(0..REPLICAS).any(has), |leader| !has(leader))
}

/// What is waited for is somebody's: nobody waits for hand edits that nobody made.
fn waits_for_drift_that_is_there(world: &mut World, record: &Rollout) {
    let texts = [Some(record.reason.clone()), record.note.as_ref().map(|note| note.text.clone())];
    for text in texts.into_iter().flatten().filter(|text| text.contains("drift is only reported here")) {
        if world.restored_at == 0 && !world.edited.keys().any(|key| text.contains(key.as_str())) {
            world.violated(format!("liveness: waits for drift of keys that nobody wrote by hand: {text}"));
        }
    }
}

/// Whether nobody else holds a key of the goal: that keeps it from being proven, whatever its checks say (rule A9).
fn is_whole(record: &Rollout) -> bool {
    record.attempt.as_ref().is_none_or(|attempt| attempt.except.is_empty())
}

/// Nothing goes on at the end that will never be over.
fn nothing_is_left_open(world: &mut World, record: &Rollout) {
    if matches!(record.phase, Phase::Applying | Phase::Verifying) {
        world.violated(format!("liveness: still {}: {} {:?}", record.phase.word(), record.reason, record.note));
    }
    if record.repair.is_some() {
        world.violated("liveness: a repair was never finished");
    }
    let open: Vec<u32> =
        world.store.history.values().filter(|line| line.closed.is_none()).map(|line| line.generation.number()).collect();
    if !open.is_empty() && record.phase != Phase::HeldRefused && world.restored_at == 0 {
        world.violated(format!("liveness: history lines {open:?} were never closed"));
    }
    let name = &record.identity.environment;
    if world.store.requests.values().any(|asked| asked.answer.is_none() && asked.of == *name) {
        world.violated("liveness: a request was never answered");
    }
}

/// What has no record was removed, and the branch does not have it.
fn is_gone(world: &mut World) {
    if world.removed.is_none() || world.head().is_some_and(|head| !head.retired) {
        world.violated("liveness: there is no record, and nobody removed the environment");
    }
    if world.lease.is_some() {
        world.violated("liveness: somebody leads an environment that is gone");
    }
}

/// Liveness: once the faults stop, the environment is where it should be, and nothing is written any more.
pub(crate) fn came_to_rest(world: &mut World) {
    let Some(record) = world.record().cloned() else { return is_gone(world) };
    // A service that passes and fails in turn is told of each time.
    let unsteady = record.goal.as_ref().is_some_and(|goal| world.origin.content(goal.revision).health == Health::Flapping);
    if !unsteady && world.now - world.last_write < QUIET {
        let since = world.now - world.last_write;
        world.violated(format!("liveness: written {since} ms ago, and no end in sight"));
    }
    let goal = record.goal.as_ref().map(|goal| goal.revision);
    let leader = world.lease.as_ref().map(|session| session.replica);
    if goal.is_some_and(|goal| is_out_of_reach(world, goal)) {
        // Forced out, restored from a snapshot, or lost with the last mirror of those who would lead: only people can bring
        // the commit back.
        world.reached("a goal that the leader's mirror lost");
        if goal.is_some_and(|goal| world.controllers().iter().any(|mirror| mirror.known.contains(&goal))) {
            world.violated("S2: a leader without the goal's commit clings to the lease, and a standby has it");
        }
        return;
    }
    nothing_is_left_open(world, &record);
    waits_for_drift_that_is_there(world, &record);
    world.statuses_are_true(&record);
    let Some(tip) = world.origin.tip else { return };
    let content = world.origin.content(tip).clone();
    if content.name != record.identity.environment.as_str() {
        world.violated(format!("liveness: {} was never taken over as {}", record.identity.environment, content.name));
    }
    let state = invariants::desired(world, tip);
    match (&record.note, record.phase) {
        (Some(note), _) if note.verdict == HeadVerdict::Invalid && !content.broken => {
            let text = note.text.clone();
            world.violated(format!("liveness: a valid head is called invalid: {text}"));
        }
        (Some(note), _) if note.verdict == HeadVerdict::Retired && !content.retired => {
            world.violated("liveness: a head with the environment is called retired");
        }
        (Some(note), _) if waits(note.verdict) => {
            let verdict = note.verdict;
            if record.phase != Phase::Frozen {
                world.violated(format!("liveness: the head is {} although nothing is wrong with it", verdict.word()));
            }
        }
        (Some(note), _) if note.text.starts_with("it would delete") && !invariants::is_refused_rightly(world, &record, tip) => {
            world.violated("liveness: refused for deletes that are allowed");
        }
        (None, Phase::Steady) => {
            let Some(state) = state else { return };
            let goal = record.goal.as_ref().map(|goal| goal.digest);
            if goal != Some(state.revision_digest()) {
                world.violated("liveness: steady on something else than the head");
            }
            let rules = record.goal.as_ref().and_then(|goal| invariants::desired(world, goal.rules));
            if rules.is_none_or(|rules| rules.environment().policy != state.environment().policy) {
                world.violated("liveness: steady under other rules than the head's");
            }
            if record.reason.contains("failing now: generation") {
                world.violated("liveness: a check asks for a generation that nothing shows");
            }
            let wrong: Vec<String> = state
                .entries()
                .iter()
                .filter(|(key, entry)| {
                    world.store.keys.get(key.as_str()).map(|stored| stored.value.as_slice()) != Some(&*entry.value)
                })
                .map(|(key, _)| key.to_string())
                .filter(|key| !record.repairs.contested.keys().any(|contested| contested.as_str() == key))
                // What somebody changed stays so under `drift: report`; everything else is as the head says there too.
                .filter(|key| !(content.report_drift && world.edited.contains_key(key)))
                .collect();
            let held: Vec<&String> = wrong
                .iter()
                .filter(|key| {
                    let flags = world.store.keys.get(key.as_str()).map_or(0, |stored| stored.flags);
                    lockstep::domain::resource::Flags(flags).ownership() != lockstep::domain::resource::Ownership::Foreign
                        && flags != 0
                })
                .collect();
            if wrong.len() > held.len() {
                world.violated(format!("liveness: steady, and {wrong:?} are not as the head says"));
            }
        }
        (None, Phase::HeldUnproven) if content.health == Health::Good && content.checked => {
            // Under `drift: report` the service may follow a value that somebody wrote.
            let lives = world.store.keys.get("config/health").is_some_and(|stored| stored.value == b"good");
            if lives
                && is_whole(&record)
                && matches!(record.unproven, Some(Unproven::Unknown | Unproven::NothingToGoBackTo | Unproven::Released))
            {
                world.violated(format!("liveness: healthy and never proven: {}", record.reason));
            }
        }
        (_, Phase::HeldUnproven) if content.health == Health::Bad && record.unproven == Some(Unproven::Unknown) => {
            let lives = world.store.keys.get("config/health").is_some_and(|stored| stored.value == b"bad");
            let back = record.last_good.as_ref().map(|good| good.revision);
            let back = back.zip(leader).is_some_and(|(good, leader)| world.mirrors[leader].known.contains(&good));
            if lives && back && content.checked && record.baseline.is_empty() && record.suspension.is_none() {
                world.violated("liveness: held for what could not be told, failing, and never taken back");
            }
        }
        _ => {}
    }
}
