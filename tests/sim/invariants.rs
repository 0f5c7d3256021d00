//! What must hold at every write, whatever happened before: the rules that timing can break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep::domain::desired::{DesiredState, read_environment};
use lockstep::domain::environment::DriftPolicy;
use lockstep::domain::name::EnvironmentName;
use lockstep::domain::plan::{Action, Change, Intent};
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::{Generation, Revision, RevisionDigest};
use lockstep::domain::rollout::{HistoryLine, Outcome, Phase, Rejection, Request, Rollout, Save, Verb};

use crate::world::{POLL, REPLICAS, Store, World};

/// How far a mirror may lag behind.
const LAG: i64 = 8 * POLL;

/// What the world knows better than any replica.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    readings: BTreeMap<Revision, Option<Arc<DesiredState>>>,
    /// Digests that were rejected and not released since, and when the tip was made that the rejection knew.
    pub(crate) rejected: BTreeMap<RevisionDigest, i64>,
    highest: Generation,
    before: Option<Rollout>,
    closed: BTreeMap<Generation, HistoryLine>,
    /// When a commit with a retry or release trailer was made last, or a release carried out: rejections and freezes of
    /// before may end.
    pub(crate) pardoned_at: i64,
    /// Since when the environment is frozen, until it is pardoned.
    frozen_at: Option<i64>,
    /// What a person's rollback saw, until `resume` or a newer digest.
    pinned: BTreeSet<RevisionDigest>,
    /// The highest generation that each replica knows to have given out since it started: one whose write failed
    /// half-way, and that a restore then took away, it can't know.
    pub(crate) given_out: [Generation; REPLICAS],
    /// When repairs of each key began.
    repaired: BTreeMap<String, Vec<i64>>,
    pub(crate) applied_at: i64,
    pub(crate) rewound_at: i64,
    /// Marked keys whose commit is in no mirror any more.
    strays: BTreeSet<String>,
    /// Where the branch stood when it was deleted.
    pub(crate) deleted: Option<Revision>,
}

impl Truth {
    /// A request is being answered.
    pub(crate) fn answered(&mut self, now: i64, request: Option<&Request>) {
        match request.map(|request| &request.verb) {
            Some(Verb::Release { .. }) => self.pardoned_at = now,
            Some(Verb::Resume) => self.pinned.clear(),
            Some(Verb::RollBack { .. } | Verb::Suspend { .. } | Verb::OverwriteDrift) | None => {}
        }
    }

    /// Whether something since then may have ended a rejection or a freeze; mirrors lag, so a little before counts too.
    fn pardoned_since(&self, then: i64) -> bool {
        self.pardoned_at + LAG >= then
    }

    /// After a restore the world holds what it held then.
    pub(crate) fn forget_the_future(&mut self, store: &Store) {
        self.closed = store
            .history
            .iter()
            .filter(|(_, line)| line.closed.is_some())
            .map(|(generation, line)| (*generation, line.clone()))
            .collect();
        self.before = store.record.as_ref().map(|(record, _)| record.clone());
        self.highest = store.record.as_ref().map(|(record, _)| record.generation).unwrap_or_default();
        self.rejected =
            store.record.iter().flat_map(|(record, _)| &record.rejected).map(|rejection| (rejection.digest, 0)).collect();
        self.applied_at = 0;
        self.frozen_at = None;
        self.pinned =
            store.record.iter().filter_map(|(record, _)| record.pin.as_ref()).flat_map(|pin| pin.seen.clone()).collect();
    }
}

pub(crate) fn environment() -> EnvironmentName {
    EnvironmentName::parse("test").unwrap()
}

/// What a revision says, if it is valid.
pub(crate) fn desired(world: &mut World, revision: Revision) -> Option<Arc<DesiredState>> {
    if let Some(reading) = world.truth.readings.get(&revision) {
        return reading.clone();
    }
    let tree = world.origin.content(revision).tree();
    let reading = read_environment(&tree, &environment()).ok().flatten();
    world.truth.readings.insert(revision, reading.clone());
    reading
}

