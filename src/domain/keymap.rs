//! Keys in order, each with a value, in pieces that several maps share.
//!
//! An environment has up to hundreds of thousands of keys, and a commit changes a few of them. A map that is made from another
//! one by a few changes shares all other pieces with it; and each piece is summed up once, so that two maps are compared
//! piece by piece. Where a piece ends depends on nothing but the keys, however the map came to be: two maps with the same
//! keys have the same pieces.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;
use std::slice;
use std::sync::{Arc, OnceLock};

use super::name::KeyPath;

/// A value of which a piece of a map can be summed up.
pub trait Summed: Sized {
    /// What is known of a piece without looking at each of its keys.
    type Sum: fmt::Debug;

    /// Sums a piece up. Its keys are in order.
    fn sum(entries: &[(KeyPath, Self)]) -> Self::Sum;
}

/// Keys in order, each with a value.
pub struct KeyMap<V: Summed> {
    /// None is empty.
    pieces: Vec<Arc<Piece<V>>>,
    len: usize,
}

/// Keys that follow each other. The last of them ends a piece, unless it is the last of all.
pub(super) struct Piece<V: Summed> {
    entries: Vec<(KeyPath, V)>,
    sum: OnceLock<V::Sum>,
}

/// Whether a piece ends with this key: one of 128 does.
fn ends_a_piece(key: &str) -> bool {
    // FNV-1a: the same on every machine, and good enough to cut by.
    let hash =
        key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).trailing_zeros() >= 7
}

impl<V: Summed> Piece<V> {
    fn of(entries: Vec<(KeyPath, V)>) -> Self {
        Self { entries, sum: OnceLock::new() }
    }

    fn first(&self) -> &str {
        self.entries.first().map_or("", |(key, _)| key.as_str())
    }

    fn last(&self) -> &str {
        self.entries.last().map_or("", |(key, _)| key.as_str())
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| other.as_str().cmp(key))
    }

    pub(super) fn entries(&self) -> &[(KeyPath, V)] {
        &self.entries
    }

    /// What it comes to, found out once.
    pub(super) fn sum(&self) -> &V::Sum {
        self.sum.get_or_init(|| V::sum(&self.entries))
    }
}

impl<V: Summed + Clone> Clone for Piece<V> {
    fn clone(&self) -> Self {
        // It is copied to be changed.
        Self::of(self.entries.clone())
    }
}

/// The keys of a piece that nobody else has by now, to be changed.
fn edit<V: Summed + Clone>(piece: &mut Arc<Piece<V>>) -> &mut Vec<(KeyPath, V)> {
    let piece = Arc::make_mut(piece);
    piece.sum = OnceLock::new();
    &mut piece.entries
}

impl<V: Summed> KeyMap<V> {
    /// No keys.
    #[must_use]
    pub const fn new() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A key with its value.
    pub fn get_key_value<Q: Borrow<str> + ?Sized>(&self, key: &Q) -> Option<(&KeyPath, &V)> {
        let piece = self.pieces.get(self.place(key.borrow()))?;
        let (key, value) = piece.entries.get(piece.find(key.borrow()).ok()?)?;
        Some((key, value))
    }

    /// A key's value.
    pub fn get<Q: Borrow<str> + ?Sized>(&self, key: &Q) -> Option<&V> {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// Whether it is there.
    pub fn contains_key<Q: Borrow<str> + ?Sized>(&self, key: &Q) -> bool {
        self.get_key_value(key).is_some()
    }

    /// All of them, in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { pieces: self.pieces.iter(), entries: [].iter() }
    }

    /// Those from this text on, in order.
    pub fn range_from<'m>(&'m self, key: &str) -> Iter<'m, V> {
        let mut pieces = self.pieces.get(self.place(key)..).unwrap_or_default().iter();
        let entries = pieces.next().and_then(|piece| piece.entries.get(piece.find(key).unwrap_or_else(|at| at)..));
        Iter { pieces, entries: entries.unwrap_or_default().iter() }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &KeyPath> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece<V>> {
        self.pieces.iter().map(|piece| &**piece)
    }

    /// Where the first piece stands that reaches this key.
    fn place(&self, key: &str) -> usize {
        self.pieces.partition_point(|piece| piece.last() < key)
    }
}

impl<V: Summed + Clone> KeyMap<V> {
    /// Gives a key a value; the one that it had.
    pub fn insert(&mut self, key: KeyPath, value: V) -> Option<V> {
        let at = self.place(key.as_str());
        let Some(piece) = self.pieces.get_mut(at) else {
            self.append(key, value);
            return None;
        };
        match piece.find(key.as_str()) {
            Ok(found) => edit(piece).get_mut(found).map(|(_, before)| std::mem::replace(before, value)),
            Err(found) => {
                let ends = ends_a_piece(key.as_str());
                let entries = edit(piece);
                entries.insert(found, (key, value));
                if ends {
                    let rest = entries.split_off(found + 1);
                    self.pieces.insert(at + 1, Arc::new(Piece::of(rest)));
                }
                self.len += 1;
                None
            }
        }
    }

