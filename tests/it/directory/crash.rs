//! A controller is killed at every stage of writing a thousand files: what is live is always one whole version, and whoever
//! comes next finishes the work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockstep::client::directory::{DirectoryLease, DirectoryTarget};
use lockstep::domain::desired::DesiredState;
use lockstep::domain::plan::Plan;
use lockstep::domain::rollout::{Phase, Stored};
use lockstep::port::Target;

use super::target;
use crate::suite::{around, desired, difference, lease};

const KEYS: usize = 1_000;
/// Names the directory to the child process.
const CHILD: &str = "LOCKSTEP_TEST_CRASH_DIRECTORY";

/// Every value names its generation, so that a mixed state shows; every other generation has fewer keys.
fn state(generation: u32) -> DesiredState {
    let keys = if generation.is_multiple_of(2) { KEYS } else { KEYS - 100 };
    desired((0..keys).map(|key| (format!("config/{}/{key:04}", key % 9), format!("of generation {generation}"))))
}

/// What a controller's pass does: finishes the attempt under way, or begins the next one.
async fn pass(target: &DirectoryTarget, lease: &DirectoryLease) -> u32 {
    let Stored { record, fence } = target.load().await.unwrap().unwrap();
    let goes_on = record.phase == Phase::Applying;
    let generation = record.generation.number() + u32::from(!goes_on);
    let wanted = state(generation);
    let live = target.live().await.unwrap();
    let plan: Plan = difference(&live, &wanted, record.identity.owner, generation);
    let apply = around(&record, &wanted, plan, !goes_on);
    target.apply(lease, fence, &apply, &wanted, &|| true).await.unwrap();
    generation
}

