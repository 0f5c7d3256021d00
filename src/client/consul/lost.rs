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
#[derive(Deserialize)]
struct OwnerEntry {
    repository: String,
    environment: String,
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
            return lost(
                format!("there is none, and the configuration pins {pinned}: the record was lost, or the address is wrong"),
                "correct the address, or restore a snapshot of this Consul; for a new target take the target_id out of the \
                 configuration and run `lockstep init ENVIRONMENT`",
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
        lost(because, "restore a snapshot of this Consul that holds the record").map_err(|error| error.about(some))
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
            let ours = serde_json::from_slice(&read.value).is_ok_and(|OwnerEntry { repository, environment }| {
                repository == self.repository.as_str() && environment == self.environment.as_str()
            });
            if !ours {
                others.extend(number);
            }
        })
        .await?;
        Ok(marked.into_iter().filter(|(_, owner)| !others.contains(owner)).map(|(key, _)| key).collect())
    }
}
