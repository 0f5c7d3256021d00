//! Which refusals are told: each kind at most once a minute, however many there are, so that nobody can fill the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::refusal::Refusal;
use crate::domain::time::Timestamp;

const PAUSE: Duration = Duration::from_mins(1);

/// When each kind was told last. There are only so many kinds.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Refusal, Timestamp>>);

impl Refusals {
    /// Whether this kind is told now.
    pub(super) fn is_news(&self, refusal: Refusal, now: Timestamp) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&refusal).is_some_and(|then| now < *then + PAUSE) {
            return false;
        }
        told.insert(refusal, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_is_told_once_a_minute() {
        let refusals = Refusals::default();
        let told = [(Refusal::Wrong, 0), (Refusal::Wrong, 59), (Refusal::Slow, 59), (Refusal::Wrong, 60), (Refusal::Slow, 60)];
        let told = told.map(|(refusal, second)| refusals.is_news(refusal, Timestamp::from_millis(second * 1_000)));
        assert_eq!(told, [true, false, true, true, false]);
    }
}
