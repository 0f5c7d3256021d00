//! Documents as the other tools read them: JSON, and YAML with types, every number beside the text that somebody wrote.

use std::fmt::Write as _;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::domain::desired::{Affected, Content, FileProblems, Place, Problem, YamlNode, yaml_document};

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A date: both tools lose it.
    Date(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    /// As it was written.
    pub(super) source: String,
    /// As it is read.
    pub(super) value: f64,
    /// YAML takes it for a whole number.
    pub(super) is_whole: bool,
}

/// Reads JSON; the problem has line and column.
pub(super) fn json(file: &str, text: &str) -> Result<Tree, Problem> {
    let wrong = |error: &serde_json::Error| {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let place = Place { line: number(error.line()), column: number(error.column()) };
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        problem(file, place, format!("is not valid JSON: {message}"))
    };
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| wrong(&error))?;
    let value: Value = serde_json::from_str(&with_numbers_as_texts(text)).map_err(|error| wrong(&error))?;
    Ok(of_json(value))
}

/// One problem of a document.
pub(super) fn problem(file: &str, place: Place, message: String) -> Problem {
    let mut problems = FileProblems::of(file);
    problems.report(place, message);
    problems.finish(&Affected::nobody()).remove(0)
}

/// Where a problem is, as people write a place.
pub(super) fn place(problem: &Problem) -> String {
    let Problem { file, line, column, .. } = problem;
    format!("{file}:{line}:{column}")
}

/// Why a document was not read, for whoever knows its place.
pub(super) fn unread(problem: &Problem) -> String {
    format!("it can't be expanded: {}", problem.message)
}

/// No text of a file begins so.
const NUMBER: &str = "\\u0000#";

/// The same document with each number as a text: a reader that makes numbers of them loses what was written.
fn with_numbers_as_texts(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let (mut in_text, mut escaped, mut in_number) = (false, false, false);
    for c in text.chars() {
        let is_numeric =
            !in_text && (c.is_ascii_digit() || matches!(c, '-') || in_number && matches!(c, '+' | '.' | 'e' | 'E'));
        if is_numeric != in_number {
            out.push_str(if is_numeric { "\"" } else { "" });
            out.push_str(if is_numeric { NUMBER } else { "\"" });
            in_number = is_numeric;
        }
        match c {
            '"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && c == '\\' && !escaped;
        out.push(c);
    }
    if in_number {
        out.push('"');
    }
    out
}

fn of_json(value: Value) -> Tree {
    match value {
        Value::Null => Tree::Null,
        Value::Bool(bool) => Tree::Bool(bool),
        Value::Number(number) => Tree::Text(number.to_string()),
        Value::String(text) => match text.strip_prefix("\0#").and_then(|source| Some((source, source.parse().ok()?))) {
            Some((source, value)) => Tree::Number(Number { source: source.to_owned(), value, is_whole: false }),
            None => Tree::Text(text),
        },
        Value::Array(items) => Tree::List(items.into_iter().map(of_json).collect()),
        Value::Object(entries) => Tree::Map(entries.into_iter().map(|(name, value)| (name, of_json(value))).collect()),
    }
}

/// Why a YAML document has no tree.
#[derive(Debug)]
pub(super) enum NoYaml {
    /// It is no YAML for anybody.
    Broken(Problem),
    /// It may be for others: tags, merge keys and several documents are not read here.
    Unread(Problem),
    /// There is nothing in it.
    Empty,
}

/// Reads YAML; `resolve` says what a word without quotes is.
pub(super) fn yaml(file: &str, text: &str, resolve: fn(&str) -> Tree) -> Result<Tree, NoYaml> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Err(NoYaml::Empty);
    }
    let mut problems = FileProblems::of(file);
    let root = yaml_document(text.as_bytes(), &mut problems);
    let first = problems.finish(&Affected::nobody()).into_iter().next();
    match (root, first) {
        (Some(root), None) => Ok(of_yaml(&root, resolve)),
        (None, Some(problem)) if problem.message.starts_with("is not valid YAML") => Err(NoYaml::Broken(problem)),
        (_, Some(problem)) => Err(NoYaml::Unread(problem)),
        (None, None) => Err(NoYaml::Empty),
    }
}

fn of_yaml(node: &YamlNode, resolve: fn(&str) -> Tree) -> Tree {
    match &node.content {
        Content::Nothing => Tree::Null,
        Content::Scalar { text, plain: true } => resolve(text),
        Content::Scalar { text, plain: false } => Tree::Text(text.to_string()),
        Content::List(items) => Tree::List(items.iter().map(|item| of_yaml(item, resolve)).collect()),
        Content::Mapping(entries) => {
            Tree::Map(entries.iter().map(|(name, value)| (name.to_string(), of_yaml(value, resolve))).collect())
        }
    }
}

/// Compact JSON, numbers as they were written where JSON has such numbers.
pub(super) fn to_json(tree: &Tree) -> String {
    let mut out = String::new();
    write_json(tree, &mut out);
    out
}

fn write_json(tree: &Tree, out: &mut String) {
    match tree {
        Tree::Null => out.push_str("null"),
        Tree::Bool(bool) => drop(write!(out, "{bool}")),
        Tree::Number(Number { source, .. }) if serde_json::from_str::<f64>(source).is_ok() => out.push_str(source),
        Tree::Number(Number { source: text, .. }) | Tree::Text(text) | Tree::Date(text) => {
            out.push_str(&Value::from(text.as_str()).to_string());
        }
        Tree::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_json(item, out);
            }
            out.push(']');
        }
        Tree::Map(entries) => {
            out.push('{');
            for (at, (name, value)) in entries.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Tree {
        Tree::Text(text.to_owned())
    }

    #[test]
    fn json_keeps_its_numbers_as_written() {
        let text = r#"{"a": [1.10, -2e+5, 0], "n": null, "t": "1 \" 2, 3", "x-1": 12345678901234567890, "b": true, "e": "\\"}"#;
        let tree = json("f", text).unwrap();
        assert_eq!(
            to_json(&tree),
            r#"{"a":[1.10,-2e+5,0],"b":true,"e":"\\","n":null,"t":"1 \" 2, 3","x-1":12345678901234567890}"#
        );
        assert_eq!(to_json(&json("f", "7").unwrap()), "7");
    }

    #[test]
    fn json_that_is_none_has_its_place() {
        let problem = json("a/b.json", "{\n  \"a\": 01\n}").unwrap_err();
        assert!(problem.to_string().starts_with("a/b.json:2:"), "{problem}");
        assert!(!problem.to_string().contains("at line"), "{problem}");
    }

    #[test]
    fn yaml_is_read_with_the_types_of_its_reader() {
        let tree = yaml("f", "a: 1\nb: '1'\nc:\n  - x\nd:\n", |text| Tree::Text(format!("<{text}>"))).unwrap();
        assert_eq!(to_json(&tree), r#"{"a":"<1>","b":"1","c":["<x>"],"d":null}"#);
        assert!(matches!(yaml("f", "# only\n\n", word), Err(NoYaml::Empty)));
        assert!(matches!(yaml("f", "a: [", word), Err(NoYaml::Broken(_))));
        assert!(matches!(yaml("f", "a: !!binary x", word), Err(NoYaml::Unread(_))));
    }
}
