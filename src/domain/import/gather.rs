//! Which of the keys that were found can be ours, and which can't and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pattern::Pattern;
use super::reason::{LeftOut, Reason};
use crate::domain::desired::LARGEST_VALUE;
use crate::domain::name::{KeyPath, STATE_PREFIX};
use crate::domain::resource::{Flags, Ownership};

/// Bytes of all values of one import: a revision with more is not read.
pub const MOST_BYTES: usize = 200 << 20;
/// Keys of one import, for the same reason.
pub const MOST_KEYS: usize = 150_000;

/// One key as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The key, whatever it is.
    pub key: String,
    /// Its value.
    pub value: Arc<[u8]>,
    /// Its flags; 0 where it has none.
    pub flags: Flags,
    /// Whether a session holds it.
    pub locked: bool,
}

/// The keys of one import. Holds at most [`MOST_BYTES`] of values and [`MOST_KEYS`] keys, and says when there were more.
#[derive(Debug, Default)]
pub struct Gathering {
    unwanted: Vec<Pattern>,
    keys: BTreeMap<KeyPath, Arc<[u8]>>,
    left_out: Vec<LeftOut>,
    asked_out: usize,
    seen: usize,
    bytes: usize,
    is_too_much: bool,
}

impl Gathering {
    /// Nothing yet; keys that match one of the patterns will be left out without a word about each.
    #[must_use]
    pub fn new(unwanted: Vec<Pattern>) -> Self {
        Self { unwanted, ..Self::default() }
    }

    /// Takes a key in, or notes why not.
    pub fn add(&mut self, found: Found) {
        self.seen += 1;
        if self.unwanted.iter().any(|pattern| pattern.matches(&found.key)) {
            self.asked_out += 1;
            return;
        }
        if self.bytes > MOST_BYTES || self.keys.len() + self.left_out.len() > MOST_KEYS {
            self.is_too_much = true;
            return;
        }
        match judge(&found) {
            Ok(key) => {
                self.bytes += found.value.len();
                self.keys.insert(key, found.value);
            }
            Err(reason) => self.leave_out(found.key, reason),
        }
    }

    /// Notes a key that will not be written.
    pub fn leave_out(&mut self, key: String, reason: Reason) {
        if self.unwanted.iter().any(|pattern| pattern.matches(&key)) {
            return;
        }
        self.left_out.push(LeftOut { key, reason });
    }

    /// How many keys were offered.
    #[must_use]
    pub const fn seen(&self) -> usize {
        self.seen
    }

    /// How many were left out by a pattern.
    #[must_use]
    pub const fn asked_out(&self) -> usize {
        self.asked_out
    }

    /// Whether there was more than one repository can hold: then nothing should be written.
    #[must_use]
    pub const fn is_too_much(&self) -> bool {
        self.is_too_much
    }

    /// What was taken in so far.
    #[must_use]
    pub const fn keys(&self) -> &BTreeMap<KeyPath, Arc<[u8]>> {
        &self.keys
    }

    /// The keys with their values, and those that were left out.
    #[must_use]
    pub fn into_parts(self) -> (BTreeMap<KeyPath, Arc<[u8]>>, Vec<LeftOut>) {
        (self.keys, self.left_out)
    }
}

fn judge(found: &Found) -> Result<KeyPath, Reason> {
    let Found { key, value, flags, locked } = found;
    if key.starts_with(STATE_PREFIX) {
        return Err(Reason::OwnState);
    }
    if key.ends_with('/') && KeyPath::parse(key.trim_end_matches('/')).is_ok() {
        return Err(Reason::Folder);
    }
    let path = KeyPath::parse(key).map_err(|error| Reason::Name(error.problem().to_owned()))?;
    if *locked {
        return Err(Reason::Locked);
    }
    match flags.ownership() {
        Ownership::Unmarked => {}
        Ownership::Marked(mark) => return Err(Reason::Kept(mark.owner)),
        Ownership::Foreign => return Err(Reason::Flagged(flags.0)),
    }
    if value.len() > LARGEST_VALUE {
        return Err(Reason::TooLarge(value.len()));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resource::{KeyMark, OwnerId};
    use crate::domain::revision::Generation;

    #[track_caller]
    fn check(key: &str, size: usize, flags: u64, locked: bool, expected: Option<&str>) {
        let mut gathering = Gathering::new(vec![Pattern::new("left/*")]);
        gathering.add(Found { key: key.to_owned(), value: vec![b'x'; size].into(), flags: Flags(flags), locked });
        let (keys, left_out) = gathering.into_parts();
        let word = left_out.first().map(|left| left.reason.word());
        assert_eq!((keys.len(), word), (usize::from(expected.is_none()), expected), "{key}");
    }

    #[test]
    fn what_can_not_be_ours_is_left_out_with_its_reason() {
        let mark = KeyMark { adopted: false, owner: OwnerId::new(7).unwrap(), generation: Generation::new(3).unwrap() };
        check("config/a", 1, 0, false, None);
        check("config/a", LARGEST_VALUE, 0, false, None);
        check("config/a", LARGEST_VALUE + 1, 0, false, Some("too_large"));
        check("config/a/", 0, 0, false, Some("folder"));
        check("config//", 0, 0, false, Some("folder"));
        check("/config/", 0, 0, false, Some("name"));
        check("config//a", 1, 0, false, Some("name"));
        check("/config", 1, 0, false, Some("name"));
        check("config/../a", 1, 0, false, Some("name"));
        check("config/a\u{FFFD}", 1, 0, false, Some("name"));
        check("lockstep/config/test/record", 1, 0, false, Some("own_state"));
        check("config/a", 1, 0, true, Some("locked"));
        check("config/a", 1, mark.flags().0, false, Some("kept"));
        check("config/a", 1, 0x2ddc_cbc0_58a5_0c18, false, Some("flagged"));
    }

    #[test]
    fn what_a_person_leaves_out_is_counted_and_no_difference() {
        let mut gathering = Gathering::new(vec![Pattern::new("left/*")]);
        for key in ["left/a", "left/", "config/a"] {
            gathering.add(Found { key: key.to_owned(), value: Arc::from(*b"x"), flags: Flags(0), locked: false });
        }
        assert_eq!((gathering.seen(), gathering.asked_out(), gathering.keys().len()), (3, 2, 1));
    }
}
