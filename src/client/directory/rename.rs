//! A directory that goes on under another name: its record says the new one, in one rename of its file (rule O9).

use std::io;

use super::disk::Disk;
use super::fault::{During, fault};
use super::files::Dir;
use super::lease::DirectoryLease;
use crate::domain::live::Fence;
use crate::domain::name::EnvironmentName;
use crate::domain::rollout::{Save, Stored};
use crate::port::{EdgeError, EdgeKind};

impl Disk {
    pub(super) fn former(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        const OPERATION: &str = "read the record in";
        let root = match Dir::open(&self.path) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).during(OPERATION, &self.path),
        };
        let journal = self.journal(&root, OPERATION)?;
        let is_former =
            |found: &crate::domain::rollout::Identity| found.repository == self.repository && found.environment == *name;
        let journal = journal.filter(|journal| is_former(&journal.record.identity));
        Ok(journal.map(|journal| Stored { fence: Fence(journal.sequence), record: journal.record }))
    }

    pub(super) fn take_over(&self, former: &EnvironmentName, expected: Fence, save: &Save) -> Result<(), EdgeError> {
        const OPERATION: &str = "take the record over in";
        let moved = |because: String| fault(EdgeKind::Conflict, format!("{OPERATION} {}", self.path.display()), because);
        let state = self.state(OPERATION)?;
        let lease = match DirectoryLease::take(&state.0).during(OPERATION, &self.path)? {
            Ok(lease) => lease,
            Err(who) => return Err(moved(format!("{former} is led by {who}"))),
        };
        let journal = state.journal().map_err(|error| self.fail(OPERATION, error))?;
        let done = match journal.filter(|journal| journal.record.identity.environment == *former) {
            Some(journal) => state.save(&journal, expected.0, save).map(|_| ()).map_err(|error| self.fail(OPERATION, error)),
            None => Err(moved(format!("there is no record of {former} any more"))),
        };
        self.take_name_off(&lease);
        done
    }
}
