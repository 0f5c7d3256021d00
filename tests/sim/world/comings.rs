//! Environments that come and go: a record taken over under another name, taken away with all that lockstep holds, or made anew.

use lockstep::domain::name::EnvironmentName;
use lockstep::domain::resource::OwnerId;
use lockstep::domain::rollout::{Farewell, Identity, Rollout, Save};

use super::{Refused, World};
use crate::invariants;

/// What a take-over leaves out: planted bugs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Careless {
    /// It does not ask for the lease.
    pub(crate) lease: bool,
    /// It leaves the record where it was, too.
    pub(crate) leaves: bool,
}

impl World {
    /// The record goes on under another name, in one transaction.
    pub(crate) fn rename(
        &mut self,
        session: u64,
        replica: usize,
        expected: u64,
        save: &Save,
        careless: Careless,
    ) -> Result<(), Refused> {
        if !self.holds(session) && !careless.lease {
            self.reached("a stale take-over was refused");
            return Err(Refused::Session);
        }
        if self.store.record.as_ref().map_or(0, |(_, index)| *index) != expected {
            return Err(Refused::Record);
        }
        if let Some(opened) = save.opens.filter(|opened| self.store.history.contains_key(opened)) {
            return Err(Refused::History(opened));
        }
        let led_by = self.leader().filter(|held| held.id != session).map(|held| held.replica);
        self.store.index += 1;
        self.last_write = self.now;
        let before = self.store.record.replace((save.record.clone(), self.store.index));
        self.store.history.extend(save.history.iter().map(|line| (line.generation, line.clone())));
        let Some((before, index)) = before else { return Err(Refused::Record) };
        let (from, to) = (before.identity.environment.clone(), save.record.identity.environment.clone());
        self.note(format!("replica {replica}: {from} goes on as {to} at generation {}", save.record.generation));
        if careless.leaves {
            self.store.left = Some((before.clone(), index));
        }
        // Whatever leads under the old name leads nobody any more, and what was asked there is asked of nobody.
        self.lease = None;
        self.forget_requests(&from);
        invariants::renamed(self, replica, led_by, &before, &save.record);
        Ok(())
    }

    /// The record and all that is beside it go, in one transaction; the line of history stays, closed.
    pub(crate) fn dissolve(
        &mut self,
        session: u64,
        replica: usize,
        expected: u64,
        farewell: &Farewell,
        unfenced: bool,
    ) -> Result<(), Refused> {
        let holds = self.holds(session);
        if !holds && !unfenced {
            self.reached("a stale removal was refused");
            return Err(Refused::Session);
        }
        if self.store.record.as_ref().map_or(0, |(_, index)| *index) != expected && !unfenced {
            return Err(Refused::Record);
        }
        invariants::dissolved(self, replica, (holds, expected), farewell);
        self.note(format!("replica {replica}: {} is removed", farewell.identity.environment));
        self.store.index += 1;
        self.last_write = self.now;
        self.store.history.insert(farewell.line.generation, farewell.line.clone());
        self.store.record = None;
        self.lease = None;
        self.forget_requests(&farewell.identity.environment);
        self.removed = Some(farewell.identity.clone());
        self.truth.nothing_is_kept(&self.store);
        self.reached("a removed environment");
        Ok(())
    }

    /// A person makes a removed environment anew, as the branch calls it: another owner id, and the numbers go on.
    pub(crate) fn initialise(&mut self, name: &EnvironmentName) {
        let Some(gone) = self.removed.take() else { return };
        let owner = OwnerId::new(gone.owner.number() + 1).unwrap();
        let generation = self.store.history.keys().next_back().copied().unwrap_or_default();
        let identity = Identity { environment: name.clone(), owner, ..gone };
        self.note(format!("{name} is initialised at generation {generation}"));
        self.reached("a removed environment came back");
        self.forget_requests(name);
        self.store.index += 1;
        self.store.record = Some((Rollout { generation, ..Rollout::new(identity) }, self.store.index));
        self.truth.nothing_is_kept(&self.store);
    }

    /// What was asked of an environment that goes is asked of nobody.
    fn forget_requests(&mut self, name: &EnvironmentName) {
        self.store.requests.retain(|_, asked| asked.of != *name);
    }
}
