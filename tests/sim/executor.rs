//! Futures polled by hand, so that the scenario decides who goes on, and who dies between which two awaits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls once; true when the task ended.
pub(crate) fn poll(task: &mut Task) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(task.as_mut().poll(&mut context), Poll::Ready(()))
}

/// One border between two awaits: here a task can be passed over, or dropped.
pub(crate) fn border() -> impl Future<Output = ()> + Send {
    let mut crossed = false;
    std::future::poll_fn(move |_| {
        if crossed {
            return Poll::Ready(());
        }
        crossed = true;
        Poll::Pending
    })
}
