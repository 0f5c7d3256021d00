//! A new version: what it shall hold, its files off to the side, and the switch to it by one rename.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};

use rustix::io::Errno;

use super::files::{Dir, LEFTOVER};
use super::manifest::Manifest;
use super::version::{CURRENT, VERSIONS, Version};
use super::walk::{Found, Snapshot, What, flags_of, key_of, os};
use crate::domain::desired::DesiredState;
use crate::domain::name::KeyPath;
use crate::domain::plan::{Action, Obstacle, ObstacleKind, Plan};
use crate::domain::resource::Flags;
use crate::domain::revision::{Generation, ValueDigest};

/// Everybody may read a managed value, nobody may write it: an editor then warns before it changes a file that lockstep
/// would put back.
const VALUE: u32 = 0o444;
const FOLDER: u32 = 0o755;
/// Space that is left free for the state and for others.
const RESERVE: u64 = 1 << 20;
/// What a small file really takes.
const BLOCK: u64 = 4096;
/// Files that are written between two questions whether to go on.
pub(super) const GROUP: usize = 256;
/// The longest name of one file.
const LONGEST_SEGMENT: usize = 255;

/// Where a file of the new version comes from.
#[derive(Debug)]
enum Source<'a> {
    /// From the revision.
    Value(&'a [u8]),
    /// From the version before, unchanged; the revision's bytes where they are the same.
    Carried(&'a Found, Option<&'a [u8]>),
}

/// The whole content of a version before it is written.
#[derive(Debug, Default)]
pub(super) struct Contents<'a> {
    files: BTreeMap<Vec<u8>, Source<'a>>,
    marks: BTreeMap<KeyPath, (ValueDigest, Flags)>,
}

/// A key of the plan that the revision doesn't have.
#[derive(Debug, thiserror::Error)]
#[error("the plan writes {0}, and the revision has no such key")]
pub(super) struct NotDesired(KeyPath);

impl<'a> Contents<'a> {
    /// The version before with the plan's changes: nothing else changes, and unmanaged files stay.
    pub(super) fn plan(
        before: &'a Snapshot,
        manifest: Option<&Manifest>,
        plan: &Plan,
        desired: &'a DesiredState,
    ) -> Result<Self, NotDesired> {
        let mut contents = Self::default();
        for (path, found) in &before.found {
            let key = key_of(path);
            let wanted = key.as_ref().and_then(|key| desired.entries().get(key));
            // Bytes from git are as good and need not be read again; links and long files are never the same.
            let same = wanted.filter(|entry| entry.digest == found.digest && found.what == What::File);
            contents.files.insert(path.clone(), Source::Carried(found, same.map(|entry| &*entry.value)));
            if let Some(key) = key {
                let flags = flags_of(&key, found, manifest);
                contents.mark(key, found.digest, flags);
            }
        }
        for change in &plan.changes {
            let path = change.key.as_str().as_bytes();
            match change.action {
                Action::Create | Action::Update => {
                    let entry = desired.entries().get(&change.key).ok_or_else(|| NotDesired(change.key.clone()))?;
                    contents.files.insert(path.to_vec(), Source::Value(&entry.value));
                    contents.mark(change.key.clone(), entry.digest, change.flags);
                }
                Action::Delete => {
                    contents.files.remove(path);
                    contents.marks.remove(&change.key);
                }
                // The file is there and stays; the list says whose it is.
                Action::Adopt | Action::Release => {
                    if let Some(found) = before.found.get(path) {
                        contents.mark(change.key.clone(), found.digest, change.flags);
                    }
                }
            }
        }
        Ok(contents)
    }

    fn mark(&mut self, key: KeyPath, digest: ValueDigest, flags: Flags) {
        if flags == Flags(0) {
            self.marks.remove(&key);
        } else {
            self.marks.insert(key, (digest, flags));
        }
    }

    /// The list of the new version.
    pub(super) fn manifest(&self, plan: &Plan) -> Manifest {
        Manifest { generation: plan.generation, revision: plan.revision, keys: self.marks.clone() }
    }

    /// What a key holds in the new version.
    pub(super) fn entry(&self, key: &KeyPath) -> Option<(ValueDigest, Flags)> {
        let digest = match self.files.get(key.as_str().as_bytes())? {
            Source::Value(value) => ValueDigest::of(value),
            Source::Carried(found, _) => found.digest,
        };
        Some((digest, self.marks.get(key).map_or(Flags(0), |(_, flags)| *flags)))
    }

