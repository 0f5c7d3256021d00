//! What one list of names says of the keys that were seen before: which are gone, which are to be read again, and below which
//! prefixes to look on (rule W1). Pure: `look` asks Consul.

use std::collections::BTreeSet;

use crate::domain::live::LiveState;
use crate::domain::name::{KeyPath, STATE_PREFIX};

/// So many directories are followed one by one. More are told apart by how they begin first, since a prefix that has not moved
/// costs one small answer however much lies below it.
const FEW: usize = 16;
/// So many keys are read again, two transactions full: to find out which of them moved takes longer.
const FEW_KEYS: usize = 120;

/// What is to be asked next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Todo {
    /// Prefixes whose names are to be listed if they have moved.
    pub(super) prefixes: Vec<String>,
    /// Keys that may have another value.
    pub(super) keys: Vec<KeyPath>,
}

/// Takes the names that a prefix has by now, each up to the next `/`, and sorted: what is not among them any more is gone from
/// `live`.
pub(super) fn compare(live: &mut LiveState, prefix: &str, names: &[String], todo: &mut Todo) {
    let is_there = |name: &str| names.binary_search_by(|other| other.as_str().cmp(name)).is_ok();
    let gone: Vec<KeyPath> = below(live, prefix, |name| !is_there(name));
    for key in gone {
        live.entries.remove(&key);
    }
    live.unmanageable.retain(|key| !key.starts_with(prefix) || step(prefix, key).ends_with('/') && is_there(step(prefix, key)));
    let known: BTreeSet<String> = live.unmanageable.drain(..).collect();
    let mut unmanageable = known.clone();
    let mut followed = Vec::with_capacity(names.len());
    for name in names.iter().filter(|name| !name.starts_with(STATE_PREFIX)) {
        // A list below `foo/` names the folder key `foo/` itself, too.
        let directory = name.strip_suffix('/').filter(|_| name != prefix);
        if KeyPath::parse(directory.unwrap_or(name)).is_ok() {
            followed.push(name.as_str());
            continue;
        }
        // Every key in such a directory is unmanageable; what is known of them is good enough until everything is read again.
        let is_told = directory.is_some() && known.range(name.clone()..).next().is_some_and(|key| key.starts_with(name));
        if !is_told {
            unmanageable.insert(name.clone());
        }
    }
    live.unmanageable = unmanageable.into_iter().collect();
    let (directories, keys): (Vec<&str>, Vec<&str>) = followed.into_iter().partition(|name| name.ends_with('/'));
    expand(&directories, FEW, todo);
    expand(&keys, FEW_KEYS, todo);
}

/// The part of a key that a list below the prefix names: the key, or its directory.
fn step<'k>(prefix: &str, key: &'k str) -> &'k str {
    let rest = key.get(prefix.len()..).unwrap_or_default();
    rest.find('/').and_then(|at| key.get(..=prefix.len() + at)).unwrap_or(key)
}

/// The keys below the prefix whose name in a list is as asked for.
fn below(live: &LiveState, prefix: &str, wanted: impl Fn(&str) -> bool) -> Vec<KeyPath> {
    let mut found = Vec::new();
    let mut from = prefix.to_owned();
    'ranges: loop {
        for (key, _) in live.entries.range_from(&from) {
            if !key.as_str().starts_with(prefix) {
                return found;
            }
            let name = step(prefix, key.as_str());
            if wanted(name) {
                found.push(key.clone());
            } else if let Some(directory) = name.strip_suffix('/') {
                // A directory that stays may be large: '0' is what comes after '/'.
                from = format!("{directory}0");
                continue 'ranges;
            }
        }
        return found;
    }
}

/// Follows names, which are sorted: one by one where they are few, and else by what they begin with.
fn expand(names: &[&str], few: usize, todo: &mut Todo) {
    if names.len() <= few {
        follow(names, todo);
        return;
    }
    let shared = shared_beginning(names);
    let next = |name: &str| name.get(shared..).and_then(|rest| rest.chars().next());
    for group in names.chunk_by(|a, b| next(a) == next(b)) {
        match (group, group.first().and_then(|name| Some((name, next(name)?)))) {
            ([_], _) | (_, None) => follow(group, todo),
            (several, Some((name, first))) => {
                let prefix = name.get(..shared + first.len_utf8()).unwrap_or(name);
                if is_plain(prefix) { todo.prefixes.push(prefix.to_owned()) } else { expand(several, few, todo) }
            }
        }
    }
}

fn follow(names: &[&str], todo: &mut Todo) {
    for name in names {
        if name.ends_with('/') {
            todo.prefixes.push((*name).to_owned());
        } else {
            todo.keys.extend(KeyPath::parse(name));
        }
    }
}

