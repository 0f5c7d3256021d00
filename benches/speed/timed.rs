//! The edges of a pass with a stopwatch at each call.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockstep::domain::desired::{DesiredState, FileTree, Selection};
use lockstep::domain::live::{Fence, LiveState};
use lockstep::domain::name::{EnvironmentName, KeyPath};
use lockstep::domain::revision::{Generation, Revision};
use lockstep::domain::rollout::{
    Answer, Apply, Farewell, HistoryLine, Identity, Recovery, Remains, Request, RequestId, Retention, Save, Stored,
};
use lockstep::port::{Character, Commit, EdgeError, Head, LastSeen, Leading, Source, Target, Told, Wake, Written};

/// The phases of a pass, in their order.
pub(crate) const PHASES: [&str; 6] = [GIT, PARSE, LIVE, PLAN, APPLY, REST];
/// Reading the commit's files from the mirror.
pub(crate) const GIT: &str = "  files from the mirror";
/// Reading them as a desired state.
pub(crate) const PARSE: &str = "  parse, merge, digest";
/// Reading what is in Consul.
pub(crate) const LIVE: &str = "  live state";
/// Deciding: everything that is no call to the outside and no parsing.
pub(crate) const PLAN: &str = "  plan and the loop's own work";
/// Writing.
pub(crate) const APPLY: &str = "  apply";
/// The other calls to the mirror and to Consul.
pub(crate) const REST: &str = "  record, requests, commits";