    /// Two names that can't be in one directory tree: a file where another needs a folder.
    pub(super) fn clash(&self) -> Option<(String, String)> {
        let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        self.files.keys().find_map(|path| {
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            slashes
                .map(|(at, _)| &path[..at])
                .find(|folder| self.files.contains_key(*folder))
                .map(|folder| (shown(folder), shown(path)))
        })
    }

    /// Bytes and inodes that the version needs at most.
    pub(super) fn needs(&self) -> (u64, u64) {
        let size = |source: &Source<'_>| match source {
            Source::Value(value) => value.len() as u64,
            Source::Carried(found, _) => found.size,
        };
        let bytes: u64 = self.files.values().map(|source| size(source).div_ceil(BLOCK) * BLOCK).sum();
        // As many folders as files is the worst that ordinary trees come to; the list takes some 130 bytes a key.
        let files = self.files.len() as u64;
        (bytes + files * (BLOCK / 8 + 130) + RESERVE, files + files / 4 + 16)
    }

    /// Whether it is written in several groups of files.
    pub(super) fn is_large(&self) -> bool {
        self.files.len() > GROUP
    }

    /// Writes all files into a new, empty directory; false when it stopped between two groups of them.
    fn write(&self, version: &Dir, before: Option<&Dir>, go_on: &dyn Fn() -> bool) -> io::Result<bool> {
        let mut place = Place { open: Vec::new(), top: version };
        let mut old = before.map(|top| Place { open: Vec::new(), top });
        let mut reflinks = true;
        for (at, (path, source)) in self.files.iter().enumerate() {
            if at > 0 && at.is_multiple_of(GROUP) && !go_on() {
                return Ok(false);
            }
            let (folders, name) = split(path);
            let dir = place.enter(&folders, true)?;
            match source {
                Source::Value(value) => write_value(dir, &name, value, VALUE)?,
                Source::Carried(found, same) => {
                    let Some(old) = old.as_mut() else { continue };
                    if let What::Link(target) = &found.what {
                        dir.symlink(target, &name)?;
                        continue;
                    }
                    carry(dir, old.enter(&folders, false)?, &name, found, *same, &mut reflinks)?;
                }
            }
        }
        Ok(true)
    }
}

/// Takes a file over from the version before: as a reflink where the file system can, from git where git has it, and as a
/// copy. Never as a hard link: a write to one version would change the other.
fn carry(dir: &Dir, old: &Dir, name: &OsString, found: &Found, same: Option<&[u8]>, reflinks: &mut bool) -> io::Result<()> {
    let mode = if same.is_some() { VALUE } else { found.mode };
    if let (Some(value), false) = (same, *reflinks) {
        return write_value(dir, name, value, mode);
    }
    let mut from = old.open_file(name)?;
    let mut to = dir.create_new(name, mode)?;
    if *reflinks {
        match rustix::fs::ioctl_ficlone(&to, &from) {
            Ok(()) => return Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::XDEV | Errno::NOSYS) => *reflinks = false,
            Err(error) => return Err(error.into()),
        }
    }
    match same {
        Some(value) => to.write_all(value),
        None => io::copy(&mut from, &mut to).map(drop),
    }
}

fn write_value(dir: &Dir, name: &OsString, value: &[u8], mode: u32) -> io::Result<()> {
    #[cfg(test)]
    tests_hook::before_write()?;
    let mut file: File = dir.create_new(name, mode)?;
    file.write_all(value)
}

fn split(path: &[u8]) -> (Vec<OsString>, OsString) {
    let mut segments: Vec<OsString> = path.split(|byte| *byte == b'/').map(os).collect();
    let name = segments.pop().unwrap_or_default();
    (segments, name)
}

/// A tree with the folders open that lead to the file written last: paths come sorted, so few are opened twice.
struct Place<'a> {
    top: &'a Dir,
    open: Vec<(OsString, Dir)>,
}

