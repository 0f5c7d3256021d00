//! The one rule of direction: a module names only modules that stand above it in the list that both are in.
//!
//! Lists are the `mod` lines of `lib.rs` and of every `mod.rs`, so that reading order is dependency order. A module may
//! name what its ancestors define themselves, never an ancestor as a whole: through that it could reach what is below.

use std::collections::BTreeMap;

use super::syntax::{Name, Source};

/// A module's path below the crate; empty for the crate itself.
type Path = Vec<String>;

/// The crate's modules in their order.
pub(crate) struct Modules {
    nodes: BTreeMap<Path, Module>,
    orphans: Vec<String>,
}

struct Module {
    file: String,
    source: Source,
}

impl Modules {
    /// Reads the files below `src/`.
    pub(crate) fn read(files: &BTreeMap<String, String>) -> Self {
        let mut nodes = BTreeMap::new();
        for (file, text) in files {
            if let Some(path) = module_path(file) {
                let source = Source::parse(text).unwrap_or_else(|error| panic!("{file} {error}"));
                nodes.insert(path, Module { file: file.clone(), source });
            }
        }
        let orphans = nodes
            .iter()
            .filter(|(path, _)| {
                path.split_last().is_some_and(|(last, parent)| {
                    !nodes.get(parent).is_some_and(|parent: &Module| parent.source.lists.contains(last))
                })
            })
            .map(|(_, module)| format!("{}: is in no module list, so nothing compiles it", module.file))
            .collect();
        Self { nodes, orphans }
    }

    /// Files that no list names.
    pub(crate) fn orphans(&self) -> Vec<String> {
        self.orphans.clone()
    }

    /// The modules listed in one, in order.
    pub(crate) fn listed_in(&self, module: &[&str]) -> &[String] {
        let path: Path = module.iter().map(ToString::to_string).collect();
        self.nodes.get(&path).map_or(&[], |module| &module.source.lists)
    }

    /// Every name that points further down a list.
    pub(crate) fn order(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (path, module) in &self.nodes {
            for name in &module.source.names {
                if let Some(what) = self.judge(path, name) {
                    findings.push(format!("{}:{}: {what}", module.file, name.line));
                }
            }
        }
        findings.dedup();
        findings
    }

    fn judge(&self, from: &[String], name: &Name) -> Option<String> {
        // Unit tests in a file of their own stand for the module that they test.
        let tested = from.iter().position(|module| module == "tests").map_or(from, |tests| &from[..tests]);
        let absolute = absolute(from, name)?;
        let (to, rest) = self.resolve(&absolute, 0);
        let common = tested.iter().zip(&to).take_while(|(a, b)| a == b).count();
        match (tested.get(common), to.get(common)) {
            (Some(this), Some(other)) => {
                let lists = &self.nodes[&tested[..common]].source.lists;
                let place = |module| lists.iter().position(|listed| listed == module);
                (place(other) > place(this)).then(|| format!("`{this}` must not know `{other}`"))
            }
            (Some(this), None) if rest == 0 && name.imported_as.is_some() => {
                let whole = to.last().map_or("crate", String::as_str);
                Some(format!("`{this}` must not import `{whole}` as a whole: name what it needs"))
            }
            _ => None,
        }
    }

    /// The module that a path leads into, through what modules import, and how many segments are left in it.
    fn resolve(&self, absolute: &[String], depth: usize) -> (Path, usize) {
        let mut at = Path::new();
        for (done, segment) in absolute.iter().enumerate() {
            let Some(module) = self.nodes.get(&at) else { break };
            if module.source.lists.contains(segment) {
                at.push(segment.clone());
                continue;
            }
            let imported = module.source.names.iter().find(|name| {
                !name.in_tests && name.inside.is_empty() && name.imported_as.as_ref().is_some_and(|name| name == segment)
            });
            // The depth ends a circle of imports, which the compiler refuses anyway.
            if let Some(mut target) = imported.filter(|_| depth < 16).and_then(|name| absolute_or_child(self, &at, name)) {
                target.extend_from_slice(&absolute[done + 1..]);
                return self.resolve(&target, depth + 1);
            }
            return (at, absolute.len() - done);
        }
        (at, 0)
    }
}

/// `src/domain/plan.rs` is `domain::plan`; a program beside the library has no place in its lists.
fn module_path(file: &str) -> Option<Path> {
    let inner = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    if inner == "main" || inner.starts_with("bin/") {
        return None;
    }
    let mut path: Path = inner.split('/').map(str::to_owned).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
        path.pop();
    }
    Some(path)
}

/// The path from the crate's root that a name beginning with `crate`, `self` or `super` means.
fn absolute(from: &[String], name: &Name) -> Option<Path> {
    let mut path: Path = match name.segments[0].as_str() {
        "crate" => Path::new(),
        "self" | "super" => from.iter().chain(&name.inside).cloned().collect(),
        _ => return None,
    };
    for segment in &name.segments {
        match segment.as_str() {
            "super" => drop(path.pop()),
            "crate" | "self" => {}
            _ => path.push(segment.clone()),
        }
    }
    Some(path)
}

