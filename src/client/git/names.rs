//! How environments were called that the branch does not have any more: what was said of their names last (rule O9).

use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, Repository, Tree, TreeEntry};

use super::id::revision;
use super::trail::{find, parent};
use super::tree::{self, Reading, TreeLimits, damaged};
use super::{GitSource, Inner};
use crate::domain::desired::{ENVIRONMENT_FILE, ENVIRONMENTS, FileTree, environment_file, former_name};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::port::{EdgeError, LastSeen};

/// The most commits that one part goes back: a call to the mirror must end in time.
const MOST_COMMITS: usize = 20_000;
/// The most parts: what was not there in so many commits is unknown.
const MOST_PARTS: usize = 10;

impl GitSource {
    pub(super) async fn seen_last(
        &self,
        environments: &BTreeSet<EnvironmentName>,
        upto: Revision,
        since: Option<Revision>,
    ) -> Result<BTreeMap<EnvironmentName, LastSeen>, EdgeError> {
        let mut search = Search::of(environments.clone(), upto, since);
        for _ in 0..MOST_PARTS {
            let Some(next) = search.next else { break };
            let operation = format!("read what was said of environments last up to {next}");
            let text = operation.clone();
            let goes_on = move |inner: &Inner, mirror: &Repository| {
                search.go_on(mirror, &inner.options.tree, MOST_COMMITS, &text)?;
                Ok(search)
            };
            search = self.read(operation, goes_on).await?;
        }
        Ok(search.found)
    }
}

/// One way back for all names, however many they are: no commit is looked at twice.
struct Search {
    /// Which names were not met yet.
    wanted: BTreeSet<EnvironmentName>,
    found: BTreeMap<EnvironmentName, LastSeen>,
    /// The commit after the next, which has none of them.
    after: Option<Revision>,
    /// Where it goes on; none: it is over.
    next: Option<Revision>,
    since: Option<Revision>,
}

impl Search {
    fn of(wanted: BTreeSet<EnvironmentName>, upto: Revision, since: Option<Revision>) -> Self {
        Self { wanted, found: BTreeMap::new(), after: None, next: Some(upto), since }
    }

    /// Goes at most so many commits back.
    fn go_on(&mut self, mirror: &Repository, limits: &TreeLimits, at_most: usize, operation: &str) -> Result<(), EdgeError> {
        let failed = |error| damaged(operation.to_owned(), error);
        let Some(from) = self.next.take() else { return Ok(()) };
        let mut next = Some(find(mirror, from, operation)?);
        // What has none of them in one commit has none in another either.
        let mut known: Option<Oid> = None;
        for _ in 0..at_most {
            let Some(commit) = next else { return Ok(()) };
            let root = commit.tree().map_err(failed)?;
            if let Some(all) = root.get_name(ENVIRONMENTS).filter(tree::is_directory).filter(|all| Some(all.id()) != known) {
                self.meet(mirror, limits, &mirror.find_tree(all.id()).map_err(failed)?).map_err(failed)?;
                known = Some(all.id());
            }
            let here = revision(commit.id());
            if self.wanted.is_empty() || self.since == Some(here) {
                return Ok(());
            }
            self.after = Some(here);
            next = parent(&commit, operation)?;
        }
        self.next = next.map(|commit| revision(commit.id()));
        Ok(())
    }

