//! Watches: blocking queries that tell the loop when a look is worth it. They carry no work (rule R12) and survive every
//! error by themselves.
//!
//! `?keys&separator=/` on a prefix wakes at any depth with a small answer (rule W1). After a connection error a watch starts
//! again without an index: an index of a rebuilt cluster would blind it for the whole wait (rule W2).

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::ConsulTarget;
use super::http::{Answer, Ask, Http};
use crate::port::{EdgeError, Wake};

/// How long Consul holds a query that has no news.
const WAIT: Duration = Duration::from_mins(1);
/// Consul adds up to a sixteenth of the wait; a query that takes longer than this has lost its server.
const DEADLINE: Duration = Duration::from_secs(70);
/// How often a prefix is asked without blocking when every watch is taken (rule A10).
const TURN: Duration = Duration::from_secs(5);

/// Which news a watch brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Live,
    State,
}

impl News {
    fn tell(self, wake: &dyn Wake) {
        match self {
            Self::Live => wake.live(),
            Self::State => wake.state(),
        }
    }
}

impl ConsulTarget {
    pub(super) async fn watch_all(&self, wake: &dyn Wake) {
        let everything = [String::new()];
        let roots = if self.keys.prefixes().is_empty() { &everything } else { self.keys.prefixes() };
        let http = &self.server.http;
        let state = follow(http, self.paths.base(), News::State, wake);
        let lost = losses(self.server.sessions.losses(), wake);
        let live = follow_each(http, roots, wake);
        tokio::join!(state, lost, live);
    }
}

/// A lost session is news of the lease.
async fn losses(mut lost: watch::Receiver<u64>, wake: &dyn Wake) {
    while lost.changed().await.is_ok() {
        wake.state();
    }
}

/// Follows every root at once. There are few, so a chain of joins is enough.
fn follow_each<'a>(http: &'a Http, roots: &'a [String], wake: &'a dyn Wake) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        if let Some((first, rest)) = roots.split_first() {
            tokio::join!(follow(http, first, News::Live, wake), follow_each(http, rest, wake));
        }
    })
}

/// Follows one prefix for ever.
async fn follow(http: &Http, prefix: &str, news: News, wake: &dyn Wake) {
    let mut sight = Sight::default();
    let mut pace = Pace::default();
    let mut delays = patience();
    let mut permit = None;
    loop {
        permit = permit.or_else(|| http.watch_permit());
        let blocking = permit.is_some();
        match look(http, prefix, if blocking { sight.index } else { 0 }, blocking).await {
            Ok(answer) => {
                if sight.has_changed(&answer) {
                    news.tell(wake);
                }
                delays = patience();
                if blocking { sleep_until(pace.next(Instant::now())).await } else { sleep(TURN).await }
            }
            Err(problem) => {
                tracing::debug!(prefix, problem = problem.chain(), "a watch starts again");
                sight = Sight::default();
                sleep(delays.next().unwrap_or(TURN)).await;
            }
        }
    }
}

fn patience() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(TURN)
        .with_jitter()
        .without_max_times()
        .build()
}

async fn look(http: &Http, prefix: &str, index: u64, blocking: bool) -> Result<Answer, EdgeError> {
    let doing = format!("watch {prefix:?}");
    let (index, wait) = (format!("index={index}"), format!("wait={}s", WAIT.as_secs()));
    let mut query = vec!["keys", "separator=/", "consistent"];
    if blocking {
        query.extend([index.as_str(), wait.as_str()]);
    }
    let ask = Ask::get(http.url(&format!("kv/{prefix}"), &query), doing.clone());
    let answer = if blocking { http.beside(ask.within(DEADLINE)).await? } else { http.send(ask).await? };
    match answer.status {
        200 | 404 => Ok(answer),
        _ => Err(http.refusal(&doing, &answer)),
    }
}

/// What a watch has seen; the default has seen nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sight {
    /// 0: the next query answers at once.
    index: u64,
    /// There was nothing below the prefix. Any write anywhere wakes such a watch.
    empty: bool,
}

impl Sight {
    /// Whether an answer is news, and what to ask with next.
    fn has_changed(&mut self, answer: &Answer) -> bool {
        let empty = answer.status == 404;
        let index = answer.index.unwrap_or(1);
        let first = self.index == 0;
        let same = index == self.index || (empty && self.empty);
        // An index that went back means another history: the next query starts from nothing.
        self.index = if index < self.index { 0 } else { index };
        self.empty = empty;
        first || !same
    }
}

/// Keeps a watch that is woken again and again from asking more than [`Pace::LOOKS`] times a second.
#[derive(Debug, Default)]
struct Pace {
    looks: VecDeque<Instant>,
}

impl Pace {
    const LOOKS: usize = 20;

    /// When the next look may be, after one at `now`.
    fn next(&mut self, now: Instant) -> Instant {
        self.looks.push_back(now);
        if self.looks.len() <= Self::LOOKS {
            return now;
        }
        self.looks.pop_front().map_or(now, |first| now.max(first + Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answers: &[(u16, u64)], expected: &[bool]) {
        let mut sight = Sight::default();
        let found: Vec<bool> = answers
            .iter()
            .map(|&(status, index)| sight.has_changed(&Answer { status, index: Some(index), body: Vec::new() }))
            .collect();
        assert_eq!(found, expected, "{answers:?}");
    }

    #[test]
    fn the_first_answer_and_every_other_index_are_news() {
        check(&[(200, 5), (200, 5), (200, 7)], &[true, false, true]);
    }

    #[test]
    fn an_index_that_goes_back_is_news_and_starts_from_nothing() {
        check(&[(200, 9), (200, 4), (200, 4)], &[true, true, true]);
    }

    #[test]
    fn writes_elsewhere_are_no_news_to_an_empty_prefix() {
        check(&[(404, 5), (404, 6), (404, 7), (200, 8), (404, 9)], &[true, false, false, true, true]);
    }

    #[test]
    fn a_watch_that_wakes_without_end_is_slowed_down_and_a_short_burst_is_not() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        let mut now = begin;
        for _ in 0..Pace::LOOKS {
            now = pace.next(now);
        }
        assert_eq!(now, begin);
        for _ in 0..100 {
            now = pace.next(now);
        }
        assert_eq!(now - begin, Duration::from_secs(5));
    }
}
