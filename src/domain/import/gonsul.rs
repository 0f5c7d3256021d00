//! gonsul's layout: each file below the base path is a key named after its path, and JSON or YAML files may be folders of keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::legacy::Legacy;
use super::numbers::as_go;
use super::tree::{self, NoYaml, Number, Tree};
use crate::domain::desired::{FileTree, Node, Place, Problem};

/// gonsul's options, as far as they decide keys and values.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "gonsul's own switches, by their names")]
pub struct Gonsul {
    /// `--repo-base-path`: the directory in the repository; empty or `/` for all of it.
    pub repo_base_path: String,
    /// `--consul-base-path`: what every key begins with.
    pub consul_base_path: String,
    /// `--input-ext`: the extensions of the files that are read.
    pub input_ext: Vec<String>,
    /// `--keep-ext`: extensions are part of the key.
    pub keep_ext: bool,
    /// `--expand-json`.
    pub expand_json: bool,
    /// `--expand-yaml`; only files that end in `.yaml`.
    pub expand_yaml: bool,
    /// Whether `--secrets-file` fills placeholders in: such values are secrets.
    pub has_secrets: bool,
}

const DROPPED: &str = "if it is wanted, say it in the new repository, in a commit of its own";

/// The keys that gonsul writes from a revision's files.
///
/// # Errors
/// A file on which gonsul itself gives up, with line and column.
pub fn gonsul(files: &FileTree, options: &Gonsul) -> Result<Legacy, Vec<Problem>> {
    let mut reading = Reading { options, legacy: Legacy::default(), problems: Vec::new(), other_extensions: 0 };
    let base = options.repo_base_path.trim_matches('/');
    reading.legacy.prefix = match clean(&options.consul_base_path) {
        base if base.is_empty() => base,
        base => format!("{base}/"),
    };
    // gonsul goes through a directory by name, so that `a/` comes before `a.json`; where both say a key, the later one wins.
    let inside: BTreeMap<Vec<&str>, &Node> = files
        .nodes
        .iter()
        .filter_map(|(path, node)| {
            let rest = if base.is_empty() { path } else { path.strip_prefix(base)?.strip_prefix('/')? };
            Some((rest.split('/').collect(), node))
        })
        .collect();
    for (segments, node) in inside {
        let rest = segments.join("/");
        let file = if base.is_empty() { rest.clone() } else { format!("{base}/{rest}") };
        reading.file(&file, &rest, node);
    }
    if reading.other_extensions > 0 {
        let extensions = options.input_ext.join(",");
        reading
            .legacy
            .notes
            .push(format!("files that are not read, by their extension (read: {extensions}): {}", reading.other_extensions));
    }
    if reading.problems.is_empty() { Ok(reading.legacy) } else { Err(reading.problems) }
}

struct Reading<'a> {
    options: &'a Gonsul,
    legacy: Legacy,
    problems: Vec<Problem>,
    other_extensions: usize,
}

