//! Keys and values become the files of a config repository with one environment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::form::{Form, form};
use super::mapping::Folder;
use super::reason::{LeftOut, Reason};
use crate::domain::name::{EnvironmentName, KeyPath, RepositoryName};

/// Bytes of the texts of one folder that share a YAML file at most; further ones are files of their own.
const FOLDER_BYTES: usize = 4 << 20;
/// Bytes of all texts with `$${`, of which an environment may have few: they are filled in.
const ESCAPED_BYTES: usize = 4 << 20;

/// The files of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaidOut {
    /// Each file's bytes by its path.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Keys that no file can hold.
    pub left_out: Vec<LeftOut>,
}

/// Writes the keys as a repository of this name with this environment: texts below `kv/`, a file a folder or so, everything
/// else below `files/`. A file can't lie below another file; where two keys would, the longer one goes to a layer of its own.
#[must_use]
pub fn lay_out(repository: &RepositoryName, environment: &EnvironmentName, keys: &BTreeMap<KeyPath, Arc<[u8]>>) -> LaidOut {
    let mut laid_out = LaidOut::default();
    let mut texts = Folder::default();
    let mut by_themselves: BTreeMap<&str, &Arc<[u8]>> = BTreeMap::new();
    let mut room = Room::default();
    for (key, value) in keys {
        let text = std::str::from_utf8(value).ok();
        match (form(key, value), text) {
            (None, _) => laid_out.left_out.push(LeftOut { key: key.to_string(), reason: Reason::NoPlace }),
            (Some(form @ (Form::Line | Form::Block)), Some(text)) if room.takes(key.as_str(), text) => {
                texts.put(key.as_str(), text, form);
            }
            (Some(_), _) => drop(by_themselves.insert(key.as_str(), value)),
        }
    }
    let own = format!("environments/{environment}");
    let mut yaml = BTreeMap::new();
    for (name, folder) in texts.tops() {
        folder.write(&format!("{own}/kv/{name}"), &mut yaml);
    }
    laid_out.files = yaml.into_iter().map(|(path, text)| (path, text.into())).collect();
    let mut layers = BTreeSet::new();
    for (key, value) in &by_themselves {
        let directory = match files_above(key, &by_themselves) {
            0 => own.clone(),
            above => {
                let layer = format!("{environment}-below-{above}");
                layers.insert(layer.clone());
                layer
            }
        };
        laid_out.files.insert(format!("{directory}/files/{key}"), Arc::clone(value));
    }
    let layers = layers.into_iter().collect::<Vec<_>>().join(", ");
    let mut put = |path: String, text: String| laid_out.files.insert(path, text.into_bytes().into());
    put(format!("{own}/environment.yaml"), format!("layers: [{layers}]\n"));
    put("lockstep.yaml".to_owned(), format!("name: {repository}\nlockstep: \"^1\"\n"));
    laid_out
}

/// How many of the files lie where this key has a directory.
fn files_above(key: &str, files: &BTreeMap<&str, &Arc<[u8]>>) -> usize {
    key.match_indices('/').filter(|(at, _)| files.contains_key(&key[..*at])).count()
}

/// How much the YAML files take.
#[derive(Debug, Default)]
struct Room<'k> {
    folder: &'k str,
    bytes: usize,
    escaped: usize,
}

