//! The target: transactions of a few keys, a lease that can be lost without notice, watches that tell late.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep::domain::desired::DesiredState;
use lockstep::domain::live::{Fence, LiveState};
use lockstep::domain::name::{EnvironmentName, KeyPath};
use lockstep::domain::plan::{Action, Change, Intent};
use lockstep::domain::revision::Generation;
use lockstep::domain::rollout::{
    Answer, Apply, Farewell, HistoryLine, Identity, Recovery, Remains, Request, RequestId, Retention, Save, Stored,
};
use lockstep::port::{Character, EdgeError, EdgeKind, Leading, Scheduler, Target, Told, Wake, Written};

use super::Edge;
use crate::bugs::Bug;
use crate::world::{Asked, POLL, Refused, SESSION, Session, Unfenced, World};

/// How many changes one transaction of the simulated target takes.
const BATCH: usize = 2;
/// How soon a watch tells, at best.
const WATCH: Duration = Duration::from_millis(250);

fn deletes(batch: &[Change]) -> bool {
    batch.iter().any(|change| change.action == Action::Delete)
}

/// The session of one term.
pub(crate) struct Lease(pub(crate) u64);

impl Edge {
    pub(super) fn refused(&self, refused: Refused) -> EdgeError {
        let (kind, about) = match refused {
            Refused::Session | Refused::Record | Refused::History(_) => (EdgeKind::Conflict, Vec::new()),
            Refused::Keys(keys) => (EdgeKind::Conflict, keys),
            Refused::Denied(keys) if self.has(Bug::TakesADenialForAConflict) => (EdgeKind::Conflict, keys),
            Refused::Denied(keys) => (EdgeKind::Denied, keys),
        };
        EdgeError::new("sim", kind, "write a transaction").because("it was refused").about(about)
    }

    /// Transactions between the first and the last are under way two at a time, so sets land in some order.
    fn in_some_order<'a>(&self, mut batches: Vec<&'a [Change]>) -> Vec<&'a [Change]> {
        for at in 1..batches.len().saturating_sub(2) {
            let both_set = batches.get(at..at + 2).is_some_and(|pair| pair.iter().all(|batch| !deletes(batch)));
            if both_set && self.world().random.percent(40) {
                batches.swap(at, at + 1);
            }
        }
        batches
    }

    /// Requests without an answer, oldest first.
    fn open(&self, world: &World) -> Vec<Request> {
        let again = self.has(Bug::AnswersTwice);
        let ours = world.store.requests.values().filter(|asked| asked.of == self.name);
        let open = ours.filter(|asked| asked.answer.is_none() || again);
        let mut open: Vec<Request> = open.map(|asked| asked.request.clone()).collect();
        open.sort_by_key(|request| request.at);
        open
    }

    /// Whether this process was ever told that what was denied may be written.
    pub(crate) fn was_permitted(&self) -> bool {
        self.world().truth.eyes[self.replica].permitted
    }

    /// The process learns that its write was carried out.
    pub(super) fn gave_out(&self, save: &Save) {
        let given_out = &mut self.world().truth.given_out[self.replica];
        *given_out = save.record.generation.max(*given_out);
    }

    /// Whether this process takes an environment away.
    fn removes(&self, world: &World) -> bool {
        world.truth.eyes[self.replica].writes(Intent::Remove)
    }

    /// Somebody writes a key just before we do.
    fn race(&self, changes: &[Change], percent: u32) {
        let mut world = self.world();
        let removes = self.removes(&world);
        let percent = if removes { percent.max(12) } else { percent };
        if world.stormy && !changes.is_empty() && world.random.percent(percent) {
            let raced = world.random.pick(changes).clone();
            if raced.action == Action::Adopt {
                world.reached("an adoption was raced");
            }
            if removes {
                world.reached("a key was taken while it was removed");
            }
            let key = raced.key.to_string();
            world.edit(&key, Some((b"raced".to_vec(), 0)));
        }
    }

    async fn transaction(
        &self,
        lease: &Lease,
        expected: Fence,
        save: Option<&Save>,
        changes: &[Change],
        desired: Option<&DesiredState>,
    ) -> Result<Written, EdgeError> {
        let values: Vec<(Change, Option<Vec<u8>>)> = changes
            .iter()
            .map(|change| {
                let value = desired.and_then(|state| state.entries().get(&change.key)).map(|entry| entry.value.to_vec());
                (change.clone(), value)
            })
            .collect();
        let keys = !changes.is_empty();
        if let Err(failed) = self.call("write a transaction").await {
            self.world().was_told::<()>(self.replica, keys, None);
            return Err(failed);
        }
        let unfenced = Unfenced {
            session: self.has(Bug::WritesWithoutTheLease),
            record: self.has(Bug::WritesWithoutTheLease),
            keys: self.has(Bug::OverwritesHandEdits) || self.has(Bug::RemovesWhatAnotherTook) && self.removes(&self.world()),
        };
        self.race(changes, 4);
        let done = self.world().transact(lease.0, self.replica, expected.0, save, &values, unfenced);
        if let Err(lost) = self.answer("write a transaction").await {
            self.world().was_told::<()>(self.replica, keys, None);
            if self.has(Bug::RepeatsAfterALostAnswer) && done.is_ok() {
                let blindly = Unfenced { session: false, record: true, keys: true };
                drop(self.world().transact(lease.0, self.replica, expected.0, save, &values, blindly));
            }
            return Err(lost);
        }
        self.world().was_told(self.replica, keys, Some(&done));
        let (record, keys) = done.map_err(|refused| self.refused(refused))?;
        *self.own_write.lock().unwrap() = record;
        Ok(Written { record: Fence(record), complete: false, keys })
    }
}

