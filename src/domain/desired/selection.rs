//! Parts of a revision: which files are read, and which keys of an environment those files decide.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::domain::name::KeyPath;

use super::environment_file::{self, ENVIRONMENTS};
use super::tree::FileTree;

/// Which files of a revision are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    paths: BTreeSet<String>,
    directories: BTreeSet<String>,
    /// The own file of every environment, whatever its name.
    environment_files: bool,
}

/// How much of a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that is in it.
    Whole,
    /// Some of it, and that it is there.
    Part,
    /// It is not looked into.
    Nothing,
}

impl Selection {
    /// The own file of every environment.
    #[must_use]
    pub fn environment_files() -> Self {
        Self { environment_files: true, ..Self::default() }
    }

    /// Also these files; of a directory in the place of one only that it is there.
    pub fn paths(&mut self, paths: impl IntoIterator<Item = String>) {
        self.paths.extend(paths);
    }

    /// Also all that is in these directories.
    pub fn directories(&mut self, paths: impl IntoIterator<Item = String>) {
        for path in paths {
            self.paths.insert(path.clone());
            self.directories.insert(path);
        }
    }

    /// Whether a file is read that lies in a directory of which a part is.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        let of_environment = || {
            let below = path.strip_prefix(ENVIRONMENTS).and_then(|rest| rest.strip_prefix('/'));
            // What stands in the place of an environment's directory is told as what is wrong with it.
            below.is_some_and(|rest| rest.split_once('/').is_none_or(|(_, name)| name == environment_file::FILE))
        };
        self.paths.contains(path) || self.environment_files && (path == ENVIRONMENTS || of_environment())
    }

    /// How much of a directory is read that does not lie in one that is read whole.
    #[must_use]
    pub fn extent(&self, directory: &str) -> Extent {
        if self.directories.contains(directory) {
            return Extent::Whole;
        }
        let below = format!("{directory}/");
        let first = self.paths.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded)).next();
        let some = first.is_some_and(|path| path.starts_with(&below)) || self.takes(directory);
        if some { Extent::Part } else { Extent::Nothing }
    }
}

impl FileTree {
    /// The selected part of a tree that was read whole: what lies in no directory that is looked into is not there. How much was
    /// read, and whether it was cut short, stays as it was with the whole.
    #[must_use]
    pub fn selected(mut self, selection: &Selection) -> Self {
        let mut partly = BTreeSet::new();
        self.nodes.retain(|path, _| {
            for (at, _) in path.match_indices('/') {
                match selection.extent(&path[..at]) {
                    Extent::Whole => return true,
                    Extent::Part => _ = partly.insert(path[..at].to_owned()),
                    Extent::Nothing => return false,
                }
            }
            selection.takes(path)
        });
        Self { partly, ..self }
    }
}

/// Which keys of an environment are of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every key.
    All,
    /// The keys of these names, and those below them at a `/`.
    Below(BTreeSet<String>),
}

impl Scope {
    /// Whether a key is one of them.
    pub(super) fn contains(&self, key: &KeyPath) -> bool {
        let Self::Below(names) = self else { return true };
        let key = key.as_str();
        names.contains(key) || key.match_indices('/').any(|(at, _)| names.contains(&key[..at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_takes_what_was_named_and_looks_only_where_that_can_be() {
        let mut selection = Selection::environment_files();
        selection.paths(["base/kv/config/app.yaml".to_owned()]);
        selection.directories(["base/files/config".to_owned()]);
        for (directory, extent) in [
            ("base", Extent::Part),
            ("base/kv", Extent::Part),
            ("base/kv/config", Extent::Part),
            ("base/kv/config/app", Extent::Nothing),
            ("base/files", Extent::Part),
            ("base/files/config", Extent::Whole),
            ("base/files/config2", Extent::Nothing),
            ("bas", Extent::Nothing),
            ("environments", Extent::Part),
            ("environments/test", Extent::Part),
            ("environments/test/kv", Extent::Nothing),
        ] {
            assert_eq!(selection.extent(directory), extent, "{directory}");
        }
        for path in ["base/kv/config/app.yaml", "environments/test/environment.yaml", "environments/odd"] {
            assert!(selection.takes(path), "{path}");
        }
        for path in ["base/kv/config/other.yaml", "environments/test/README.md", "environments/test/kv/environment.yaml"] {
            assert!(!selection.takes(path), "{path}");
        }
    }

    #[test]
    fn a_scope_has_a_name_and_what_is_below_it() {
        let scope = Scope::Below(["config/app".to_owned()].into());
        for (key, is_in) in [("config/app", true), ("config/app/a/b", true), ("config/apple", false), ("config", false)] {
            assert_eq!(scope.contains(&KeyPath::parse(key).unwrap()), is_in, "{key}");
        }
        assert!(Scope::All.contains(&KeyPath::parse("x").unwrap()));
    }
}
