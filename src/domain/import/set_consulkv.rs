//! The layout of Calvinverse's `Set-ConsulKV.ps1`: YAML files that list keys, each with a value or with the name of a file.

use super::legacy::Legacy;
use super::numbers::as_javascript;
use super::tree::{self, NoYaml, Number, Tree};
use super::words::float;
use crate::domain::desired::{FileTree, Node, Place, Problem};

/// How the script is run.
#[derive(Debug, Clone)]
pub struct SetConsulKv {
    /// The directory in the repository in which the script lies; empty for the top.
    pub directory: String,
    /// What ends a line where the script runs: it writes a file's lines anew.
    pub newline: &'static str,
}

/// The keys that the script writes from a revision's files.
///
/// # Errors
/// A file on which the script itself stops, with its place.
pub fn set_consulkv(files: &FileTree, script: &SetConsulKv) -> Result<Legacy, Vec<Problem>> {
    let directory = script.directory.trim_matches('/');
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let mut reading = Reading { files, script, legacy: Legacy::default(), problems: Vec::new() };
    for (path, node) in &files.nodes {
        if path.starts_with(&prefix) && path.strip_suffix(".yaml").is_some() {
            reading.file(path, node);
        }
    }
    if reading.problems.is_empty() { Ok(reading.legacy) } else { Err(reading.problems) }
}

struct Reading<'a> {
    files: &'a FileTree,
    script: &'a SetConsulKv,
    legacy: Legacy,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn file(&mut self, path: &str, node: &Node) {
        let text = match node {
            Node::File(bytes) => std::str::from_utf8(bytes).ok(),
            Node::TooLarge { .. } | Node::Symlink | Node::Submodule | Node::BadName => None,
        };
        let Some(text) = text else { return self.refuse(path, "is no file of UTF-8 text") };
        let tree = match tree::yaml(path, text, powershell) {
            Ok(tree) => tree,
            Err(NoYaml::Empty) => return,
            Err(NoYaml::Broken(problem) | NoYaml::Unread(problem)) => return self.problems.push(problem),
        };
        let Tree::Map(entries) = tree else { return self.refuse(path, "is no mapping with `config`") };
        // The script looks at nothing else in the file.
        match entries.into_iter().find(|(name, _)| name == "config") {
            Some((_, Tree::List(items))) => {
                for (at, item) in items.into_iter().enumerate() {
                    self.item(path, at + 1, item);
                }
            }
            Some((_, Tree::Null)) | None => {}
            Some(_) => self.refuse(path, "has a `config` that is no list"),
        }
    }

    fn refuse(&mut self, path: &str, what: &str) {
        self.problems.push(tree::problem(path, Place::default(), what.to_owned()));
    }

    fn item(&mut self, path: &str, number: usize, item: Tree) {
        let Tree::Map(fields) = item else { return self.refuse(path, &format!("entry {number} of `config` is no mapping")) };
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let Some(Tree::Text(key)) = field("key") else {
            return self.refuse(path, &format!("entry {number} of `config` has no `key` that is a text"));
        };
        let key = key.clone();
        match (field("file"), field("value")) {
            (Some(Tree::Text(name)), _) => self.lines_of(path, key, name),
            (Some(_), _) => self.refuse(path, &format!("the `file` of {key:?} is no text")),
            (None, Some(Tree::Text(text) | Tree::Date(text))) => self.legacy.take(key, path, text.as_bytes()),
            (None, Some(Tree::Bool(bool))) => {
                let text = if *bool { "True" } else { "False" };
                self.legacy.convert(key, path, text.as_bytes(), "a truth value as .NET prints it");
            }
            (None, Some(Tree::Number(number))) => self.legacy.number(key, path, number, as_dotnet(number)),
            (None, Some(Tree::List(_) | Tree::Map(_))) => {
                let advice = "the script writes the name of a .NET type; say in the new repository what is meant";
                self.legacy.leave(key, path, "its value is a list or a mapping", advice);
            }
            (None, Some(Tree::Null) | None) => self.refuse(path, &format!("{key:?} has no value: the script stops there")),
        }
    }

    /// The file's lines, each with an end of line.
    fn lines_of(&mut self, path: &str, key: String, name: &str) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut segments: Vec<&str> = folder.split('/').filter(|segment| !segment.is_empty()).collect();
        for segment in name.split(['/', '\\']) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        let place = segments.join("/");
        match self.files.nodes.get(&place) {
            Some(Node::File(bytes)) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    let lines = text.strip_prefix('\u{FEFF}').unwrap_or(text).lines();
                    let value: String = lines.flat_map(|line| [line, self.script.newline]).collect();
                    self.legacy.take(key, &place, value.into_bytes());
                } else {
                    let why = "the script writes other bytes where they are no UTF-8";
                    self.legacy.repair(key, &place, bytes.clone(), why);
                }
            }
            _ => self.refuse(path, &format!("the file {name:?} of {key:?} is not there")),
        }
    }
}