/// Before the write is carried out: is it allowed at all?
pub(crate) fn before_write(
    world: &mut World,
    replica: usize,
    holds: bool,
    save: Option<&Save>,
    changes: &[(Change, Option<Vec<u8>>)],
) {
    if !holds {
        world.violated(format!("L1: replica {replica} wrote without the lease"));
    }
    let Some(record) = world.record().cloned() else { return };
    let after = save.map_or(&record, |save| &save.record);
    let owner = record.identity.owner;
    let reached: Vec<Revision> = [&record.goal, &record.complete, &record.last_good, &after.goal]
        .into_iter()
        .flatten()
        .chain(&record.attempted)
        .map(|reached| reached.revision)
        .collect();
    let complete = record.complete.as_ref().map(|reached| reached.revision).and_then(|revision| desired(world, revision));
    // By the clock of whoever writes: it is what an end is compared with.
    let suspended = [world.skew[replica], world.term_skew[replica]]
        .iter()
        .all(|skew| record.is_suspended(lockstep::domain::time::Timestamp::from_millis(world.now + skew)));
    if !changes.is_empty() && suspended {
        world.violated("R11: a managed key was written while suspended");
    }
    reported_drift_is_left(world, &record, after, changes);
    repairs_are_patient(world, save, changes);
    for (change, _) in changes {
        let Some(found) = world.store.keys.get(change.key.as_str()).cloned() else { continue };
        let marked = Flags(found.flags).mark_of(owner).is_some();
        let in_complete = complete.as_ref().is_some_and(|state| state.entries().contains_key(&change.key));
        if !marked && !in_complete {
            world.violated(format!("O2: {} is not ours and was written", change.key));
        }
        if change.action == Action::Delete {
            if !marked {
                world.violated(format!("O3: {} has no mark of ours and was deleted", change.key));
            }
            let known = reached
                .iter()
                .any(|revision| desired(world, *revision).is_some_and(|state| state.entries().contains_key(&change.key)));
            if !known {
                world.violated(format!("O3: {} is in no revision that was reached and was deleted", change.key));
            }
        }
        if found.index != change.fence.0 {
            world.violated(format!("A2: {} changed since it was read and was overwritten", change.key));
        }
    }
}

/// R10: under `drift: report` a key without our mark was changed by somebody, and is left.
fn reported_drift_is_left(world: &mut World, record: &Rollout, after: &Rollout, changes: &[(Change, Option<Vec<u8>>)]) {
    let Some(rules) = after.goal.as_ref().map(|goal| goal.rules).and_then(|rules| desired(world, rules)) else { return };
    if rules.environment().policy.drift == DriftPolicy::Correct || record.overwrite_drift {
        return;
    }
    for (change, _) in changes {
        let found = world.store.keys.get(change.key.as_str());
        if found.is_some_and(|found| Flags(found.flags).mark_of(record.identity.owner).is_none()) {
            world.violated(format!("R10: {} was changed by hand and was written, and drift is only reported", change.key));
        }
    }
}

/// R9: a key that was repaired three times lately is not repaired again at once.
fn repairs_are_patient(world: &mut World, save: Option<&Save>, changes: &[(Change, Option<Vec<u8>>)]) {
    const WINDOW: i64 = 590_000;
    const FIRST: i64 = 9_000;
    let opens = save
        .into_iter()
        .flat_map(|save| &save.history)
        .any(|line| line.intent == Intent::Repair && !world.store.history.contains_key(&line.generation));
    if !opens {
        return;
    }
    // Another clock's back-off is not trusted, and a restored record has forgotten it.
    let exact = world.skew.iter().chain(&world.term_skew).all(|skew| *skew == 0) && world.restored_at == 0;
    let now = world.now;
    for (change, _) in changes {
        let times = world.truth.repaired.entry(change.key.to_string()).or_default();
        times.retain(|at| now - at < WINDOW);
        let hasty = times.len() >= 3 && times.last().is_some_and(|last| now - last < FIRST);
        times.push(now);
        if hasty && exact {
            world.violated(format!("R9: {} was repaired again without patience", change.key));
        }
    }
}

/// After it: does the world still make sense?
pub(crate) fn after_write(world: &mut World, replica: usize, moved: bool) {
    marks_tell_the_truth(world);
    if !moved {
        return;
    }
    let Some(record) = world.record().cloned() else { return };
    let before = world.truth.before.replace(record.clone());
    history_is_written_once(world);
    if record.generation < world.truth.highest {
        world.violated(format!("A5: generation went from {} back to {}", world.truth.highest, record.generation));
    }
    world.truth.highest = world.truth.highest.max(record.generation);
    let Some(before) = before else { return };
    complete_is_complete(world, replica, &before, &record);
    if record.phase == Phase::Frozen && before.phase != Phase::Frozen {
        world.truth.frozen_at = Some(world.now);
    }
    repairs_go_to_the_goal(world, &before, &record);
    generations_are_given_out_once(world, replica, &before, &record);
    commits_are_kept(world, replica, &record);
    attempts_are_allowed(world, &before, &record);
    verdicts_are_honest(world, &before, &record);
    let applied = |of: &Rollout| of.attempt.as_ref().map(|attempt| (attempt.line.generation, attempt.applied));
    if applied(&record) != applied(&before) {
        let now = applied(&record).is_some_and(|(_, at)| at.is_some());
        world.truth.applied_at = if now { world.now } else { i64::MAX };
    }
    count(world, &before, &record);
}

