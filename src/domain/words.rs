//! Words that several stations put into their texts: numbers with the right plural, and lists that stay short.

use std::fmt::Display;

/// `1 key`, `2 keys`.
#[must_use]
pub fn count(number: impl Display, what: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Some names, and how many more there are.
pub(in crate::domain) fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.take(SHOWN).collect();
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_everything_else_plural() {
        assert_eq!([0, 1, 2].map(|number| count(number, "key")), ["0 keys", "1 key", "2 keys"]);
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let names = |upto: u32| listed((1..=upto).map(|number| number.to_string()).collect::<Vec<_>>().into_iter());
        assert_eq!((names(2).as_str(), names(7).as_str()), ("1, 2", "1, 2, 3, 4, 5 and 2 more"));
    }
}