/// Bytes that all of the sorted names begin with.
fn shared_beginning(names: &[&str]) -> usize {
    let (Some(first), Some(last)) = (names.first(), names.last()) else { return 0 };
    let pairs = first.char_indices().zip(last.chars());
    let differs = pairs.clone().find(|((_, a), b)| a != b).map(|((at, _), _)| at);
    differs.unwrap_or(first.len().min(last.len()))
}

/// Whether a URL takes the prefix as it is: its last segment must not be one that is cleaned away.
fn is_plain(prefix: &str) -> bool {
    !matches!(prefix.rsplit('/').next(), Some("." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::live::{Fence, LiveEntry};
    use crate::domain::resource::Flags;
    use crate::domain::revision::ValueDigest;

    fn live(keys: &[&str], unmanageable: &[&str]) -> LiveState {
        let entry = LiveEntry { digest: ValueDigest::of(b""), flags: Flags(0), fence: Fence(1) };
        let entries = keys.iter().map(|key| (KeyPath::parse(key).unwrap(), entry)).collect();
        LiveState { entries, unmanageable: unmanageable.iter().map(|&key| key.to_owned()).collect(), ..LiveState::default() }
    }

    fn compared(live: &mut LiveState, prefix: &str, names: &[&str]) -> Todo {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut todo = Todo::default();
        compare(live, prefix, &names, &mut todo);
        todo
    }

    #[track_caller]
    fn check(names: &[&str], prefixes: &[&str], keys: &[&str]) {
        let todo = compared(&mut LiveState::default(), "c/", names);
        let found: Vec<&str> = todo.keys.iter().map(KeyPath::as_str).collect();
        let asked: Vec<&str> = todo.prefixes.iter().map(String::as_str).collect();
        assert_eq!((asked.as_slice(), found.as_slice()), (prefixes, keys));
    }

    #[test]
    fn few_names_are_followed_one_by_one() {
        check(&[], &[], &[]);
        check(&["c/a", "c/b/", "c/b0"], &["c/b/"], &["c/a", "c/b0"]);
    }

    #[test]
    fn many_names_are_told_apart_by_how_they_begin() {
        let directories: Vec<String> = (0..30).map(|number| format!("c/k{number:02}/")).collect();
        let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
        check(&directories, &["c/k0", "c/k1", "c/k2"], &[]);
        check(&[&["c/a", "c/b/"], directories.as_slice()].concat(), &["c/b/", "c/k"], &["c/a"]);
        let keys: Vec<String> = (0..300).map(|number| format!("c/k{number:03}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        check(&keys, &["c/k0", "c/k1", "c/k2"], &[]);
        check(&[&["c/a", "c/b/"], keys.as_slice()].concat(), &["c/b/", "c/k"], &["c/a"]);
        // The key that all others begin with is one of its own.
        check(&[&["c/k"], keys.as_slice()].concat(), &["c/k0", "c/k1", "c/k2"], &["c/k"]);
    }

    #[test]
    fn no_prefix_is_asked_about_that_a_url_would_clean_away() {
        let names: Vec<String> = (0..20).map(|number| format!("c/.{number:02}/")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&[&names, ["c/a/"].as_slice()].concat(), &["c/.0", "c/.1", "c/a/"], &[]);
    }

    #[test]
    fn what_a_list_does_not_name_any_more_is_gone_and_nothing_else() {
        let mut seen = live(&["c/a", "c/b/x", "c/b/y", "c/b0", "c/d/x", "d/a"], &["c/ a", "c/b/", "c//x", "c/d//", "e//"]);
        compared(&mut seen, "c/", &["c/", "c/b/", "c/b0"]);
        let left: Vec<&str> = seen.entries.keys().map(KeyPath::as_str).collect();
        assert_eq!(left, ["c/b/x", "c/b/y", "c/b0", "d/a"]);
        assert_eq!(seen.unmanageable, ["c/", "c/b/", "e//"]);
    }

    #[test]
    fn a_directory_that_no_key_can_have_is_named_and_not_looked_into() {
        let mut seen = live(&[], &["c//known"]);
        let todo = compared(&mut seen, "c/", &["c/ /", "c//", "c/lockstep/"]);
        assert_eq!(todo.prefixes, ["c/lockstep/"]);
        assert_eq!(seen.unmanageable, ["c/ /", "c//known"]);
        assert_eq!(compared(&mut LiveState::default(), "", &["c/", "lockstep/"]).prefixes, ["c/"]);
    }
}
