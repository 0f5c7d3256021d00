//! The words of a finding: bounded, on one line, without control characters, whatever the other side sent.

use crate::domain::health::Finding;

/// The longest text of a finding, in characters.
pub(super) const LONGEST: usize = 400;

/// How much of an answer a finding shows, in characters.
pub(super) const EXCERPT: usize = 80;

/// A check that was made and went wrong.
pub(super) fn fail(because: impl AsRef<str>) -> Finding {
    Finding::Fail { because: one_line(because.as_ref(), LONGEST) }
}

/// A check that could not be made.
pub(super) fn unknown(because: impl AsRef<str>) -> Finding {
    Finding::Unknown { because: one_line(because.as_ref(), LONGEST) }
}

/// The first [`EXCERPT`] characters of what came, for people.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    // Enough bytes for the characters shown, so that a large answer is not decoded whole.
    let head = &bytes[..bytes.len().min(EXCERPT * 4 + 4)];
    one_line(String::from_utf8_lossy(head).trim_end(), EXCERPT)
}

/// At most so many characters; control characters and the ones that turn the direction of text are escaped.
pub(super) fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == longest {
            line.push('…');
            break;
        }
        let turns =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_came_can_move_a_cursor_or_fill_a_log() {
        assert_eq!(one_line("a\x1b[2J\nb\u{202e}", 20), "a\\u{1b}[2J\\nb\\u{202e}");
        assert_eq!(excerpt("ü".repeat(1_000_000).as_bytes()), format!("{}…", "ü".repeat(EXCERPT)));
        assert_eq!(excerpt(b"\xff\xfe ok\n"), "\u{fffd}\u{fffd} ok");
        let Finding::Fail { because } = fail("x".repeat(10_000)) else { panic!() };
        assert_eq!(because.chars().count(), LONGEST + 1);
    }
}
