//! The directory target against real files.

mod behind;
mod busy;
mod crash;
mod faults;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use lockstep::client::directory::DirectoryTarget;
use lockstep::config;
use lockstep::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
use lockstep::domain::plan::Counts;
use lockstep::domain::revision::{Generation, Revision};
use lockstep::domain::rollout::{Phase, Reached, Rollout, Save};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, EdgeKind, Target};

use crate::suite::{Led, Place, around, desired, difference, is, line, only};

/// The wall clock, which the ages of versions are compared with.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}

/// An environment in a temporary directory.
pub struct Directory {
    /// Removes everything when the test ends.
    guard: tempfile::TempDir,
}

/// A controller's handle on the directory.
pub fn target(path: &Path, keep: Duration) -> DirectoryTarget {
    named("test", path, keep)
}

/// The same, of the environment under another name.
fn named(name: &str, path: &Path, keep: Duration) -> DirectoryTarget {
    let directory = config::Directory { path: path.to_owned(), services: BTreeMap::new(), keep, keys: KeyRoots::all() };
    let repository = RepositoryName::parse("calvin-config").unwrap();
    DirectoryTarget::new(&directory, repository, EnvironmentName::parse(name).unwrap(), Arc::new(Wall))
}

impl Directory {
    fn path(&self) -> PathBuf {
        self.guard.path().join("test")
    }
}

impl Place for Directory {
    type Target = DirectoryTarget;

