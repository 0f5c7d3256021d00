//! What is wrong in a config repository: where, what, what to do about it, and whom it stops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::name::EnvironmentName;

/// Something wrong in the config repository, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file's path in the repository, control characters escaped.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the line as a whole is meant.
    pub column: u32,
    /// What is wrong. Never a value of a key: it may be sensitive.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whom it stops.
    pub environments: Affected,
}

/// The environments that can't be used because of a problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affected {
    /// Every environment: the revision as a whole is invalid.
    All,
    /// These. None at all when no environment uses the file: worth putting right, but nothing waits for it.
    Only(BTreeSet<EnvironmentName>),
}

impl Affected {
    /// Nobody.
    #[must_use]
    pub const fn nobody() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// One environment.
    #[must_use]
    pub fn one(name: &EnvironmentName) -> Self {
        Self::Only([name.clone()].into())
    }

    /// Whether the environment is among them.
    #[must_use]
    pub fn contains(&self, name: &EnvironmentName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Only(names), Self::Only(more)) => names.extend(more),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// A place in a file; the default is the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::domain) struct Place {
    pub(in crate::domain) line: u32,
    pub(in crate::domain) column: u32,
}

/// So many problems of one file are told; whoever has more than that has one problem, many times.
const PER_FILE: usize = 50;

/// The problems of one file, as they are found.
#[derive(Debug)]
pub(in crate::domain) struct FileProblems {
    file: Arc<str>,
    found: Vec<Problem>,
    untold: usize,
}

impl FileProblems {
    pub(in crate::domain) fn of(file: &str) -> Self {
        Self { file: file.into(), found: Vec::new(), untold: 0 }
    }

    /// The file's path.
    pub(in crate::domain) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// How many were found so far.
    pub(in crate::domain) fn count(&self) -> usize {
        self.found.len() + self.untold
    }

    /// Adds a problem that explains itself.
    pub(in crate::domain) fn report(&mut self, place: Place, message: impl Into<String>) {
        self.add(place, message.into(), None);
    }

    /// Adds a problem and what to do about it.
    pub(in crate::domain) fn report_with_hint(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.add(place, message.into(), Some(hint.into()));
    }

    fn add(&mut self, place: Place, message: String, hint: Option<String>) {
        if self.found.len() == PER_FILE {
            self.untold += 1;
            return;
        }
        let Place { line, column } = place;
        let file = printable(&self.file);
        self.found.push(Problem { file, line, column, message, hint, environments: Affected::nobody() });
    }

    /// All of them, for these environments.
    pub(in crate::domain) fn finish(self, environments: &Affected) -> Vec<Problem> {
        let mut found = self.found;
        if self.untold > 0 {
            let (file, message) =
                (printable(&self.file), format!("{} further problems in this file are not shown", self.untold));
            found.push(Problem { file, line: 0, column: 0, message, hint: None, environments: Affected::nobody() });
        }
        for problem in &mut found {
            problem.environments = environments.clone();
        }
        found
    }
}

/// One problem of a file as a whole.
pub(super) fn whole_file(file: &str, message: impl Into<String>, hint: Option<&str>, environments: Affected) -> Problem {
    let (file, message) = (printable(file), message.into());
    Problem { file, line: 0, column: 0, message, hint: hint.map(str::to_owned), environments }
}

/// Puts problems in order and tells one that stops several environments once.
pub(super) fn joined(problems: Vec<Problem>) -> Vec<Problem> {
    type Same = (String, u32, u32, String);
    let mut by_place: BTreeMap<Same, (Option<String>, Affected)> = BTreeMap::new();
    for Problem { file, line, column, message, hint, environments } in problems {
        by_place
            .entry((file, line, column, message))
            .and_modify(|(_, affected)| affected.join(environments.clone()))
            .or_insert((hint, environments));
    }
    by_place
        .into_iter()
        .map(|((file, line, column, message), (hint, environments))| Problem {
            file,
            line,
            column,
            message,
            hint,
            environments,
        })
        .collect()
}

/// A text from the repository as a message shows it: quoted, short, and unable to move a terminal's cursor.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A path as a message shows it; an ordinary one is unchanged.
pub(super) fn printable(path: &str) -> String {
    let plain =
        |c: char| !c.is_control() && !matches!(c, '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    path.chars().map(|c| if plain(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// "did you mean …?" for the candidate nearest to a word, if one is near.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| format!("did you mean {candidate:?}?"))
}

/// How many letters must be added, dropped or replaced to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        let fields = ["layers", "variables", "rollout"];
        assert_eq!(did_you_mean("layer", fields).as_deref(), Some(r#"did you mean "layers"?"#));
        assert_eq!(did_you_mean("varaibles", fields).as_deref(), Some(r#"did you mean "variables"?"#));
        assert_eq!(did_you_mean("promotion", fields), None);
        assert_eq!(did_you_mean(&"l".repeat(1 << 20), fields), None);
    }

    #[test]
    fn nothing_from_the_repository_moves_the_cursor() {
        assert_eq!(printable("base/kv/a.yaml"), "base/kv/a.yaml");
        assert_eq!(printable("a\u{1b}[2J\nb\u{202e}"), "a\\u{1b}[2J\\u{a}b\\u{202e}");
        assert_eq!(quoted("a\n\u{1b}"), r#""a\n\u{1b}""#);
        assert!(quoted(&"x".repeat(1 << 20)).len() < 100);
    }

    #[test]
    fn a_problem_of_several_environments_is_told_once() {
        let name = |text: &str| EnvironmentName::parse(text).unwrap();
        let problem = |env: &str| whole_file("base/kv/a.yaml", "is broken", None, Affected::one(&name(env)));
        let joined = joined(vec![problem("test"), problem("production"), problem("test")]);
        assert_eq!(joined.len(), 1);
        assert_eq!(joined[0].environments, Affected::Only([name("production"), name("test")].into()));
    }
}
