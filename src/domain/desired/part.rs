//! What a change of some files can mean: which environments it reaches, and which files and keys decide what it does there.
//!
//! A difference of two revisions is found from their changed files and those that can name the same keys, however large
//! both are. What is the same file in both says the same of every other key, right or wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::name::EnvironmentName;

use super::environment_file::ENVIRONMENTS;
use super::manifest;
use super::naming::{OwnFile, environment_file, own_directory, own_file};
use super::problem::Problem;
use super::repository::{environment_names, read_scope};
use super::selection::{Scope, Selection};
use super::state::DesiredState;
use super::tree::FileTree;

/// A manifest by a name that is refused.
const MISSPELT: &str = "lockstep.yml";

/// The part of some revisions that a change of files can make different.
#[derive(Debug, Clone)]
pub struct Part {
    /// The files to read of each of them.
    pub files: Selection,
    scopes: BTreeMap<EnvironmentName, Scope>,
}

impl Part {
    /// The environments that the change reaches. In all others both revisions say the same.
    pub fn environments(&self) -> impl Iterator<Item = &EnvironmentName> {
        self.scopes.keys()
    }
}

/// What tells which layers each environment has: the manifest and every environment's own file.
#[must_use]
pub fn heads() -> Selection {
    manifest_and(Selection::environment_files())
}

/// What tells the repository's name.
#[must_use]
pub fn manifest_alone() -> Selection {
    manifest_and(Selection::default())
}

/// All that says something of one environment, given what [`head_of`] selects; none where that does not tell.
#[must_use]
pub fn own_files(tree: &FileTree, name: &EnvironmentName) -> Option<Selection> {
    let file = own_file(tree, name);
    let OwnFile::Read(read) = &file else { return None };
    // Whether a former name is free, and claimed by nobody else, is told by the others' files.
    let mut files = if read.environment.formerly.is_some() { heads() } else { head_of(name) };
    files.directories(layers(name, &[file]));
    Some(files)
}

/// The manifest and one environment's own file.
#[must_use]
pub fn head_of(name: &EnvironmentName) -> Selection {
    let mut files = manifest_alone();
    files.paths([environment_file(name)]);
    files
}

/// Whether a path is one that may mean something to every environment, whatever they say themselves.
pub(super) fn is_of_all(path: &str) -> bool {
    path == manifest::FILE || path == MISSPELT || path == ENVIRONMENTS
}

fn manifest_and(mut files: Selection) -> Selection {
    files.paths([manifest::FILE.to_owned(), MISSPELT.to_owned()]);
    files
}

/// All that says something of one environment, given the [`heads`] of the revision.
#[must_use]
pub fn whole_environment(tree: &FileTree, name: &EnvironmentName) -> Selection {
    let mut files = heads();
    files.directories(layers(name, &[own_file(tree, name)]));
    files
}

/// The part that some changed files decide, given the [`heads`] of the revisions before and after.
#[must_use]
pub fn affected(before: &FileTree, after: &FileTree, changed: &[String]) -> Part {
    let mut part = Part { files: heads(), scopes: BTreeMap::new() };
    let of_all = changed.iter().any(|path| is_of_all(path));
    let mut names = environment_names(before);
    names.extend(environment_names(after));
    for name in names {
        let files = [before, after].map(|tree| own_file(tree, &name));
        let layers = layers(&name, &files);
        let [before, after] = files;
        if is_other(&before, &after) {
            part.files.directories(layers);
            part.scopes.insert(name, Scope::All);
            continue;
        }
        let mut reached = of_all || matches!(before, OwnFile::Broken(_)) || changed.contains(&environment_file(&name));
        let mut keys = BTreeSet::new();
        for inside in changed.iter().flat_map(|path| insides(path, &layers)) {
            reached = true;
            keys.extend(part.files.deciding(inside, &layers));
        }
        if reached {
            // That a layer is there is seen of its directory.
            part.files.paths(layers);
            part.scopes.insert(name, Scope::Below(keys));
        }
    }
    part
}

/// Reads of a revision what the part has of one environment; `None` where the revision does not have the environment, or the
/// change does not reach it.
///
/// # Errors
/// Every problem of the files that were read.
pub fn read_part(tree: &FileTree, name: &EnvironmentName, part: &Part) -> Result<Option<Arc<DesiredState>>, Vec<Problem>> {
    part.scopes.get(name).map_or(Ok(None), |scope| read_scope(tree, name, scope))
}

/// Whether what both say of every key may differ although no file of a layer does.
fn is_other(before: &OwnFile, after: &OwnFile) -> bool {
    match (before, after) {
        (OwnFile::Read(before), OwnFile::Read(after)) => {
            let (before, after) = (&before.environment, &after.environment);
            before.layers != after.layers || before.variables != after.variables
        }
        (OwnFile::Absent, OwnFile::Read(_)) | (OwnFile::Read(_), OwnFile::Absent) => true,
        // What can't be read has no keys to compare.
        (OwnFile::Broken(_), _) | (_, OwnFile::Broken(_)) | (OwnFile::Absent, OwnFile::Absent) => false,
    }
}

