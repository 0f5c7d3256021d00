//! One environment with everything that it is kept with; `leading` and `election` beside this do the keeping.

use std::sync::Arc;

use super::failing::Failing;
use super::memory::Memory;
use super::reading::Fit;
use super::reports::Speaker;
use super::wakes::{Fetches, Wakes};
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::rollout::Kept;
use crate::port::{EdgeError, Probe, Scheduler, Source, Target};
use crate::telemetry::{Event, Subject, Telemetry};

/// One environment and the edges that it is kept with.
pub struct Keeper<S, T, P, R> {
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
    /// Real or virtual time.
    pub scheduler: R,
    /// Where news arrives.
    pub wakes: Arc<Wakes>,
    /// Where a commit that the mirror lacks is asked for.
    pub fetches: Fetches,
    /// How much of the past stays in the target (rule A5).
    pub kept: Kept,
    /// Where what is to be said of commits is put down; none where nobody is told.
    pub speaker: Option<Speaker>,
    /// Where events go.
    pub telemetry: Arc<Telemetry>,
}

impl<S: Source, T: Target, P: Probe, R: Scheduler> Keeper<S, T, P, R> {
    pub(super) fn emit(&self, event: &Event) {
        let subject = Subject { environment: self.environment.clone(), revision: None, generation: None };
        self.telemetry.emit(&subject, event);
    }

    /// A pass, or what comes around passes, failed: with the attempt that was seen last, if one was.
    pub(super) fn report(&self, error: &EdgeError, memory: &Memory) {
        let (revision, generation) = memory.about.unzip();
        let subject = Subject { environment: self.environment.clone(), revision: revision.flatten(), generation };
        let event = Event::PassFailed { kind: error.kind, because: error.chain(), hint: error.hint.clone() };
        self.telemetry.emit(&subject, &event);
    }

    /// Every failure is counted; one that fails like the one before is no event of its own.
    pub(super) fn report_once(&self, error: &EdgeError, memory: &Memory, failing: &mut Failing) {
        if failing.is_news(error) {
            self.report(error, memory);
        } else {
            self.telemetry.metrics().pass_failed(&self.environment, error.kind);
        }
    }
}
