//! Keys that are not as they should be: fights over them, with how often each was repaired lately (rule R9), and drift that is
//! left (rules R10, R11).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::desired::DesiredState;
use crate::domain::environment::DriftPolicy;
use crate::domain::name::KeyPath;
use crate::domain::revision::ValueDigest;
use crate::domain::time::Timestamp;

/// A key that somebody else keeps changing (rule R9). Of a sensitive key neither digest is kept: a short value can be guessed
/// from its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    /// The digest of the value that it should have; none when it should not be there.
    pub ours: Option<ValueDigest>,
    /// The digest that it was given last; none when it was deleted.
    pub theirs: Option<ValueDigest>,
    /// The wait after its last repair; it doubles up to ten minutes.
    pub wait: Duration,
    /// Not repaired before this moment.
    pub next: Timestamp,
}

/// Drift that is left as it is, because the policy is to report it or because all writes are stopped (rules R10, R11).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    /// How many keys.
    pub keys: u32,
    /// The first [`Self::NAMED`] of them.
    pub named: BTreeMap<KeyPath, Sides>,
    /// When it was found so.
    pub at: Timestamp,
}

impl Drift {
    /// How many keys are named.
    pub const NAMED: usize = 5;
    /// A key that somebody changes again and again is told anew after this: its record must not be written at their pace.
    const ANEW: Duration = Duration::from_mins(1);

    /// This, unless what was found before says the same, or the same but for values that have changed again since.
    pub(super) fn unless_known(self, before: &Self) -> Self {
        let told = |drift: &Self| {
            let named = drift.named.iter().map(|(key, sides)| (key.clone(), sides.how, sides.wanted));
            (drift.keys, named.collect::<Vec<_>>())
        };
        if self.keys == 0 {
            return Self::default();
        }
        let recent = self.at.since(before.at) < Self::ANEW;
        if self.named == before.named && self.keys == before.keys || recent && told(&self) == told(before) {
            before.clone()
        } else {
            self
        }
    }
}

/// Both states of a key that drifted. Of a sensitive key neither digest is kept, since a short value can be guessed from its
/// digest (rule F2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// What became of it.
    pub how: Drifted,
    /// The digest that it should have; none when it should not be there.
    pub wanted: Option<ValueDigest>,
    /// The digest that it has; none when it was deleted.
    pub live: Option<ValueDigest>,
}

/// What became of a key that drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drifted {
    /// It has another value.
    Changed,
    /// It is gone.
    Deleted,
    /// It is there, and should not be.
    Unwanted,
    /// Its value is right, and somebody else wrote it.
    MarkLost,
}

impl Drifted {
    /// The word for it in status.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Unwanted => "unwanted",
            Self::MarkLost => "mark-lost",
        }
    }

    /// Every way to drift, for tables and parsers.
    pub const ALL: [Self; 4] = [Self::Changed, Self::Deleted, Self::Unwanted, Self::MarkLost];
}

impl Sides {
    /// Both sides, or what became of it where nothing of its value may be told.
    pub(super) fn of(wanted: Option<ValueDigest>, live: Option<ValueDigest>, sensitive: bool) -> Self {
        let how = match (wanted, live) {
            (_, None) => Drifted::Deleted,
            (None, Some(_)) => Drifted::Unwanted,
            (Some(wanted), Some(live)) if wanted == live => Drifted::MarkLost,
            (Some(_), Some(_)) => Drifted::Changed,
        };
        let told = |digest: Option<ValueDigest>| digest.filter(|_| !sensitive);
        Self { how, wanted: told(wanted), live: told(live) }
    }

