//! `run`: the controller. Only wiring; what it does is in `runtime`.

mod forge;
mod pages;

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::edges::{AnyProbe, AnyTarget, Edges, Ground};
use super::error::{Exit, Failure};
use super::options::Options;
use crate::client::git::GitSource;
use crate::config::Config;
use crate::domain::name::EnvironmentName;
use crate::domain::rollout::Kept;
use crate::port::Clock;
use crate::runtime::clock::{RealTime, SystemClock};
use crate::runtime::controller::Controller;
use crate::runtime::keeper::Keeper;
use crate::runtime::reports::Speaker;
use crate::runtime::wakes::{Deliveries, Fetches, Wakes};
use crate::server::pages::routes;
use crate::server::serving::Server;
use crate::server::webhooks::Doors;
use crate::server::{Limits, router};
use crate::telemetry::Telemetry;

use pages::Pages;

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
    let ground = Ground::lay(options)?;
    let (telemetry, deliveries, stop) = (Arc::new(Telemetry::new()), Deliveries::default(), CancellationToken::new());
    // Before the repository is waited for: what is delivered meanwhile is not lost.
    let mut serving = JoinSet::new();
    let pages = Arc::new(Pages::default());
    if let Some(server) = endpoints(&ground.config, &deliveries, &pages, &telemetry).await? {
        serving.spawn(server.run(stop.clone()));
    }
    let outcome = control(ground, end, deliveries, &pages, telemetry, &mut serving, &stop).await;
    stop.cancel();
    while serving.join_next().await.is_some() {}
    outcome
}

async fn control(
    ground: Ground,
    end: impl Future<Output = ()>,
    deliveries: Deliveries,
    pages: &Pages,
    telemetry: Arc<Telemetry>,
    serving: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<Exit, Failure> {
    tokio::pin!(end);
    let edges = tokio::select! {
        edges = ground.open_patiently() => edges,
        () = &mut end => return Ok(Exit::Ok),
    };
    let poll = edges.config.repository.poll;
    let mut controller = Controller::new(edges.source.clone(), poll, Arc::clone(&telemetry)).woken_by(deliveries.clone());
    pages.open(edges.environments(&[])?.into_iter().map(|environment| {
        let target = edges.target(&environment)?;
        Ok((environment, target))
    }))?;
    let speaker = forge::speaker(&edges.config);
    for environment in edges.environments(&[])? {
        controller.keep(keeper(&edges, environment, controller.fetches(), speaker.clone(), Arc::clone(&telemetry))?);
    }
    if let Some(speaker) = speaker {
        forge::tell(&edges, &mut controller, &speaker, &deliveries, &telemetry)?;
    }
    let mut silent = false;
    let end = async {
        tokio::select! {
            () = end => {}
            // It ends when it is stopped; before that only by a bug.
            Some(_) = serving.join_next() => silent = true,
        }
        // Nothing new is taken while the environments finish their passes.
        stop.cancel();
    };
    let outcome = controller.run(end, jitter).await;
    edges.close().await;
    outcome?;
    if silent {
        return Err(Failure::new("serve webhooks").hint("this is a bug; please report it with the log"));
    }
    Ok(Exit::Ok)
}

/// The server, bound; none when there is nothing to serve.
async fn endpoints(
    config: &Config,
    deliveries: &Deliveries,
    pages: &Arc<Pages>,
    telemetry: &Arc<Telemetry>,
) -> Result<Option<Server>, Failure> {
    let (limits, clock) = (Limits::default(), Arc::new(SystemClock::start()) as Arc<dyn Clock>);
    let doors = Doors::open(config.webhooks.clone(), &limits, deliveries, telemetry, &clock)
        .map_err(|error| Failure::new(error.to_string()).because_source(&error).hint(error.hint()))?;
    let (mut paths, mut parts) = (doors.paths(), vec![doors.routes()]);
    // Whoever gives no public address wants no links, and nothing shown.
    if config.server.public_url.is_some() {
        parts.push(routes(Arc::clone(pages)));
        paths.push("/environments".to_owned());
    }
    if paths.is_empty() {
        return Ok(None);
    }
    let listen = config.server.listen;
    let server = Server::bind(listen, router(parts, &limits), limits.clone()).await.map_err(|error| {
        Failure::new(format!("listen at {listen}"))
            .because(&error)
            .hint("another process may listen there already; `server.listen` of the configuration is the address and port")
    })?;
    tracing::info!(address = %server.address().unwrap_or(listen), endpoints = paths.join(" "), "listening");
    Ok(Some(server))
}

fn keeper(
    edges: &Edges,
    environment: EnvironmentName,
    fetches: Fetches,
    speaker: Option<Speaker>,
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
        speaker,
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
