//! `adopt`, `unmanaged` and `strays` where there is nothing to adopt, and with bad input.

use super::stage::{KEYS, Stage};

#[track_caller]
fn check(stage: &Stage, arguments: &[&str], code: i32, expected: &str) {
    let said = stage.run(arguments).exits(code);
    assert!(format!("{}{}", said.out, said.err).contains(expected), "{arguments:?}: {said:?}");
}

#[test]
fn what_names_no_keys_of_the_environment_is_refused_before_anything_is_asked() {
    let stage = Stage::new();
    stage.configure("  test: {directory: {path: ./test}, keys: [app/, config/]}\n");
    for (prefix, expected) in [
        ("", "is empty"),
        ("/", "is empty"),
        ("/app", "has an empty segment"),
        ("app//", "has an empty segment"),
        ("app/../x", "has a '.' or '..' segment"),
        ("lockstep/", "which is reserved"),
        ("app/\u{1b}[2J", "contains a control character"),
        ("ap/", "lies outside the roots of test"),
        ("application", "lies outside the roots of test"),
    ] {
        check(&stage, &["adopt", "test", prefix], 2, expected);
    }
    let many: Vec<String> = (0..40).map(|number| format!("app/k{number}")).collect();
    let arguments: Vec<&str> = ["adopt", "test"].into_iter().chain(many.iter().map(String::as_str)).collect();
    check(&stage, &arguments, 2, "name fewer and wider ones");
    for verb in ["adopt", "unmanaged", "strays"] {
        check(&stage, &[verb, "nowhere"], 2, "the configuration has no environment \"nowhere\"");
        check(&stage, &[verb], 2, "Usage:");
    }
    check(&stage, &["adopt", "test", "--reason", " "], 2, "say why");
    // A mistyped prefix is no "nothing to do".
    for (prefix, missing, hint) in [
        ("config/nosuch/", "has no key below config/nosuch/", "it has config/app/\n"),
        ("config/app/nosuch", "has no key config/app/nosuch", "it has config/app/motd, config/app/password, config/app/port\n"),
        ("app/", "has no key below app/", "it has config/\n"),
        ("config/*", "has no key config/*", "a prefix ends with '/': `config/` takes all that lies below it\n"),
    ] {
        check(&stage, &["adopt", "test", "config/", prefix], 2, missing);
        check(&stage, &["adopt", "test", prefix], 2, hint);
    }
    for verb in [&["unmanaged"][..], &["kv", "list"]] {
        check(&stage, &[verb, &["test", "ap/"]].concat(), 2, "ap/ lies outside the roots of test");
        check(&stage, &[verb, &["test", "ap"]].concat(), 0, "");
    }
    check(&stage, &["adopt", "test"], 1, "the first deploy makes its record");
}

#[test]
fn a_trailer_that_names_no_keys_is_told_wherever_its_commit_is_in_sight() {
    const SAYS: &str = "adopts nothing: key \"/config\" has an empty segment";
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let file = stage.home.path().join("test/current/other/a");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "1").unwrap();
    stage.repo.commit("Wants it\n\nLockstep-Adopt: /config/\n", &[("base/kv/other.yaml", "a: 1\n")]);
    let repo = stage.repo.path().display().to_string();
    check(&stage, &["validate", "--rev", "HEAD", &repo], 0, SAYS);
    check(&stage, &["plan", "test"], 3, SAYS);
    check(&stage, &["apply", "--once"], 1, SAYS);
    check(&stage, &["status", "test"], 0, SAYS);
    let status = stage.run(&["status", "test", "--output", "json"]).exits(0).json();
    assert!(status["environments"][0]["misread"][0].as_str().unwrap().contains(SAYS), "{status:#}");
    assert!(!stage.run(&["unmanaged", "test"]).exits(0).out.contains("taken over by the next advance"), "it adopts nothing");
    // A commit that needs no adoption is followed all the same, and said once.
    stage.repo.commit("Not after all\n\nLockstep-Adopt: /config/\n", &[("base/kv/other.yaml", "b: 1\n")]);
    let daemon = super::stage::Daemon::start(&stage);
    super::stage::until("it is followed", || stage.live().contains(&("other/b".to_owned(), "1".to_owned())));
    daemon.says("a trailer of a commit says nothing");
    let (_, log) = daemon.stop();
    assert!(log.contains(SAYS.split(": ").next().unwrap()), "{log}");
}

