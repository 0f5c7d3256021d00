//! Watches: blocking queries that tell the loop when a look is worth it. They carry no work (rule R12) and survive every
//! error by themselves.
//!
//! All environments on one Consul share them (rule A10): one watch on `lockstep/` brings the news of every record, lease and
//! request, and roots share watches where there are too many. A wake reaches only those whose own prefix has moved.
//!
//! `?keys&separator=/` on a prefix wakes at any depth with a small answer (rule W1). After a connection error a watch starts
//! again without an index: an index of a rebuilt cluster would blind it for the whole wait (rule W2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::ConsulTarget;
use super::cover::{Cover, branches, cover};
use super::http::{Answer, Ask, Http};
use super::sight::{Pace, Sight};
use crate::domain::name::STATE_PREFIX;
use crate::port::{EdgeError, EdgeKind, Wake};

/// How long Consul holds a query that has no news.
const WAIT: Duration = Duration::from_mins(1);
/// Consul adds up to a sixteenth of the wait; a query that takes longer than this has lost its server.
const DEADLINE: Duration = Duration::from_secs(70);
/// How often a prefix is asked without blocking when every watch is taken (rule A10).
const TURN: Duration = Duration::from_secs(5);
/// How often a prefix is asked about while plans of many transactions are written: each answer costs Consul a walk over all keys
/// below the prefix, and beside every write that would take as long as the writes themselves.
const BESIDE_WRITES: Duration = Duration::from_secs(1);

impl ConsulTarget {
    pub(super) async fn watch_all(&self, wake: &dyn Wake) {
        let everything = [String::new()];
        let roots = if self.keys.prefixes().is_empty() { &everything } else { self.keys.prefixes() };
        let state = self.server.watches.state.follow(&[self.paths.base().to_owned()]);
        let live = self.server.watches.live.follow(roots);
        let mut lost = self.server.sessions.losses();
        loop {
            tokio::select! {
                () = live.signal.notified() => wake.live(),
                () = state.signal.notified() => wake.state(),
                // A lost session is news of the lease.
                Ok(()) = lost.changed() => wake.state(),
            }
        }
    }
}

/// The watches on one Consul.
#[derive(Debug)]
pub(super) struct Watches {
    state: Watched,
    live: Watched,
}

impl Watches {
    /// With this many places for blocking queries; two at least.
    pub(super) fn new(http: &Arc<Http>, places: usize) -> Self {
        let places = places.saturating_sub(1).max(1);
        Self {
            state: Watched::new(Hub::new(http, Plan::Whole(STATE_PREFIX))),
            live: Watched::new(Hub::new(http, Plan::Share(places))),
        }
    }

    /// A plan of many transactions is written from now on: until this is dropped, news of keys are told now and then.
    pub(super) fn writing(&self) -> Writes<'_> {
        Writes::begin(&self.live.hub.writes)
    }

    /// How often the watches on keys broke off so far: what happened meanwhile may be told by nothing any more.
    pub(super) fn losses(&self) -> u64 {
        self.live.hub.losses.load(Ordering::Relaxed)
    }
}

/// As long as a plan of many transactions is written.
pub(super) struct Writes<'a>(&'a watch::Sender<usize>);

impl<'a> Writes<'a> {
    fn begin(writes: &'a watch::Sender<usize>) -> Self {
        writes.send_modify(|plans| *plans += 1);
        Self(writes)
    }
}

impl Drop for Writes<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|plans| *plans = plans.saturating_sub(1));
    }
}

/// A hub and the task that drives it; dropping this ends the task.
#[derive(Debug)]
struct Watched {
    hub: Arc<Hub>,
    task: Mutex<JoinSet<()>>,
}

impl Watched {
    fn new(hub: Hub) -> Self {
        Self { hub: Arc::new(hub), task: Mutex::default() }
    }

    /// Follows these prefixes until the subscription is dropped. Its signal is given once the watch stands.
    fn follow(&self, prefixes: &[String]) -> Subscription {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_empty() {
            task.spawn(drive(Arc::clone(&self.hub)));
        }
        self.hub.subscribe(prefixes)
    }
}