/// The directories of the layers, the environment's own among them.
fn layers(name: &EnvironmentName, files: &[OwnFile]) -> BTreeSet<String> {
    let read =
        files.iter().filter_map(|file| if let OwnFile::Read(file) = file { Some(&file.environment.layers) } else { None });
    read.flatten().cloned().chain([own_directory(name)]).collect()
}

/// Where a path lies in those layers that it lies in, which may be several: a layer may lie in another.
pub(super) fn insides<'p>(path: &'p str, layers: &BTreeSet<String>) -> impl Iterator<Item = &'p str> {
    layers.iter().filter_map(move |layer| is_below(path, layer))
}

/// The part of a path below a directory.
pub(super) fn is_below<'p>(path: &'p str, directory: &str) -> Option<&'p str> {
    path.strip_prefix(directory)?.strip_prefix('/')
}

impl Selection {
    /// Adds the files of all layers that decide together with the one that lies there in one of them; the name of the keys that they
    /// decide, as [`Deciding::keys`] has it.
    pub(super) fn deciding(&mut self, inside: &str, layers: &BTreeSet<String>) -> Option<String> {
        let Deciding { files, directories, keys } = Deciding::with(inside);
        for layer in layers {
            self.paths(files.iter().map(|file| format!("{layer}/{file}")));
            self.directories(directories.iter().map(|directory| format!("{layer}/{directory}")));
        }
        keys
    }
}

/// The files of any layer, by their path in it, that decide together with one of them, and what they decide.
#[derive(Default)]
struct Deciding {
    files: Vec<String>,
    directories: Vec<String>,
    /// The key of this name and all keys below it: whatever can name one of them is among the files or in the directories.
    keys: Option<String>,
}

