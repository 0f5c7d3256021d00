//! Texts as YAML that our own parser reads back byte for byte. Never a type: `on`, `1.10` and `0755` stay what was written.

use std::fmt::Write as _;

/// A name in a mapping.
pub(super) fn name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(begins) && text.chars().all(plain) { text.to_owned() } else { on_one_line(text) }
}

/// A value on its key's line.
pub(super) fn line(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { on_one_line(text) }
}

/// A value of several lines below its key; each line begins with these spaces. Only for texts that [`fits_block`].
pub(super) fn block(text: &str, indent: usize) -> String {
    let mut out = "|-".to_owned();
    for line in text.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            let _ = write!(out, "{:indent$}{line}", "");
        }
    }
    out
}

/// Whether a text can stand as a block: lines as they are, no white space that somebody could miss, nothing at its ends that
/// YAML would fold into the layout.
pub(super) fn fits_block(text: &str) -> bool {
    let tidy = |line: &str| !line.ends_with([' ', '\t']) && !line.contains('\t');
    text.contains('\n') && !text.starts_with([' ', '\n']) && !text.ends_with('\n') && text.split('\n').all(tidy)
}

/// Whether a text stands on a line without quotes: conservative, since a quote too many harms nobody.
fn is_plain(text: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.');
    let plain = |c: char| c.is_ascii_alphanumeric() || " _./@%+=:,()-".contains(c);
    text.starts_with(begins)
        && text.chars().all(plain)
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !matches!(text, "---" | "...")
}

/// In quotes: single ones where they change nothing, else double ones with escapes.
fn on_one_line(text: &str) -> String {
    if !text.is_empty() && text.chars().all(is_shown) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_shown(c) => out.push(c),
            c if u32::from(c) <= 0xFF => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c if u32::from(c) <= 0xFFFF => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => drop(write!(out, "\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a reader sees the character and YAML keeps it: no control character, no mark that turns text around or breaks a
/// line.
pub(super) fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{00AD}' | '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{FEFF}')
        && !matches!(c, '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        && !matches!(c, '\u{FFF0}'..='\u{FFFF}' | '\u{E0000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stand_plain_and_everything_else_in_quotes() {
        for (text, expected) in [
            ("1.10", "1.10"),
            ("on", "on"),
            ("0755", "0755"),
            ("null", "null"),
            ("http://a.b:80/c?", "'http://a.b:80/c?'"),
            ("http://a.b:80/c", "http://a.b:80/c"),
            ("a b", "a b"),
            ("", "\"\""),
            (" a", "' a'"),
            ("a: b", "'a: b'"),
            ("it's", "'it''s'"),
            ("# no", "'# no'"),
            ("~", "'~'"),
            ("- a", "'- a'"),
            ("...", "'...'"),
            ("grün", "'grün'"),
            ("a\tb", "\"a\\tb\""),
            ("a\n", "\"a\\n\""),
            ("\0\u{2028}\u{10FFFF}", "\"\\x00\\u2028\\U0010ffff\""),
            ("\"\\\u{7f}", "\"\\\"\\\\\\x7f\""),
        ] {
            assert_eq!(line(text), expected, "{text:?}");
        }
        assert_eq!(
            [name("a/b-1"), name("8080"), name("<<"), name(".x"), name("a b")],
            ["a/b-1", "8080", "'<<'", "'.x'", "'a b'"]
        );
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(block("a\n\n  b", 4), "|-\n    a\n\n      b");
        for (text, expected) in [
            ("a\nb", true),
            ("a", false),
            ("a\n", false),
            ("\na", false),
            (" a\nb", false),
            ("a \nb", false),
            ("a\n\tb", false),
        ] {
            assert_eq!(fits_block(text), expected, "{text:?}");
        }
    }
}
