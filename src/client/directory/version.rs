//! Names of version directories: the generation, and a counter where one attempt had to build a second one.

use std::ffi::OsStr;
use std::fmt;

use crate::domain::revision::Generation;

/// The directory that holds all versions.
pub(super) const VERSIONS: &str = "versions";
/// The link to the live one.
pub(super) const CURRENT: &str = "current";

/// One version: `versions/17`, or `versions/17-2` when generation 17 was built again while it was live (somebody changed a
/// file of it between its switch and its verdict).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    /// The attempt that built it.
    pub generation: Generation,
    /// Which build of that attempt, from 1.
    pub build: u32,
}

impl Version {
    /// The first build of an attempt.
    pub(super) fn first(generation: Generation) -> Self {
        Self { generation, build: 1 }
    }

    /// The build after this one.
    pub(super) fn rebuilt(self) -> Self {
        Self { build: self.build + 1, ..self }
    }

    /// Reads the name of a version directory; none when lockstep gives no such name.
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        let (generation, build) = name.split_once('-').unwrap_or((name, "1"));
        let version = Self { generation: Generation::new(generation.parse().ok()?)?, build: build.parse().ok()? };
        // "007", "+7" and "7-1" would be other names for the same version.
        (version.to_string() == name).then_some(version)
    }

    /// Reads what `current` points to.
    pub(super) fn of_link(target: &OsStr) -> Option<Self> {
        Self::parse(OsStr::new(target.to_str()?.strip_prefix("versions/")?))
    }

    /// The name of its list.
    pub(super) fn manifest(self) -> String {
        format!("{self}.manifest")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.generation)?;
        if self.build > 1 { write!(f, "-{}", self.build) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_lockstep_gives_are_versions() {
        for good in ["versions/0", "versions/17", "versions/17-2"] {
            let version = Version::of_link(OsStr::new(good)).unwrap();
            assert_eq!(format!("versions/{version}"), good);
        }
        for bad in [
            "17",
            "/etc",
            "versions/",
            "versions/../..",
            "versions/007",
            "versions/7-1",
            "versions/7-0",
            "versions/+7",
            "versions/7/",
            "./versions/7",
            "versions/7.manifest",
            "versions/268435456",
        ] {
            assert_eq!(Version::of_link(OsStr::new(bad)), None, "{bad:?} was taken for a version");
        }
    }
}
