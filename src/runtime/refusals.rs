//! When a target that refuses is asked again: ever more rarely while it says the same, since asking may mean reading all of it.

use std::time::Duration;

use crate::port::{EdgeError, EdgeKind};

/// The first wait, and every wait after a failure that may pass by itself.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// The longest wait after a refusal: only a person or a commit ends it, and both are news.
const LONGEST: Duration = Duration::from_mins(5);
/// The longest wait after a denial: rights change without a sign.
const LONGEST_DENIED: Duration = Duration::from_mins(1);

/// What was refused last, and how long was waited for it. News are looked at whatever the wait; they don't shorten the next one, as
/// long as the refusal stays the same.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    last: Option<String>,
    wait: Duration,
}

impl Refusals {
    /// How long to wait for news after this failure.
    pub(super) fn wait_after(&mut self, error: &EdgeError) -> Duration {
        let longest = match error.kind {
            EdgeKind::Refused => LONGEST,
            EdgeKind::Denied => LONGEST_DENIED,
            EdgeKind::Transient | EdgeKind::Conflict | EdgeKind::NotFound => SOON,
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
    fn check(kind: EdgeKind, expected: [u64; 9]) {
        let error = EdgeError::new("consul", kind, "read the record").because("there is none");
        let mut refusals = Refusals::default();
        assert_eq!(expected.map(|_| refusals.wait_after(&error).as_secs()), expected, "{kind:?}");
    }

    #[test]
    fn the_same_refusal_is_asked_about_ever_more_rarely_and_what_may_pass_by_itself_is_not() {
        check(EdgeKind::Refused, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        check(EdgeKind::Denied, [5, 10, 20, 40, 60, 60, 60, 60, 60]);
        for kind in [EdgeKind::Transient, EdgeKind::Conflict, EdgeKind::NotFound] {
            check(kind, [5; 9]);
        }
    }

    #[test]
    fn another_refusal_or_none_begins_anew() {
        let error = |because: &str| EdgeError::new("consul", EdgeKind::Refused, "read").because(because.to_owned());
        let (none, unpinned) = (error("there is none"), error("it is not pinned"));
        let mut refusals = Refusals::default();
        let waits = [&none, &none, &none, &unpinned, &unpinned].map(|error| refusals.wait_after(error).as_secs());
        assert_eq!(waits, [5, 10, 20, 5, 10]);
        refusals.are_over();
        assert_eq!(refusals.wait_after(&unpinned), SOON);
    }
}
