//! When a target that refuses is asked again: ever more rarely while it says the same, since asking may mean reading all of it.

use std::time::Duration;

use crate::port::{EdgeError, EdgeKind};

/// The first wait, and every wait after a failure that may pass by itself.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// The longest wait after a refusal that is over once the environment's record is there, or the branch has moved: both are news.
const LONGEST: Duration = Duration::from_mins(5);
/// The longest wait after one that ends without a sign: rights change, or a record under a former name is made anew.
const LONGEST_UNSEEN: Duration = Duration::from_mins(1);

/// Where a refusal comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndsIn {
    /// On the branch, or below the environment's own part of the target's state, both of which are watched.
    News,
    /// Elsewhere as well: the record, the owner entry or the lease of a former name, which nobody watches.
    Silence,
}

/// A look for the lease that failed.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: EdgeError,
    pub(super) ends: EndsIn,
}

impl From<EdgeError> for Refused {
    fn from(error: EdgeError) -> Self {
        Self { error, ends: EndsIn::News }
    }
}

impl Refused {
    /// One that has to do with a former name.
    pub(super) fn silently(error: EdgeError) -> Self {
        Self { error, ends: EndsIn::Silence }
    }
}

/// What was refused last, and how long was waited for it. News are looked at whatever the wait; they don't shorten the next one, as
/// long as the refusal stays the same.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    last: Option<String>,
    wait: Duration,
}

impl Refusals {
    /// How long to wait for news after this failure.
    pub(super) fn wait_after(&mut self, error: &EdgeError, ends: EndsIn) -> Duration {
        let longest = match (error.kind, ends) {
            (EdgeKind::Refused, EndsIn::News) => LONGEST,
            (EdgeKind::Refused, EndsIn::Silence) | (EdgeKind::Denied, _) => LONGEST_UNSEEN,
            (EdgeKind::Transient | EdgeKind::Conflict | EdgeKind::NotFound, _) => SOON,
        };
        let text = error.chain();
        self.wait = if self.last.as_ref() == Some(&text) { (self.wait * 2).clamp(SOON, longest) } else { SOON };
        self.last = Some(text);
        self.wait
    }

    /// It was not refused.
    pub(super) fn are_over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: EdgeKind, ends: EndsIn, expected: [u64; 9]) {
        let error = EdgeError::new("consul", kind, "read the record").because("there is none");
        let mut refusals = Refusals::default();
        assert_eq!(expected.map(|_| refusals.wait_after(&error, ends).as_secs()), expected, "{kind:?}, {ends:?}");
    }

    #[test]
    fn the_same_refusal_is_asked_about_ever_more_rarely_and_what_may_pass_by_itself_is_not() {
        const MINUTE: [u64; 9] = [5, 10, 20, 40, 60, 60, 60, 60, 60];
        check(EdgeKind::Refused, EndsIn::News, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        check(EdgeKind::Refused, EndsIn::Silence, MINUTE);
        check(EdgeKind::Denied, EndsIn::News, MINUTE);
        for kind in [EdgeKind::Transient, EdgeKind::Conflict, EdgeKind::NotFound] {
            check(kind, EndsIn::News, [5; 9]);
            check(kind, EndsIn::Silence, [5; 9]);
        }
    }

    #[test]
    fn another_refusal_or_none_begins_anew() {
        let error = |because: &str| EdgeError::new("consul", EdgeKind::Refused, "read").because(because.to_owned());
        let (none, unpinned) = (error("there is none"), error("it is not pinned"));
        let mut refusals = Refusals::default();
        let waits = [&none, &none, &none, &unpinned, &unpinned].map(|error| refusals.wait_after(error, EndsIn::News).as_secs());
        assert_eq!(waits, [5, 10, 20, 5, 10]);
        refusals.are_over();
        assert_eq!(refusals.wait_after(&unpinned, EndsIn::News), SOON);
    }
}
