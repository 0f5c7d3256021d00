//! The controller's file as it is written: a tree of texts, lists and mappings, each with its place.
//!
//! Nothing is required or refused by type here. A typed reader stops at its first error, and a person who moves a file to
//! a new version wants to see all of them; so the tree is taken first and `read` asks it for fields.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Location, Options, Spanned};

/// The largest file that is read: a thousand environments need a tenth of it.
pub(super) const LARGEST_FILE: u64 = 4 << 20;

/// A value with the place where it stands.
pub(super) type Item = Spanned<Node>;

/// A value as written.
#[derive(Debug)]
pub(super) enum Node {
    /// `key:` with nothing behind it.
    Nothing,
    /// A scalar.
    Text(String),
    /// A number with a point or an exponent: its source text is lost (`1.10` became 1.1), so no field takes one.
    Fraction,
    /// `[…]`.
    List(Vec<Item>),
    /// `{…}`, in the order of the file.
    Mapping(Vec<(Spanned<String>, Item)>),
}

impl Node {
    /// What it is, for "must be a text, not a list".
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "a text",
            Self::Fraction => "a fractional number",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Fraction)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = mapping.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}

/// A file that is no YAML of the plain kind.
#[derive(Debug)]
pub(super) struct Malformed {
    /// Where, if the parser knows.
    pub(super) at: Option<Location>,
    /// What is wrong; never the text around it, which may hold a pasted secret.
    pub(super) message: String,
}

/// Takes the tree of a file. Duplicate keys, merge keys, alias bombs and deep nesting are refused.
pub(super) fn parse(text: &str) -> Result<Item, Malformed> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error: Error| {
        let error = error.without_snippet();
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        // The place is told apart from the words.
        let words = line.split_once(" at line ").map_or(line, |(words, _)| words);
        Malformed { at: error.location(), message: words.chars().take(300).collect() }
    })
}

fn options() -> Options {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_depth = 16;
    budget.max_nodes = 200_000;
    budget.max_aliases = 100;
    budget.max_documents = 1;
    serde_saphyr::options! {
        budget: Some(budget),
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_depth_and_duplicates_are_refused() {
        let deep = format!("a: {}1{}", "[".repeat(40), "]".repeat(40));
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d \
                    [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
        for bad in [deep.as_str(), bomb, "a: 1\na: 2\n", "a: &x {b: 1}\nc: {<<: *x}\n", "a: !include /etc/passwd\n", "a: ["] {
            assert!(parse(bad).is_err(), "{bad:.60} was accepted");
        }
    }

    #[test]
    fn a_parser_error_never_quotes_the_file() {
        let error = parse("token: hunter2-canary\ntoken: hunter2-canary\n").unwrap_err();
        assert!(!error.message.contains("canary"), "{}", error.message);
        assert_eq!(error.at.map(|at| at.line()), Some(2), "{}", error.message);
    }
}