/// Where the time went.
#[derive(Default)]
pub(crate) struct Watch(Mutex<BTreeMap<&'static str, Duration>>);

impl Watch {
    async fn during<T>(&self, phase: &'static str, work: impl Future<Output = T>) -> T {
        let begin = Instant::now();
        let result = work.await;
        *self.0.lock().unwrap().entry(phase).or_default() += begin.elapsed();
        result
    }

    /// The time of each phase that had any.
    pub(crate) fn read(&self) -> BTreeMap<&'static str, Duration> {
        self.0.lock().unwrap().clone()
    }

    /// Starts from nothing.
    pub(crate) fn reset(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// An edge, timed.
pub(crate) struct Timed<E> {
    pub(crate) edge: E,
    pub(crate) watch: Arc<Watch>,
}

impl<S: Source> Source for Timed<S> {
    async fn head(&self) -> Result<Head, EdgeError> {
        self.watch.during(REST, self.edge.head()).await
    }

    async fn fetch(&self) -> Result<(), EdgeError> {
        self.watch.during(REST, self.edge.fetch()).await
    }

    async fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
        self.watch.during(GIT, self.edge.tree(revision)).await
    }

    async fn some_files(&self, revision: Revision, files: &Selection) -> Result<FileTree, EdgeError> {
        self.watch.during(GIT, self.edge.some_files(revision, files)).await
    }

    async fn differing(&self, before: Revision, after: Revision) -> Result<Option<Vec<String>>, EdgeError> {
        self.watch.during(GIT, self.edge.differing(before, after)).await
    }

    async fn descends(&self, revision: Revision, of: Revision) -> Result<bool, EdgeError> {
        self.watch.during(REST, self.edge.descends(revision, of)).await
    }

    async fn commits(&self, after: Option<Revision>, upto: Revision) -> Result<Vec<Commit>, EdgeError> {
        self.watch.during(REST, self.edge.commits(after, upto)).await
    }

    async fn last_seen(
        &self,
        environments: &BTreeSet<EnvironmentName>,
        upto: Revision,
        since: Option<Revision>,
    ) -> Result<BTreeMap<EnvironmentName, LastSeen>, EdgeError> {
        self.watch.during(REST, self.edge.last_seen(environments, upto, since)).await
    }

    async fn watch(&self, wake: &(dyn Fn() + Sync)) {
        self.edge.watch(wake).await;
    }

    async fn keep(
        &self,
        environment: &EnvironmentName,
        revisions: &[Revision],
        last_good: Option<Revision>,
    ) -> Result<(), EdgeError> {
        self.watch.during(REST, self.edge.keep(environment, revisions, last_good)).await
    }

    async fn forget(&self, environment: &EnvironmentName, heir: Option<&EnvironmentName>) -> Result<(), EdgeError> {
        self.watch.during(REST, self.edge.forget(environment, heir)).await
    }
}

impl<T: Target> Target for Timed<T> {
    type Lease = T::Lease;

    fn character(&self) -> Character {
        self.edge.character()
    }

    async fn load(&self) -> Result<Option<Stored>, EdgeError> {
        self.watch.during(REST, self.edge.load()).await
    }

    async fn initialise(&self) -> Result<Identity, EdgeError> {
        self.edge.initialise().await
    }

    async fn remains(&self) -> Result<Option<Remains>, EdgeError> {
        self.edge.remains().await
    }

    async fn recover(&self, recovery: &Recovery, told: &Told<'_>) -> Result<Identity, EdgeError> {
        self.edge.recover(recovery, told).await
    }

    async fn former(&self, name: &EnvironmentName) -> Result<Option<Stored>, EdgeError> {
        self.edge.former(name).await
    }

    async fn take_over(&self, former: &EnvironmentName, expected: Fence, save: &Save) -> Result<(), EdgeError> {
        self.edge.take_over(former, expected, save).await
    }

    async fn live(&self) -> Result<LiveState, EdgeError> {
        self.watch.during(LIVE, self.edge.live()).await
    }

    async fn look_again(&self, before: LiveState) -> Result<LiveState, EdgeError> {
        self.watch.during(LIVE, self.edge.look_again(before)).await
    }

    async fn hidden(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, String>, EdgeError> {
        self.watch.during(REST, self.edge.hidden(keys)).await
    }

    async fn permits(&self, keys: &[KeyPath]) -> Result<bool, EdgeError> {
        self.watch.during(REST, self.edge.permits(keys)).await
    }

    async fn values(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        self.watch.during(REST, self.edge.values(keys)).await
    }

    async fn lead(&self) -> Result<Leading<Self::Lease>, EdgeError> {
        self.edge.lead().await
    }

    async fn leader(&self) -> Result<Option<String>, EdgeError> {
        self.edge.leader().await
    }

    fn holds(&self, lease: &Self::Lease) -> bool {
        self.edge.holds(lease)
    }

    async fn release(&self, lease: Self::Lease) -> Result<(), EdgeError> {
        self.edge.release(lease).await
    }

    async fn save(&self, lease: &Self::Lease, expected: Fence, save: &Save) -> Result<Fence, EdgeError> {
        self.watch.during(REST, self.edge.save(lease, expected, save)).await
    }

    async fn apply(
        &self,
        lease: &Self::Lease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Written, EdgeError> {
        self.watch.during(APPLY, self.edge.apply(lease, expected, apply, desired, go_on)).await
    }

    async fn newest_number(&self) -> Result<Option<Generation>, EdgeError> {
        self.edge.newest_number().await
    }

    async fn history(&self, at_most: usize) -> Result<Vec<HistoryLine>, EdgeError> {
        self.edge.history(at_most).await
    }

    async fn requests(&self) -> Result<Vec<Request>, EdgeError> {
        self.watch.during(REST, self.edge.requests()).await
    }

    async fn submit(&self, request: &Request) -> Result<(), EdgeError> {
        self.edge.submit(request).await
    }

    async fn answer(&self, id: &RequestId) -> Result<Option<Answer>, EdgeError> {
        self.edge.answer(id).await
    }

    async fn forget(&self, lease: &Self::Lease, expected: Fence, retention: &Retention) -> Result<(), EdgeError> {
        self.watch.during(REST, self.edge.forget(lease, expected, retention)).await
    }

    async fn dissolve(&self, lease: &T::Lease, expected: Fence, farewell: &Farewell) -> Result<(), EdgeError> {
        self.edge.dissolve(lease, expected, farewell).await
    }

    async fn watch(&self, wake: &dyn Wake) {
        self.edge.watch(wake).await;
    }
}
