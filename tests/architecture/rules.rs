//! What each file is held to by itself: purity of the domain, length, its first line, and nothing left undone.

use std::collections::{BTreeMap, BTreeSet};

use super::syntax::Source;

/// The repository's text files by path.
type Files = BTreeMap<String, String>;

/// How many lines of code a file may have.
const LONGEST: usize = 400;

/// The same for tests: tables of cases are long without being complicated.
const LONGEST_TESTS: usize = 600;

/// What the domain must not reach, and why.
const IMPURE_STD: [(&str, &str); 15] = [
    ("std::time::Instant", "time is an argument"),
    ("std::time::SystemTime", "time is an argument"),
    ("std::fs", "files are read in client/"),
    ("std::io", "IO is done in client/"),
    ("std::env", "the environment is read in config/"),
    ("std::net::TcpListener", "sockets are opened in client/"),
    ("std::net::TcpStream", "sockets are opened in client/"),
    ("std::net::UdpSocket", "sockets are opened in client/"),
    ("std::net::ToSocketAddrs", "names are resolved in client/"),
    ("std::os", "the system is met in client/"),
    ("std::process", "programs are started in client/"),
    ("std::thread", "the loop owns all tasks"),
    ("std::sync::mpsc", "a decision waits for nothing"),
    ("std::random", "randomness is an argument"),
    ("std::collections::hash_map::RandomState", "randomness is an argument"),
];

/// Words that make a decision wait, or tie its types to a wire.
const IMPURE_WORDS: [(&str, &str); 5] = [
    ("async", "a decision waits for nothing"),
    ("await", "a decision waits for nothing"),
    ("HashMap", "its order is random: use BTreeMap"),
    ("HashSet", "its order is random: use BTreeSet"),
    ("Serialize", "wire types stay at the edge, with a version"),
];

/// The dependencies that the domain may use: they compute, and do nothing else.
const PURE_CRATES: [&str; 11] = [
    "semver",
    "serde",
    "serde_json",
    "serde-saphyr",
    "saphyr-parser",
    "sha2",
    "base64",
    "similar",
    "jiff",
    "thiserror",
    "proptest",
];

/// Everything in `src/domain/` that could make the same input give another answer.
pub(crate) fn purity(files: &Files, dependencies: &[String]) -> Vec<String> {
    let impure_crates: BTreeSet<String> = dependencies
        .iter()
        .filter(|name| !PURE_CRATES.contains(&name.as_str()))
        .map(|name| name.replace('-', "_"))
        .chain(["rand".to_owned()])
        .collect();
    let mut findings = Vec::new();
    for (file, source) in parsed(files, "src/domain/").filter(|(file, _)| !is_unit_tests(file)) {
        for (word, line) in &source.words {
            if let Some((word, why)) = IMPURE_WORDS.iter().find(|(impure, _)| impure == word) {
                findings.push(format!("{file}:{line}: `{word}` has no place in the domain: {why}"));
            }
        }
        for name in source.names.iter().filter(|name| !name.in_tests) {
            let path = name.segments.join("::").replacen("core::", "std::", 1);
            let found = IMPURE_STD.iter().find(|(impure, _)| {
                // An import of `std::time` as a whole brings its clocks along.
                within(&path, impure) || (name.imported_as.is_some() && path != "std" && within(impure, &path))
            });
            if let Some((impure, why)) = found {
                findings.push(format!("{file}:{}: `{impure}` has no place in the domain: {why}", name.line));
            }
            if impure_crates.contains(&name.segments[0]) {
                findings
                    .push(format!("{file}:{}: `{}` has no place in the domain: it is not pure", name.line, name.segments[0]));
            }
            if name.segments.len() > 1 && name.segments.last().is_some_and(|last| last == "now") {
                findings.push(format!("{file}:{}: `{path}` has no place in the domain: time is an argument", name.line));
            }
        }
    }
    findings
}

/// Files with more code than one purpose needs. Blank lines, comments and the unit tests at the end don't count.
pub(crate) fn length(files: &Files) -> Vec<String> {
    parsed(files, "")
        .filter_map(|(file, source)| {
            let tests = file.starts_with("tests/") || is_unit_tests(file);
            let (lines, longest) = (source.code.len(), if tests { LONGEST_TESTS } else { LONGEST });
            (lines > longest).then(|| format!("{file}: {lines} lines of code, {longest} at most: it has more than one purpose"))
        })
        .collect()
}

/// Files that don't say first what they are for.
pub(crate) fn openings(files: &Files) -> Vec<String> {
    files
        .iter()
        .filter(|(file, text)| is_rust(file) && text.strip_prefix("//! ").is_none_or(|text| text.trim_start().is_empty()))
        .map(|(file, _)| format!("{file}:1: begins with `//! ` and what it is for"))
        .collect()
}

/// A test that doesn't run says nothing.
pub(crate) fn ignored_tests(files: &Files) -> Vec<String> {
    parsed(files, "")
        .flat_map(|(file, source)| {
            source.ignored.into_iter().map(move |line| format!("{file}:{line}: a test is switched off: mend it or remove it"))
        })
        .collect()
}

/// Notes to oneself and code that panics because nobody has written it.
pub(crate) fn undone(files: &Files) -> Vec<String> {
    let words = [concat!("FIX", "ME"), concat!("X", "XX"), concat!("TO", "DO")];
    let macros = [concat!("to", "do!"), concat!("unimpl", "emented!")];
    let mut findings = Vec::new();
    for (file, text) in files {
        for (number, line) in text.lines().enumerate() {
            let word =
                words.iter().find(|word| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == **word));
            let call = macros.iter().find(|call| is_rust(file) && line.contains(**call));
            if let Some(found) = word.or(call) {
                findings.push(format!("{file}:{}: `{found}`: finish it, or file it where work is planned", number + 1));
            }
        }
    }
    findings
}

