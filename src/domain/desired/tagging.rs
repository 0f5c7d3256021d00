//! Which keys are never shown: what the newest commit that can be read, and that says anything of a key, says of the tag
//! `!sensitive`.
//!
//! A value is often tagged only after somebody noticed that it should be, and one that leaked is removed after that. So the
//! newest word counts for every commit before it too, and a commit that lacks the key has no say. Many keys are asked about
//! at once, and of each further commit only the files are read that are not what they were in the one after it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::{EnvironmentName, KeyPath};

use super::layer;
use super::naming::{OwnFile, environment_file as path_of, own_directory, own_file};
use super::tree::{FileTree, Node};
use super::values::Action;

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
    /// The environment's own file as it was last, with the layers that it tells; none where it is not there.
    own: Option<Own>,
    /// What the other files said last.
    files: BTreeMap<String, (Node, Says)>,
}

#[derive(Debug)]
struct Own {
    node: Node,
    layers: Vec<String>,
}

/// What a file says of the open keys.
#[derive(Debug)]
enum Says {
    /// Nobody knows: no key that it could name is decided by such a commit, unless another file tags it.
    Unreadable,
    /// What it says of each key that it names.
    Keys(BTreeMap<KeyPath, Word>),
}

/// What is said of one key.
#[derive(Debug, Clone, Copy)]
struct Word {
    tagged: bool,
    /// The last layer that says anything, and whether it gives the key a value or takes it back.
    layer: usize,
    is_set: bool,
}

impl Word {
    fn and(self, other: Self) -> Self {
        let is_set = match self.layer.cmp(&other.layer) {
            Ordering::Less => other.is_set,
            Ordering::Equal => self.is_set && other.is_set,
            Ordering::Greater => self.is_set,
        };
        Self { tagged: self.tagged || other.tagged, layer: self.layer.max(other.layer), is_set }
    }

    /// Whether it decides, although some file `may_say` something else that can't be read: that could not take a tag away. What
    /// only takes the key back says nothing of the value that it had.
    fn decides(self, may_say: impl FnOnce() -> bool) -> bool {
        self.tagged || self.is_set && !may_say()
    }
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
    pub fn look(&mut self, tree: &FileTree) {
        let path = path_of(&self.name);
        let Some(node) = tree.nodes.get(&path) else {
            self.files.clear();
            self.own = None;
            self.is_read = true;
            return;
        };
        let is_as_before = self.own.as_ref().is_some_and(|own| own.node == *node);
        if !is_as_before {
            self.files.clear();
            // What can't be read says nothing of any key.
            let layers = match own_file(tree, &self.name) {
                OwnFile::Read(file) => file.environment.layers.into_iter().chain([own_directory(&self.name)]).collect(),
                OwnFile::Broken(_) | OwnFile::Absent => Vec::new(),
            };
            self.own = Some(Own { node: node.clone(), layers });
        }
        if self.own.as_ref().is_some_and(|own| !own.layers.is_empty()) {
            self.is_read = true;
            let touched = self.read(tree, &path, !is_as_before);
            self.decide(touched.as_ref());
        }
    }

    /// Goes on under the name that the environment had before.
    pub fn rename(&mut self, former: EnvironmentName) {
        self.name = former;
        self.own = None;
        self.files.clear();
    }

    /// Reads the files that are not as they were. The keys that may be decided by that; none: any.
    fn read(&mut self, tree: &FileTree, own: &str, everything: bool) -> Option<BTreeSet<KeyPath>> {
        let mut before = std::mem::take(&mut self.files);
        let (mut touched, mut any) = (BTreeSet::new(), everything);
        let mut touch = |says: &Says| match says {
            Says::Unreadable => any = true,
            Says::Keys(keys) => touched.extend(keys.keys().cloned()),
        };
        for (path, node) in tree.nodes.iter().filter(|(path, _)| *path != own) {
            let said = match before.remove(path) {
                Some((known, said)) if known == *node => said,
                other => {
                    // What it says no more may have been what kept another file from deciding.
                    if let Some((_, said)) = &other {
                        touch(said);
                    }
                    let said = self.said(path, node);
                    if let Says::Keys(_) = &said {
                        touch(&said);
                    }
                    said
                }
            };
            self.files.insert(path.clone(), (node.clone(), said));
        }
        for (_, said) in before.values() {
            touch(said);
        }
        (!any).then_some(touched)
    }