impl Place<'_> {
    fn enter(&mut self, folders: &[OsString], make: bool) -> io::Result<&Dir> {
        let common = self.open.iter().zip(folders).take_while(|((name, _), folder)| name == *folder).count();
        self.open.truncate(common);
        for folder in &folders[common..] {
            let parent = self.open.last().map_or(self.top, |(_, dir)| dir);
            let dir = if make { parent.make_sub(folder, FOLDER)? } else { parent.sub(folder)? };
            self.open.push((folder.clone(), dir));
        }
        Ok(self.open.last().map_or(self.top, |(_, dir)| dir))
    }
}

/// The next build of this attempt. Never the name of a version that is there: a person may turn `current` to it at any moment,
/// and readers may have it open.
pub(super) fn unused(root: &Dir, attempt: Generation, live: Option<Version>) -> io::Result<Version> {
    let versions = root.make_sub(VERSIONS, FOLDER)?;
    let mut version = Version::first(attempt);
    while live.is_some_and(|live| live.generation == attempt && live >= version)
        || versions.stat(version.to_string())?.is_some()
    {
        version = version.rebuilt();
    }
    Ok(version)
}

/// Builds an unused version with its list; false when `go_on` said stop. Then, and after an error, nothing of it is left.
pub(super) fn build(
    root: &Dir,
    version: Version,
    contents: &Contents<'_>,
    manifest: &Manifest,
    before: Option<&Dir>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<bool> {
    let versions = root.make_sub(VERSIONS, FOLDER)?;
    let dir = versions.make_new_sub(version.to_string(), FOLDER)?;
    let written = (|| {
        if !contents.write(&dir, before, go_on)? {
            return Ok(false);
        }
        // Content first, then the list that vouches for it: a list is never there without all of its version.
        dir.sync_file_system()?;
        versions.replace(&version.manifest(), manifest.to_text().as_bytes(), VALUE)?;
        Ok(true)
    })();
    if !matches!(written, Ok(true)) {
        remove(&versions, version)?;
    }
    written
}

/// Removes a version with its list, the list first.
pub(super) fn remove(versions: &Dir, version: Version) -> io::Result<()> {
    versions.remove_file(version.manifest())?;
    match versions.stat(version.to_string())? {
        Some(_) => versions.remove_tree(version.to_string()),
        None => Ok(()),
    }
}

/// Makes a version the live one: a reader sees the one before or this one, and nothing between.
pub(super) fn switch(root: &Dir, version: Version) -> io::Result<()> {
    let beside = format!(".{CURRENT}.{}{LEFTOVER}", std::process::id());
    root.remove_file(&beside)?;
    root.symlink(format!("{VERSIONS}/{version}"), &beside)?;
    let renamed = root.rename(&beside, CURRENT);
    if renamed.is_err() {
        root.remove_file(&beside)?;
    }
    renamed?;
    root.sync()
}

/// Keys that can't be files of one directory tree: a key that another needs as a folder, and names over 255 bytes (rule D3).
///
/// For validation and planning of directory targets; [`super::DirectoryTarget`] refuses such a plan too.
#[must_use]
pub fn misfits<'k>(keys: impl IntoIterator<Item = &'k KeyPath>) -> Vec<Obstacle> {
    let keys: std::collections::BTreeSet<&str> = keys.into_iter().map(KeyPath::as_str).collect();
    let mut misfits = Vec::new();
    for key in &keys {
        let mut folders = key.match_indices('/').map(|(at, _)| &key[..at]);
        let why = if let Some(folder) = folders.find(|folder| keys.contains(folder)) {
            format!("in a directory {folder:?} can't be a file and a folder for {key:?} at once; rename one of the two keys")
        } else if let Some(long) = key.split('/').find(|segment| segment.len() > LONGEST_SEGMENT) {
            format!("a file name has at most {LONGEST_SEGMENT} bytes, and a part of this key has {}", long.len())
        } else {
            continue;
        };
        if let Ok(key) = KeyPath::parse(key) {
            misfits.push(Obstacle { key, why, values: String::new(), kind: ObstacleKind::Unfit });
        }
    }
    misfits
}

/// A disk that runs full in the middle of a build.
#[cfg(test)]
pub(super) mod tests_hook {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// How many more values fit.
        pub(in super::super) static ROOM: Cell<Option<u32>> = const { Cell::new(None) };
    }

    pub(super) fn before_write() -> io::Result<()> {
        match ROOM.get() {
            Some(0) => Err(io::Error::from_raw_os_error(28)),
            Some(left) => {
                ROOM.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
