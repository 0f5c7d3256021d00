//! A whole revision: its manifest, its environments, its layers. The way in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::name::{EnvironmentName, RepositoryName};

use super::environment_file::{self, ENVIRONMENTS, EnvironmentFile};
use super::layer::{self, Layer, below, is_ignored, refusal};
use super::manifest;
use super::merge::{Budget, merge};
use super::problem::{Affected, FileProblems, Place, Problem, did_you_mean, joined, quoted, whole_file};
use super::selection::Scope;
use super::state::DesiredState;
use super::tree::{FileTree, Node};

/// What a revision says: of every environment its desired state, or that there is none because of problems.
#[derive(Debug, Clone)]
pub struct Repository {
    name: Option<RepositoryName>,
    environments: BTreeMap<EnvironmentName, Option<Arc<DesiredState>>>,
    problems: Vec<Problem>,
}

impl Repository {
    /// The repository's identity; none when `lockstep.yaml` is missing or wrong.
    #[must_use]
    pub fn name(&self) -> Option<&RepositoryName> {
        self.name.as_ref()
    }

    /// Every environment that the revision has a directory for. One without a state is broken, not removed (rule O9).
    pub fn environments(&self) -> impl Iterator<Item = (&EnvironmentName, Option<&Arc<DesiredState>>)> {
        self.environments.iter().map(|(name, state)| (name, state.as_ref()))
    }

    /// One environment's state. None inside: the revision is valid and has no such environment (rule O9).
    ///
    /// # Errors
    /// Every problem that stops it; there is at least one.
    pub fn environment(&self, name: &EnvironmentName) -> Result<Option<&Arc<DesiredState>>, Vec<&Problem>> {
        match self.environments.get(name) {
            Some(Some(state)) => Ok(Some(state)),
            None if self.is_valid_for(name) => Ok(None),
            Some(None) | None => Err(self.problems.iter().filter(|problem| problem.environments.contains(name)).collect()),
        }
    }

    /// Every problem, in order of file and line. Those that affect nobody stop nothing.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn is_valid_for(&self, name: &EnvironmentName) -> bool {
        !self.problems.iter().any(|problem| problem.environments.contains(name))
    }
}

/// Reads a revision: every environment, every layer once.
#[must_use]
pub fn read(tree: &FileTree) -> Repository {
    Reading::of(tree, &Scope::All).run(None)
}

/// Reads a revision as far as one environment needs it: the manifest, the environment, and of the layers only its own.
#[must_use]
pub fn read_for(tree: &FileTree, name: &EnvironmentName) -> Repository {
    Reading::of(tree, &Scope::All).run(Some(name))
}

/// Reads one environment of a revision, and of the layers only its own.
///
/// `Ok(None)`: the revision is valid and has no such environment (rule O9).
///
/// # Errors
/// Every problem that stops it, and no others; there is at least one.
pub fn read_environment(tree: &FileTree, name: &EnvironmentName) -> Result<Option<Arc<DesiredState>>, Vec<Problem>> {
    read_scope(tree, name, &Scope::All)
}

/// The same, as if the environment had no other keys than those in the scope.
pub(super) fn read_scope(
    tree: &FileTree,
    name: &EnvironmentName,
    scope: &Scope,
) -> Result<Option<Arc<DesiredState>>, Vec<Problem>> {
    let repository = Reading::of(tree, scope).run(Some(name));
    match repository.environment(name) {
        Ok(state) => Ok(state.cloned()),
        Err(problems) => Err(problems.into_iter().cloned().collect()),
    }
}

/// The environments that a revision has directories for, broken ones included, without reading them.
#[must_use]
pub fn environment_names(tree: &FileTree) -> BTreeSet<EnvironmentName> {
    scan(tree).0
}

struct Reading<'t> {
    tree: &'t FileTree,
    scope: &'t Scope,
    layers: BTreeMap<String, Layer>,
    users: BTreeMap<String, BTreeSet<EnvironmentName>>,
    problems: Vec<Problem>,
    budget: Budget,
}

impl<'t> Reading<'t> {
    fn of(tree: &'t FileTree, scope: &'t Scope) -> Self {
        Self { tree, scope, layers: BTreeMap::new(), users: BTreeMap::new(), problems: Vec::new(), budget: Budget::new() }
    }

