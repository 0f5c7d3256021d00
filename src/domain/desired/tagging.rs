//! Which keys are never shown: what the newest commit that can be read, and that says anything of a key, says of the tag
//! `!sensitive`.
//!
//! A value is often tagged only after somebody noticed that it should be, and one that leaked is removed after that. So the
//! newest word counts for every commit before it too, and a commit that lacks the key has no say. Many keys are asked about
//! at once, and of each further commit only the files are read that are not what they were in the one after it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::{EnvironmentName, KeyPath};

use super::environment_file::{self, EnvironmentFile};
use super::layer;
use super::problem::FileProblems;
use super::provenance::{environment_file as path_of, own_directory};
use super::repository::environment_names;
use super::tree::{FileTree, Node};
use super::values::Action;

/// The environment of a revision that was called so before, as far as the files of the environments can be read (rule O9).
#[must_use]
pub fn heir_of(tree: &FileTree, name: &EnvironmentName) -> Option<EnvironmentName> {
    let formerly = |heir: &EnvironmentName| own_file(tree.nodes.get(&path_of(heir))?, heir)?.environment.formerly;
    environment_names(tree).into_iter().find(|heir| formerly(heir).as_ref() == Some(name))
}

/// Some keys of an environment, and what is known of their tags from commits that were looked at, newest first.
#[derive(Debug)]
pub struct Tagging {
    /// What the environment is called at the commits that come next.
    name: EnvironmentName,
    /// Keys of which no commit said anything yet.
    open: BTreeSet<KeyPath>,
    tagged: BTreeSet<KeyPath>,
    /// Some commit could be read.
    is_read: bool,
    /// The environment's own file as it was last, with the layers and the former name that it tells.
    own: Option<Own>,
    /// What the other files said last.
    files: BTreeMap<String, (Node, Says)>,
}

#[derive(Debug)]
struct Own {
    node: Node,
    layers: Vec<String>,
    formerly: Option<EnvironmentName>,
}

/// What a file says of the open keys.
#[derive(Debug)]
enum Says {
    /// Nobody knows: no key that it could name is decided by such a commit.
    Unreadable,
    /// Whether each key that it names is tagged.
    Keys(BTreeMap<KeyPath, bool>),
}

impl Tagging {
    /// Nothing is known of these keys yet.
    #[must_use]
    pub fn of(environment: EnvironmentName, keys: BTreeSet<KeyPath>) -> Self {
        let (tagged, files) = (BTreeSet::new(), BTreeMap::new());
        Self { name: environment, open: keys, tagged, is_read: false, own: None, files }
    }

    /// What the environment is called at the commits that come next.
    #[must_use]
    pub fn name(&self) -> &EnvironmentName {
        &self.name
    }

    /// The keys of which nothing is known yet.
    #[must_use]
    pub fn open(&self) -> &BTreeSet<KeyPath> {
        &self.open
    }

    /// Whether any commit could be read: what is open otherwise may be tagged in all of them.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// The keys that are tagged, and those of which nothing is known.
    #[must_use]
    pub fn told(self) -> (BTreeSet<KeyPath>, BTreeSet<KeyPath>) {
        (self.tagged, self.open)
    }

    /// Goes one commit further back, of which the environment's own file is here and those that [`super::files_of_all`] tells.
    ///
    /// False: the environment was given its name by the commit after this one, and had [`Self::name`] before, so that other
    /// files of this one are needed.
    pub fn look(&mut self, tree: &FileTree) -> bool {
        let path = path_of(&self.name);
        let Some(node) = tree.nodes.get(&path) else {
            let former = self.own.take().and_then(|own| own.formerly);
            self.files.clear();
            self.is_read |= former.is_none();
            return former.is_none_or(|former| {
                self.name = former;
                false
            });
        };
        let is_as_before = self.own.as_ref().is_some_and(|own| own.node == *node);
        if !is_as_before {
            self.files.clear();
            // What can't be read says nothing, and hides no former name that a newer commit gave.
            let formerly = self.own.take().and_then(|own| own.formerly);
            let read = own_file(node, &self.name);
            let is_broken = read.is_none();
            let (layers, formerly) = read.map_or((Vec::new(), formerly.clone()), |file| {
                let former = file.environment.formerly.clone();
                (layers_of(&self.name, file), former.or(formerly))
            });
            self.own = Some(Own { node: node.clone(), layers, formerly });
            if is_broken {
                return true;
            }
        }
        self.is_read |= self.own.as_ref().is_some_and(|own| !own.layers.is_empty());
        let touched = self.read(tree, &path, !is_as_before);
        self.decide(touched.as_ref());
        true
    }