/// A5: an owned key's value equals the desired value of the revision that its generation names.
fn marks_tell_the_truth(world: &mut World) {
    let Some(record) = world.record().cloned() else { return };
    let keys: Vec<(String, Vec<u8>, Generation)> = world
        .store
        .keys
        .iter()
        .filter(|(key, _)| !world.edited.contains_key(*key))
        .filter_map(|(key, stored)| {
            Flags(stored.flags).mark_of(record.identity.owner).map(|mark| (key.clone(), stored.value.clone(), mark.generation))
        })
        .collect();
    for (key, value, generation) in keys {
        let Some(line) = world.store.history.get(&generation).cloned() else {
            world.violated(format!("A5: {key} names generation {generation}, which history does not have"));
            continue;
        };
        let says = desired(world, line.revision).and_then(|state| {
            state.entries().iter().find(|(name, _)| name.as_str() == key).map(|(_, entry)| entry.value.to_vec())
        });
        if says.as_ref() != Some(&value) {
            world.violated(format!("A5: {key} names generation {generation} but has another value than {:?}", line.revision));
        }
    }
}

/// A5: one line a generation, closed once.
fn history_is_written_once(world: &mut World) {
    let lines: Vec<HistoryLine> = world.store.history.values().cloned().collect();
    let mut open = 0;
    for line in lines {
        match world.truth.closed.get(&line.generation) {
            Some(known) if *known != line => {
                world.violated(format!("A5: generation {} was closed and changed", line.generation));
            }
            Some(_) => {}
            None if line.closed.is_some() => {
                world.truth.closed.insert(line.generation, line);
            }
            None => open += 1,
        }
    }
    if open > 2 {
        world.violated(format!("A5: {open} lines of history are open at once"));
    }
}

/// A4: what is called complete is there, but for what people did to it meanwhile.
fn complete_is_complete(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    let (Some(complete), was) = (&record.complete, &before.complete) else { return };
    if was.as_ref().is_some_and(|was| was.generation == complete.generation) {
        return;
    }
    let Some(state) = desired(world, complete.revision) else {
        world.violated("A4: an invalid revision is called complete");
        return;
    };
    let excepted = record.attempt.as_ref().map(|attempt| attempt.except.join(" ")).unwrap_or_default();
    let rules = desired(world, complete.rules).unwrap_or_else(|| Arc::clone(&state));
    let report = [&state, &rules].iter().any(|state| state.environment().policy.drift == DriftPolicy::Report);
    for (key, entry) in state.entries() {
        let name = key.as_str();
        if world.edited.contains_key(name) || excepted.contains(name) || report {
            continue;
        }
        if world.store.keys.get(name).map(|stored| stored.value.as_slice()) != Some(&entry.value) {
            world.violated(format!("A4: {} is called complete and {name} is not as it says", complete.revision.short()));
        }
    }
    let owner = record.identity.owner;
    let surplus: Vec<String> = world
        .store
        .keys
        .iter()
        .filter(|(key, stored)| {
            Flags(stored.flags).mark_of(owner).is_some()
                && !world.edited.contains_key(*key)
                && !state.entries().keys().any(|known| known.as_str() == key.as_str())
        })
        .map(|(key, _)| key.clone())
        .filter(|key| !excepted.contains(key.as_str()) && !report && !world.truth.strays.contains(key.as_str()))
        .collect();
    // Keys of a commit that is in no mirror any more can't be proven ours to delete (rule O3): they stay as strays.
    let named = before.attempted.iter().chain(&before.complete).chain(&before.last_good);
    if named.into_iter().any(|reached| !world.mirrors[replica].known.contains(&reached.revision)) {
        world.reached("a commit that the mirror lost");
        world.truth.strays.extend(surplus);
        return;
    }
    for key in surplus {
        world.violated(format!("A4: {} is called complete and {key} was left behind", complete.revision.short()));
    }
}