    async fn fresh() -> Self {
        Self { guard: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> DirectoryTarget {
        target(&self.path(), Duration::from_hours(1))
    }

    async fn edit(&self, key: &str, value: Option<&[u8]>) {
        let current = self.path().join("current");
        // Before the first version there is nothing that could be edited by hand: a person would make the link.
        if !current.exists() {
            std::fs::create_dir_all(self.path().join("versions/0")).unwrap();
            symlink("versions/0", &current).unwrap();
        }
        let file = current.join(key);
        match value {
            Some(value) => {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                // As an editor does: beside, then renamed over the read-only file.
                let beside = file.with_extension("swp");
                std::fs::write(&beside, value).unwrap();
                std::fs::rename(&beside, &file).unwrap();
            }
            None => std::fs::remove_file(&file).unwrap(),
        }
    }

    async fn lose_lease(&self) {
        std::fs::remove_file(self.path().join(".lockstep/lease")).unwrap();
    }
}

conformance!(Directory);

async fn led() -> Led<Directory> {
    Led::start(Directory::fresh().await).await
}

/// Names in a directory, in order.
fn names(path: PathBuf) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn everybody_reads_values_and_only_the_owner_reads_state() {
    let led = led().await;
    led.apply(&desired([("config/a", "1")]), 1).await;
    led.place.target().submit(&crate::suite::request(1, 1)).await.unwrap();
    let path = led.place.path();
    let mode = |name: &str| path.join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode("current/config/a"), 0o444);
    assert_eq!(mode("current/config"), 0o755);
    assert_eq!(mode("versions/1.manifest"), 0o444);
    for directory in [".lockstep", ".lockstep/history", ".lockstep/requests", ".lockstep/answers"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    for file in ["record", "lease", "holder", "history/1", "requests/0000000000000001"] {
        assert_eq!(mode(&format!(".lockstep/{file}")), 0o600, "{file}");
    }
}

#[tokio::test]
async fn versions_are_copies_and_never_share_a_file() {
    let led = led().await;
    led.apply(&desired([("config/a", "1"), ("config/b", "1")]), 1).await;
    led.apply(&desired([("config/a", "2"), ("config/b", "1")]), 2).await;
    let inode = |name: &str| led.place.path().join(name).metadata().unwrap();
    assert_ne!(inode("versions/1/config/b").ino(), inode("versions/2/config/b").ino());
    assert_eq!(inode("versions/2/config/b").nlink(), 1);
    assert_eq!(std::fs::read(led.place.path().join("versions/1/config/a")).unwrap(), b"1", "the old version is as it was");
    let manifest = std::fs::read_to_string(led.place.path().join("versions/2.manifest")).unwrap();
    assert!(manifest.contains(&format!("revision {}", "02".repeat(20))), "{manifest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_current_sees_one_revision_whole() {
    let led = led().await;
    let state = |n: u32| desired((0..40).map(|key| (format!("config/{}/{key}", key % 3), format!("{n}"))));
    led.apply(&state(1), 1).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (done, current) = (Arc::clone(&stop), led.place.path().join("current"));
    let reader = tokio::task::spawn_blocking(move || {
        let mut reads = 0;
        while !done.load(Ordering::SeqCst) {
            let whole = std::fs::canonicalize(&current).unwrap();
            let first = std::fs::read_to_string(whole.join("config/0/0")).unwrap();
            for key in 0..40 {
                let value = std::fs::read_to_string(whole.join(format!("config/{}/{key}", key % 3))).unwrap();
                assert_eq!(value, first, "a mixed state");
            }
            reads += 1;
        }
        reads
    });
    for n in 2..=20 {
        led.apply(&state(n), n).await;
    }
    stop.store(true, Ordering::SeqCst);
    assert!(reader.await.unwrap() > 10);
}

#[tokio::test]
async fn only_versions_that_somebody_needs_are_kept() {
    let led = led().await;
    let state = |n: u32| desired([("config/a", format!("{n}"))]);
    for n in 1..=4 {
        led.apply(&state(n), n).await;
    }
    let versions =
        || names(led.place.path().join("versions")).into_iter().filter(|name| !name.contains('.')).collect::<Vec<_>>();
    assert_eq!(versions(), ["1", "2", "3", "4"], "all are younger than `keep`");

    // The same directory, with a controller that keeps nothing for its age; version 2 is last good.
    let impatient = target(&led.place.path(), Duration::ZERO);
    let stored = led.stored().await;
    let last_good =
        stored.record.complete.clone().map(|reached| Reached { generation: Generation::new(2).unwrap(), ..reached });
    let good = Rollout { last_good, ..stored.record };
    led.target.save(&led.lease, stored.fence, &only(good)).await.unwrap();
    let stored = led.stored().await;
    let plan = crate::suite::difference(&led.live().await, &state(5), led.owner, 5);
    let apply = crate::suite::around(&stored.record, &state(5), plan, true);
    impatient.apply(&led.lease, stored.fence, &apply, &state(5), &|| true).await.unwrap();
    assert_eq!(versions(), ["2", "4", "5"], "last good, the previous one, the live one");
}

/// Applies version after version, with lists that were written so many hours ago; what is left after the last.
async fn kept_of(hours: [u64; 2]) -> Vec<String> {
    let led = led().await;
    let state = |n: u32| desired([("config/a", format!("{n}"))]);
    for (n, ago) in (1..).zip(hours) {
        led.apply(&state(n), n).await;
        let list = std::fs::File::open(led.place.path().join(format!("versions/{n}.manifest"))).unwrap();
        list.set_modified(SystemTime::now() - Duration::from_hours(ago)).unwrap();
    }
    led.apply(&state(3), 3).await;
    names(led.place.path().join("versions")).into_iter().filter(|name| !name.contains('.')).collect()
}

#[tokio::test]
async fn a_version_is_kept_for_a_time_after_it_stopped_being_current_however_old_it_is() {
    // Live for hours until a moment ago: whoever reads it has its hour still.
    assert_eq!(kept_of([9, 0]).await, ["1", "2", "3"]);
    assert_eq!(kept_of([9, 8]).await, ["2", "3"], "not live for eight hours");
}

#[tokio::test]
async fn a_version_that_was_built_and_never_live_takes_no_time_from_the_one_before() {
    let led = led().await;
    let state = |n: u32| desired([("config/a", format!("{n}"))]);
    let path = led.place.path();
    let age = |name: &str, hours| {
        let file = std::fs::File::open(path.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
    };
    for n in 1..=2 {
        led.apply(&state(n), n).await;
    }
    // A controller was killed between the list of version 3 and the switch to it.
    std::fs::create_dir_all(path.join("versions/3/config")).unwrap();
    std::fs::write(path.join("versions/3/config/a"), "3").unwrap();
    std::fs::copy(path.join("versions/2.manifest"), path.join("versions/3.manifest")).unwrap();
    age("versions/1.manifest", 9);
    age("versions/2.manifest", 8);
    led.apply(&state(4), 4).await;
    led.apply(&state(5), 5).await;
    let versions: Vec<_> = names(path.join("versions")).into_iter().filter(|name| !name.contains('.')).collect();
    assert_eq!(versions, ["2", "4", "5"], "version 2 was live until a moment ago, and version 3 never");
}

#[tokio::test]
async fn versions_that_were_live_stay_when_a_person_turns_current_back() {
    let led = led().await;
    let state = |n: u32| desired([("config/a", format!("{n}"))]);
    for n in 1..=3 {
        led.apply(&state(n), n).await;
    }
    let path = led.place.path();
    std::fs::remove_file(path.join("current")).unwrap();
    symlink("versions/2", path.join("current")).unwrap();
    led.apply(&state(4), 4).await;
    let versions: Vec<_> = names(path.join("versions")).into_iter().filter(|name| !name.contains('.')).collect();
    assert_eq!(versions, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn an_attempt_that_builds_again_after_a_person_turned_current_back_leaves_what_it_built_before() {
    let led = led().await;
    for n in 1..=3 {
        led.apply(&desired([("config/a", format!("{n}"))]), n).await;
    }
    let path = led.place.path();
    let reader = path.join("versions/3").canonicalize().unwrap();
    std::fs::remove_file(path.join("current")).unwrap();
    symlink("versions/2", path.join("current")).unwrap();
    // The attempt goes on: its line of history is open already.
    let (wanted, stored) = (desired([("config/a", "three")]), led.stored().await);
    let plan = difference(&led.live().await, &wanted, led.owner, 3);
    let apply = around(&stored.record, &wanted, plan, false);
    led.target.apply(&led.lease, stored.fence, &apply, &wanted, &|| true).await.unwrap();
    assert_eq!(std::fs::read_to_string(reader.join("config/a")).unwrap(), "3");
    assert_eq!(std::fs::read_link(path.join("current")).unwrap(), PathBuf::from("versions/3-2"));
    assert_eq!(std::fs::read_to_string(path.join("current/config/a")).unwrap(), "three");
}

#[tokio::test]
async fn the_next_leader_removes_what_a_crash_left() {
    let led = led().await;
    led.apply(&desired([("config/a", "1")]), 1).await;
    let Led { place, target, lease, .. } = led;
    let path = place.path();
    std::fs::create_dir_all(path.join("versions/9/config")).unwrap();
    std::fs::write(path.join("versions/9/config/half"), "x").unwrap();
    std::fs::write(path.join("versions/8.manifest"), "of nothing").unwrap();
    std::fs::write(path.join("versions/.9.manifest.77.unfinished"), "x").unwrap();
    std::fs::write(path.join(".lockstep/.record.77.unfinished"), "x").unwrap();
    symlink("versions/9", path.join(".current.77.unfinished")).unwrap();
    std::fs::create_dir(path.join("versions/a-persons-own")).unwrap();
    target.release(lease).await.unwrap();
    crate::suite::lease(&target).await;
    assert_eq!(names(path.join("versions")), ["1", "1.manifest", "a-persons-own"]);
    assert_eq!(names(path.clone()), [".lockstep", "current", "versions"]);
    assert_eq!(names(path.join(".lockstep")), ["answers", "history", "holder", "lease", "record", "requests"]);
}

#[tokio::test]
async fn a_history_line_that_a_crash_did_not_copy_is_seen_and_made_up_for() {
    let led = led().await;
    let stored = led.stored().await;
    let save = Save::opening(stored.record.clone(), line(1, Revision::from_bytes([7; 20]), Counts::default()));
    let fence = led.target.save(&led.lease, stored.fence, &save).await.unwrap();
    let copy = led.place.path().join(".lockstep/history/1");
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(led.target.history(9).await.unwrap(), save.history);
    is(led.target.save(&led.lease, fence, &save).await, EdgeKind::Conflict);
    led.target.save(&led.lease, fence, &only(stored.record)).await.unwrap();
    assert_eq!(led.target.history(9).await.unwrap(), save.history);
    assert!(copy.exists());
}

#[tokio::test]
async fn the_same_generation_can_be_built_again_while_it_is_live() {
    let led = led().await;
    let wanted = desired([("config/a", "1"), ("config/b", "1")]);
    led.apply(&wanted, 1).await;
    for build in ["versions/1-2", "versions/1-3"] {
        led.place.edit("config/a", Some(b"by hand")).await;
        let (stored, live) = (led.stored().await, led.live().await);
        let plan = crate::suite::difference(&live, &wanted, led.owner, 1);
        let apply = crate::suite::around(&stored.record, &wanted, plan, false);
        led.target.apply(&led.lease, stored.fence, &apply, &wanted, &|| true).await.unwrap();
        assert_eq!(std::fs::read_link(led.place.path().join("current")).unwrap(), Path::new(build));
        assert_eq!(led.values().await["config/a"], b"1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_version_that_is_stopped_while_it_is_built_leaves_the_one_before_and_no_trace() {
    let led = led().await;
    let small = desired([("config/a", "1")]);
    led.apply(&small, 1).await;
    let large = desired((0..1_000).map(|n| (format!("config/{n:04}"), "large")));
    let (stored, live) = (led.stored().await, led.live().await);
    let opening = crate::suite::difference(&live, &large, led.owner, 2);
    let apply = crate::suite::around(&stored.record, &large, opening, true);
    let versions = || {
        let names = std::fs::read_dir(led.place.path().join("versions")).unwrap();
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = versions();
    // Between any two groups of files, and when all of it is there but the switch.
    let (mut fence, mut apply) = (stored.fence, apply);
    for at in 0..4 {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::SeqCst) < at;
        let written = led.target.apply(&led.lease, fence, &apply, &large, &stop).await.unwrap();
        assert_eq!((asked.load(Ordering::SeqCst), written.complete, written.keys.len()), (at + 1, false, 0));
        assert_eq!(versions(), before);
        assert_eq!(led.values().await, BTreeMap::from([("config/a".to_owned(), b"1".to_vec())]));
        let stored = led.stored().await;
        assert_eq!((stored.record.phase, stored.fence), (Phase::Applying, written.record));
        let rest = crate::suite::difference(&live, &large, led.owner, 2);
        (fence, apply) = (stored.fence, crate::suite::around(&stored.record, &large, rest, false));
    }
    assert!(led.target.apply(&led.lease, fence, &apply, &large, &|| true).await.unwrap().complete);
    assert_eq!(led.values().await.len(), 1_000);
}

#[tokio::test]
async fn a_record_that_moved_or_went_before_it_is_taken_over_is_a_conflict_which_the_next_look_ends() {
    let place = Directory::fresh().await;
    place.target().initialise().await.unwrap();
    let (test, name) = (EnvironmentName::parse("test").unwrap(), EnvironmentName::parse("preview").unwrap());
    let preview = named("preview", &place.path(), Duration::ZERO);
    let before = preview.former(&test).await.unwrap().unwrap();
    let at = (Revision::from_bytes([7; 20]), Timestamp::from_millis(0));
    let save = before.record.renamed(&name, Generation::default(), at.0, at.1);
    let elsewhere = lockstep::domain::live::Fence(before.fence.0 + 1);
    is(preview.take_over(&test, elsewhere, &save).await, EdgeKind::Conflict);
    preview.take_over(&test, before.fence, &save).await.unwrap();
    is(preview.take_over(&test, before.fence, &save).await, EdgeKind::Conflict);
    assert!(preview.former(&test).await.unwrap().is_none());
}
