//! git2consul's layout: each file of a branch is a key named after repository, branch and path, and files of some kinds may be
//! folders of keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::legacy::Legacy;
use super::numbers::as_javascript;
use super::properties::properties;
use super::tree::{self, NoYaml, Number, Tree};
use super::words;
use crate::domain::desired::{FileTree, Node};

/// One repository of git2consul's configuration, as far as it decides keys and values.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "git2consul's own switches, by their names")]
pub struct Git2consul {
    /// `name`.
    pub name: String,
    /// The branch that is read.
    pub branch: String,
    /// `mountpoint`: what every key begins with.
    pub mountpoint: Option<String>,
    /// `source_root`: the directory in the repository.
    pub source_root: Option<String>,
    /// `include_branch_name`, true unless it is said.
    pub include_branch_name: bool,
    /// `ignore_repo_name`.
    pub ignore_repo_name: bool,
    /// `expand_keys`.
    pub expand_keys: bool,
    /// `ignore_file_extension`; without `expand_keys` it does nothing.
    pub ignore_file_extension: bool,
    /// `common_properties`: a file whose properties fill the variables of others in.
    pub common_properties: Option<String>,
}

const EXPANDED: [&str; 4] = ["json", "yaml", "yml", "properties"];
const DROPPED: &str = "if it is wanted, say it in the new repository, in a commit of its own";

/// The keys that git2consul writes from a branch's files when it first reads them.
#[must_use]
pub fn git2consul(files: &FileTree, repository: &Git2consul) -> Legacy {
    let common = repository.common_properties.as_ref().and_then(|path| match files.nodes.get(path) {
        Some(Node::File(bytes)) => properties(&String::from_utf8_lossy(bytes), &BTreeMap::new()).ok(),
        _ => None,
    });
    let mut reading = Reading { repository, legacy: Legacy::default(), common: common.unwrap_or_default() };
    let branch = repository.include_branch_name.then_some(repository.branch.as_str());
    reading.legacy.prefix = reading.joined(branch, "");
    let reference = format!("{}.ref", repository.branch);
    reading.legacy.own = vec![reading.joined(None, &reference)];
    let root =
        repository.source_root.as_deref().map(|root| root.strip_suffix('/').unwrap_or(root)).filter(|root| !root.is_empty());
    for (path, node) in &files.nodes {
        match root {
            None => reading.file(path, path, node),
            Some(root) => match path.strip_prefix(root) {
                Some(rest) if rest.starts_with('/') => reading.file(path, &rest[1..], node),
                Some(_) => {
                    let why = "its path begins like the source_root, so git2consul gives it a broken key";
                    reading.legacy.notes.push(format!("{path} is left out: {why}"));
                }
                None => {}
            },
        }
    }
    reading.legacy
}

struct Reading<'a> {
    repository: &'a Git2consul,
    legacy: Legacy,
    common: BTreeMap<String, Tree>,
}

