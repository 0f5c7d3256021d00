//! `kv/`: mappings become keys, and scalars stay the text that somebody wrote (rule F1).

use std::fmt::Write as _;
use std::sync::Arc;

use crate::domain::name::{KeyPath, LONGEST_KEY};
use crate::domain::revision::ValueDigest;

use super::LARGEST_VALUE;
use super::problem::{FileProblems, Place, quoted};
use super::variables::has_reference;
use super::yaml::{self, Content, Node, Tag};

/// What one place of a layer says about one key.
#[derive(Debug)]
pub(super) struct Setting {
    /// The key.
    pub(super) key: KeyPath,
    /// Where the key stands.
    pub(super) place: Place,
    /// What becomes of it.
    pub(super) action: Action,
}

/// What becomes of a key.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// It has this value.
    Set {
        /// The value.
        value: Value,
        /// Tagged `!keep`.
        keep: bool,
        /// Tagged `!sensitive`.
        sensitive: bool,
    },
    /// What earlier layers say of it is taken back.
    Absent,
}

/// A value, ready or with variables to fill in.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The same in every environment, so digested once.
    Ready(Arc<[u8]>, ValueDigest),
    /// Holds `${…}`.
    Template(Content),
}

impl Value {
    /// A value that is ready.
    pub(super) fn ready(bytes: Arc<[u8]>) -> Self {
        let digest = ValueDigest::of(&bytes);
        Self::Ready(bytes, digest)
    }
}

/// Reads one file; `prefix` is its path below `kv/` without `.yaml`.
pub(super) fn read(prefix: &str, bytes: &[u8], problems: &mut FileProblems) -> Vec<Setting> {
    let mut walk = Walk { key: prefix.to_owned(), found: Vec::new() };
    if let Some(root) = yaml::read(bytes, problems) {
        match &root.content {
            Content::Mapping(entries) => walk.mapping(&root, entries, Tags::default(), problems),
            Content::Nothing | Content::Scalar { .. } | Content::List(_) => {
                let hint = "the file's path is the key's beginning; write 'name: value' for each key below it";
                problems.report_with_hint(
                    root.place,
                    format!("must be a mapping of keys, but is {}", root.content.word()),
                    hint,
                );
            }
        }
    }
    walk.found
}

/// Tags that hold for everything in a mapping.
#[derive(Debug, Clone, Copy, Default)]
struct Tags {
    keep: bool,
    sensitive: bool,
}

impl Tags {
    fn and(self, tag: Option<Tag>) -> Self {
        Self { keep: self.keep || tag == Some(Tag::Keep), sensitive: self.sensitive || tag == Some(Tag::Sensitive) }
    }
}

struct Walk {
    key: String,
    found: Vec<Setting>,
}

impl Walk {
    fn mapping(&mut self, node: &Node, entries: &[(std::rc::Rc<str>, Node)], tags: Tags, problems: &mut FileProblems) {
        if node.tag == Some(Tag::Absent) {
            problems.report_with_hint(
                node.place,
                "!absent stands before a mapping",
                "it takes back one key at a time: name each",
            );
            return;
        }
        let tags = tags.and(node.tag);
        for (name, node) in entries {
            let length = self.key.len();
            // Not descended into when it is too long: each level below would copy it again.
            if length + 1 + name.len() > LONGEST_KEY {
                problems.report(node.place, format!("the key is longer than {LONGEST_KEY} bytes"));
                continue;
            }
            let _ = write!(self.key, "/{name}");
            if has_reference(name) {
                let message = format!("the key {} refers to a variable", quoted(name));
                problems.report_with_hint(node.place, message, "${…} stands in values only");
            } else {
                self.value(node, tags, problems);
            }
            self.key.truncate(length);
        }
    }

    fn value(&mut self, node: &Node, tags: Tags, problems: &mut FileProblems) {
        if let Content::Mapping(entries) = &node.content {
            if entries.is_empty() {
                problems.report_with_hint(
                    node.place,
                    "an empty mapping makes no key",
                    "remove it, or write \"\" for an empty value",
                );
            }
            return self.mapping(node, entries, tags, problems);
        }
        let key = match KeyPath::parse(&self.key) {
            Ok(key) => key,
            Err(error) => return problems.report(node.place, error.to_string()),
        };
        let Some(action) = action(node, tags, problems) else { return };
        self.found.push(Setting { key, place: node.place, action });
    }
}

fn action(node: &Node, tags: Tags, problems: &mut FileProblems) -> Option<Action> {
    if node.tag == Some(Tag::Absent) {
        if matches!(node.content, Content::Nothing) {
            return Some(Action::Absent);
        }
        problems.report_with_hint(
            node.place,
            "!absent stands before a value",
            "remove the value: the key is taken back, not set",
        );
        return None;
    }
    let Tags { keep, sensitive } = tags.and(node.tag);
    let value = value(node, problems)?;
    Some(Action::Set { value, keep, sensitive })
}