impl Target for Edge {
    type Lease = Lease;

    fn character(&self) -> Character {
        let rights = self.world().rights;
        Character { name: "the simulation".to_owned(), settle: Duration::ZERO, rights, resumes: true, outlived: Duration::ZERO }
    }

    async fn load(&self) -> Result<Option<Stored>, EdgeError> {
        self.stored(&self.name, "read the record").await
    }

    async fn initialise(&self) -> Result<Identity, EdgeError> {
        Err(EdgeError::new("sim", EdgeKind::Refused, "initialise"))
    }

    async fn remains(&self) -> Result<Option<Remains>, EdgeError> {
        Err(EdgeError::new("sim", EdgeKind::Refused, "look for what is left"))
    }

    async fn recover(&self, _recovery: &Recovery, _told: &Told<'_>) -> Result<Identity, EdgeError> {
        Err(EdgeError::new("sim", EdgeKind::Refused, "recover"))
    }

    async fn former(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        self.stored(name, "read the record of a former name").await
    }

    async fn take_over(&self, former: &EnvironmentName, expected: Fence, save: &Save) -> Result<(), EdgeError> {
        self.takes_over(former, expected, save).await
    }

    async fn live(&self) -> Result<LiveState, EdgeError> {
        self.look_at_everything().await
    }

    async fn look_again(&self, before: LiveState) -> Result<LiveState, EdgeError> {
        self.look_at_what_moved(before).await
    }

    async fn hidden(&self, _keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, String>, EdgeError> {
        Ok(BTreeMap::new())
    }

    async fn permits(&self, keys: &[KeyPath]) -> Result<bool, EdgeError> {
        self.call("ask about rights").await?;
        let said = self.world().permits(self.replica, keys);
        self.border().await;
        Ok(said)
    }

    async fn values(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        self.border().await;
        let world = self.world();
        Ok(keys
            .iter()
            .filter_map(|key| world.store.keys.get(key.as_str()).map(|stored| (key.clone(), stored.value.clone())))
            .collect())
    }

    async fn lead(&self) -> Result<Leading<Lease>, EdgeError> {
        self.call("take the lease").await?;
        let mut world = self.world();
        let now = world.now;
        let mine = |session: &Session| (session.replica, session.start) == (self.replica, self.start);
        if let Some(session) = world.leader().filter(|session| !mine(session)) {
            return Ok(Leading::Theirs(format!("replica {}", session.replica)));
        }
        world.note(format!("replica {} leads", self.replica));
        world.sessions += 1;
        world.term_skew[self.replica] = world.skew[self.replica];
        let id = world.sessions;
        world.began_a_term(self.replica);
        world.lease = Some(Session { id, replica: self.replica, start: self.start, expires: now + SESSION });
        // As a Consul does that may list what is asked for: in the transaction that takes the lease.
        let requests = world.random.percent(50).then(|| self.open(&world));
        if requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
            world.reached("requests that came with the lease");
        }
        *self.at_lead.lock().unwrap() = requests;
        Ok(Leading::Ours(Lease(id)))
    }

    async fn leader(&self) -> Result<Option<String>, EdgeError> {
        let world = self.world();
        Ok(world.leader().map(|session| format!("replica {}", session.replica)))
    }

    fn holds(&self, lease: &Lease) -> bool {
        let mut world = self.world();
        let held = world.lease.as_ref().is_some_and(|session| session.id == lease.0);
        // Losing it is noticed late at times; the fence is what counts.
        held || world.random.percent(50)
    }

    async fn release(&self, lease: Lease) -> Result<(), EdgeError> {
        self.border().await;
        let mut world = self.world();
        if world.lease.as_ref().is_some_and(|session| session.id == lease.0) {
            world.lease = None;
        }
        Ok(())
    }

    async fn save(&self, lease: &Lease, expected: Fence, save: &Save) -> Result<Fence, EdgeError> {
        let written = self.transaction(lease, expected, Some(save), &[], None).await?;
        self.gave_out(save);
        Ok(written.record)
    }