impl Reading<'_> {
    fn joined(&self, branch: Option<&str>, file: &str) -> String {
        let Git2consul { name, mountpoint, ignore_repo_name, .. } = self.repository;
        let name = (!ignore_repo_name).then_some(name.as_str());
        let mountpoint = mountpoint.as_deref().filter(|mountpoint| !mountpoint.is_empty());
        mountpoint.into_iter().chain(name).chain(branch).chain([file]).collect::<Vec<_>>().join("/")
    }

    /// The key of a file, or what the keys of its content begin with.
    fn key(&self, rest: &str) -> String {
        let Git2consul { branch, include_branch_name, expand_keys, ignore_file_extension, .. } = self.repository;
        let bare = match rest.rsplit_once('.') {
            Some((bare, extension)) if *expand_keys && *ignore_file_extension && EXPANDED.contains(&extension) => bare,
            _ => rest,
        };
        self.joined(include_branch_name.then_some(branch.as_str()), bare)
    }

    fn file(&mut self, path: &str, rest: &str, node: &Node) {
        let key = self.key(rest);
        let Node::File(bytes) = node else {
            let why = "it is a symbolic link, a submodule, or too large to read";
            return self.legacy.leave(key, path, why, "put the file itself there, and import again");
        };
        if path.chars().any(|c| !c.is_ascii() || c.is_control() || matches!(c, '"' | '\\')) {
            let why = "git quotes this path, so that git2consul never found the file";
            return self.legacy.leave(key, path, why, DROPPED);
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            let why = "git2consul writes U+FFFD where bytes are no UTF-8; these are the file's bytes";
            return self.legacy.repair(key, path, Arc::clone(bytes), why);
        };
        let body = text.trim_matches(words::is_javascript_space);
        let extension = rest.rsplit_once('.').map_or("", |(_, extension)| extension);
        let extension = if self.repository.expand_keys { extension } else { "" };
        let tree = match extension {
            "json" => tree::json(path, body).ok(),
            "yaml" | "yml" => match tree::yaml(path, body, js_yaml) {
                Ok(tree) => Some(tree),
                Err(NoYaml::Empty) => Some(Tree::Null),
                Err(NoYaml::Broken(_)) => None,
                Err(NoYaml::Unread(problem)) => {
                    return self.legacy.leave(
                        key,
                        path,
                        &format!("it can't be expanded: {}", problem.message),
                        "write its keys by hand",
                    );
                }
            },
            "properties" => properties(text, &self.common).ok().map(|found| Tree::Map(found.into_iter().collect())),
            _ => return self.legacy.take(key, path, body.as_bytes()),
        };
        if let Some(tree) = tree {
            self.document(&key, path, tree);
        } else {
            self.legacy.notes.push(format!("{path} can't be read as {extension}: it is one key, as git2consul takes it"));
            self.legacy.take(key, path, body.as_bytes());
        }
    }

    fn document(&mut self, key: &str, file: &str, tree: Tree) {
        let before = self.legacy.keys.len();
        match tree {
            Tree::Map(entries) => self.entries(key, file, entries),
            // Only at the top: there a list is taken for a mapping of its places.
            Tree::List(items) => {
                let entries = items.into_iter().enumerate().map(|(at, item)| (at.to_string(), item));
                self.entries(key, file, entries.collect());
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Date(_) => {}
        }
        if self.legacy.keys.len() == before {
            self.legacy.notes.push(format!("{file} gives no key: there is no mapping with a value in it"));
        }
    }

    fn entries(&mut self, prefix: &str, file: &str, entries: Vec<(String, Tree)>) {
        for (name, tree) in entries {
            let key = format!("{prefix}/{}", encoded(&name));
            match tree {
                Tree::Map(entries) => self.entries(&key, file, entries),
                Tree::List(_) => self.legacy.leave(key, file, "git2consul writes no key for a list", DROPPED),
                Tree::Date(_) => self.legacy.leave(key, file, "git2consul writes no key for a date", DROPPED),
                Tree::Null => self.legacy.take(key, file, *b""),
                Tree::Bool(bool) => self.legacy.take(key, file, bool.to_string().into_bytes()),
                Tree::Number(number) => {
                    let written = as_javascript(number.value);
                    self.legacy.number(key, file, &number, written);
                }
                Tree::Text(text) => self.legacy.take(key, file, text.into_bytes()),
            }
        }
    }
}

