//! The whole controller on a repository that counts who looks at it, with several directories to keep.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockstep::client::directory::DirectoryTarget;
use lockstep::config;
use lockstep::domain::check::Check;
use lockstep::domain::desired::FileTree;
use lockstep::domain::health::Finding;
use lockstep::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{Kept, Phase};
use lockstep::port::{EdgeError, EdgeKind, Head, Probe, Scheduler as _, Target as _};
use lockstep::runtime::clock::RealTime;
use lockstep::runtime::controller::Controller;
use lockstep::runtime::keeper::Keeper;
use lockstep::runtime::reading::Fit;
use lockstep::runtime::wakes::Wakes;
use lockstep::telemetry::Telemetry;

use crate::support::imagined::{Branch, Imagined, commit, stands_at};

const INTERVAL: Duration = Duration::from_millis(2);
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);
const ENVIRONMENTS: [&str; 3] = ["one", "two", "three"];

/// A repository of commits that differ in one value, and who looks at it.
#[derive(Clone)]
struct Counting(Arc<Counts>);

struct Counts {
    fetches: AtomicUsize,
    /// The number of the branch's commit.
    tip: AtomicUsize,
    /// Nothing can be read.
    broken: AtomicBool,
    first: Mutex<Option<Instant>>,
}

impl Counting {
    fn new() -> Self {
        let (fetches, tip) = (AtomicUsize::new(0), AtomicUsize::new(1));
        Self(Arc::new(Counts { fetches, tip, broken: AtomicBool::new(false), first: Mutex::new(None) }))
    }

    fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::Acquire)
    }
}

impl Branch for Counting {
    fn head(&self) -> Head {
        stands_at(commit(u8::try_from(self.0.tip.load(Ordering::Acquire)).unwrap()))
    }

    fn fetched(&self) -> Result<(), EdgeError> {
        self.0.fetches.fetch_add(1, Ordering::AcqRel);
        self.0.first.lock().unwrap().get_or_insert_with(Instant::now);
        Ok(())
    }

    fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
        if self.0.broken.load(Ordering::Acquire) {
            return Err(EdgeError::new("git", EdgeKind::Transient, "read a commit").because("the disk is gone"));
        }
        let manifest = ("lockstep.yaml".to_owned(), "name: demo\nlockstep: \"^1\"\n".to_owned());
        let rules = "layers: []\nrollout: {min_healthy_time: 0s, healthy_deadline: 1s, fail_after: 1}\n";
        let files = ENVIRONMENTS.iter().flat_map(|name| {
            let of = |file: &str| format!("environments/{name}/{file}");
            [(of("environment.yaml"), rules.to_owned()), (of("files/config/a"), revision.short())]
        });
        Ok(FileTree::of_files([manifest].into_iter().chain(files)))
    }
}

struct NoChecks;

impl Probe for NoChecks {
    async fn sample(&self, _: &Check) -> Finding {
        Finding::Pass
    }
}

/// A controller with three directories; it ends with the test.
struct Site {
    source: Counting,
    telemetry: Arc<Telemetry>,
    home: tempfile::TempDir,
    running: tokio::task::JoinHandle<()>,
}

impl Site {
    fn start(source: Counting) -> Self {
        let home = tempfile::tempdir().unwrap();
        let telemetry = Arc::new(Telemetry::new());
        let mut controller = Controller::new(Imagined(source.clone()), INTERVAL, Arc::clone(&telemetry));
        for name in ENVIRONMENTS {
            let fit = Fit { roots: KeyRoots::all(), files: true, settle: Duration::ZERO };
            controller.keep(Keeper {
                environment: EnvironmentName::parse(name).unwrap(),
                repository: RepositoryName::parse("demo").unwrap(),
                fit,
                initialises_itself: true,
                source: Imagined(source.clone()),
                target: Arc::new(directory(home.path(), name)),
                probe: Arc::new(NoChecks),
                scheduler: RealTime,
                wakes: Arc::new(Wakes::default()),
                fetches: controller.fetches(),
                kept: Kept::default(),
                speaker: None,
                telemetry: Arc::clone(&telemetry),
            });
        }
        let running = tokio::spawn(async move { controller.run(std::future::pending(), || 0.5).await.unwrap() });
        Self { source, telemetry, home, running }
    }

