//! A Consul without our record: never used by this environment, or one that lost the record (rule O6).
//!
//! The owner id of an environment is in its record. Without it our own keys look like somebody else's, so an environment that
//! is initialised anew over them could never write them again: that it was used before has to be noticed beforehand.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::ConsulTarget;
use super::paths::OWNERS;
use super::rights::Resource;
use crate::domain::name::KeyPath;
use crate::domain::resource::{OwnerId, Ownership};
use crate::port::{EdgeError, EdgeKind};

/// Keys that an error names.
const NAMED: usize = 3;

/// Whose an owner id is, as `init` wrote it.
#[derive(Debug, Deserialize)]
pub(super) struct OwnerEntry {
    repository: String,
    environment: String,
    /// The target id of its record.
    #[serde(default)]
    pub(super) target: String,
    /// The environment was removed, and keys with its mark stayed: the id is given to nobody else.
    #[serde(default)]
    removed: bool,
}

impl OwnerEntry {
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

    /// Whether it is of this environment, as long as that is there.
    pub(super) fn is_of(&self, target: &ConsulTarget) -> bool {
        let (repository, environment) = (target.repository.as_str(), target.environment.as_str());
        !self.removed && (self.repository.as_str(), self.environment.as_str()) == (repository, environment)
    }
}

impl ConsulTarget {
    /// Whether a Consul without our record may be taken for one that was never used.
    ///
    /// # Errors
    /// `Refused` when the record was lost: the configuration pins a target id, or a key below the roots carries a mark of
    /// nobody who has a record here. In these words for every verb and for the controller.
    pub(super) async fn first_use(&self, doing: &str) -> Result<(), EdgeError> {
        let lost = |because: String, hint: &str| {
            Err(self.server.http.error(EdgeKind::Refused, doing).because(because).hint(hint.to_owned()))
        };
        if let Some(pinned) = self.pinned.get() {
            if let Some(removed) = self.removed().await? {
                return lost(
                    removed,
                    "take the environment out of the controller's configuration; to begin anew take its target_id out and run \
                     `lockstep init ENVIRONMENT`",
                );
            }
            return lost(
                format!("there is none, and the configuration pins {pinned}: the record was lost, or the address is wrong"),
                "correct the address, restore a snapshot of this Consul, or make the record anew from the marks on its keys with \
                 `lockstep recover ENVIRONMENT`; for a new target take the target_id out of the configuration and run `lockstep \
                 init ENVIRONMENT`",
            );
        }
        let orphans = self.orphans(doing).await?;
        if orphans.is_empty() {
            return Ok(());
        }
        let some: Vec<String> = orphans.iter().take(NAMED).map(ToString::to_string).collect();
        let because = format!(
            "there is none, and {} key(s) below the roots carry a lockstep mark of nobody who has a record here, such as {}: \
             the record was lost",
            orphans.len(),
            some.join(", ")
        );
        let hint =
            "restore a snapshot of this Consul that holds the record, or make it anew with `lockstep recover ENVIRONMENT`";
        lost(because, hint).map_err(|error| error.about(some))
    }

    /// That the environment was removed, and by whom, where its history says so.
    async fn removed(&self) -> Result<Option<String>, EdgeError> {
        let newest = self.read_history(1).await?.into_iter().next();
        Ok(newest.and_then(|line| line.removal_said()))
    }

    /// The keys below the roots with a mark that no other environment's owner entry explains.
    async fn orphans(&self, doing: &str) -> Result<Vec<KeyPath>, EdgeError> {
        let http = &self.server.http;
        // Before the owners: whoever has marked a key by now has an entry by then.
        let live = http.read_live(&self.keys).await?;
        let marked: Vec<(KeyPath, OwnerId)> = live
            .entries
            .into_iter()
            .filter_map(|(key, entry)| match entry.flags.ownership() {
                Ownership::Marked(mark) => Some((key, mark.owner)),
                Ownership::Unmarked | Ownership::Foreign => None,
            })
            .collect();
        // Consul leaves out what a token may not read: entries that are only hidden would make every mark nobody's. Such a
        // token can't initialise either.
        if marked.is_empty() || http.allowed(&[Resource::everything_below(OWNERS)]).await?.is_none_or(|may| may != [true]) {
            return Ok(Vec::new());
        }
        let mut others = BTreeSet::new();
        http.read_tree(OWNERS, doing, &mut |read| {
            let number = read.key.strip_prefix(OWNERS).and_then(|number| number.parse().ok()).and_then(OwnerId::new);
            // An entry of our own without a record is a record that was lost.
            if !OwnerEntry::from_bytes(&read.value).is_some_and(|entry| entry.is_of(self)) {
                others.extend(number);
            }
        })
        .await?;
        Ok(marked.into_iter().filter(|(_, owner)| !others.contains(owner)).map(|(key, _)| key).collect())
    }
}