impl Reading<'_> {
    fn file(&mut self, file: &str, rest: &str, node: &Node) {
        let extension = extension(rest);
        if !self.options.input_ext.iter().any(|read| read.trim_matches('.') == extension.trim_matches('.')) {
            self.other_extensions += 1;
            return;
        }
        let name = if self.options.keep_ext { rest } else { rest.strip_suffix(extension).unwrap_or(rest) };
        let Node::File(bytes) = node else {
            let why = "it is a symbolic link, a submodule, or too large to read";
            return self.legacy.leave(self.key(name), file, why, "put the file itself there, and import again");
        };
        let (expands, is_json) = match extension {
            ".json" => (self.options.expand_json, true),
            ".yaml" => (self.options.expand_yaml, false),
            _ => return self.value(name, file, bytes),
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.problems.push(tree::problem(file, Place::default(), "is not UTF-8 text".to_owned()));
        };
        let tree = if is_json { tree::json(file, text).map_err(NoYaml::Broken) } else { tree::yaml(file, text, yaml_v3) };
        match (tree, expands) {
            (Err(NoYaml::Broken(problem)), _) => self.problems.push(problem),
            (Ok(Tree::Map(entries)), true) => self.map(name, file, &entries),
            (Ok(Tree::Null) | Err(NoYaml::Empty), true) => {}
            (Ok(Tree::Map(_) | Tree::Null) | Err(NoYaml::Empty | NoYaml::Unread(_)), false) => self.value(name, file, bytes),
            (Ok(_), _) => {
                let message = "is no mapping at its top: gonsul gives up on it".to_owned();
                self.problems.push(tree::problem(file, Place { line: 1, column: 1 }, message));
            }
            (Err(NoYaml::Unread(problem)), true) => {
                self.legacy.leave(self.key(name), &tree::place(&problem), &tree::unread(&problem), "write its keys by hand");
            }
        }
    }

    /// The key of a path below the base path.
    fn key(&self, name: &str) -> String {
        match self.options.consul_base_path.as_str() {
            "" => name.to_owned(),
            base => clean(&format!("{base}/{name}")),
        }
    }

    fn value(&mut self, name: &str, file: &str, bytes: &Arc<[u8]>) {
        let key = self.key(name);
        if bytes.is_empty() {
            return self.legacy.leave(key, file, "gonsul writes no empty value", DROPPED);
        }
        if self.options.has_secrets && bytes.windows(2).any(|pair| pair == b"{{") {
            let advice = "a secret does not belong in git: let its reader take it from Vault, or keep the key by hand";
            return self.legacy.leave(key, file, "gonsul fills a secret in", advice);
        }
        self.legacy.take(key, file, Arc::clone(bytes));
    }

    fn map(&mut self, path: &str, file: &str, entries: &[(String, Tree)]) {
        for (name, tree) in entries {
            let path = format!("{path}/{name}");
            let key = self.key(&path);
            match tree {
                Tree::Map(entries) => self.map(&path, file, entries),
                Tree::Text(text) => self.value(&path, file, &text.as_bytes().into()),
                Tree::Bool(bool) => self.legacy.take(key, file, bool.to_string().into_bytes()),
                Tree::Number(Number { is_whole: true, .. }) => {
                    self.legacy.leave(key, file, "gonsul writes no key for a whole number in YAML", DROPPED);
                }
                Tree::Number(number) => self.legacy.number(key, file, number, as_go(number.value)),
                Tree::List(_) => {
                    let why = "gonsul writes a list without quotes and commas; here it is a JSON array";
                    self.legacy.repair(key, file, tree::to_json(tree).into_bytes(), why);
                }
                Tree::Null => self.legacy.leave(key, file, "gonsul writes no key for null", DROPPED),
                Tree::Date(_) => self.legacy.leave(key, file, "gonsul writes no key for a date", DROPPED),
            }
        }
    }
}

/// From the last `.` of the last segment on; empty without one.
fn extension(path: &str) -> &str {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    path[name..].rfind('.').map_or("", |at| &path[name + at..])
}

/// A path without empty, `.` and `..` segments, as Go's `path.Join` makes it.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", segments.join("/"))
}

