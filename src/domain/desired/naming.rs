//! An environment's own file, and what the own files say of the names that environments had before (rule O9).

use std::collections::BTreeMap;

use crate::domain::name::EnvironmentName;

use super::environment_file::{self, ENVIRONMENTS, EnvironmentFile};
use super::problem::FileProblems;
use super::repository::environment_names;
use super::tree::{FileTree, Node};

/// Where an environment's own file lies in the repository.
#[must_use]
pub fn environment_file(environment: &EnvironmentName) -> String {
    format!("{}/{}", own_directory(environment), environment_file::FILE)
}

pub(super) fn own_directory(environment: &EnvironmentName) -> String {
    format!("{ENVIRONMENTS}/{environment}")
}

/// An environment's own file as a revision has it.
pub(super) enum OwnFile {
    Absent,
    /// Something is wrong with it; the former name that it gives all the same.
    Broken(Option<EnvironmentName>),
    Read(Box<EnvironmentFile>),
}

impl OwnFile {
    fn formerly(self) -> Option<EnvironmentName> {
        match self {
            Self::Absent => None,
            Self::Broken(formerly) => formerly,
            Self::Read(file) => file.environment.formerly,
        }
    }
}

pub(super) fn own_file(tree: &FileTree, name: &EnvironmentName) -> OwnFile {
    let path = environment_file(name);
    let Some(node) = tree.nodes.get(&path) else {
        let directory = own_directory(name);
        let is_there = tree.partly.contains(&directory) || tree.nodes.contains_key(&directory);
        return if is_there { OwnFile::Broken(None) } else { OwnFile::Absent };
    };
    let Node::File(bytes) = node else { return OwnFile::Broken(None) };
    let mut problems = FileProblems::of(&path);
    match environment_file::read(name, bytes, &mut problems) {
        Some(file) if problems.count() == 0 => OwnFile::Read(Box::new(file)),
        file => OwnFile::Broken(file.and_then(|file| file.environment.formerly)),
    }
}

/// What an environment's own file says that it was called before, as far as that can be read.
#[must_use]
pub fn former_name(tree: &FileTree, environment: &EnvironmentName) -> Option<EnvironmentName> {
    own_file(tree, environment).formerly()
}

/// Under which name an environment that this revision does not have goes on, given the [`super::heads`] of the revision; none:
/// nobody says that it does.
///
/// # Errors
/// The environment whose own file can't be read: nobody knows whether that says so.
pub fn goes_on_as(tree: &FileTree, former: &EnvironmentName) -> Result<Option<EnvironmentName>, EnvironmentName> {
    let mut broken = None;
    for name in environment_names(tree) {
        match own_file(tree, &name) {
            OwnFile::Read(read) if read.environment.formerly.as_ref() == Some(former) => return Ok(Some(name)),
            OwnFile::Broken(_) => broken = broken.or(Some(name)),
            OwnFile::Read(_) | OwnFile::Absent => {}
        }
    }
    broken.map_or(Ok(None), Err)
}

/// Under which names an environment went on since it was there last, from commits that have all own files, newest first.
#[derive(Debug)]
pub struct Heirs {
    name: EnvironmentName,
    /// What each own file says, where it is as in the commit before: few of them change at a time.
    known: BTreeMap<EnvironmentName, (Node, Option<EnvironmentName>)>,
    /// Who says of whom, heirs by former names, without what a neighbour says as well.
    said: Vec<BTreeMap<EnvironmentName, EnvironmentName>>,
}

impl Heirs {
    /// Nothing is known yet.
    #[must_use]
    pub fn of(name: EnvironmentName) -> Self {
        Self { name, known: BTreeMap::new(), said: Vec::new() }
    }

    /// Goes one commit further back. False: this one has the environment, so that no older one matters.
    pub fn look(&mut self, tree: &FileTree) -> bool {
        if tree.nodes.contains_key(&environment_file(&self.name)) {
            return false;
        }
        let mut before = std::mem::take(&mut self.known);
        for name in environment_names(tree) {
            let Some(node) = tree.nodes.get(&environment_file(&name)) else { continue };
            let said = match before.remove(&name) {
                Some((known, said)) if known == *node => said,
                _ => former_name(tree, &name),
            };
            self.known.insert(name, (node.clone(), said));
        }
        let heirs: BTreeMap<_, _> =
            self.known.iter().filter_map(|(heir, (_, former))| Some((former.clone()?, heir.clone()))).collect();
        if self.said.last() != Some(&heirs) {
            self.said.push(heirs);
        }
        true
    }

    /// The name that was asked for and those that came after it, in this order.
    #[must_use]
    pub fn names(self) -> Vec<EnvironmentName> {
        let mut names = vec![self.name];
        for heirs in self.said.iter().rev() {
            while let Some(heir) = names.last().and_then(|name| heirs.get(name)).filter(|heir| !names.contains(heir)) {
                names.push(heir.clone());
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EnvironmentName {
        EnvironmentName::parse(text).unwrap()
    }

    /// A commit by words: `live<staging` says that it was called staging before, `live!` is broken.
    fn tree(words: &str) -> FileTree {
        let file = |word: &str| {
            let (name, former) = word.split_once('<').unwrap_or((word, ""));
            let formerly = if former.is_empty() { String::new() } else { format!("formerly: {former}\n") };
            let layers = if name.ends_with('!') { "layers: 1\n" } else { "layers: [base]\n" };
            (format!("environments/{}/environment.yaml", name.trim_end_matches('!')), format!("{layers}{formerly}"))
        };
        let files: Vec<(String, String)> = words.split_whitespace().map(file).collect();
        FileTree::of_files(files)
    }

    #[test]
    fn an_environment_is_followed_through_every_name_that_some_commit_tells() {
        let check = |commits: &[&str], expected: &[&str]| {
            let mut heirs = Heirs::of(name("a"));
            let _ = commits.iter().all(|words| heirs.look(&tree(words)));
            let names = heirs.names();
            assert_eq!(names.iter().map(EnvironmentName::as_str).collect::<Vec<_>>(), expected, "{commits:?}");
        };
        check(&[], &["a"]);
        check(&["b", "a b"], &["a"]);
        check(&["b<a", "a"], &["a", "b"]);
        check(&["b", "b<a x", "x", "a x"], &["a", "b"]);
        check(&["c", "c<b", "b", "b<a", "a"], &["a", "b", "c"]);
        check(&["x", "b!<a", "a"], &["a", "b"]);
        // What came before the environment was there last is not its future.
        check(&["x", "a", "b<a"], &["a"]);
        check(&["b<c", "c<b", "b<a", "a"], &["a", "b", "c"]);
    }

    #[test]
    fn nobody_knows_under_which_name_an_environment_goes_on_where_a_file_cannot_be_read() {
        let check = |words, expected| assert_eq!(goes_on_as(&tree(words), &name("a")), expected, "{words}");
        check("b c<b", Ok(None));
        check("b! c<a", Ok(Some(name("c"))));
        check("b! c", Err(name("b")));
        assert_eq!(former_name(&tree("b!<a"), &name("b")), Some(name("a")), "as far as it can be read");
    }
}
