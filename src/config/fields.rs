//! Takes fields out of mappings one by one and collects everything that is wrong on the way, with its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_saphyr::Location;

use super::Credential;
use super::raw::{Item, Node};
use crate::domain::desired::{Affected, Problem, parse_duration};

/// Everything found wrong in one file so far.
#[derive(Debug)]
pub(super) struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.display().to_string(), found: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Location, message: impl Into<String>, hint: impl Into<String>) {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let hint = hint.into();
        self.found.push(Problem {
            file: self.file.clone(),
            line: number(at.line()),
            column: number(at.column()),
            message: message.into(),
            hint: (!hint.is_empty()).then_some(hint),
            environments: Affected::All,
        });
    }

    /// All of them in the order of the file.
    pub(super) fn sorted(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found
    }
}

/// A value with its place and its name in the file, for messages about it.
#[derive(Debug, Clone)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) at: Location,
    /// `environments.test.consul.address`.
    pub(super) name: String,
}

/// One mapping whose fields are being taken.
#[derive(Debug)]
pub(super) struct Fields {
    /// Its own name, empty for the whole file.
    pub(super) name: String,
    /// Where it begins.
    pub(super) at: Location,
    left: Vec<(serde_saphyr::Spanned<String>, Item)>,
    asked: Vec<&'static str>,
}

impl Fields {
    /// The fields of a mapping; anything else is a problem. Nothing at all is an empty mapping.
    pub(super) fn of(name: &str, item: Item, problems: &mut Problems) -> Option<Self> {
        let at = item.referenced;
        let left = match item.value {
            Node::Mapping(entries) => entries,
            Node::Nothing => Vec::new(),
            other @ (Node::Text(_) | Node::Fraction | Node::List(_)) => {
                let what = if name.is_empty() { "the file" } else { name };
                problems.add(at, format!("{what} must be a mapping, not {}", other.word()), "");
                return None;
            }
        };
        Some(Self { name: name.to_owned(), at, left, asked: Vec::new() })
    }

    /// Whether no field is left.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Whether a field is left, with something behind it.
    pub(super) fn has(&self, field: &str) -> bool {
        self.left.iter().any(|(key, item)| key.value == field && !matches!(item.value, Node::Nothing))
    }

    /// The full name of a field.
    pub(super) fn name_of(&self, field: &str) -> String {
        if self.name.is_empty() { field.to_owned() } else { format!("{}.{field}", self.name) }
    }

    /// Takes a field as it stands; `field:` with nothing behind it counts as absent.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Given<Item>> {
        self.asked.push(field);
        let index = self.left.iter().position(|(key, _)| key.value == field)?;
        let (_, item) = self.left.swap_remove(index);
        (!matches!(item.value, Node::Nothing)).then(|| Given { at: item.referenced, name: self.name_of(field), value: item })
    }

    /// Takes a mapping inside this one.
    pub(super) fn section(&mut self, field: &'static str, problems: &mut Problems) -> Option<Fields> {
        let given = self.take(field)?;
        Self::of(&given.name, given.value, problems)
    }

    /// Takes every entry that is left: a mapping whose keys the person chose.
    pub(super) fn entries(&mut self) -> Vec<(Given<String>, Item)> {
        let name = |key: &str| if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        std::mem::take(&mut self.left)
            .into_iter()
            .map(|(key, item)| (Given { name: name(&key.value), at: key.referenced, value: key.value }, item))
            .collect()
    }

    /// Takes a text.
    pub(super) fn text(&mut self, field: &'static str, problems: &mut Problems) -> Option<Given<String>> {
        let given = self.take(field)?;
        text_of(given, problems)
    }

    /// Takes a text that must be there.
    pub(super) fn required(&mut self, field: &'static str, hint: &str, problems: &mut Problems) -> Option<Given<String>> {
        if self.has(field) {
            return self.text(field, problems);
        }
        self.take(field);
        problems.add(self.at, format!("{} is missing", self.name_of(field)), hint);
        None
    }

    /// Takes a text and reads it; an error and its hint are a problem at the text's place.
    pub(super) fn parsed<T>(
        &mut self,
        field: &'static str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, (String, String)>,
    ) -> Option<Given<T>> {
        let given = self.text(field, problems)?;
        read_with(given, problems, parse)
    }

    /// Takes a duration within these limits, or gives the default.
    pub(super) fn duration(
        &mut self,
        field: &'static str,
        default: Duration,
        (least, most): (Duration, Duration),
        problems: &mut Problems,
    ) -> Duration {
        self.parsed(field, problems, |text| {
            let duration = parse_duration(text).map_err(|error| (error.to_string(), error.hint().to_owned()))?;
            if duration < least || duration > most {
                return Err((format!("{duration:?} is outside {least:?} to {most:?}"), String::new()));
            }
            Ok(duration)
        })
        .map_or(default, |given| given.value)
    }

    /// Takes a path; a relative one is relative to the file's own directory.
    pub(super) fn path(&mut self, field: &'static str, base: &Path, problems: &mut Problems) -> Option<PathBuf> {
        self.parsed(field, problems, |text| path_from(text, base)).map(|given| given.value)
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, field: &'static str, problems: &mut Problems) -> Option<Given<Vec<Given<String>>>> {
        let given = self.take(field)?;
        let Node::List(items) = given.value.value else {
            let message = format!("{} must be a list, not {}", given.name, given.value.value.word());
            problems.add(given.at, message, "write [a, b] or one `- a` a line");
            return None;
        };
        let items = items.into_iter().enumerate().filter_map(|(index, item)| {
            let element = Given { name: format!("{}[{index}]", given.name), at: item.referenced, value: item };
            text_of(element, problems)
        });
        let value = items.collect();
        Some(Given { value, at: given.at, name: given.name })
    }

    /// Takes a credential: `{file: …}` or `{env: …}`. A value that stands in the file itself is refused and not repeated.
    pub(super) fn credential(&mut self, field: &'static str, base: &Path, problems: &mut Problems) -> Option<Credential> {
        let given = self.take(field)?;
        credential_of(given, base, problems)
    }

    /// Takes a list of credentials; one that is none is a problem and its place stays empty. None: there is no field.
    pub(super) fn credentials(
        &mut self,
        field: &'static str,
        base: &Path,
        problems: &mut Problems,
    ) -> Option<Given<Vec<Option<Credential>>>> {
        let given = self.take(field)?;
        let value = if let Node::List(items) = given.value.value {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let element = Given { name: format!("{}[{index}]", given.name), at: item.referenced, value: item };
                credential_of(element, base, problems)
            });
            items.collect()
        } else {
            // What stands there instead may be the value itself, and is not repeated.
            problems.add(given.at, format!("{} must be a list", given.name), "write [{file: PATH}] or [{env: NAME}]");
            vec![None]
        };
        Some(Given { value, at: given.at, name: given.name })
    }

    /// Refuses a field that the design has and this version has not, in words that say so.
    pub(super) fn unsupported(&mut self, field: &'static str, problems: &mut Problems) {
        self.asked.push(field);
        if let Some(index) = self.left.iter().position(|(key, _)| key.value == field) {
            let (key, _) = self.left.swap_remove(index);
            problems.add(key.referenced, format!("{} is not supported by this version", self.name_of(field)), "remove it");
        }
    }

    /// Refuses every field that was not taken.
    pub(super) fn finish(self, problems: &mut Problems) {
        for (key, _) in &self.left {
            let key_text: String = key.value.chars().take(60).flat_map(char::escape_debug).collect();
            let hint = match nearest(&key.value, &self.asked) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            problems.add(key.referenced, format!("unknown field {}", self.name_of(&key_text)), hint);
        }
    }
}

