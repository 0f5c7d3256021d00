//! Fields of a mapping as typed values: what lockstep's own files (not `kv/`) are read with.
//!
//! Every field that nobody asked for is a problem, with the nearest known name as hint: a misspelt field is never ignored.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use crate::domain::time::written;

use super::duration::parse_duration;
use super::problem::{FileProblems, Place, did_you_mean, quoted};
use super::yaml::{Content, Node};

/// The fields of one mapping; [`Fields::finish`] reports those that were not asked for.
pub(super) struct Fields<'n> {
    place: Place,
    entries: &'n [(Rc<str>, Node)],
    asked: Vec<&'static str>,
    refused: Vec<&'static str>,
}

/// One field that is there.
#[derive(Clone, Copy)]
pub(super) struct Field<'n> {
    /// Its name.
    pub(super) name: &'static str,
    /// Its value, at the place of the name.
    pub(super) node: &'n Node,
}

impl<'n> Fields<'n> {
    /// The fields of a mapping; anything else is a problem.
    pub(super) fn of(node: &'n Node, what: &str, problems: &mut FileProblems) -> Option<Self> {
        no_tag(node, problems);
        if let Content::Mapping(entries) = &node.content {
            return Some(Self { place: node.place, entries, asked: Vec::new(), refused: Vec::new() });
        }
        problems.report(node.place, format!("{what} must be a mapping of fields, but is {}", node.content.word()));
        None
    }

    /// Where the mapping begins.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// The field with this name, if it is there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Field<'n>> {
        self.asked.push(name);
        let (_, node) = self.entries.iter().find(|(key, _)| **key == *name)?;
        Some(Field { name, node })
    }

    /// The field with this name; its absence is a problem.
    pub(super) fn require(&mut self, name: &'static str, problems: &mut FileProblems) -> Option<Field<'n>> {
        let field = self.take(name);
        if field.is_none() {
            problems.report(self.place, format!("the field {name:?} is missing"));
        }
        field
    }

    /// Refuses fields that belong to a later version of lockstep: ignoring them would be worse than saying so.
    pub(super) fn refuse_unsupported(&mut self, names: &[&'static str], problems: &mut FileProblems) {
        for name in names {
            if let Some(field) = self.take(name) {
                let message = format!("the field {name:?} is not supported by this version of lockstep");
                problems.report_with_hint(field.node.place, message, "remove it: it would not be obeyed");
            }
        }
        // Kept apart, so that they are not offered when another name is misspelt.
        self.asked.retain(|asked| !names.contains(asked));
        self.refused.extend(names);
    }

    /// Reports every field that was not asked for.
    pub(super) fn finish(self, what: &str, problems: &mut FileProblems) {
        for (key, node) in self.entries {
            if self.asked.iter().chain(&self.refused).any(|name| **key == **name) {
                continue;
            }
            let hint = did_you_mean(key, self.asked.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("the fields of {what} are: {}", self.asked.join(", ")));
            problems.report_with_hint(node.place, format!("{what} has no field {}", quoted(key)), hint);
        }
    }
}

impl<'n> Field<'n> {
    /// Where it stands.
    pub(super) const fn place(self) -> Place {
        self.node.place
    }

    /// Reports that something else was expected.
    pub(super) fn expected(self, what: &str, problems: &mut FileProblems) {
        let found = match &self.node.content {
            Content::Scalar { text, .. } => quoted(text),
            Content::Nothing | Content::List(_) | Content::Mapping(_) => self.node.content.word().to_owned(),
        };
        problems.report(self.node.place, format!("{:?} must be {what}, but is {found}", self.name));
    }

    /// Any text, the empty one in quotes included.
    pub(super) fn text(self, problems: &mut FileProblems) -> Option<&'n str> {
        no_tag(self.node, problems);
        if let Content::Scalar { text, .. } = &self.node.content {
            return Some(text);
        }
        self.expected("a text", problems);
        None
    }

    /// A text that a function accepts; its error becomes the problem.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
        problems: &mut FileProblems,
    ) -> Option<T> {
        let text = self.text(problems)?;
        parse(text).map_err(|error| problems.report(self.node.place, format!("{:?}: {error}", self.name))).ok()
    }

    /// A whole number in a range.
    pub(super) fn number(self, range: &RangeInclusive<u32>, problems: &mut FileProblems) -> Option<u32> {
        let text = self.text(problems)?;
        let number = text.parse().ok().filter(|number| range.contains(number) && !text.starts_with('+'));
        if number.is_none() {
            self.expected(&format!("a whole number from {} to {}", range.start(), range.end()), problems);
        }
        number
    }

    /// A duration in a range.
    pub(super) fn duration(self, range: &RangeInclusive<Duration>, problems: &mut FileProblems) -> Option<Duration> {
        let text = self.text(problems)?;
        match parse_duration(text) {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                self.expected(&format!("a duration from {} to {}", written(*range.start()), written(*range.end())), problems);
                None
            }
            Err(error) => {
                problems.report_with_hint(self.node.place, format!("{:?}: {error}", self.name), error.hint());
                None
            }
        }
    }

    /// One of some words, each with its meaning.
    pub(super) fn word<T: Copy>(self, words: &[(&'static str, T)], problems: &mut FileProblems) -> Option<T> {
        let text = self.text(problems)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("{:?} must be one of {}, but is {}", self.name, names.join(", "), quoted(text));
        match did_you_mean(text, names) {
            Some(hint) => problems.report_with_hint(self.node.place, message, hint),
            None => problems.report(self.node.place, message),
        }
        None
    }

    /// A list of texts, each with its place.
    pub(super) fn texts(self, problems: &mut FileProblems) -> Option<Vec<(&'n str, Place)>> {
        no_tag(self.node, problems);
        let Content::List(items) = &self.node.content else {
            self.expected("a list", problems);
            return None;
        };
        let item = |node: &'n Node| Some((Field { name: self.name, node }.text(problems)?, node.place));
        Some(items.iter().filter_map(item).collect())
    }

    /// A mapping of names to texts, each name with its place.
    pub(super) fn text_map(self, problems: &mut FileProblems) -> Option<BTreeMap<&'n str, (&'n str, Place)>> {
        no_tag(self.node, problems);
        let Content::Mapping(entries) = &self.node.content else {
            self.expected("a mapping of names to texts", problems);
            return None;
        };
        let entry = |(key, node): &'n (Rc<str>, Node)| {
            let text = Field { name: self.name, node }.text(problems)?;
            Some((&**key, (text, node.place)))
        };
        Some(entries.iter().filter_map(entry).collect())
    }
}

/// Our tags say something about a key's value and mean nothing here.
pub(super) fn no_tag(node: &Node, problems: &mut FileProblems) {
    if let Some(tag) = node.tag {
        problems.report(node.place, format!("the tag {} stands only before values below kv/", tag.word()));
    }
}
