//! The rules of the house that a machine can hold: direction, purity, size, and documents that say what is there.
//!
//! Each test looks at the whole tree and lists every place that breaks its rule. The modules below hold the rules
//! themselves and, beside each, small bad inputs that it must refuse: a check that can't fail guards nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't read the tree has failed, and says where")]

#[path = "architecture/syntax.rs"]
mod syntax;
#[path = "architecture/modules.rs"]
mod modules;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/rules_doc.rs"]
mod rules_doc;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use modules::Modules;

/// The text files of this repository by their path in it; what builds and tools leave behind is not part of it.
fn repository() -> BTreeMap<String, String> {
    const LEFT_BEHIND: [&str; 4] = [".git", "target", ".lockstep-dev", "mutants.out"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("list {}: {error}", folder.display())) {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let name = entry.file_name();
            if kind.is_dir() && !LEFT_BEHIND.iter().any(|left| name == *left) {
                folders.push(entry.path());
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(path, text);
            }
        }
    }
    files
}

/// Fails with one finding a line, so that one run shows all there is to do.
#[track_caller]
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn a_module_names_only_modules_above_it() {
    none(&Modules::read(&repository()).order());
}

#[test]
fn every_source_file_is_in_a_module_list() {
    none(&Modules::read(&repository()).orphans());
}

#[test]
fn the_domain_is_pure() {
    let files = repository();
    let dependencies = documents::dependencies(&files["Cargo.toml"]);
    none(&rules::purity(&files, &dependencies));
}

#[test]
fn no_file_is_longer_than_one_purpose_needs() {
    none(&rules::length(&repository()));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    none(&rules::openings(&repository()));
}

#[test]
fn no_test_is_switched_off() {
    none(&rules::ignored_tests(&repository()));
}

#[test]
fn nothing_is_left_undone() {
    none(&rules::undone(&repository()));
}

#[test]
fn links_between_documents_lead_somewhere() {
    none(&documents::broken_links(&repository()));
}

#[test]
fn every_dependency_has_its_reason() {
    none(&documents::unreasoned(&repository()["Cargo.toml"]));
}

#[test]
fn the_code_map_is_of_this_tree() {
    let files = repository();
    none(&documents::wrong_in_map(&files, &Modules::read(&files)));
}

#[test]
fn every_rule_is_held_by_tests_that_exist() {
    none(&rules_doc::unheld(&repository()));
}
