//! Environments that come and go, as a target carries it out: under the fences of every other write, and in steps of which any can
//! be the last.

use lockstep::domain::live::Fence;
use lockstep::domain::name::EnvironmentName;
use lockstep::domain::plan::Action;
use lockstep::domain::resource::OwnerId;
use lockstep::domain::rollout::{Apply, Farewell, Save, Stored};
use lockstep::port::{EdgeError, EdgeKind, Leading, Target as _};

use super::Edge;
use super::target::Lease;
use crate::bugs::Bug;
use crate::world::{Careless, SESSION};

impl Edge {
    pub(super) async fn stored(&self, name: &EnvironmentName, what: &str) -> Result<Option<Stored>, EdgeError> {
        self.call(what).await?;
        let stored = self.world().stored_as(name);
        self.border().await;
        Ok(stored.map(|(record, index)| Stored { record, fence: Fence(index) }))
    }

    /// With the lease of the former name, which is given back whatever came of it.
    pub(super) async fn takes_over(&self, former: &EnvironmentName, expected: Fence, save: &Save) -> Result<(), EdgeError> {
        let careless =
            Careless { lease: self.has(Bug::TakesOverWithoutTheLease), leaves: self.has(Bug::LeavesTheFormerRecord) };
        if careless.lease {
            return self.moves(&Lease(0), expected, save, careless).await;
        }
        let lease = match self.lead().await? {
            Leading::Ours(lease) => lease,
            Leading::Theirs(who) => {
                self.world().reached("a take-over was refused while another led");
                return Err(
                    EdgeError::new("sim", EdgeKind::Refused, "take a record over").because(format!("{former} is led by {who}"))
                );
            }
        };
        let done = self.moves(&lease, expected, save, careless).await;
        let _ = self.release(lease).await;
        done
    }

    async fn moves(&self, lease: &Lease, expected: Fence, save: &Save, careless: Careless) -> Result<(), EdgeError> {
        self.call("take a record over").await?;
        let mut save = save.clone();
        if self.has(Bug::RenamesUnderANewOwner) {
            let owner = &mut save.record.identity.owner;
            *owner = OwnerId::new(owner.number() + 1).unwrap();
        }
        let done = self.world().rename(lease.0, self.replica, expected.0, &save, careless);
        self.answer("take a record over").await?;
        done.map_err(|refused| self.refused(refused))?;
        self.gave_out(&save);
        Ok(())
    }

    pub(super) async fn dissolves(&self, lease: &Lease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        let unfenced = self.has(Bug::RemovesTheRecordUnfenced);
        // Long enough at times for the session to end meanwhile, and for others to lead.
        self.world().dissolving = true;
        self.dawdle(30, 2 * SESSION).await;
        self.world().dissolving = false;
        self.call("remove an environment").await?;
        let done = self.world().dissolve(lease.0, self.replica, expected.0, farewell, unfenced);
        self.answer("remove an environment").await?;
        done.map_err(|refused| self.refused(refused))
    }

    /// With the bug a removal deletes what it should give back.
    pub(super) fn spoils_a_removal(&self, apply: &Apply) -> Option<Apply> {
        if !self.has(Bug::DeletesAdoptedKeysInARemoval) {
            return None;
        }
        let mut spoilt = apply.clone();
        for change in spoilt.plan.changes.iter_mut().filter(|change| change.action == Action::Release) {
            change.action = Action::Delete;
        }
        Some(spoilt)
    }
}
