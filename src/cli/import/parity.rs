//! Parity: the keys that a repository says against those that are live, by the digests of their values.

use std::collections::{BTreeMap, BTreeSet};

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::listed::listed;
use crate::cli::output::Page;
use crate::cli::text::{clean, count};
use crate::domain::revision::ValueDigest;

/// Two sets of keys, held against each other.
#[derive(Serialize)]
pub(super) struct Parity {
    against: String,
    equal: usize,
    differing: Vec<String>,
    only_repository: Vec<String>,
    only_live: Vec<String>,
}

impl Parity {
    /// Of the keys that the repository says and those that are live, but for live ones that are known about.
    pub(super) fn of(
        against: String,
        repository: &BTreeMap<String, ValueDigest>,
        live: &BTreeMap<String, ValueDigest>,
        known: &BTreeSet<String>,
    ) -> Self {
        let mut parity = Self { against, equal: 0, differing: Vec::new(), only_repository: Vec::new(), only_live: Vec::new() };
        for (key, digest) in repository {
            match live.get(key) {
                Some(found) if found == digest => parity.equal += 1,
                Some(_) => parity.differing.push(key.clone()),
                None => parity.only_repository.push(key.clone()),
            }
        }
        let only_live = live.keys().filter(|key| !repository.contains_key(*key) && !known.contains(*key));
        parity.only_live = only_live.cloned().collect();
        parity
    }

    /// Whether both are the same.
    pub(super) fn is_equal(&self) -> bool {
        self.differing.is_empty() && self.only_repository.is_empty() && self.only_live.is_empty()
    }

    /// How many keys of the repository are there already with its values, how many are not there, and how many with other values.
    pub(super) const fn counts(&self) -> (usize, usize, usize) {
        (self.equal, self.only_repository.len(), self.differing.len())
    }

    /// As people read it.
    pub(super) fn human(&self, page: &mut Page) {
        let Self { against, equal, differing, only_repository, only_live } = self;
        page.line(format_args!("against {}:", clean(against)));
        page.line(format_args!("  {}", format_args!("{} equal", count(*equal, "key")).style(Style::new().green())));
        for (keys, what) in [
            (differing, "differ: adoption refuses them until one side is put right"),
            (only_repository, "only in the repository: the first deploy creates them"),
            (only_live, "only live: they stay as they are and nobody's"),
        ] {
            if !keys.is_empty() {
                page.line(format_args!("  {} {what}", count(keys.len(), "key").style(Style::new().yellow())));
                listed(keys.iter(), page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_one_place() {
        let keys = |keys: &[(&str, &str)]| -> BTreeMap<String, ValueDigest> {
            keys.iter().map(|(key, value)| ((*key).to_owned(), ValueDigest::of(value.as_bytes()))).collect()
        };
        let repository = keys(&[("same", "1"), ("other", "1"), ("new", "1")]);
        let live = keys(&[("same", "1"), ("other", "2"), ("old", "1"), ("known", "1")]);
        let parity = Parity::of("consul".to_owned(), &repository, &live, &["known".to_owned()].into());
        assert!(!parity.is_equal());
        assert_eq!(parity.counts(), (1, 1, 1));
        assert_eq!((parity.equal, parity.differing.as_slice()), (1, ["other".to_owned()].as_slice()));
        assert_eq!(
            (parity.only_repository.as_slice(), parity.only_live.as_slice()),
            (["new".to_owned()].as_slice(), ["old".to_owned()].as_slice())
        );
        assert!(Parity::of("consul".to_owned(), &live, &live, &BTreeSet::new()).is_equal());
    }
}
