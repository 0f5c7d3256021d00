//! A leader whose mirror lacks the commit that its environment is on: what it leaves to a controller that has it (rule S2).

use std::time::Duration;

use crate::domain::time::Timestamp;

/// So long the fetches that were asked for may take to bring the commit, in the first term.
const FIRST: Duration = Duration::from_secs(30);
/// Nobody else has it, it seems, when the lease comes back again and again: the longest that it is then kept.
const LONGEST: Duration = Duration::from_hours(1);

/// How long leading without the goal's commit goes on before others get their chance. Doubles from term to term, so that
/// controllers which all lack it hand the lease around ever more rarely.
#[derive(Debug)]
pub(super) struct Lack {
    allowed: Duration,
    since: Option<Timestamp>,
}

impl Default for Lack {
    fn default() -> Self {
        Self { allowed: FIRST, since: None }
    }
}

impl Lack {
    /// A term begins, with a clock of its own.
    pub(super) fn begins_a_term(&mut self) {
        self.since = None;
    }

    /// Looks at whether the commit is missing; true when the lease should be given up for it.
    pub(super) fn is_too_long(&mut self, missing: bool, now: Timestamp) -> bool {
        if !missing {
            *self = Self::default();
            return false;
        }
        let lasts = now.since(*self.since.get_or_insert(now));
        let over = lasts >= self.allowed;
        if over {
            self.allowed = (self.allowed * 2).min(LONGEST);
        }
        over
    }

    /// When it will be too long, if nothing changes.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.since.map(|since| since + self.allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0) + Duration::from_secs(seconds)
    }

    /// Leads without the commit from this moment on; how long until the lease is given up.
    fn term(lack: &mut Lack, from: u64) -> u64 {
        lack.begins_a_term();
        let end = (from..from + 10_000).find(|now| lack.is_too_long(true, at(*now))).unwrap();
        end - from
    }

    #[test]
    fn the_lease_is_given_up_ever_more_rarely_for_a_commit_that_nobody_has() {
        let mut lack = Lack::default();
        let terms: Vec<u64> = (0..9).map(|number| term(&mut lack, number * 10_000)).collect();
        assert_eq!(terms, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert!(!lack.is_too_long(false, at(200_000)));
        assert_eq!(term(&mut lack, 300_000), 30);
    }
}
