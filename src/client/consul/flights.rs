//! Requests under way at the same time, answered in the order in which they were sent.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Requests under way, oldest first. All of them go on while the oldest is waited for; dropping them leaves each carried out
/// or not.
pub(super) struct Flights<'a, T>(VecDeque<Flight<'a, T>>);

enum Flight<'a, T> {
    UnderWay(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
    Landed(T),
}

impl<'a, T> Flights<'a, T> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sets one off: it is on its way when this returns.
    pub(super) async fn begin(&mut self, request: impl Future<Output = T> + Send + 'a) {
        let mut request: Pin<Box<dyn Future<Output = T> + Send + 'a>> = Box::pin(request);
        let begun = poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await;
        self.0.push_back(match begun {
            Poll::Ready(answer) => Flight::Landed(answer),
            Poll::Pending => Flight::UnderWay(request),
        });
    }

    /// What the oldest came to; none when nothing is under way.
    pub(super) async fn next(&mut self) -> Option<T> {
        poll_fn(|context| {
            for flight in &mut self.0 {
                if let Flight::UnderWay(request) = flight
                    && let Poll::Ready(answer) = request.as_mut().poll(context)
                {
                    *flight = Flight::Landed(answer);
                }
            }
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(Flight::Landed(answer)) => Poll::Ready(Some(answer)),
                Some(under_way @ Flight::UnderWay(_)) => {
                    self.0.push_front(under_way);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_requests_and_all_go_on_at_once() {
        let (first_answer, first) = oneshot::channel();
        let (second_answer, second) = oneshot::channel();
        let mut flights = Flights::new();
        flights.begin(async { first.await.unwrap() }).await;
        flights
            .begin(async move {
                // The first is answered only because the second goes on while the first is waited for.
                first_answer.send(1).unwrap();
                second.await.unwrap()
            })
            .await;
        second_answer.send(2).unwrap();
        assert_eq!(flights.len(), 2);
        assert_eq!((flights.next().await, flights.next().await, flights.next().await), (Some(1), Some(2), None));
    }
}