#[test]
fn a_trailer_beyond_a_limit_is_told_with_the_limit_wherever_its_commit_is_in_sight() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let trailers = (0..60).map(|number| format!("Lockstep-Adopt: other/k{number:02}\n")).collect::<Vec<_>>().concat();
    let long = format!("Lockstep-Adopt: other/{}\n", "k".repeat(600));
    let message = format!("Wants many\n\n{long}{trailers}");
    stage.repo.commit(&message, &[("base/kv/other.yaml", "a: 1\n")]);
    let repo = stage.repo.path().display().to_string();
    for says in [
        "is longer than 512 bytes",
        "adopts nothing for other/k32, other/k33, other/k34, other/k35, other/k36 and 12 more: at most 32 prefixes of 1000 bytes",
        "11 more trailers `Lockstep-…:` of",
    ] {
        check(&stage, &["validate", "--rev", "HEAD", &repo], 0, says);
        check(&stage, &["plan", "test"], 3, says);
        check(&stage, &["status", "test"], 0, says);
    }
}

#[test]
fn a_directory_that_holds_nothing_of_others_has_nothing_to_adopt() {
    let mut stage = Stage::new();
    check(&stage, &["unmanaged", "test"], 0, "0 unmanaged keys");
    stage.run(&["apply", "--once"]).exits(0);
    check(&stage, &["adopt", "test"], 0, "nothing to do: no key that the head wants there is unmanaged");
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    let said = stage.run(&["adopt", "test", "--output", "json"]).exits(0).json();
    assert_eq!((&said["accepted"], &said["changed"]), (&true.into(), &false.into()), "{said}");
    check(&stage, &["strays", "test"], 0, "test: 0 strays");
    let listed = stage.run(&["strays", "test", "--output", "json"]).exits(0).json();
    assert_eq!((&listed["version"], &listed["count"]), (&1.into(), &0.into()), "{listed}");
}

#[test]
fn a_file_that_somebody_put_where_a_commit_wants_one_is_taken_over_or_told_apart() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let current = stage.home.path().join("test/current");
    std::fs::create_dir_all(current.join("other")).unwrap();
    std::fs::write(current.join("other/a"), "1").unwrap();
    std::fs::write(current.join("other/b"), "9").unwrap();
    stage.repo.commit("Wants them", &[("base/kv/other.yaml", "a: 1\nb: 2\n")]);
    stage.run(&["apply", "--once"]).exits(1);
    let listed = stage.run(&["unmanaged", "test", "--output", "json"]).exits(0).json();
    assert_eq!((&listed["counts"]["adoptable"], &listed["counts"]["differing"]), (&1.into(), &1.into()), "{listed:#}");
    check(
        &stage,
        &["adopt", "test", "other"],
        1,
        "refused: other is no key of the head; for all that lies below it name `other/`",
    );
    check(&stage, &["adopt", "test", "other/"], 1, "other/b: exists already");
    stage.repo.commit("As it is live", &[("base/kv/other.yaml", "a: 1\nb: 9\n")]);
    check(&stage, &["plan", "test"], 3, "in the way until they are adopted: 2 keys");
    let hint = stage.run(&["unmanaged", "test"]).exits(0).out;
    assert!(hint.contains("`lockstep adopt test other/`"), "{hint}");
    check(&stage, &["adopt", "test", "other/"], 0, "may adopt 2 keys");
    check(&stage, &["plan", "test"], 3, "2 to adopt");
    check(&stage, &["status", "test"], 0, "may adopt other/ where the values are its own, by ann@");
    stage.run(&["apply", "--once"]).exits(0);
    check(&stage, &["history", "test"], 0, "adopted 2 keys; nothing changed value");
    assert!(stage.live().contains(&("other/b".to_owned(), "9".to_owned())), "{:?}", stage.live());
    check(&stage, &["unmanaged", "test"], 0, "0 unmanaged keys");
}
