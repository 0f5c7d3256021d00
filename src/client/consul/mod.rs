//! A Consul datacenter as a target.
//!
//! Everything that an environment needs lies in the same Consul: its keys, the record, the lease, history and requests. One
//! [`Server`] is one connection to one Consul with its session and its limits; the environments on it share it, and each has
//! a [`ConsulTarget`]. Writes are transactions only, reads are consistent only; `txn` and `kv` say why.

mod tls;
mod fault;
mod slots;
mod http;
mod array;
mod txn;
mod kv;
mod session;
mod paths;
mod owner;
pub mod acl;
mod glimpse;
mod lease;
mod state;
mod flights;
mod forget;
mod apply;
mod sight;
mod cover;
mod watch;
mod rights;
mod listing;
mod export;
mod look;
mod lost;
mod dissolve;
mod rename;
mod init;
mod recover;
mod catalog;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use self::catalog::{Catalog, Instance};
pub use self::export::Exported;
use self::glimpse::Glimpse;
use self::http::Http;
pub use self::lease::Lease;
use self::paths::Paths;
use self::rights::Resource;
use self::session::Sessions;
use self::txn::{Found, Limits, Transaction};
use self::watch::Watches;
use crate::config;
use crate::domain::desired::DesiredState;
use crate::domain::live::{Fence, LiveState};
use crate::domain::name::{EnvironmentName, KeyPath, KeyRoots, RepositoryName};
use crate::domain::revision::Generation;
use crate::domain::rollout::{
    Answer, Apply, Farewell, Formerly, HistoryLine, Identity, Recovery, Remains, Request, RequestId, Retention, Save, Stored,
    TargetId,
};
use crate::port::{Character, EdgeError, EdgeKind, Leading, Target, Told, Wake, Written};

/// How long samples don't count after an apply: consumers watch Consul and need time to read a change (rule H2).
pub const SETTLE: Duration = Duration::from_secs(30);

/// One Consul: connections, session and limits, shared by the environments on it.
pub struct Server {
    http: Arc<Http>,
    limits: Limits,
    sessions: Sessions,
    watches: Watches,
}

impl Server {
    /// Sets up a connection; nothing is sent yet, so an absent Consul is no error here.
    ///
    /// # Errors
    /// `Refused` when the CA or client certificate cannot be used.
    pub fn connect(config: &config::Consul) -> Result<Arc<Self>, EdgeError> {
        let host = rustix::system::uname();
        let name = format!("lockstep {}:{}", host.nodename().to_string_lossy(), std::process::id());
        let http = Arc::new(Http::new(config)?);
        let watches = Watches::new(&http, Http::watches(config));
        Ok(Arc::new(Self { http, limits: Limits::new(), sessions: Sessions::new(name), watches }))
    }

    /// Ends the session and with it every lease, so that another controller can take over at once. Call it once, last.
    ///
    /// # Errors
    /// When Consul could not be told; the session then runs out by itself.
    pub async fn close(&self) -> Result<(), EdgeError> {
        self.sessions.close(&self.http).await
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("http", &self.http).finish_non_exhaustive()
    }
}

/// One environment on a Consul.
#[derive(Debug)]
pub struct ConsulTarget {
    server: Arc<Server>,
    repository: RepositoryName,
    environment: EnvironmentName,
    keys: KeyRoots,
    /// What the configuration pins (rule O6), or what this handle has just made itself.
    pinned: OnceLock<TargetId>,
    paths: Paths,
    /// What was read in the moment in which the lease was taken.
    glimpse: Glimpse,
    /// How many answers to requests there were when they were last read; more than any when they were not.
    answers: AtomicUsize,
}

impl ConsulTarget {
    /// The environment `environment` of `repository`, which may write below `keys`; `target_id` is what `lockstep init`
    /// printed.
    pub fn new(
        server: Arc<Server>,
        repository: RepositoryName,
        environment: EnvironmentName,
        keys: KeyRoots,
        target_id: Option<TargetId>,
    ) -> Self {
        let paths = Paths::new(&repository, &environment);
        let pinned = target_id.map(OnceLock::from).unwrap_or_default();
        let (glimpse, answers) = (Glimpse::default(), AtomicUsize::new(usize::MAX));
        Self { server, repository, environment, keys, pinned, paths, glimpse, answers }
    }

    /// History up to a number, newest first; none where the token may not surely read it: Consul leaves hidden lines out of a
    /// list, or refuses the list.
    ///
    /// # Errors
    /// When Consul can't be asked.
    pub async fn readable_history(&self, upto: Generation, at_most: usize) -> Result<Option<Vec<HistoryLine>>, EdgeError> {
        let allowed = self.server.http.allowed(&[Resource::below(&self.paths.history())]).await?;
        if allowed.is_some_and(|allowed| allowed != [true]) {
            return Ok(None);
        }
        match self.read_history(at_most, Some(upto)).await {
            Err(error) if error.kind == EdgeKind::Denied => Ok(None),
            read => read.map(Some),
        }
    }

