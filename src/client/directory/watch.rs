//! Wakes the loop when a file of the live version or of the state changes.
//!
//! Events only wake; what changed is for the pass to find out. Where the kernel has no watches left, times and sizes are
//! compared every ten seconds instead, and the log says so.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::files::{Dir, Kind};
use super::lease::LEASE;
use super::state::STATE;
use super::version::{CURRENT, VERSIONS, Version};
use crate::port::Wake;

/// How often times are compared when there are no watches.
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// How often a directory that can't be watched (it is missing, say) is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// After a folder was made: files that came into it before it was watched itself are seen by a second look.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// What the watcher's thread saw and the loop has not heard of yet. Any number of events becomes one wake of each kind.
#[derive(Debug, Default)]
struct Seen {
    live: AtomicBool,
    state: AtomicBool,
    folder: AtomicBool,
    any: Notify,
}

/// What is watched, and in which depth.
type Places = BTreeMap<PathBuf, RecursiveMode>;

/// Watches until the future is dropped.
pub(super) async fn watch(path: &Path, wake: &dyn Wake) {
    loop {
        let seen = Arc::new(Seen::default());
        match start(path, &seen) {
            Ok(watcher) => follow(path, wake, &seen, watcher).await,
            Err(error) if is_missing(path) => {
                tracing::debug!(path = %path.display(), %error, "the directory is not there yet");
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "no file watches: changes are found by comparing times every {} s; raise fs.inotify.max_user_watches",
                    COMPARE_EVERY.as_secs()
                );
                compare(path, wake, COMPARE_EVERY, RETRY_WATCHES).await;
            }
        }
        // Whatever happened while nobody watched.
        wake.live();
        wake.state();
    }
}

/// After so many comparisons watches are tried again: another program may have given some back.
const RETRY_WATCHES: u32 = 30;

fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path.join(STATE)).is_err()
}

fn places(path: &Path) -> Places {
    let mut places =
        Places::from([(path.to_owned(), RecursiveMode::NonRecursive), (path.join(STATE), RecursiveMode::Recursive)]);
    let current = std::fs::read_link(path.join(CURRENT)).ok().and_then(|target| Version::of_link(target.as_os_str()));
    if let Some(version) =
        current.map(|version| path.join(VERSIONS).join(version.to_string())).filter(|version| version.is_dir())
    {
        places.insert(version, RecursiveMode::Recursive);
    }
    places
}

struct Watching {
    watcher: RecommendedWatcher,
    places: Places,
}

fn start(path: &Path, seen: &Arc<Seen>) -> notify::Result<Watching> {
    let (thread, state) = (Arc::clone(seen), path.join(STATE));
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| thread.note(event, &state))?;
    let mut watching = Watching { watcher, places: Places::new() };
    watching.move_to(places(path))?;
    Ok(watching)
}

impl Watching {
    /// Watches these places and no others.
    fn move_to(&mut self, places: Places) -> notify::Result<()> {
        for gone in self.places.keys().filter(|place| !places.contains_key(*place)) {
            // Its directory may have been removed, and the watch with it.
            let _ = self.watcher.unwatch(gone);
        }
        for (place, mode) in places.iter().filter(|(place, _)| !self.places.contains_key(*place)) {
            self.watcher.watch(place, *mode)?;
        }
        self.places = places;
        Ok(())
    }
}

impl Seen {
    fn note(&self, event: notify::Result<Event>, state: &Path) {
        match event {
            Ok(event) if !event.need_rescan() => {
                // Our own reading makes events too, and waking on them would never end.
                if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
                    return;
                }
                let lease = state.join(LEASE);
                if !event.paths.is_empty() && event.paths.iter().all(|path| *path == lease) {
                    return;
                }
                if event.paths.iter().any(|path| path.starts_with(state)) {
                    self.state.store(true, Ordering::Release);
                }
                if event.paths.is_empty() || event.paths.iter().any(|path| !path.starts_with(state)) {
                    self.live.store(true, Ordering::Release);
                }
                if event.kind == EventKind::Create(CreateKind::Folder) {
                    self.folder.store(true, Ordering::Release);
                }
            }
            // Events were lost.
            Ok(_) | Err(_) => {
                self.live.store(true, Ordering::Release);
                self.state.store(true, Ordering::Release);
            }
        }
        self.any.notify_one();
    }

    fn tell(&self, wake: &dyn Wake) {
        if self.live.swap(false, Ordering::AcqRel) {
            wake.live();
        }
        if self.state.swap(false, Ordering::AcqRel) {
            wake.state();
        }
    }
}