/// What a word without quotes is to Go's `yaml.v3`.
fn yaml_v3(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Tree::Null,
        "true" | "True" | "TRUE" => return Tree::Bool(true),
        "false" | "False" | "FALSE" => return Tree::Bool(false),
        _ => {}
    }
    if super::words::is_date(text) {
        return Tree::Date(text.to_owned());
    }
    let number = |value, is_whole| Tree::Number(Number { source: text.to_owned(), value, is_whole });
    if let Some(value) = super::words::go_whole(text) {
        return number(value, true);
    }
    super::words::float(text).map_or_else(|| Tree::Text(text.to_owned()), |value| number(value, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Gonsul {
        Gonsul {
            repo_base_path: "/".into(),
            consul_base_path: String::new(),
            input_ext: ["json", "txt", "ini"].map(str::to_owned).into(),
            keep_ext: false,
            expand_json: false,
            expand_yaml: false,
            has_secrets: false,
        }
    }

    fn read(options: &Gonsul, files: &[(&str, &str)]) -> Result<Legacy, Vec<Problem>> {
        gonsul(&FileTree::of_files(files.iter().copied()), options)
    }

    #[track_caller]
    fn check(options: &Gonsul, files: &[(&str, &str)], expected: &[(&str, &str)]) -> Legacy {
        let legacy = read(options, files).unwrap();
        let keys: Vec<(&str, &str)> =
            legacy.keys.iter().map(|(key, value)| (key.as_str(), std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(keys, expected, "{legacy:?}");
        legacy
    }

    #[test]
    fn a_key_is_named_after_base_and_path() {
        let files = [("README.md", "x"), ("prod/app/config.json", "{ }\n"), ("prod/app/db.v1.txt", "v\n"), ("stg/a.ini", "w")];
        let legacy = check(&options(), &files, &[("prod/app/config", "{ }\n"), ("prod/app/db.v1", "v\n"), ("stg/a", "w")]);
        assert_eq!((legacy.notes.len(), legacy.prefix.as_str()), (1, ""));
        let based =
            Gonsul { repo_base_path: "/prod/".into(), consul_base_path: "team//x/".into(), keep_ext: true, ..options() };
        let legacy = check(&based, &files, &[("team/x/app/config.json", "{ }\n"), ("team/x/app/db.v1.txt", "v\n")]);
        assert_eq!(legacy.prefix, "team/x/");
    }

    #[test]
    fn expanded_files_are_folders_of_keys() {
        let expand =
            Gonsul { expand_json: true, expand_yaml: true, input_ext: vec!["json".into(), ".yaml".into()], ..options() };
        let json = r#"{"a": {"b": "x", "n": 1000000, "f": 1.50, "t": false, "nil": null},
                      "l": ["a", 1.0], "big": 12345678901234567890}"#;
        let yaml = "whole: 8080\nfloat: 1.5\ntext: on\nwhen: 2001-01-01\nnest: {a: b}\nempty: ''\n";
        let legacy = check(
            &expand,
            &[("j.json", json), ("y.yaml", yaml)],
            &[
                ("j/a/b", "x"),
                ("j/a/f", "1.5"),
                ("j/a/n", "1e+06"),
                ("j/a/t", "false"),
                ("j/big", "12345678901234567890"),
                ("j/l", "[\"a\",1.0]"),
                ("y/float", "1.5"),
                ("y/nest/a", "b"),
                ("y/text", "on"),
            ],
        );
        let repaired: Vec<&str> = legacy.repaired.iter().map(|told| told.key.as_str()).collect();
        assert_eq!(repaired, ["j/big", "j/l"]);
        let left: Vec<&str> = legacy.left_out.iter().map(|left| left.key.as_str()).collect();
        assert_eq!(left, ["j/a/nil", "y/whole", "y/when", "y/empty"]);
    }

    #[test]
    fn where_files_say_the_same_key_the_later_one_wins() {
        let expand = Gonsul { expand_json: true, ..options() };
        let legacy = check(&expand, &[("a.json", "{\"x\": \"2\"}"), ("a/x.txt", "1")], &[("a/x", "2")]);
        assert_eq!(legacy.notes.len(), 1);
    }

    #[test]
    fn a_file_on_which_gonsul_gives_up_is_a_problem_with_its_place() {
        for (file, text, expected) in [
            ("a.json", "{\n \"a\": }", "a.json:2:7: is not valid JSON"),
            ("a.json", "[]", "a.json:1:1: is no mapping at its top"),
            ("a.yaml", "a: [", "a.yaml:"),
        ] {
            let options = Gonsul { input_ext: vec!["json".into(), "yaml".into()], ..options() };
            let problem = read(&options, &[(file, text)]).unwrap_err().remove(0).to_string();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn secrets_stay_out() {
        let secrets = Gonsul { has_secrets: true, ..options() };
        let files = [("a.txt", "user={{{DB}}}"), ("b.txt", "plain")];
        assert_eq!(check(&secrets, &files, &[("b", "plain")]).left_out.len(), 1);
        check(&options(), &files, &[("a", "user={{{DB}}}"), ("b", "plain")]);
    }
}
