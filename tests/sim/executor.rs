//! One process of the simulation: its futures polled by hand, so that the scenario decides who goes on, and who dies between
//! which two awaits.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// When a process wants to go on, and what it has spawned. Its futures say so themselves.
#[derive(Default)]
pub(crate) struct Process {
    /// Something woke it.
    woken: AtomicBool,
    /// Its next timer, in the world's time.
    timer: AtomicI64,
    spawned: Mutex<Vec<Spawned>>,
}

struct Spawned {
    work: Task,
    dropped: Arc<AtomicBool>,
}

/// Work beside the main task; dropping it ends the work.
pub(crate) struct Work(Arc<AtomicBool>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Wake for Process {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
    }
}

impl Process {
    pub(crate) fn spawn(&self, work: Task) -> Work {
        let dropped = Arc::new(AtomicBool::new(false));
        self.spawned.lock().unwrap().push(Spawned { work, dropped: Arc::clone(&dropped) });
        self.woken.store(true, Ordering::Relaxed);
        Work(dropped)
    }

    /// It wants to go on at this moment, if nothing wakes it before.
    pub(crate) fn timer(&self, at: i64) {
        self.timer.fetch_min(at, Ordering::Relaxed);
    }

    /// When it wants to go on.
    pub(crate) fn due(&self) -> i64 {
        if self.woken.load(Ordering::Relaxed) { i64::MIN } else { self.timer.load(Ordering::Relaxed) }
    }

    /// Lets each of its futures cross one border at most; true when the main one has ended.
    pub(crate) fn go_on(self: &Arc<Self>, main: &mut Task) -> bool {
        self.woken.store(false, Ordering::Relaxed);
        self.timer.store(i64::MAX, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        let ended = main.as_mut().poll(&mut context).is_ready();
        // Not under the lock: work may spawn more.
        let mut working = std::mem::take(&mut *self.spawned.lock().unwrap());
        working.retain_mut(|spawned| {
            !spawned.dropped.load(Ordering::Relaxed) && spawned.work.as_mut().poll(&mut context).is_pending()
        });
        self.spawned.lock().unwrap().extend(working);
        ended
    }
}

/// One border between two awaits: here a process can be passed over, or dropped.
pub(crate) fn border() -> impl Future<Output = ()> + Send {
    let mut crossed = false;
    std::future::poll_fn(move |context| {
        if crossed {
            return Poll::Ready(());
        }
        crossed = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
