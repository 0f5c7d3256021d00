//! Bytes of one YAML file become a tree of texts, each with its place: the one reader of every file of the format.
//!
//! It works on the parser's events because nothing above them keeps a scalar's source text (`1.10`, `on`, `0755`) and the
//! place of every key. It goes on after a problem where YAML itself goes on, so that all are reported at once. Files are
//! hostile until read: size, depth, number of nodes and what aliases expand to are bounded before memory is spent.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::{FileProblems, Place, quoted};

/// The largest file in bytes.
pub(super) const LARGEST_FILE: usize = 10 * 1024 * 1024;
/// How deep lists and mappings may lie in each other.
pub(super) const DEEPEST: u32 = 64;
/// How many scalars, lists and mappings one file may hold, what its aliases repeat included.
pub(super) const MOST_NODES: usize = 500_000;

/// One value of a YAML file.
#[derive(Debug, Clone)]
pub(in crate::domain) struct Node {
    /// Where it begins; of a value in a mapping, where its key begins.
    pub(in crate::domain) place: Place,
    /// Our own tag on it.
    pub(in crate::domain) tag: Option<Tag>,
    /// What it holds.
    pub(in crate::domain) content: Content,
}

/// What a value holds. Shared, so that an alias costs nothing.
#[derive(Debug, Clone)]
pub(in crate::domain) enum Content {
    /// Nothing was written: `key:` and no more.
    Nothing,
    /// A text after unquoting, and whether it stood without quotes on lines of its key.
    Scalar {
        /// The text.
        text: Rc<str>,
        /// Written without quotes and not as a block.
        plain: bool,
    },
    /// A list.
    List(Rc<[Node]>),
    /// A mapping, in the order of the file.
    Mapping(Rc<[(Rc<str>, Node)]>),
}

impl Content {
    /// What people call it.
    pub(in crate::domain) const fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Scalar { .. } => "a text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// The tags of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) enum Tag {
    /// Takes back what an earlier layer says.
    Absent,
    /// Released instead of deleted.
    Keep,
    /// Hidden in every output.
    Sensitive,
}

impl Tag {
    /// As it is written.
    pub(in crate::domain) const fn word(self) -> &'static str {
        match self {
            Self::Absent => "!absent",
            Self::Keep => "!keep",
            Self::Sensitive => "!sensitive",
        }
    }
}

/// Reads a file's only document; `None` when it is no YAML or there is nothing in it, and then a problem says so.
/// A tree that is returned beside problems lacks what they are about.
pub(in crate::domain) fn read(bytes: &[u8], problems: &mut FileProblems) -> Option<Node> {
    let text = text_of(bytes, problems)?;
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let place = place_at(error.marker().line(), error.marker().col());
                syntax(problems, text, place, error.info());
                return None;
            }
        };
        if let Err(Stop) = builder.take(event, span, problems) {
            return None;
        }
    }
    if builder.root.is_none() {
        problems.report_with_hint(Place::default(), "is empty", "write at least one field, or delete the file");
    }
    builder.root
}

/// The file as text: UTF-8 without the mark that some editors put before it, and without characters that no text has.
fn text_of<'a>(bytes: &'a [u8], problems: &mut FileProblems) -> Option<&'a str> {
    if bytes.len() > LARGEST_FILE {
        let message = format!("is {} bytes; a YAML file may have {LARGEST_FILE}", bytes.len());
        problems.report_with_hint(Place::default(), message, "split it: the file's path is part of its keys");
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let message = "is not UTF-8 text from here on";
            problems.report_with_hint(
                end_of(&before),
                message,
                "save it as UTF-8, or put the file below files/, where any bytes go",
            );
            return None;
        }
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let strange = |c: char| (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || c == '\u{FEFF}';
    if let Some((at, c)) = text.char_indices().find(|(_, c)| strange(*c)) {
        let message = format!("holds the character U+{:04X}, which YAML does not allow", u32::from(c));
        problems.report_with_hint(end_of(&text[..at]), message, "write it as an escape in double quotes, such as \"\\0\"");
        return None;
    }
    Some(text)
}

/// The place just after a text.
fn end_of(before: &str) -> Place {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    place_at(line, column)
}

