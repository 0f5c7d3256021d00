//! What wakes an environment's loop. Wakes carry no work and coalesce: however many come, the next pass looks once (rule R12).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::port::Wake;

/// News for one environment since the loop last looked.
#[derive(Debug, Default)]
pub struct Wakes {
    live: AtomicBool,
    state: AtomicBool,
    head: AtomicBool,
    bell: Notify,
    /// Rings for the state alone: a long write listens to it.
    state_bell: Notify,
}

/// What was new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// A managed key may have changed.
    pub live: bool,
    /// The record, the lease or a request may have changed.
    pub state: bool,
    /// The branch may have moved.
    pub head: bool,
}

impl Wakes {
    /// The branch may have moved.
    pub fn head(&self) {
        self.head.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Waits until something is new; at once if something was since the last [`Self::take`].
    pub async fn next(&self) {
        self.bell.notified().await;
    }

    /// What is new; from now on it is not new any more.
    pub fn take(&self) -> News {
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::AcqRel);
        News { live: take(&self.live), state: take(&self.state), head: take(&self.head) }
    }

    /// Waits until the state may have changed; at once if it may have since the last [`Self::take`].
    pub(super) async fn next_of_state(&self) {
        loop {
            self.state_bell.notified().await;
            // What was taken since it rang is no news.
            if self.state.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// Whether the branch may have moved since the last [`Self::take`]: a long write of an advance may end for that (rule R7).
    #[must_use]
    pub fn head_is_new(&self) -> bool {
        self.head.load(Ordering::Acquire)
    }
}

impl Wake for Wakes {
    fn live(&self) {
        self.live.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    fn state(&self) {
        self.state.store(true, Ordering::Release);
        self.bell.notify_one();
        self.state_bell.notify_one();
    }
}

/// Asks for a fetch of the repository, from wherever a commit is missed. However often it is asked, one fetch answers.
#[derive(Debug, Clone, Default)]
pub struct Fetches(Arc<Notify>);

impl Fetches {
    /// A commit is missed: the next fetch should not wait for its turn.
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody asks; at once if somebody has since the last time.
    pub(super) async fn asked(&self) {
        self.0.notified().await;
    }
}

/// What webhooks have delivered and nobody has looked at yet. A delivery says that a look is worth it, and nothing else: however
/// many come, one look answers them (rule R12).
#[derive(Debug, Clone, Default)]
pub struct Deliveries(Arc<Bells>);

#[derive(Debug, Default)]
struct Bells {
    branch: Bell,
    pulls: Bell,
}

#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    notify: Notify,
}

impl Bell {
    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether it rang since this was asked last.
    fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }

    async fn next(&self) {
        loop {
            self.notify.notified().await;
            // What was taken since it rang is no news.
            if self.rung.load(Ordering::Acquire) {
                return;
            }
        }
    }
}

impl Deliveries {
    /// A branch may have moved.
    pub fn branch(&self) {
        self.0.branch.ring();
    }

    /// A pull request may have changed, or what it would be merged into.
    pub fn pulls(&self) {
        self.0.pulls.ring();
    }

    /// Waits for news of pull requests; at once if there were any since the last time.
    pub async fn next_of_pulls(&self) {
        self.0.pulls.next().await;
        self.0.pulls.take();
    }

    /// Waits until a delivery about branches comes, or one that was not taken came.
    pub(super) async fn next_of_branch(&self) {
        self.0.branch.next().await;
    }

    /// Whether there was a delivery about branches since this was asked last.
    #[must_use]
    pub fn take_branch(&self) -> bool {
        self.0.branch.take()
    }
}
