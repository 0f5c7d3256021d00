//! `files/`: every file is one key, byte for byte.

use crate::domain::name::KeyPath;

use super::problem::{FileProblems, Place};
use super::values::{Action, Setting, Value, checked_size};

/// Reads one file; `path` is its path below `files/`, which is the key.
pub(super) fn read(path: &str, bytes: &std::sync::Arc<[u8]>, problems: &mut FileProblems) -> Option<Setting> {
    let place = Place::default();
    let key = KeyPath::parse(path).map_err(|error| problems.report(place, error.to_string())).ok()?;
    if !checked_size(bytes.len(), place, problems) {
        return None;
    }
    let value = Value::ready(std::sync::Arc::clone(bytes));
    Some(Setting { key, place, action: Action::Set { value, keep: false, sensitive: false } })
}
