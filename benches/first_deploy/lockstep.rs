//! lockstep's own part: real passes over the real edges, from an idle record and a fetched commit until all is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep::client::git::{GitOptions, GitSource};
use lockstep::config::{KeepRefs, Repository, RepositoryUrl};
use lockstep::domain::desired::read_for;
use lockstep::domain::name::{EnvironmentName, RepositoryName};
use lockstep::domain::rollout::{Kept, Phase};
use lockstep::port::{Clock as _, Leading, Source as _, Target as _, Tip};
use lockstep::runtime::clock::SystemClock;
use lockstep::runtime::memory::Memory;
use lockstep::runtime::pass::{Passed, World, pass};
use lockstep::runtime::reading::Fit;

use crate::support;
use crate::timed::{APPLY, GIT, LIVE, PARSE, PLAN, REST, Timed, Watch};

/// How long a first deploy took.
pub(crate) struct Deploy {
    pub(crate) total: Duration,
    pub(crate) phases: BTreeMap<&'static str, Duration>,
}

/// Initialises an environment at this Consul, takes its lease, fetches the repository; and then, with the clock running,
/// makes passes until the record says that everything is written.
pub(crate) async fn deploy(address: String, repository: PathBuf) -> Deploy {
    let environment = EnvironmentName::parse("test").unwrap();
    let data = tempfile::tempdir().unwrap();
    let source = source(repository, &data);
    source.fetch().await.unwrap();
    let target = support::controller(&address, None);
    target.initialise().await.unwrap();
    let Leading::Ours(lease) = target.lead().await.unwrap() else { panic!("somebody else leads") };
    let fit = Fit { roots: support::roots(), files: false, settle: target.character().settle };
    let mut memory = Memory::new(environment.clone(), RepositoryName::parse("calvin-config").unwrap(), fit);
    let clock = SystemClock::start();
    let watch = Watch::default();
    let (source, target) = (Timed { edge: source, watch: &watch }, Timed { edge: target, watch: &watch });
    let world = World {
        source: &source,
        target: &target,
        clock: &clock,
        led_since: clock.now(),
        interrupted: &|| None,
        kept: Kept::default(),
        announce: &|_, _| {},
    };

    let begin = Instant::now();
    loop {
        match pass(&world, &mut memory, &lease).await.unwrap() {
            Passed::Moved(step) if step.to.phase == Phase::Verifying => break,
            Passed::Moved(_) => {}
            other @ (Passed::Stale | Passed::Waiting { .. } | Passed::Troubled(_)) => panic!("{other:?}"),
        }
    }
    let total = begin.elapsed();

    let mut phases = watch.read();
    // What happens between calls to the edges is parsing and planning; parsing is taken again, alone.
    let between = total.saturating_sub(phases.values().sum());
    let parse = parse(&source.edge, &environment).await.min(between);
    phases.insert(PARSE, parse);
    phases.insert(PLAN, between.saturating_sub(parse));
    for phase in [GIT, LIVE, APPLY, REST] {
        phases.entry(phase).or_default();
    }
    target.release(lease).await.unwrap();
    Deploy { total, phases }
}

async fn parse(source: &GitSource, environment: &EnvironmentName) -> Duration {
    let Tip::At(tip) = source.head().await.unwrap().tip else { panic!("nothing was fetched") };
    let tree = source.tree(tip).await.unwrap();
    let begin = Instant::now();
    let read = read_for(&tree, environment);
    let time = begin.elapsed();
    drop(read);
    time
}

fn source(repository: PathBuf, data: &tempfile::TempDir) -> GitSource {
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
    GitSource::open(&settings, data.path(), Arc::new(SystemClock::start()), GitOptions::default()).unwrap()
}
