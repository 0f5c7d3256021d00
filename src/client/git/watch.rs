//! Notices commits in a repository on this machine at once, without waiting for the next poll.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::local;
use crate::port::EdgeError;

/// A commit, a rebase or a `git gc` touches several files: they are one piece of news when this long nothing more comes.
const QUIET: Duration = Duration::from_millis(15);
/// However much goes on, news is not held back longer.
const PATIENCE: Duration = Duration::from_millis(300);

/// Calls `wake` when a branch of the repository at `path` may have moved, until the future is dropped. Where watching is
/// impossible, or ends because the repository is gone, it tries again every `retry`: polling goes on meanwhile.
pub(super) async fn watch(path: &Path, retry: Duration, wake: &(dyn Fn() + Sync)) {
    loop {
        match arm(path).await {
            Ok((_watcher, signals)) => {
                // What happened before, nobody saw.
                wake();
                loop {
                    signals.moved.notified().await;
                    let calm = async { while tokio::time::timeout(QUIET, signals.moved.notified()).await.is_ok() {} };
                    // Either way it is time: calm came, or nobody wants to wait for it any longer.
                    tokio::time::timeout(PATIENCE, calm).await.ok();
                    wake();
                    if signals.lost.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                }
            }
            Err(error) => {
                tracing::debug!(error = %error.chain(), "the repository can't be watched; it is polled");
            }
        }
        tokio::time::sleep(retry).await;
    }
}

/// What the watcher's thread tells the waiting task.
#[derive(Default)]
struct Signals {
    moved: Notify,
    /// A watched directory is gone: its successor is not watched.
    lost: std::sync::atomic::AtomicBool,
}

async fn arm(path: &Path) -> Result<(notify::RecommendedWatcher, Arc<Signals>), EdgeError> {
    let path = path.to_owned();
    let armed = tokio::task::spawn_blocking(move || {
        let home = home(&path)?;
        let failed = |error: notify::Error| {
            super::fault::fault(crate::port::EdgeKind::Transient, format!("watch {}", home.display())).because(error)
        };
        let signals = Arc::new(Signals::default());
        let told = Arc::clone(&signals);
        let roots = [home.clone(), home.join("refs")];
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<Event>| hear(event.as_ref().ok(), &roots, &told))
                .map_err(failed)?;
        // HEAD and packed-refs lie in the directory itself, branches below refs.
        watcher.watch(&home, RecursiveMode::NonRecursive).map_err(failed)?;
        watcher.watch(&home.join("refs"), RecursiveMode::Recursive).map_err(failed)?;
        Ok((watcher, signals))
    });
    armed.await.unwrap_or_else(|panic| {
        Err(super::fault::fault(crate::port::EdgeKind::Transient, "watch the repository").because(panic))
    })
}

/// The directory that holds the branches: a work tree's `.git` may only point at it.
fn home(path: &Path) -> Result<PathBuf, EdgeError> {
    Ok(local::open(path)?.commondir().to_owned())
}

fn hear(event: Option<&Event>, roots: &[PathBuf], signals: &Signals) {
    // An error, and an overflow, may hide anything: look.
    let moved = event.is_none_or(|event| event.need_rescan() || tells_of_a_move(event));
    let gone = |event: &Event| {
        matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
            && event.paths.iter().any(|path| roots.contains(path))
    };
    if event.is_some_and(gone) {
        signals.lost.store(true, std::sync::atomic::Ordering::Relaxed);
        signals.moved.notify_one();
    } else if moved {
        signals.moved.notify_one();
    }
}

/// Reading is no news, or our own fetch would wake the next; neither are git's lock files and a work tree's index.
fn tells_of_a_move(event: &Event) -> bool {
    let changes = matches!(event.kind, EventKind::Any | EventKind::Other)
        || matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_));
    changes && event.paths.iter().any(|path| is_about_refs(path))
}

fn is_about_refs(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return true };
    let below_refs = path.parent().is_some_and(|parent| parent.components().any(|part| part.as_os_str() == "refs"));
    // Git's lock files, so spelt.
    !name.as_bytes().ends_with(b".lock") && (below_refs || matches!(name, "HEAD" | "packed-refs" | "refs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, RenameMode};

    #[track_caller]
    fn check(kind: EventKind, path: &str, expected: bool) {
        let event = Event::new(kind).add_path(PathBuf::from(path));
        assert_eq!(tells_of_a_move(&event), expected, "{kind:?} of {path}");
    }

    #[test]
    fn only_a_moved_ref_is_news() {
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        check(renamed, "/r/.git/refs/heads/main", true);
        check(renamed, "/r/.git/refs/heads/a/b", true);
        check(renamed, "/r/.git/packed-refs", true);
        check(renamed, "/r/.git/HEAD", true);
        check(EventKind::Create(CreateKind::File), "/r/.git/refs/heads/main.lock", false);
        check(EventKind::Access(AccessKind::Any), "/r/.git/refs/heads/main", false);
        check(renamed, "/r/.git/index", false);
        check(renamed, "/r/.git/COMMIT_EDITMSG", false);
    }
}