fn value(node: &Node, problems: &mut FileProblems) -> Option<Value> {
    let is_list = match &node.content {
        Content::Nothing => {
            problems.report_with_hint(
                node.place,
                "has no value",
                "write \"\" for an empty value, or !absent to take the key back",
            );
            return None;
        }
        Content::Scalar { .. } | Content::Mapping(_) => false,
        Content::List(_) => true,
    };
    if is_list && !check_items(node, node.place, problems) {
        return None;
    }
    if refers(&node.content) {
        return Some(Value::Template(node.content.clone()));
    }
    let text = text(&node.content, &mut |text| Some(text.to_owned()))?;
    checked_size(text.len(), node.place, problems).then(|| Value::ready(text.into_bytes().into()))
}

/// Whether a value is small enough for one transaction (rule A2); if not, a problem says so.
pub(super) fn checked_size(size: usize, place: Place, problems: &mut FileProblems) -> bool {
    if size > LARGEST_VALUE {
        let message = format!("the value has {size} bytes; a key holds {LARGEST_VALUE} at most");
        problems.report_with_hint(
            place,
            message,
            "Consul's transactions take no more: split it, or keep it elsewhere and name its place",
        );
    }
    size <= LARGEST_VALUE
}

/// Checks what a list holds, however deep: items without value, tags inside, variables in names.
fn check_items(node: &Node, place: Place, problems: &mut FileProblems) -> bool {
    match &node.content {
        Content::Nothing => {
            problems.report_with_hint(place, "an item of a list has no value", "write \"\" for an empty text");
            false
        }
        Content::Scalar { .. } => true,
        Content::List(items) => items.iter().fold(true, |fine, item| fine & check_item(item, problems)),
        Content::Mapping(entries) => entries.iter().fold(true, |fine, (name, item)| {
            if has_reference(name) {
                let message = format!("the name {} refers to a variable", quoted(name));
                problems.report_with_hint(item.place, message, "${…} stands in values only");
            }
            fine & !has_reference(name) & check_item(item, problems)
        }),
    }
}

fn check_item(item: &Node, problems: &mut FileProblems) -> bool {
    if let Some(tag) = item.tag {
        let hint = "a list is one value: put the tag before the whole list";
        problems.report_with_hint(item.place, format!("the tag {} stands inside a list", tag.word()), hint);
    }
    item.tag.is_none() & check_items(item, item.place, problems)
}

fn refers(content: &Content) -> bool {
    match content {
        Content::Nothing => false,
        Content::Scalar { text, .. } => has_reference(text),
        Content::List(items) => items.iter().any(|item| refers(&item.content)),
        Content::Mapping(entries) => entries.iter().any(|(_, item)| refers(&item.content)),
    }
}

/// The text that a key holds, every scalar through `fill`; none when `fill` returns none for one.
pub(super) fn text(content: &Content, fill: &mut impl FnMut(&str) -> Option<String>) -> Option<String> {
    match content {
        Content::Scalar { text, .. } => fill(text),
        Content::Nothing | Content::List(_) | Content::Mapping(_) => {
            let mut json = String::new();
            write_json(content, fill, &mut json)?;
            Some(json)
        }
    }
}

/// Compact JSON: plain scalars that JSON would read as a number, `true` or `false` stand as they are, all else in quotes.
fn write_json(content: &Content, fill: &mut impl FnMut(&str) -> Option<String>, json: &mut String) -> Option<()> {
    match content {
        Content::Nothing => json.push_str("\"\""),
        Content::Scalar { text, plain } => {
            let text = fill(text)?;
            if *plain && (matches!(&*text, "true" | "false") || is_json_number(&text)) {
                json.push_str(&text);
            } else {
                json.push_str(&serde_json::Value::from(text).to_string());
            }
        }
        Content::List(items) => {
            json.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    json.push(',');
                }
                write_json(&item.content, fill, json)?;
            }
            json.push(']');
        }
        Content::Mapping(entries) => {
            json.push('{');
            for (at, (name, item)) in entries.iter().enumerate() {
                if at > 0 {
                    json.push(',');
                }
                json.push_str(&serde_json::Value::from(&**name).to_string());
                json.push(':');
                write_json(&item.content, fill, json)?;
            }
            json.push('}');
        }
    }
    Some(())
}

/// JSON's grammar of numbers (RFC 8259, section 6), whatever their size: the text is kept, so none is rounded.
fn is_json_number(text: &str) -> bool {
    fn digits(text: &str) -> Option<&str> {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        (rest.len() < text.len()).then_some(rest)
    }
    fn number(text: &str) -> Option<&str> {
        let text = text.strip_prefix('-').unwrap_or(text);
        let mut rest = text.strip_prefix('0').or_else(|| digits(text))?;
        if let Some(fraction) = rest.strip_prefix('.') {
            rest = digits(fraction)?;
        }
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            rest = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
        }
        Some(rest)
    }
    number(text) == Some("")
}