fn is_rust(file: &str) -> bool {
    file.strip_suffix(".rs").is_some()
}

/// Unit tests in a file of their own.
fn is_unit_tests(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// Whether a path is `outer` or something in it.
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn parsed<'a>(files: &'a Files, below: &'a str) -> impl Iterator<Item = (&'a String, Source)> {
    files
        .iter()
        .filter(move |(file, _)| is_rust(file) && file.starts_with(below))
        .map(|(file, text)| (file, Source::parse(text).unwrap_or_else(|error| panic!("{file} {error}"))))
}

fn one(file: &str, text: &str) -> Files {
    BTreeMap::from([(file.to_owned(), text.to_owned())])
}

#[track_caller]
fn check_purity(text: &str, expected: &[&str]) {
    let dependencies = ["tokio", "getrandom", "hickory-resolver", "serde", "semver"].map(str::to_owned);
    let found = purity(&one("src/domain/x.rs", text), &dependencies);
    let short: Vec<&str> = found
        .iter()
        .map(|line| line.strip_prefix("src/domain/x.rs:").and_then(|line| line.split(" has no place").next()).unwrap())
        .collect();
    assert_eq!(short, expected, "{text}");
}

#[test]
fn impure_code_is_refused_in_the_domain() {
    check_purity("async fn f() {}", &["1: `async`"]);
    check_purity("fn f() { g.await }", &["1: `await`"]);
    check_purity("use std::time::{Duration,\nInstant};", &["2: `std::time::Instant`"]);
    check_purity("use std::time;", &["1: `std::time::Instant`"]);
    check_purity("use std::time::*;", &["1: `std::time::Instant`"]);
    check_purity("use std::{env, fs::File};", &["1: `std::env`", "1: `std::fs`"]);
    check_purity(
        "fn f() { std::time::SystemTime::now(); }",
        &["1: `std::time::SystemTime`", "1: `std::time::SystemTime::now`"],
    );
    check_purity("fn f() { jiff::Timestamp::now(); }", &["1: `jiff::Timestamp::now`"]);
    check_purity("use std::net::{IpAddr, TcpStream};", &["1: `std::net::TcpStream`"]);
    check_purity("use tokio::time::sleep;", &["1: `tokio`"]);
    check_purity(
        "fn f() { getrandom::fill(&mut b); hickory_resolver::x(); rand::random() }",
        &["1: `getrandom`", "1: `hickory_resolver`", "1: `rand`"],
    );
    check_purity("#[derive(Debug, serde::Serialize)] struct A;", &["1: `Serialize`"]);
    check_purity("use std::collections::HashMap;", &["1: `HashMap`"]);
}

#[test]
fn pure_code_is_not_refused() {
    check_purity("use std::time::Duration;\nuse std::net::IpAddr;\nuse semver::Version;\nuse serde::Deserialize;", &[]);
    check_purity("/// Not `async`; see std::fs.\nfn f(now: u64) { \"tokio::spawn\"; now; self.tokio }", &[]);
    check_purity("#[cfg(test)]\nmod tests { use std::fs; async fn f() {} }", &[]);
    assert_eq!(purity(&one("src/domain/plan/tests.rs", "use std::fs;"), &[]), [""; 0]);
    assert_eq!(purity(&one("src/client/x.rs", "use std::fs; async fn f() {}"), &[]), [""; 0]);
}

#[test]
fn a_long_file_is_refused_and_its_tests_do_not_count() {
    let long = "fn f() {}\n".repeat(LONGEST + 1);
    let expected = format!("src/x.rs: {} lines of code, {LONGEST} at most: it has more than one purpose", LONGEST + 1);
    assert_eq!(length(&one("src/x.rs", &long)), [expected]);
    assert_eq!(length(&one("tests/it/x.rs", &long)), [""; 0]);
    let well = format!("{}\n\n// Why.\n#[cfg(test)]\nmod tests {{\n{long}}}", "fn f() {}\n".repeat(LONGEST - 1));
    assert_eq!(length(&one("src/x.rs", &well)), [""; 0]);
}

#[test]
fn a_file_without_an_opening_is_refused() {
    assert_eq!(openings(&one("src/x.rs", "use std::fs;\n//! Late.")), ["src/x.rs:1: begins with `//! ` and what it is for"]);
    assert_eq!(openings(&one("src/x.rs", "//! \n")).len(), 1);
    assert_eq!(openings(&one("src/x.rs", "//! Early.\n")), [""; 0]);
}

#[test]
fn a_test_that_is_switched_off_is_found() {
    let text = "#[test]\n#[ignore = \"flaky\"]\nfn t() {}\n#[test]\n#[ignore]\nfn u() {}\n// #[ignore]";
    assert_eq!(ignored_tests(&one("tests/x.rs", text)).len(), 2);
    let child = "#[test]\n#[ignore = \"the process that the crash test kills\"]\nfn t() {}";
    assert_eq!(ignored_tests(&one("tests/x.rs", child)), [""; 0]);
}

#[test]
fn undone_work_is_found() {
    let text = concat!("// FIX", "ME later\nfn f() { to", "do!() }\nmktemp -d XXXX", "XX");
    assert_eq!(undone(&one("src/x.rs", text)).len(), 2);
    assert_eq!(undone(&one("scripts/x", concat!("# X", "XX"))).len(), 1);
}
