//! What a watch has seen of its prefix, and how often it may look.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::http::Answer;

/// What a watch has seen; the default has seen nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// 0: the next query answers at once.
    pub(super) index: u64,
    /// There was nothing below the prefix. Any write anywhere wakes such a watch.
    pub(super) empty: bool,
}

impl Sight {
    /// Whether an answer is news, and what to ask with next. That nothing is there says so only where nothing is hidden.
    pub(super) fn has_changed(&mut self, answer: &Answer, shows_all: bool) -> bool {
        let empty = answer.status == 404;
        let index = answer.index.unwrap_or(1);
        let first = self.index == 0;
        let same = index == self.index || (empty && self.empty && shows_all);
        // An index that went back means another history: the next query starts from nothing.
        self.index = if index < self.index { 0 } else { index };
        self.empty = empty;
        first || !same
    }
}

/// Keeps a watch that is woken again and again from asking more than [`Pace::LOOKS`] times a second.
#[derive(Debug, Default)]
pub(super) struct Pace {
    looks: VecDeque<Instant>,
}

impl Pace {
    const LOOKS: usize = 20;

    /// When the next look may be, after one at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
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
    fn check_where(shows_all: bool, answers: &[(u16, u64)], expected: &[bool]) {
        let mut sight = Sight::default();
        let found: Vec<bool> = answers
            .iter()
            .map(|&(status, index)| sight.has_changed(&Answer { status, index: Some(index), body: Vec::new() }, shows_all))
            .collect();
        assert_eq!(found, expected, "{answers:?}");
    }

    #[track_caller]
    fn check(answers: &[(u16, u64)], expected: &[bool]) {
        check_where(true, answers, expected);
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
    fn an_index_that_moves_is_news_where_the_token_sees_nothing() {
        check_where(false, &[(404, 5), (404, 5), (404, 7)], &[true, false, true]);
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
