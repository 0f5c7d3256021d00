//! The commands and the configuration that documents print are ones that lockstep takes.

use std::process::Command;

use super::stage::{Stage, finish};
use crate::support::pages;

const PAGES: [&str; 10] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/consumers.md",
    "docs/format.md",
    "docs/import.md",
    "docs/rules.md",
    "config-repo-example/README.md",
];

/// Every `lockstep …` of a page: lines of its shell blocks, and what stands between backticks in its text.
fn commands_of(page: &str) -> Vec<String> {
    let lines = pages::blocks(page).into_iter().filter(|block| block.language == "sh");
    let mut found: Vec<String> = lines.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut in_block = false;
    for line in page.lines() {
        in_block ^= line.starts_with("```");
        if !in_block {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    let code = |line: &String| line.split(" # ").next().unwrap_or_default().trim().trim_start_matches("$ ").to_owned();
    found.iter().map(code).filter(|line| line.starts_with("lockstep ")).collect()
}

/// The arguments of a printed command: `[PATH]` is an argument that may be left out, quotes hold one together.
fn arguments(command: &str) -> Vec<String> {
    let quoted = command.split(['\'', '"']).enumerate();
    let words = quoted.flat_map(|(at, part)| {
        let spaced: Vec<&str> = if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() };
        spaced.into_iter().map(|word| word.trim_matches(['[', ']']).to_owned()).collect::<Vec<_>>()
    });
    words.skip(1).collect()
}

/// Asserts that lockstep takes a command: where there is no configuration, it gets as far as missing that.
#[track_caller]
fn check(place: &str, command: &str) {
    let nowhere = tempfile::tempdir().unwrap();
    let mut lockstep = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    lockstep.args(arguments(command)).current_dir(nowhere.path()).env_clear().env("USER", "ann");
    let said = finish(lockstep);
    assert!(!said.err.contains("Usage:") && !said.err.contains("For more information"), "{place}: `{command}`: {}", said.err);
}

/// The verbs of `lockstep --help`.
fn verbs() -> Vec<String> {
    let said = Stage::new().run(&["--help"]).exits(0).out;
    let listed = said.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let verbs = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    verbs.filter(|verb| *verb != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_that_a_document_prints_is_one_that_lockstep_takes() {
    let mut found = 0;
    for path in PAGES {
        for command in commands_of(&pages::page(path)) {
            check(path, &command);
            found += 1;
        }
    }
    // What the demo says at its end.
    let demo = pages::page("scripts/demo");
    for line in demo.split("<<TRY").nth(1).unwrap().lines().take_while(|line| *line != "TRY") {
        let offered = line.split_once("  ").map(|(_, commands)| commands.trim()).unwrap_or_default();
        for command in offered.split(" · ").filter(|command| command.starts_with("lockstep ")) {
            check("scripts/demo", command);
            found += 1;
        }
    }
    assert!(found >= 20, "only {found} commands were found");
}

#[test]
fn every_example_of_the_help_is_a_command_that_lockstep_takes() {
    let stage = Stage::new();
    for verb in verbs() {
        let said = stage.run(&[&verb, "--help"]).exits(0).out;
        // Behind a command stands what it does, after at least two blanks, or where its output goes.
        let lines = said.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("lockstep "));
        let ends = |line: &str| ["  ", " >", " |"].iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
        let commands: Vec<&str> = lines.map(|line| &line[..ends(line)]).collect();
        assert!(!commands.is_empty(), "the help of {verb} has no examples");
        for command in commands {
            check(&verb, command);
        }
    }
}

#[test]
fn the_readme_names_every_verb() {
    let readme = pages::page("README.md");
    let verbs = verbs();
    assert!(verbs.len() >= 10, "{verbs:?}");
    for verb in verbs {
        let named = readme.contains(&format!("`{verb}")) || readme.contains(&format!("`lockstep {verb}"));
        assert!(named, "README.md names no `{verb}`");
    }
}

#[test]
fn the_configuration_that_the_readme_shows_is_one_that_lockstep_reads() {
    let readme = pages::blocks(&pages::page("README.md"));
    let shown = readme.iter().find(|block| block.language == "yaml" && block.text.contains("consul:")).unwrap();
    // An id that no `init` printed is refused by every verb.
    assert!(!shown.text.contains("\n    target_id:"), "{}", shown.text);
    let stage = Stage::new();
    std::fs::write(stage.config(), &shown.text).unwrap();
    stage.run(&["validate", concat!(env!("CARGO_MANIFEST_DIR"), "/config-repo-example")]).exits(0);
}

#[test]
fn the_configuration_that_the_readme_shows_for_a_directory_deploys_as_it_stands() {
    let readme = pages::blocks(&pages::page("README.md"));
    let shown = readme.iter().find(|block| block.language == "yaml").unwrap();
    let stage = Stage::new();
    std::fs::write(stage.config(), &shown.text).unwrap();
    std::os::unix::fs::symlink(stage.repo.path(), stage.home.path().join("calvin-config")).unwrap();
    let missing = stage.run(&["apply", "--once"]).exits(4).out;
    assert!(missing.contains("hint:"), "{missing}");
    std::fs::create_dir(stage.home.path().join("live")).unwrap();
    stage.run(&["apply", "--once"]).exits(0);
    assert!(stage.home.path().join("live/test/current/config/app/port").exists());
}
