//! Which versions stay, and what a crash left behind (rule D2).

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::build::remove;
use super::files::{Dir, Kind};
use super::state::tidy;
use super::version::{VERSIONS, Version};
use crate::domain::revision::Generation;
use crate::domain::time::Timestamp;

/// Removes versions that were never finished: a directory without its list, a list without its directory, files that were
/// being written beside others. The caller holds the lease, so nobody is building.
pub(super) fn tidy_versions(root: &Dir, current: Option<Version>) -> io::Result<()> {
    tidy(root)?;
    let Some(versions) = open(root)? else { return Ok(()) };
    tidy(&versions)?;
    for (version, listed) in all(&versions)? {
        if !listed && Some(version) != current {
            remove(&versions, version)?;
        }
    }
    for (name, kind) in versions.list()? {
        let Some(name) = name.to_str() else { continue };
        let of = name.strip_suffix(".manifest").and_then(|version| Version::parse(version.as_ref()));
        if let (Kind::File, Some(version)) = (kind, of)
            && versions.stat(version.to_string())?.is_none()
        {
            versions.remove_file(name)?;
        }
    }
    Ok(())
}

/// Removes old versions: all but the live one, the one before it, last good, and those that were live until less than `keep`
/// ago: whoever reads one still has the time to finish.
pub(super) fn forget_old(
    root: &Dir,
    current: Version,
    last_good: Option<Generation>,
    keep: Duration,
    now: Timestamp,
) -> io::Result<()> {
    let Some(versions) = open(root)? else { return Ok(()) };
    let finished: BTreeSet<Version> = all(&versions)?.into_iter().map(|(version, _)| version).collect();
    let previous = finished.iter().copied().filter(|version| *version != current).max();
    // A version is switched to as soon as it is built, and so the one before it is live until then.
    for (version, next) in finished.iter().zip(finished.iter().skip(1)) {
        let stays = *version == current || Some(*version) == previous || Some(version.generation) == last_good;
        if stays || age(&versions, *next, now)? < keep {
            continue;
        }
        remove(&versions, *version)?;
    }
    Ok(())
}

fn open(root: &Dir) -> io::Result<Option<Dir>> {
    match root.sub(VERSIONS) {
        Ok(versions) => Ok(Some(versions)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every version directory, and whether it has its list.
fn all(versions: &Dir) -> io::Result<Vec<(Version, bool)>> {
    let mut all = Vec::new();
    for (name, kind) in versions.list()? {
        if let (Kind::Directory, Some(version)) = (kind, Version::parse(&name)) {
            all.push((version, versions.stat(version.manifest())?.is_some()));
        }
    }
    Ok(all)
}

/// How long ago a version was built.
fn age(versions: &Dir, version: Version, now: Timestamp) -> io::Result<Duration> {
    let built = versions.stat(version.manifest())?.map_or(0, |stat| stat.st_mtime.saturating_mul(1_000));
    Ok(now.since(Timestamp::from_millis(built)))
}
