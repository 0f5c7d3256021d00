//! The end of an environment: what lockstep itself holds of it goes, in transactions fenced like every other (rule O9).
//!
//! One transaction takes record, owner entry, `revision` key and lease away and closes the line of history: before it the
//! environment is there and its removal can be done again, after it there is no environment, and nothing in between. Only then
//! do requests and answers go, which nobody answers or reads any more. History stays under its name, and `init` goes on with its
//! numbers.

use super::ConsulTarget;
use super::lease::Lease;
use super::owner::OwnerEntry;
use super::paths::{OWNERS, owner_key};
use super::txn::Transaction;
use crate::client::wire;
use crate::domain::live::Fence;
use crate::domain::rollout::Farewell;
use crate::port::EdgeError;

impl ConsulTarget {
    /// Whether the token has the right that only the end of a removal takes: asked before the first key goes.
    ///
    /// # Errors
    /// `Denied` when it lacks it, with the rule; otherwise when Consul does not answer.
    pub async fn may_take_away(&self) -> Result<(), EdgeError> {
        let needed = [(OWNERS, "the token may not give its owner id back")];
        self.server.http.must_write_below(&needed, &self.dissolving()).await
    }

    /// Finishes the removal of an environment whose record is gone.
    ///
    /// # Errors
    /// When Consul does not answer, or somebody makes the environment anew.
    pub async fn end_dissolving(&self) -> Result<(), EdgeError> {
        self.drop_requests(&self.dissolving()).await
    }

    fn dissolving(&self) -> String {
        format!("remove what lockstep holds of {}", self.environment)
    }

    pub(super) async fn take_away(&self, lease: &Lease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        let doing = self.dissolving();
        self.check_expected(expected, &doing)?;
        let Farewell { identity, line, marks_stay } = farewell;
        let owner = owner_key(identity.owner);
        let (revision, held) = (self.paths.revision(), self.paths.lease());
        let mut txn = Transaction::new();
        lease.check(&self.paths, &mut txn);
        txn.set(&self.paths.line(line.generation), &wire::history_to_json(line), 0);
        if let Some(read) = self.own_entry(identity, &doing).await? {
            if *marks_stay {
                txn.cas(&owner, &OwnerEntry::of(identity).removed().to_bytes(), 0, read.index);
            } else {
                txn.delete_cas(&owner, read.index);
            }
        }
        for found in self.server.http.read_some(&self.server.limits, &[&revision, &held], &doing).await? {
            txn.delete_cas(&found.key, found.index);
        }
        txn.delete_cas(&self.paths.record(), expected.0);
        self.transact(txn, &doing).await?;
        // The environment is gone by now: to fail would say otherwise.
        if let Err(error) = self.end_dissolving().await {
            tracing::debug!(error = error.chain(), "requests stay until the environment is initialised or removed again");
        }
        Ok(())
    }

    /// Deletes every request and answer, each as it was read, and only as long as there is no record.
    pub(super) async fn drop_requests(&self, doing: &str) -> Result<(), EdgeError> {
        let mut all = Vec::new();
        self.server.http.read_tree(&self.paths.requests(), doing, &mut |read| all.push((read.key, read.index))).await?;
        let ops =
            if all.is_empty() { 1 } else { self.server.http.ops_limit(&self.server.limits).await?.saturating_sub(1).max(1) };
        for some in all.chunks(ops) {
            let mut txn = Transaction::new();
            txn.check_absent(&self.paths.record());
            for (key, index) in some {
                txn.delete_cas(key, *index);
            }
            self.transact(txn, doing).await?;
        }
        Ok(())
    }
}
