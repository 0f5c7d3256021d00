//! What must hold at every write, whatever happened before: the rules that timing can break.

mod eyes;
mod delivered;
mod adopted;
mod keys;
mod past;
mod guard;
mod newest;
mod moves;
mod news;
mod judged;
mod told;
mod alive;
mod reached;
mod gone;
mod renamed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep::domain::desired::{DesiredState, read_environment};
use lockstep::domain::plan::{Change, Intent};
use lockstep::domain::revision::{Generation, Revision, RevisionDigest};
use lockstep::domain::rollout::{Answer, HistoryLine, Phase, Request, Rollout, Save, Verb};
use lockstep::domain::scope::KeyScope;

use crate::repository::named;
use crate::world::{PROCESSES, Store, World};

/// What the world knows better than any replica.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// How far a mirror may lag behind.
    lag: i64,
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
    /// What people's rollbacks rejected, until then: `resume` ends these rejections.
    taken_back: BTreeSet<RevisionDigest>,
    /// The highest generation that each replica knows to have given out since it started: one whose write failed
    /// half-way, and that a restore then took away, it can't know.
    pub(crate) given_out: [Generation; PROCESSES],
    /// When repairs of each key began.
    repaired: BTreeMap<String, Vec<i64>>,
    /// What the last attempt that writes is for.
    writing: Option<Intent>,
    /// What each replica has seen.
    pub(crate) eyes: [eyes::Eyes; PROCESSES],
    /// When the last request was answered.
    answered_at: i64,
    /// The last two transactions' times: the one before the write that is looked at.
    written_at: i64,
    written_before: i64,
    /// The last transaction that was carried out: which record and keys it named, and what it did to them.
    carried_out: Option<(u64, bool, Vec<Change>)>,
    /// What a person lets one head do, as it was answered.
    permitted: Option<guard::Permitted>,
    /// What the advance under way may delete.
    allowance: guard::Allowance,
    /// What the advance under way may take over.
    adoption: adopted::Adoption,
    /// Keys that were there before lockstep and that it took over.
    foundlings: BTreeSet<String>,
    /// Those of them that a removal gave back which is not over.
    given_back: BTreeSet<String>,
    pub(crate) applied_at: i64,
    pub(crate) rewound_at: i64,
    /// Marked keys whose commit is in no mirror any more.
    strays: BTreeSet<String>,
    /// What people were told of which generation, since the last restore.
    told: BTreeSet<(String, u64)>,
    /// Since when nothing disturbs anybody any more.
    pub(crate) calm_at: Option<i64>,
    /// Where the branch stood when it was deleted.
    pub(crate) deleted: Option<Revision>,
}

impl Truth {
    /// Of a world whose repository is looked at so often.
    pub(crate) fn of_a_world_polled_each(poll: i64) -> Self {
        Self { lag: 8 * poll, ..Self::default() }
    }

    /// A request is being answered, about a head that says this if it is about one.
    fn answered(&mut self, now: i64, request: Option<&Request>, accepted: bool, meant: Option<RevisionDigest>) {
        self.answered_at = now;
        self.may_try_again();
        match request.map(|request| &request.verb) {
            Some(Verb::Release { lets_pass, .. }) => {
                self.pardoned_at = now;
                if let Some((digest, lets_pass)) = meant.filter(|_| accepted).zip(lets_pass.as_ref()) {
                    let before = self.permitted.take().filter(|permitted| permitted.digest == digest);
                    let nothing = guard::Permitted { digest, deletes: 0, overriding: false, adopts: KeyScope::default() };
                    let mut permitted = before.unwrap_or(nothing);
                    permitted.adopts = permitted.adopts.and(lets_pass.adopts.iter().cloned()).unwrap_or(permitted.adopts);
                    permitted.deletes = lets_pass.allow_deletes.unwrap_or(permitted.deletes);
                    permitted.overriding |= lets_pass.overriding;
                    self.permitted = Some(permitted);
                }
            }
            Some(Verb::Resume) => {
                self.pinned.clear();
                for digest in std::mem::take(&mut self.taken_back) {
                    self.rejected.remove(&digest);
                }
            }
            Some(Verb::RollBack { .. } | Verb::Suspend { .. } | Verb::OverwriteDrift) | None => {}
        }
    }

    /// Whether something since then may have ended a rejection or a freeze; mirrors lag, so a little before counts too.
    fn pardoned_since(&self, then: i64) -> bool {
        self.pardoned_at + self.lag >= then
    }

    /// Keys that no revision to come need explain.
    pub(crate) fn are_strays(&mut self, keys: impl IntoIterator<Item = String>) {
        self.strays.extend(keys);
    }

    /// What was known of an environment says nothing of the one that comes after it.
    pub(crate) fn nothing_is_kept(&mut self, store: &Store) {
        self.forget_the_future(store);
        self.foundlings.clear();
        self.given_back.clear();
        self.strays.clear();
        self.repaired.clear();
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
        self.permitted = store.record.as_ref().and_then(|(record, _)| record.permit.as_ref()).map(guard::Permitted::of);
        self.allowance = guard::Allowance::default();
        self.recall_foundlings(store);
        self.carried_out = None;
        self.told.clear();
        // Indexes of before say nothing any more.
        self.eyes.iter_mut().for_each(|eyes| eyes.looked = 0);
        self.may_try_again();
        self.applied_at = 0;
        self.frozen_at = None;
        self.pinned =
            store.record.iter().filter_map(|(record, _)| record.pin.as_ref()).flat_map(|pin| pin.seen.clone()).collect();
        self.taken_back =
            store.record.iter().filter_map(|(record, _)| record.pin.as_ref()).flat_map(|pin| pin.rejected.clone()).collect();
    }
}

