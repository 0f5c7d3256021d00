//! Several futures at once in one task, without spawning: dropped together, nothing outlives the caller.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Runs all of them and returns what they gave, in their order. For some dozens: each wake polls every one that is left.
pub async fn together<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<Result<Pin<Box<_>>, Option<T>>> = futures.into_iter().map(|future| Ok(Box::pin(future))).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for slot in &mut running {
            let Ok(future) = slot else { continue };
            match future.as_mut().poll(cx) {
                Poll::Ready(value) => *slot = Err(Some(value)),
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|slot| slot.err().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn all_run_at_once_and_what_they_give_keeps_their_order() {
        let door = Notify::new();
        let wait = |first: bool| {
            let door = &door;
            async move {
                // Alone the first would wait for ever: only the second opens the door.
                if first {
                    door.notified().await;
                } else {
                    door.notify_one();
                }
                first
            }
        };
        assert_eq!(together([true, false].map(wait)).await, [true, false]);
        assert_eq!(together(Vec::<std::future::Ready<u8>>::new()).await, [0; 0]);
    }
}
