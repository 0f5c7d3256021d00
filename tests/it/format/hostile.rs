//! Input that is meant to hurt: each ends in a clear problem, in bounded time, and stops nobody else.

use std::time::{Duration, Instant};

use lockstep::domain::desired::{self, Node};

use super::{name, state_of, told, tree, values, with};

/// The longest that reading one hostile file may take in an unoptimised build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A hostile file in a layer of `test` beside a healthy environment `other`.
#[track_caller]
fn check(what: &str, path: &str, bytes: Vec<u8>, expected: &str) {
    let tree = with(
        tree(&[("environments/other/environment.yaml", "layers: [good]\n"), ("good/kv/a.yaml", "b: 1\n")]),
        path,
        Node::File(bytes.into()),
    );
    let begin = Instant::now();
    let problems = desired::read_environment(&tree, &name("test"));
    let took = begin.elapsed();
    assert!(took < PATIENCE, "{what} took {took:?}");
    let problems = problems.expect_err(what);
    assert!(problems.len() <= 51, "{what}: {} problems", problems.len());
    assert!(problems.iter().any(|problem| problem.to_string().contains(expected)), "{what}: {:?}", problems[0]);
    assert!(problems.iter().all(|problem| problem.to_string().len() < 1000), "{what}: a problem is too long to read");
    assert!(matches!(desired::read_environment(&tree, &name("other")), Ok(Some(_))), "{what} stopped another environment");
}

#[track_caller]
fn check_kv(what: &str, yaml: impl Into<Vec<u8>>, expected: &str) {
    check(what, "base/kv/config.yaml", yaml.into(), expected);
}

#[test]
fn bombs_end_at_a_limit() {
    let laughs = |levels: usize| {
        let level = |n: usize| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(10));
        "a0: &a0 [lol,lol,lol]\n".to_owned() + &(1..levels).map(level).collect::<Vec<_>>().concat()
    };
    check_kv("a billion laughs", laughs(10), "holds more than 500000 values, aliases written out");
    let text = "x".repeat(1 << 20);
    check_kv(
        "a large text many times",
        format!("a: &a {text}\nb: [{}]\n", "*a,".repeat(1000)),
        "bytes of text, aliases written out",
    );
    check_kv(
        "keys by aliases",
        format!("a: &a {{{}}}\nb: {{{}}}\n", keys(1000), keys_of("*a", 1000)),
        "holds more than 500000 values",
    );
    check("in an environment file", "environments/test/environment.yaml", laughs(10).into(), "holds more than 500000 values");
    check("in a check", "base/checks/a.yaml", laughs(10).into(), "holds more than 500000 values");
    check("in the manifest's shape", "base/checks/b.yaml", "[".repeat(1000).into(), "is nested deeper than 64 levels");
}

fn keys(count: usize) -> String {
    keys_of("v", count)
}

fn keys_of(value: &str, count: usize) -> String {
    (0..count).map(|n| format!("k{n}: {value},")).collect::<Vec<_>>().concat()
}

#[test]
fn depth_ends_at_a_limit() {
    let deep = |levels: usize| {
        (0..levels).map(|n| format!("{}k:\n", " ".repeat(n))).collect::<Vec<_>>().concat() + &" ".repeat(levels) + "k: v\n"
    };
    assert_eq!(values(&[("base/kv/config.yaml", &deep(63))]).len(), 1);
    check_kv("64 levels and one", deep(64), "is nested deeper than 64 levels");
    check_kv("100 levels", deep(100), "is nested deeper than 64 levels");
    for (what, opening) in [("flow lists", "["), ("flow mappings", "{a: "), ("lists", "- "), ("complex keys", "? ")] {
        check_kv(what, opening.repeat(1 << 18), "is nested deeper than 64 levels");
    }
    let nested = (1..64).fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [*a{}]\n", n - 1));
    check_kv("depth by aliases", nested, "is nested deeper than 64 levels");
}

#[test]
fn size_ends_at_a_limit() {
    check_kv("over 10 MiB", "a: b\n".repeat((10 << 20) / 5 + 1), "is 10485765 bytes; a YAML file may have 10485760");
    check_kv("10 MiB of items", format!("a: [{}", "a,".repeat(5 << 20)), "a YAML file may have");
    check_kv("items", format!("a: [{}", "a,".repeat(1 << 19)), "holds more than 500000 values");
    check_kv("one text of 10 MiB", format!("a: {}\n", "x ".repeat(1 << 20)), "the value has 209715");
    check_kv("one key of 10 MiB", format!("{}: a\n", "x".repeat(2 << 20)), "is not valid YAML");
    check_kv("a quoted key of 1 MiB", format!("? \"{}\"\n: a\n", "x".repeat(1 << 20)), "the key is longer than 512 bytes");
    check_kv("empty lines", "\n".repeat(2 << 20), "is empty");
    check_kv("documents", "---\n".repeat(1 << 18), "a second document begins");
    check_kv("an open quote", format!("a: \"{}", "x ".repeat(1 << 20)), "is not valid YAML");
    check_kv("duplicate keys", "a: 1\n".repeat(100_000), "the key \"a\" stands here and on line 1");
    check_kv(
        "many problems",
        (0..100_000).map(|n| format!("k{n}:\n")).collect::<Vec<_>>().concat(),
        "further problems in this file are not shown",
    );
    check_kv("long keys in each other", long_keys(), "the key is longer than 512 bytes");
}

