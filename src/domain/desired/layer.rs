//! One layer: a directory with `kv/`, `files/` and `checks/`, read once however many environments name it.
//!
//! Anything else in it is a problem, since a misspelt directory would silently take its keys away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::keymap::{KeyMap, Summed};
use crate::domain::name::{CheckName, KeyPath};

use super::problem::{Affected, FileProblems, Place, Problem, did_you_mean, printable, whole_file};
use super::state::Origin;
use super::tree::{FileTree, Node};
use super::values::{self, Action, Setting};
use super::{environment_file, files, yaml};

/// What one layer says.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// What becomes of each key, and where it says so.
    pub(super) keys: KeyMap<Told>,
    /// Its check files.
    pub(super) checks: BTreeMap<CheckName, CheckFile>,
    /// What is wrong with it whatever the environment; affects nobody until somebody uses the layer.
    pub(super) problems: Vec<Problem>,
    /// Whether there is any file in it.
    pub(super) exists: bool,
}

/// What becomes of a key, and where it says so.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) action: Action,
    pub(super) origin: Origin,
}

impl Summed for Told {
    type Sum = ();

    fn sum(_: &[(KeyPath, Self)]) {}
}

/// A check file; it is read once its variables are known.
#[derive(Debug)]
pub(super) struct CheckFile {
    /// Its path in the repository.
    pub(super) file: Arc<str>,
    /// Its content.
    pub(super) root: yaml::Node,
}

/// Directories of a later version of lockstep.
const UNSUPPORTED: [&str; 3] = ["consul", "services", "vault"];
/// How git keeps and checks out a directory, not what is in it: no keys, even below `files/`.
const GIT_OWN: [&str; 4] = [".gitattributes", ".gitignore", ".gitkeep", ".gitmodules"];
const DIRECTORIES: [&str; 3] = ["kv", "files", "checks"];

/// Reads the layer in a directory. `of_environment`: it is an environment's own, so `environment.yaml` lies in it too.
pub(super) fn read(tree: &FileTree, directory: &str, of_environment: bool) -> Layer {
    let mut reader = Reader { layer: Layer::default(), directory, of_environment, told: None };
    if let Some(node) = tree.nodes.get(directory) {
        let (message, hint) = refusal(node).unwrap_or(("is a file; a layer is a directory".to_owned(), None));
        reader.layer.exists = true;
        reader.problem(directory, message, hint);
    }
    reader.layer.exists |= tree.partly.contains(directory);
    for (path, rest, node) in below(tree, directory) {
        reader.layer.exists = true;
        reader.take(path, rest, node);
    }
    reader.layer
}

/// Every node below a directory: its path, its path below the directory, itself.
pub(super) fn below<'t>(tree: &'t FileTree, directory: &str) -> impl Iterator<Item = (&'t str, &'t str, &'t Node)> {
    let prefix = format!("{directory}/");
    let skip = prefix.len();
    tree.nodes
        .range(prefix.clone()..)
        .take_while(move |(path, _)| path.starts_with(&prefix))
        .map(move |(path, node)| (path.as_str(), &path[skip..], node))
}

/// Why a node that is no ordinary file is not read.
pub(super) fn refusal(node: &Node) -> Option<(String, Option<&'static str>)> {
    match node {
        Node::File(_) => None,
        Node::TooLarge { size } => Some((
            format!("has {size} bytes and was not read"),
            Some("a key's value has 390000 bytes at most, a YAML file 10 MiB"),
        )),
        Node::Symlink => Some((
            "is a symbolic link, which is never followed".to_owned(),
            Some("put the file itself here, or name a layer that has it"),
        )),
        Node::Submodule => Some((
            "is a submodule, which is never fetched".to_owned(),
            Some("put the files themselves here: a revision is one commit of one repository"),
        )),
        Node::BadName => Some((
            "has a name that is not UTF-8 text or that git refuses".to_owned(),
            Some("rename it; the path shown here is an approximation"),
        )),
    }
}

/// Files that people and git keep anywhere and that say nothing to lockstep.
pub(super) fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || name.starts_with("README") || name.starts_with("LICENSE")
}

/// `a.yml`, `a.YAML`: meant as a file of the format, and one spelling is enough.
fn is_misspelt_yaml(name: &str) -> bool {
    let misspelt =
        |extension: &str| ["yml", "yaml"].iter().any(|known| extension.eq_ignore_ascii_case(known) && extension != "yaml");
    name.rsplit_once('.').is_some_and(|(_, extension)| misspelt(extension))
}

