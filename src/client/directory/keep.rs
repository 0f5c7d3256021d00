//! Which versions stay, and what a crash left behind (rule D2).

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::build::remove;
use super::files::{Dir, Kind};
use super::state::tidy;
use super::version::{CURRENT, VERSIONS, Version};
use crate::domain::revision::Generation;
use crate::domain::time::Timestamp;

/// Removes versions that were never finished or never switched to: a directory without its list, a list without its directory,
/// files that were being written beside others, a version that was built after the last switch. The caller holds the lease, so
/// nobody is building.
pub(super) fn tidy_versions(root: &Dir, current: Option<Version>) -> io::Result<()> {
    tidy(root)?;
    let Some(versions) = open(root)? else { return Ok(()) };
    tidy(&versions)?;
    for (version, listed) in all(&versions)? {
        let unused = match current {
            Some(current) if listed => version > current && is_newer(&versions, version, root)?,
            _ => !listed && Some(version) != current,
        };
        if unused {
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

/// Whether a version was built after `current` was switched. One that is older was live: a person then turned `current` back,
/// and readers may have it open.
fn is_newer(versions: &Dir, version: Version, root: &Dir) -> io::Result<bool> {
    let built = versions.stat(version.manifest())?.map(|stat| (stat.st_mtime, stat.st_mtime_nsec));
    let switched = root.stat(CURRENT)?.map(|stat| (stat.st_mtime, stat.st_mtime_nsec));
    Ok(built > switched)
}

/// Removes old versions: all but the live one, the one before it, last good, and those that were live until less than `keep`
/// ago: whoever reads one still has the time to finish. Every version that is there was live, see [`tidy_versions`].
pub(super) fn forget_old(
    root: &Dir,
    current: Version,
    previous: Option<Version>,
    last_good: Option<Generation>,
    keep: Duration,
    now: Timestamp,
) -> io::Result<()> {
    let Some(versions) = open(root)? else { return Ok(()) };
    let finished: BTreeSet<Version> = all(&versions)?.into_iter().map(|(version, _)| version).collect();
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

/// Removes every version but one, of which the files stay and the list goes: what lockstep knew of it is over.
pub(super) fn remove_all_but(root: &Dir, stays: Option<Version>) -> io::Result<()> {
    let Some(versions) = open(root)? else { return Ok(()) };
    for (version, _) in all(&versions)? {
        if Some(version) == stays { versions.remove_file(version.manifest())? } else { remove(&versions, version)? }
    }
    tidy_versions(root, stays)?;
    if versions.list()?.is_empty() { root.remove_tree(VERSIONS) } else { versions.sync() }
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
