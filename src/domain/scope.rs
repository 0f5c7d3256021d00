//! Which keys a person means: single keys, all keys below a prefix, or every key (rule O8).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::name::{KeyPath, KeyRoots, NameError};
use super::words::listed;

/// One key, all keys below a prefix, or every key.
///
/// `config/app/` takes what lies below it, `config/app` is that one key, and `*` is every key: where a prefix ends is never
/// guessed, so `config/app` does not take `config/application`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix(Arc<str>);

impl KeyPrefix {
    const EVERY: &str = "*";

    /// Checks the text.
    ///
    /// # Errors
    /// When it is neither `*`, nor a key, nor a key followed by `/`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text != Self::EVERY {
            KeyPath::parse(text.strip_suffix('/').unwrap_or(text))?;
        }
        Ok(Self(text.into()))
    }

    /// Every key.
    #[must_use]
    pub fn every() -> Self {
        Self(Self::EVERY.into())
    }

    /// This key and no other.
    #[must_use]
    pub fn key(key: &KeyPath) -> Self {
        Self(key.as_str().into())
    }

    /// The narrowest one that takes all these keys; none where there is no key.
    #[must_use]
    pub fn around<'k>(keys: impl IntoIterator<Item = &'k KeyPath>) -> Option<Self> {
        let mut keys = keys.into_iter().map(KeyPath::as_str);
        let first = keys.next()?;
        let mut shared = first.len();
        for key in keys {
            let same = first.bytes().zip(key.bytes()).take_while(|(one, other)| one == other).count();
            // The keys may part in the middle of a segment, or one of them ends where the other goes on.
            shared = if same == first.len() && same == key.len() { shared } else { shared.min(same).min(first.len() - 1) };
        }
        if shared == first.len() {
            return Some(Self(first.into()));
        }
        let folder = first.as_bytes().get(..shared).and_then(|start| start.iter().rposition(|byte| *byte == b'/'));
        Some(folder.and_then(|end| first.get(..=end)).map_or_else(Self::every, |folder| Self(folder.into())))
    }

    /// Whether it can take a key that an environment with these roots may have (rule O7).
    #[must_use]
    pub fn meets(&self, roots: &KeyRoots) -> bool {
        roots.contains(self.as_str()) || roots.prefixes().iter().any(|root| self.holds(root))
    }

    /// Whether it takes this key.
    #[must_use]
    pub fn covers(&self, key: &KeyPath) -> bool {
        self.holds(key.as_str())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is every key.
    #[must_use]
    pub fn is_every(&self) -> bool {
        &*self.0 == Self::EVERY
    }

    fn holds(&self, text: &str) -> bool {
        self.is_every() || *self.0 == *text || self.0.ends_with('/') && text.starts_with(&*self.0)
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Some keys by their prefixes, none of which lies inside another. It stays small, so that a record can hold it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyScope(BTreeSet<KeyPrefix>);

impl KeyScope {
    /// So many prefixes at most.
    pub const MOST: usize = 32;
    /// So many bytes of text at most.
    pub const LONGEST: usize = 1_000;

    /// Every key.
    #[must_use]
    pub fn every() -> Self {
        Self([KeyPrefix::every()].into())
    }

    /// These keys and those of `self`; none when that would be too much to hold.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = KeyPrefix>) -> Option<Self> {
        let mut prefixes = self.0.clone();
        for prefix in more {
            if !prefixes.iter().any(|known| known.holds(prefix.as_str())) {
                prefixes.retain(|known| !prefix.holds(known.as_str()));
                prefixes.insert(prefix);
            }
        }
        let bytes: usize = prefixes.iter().map(|prefix| prefix.as_str().len()).sum();
        (prefixes.len() <= Self::MOST && bytes <= Self::LONGEST).then_some(Self(prefixes))
    }

    /// As many of these as it can hold, in their order.
    #[must_use]
    pub fn of(prefixes: impl IntoIterator<Item = KeyPrefix>) -> Self {
        prefixes.into_iter().fold(Self::default(), |scope, prefix| scope.and([prefix]).unwrap_or(scope))
    }

    /// Whether it takes this key.
    #[must_use]
    pub fn covers(&self, key: &KeyPath) -> bool {
        self.0.iter().any(|prefix| prefix.covers(key))
    }

    /// Whether it takes no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its prefixes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &KeyPrefix> {
        self.0.iter()
    }
}