/// Each key would be copied once for every level below it.
fn long_keys() -> String {
    let long = "k".repeat(100_000);
    (0..20).map(|n| format!("{0}? {long}{n}\n{0}:\n", " ".repeat(n))).collect::<Vec<_>>().concat() + &" ".repeat(20) + "x: y\n"
}

#[test]
fn variables_that_multiply_end_at_a_limit() {
    let environment = |size: usize| {
        let yaml = format!("layers: [base]\nvariables: {{v: {}}}\n", "x".repeat(size));
        ("environments/test/environment.yaml", yaml)
    };
    let (path, yaml) = environment(4096);
    let kv = (0..10_000).map(|n| format!("k{n}: ${{v}}{n}\n")).collect::<Vec<_>>().concat();
    let found = told(&tree(&[(path, &yaml), ("base/kv/config.yaml", &kv)]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("variables fill in to more than this environment may hold"), "{found:?}");
    let kv = format!("a: {}\n", "${v}".repeat(1 << 18));
    let found = told(&tree(&[(path, &yaml), ("base/kv/config.yaml", &kv)]));
    assert!(found[0].contains("is over 390000 bytes once its variables are filled in"), "{found:?}");
    let (path, yaml) = environment(4097);
    assert!(told(&tree(&[(path, &yaml)]))[0].contains("the variable v has 4097 bytes"));
}

#[test]
fn bytes_that_are_no_text_are_refused_where_yaml_stands_and_welcome_below_files() {
    for (what, bytes, expected) in [
        ("latin 1", b"a: 1\nb: caf\xe9\n".as_slice(), "base/kv/config.yaml:2:7: is not UTF-8 text from here on"),
        ("UTF-16", b"\xff\xfea\0:\0", "base/kv/config.yaml:1:1: is not UTF-8"),
        ("a NUL", b"a: x\0y\n", "base/kv/config.yaml:1:5: holds the character U+0000"),
        ("an escape", b"a: x\x1b[2Jy\n", "holds the character U+001B"),
        ("a mark in the middle", "a: 1\n\u{feff}b: 2\n".as_bytes(), "2:1: holds the character U+FEFF"),
    ] {
        check_kv(what, bytes, expected);
        let tree = with(tree(&[]), "base/files/config/x", Node::File(bytes.into()));
        assert_eq!(&*state_of(&tree, "test").entries()["config/x"].value, bytes, "{what}");
    }
}

#[test]
fn tabs_marks_and_line_ends_are_bounded_and_clear() {
    check_kv("tabs", "a:\n\tb: 1\n", "base/kv/config.yaml:2:");
    check_kv("a tab below a text", "a: 1\n\tb: 2\n", "base/kv/config.yaml:2:1: ");
    check_kv("a tab behind spaces", "a:\n  b: 1\n  \tc: 2\n", "base/kv/config.yaml:3:3: ");
    let found = told(&tree(&[("base/kv/config.yaml", "a:\n\tb: 1\n")]));
    assert!(found[0].contains("YAML indents with spaces, not with tabs"), "{found:?}");
    let plain = values(&[("base/kv/config.yaml", "a: 1\nb: |\n  x\n  y\n")]);
    assert_eq!(values(&[("base/kv/config.yaml", "a: 1\r\nb: |\r\n  x\r\n  y\r\n")]), plain);
    assert_eq!(values(&[("base/kv/config.yaml", "\u{feff}a: 1\nb: |\n  x\n  y\n")]), plain);
}

#[test]
fn no_value_is_ever_in_a_message() {
    const CANARY: &str = "c4n4ry-7f3a";
    for yaml in [
        format!("a: !vault {CANARY}\n"),
        format!("a: !absent {CANARY}\n"),
        format!("a: !sensitive ${{x}}{CANARY}\n"),
        format!("a: [!keep {CANARY}, ]\n"),
        format!("a: \"{CANARY}\n"),
        format!("a: {CANARY}: {CANARY}\n"),
        format!("a: {CANARY}\na: {CANARY}\n"),
        format!("a: '{CANARY}' {CANARY}\n"),
        format!("a: {CANARY}\u{0}\n"),
        format!("{CANARY}\n"),
    ] {
        let found = told(&tree(&[("base/kv/config.yaml", &yaml)]));
        assert!(!found.is_empty(), "{yaml:?} was accepted");
        assert!(!found.iter().any(|line| line.contains(CANARY)), "{found:?}");
    }
}
