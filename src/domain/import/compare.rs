//! What was found against what our own parser reads from the files that were written.

use std::collections::BTreeMap;

use crate::domain::desired::DesiredState;
use crate::domain::name::KeyPath;
use crate::domain::revision::ValueDigest;

/// Two sets of keys, held against each other by the digests of their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many are in both with the same value.
    pub equal: usize,
    /// In both with another value.
    pub differing: Vec<KeyPath>,
    /// Only among those that were found.
    pub only_found: Vec<KeyPath>,
    /// Only in the repository.
    pub only_repository: Vec<KeyPath>,
}

impl Compared {
    /// Whether both are the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differing.is_empty() && self.only_found.is_empty() && self.only_repository.is_empty()
    }
}

/// Holds the keys that were found, each with the digest of its value, against what a revision says.
#[must_use]
pub fn compare(found: &BTreeMap<KeyPath, ValueDigest>, state: &DesiredState) -> Compared {
    let mut compared = Compared::default();
    for (key, digest) in found {
        match state.entries().get(key) {
            None => compared.only_found.push(key.clone()),
            Some(entry) if entry.digest == *digest => compared.equal += 1,
            Some(_) => compared.differing.push(key.clone()),
        }
    }
    compared.only_repository = state.entries().keys().filter(|key| !found.contains_key(*key)).cloned().collect();
    compared
}
