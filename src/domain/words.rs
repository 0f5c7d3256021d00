//! Words that several stations put into their texts: numbers with the right plural, and lists that stay short.

use std::fmt::Display;

/// `1 key`, `2 keys`.
#[must_use]
pub fn count(number: impl Display, what: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The words that go with one thing, or with another number of them: `1 key stays as it is`, `2 keys stay as they are`.
#[must_use]
pub const fn one_or<'t>(number: usize, one: &'t str, more: &'t str) -> &'t str {
    if number == 1 { one } else { more }
}

/// Some names, and how many more there are.
#[must_use]
pub fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let and_more = and_more(names.len(), SHOWN);
    format!("{}{and_more}", names.take(SHOWN).collect::<Vec<_>>().join(", "))
}

/// The first `shown` of some names with why, those of the same reason together, and how many more there are:
/// `a, b: deleted by hand; c: written over and 2 more`.
pub(in crate::domain) fn by_reason<'t, W: ToString>(all: impl ExactSizeIterator<Item = (&'t str, W)>, shown: usize) -> String {
    let and_more = and_more(all.len(), shown);
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, why) in all.take(shown).map(|(name, why)| (name, why.to_string())) {
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name),
            None => reasons.push((why, vec![name])),
        }
    }
    match reasons.as_slice() {
        [(why, names)] => format!("{}{and_more}: {why}", names.join(", ")),
        several => {
            let texts: Vec<String> = several.iter().map(|(why, names)| format!("{}: {why}", names.join(", "))).collect();
            format!("{}{and_more}", texts.join("; "))
        }
    }
}

/// A text as one word of a command that a person copies into a shell.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What a list says of those that it leaves out.
fn and_more(all: usize, shown: usize) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Whether what was kept of a text says the same as this one: a target keeps no more than so much of a long text, and ends it
/// with `…` then.
pub(in crate::domain) fn is_kept(kept: &str, text: &str) -> bool {
    kept == text || kept.strip_suffix('…').is_some_and(|cut| text.starts_with(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_kept_in_part_says_the_same_and_another_does_not() {
        for (kept, text, expected) in [
            ("ab", "ab", true),
            ("a…", "ab", true),
            ("a…", "a…", true),
            ("ab", "abc", false),
            ("b…", "ab", false),
            ("", "a", false),
        ] {
            assert_eq!(is_kept(kept, text), expected, "{kept:?}, {text:?}");
        }
    }

    #[test]
    fn a_word_for_a_shell_is_quoted_where_the_shell_would_read_it_otherwise() {
        for (text, expected) in [
            ("config/a-b.c", "config/a-b.c"),
            ("a b", "'a b'"),
            ("$(id)", "'$(id)'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("*", "'*'"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }

    #[test]
    fn one_is_singular_and_everything_else_plural() {
        assert_eq!([0, 1, 2].map(|number| count(number, "key")), ["0 keys", "1 key", "2 keys"]);
        assert_eq!([0, 1, 2].map(|number| one_or(number, "stays", "stay")), ["stay", "stays", "stay"]);
    }

    #[test]
    fn names_of_one_reason_stand_together() {
        let told = |names: &[(&'static str, &'static str)]| by_reason(names.iter().copied(), 3);
        assert_eq!(told(&[("a", "gone"), ("b", "gone")]), "a, b: gone");
        assert_eq!(told(&[("a", "gone"), ("b", "changed"), ("c", "gone"), ("d", "new")]), "a, c: gone; b: changed and 1 more");
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let names = |upto: u32| listed((1..=upto).map(|number| number.to_string()).collect::<Vec<_>>().into_iter());
        assert_eq!((names(2).as_str(), names(7).as_str()), ("1, 2", "1, 2, 3, 4, 5 and 2 more"));
    }
}