/// Passes events on until the watches must be made anew.
async fn follow(path: &Path, wake: &dyn Wake, seen: &Seen, mut watching: Watching) {
    wake.live();
    wake.state();
    loop {
        seen.any.notified().await;
        seen.tell(wake);
        if seen.folder.swap(false, Ordering::AcqRel) {
            tokio::time::sleep(SECOND_LOOK).await;
            wake.live();
        }
        let now = places(path);
        if now != watching.places {
            // A switch: the version that is watched is no longer the live one.
            if is_missing(path) || watching.move_to(now).is_err() {
                return;
            }
            wake.live();
        }
    }
}

/// Compares times and sizes, some rounds long.
async fn compare(path: &Path, wake: &dyn Wake, every: Duration, rounds: u32) {
    let mut before = stamps(path).await;
    for _ in 0..rounds {
        tokio::time::sleep(every).await;
        before = tell_difference(path, wake, before).await;
    }
}

async fn tell_difference(path: &Path, wake: &dyn Wake, before: (u64, u64)) -> (u64, u64) {
    let now = stamps(path).await;
    if now.0 != before.0 {
        wake.live();
    }
    if now.1 != before.1 {
        wake.state();
    }
    now
}

/// A number each for the live version and the state that changes when a name, a size or a time does.
async fn stamps(path: &Path) -> (u64, u64) {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let live = std::fs::read_link(path.join(CURRENT)).unwrap_or_default();
        let mut hash = DefaultHasher::new();
        live.hash(&mut hash);
        if let Ok(dir) = Dir::open(&path.join(CURRENT)) {
            stamp(&dir, &mut hash, 0);
        }
        let mut state = DefaultHasher::new();
        if let Ok(dir) = Dir::open(&path.join(STATE)) {
            stamp(&dir, &mut state, 0);
        }
        (hash.finish(), state.finish())
    });
    read.await.unwrap_or_default()
}

fn stamp(dir: &Dir, hash: &mut DefaultHasher, depth: u32) {
    let Ok(mut names) = dir.list() else { return };
    names.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, kind) in names {
        name.hash(hash);
        if let Ok(Some(stat)) = dir.stat(&name) {
            (stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec).hash(hash);
        }
        if kind == Kind::Directory
            && depth < 256
            && let Ok(sub) = dir.sub(&name)
        {
            stamp(&sub, hash, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count {
        live: AtomicU32,
        state: AtomicU32,
    }

    impl Wake for Count {
        fn live(&self) {
            self.live.fetch_add(1, Ordering::SeqCst);
        }
        fn state(&self) {
            self.state.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn without_watches_a_change_shows_in_the_times() {
        let guard = tempfile::tempdir().unwrap();
        let path = guard.path();
        for directory in ["versions/1/config", "versions/2", ".lockstep/requests"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink("versions/1", path.join("current")).unwrap();
        let relink = || {
            std::fs::remove_file(path.join("current")).unwrap();
            std::os::unix::fs::symlink("versions/2", path.join("current")).unwrap();
        };
        let write = |file: &str| std::fs::write(path.join(file), "x").unwrap();
        for (change, expected) in [
            (&(|| {}) as &dyn Fn(), (0, 0)),
            (&|| write("current/config/a"), (1, 0)),
            (&|| write(".lockstep/requests/b"), (0, 1)),
            (&relink, (1, 0)),
        ] {
            let count = Count::default();
            let before = stamps(path).await;
            change();
            tell_difference(path, &count, before).await;
            assert_eq!((count.live.load(Ordering::SeqCst), count.state.load(Ordering::SeqCst)), expected);
        }
    }
}
