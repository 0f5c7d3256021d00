//! A controller inside the test: what only its own process knows of it, its metrics above all, and hours that last seconds.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use lockstep::client::consul::{Catalog, ConsulTarget, SETTLE, Server};
use lockstep::client::git::{GitOptions, GitSource};
use lockstep::client::probe::{Prober, Services};
use lockstep::config::{self, ConsulVariables, TargetConfig};
use lockstep::domain::name::{EnvironmentName, RepositoryName};
use lockstep::domain::rollout::Kept as Past;
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, Scheduler, Source as _};
use lockstep::runtime::clock::{RealTime, SystemClock};
use lockstep::runtime::keeper::Keeper;
use lockstep::runtime::reading::Fit;
use lockstep::runtime::wakes::{Fetches, Wakes};
use lockstep::telemetry::{LogFormat, Telemetry, subscriber};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use super::site::Site;

/// Real time, so many times as fast: for what waits an hour.
#[derive(Debug, Clone, Copy)]
struct Fast(u32);

#[derive(Debug, Clone, Copy)]
struct FastClock {
    speed: u32,
    since: Timestamp,
    clock: SystemClock,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.since + self.clock.now().since(self.since) * self.speed
    }
}

impl Scheduler for Fast {
    type Clock = FastClock;
    type Work = <RealTime as Scheduler>::Work;

    fn clock(&self) -> FastClock {
        let clock = RealTime.clock();
        FastClock { speed: self.0, since: clock.now(), clock }
    }

    async fn sleep(&self, time: Duration) {
        RealTime.sleep(time / self.0).await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Self::Work {
        RealTime.spawn(work)
    }
}

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A controller that keeps the environment of a site; it stops in good order when dropped.
pub(super) struct Kept {
    telemetry: Arc<Telemetry>,
    log: Log,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Kept {
    /// Starts it; its time goes so many times as fast as ours.
    pub(super) fn start(site: &Site, speed: u32) -> Self {
        let config = config::read(&site.configure("kept"), &ConsulVariables::from_lookup(|_| None)).unwrap();
        let (telemetry, log, stop) = (Arc::new(Telemetry::new()), Log::default(), CancellationToken::new());
        let (metrics, lines, stopped) = (Arc::clone(&telemetry), log.clone(), stop.clone());
        let home = site.home().join("kept");
        let thread = std::thread::spawn(move || {
            let lines = subscriber(LogFormat::Json, "info", false, lines).unwrap();
            let _lines = tracing::subscriber::set_default(lines);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(keep(config, &home, metrics, speed, stopped));
        });
        Self { telemetry, log, stop, thread: Some(thread) }
    }

    /// The value of a metric with these labels, 0 where it was never moved.
    pub(super) fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.telemetry.metrics().encode().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("lockstep_{name}")) && line.contains(label));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// The events of this name, each as it was logged.
    pub(super) fn events(&self, name: &str) -> Vec<serde_json::Value> {
        let log = self.log.0.lock().unwrap();
        let lines = std::str::from_utf8(&log).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).filter(|line: &serde_json::Value| line["event"] == name).collect()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the controller panicked");
    }
}

async fn keep(config: config::Config, home: &std::path::Path, telemetry: Arc<Telemetry>, speed: u32, stop: CancellationToken) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let source = GitSource::open(&config.repository, home, clock, GitOptions::default()).unwrap();
    source.fetch().await.unwrap();
    let environment = EnvironmentName::parse("test").unwrap();
    let Some(TargetConfig::Consul(consul)) = config.environments.get(&environment) else { panic!("no Consul") };
    let repository = RepositoryName::parse("demo").unwrap();
    let server = Server::connect(consul).unwrap();
    let (roots, id) = (consul.keys.clone(), consul.target_id.clone());
    let services = Services::Catalog(Catalog::new(Arc::clone(&server)));
    let wakes = Arc::new(Wakes::default());
    let keeper = Keeper {
        repository: repository.clone(),
        fit: Fit { roots: roots.clone(), files: false, settle: SETTLE },
        initialises_itself: false,
        source: source.clone(),
        target: Arc::new(ConsulTarget::new(Arc::clone(&server), repository, environment.clone(), roots, id)),
        probe: Arc::new(Prober::new(environment.clone(), services, config.checks.clone(), consul.dns).unwrap()),
        scheduler: Fast(speed),
        wakes: Arc::clone(&wakes),
        fetches: Fetches::default(),
        kept: Past::default(),
        speaker: None,
        telemetry,
        environment,
    };
    let polls = async {
        loop {
            RealTime.sleep(Duration::from_millis(100)).await;
            if source.fetch().await.is_ok() {
                wakes.head();
            }
        }
    };
    tokio::select! {
        () = keeper.keep(&stop) => {}
        () = polls => {}
    }
    // Consul may be gone by then; the session runs out by itself.
    let _ = server.close().await;
}
