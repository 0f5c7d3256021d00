//! When keys, record and requests are read again although nothing told of a change, in case a watch missed it (rule W2).

use std::time::Duration;

use super::wakes::News;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::ValueDigest;
use crate::domain::time::Timestamp;

/// Each is read about this often at least; how often exactly differs by up to a tenth from one environment to the next, so that
/// the many of one controller don't all read at once.
const SWEEP: Duration = Duration::from_hours(1);

/// What is to be looked at now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    /// Those keys that have moved.
    pub(super) moved: bool,
    /// Every key.
    pub(super) keys: bool,
    /// Record and requests.
    pub(super) state: bool,
}

/// When each is due if nothing is new: news of the state never put the keys off, nor do news of keys, since such a look reads
/// only what they tell of.
#[derive(Debug)]
pub(super) struct Sweeps {
    every: Duration,
    live: Timestamp,
    state: Timestamp,
}

impl Sweeps {
    /// Both were read at this moment.
    pub(super) fn after(read: Timestamp, environment: &EnvironmentName) -> Self {
        let share = f64::from(ValueDigest::of(environment.as_str().as_bytes()).as_bytes()[0]) / f64::from(u8::MAX);
        let every = SWEEP.mul_f64(0.9 + 0.2 * share);
        Self { every, live: read + every, state: read + every }
    }

    /// What is to be read again now: what is new, and what is due.
    pub(super) fn due(&mut self, news: News, now: Timestamp) -> Due {
        let every = self.every;
        let either = |new: bool, due: &mut Timestamp| {
            let read = new || now >= *due;
            if read {
                *due = now + every;
            }
            read
        };
        let (keys, state) = (either(false, &mut self.live), either(news.state, &mut self.state));
        Due { moved: news.live && !keys, keys, state }
    }

    /// When the next one is due if nothing is new.
    pub(super) fn next(&self) -> Timestamp {
        self.live.min(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(0) + Duration::from_mins(minutes)
    }

    fn hourly() -> Sweeps {
        Sweeps { every: SWEEP, live: at(60), state: at(60) }
    }

    /// Looks at what is due after news at each of these minutes; the minutes at which it was moved keys, all keys, and the state.
    #[track_caller]
    fn check(news: impl Iterator<Item = (u64, News)>, moved: &[u64], keys: &[u64], state: &[u64]) {
        let mut sweeps = hourly();
        let (mut of_moved, mut of_keys, mut of_state) = (Vec::new(), Vec::new(), Vec::new());
        for (minute, news) in news {
            let due = sweeps.due(news, at(minute));
            of_moved.extend(Some(minute).filter(|_| due.moved));
            of_keys.extend(Some(minute).filter(|_| due.keys));
            of_state.extend(Some(minute).filter(|_| due.state));
        }
        assert_eq!((of_moved.as_slice(), of_keys.as_slice(), of_state.as_slice()), (moved, keys, state));
    }

    #[test]
    fn no_news_put_off_the_sweep_of_the_keys() {
        let every = |step: usize, news: News| (0..=180).step_by(step).map(move |minute| (minute, news));
        let (live, state) = (News { live: true, ..News::default() }, News { state: true, ..News::default() });
        check(every(20, News::default()), &[], &[60, 120, 180], &[60, 120, 180]);
        check(every(20, live), &[0, 20, 40, 80, 100, 140, 160], &[60, 120, 180], &[60, 120, 180]);
        check(every(20, state), &[], &[60, 120, 180], &[0, 20, 40, 60, 80, 100, 120, 140, 160, 180]);
        check(every(50, News { head: true, ..News::default() }), &[], &[100], &[100]);
    }

    #[test]
    fn environments_that_begin_at_once_are_not_swept_at_once() {
        let next = |name: &str| Sweeps::after(at(0), &EnvironmentName::parse(name).unwrap()).next();
        let moments: std::collections::BTreeSet<Timestamp> = (0..50).map(|number| next(&format!("env-{number}"))).collect();
        assert!(moments.len() > 40, "{} moments of 50", moments.len());
        assert!(moments.iter().all(|moment| (at(54)..=at(66)).contains(moment)), "{moments:?}");
    }

    #[test]
    fn the_next_sweep_is_the_first_of_both() {
        let mut sweeps = hourly();
        assert_eq!(sweeps.next(), at(60));
        sweeps.due(News { live: true, ..News::default() }, at(10));
        assert_eq!(sweeps.next(), at(60));
        sweeps.due(News { state: true, ..News::default() }, at(20));
        assert_eq!(sweeps.next(), at(60));
        sweeps.due(News::default(), at(60));
        assert_eq!(sweeps.next(), at(80));
    }
}