    fn run(mut self, only: Option<&EnvironmentName>) -> Repository {
        if let Some(cut) = &self.tree.cut {
            let problem = whole_file(".", format!("the revision can't be read: {cut}"), None, Affected::All);
            return Repository { name: None, environments: BTreeMap::new(), problems: vec![problem] };
        }
        let name = self.manifest();
        let (names, problems) = scan(self.tree);
        self.problems.extend(problems);
        let mut environments = BTreeMap::new();
        for name in names.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
            let state = self.environment(&name);
            environments.insert(name, state);
        }
        if only.is_none() {
            self.unused_layers();
        }
        for (directory, layer) in self.layers {
            let affected = Affected::Only(self.users.remove(&directory).unwrap_or_default());
            self.problems
                .extend(layer.problems.into_iter().map(|problem| Problem { environments: affected.clone(), ..problem }));
        }
        let problems = joined(self.problems);
        if problems.iter().any(|problem| problem.environments == Affected::All) {
            for state in environments.values_mut() {
                *state = None;
            }
        }
        Repository { name, environments, problems }
    }

    fn manifest(&mut self) -> Option<RepositoryName> {
        const HINT: &str = "write lockstep.yaml at the top of the repository: name: my-config, and lockstep: \"^1\"";
        if self.tree.nodes.contains_key("lockstep.yml") {
            let hint = "rename it: the files of the format end in .yaml";
            self.problems.push(whole_file("lockstep.yml", "is not read", Some(hint), Affected::All));
        }
        let problem = match self.tree.nodes.get(manifest::FILE) {
            Some(Node::File(bytes)) => {
                let mut problems = FileProblems::of(manifest::FILE);
                let name = manifest::read(bytes, &mut problems);
                self.problems.extend(problems.finish(&Affected::All));
                return name;
            }
            Some(node) => match refusal(node) {
                Some((message, hint)) => whole_file(manifest::FILE, message, hint, Affected::All),
                None => return None,
            },
            None => whole_file(manifest::FILE, "is missing", Some(HINT), Affected::All),
        };
        self.problems.push(problem);
        None
    }

    fn environment(&mut self, name: &EnvironmentName) -> Option<Arc<DesiredState>> {
        let directory = format!("{ENVIRONMENTS}/{name}");
        let file = self.environment_file(name, &directory);
        // What stands in the place of the directory itself has been reported by the scan.
        if !self.tree.nodes.contains_key(&directory) {
            self.layer(&directory, true, name);
        }
        let EnvironmentFile { environment, .. } = file?;
        let mut used: Vec<&Layer> = Vec::new();
        for layer in environment.layers.iter().chain([&directory]) {
            used.extend(self.layers.get(layer));
        }
        let merged = merge(&environment, &used, self.scope, &mut self.budget);
        let broken = used.iter().any(|layer| !layer.problems.is_empty());
        match merged {
            Ok(state) => (!broken && !self.is_stopped(name)).then(|| Arc::new(state)),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn is_stopped(&self, name: &EnvironmentName) -> bool {
        self.problems.iter().any(|problem| problem.environments.contains(name))
    }

    fn environment_file(&mut self, name: &EnvironmentName, directory: &str) -> Option<EnvironmentFile> {
        let path = format!("{directory}/{}", environment_file::FILE);
        let affected = Affected::one(name);
        let bytes = match self.tree.nodes.get(&path) {
            Some(Node::File(bytes)) => Arc::clone(bytes),
            Some(node) => {
                let (message, hint) = refusal(node).unwrap_or_default();
                self.problems.push(whole_file(&path, message, hint, affected));
                return None;
            }
            None => {
                if !self.tree.nodes.contains_key(directory) {
                    let hint = "write it, or remove the whole directory: an environment without it is broken, not removed";
                    self.problems.push(whole_file(&path, "is missing", Some(hint), affected));
                }
                return None;
            }
        };
        let mut problems = FileProblems::of(&path);
        let file = environment_file::read(name, &bytes, &mut problems);
        if let Some(EnvironmentFile { environment, layer_places, formerly_place }) = &file {
            if let Some((former, place)) = environment.formerly.as_ref().zip(*formerly_place) {
                self.check_former(former, name, place, &mut problems);
            }
            for (layer, place) in environment.layers.iter().zip(layer_places) {
                if !self.layer(layer, false, name) {
                    let hint = did_you_mean(layer, top_directories(self.tree));
                    let hint = hint.unwrap_or_else(|| {
                        "a layer is a directory of this repository that holds kv/, files/ or checks/".into()
                    });
                    problems.report_with_hint(*place, format!("the layer {} does not exist", quoted(layer)), hint);
                }
            }
        }
        self.problems.extend(problems.finish(&affected));
        file
    }

    /// A former name is nobody's any more, and one environment's only.
    fn check_former(&self, former: &EnvironmentName, name: &EnvironmentName, place: Place, problems: &mut FileProblems) {
        let names = environment_names(self.tree);
        if names.contains(former) {
            let hint = format!("a renamed environment has moved: remove {ENVIRONMENTS}/{former} in the same commit");
            problems.report_with_hint(place, format!("the environment {former} is still in this revision"), hint);
        }
        let claims = |other: &&EnvironmentName| {
            let path = format!("{ENVIRONMENTS}/{other}/{}", environment_file::FILE);
            let Some(Node::File(bytes)) = self.tree.nodes.get(&path) else { return false };
            let file = environment_file::read(other, bytes, &mut FileProblems::of(&path));
            file.is_some_and(|file| file.environment.formerly.as_ref() == Some(former))
        };
        if let Some(other) = names.iter().filter(|other| *other != name).find(claims) {
            let hint = "one environment goes on under another name; the other one starts anew";
            problems.report_with_hint(place, format!("{former} was the former name of {other} too"), hint);
        }
    }

    /// Reads a layer unless it has been read; whether it exists.
    fn layer(&mut self, directory: &str, of_environment: bool, user: &EnvironmentName) -> bool {
        let tree = self.tree;
        let layer = self.layers.entry(directory.to_owned()).or_insert_with(|| layer::read(tree, directory, of_environment));
        self.users.entry(directory.to_owned()).or_default().insert(user.clone());
        layer.exists
    }

    /// A directory with `kv/` that no environment names is a layer nobody uses yet: its problems stop nobody, but are told.
    fn unused_layers(&mut self) {
        let is_layer = |name: &&str| {
            let prefix = format!("{name}/kv/");
            self.tree.nodes.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
        };
        let unused: Vec<&str> = top_directories(self.tree)
            .into_iter()
            .filter(|name| *name != ENVIRONMENTS && !name.starts_with('.') && !self.layers.contains_key(*name))
            .filter(is_layer)
            .collect();
        for name in unused {
            let layer = layer::read(self.tree, name, false);
            self.layers.insert(name.to_owned(), layer);
        }
    }
}

/// The file by which git keeps a directory that is empty.
const KEPT_EMPTY: &str = ".gitkeep";

fn top_directories(tree: &FileTree) -> BTreeSet<&str> {
    tree.nodes.keys().filter_map(|path| path.split_once('/')).map(|(top, _)| top).collect()
}

/// The environments' names, and what else stands beside them.
fn scan(tree: &FileTree) -> (BTreeSet<EnvironmentName>, Vec<Problem>) {
    const HINT: &str = "an environment is a directory environments/NAME with an environment.yaml";
    let mut names = BTreeSet::new();
    let mut problems = Vec::new();
    if let Some(node) = tree.nodes.get(ENVIRONMENTS) {
        let (message, _) = refusal(node).unwrap_or(("is a file".to_owned(), None));
        problems.push(whole_file(ENVIRONMENTS, message, Some(HINT), Affected::All));
    }
    let mut last = "";
    for (path, rest, node) in below(tree, ENVIRONMENTS) {
        let (segment, is_directory) = rest.split_once('/').map_or((rest, false), |(segment, _)| (segment, true));
        if is_ignored(segment) || segment == last {
            continue;
        }
        last = segment;
        let place = &path[..ENVIRONMENTS.len() + 1 + segment.len()];
        match EnvironmentName::parse(segment) {
            Ok(name) => {
                if !is_directory {
                    let (message, hint) = refusal(node).unwrap_or(("is a file".to_owned(), None));
                    problems.push(whole_file(place, message, hint.or(Some(HINT)), Affected::one(&name)));
                }
                names.insert(name);
            }
            Err(error) => problems.push(whole_file(place, error.to_string(), Some(HINT), Affected::nobody())),
        }
    }
    let partly = tree.partly.iter().filter_map(|path| path.strip_prefix(ENVIRONMENTS)?.strip_prefix('/'));
    names.extend(partly.filter_map(|name| EnvironmentName::parse(name).ok()));
    // A tree that is empty by accident retires nobody: that there is to be no environment has to be said.
    let is_meant = tree.nodes.contains_key(&format!("{ENVIRONMENTS}/{KEPT_EMPTY}"));
    if names.is_empty() && problems.is_empty() && !is_meant {
        let hint = format!("{HINT}; to retire the last one, leave a file {ENVIRONMENTS}/{KEPT_EMPTY} in its place");
        problems.push(whole_file(ENVIRONMENTS, "there is no environment", Some(&hint), Affected::All));
    }
    (names, problems)
}
