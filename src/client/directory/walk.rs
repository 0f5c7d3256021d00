//! What a version holds now: every file with its digest, compared with the list that lockstep wrote.
//!
//! Files that lockstep did not write are found too: unmanaged ones, links and names that are no keys. They are never
//! touched, and the next version takes them along, because a switch to a version without them would be a delete.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use sha2::{Digest as _, Sha256};

use super::files::{Dir, Kind};
use super::manifest::Manifest;
use super::version::Version;
use crate::domain::live::{Fence, LiveEntry, LiveState};
use crate::domain::name::{KeyPath, KeyRoots};
use crate::domain::resource::Flags;
use crate::domain::revision::ValueDigest;

/// Files over this size are not read: no value is so long, and a disk image put there by hand must not hold up the loop.
/// They are known by size and time instead.
pub(super) const LONGEST_READ: u64 = 16 << 20;
/// Directories nested deeper than any key can be are not followed.
const DEEPEST: usize = 256;
/// More files than this are more than lockstep manages; reading on would only take memory.
const MOST: usize = 1_000_000;

/// One thing in a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// What it is.
    pub what: What,
    /// The digest of its content, or of what stands for it.
    pub digest: ValueDigest,
    /// Its permission bits.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
}

/// What a thing in a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A file that was read.
    File,
    /// A file that is too long to read.
    LongFile,
    /// A symbolic link and where it points; it was not followed.
    Link(OsString),
}

/// Everything in a version at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// By path relative to the version, as bytes: names by hand need not be UTF-8.
    pub found: BTreeMap<Vec<u8>, Found>,
    /// Sockets, pipes, devices: named for people.
    pub special: Vec<String>,
}

/// Reads a whole version.
pub(super) fn snapshot(version: &Dir) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let mut open = vec![(Vec::new(), version.again()?, 0)];
    while let Some((prefix, dir, depth)) = open.pop() {
        if depth > DEEPEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "directories are nested deeper than any key"));
        }
        for (name, kind) in dir.list()? {
            let path = [prefix.as_slice(), name.as_bytes()].concat();
            match kind {
                Kind::Directory => match dir.sub(&name) {
                    Ok(sub) => open.push(([path.as_slice(), b"/"].concat(), sub, depth + 1)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                },
                Kind::File | Kind::Link => {
                    if let Some(found) = look(&dir, &name)? {
                        snapshot.found.insert(path, found);
                    }
                }
                Kind::Special => snapshot.special.push(format!("{} (no regular file)", String::from_utf8_lossy(&path))),
            }
            if snapshot.found.len() > MOST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("there are more than {MOST} files")));
            }
        }
    }
    snapshot.special.sort();
    Ok(snapshot)
}

/// Reads one file or link; none when it has just gone.
fn look(dir: &Dir, name: &OsStr) -> io::Result<Option<Found>> {
    let Some(stat) = dir.stat(name)? else { return Ok(None) };
    let (size, mode) = (u64::try_from(stat.st_size).unwrap_or(0), stat.st_mode & 0o777);
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    if kind.is_symlink() {
        let Some(target) = dir.read_link(name)? else { return Ok(None) };
        let digest = ValueDigest::of(&[b"symbolic link to ", target.as_bytes()].concat());
        return Ok(Some(Found { what: What::Link(target), digest, mode, size }));
    }
    if size > LONGEST_READ {
        let digest = ValueDigest::of(format!("{size} bytes of {}.{}", stat.st_mtime, stat.st_mtime_nsec).as_bytes());
        return Ok(Some(Found { what: What::LongFile, digest, mode, size }));
    }
    let file = match dir.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_READ).read_to_end(&mut bytes)?;
    Ok(Some(Found { what: What::File, digest: ValueDigest::of(&bytes), mode, size: bytes.len() as u64 }))
}

/// The key that a path is, if it is one.
pub(super) fn key_of(path: &[u8]) -> Option<KeyPath> {
    KeyPath::parse(std::str::from_utf8(path).ok()?).ok()
}

/// The path as an operating system's name.
pub(super) fn os(path: &[u8]) -> OsString {
    OsString::from_vec(path.to_vec())
}

/// The mark of a found key.
pub(super) fn flags_of(key: &KeyPath, found: &Found, manifest: Option<&Manifest>) -> Flags {
    match found.what {
        What::File => manifest.map_or(Flags(0), |manifest| manifest.flags(key, found.digest)),
        What::LongFile | What::Link(_) => Flags(0),
    }
}

/// What a write to a key must name: it differs whenever the version, the content or the mark does.
///
/// A change that is undone before the write goes unnoticed, and nothing is lost by it.
pub(super) fn fence(version: Version, digest: ValueDigest, flags: Flags) -> Fence {
    let mut hash = Sha256::new();
    hash.update(version.to_string());
    hash.update(digest.as_bytes());
    hash.update(flags.0.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    // 0 is the fence of an absent key.
    Fence(u64::from_le_bytes(first).max(1))
}

/// The snapshot in the domain's words: keys below the roots, and everything else by name.
pub(super) fn live_state(version: Version, snapshot: &Snapshot, manifest: Option<&Manifest>, roots: &KeyRoots) -> LiveState {
    let mut live = LiveState { unmanageable: snapshot.special.clone(), ..LiveState::default() };
    for (path, found) in &snapshot.found {
        match key_of(path) {
            Some(key) if roots.contains(key.as_str()) => {
                let flags = flags_of(&key, found, manifest);
                let fence = fence(version, found.digest, flags);
                live.entries.insert(key, LiveEntry { digest: found.digest, flags, fence });
            }
            Some(_) => {}
            None => live.unmanageable.push(String::from_utf8_lossy(path).escape_debug().to_string()),
        }
    }
    live.unmanageable.sort();
    live
}
