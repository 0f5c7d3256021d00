//! lockstep's own loop in this process: real passes over the real edges, with a stopwatch at each call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep::client::consul::{ConsulTarget, Lease};
use lockstep::client::git::{GitOptions, GitSource};
use lockstep::config::{KeepRefs, Repository, RepositoryUrl};
use lockstep::domain::desired::read_for;
use lockstep::domain::name::{EnvironmentName, RepositoryName};
use lockstep::domain::rollout::{Kept, Phase};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock as _, Leading, Source as _, Target as _, Tip};
use lockstep::runtime::clock::SystemClock;
use lockstep::runtime::memory::Memory;
use lockstep::runtime::pass::{Passed, World, pass};
use lockstep::runtime::reading::Fit;

use crate::support;
use crate::timed::{APPLY, GIT, LIVE, PARSE, PLAN, REST, Timed, Watch};

/// How long it took until everything was written, and where the time went.
pub(crate) struct Deploy {
    pub(crate) total: Duration,
    pub(crate) phases: BTreeMap<&'static str, Duration>,
}

/// One environment with its lease, as the daemon holds it between two passes.
pub(crate) struct Inside {
    source: Timed<GitSource>,
    target: Timed<ConsulTarget>,
    lease: Lease,
    memory: Memory,
    clock: SystemClock,
    led_since: Timestamp,
    watch: Arc<Watch>,
    _data: tempfile::TempDir,
}

impl Inside {
    /// Initialises an environment at this Consul, takes its lease, and fetches the repository.
    pub(crate) async fn start(address: &str, repository: PathBuf) -> Self {
        let data = tempfile::tempdir().unwrap();
        let source = source(repository, data.path());
        source.fetch().await.unwrap();
        let target = support::controller(address, None);
        target.initialise().await.unwrap();
        let Leading::Ours(lease) = target.lead().await.unwrap() else { panic!("somebody else leads") };
        let fit = Fit { roots: support::roots(), files: false, settle: target.character().settle };
        let memory = Memory::new(environment(), RepositoryName::parse("calvin-config").unwrap(), fit);
        let clock = SystemClock::start();
        let watch = Arc::new(Watch::default());
        let (source, target) =
            (Timed { edge: source, watch: Arc::clone(&watch) }, Timed { edge: target, watch: Arc::clone(&watch) });
        Self { source, target, lease, memory, led_since: clock.now(), clock, watch, _data: data }
    }

    /// Brings the branch into the mirror.
    pub(crate) async fn fetch(&self) {
        self.source.edge.fetch().await.unwrap();
    }

    /// Makes passes until everything is written, with the clock running.
    pub(crate) async fn write(&mut self) -> Deploy {
        self.watch.reset();
        let begin = Instant::now();
        while self.pass().await != Some(Phase::Verifying) {}
        let total = begin.elapsed();
        Deploy { total, phases: self.watch.read() }
    }

    /// The phases of a deploy, parsing taken again by itself.
    pub(crate) async fn explain(&self, Deploy { total, mut phases }: Deploy) -> Deploy {
        // What happens between calls to the edges is parsing and planning.
        let between = total.saturating_sub(phases.values().sum());
        let parse = parse(&self.source.edge).await.min(between);
        phases.insert(PARSE, parse);
        phases.insert(PLAN, between.saturating_sub(parse));
        for phase in [GIT, LIVE, APPLY, REST] {
            phases.entry(phase).or_default();
        }
        Deploy { total, phases }
    }

    /// Makes passes until the environment rests.
    pub(crate) async fn settle(&mut self) {
        while self.pass().await != Some(Phase::Steady) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What comes after the last move: old history is forgotten, the head judged.
        assert_eq!(self.pass().await, None);
    }

    /// One pass; the phase that it moved to.
    async fn pass(&mut self) -> Option<Phase> {
        let world = World {
            source: &self.source,
            target: &self.target,
            clock: &self.clock,
            led_since: self.led_since,
            interrupted: &|| None,
            kept: Kept::default(),
            announce: &|_, _| {},
        };
        match pass(&world, &mut self.memory, &self.lease).await.unwrap() {
            Passed::Moved(step) => Some(step.to.phase),
            Passed::Waiting { .. } => None,
            other @ (Passed::Stale | Passed::Troubled(_)) => panic!("{other:?}"),
        }
    }
}

fn environment() -> EnvironmentName {
    EnvironmentName::parse("test").unwrap()
}

async fn parse(source: &GitSource) -> Duration {
    let Tip::At(tip) = source.head().await.unwrap().tip else { panic!("nothing was fetched") };
    let tree = source.tree(tip).await.unwrap();
    let begin = Instant::now();
    let read = read_for(&tree, &environment());
    let time = begin.elapsed();
    drop(read);
    time
}

fn source(repository: PathBuf, data: &Path) -> GitSource {
    let settings = Repository {
        url: RepositoryUrl::Local(repository),
        branch: "main".to_owned(),
        poll: Duration::from_secs(30),
        fetch_timeout: Duration::from_secs(30),
        token: None,
        ssh_key: None,
        known_hosts: None,
        ca: None,
        keep_refs: KeepRefs::Mirror,
    };
    GitSource::open(&settings, data, Arc::new(SystemClock::start()), GitOptions::default()).unwrap()
}
