//! A value as people and programs are shown it: text, or size and digest where it is no text, or nothing where it is sensitive.

use std::io::{self, IsTerminal as _};

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::output::{Output, Page};
use crate::cli::text::{clean, count};
use crate::domain::revision::ValueDigest;
use crate::domain::shown::{ChangeTag, compared};

/// So many lines of one change are shown.
const LINES: usize = 24;
/// So many characters of a line are shown.
const WIDTH: usize = 160;

/// A value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Value {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes {
        /// How many.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<usize>,
        /// Their digest.
        sha256: String,
    },
    /// Tagged `!sensitive`: not even a digest, since a short value can be guessed from one.
    Sensitive {
        /// It is another value than the one before.
        changed: bool,
    },
}

impl Value {
    /// A value that may be shown.
    pub(super) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Self::Text(text.to_owned()),
            _ => Self::Bytes { size: Some(bytes.len()), sha256: ValueDigest::of(bytes).to_string() },
        }
    }

    /// A value that is too long to be kept.
    pub(super) fn sized(size: usize, digest: &ValueDigest) -> Self {
        Self::Bytes { size: Some(size), sha256: digest.to_string() }
    }

    /// A value that was gone again when it was to be shown.
    pub(super) fn digest_only(digest: &ValueDigest) -> Self {
        Self::Bytes { size: None, sha256: digest.to_string() }
    }

    /// A value that may not be shown, and whether it is another one than before.
    pub(super) fn hidden(changed: bool) -> Self {
        Self::Sensitive { changed }
    }

    /// The value as a text.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bytes { size: Some(size), sha256 } => format!("({}, sha256 {})", count(*size, "byte"), short(sha256)),
            Self::Bytes { size: None, sha256 } => format!("(sha256 {})", short(sha256)),
            Self::Sensitive { changed: false } => "(sensitive)".to_owned(),
            Self::Sensitive { changed: true } => "(sensitive, changed)".to_owned(),
        }
    }
}

/// Prints a value to standard output: to a file or a program exactly as it is, and on a terminal so that it can do nothing there.
pub(super) fn print(bytes: &[u8], output: &Output) -> Result<(), Failure> {
    if !io::stdout().is_terminal() {
        return Output::bytes(bytes);
    }
    let value = Value::of(bytes);
    if matches!(value, Value::Bytes { .. }) {
        output.note("it is no text; to a file or a program it is written as it is: > FILE");
    }
    output.print(on_a_terminal(&value).as_bytes())
}

fn on_a_terminal(value: &Value) -> String {
    let told = value.told();
    let lines = told.strip_suffix('\n').unwrap_or(&told).split('\n');
    let shown = lines.map(|line| line.split('\t').map(clean).collect::<Vec<_>>().join("\t") + "\n");
    if told.is_empty() { String::new() } else { shown.collect() }
}

fn short(digest: &str) -> String {
    format!("{}…", digest.get(..8).unwrap_or(digest))
}

/// A value in one line of a page: its first line, and how many more there are.
pub(super) fn line(value: &Value) -> String {
    let told = value.told();
    let mut lines = told.lines();
    let first = clean(lines.next().unwrap_or_default());
    let more = lines.count();
    let cut = first.chars().count() > WIDTH;
    let first = if cut { first.chars().take(WIDTH).collect::<String>() } else { first };
    match (told.is_empty(), cut, more) {
        (true, _, _) => "\"\"".to_owned(),
        (_, false, 0) => first,
        (_, true, 0) => format!("{first}…"),
        _ => format!("{first}… (and {more} more {})", if more == 1 { "line" } else { "lines" }),
    }
}