/// The keys in words: `every key`, `config/a and all below config/app/`.
impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().any(KeyPrefix::is_every) {
            return f.write_str("every key");
        }
        f.write_str(&listed(self.0.iter().map(ToString::to_string)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> KeyPath {
        KeyPath::parse(text).unwrap()
    }

    fn scope(words: &str) -> KeyScope {
        KeyScope::of(words.split_whitespace().map(|word| KeyPrefix::parse(word).unwrap()))
    }

    #[test]
    fn a_prefix_ends_where_its_text_says() {
        for (prefix, text, expected) in [
            ("config/app", "config/app", true),
            ("config/app", "config/app/port", false),
            ("config/app", "config/application", false),
            ("config/app/", "config/app/port", true),
            ("config/app/", "config/app", false),
            ("config/app/", "config/application", false),
            ("*", "config/app", true),
        ] {
            assert_eq!(KeyPrefix::parse(prefix).unwrap().covers(&key(text)), expected, "{prefix} and {text}");
        }
        for bad in ["", "/", "//", "a//", "/a", "a//b", "../", "a/\u{7}", "lockstep/", "lockstep/x"] {
            assert!(KeyPrefix::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_prefix_outside_the_roots_takes_nothing_there() {
        let roots = KeyRoots::parse(&["config/", "deep/down/"]).unwrap();
        for (prefix, expected) in [
            ("config/", true),
            ("config/a", true),
            ("deep/", true),
            ("*", true),
            ("deep", false),
            ("other/", false),
            ("confi/", false),
        ] {
            assert_eq!(KeyPrefix::parse(prefix).unwrap().meets(&roots), expected, "{prefix}");
        }
        assert!(KeyPrefix::parse("a").unwrap().meets(&KeyRoots::all()));
    }

    #[test]
    fn what_lies_inside_another_is_left_out_and_the_rest_stays_bounded() {
        assert_eq!(scope("a/b a/ a/c/ d"), scope("d a/"));
        assert_eq!(scope("a/b *"), KeyScope::every());
        assert!(scope("a/").covers(&key("a/b")) && !scope("a/").covers(&key("b")) && !KeyScope::default().covers(&key("b")));
        let many = |upto: usize| (0..upto).map(|number| KeyPrefix::parse(&format!("k{number:02}/")).unwrap());
        assert!(KeyScope::default().and(many(KeyScope::MOST)).is_some());
        assert_eq!(KeyScope::default().and(many(KeyScope::MOST + 1)), None);
        assert_eq!(KeyScope::of(many(KeyScope::MOST + 9)).iter().len(), KeyScope::MOST);
        let long = (0..9).map(|number| KeyPrefix::parse(&format!("{number}{}", "k".repeat(511))).unwrap());
        assert!(KeyScope::of(long).iter().map(|prefix| prefix.as_str().len()).sum::<usize>() <= KeyScope::LONGEST);
        assert_eq!([scope("b/ a").to_string(), scope("a *").to_string()], ["a, b/", "every key"]);
    }

    #[test]
    fn the_narrowest_prefix_of_some_keys_ends_at_a_slash() {
        let around = |words: &str| {
            let keys: Vec<KeyPath> = words.split_whitespace().map(key).collect();
            KeyPrefix::around(&keys).map(|prefix| prefix.to_string())
        };
        for (words, expected) in [
            ("a/b", Some("a/b")),
            ("a/b a/b", Some("a/b")),
            ("a/b a/c", Some("a/")),
            ("a/bc a/bd", Some("a/")),
            ("a/b a/b/c", Some("a/")),
            ("a/b/c a/b", Some("a/")),
            ("a/b/c a/b/d a/e", Some("a/")),
            ("a b", Some("*")),
            ("ü/a ü/b", Some("ü/")),
            ("üa üb", Some("*")),
            ("", None),
        ] {
            assert_eq!(around(words).as_deref(), expected, "{words}");
        }
    }
}