    async fn apply(
        &self,
        lease: &Lease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, EdgeError> {
        let spoilt = self.spoils_a_removal(apply).filter(|apply| apply.plan.intent == Intent::Remove);
        let apply = spoilt.as_ref().unwrap_or(apply);
        let changes = &apply.plan.changes;
        self.world().begins_to_write(self.replica, (apply.plan.intent, apply.plan.revision));
        if changes.len() <= BATCH {
            let whole = self.transaction(lease, expected, Some(&apply.at_once()), changes, Some(desired)).await?;
            self.gave_out(&apply.closing);
            return Ok(Written { complete: true, ..whole });
        }
        if changes.iter().all(|change| change.action == Action::Adopt) {
            self.world().reached("an adoption of several transactions");
        }
        let mut written = Written { record: expected, complete: false, keys: Vec::new() };
        let mut batches = self.in_some_order(changes.chunks(BATCH).collect());
        if self.has(Bug::EndsARemovalEarly) && apply.plan.intent == Intent::Remove {
            batches.pop();
        }
        for (number, batch) in batches.iter().enumerate() {
            let last = number + 1 == batches.len();
            if number > 0 {
                // A slow target: newer commits arrive meanwhile.
                self.dawdle(15, 2 * POLL).await;
            }
            if number > 0 && !go_on() && !self.has(Bug::WritesOnDespiteANewerCommit) {
                self.world().reached("stopped at a batch boundary");
                apply.opening.iter().for_each(|opening| self.gave_out(opening));
                return Ok(written);
            }
            if number > 0 && number + 2 < batches.len() {
                // Large plans are rare, and what is under way beside a failure is worth seeing.
                self.race(batch, 25);
            }
            let early = self.has(Bug::SaysCompleteTooEarly) && number == 0;
            let save = match (number, last || early) {
                (_, true) => Some(&apply.closing),
                (0, false) => apply.opening.as_ref(),
                _ => None,
            };
            if let Some(next) = batches.get(number + 1).filter(|_| number > 0 && number + 2 < batches.len()) {
                // The next one is under way as well, and may land although this one fails.
                let fails = self.world().stormy && self.world().random.percent(15);
                if fails && !deletes(batch) && !deletes(next) {
                    self.world().reached("a later transaction landed although an earlier one failed");
                    let _ = self.transaction(lease, written.record, None, next, Some(desired)).await;
                    return Err(EdgeError::new("sim", EdgeKind::Transient, "write a transaction").because("it failed"));
                }
            }
            let done = match self.transaction(lease, written.record, save, batch, Some(desired)).await {
                Err(error) if error.kind == EdgeKind::Transient && !last && self.has(Bug::TakesALostAnswerForDone) => continue,
                done => done?,
            };
            written.record = done.record;
            written.keys.extend(done.keys);
            written.complete = last;
        }
        self.gave_out(&apply.closing);
        Ok(written)
    }

    async fn newest_number(&self) -> Result<Option<Generation>, EdgeError> {
        self.border().await;
        Ok(self.world().store.history.keys().next_back().copied())
    }

    async fn history(&self, at_most: usize) -> Result<Vec<HistoryLine>, EdgeError> {
        self.border().await;
        Ok(self.world().store.history.values().rev().take(at_most).cloned().collect())
    }

    fn requests_at_lead(&self) -> Option<Vec<Request>> {
        self.at_lead.lock().unwrap().take()
    }

    async fn requests(&self) -> Result<Vec<Request>, EdgeError> {
        self.call("read the requests").await?;
        let open = self.open(&self.world());
        self.border().await;
        Ok(open)
    }

    async fn submit(&self, request: &Request) -> Result<(), EdgeError> {
        let asked = Asked { request: request.clone(), answer: None, of: self.name.clone() };
        self.world().store.requests.insert(request.id.clone(), asked);
        Ok(())
    }

    async fn answer(&self, id: &RequestId) -> Result<Option<Answer>, EdgeError> {
        Ok(self.world().store.requests.get(id).and_then(|asked| asked.answer.clone()))
    }

    async fn forget(&self, lease: &Lease, expected: Fence, retention: &Retention) -> Result<(), EdgeError> {
        self.call("read the history").await?;
        let lines = self.world().old_lines(retention, self.has(Bug::ForgetsLinesThatKeysName));
        self.call("read the answers").await?;
        let answers = self.world().old_answers(retention);
        if lines.is_empty() && answers.is_empty() {
            return Ok(());
        }
        self.call("forget old history").await?;
        let done = self.world().forget(lease.0, self.replica, expected.0, &lines, &answers);
        self.answer("forget old history").await?;
        done.map_err(|refused| self.refused(refused))
    }

    async fn dissolve(&self, lease: &Lease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        self.dissolves(lease, expected, farewell).await
    }

    async fn watch(&self, wake: &dyn Wake) {
        let mut seen = 0;
        loop {
            self.sleep(WATCH).await;
            let mut world = self.world();
            // News comes late at times: what was read before is stale then, and the fences must hold.
            let late = world.stormy && world.random.percent(40);
            let old = self.has(Bug::WatchesOnAtAnOldIndex) && world.store.index < seen;
            if world.store.index != seen && !late && !old {
                seen = world.store.index;
                drop(world);
                if !self.has(Bug::SleepsThroughChangedKeys) {
                    wake.live();
                }
                wake.state();
            }
        }
    }
}