    async fn transact(&self, txn: Transaction, doing: &str) -> Result<Vec<Found>, EdgeError> {
        self.glimpse.forget();
        self.server.http.transact(&self.server.limits, txn, doing).await
    }
}

impl Target for ConsulTarget {
    type Lease = Lease;

    fn character(&self) -> Character {
        Character {
            name: format!("consul at {}", self.server.http.name()),
            settle: SETTLE,
            rights: self.server.http.rights(),
            resumes: true,
            outlived: session::OUTLIVED,
        }
    }

    async fn load(&self) -> Result<Option<Stored>, EdgeError> {
        self.load_record().await
    }

    async fn initialise(&self) -> Result<Identity, EdgeError> {
        self.initialise_after(&Formerly::Never).await
    }

    async fn remains(&self) -> Result<Option<Remains>, EdgeError> {
        self.what_remains().await
    }

    async fn recover(&self, recovery: &Recovery, told: &Told<'_>) -> Result<Identity, EdgeError> {
        self.recover_after(&Formerly::Never, recovery, told).await
    }

    async fn former(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        self.record_of(name).await
    }

    async fn may_take_over(&self, former: &EnvironmentName, identity: &Identity) -> Result<(), EdgeError> {
        self.may_take_record_over(former, identity).await
    }

    async fn take_over(&self, former: &EnvironmentName, expected: Fence, save: &Save) -> Result<(), EdgeError> {
        self.take_record_over(former, expected, save).await
    }

    async fn live(&self) -> Result<LiveState, EdgeError> {
        self.read_all().await
    }

    async fn look_again(&self, before: LiveState) -> Result<LiveState, EdgeError> {
        self.look_at_what_moved(before).await
    }

    async fn hidden(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, String>, EdgeError> {
        self.hidden_among(keys).await
    }

    async fn permits(&self, keys: &[KeyPath]) -> Result<bool, EdgeError> {
        self.may_write(keys).await
    }

    async fn values(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        self.server.http.read_values(&self.server.limits, keys).await
    }

    async fn lead(&self) -> Result<Leading<Lease>, EdgeError> {
        self.take_lease().await
    }

    async fn leader(&self) -> Result<Option<String>, EdgeError> {
        self.holder(&format!("read the lease of {}", self.environment)).await
    }

    fn holds(&self, lease: &Lease) -> bool {
        !lease.is_lost()
    }

    async fn release(&self, lease: Lease) -> Result<(), EdgeError> {
        self.give_lease_back(lease).await
    }

    async fn save(&self, lease: &Lease, expected: Fence, save: &Save) -> Result<Fence, EdgeError> {
        self.save_record(lease, expected, save).await
    }

    async fn apply(
        &self,
        lease: &Lease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, EdgeError> {
        self.apply_plan(lease, expected, apply, desired, go_on).await
    }

    async fn newest_number(&self) -> Result<Option<Generation>, EdgeError> {
        self.newest_line().await
    }

    async fn history(&self, at_most: usize) -> Result<Vec<HistoryLine>, EdgeError> {
        self.read_history(at_most, None).await
    }

    fn requests_at_lead(&self) -> Option<Vec<Request>> {
        self.glimpsed_requests()
    }

    async fn requests(&self) -> Result<Vec<Request>, EdgeError> {
        self.open_requests().await
    }

    async fn submit(&self, request: &Request) -> Result<(), EdgeError> {
        self.put_request(request).await
    }

    async fn answer(&self, id: &RequestId) -> Result<Option<Answer>, EdgeError> {
        self.read_answer(id).await
    }

    async fn forget(&self, lease: &Lease, expected: Fence, retention: &Retention) -> Result<(), EdgeError> {
        self.forget_past(lease, expected, retention).await
    }

    async fn dissolve(&self, lease: &Lease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        self.take_away(lease, expected, farewell).await
    }

    async fn watch(&self, wake: &dyn Wake) {
        self.watch_all(wake).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Consul at an address, with everything else as the configuration's defaults are.
    pub(super) fn config(address: &str) -> config::Consul {
        config::Consul {
            address: address.into(),
            datacenter: None,
            ca: None,
            client_certificate: None,
            token: None,
            dns: None,
            target_id: None,
            keys: KeyRoots::parse(&["config/"]).unwrap(),
            connections: 4,
            watches: 16,
        }
    }
}