    /// Reads the files that are not as they were. The keys that may be decided by that; none: any.
    fn read(&mut self, tree: &FileTree, own: &str, everything: bool) -> Option<BTreeSet<KeyPath>> {
        let mut before = std::mem::take(&mut self.files);
        let (mut touched, mut any) = (BTreeSet::new(), everything);
        for (path, node) in tree.nodes.iter().filter(|(path, _)| *path != own) {
            let said = match before.remove(path) {
                Some((known, said)) if known == *node => said,
                other => {
                    any |= matches!(other, Some((_, Says::Unreadable)));
                    let said = self.said(path, node);
                    if let Says::Keys(keys) = &said {
                        touched.extend(keys.keys().cloned());
                    }
                    said
                }
            };
            self.files.insert(path.clone(), (node.clone(), said));
        }
        any |= before.values().any(|(_, said)| matches!(said, Says::Unreadable));
        (!any).then_some(touched)
    }

    /// What one file says of the open keys, for each layer that it lies in.
    fn said(&self, path: &str, node: &Node) -> Says {
        let tree = FileTree { nodes: BTreeMap::from([(path.to_owned(), node.clone())]), ..FileTree::default() };
        let mut keys = BTreeMap::new();
        for directory in self.own.iter().flat_map(|own| &own.layers) {
            let layer = layer::read(&tree, directory, *directory == own_directory(&self.name));
            if !layer.problems.is_empty() {
                return Says::Unreadable;
            }
            for (key, told) in layer.keys.iter().filter(|(key, _)| self.open.contains(*key)) {
                let tagged = matches!(told.action, Action::Set { sensitive: true, .. });
                *keys.entry(key.clone()).or_default() |= tagged;
            }
        }
        Says::Keys(keys)
    }

    /// Closes the keys that these files decide: of some that were touched, or of all.
    fn decide(&mut self, touched: Option<&BTreeSet<KeyPath>>) {
        let Some(Own { layers, .. }) = &self.own else { return };
        let mut said = BTreeMap::new();
        let mut unreadable = Vec::new();
        for (path, (_, says)) in &self.files {
            match says {
                Says::Unreadable => unreadable.push(path.as_str()),
                Says::Keys(keys) => {
                    for (key, tagged) in keys.iter().filter(|(key, _)| touched.is_none_or(|touched| touched.contains(*key))) {
                        *said.entry(key.clone()).or_insert(false) |= tagged;
                    }
                }
            }
        }
        said.retain(|key, _| !unreadable.iter().any(|path| layers.iter().any(|layer| can_name(layer, path, key.as_str()))));
        for (key, tagged) in &said {
            if self.open.remove(key) && *tagged {
                self.tagged.insert(key.clone());
            }
        }
        if !said.is_empty() {
            let open = &self.open;
            for (_, says) in self.files.values_mut() {
                if let Says::Keys(keys) = says {
                    keys.retain(|key, _| open.contains(key));
                }
            }
        }
    }
}

/// Whether a layer's file, or what stands in the place of its directory, could name a key.
fn can_name(layer: &str, path: &str, key: &str) -> bool {
    if layer == path {
        return true;
    }
    let Some(rest) = path.strip_prefix(layer).and_then(|rest| rest.strip_prefix('/')) else {
        return layer.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    };
    let is_above = |above: &str| key.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
    match rest.split_once('/') {
        // A file in the place of a whole directory.
        None => true,
        Some(("kv", rest)) => is_above(rest) || rest.strip_suffix(".yaml").is_some_and(is_above),
        Some(("files", rest)) => rest == key || is_above(rest),
        Some(_) => false,
    }
}

fn own_file(node: &Node, environment: &EnvironmentName) -> Option<EnvironmentFile> {
    let Node::File(bytes) = node else { return None };
    let mut problems = FileProblems::of("");
    environment_file::read(environment, bytes, &mut problems).filter(|_| problems.count() == 0)
}

