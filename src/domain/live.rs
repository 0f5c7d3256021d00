//! Station 2: live state, as a target was found: digests and marks, no values.

use std::collections::BTreeMap;

use super::keymap::{KeyMap, Piece, Summed};
use super::name::KeyPath;
use super::resource::{Flags, OwnerId, Ownership};
use super::revision::{Generation, PieceDigest, ValueDigest};

/// What a write is based on: Consul's `ModifyIndex` of the key when it was read. 0: the key was absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fence(pub u64);

impl Fence {
    /// The fence of a key that does not exist.
    pub const ABSENT: Self = Self(0);
}

/// One key as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveEntry {
    /// The digest of its value.
    pub digest: ValueDigest,
    /// Its flags.
    pub flags: Flags,
    /// What a write to it must name.
    pub fence: Fence,
}

/// What some keys that follow each other are.
#[derive(Debug)]
pub struct LiveSum {
    /// As the desired state's.
    pub(super) digest: PieceDigest,
    /// The one owner whose mark all of them carry, and the highest generation of those marks.
    pub(super) marked: Option<(OwnerId, Generation)>,
}

impl Summed for LiveEntry {
    type Sum = LiveSum;

    fn sum(entries: &[(KeyPath, Self)]) -> LiveSum {
        let mut marks = entries.iter().map(|(_, entry)| match entry.flags.ownership() {
            Ownership::Marked(mark) => Some((mark.owner, mark.generation)),
            Ownership::Unmarked | Ownership::Foreign => None,
        });
        let first = marks.next().flatten();
        let marked = marks.fold(first, |so_far, mark| {
            let ((owner, highest), (other, generation)) = (so_far?, mark?);
            (owner == other).then_some((owner, highest.max(generation)))
        });
        let parts = entries.iter().flat_map(|(key, entry)| [key.as_str().as_bytes(), entry.digest.as_bytes().as_slice()]);
        LiveSum { digest: PieceDigest::of(parts), marked }
    }
}

/// Up to when a target has seen which part of its keys: only the target that wrote it understands it, and uses it to read at its
/// next look no more than what has moved since.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AsOf {
    /// Each part by its prefix, with the index that it had just before it was read.
    pub parts: BTreeMap<String, Fence>,
    /// How often the target had lost sight of its keys by then.
    pub losses: u64,
}

/// The keys below an environment's roots, as they were when each was read: no change is missed, since one that comes later is
/// told of and looked at again, and no write rests on a key that has changed since, since its fence tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveState {
    /// Every key that lockstep could manage.
    pub entries: KeyMap<LiveEntry>,
    /// Keys that can't be named safely (`a//b`, a folder key `foo/`, control characters): reported, never touched.
    pub unmanageable: Vec<String>,
    /// Keys may be there that were not shown: the credential may not surely read everything.
    pub partial: bool,
    /// Keys of the revisions at hand that were not shown and may be there all the same, each with why. Nothing is decided
    /// on their absence.
    pub hidden: BTreeMap<KeyPath, String>,
    /// For the next look; none: that one reads everything.
    pub as_of: Option<AsOf>,
}

impl LiveState {
    /// What a write to this key must name.
    #[must_use]
    pub fn fence(&self, key: &KeyPath) -> Fence {
        self.entries.get(key).map_or(Fence::ABSENT, |entry| entry.fence)
    }

    /// The highest generation that any key carries under this owner's mark (rule A5).
    #[must_use]
    pub fn highest_generation(&self, owner: OwnerId) -> Option<Generation> {
        let of_piece = |piece: &Piece<LiveEntry>| match piece.sum().marked {
            Some((other, highest)) => (other == owner).then_some(highest),
            None => {
                piece.entries().iter().filter_map(|(_, entry)| entry.flags.mark_of(owner)).map(|mark| mark.generation).max()
            }
        };
        self.entries.pieces().filter_map(of_piece).max()
    }

    /// The generation of each key that carries this owner's mark.
    pub fn generations(&self, owner: OwnerId) -> impl Iterator<Item = Generation> + '_ {
        self.entries.values().filter_map(move |entry| entry.flags.mark_of(owner)).map(|mark| mark.generation)
    }
}
