//! Writes a plan: in one transaction where it fits, else in as few as the server allows, each fenced by the lease, the
//! record and the index of every key that it touches (rules A2, A4).
//!
//! In several transactions the first carries the opening record and says `applying` in the `revision` key, the last carries
//! the closing record and says `complete`; sets come before deletes. Whoever finds the record in between goes on from what
//! is live.

use std::collections::BTreeMap;
use std::ops::Range;

use super::ConsulTarget;
use super::flights::Flights;
use super::lease::Lease;
use super::txn::{Found, Transaction};
use crate::domain::desired::{DesiredState, Entry};
use crate::domain::live::{Fence, LiveEntry};
use crate::domain::name::KeyPath;
use crate::domain::plan::{Action, Change};
use crate::domain::revision::ValueDigest;
use crate::domain::rollout::Apply;
use crate::port::{EdgeError, EdgeKind, Written};

/// Transactions under way at once: while Consul commits one, the next one is on its way.
const AT_ONCE: usize = 2;
/// Larger than any index: tells how large a tail can get before the record's index is known.
const LONGEST_FENCE: Fence = Fence(u64::MAX);

/// What ends a transaction of several: the fences, and the record where it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// The record begins the attempt.
    Opening,
    /// The record stays as it is.
    Between,
    /// The record ends the attempt.
    Closing,
}

/// Changes in a transaction that still lacks its tail.
struct Batch {
    txn: Transaction,
    changes: Range<usize>,
}

/// A transaction that was sent, and what it came to.
struct Sent {
    found: Result<Vec<Found>, EdgeError>,
    changes: Range<usize>,
    /// Whether it moved the record.
    moves: bool,
    doing: String,
}

/// What a transaction may hold.
#[derive(Clone, Copy)]
struct Room {
    ops: usize,
    bytes: usize,
}

impl Room {
    fn holds(self, txn: &Transaction) -> bool {
        txn.ops() <= self.ops && txn.bytes() <= self.bytes
    }

    fn without(self, tail: &Transaction) -> Self {
        Self { ops: self.ops.saturating_sub(tail.ops()), bytes: self.bytes.saturating_sub(tail.bytes()) }
    }
}

/// A plan on its way into transactions.
struct Writing<'a> {
    target: &'a ConsulTarget,
    lease: &'a Lease,
    apply: &'a Apply,
    /// What each change writes; none: it writes no value of the revision, or that has no such key.
    entries: Vec<Option<&'a Entry>>,
    /// The values of keys that keep theirs and lose their mark.
    released: BTreeMap<KeyPath, Vec<u8>>,
    room: Room,
}

impl ConsulTarget {
    pub(super) async fn apply_plan(
        &self,
        lease: &Lease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, EdgeError> {
        self.check_expected(expected, &format!("write a plan to {}", self.environment))?;
        let released = self.released_values(&apply.plan.changes).await?;
        let ops = self.server.http.ops_limit(&self.server.limits).await?;
        let room = Room { ops, bytes: self.server.limits.bytes() };
        let entries = entries(&apply.plan.changes, desired);
        let writing = Writing { target: self, lease, apply, entries, released, room };
        match writing.in_one(expected)? {
            Some(txn) => {
                let all = 0..apply.plan.changes.len();
                let doing = writing.doing(&all);
                let found = self.transact(txn, &doing).await;
                let mut written = Written { record: expected, complete: true, keys: Vec::new() };
                writing.note(&mut written, Sent { found, changes: all, moves: true, doing })?;
                Ok(written)
            }
            None => writing.in_several(expected, go_on).await,
        }
    }

    /// A release changes flags only, but Consul writes flags with a value: the one that is there.
    async fn released_values(&self, changes: &[Change]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        let keys: Vec<KeyPath> =
            changes.iter().filter(|change| change.action == Action::Release).map(|change| change.key.clone()).collect();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.server.http.read_values(&self.server.limits, &keys).await
    }
}

/// What each change writes. A plan's sets are in the order of the keys: where there are many, each is found beside the one before.
fn entries<'d>(changes: &[Change], desired: &'d DesiredState) -> Vec<Option<&'d Entry>> {
    let all = desired.entries();
    let many = changes.len() > all.len() / 16;
    let mut walk = all.iter().peekable();
    let mut entry = |key: &KeyPath| {
        while many && walk.next_if(|(other, _)| *other < key).is_some() {}
        let found = walk.peek().filter(|(other, _)| *other == key).map(|(_, entry)| *entry);
        found.or_else(|| all.get(key))
    };
    let writes = |change: &Change| !matches!(change.action, Action::Release | Action::Delete);
    changes.iter().map(|change| if writes(change) { entry(&change.key) } else { None }).collect()
}

