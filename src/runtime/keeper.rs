//! Keeps one environment: takes its lease, runs passes while it holds it, and sleeps in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::clock::SystemClock;
use super::events;
use super::memory::Memory;
use super::observe::{equipped, no_record};
use super::pass::{Passed, World, pass};
use super::reading::Fit;
use super::sampling::Sampling;
use super::wakes::Wakes;
use crate::domain::name::{EnvironmentName, RepositoryName, STATE_PREFIX};
use crate::domain::rollout::{HeadVerdict, HistoryLine, Rollout};
use crate::port::{Clock, EdgeError, EdgeKind, Leading, Probe, Source, Target};
use crate::telemetry::{Event, Subject, Telemetry};

/// How often a free lease is asked for, besides at every sign that it may be free.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long a controller whose mirror lacks commits leaves the lease to others (rule S2).
const PATIENCE: u32 = 12;
/// How often a commit that the mirror lacks is fetched for, besides the poll.
const FETCH_AGAIN: Duration = Duration::from_secs(30);
/// All keys are read again this often, in case a watch missed something (rule W2).
const SWEEP: Duration = Duration::from_hours(1);

/// One environment and the edges that it is kept with.
pub struct Keeper<S, T, P> {
    /// The environment.
    pub environment: EnvironmentName,
    /// The config repository's name.
    pub repository: RepositoryName,
    /// What its target takes.
    pub fit: Fit,
    /// Whether a target without a record is made one: a directory may, a Consul needs `lockstep init` (rule O6).
    pub initialises_itself: bool,
    /// The mirror.
    pub source: S,
    /// The target.
    pub target: Arc<T>,
    /// The checks.
    pub probe: Arc<P>,
    /// Where news arrives.
    pub wakes: Arc<Wakes>,
    /// Where events go.
    pub telemetry: Arc<Telemetry>,
}

/// Why a term ended.
enum End {
    /// Asked to stop.
    Stopped,
    /// Somebody else may have the lease now.
    Lost,
    /// The environment is retired: nothing to lead until the head moves (rule O9).
    Retired,
}

