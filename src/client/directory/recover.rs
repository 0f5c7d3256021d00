//! A record that was lost, made anew from the list of the live version and from history (rule A6).

use std::io;

use super::disk::Disk;
use super::fault::{During, fault};
use super::files::Dir;
use super::state::{State, StateError};
use crate::domain::rollout::{Identity, Marks, Recovery, Remains, Save};
use crate::port::{EdgeError, EdgeKind, Told};

const OPERATION: &str = "recover the record in";

impl Disk {
    pub(super) fn remains(&self) -> Result<Option<Remains>, EdgeError> {
        let root = match Dir::open(&self.path) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Remains::default())),
            Err(error) => return Err(error).during(OPERATION, &self.path),
        };
        if self.journal(&root, OPERATION)?.is_some() {
            return Ok(None);
        }
        let newest = State::open(&root).and_then(|state| state.newest_line());
        // No state at all is what was lost.
        let newest = newest.ok().flatten().map(|line| line.generation);
        Ok(Some(Remains { marks: Marks::of(&self.live()?), newest, ..Remains::default() }))
    }

    pub(super) fn recover(&self, recovery: &Recovery, told: &Told<'_>) -> Result<Identity, EdgeError> {
        let root = self.root(OPERATION)?;
        let state = State::make(&root).during(OPERATION, &self.path)?;
        let identity = Identity { owner: recovery.owner, ..self.new_identity()? };
        let (record, line) = recovery.record(identity.clone(), told.revision, told.by, told.because, told.at);
        match state.begin(&Save::opening(record, line)) {
            Ok(()) => Ok(identity),
            Err(StateError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                let because = "somebody else made a record at the same moment";
                Err(fault(EdgeKind::Refused, format!("{OPERATION} {}", self.path.display()), because).hint("look at it first"))
            }
            Err(error) => Err(self.fail(OPERATION, error)),
        }
    }
}