/// From the parser's numbers: lines from 1, columns from 0.
fn place_at(line: usize, column: usize) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(line), column: number(column.saturating_add(1)) }
}

fn syntax(problems: &mut FileProblems, text: &str, place: Place, info: &str) {
    // The parser's own limit, which lies above ours but is met first where it reads ahead.
    if info.contains("recursion limit") {
        let (message, hint) = too_deep();
        return problems.report_with_hint(place, message, hint);
    }
    let tab = tab_in_indentation(text, place);
    let place = tab.unwrap_or(place);
    let line = text.lines().nth((place.line as usize).saturating_sub(1)).unwrap_or_default();
    let hint = if tab.is_some() || info.contains("tab") {
        "YAML indents with spaces, not with tabs"
    } else if line.contains("${") {
        "a text with ${…} inside [ ] or { } needs quotes"
    } else if info.contains("unknown anchor") {
        "an anchor (&name) must stand earlier in the same file"
    } else if info.contains("mapping values are not allowed") {
        "a text that contains ': ' needs quotes; else look at the indentation"
    } else {
        "look at the indentation and the quotes of this line and the one before"
    };
    problems.report_with_hint(place, format!("is not valid YAML: {info}"), hint);
}

/// The tab that indents the line of a syntax error or the one after it: the parser may stop where the value before it begins.
fn tab_in_indentation(text: &str, error: Place) -> Option<Place> {
    let lines = text.lines().enumerate().skip((error.line as usize).saturating_sub(1)).take(2);
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let mut tabs = lines.filter(|(_, line)| line[spaces(line)..].starts_with('\t'));
    tabs.next().map(|(at, line)| place_at(at + 1, spaces(line)))
}

fn too_deep() -> (String, &'static str) {
    (format!("is nested deeper than {DEEPEST} levels"), "flatten it: a key may contain '/'")
}

/// Reading ends here: a limit was reached, and a problem says which.
struct Stop;

/// How large a node is when every alias in it is written out.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
    height: u32,
}

/// A list or mapping whose end has not been read.
struct Open {
    place: Place,
    tag: Option<Tag>,
    anchor: usize,
    weight: Weight,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Mapping { entries: Vec<(Rc<str>, Node)>, seen: BTreeMap<Rc<str>, Place>, key: Awaited },
}

