//! A record taken over from the name that the environment had before, in one transaction (rule O9).
//!
//! The lease of the old name is held for it, so nobody who leads there is left with a record that is gone. Marks on keys carry
//! the owner id, which stays; requests under the old name are nobody's any more, and its history stays as it is.

use std::sync::{Arc, OnceLock};

use super::ConsulTarget;
use super::init::owner_entry;
use super::lease::Lease;
use super::lost::OwnerEntry;
use super::paths::OWNERS;
use super::txn::Transaction;
use crate::client::wire;
use crate::domain::live::Fence;
use crate::domain::name::EnvironmentName;
use crate::domain::rollout::{Save, Stored};
use crate::port::{EdgeError, EdgeKind, Leading};

impl ConsulTarget {
    /// This environment under another name.
    fn under(&self, name: &EnvironmentName) -> Self {
        let server = Arc::clone(&self.server);
        let pinned = self.pinned.get().cloned();
        let target = Self::new(server, self.repository.clone(), name.clone(), self.keys.clone(), None);
        Self { pinned: pinned.map(OnceLock::from).unwrap_or_default(), ..target }
    }

    pub(super) async fn record_of(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        let old = self.under(name);
        let doing = format!("read the record of {name}");
        // Where there is none, that is not a loss of anything here.
        match self.server.http.read_key(&old.paths.record(), &doing).await? {
            Some(_) => old.load_record().await,
            None => Ok(None),
        }
    }

    pub(super) async fn take_record_over(
        &self,
        former: &EnvironmentName,
        expected: Fence,
        save: &Save,
    ) -> Result<(), EdgeError> {
        let old = self.under(former);
        let doing = format!("take the record of {former} over as {}", self.environment);
        let refused = |because: String| self.server.http.error(EdgeKind::Refused, &doing).because(because);
        self.check_expected(expected, &doing)?;
        let lease = match old.take_lease().await? {
            Leading::Ours(lease) => lease,
            Leading::Theirs(who) => {
                return Err(refused(format!("{former} is led by {who}"))
                    .hint("a controller gives the lease up as soon as it sees that the environment is gone from the branch"));
            }
        };
        let done = self.move_record(&old, &lease, expected, save, &doing).await;
        if let Err(error) = old.give_lease_back(lease).await {
            tracing::debug!(error = error.chain(), "the lease of the former name runs out by itself");
        }
        done
    }

    async fn move_record(&self, old: &Self, lease: &Lease, expected: Fence, save: &Save, doing: &str) -> Result<(), EdgeError> {
        let identity = &save.record.identity;
        let owner = format!("{OWNERS}{}", identity.owner);
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
        let mut is_ours = false;
        let keys = [owner.as_str(), revision.as_str(), held.as_str()];
        for found in self.server.http.read_some(&self.server.limits, &keys, doing).await? {
            if found.key != owner {
                txn.delete_cas(&found.key, found.index);
            } else if OwnerEntry::from_bytes(&found.value.unwrap_or_default()).is_some_and(|entry| entry.is_of(old)) {
                is_ours = true;
                txn.cas(&owner, owner_entry(identity).as_bytes(), 0, found.index);
            }
        }
        if !is_ours {
            let because = format!("the entry of its owner id {} is not of {}", identity.owner, old.environment);
            let error = self.server.http.error(EdgeKind::Refused, doing).because(because).about(vec![owner]);
            return Err(error.hint("look at that entry: somebody changed or removed it"));
        }
        // While it can still be fenced; what was asked under the old name nobody answers any more.
        old.drop_requests(Some((lease, expected)), doing).await?;
        self.transact(txn, doing).await.map(|_| ())
    }
}