/// JavaScript's `encodeURIComponent`.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What a word without quotes is to js-yaml 3.
fn js_yaml(text: &str) -> Tree {
    let number = |value| Tree::Number(Number { source: text.to_owned(), value, is_whole: false });
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" => Tree::Bool(true),
        "false" | "False" | "FALSE" => Tree::Bool(false),
        _ if words::is_date(text) => Tree::Date(text.to_owned()),
        _ => match words::javascript_whole(text).or_else(|| words::javascript_float(text)) {
            Some(value) => number(value),
            None => Tree::Text(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Git2consul {
        Git2consul { name: "app".into(), branch: "dev".into(), include_branch_name: true, ..Git2consul::default() }
    }

    #[track_caller]
    fn check(repository: &Git2consul, files: &[(&str, &str)], expected: &[(&str, &str)]) -> Legacy {
        let tree = FileTree::of_files(files.iter().copied());
        let legacy = git2consul(&tree, repository);
        let keys: Vec<(&str, &str)> =
            legacy.keys.iter().map(|(key, value)| (key.as_str(), std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(keys, expected, "{legacy:?}");
        legacy
    }

    #[test]
    fn a_key_is_named_after_mountpoint_repository_branch_and_path() {
        let files = [("a.json", " {\"x\": 1}\n\n"), ("conf/b/c", "v\n"), ("config2/d", "w")];
        let values = |prefix: &str| {
            [("a.json", "{\"x\": 1}"), ("conf/b/c", "v"), ("config2/d", "w")]
                .map(|(path, value)| (format!("{prefix}{path}"), value))
        };
        for (repository, prefix) in [
            (repository(), "app/dev/"),
            (Git2consul { include_branch_name: false, ..repository() }, "app/"),
            (Git2consul { ignore_repo_name: true, ..repository() }, "dev/"),
            (Git2consul { mountpoint: Some("m/n".into()), ..repository() }, "m/n/app/dev/"),
            (Git2consul { ignore_repo_name: true, include_branch_name: false, ..repository() }, ""),
            (Git2consul { ignore_file_extension: true, ..repository() }, "app/dev/"),
        ] {
            let expected = values(prefix);
            let expected: Vec<(&str, &str)> = expected.iter().map(|(key, value)| (key.as_str(), *value)).collect();
            assert_eq!(check(&repository, &files, &expected).prefix, prefix);
        }
        let rooted = Git2consul { source_root: Some("conf/".into()), ..repository() };
        let legacy = check(&rooted, &files, &[("app/dev/b/c", "v")]);
        assert!(legacy.notes[0].starts_with("config2/d is left out"), "{:?}", legacy.notes);
        assert_eq!(legacy.own, ["app/dev.ref"]);
    }

    #[test]
    fn expanded_files_are_folders_of_keys() {
        let expand = Git2consul { expand_keys: true, ..repository() };
        let json = r#"{"you get the picture": {"x": "right?"}, "n": 1.10, "big": 12345678901234567890, "t": true, "nil": null,
                      "list": [1], "a/b": 1, "": 2}"#;
        let legacy = check(
            &expand,
            &[("j.json", json), ("y.yml", "a: 0755\nb: on\nd: 2001-01-01\nc:\n  8080: ' x '\n"), ("k.txt", " v \n")],
            &[
                ("app/dev/j.json/", "2"),
                ("app/dev/j.json/a%2Fb", "1"),
                ("app/dev/j.json/big", "12345678901234567890"),
                ("app/dev/j.json/n", "1.1"),
                ("app/dev/j.json/nil", ""),
                ("app/dev/j.json/t", "true"),
                ("app/dev/j.json/you%20get%20the%20picture/x", "right?"),
                ("app/dev/k.txt", "v"),
                ("app/dev/y.yml/a", "493"),
                ("app/dev/y.yml/b", "on"),
                ("app/dev/y.yml/c/8080", " x "),
            ],
        );
        let keys = |told: &[super::super::legacy::Told]| told.iter().map(|told| told.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&legacy.repaired), ["app/dev/j.json/big"]);
        assert_eq!(keys(&legacy.converted), ["app/dev/j.json/n", "app/dev/y.yml/a"]);
        let left: Vec<&str> = legacy.left_out.iter().map(|left| left.key.as_str()).collect();
        assert_eq!(left, ["app/dev/j.json/list", "app/dev/y.yml/d"]);
        let bare = Git2consul { ignore_file_extension: true, ..expand.clone() };
        check(&bare, &[("d.x/j.json", "{\"a\": {\"b\": \"c\"}}")], &[("app/dev/d.x/j/a/b", "c")]);
        check(&expand, &[("j.json", "[\"a\", {\"b\": \"c\"}]")], &[("app/dev/j.json/0", "a"), ("app/dev/j.json/1/b", "c")]);
        check(
            &expand,
            &[("j.json", "{oops\n"), ("y.yaml", "a: [\n")],
            &[("app/dev/j.json", "{oops"), ("app/dev/y.yaml", "a: [")],
        );
        check(&expand, &[("j.json", "7"), ("y.yaml", "\n")], &[]);
    }

    #[test]
    fn properties_share_variables() {
        let expand = Git2consul { expand_keys: true, common_properties: Some("common.properties".into()), ..repository() };
        check(
            &expand,
            &[("common.properties", "foo=bar\n"), ("s.properties", "x=${foo}\ny 2\n"), ("t.properties", "x=${nope}\n")],
            &[
                ("app/dev/common.properties/foo", "bar"),
                ("app/dev/s.properties/x", "bar"),
                ("app/dev/s.properties/y", "2"),
                ("app/dev/t.properties", "x=${nope}"),
            ],
        );
    }

    #[test]
    fn what_git2consul_spoils_is_taken_whole_and_told() {
        let mut tree = FileTree::of_files([("bytes", [0xff, b'\n'].as_slice()), ("grün", b"x".as_slice())]);
        tree.nodes.insert("link".into(), Node::Symlink);
        let legacy = git2consul(&tree, &repository());
        assert_eq!(&*legacy.keys["app/dev/bytes"], [0xff, b'\n']);
        assert_eq!((legacy.keys.len(), legacy.repaired.len(), legacy.left_out.len()), (1, 1, 2));
    }
}