/// R4: drift is judged against the goal and nothing else.
fn repairs_go_to_the_goal(world: &mut World, before: &Rollout, record: &Rollout) {
    let Some(line) = world.store.history.get(&record.generation).cloned() else { return };
    let new = record.generation > before.generation && line.intent == Intent::Repair;
    if new && before.goal.as_ref().map(|goal| goal.revision) != Some(line.revision) {
        world.violated(format!("R4: a repair went to {} instead of the goal", line.revision.short()));
    }
}

/// A5: what this process has given out is not given out again, even when the target forgot it.
fn generations_are_given_out_once(world: &mut World, replica: usize, before: &Rollout, record: &Rollout) {
    if record.generation <= before.generation {
        return;
    }
    let highest = world.truth.given_out[replica];
    if record.generation <= highest {
        world.violated(format!("A5: replica {replica} gave out {} after {highest}", record.generation));
    }
}

/// S2: a commit that the record names can't vanish from the mirror of who wrote it.
fn commits_are_kept(world: &mut World, replica: usize, record: &Rollout) {
    let mirror = &world.mirrors[replica];
    let lost: Vec<String> = [&record.goal, &record.complete, &record.last_good]
        .into_iter()
        .flatten()
        .map(|reached| reached.revision)
        .filter(|revision| mirror.known.contains(revision) && !mirror.kept.contains(revision))
        .map(|revision| revision.short())
        .collect();
    if !lost.is_empty() {
        world.violated(format!("S2: the record names {lost:?}, which the next forced push takes away"));
    }
}

fn attempts_are_allowed(world: &mut World, before: &Rollout, record: &Rollout) {
    let Some(attempt) = &record.attempt else { return };
    let new = before.attempt.as_ref().is_none_or(|was| was.line.generation != attempt.line.generation);
    if !new {
        return;
    }
    let Some(goal) = record.goal.clone() else { return };
    match attempt.line.intent {
        Intent::Advance => {
            let rejected_at = world.truth.rejected.get(&goal.digest).copied();
            if rejected_at.is_some_and(|at| !world.truth.pardoned_since(at)) {
                world.violated(format!("R2: {} is rejected and was tried again", goal.revision.short()));
            }
            if world.truth.frozen_at.take().is_some_and(|at| !world.truth.pardoned_since(at)) {
                world.violated("R6: a frozen environment moved");
            }
            if world.truth.pinned.contains(&goal.digest) {
                world.violated("R11: a pinned environment moved to what was seen");
            }
            world.truth.pinned.clear();
            let from = before.goal.as_ref().map(|goal| goal.tip);
            if let Some(from) = from
                && from != goal.tip
                && world.origin.descends(from, goal.tip)
                && world.now - world.truth.rewound_at > 4 * LAG
            {
                world.violated(format!("S1: went back from {} to its ancestor {}", from.short(), goal.tip.short()));
            }
        }
        Intent::RollBack => {
            let asked = record.pin.is_some();
            let back = before.attempt.as_ref().filter(|was| was.line.intent == Intent::RollBack && was.line.closed.is_none());
            if !asked && back.is_some() {
                world.violated(format!("R5: a rollback was rolled back, to {}", goal.revision.short()));
            }
            if let Some(pin) = record.pin.as_ref().filter(|pin| before.pin.as_ref() != Some(pin)) {
                world.truth.pinned.clone_from(&pin.seen);
            }
            if !asked && before.last_good.as_ref().map(|good| good.revision) != Some(goal.revision) {
                world.violated(format!("R1: rolled back to {}, which is not last good", goal.revision.short()));
            }
        }
        Intent::Repair | Intent::Restored => {}
    }
}

/// H5: a check that failed before, and that the commit leaves as it was, is no evidence against it.
fn blames_no_baseline(world: &mut World, before: &Rollout, rejection: &Rejection) {
    // Without the commit of last good nobody can tell whether a check is as it was there.
    let known = |world: &World, good: Revision| world.mirrors.iter().all(|mirror| mirror.known.contains(&good));
    let good = before.last_good.as_ref().map(|good| good.revision).filter(|good| known(world, *good));
    let good = good.and_then(|good| desired(world, good));
    let Some((good, bad)) = good.zip(desired(world, rejection.revision)) else { return };
    for name in &before.baseline {
        if rejection.reason.starts_with(&format!("{name} failed")) && good.checks().get(name) == bad.checks().get(name) {
            world.violated(format!("H5: {} was blamed for {name}, which failed before", rejection.revision.short()));
        }
    }
}

