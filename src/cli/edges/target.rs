//! A target of either kind, so that a command reads the same for both.

use std::collections::BTreeMap;

use crate::client::consul::{ConsulTarget, Lease};
use crate::client::directory::{DirectoryLease, DirectoryTarget};
use crate::domain::desired::DesiredState;
use crate::domain::live::{Fence, LiveState};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Generation;
use crate::domain::rollout::{
    Answer, Apply, Farewell, HistoryLine, Identity, Recovery, Remains, Request, RequestId, Retention, Save, Stored,
};
use crate::port::{Character, EdgeError, EdgeKind, Leading, Target, Told, Wake, Written};

/// A target of either kind.
pub(in crate::cli) enum AnyTarget {
    /// A Consul datacenter.
    Consul(Box<ConsulTarget>),
    /// A directory.
    Directory(DirectoryTarget),
}

impl AnyTarget {
    /// Whether the first deploy makes the environment's record: a directory's path can't be another environment's by mistake
    /// (rule O6).
    pub(in crate::cli) const fn makes_its_record(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

/// The lease of either kind.
pub(in crate::cli) enum AnyLease {
    /// Of a Consul datacenter.
    Consul(Lease),
    /// Of a directory.
    Directory(DirectoryLease),
}

/// Hands a call to whichever target it is.
macro_rules! either {
    ($self:ident, $target:ident => $call:expr) => {
        match $self {
            AnyTarget::Consul($target) => $call,
            AnyTarget::Directory($target) => $call,
        }
    };
}

/// The same, with the lease of the same kind.
macro_rules! either_with {
    ($self:ident, $given:expr, $target:ident, $lease:ident => $call:expr) => {
        match ($self, $given) {
            (AnyTarget::Consul($target), AnyLease::Consul($lease)) => $call,
            (AnyTarget::Directory($target), AnyLease::Directory($lease)) => $call,
            (AnyTarget::Consul(_) | AnyTarget::Directory(_), AnyLease::Consul(_) | AnyLease::Directory(_)) => {
                Err(EdgeError::new("lockstep", EdgeKind::Refused, "use the lease of another kind of target"))
            }
        }
    };
}

impl Target for AnyTarget {
    type Lease = AnyLease;

    fn character(&self) -> Character {
        either!(self, target => target.character())
    }

    async fn load(&self) -> Result<Option<Stored>, EdgeError> {
        either!(self, target => target.load().await)
    }

    async fn initialise(&self) -> Result<Identity, EdgeError> {
        either!(self, target => target.initialise().await)
    }

    async fn remains(&self) -> Result<Option<Remains>, EdgeError> {
        either!(self, target => target.remains().await)
    }

    async fn recover(&self, recovery: &Recovery, told: &Told<'_>) -> Result<Identity, EdgeError> {
        either!(self, target => target.recover(recovery, told).await)
    }

    async fn former(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        either!(self, target => target.former(name).await)
    }

    async fn may_take_over(&self, former: &EnvironmentName, identity: &Identity) -> Result<(), EdgeError> {
        either!(self, target => target.may_take_over(former, identity).await)
    }

    async fn take_over(&self, former: &EnvironmentName, expected: Fence, save: &Save) -> Result<(), EdgeError> {
        either!(self, target => target.take_over(former, expected, save).await)
    }

    async fn live(&self) -> Result<LiveState, EdgeError> {
        either!(self, target => target.live().await)
    }

    async fn look_again(&self, before: LiveState) -> Result<LiveState, EdgeError> {
        either!(self, target => target.look_again(before).await)
    }

    async fn hidden(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, String>, EdgeError> {
        either!(self, target => target.hidden(keys).await)
    }

    async fn permits(&self, keys: &[KeyPath]) -> Result<bool, EdgeError> {
        either!(self, target => target.permits(keys).await)
    }

    async fn values(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        either!(self, target => target.values(keys).await)
    }

    async fn lead(&self) -> Result<Leading<AnyLease>, EdgeError> {
        Ok(match self {
            Self::Consul(target) => match target.lead().await? {
                Leading::Ours(lease) => Leading::Ours(AnyLease::Consul(lease)),
                Leading::Theirs(who) => Leading::Theirs(who),
            },
            Self::Directory(target) => match target.lead().await? {
                Leading::Ours(lease) => Leading::Ours(AnyLease::Directory(lease)),
                Leading::Theirs(who) => Leading::Theirs(who),
            },
        })
    }

    async fn leader(&self) -> Result<Option<String>, EdgeError> {
        either!(self, target => target.leader().await)
    }

    fn holds(&self, lease: &AnyLease) -> bool {
        match (self, lease) {
            (Self::Consul(target), AnyLease::Consul(lease)) => target.holds(lease),
            (Self::Directory(target), AnyLease::Directory(lease)) => target.holds(lease),
            (Self::Consul(_), AnyLease::Directory(_)) | (Self::Directory(_), AnyLease::Consul(_)) => false,
        }
    }

    async fn release(&self, lease: AnyLease) -> Result<(), EdgeError> {
        either_with!(self, lease, target, lease => target.release(lease).await)
    }

    async fn save(&self, lease: &AnyLease, expected: Fence, save: &Save) -> Result<Fence, EdgeError> {
        either_with!(self, lease, target, lease => target.save(lease, expected, save).await)
    }

    async fn apply(
        &self,
        lease: &AnyLease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, EdgeError> {
        either_with!(self, lease, target, lease => target.apply(lease, expected, apply, desired, go_on).await)
    }

    async fn newest_number(&self) -> Result<Option<Generation>, EdgeError> {
        either!(self, target => target.newest_number().await)
    }

    async fn history(&self, at_most: usize) -> Result<Vec<HistoryLine>, EdgeError> {
        either!(self, target => target.history(at_most).await)
    }

    fn requests_at_lead(&self) -> Option<Vec<Request>> {
        either!(self, target => target.requests_at_lead())
    }

    async fn requests(&self) -> Result<Vec<Request>, EdgeError> {
        either!(self, target => target.requests().await)
    }

    async fn submit(&self, request: &Request) -> Result<(), EdgeError> {
        either!(self, target => target.submit(request).await)
    }

    async fn answer(&self, id: &RequestId) -> Result<Option<Answer>, EdgeError> {
        either!(self, target => target.answer(id).await)
    }

    async fn forget(&self, lease: &AnyLease, expected: Fence, retention: &Retention) -> Result<(), EdgeError> {
        either_with!(self, lease, target, lease => target.forget(lease, expected, retention).await)
    }

    async fn dissolve(&self, lease: &AnyLease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        either_with!(self, lease, target, lease => target.dissolve(lease, expected, farewell).await)
    }

    async fn watch(&self, wake: &dyn Wake) {
        either!(self, target => target.watch(wake).await);
    }
}