/// The difference of two values, line by line; long ones are folded unless `full`.
pub(super) fn difference(before: Option<&Value>, after: Option<&Value>, full: bool, page: &mut Page) {
    let (old, new) = (before.map_or_else(String::new, Value::told), after.map_or_else(String::new, Value::told));
    if before.is_some() && after.is_some() && old == new {
        return; // Only the mark is written.
    }
    let compared = compared(&old, &new);
    if compared.is_none() && !full {
        let sized = |text: &str| format!("({}, {})", count(text.lines().count(), "line"), count(text.len(), "byte"));
        page.line(format_args!("      {}", format!("- {}", sized(&old)).style(Style::new().red())));
        page.line(format_args!("      {}", format!("+ {}", sized(&new)).style(Style::new().green())));
        let note = "… too many lines to compare one by one; --full shows both values";
        page.line(format_args!("        {}", note.style(Style::new().dimmed())));
        return;
    }
    let lines = compared.unwrap_or_else(|| whole(&old, &new));
    let shown = if full { lines.len() } else { LINES };
    for (tag, line) in lines.iter().take(shown) {
        let text = clean(line.trim_end_matches(['\n', '\r']));
        let text = if full || text.chars().count() <= WIDTH {
            text
        } else {
            format!("{}…", text.chars().take(WIDTH).collect::<String>())
        };
        match tag {
            ChangeTag::Delete => page.line(format_args!("      {}", format!("- {text}").style(Style::new().red()))),
            ChangeTag::Insert => page.line(format_args!("      {}", format!("+ {text}").style(Style::new().green()))),
            ChangeTag::Equal => page.line(format_args!("        {}", text.style(Style::new().dimmed()))),
        }
    }
    if let Some(more) = lines.len().checked_sub(shown).filter(|more| *more > 0) {
        page.line(format_args!("        {}", format!("… {more} more lines; --full shows them").style(Style::new().dimmed())));
    }
}

/// All lines of both.
fn whole(old: &str, new: &str) -> Vec<(ChangeTag, String)> {
    let tagged = |tag| move |line: &str| (tag, line.to_owned());
    old.lines().map(tagged(ChangeTag::Delete)).chain(new.lines().map(tagged(ChangeTag::Insert))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a page, without its colours.
    fn told(before: &str, after: &str, full: bool) -> Vec<String> {
        let mut page = Page::default();
        difference(Some(&Value::of(before.as_bytes())), Some(&Value::of(after.as_bytes())), full, &mut page);
        page.plain().lines().map(|line| line.trim_start().to_owned()).collect()
    }

    #[test]
    fn long_values_that_differ_in_many_lines_are_told_by_their_sizes_and_whole_only_when_asked() {
        let lines = |range: std::ops::Range<u32>| range.map(|number| format!("{number:x}\n")).collect::<Vec<_>>().concat();
        let (old, new) = (lines(0..65_000), lines(100_000..165_000));
        assert!(old.len() > 300_000 && new.len() <= crate::domain::desired::LARGEST_VALUE);
        let [first, second, note] = told(&old, &new, false).try_into().unwrap();
        assert!(first.starts_with("- (65000 lines, 3") && second.starts_with("+ (65000 lines, 3"), "{first} {second}");
        assert!(note.ends_with("--full shows both values"), "{note}");
        let whole = told(&old, &new, true);
        assert_eq!((whole.len(), whole[0].as_str(), whole[65_000].as_str()), (130_000, "- 0", "+ 186a0"));
        // What differs counts, wherever it stands.
        let with = |more: &str| format!("{old}{more}{new}");
        assert_eq!(told(&with("x\n"), &with("y\n"), false), ["fde6", "fde7", "- x", "+ y", "186a0", "186a1"]);
        assert_eq!(told(&old, &with(""), false).last().unwrap(), "… 64978 more lines; --full shows them");
    }

    #[test]
    fn a_value_on_a_terminal_ends_its_line_and_moves_no_cursor() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(on_a_terminal(&Value::of(bytes)), expected, "{bytes:?}");
        check(b"8080", "8080\n");
        check(b"one\n\ttwo\n", "one\n\ttwo\n");
        check(b"\x1b[2Jx\r\ny", "\\u{1b}[2Jx\\r\ny\n");
        check(b"", "");
        check(b"\xff\x1b[31m", "(6 bytes, sha256 5760bf04…)\n");
    }
}