/// What a mapping waits for.
enum Awaited {
    Key,
    Value(Rc<str>, Place),
    /// The value of a key that is a problem.
    Nothing,
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    documents: usize,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, Weight)>,
    total: Weight,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span, problems: &mut FileProblems) -> Result<(), Stop> {
        let place = place_at(span.start.line(), span.start.col());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    problems.report_with_hint(place, "a second document begins", "one file is one document: remove the '---'");
                    return Err(Stop);
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let weight = Weight { nodes: 1, bytes: text.len(), height: 0 };
                let content = if plain && text.is_empty() {
                    Content::Nothing
                } else {
                    Content::Scalar { text: text.as_ref().into(), plain }
                };
                let tag = tag.and_then(|tag| our_tag(&tag, place, problems));
                self.count(weight, place, problems)?;
                self.complete(Node { place, tag, content }, weight, anchor, problems);
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, place, problems),
            Event::SequenceStart(anchor, tag) => {
                let tag = tag.and_then(|tag| our_tag(&tag, place, problems));
                self.start(Open { place, tag, anchor, weight: Weight::default(), kind: OpenKind::List(Vec::new()) }, problems)
            }
            Event::MappingStart(anchor, tag) => {
                let tag = tag.and_then(|tag| our_tag(&tag, place, problems));
                let kind = OpenKind::Mapping { entries: Vec::new(), seen: BTreeMap::new(), key: Awaited::Key };
                self.start(Open { place, tag, anchor, weight: Weight::default(), kind }, problems)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { place, tag, anchor, mut weight, kind }) = self.open.pop() {
                    let content = match kind {
                        OpenKind::List(items) => Content::List(items.into()),
                        OpenKind::Mapping { entries, .. } => Content::Mapping(entries.into()),
                    };
                    weight.nodes += 1;
                    weight.height += 1;
                    self.complete(Node { place, tag, content }, weight, anchor, problems);
                }
                Ok(())
            }
        }
    }

    fn start(&mut self, open: Open, problems: &mut FileProblems) -> Result<(), Stop> {
        self.count(Weight { nodes: 1, bytes: 0, height: 1 }, open.place, problems)?;
        self.open.push(open);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place, problems: &mut FileProblems) -> Result<(), Stop> {
        let Some((node, weight)) = self.anchors.get(&anchor).cloned() else {
            problems.report(place, "an alias stands inside the value that it repeats");
            return Err(Stop);
        };
        self.count(weight, place, problems)?;
        self.complete(Node { place, ..node }, weight, 0, problems);
        Ok(())
    }

    /// Adds to the file's totals before memory is spent on it.
    fn count(&mut self, weight: Weight, place: Place, problems: &mut FileProblems) -> Result<(), Stop> {
        self.total.nodes = self.total.nodes.saturating_add(weight.nodes);
        self.total.bytes = self.total.bytes.saturating_add(weight.bytes);
        let depth = u32::try_from(self.open.len()).unwrap_or(u32::MAX).saturating_add(weight.height);
        let (message, hint) = if depth > DEEPEST {
            too_deep()
        } else if self.total.nodes > MOST_NODES {
            (
                format!("holds more than {MOST_NODES} values, aliases written out"),
                "split the file, and repeat less with aliases",
            )
        } else if self.total.bytes > LARGEST_FILE {
            (
                format!("holds more than {LARGEST_FILE} bytes of text, aliases written out"),
                "split the file, and repeat less with aliases",
            )
        } else {
            return Ok(());
        };
        problems.report_with_hint(place, message, hint);
        Err(Stop)
    }

    /// Puts a node that is read to its end where it belongs.
    fn complete(&mut self, node: Node, weight: Weight, anchor: usize, problems: &mut FileProblems) {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.weight.nodes += weight.nodes;
        open.weight.bytes += weight.bytes;
        open.weight.height = open.weight.height.max(weight.height);
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Mapping { entries, seen, key } => match std::mem::replace(key, Awaited::Key) {
                Awaited::Key => *key = awaited(node, seen, problems),
                Awaited::Value(name, place) => entries.push((name, Node { place, ..node })),
                Awaited::Nothing => {}
            },
        }
    }
}

/// Checks a key; its value is dropped when it is a problem.
fn awaited(node: Node, seen: &mut BTreeMap<Rc<str>, Place>, problems: &mut FileProblems) -> Awaited {
    let Node { place, tag, content } = node;
    let Content::Scalar { text, plain } = content else {
        problems.report_with_hint(
            place,
            format!("a key is {}", content.word()),
            "a key is one text; quote it if it must look like this",
        );
        return Awaited::Nothing;
    };
    if tag.is_some() {
        problems.report_with_hint(place, format!("the key {} has a tag", quoted(&text)), "tags stand before the value");
        return Awaited::Nothing;
    }
    if plain && &*text == "<<" {
        let hint = "write the keys out, or use a layer: what several places share belongs in one";
        problems.report_with_hint(place, "merge keys (<<) are not part of the format", hint);
        return Awaited::Nothing;
    }
    if let Some(first) = seen.get(&text) {
        let message = format!("the key {} stands here and on line {} of the same mapping", quoted(&text), first.line);
        problems.report_with_hint(place, message, "remove one of the two");
        return Awaited::Nothing;
    }
    seen.insert(Rc::clone(&text), place);
    Awaited::Value(text, place)
}

fn our_tag(tag: &saphyr_parser::Tag, place: Place, problems: &mut FileProblems) -> Option<Tag> {
    let local = tag.handle == "!";
    let found = match tag.suffix.as_str() {
        "absent" if local => Some(Tag::Absent),
        "keep" if local => Some(Tag::Keep),
        "sensitive" if local => Some(Tag::Sensitive),
        _ => None,
    };
    if found.is_none() {
        let word = quoted(&if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        });
        if local && matches!(tag.suffix.as_str(), "vault" | "plain") {
            problems.report(place, format!("the tag {word} is not supported by this version of lockstep yet"));
        } else {
            let hint = "the tags are !absent, !keep and !sensitive; values are text as written and need none for their type";
            problems.report_with_hint(place, format!("unknown tag {word}"), hint);
        }
    }
    found
}
