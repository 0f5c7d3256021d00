//! Texts of others as people may be shown them: unable to move a cursor or to turn the reading direction, and compared line by
//! line.

use similar::TextDiff;

pub use similar::ChangeTag;

/// Unchanged lines around a changed one.
const CONTEXT: usize = 2;
/// So many lines at most are compared one by one: the work grows with their square.
const COMPARED: usize = 4000;

/// A text that somebody else wrote, unable to move the cursor or to turn the reading direction. Line ends stay out too.
#[must_use]
pub fn clean(text: &str) -> String {
    escaped(text, |c| c.is_control() || is_unseen(c))
}

/// A line, colours and all, unable to turn the reading direction: a key's name, which is shown everywhere, may hold what does
/// that, and no control character.
#[must_use]
pub fn one_way(line: &str) -> String {
    escaped(line, is_unseen)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) { out.extend(c.escape_debug()) } else { out.push(c) }
    }
    out
}

/// Turns the reading direction, ends a line for some, or is not there for the eye.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// The changed lines of a text with a few unchanged ones around them, `…` between the places; none when too much lies between the
/// lines that both begin and end with to look for the least difference in it.
#[must_use]
pub fn compared(old: &str, new: &str) -> Option<Vec<(ChangeTag, String)>> {
    if is_too_long_to_compare(old, new) {
        return None;
    }
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if at > 0 {
            lines.push((ChangeTag::Equal, "…".to_owned()));
        }
        lines.extend(group.iter().flat_map(|op| diff.iter_changes(op)).map(|change| (change.tag(), change.value().to_owned())));
    }
    Some(lines)
}

fn is_too_long_to_compare(old: &str, new: &str) -> bool {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[same..], &new[same..]);
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (old.len() - same, new.len() - same);
    old > 0 && new > 0 && old + new > COMPARED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_do_not_move_the_cursor() {
        assert_eq!(clean("fix: ü\u{1b}[2J\n\u{202e}x"), "fix: ü\\u{1b}[2J\\n\\u{202e}x");
    }

    #[test]
    fn a_line_of_a_page_keeps_its_colours_and_its_direction() {
        assert_eq!(one_way("\u{1b}[1mä/\u{202e}x\u{61c}\u{1b}[0m"), "\u{1b}[1mä/\\u{202e}x\\u{61c}\u{1b}[0m");
    }
}