/// The child of the tests below: applies one generation after another until it is killed.
#[tokio::test]
#[ignore = "the process that the crash tests start and kill; it does nothing by itself"]
async fn a_controller_that_never_stops() {
    let path = PathBuf::from(std::env::var_os(CHILD).expect("started by a crash test"));
    let target = target(&path, Duration::ZERO);
    let lease = lease(&target).await;
    // A parent that died must not leave this running.
    let end = Instant::now() + Duration::from_mins(1);
    while Instant::now() < end {
        pass(&target, &lease).await;
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(path: &Path) -> Killed {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "directory::crash::a_controller_that_never_stops", "--ignored", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Killed(child)
}

/// Where in an apply the controller is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// With so many of a new version's top folders there.
    Folders(usize),
    /// With so many files in the new version's first folder.
    Files(usize),
    /// The new version's list is there.
    Listed,
    /// The record says applying.
    Opened,
    /// `current` points to the new version.
    Switched,
    /// The record moved on from applying.
    Closed,
    /// After so many microseconds from the first sign of a new version.
    After(u64),
}

/// The newest version that is being built or was built after `before`.
fn newest(path: &Path) -> Option<u32> {
    let names = std::fs::read_dir(path.join("versions")).ok()?;
    names.filter_map(|name| name.ok()?.file_name().to_str()?.parse().ok()).max()
}

fn live(path: &Path) -> u32 {
    let link = std::fs::read_link(path.join("current")).unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

fn reached(path: &Path, before: u32, point: Point, seen: &mut Option<Instant>) -> bool {
    let Some(version) = newest(path).filter(|version| *version > before) else { return false };
    let begun = *seen.get_or_insert_with(Instant::now);
    let directory = path.join("versions").join(version.to_string());
    let count = |path: PathBuf| std::fs::read_dir(path).map_or(0, Iterator::count);
    let record = || std::fs::read_to_string(path.join(".lockstep/record")).unwrap_or_default();
    let applying = || record().contains("\"phase\":\"applying\"");
    match point {
        Point::Folders(folders) => count(directory.join("config")) >= folders,
        Point::Files(files) => count(directory.join("config/0")) >= files,
        Point::Listed => path.join("versions").join(format!("{version}.manifest")).exists(),
        Point::Opened => applying(),
        Point::Switched => live(path) > before,
        Point::Closed => live(path) > before && !applying(),
        Point::After(micros) => begun.elapsed() >= Duration::from_micros(micros),
    }
}

/// Which generation the live version is of, all of it.
#[track_caller]
fn whole(path: &Path, point: Point) -> u32 {
    let mut found = BTreeMap::new();
    let config = path.join("current").canonicalize().unwrap().join("config");
    for folder in std::fs::read_dir(config).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            let name = file.strip_prefix(path.canonicalize().unwrap().join("versions")).unwrap().to_owned();
            let key: PathBuf = name.components().skip(1).collect();
            found.insert(key.to_str().unwrap().to_owned(), std::fs::read_to_string(&file).unwrap());
        }
    }
    let values: BTreeSet<&String> = found.values().collect();
    assert_eq!(values.len(), 1, "{point:?}: a mixed state: {values:?}");
    let generation: u32 = values.first().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let wanted: BTreeSet<String> = state(generation).entries().keys().map(ToString::to_string).collect();
    assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), wanted, "{point:?}: some keys of generation {generation}");
    generation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_killed_at_any_point_leaves_one_whole_version_and_the_next_one_finishes() {
    let guard = tempfile::tempdir().unwrap();
    let path = guard.path().join("test");
    let next = target(&path, Duration::ZERO);
    next.initialise().await.unwrap();
    let first = lease(&next).await;
    pass(&next, &first).await;
    next.release(first).await.unwrap();

    let mut points = vec![Point::Folders(1), Point::Folders(9), Point::Files(1), Point::Files(60), Point::Files(100)];
    points.extend([
        Point::Listed,
        Point::Listed,
        Point::Opened,
        Point::Opened,
        Point::Switched,
        Point::Switched,
        Point::Closed,
    ]);
    // Spread over an apply's length, whatever that is on this machine, with steps that share no factor with it.
    points.extend((0..12).map(|step| Point::After(1_700 * step * step)));
    let mut stages = BTreeSet::new();
    for point in points {
        let before = live(&path);
        let mut child = start(&path);
        let (limit, mut seen) = (Instant::now() + Duration::from_secs(20), None);
        while !reached(&path, before, point, &mut seen) {
            assert!(Instant::now() < limit, "{point:?} was not reached");
            assert_eq!(child.0.try_wait().unwrap(), None, "{point:?}: the controller ended by itself");
            std::thread::yield_now();
        }
        drop(child);

        let generation = whole(&path, point);
        let stored = next.load().await.unwrap().unwrap();
        let opened = stored.record.phase == Phase::Applying;
        stages.insert((opened, opened && generation == stored.record.generation.number()));
        if !opened {
            assert_eq!(generation, stored.record.generation.number(), "{point:?}: the record names another version");
        }

        // The next controller finishes an attempt under way, and all is as if nothing had happened.
        let lease = lease(&next).await;
        let done = if opened { pass(&next, &lease).await } else { generation };
        assert_eq!(whole(&path, point), done, "{point:?}");
        let record = next.load().await.unwrap().unwrap().record;
        assert_eq!((record.phase, record.generation.number()), (Phase::Verifying, done), "{point:?}");
        let lines: Vec<u32> = next.history(10_000).await.unwrap().iter().map(|line| line.generation.number()).collect();
        assert_eq!(lines, (1..=done).rev().collect::<Vec<_>>(), "{point:?}: one line for each attempt");
        let found = next.live().await.unwrap();
        assert!(difference(&found, &state(done), record.identity.owner, done).is_empty(), "{point:?}");
        no_leftovers(&path, point);
        next.release(lease).await.unwrap();
    }
    assert!(stages.contains(&(false, false)), "never killed before the record was opened or after it was closed");
    assert!(stages.contains(&(true, false)) || stages.contains(&(true, true)), "never killed while the record said applying");
}

#[track_caller]
fn no_leftovers(path: &Path, point: Point) {
    let all: BTreeSet<String> = [".", "versions", ".lockstep", ".lockstep/history"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(path.join(directory)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!all.iter().any(|name| name.contains("unfinished")), "{point:?}: {all:?}");
    for version in std::fs::read_dir(path.join("versions")).unwrap() {
        let version = version.unwrap();
        if version.file_type().unwrap().is_dir() {
            assert!(version.path().with_added_extension("manifest").exists(), "{point:?}: {version:?} was never finished");
        }
    }
}
