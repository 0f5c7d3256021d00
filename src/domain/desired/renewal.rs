//! A revision read from what an earlier one says: however large both are, only the files are read that differ, and those that
//! can name the same keys.
//!
//! What comes of it is what reading everything would give. Where that is not certain, and wherever anything is wrong,
//! everything is read: so what a revision means never depends on what was known before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::environment_file::{self, ENVIRONMENTS};
use super::merge::PER_ENVIRONMENT;
use super::part::{head_of, insides, is_below, is_of_all};
use super::repository::read_scope;
use super::selection::{Scope, Selection};
use super::state::DesiredState;
use super::tree::FileTree;

/// How a revision is read from an earlier one.
#[derive(Debug)]
pub struct Renewal<'e> {
    earlier: &'e Arc<DesiredState>,
    files: Option<Selection>,
    keys: BTreeSet<String>,
}

/// How to read a revision from what an earlier one says of the same environment, where these files differ; none: read it whole,
/// since the environment's own file differs, its checks do, or something that this can't tell apart.
#[must_use]
pub fn renewal<'e>(earlier: &'e Arc<DesiredState>, changed: &[String]) -> Option<Renewal<'e>> {
    let name = &earlier.environment().name;
    let own = format!("{ENVIRONMENTS}/{name}");
    let own_file = format!("{own}/{}", environment_file::FILE);
    let layers: BTreeSet<String> = earlier.environment().layers.iter().chain([&own]).cloned().collect();
    let holds_a_layer = |path: &str| layers.iter().any(|layer| layer == path || is_below(layer, path).is_some());
    let (mut files, mut keys, mut touched) = (head_of(name), BTreeSet::new(), false);
    for path in changed {
        if is_of_all(path) || *path == own_file || holds_a_layer(path) || path.contains('\u{FFFD}') {
            return None;
        }
        // Whether the former name is free, and claimed by nobody else, is told by the others' files.
        let of_another = || is_below(path, ENVIRONMENTS).is_some() && is_below(path, &own).is_none();
        if earlier.environment().formerly.is_some() && of_another() {
            return None;
        }
        for inside in insides(path, &layers) {
            if inside == "checks" || is_below(inside, "checks").is_some() {
                return None;
            }
            touched = true;
            keys.extend(files.deciding(inside, &layers));
        }
    }
    // That a layer is there is seen of its directory.
    files.paths(layers);
    Some(Renewal { earlier, files: touched.then_some(files), keys })
}