    async fn until_steady(&self) {
        for name in ENVIRONMENTS {
            let target = directory(self.home.path(), name);
            until(async || target.load().await.ok().flatten().is_some_and(|stored| stored.record.phase == Phase::Steady)).await;
        }
    }

    /// A measure of one environment as it is shown; none when it is not.
    fn measure(&self, name: &str, environment: &str) -> Option<i64> {
        let text = self.telemetry.metrics().encode().unwrap();
        let begin = format!("lockstep_{name}{{environment=\"{environment}\"");
        let line = text.lines().find(|line| line.starts_with(&begin))?;
        line.rsplit_once(' ').unwrap().1.parse().ok()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn directory(home: &Path, name: &str) -> DirectoryTarget {
    let (path, services, keep) = (home.join(name), BTreeMap::new(), Duration::from_hours(1));
    let settings = config::Directory { path, services, keep, keys: KeyRoots::all() };
    let (repository, environment) = (RepositoryName::parse("demo").unwrap(), EnvironmentName::parse(name).unwrap());
    DirectoryTarget::new(&settings, repository, environment, Arc::new(RealTime.clock()))
}

async fn until(condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every file and folder, and when it was changed last.
fn everything(path: &Path, into: &mut BTreeMap<PathBuf, (u64, i64, i64)>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let stat = path.symlink_metadata().unwrap();
        into.insert(path.clone(), (stat.ino(), stat.ctime(), stat.ctime_nsec()));
        if stat.is_dir() {
            everything(&path, into);
        }
    }
}

fn written(site: &Site) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    everything(site.home.path(), &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_intervals_without_news_are_one_look_each_for_all_environments_and_no_write() {
    let site = Site::start(Counting::new());
    site.until_steady().await;
    // Old history is looked through once after the last move.
    let settled = site.source.fetches() + 100;
    until(async || site.source.fetches() >= settled).await;
    let (before, first, began) = (written(&site), site.source.fetches(), Instant::now());
    until(async || site.source.fetches() >= first + 1_000).await;
    let (looks, took) = (site.source.fetches() - first, began.elapsed());
    assert_eq!(written(&site), before);
    let most = took.as_secs_f64() / INTERVAL.as_secs_f64() + 1.0;
    assert!(f64::from(u32::try_from(looks).unwrap()) <= most, "{looks} looks in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdogs_gauge_moves_with_a_pass_that_went_well_and_with_no_other() {
    const GAUGE: &str = "env_last_success_timestamp_seconds";
    let source = Counting::new();
    source.0.broken.store(true, Ordering::Release);
    let began = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let site = Site::start(source);
    let failures = || site.measure("pass_failures_total", "one").unwrap_or_default();
    until(async || failures() >= 2).await;
    assert_eq!(site.measure(GAUGE, "one"), None, "nothing went well yet");
    site.source.0.broken.store(false, Ordering::Release);
    until(async || site.measure(GAUGE, "one").is_some()).await;
    site.until_steady().await;
    let at = site.measure(GAUGE, "one").unwrap();
    assert!((began..began + 60).contains(&at), "{at} is not now");
    // A new commit that can't be read: the pauses between the passes add up to more than the gauge's second.
    site.source.0.broken.store(true, Ordering::Release);
    site.source.0.tip.store(2, Ordering::Release);
    let known = failures();
    until(async || failures() > known).await;
    let at = site.measure(GAUGE, "one").unwrap();
    until(async || failures() >= known + 3).await;
    assert_eq!(site.measure(GAUGE, "one"), Some(at), "it moved although nothing went well");
    site.source.0.broken.store(false, Ordering::Release);
    until(async || site.measure(GAUGE, "one") > Some(at)).await;
}
