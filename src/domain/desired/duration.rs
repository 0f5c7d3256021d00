//! Durations as people write them in the repository: `10m`, `1h30m`, `500ms`, `0s`.

use std::time::Duration;

use super::problem::quoted;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a duration", quoted(.text))]
pub struct DurationError {
    text: String,
    hint: String,
}

impl DurationError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads whole numbers with the units `h`, `m`, `s` and `ms`, the larger unit first and each at most once.
///
/// # Errors
/// When the text is anything else, days and bare numbers included, or over a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    const LONGEST: u64 = 100 * 366 * 24 * 3_600_000;
    let refuse = |hint: String| Err(DurationError { text: text.chars().take(80).collect(), hint });
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total: u64 = 0;
    while !rest.is_empty() || total == 0 && units.len() == UNITS.len() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let Ok(number) = number.parse::<u64>() else {
            return refuse("write whole numbers with the units h, m, s and ms, such as 1h30m or 500ms".to_owned());
        };
        let Some(at) = units.iter().position(|(name, _)| *name == unit) else {
            return refuse(match unit {
                "" => format!("add a unit: {number}s are seconds, {number}m minutes"),
                "d" | "day" | "days" => format!("days are not a unit here: write {}h", number.saturating_mul(24)),
                "w" => format!("weeks are not a unit here: write {}h", number.saturating_mul(24 * 7)),
                _ => "the units are h, m, s and ms, in this order and each once".to_owned(),
            });
        };
        total = total.saturating_add(number.saturating_mul(units[at].1));
        units = &units[at + 1..];
        rest = after;
    }
    if total > LONGEST {
        return refuse("that is longer than a hundred years".to_owned());
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::written;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
            ("500ms", 500),
            ("1m0s1ms", 60_001),
            ("0h0m", 0),
            ("007s", 7_000),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), Ok(millis), "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_people_write_it() {
        for text in ["10m", "1h30m", "0s", "500ms", "1m1ms", "168h"] {
            assert_eq!(parse_duration(text).map(written).as_deref(), Ok(text));
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        for (text, hint) in [
            ("1d", "write 24h"),
            ("2w", "write 336h"),
            ("30", "30s are seconds"),
            ("", "whole numbers"),
            ("1.5s", "add a unit"),
            ("-1s", "whole numbers"),
            ("+1s", "whole numbers"),
            ("1m1h", "in this order"),
            ("1s1s", "each once"),
            ("s", "whole numbers"),
            ("10 m", "add a unit"),
            ("1s;$(id)", "whole numbers"),
            ("99999999999999999999s", "whole numbers"),
            ("9999999999999999999h", "hundred years"),
            ("١s", "whole numbers"),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.hint().contains(hint), "{text}: {}", error.hint());
        }
    }
}
