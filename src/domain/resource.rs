//! What marks a key as ours: the layout of Consul's `Flags` (rule O1).
//!
//! Consul stores a 64-bit number beside every value and writes both in one transaction, so the mark can never be newer or
//! older than the value it vouches for. A plain write by anybody else resets it to 0, and that is how it is noticed.

use std::fmt;

use super::revision::Generation;

/// The owner id that `lockstep init` allocated to one environment of one repository (rule O4). 0 is never given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(u16);

impl OwnerId {
    /// The id with this number; 0 is none.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The `Flags` number of a key as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u64);

/// Our mark on a key: who owns it and which attempt gave its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMark {
    /// Whether the key was there before lockstep and was taken over with its value (rule O8).
    pub adopted: bool,
    /// The environment that owns it.
    pub owner: OwnerId,
    /// The attempt whose revision gave the value.
    pub generation: Generation,
}

/// What a key's flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// No flags: somebody wrote it without any, or a plain write reset ours.
    Unmarked,
    /// Marked by lockstep, for whichever owner.
    Marked(KeyMark),
    /// Another program's flags.
    Foreign,
}

/// 53 bits in all, so that the number survives JavaScript: mark (8), adopted (1), owner (16), generation (28).
const MARK: u64 = 0x4C;
const MARK_SHIFT: u32 = 45;
const ADOPTED_SHIFT: u32 = 44;
const OWNER_SHIFT: u32 = 28;

impl KeyMark {
    /// The number that Consul stores.
    #[must_use]
    pub fn flags(self) -> Flags {
        Flags(
            MARK << MARK_SHIFT
                | u64::from(self.adopted) << ADOPTED_SHIFT
                | u64::from(self.owner.0) << OWNER_SHIFT
                | u64::from(self.generation.number()),
        )
    }
}

impl Flags {
    /// Reads the mark, if there is one.
    #[must_use]
    pub fn ownership(self) -> Ownership {
        let Self(bits) = self;
        if bits == 0 {
            return Ownership::Unmarked;
        }
        if bits >> MARK_SHIFT != MARK {
            return Ownership::Foreign;
        }
        let owner = u16::try_from(bits >> OWNER_SHIFT & 0xFFFF).ok().and_then(OwnerId::new);
        let generation = u32::try_from(bits & u64::from(Generation::MAX)).ok().and_then(Generation::new);
        match (owner, generation) {
            (Some(owner), Some(generation)) => {
                Ownership::Marked(KeyMark { adopted: bits >> ADOPTED_SHIFT & 1 == 1, owner, generation })
            }
            _ => Ownership::Foreign,
        }
    }

    /// The mark, if it is this owner's.
    #[must_use]
    pub fn mark_of(self, owner: OwnerId) -> Option<KeyMark> {
        match self.ownership() {
            Ownership::Marked(mark) if mark.owner == owner => Some(mark),
            Ownership::Marked(_) | Ownership::Unmarked | Ownership::Foreign => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_number_and_javascript() {
        for (adopted, owner, generation) in [(false, 1, 0), (true, u16::MAX, Generation::MAX), (false, 513, 77)] {
            let mark =
                KeyMark { adopted, owner: OwnerId::new(owner).unwrap(), generation: Generation::new(generation).unwrap() };
            assert!(mark.flags().0 < 1 << 53, "{mark:?} does not fit a double");
            assert_eq!(mark.flags().ownership(), Ownership::Marked(mark));
        }
    }

    #[test]
    fn a_mark_is_this_number_in_every_version() {
        for (adopted, owner, generation, number) in
            [(false, 513, 17, 0x9_8020_1000_0011), (true, u16::MAX, Generation::MAX, 0x9_9fff_ffff_ffff)]
        {
            let mark =
                KeyMark { adopted, owner: OwnerId::new(owner).unwrap(), generation: Generation::new(generation).unwrap() };
            assert_eq!(mark.flags(), Flags(number), "{mark:?} is {:#x}", mark.flags().0);
        }
    }

    #[test]
    fn other_programs_flags_are_foreign() {
        for flags in [1, 42, u64::MAX, 0x2ddc_cbc0_58a5_0c18, 1 << 53, (MARK << MARK_SHIFT) | 7] {
            assert_eq!(Flags(flags).ownership(), Ownership::Foreign, "{flags:#x}");
        }
        assert_eq!(Flags(0).ownership(), Ownership::Unmarked);
    }
}
