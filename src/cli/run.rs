//! `run`: the controller. Only wiring; what it does is in `runtime`.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::edges::{AnyProbe, AnyTarget, Edges};
use super::error::{Exit, Failure};
use super::options::Options;
use crate::client::git::GitSource;
use crate::domain::name::EnvironmentName;
use crate::domain::rollout::Kept;
use crate::runtime::clock::RealTime;
use crate::runtime::controller::Controller;
use crate::runtime::keeper::Keeper;
use crate::runtime::wakes::{Fetches, Wakes};
use crate::telemetry::Telemetry;

/// Keep every environment in step with the repository, until told to stop
///
/// Several controllers may run for the same environments: each environment is led by one of them. While the repository or a
/// target is away it waits; only a wrong configuration ends it. SIGINT and SIGTERM end the passes under way in good order and
/// give the leases back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep run
  lockstep run --config /etc/lockstep/lockstep-controller.yaml --log-format json")]
pub(super) struct Args {}

pub(super) async fn run(_: &Args, options: &Options) -> Result<Exit, Failure> {
    // Before anything is led, so that a signal during start-up ends it in good order too.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Failure::new("listen for SIGINT").because(&error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::new("listen for SIGTERM").because(&error))?;
    let end = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(end);
    let edges = tokio::select! {
        edges = Edges::open_patiently(options) => edges?,
        () = &mut end => return Ok(Exit::Ok),
    };
    let telemetry = Arc::new(Telemetry::new());
    let mut controller = Controller::new(edges.source.clone(), edges.config.repository.poll, Arc::clone(&telemetry));
    for environment in edges.environments(&[])? {
        controller.keep(keeper(&edges, environment, controller.fetches(), Arc::clone(&telemetry))?);
    }
    let outcome = controller.run(end, jitter).await;
    edges.close().await;
    outcome?;
    Ok(Exit::Ok)
}

fn keeper(
    edges: &Edges,
    environment: EnvironmentName,
    fetches: Fetches,
    telemetry: Arc<Telemetry>,
) -> Result<Keeper<GitSource, AnyTarget, AnyProbe, RealTime>, Failure> {
    let target = edges.target(&environment)?;
    Ok(Keeper {
        repository: edges.repository.clone(),
        fit: edges.fit(&environment)?,
        initialises_itself: matches!(target, AnyTarget::Directory(_)),
        source: edges.source.clone(),
        target: Arc::new(target),
        probe: Arc::new(edges.probe(&environment)?),
        scheduler: RealTime,
        wakes: Arc::new(Wakes::default()),
        fetches,
        kept: Kept::default(),
        speaker: None,
        telemetry,
        environment,
    })
}

/// A number from 0 to 1. Without randomness polls are merely not spread.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