impl<'k> Room<'k> {
    /// Whether a text still fits; keys come in order, so that those of a folder mostly follow each other.
    fn takes(&mut self, key: &'k str, text: &str) -> bool {
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        if folder != self.folder {
            (self.folder, self.bytes) = (folder, 0);
        }
        let escaped = if text.contains("${") { text.len() } else { 0 };
        let bytes = key.len() + text.len();
        let takes = self.bytes + bytes <= FOLDER_BYTES && self.escaped + escaped <= ESCAPED_BYTES;
        if takes {
            self.bytes += bytes;
            self.escaped += escaped;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Found, Gathering, compare};
    use super::*;
    use crate::domain::desired::{FileTree, read_environment};
    use crate::domain::resource::Flags;
    use crate::domain::revision::ValueDigest;

    fn names() -> (RepositoryName, EnvironmentName) {
        (RepositoryName::parse("config").unwrap(), EnvironmentName::parse("test").unwrap())
    }

    /// Writes keys and reads them again with the parser of the format.
    #[track_caller]
    fn round_trip(found: Vec<(String, Vec<u8>)>) -> LaidOut {
        let (repository, environment) = names();
        let mut gathering = Gathering::new(Vec::new());
        for (key, value) in found {
            gathering.add(Found { key, value: value.into(), flags: Flags(0), locked: false });
        }
        let (mut keys, _) = gathering.into_parts();
        let laid_out = lay_out(&repository, &environment, &keys);
        for left in &laid_out.left_out {
            keys.remove(left.key.as_str());
        }
        let tree = FileTree::of_files(&laid_out.files);
        let state = read_environment(&tree, &environment);
        let state = state.unwrap_or_else(|problems| panic!("{problems:#?}\n{:#?}", laid_out.files.keys())).unwrap();
        let digests = keys.iter().map(|(key, value)| (key.clone(), ValueDigest::of(value))).collect();
        let compared = compare(&digests, &state);
        assert!(compared.is_equal() && compared.equal == keys.len(), "{compared:?}");
        laid_out
    }

    #[track_caller]
    fn check(found: &[(&str, &[u8])], expected: &[&str]) {
        let laid_out = round_trip(found.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect());
        let paths: Vec<&str> = laid_out.files.keys().map(String::as_str).collect();
        assert_eq!(paths, expected);
    }

    #[test]
    fn texts_share_files_and_bytes_have_their_own() {
        let bytes: Vec<u8> = (0..=255).collect();
        check(
            &[("config/a", b"1"), ("config/b/c", b""), ("config/bytes", &bytes), ("config/page", b"<p>\n"), ("top", b"x")],
            &[
                "environments/test/environment.yaml",
                "environments/test/files/config/bytes",
                "environments/test/files/config/page",
                "environments/test/files/top",
                "environments/test/kv/config.yaml",
                "lockstep.yaml",
            ],
        );
    }

    #[test]
    fn a_file_below_a_file_lies_in_a_layer_of_its_own() {
        check(
            &[("a", b"\xff"), ("a/b", b"\xfe"), ("a/b/c/d", b"\xfd"), ("a/x", b"text")],
            &[
                "environments/test/environment.yaml",
                "environments/test/files/a",
                "environments/test/kv/a.yaml",
                "lockstep.yaml",
                "test-below-1/files/a/b",
                "test-below-2/files/a/b/c/d",
            ],
        );
    }

    #[test]
    fn a_folder_of_large_texts_overflows_into_files() {
        let found = (0..2_000).map(|n| (format!("config/k{n:04}"), vec![b'x'; 4_000])).collect();
        let laid_out = round_trip(found);
        assert!(laid_out.files.values().all(|file| file.len() < 8 << 20));
        assert!(laid_out.files.len() > 400);
    }

    #[test]
    fn many_texts_with_what_looks_like_variables_are_still_read() {
        round_trip((0..12_000).map(|n| (format!("config/{}/k{n:05}", n % 7), "${abc} ".repeat(140).into_bytes())).collect());
    }

    /// Segments and values of few letters, so that keys meet, and of letters that mean something to YAML, git or the format.
    fn segment() -> impl Strategy<Value = String> {
        const ODD: [&str; 13] =
            [".git", ".gitkeep", "<<", "null", "~", "a.yaml", "b.yml", "${x}", "...", "---", "1.0", "é", "?"];
        prop_oneof![
            4 => "[ab]",
            1 => "[a-z.:#%${}!&*<>|'\"~ü\u{1F600} ,\\[\\]{}@`=?-]{1,6}",
            1 => prop::sample::select(ODD.to_vec()).prop_map(str::to_owned),
            1 => "\\PC{1,5}",
        ]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        const ODD: [&str; 26] = [
            "null", "~", "yes", "0755", "1e3", "- a", "a: b", "|", ">", "%a", "@a", "`", "$${", "$$${x}", "${x}", "---", "...",
            "--- a", "!keep x", "&a", "*a", "? a", "# a", "a #b", "a:", ":a",
        ];
        prop_oneof![
            2 => "[a-z0-9.:/ -]{0,12}".prop_map(String::into_bytes),
            2 => "[ \t\n:#'\"\\\\|>&*!%@`{}\\[\\],?$a-]{0,12}".prop_map(String::into_bytes),
            1 => "(\\PC|\n){0,10}".prop_map(String::into_bytes),
            1 => any::<String>().prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..12),
            1 => prop::sample::select(ODD.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
        #[test]
        fn whatever_is_written_is_read_again(
            found in prop::collection::vec((prop::collection::vec(segment(), 1..5), value()), 0..24)
        ) {
            round_trip(found.into_iter().map(|(segments, value)| (segments.join("/"), value)).collect());
        }
    }
}