/// Reads a text; an error and its hint are a problem at its place.
pub(super) fn read_with<T>(
    given: Given<String>,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, (String, String)>,
) -> Option<Given<T>> {
    match parse(&given.value) {
        Ok(value) => Some(Given { value, at: given.at, name: given.name }),
        Err((message, hint)) => {
            problems.add(given.at, format!("{}: {message}", given.name), hint);
            None
        }
    }
}

/// One credential.
fn credential_of(given: Given<Item>, base: &Path, problems: &mut Problems) -> Option<Credential> {
    const HINT: &str = "write {file: PATH} or {env: NAME}; a value in this file would end in a backup or a pull request";
    if !matches!(given.value.value, Node::Mapping(_)) {
        problems.add(given.at, format!("{} must not stand in this file", given.name), HINT);
        return None;
    }
    let before = problems.found.len();
    let mut source = Fields::of(&given.name, given.value, problems)?;
    source.unsupported("vault", problems);
    let file = source.path("file", base, problems);
    let env = source.parsed("env", problems, |name| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // The text is not repeated: `{env: hunter2!}` is how a person pastes the value in the name's place.
        if name.is_empty() || name.len() > 128 || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain) {
            return Err(("it is no name of an environment variable".into(), "a name has A-Z, a-z, 0-9 and _ only".into()));
        }
        Ok(name.to_owned())
    });
    source.finish(problems);
    match (file, env) {
        (Some(file), None) => Some(Credential::File(file)),
        (None, Some(env)) => Some(Credential::Env(env.value)),
        (Some(_), Some(_)) => {
            problems.add(given.at, format!("{} names two places", given.name), "write either file or env");
            None
        }
        (None, None) => {
            if problems.found.len() == before {
                problems.add(given.at, format!("{} names no place", given.name), HINT);
            }
            None
        }
    }
}

/// The text of a scalar.
pub(super) fn text_of(given: Given<Item>, problems: &mut Problems) -> Option<Given<String>> {
    match given.value.value {
        Node::Text(value) => Some(Given { value, at: given.at, name: given.name }),
        other @ (Node::Nothing | Node::Fraction | Node::List(_) | Node::Mapping(_)) => {
            let hint = if matches!(other, Node::Fraction) { "put it in quotes" } else { "" };
            problems.add(given.at, format!("{} must be a text, not {}", given.name, other.word()), hint);
            None
        }
    }
}

/// A path as written, from the file's own directory if it is relative.
pub(super) fn path_from(text: &str, base: &Path) -> Result<PathBuf, (String, String)> {
    if text.is_empty() || text.contains('\0') {
        return Err(("it is no path".into(), String::new()));
    }
    if text.starts_with("~/") {
        return Err((format!("{text:?} begins with ~, which only a shell understands"), "write the whole path".into()));
    }
    let path: PathBuf = base.join(text).components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    Ok(path)
}

/// The known word that was probably meant: one that differs by a swapped, missing, added or wrong letter or two.
fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    if text.len() > 40 {
        return None;
    }
    let distances = known.iter().map(|word| (distance(text, word), *word));
    distances.min().filter(|(distance, word)| *distance <= 2 && *distance < word.len()).map(|(_, word)| word)
}

/// Levenshtein's distance; both texts are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
