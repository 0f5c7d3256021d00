//! Names of keys that are none, for every verb that takes one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::stage::{Stage, finish};

/// Every verb that takes a key, what begins one, or what holds some, and where the name stands.
const VERBS: [&[&str]; 7] = [
    &["kv", "get", "KEY"],
    &["kv", "log", "KEY"],
    &["why", "KEY"],
    &["adopt", "test", "KEY"],
    &["unmanaged", "test", "KEY"],
    &["kv", "list", "test", "KEY"],
    &["import", "consul", "test", "--address", "http://127.0.0.1:1", "--into", "new", "KEY"],
];

#[track_caller]
fn check(stage: &Stage, key: &str, verbs: &[&[&str]], expected: &str) {
    for verb in verbs {
        let arguments: Vec<&str> = verb.iter().map(|word| if *word == "KEY" { key } else { word }).collect();
        let said = stage.run(&arguments).exits(2);
        let told = &said.err;
        assert!(told.contains(expected) && told.contains("hint: "), "{verb:?} {key:?}: {told}");
        assert!(told.starts_with("error: ") && told.matches("error: ").count() == 1, "{verb:?} {key:?}: {told}");
        assert!(told.len() < 600 && !told.chars().any(|c| c.is_control() && c != '\n'), "{verb:?}: {told:?}");
        assert_eq!(said.out, "", "{verb:?} {key:?}");
    }
}

#[test]
fn what_is_no_key_is_refused_by_every_verb_with_one_reason_and_what_to_do() {
    let stage = Stage::new();
    let long = "k".repeat(600);
    for (key, expected) in [
        ("", "is empty"),
        ("/config/app", "has an empty segment"),
        ("config//app", "has an empty segment"),
        ("config/../app", "has a '.' or '..' segment"),
        ("..", "has a '.' or '..' segment"),
        ("config/\u{1b}[2J\u{7}", "contains a control character"),
        ("config/a\nb", "contains a control character"),
        ("config\\app", "contains a backslash"),
        ("config/%2e%2e/app", "contains a percent-encoded separator"),
        (long.as_str(), "is longer than 512 bytes"),
        ("lockstep/demo/test/record", "is reserved for lockstep's own state"),
    ] {
        check(&stage, key, &VERBS[..6], expected);
        // Which keys an import reads is said by roots, which end with a slash.
        if !key.is_empty() {
            check(&stage, &format!("{key}/"), &VERBS[6..], expected);
        }
    }
    check(&stage, "", &VERBS[6..], "must end with '/'");
    check(&stage, "config/app/", &VERBS[..3], "has an empty segment");
    let hint = stage.run(&["why", "config/app/"]).err;
    assert!(hint.contains("that is a folder: `lockstep kv list ENV config/app/`"), "{hint}");
}

#[test]
fn a_folder_is_no_key_and_what_lies_in_it_is_a_word_away() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let said = stage.run(&["kv", "get", "config/app"]).exits(1).err;
    assert!(said.contains("config/app is a folder in test and no key"), "{said}");
    assert!(said.contains("`lockstep kv list test config/app/` lists the keys below it"), "{said}");
    assert_eq!(stage.run(&["kv", "list", "test", "config/app/"]).exits(0).out.lines().count(), 3);
    assert_eq!(stage.run(&["kv", "list", "test", "config/app/po"]).exits(0).out.lines().count(), 1);
    assert_eq!(stage.run(&["kv", "list", "test", "config/nothing here "]).exits(0).out, "");
}

#[test]
fn a_name_that_is_no_text_is_wrong_usage_of_every_verb() {
    let stage = Stage::new();
    for verb in VERBS {
        let mut command = stage.command(&[]);
        for word in verb {
            match *word {
                "KEY" => command.arg(OsStr::from_bytes(b"config/\xff\xfe")),
                word => command.arg(word),
            };
        }
        let said = finish(command).exits(2);
        assert!(said.err.contains("invalid UTF-8") && said.err.contains("--help"), "{verb:?}: {}", said.err);
    }
}
