//! Tells a forge what the environments have to say of commits: one call at a time, beside the loop and never in its way.

use std::sync::Arc;
use std::time::Duration;

use super::failing::Failing;
use super::outbox::{Call, Next, Outbox};
use super::reports::Reports;
use crate::domain::commit_status::{CommitStatus, Posted, StatusContext};
use crate::port::{Clock, EdgeError, Forge, Scheduler};
use crate::telemetry::{ControllerEvent, Telemetry};

/// One forge that is told.
pub struct Reporting<F, R> {
    /// The forge.
    pub forge: Arc<F>,
    /// What is to be said.
    pub reports: Arc<Reports>,
    /// Real or virtual time.
    pub scheduler: R,
    /// Where failures are told.
    pub telemetry: Arc<Telemetry>,
    /// Where people read more of a rollout: the server's public address, without a slash at its end.
    pub public_url: Option<String>,
}

impl<F: Forge, R: Scheduler> Reporting<F, R> {
    /// Tells all that there is to say until it is dropped. A call that was begun then may or may not have been heard; whoever leads
    /// next looks before it speaks.
    pub async fn run(&self) {
        let clock = self.scheduler.clock();
        let mut outbox = Outbox::default();
        let mut failing = Failing::default();
        loop {
            match outbox.next(&self.reports.now(), clock.now()) {
                Next::Call(call) => self.carry_out(call, &mut outbox, &clock, &mut failing).await,
                Next::Rest(until) => {
                    let wait = until.map(|until| until.since(clock.now()).max(Duration::from_millis(1)));
                    tokio::select! {
                        biased;
                        () = self.reports.news() => {}
                        () = self.rest(wait) => {}
                    }
                }
            }
        }
    }

    async fn rest(&self, wait: Option<Duration>) {
        match wait {
            Some(wait) => self.scheduler.sleep(wait).await,
            None => std::future::pending().await,
        }
    }

    async fn carry_out(&self, call: Call, outbox: &mut Outbox, clock: &R::Clock, failing: &mut Failing) {
        match call {
            Call::Look(revision) => {
                let found = self.forge.statuses(revision).await;
                self.told(found.as_ref().err(), failing);
                outbox.looked(revision, found.as_ref().map(Clone::clone), clock.now());
            }
            Call::Post(revision, context, status) => {
                let posted =
                    Posted { state: Some(status.state), text: status.text.clone(), link: self.link(&context, &status) };
                let outcome = self.forge.post(revision, &context, &posted).await;
                self.told(outcome.as_ref().err(), failing);
                if outcome.is_ok() {
                    self.telemetry.metrics().status_posted(status.state);
                }
                let given_up =
                    outbox.posted(revision, &context, &status, outcome.as_ref().copied(), self.forge.pace(), clock.now());
                if let (true, Err(error)) = (given_up, &outcome) {
                    let because = format!("{context} at {}: {}", revision.short(), error.chain());
                    self.telemetry.emit_controller(&ControllerEvent::StatusGivenUp { because });
                }
            }
        }
    }

    /// Every failed call is counted; one that fails like the one before is no event of its own.
    fn told(&self, error: Option<&EdgeError>, failing: &mut Failing) {
        let Some(error) = error else { return failing.is_over() };
        if failing.is_news(error) {
            let event = ControllerEvent::ForgeFailed { kind: error.kind, because: error.chain(), hint: error.hint.clone() };
            self.telemetry.emit_controller(&event);
        } else {
            self.telemetry.metrics().forge_failed(error.kind);
        }
    }

    fn link(&self, context: &StatusContext, status: &CommitStatus) -> Option<String> {
        let (base, generation) = (self.public_url.as_ref()?, status.generation?);
        let environment = context.as_str().strip_prefix(StatusContext::PREFIX)?;
        Some(format!("{base}/environments/{environment}/rollouts/{}", generation.number()))
    }
}
