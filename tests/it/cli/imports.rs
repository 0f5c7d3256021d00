//! `import` without a server: what it refuses before it reads or writes anything.

use super::stage::{Stage, finish};

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

#[test]
fn a_place_in_a_config_repository_is_refused_with_what_to_do_instead() {
    let stage = Stage::new();
    let repository = stage.home.path().join("mine");
    std::fs::create_dir_all(repository.join("environments")).unwrap();
    std::fs::write(repository.join("lockstep.yaml"), "name: mine\nlockstep: ^1\n").unwrap();
    for into in ["mine/new", "mine/environments/other", "mine/../mine/base"] {
        let asked = ["import", "consul", "test", "--address", "http://127.0.0.1:1", "--into", into, "config/"];
        let said = stage.run(&asked).exits(1).err;
        assert!(said.contains("lies in the config repository"), "{into}: {said}");
        assert!(said.contains("copy from there the environment's directory"), "{into}: {said}");
    }
    assert_eq!(std::fs::read_dir(&repository).unwrap().count(), 2);
}

#[test]
fn of_two_imports_into_one_place_one_wins_and_the_other_is_told() {
    let stage = Stage::with(&[("a/b.json", "{\"x\": \"1\"}"), ("a/c.json", "{\"y\": \"2\"}")]);
    let repo = stage.repo.path().display().to_string();
    let asked = ["import", "gonsul", "test", "--input-ext", "json", "--expand-json=true", "--repo", &repo, "--into", "new"];
    let said = std::thread::scope(|scope| {
        let both = [0, 1].map(|_| stage.command(&asked)).map(|command| scope.spawn(|| finish(command)));
        both.map(|one| one.join().unwrap())
    });
    let (won, lost): (Vec<_>, Vec<_>) = said.iter().partition(|said| said.code == 0);
    assert_eq!((won.len(), lost.len()), (1, 1), "{said:?}");
    assert_eq!(lost[0].code, 1, "{said:?}");
    assert!(["came there meanwhile", "it is not empty"].iter().any(|why| lost[0].err.contains(why)), "{said:?}");
    assert!(
        won[0].out.contains("next:") && won[0].out.contains("`lockstep adopt test` takes over what has the same value"),
        "{said:?}"
    );
    stage.run(&["validate", "new"]).exits(0);
    let names: Vec<_> = std::fs::read_dir(stage.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("partial")), "{names:?}");
}

/// Files of another tool beside the configuration, and what is said of them.
#[track_caller]
fn check_tool(files: &[(&str, &str)], json: &str, arguments: &[&str], code: i32, expected: &str) {
    let stage = Stage::with(&[&[super::stage::MANIFEST, super::stage::ENVIRONMENT, super::stage::KEYS], files].concat());
    std::fs::write(stage.home.path().join("git2consul.json"), json).unwrap();
    let before = std::fs::read_dir(stage.home.path()).unwrap().count();
    let repo = stage.repo.path().display().to_string();
    let said = stage.run(&[&["import"], arguments, &["--repo", &repo, "--into", "new"]].concat()).exits(code);
    assert!(said.err.contains(expected), "{arguments:?}: {}", said.err);
    assert_eq!(std::fs::read_dir(stage.home.path()).unwrap().count(), before, "{arguments:?} left something behind");
}

#[test]
fn a_wrong_configuration_of_git2consul_has_its_place() {
    const ONE: &str = r#"{"repos": [{"name": "a", "branches": ["main"]}]}"#;
    let asked = ["git2consul", "test", "git2consul.json"];
    let check = |json: &str, more: &[&str], code, expected| check_tool(&[], json, &[&asked[..], more].concat(), code, expected);
    check_tool(&[], ONE, &["git2consul", "test", "no-file.json"], 1, "`consul kv get git2consul/config > git2consul.json`");
    check("{\n  \"repos\": [}\n", &[], 1, "git2consul.json:2:13: ");
    check("{\"repos\": [{\"branches\": []}]}", &[], 1, "missing field `name`");
    check("{\n\"repos\": [{\"name\": 1}]}", &[], 1, "git2consul.json:2:");
    check(
        r#"{"repos": [{"name": "a", "branches": ["main"], "mountpoint": "/a"}]}"#,
        &[],
        1,
        "neither begins nor ends with '/'",
    );
    check(r#"{"repos": []}"#, &[], 2, "which repository");
    check(r#"{"repos": [{"name": "a", "branches": ["main", "dev"]}]}"#, &[], 2, "the file has main, dev");
    check(ONE, &["--branch", "dev"], 2, "which branch");
    check(ONE, &["--repo-name", "b"], 2, "it has a");
    check(ONE, &["--against", "http://127.0.0.1:1"], 4, "Connection refused");
    check(ONE, &["--against", "none"], 2, "has no environment none");
    check(ONE, &["--leave-out", "*"], 1, "there is no key to write");
    check(r#"{"repos": [{"name": "a", "branches": ["gone"]}]}"#, &[], 1, "there is no such commit");
}

#[test]
fn files_on_which_gonsul_gives_up_have_their_place() {
    let asked = ["gonsul", "test", "--input-ext", "json"];
    check_tool(&[("a/b.json", "{\n  \"x\": ,\n}")], "", &asked, 1, "a/b.json:2:8: is not valid JSON");
    check_tool(&[("a/b.json", "[1]")], "", &[&asked[..], &["--expand-json"]].concat(), 1, "is no mapping at its top");
    check_tool(&[], "", &asked, 1, "there is no key to write: the tool would read no file of this commit");
    let nowhere = ["gonsul", "test", "--repo-base-path", "nosuch"];
    check_tool(&[], "", &nowhere, 1, "are the branch, the directory in the repository and the extensions right?");
    check_tool(&[], "", &["gonsul", "test", "--expand-json=perhaps"], 2, "invalid value");
}
