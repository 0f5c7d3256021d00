//! Texts of others, moments and revisions as a terminal shows them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::domain::desired::parse_duration;
use crate::domain::revision::Revision;
pub(super) use crate::domain::shown::{clean, one_way};
use crate::domain::time::Timestamp;

/// The first seven digits of a revision, and its subject if that is known.
pub(super) fn revision(revision: Revision, subject: Option<&str>) -> String {
    subject.map_or_else(|| revision.short(), |subject| format!("{} {}", revision.short(), clean(subject)))
}

/// A moment in UTC, as structured output has it.
pub(super) fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| at.as_millis().to_string(), |at| at.to_string())
}

/// The moment that a person named: with a zone, or in this machine's.
pub(super) fn named_moment(text: &str) -> Option<Timestamp> {
    let local = || {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp())
    };
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(local)?;
    Some(Timestamp::from_millis(moment.as_millisecond()))
}

/// The moment that a person named, or so long ago.
pub(super) fn before(text: &str, now: Timestamp) -> Option<Timestamp> {
    let ago = parse_duration(text).ok().and_then(|ago| i64::try_from(ago.as_millis()).ok());
    ago.map(|ago| Timestamp::from_millis(now.as_millis().saturating_sub(ago))).or_else(|| named_moment(text))
}

/// A moment: its text for programs, itself for people.
#[derive(Debug, Clone, Copy)]
pub(super) struct At(pub(super) Timestamp);

impl serde::Serialize for At {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&moment(self.0))
    }
}

/// A moment in UTC, to the second, and how long ago it was, or how long it will be. Whoever reads it may be anywhere, and the log
/// says it in the same zone.
pub(super) fn when(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("{at} (in {})", rough(at.since(now))) } else { format!("{at} ({} ago)", rough(now.since(at))) }
}

/// The two largest units.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let first = units.iter().position(|(_, count)| *count > 0).unwrap_or(3);
    units[first..].iter().take(2).enumerate().filter(|(at, (_, count))| *at == 0 || *count > 0).fold(
        String::new(),
        |mut text, (_, (unit, count))| {
            let _ = write!(text, "{count}{unit}");
            text
        },
    )
}

/// `1 key`, `2 keys`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_zone_and_its_distance() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        assert_eq!(when(at(1_800_000_000), at(1_800_000_090)), "2027-01-15 08:00:00Z (1m30s ago)");
        assert_eq!(when(at(1_800_000_000), at(1_799_999_940)), "2027-01-15 08:00:00Z (in 1m)");
    }

    #[test]
    fn a_moment_is_named_by_a_date_a_time_with_its_zone_or_how_long_ago_it_was() {
        let now = Timestamp::from_millis(1_798_358_400_000);
        let check = |text, expected: Option<i64>| assert_eq!(before(text, now).map(Timestamp::as_millis), expected, "{text}");
        check("2h", Some(1_798_351_200_000));
        check("2026-12-27T08:00:00Z", Some(1_798_358_400_000));
        check("2026-12-27T09:00:00+01:00", Some(1_798_358_400_000));
        assert!(before("2026-12-27", now).is_some() && before("2026-12-27T08:00", now).is_some());
        check("yesterday", None);
        check("", None);
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, expected) in [(0, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (90_061, "1d1h"), (86_400, "1d")] {
            assert_eq!(rough(Duration::from_secs(seconds)), expected);
        }
    }
}
