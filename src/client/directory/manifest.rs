//! The list of a version's keys: what each held when lockstep wrote it, and its mark.
//!
//! A file system has no place for a key's mark that travels with the content, so the mark lies beside the version and
//! counts only while the content is still the one it vouches for. Programs may read it: which revision is live, and which
//! generation gave each key. It is text, one key a line, so that `grep` is enough.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::domain::name::KeyPath;
use crate::domain::resource::Flags;
use crate::domain::revision::{Generation, Revision, ValueDigest};

const TITLE: &str = "lockstep manifest 1";

/// The list of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The attempt that built the version.
    pub generation: Generation,
    /// The revision it was built for.
    pub revision: Revision,
    /// Every managed key: digest and mark. Keys without a mark are left out.
    pub keys: BTreeMap<KeyPath, (ValueDigest, Flags)>,
}

impl Manifest {
    /// The list as text. Its last line counts the keys, so a list that was cut short is noticed.
    pub(super) fn to_text(&self) -> String {
        let Self { generation, revision, keys } = self;
        let mut text = format!("{TITLE}\ngeneration {generation}\nrevision {revision}\n");
        for (key, (digest, flags)) in keys {
            let _ = writeln!(text, "{digest} {} {key}", flags.0);
        }
        let _ = writeln!(text, "end {}", keys.len());
        text
    }

    /// Reads the list; the error says what is wrong with it.
    pub(super) fn from_text(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(format!("it does not begin with {TITLE:?}"));
        }
        let mut field = |name: &str| {
            let value = lines.next().and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(' '));
            value.ok_or_else(|| format!("its line {name:?} is missing"))
        };
        let generation = field("generation")?;
        let generation =
            generation.parse().ok().and_then(Generation::new).ok_or_else(|| format!("{generation:?} is no generation"))?;
        let revision = Revision::parse(field("revision")?).map_err(|error| error.to_string())?;
        let mut keys = BTreeMap::new();
        for line in lines.by_ref() {
            if let Some(count) = line.strip_prefix("end ") {
                return if count == keys.len().to_string() && lines.next().is_none() {
                    Ok(Self { generation, revision, keys })
                } else {
                    Err(format!("it holds {} keys and says {count}", keys.len()))
                };
            }
            let mut parts = line.splitn(3, ' ');
            let digest = parts.next().unwrap_or_default();
            let digest = ValueDigest::parse(digest).map_err(|error| error.to_string())?;
            let flags = parts.next().and_then(|flags| flags.parse().ok()).ok_or("a line has no flags")?;
            let key = KeyPath::parse(parts.next().unwrap_or_default()).map_err(|error| error.to_string())?;
            keys.insert(key, (digest, Flags(flags)));
        }
        Err("its end is missing".to_owned())
    }

    /// The mark of a key that has this content: none when the content is not the one that was written.
    pub(super) fn flags(&self, key: &KeyPath, digest: ValueDigest) -> Flags {
        match self.keys.get(key) {
            Some((written, flags)) if *written == digest => *flags,
            Some(_) | None => Flags(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let key = |text| KeyPath::parse(text).unwrap();
        Manifest {
            generation: Generation::new(7).unwrap(),
            revision: Revision::from_bytes([0x1a; 20]),
            keys: BTreeMap::from([
                (key("end of the/line"), (ValueDigest::of(b""), Flags(5))),
                (key("a b c"), (ValueDigest::of(b"x"), Flags(u64::MAX))),
            ]),
        }
    }

    #[test]
    fn a_manifest_reads_back_as_itself() {
        assert_eq!(Manifest::from_text(manifest().to_text().as_bytes()), Ok(manifest()));
    }

    #[test]
    fn every_shortened_manifest_is_noticed() {
        let text = manifest().to_text();
        for length in 0..text.len() - 1 {
            assert!(Manifest::from_text(&text.as_bytes()[..length]).is_err(), "cut at {length}");
        }
        assert!(Manifest::from_text(format!("{text}more\n").as_bytes()).is_err());
    }

    #[test]
    fn a_mark_counts_only_for_the_content_it_was_written_with() {
        let key = KeyPath::parse("a b c").unwrap();
        assert_eq!(manifest().flags(&key, ValueDigest::of(b"x")), Flags(u64::MAX));
        assert_eq!(manifest().flags(&key, ValueDigest::of(b"y")), Flags(0));
    }
}