impl<S: Source, T: Target, P: Probe + 'static> Keeper<S, T, P> {
    /// Keeps the environment until it is told to stop. The pass under way is finished then, and the lease given back.
    pub async fn keep(&self, stop: &CancellationToken) {
        let watch = async {
            self.target.watch(&*self.wakes).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.terms(stop) => {}
            () = watch => {}
        }
    }

    async fn terms(&self, stop: &CancellationToken) {
        let mut memory = Memory::new(self.environment.clone(), self.repository.clone(), self.fit.clone());
        let mut patience = PATIENCE;
        let mut failing = String::new();
        while !stop.is_cancelled() {
            let mut retired = false;
            match self.try_to_lead(&mut memory, &mut patience).await {
                Ok(Leading::Ours(lease)) => {
                    patience = PATIENCE;
                    failing.clear();
                    self.emit(&Event::LeaseGained);
                    let end = self.lead(&mut memory, &lease, stop).await;
                    let because = match end {
                        End::Stopped => "this controller stops",
                        End::Lost => "somebody else may hold it now",
                        End::Retired => "the environment is retired",
                    };
                    retired = matches!(end, End::Retired);
                    if let Err(error) = self.target.release(lease).await {
                        self.report(&error);
                    }
                    self.emit(&Event::LeaseLost { because: because.to_owned() });
                }
                Ok(Leading::Theirs(_)) => failing.clear(),
                Err(error) => self.report_once(&error, &mut failing),
            }
            self.wait_for_a_chance(retired, stop).await;
        }
    }

    /// Takes the lease, unless the mirror lacks what leading needs and another controller may have it.
    async fn try_to_lead(&self, memory: &mut Memory, patience: &mut u32) -> Result<Leading<T::Lease>, EdgeError> {
        // Before anything is written there, the lease included: it may be the wrong place.
        if self.target.load().await?.is_none() {
            if !self.initialises_itself {
                return Err(no_record(&*self.target));
            }
            self.target.initialise().await?;
        }
        if *patience > 0 && !equipped(memory, &self.source, &*self.target).await? {
            *patience -= 1;
            self.source.fetch().await?;
            return Ok(Leading::Theirs("whoever has the commits that this mirror lacks".to_owned()));
        }
        self.target.lead().await
    }

    async fn wait_for_a_chance(&self, retired: bool, stop: &CancellationToken) {
        if retired {
            // Only the head can bring a retired environment back.
            while !stop.is_cancelled() && !self.wakes.take().head {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.wakes.next() => {}
                }
            }
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.wakes.next() => {}
            () = sleep(ASK_AGAIN) => {}
        }
        self.wakes.take();
    }

    /// One term: passes until the lease is gone.
    async fn lead(&self, memory: &mut Memory, lease: &T::Lease, stop: &CancellationToken) -> End {
        memory.led_anew();
        let clock = SystemClock::start();
        let led_since = clock.now();
        let mut sampling = Sampling::new(Arc::clone(&self.probe), clock);
        let mut sweep = led_since + SWEEP;
        let mut fetch_from = led_since;
        let go_on = || !self.wakes.head_is_new() && !stop.is_cancelled();
        let announce = |record: &Rollout, line: &HistoryLine| {
            self.telemetry.emit(&events::subject(record), &events::of_beginning(line));
        };
        let mut failing = String::new();
        while !stop.is_cancelled() {
            if !self.target.holds(lease) {
                return End::Lost;
            }
            let news = self.wakes.take();
            if news.live || clock.now() >= sweep {
                memory.live_changed();
                sweep = clock.now() + SWEEP;
            }
            if news.state {
                memory.state_changed();
            }
            let world = World {
                source: &self.source,
                target: &*self.target,
                clock: &clock,
                led_since,
                go_on: &go_on,
                announce: &announce,
            };
            let wait = match pass(&world, memory, lease).await {
                Ok(Passed::Moved(done)) => {
                    let subject = events::subject(&done.to);
                    for event in events::of_move(&done) {
                        self.telemetry.emit(&subject, &event);
                    }
                    failing.clear();
                    Some(Duration::ZERO)
                }
                // Once is ordinary news. Again and again, without a key to blame, means that the lease is gone.
                Ok(Passed::Stale) if memory.keeps_losing() => return End::Lost,
                Ok(Passed::Stale) => Some(Duration::ZERO),
                Ok(Passed::Waiting { waiting, fetch }) => {
                    // A commit that stays away is looked for now and then; the poll goes on beside this anyway.
                    if fetch && fetch_from <= clock.now() {
                        fetch_from = clock.now() + FETCH_AGAIN;
                        // The next poll reports a repository that can't be fetched.
                        let _ = self.source.fetch().await;
                    }
                    failing.clear();
                    self.telemetry.metrics().pass_succeeded(&self.environment, clock.now());
                    waiting.until.map(|until| until.since(clock.now()).max(Duration::from_millis(1)))
                }
                Ok(Passed::Troubled(error)) | Err(error) => {
                    self.report_once(&error, &mut failing);
                    // A conflict about our own state is about the lease or the record, not about a key that somebody fights for.
                    if error.kind == EdgeKind::Conflict && error.about.iter().all(|key| key.starts_with(STATE_PREFIX)) {
                        return End::Lost;
                    }
                    Some(memory.after_a_failure())
                }
            };
            if let Some(stored) = memory.stored() {
                self.telemetry.metrics().in_phase(&self.environment, stored.record.phase);
                sampling.follow(&stored.record, memory);
                let retired = |note: &crate::domain::rollout::HeadNote| note.verdict == HeadVerdict::Retired;
                if wait.is_none() && stored.record.note.as_ref().is_some_and(retired) {
                    return End::Retired;
                }
            }
            if wait != Some(Duration::ZERO) {
                self.sleep(wait.unwrap_or(SWEEP), &mut sampling, memory, stop).await;
            }
        }
        End::Stopped
    }

    /// Sleeps until the time is over, something is new, or a sample changes the picture.
    async fn sleep(&self, wait: Duration, sampling: &mut Sampling<P>, memory: &mut Memory, stop: &CancellationToken) {
        let timer = sleep(wait);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wakes.next() => return,
                () = &mut timer => return,
                sample = sampling.next() => {
                    if memory.take(&sample) {
                        return;
                    }
                }
            }
        }
    }

    fn emit(&self, event: &Event) {
        let subject = Subject { environment: self.environment.clone(), revision: None, generation: None };
        self.telemetry.emit(&subject, event);
    }

    fn report(&self, error: &EdgeError) {
        self.emit(&Event::PassFailed { kind: error.kind, because: error.chain() });
    }

    /// The same failure again and again is one event.
    fn report_once(&self, error: &EdgeError, last: &mut String) {
        let text = error.chain();
        if *last != text {
            self.report(error);
            *last = text;
        }
    }
}
