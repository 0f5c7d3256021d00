//! What identifies a state: the commit it came from, the digest of what it says, and the attempt that wrote it.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A text that is no commit id, digest or generation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct RevisionError {
    text: String,
    expected: &'static str,
}

/// One commit of the config repository: its full id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision([u8; 20]);

impl Revision {
    /// The commit with these id bytes.
    #[must_use]
    pub const fn from_bytes(id: [u8; 20]) -> Self {
        Self(id)
    }

    /// The id's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Reads a full commit id of 40 hexadecimal digits; abbreviations are for the caller to resolve.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, RevisionError> {
        unhex(text).map(Self).ok_or_else(|| RevisionError {
            text: text.chars().take(80).collect(),
            expected: "a full commit id of 40 hexadecimal digits",
        })
    }

    /// The first seven digits, as people quote commits.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..7].to_owned()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// The digest of one value: what the live cache keeps instead of the value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueDigest([u8; 32]);

impl ValueDigest {
    /// Digests a value.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        Self(Sha256::digest(value).into())
    }

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, RevisionError> {
        unhex(text)
            .map(Self)
            .ok_or_else(|| RevisionError { text: text.chars().take(80).collect(), expected: "a SHA-256 digest" })
    }
}

impl fmt::Display for ValueDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ValueDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0[..4])
    }
}

/// The version that every digest text begins with (rule R2): a later way to digest gets another number, so that old
/// rejections and proofs are recomputed rather than compared wrongly.
pub const DIGEST_VERSION: &str = "v1";

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Digests the parts; each is preceded by its length, so that no two lists of parts look the same.
            #[must_use]
            pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
                let mut hash = Sha256::new();
                for part in parts {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
                Self(hash.finalize().into())
            }

            /// The digest's bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Reads `v1:` and 64 hexadecimal digits.
            ///
            /// # Errors
            /// When the text is anything else, another version included.
            pub fn parse(text: &str) -> Result<Self, RevisionError> {
                text.strip_prefix(DIGEST_VERSION)
                    .and_then(|rest| rest.strip_prefix(':'))
                    .and_then(unhex)
                    .map(Self)
                    .ok_or_else(|| RevisionError { text: text.chars().take(80).collect(), expected: "a v1 digest" })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{DIGEST_VERSION}:")?;
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0[..4])
            }
        }
    };
}

digest!(
    /// What a revision writes in one environment: two revisions with the same state digest leave the same keys (rule R2).
    StateDigest
);
digest!(
    /// What a revision means for one environment: its state, its checks and its health policy. Rejection and proof go by
    /// this digest, not by the commit, so a README commit on top of a bad one is still bad (rules R2, R3).
    RevisionDigest
);

digest!(
    /// What some keys of an environment hold: a part of what a state digest is taken of.
    PieceDigest
);

/// The environment's counter: one more for every attempt that writes. It never goes down (rule A5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(u32);

impl Generation {
    /// The largest: the counter has 28 bits of a key's flags (rule O1).
    pub const MAX: u32 = (1 << 28) - 1;

    /// The generation with this number, or none above [`Self::MAX`].
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The next generation.
    ///
    /// # Panics
    /// After 268 million attempts: at one a second, in eight years.
    #[must_use]
    pub fn next(self) -> Self {
        assert!(self.0 < Self::MAX, "the generations of this environment are used up");
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |c: u8| (c as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_digests_survive_their_text() {
        let revision = Revision::parse("00ff17a0b1c2d3e4f5060708090a0b0c0d0e0f10").unwrap();
        assert_eq!(Revision::parse(&revision.to_string()), Ok(revision));
        let digest = StateDigest::of([b"a".as_slice(), b"b"]);
        assert_eq!(StateDigest::parse(&digest.to_string()), Ok(digest));
        for bad in ["", "00ff", "-upload-pack=x", "zz00000000000000000000000000000000000000"] {
            assert!(Revision::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn parts_cannot_be_moved_across_their_border() {
        assert_ne!(StateDigest::of([b"ab".as_slice(), b"c"]), StateDigest::of([b"a".as_slice(), b"bc"]));
    }
}