impl Renewal<'_> {
    /// The files to read; none: nothing differs that says anything of the environment.
    #[must_use]
    pub fn files(&self) -> Option<&Selection> {
        self.files.as_ref()
    }

    /// What the revision says, given these files of it: the keys that they decide alone, and all keys. None: read it whole.
    #[must_use]
    pub fn read(&self, tree: &FileTree) -> Option<(Arc<DesiredState>, Arc<DesiredState>)> {
        let name = &self.earlier.environment().name;
        let part = read_scope(tree, name, &Scope::Below(self.keys.clone())).ok()??;
        let filled = self.earlier.filled() + part.filled();
        if filled > PER_ENVIRONMENT || part.environment() != self.earlier.environment() {
            return None;
        }
        let mut entries = self.earlier.entries().clone();
        let mut gone = Vec::new();
        for name in &self.keys {
            let below = format!("{name}/");
            let all = entries.range_from(&below).take_while(|(key, _)| key.as_str().starts_with(&below));
            let all = entries.get_key_value(name.as_str()).into_iter().chain(all).map(|(key, _)| key);
            gone.extend(all.filter(|key| !part.entries().contains_key(*key)).cloned());
        }
        for key in &gone {
            entries.remove(key);
        }
        for (key, entry) in part.entries() {
            if entries.get(key) != Some(entry) {
                entries.insert(key.clone(), entry.clone());
            }
        }
        let whole = self.earlier.with_entries(entries, filled);
        Some((part, Arc::new(whole)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::desired::{read_environment, read_for};
    use crate::domain::name::EnvironmentName;

    type Files = BTreeMap<String, String>;

    fn name() -> EnvironmentName {
        EnvironmentName::parse("a").unwrap()
    }

    fn tree(files: &Files) -> FileTree {
        FileTree::of_files(files)
    }

    fn ground() -> Files {
        let files = [
            ("lockstep.yaml", "name: demo\nlockstep: \"^1\"\n"),
            ("environments/a/environment.yaml", "layers: [base, web]\nvariables: { domain: example }\n"),
            ("environments/b/environment.yaml", "layers: [base]\n"),
            ("base/kv/config.yaml", "app:\n  port: 1\nother: !sensitive x\n"),
            ("base/kv/config/db.yaml", "port: 5432\nhost: !keep db\n"),
            ("base/files/config/motd", "hello"),
            ("base/checks/up.yaml", "kind: exec\nprogram: smoke\n"),
            ("web/kv/config/web.yaml", "name: web.${domain}\n"),
            ("environments/a/kv/config/db.yaml", "host: !absent\n"),
        ];
        files.map(|(path, text)| (path.to_owned(), text.to_owned())).into()
    }

    fn changed(before: &Files, after: &Files) -> Vec<String> {
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
    }

    /// What becomes of a change: nothing is read, these files are read, or everything is.
    #[derive(Debug, PartialEq)]
    enum Read {
        Nothing,
        Some(&'static [&'static str]),
        All,
    }

    #[track_caller]
    fn check(path: &str, text: Option<&str>, expected: Read) {
        let before = ground();
        let mut after = before.clone();
        match text {
            Some(text) => _ = after.insert(path.to_owned(), text.to_owned()),
            None => _ = after.remove(path),
        }
        let earlier = read_environment(&tree(&before), &name()).unwrap().unwrap();
        let whole = read_environment(&tree(&after), &name());
        let renewal = renewal(&earlier, &changed(&before, &after));
        let Some(renewal) = renewal else { return assert_eq!(expected, Read::All, "{path}") };
        let Some(files) = renewal.files() else {
            assert_eq!(expected, Read::Nothing, "{path}");
            return assert_eq!(whole.unwrap().unwrap(), earlier);
        };
        let part = tree(&after).selected(files);
        let own = |path: &&str| *path != "lockstep.yaml" && !path.ends_with("environment.yaml");
        let read: Vec<&str> = part.nodes.keys().map(String::as_str).filter(own).collect();
        let renewed = renewal.read(&part).map(|(_, state)| state);
        assert_eq!(renewed, whole.ok().flatten(), "{path}");
        match expected {
            Read::Some(files) => assert_eq!(read, files, "{path}"),
            other @ (Read::Nothing | Read::All) => panic!("{path}: {read:?} were read, not {other:?}"),
        }
    }

    #[test]
    fn only_the_files_are_read_that_decide_the_same_keys() {
        const DB: &[&str] = &["base/kv/config.yaml", "base/kv/config/db.yaml", "environments/a/kv/config/db.yaml"];
        const AND_DB: &[&str] = &["base/files/config/db", DB[0], DB[1], DB[2]];
        const EVERY: &[&str] = &["base/files/config/motd", DB[0], DB[1], DB[2], "web/files/config", "web/kv/config/web.yaml"];
        check("README.md", Some("x"), Read::Nothing);
        check("environments/b/environment.yaml", Some("layers: []\n"), Read::Nothing);
        check("environments/b/kv/config/db.yaml", Some("port: 1\n"), Read::Nothing);
        check("base/kv/config/db.yaml", Some("port: 1\nhost: db\nmore: x\n"), Read::Some(DB));
        check("base/kv/config/db.yaml", Some("host: db\n"), Read::Some(DB));
        check("environments/a/kv/config/db.yaml", None, Read::Some(&DB[..2]));
        check(
            "web/kv/config/web.yaml",
            Some("name: x.${domain}\n"),
            Read::Some(&["base/kv/config.yaml", "web/kv/config/web.yaml"]),
        );
        check("base/files/config/motd", None, Read::Some(&["base/kv/config.yaml"]));
        // A key of that name leaves those below it as they are.
        check("web/files/config", Some("x"), Read::Some(EVERY));
        check("base/files/config/db", Some("x"), Read::Some(AND_DB));
    }

    #[test]
    fn what_is_wrong_with_the_files_is_left_to_whoever_reads_all() {
        const WEB: &[&str] = &["base/kv/config.yaml", "web/kv/config/web.yaml"];
        check("web/kv/config/web.yaml", Some("name: ${nothing}\n"), Read::Some(WEB));
        check("base/other/x", Some(""), Read::Some(&["base/other/x"]));
    }

    #[test]
    fn what_concerns_more_than_some_keys_is_read_whole() {
        let a = "environments/a/environment.yaml";
        for (path, text) in [
            ("lockstep.yaml", Some("name: demo\nlockstep: \"^1.0\"\n")),
            ("lockstep.yml", Some("")),
            (a, Some("layers: [base]\n")),
            (a, None),
            ("base/checks/up.yaml", Some("kind: exec\nprogram: other\n")),
            ("web/checks/more.yaml", Some("kind: exec\nprogram: other\n")),
            ("environments", Some("")),
            ("base", Some("")),
            ("base/kv/\u{FFFD}.yaml", Some("")),
        ] {
            check(path, text, Read::All);
        }
    }

    #[test]
    fn whoever_had_another_name_is_read_whole_where_anything_of_another_environment_changes() {
        let mut files = ground();
        let file = "layers: [base, web]\nvariables: { domain: example }\nformerly: old\n";
        files.insert("environments/a/environment.yaml".to_owned(), file.to_owned());
        let earlier = read_environment(&tree(&files), &name()).unwrap().unwrap();
        let is_renewed = |path: &str| renewal(&earlier, &[path.to_owned()]).is_some();
        for path in ["environments/old/environment.yaml", "environments/old/kv/x.yaml", "environments/b/environment.yaml"] {
            assert!(!is_renewed(path), "{path}");
        }
        assert!(is_renewed("environments/a/kv/x.yaml") && is_renewed("base/kv/x.yaml"));
    }

    /// A layer, a path in it and a text, of which many fit each other and some don't.
    fn edit() -> impl Strategy<Value = (String, Option<String>)> {
        let layer = prop::sample::select(vec!["base", "web", "environments/a", "environments/b"]);
        let path = prop::sample::select(vec![
            "kv/config.yaml",
            "kv/config/db.yaml",
            "kv/config/db/pool.yaml",
            "files/config/db",
            "files/config/db/host",
            "files/config/motd",
            "files/config/motd/more",
            "kv/config/motd.yaml",
            "kv/x.yaml",
            "checks/up.yaml",
            "README.md",
        ]);
        let text = prop::option::weighted(
            0.8,
            prop::sample::select(vec![
                "db:\n  host: 1\n",
                "db: {pool: {size: 3}}\n",
                "host: !absent\n",
                "host: !keep y\n",
                "size: ${domain}\nhost: !sensitive z\n",
                "motd: hi\n",
                "kind: exec\nprogram: other\n",
                "wrong",
            ]),
        );
        (layer, path, text).prop_map(|(layer, path, text)| (format!("{layer}/{path}"), text.map(str::to_owned)))
    }

    proptest! {
        #[test]
        fn a_renewed_revision_says_what_all_its_files_say(commits in prop::collection::vec(prop::collection::vec(edit(), 1..3), 1..12)) {
            let mut files = ground();
            let mut earlier = read_environment(&tree(&files), &name()).unwrap().unwrap();
            for edits in commits {
                let mut after = files.clone();
                for (path, text) in edits {
                    match text {
                        Some(text) => {
                            // A path is a file or a directory.
                            after.retain(|other, _| is_below(other, &path).is_none() && is_below(&path, other).is_none());
                            after.insert(path, text);
                        }
                        None => _ = after.remove(&path),
                    }
                }
                let whole = read_for(&tree(&after), &name());
                let whole = whole.environment(&name()).ok().flatten().cloned();
                if let Some(renewal) = renewal(&earlier, &changed(&files, &after)) {
                    let renewed = match renewal.files() {
                        None => Some(Arc::clone(&earlier)),
                        Some(selection) => renewal.read(&tree(&after).selected(selection)).map(|(_, state)| state),
                    };
                    if renewed.is_some() {
                        prop_assert_eq!(&renewed, &whole);
                    }
                }
                let Some(state) = whole else { continue };
                (earlier, files) = (state, after);
            }
        }
    }
}
