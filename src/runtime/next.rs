//! What comes after a pass, whoever makes the passes: look again, wait, back off, or give the term up.

use std::time::Duration;

use super::memory::Memory;
use super::pass::{Passed, is_about_our_state};
use crate::domain::time::Timestamp;
use crate::port::EdgeError;

/// So many refused writes in a row, without a key to blame, can't be chance.
const LOSING: u32 = 3;

/// What the maker of passes does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Make the next pass at once.
    Again,
    /// Nothing is to be done until something is new, or until this moment.
    Wait {
        /// None: only news counts.
        until: Option<Timestamp>,
        /// The mirror lacks a commit: a fetch is worth it.
        fetch: bool,
    },
    /// A call failed: the next pass comes after this.
    BackOff(Duration),
    /// Somebody else may hold the lease: no pass counts until it is taken again.
    GiveUp,
}

/// What comes after this outcome; memory forgets what the outcome makes doubtful. Each failure is counted here, once.
pub(super) fn after(outcome: &Result<Passed, EdgeError>, memory: &mut Memory) -> Next {
    match outcome {
        Ok(Passed::Moved(_)) => Next::Again,
        Ok(Passed::Stale) => {
            memory.raced();
            // That somebody else moved first is ordinary news, once.
            if memory.failures >= LOSING { Next::GiveUp } else { Next::Again }
        }
        Ok(Passed::Waiting { waiting, fetch }) => Next::Wait { until: waiting.until, fetch: *fetch },
        Ok(Passed::Troubled(error)) | Err(error) => {
            memory.failed();
            if is_about_our_state(error) { Next::GiveUp } else { Next::BackOff(memory.back_off()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
    use crate::domain::plan::Intent;
    use crate::domain::revision::Revision;
    use crate::domain::rollout::{Kept, Waiting};
    use crate::port::{Clock, EdgeKind};
    use crate::runtime::pass::{World, failed};
    use crate::runtime::reading::Fit;

    fn memory() -> Memory {
        let fit = Fit { roots: KeyRoots::parse(&["config/"]).unwrap(), files: false, settle: Duration::ZERO };
        Memory::new(EnvironmentName::parse("test").unwrap(), RepositoryName::parse("calvin").unwrap(), fit)
    }

    fn error(kind: EdgeKind, about: &[&str]) -> EdgeError {
        EdgeError::new("sim", kind, "write").about(about.iter().map(|&key| key.to_owned()).collect())
    }

    #[track_caller]
    fn check(outcome: &Result<Passed, EdgeError>, failures: u32, expected: Next) {
        let mut memory = memory();
        memory.failures = failures;
        assert_eq!(after(outcome, &mut memory), expected);
    }

    #[test]
    fn each_outcome_of_a_pass_says_what_comes_next() {
        let at = Timestamp::from_millis(7);
        let waiting = |until, fetch| Ok(Passed::Waiting { waiting: Waiting { until, ..Waiting::default() }, fetch });
        check(&waiting(Some(at), true), 0, Next::Wait { until: Some(at), fetch: true });
        check(&waiting(None, false), 0, Next::Wait { until: None, fetch: false });
        check(&Ok(Passed::Stale), 1, Next::Again);
        check(&Ok(Passed::Stale), LOSING - 1, Next::GiveUp);
    }

    #[test]
    fn a_failure_is_waited_out_ever_longer_and_a_lost_lease_ends_the_term() {
        let transient = || Err(error(EdgeKind::Transient, &[]));
        check(&transient(), 0, Next::BackOff(Duration::from_millis(500)));
        check(&transient(), 3, Next::BackOff(Duration::from_secs(4)));
        check(&transient(), 30, Next::BackOff(Duration::from_secs(30)));
        let troubled = |about: &[&str]| Ok(Passed::Troubled(error(EdgeKind::Conflict, about)));
        check(&troubled(&["config/a"]), 0, Next::BackOff(Duration::from_millis(500)));
        check(&troubled(&["lockstep/calvin/test/lease"]), 0, Next::GiveUp);
        check(&troubled(&[]), 0, Next::GiveUp);
    }

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    /// How a write failed, as the pass that made it tells it, and what comes next.
    fn write_fails(memory: &mut Memory, kind: EdgeKind) -> (Duration, Next) {
        let world = World {
            source: &(),
            target: &(),
            clock: &Still,
            led_since: Still.now(),
            interrupted: &|| None,
            kept: Kept::default(),
            announce: &|_, _| {},
        };
        let about = Some((Intent::Advance, Revision::from_bytes([7; 20])));
        let outcome = Ok(failed(&world, memory, error(kind, &["config/a"]), about));
        let next = after(&outcome, memory);
        (memory.trouble.as_ref().unwrap().retry.since(Still.now()), next)
    }

    #[test]
    fn the_pauses_between_failed_writes_double_and_the_decision_knows_them() {
        let seconds = |series: [f64; 8]| series.map(Duration::from_secs_f64);
        let mut memory = memory();
        for wait in seconds([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
            assert_eq!(write_fails(&mut memory, EdgeKind::Transient), (wait, Next::BackOff(wait)));
        }
        let mut memory = super::tests::memory();
        // The first conflict is ordinary news.
        assert_eq!(write_fails(&mut memory, EdgeKind::Conflict), (Duration::ZERO, Next::Again));
        for wait in seconds([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
            assert_eq!(write_fails(&mut memory, EdgeKind::Conflict), (wait, Next::BackOff(wait)));
        }
    }

    #[test]
    fn what_was_read_before_a_failure_does_not_count_after_it() {
        let mut memory = memory();
        memory.live = Some(crate::domain::live::LiveState::default());
        after(&Err(error(EdgeKind::Transient, &[])), &mut memory);
        assert!(memory.live.is_none());
    }
}
