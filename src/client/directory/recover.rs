//! A record that was lost, made anew from the list of the live version and from history (rule A6).

use std::io;

use super::disk::Disk;
use super::fault::{During, fault};
use super::files::Dir;
use super::state::{State, StateError};
use crate::domain::rollout::{Identity, Marks, Recovery, Remains};
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
        // No state at all is what was lost.
        let mut lines = State::open(&root).ok().and_then(|state| state.history(usize::MAX).ok()).unwrap_or_default();
        let newest = self.newest_number()?;
        let former = Remains::names_in(&lines, &self.environment);
        let removed = lines.first().and_then(|line| line.removal_said(&self.environment));
        lines.truncate(Remains::LINES);
        let marks = Marks::of(&self.live()?);
        Ok(Some(Remains { marks, newest, open: Remains::open(lines), former, removed, ..Remains::default() }))
    }

    pub(super) fn recover(&self, recovery: &Recovery, told: &Told<'_>) -> Result<Identity, EdgeError> {
        let root = self.root(OPERATION)?;
        let state = State::make(&root).during(OPERATION, &self.path)?;
        let identity = Identity { owner: recovery.owner, ..self.new_identity()? };
        let save = recovery.save(identity.clone(), told.revision, told.by, told.because, told.at);
        match state.begin(&save) {
            Ok(()) => Ok(identity),
            Err(StateError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                let because = "somebody else made a record at the same moment";
                Err(fault(EdgeKind::Refused, format!("{OPERATION} {}", self.path.display()), because).hint("look at it first"))
            }
            Err(error) => Err(self.fail(OPERATION, error)),
        }
    }
}