    /// Those of them that a commit has, with its environments in this directory.
    fn meet(&mut self, mirror: &Repository, limits: &TreeLimits, all: &Tree<'_>) -> Result<(), git2::Error> {
        let mut met = Vec::new();
        for name in &self.wanted {
            let Some(own) = all.get_name(name.as_str()).filter(tree::is_directory) else { continue };
            let own = mirror.find_tree(own.id())?;
            let is_file = |entry: &TreeEntry<'_>| !tree::is_directory(entry);
            let Some(file) = own.get_name(ENVIRONMENT_FILE).filter(is_file) else { continue };
            let node = Reading::of(mirror, limits)?.node(file.id(), file.filemode_raw())?;
            let said = FileTree { nodes: [(environment_file(name), node)].into(), ..FileTree::default() };
            met.push((name.clone(), LastSeen { formerly: former_name(&said, name), gone: self.after }));
        }
        for (name, seen) in met {
            self.wanted.remove(&name);
            self.found.insert(name, seen);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use git2::ObjectType;

    use super::*;

    /// A mirror with commits that are made from nothing but what they say.
    struct Mirror {
        repository: Repository,
        _home: tempfile::TempDir,
    }

    impl Mirror {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            Self { repository: Repository::init_bare(home.path()).unwrap(), _home: home }
        }

        fn directory(&self, entries: &[(&str, Oid, i32)]) -> Oid {
            let mut builder = self.repository.treebuilder(None).unwrap();
            for (name, id, mode) in entries {
                builder.insert(name, *id, *mode).unwrap();
            }
            builder.write().unwrap()
        }

        /// A commit after another one, which may be absent, with environments by words: `b<a` says that it was called a before.
        fn commit(&self, parent: Revision, words: &str) -> Revision {
            let environment = |word: &str| {
                let (name, former) = word.split_once('<').unwrap_or((word, ""));
                let formerly = if former.is_empty() { String::new() } else { format!("formerly: {former}\n") };
                let file = self.repository.blob(format!("layers: [base]\n{formerly}").as_bytes()).unwrap();
                (name.to_owned(), self.directory(&[(ENVIRONMENT_FILE, file, 0o100_644)]))
            };
            let all: Vec<(String, Oid)> = words.split_whitespace().map(environment).collect();
            let all: Vec<(&str, Oid, i32)> = all.iter().map(|(name, id)| (name.as_str(), *id, 0o040_000)).collect();
            let root = self.directory(&[(ENVIRONMENTS, self.directory(&all), 0o040_000)]);
            let ada = "Ada <ada@example.com> 0 +0000";
            let text = format!("tree {root}\nparent {parent}\nauthor {ada}\ncommitter {ada}\n\nwords\n");
            revision(self.repository.odb().unwrap().write(ObjectType::Commit, text.as_bytes()).unwrap())
        }

        /// The commits of these words, oldest first. The one before them is absent: to go there fails.
        fn commits(&self, words: &[&str]) -> Vec<Revision> {
            let mut parent = revision(Oid::from_str(&"7".repeat(40)).unwrap());
            let next = |words: &&str| {
                parent = self.commit(parent, words);
                parent
            };
            words.iter().map(next).collect()
        }

        /// What was said last of these names: each with its former one, and by its number the commit that does not have it.
        fn last(&self, names: &str, commits: &[Revision], since: Option<usize>, at_most: usize) -> Result<String, EdgeError> {
            let names = names.split_whitespace().map(|name| EnvironmentName::parse(name).unwrap()).collect();
            let upto = *commits.last().unwrap();
            let mut search = Search::of(names, upto, since.map(|number| commits[number]));
            while search.next.is_some() {
                search.go_on(&self.repository, &TreeLimits::default(), at_most, "look")?;
            }
            let told = |(name, LastSeen { formerly, gone }): (&EnvironmentName, &LastSeen)| {
                let gone = gone.map(|gone| commits.iter().position(|commit| *commit == gone).unwrap());
                let formerly = formerly.as_ref().map_or(String::new(), |former| format!("<{former}"));
                gone.map_or(format!("{name}{formerly}"), |gone| format!("{name}{formerly} until {gone}"))
            };
            Ok(search.found.iter().map(told).collect::<Vec<_>>().join(", "))
        }
    }

    #[test]
    fn names_are_looked_for_no_further_back_than_to_a_mark_and_only_until_all_are_found() {
        let mirror = Mirror::new();
        let commits = mirror.commits(&["a", "b<a c", "b<a", "x", "x y"]);
        let check = |names, since, expected: &str| {
            for at_most in [1, 2, 100] {
                assert_eq!(mirror.last(names, &commits, since, at_most).unwrap(), expected, "{names} {since:?} {at_most}");
            }
        };
        check("b", Some(3), "");
        check("b", Some(2), "b<a until 3");
        check("a b c x y nobody", Some(2), "b<a until 3, x, y");
        check("a b nobody", Some(0), "a until 1, b<a until 3");
        check("a b c x", None, "a until 1, b<a until 3, c until 2, x");
        // Whoever goes on meets the commit that is absent.
        for names in ["nobody", "b nobody"] {
            let error = mirror.last(names, &commits, None, 100).unwrap_err();
            assert!(error.chain().contains("7777777"), "{}", error.chain());
        }
    }
}