fn layers_of(environment: &EnvironmentName, file: EnvironmentFile) -> Vec<String> {
    file.environment.layers.into_iter().chain([own_directory(environment)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files<'a> = &'a [(&'a str, &'a str)];

    const OWN: (&str, &str) = ("environments/test/environment.yaml", "layers: [base, web]\n");
    const BASE: &str = "base/kv/config.yaml";
    const WEB: &str = "web/kv/config.yaml";

    fn tree(files: Files<'_>) -> FileTree {
        FileTree::of_files(files.iter().map(|(path, text)| (*path, text.as_bytes())))
    }

    /// What commits, newest first, say of the keys `config/a`, `config/b` and `config/c/d`: which are tagged, which are open.
    #[track_caller]
    fn check(commits: &[Files<'_>], tagged: &[&str], open: &[&str]) {
        let keys = ["config/a", "config/b", "config/c/d"].map(|key| KeyPath::parse(key).unwrap());
        let mut tagging = Tagging::of(EnvironmentName::parse("test").unwrap(), keys.into());
        for files in commits {
            if !tagging.look(&tree(files)) {
                assert!(tagging.look(&tree(files)), "under its former name {}", tagging.name());
            }
        }
        let (found, rest) = tagging.told();
        let words = |keys: &BTreeSet<KeyPath>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((words(&found), words(&rest)), (words_of(tagged), words_of(open)));
    }

    fn words_of(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| format!("config/{key}")).collect()
    }

    #[test]
    fn the_newest_commit_that_says_anything_of_a_key_decides() {
        check(&[], &[], &["a", "b", "c/d"]);
        check(&[&[OWN]], &[], &["a", "b", "c/d"]);
        check(&[&[OWN, (BASE, "a: 1\nb: !sensitive 2\nc: {d: 3}\n")]], &["b"], &[]);
        // Removed since it was tagged, each at another commit.
        check(
            &[
                &[OWN, (BASE, "x: 1\n")],
                &[OWN, (BASE, "x: 1\nb: !sensitive 2\n")],
                &[OWN, (BASE, "x: 1\nb: 2\na: !sensitive 1\n")],
                &[OWN, (BASE, "x: 1\nb: 2\na: 1\n"), (WEB, "c: {d: 1}\n")],
            ],
            &["a", "b"],
            &[],
        );
        // Untagged since.
        check(&[&[OWN, (BASE, "a: 1\n")], &[OWN, (BASE, "a: !sensitive 1\n")]], &[], &["b", "c/d"]);
    }

    #[test]
    fn every_layer_and_every_form_of_a_file_counts() {
        check(&[&[OWN, (BASE, "a: !sensitive 1\n"), (WEB, "a: 2\n")]], &["a"], &["b", "c/d"]);
        check(&[&[OWN, (BASE, "a: !sensitive 1\n"), (WEB, "a: !absent\n")]], &["a"], &["b", "c/d"]);
        check(&[&[OWN, (BASE, "b: !absent\n"), ("web/files/config/a", "x")]], &[], &["c/d"]);
        check(&[&[OWN, ("environments/test/kv/config/c.yaml", "d: !sensitive x\n")]], &["c/d"], &["a", "b"]);
        check(&[&[OWN, ("other/kv/config.yaml", "a: !sensitive 1\n")]], &[], &["a", "b", "c/d"]);
    }

    #[test]
    fn what_cannot_be_read_decides_no_key_that_it_could_name_and_every_other() {
        const TAGGED: (&str, &str) = (BASE, "a: !sensitive 1\nb: !sensitive 2\nc: {d: !sensitive 3}\n");
        let broken = ("base/kv/config/c.yaml", "d: 1\nd: 2\n");
        check(&[&[OWN, broken, (BASE, "a: 1\nb: 2\n"), (WEB, "c: {d: 1}\n")], &[OWN, TAGGED]], &["c/d"], &[]);
        check(&[&[OWN, (BASE, "a: 1\na: 2\n"), (WEB, "a: 1\n")], &[OWN, TAGGED]], &["a", "b", "c/d"], &[]);
        check(&[&[OWN, (BASE, "a: 1\na: 2\n"), (WEB, "a: 1\n")], &[OWN, (WEB, "a: 1\n")]], &[], &["b", "c/d"]);
        check(&[&[(OWN.0, "layers: 1\n"), (BASE, "a: 1\n")], &[OWN, TAGGED]], &["a", "b", "c/d"], &[]);
        check(&[&[], &[OWN, TAGGED]], &["a", "b", "c/d"], &[]);
        check(&[&[OWN, ("base/kv", "a file"), (WEB, "a: 1\n")], &[OWN, TAGGED]], &["a", "b", "c/d"], &[]);
    }

    #[test]
    fn a_commit_before_the_environment_had_its_name_is_read_under_the_former_one() {
        let renamed = (OWN.0, "layers: [base]\nformerly: old\n");
        let former = ("environments/old/environment.yaml", "layers: [web]\n");
        let tagged = (WEB, "a: !sensitive 1\n");
        check(&[&[renamed, (BASE, "x: 1\n")], &[former, (WEB, "x: 1\n")], &[former, tagged]], &["a"], &["b", "c/d"]);
        check(&[&[OWN], &[renamed], &[former, tagged]], &["a"], &["b", "c/d"]);
        check(&[&[renamed], &[(OWN.0, "layers: 1\n")], &[former, tagged]], &["a"], &["b", "c/d"]);
        let heir =
            |files: Files<'_>| heir_of(&tree(files), &EnvironmentName::parse("old").unwrap()).map(|heir| heir.to_string());
        assert_eq!(heir(&[renamed, ("environments/a/environment.yaml", "layers: 1\n")]).as_deref(), Some("test"));
        assert_eq!(heir(&[OWN]), None);
    }

    #[test]
    fn a_commit_of_which_nothing_can_be_read_is_known_as_such() {
        let keys = BTreeSet::from([KeyPath::parse("config/a").unwrap()]);
        let is_read = |files: Files<'_>| {
            let mut tagging = Tagging::of(EnvironmentName::parse("test").unwrap(), keys.clone());
            tagging.look(&tree(files));
            tagging.is_read()
        };
        assert!(is_read(&[OWN]) && is_read(&[]), "one that says nothing can be read");
        assert!(!is_read(&[(OWN.0, "layers: 1\n")]));
    }
}