    /// Adds what comes after all others.
    fn append(&mut self, key: KeyPath, value: V) {
        self.len += 1;
        let last = self.pieces.last_mut();
        match last {
            Some(piece) if !ends_a_piece(piece.last()) => edit(piece).push((key, value)),
            full => {
                if let Some(piece) = full.and_then(Arc::get_mut) {
                    piece.entries.shrink_to_fit();
                }
                self.pieces.push(Arc::new(Piece::of(vec![(key, value)])));
            }
        }
    }

    /// Takes a key away; the value that it had.
    pub fn remove<Q: Borrow<str> + ?Sized>(&mut self, key: &Q) -> Option<V> {
        let at = self.place(key.borrow());
        let piece = self.pieces.get_mut(at)?;
        let found = piece.find(key.borrow()).ok()?;
        let entries = edit(piece);
        let (_, value) = entries.remove(found);
        self.len -= 1;
        if entries.is_empty() {
            self.pieces.remove(at);
        } else if found == entries.len() && at + 1 < self.pieces.len() {
            // Its end is gone: what follows belongs to it.
            let next = self.pieces.remove(at + 1);
            if let Some(piece) = self.pieces.get_mut(at) {
                edit(piece).extend(next.entries.iter().cloned());
            }
        }
        Some(value)
    }

    /// A key's value, to be changed.
    pub fn get_mut<Q: Borrow<str> + ?Sized>(&mut self, key: &Q) -> Option<&mut V> {
        let at = self.place(key.borrow());
        let piece = self.pieces.get_mut(at)?;
        let found = piece.find(key.borrow()).ok()?;
        edit(piece).get_mut(found).map(|(_, value)| value)
    }

    /// The keys, in order.
    pub fn into_keys(self) -> impl Iterator<Item = KeyPath> {
        self.into_iter().map(|(key, _)| key)
    }
}

/// Goes through two maps side by side, in the order of the keys, and leaves out what both have in pieces that are alike.
pub(super) fn side_by_side<'m, A: Summed, B: Summed>(
    left: &'m KeyMap<A>,
    right: &'m KeyMap<B>,
    alike: impl Fn(&A::Sum, &B::Sum) -> bool,
    mut each: impl FnMut(&'m KeyPath, Option<&'m A>, Option<&'m B>),
) {
    let (mut lefts, mut rights) = (left.pieces().peekable(), right.pieces().peekable());
    loop {
        let end = match (lefts.peek(), rights.peek()) {
            (Some(left), Some(right)) => {
                let same_keys = left.first() == right.first() && left.entries.len() == right.entries.len();
                if same_keys && alike(left.sum(), right.sum()) {
                    lefts.next();
                    rights.next();
                    continue;
                }
                if left.first() <= right.first() { left.last() } else { right.last() }
            }
            (Some(left), None) => left.last(),
            (None, Some(right)) => right.last(),
            (None, None) => return,
        };
        // The pieces that overlap, key by key.
        let (mut some_left, mut some_right, mut end) = (Vec::new(), Vec::new(), end);
        loop {
            if let Some(piece) = lefts.next_if(|piece| piece.first() <= end) {
                end = end.max(piece.last());
                some_left.push(piece);
            } else if let Some(piece) = rights.next_if(|piece| piece.first() <= end) {
                end = end.max(piece.last());
                some_right.push(piece);
            } else {
                break;
            }
        }
        let mut lefts = some_left.into_iter().flat_map(|piece| &piece.entries).peekable();
        let mut rights = some_right.into_iter().flat_map(|piece| &piece.entries).peekable();
        while let Some(key) = [lefts.peek().map(|(key, _)| key), rights.peek().map(|(key, _)| key)].into_iter().flatten().min()
        {
            let left = lefts.next_if(|(other, _)| other == key).map(|(_, value)| value);
            let right = rights.next_if(|(other, _)| other == key).map(|(_, value)| value);
            each(key, left, right);
        }
    }
}

/// The keys of a map with their values, in order.
pub struct Iter<'m, V: Summed> {
    pieces: slice::Iter<'m, Arc<Piece<V>>>,
    entries: slice::Iter<'m, (KeyPath, V)>,
}

impl<'m, V: Summed> Iterator for Iter<'m, V> {
    type Item = (&'m KeyPath, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.entries.next() {
                return Some((key, value));
            }
            self.entries = self.pieces.next()?.entries.iter();
        }
    }
}

impl<'m, V: Summed> IntoIterator for &'m KeyMap<V> {
    type Item = (&'m KeyPath, &'m V);
    type IntoIter = Iter<'m, V>;

    fn into_iter(self) -> Iter<'m, V> {
        self.iter()
    }
}

impl<V: Summed + Clone> IntoIterator for KeyMap<V> {
    type Item = (KeyPath, V);
    type IntoIter = std::vec::IntoIter<(KeyPath, V)>;

    fn into_iter(self) -> Self::IntoIter {
        let own =
            |piece: Arc<Piece<V>>| Arc::try_unwrap(piece).map_or_else(|shared| shared.entries.clone(), |piece| piece.entries);
        self.pieces.into_iter().flat_map(own).collect::<Vec<_>>().into_iter()
    }
}