impl Deciding {
    fn with(path: &str) -> Self {
        let values = path.strip_prefix("kv/").and_then(|path| path.strip_suffix(".yaml"));
        let Some(key) = values.or_else(|| path.strip_prefix("files/")) else {
            return Self { files: vec![path.to_owned()], ..Self::default() };
        };
        let above = key.match_indices('/').map(|(at, _)| format!("kv/{}.yaml", &key[..at]));
        Self {
            files: above.chain([format!("kv/{key}.yaml"), format!("files/{key}")]).collect(),
            // A file of values may have such a name too, and keys of other files may lie below the one that a file is.
            directories: vec![format!("kv/{key}"), format!("files/{key}")],
            keys: Some(key.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::desired::{Entry, read};
    use crate::domain::name::KeyPath;

    type Files<'a> = &'a [(&'a str, &'a str)];

    const GROUND: Files<'_> = &[
        ("lockstep.yaml", "name: demo\nlockstep: \"^1\"\n"),
        ("environments/a/environment.yaml", "layers: [base, web]\nvariables: { domain: example }\n"),
        ("environments/b/environment.yaml", "layers: [base]\n"),
        ("base/kv/config.yaml", "app:\n  port: 1\nother: x\n"),
        ("base/kv/config/db.yaml", "port: 5432\nhost: db\n"),
        ("base/files/config/motd", "hello"),
        ("base/checks/up.yaml", "kind: exec\nprogram: smoke\n"),
        ("web/kv/config/web.yaml", "name: web.${domain}\n"),
        ("environments/a/kv/config.yaml", "db:\n  host: !absent\n"),
    ];

    fn tree(files: &BTreeMap<&str, &str>, selection: Option<&Selection>) -> FileTree {
        let whole = FileTree::of_files(files);
        match selection {
            Some(selection) => whole.selected(selection),
            None => whole,
        }
    }

    /// The keys whose values differ, as `environment:key`, and the environments that can't be read.
    fn differing(
        names: &BTreeSet<EnvironmentName>,
        read: impl Fn(bool, &EnvironmentName) -> Result<Option<Arc<DesiredState>>, ()>,
    ) -> Vec<String> {
        let mut found = Vec::new();
        for name in names {
            let (Ok(before), Ok(after)) = (read(false, name), read(true, name)) else {
                found.push(format!("{name} broken"));
                continue;
            };
            let entries = |state: Option<Arc<DesiredState>>| -> BTreeMap<KeyPath, Entry> {
                state.map(|state| state.entries().clone().into_iter().collect()).unwrap_or_default()
            };
            let (before, after) = (entries(before), entries(after));
            let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let said =
                |entries: &BTreeMap<KeyPath, Entry>, key: &KeyPath| entries.get(key).map(|entry| (entry.digest, entry.keep));
            let differs = keys.into_iter().filter(|key| said(&before, key) != said(&after, key));
            found.extend(differs.map(|key| format!("{name}:{key}")));
        }
        found
    }

    /// What a change makes different, found from a part of both revisions and the same as from the whole; and the files of
    /// the part that it is found from.
    #[track_caller]
    fn check(changes: &[(&str, Option<&str>)], expected: &[&str], read_files: usize) {
        check_on(GROUND, changes, expected, read_files);
    }

    #[track_caller]
    fn check_on(ground: Files<'_>, changes: &[(&str, Option<&str>)], expected: &[&str], read_files: usize) {
        let before: BTreeMap<&str, &str> = ground.iter().copied().collect();
        let mut after = before.clone();
        for (path, text) in changes {
            match text {
                Some(text) => _ = after.insert(path, text),
                None => _ = after.remove(path),
            }
        }
        let paths: Vec<String> = changes.iter().map(|(path, _)| (*path).to_owned()).collect();
        let of = |files, selection: &Selection| tree(files, Some(selection));
        let (head_before, head_after) = (of(&before, &heads()), of(&after, &heads()));
        let part = affected(&head_before, &head_after, &paths);
        let (part_before, part_after) = (of(&before, &part.files), of(&after, &part.files));
        let mut names = environment_names(&head_before);
        names.extend(environment_names(&head_after));
        let found = differing(&names, |is_after, name| {
            read_part(if is_after { &part_after } else { &part_before }, name, &part).map_err(|_| ())
        });
        let (whole_before, whole_after) = (read(&tree(&before, None)), read(&tree(&after, None)));
        let whole = differing(&names, |is_after, name| {
            let read = if is_after { &whole_after } else { &whole_before };
            read.environment(name).map(Option::<&Arc<_>>::cloned).map_err(|_| ())
        });
        assert_eq!(found, expected, "from the part");
        assert_eq!(whole, expected, "from the whole");
        let layers = part_after.nodes.keys().filter(|path| !path.ends_with("environment.yaml") && *path != "lockstep.yaml");
        assert_eq!(layers.count(), read_files, "{:?}", part_after.nodes.keys());
    }

    #[test]
    fn a_difference_is_found_from_the_files_that_can_name_the_same_keys() {
        let config = "base/kv/config.yaml";
        check(&[], &[], 0);
        check(&[("README.md", Some("x"))], &[], 0);
        check(&[(config, Some("app:\n  port: 2\nother: x\n"))], &["a:config/app/port", "b:config/app/port"], 5);
        check(&[("base/kv/config/db.yaml", Some("port: 1\nhost: db\n"))], &["a:config/db/port", "b:config/db/port"], 3);
        check(&[("base/kv/config/db.yaml", Some("port: 5432\nhost: x\n"))], &["b:config/db/host"], 3);
        check(&[("base/files/config/motd", None)], &["a:config/motd", "b:config/motd"], 2);
        check(&[("base/files/config/db", Some("x"))], &["a:config/db", "b:config/db"], 4);
        check(&[("web/kv/config/web.yaml", Some("name: x\n"))], &["a:config/web/name"], 3);
        check(&[("base/checks/up.yaml", Some("kind: exec\nprogram: other\n"))], &[], 1);
    }

    #[test]
    fn an_environment_whose_layers_or_variables_change_is_read_whole() {
        let a = "environments/a/environment.yaml";
        check(&[(a, Some("layers: [base, web]\nvariables: { domain: other }\n"))], &["a:config/web/name"], 6);
        check(&[(a, Some("layers: [base]\n"))], &["a:config/web/name"], 6);
        check(&[(a, Some("layers: [base, web]\nvariables: { domain: example }\ndrift: report\n"))], &[], 0);
        let b = ["b:config/app/port", "b:config/db/host", "b:config/db/port", "b:config/motd", "b:config/other"];
        check(&[("environments/b/environment.yaml", None)], &b, 4);
    }

    #[test]
    fn a_file_in_a_layer_that_lies_in_another_decides_in_both() {
        let layers = ["base", "base/kv/web", "web"].map(str::to_owned).into();
        let inside = |path| insides(path, &layers).collect::<Vec<_>>();
        assert_eq!(inside("base/kv/web/kv/x.yaml"), ["kv/web/kv/x.yaml", "kv/x.yaml"]);
        assert_eq!(inside("base/kv/webs/x.yaml"), ["kv/webs/x.yaml"]);
        assert!(inside("other/kv/x.yaml").is_empty() && inside("base").is_empty());
        let ground = [
            GROUND[0],
            ("environments/a/environment.yaml", "layers: [base, base/kv/web]\n"),
            ("base/kv/web/kv/x.yaml", "one: 1\n"),
            ("base/kv/y.yaml", "two: 2\n"),
        ];
        check_on(&ground, &[("base/kv/web/kv/x.yaml", Some("one: 2\n"))], &["a:web/kv/x/one", "a:x/one"], 1);
    }

    #[test]
    fn what_the_change_breaks_is_seen() {
        check(&[("base/kv/config/app.yaml", Some("port: 2\n"))], &["a broken", "b broken"], 3);
        check(&[("web/kv/config/web.yaml", Some("name: ${nothing}\n"))], &["a broken"], 3);
        check(&[("environments/a/environment.yaml", Some("layers: [bas]\n"))], &["a broken"], 6);
        check(&[("environments/a/environment.yaml", None)], &["a broken"], 0);
        check(&[("lockstep.yaml", Some("name: 1\n"))], &["a broken", "b broken"], 0);
        check(&[("base/other/x", Some(""))], &["a broken", "b broken"], 1);
    }
}
