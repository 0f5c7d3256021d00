//! What the project ships: the example repository reads without a problem, and every example of the documentation is true.

use std::collections::BTreeMap;
use std::path::Path;

use lockstep::domain::desired::{self, FileTree};
use lockstep::domain::name::KeyRoots;

use super::{state_of, told, tree};

fn example() -> FileTree {
    fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                collect(&entry.path(), &format!("{path}/"), files);
            } else {
                files.insert(path, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config-repo-example"), "", &mut files);
    FileTree::of_files(files)
}

#[test]
fn the_example_reads_without_a_problem_and_fits_every_target() {
    let tree = example();
    assert_eq!(told(&tree), Vec::<String>::new());
    let roots = KeyRoots::parse(&["config/"]).unwrap();
    for environment in ["test", "production"] {
        let state = state_of(&tree, environment);
        assert!((55..=75).contains(&state.entries().len()), "{environment} has {} keys", state.entries().len());
        assert_eq!(desired::nested_keys(&state), []);
        assert_eq!(desired::long_segments(&state), []);
        assert_eq!(desired::outside_roots(&state, &roots), []);
        assert_eq!(state.checks().len(), 2);
    }
}

#[test]
fn the_examples_environments_differ_as_its_comments_say() {
    let (test, production) = (state_of(&example(), "test"), state_of(&example(), "production"));
    let value = |state: &desired::DesiredState, key: &str| {
        state.entries().get(key).map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
    };
    for (key, in_test, in_production) in [
        ("config/environment/directory/name", Some("testverse"), Some("calvinverse")),
        ("config/services/backups/protocols/read/host", None, Some("read.backups.service.calvinverse")),
        ("config/services/proxy.edge/ui/color", Some("orange"), Some("light-green")),
        ("config/services/proxy.edge/header", Some("X-Trace ${request_id}"), Some("X-Trace ${request_id}")),
        ("config/services/builds/agents/executors", Some("2"), Some("8")),
        (
            "config/services/builds/agents/labels",
            Some(r#"["linux","windows","x86_64"]"#),
            Some(r#"["linux","windows","x86_64"]"#),
        ),
        ("config/services/nomad/version", Some("1.10"), Some("1.10")),
        ("config/services/artefacts/protocols/http/write-production/port", Some("8081"), Some("8081")),
    ] {
        assert_eq!(value(&test, key).as_deref(), in_test, "{key} in test");
        assert_eq!(value(&production, key).as_deref(), in_production, "{key} in production");
    }
    assert!(test.entries()["config/environment/directory/initialized"].keep);
    assert!(test.entries()["config/environment/directory/users/bindcn"].sensitive);
}

/// The fenced blocks of docs/format.md that name a file in their first line: the file, the text, the line after the block.
fn documented() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md")).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("```yaml") {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        let file = block[0].strip_prefix("# ").unwrap_or_else(|| panic!("a block begins with {:?}, not with a file", block[0]));
        let after = lines.by_ref().find(|line| !line.is_empty()).unwrap_or_default();
        blocks.push((file.to_owned(), block[1..].join("\n") + "\n", after.to_owned()));
    }
    blocks
}

#[test]
fn every_example_of_the_format_page_is_true() {
    let blocks = documented();
    assert!(blocks.len() >= 10, "only {} blocks", blocks.len());
    for (file, yaml, after) in blocks {
        let earlier = ("base/kv/config/services/earlier.yaml", "backups: x\n");
        let tree = tree(&[earlier, (&file, &yaml)]);
        let found = told(&tree);
        if let Some(refused) = after.strip_prefix("Refused: `") {
            let message = refused.trim_end_matches(['.', '`']);
            assert!(found.iter().any(|found| found.contains(message)), "{file} is not refused with {message:?}: {found:?}");
            continue;
        }
        assert_eq!(found, Vec::<String>::new(), "{file}:\n{yaml}");
        let Some(keys) = after.strip_prefix("Keys: ") else { continue };
        let state = state_of(&tree, "test");
        for pair in keys.trim_end_matches('.').split("`, `") {
            let (key, value) = pair.trim_matches('`').split_once(" = ").unwrap();
            let found = state.entries().get(key).unwrap_or_else(|| panic!("{file} makes no key {key}"));
            assert_eq!(String::from_utf8_lossy(&found.value), value, "{key} of {file}");
        }
    }
}
