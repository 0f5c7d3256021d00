//! What `lockstep/owners/<id>` holds: whose the marks with that owner id are (rule O4).

use serde::{Deserialize, Serialize};

use super::ConsulTarget;
use super::fault::below;
use super::kv::Read;
use super::paths::{OWNERS, owner_key};
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::rollout::Identity;
use crate::port::EdgeError;

/// Whose an owner id is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnerEntry {
    environment: String,
    repository: String,
    /// The target id of its record.
    #[serde(default)]
    pub(super) target: String,
    /// The environment was removed, and keys with its mark stayed: the id is given to nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

impl OwnerEntry {
    /// The entry of an environment that has a record.
    pub(super) fn of(identity: &Identity) -> Self {
        let Identity { repository, environment, target, owner: _ } = identity;
        Self {
            environment: environment.to_string(),
            repository: repository.to_string(),
            target: target.to_string(),
            removed: false,
        }
    }

    /// What stays of it while keys with its mark do.
    pub(super) fn removed(self) -> Self {
        Self { removed: true, ..self }
    }

    /// As it is stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts and a flag: there is nothing in it that JSON could not hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an entry; none when it is no entry of ours.
    pub(super) fn from_bytes(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// Whose it is, for people.
    pub(super) fn whose(&self) -> String {
        let Self { repository, environment, target: _, removed } = self;
        let removed = if *removed { ", which was removed" } else { "" };
        format!("{environment} of the repository {repository}{removed}")
    }

    /// Whether it is of the environment that this target holds, as long as that is there.
    pub(super) fn is_of(&self, target: &ConsulTarget) -> bool {
        self.names(&target.repository, &target.environment)
    }

    /// Whether it is of this environment, as long as that is there.
    pub(super) fn names(&self, repository: &RepositoryName, environment: &EnvironmentName) -> bool {
        self.is_within(repository) && self.environment == environment.as_str()
    }

    /// Whether it is of some environment of this repository, as long as that is there.
    pub(super) fn is_within(&self, repository: &RepositoryName) -> bool {
        !self.removed && self.repository == repository.as_str()
    }
}

impl ConsulTarget {
    /// The owner entry of an identity that this environment has; none: it is gone, somebody else's by now, or written by hand.
    pub(super) async fn own_entry(&self, identity: &Identity, doing: &str) -> Result<Option<Read>, EdgeError> {
        // Alone: a transaction says nothing of what the token may not read.
        let read = self.server.http.read_key(&owner_key(identity.owner), doing).await;
        let read = read.map_err(|error| below(OWNERS, error))?;
        Ok(read.filter(|read| OwnerEntry::from_bytes(&read.value).is_some_and(|entry| entry.is_of(self))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resource::OwnerId;
    use crate::domain::rollout::TargetId;

    #[test]
    fn an_entry_is_stored_as_it_always_was_and_a_tombstone_is_one_that_says_removed() {
        let identity = Identity {
            repository: RepositoryName::parse("demo").unwrap(),
            environment: EnvironmentName::parse("test").unwrap(),
            target: TargetId::parse("0123456789abcdef").unwrap(),
            owner: OwnerId::new(7).unwrap(),
        };
        let entry = OwnerEntry::of(&identity);
        let stored = br#"{"environment":"test","repository":"demo","target":"0123456789abcdef"}"#;
        assert_eq!(entry.to_bytes(), stored);
        assert_eq!(OwnerEntry::from_bytes(stored), Some(entry.clone()));
        let removed = entry.removed();
        let stored = br#"{"environment":"test","repository":"demo","target":"0123456789abcdef","removed":true}"#;
        assert_eq!(removed.to_bytes(), stored);
        assert_eq!(OwnerEntry::from_bytes(stored), Some(removed.clone()));
        assert!(!removed.names(&identity.repository, &identity.environment));
    }
}
