//! Where one key of one environment comes from: the few files that can name it, and what each layer says of it.
//!
//! A key's path says which files can hold it, so its whole past is read from a handful of files of each commit, however
//! large the repository is.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::name::{EnvironmentName, KeyPath};

use super::environment_file::{self};
use super::layer::{self, Layer, Told};
use super::merge::{Budget, merge};
use super::naming::{environment_file, own_directory};
use super::problem::{Affected, FileProblems, Problem, whole_file};
use super::selection::Scope;
use super::state::{Entry, Origin};
use super::tree::{FileTree, Node};
use super::values::Action;

/// The files that can say anything of a key in an environment whose own file is this node; that file is not among them.
///
/// A mapping's file gives every key below its path, so each proper prefix of the key at a `/` is a candidate in `kv/` of
/// each layer, and the key itself in `files/`. Where the environment's file can't be read there are none.
#[must_use]
pub fn files_of(environment: &EnvironmentName, file: Option<&Node>, key: &KeyPath) -> Vec<String> {
    files_of_all(environment, file, [key])
}

/// The same of several keys, each file once.
#[must_use]
pub fn files_of_all<'k>(
    environment: &EnvironmentName,
    file: Option<&Node>,
    keys: impl IntoIterator<Item = &'k KeyPath>,
) -> Vec<String> {
    let Some(Node::File(bytes)) = file else { return Vec::new() };
    let mut problems = FileProblems::of("");
    let Some(file) = environment_file::read(environment, bytes, &mut problems) else { return Vec::new() };
    let own = own_directory(environment);
    let keys: Vec<&str> = keys.into_iter().map(KeyPath::as_str).collect();
    let mut prefixes = BTreeSet::new();
    for key in &keys {
        prefixes.extend(key.match_indices('/').map(|(at, _)| &key[..at]));
    }
    let of_layer = |layer: &String| {
        let mut files: Vec<String> = prefixes.iter().map(|prefix| format!("{layer}/kv/{prefix}.yaml")).collect();
        files.extend(keys.iter().map(|key| format!("{layer}/files/{key}")));
        files
    };
    file.environment.layers.iter().chain([&own]).flat_map(of_layer).collect()
}

/// What a revision says of one key in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// What each layer says that says anything, first to last: the last one wins.
    pub said: Vec<Said>,
    /// What the environment has in the end; none: the revision does not have the key there.
    pub entry: Option<Entry>,
    /// Some layer hides the value: nobody shows any of them.
    pub sensitive: bool,
}

/// What one layer says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The layer's directory.
    pub layer: String,
    /// The place.
    pub origin: Origin,
    /// The value with its variables filled in, or none where the layer takes back what earlier ones say.
    pub value: Option<Arc<[u8]>>,
}