/// As [`absolute`]; besides, `use child::Thing` in a module that lists `child`.
fn absolute_or_child(modules: &Modules, from: &Path, name: &Name) -> Option<Path> {
    absolute(from, name).or_else(|| {
        let child = modules.nodes.get(from)?.source.lists.contains(&name.segments[0]);
        child.then(|| from.iter().chain(&name.segments).cloned().collect())
    })
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let mut all = BTreeMap::from([
        ("src/lib.rs".to_owned(), "pub mod domain;\npub mod port;\npub mod runtime;".to_owned()),
        ("src/domain/mod.rs".to_owned(), "pub mod plan;\npub mod rollout;".to_owned()),
        ("src/domain/plan.rs".to_owned(), String::new()),
        ("src/domain/rollout/mod.rs".to_owned(), "pub mod record;\npub use record::Phase;\npub struct Step;".to_owned()),
        ("src/domain/rollout/record.rs".to_owned(), String::new()),
        ("src/port.rs".to_owned(), String::new()),
        ("src/runtime/mod.rs".to_owned(), String::new()),
    ]);
    all.extend(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    assert_eq!(Modules::read(&all).order(), expected, "{files:?}");
}

#[test]
fn what_stands_above_may_be_named() {
    check(&[("src/port.rs", "use crate::domain::plan::Plan;\nuse crate::domain;")], &[]);
    check(&[("src/domain/rollout/record.rs", "use super::super::plan::Plan;\nuse super::Step;")], &[]);
    check(&[("src/domain/rollout/mod.rs", "pub mod record;\nuse record::X;\nuse self::record::Y;")], &[]);
    check(&[("src/domain/plan.rs", "#[cfg(test)] mod tests { use super::*; use crate::domain::plan::Plan; }")], &[]);
}

#[test]
fn unit_tests_in_a_file_of_their_own_are_part_of_what_they_test() {
    let tests = "use super::*;\nuse super::super::plan::Plan;\nuse crate::domain::rollout::record::Phase;";
    let list = "pub mod record;\n#[cfg(test)]\nmod tests;";
    check(&[("src/domain/rollout/mod.rs", list), ("src/domain/rollout/tests.rs", tests)], &[]);
    check(
        &[("src/domain/rollout/mod.rs", list), ("src/domain/rollout/tests.rs", "use crate::runtime::Loop;")],
        &["src/domain/rollout/tests.rs:1: `domain` must not know `runtime`"],
    );
}

#[test]
fn what_stands_below_may_not() {
    let down = "src/domain/plan.rs:2: `plan` must not know `rollout`";
    check(&[("src/domain/plan.rs", "\nuse crate::domain::rollout::Step;")], &[down]);
    check(&[("src/domain/plan.rs", "\nuse super::rollout;")], &[down]);
    check(&[("src/domain/plan.rs", "\nuse super::{rollout::{record as r}};")], &[down]);
    check(&[("src/domain/plan.rs", "\nfn f() -> crate::domain::rollout::Step { }")], &[down]);
    check(&[("src/domain/plan.rs", "\nfn f() { write!(x, crate::domain::rollout::Step) }")], &[down]);
    check(&[("src/domain/plan.rs", "mod inner {\nuse super::super::rollout::Step; }")], &[down]);
    check(&[("src/domain/plan.rs", "#[cfg(test)] mod tests {\nuse crate::domain::rollout::Step; }")], &[down]);
    check(&[("src/domain/plan.rs", "use crate::runtime::Loop;")], &["src/domain/plan.rs:1: `domain` must not know `runtime`"]);
    check(&[("src/port.rs", "use crate::runtime::*;")], &["src/port.rs:1: `port` must not know `runtime`"]);
}

#[test]
fn a_re_export_hides_nothing() {
    let mods = "pub mod plan;\npub mod rollout;\npub use rollout::Step;\nuse super::domain::rollout::Phase as P;";
    check(
        &[("src/domain/mod.rs", mods), ("src/domain/plan.rs", "use super::Step;\nuse crate::domain::P;")],
        &["src/domain/plan.rs:1: `plan` must not know `rollout`", "src/domain/plan.rs:2: `plan` must not know `rollout`"],
    );
}

#[test]
fn an_ancestor_is_not_a_way_around() {
    let whole = "src/domain/plan.rs:1: `plan` must not import `domain` as a whole: name what it needs";
    check(&[("src/domain/plan.rs", "use crate::domain;")], &[whole]);
    check(&[("src/domain/plan.rs", "use super::*;")], &[whole]);
    check(&[("src/domain/plan.rs", "use super::{self as d};")], &[whole]);
    let root = "src/domain/plan.rs:1: `domain` must not import `crate` as a whole: name what it needs";
    check(&[("src/domain/plan.rs", "use crate::*;")], &[root]);
}

#[test]
fn a_file_that_no_list_names_is_found() {
    let files = BTreeMap::from([
        ("src/lib.rs".to_owned(), "mod a;".to_owned()),
        ("src/a.rs".to_owned(), String::new()),
        ("src/b.rs".to_owned(), String::new()),
        ("src/main.rs".to_owned(), "fn main() { lockstep::b::run() }".to_owned()),
    ]);
    assert_eq!(Modules::read(&files).orphans(), ["src/b.rs: is in no module list, so nothing compiles it"]);
}