/// What a word without quotes is to powershell-yaml.
fn powershell(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        _ if text.eq_ignore_ascii_case("true") => Tree::Bool(true),
        _ if text.eq_ignore_ascii_case("false") => Tree::Bool(false),
        _ if text.contains('_') || text.trim_start_matches(['-', '+']).to_ascii_lowercase().starts_with(['i', 'n']) => {
            Tree::Text(text.to_owned())
        }
        _ => match float(text) {
            Some(value) if value.is_finite() => Tree::Number(Number { source: text.to_owned(), value, is_whole: false }),
            _ => Tree::Text(text.to_owned()),
        },
    }
}

/// As .NET prints a number: a whole one exactly, another in its shortest form.
fn as_dotnet(number: &Number) -> String {
    match number.source.parse::<i64>() {
        Ok(whole) => whole.to_string(),
        Err(_) => as_javascript(number.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)], newline: &'static str) -> Result<Legacy, Vec<Problem>> {
        let tree = FileTree::of_files(files.iter().copied());
        set_consulkv(&tree, &SetConsulKv { directory: "config/kv".to_owned(), newline })
    }

    #[test]
    fn listed_keys_have_their_values_and_files_their_lines() {
        let yaml = "\
config:
  - key: config/a
    value: text
  - key: config/port
    value: 0080
  - {key: config/on, value: true}
  - {key: config/quoted, value: 'true'}
  - key: config/rules
    file: rules.txt
";
        let files = [
            ("config/kv/config/services.yaml", yaml),
            ("config/kv/config/rules.txt", "one\ntwo"),
            ("config/kv/Set-ConsulKV.ps1", "no key"),
            ("elsewhere/x.yaml", "config: [{key: x, value: y}]"),
        ];
        let legacy = read(&files, "\r\n").unwrap();
        let keys: Vec<(&str, &str)> =
            legacy.keys.iter().map(|(key, value)| (key.as_str(), std::str::from_utf8(value).unwrap())).collect();
        let expected = [
            ("config/a", "text"),
            ("config/on", "True"),
            ("config/port", "80"),
            ("config/quoted", "true"),
            ("config/rules", "one\r\ntwo\r\n"),
        ];
        assert_eq!(keys, expected);
        assert_eq!(legacy.converted.len(), 2);
    }

    #[test]
    fn where_the_script_stops_there_is_a_problem() {
        for (yaml, expected) in [
            ("config: [{key: a}]", "has no value"),
            ("config: [{value: a}]", "has no `key`"),
            ("config: {a: b}", "is no list"),
            ("config: [{key: a, file: gone.txt}]", "is not there"),
            ("config: [", "is not valid YAML"),
        ] {
            let problem = read(&[("config/kv/a.yaml", yaml)], "\n").unwrap_err().remove(0).to_string();
            assert!(problem.starts_with("config/kv/a.yaml") && problem.contains(expected), "{problem}");
        }
    }
}
