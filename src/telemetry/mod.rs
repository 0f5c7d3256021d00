//! What lockstep says about itself: one log line and one metric for every notable event.
//!
//! Events go through [`Telemetry::emit`] and nowhere else, so that a line, its metric and its words can't drift apart. The
//! texts of errors and evidence are in the line's `because` field and what to do is in `hint`, never in a label.

mod events;
mod metrics;
mod setup;

pub use events::{ControllerEvent, Event, Subject};
pub use metrics::Metrics;
pub use setup::{LogFormat, SetupError, init, subscriber};

use events::Line;

/// Where events are reported. One for the process, shared.
#[derive(Debug, Default)]
pub struct Telemetry {
    metrics: Metrics,
}

impl Telemetry {
    /// With a registry of its own, so that two of them (in tests) don't count together.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The metrics, for the measures that are no events and for showing them.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Reports what happened to an environment: exactly one line, exactly one metric.
    pub fn emit(&self, subject: &Subject, event: &Event) {
        self.metrics.count(&subject.environment, event);
        event.line().write(Some(subject));
    }

    /// Reports what happened to the controller as a whole: exactly one line, exactly one metric.
    pub fn emit_controller(&self, event: &ControllerEvent) {
        self.metrics.count_controller(event);
        event.line().write(None);
    }
}

impl Line<'_> {
    /// The only place that writes lines of events.
    fn write(&self, subject: Option<&Subject>) {
        // A macro, because the level of a line is part of the place that writes it.
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: "lockstep::event",
                    $level,
                    event = self.name,
                    environment = subject.map(|subject| subject.environment.as_str()),
                    revision = subject.and_then(|subject| subject.revision).map(tracing::field::display),
                    generation = subject.and_then(|subject| subject.generation).map(|generation| generation.number()),
                    from = self.from.map(tracing::field::display),
                    keys = self.keys,
                    word = self.word,
                    about = self.about,
                    by = self.by,
                    seconds = self.took.map(|took| took.as_secs_f64()),
                    because = self.because,
                    hint = self.hint,
                    "{}", self.message
                )
            };
        }
        match self.level {
            events::Level::Info => line!(tracing::Level::INFO),
            events::Level::Warning => line!(tracing::Level::WARN),
            events::Level::Error => line!(tracing::Level::ERROR),
        }
    }
}