/// Which prefixes get a watch.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// This one, for everything below it.
    Whole(&'static str),
    /// Those that are followed, in so many places.
    Share(usize),
}

/// Who follows which prefixes, and what was seen of them.
#[derive(Debug)]
struct Hub {
    http: Arc<Http>,
    plan: Plan,
    state: Mutex<State>,
    /// Somebody came or went.
    changed: Notify,
    /// How often a watch broke off.
    losses: AtomicU64,
    /// How many plans of many transactions are being written.
    writes: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    followers: Vec<Follower>,
    sights: BTreeMap<String, Sight>,
    /// Shared prefixes that the token may not watch (`acl.enable_key_list_policy`); those below them are watched themselves.
    refused: BTreeSet<String>,
}

#[derive(Debug)]
struct Follower {
    prefix: String,
    signal: Arc<Notify>,
    /// Not told yet that its watch stands.
    fresh: bool,
}

/// Somebody's interest in some prefixes.
struct Subscription {
    hub: Arc<Hub>,
    signal: Arc<Notify>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.state().followers.retain(|follower| !Arc::ptr_eq(&follower.signal, &self.signal));
        self.hub.changed.notify_one();
    }
}

impl Hub {
    fn new(http: &Arc<Http>, plan: Plan) -> Self {
        let (changed, losses, writes) = (Notify::new(), AtomicU64::new(0), watch::Sender::new(0));
        Self { http: Arc::clone(http), plan, state: Mutex::default(), changed, losses, writes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(self: &Arc<Self>, prefixes: &[String]) -> Subscription {
        let signal = Arc::new(Notify::new());
        let followers = prefixes.iter().map(|prefix| Follower { prefix: prefix.clone(), signal: signal.clone(), fresh: true });
        self.state().followers.extend(followers);
        self.changed.notify_one();
        Subscription { hub: Arc::clone(self), signal }
    }

    /// What to watch for those who follow now. What was seen of anything else is forgotten.
    fn cover(&self) -> Cover {
        let mut state = self.state();
        let names = state.names("");
        state.sights.retain(|prefix, _| names.iter().any(|name| name.starts_with(prefix)));
        let wanted = match self.plan {
            Plan::Whole(_) if names.is_empty() => Cover::default(),
            Plan::Whole(prefix) => Cover { watched: vec![prefix.to_owned()], in_turn: Vec::new() },
            Plan::Share(places) => cover(&names, places),
        };
        without(&state.refused, &names, wanted)
    }

    /// Whether a prefix that nobody follows by itself may not be watched: from now on those below it are.
    fn refuse(&self, prefix: &str, problem: &EdgeError) -> bool {
        let mut state = self.state();
        let shared = problem.kind == EdgeKind::Denied && state.followers.iter().all(|follower| follower.prefix != prefix);
        if shared && state.refused.insert(prefix.to_owned()) {
            let problem = problem.chain();
            tracing::warn!(prefix, problem, "may not be watched for all environments at once; each is watched by itself");
            self.changed.notify_one();
        }
        shared
    }

    /// Waits until a prefix has news, and tells those whom they concern.
    async fn wait(&self, prefix: &str, nudge: &Notify) -> Result<(), EdgeError> {
        let index = self.state().sights.get(prefix).map_or(0, |sight| sight.index);
        let asked_at = Instant::now();
        let look = look(&self.http, prefix, Some(index));
        tokio::pin!(look);
        let mut answer = loop {
            tokio::select! {
                answer = &mut look => break answer?,
                // It stands for everybody who was there when it was asked; others are told by a look of their own.
                () = nudge.notified() => self.greet_below(prefix).await?,
            }
        };
        // Consul ends a query early and without news when a snapshot is restored, and gives what was there before. Another
        // query with that index would wait in vain until the restored state has grown beyond it.
        if answer.index == Some(index) && asked_at.elapsed() < WAIT {
            self.losses.fetch_add(1, Ordering::Relaxed);
            let Some(now) = self.ask(prefix).await? else { return Ok(()) };
            answer = now;
        }
        self.take(prefix, &answer).await?;
        self.greet_below(prefix).await
    }

    /// Takes an answer about a prefix; news of it are followed down to those whom they concern.
    async fn take(&self, prefix: &str, answer: &Answer) -> Result<(), EdgeError> {
        let mut open = self.state().note(prefix, answer);
        while let Some(next) = open.pop() {
            match self.ask(&next).await? {
                Some(answer) => open.extend(self.state().note(&next, &answer)),
                // What can't be told apart is told to all: they find out when they read.
                None => self.state().tell_below(&next),
            }
        }
        Ok(())
    }

    /// Tells those below a prefix that was seen already, and who came since, that they are followed.
    async fn greet_below(&self, prefix: &str) -> Result<(), EdgeError> {
        let fresh = self.state().fresh(prefix);
        for name in fresh {
            match self.ask(&name).await? {
                Some(answer) => self.take(&name, &answer).await?,
                None => self.state().tell_below(&name),
            }
        }
        Ok(())
    }

    /// Asks for a prefix's index now; none when it may not be asked. That is its followers' own trouble, which they find
    /// when they read, and must not disturb others.
    async fn ask(&self, prefix: &str) -> Result<Option<Answer>, EdgeError> {
        match look(&self.http, prefix, None).await {
            Err(problem) if problem.kind == EdgeKind::Transient => Err(problem),
            Err(problem) => {
                tracing::debug!(prefix, problem = problem.chain(), "a prefix may not be watched");
                Ok(None)
            }
            Ok(answer) => Ok(Some(answer)),
        }
    }

    /// Waits while many transactions are written, but never for long: others' news are under the same prefixes.
    async fn beside_writes(&self) {
        let _ = timeout(BESIDE_WRITES, self.writes.subscribe().wait_for(|plans| *plans == 0)).await;
    }

    /// After an error anything may have happened: whatever is seen next is news.
    fn lost(&self, prefix: &str, problem: &EdgeError) {
        tracing::debug!(prefix, problem = problem.chain(), "a watch starts again");
        self.losses.fetch_add(1, Ordering::Relaxed);
        self.state().sights.retain(|seen, _| !seen.starts_with(prefix));
    }
}

impl State {
    /// The followed prefixes that begin with this one, sorted.
    fn names(&self, below: &str) -> Vec<String> {
        let followers = self.followers.iter().filter(|follower| follower.prefix.starts_with(below));
        let mut names: Vec<String> = followers.map(|follower| follower.prefix.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn fresh(&self, below: &str) -> Vec<String> {
        let fresh = |follower: &&Follower| follower.fresh && follower.prefix.starts_with(below);
        self.followers.iter().filter(fresh).map(|follower| follower.prefix.clone()).collect()
    }

    /// Takes note of an answer; if it is news its followers are told, and the prefixes below that are worth a look returned.
    fn note(&mut self, prefix: &str, answer: &Answer) -> Vec<String> {
        let names = self.names(prefix);
        // A token that may read only below sees nothing here, and an index that moves all the same.
        let shows_all = names.iter().all(|name| self.sights.get(name).is_none_or(|sight| name == prefix || sight.empty));
        let news = self.sights.entry(prefix.to_owned()).or_default().has_changed(answer, shows_all);
        self.tell(prefix, !news);
        if news { branches(&names, prefix) } else { Vec::new() }
    }

    fn tell_below(&mut self, prefix: &str) {
        for name in self.names(prefix) {
            self.tell(&name, false);
        }
    }

    fn tell(&mut self, prefix: &str, only_fresh: bool) {
        for follower in &mut self.followers {
            if follower.prefix == prefix && (follower.fresh || !only_fresh) {
                follower.fresh = false;
                follower.signal.notify_one();
            }
        }
    }
}

/// The cover without the watches that are refused: one follower below takes its place, several are asked in turn.
fn without(refused: &BTreeSet<String>, names: &[String], wanted: Cover) -> Cover {
    let Cover { watched, mut in_turn } = wanted;
    let mut allowed = Vec::new();
    for prefix in watched {
        if !refused.contains(&prefix) {
            allowed.push(prefix);
            continue;
        }
        let mut below = names.iter().filter(|name| name.starts_with(&prefix)).cloned();
        match (below.next(), below.next()) {
            (Some(only), None) => allowed.push(only),
            (first, second) => in_turn.extend(first.into_iter().chain(second).chain(below)),
        }
    }
    Cover { watched: allowed, in_turn }
}

/// One watch at work.
struct Running {
    /// Somebody came below it.
    nudge: Arc<Notify>,
    task: AbortHandle,
}

/// Keeps the watches as those who follow need them.
async fn drive(hub: Arc<Hub>) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    let mut turn: Option<AbortHandle> = None;
    loop {
        let Cover { watched, in_turn } = hub.cover();
        running.retain(|prefix, running| {
            let stays = watched.contains(prefix);
            if !stays {
                running.task.abort();
            }
            stays
        });
        for prefix in watched {
            if let Some(running) = running.get(&prefix) {
                if !hub.state().fresh(&prefix).is_empty() {
                    running.nudge.notify_one();
                }
                continue;
            }
            let nudge = Arc::new(Notify::new());
            let task = tasks.spawn(keep(Arc::clone(&hub), prefix.clone(), Arc::clone(&nudge)));
            running.insert(prefix, Running { nudge, task });
        }
        if let Some(turn) = turn.take() {
            turn.abort();
        }
        if !in_turn.is_empty() {
            turn = Some(tasks.spawn(keep_asking(Arc::clone(&hub), in_turn)));
        }
        hub.changed.notified().await;
        while tasks.try_join_next().is_some() {}
    }
}

/// Watches one prefix for ever.
async fn keep(hub: Arc<Hub>, prefix: String, nudge: Arc<Notify>) {
    let mut pace = Pace::default();
    let mut delays = patience();
    loop {
        match hub.wait(&prefix, &nudge).await {
            Ok(()) => {
                delays = patience();
                sleep_until(pace.next(Instant::now())).await;
                hub.beside_writes().await;
            }
            Err(problem) if hub.refuse(&prefix, &problem) => return,
            Err(problem) => {
                hub.lost(&prefix, &problem);
                sleep(delays.next().unwrap_or(TURN)).await;
            }
        }
    }
}

/// Asks some prefixes in turn for ever, without blocking.
async fn keep_asking(hub: Arc<Hub>, prefixes: Vec<String>) {
    loop {
        for prefix in &prefixes {
            let asked = match look(&hub.http, prefix, None).await {
                Ok(answer) => hub.take(prefix, &answer).await,
                Err(problem) => Err(problem),
            };
            let greeted = match asked {
                Ok(()) => hub.greet_below(prefix).await,
                Err(problem) => Err(problem),
            };
            if let Err(problem) = greeted {
                hub.lost(prefix, &problem);
            }
        }
        sleep(TURN).await;
    }
}

fn patience() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(TURN)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Asks for a prefix's index: when it differs from this one, or now.
async fn look(http: &Http, prefix: &str, other_than: Option<u64>) -> Result<Answer, EdgeError> {
    let doing = format!("watch {prefix:?}");
    let mut query = vec!["keys".to_owned(), "separator=/".to_owned(), "consistent".to_owned()];
    if let Some(index) = other_than {
        query.extend([format!("index={index}"), format!("wait={}s", WAIT.as_secs())]);
    }
    let query: Vec<&str> = query.iter().map(String::as_str).collect();
    let ask = Ask::get(http.url(&format!("kv/{prefix}"), &query), doing.clone());
    let answer = if other_than.is_some() { http.watch(ask.within(DEADLINE)).await? } else { http.send(ask).await? };
    match answer.status {
        200 | 404 => Ok(answer),
        _ => Err(http.refusal(&doing, &answer)),
    }
}