struct Reader<'a> {
    layer: Layer,
    directory: &'a str,
    of_environment: bool,
    /// The directory that was last reported as a whole; its files follow each other.
    told: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn problem(&mut self, file: &str, message: impl Into<String>, hint: Option<&str>) {
        self.layer.problems.push(whole_file(file, message, hint, Affected::nobody()));
    }

    fn take(&mut self, path: &'a str, rest: &'a str, node: &Node) {
        match rest.split_once('/') {
            Some(("kv", rest)) => self.value_file(path, rest, node),
            Some(("files", rest)) => self.plain_file(path, rest, node),
            Some(("checks", rest)) => self.check_file(path, rest, node),
            Some((name, _)) => self.unknown_directory(path, name),
            None if self.of_environment && rest == environment_file::FILE || is_ignored(rest) => {}
            None => self.stray(path, rest, node),
        }
    }

    fn unknown_directory(&mut self, path: &str, name: &'a str) {
        if is_ignored(name) || self.told == Some(name) {
            return;
        }
        // One problem for the directory: its files are as many as somebody likes.
        self.told = Some(name);
        let directory = &path[..self.directory.len() + 1 + name.len()];
        if UNSUPPORTED.contains(&name) {
            let message = format!("{name}/ is not supported by this version of lockstep");
            return self.problem(directory, message, Some("remove it: nothing in it would be applied"));
        }
        let hint = did_you_mean(name, DIRECTORIES);
        let hint = hint.unwrap_or_else(|| "a layer has kv/, files/ and checks/; other directories belong beside it".to_owned());
        self.problem(directory, "is no directory of a layer", Some(&hint));
    }

    /// A file in the layer's own directory.
    fn stray(&mut self, path: &str, name: &str, node: &Node) {
        if let Some((message, hint)) = refusal(node) {
            return self.problem(path, message, hint);
        }
        let hint = match name {
            "environment.yaml" => "environment.yaml belongs in environments/NAME/",
            _ if self.of_environment && is_misspelt_yaml(name) => "rename it: the files of the format end in .yaml",
            _ => "put it below kv/, files/ or checks/, or outside the layer",
        };
        self.problem(path, "is no file of a layer", Some(hint));
    }

    fn value_file(&mut self, path: &str, rest: &str, node: &Node) {
        let Some((bytes, stem)) = self.yaml_file(path, rest, node) else { return };
        let mut problems = FileProblems::of(path);
        let settings = values::read(stem, bytes, &mut problems);
        for setting in settings {
            self.set(setting, &mut problems);
        }
        self.layer.problems.extend(problems.finish(&Affected::nobody()));
    }

    fn plain_file(&mut self, path: &str, rest: &str, node: &Node) {
        if rest.rsplit('/').next().is_some_and(|name| GIT_OWN.contains(&name)) {
            return;
        }
        let Node::File(bytes) = node else { return self.refuse(path, node) };
        let mut problems = FileProblems::of(path);
        if let Some(setting) = files::read(rest, bytes, &mut problems) {
            self.set(setting, &mut problems);
        }
        self.layer.problems.extend(problems.finish(&Affected::nobody()));
    }

    fn check_file(&mut self, path: &str, rest: &str, node: &Node) {
        let Some((bytes, stem)) = self.yaml_file(path, rest, node) else { return };
        let mut problems = FileProblems::of(path);
        match CheckName::parse(stem) {
            Ok(name) => {
                if let Some(root) = yaml::read(bytes, &mut problems) {
                    self.layer.checks.insert(name, CheckFile { file: Arc::clone(problems.file()), root });
                }
            }
            Err(error) => problems.report(Place::default(), error.to_string()),
        }
        self.layer.problems.extend(problems.finish(&Affected::nobody()));
    }

    /// The bytes of a file below `kv/` or `checks/`, and its path there without `.yaml`.
    fn yaml_file<'n>(&mut self, path: &str, rest: &'n str, node: &'n Node) -> Option<(&'n [u8], &'n str)> {
        let name = rest.rsplit('/').next().unwrap_or(rest);
        let stem = rest.strip_suffix(".yaml");
        if stem.is_none() && is_ignored(name) {
            return None;
        }
        let Node::File(bytes) = node else {
            self.refuse(path, node);
            return None;
        };
        let Some(stem) = stem else {
            let hint = if is_misspelt_yaml(name) {
                "rename it: the files of the format end in .yaml"
            } else {
                "a file that is to be one key as it stands belongs below files/"
            };
            self.problem(path, "does not end in .yaml", Some(hint));
            return None;
        };
        if name == ".yaml" {
            self.problem(path, "has no name before .yaml", Some("the name is part of the key"));
            return None;
        }
        Some((bytes, stem))
    }

    fn refuse(&mut self, path: &str, node: &Node) {
        if let Some((message, hint)) = refusal(node) {
            self.problem(path, message, hint);
        }
    }

    fn set(&mut self, setting: Setting, problems: &mut FileProblems) {
        let Setting { key, place, action } = setting;
        let origin = Origin { file: Arc::clone(problems.file()), line: place.line, column: place.column };
        let Some(first) = self.layer.keys.get(&key) else {
            self.layer.keys.insert(key, Told { action, origin });
            return;
        };
        let message = format!("the key {key} is set here and at {}, in the same layer", printable(&first.origin.to_string()));
        problems.report_with_hint(place, message, "remove one of the two; a later layer may override an earlier one");
    }
}