fn verdicts_are_honest(world: &mut World, before: &Rollout, record: &Rollout) {
    for rejection in &record.rejected {
        if before.rejection(rejection.digest).is_none() {
            // A trailer counts from the tip that the rejection knew.
            let known = world.origin.commits.get(&rejection.tip).map_or(world.now, |commit| commit.at);
            world.truth.rejected.insert(rejection.digest, known);
            let by_person = rejection.reason.contains("rolled back by");
            blames_no_baseline(world, before, rejection);
            let after = world.truth.applied_at.saturating_add(1_000);
            if !by_person && (world.last_fail < after) && world.restored_at < world.truth.applied_at {
                world.violated(format!("H4: {} was rejected without a failure after its apply", rejection.revision.short()));
            }
        }
    }
    let known: BTreeSet<RevisionDigest> = record.rejected.iter().map(|rejection| rejection.digest).collect();
    let forgotten: Vec<RevisionDigest> =
        before.rejected.iter().map(|rejection| rejection.digest).filter(|digest| !known.contains(digest)).collect();
    for digest in forgotten {
        let proven_now = record.last_good.as_ref().is_some_and(|good| good.digest == digest);
        let rejected_at = world.truth.rejected.get(&digest).copied().unwrap_or_default();
        if !world.truth.pardoned_since(rejected_at) && !proven_now && world.restored_at == 0 {
            world.violated("R2: a rejection was forgotten");
        }
        world.truth.rejected.remove(&digest);
    }
    let proven = |of: &Rollout| of.last_good.as_ref().map(|good| good.generation);
    if proven(record) != proven(before) && record.phase == Phase::Steady {
        let Some(good) = record.last_good.clone() else { return };
        let checked = desired(world, good.revision).is_some_and(|state| !state.checks().is_empty());
        let quiet = world.now - world.last_fail.max(world.last_unknown);
        if checked && quiet < 3_500 && record.baseline.is_empty() && before.baseline.is_empty() {
            world.violated(format!("H3: {} was proven {quiet} ms after a sample that did not pass", good.revision.short()));
        }
        let since = world.now.saturating_sub(world.truth.applied_at);
        if world.truth.applied_at != i64::MAX && since < 5_500 {
            world.violated(format!("H2: {} was proven {since} ms after it was applied", good.revision.short()));
        }
    }
}

fn count(world: &mut World, before: &Rollout, record: &Rollout) {
    if before.phase != record.phase {
        world.reached(match record.phase {
            Phase::Idle => "idle",
            Phase::Applying => "applying over several steps",
            Phase::Verifying => "verifying",
            Phase::Steady => "steady",
            Phase::HeldAfterRollback => "held after a rollback",
            Phase::HeldUnproven => "held unproven",
            Phase::HeldRefused => "held refused",
            Phase::Frozen => "frozen",
        });
    }
    let lines: Vec<(Intent, Outcome)> = world
        .store
        .history
        .values()
        .filter_map(|line| line.closed.as_ref().map(|closed| (line.intent, closed.outcome)))
        .collect();
    for line in lines {
        world.reached(match line {
            (Intent::Advance, Outcome::Proven) => "an advance was proven",
            (Intent::Advance, Outcome::RolledBack) => "an advance was rolled back",
            (Intent::Advance, Outcome::Superseded) => "an advance was superseded",
            (Intent::Advance, Outcome::Unproven) => "an advance stayed unproven",
            (Intent::Advance, Outcome::Refused) => "an advance was refused part-way",
            (Intent::RollBack, Outcome::Proven) => "a rollback was proven",
            (Intent::RollBack, Outcome::Frozen) => "a rollback was frozen",
            (Intent::RollBack, Outcome::Superseded) => "a rollback was superseded",
            (Intent::RollBack, Outcome::Unproven) => "a rollback stayed unproven",
            (Intent::Repair, Outcome::Repaired) => "drift was repaired",
            (Intent::Repair, Outcome::Superseded) => "a repair was superseded",
            (Intent::Restored, _) => "a restored target was noticed",
            _ => "another end",
        });
    }
    if record.pin.is_some() {
        world.reached("pinned by a person");
    }
    if record.suspension.is_some() {
        world.reached("suspended by a person");
    }
    if !record.repairs.contested.is_empty() {
        world.reached("a contested key");
    }
    if !record.baseline.is_empty() {
        world.reached("a baseline failure");
    }
    if before.phase == Phase::Applying && record.phase == Phase::Applying && before.goal != record.goal {
        world.reached("superseded while applying");
    }
}
