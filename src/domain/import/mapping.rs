//! Keys as a tree of segments, and that tree as YAML files: one a folder, split where a folder grows too large to read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::form::{Form, fits_path};
use super::yaml_text;

/// A folder with more keys than these becomes several files, if its folders are worth it.
const SPLIT: usize = 60;
/// So many keys a folder make a file of its own worth it, on average.
const WORTH: usize = 4;
/// A folder with more bytes than these is split in any case: a YAML file has a limit.
const SPLIT_BYTES: usize = 2 << 20;
/// Mappings inside one another; below that, names keep their `/`.
const DEEPEST: usize = 16;

/// What lies at one segment and below it.
#[derive(Debug, Default)]
pub(super) struct Folder<'k> {
    value: Option<(&'k str, Form)>,
    below: BTreeMap<&'k str, Folder<'k>>,
    keys: usize,
    bytes: usize,
}

impl<'k> Folder<'k> {
    /// Puts a value at a path of segments.
    pub(super) fn put(&mut self, path: &'k str, value: &'k str, form: Form) {
        let mut folder = self;
        for segment in path.split('/') {
            folder.keys += 1;
            folder.bytes += path.len() + value.len() + 16;
            folder = folder.below.entry(segment).or_default();
        }
        folder.value = Some((value, form));
    }

    /// Writes the folder's files; the path of each begins with `stem`, which is the folder's own file without `.yaml`.
    pub(super) fn write(&self, stem: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        let is_folder = |child: &Self| !child.below.is_empty();
        let folders = self.below.values().filter(|child| is_folder(child)).count();
        let is_worth_it = self.keys > SPLIT && folders * WORTH <= self.keys || self.bytes > SPLIT_BYTES;
        // A directory that ends so would stand where another folder's file may.
        let splits = folders > 0 && is_worth_it && stem.strip_suffix(".yaml").is_none();
        let apart = |name: &str, child: &Self| splits && is_folder(child) && fits_path(name);
        let mut text = String::new();
        for (name, child) in &self.below {
            if apart(name, child) {
                child.write(&format!("{stem}/{name}"), files);
                if let Some((value, form)) = child.value {
                    entry(name, value, form, 0, &mut text);
                }
            } else {
                child.inside((*name).to_owned(), 0, &mut text);
            }
        }
        if !text.is_empty() {
            files.insert(format!("{stem}.yaml"), text.into_bytes());
        }
    }

    /// The folders at the top: each is a file or several.
    pub(super) fn tops(&self) -> impl Iterator<Item = (&'k str, &Self)> {
        self.below.iter().map(|(name, folder)| (*name, folder))
    }

    /// Writes the folder as an entry of a mapping.
    fn inside(&self, mut name: String, depth: usize, text: &mut String) {
        let mut folder = self;
        // `statsd/port: 8125` reads better than a mapping of one.
        while let (None, 1) = (folder.value, folder.below.len())
            && let Some((only, child)) = folder.below.first_key_value()
        {
            let _ = write!(name, "/{only}");
            folder = child;
        }
        if let Some((value, form)) = folder.value {
            entry(&name, value, form, depth, text);
            // A mapping holds one thing under a name: what lies below it stands beside it.
            folder.flat(&name, depth, text);
        } else if depth < DEEPEST {
            let _ = writeln!(text, "{:indent$}{}:", "", yaml_text::name(&name), indent = depth * 2);
            for (name, child) in &folder.below {
                child.inside((*name).to_owned(), depth + 1, text);
            }
        } else {
            folder.flat(&name, depth, text);
        }
    }

    /// Writes everything below the folder with names that keep their `/`.
    fn flat(&self, name: &str, depth: usize, text: &mut String) {
        for (segment, child) in &self.below {
            let name = format!("{name}/{segment}");
            if let Some((value, form)) = child.value {
                entry(&name, value, form, depth, text);
            }
            child.flat(&name, depth, text);
        }
    }
}

fn entry(name: &str, value: &str, form: Form, depth: usize, text: &mut String) {
    // What would be a variable is meant literally.
    let value = value.replace("${", "$${");
    let indent = depth * 2;
    let written = match form {
        Form::Block => yaml_text::block(&value, indent + 2),
        Form::Line | Form::File => yaml_text::line(&value),
    };
    let _ = writeln!(text, "{:indent$}{}: {written}", "", yaml_text::name(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut root = Folder::default();
        for (key, value) in keys {
            root.put(key, value, if value.contains('\n') { Form::Block } else { Form::Line });
        }
        let mut files = BTreeMap::new();
        for (name, folder) in root.tops() {
            folder.write(name, &mut files);
        }
        let found: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), std::str::from_utf8(text).unwrap())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_small_store_is_a_file_a_folder() {
        check(
            &[
                ("config/consul/domain", "consulverse"),
                ("config/consul/metrics/statsd/port", "8125"),
                ("config/motd", "a\n\nb"),
                ("resources/x", "${y}"),
            ],
            &[
                ("config.yaml", "consul:\n  domain: consulverse\n  metrics/statsd/port: 8125\nmotd: |-\n  a\n\n  b\n"),
                ("resources.yaml", "x: '$${y}'\n"),
            ],
        );
    }

    #[test]
    fn a_key_that_is_a_folder_too_keeps_both() {
        check(
            &[("a/b", "1"), ("a/b/c", "2"), ("a/b/c/d", "3"), ("a/b/e/f", "4")],
            &[("a.yaml", "b: 1\nb/c: 2\nb/c/d: 3\nb/e/f: 4\n")],
        );
    }

    #[test]
    fn a_large_folder_is_split_at_its_folders() {
        let keys: Vec<String> = (0..80).map(|n| format!("config/{}/k{n:02}", if n < 40 { "a" } else { "b.yaml" })).collect();
        let mut all: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        all.extend([("config/a", "1"), ("config/top", "2")]);
        let lines = |range: std::ops::Range<usize>| range.map(|n| format!("k{n:02}: v\n")).collect::<Vec<_>>().concat();
        check(
            &all,
            &[("config.yaml", "a: 1\ntop: 2\n"), ("config/a.yaml", &lines(0..40)), ("config/b.yaml.yaml", &lines(40..80))],
        );
    }

    #[test]
    fn a_folder_of_many_small_ones_stays_one_file() {
        let keys: Vec<String> = (0..100).map(|n| format!("hosts/h{n:02}/port")).collect();
        let all: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "80")).collect();
        let text = (0..100).map(|n| format!("h{n:02}/port: 80\n")).collect::<Vec<_>>().concat();
        check(&all, &[("hosts.yaml", &text)]);
    }
}