pub(crate) use eyes::Eyes;
pub(crate) use gone::dissolved;
pub(crate) use guard::is_refused_rightly;
pub(crate) use renamed::renamed;

/// A request is being answered, with this record.
pub(crate) fn answered(world: &mut World, answer: &Answer, after: &Rollout) {
    let request = world.store.requests.get(&answer.id).map(|asked| asked.request.clone());
    // A resume that ended a suspension leaves the pin.
    let request = request.filter(|request| request.verb != Verb::Resume || after.pin.is_none());
    let meant = request.as_ref().and_then(|request| request.verb.lets_pass());
    let meant = meant.and_then(|head| desired(world, head)).map(|state| state.revision_digest());
    let now = world.now;
    world.truth.answered(now, request.as_ref(), answer.accepted, meant);
}

/// What a revision says of the environment under the name that it has there, if it is valid.
pub(crate) fn desired(world: &mut World, revision: Revision) -> Option<Arc<DesiredState>> {
    if let Some(reading) = world.truth.readings.get(&revision) {
        return reading.clone();
    }
    let content = world.origin.content(revision);
    let reading = read_environment(&content.tree(), &named(content.name)).ok().flatten();
    world.truth.readings.insert(revision, reading.clone());
    reading
}

/// Before the write is carried out: is it allowed at all?
pub(crate) fn before_write(
    world: &mut World,
    replica: usize,
    (holds, expected): (bool, u64),
    save: Option<&Save>,
    changes: &[(Change, Option<Vec<u8>>)],
) {
    if !holds {
        world.violated(format!("L1: replica {replica} wrote without the lease"));
    }
    let Some(record) = world.record().cloned() else { return };
    let after = save.map_or(&record, |save| &save.record);
    // By the clock of whoever writes: it is what an end is compared with.
    let suspended = [world.skew[replica], world.term_skew[replica]]
        .iter()
        .all(|skew| record.is_suspended(lockstep::domain::time::Timestamp::from_millis(world.now + skew)));
    if !changes.is_empty() && suspended {
        world.violated("R11: a managed key was written while suspended");
    }
    keys::reported_drift_is_left(world, replica, &record, after, changes);
    keys::repairs_are_patient(world, save, changes);
    let planned: Vec<Change> = changes.iter().map(|(change, _)| change.clone()).collect();
    keys::is_carried_out_once(world, expected, save.is_some(), &planned);
    adopted::looks_at_the_attempt(world, replica, &record, after);
    keys::advances_wholly_or_not(world, replica, &record, after);
    newest::stops_at_the_next_border(world, replica, &record, after, !planned.is_empty());
    news::what_is_retired_is_left(world, replica, &record, after, !planned.is_empty());
    gone::takes_what_is_ours(world, replica, &record, after, &planned);
    if !planned.is_empty() {
        world.writes_keys(replica);
    }
    if !world.truth.eyes[replica].writes(Intent::Remove) {
        guard::deletes_keep_to_the_limits(world, &record, after, &planned);
    }
    keys::are_ours_and_as_read(world, &record, after, changes);
    adopted::keeps_what_was_there(world, replica, &record, after, changes);
}

/// After it: does the world still make sense?
pub(crate) fn after_write(world: &mut World, replica: usize, moved: bool) {
    past::marks_tell_the_truth(world);
    world.truth.written_before = std::mem::replace(&mut world.truth.written_at, world.now);
    if !moved {
        return;
    }
    let Some(record) = world.record().cloned() else { return };
    let before = world.truth.before.replace(record.clone());
    past::history_is_written_once(world);
    if record.generation < world.truth.highest {
        world.violated(format!("A5: generation went from {} back to {}", world.truth.highest, record.generation));
    }
    world.truth.highest = world.truth.highest.max(record.generation);
    let Some(before) = before else { return };
    keys::complete_is_complete(world, replica, &before, &record);
    if record.phase == Phase::Frozen && before.phase != Phase::Frozen {
        world.truth.frozen_at = Some(world.now);
    }
    moves::repairs_go_to_the_goal(world, &before, &record);
    past::generations_are_given_out_once(world, replica, &before, &record);
    keys::commits_are_kept(world, replica, &record);
    guard::refusals_are_right(world, &before, &record);
    moves::attempts_are_allowed(world, replica, &before, &record);
    news::advances_go_to_the_head_as_it_is(world, replica, &before, &record);
    news::nothing_refused_interrupts(world, &before, &record);
    judged::by_its_own_checks(world, replica, &before, &record);
    moves::deadlines_are_kept(world, replica, &before, &record);
    moves::verdicts_are_honest(world, &before, &record);
    keys::a_rollback_is_proven_whole(world, replica, &before, &record);
    keys::a_proof_is_of_what_the_goal_says(world, replica, &before, &record);
    let applied = |of: &Rollout| of.attempt.as_ref().map(|attempt| (attempt.line.generation, attempt.applied));
    if applied(&record) != applied(&before) {
        let now = applied(&record).is_some_and(|(_, at)| at.is_some());
        world.truth.applied_at = if now { world.now } else { i64::MAX };
    }
    reached::count(world, &before, &record);
}