    /// What one file says of the open keys, for each layer that it lies in.
    fn said(&self, path: &str, node: &Node) -> Says {
        let tree = FileTree { nodes: BTreeMap::from([(path.to_owned(), node.clone())]), ..FileTree::default() };
        let mut keys = BTreeMap::new();
        for (number, directory) in self.own.iter().flat_map(|own| &own.layers).enumerate() {
            let layer = layer::read(&tree, directory, *directory == own_directory(&self.name));
            if !layer.problems.is_empty() {
                return Says::Unreadable;
            }
            for (key, told) in layer.keys.iter().filter(|(key, _)| self.open.contains(*key)) {
                let (is_set, tagged) = match told.action {
                    Action::Set { sensitive, .. } => (true, sensitive),
                    Action::Absent => (false, false),
                };
                add(&mut keys, key, Word { tagged, layer: number, is_set });
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
                    for (key, word) in keys.iter().filter(|(key, _)| touched.is_none_or(|touched| touched.contains(*key))) {
                        add(&mut said, key, *word);
                    }
                }
            }
        }
        let may_say =
            |key: &KeyPath| unreadable.iter().any(|path| layers.iter().any(|layer| can_name(layer, path, key.as_str())));
        said.retain(|key, word| word.decides(|| may_say(key)));
        for (key, word) in &said {
            if self.open.remove(key) && word.tagged {
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

fn add(keys: &mut BTreeMap<KeyPath, Word>, key: &KeyPath, word: Word) {
    keys.entry(key.clone()).and_modify(|known| *known = known.and(word)).or_insert(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files<'a> = &'a [(&'a str, &'a str)];

    const OWN: (&str, &str) = ("environments/test/environment.yaml", "layers: [base, web]\n");
    const BASE: &str = "base/kv/config.yaml";
    const WEB: &str = "web/kv/config.yaml";

    fn tree(files: Files<'_>) -> FileTree {
        FileTree::of_files(files.iter().copied())
    }

    /// What commits, newest first, say of the keys `config/a`, `config/b` and `config/c/d`: which are tagged, which are open.
    #[track_caller]
    fn check(commits: &[Files<'_>], tagged: &[&str], open: &[&str]) {
        let keys = ["config/a", "config/b", "config/c/d"].map(|key| KeyPath::parse(key).unwrap());
        let mut tagging = Tagging::of(EnvironmentName::parse("test").unwrap(), keys.into());
        for files in commits {
            tagging.look(&tree(files));
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
        // While it was retired nothing was said.
        check(&[&[OWN], &[], &[OWN, (BASE, "a: !sensitive 1\n")]], &["a"], &["b", "c/d"]);
        // Untagged since.
        check(&[&[OWN, (BASE, "a: 1\n")], &[OWN, (BASE, "a: !sensitive 1\n")]], &[], &["b", "c/d"]);
    }

    #[test]
    fn every_layer_and_every_form_of_a_file_counts() {
        check(&[&[OWN, (BASE, "a: !sensitive 1\n"), (WEB, "a: 2\n")]], &["a"], &["b", "c/d"]);
        check(&[&[OWN, (BASE, "a: !sensitive 1\n"), (WEB, "a: !absent\n")]], &["a"], &["b", "c/d"]);
        check(&[&[OWN, (BASE, "b: !absent\n"), ("web/files/config/a", "x")]], &[], &["b", "c/d"]);
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
    fn a_tag_counts_whatever_else_cannot_be_read() {
        let broken = (WEB, "a: 1\na: 2\n");
        let untagged: Files<'_> = &[OWN, (BASE, "a: 1\n")];
        check(&[&[OWN, (BASE, "a: !sensitive 1\n"), broken], untagged], &["a"], &["b", "c/d"]);
        // Read already when the other file broke, and mended since.
        check(&[&[OWN, broken], &[OWN, (BASE, "a: !sensitive 1\n"), broken], untagged], &["a"], &["b", "c/d"]);
    }

    #[test]
    fn a_commit_before_the_environment_had_its_name_is_read_under_the_former_one() {
        let mut tagging = Tagging::of(EnvironmentName::parse("test").unwrap(), [KeyPath::parse("config/a").unwrap()].into());
        tagging.look(&tree(&[OWN, (BASE, "x: 1\n")]));
        tagging.rename(EnvironmentName::parse("old").unwrap());
        let former = ("environments/old/environment.yaml", "layers: [web]\n");
        tagging.look(&tree(&[former, (BASE, "a: 1\n"), (WEB, "a: !sensitive 1\n")]));
        assert_eq!(tagging.told().0.len(), 1);
    }

    #[test]
    fn a_commit_that_only_takes_a_key_back_leaves_the_word_to_an_older_one() {
        let taken_back = ("environments/test/kv/config.yaml", "a: !absent\n");
        let tagged: Files<'_> = &[OWN, (BASE, "a: !sensitive 1\n"), taken_back];
        // Taken back from nothing, which is invalid, and from an untagged value.
        check(&[&[OWN, taken_back], tagged], &["a"], &["b", "c/d"]);
        check(&[&[OWN, (BASE, "a: 2\n"), taken_back], tagged], &["a"], &["b", "c/d"]);
        check(&[&[OWN, (WEB, "a: !absent\n"), (BASE, "a: 2\n")], &[OWN, (BASE, "a: 2\n")], tagged], &[], &["b", "c/d"]);
        check(&[&[OWN, (BASE, "a: !absent\n"), (WEB, "a: 2\n")], tagged], &[], &["b", "c/d"]);
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
