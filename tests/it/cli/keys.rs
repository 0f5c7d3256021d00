//! Names of keys that are none, for every verb that takes one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::stage::{ENVIRONMENT, MANIFEST, Stage, finish};

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
fn a_key_that_turns_the_reading_direction_turns_no_line_of_any_verb() {
    const KEY: &str = "config/app/port\u{202e}";
    let file = |value: &str| format!("app:\n  \"port\\u202e\": {value}\n  password: !sensitive x\n");
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, ("base/kv/config.yaml", &file("1"))]);
    let check = |stage: &Stage, verb: &[&str], code: i32, names_it: bool| {
        let said = stage.run(verb).exits(code);
        let told = format!("{}{}", said.out, said.err);
        assert!(!told.contains('\u{202e}'), "{verb:?}: {told}");
        assert_eq!(told.contains("port\\u{202e}"), names_it, "{verb:?}: {told}");
    };
    check(&stage, &["plan"], 3, true);
    check(&stage, &["apply", "--once"], 0, false);
    stage.repo.commit("another port", &[("base/kv/config.yaml", &file("2"))]);
    std::fs::write(stage.home.path().join("test/current/config/other-port\u{202e}"), "x").unwrap();
    for (verb, code, names_it) in [
        (&["plan"][..], 3, true),
        (&["diff", "HEAD~1", "HEAD"], 3, true),
        (&["render", "test"], 0, true),
        (&["kv", "list", "test"], 0, true),
        (&["kv", "log", KEY], 0, true),
        (&["kv", "get", "config/app/no-port\u{202e}"], 1, true),
        (&["why", KEY], 0, true),
        (&["unmanaged", "test"], 0, true),
        (&["strays", "test"], 0, false),
        (&["history", "test"], 0, false),
        (&["status"], 0, false),
    ] {
        check(&stage, verb, code, names_it);
    }
}

#[test]
fn a_program_reads_of_a_wrong_command_line_what_a_person_does() {
    let stage = Stage::new();
    for (arguments, says) in [
        (&["diff", "HEAD", "--output", "json"][..], "required arguments were not provided"),
        (&["--output=json", "kv", "log"], "required arguments were not provided: <KEY>"),
        (&["plan", "--output", "json", "--no-such"], "unexpected argument '--no-such' found"),
        (&["kv", "--output", "json"], "requires a subcommand"),
    ] {
        let said = stage.run(arguments).exits(2);
        let told = said.json();
        assert_eq!(told["version"], 1, "{arguments:?}: {told:#}");
        assert!(told["error"]["message"].as_str().unwrap().contains(says), "{arguments:?}: {told:#}");
        assert!(told["error"]["hint"].as_str().unwrap().contains("--help"), "{arguments:?}: {told:#}");
        assert!(!said.err.is_empty(), "{arguments:?}");
    }
    let yaml = stage.run(&["kv", "log", "--output", "yaml"]).exits(2).out;
    assert!(yaml.starts_with("version: 1\n"), "{yaml}");
    for arguments in [&["diff", "HEAD"][..], &["plan", "--output", "human", "--no-such"], &["plan", "--output", "no-such"]] {
        assert_eq!(stage.run(arguments).exits(2).out, "", "{arguments:?}");
    }
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

#[test]
fn a_key_outside_the_roots_of_the_environment_is_refused_with_the_roots_whatever_is_there() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.configure("  test: {directory: {path: ./test}, keys: [config/app/, resources/]}\n");
    let outside =
        |key: &str| format!("error: {key} lies outside the roots of test\n  hint: its roots are config/app/, resources/\n");
    let folder = |key: &str| {
        let hint = format!("hint: `lockstep kv list test {key}/` lists the keys below it");
        format!("error: {key} is a folder in test and no key\n  {hint}\n")
    };
    let missing = "error: test has no config/app/x live\n  hint: `lockstep why config/app/x --env test` tells what the repository says of it\n";
    for (key, rest, code, expected) in [
        ("other/key", &[][..], 2, outside("other/key")),
        ("configuration", &[], 2, outside("configuration")),
        ("con", &[], 2, outside("con")),
        ("other/key", &["--at", "HEAD"], 2, outside("other/key")),
        ("other/key", &["--at", "1"], 2, outside("other/key")),
        ("config", &[], 1, folder("config")),
        ("config/app", &[], 1, folder("config/app")),
        ("config/app/x", &[], 1, missing.to_owned()),
    ] {
        assert_eq!(stage.run(&[&["kv", "get", key], rest].concat()).exits(code).err, expected, "{key} {rest:?}");
    }
    // What a commit says of a key is told, wherever the roots are now.
    stage.configure("  test: {directory: {path: ./test}, keys: [resources/]}\n");
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", "1"]).exits(0).out, "8080");
    stage.run(&["kv", "get", "config/app/port"]).exits(2);
    let help = stage.run(&["kv", "get", "--help"]).exits(0).out;
    assert!(help.contains("with 2 when it lies outside the environment's roots"), "{help}");
}
