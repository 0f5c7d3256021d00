//! How each value is written: on its key's line, as a block below it, or as a file of its own.

use super::yaml_text;
use crate::domain::name::KeyPath;

/// The longest value on one line, in bytes.
const LONGEST_LINE: usize = 4096;
/// The largest block: beyond it a file of its own is easier to read and to change.
const LARGEST_BLOCK: usize = 2048;
const MOST_LINES: usize = 30;
/// The longest text in which `${` is written as `$${`: what is filled in is bounded for a whole environment.
const LONGEST_ESCAPED: usize = 1024;
/// Bytes of a file's or directory's name that every file system takes, `.yaml` included.
const LONGEST_NAME: usize = 250;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// On its key's line, in quotes if need be.
    Line,
    /// As lines below its key.
    Block,
    /// Below `files/`, byte for byte.
    File,
}

/// The form for a value, or none when neither a YAML file nor a file of its own can hold the key.
pub(super) fn form(key: &KeyPath, value: &[u8]) -> Option<Form> {
    let text = std::str::from_utf8(value).ok();
    let best = text.map_or(Form::File, natural);
    let by_itself = can_be_file(key.as_str());
    match (best, by_itself, can_be_named(key.as_str()) && text.is_some()) {
        (Form::File, true, _) | (_, true, false) => Some(Form::File),
        (Form::File, false, true) => Some(Form::Line),
        (form, _, true) => Some(form),
        (_, false, false) => None,
    }
}

/// What people would choose.
fn natural(text: &str) -> Form {
    let shown = |c: char| yaml_text::is_shown(c) || matches!(c, '\n' | '\t');
    if !text.chars().all(shown) || text.contains("${") && text.len() > LONGEST_ESCAPED {
        return Form::File;
    }
    match text.lines().count() {
        0 | 1 if !text.contains('\n') && text.len() <= LONGEST_LINE => Form::Line,
        2..=MOST_LINES if yaml_text::fits_block(text) && text.len() <= LARGEST_BLOCK => Form::Block,
        _ => Form::File,
    }
}

/// Whether the key can be a file below `files/`: git keeps every segment, and none of them is git's own.
fn can_be_file(key: &str) -> bool {
    const GIT_OWN: [&str; 4] = [".gitattributes", ".gitignore", ".gitkeep", ".gitmodules"];
    let name = key.rsplit('/').next().unwrap_or(key);
    key.split('/').all(fits_path) && !GIT_OWN.contains(&name)
}

/// Whether the key can be a name in a YAML file: its first segment is the file's, and no variable is in it.
fn can_be_named(key: &str) -> bool {
    !key.contains("${") && key.split_once('/').is_some_and(|(first, _)| fits_path(first))
}

/// Whether git and the usual file systems take the segment as a name.
pub(super) fn fits_path(segment: &str) -> bool {
    // What some file systems ignore in a name could make `.git` of it.
    let ignored =
        |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let lower = segment.to_ascii_lowercase();
    let is_git =
        lower.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']) == ".git" || lower.starts_with("git~");
    segment.len() + ".yaml".len() <= LONGEST_NAME && !is_git && !segment.contains(ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, value: &[u8], expected: Option<Form>) {
        let path = KeyPath::parse(key).unwrap();
        assert_eq!(form(&path, value), expected, "{key} = {:?}", String::from_utf8_lossy(&value[..value.len().min(40)]));
    }

    #[test]
    fn a_value_has_the_form_that_people_would_choose() {
        check("config/a", b"8080", Some(Form::Line));
        check("config/a", b"", Some(Form::Line));
        check("config/a", b"a\nb", Some(Form::Block));
        check("config/a", b"a\nb\n", Some(Form::File));
        check("config/a", b"a\n", Some(Form::File));
        check("config/a", b"\xff", Some(Form::File));
        check("config/a", b"a\0", Some(Form::File));
        check("config/a", &b"x".repeat(LONGEST_LINE), Some(Form::Line));
        check("config/a", &b"x".repeat(LONGEST_LINE + 1), Some(Form::File));
        check("config/a", &b"${x}".repeat(300), Some(Form::File));
        check("config/a", b"${x}", Some(Form::Line));
    }

    #[test]
    fn a_key_goes_where_its_name_can_be_written() {
        check("a", b"8080", Some(Form::File));
        check("config/${a}", b"8080", Some(Form::File));
        check("config/.gitignore", b"a\n", Some(Form::Line));
        check("config/.git/x", b"a\n", Some(Form::Line));
        check("config/.gitignore", b"\xff", None);
        check(".git/config", b"a", None);
        check("config/..git", b"a\n", Some(Form::File));
        check(&format!("config/{}", "k".repeat(300)), b"a\n", Some(Form::Line));
        check(&"k".repeat(300), b"a", None);
    }
}
