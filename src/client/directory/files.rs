//! An open directory, and files reached through it one name at a time.
//!
//! Every name is opened relative to a directory that is open already and without following a link, so a link that somebody
//! puts in the way (`versions`, `.lockstep/history`, a folder of a version) ends in an error and never in a write elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// What a directory holds under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, a pipe or a device.
    Special,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

impl Dir {
    /// Opens a directory by its configured path; links in that path are the configuration's own business.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Opens a directory inside this one; `NotADirectory` when a link or file is there.
    pub(super) fn sub(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        self.open_at(name.as_ref(), OFlags::DIRECTORY | OFlags::RDONLY, 0).map(Self)
    }

    fn open_at(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode)).map_err(|error| match error {
            // "Too many levels of symbolic links" is the system's word for the one link that was not followed.
            Errno::LOOP => io::Error::new(io::ErrorKind::NotADirectory, "a symbolic link is in the way"),
            error => error.into(),
        })
    }

    /// Opens a directory inside this one, making it if it is missing.
    pub(super) fn make_sub(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        match self.make_new_sub(name.as_ref(), mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.sub(name),
            other => other,
        }
    }

    /// Makes a directory inside this one and opens it; `AlreadyExists` when anything has that name.
    pub(super) fn make_new_sub(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.0, name.as_ref(), Mode::from_raw_mode(mode))?;
        let new = self.sub(name)?;
        // The process's umask must not decide who may read a version.
        rustix::fs::fchmod(&new.0, Mode::from_raw_mode(mode))?;
        Ok(new)
    }

    /// Opens a file for reading. It never blocks on a pipe.
    pub(super) fn open_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.open_at(name.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK, 0).map(File::from)
    }

    /// Opens a file for reading and writing, making it with this mode if it is missing.
    pub(super) fn open_or_create(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        self.open_at(name.as_ref(), OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK, mode).map(File::from)
    }

    /// Makes a new file with this mode, whatever the umask, and opens it for writing.
    pub(super) fn create_new(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let file = File::from(self.open_at(name.as_ref(), OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?);
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        Ok(file)
    }

    /// A file's bytes; none when it is missing. More than `limit` bytes are an error.
    pub(super) fn read(&self, name: impl AsRef<OsStr>, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open_file(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("is longer than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Gives a file new contents at once: written beside, made durable, renamed over it.
    pub(super) fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let beside = self.write_beside(name, bytes, mode)?;
        self.rename(&beside, name)?;
        self.sync()
    }

    /// Writes a file that must not exist yet, all of it or nothing; `AlreadyExists` when it does.
    pub(super) fn create_whole(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let beside = self.write_beside(name, bytes, mode)?;
        let linked = rustix::fs::linkat(&self.0, &beside, &self.0, name, AtFlags::empty());
        self.remove_file(&beside)?;
        linked?;
        self.sync()
    }

    /// Process id and a counter are part of the name, so that no two writers ever write the same file beside.
    fn write_beside(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<String> {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let beside = format!(".{name}.{}-{}{LEFTOVER}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
        self.remove_file(&beside)?;
        let mut file = self.create_new(&beside, mode)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = self.remove_file(&beside);
        }
        written.map(|()| beside)
    }

    /// Renames within this directory, over whatever has the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file or link; a missing one is removed already.
    pub(super) fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name.as_ref(), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Removes a directory with all that is in it, following no link.
    pub(super) fn remove_tree(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = name.as_ref();
        // A stack of open directories: each is emptied before its own name goes.
        let mut stack = vec![(name.to_owned(), self.sub(name)?)];
        while let Some((_, dir)) = stack.last() {
            let mut deeper = None;
            for (entry, kind) in dir.list()? {
                if kind == Kind::Directory {
                    deeper = Some((entry.clone(), dir.sub(&entry)?));
                    break;
                }
                dir.remove_file(&entry)?;
            }
            if let Some(next) = deeper {
                stack.push(next);
            } else if let Some((emptied, _)) = stack.pop() {
                let parent = stack.last().map_or(self, |(_, dir)| dir);
                rustix::fs::unlinkat(&parent.0, &emptied, AtFlags::REMOVEDIR)?;
            }
        }
        Ok(())
    }

    /// Makes a symbolic link that must not exist yet.
    pub(super) fn symlink(&self, target: impl AsRef<OsStr>, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target.as_ref(), &self.0, name.as_ref())?)
    }

    /// Where a link points; none when nothing has the name; `InvalidInput` when it is no link.
    pub(super) fn read_link(&self, name: impl AsRef<OsStr>) -> io::Result<Option<OsString>> {
        match rustix::fs::readlinkat(&self.0, name.as_ref(), Vec::new()) {
            Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a name stands for, its permission bits and its size, without following a link; none when it is missing.
    pub(super) fn stat(&self, name: impl AsRef<OsStr>) -> io::Result<Option<rustix::fs::Stat>> {
        match rustix::fs::statat(&self.0, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Every name with its kind, in no order.
    pub(super) fn list(&self) -> io::Result<Vec<(OsString, Kind)>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let mut file_type = entry.file_type();
            if file_type == FileType::Unknown {
                // Some file systems don't say it in the listing.
                let Some(stat) = self.stat(name)? else { continue };
                file_type = FileType::from_raw_mode(stat.st_mode);
            }
            names.push((name.to_owned(), kind_of(file_type)));
        }
        Ok(names)
    }

    /// Makes names in this directory durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Makes everything on this directory's file system durable.
    pub(super) fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }

    /// Free bytes and free inodes for us; no inode limit reads as the largest number.
    pub(super) fn free(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::fstatvfs(&self.0)?;
        let inodes = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), inodes))
    }

    /// Another handle on the same directory.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.as_fd().try_clone_to_owned()?))
    }
}

/// The end of the name of a file that is not finished.
pub(super) const LEFTOVER: &str = ".unfinished";

fn kind_of(file_type: FileType) -> Kind {
    if file_type.is_file() {
        Kind::File
    } else if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_symlink() {
        Kind::Link
    } else {
        Kind::Special
    }
}
