//! Documents that a reader must be able to trust: links, the code map, and a reason beside each dependency.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::Modules;

/// How many lines the code map may have.
const LONGEST_MAP: usize = 250;

/// Relative links of Markdown files that lead to no file, and fragments that lead to no heading.
pub(crate) fn broken_links(files: &BTreeMap<String, String>) -> Vec<String> {
    let folders: BTreeSet<&str> = files.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at])).collect();
    let mut findings = Vec::new();
    for (file, text) in files.iter().filter(|(file, _)| file.strip_suffix(".md").is_some()) {
        for (line, link) in links(text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let Some(to) = joined(file, path) else {
                findings.push(format!("{file}:{line}: `{link}` leads out of the repository"));
                continue;
            };
            let found = to.is_empty() || folders.contains(to.as_str()) || files.contains_key(&to);
            if !found && !is_there(&to) {
                findings.push(format!("{file}:{line}: `{link}` leads to no file"));
            } else if !fragment.is_empty() && !files.get(&to).is_some_and(|text| anchors(text).any(|anchor| anchor == fragment))
            {
                findings.push(format!("{file}:{line}: `{link}` leads to no heading"));
            }
        }
    }
    findings
}

/// Pictures and other files that are no text.
fn is_there(path: &str) -> bool {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

/// The targets of `[text](target)`, outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            found.extend(targets.map(|(target, _)| (number + 1, target)));
        }
    }
    found
}

/// The fragments that headings can be reached by.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| {
            let kept = title.trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
    })
}

/// A link's target as a path in the repository; none when it leads out of it.
fn joined(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The lines of `Cargo.toml` that name a dependency, with the line above each.
fn dependency_lines(manifest: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut in_dependencies = false;
    let mut above = "";
    manifest.lines().enumerate().filter_map(move |(number, line)| {
        let before = std::mem::replace(&mut above, line);
        if line.starts_with('[') {
            in_dependencies = line.trim_end().ends_with("dependencies]");
        }
        let (name, _) = line.split_once('=')?;
        let is_dependency = in_dependencies && line.starts_with(|c: char| c.is_ascii_alphanumeric());
        is_dependency.then(|| (number + 1, name.trim(), before))
    })
}

/// The names of all dependencies.
pub(crate) fn dependencies(manifest: &str) -> Vec<String> {
    dependency_lines(manifest).map(|(_, name, _)| name.to_owned()).collect()
}

/// Dependencies without a comment above them that says what they are for.
pub(crate) fn unreasoned(manifest: &str) -> Vec<String> {
    dependency_lines(manifest)
        .filter(|(_, _, above)| above.trim_start_matches(['#', ' ']).len() < 10 || !above.starts_with('#'))
        .map(|(line, name, _)| format!("Cargo.toml:{line}: `{name}` needs a comment above it: why this project depends on it"))
        .collect()
}

/// Modules of `lib.rs` and of the domain that the code map leaves out, and sources that it names but that are gone.
pub(crate) fn wrong_in_map(files: &BTreeMap<String, String>, modules: &Modules) -> Vec<String> {
    let Some(map) = files.get("ARCHITECTURE.md") else { return vec!["ARCHITECTURE.md: is missing".to_owned()] };
    let named: BTreeSet<&str> =
        map.split(['`', '(', ')', ' ']).filter(|word| word.starts_with("src/")).map(module_of).collect();
    let there = files.keys().filter(|path| path.starts_with("src/")).flat_map(|path| {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        folders.chain([module_of(path)])
    });
    let there: BTreeSet<&str> = there.collect();
    let listed = [("src", [].as_slice()), ("src/domain", ["domain"].as_slice())]
        .into_iter()
        .flat_map(|(folder, list)| modules.listed_in(list).iter().map(move |module| format!("{folder}/{module}")));
    let left_out =
        listed.filter(|path| !named.contains(path.as_str())).map(|path| format!("ARCHITECTURE.md: names no `{path}`"));
    let gone = named.iter().filter(|path| !there.contains(*path)).map(|path| format!("ARCHITECTURE.md: there is no `{path}`"));
    let long = (map.lines().count() > LONGEST_MAP)
        .then(|| format!("ARCHITECTURE.md: longer than {LONGEST_MAP} lines: nobody reads it then"));
    left_out.chain(gone).chain(long).collect()
}

/// `src/domain/plan.rs` and `src/domain/plan/` are one module.
fn module_of(path: &str) -> &str {
    let path = path.trim_end_matches(['/', '.', ',', ';', ':']);
    path.strip_suffix(".rs").unwrap_or(path)
}

fn files<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
    files.map(|(path, text)| (path.to_owned(), text.to_owned())).into()
}

#[test]
fn a_broken_link_is_found() {
    let readme = "[a](docs/a.md) [b](docs/b.md)\n[c](docs/) [d](https://x.example/y) [e](#one-two)\n```\n[f](none)\n```\n[g](docs/a.md#Nope)";
    let found = broken_links(&files([("README.md", readme), ("docs/a.md", "# A\n[up](../README.md#one-two) [out](../../x)")]));
    assert_eq!(
        found,
        [
            "README.md:1: `docs/b.md` leads to no file",
            "README.md:2: `#one-two` leads to no heading",
            "README.md:6: `docs/a.md#Nope` leads to no heading",
            "docs/a.md:2: `../README.md#one-two` leads to no heading",
            "docs/a.md:2: `../../x` leads out of the repository",
        ]
    );
    assert_eq!(broken_links(&files([("README.md", "## One, `two`!\n[e](#one-two)")])), [""; 0]);
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# Because it is needed.\na = \"1\"\nb = \"2\"\n\n[dev-dependencies]\n#\nc = { version = \"3\" }\n[profile.dev]\nd = 1\n";
    assert_eq!(dependencies(manifest), ["a", "b", "c"]);
    assert_eq!(
        unreasoned(manifest),
        [
            "Cargo.toml:6: `b` needs a comment above it: why this project depends on it",
            "Cargo.toml:10: `c` needs a comment above it: why this project depends on it",
        ]
    );
}

#[test]
fn a_map_that_is_not_of_this_tree_is_found() {
    let map = "`src/domain/` holds `src/domain/planner.rs` and\n[live](src/domain/live.rs); src/port.rs";
    let mut files = files([
        ("ARCHITECTURE.md", map),
        ("src/lib.rs", "pub mod domain; pub mod port;"),
        ("src/domain/mod.rs", "pub mod plan; pub mod live;"),
        ("src/domain/plan.rs", ""),
        ("src/domain/live.rs", ""),
        ("src/port.rs", ""),
    ]);
    let wrong = |files: &BTreeMap<String, String>| wrong_in_map(files, &Modules::read(files));
    assert_eq!(
        wrong(&files),
        ["ARCHITECTURE.md: names no `src/domain/plan`", "ARCHITECTURE.md: there is no `src/domain/planner`",]
    );
    files.insert("ARCHITECTURE.md".to_owned(), "\n".repeat(LONGEST_MAP + 1));
    assert_eq!(wrong(&files).len(), 5);
    files.remove("ARCHITECTURE.md");
    assert_eq!(wrong(&files), ["ARCHITECTURE.md: is missing"]);
}