    /// What became of it, with both digests where they may be told.
    #[must_use]
    pub fn said(&self) -> String {
        let short = |digest: ValueDigest| digest.to_string().chars().take(8).collect::<String>();
        let told = |what: &str, digest: Option<ValueDigest>| {
            digest.map_or_else(String::new, |digest| format!(", {what} sha256 {}…", short(digest)))
        };
        let (live, wanted) = (told("live", self.live), told("wanted", self.wanted));
        match self.how {
            Drifted::Changed if self.live.is_none() => "changed; its value is sensitive".to_owned(),
            Drifted::Changed => format!("changed{live}{wanted}"),
            Drifted::Deleted => format!("deleted{wanted}"),
            Drifted::Unwanted => format!("no longer wanted{live}"),
            Drifted::MarkLost => "written by somebody else with the same value".to_owned(),
        }
    }
}

/// When each key was repaired lately, so that a fight over a key is noticed (rule R9).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairLog {
    /// Repairs of the last ten minutes.
    pub recent: BTreeMap<KeyPath, Vec<Timestamp>>,
    /// Keys repaired with back-off.
    pub contested: BTreeMap<KeyPath, Contested>,
}

impl RepairLog {
    /// How far back repairs of one key count, and the longest pause between two.
    pub const WINDOW: Duration = Duration::from_mins(10);

    /// When a key was repaired within the window before `now`, oldest first.
    pub fn lately(&self, key: &KeyPath, now: Timestamp) -> impl DoubleEndedIterator<Item = Timestamp> {
        let times = self.recent.get(key).map_or(&[][..], Vec::as_slice);
        times.iter().copied().filter(move |at| now.since(*at) <= Self::WINDOW)
    }

    /// The fights that go on when this is the goal: about its values. One over a key that it drops or gives the value that the
    /// other side wants is over, and where drift is only reported nobody fights.
    pub(super) fn go_on_under(&mut self, desired: &DesiredState) {
        if desired.environment().policy.drift == DriftPolicy::Report {
            self.contested.clear();
        }
        self.contested.retain(|key, fight| fight.goes_on_under(key, desired));
    }
}

impl Contested {
    /// Whether it goes on when this is the goal; then it is about what that says.
    fn goes_on_under(&mut self, key: &KeyPath, desired: &DesiredState) -> bool {
        let is_hidden = self.ours.is_none() && self.theirs.is_none();
        let Some(wanted) = desired.entries().get(key) else {
            return self.ours.is_none() && !is_hidden;
        };
        if is_hidden || wanted.sensitive {
            (self.ours, self.theirs) = (None, None);
            return true;
        }
        let before = self.ours.replace(wanted.digest);
        before == self.ours || self.theirs != self.ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(second: i64, keys: &[(&str, Option<&[u8]>)]) -> Drift {
        let named = keys.iter().map(|(key, live)| {
            let sides = Sides::of(Some(ValueDigest::of(b"wanted")), live.map(ValueDigest::of), false);
            (KeyPath::parse(key).unwrap(), sides)
        });
        Drift { keys: u32::try_from(keys.len()).unwrap(), named: named.collect(), at: Timestamp::from_millis(second * 1000) }
    }

    #[test]
    fn a_value_that_changes_again_and_again_is_told_anew_once_a_minute() {
        let told = drift(0, &[("a", Some(b"1"))]);
        assert_eq!(drift(59, &[("a", Some(b"2"))]).unless_known(&told), told);
        let anew = drift(60, &[("a", Some(b"2"))]);
        assert_eq!(anew.clone().unless_known(&told), anew);
        assert_eq!(drift(99, &[("a", Some(b"1"))]).unless_known(&told), told, "nothing is written while nothing changes");
    }

    #[test]
    fn another_key_another_fate_and_the_end_are_told_at_once() {
        let told = drift(0, &[("a", Some(b"1"))]);
        for news in [drift(1, &[("a", None)]), drift(1, &[("b", Some(b"1"))]), drift(1, &[("a", Some(b"1")), ("b", None)])] {
            assert_eq!(news.clone().unless_known(&told), news);
        }
        assert_eq!(drift(1, &[]).unless_known(&told), Drift::default());
    }
}