impl<V: Summed + Clone> FromIterator<(KeyPath, V)> for KeyMap<V> {
    fn from_iter<I: IntoIterator<Item = (KeyPath, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<V: Summed + Clone, const N: usize> From<[(KeyPath, V); N]> for KeyMap<V> {
    fn from(entries: [(KeyPath, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<V: Summed + Clone> From<BTreeMap<KeyPath, V>> for KeyMap<V> {
    fn from(entries: BTreeMap<KeyPath, V>) -> Self {
        entries.into_iter().collect()
    }
}

impl<V: Summed> Clone for KeyMap<V> {
    fn clone(&self) -> Self {
        Self { pieces: self.pieces.clone(), len: self.len }
    }
}

impl<V: Summed> Default for KeyMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Summed + PartialEq> PartialEq for KeyMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<V: Summed + Eq> Eq for KeyMap<V> {}

impl<V: Summed + fmt::Debug> fmt::Debug for KeyMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<V: Summed, Q: Borrow<str> + ?Sized> Index<&Q> for KeyMap<V> {
    type Output = V;

    /// # Panics
    /// When the key is not there: for tests.
    fn index(&self, key: &Q) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => panic!("there is no key {}", key.borrow()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Summed for u32 {
        type Sum = Vec<(String, u32)>;

        fn sum(entries: &[(KeyPath, Self)]) -> Self::Sum {
            entries.iter().map(|(key, value)| (key.to_string(), *value)).collect()
        }
    }

    fn key(number: u32) -> KeyPath {
        KeyPath::parse(&format!("config/{number:04}")).unwrap()
    }

    /// Which keys each piece has.
    fn layout(map: &KeyMap<u32>) -> Vec<Vec<String>> {
        map.pieces().map(|piece| piece.entries().iter().map(|(key, _)| key.to_string()).collect()).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_map_whose_pieces_depend_on_nothing_but_its_keys(
            edits in prop::collection::vec((0..3_000_u32, prop::option::weighted(0.7, any::<u32>())), 0..1_500)
        ) {
            let (mut map, mut plain) = (KeyMap::new(), BTreeMap::new());
            for (number, value) in edits {
                let before = match value {
                    Some(value) => (map.insert(key(number), value), plain.insert(key(number), value)),
                    None => (map.remove(&key(number)), plain.remove(&key(number))),
                };
                prop_assert_eq!(before.0, before.1);
            }
            prop_assert!(map.iter().eq(&plain));
            prop_assert_eq!(map.len(), plain.len());
            let from = "config/1500";
            prop_assert!(map.range_from(from).eq(plain.range::<str, _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded))));
            prop_assert!((0..3_000).all(|number| map.get(&key(number)) == plain.get(&key(number))));
            let again: KeyMap<u32> = plain.clone().into();
            prop_assert_eq!(layout(&map), layout(&again));
            prop_assert!(map.pieces().all(|piece| *piece.sum() == u32::sum(piece.entries())));
            prop_assert!(map.into_iter().eq(plain));
        }

        #[test]
        fn side_by_side_leaves_out_nothing_that_differs(
            both in prop::collection::btree_map(0..3_000_u32, any::<u8>(), 0..1_500),
            left in prop::collection::btree_map(0..3_000_u32, any::<u8>(), 0..4),
            right in prop::collection::btree_map(0..3_000_u32, any::<u8>(), 0..4),
        ) {
            let map = |own: &BTreeMap<u32, u8>| -> BTreeMap<KeyPath, u32> {
                both.iter().chain(own).map(|(number, value)| (key(*number), u32::from(*value))).collect()
            };
            let (left, right) = (map(&left), map(&right));
            let (lefts, rights): (KeyMap<u32>, KeyMap<u32>) = (left.clone().into(), right.clone().into());
            let mut told = Vec::new();
            side_by_side(&lefts, &rights, |a, b| a == b, |key, a, b| told.push((key.clone(), a.copied(), b.copied())));
            prop_assert!(told.is_sorted_by(|a, b| a.0 < b.0));
            for (key, a, b) in &told {
                prop_assert_eq!((a.as_ref(), b.as_ref()), (left.get(key), right.get(key)));
            }
            let keys: std::collections::BTreeSet<&KeyPath> = left.keys().chain(right.keys()).collect();
            for key in keys.into_iter().filter(|key| left.get(*key) != right.get(*key)) {
                prop_assert!(told.iter().any(|(other, ..)| other == key), "{} was left out", key);
            }
        }
    }

    #[test]
    fn a_map_that_differs_in_one_key_shares_all_other_pieces() {
        let map: KeyMap<u32> = (0..5_000).map(|number| (key(number), number)).collect();
        let mut other = map.clone();
        other.insert(key(2_500), 0);
        let shared = map.pieces.iter().zip(&other.pieces).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!((shared, map.pieces.len()), (map.pieces.len() - 1, other.pieces.len()));
        assert!((20..80).contains(&map.pieces.len()), "{} pieces", map.pieces.len());
        let mut told = 0;
        side_by_side(&map, &other, |a, b| a == b, |_, _, _| told += 1);
        assert!((1..1_000).contains(&told), "{told} keys were compared");
    }
}
