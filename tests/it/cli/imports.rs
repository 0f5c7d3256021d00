//! `import` without a server: what it refuses before it reads or writes anything.

use super::stage::Stage;

#[track_caller]
fn check(arguments: &[&str], code: i32, expected: &str) {
    let stage = Stage::new();
    std::fs::create_dir(stage.home.path().join("full")).unwrap();
    std::fs::write(stage.home.path().join("full/file"), "x").unwrap();
    let before = std::fs::read_dir(stage.home.path()).unwrap().count();
    let said = stage.run(&[&["import"], arguments].concat()).exits(code);
    assert!(said.err.contains(expected), "{arguments:?}: {}", said.err);
    assert_eq!(std::fs::read_dir(stage.home.path()).unwrap().count(), before, "{arguments:?} left something behind");
}

#[test]
fn a_wrong_command_line_is_refused_before_anything_is_read() {
    let to = ["--address", "http://127.0.0.1:1", "--into"];
    let with = |into: &'static str, prefixes: &[&'static str]| [&["consul", "test"], &to[..], &[into], prefixes].concat();
    check(&with("full", &["config/"]), 1, "it is not empty");
    check(&with("full/file", &["config/"]), 1, "something else has that name");
    check(&with("none/new", &["config/"]), 1, "there is no directory");
    check(&with("new", &[]), 2, "nobody says which keys");
    check(&with("new", &["config"]), 2, "must end with '/'");
    check(&with("new", &["config/", "config/a/"]), 2, "lies inside another root");
    check(&["consul", "Test", "--address", "http://127.0.0.1:1", "--into", "new", "config/"], 2, "names no environment");
    check(&["consul", "test", "--address", "127.0.0.1:8500", "--into", "new", "config/"], 2, "the address is wrong");
    check(&["consul", "test", "--address", "http://u:hunter2@h:1", "--into", "new", "config/"], 2, "it holds credentials");
    check(&["consul", "test", "--into", "new", "config/"], 2, "test is a directory");
    check(&["consul", "none", "--into", "new", "config/"], 2, "has no environment none");
    check(&["consul", "test", "--into", "new", "--name", "My Config", "config/"], 2, "repository name");
}