impl Writing<'_> {
    /// The whole plan with its closing record, if one transaction holds it.
    fn in_one(&self, expected: Fence) -> Result<Option<Transaction>, EdgeError> {
        let changes = &self.apply.plan.changes;
        if changes.len() > self.room.ops {
            return Ok(None);
        }
        let mut txn = Transaction::new();
        self.lease.check(&self.target.paths, &mut txn);
        self.target.paths.push_save(&mut txn, expected, &self.apply.at_once());
        for at in 0..changes.len() {
            self.push(&mut txn, at)?;
            if !self.room.holds(&txn) {
                return Ok(None);
            }
        }
        Ok(self.room.holds(&txn).then_some(txn))
    }

    /// The opening record goes alone and first, the closing one alone and last. In between two transactions are under way at
    /// a time: each is fenced by itself, and what an interruption leaves behind is some of the sets, or all of them and some
    /// of the deletes.
    async fn in_several(&self, expected: Fence, go_on: &(dyn Fn() -> bool + Sync)) -> Result<Written, EdgeError> {
        self.check_sizes()?;
        let _writing = self.target.server.watches.writing();
        let count = self.apply.plan.changes.len();
        let mut written = Written { record: expected, complete: false, keys: Vec::with_capacity(count) };
        let mut at = 0;
        if self.apply.opening.is_some() {
            let batch = self.pack(0, Tail::Opening)?;
            at = batch.changes.end;
            let sent = self.send(batch, Tail::Opening, expected).await;
            self.note(&mut written, sent)?;
        }
        let mut under_way = Flights::new();
        let mut deleting = false;
        loop {
            // Encoded while Consul works on the ones before.
            let batch = self.pack(at, Tail::Between)?;
            let closing = batch.changes.end == count && self.closing_fits(&batch);
            let deletes = self.deletes(&batch);
            let alone = closing || deletes && !deleting;
            let room = if alone { 0 } else { AT_ONCE - 1 };
            while under_way.len() > room {
                self.land(&mut under_way, &mut written).await?;
            }
            if at > 0 && !go_on() {
                while under_way.len() > 0 {
                    self.land(&mut under_way, &mut written).await?;
                }
                return Ok(written);
            }
            // A batch of sets and deletes is still one of sets to the next: nothing is deleted beside it.
            deleting = self.only_deletes(&batch);
            at = batch.changes.end;
            let tail = if closing { Tail::Closing } else { Tail::Between };
            under_way.begin(self.send(batch, tail, written.record)).await;
            if closing {
                self.land(&mut under_way, &mut written).await?;
                written.complete = true;
                return Ok(written);
            }
        }
    }

    /// Waits for the oldest transaction under way. When it failed, the others are waited for too: what was written is then
    /// there to be looked at.
    async fn land(&self, under_way: &mut Flights<'_, Sent>, written: &mut Written) -> Result<(), EdgeError> {
        let Some(sent) = under_way.next().await else { return Ok(()) };
        let noted = self.note(written, sent);
        if noted.is_err() {
            while under_way.next().await.is_some() {}
        }
        noted
    }

    /// Whether a batch takes a key away: then every set is there before it (rule A4).
    fn deletes(&self, batch: &Batch) -> bool {
        self.changes(batch).iter().any(|change| change.action == Action::Delete)
    }

    fn only_deletes(&self, batch: &Batch) -> bool {
        self.changes(batch).iter().all(|change| change.action == Action::Delete)
    }

    fn changes(&self, batch: &Batch) -> &[Change] {
        self.apply.plan.changes.get(batch.changes.clone()).unwrap_or_default()
    }

    async fn send(&self, batch: Batch, tail: Tail, record: Fence) -> Sent {
        let Batch { mut txn, changes } = batch;
        txn.append(&self.tail(tail, record));
        let doing = self.doing(&changes);
        let found = self.target.transact(txn, &doing).await;
        Sent { found, changes, moves: tail != Tail::Between, doing }
    }

    /// As many of the changes from `start` on as fit beside this tail; none when only the closing record is left.
    fn pack(&self, start: usize, tail: Tail) -> Result<Batch, EdgeError> {
        let room = self.room.without(&self.tail(tail, LONGEST_FENCE));
        let changes = &self.apply.plan.changes;
        let mut txn = Transaction::new();
        let mut end = start;
        while end < changes.len() {
            let mark = txn.mark();
            self.push(&mut txn, end)?;
            if !room.holds(&txn) {
                txn.rewind(mark);
                break;
            }
            end += 1;
        }
        Ok(Batch { txn, changes: start..end })
    }

    /// Finds a value that fits no transaction before the first one is sent: a plan is not begun that cannot end.
    fn check_sizes(&self) -> Result<(), EdgeError> {
        let room = self.room.without(&self.tail(Tail::Between, LONGEST_FENCE));
        for (at, change) in self.apply.plan.changes.iter().enumerate() {
            // Encoded, the largest of these is about a third larger; most plans have none worth a second look.
            let value = self.entries[at].map(|entry| entry.value.len());
            if value.is_some_and(|length| length < room.bytes / 4) {
                continue;
            }
            let mut alone = Transaction::new();
            self.push(&mut alone, at)?;
            if !room.holds(&alone) {
                let error = self.target.server.http.error(EdgeKind::Refused, &self.doing(&(at..at + 1)));
                return Err(error
                    .because(format!("{} and its value do not fit a transaction of {} bytes", change.key, self.room.bytes))
                    .about(vec![change.key.to_string()])
                    .hint("make the value smaller, or split it over several keys"));
            }
        }
        Ok(())
    }

    fn closing_fits(&self, batch: &Batch) -> bool {
        // Nothing but the closing record is left: it has to go, and Consul says so if it cannot.
        batch.txn.ops() == 0 || self.room.without(&self.tail(Tail::Closing, LONGEST_FENCE)).holds(&batch.txn)
    }

    fn tail(&self, tail: Tail, record: Fence) -> Transaction {
        let paths = &self.target.paths;
        let mut txn = Transaction::new();
        self.lease.check(paths, &mut txn);
        match (tail, &self.apply.opening) {
            (Tail::Opening, Some(opening)) => paths.push_save(&mut txn, record, opening),
            (Tail::Closing, _) => paths.push_save(&mut txn, record, &self.apply.closing),
            (Tail::Opening | Tail::Between, _) => txn.check_index(&paths.record(), record.0),
        }
        txn
    }

    fn push(&self, txn: &mut Transaction, at: usize) -> Result<(), EdgeError> {
        let change = &self.apply.plan.changes[at];
        let key = change.key.as_str();
        match change.action {
            // What is adopted has the desired value already, at the index that the fence names.
            Action::Create | Action::Update | Action::Adopt => {
                let entry = self.entries[at].ok_or_else(|| self.without_value(change))?;
                txn.cas(key, &entry.value, change.flags.0, change.fence.0);
            }
            Action::Release => {
                let value = self.released.get(&change.key).ok_or_else(|| self.gone(change))?;
                txn.cas(key, value, change.flags.0, change.fence.0);
            }
            Action::Delete => txn.delete_cas(key, change.fence.0),
        }
        Ok(())
    }

    /// Adds what a transaction left behind.
    fn note(&self, written: &mut Written, sent: Sent) -> Result<(), EdgeError> {
        let Sent { found, changes, moves, doing } = sent;
        let found = found?;
        if moves {
            written.record = self.target.fence_after(&found, &doing)?;
        }
        // Consul answers in the order of the operations, and leaves deletes out.
        let mut answers = found.iter();
        for (change, entry) in self.apply.plan.changes[changes.clone()].iter().zip(&self.entries[changes]) {
            let digest = match change.action {
                Action::Delete => {
                    written.keys.push((change.key.clone(), None));
                    continue;
                }
                Action::Release => self.released.get(&change.key).map(|value| ValueDigest::of(value)),
                Action::Create | Action::Update | Action::Adopt => entry.map(|entry| entry.digest),
            };
            let answer = answers.find(|found| found.key == change.key.as_str());
            let (Some(answer), Some(digest)) = (answer, digest) else {
                let error = self.target.server.http.error(EdgeKind::Transient, &doing);
                return Err(error.because(format!("the answer does not name {}", change.key)));
            };
            let entry = LiveEntry { digest, flags: change.flags, fence: Fence(answer.index) };
            written.keys.push((change.key.clone(), Some(entry)));
        }
        Ok(())
    }

    fn doing(&self, changes: &Range<usize>) -> String {
        let all = self.apply.plan.changes.len();
        let environment = &self.target.environment;
        if changes.is_empty() {
            return format!("write the record around a plan of {all} changes to {environment}");
        }
        format!("write changes {} to {} of {all} to {environment}", changes.start + 1, changes.end)
    }

    fn without_value(&self, change: &Change) -> EdgeError {
        let doing = format!("write {} to {}", change.key, self.target.environment);
        let error = self.target.server.http.error(EdgeKind::Refused, &doing);
        error.because("the plan's revision has no such key").about(vec![change.key.to_string()])
    }

    fn gone(&self, change: &Change) -> EdgeError {
        let doing = format!("take the mark off {} in {}", change.key, self.target.environment);
        let error = self.target.server.http.error(EdgeKind::Conflict, &doing);
        error.because("the key is gone").about(vec![change.key.to_string()])
    }
}
