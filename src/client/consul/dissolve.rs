//! The end of an environment: what lockstep itself holds of it goes, in transactions fenced like every other (rule O9).
//!
//! Requests and answers go first, since nothing rests on them. Then one transaction takes record, owner entry, `revision` key
//! and lease away and closes the line of history: before it the environment is there and its removal can be done again, after
//! it there is no environment, and nothing in between. History stays under its name, and `init` goes on with its numbers.

use super::ConsulTarget;
use super::init::owner_entry;
use super::lease::Lease;
use super::lost::OwnerEntry;
use super::paths::OWNERS;
use super::txn::Transaction;
use crate::client::wire;
use crate::domain::live::Fence;
use crate::domain::rollout::{Farewell, Identity};
use crate::port::EdgeError;

impl ConsulTarget {
    pub(super) async fn take_away(&self, lease: &Lease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        let doing = format!("remove what lockstep holds of {}", self.environment);
        self.check_expected(expected, &doing)?;
        self.drop_requests(Some((lease, expected)), &doing).await?;
        let Farewell { identity, line, marks_stay } = farewell;
        let owner = format!("{OWNERS}{}", identity.owner);
        let (revision, held) = (self.paths.revision(), self.paths.lease());
        let mut txn = Transaction::new();
        lease.check(&self.paths, &mut txn);
        txn.set(&self.paths.line(line.generation), &wire::history_to_json(line), 0);
        let keys = [owner.as_str(), revision.as_str(), held.as_str()];
        for found in self.server.http.read_some(&self.server.limits, &keys, &doing).await? {
            let value = found.value.unwrap_or_default();
            match found.key == owner {
                // Somebody else's by now, or written by hand: not ours to take away.
                true if !OwnerEntry::from_bytes(&value).is_some_and(|entry| entry.is_of(self)) => {}
                true if *marks_stay => txn.cas(&owner, tombstone(identity).as_bytes(), 0, found.index),
                true | false => txn.delete_cas(&found.key, found.index),
            }
        }
        txn.delete_cas(&self.paths.record(), expected.0);
        self.transact(txn, &doing).await.map(|_| ())
    }

    /// Deletes every request and answer, each as it was read; with a lease only while that is held and the record is the same.
    pub(super) async fn drop_requests(&self, fence: Option<(&Lease, Fence)>, doing: &str) -> Result<(), EdgeError> {
        let mut all = Vec::new();
        self.server.http.read_tree(&self.paths.requests(), doing, &mut |read| all.push((read.key, read.index))).await?;
        let ops =
            if all.is_empty() { 1 } else { self.server.http.ops_limit(&self.server.limits).await?.saturating_sub(2).max(1) };
        for some in all.chunks(ops) {
            let mut txn = Transaction::new();
            if let Some((lease, record)) = fence {
                lease.check(&self.paths, &mut txn);
                txn.check_index(&self.paths.record(), record.0);
            }
            for (key, index) in some {
                txn.delete_cas(key, *index);
            }
            self.transact(txn, doing).await?;
        }
        Ok(())
    }
}

/// What stays of an owner entry while keys with its mark do: nobody else is given that id.
fn tombstone(identity: &Identity) -> String {
    owner_entry(identity).replace('}', r#","removed":true}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::{EnvironmentName, RepositoryName};
    use crate::domain::resource::OwnerId;
    use crate::domain::rollout::TargetId;

    #[test]
    fn a_tombstone_is_an_owner_entry_that_says_removed() {
        let identity = Identity {
            repository: RepositoryName::parse("demo").unwrap(),
            environment: EnvironmentName::parse("test").unwrap(),
            target: TargetId::parse("0123456789abcdef").unwrap(),
            owner: OwnerId::new(7).unwrap(),
        };
        let entry: serde_json::Value = serde_json::from_str(&tombstone(&identity)).unwrap();
        assert_eq!(
            entry,
            serde_json::json!({"repository": "demo", "environment": "test", "target": "0123456789abcdef", "removed": true})
        );
    }
}
