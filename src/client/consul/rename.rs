//! A record taken over from the name that the environment had before, in one transaction (rule O9).
//!
//! The lease of the old name is held for it, so nobody who leads there is left with a record that is gone. Marks on keys carry
//! the owner id, which stays; requests under the old name are nobody's any more, and its history stays as it is.

use std::sync::{Arc, OnceLock};

use super::ConsulTarget;
use super::fault::below;
use super::lease::Lease;
use super::owner::OwnerEntry;
use super::paths::{OWNERS, owner_key};
use super::txn::Transaction;
use crate::client::wire;
use crate::domain::live::Fence;
use crate::domain::name::EnvironmentName;
use crate::domain::rollout::{Identity, Save, Stored};
use crate::port::{EdgeError, EdgeKind, Leading};

impl ConsulTarget {
    /// This environment under another name.
    pub(super) fn under(&self, name: &EnvironmentName) -> Self {
        let server = Arc::clone(&self.server);
        let pinned = self.pinned.get().cloned();
        let target = Self::new(server, self.repository.clone(), name.clone(), self.keys.clone(), None);
        Self { pinned: pinned.map(OnceLock::from).unwrap_or_default(), ..target }
    }

    pub(super) async fn record_of(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        let old = self.under(name);
        let doing = format!("read the record of {name}");
        let read = self.server.http.read_key(&old.paths.record(), &doing).await;
        // Where there is none, that is not a loss of anything here.
        let read = read.map_err(|error| below(old.paths.base(), error))?;
        read.map(|read| old.record_in(&read, &doing)).transpose()
    }

    /// Whether a record could be taken over now, as far as a few small reads show it.
    pub(super) async fn may_take_record_over(&self, former: &EnvironmentName, identity: &Identity) -> Result<(), EdgeError> {
        let old = self.under(former);
        let doing = old.taking_over(&self.environment);
        let needed = [
            (old.paths.base(), "the token may not write where the record is under its former name"),
            (OWNERS, "the token may not give its owner id another name"),
        ];
        self.server.http.must_write_below(&needed, &doing).await?;
        // One that can't be used is one as well, and stands in the way.
        if self.server.http.read_key(&self.paths.record(), &doing).await?.is_some() {
            let because = format!("{} has a record of its own here", self.environment);
            let error = self.server.http.error(EdgeKind::Refused, &doing).because(because).about(vec![self.paths.record()]);
            return Err(error.hint(format!("`lockstep status {}` shows what is wrong with it", self.environment)));
        }
        if old.own_entry(identity, &doing).await?.is_none() {
            return Err(self.not_of(&old, identity, &doing));
        }
        match old.holder(&doing).await? {
            Some(who) => Err(self.led_by(&old, &who, &doing)),
            None => Ok(()),
        }
    }

    fn taking_over(&self, heir: &EnvironmentName) -> String {
        format!("take the record of {} over as {heir}", self.environment)
    }

    fn led_by(&self, old: &Self, who: &str, doing: &str) -> EdgeError {
        let error = self.server.http.error(EdgeKind::Conflict, doing).because(format!("{} is led by {who}", old.environment));
        error.hint("a controller gives the lease up as soon as it sees that the environment is gone from the branch")
    }

    fn not_of(&self, old: &Self, identity: &Identity, doing: &str) -> EdgeError {
        let because = format!("the entry of its owner id {} is not of {}", identity.owner, old.environment);
        let error = self.server.http.error(EdgeKind::Refused, doing).because(because).about(vec![owner_key(identity.owner)]);
        error.hint("look at that entry: somebody changed or removed it")
    }

    pub(super) async fn take_record_over(
        &self,
        former: &EnvironmentName,
        expected: Fence,
        save: &Save,
    ) -> Result<(), EdgeError> {
        let old = self.under(former);
        let doing = old.taking_over(&self.environment);
        self.check_expected(expected, &doing)?;
        let lease = match old.take_lease().await? {
            Leading::Ours(lease) => lease,
            Leading::Theirs(who) => return Err(self.led_by(&old, &who, &doing)),
        };
        let done = self.move_record(&old, &lease, expected, save, &doing).await;
        if let Err(error) = old.give_lease_back(lease).await {
            tracing::debug!(error = error.chain(), "the lease of the former name runs out by itself");
        }
        done
    }

    async fn move_record(&self, old: &Self, lease: &Lease, expected: Fence, save: &Save, doing: &str) -> Result<(), EdgeError> {
        let identity = &save.record.identity;
        let owner = owner_key(identity.owner);
        let (revision, held) = (old.paths.revision(), old.paths.lease());
        let mut txn = Transaction::new();
        lease.check(&old.paths, &mut txn);
        txn.delete_cas(&old.paths.record(), expected.0);
        txn.cas(&self.paths.record(), &wire::record_to_json(&save.record), 0, 0);
        if let Some(marker) = wire::revision_key(&save.record) {
            txn.set(&self.paths.revision(), &marker, 0);
        }
        for line in &save.history {
            txn.cas(&self.paths.line(line.generation), &wire::history_to_json(line), 0, 0);
            // Whoever looks under the old name finds where it went.
            txn.cas(&old.paths.line(line.generation), &wire::history_to_json(line), 0, 0);
        }
        let Some(read) = old.own_entry(identity, doing).await? else { return Err(self.not_of(old, identity, doing)) };
        txn.cas(&owner, &OwnerEntry::of(identity).to_bytes(), 0, read.index);
        for found in self.server.http.read_some(&self.server.limits, &[&revision, &held], doing).await? {
            txn.delete_cas(&found.key, found.index);
        }
        self.transact(txn, doing).await?;
        // What was asked under the old name nobody answers any more, and not before.
        if let Err(error) = old.drop_requests(doing).await {
            tracing::debug!(error = error.chain(), "requests under the former name stay until it is initialised again");
        }
        Ok(())
    }
}
