//! What people are told, as a log would show it: every event of a replica goes to the world, which counts it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::bugs::Bug;
use crate::edges::Shared;

/// The ears of one replica.
pub(crate) struct Ears {
    pub(crate) world: Shared,
    pub(crate) bug: Option<Bug>,
    pub(crate) spans: AtomicU64,
}

#[derive(Default)]
struct Line {
    event: String,
    generation: Option<u64>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            value.clone_into(&mut self.event);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "generation" {
            self.generation = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Subscriber for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "lockstep::event"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1 + self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        // The bug tells by itself, at another moment.
        if let Some(generation) = line.generation.filter(|_| self.bug != Some(Bug::TellsBeforeItIsWritten)) {
            self.world.lock().unwrap().told(&line.event, generation);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
