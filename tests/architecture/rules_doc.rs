//! `docs/rules.md` is true of this tree: every rule names tests, and every test it names is there.

use std::collections::BTreeMap;

/// The rules that must stand in the document.
const RULES: [&str; 57] = [
    "O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8", "O9", "A1", "A2", "A3", "A4", "A5", "A6", "A9", "A10", "G1", "G2", "G3",
    "G4", "G5", "H1", "H2", "H3", "H4", "H5", "H6", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12",
    "S1", "S2", "S3", "E1", "E2", "L1", "L2", "L3", "W1", "W2", "D1", "D2", "D3", "D4", "F1", "F2", "F3",
];

/// Rules that are missing or without a test, and tests that are nowhere.
pub(crate) fn unheld(files: &BTreeMap<String, String>) -> Vec<String> {
    const DOCUMENT: &str = "docs/rules.md";
    let Some(text) = files.get(DOCUMENT) else { return vec![format!("{DOCUMENT}: is missing")] };
    let mut findings = Vec::new();
    let mut found = Vec::new();
    // From one rule's bold number to the next.
    for (index, paragraph) in text.split("\n\n**").enumerate() {
        let tests: Vec<(&str, &str)> =
            paragraph.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
        let gone = tests.iter().filter(|(file, _)| std::path::Path::new(file).extension().is_some()).filter(|(file, test)| {
            let call = format!("fn {test}(");
            !files.get(*file).is_some_and(|source| source.contains(&call))
        });
        findings.extend(gone.map(|(file, test)| format!("{DOCUMENT}: there is no test `{file}::{test}`")));
        // Before the first rule stands what the page is for.
        let Some(rule) = paragraph.split_whitespace().next().filter(|_| index > 0) else { continue };
        found.push(rule);
        if tests.is_empty() {
            findings.push(format!("{DOCUMENT}: {rule} names no test that holds it"));
        }
    }
    let missing = RULES.iter().filter(|rule| !found.contains(rule));
    findings.extend(missing.map(|rule| format!("{DOCUMENT}: says nothing of {rule}")));
    let outside = text.match_indices("../").map(|(at, _)| text[..at].lines().count());
    findings.extend(outside.map(|line| format!("{DOCUMENT}:{line}: leads out of the repository")));
    findings
}

#[test]
fn a_rule_without_a_test_and_a_test_that_is_gone_are_found() {
    let rules =
        "Words.\n\n**O1 One.** Text.\nHeld by `src/a.rs::there`, `src/a.rs::gone`, `src/b.rs::there`.\n\n**O2 Two.** See ../x.";
    let files =
        [("docs/rules.md", rules), ("src/a.rs", "fn there() {}")].map(|(path, text)| (path.to_owned(), text.to_owned()));
    let found = unheld(&files.into());
    assert_eq!(
        found[..3],
        [
            "docs/rules.md: there is no test `src/a.rs::gone`",
            "docs/rules.md: there is no test `src/b.rs::there`",
            "docs/rules.md: O2 names no test that holds it",
        ]
    );
    assert_eq!(found.len(), 3 + RULES.len() - 2 + 1);
    assert_eq!(unheld(&BTreeMap::new()), ["docs/rules.md: is missing"]);
}
