//! The config repository, format 1, from the outside: files in, desired states and problems out.

mod checks;
mod environments;
mod hostile;
mod layers;
mod properties;
mod shipped;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep::domain::desired::{self, Affected, DesiredState, FileTree, Node};
use lockstep::domain::name::EnvironmentName;

const MANIFEST: (&str, &str) = ("lockstep.yaml", "name: config\nlockstep: \"^1\"\n");
const TEST: (&str, &str) = ("environments/test/environment.yaml", "layers: [base]\nvariables: {domain: consulverse}\n");

/// A tree of these files, with a manifest and an environment `test` on the layer `base` unless they are among them.
fn tree(files: &[(&str, &str)]) -> FileTree {
    let mut all: BTreeMap<&str, &[u8]> =
        [MANIFEST, TEST, ("base/kv/always.yaml", "here: yes\n")].map(|(path, text)| (path, text.as_bytes())).into();
    all.extend(files.iter().map(|(path, text)| (*path, text.as_bytes())));
    FileTree::of_files(all)
}

fn with(mut tree: FileTree, path: &str, node: Node) -> FileTree {
    tree.nodes.insert(path.to_owned(), node);
    tree
}

fn name(text: &str) -> EnvironmentName {
    EnvironmentName::parse(text).unwrap()
}

/// The state of one environment; both ways in must agree on it.
#[track_caller]
fn state_of(tree: &FileTree, environment: &str) -> Arc<DesiredState> {
    let one = desired::read_environment(tree, &name(environment));
    let all = desired::read(tree);
    assert_eq!(all.environment(&name(environment)).ok().map(Option::<&_>::cloned), one.clone().ok());
    match one {
        Ok(Some(state)) => state,
        other => panic!("no state of {environment}: {other:?}"),
    }
}

#[track_caller]
fn state(files: &[(&str, &str)]) -> Arc<DesiredState> {
    state_of(&tree(files), "test")
}

/// Key and value of everything below `config/`.
#[track_caller]
fn values(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let state = state(files);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let below = state.entries().iter().filter(|(key, _)| key.as_str().starts_with("config/"));
    below.map(|(key, entry)| (key.to_string(), text(&entry.value))).collect()
}

/// Every problem: place and message, then whom it stops in brackets, then the hint.
fn told(tree: &FileTree) -> Vec<String> {
    let whom = |affected: &Affected| match affected {
        Affected::All => "all".to_owned(),
        Affected::Only(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let line = |problem: &desired::Problem| {
        format!("{problem} [{}] {}", whom(&problem.environments), problem.hint.as_deref().unwrap_or_default())
    };
    desired::read(tree).problems().iter().map(line).collect()
}

/// The problems are these, in this order; of each, a part of its text.
#[track_caller]
fn check_told(tree: &FileTree, expected: &[&str]) {
    let found = told(tree);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}
