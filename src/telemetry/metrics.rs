//! Every metric in one struct. Labels come from closed sets: the configured environments and words that are compiled in.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::events::{ControllerEvent, Event, verb_word};
use crate::domain::commit_status::StatusState;
use crate::domain::name::EnvironmentName;
use crate::domain::plan::Intent;
use crate::domain::rollout::{Outcome, Phase};
use crate::domain::time::Timestamp;
use crate::port::EdgeKind;

/// An environment as a label value; the configuration bounds how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EnvironmentValue(EnvironmentName);

impl EncodeLabelValue for EnvironmentValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.as_str().encode(encoder)
    }
}

/// Words are `&'static str`: a text that was made at run time can't become a label.
type Word = &'static str;

macro_rules! labels {
    ($($name:ident { $($field:ident: $kind:ty),* })*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { environment: EnvironmentValue, $($field: $kind),* }
    )*};
}

labels! {
    OfEnvironment {}
    ByIntent { intent: Word }
    ByOutcome { outcome: Word }
    ByPhase { phase: Word }
    ByVerdict { verdict: Word }
    ByChange { change: Word }
    ByRequest { verb: Word, answer: Word }
    ByKind { kind: Word }
    ByEvent { event: Word }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAnswer {
    forge: Word,
    answer: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfForge {
    forge: Word,
}

/// All metrics of one process, with the registry that shows them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: Family<ByEvent, Counter>,
    started: Family<ByIntent, Counter>,
    finished: Family<ByOutcome, Counter>,
    apply_seconds: Family<OfEnvironment, Histogram, fn() -> Histogram>,
    unhealthy: Family<OfEnvironment, Counter>,
    held: Family<ByPhase, Counter>,
    heads_not_followed: Family<ByVerdict, Counter>,
    drift: Family<ByChange, Counter>,
    contested: Family<OfEnvironment, Counter>,
    late_failures: Family<OfEnvironment, Counter>,
    leases: Family<ByChange, Counter>,
    requests: Family<ByRequest, Counter>,
    pass_failures: Family<ByKind, Counter>,
    fetch_failures: Family<OfKind, Counter>,
    forge_failures: Family<OfKind, Counter>,
    statuses: Family<OfState, Counter>,
    statuses_given_up: Counter,
    clock_jumps: Counter,
    deliveries: Family<ByAnswer, Counter>,
    unreadable_secrets: Family<OfForge, Counter>,
    phase: Family<ByPhase, Gauge>,
    last_success: Family<OfEnvironment, Gauge>,
}

/// From one transaction to the default `apply_deadline`.
fn apply_buckets() -> Histogram {
    Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 600.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at nothing.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("lockstep"),
            events: Family::default(),
            started: Family::default(),
            finished: Family::default(),
            apply_seconds: Family::new_with_constructor(apply_buckets),
            unhealthy: Family::default(),
            held: Family::default(),
            heads_not_followed: Family::default(),
            drift: Family::default(),
            contested: Family::default(),
            late_failures: Family::default(),
            leases: Family::default(),
            requests: Family::default(),
            pass_failures: Family::default(),
            fetch_failures: Family::default(),
            forge_failures: Family::default(),
            statuses: Family::default(),
            statuses_given_up: Counter::default(),
            clock_jumps: Counter::default(),
            deliveries: Family::default(),
            unreadable_secrets: Family::default(),
            phase: Family::default(),
            last_success: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("events", "Events that no other metric counts, by name", self.events.clone());
        registry.register("attempts_started", "Attempts begun", self.started.clone());
        registry.register("attempts_finished", "Attempts ended, by how", self.finished.clone());
        registry.register("apply_seconds", "From the first write of a plan to its last", self.apply_seconds.clone());
        registry.register("unhealthy_verdicts", "Revisions found unhealthy", self.unhealthy.clone());
        registry.register("holds", "Times an environment began to wait", self.held.clone());
        registry.register("heads_not_followed", "Branch heads not followed, by why", self.heads_not_followed.clone());
        registry.register("drifted_keys", "Keys that differed from the goal, by what was done", self.drift.clone());
        registry.register("contested_keys", "Keys found contested", self.contested.clone());
        registry.register("late_failures", "Checks that failed on a proven revision", self.late_failures.clone());
        registry.register("lease_changes", "Leases gained, given back and lost", self.leases.clone());
        registry.register("requests", "Requests of people answered", self.requests.clone());
        registry.register("pass_failures", "Passes that ended with an error, by kind", self.pass_failures.clone());
        registry.register(
            "fetch_failures",
            "Fetches of the config repository that failed, by kind",
            self.fetch_failures.clone(),
        );
        registry.register("forge_failures", "Calls to the forge that failed, by kind", self.forge_failures.clone());
        registry.register("commit_statuses", "Commit statuses written, by state", self.statuses.clone());
        registry.register("commit_statuses_given_up", "Commit statuses given up", self.statuses_given_up.clone());
        registry.register("clock_jumps", "Jumps of the wall clock over 60 seconds", self.clock_jumps.clone());
        registry.register("webhook_deliveries", "Deliveries of webhooks, by answer", self.deliveries.clone());
        registry.register(
            "webhook_secrets_unreadable",
            "Times that the secrets of webhooks could not be read any more, or for another reason",
            self.unreadable_secrets.clone(),
        );
        registry.register("env_phase", "1 for the phase that an environment is in", self.phase.clone());
        registry.register(
            "env_last_success_timestamp_seconds",
            "When a pass over an environment that this controller leads last ended without an error; at least every 30 s",
            self.last_success.clone(),
        );
        self
    }

    /// The metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// When a metric can't be written as text, which no metric here is known to do.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A pass ended without an error: a watchdog compares this with the time.
    pub fn pass_succeeded(&self, environment: &EnvironmentName, at: Timestamp) {
        self.last_success.get_or_create(&of(environment)).set(at.as_millis() / 1_000);
    }

    /// The phase that an environment is in now.
    pub fn in_phase(&self, environment: &EnvironmentName, now: Phase) {
        for phase in Phase::ALL {
            self.phase.get_or_create(&by_phase(environment, phase)).set(i64::from(phase == now));
        }
    }

    /// A line of history was closed.
    pub fn attempt_finished(&self, environment: &EnvironmentName, outcome: Outcome) {
        self.finished.get_or_create(&ByOutcome { environment: value(environment), outcome: outcome.word() }).inc();
    }

    /// A pass failed. The same failure again and again is one event, and yet each is counted.
    pub fn pass_failed(&self, environment: &EnvironmentName, kind: EdgeKind) {
        self.pass_failures.get_or_create(&ByKind { environment: value(environment), kind: kind.word() }).inc();
    }

    /// A fetch failed. The same failure again and again is one event, and yet each is counted.
    pub fn fetch_failed(&self, kind: EdgeKind) {
        self.fetch_failures.get_or_create(&OfKind { kind: kind.word() }).inc();
    }

    /// A call to the forge failed. The same failure again and again is one event, and yet each is counted.
    pub fn forge_failed(&self, kind: EdgeKind) {
        self.forge_failures.get_or_create(&OfKind { kind: kind.word() }).inc();
    }

    /// A commit status was written.
    pub fn status_posted(&self, state: StatusState) {
        self.statuses.get_or_create(&OfState { state: state.word() }).inc();
    }

    /// A webhook's delivery was answered so. Refusals for the same reason are one event a minute, and yet each is counted.
    pub fn delivery(&self, forge: Word, answer: Word) {
        self.deliveries.get_or_create(&ByAnswer { forge, answer }).inc();
    }

    /// Moves the one metric of an event.
    pub(super) fn count(&self, environment: &EnvironmentName, event: &Event) {
        let notable = |event| {
            self.events.get_or_create(&ByEvent { environment: value(environment), event }).inc();
        };
        let started = |intent: Intent| {
            self.started.get_or_create(&ByIntent { environment: value(environment), intent: intent.word() }).inc();
        };
        let drifted = |change, keys: u32| {
            self.drift.get_or_create(&ByChange { environment: value(environment), change }).inc_by(u64::from(keys));
        };
        let lease = |change| {
            self.leases.get_or_create(&ByChange { environment: value(environment), change }).inc();
        };
        match event {
            Event::RolloutStarted { intent, from: _, counts: _ } => started(*intent),
            Event::RollbackStarted { .. } => started(Intent::RollBack),
            Event::Applied { counts: _, took } => {
                self.apply_seconds.get_or_create(&of(environment)).observe(took.as_secs_f64());
            }
            Event::Proven { .. }
            | Event::RollbackFinished { .. }
            | Event::Superseded
            | Event::Frozen { .. }
            | Event::TargetRestored => notable(event.line().name),
            Event::Unhealthy { .. } => {
                self.unhealthy.get_or_create(&of(environment)).inc();
            }
            Event::Held { phase, because: _ } => {
                self.held.get_or_create(&by_phase(environment, *phase)).inc();
            }
            Event::HeadNotFollowed { verdict, because: _ } => {
                let labels = ByVerdict { environment: value(environment), verdict: verdict.word() };
                self.heads_not_followed.get_or_create(&labels).inc();
            }
            Event::DriftRepaired { keys, because: _ } => drifted("repaired", *keys),
            Event::DriftReported { keys, because: _ } => drifted("reported", *keys),
            Event::Contested { .. } => {
                self.contested.get_or_create(&of(environment)).inc();
            }
            Event::LateFailure { .. } => {
                self.late_failures.get_or_create(&of(environment)).inc();
            }
            Event::LeaseGained => lease("gained"),
            Event::LeaseReleased { .. } => lease("released"),
            Event::LeaseLost { .. } => lease("lost"),
            Event::Following { .. } => lease("following"),
            Event::RequestAnswered { verb, accepted, .. } => {
                let answer = if *accepted { "carried-out" } else { "refused" };
                let labels = ByRequest { environment: value(environment), verb: verb_word(verb), answer };
                self.requests.get_or_create(&labels).inc();
            }
            Event::PassFailed { kind, because: _, hint: _ } => self.pass_failed(environment, *kind),
        }
    }

    /// Moves the one metric of an event that is about no environment.
    pub(super) fn count_controller(&self, event: &ControllerEvent) {
        match event {
            ControllerEvent::FetchFailed { kind, because: _, hint: _ } => self.fetch_failed(*kind),
            ControllerEvent::ForgeFailed { kind, because: _, hint: _ } => self.forge_failed(*kind),
            ControllerEvent::StatusGivenUp { because: _ } => {
                self.statuses_given_up.inc();
            }
            ControllerEvent::ClockJumped { by: _ } => {
                self.clock_jumps.inc();
            }
            ControllerEvent::DeliveryRefused { forge, reason, because: _ } => self.delivery(forge, reason),
            ControllerEvent::SecretUnreadable { forge, because: _, hint: _ } => {
                self.unreadable_secrets.get_or_create(&OfForge { forge }).inc();
            }
        }
    }
}

fn value(environment: &EnvironmentName) -> EnvironmentValue {
    EnvironmentValue(environment.clone())
}

fn of(environment: &EnvironmentName) -> OfEnvironment {
    OfEnvironment { environment: value(environment) }
}

fn by_phase(environment: &EnvironmentName, phase: Phase) -> ByPhase {
    ByPhase { environment: value(environment), phase: phase.word() }
}
