//! The lease: an exclusive lock on a file, which the kernel drops with the process that holds it (rule D4).

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::files::Dir;
use super::state::PRIVATE;

/// The locked file. Asking for the lock opens and closes it, which is no news to anybody; `holder` says when it changes hands.
pub(super) const LEASE: &str = "lease";
const HOLDER: &str = "holder";

/// Proof of holding the lease of a directory.
#[derive(Debug, Clone)]
pub struct DirectoryLease(Arc<Held>);

#[derive(Debug)]
struct Held {
    file: File,
    /// One write at a time. A caller that gave up waiting for a write leaves it running; the next one waits here, and the
    /// lock is not free for another process before it is through.
    writing: Mutex<()>,
}

impl DirectoryLease {
    /// Takes the lock if it is free; else says who has it.
    pub(super) fn take(state: &Dir) -> io::Result<Result<Self, String>> {
        let file = state.open_or_create(LEASE, PRIVATE)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = state.read(HOLDER, 200)?.unwrap_or_default();
                let holder = String::from_utf8_lossy(&holder).trim().to_owned();
                return Ok(Err(if holder.is_empty() { "another process on this machine".to_owned() } else { holder }));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let lease = Self(Arc::new(Held { file, writing: Mutex::new(()) }));
        if !lease.is_held(state)? {
            return Ok(Err("another process, which has just replaced the lock".to_owned()));
        }
        state.replace(HOLDER, format!("process {} on this machine\n", std::process::id()).as_bytes(), PRIVATE)?;
        Ok(Ok(lease))
    }

    /// Who holds the lock, by the name that it left; none when that process is gone.
    pub(super) fn holder(state: &Dir) -> io::Result<Option<String>> {
        let holder = state.read(HOLDER, 200)?.unwrap_or_default();
        let holder = String::from_utf8_lossy(&holder).trim().to_owned();
        let process = holder.split(' ').nth(1).and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        let runs = process.is_some_and(|process| test_kill_process(process) != Err(Errno::SRCH));
        Ok(runs.then_some(holder))
    }

    /// Removes the name that [`Self::take`] left, while the lock is still held.
    pub(super) fn take_name_off(&self, state: &Dir) -> io::Result<()> {
        if self.is_held(state)? { state.remove_file(HOLDER) } else { Ok(()) }
    }

    /// Removes the lock's file and the name, where there is nothing to lead any more. The lock on the open file holds on.
    pub(super) fn take_files_away(&self, state: &Dir) -> io::Result<()> {
        if self.is_held(state)? {
            state.remove_file(HOLDER)?;
            state.remove_file(LEASE)?;
        }
        Ok(())
    }

    /// Waits for the write before this one.
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        // A panic in an earlier write leaves files as a crash would, and every write looks at the files first.
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the lock is still on the file that others would lock. It is not when somebody removed that file.
    pub(super) fn is_held(&self, state: &Dir) -> io::Result<bool> {
        let ours = self.0.file.metadata()?;
        Ok(state.stat(LEASE)?.is_some_and(|stat| stat.st_ino == ours.ino() && stat.st_dev == ours.dev()))
    }
}