/// Reads what a revision says of one key in one environment; none: it has no such environment. Of the tree no more is
/// needed than the environment's file and [`files_of`] it: nothing is said of any other file.
///
/// # Errors
/// What is wrong in those files: the key has no value then, and the revision is not applied to the environment.
pub fn provenance(tree: &FileTree, environment: &EnvironmentName, key: &KeyPath) -> Result<Option<Provenance>, Vec<Problem>> {
    let path = environment_file(environment);
    let bytes = match tree.nodes.get(&path) {
        None => return Ok(None),
        Some(Node::File(bytes)) => bytes,
        Some(node) => {
            let (message, hint) = layer::refusal(node).unwrap_or_default();
            return Err(vec![whole_file(&path, message, hint, Affected::one(environment))]);
        }
    };
    let mut problems = FileProblems::of(&path);
    let file = environment_file::read(environment, bytes, &mut problems);
    let (Some(file), 0) = (file, problems.count()) else { return Err(problems.finish(&Affected::one(environment))) };
    let own = own_directory(environment);
    let mut layers = Vec::new();
    let mut problems = Vec::new();
    for directory in file.environment.layers.iter().chain([&own]) {
        let mut layer = layer::read(tree, directory, *directory == own);
        problems.append(&mut layer.problems);
        layer.keys = layer.keys.get(key).map(|told| (key.clone(), told.clone())).into_iter().collect();
        layer.checks.clear();
        layers.push((directory, layer));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut said = Vec::new();
    let mut entry = None;
    let mut sensitive = false;
    for end in 0..layers.len() {
        let (directory, layer) = &layers[end];
        let Some(Told { action, origin }) = layer.keys.get(key) else { continue };
        let so_far: Vec<&Layer> = layers[..=end].iter().map(|(_, layer)| layer).collect();
        entry = merge(&file.environment, &so_far, &Scope::All, &mut Budget::new())?.entries().get(key).cloned();
        let value = match action {
            Action::Set { sensitive: hidden, .. } => {
                sensitive |= hidden;
                entry.as_ref().map(|entry| Arc::clone(&entry.value))
            }
            Action::Absent => None,
        };
        said.push(Said { layer: (*directory).clone(), origin: origin.clone(), value });
    }
    Ok(Some(Provenance { said, entry, sensitive }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVIRONMENT: (&str, &str) =
        ("environments/test/environment.yaml", "layers: [base, web]\nvariables: { domain: example }\n");

    fn read(files: &[(&str, &str)], key: &str) -> Result<Option<Provenance>, Vec<Problem>> {
        let tree = FileTree::of_files(files.iter().copied());
        provenance(&tree, &EnvironmentName::parse("test").unwrap(), &KeyPath::parse(key).unwrap())
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let found = read(&[&[ENVIRONMENT], files].concat(), "config/a/b").unwrap().unwrap();
        let said = found.said.iter().map(|said| {
            let value = said.value.as_ref().map_or("!absent", |value| std::str::from_utf8(value).unwrap());
            format!("{} in {}: {value}", said.origin, said.layer)
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
        let last = found.said.last().and_then(|said| said.value.clone());
        assert_eq!(found.entry.map(|entry| entry.value), last, "the last layer that says anything wins");
    }

    #[test]
    fn each_layer_says_its_own_and_the_last_wins() {
        let base = ("base/kv/config/a.yaml", "b: 1 ${domain}\nother: 2\n");
        check(&[], &[]);
        check(&[base], &["base/kv/config/a.yaml:1 in base: 1 example"]);
        check(
            &[base, ("web/kv/config.yaml", "a:\n  b: 2\n"), ("environments/test/files/config/a/b", "3")],
            &[
                "base/kv/config/a.yaml:1 in base: 1 example",
                "web/kv/config.yaml:2 in web: 2",
                "environments/test/files/config/a/b in environments/test: 3",
            ],
        );
        check(
            &[base, ("web/kv/config.yaml", "a:\n  b: !absent\n")],
            &["base/kv/config/a.yaml:1 in base: 1 example", "web/kv/config.yaml:2 in web: !absent"],
        );
    }

    #[test]
    fn one_layer_that_hides_the_value_hides_it_in_all() {
        let base = ("base/kv/config/a.yaml", "b: !sensitive secret\n");
        for own in ["b: other\n", "b: !absent\n"] {
            let found = read(&[ENVIRONMENT, base, ("environments/test/kv/config/a.yaml", own)], "config/a/b");
            assert!(found.unwrap().unwrap().sensitive, "with {own:?}");
        }
    }

    #[test]
    fn the_files_that_can_name_a_key_are_known_from_its_path() {
        let environment = EnvironmentName::parse("test").unwrap();
        let node = Node::File(ENVIRONMENT.1.as_bytes().into());
        let key = KeyPath::parse("config/a/b").unwrap();
        let files = files_of(&environment, Some(&node), &key);
        assert_eq!(
            files,
            [
                "base/kv/config.yaml",
                "base/kv/config/a.yaml",
                "base/files/config/a/b",
                "web/kv/config.yaml",
                "web/kv/config/a.yaml",
                "web/files/config/a/b",
                "environments/test/kv/config.yaml",
                "environments/test/kv/config/a.yaml",
                "environments/test/files/config/a/b",
            ]
        );
        assert!(files_of(&environment, Some(&Node::Symlink), &key).is_empty());
        assert!(files_of(&environment, None, &key).is_empty());
    }

    #[test]
    fn what_is_wrong_in_its_files_is_told() {
        let wrong = ("base/kv/config/a.yaml", "b: 1\nb: 2\n");
        assert!(read(&[ENVIRONMENT, wrong], "config/a/b").is_err());
        assert!(read(&[ENVIRONMENT, ("base/kv/config/a.yaml", "b: ${nothing}\n")], "config/a/b").is_err());
        assert!(read(&[("environments/test/environment.yaml", "layers: 1\n")], "config/a/b").is_err());
        assert_eq!(read(&[], "config/a/b"), Ok(None), "there is no such environment");
    }
}
