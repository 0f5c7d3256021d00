//! The end of an environment in a directory: versions and state go, everything else in it stays (rule O9).
//!
//! The record's file goes last, after the line of history that says so. Before that the removal can be done again; `current`
//! goes before the version that it shows, so no reader finds a link to nothing for longer than that takes. Files that are not
//! lockstep's were taken along into the live version: it stays with them, without its list, and `current` too.

use std::io;

use super::disk::Disk;
use super::fault::During;
use super::keep::remove_all_but;
use super::lease::{DirectoryLease, LEASE};
use super::state::RECORD;
use super::version::CURRENT;
use crate::domain::live::Fence;
use crate::domain::rollout::Farewell;
use crate::port::EdgeError;

impl Disk {
    pub(super) fn dissolve(&self, lease: &DirectoryLease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        const OPERATION: &str = "remove what lockstep holds in";
        let _writing = lease.writing();
        self.check_record(lease, expected, OPERATION)?;
        let root = self.root(OPERATION)?;
        let live = self.look(&root, OPERATION)?;
        let of_others = live.filter(|live| !live.snapshot.found.is_empty() || !live.snapshot.special.is_empty());
        if of_others.is_none() {
            root.remove_file(CURRENT).during(OPERATION, &self.path)?;
            root.sync().during(OPERATION, &self.path)?;
        }
        remove_all_but(&root, of_others.map(|live| live.version)).during(OPERATION, &self.path)?;
        let state = self.state(OPERATION)?;
        state.end(&farewell.line).during(OPERATION, &self.path)?;
        lease.take_files_away(&state.0).during(OPERATION, &self.path)
    }

    /// Takes away what a process left that died between the last two steps of [`Self::dissolve`]: the lock's files.
    pub(super) fn end_dissolving(&self) -> Result<(), EdgeError> {
        const OPERATION: &str = "finish a removal in";
        let state = self.state(OPERATION)?;
        let is_over = || -> io::Result<bool> { Ok(state.0.stat(RECORD)?.is_none() && state.0.stat(LEASE)?.is_some()) };
        let end = || -> io::Result<()> {
            if !is_over()? {
                return Ok(());
            }
            match DirectoryLease::take(&state.0)? {
                // Whoever had the lock until now may have made a record.
                Ok(lease) if is_over()? => lease.take_files_away(&state.0),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        end().during(OPERATION, &self.path)
    }
}
