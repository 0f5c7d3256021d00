//! Values tagged `!sensitive`, asked for as they were at other commits.

use base64::Engine as _;
use lockstep::domain::revision::Revision;

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage};
use crate::support::repo::Change;

const OWN: (&str, &str) = ("environments/test/kv/config/app.yaml", "port: 9090\n");
const KEY: &str = "config/app/password";
const NOTHING: (&str, &str) = (KEYS.0, "app: {other: 1}\n");

/// No output has the value in any form, the one of an export included.
#[track_caller]
fn check_hidden(stage: &Stage, verbs: &[&[&str]]) {
    let exported = base64::engine::general_purpose::STANDARD.encode("hunter2canary");
    for verb in verbs {
        for form in ["human", "json", "yaml"] {
            let said = stage.run(&[verb, &["--output", form][..]].concat());
            assert!(said.code == 0 || said.code == 3 || said.err.contains("!sensitive"), "{verb:?}: {said:?}");
            assert!(!format!("{said:?}").contains(&exported), "{verb:?} shows the value in base64: {said:?}");
        }
    }
}

#[test]
fn a_value_that_is_tagged_at_one_commit_is_shown_at_no_commit_that_has_it() {
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, (KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    stage.repo.commit("beside it", &[OWN]);
    let verbs: &[&[&str]] = &[
        &["kv", "log", KEY],
        &["kv", "log", KEY, "--at", "HEAD~2"],
        &["kv", "get", KEY],
        &["kv", "get", KEY, "--at", "HEAD~2"],
        &["kv", "get", KEY, "--at", "1"],
        &["kv", "list", "test"],
        &["why", KEY, "--at", "HEAD~2"],
        &["render", "test", "--at", "HEAD~2"],
        &["render", "test", "--at", "HEAD~2", "--format", "consul-export"],
        &["render", "test", "--at", "HEAD~2", "--format", "json"],
        &["diff", "HEAD~2", "HEAD~1", "--full"],
        &["diff", "HEAD~1", "HEAD~2", "--full"],
        &["diff", "HEAD~2", "HEAD", "--full"],
    ];
    check_hidden(&stage, verbs);
    // Tagged once, and untagged since with another value.
    stage.repo.commit("the secret again", &[KEYS]);
    stage.repo.commit("untagged", &[(KEYS.0, &KEYS.1.replace("!sensitive hunter2canary", "public"))]);
    let log = stage.run(&["kv", "log", KEY]).exits(0).out;
    assert!(log.contains("public") && !log.contains("second"), "{log}");
    let verbs: &[&[&str]] = &[
        &["kv", "log", KEY],
        &["kv", "get", KEY, "--at", "HEAD~1"],
        &["why", KEY, "--at", "HEAD~1"],
        &["render", "test", "--at", "HEAD~1", "--format", "consul-export"],
        &["render", "test", "--at", "HEAD~1", "--format", "json"],
        &["diff", "HEAD~1", "HEAD", "--full"],
        &["diff", "HEAD", "HEAD~1", "--full"],
    ];
    check_hidden(&stage, verbs);
}

#[test]
fn a_branch_head_that_cannot_be_read_shows_nothing_that_the_commit_before_it_hides_and_hides_nothing_else() {
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, (KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    let breakages: [(&str, &str); 3] =
        [(KEYS.0, "app: {port: 1, port: 2}\n"), (ENVIRONMENT.0, "layers: 1\n"), ("lockstep.yaml", "nome: demo\n")];
    for (file, text) in breakages {
        stage.repo.commit("broken", &[(file, text)]);
        let back = |commits: usize| format!("HEAD~{commits}");
        let broken = breakages.iter().position(|(other, _)| *other == file).unwrap() + 1;
        let (tagged, plain) = (back(broken), back(broken + 1));
        let verbs: &[&[&str]] = &[
            &["kv", "log", KEY],
            &["kv", "log", KEY, "--at", &plain],
            &["kv", "get", KEY],
            &["kv", "get", KEY, "--at", &plain],
            &["kv", "get", KEY, "--at", "1"],
            &["why", KEY, "--at", &plain],
            &["render", "test", "--at", &plain],
            &["render", "test", "--at", "1", "--format", "consul-export"],
            &["diff", &plain, &tagged, "--full"],
            &["diff", &tagged, &plain, "--full"],
        ];
        check_hidden(&stage, verbs);
        let port = ["config/app/port", "--at", &plain];
        assert_eq!(stage.run(&[&["kv", "get"], &port[..]].concat()).exits(0).out, "8080", "{file}");
        assert_eq!(stage.run(&["kv", "get", port[0]]).exits(0).out, "8080", "{file}");
        assert!(stage.run(&[&["why"], &port[..]].concat()).exits(0).out.contains("8080"), "{file}");
        let log = stage.run(&["kv", "log", port[0]]).exits(0).out;
        assert!(log.contains("8080") && log.contains("live since generation 1"), "{file}: {log}");
        let rendered = stage.run(&["render", "test", "--at", "1"]).exits(0).out;
        assert!(rendered.contains("config/app/port = 8080"), "{file}: {rendered}");
    }
}

#[test]
fn a_branch_head_that_tags_a_key_beside_a_file_that_cannot_be_read_shows_it_at_no_commit() {
    let layers = ENVIRONMENT.1.replace("[base]", "[base, web]");
    let plain: (&str, &str) = (KEYS.0, &KEYS.1.replace("!sensitive ", ""));
    let mut stage = Stage::with(&[MANIFEST, (ENVIRONMENT.0, &layers), plain, ("web/kv/config.yaml", "other: 1\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("tagged, and broken beside it", &[KEYS, ("web/kv/config.yaml", "other: 1\nother: 2\n")]);
    let verbs: &[&[&str]] = &[
        &["kv", "log", KEY],
        &["kv", "log", KEY, "--at", "HEAD~1"],
        &["kv", "get", KEY],
        &["kv", "get", KEY, "--at", "HEAD~1"],
        &["kv", "get", KEY, "--at", "1"],
        &["why", KEY, "--at", "HEAD~1"],
        &["render", "test", "--at", "HEAD~1"],
        &["render", "test", "--at", "1", "--format", "consul-export"],
    ];
    check_hidden(&stage, verbs);
    for said in [stage.run(&["kv", "log", KEY]), stage.run(&["render", "test", "--at", "HEAD~1"])] {
        assert!(!format!("{said:?}").contains("hunter2canary"), "{said:?}");
    }
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", "HEAD~1"]).exits(0).out, "8080");
}

/// Every verb that could show a key's value, asked for two commits: one that has the value as it was before it was tagged, and
/// one before or after it.
#[track_caller]
fn check_hidden_at(stage: &Stage, plain: Revision, other: Revision) {
    let (key, plain, other) = (KEY, plain.short(), other.short());
    let (plain, other) = (plain.as_str(), other.as_str());
    let verbs: &[&[&str]] = &[
        &["kv", "log", key, "--at", plain],
        &["kv", "get", key, "--at", plain],
        &["why", key, "--at", plain],
        &["render", "test", "--at", plain],
        &["render", "test", "--at", plain, "--format", "json"],
        &["render", "test", "--at", plain, "--format", "consul-export"],
        &["diff", plain, other, "--full"],
        &["diff", other, plain, "--full"],
        &["plan", "--rev", plain, "--full"],
    ];
    check_hidden(stage, verbs);
}

/// Untagged values stay visible.
#[track_caller]
fn check_port_shown(stage: &Stage, plain: Revision) {
    let plain = &plain.short();
    let rendered = stage.run(&["render", "test", "--at", plain]).exits(0).out;
    assert!(rendered.contains("config/app/port = 8080"), "{rendered}");
    assert!(stage.run(&["diff", plain, &format!("{plain}~1")]).exits(3).out.contains("8080"));
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", plain]).exits(0).out, "8080");
}

/// Commits before anything leaked, with the plain value, with the tag, and without the key, in this order.
fn leaked() -> (Stage, [Revision; 4]) {
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, NOTHING]);
    let before = stage.repo.tip();
    let plain = stage.repo.commit("plain", &[(KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    let tagged = stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    let gone = stage.repo.commit("gone", &[NOTHING]);
    (stage, [before, plain, tagged, gone])
}

#[test]
fn a_key_that_was_tagged_and_is_gone_since_is_shown_at_no_commit() {
    let (mut stage, [before, plain, tagged, gone]) = leaked();
    for other in [before, tagged, gone] {
        check_hidden_at(&stage, plain, other);
    }
    check_hidden(&stage, &[&["kv", "log", KEY], &["plan"]]);
    check_port_shown(&stage, plain);
    // Untagged on purpose, it is shown: what was tagged in between is another value.
    stage.repo.commit("public", &[(KEYS.0, "app: {password: public}\n")]);
    assert!(stage.run(&["render", "test"]).exits(0).out.contains("config/app/password = public"));
    stage.repo.commit("gone again", &[NOTHING]);
    assert_eq!(stage.run(&["kv", "get", KEY, "--at", "HEAD~1"]).exits(0).out, "public");
    assert!(stage.run(&["render", "test", "--at", "HEAD~1"]).exits(0).out.contains("config/app/password = public"));
    assert!(stage.run(&["diff", "HEAD~1", "HEAD"]).exits(3).out.contains("- public"));
}

#[test]
fn a_live_value_that_was_tagged_and_taken_away_between_two_deploys_is_not_shown() {
    let (mut stage, [_, plain, tagged, _]) = leaked();
    stage.repo.move_to(plain);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.move_to(tagged);
    stage.repo.commit("gone", &[NOTHING]);
    check_hidden(&stage, &[&["plan", "--full"], &["kv", "get", KEY]]);
}

#[test]
fn however_many_commits_cannot_be_read_they_show_nothing_that_an_older_one_hides() {
    let (mut stage, [before, plain, ..]) = leaked();
    for number in 0..25 {
        stage.repo.commit("broken", &[(ENVIRONMENT.0, &format!("layers: {number}\n"))]);
    }
    check_hidden_at(&stage, plain, before);
    check_port_shown(&stage, plain);
}

#[test]
fn without_a_branch_nothing_is_shown_that_it_hid_when_it_was_there() {
    let (mut stage, [before, plain, tagged, _]) = leaked();
    stage.run(&["plan"]).exits(3);
    stage.repo.delete_branch("main");
    for other in [before, tagged] {
        check_hidden_at(&stage, plain, other);
    }
    check_port_shown(&stage, plain);
}

#[test]
fn a_rewritten_branch_shows_nothing_that_a_commit_hides_which_the_environment_reached() {
    let (mut stage, [before, plain, tagged, _]) = leaked();
    stage.repo.move_to(tagged);
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.move_to(before);
    stage.repo.commit("as if it had never been", &[OWN]);
    check_hidden_at(&stage, plain, before);
    check_port_shown(&stage, plain);
}

#[test]
fn a_value_that_is_tagged_under_the_new_name_of_an_environment_is_not_shown_under_the_old_one() {
    let (mut stage, [before, plain, ..]) = leaked();
    stage.repo.move_to(plain);
    let file = format!("{}formerly: test\n", ENVIRONMENT.1);
    stage.repo.remove("no test", &[ENVIRONMENT.0]);
    stage.repo.commit("test is preview now", &[("environments/preview/environment.yaml", &file)]);
    stage.repo.commit("tagged", &[KEYS]);
    stage.repo.commit("gone", &[NOTHING]);
    check_hidden_at(&stage, plain, before);
    check_port_shown(&stage, plain);
}

#[test]
fn a_key_that_the_newest_commit_only_takes_back_is_as_hidden_as_it_was_before() {
    let taken_back = (OWN.0, "password: !absent\n");
    // One that says so of nothing is invalid, one that says so of a placeholder is not.
    for base in [NOTHING.1, "app: {other: 1, password: placeholder}\n"] {
        let (mut stage, [before, plain, tagged, _]) = leaked();
        stage.repo.move_to(tagged);
        stage.repo.commit("taken back", &[(KEYS.0, base), taken_back]);
        for other in [before, tagged] {
            check_hidden_at(&stage, plain, other);
        }
        check_hidden(&stage, &[&["kv", "log", KEY]]);
        check_port_shown(&stage, plain);
    }
}

/// Gives the environment another name in one commit.
fn renamed(stage: &mut Stage, from: &str, to: &str) -> Revision {
    let file = |name: &str| format!("environments/{name}/environment.yaml");
    let text = format!("{}formerly: {from}\n", ENVIRONMENT.1);
    let changes = [(&*file(from), Change::Gone), (&*file(to), Change::File(text.as_bytes()))];
    stage.repo.change(&format!("{from} is {to} now"), &changes)
}

#[test]
fn a_name_is_followed_to_the_newest_one_also_where_no_file_says_any_more_what_it_was_called() {
    let (mut stage, [before, plain, ..]) = leaked();
    stage.repo.move_to(plain);
    renamed(&mut stage, "test", "preview");
    let live = "environments/live/environment.yaml";
    let tagged = stage.repo.commit("tagged", &[("environments/preview/environment.yaml", ENVIRONMENT.1), KEYS]);
    check_hidden_at(&stage, plain, before);
    check_port_shown(&stage, plain);
    // Twice, with a commit between two names that has neither.
    stage.repo.move_to(plain);
    renamed(&mut stage, "test", "preview");
    stage.repo.remove("no preview", &["environments/preview/environment.yaml"]);
    stage.repo.commit("live", &[(live, &format!("{}formerly: preview\n", ENVIRONMENT.1))]);
    stage.repo.commit("tagged", &[(live, ENVIRONMENT.1), KEYS]);
    stage.repo.commit("gone", &[NOTHING]);
    check_hidden_at(&stage, plain, before);
    check_port_shown(&stage, plain);
    // The branch is gone as well.
    stage.repo.move_to(tagged);
    stage.run(&["plan"]);
    stage.repo.delete_branch("main");
    check_hidden_at(&stage, plain, before);
}

#[test]
fn an_environment_that_was_retired_and_is_back_has_its_own_past_before_that_of_its_former_name() {
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, NOTHING]);
    renamed(&mut stage, "test", "live");
    let before = renamed(&mut stage, "live", "test");
    let plain = stage.repo.commit("plain", &[(KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    stage.repo.remove("retired", &[ENVIRONMENT.0]);
    let file = format!("{}formerly: live\n", ENVIRONMENT.1);
    stage.repo.commit("back", &[(ENVIRONMENT.0, &file), NOTHING]);
    check_hidden_at(&stage, plain, before);
    let log = stage.run(&["kv", "log", "config/app/port"]).exits(0).out;
    assert!(log.contains("8080") && log.contains("taken away"), "{log}");
}

/// The beginning of the digest of what somebody wrote by hand.
const BY_HAND: (&str, &str) = ("1234", "03ac6742");

#[test]
fn no_digest_is_told_of_a_value_that_stays_hidden() {
    let own = format!("{}drift: report\n", ENVIRONMENT.1);
    let mut stage = Stage::with(&[MANIFEST, (ENVIRONMENT.0, &own), (KEYS.0, &KEYS.1.replace("!sensitive ", ""))]);
    stage.run(&["apply", "--once"]).exits(0);
    for key in [KEY, "config/app/port"] {
        std::fs::write(stage.home.path().join("test/current").join(key), BY_HAND.0).unwrap();
    }
    stage.run(&["apply", "--once"]);
    assert_eq!(stage.run(&["status"]).exits(0).out.matches(BY_HAND.1).count(), 2);
    let other = KEYS.1.replace("!sensitive hunter2canary", "third").replace("8080", "9090");
    let other = stage.repo.commit("other", &[(KEYS.0, &other)]).short();
    stage.repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("hunter2canary", "second"))]);
    stage.repo.commit("gone", &[(KEYS.0, "other: 1\n")]);
    let planned = stage.run(&["plan", "--rev", &other]).exits(3).out;
    assert!(
        planned.contains("config/app/port (was changed by hand, and drift is only reported here: live sha256 03ac"),
        "{planned}"
    );
    let verbs: [&[&str]; 5] = [&["plan", "--rev", &other], &["status"], &["plan"], &["apply", "--once"], &["status"]];
    for verb in verbs {
        for form in ["human", "json"] {
            let said = stage.run(&[verb, &["--output", form]].concat());
            let told = format!("{}{}", said.out, said.err);
            let telling: Vec<&str> = told.split("config/").filter(|part| part.contains(BY_HAND.1)).collect();
            assert!(telling.iter().all(|part| part.starts_with("app/port")), "{verb:?} in {form}: {telling:#?}");
        }
    }
}

#[test]
fn what_the_branch_itself_says_asks_no_target() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut stage =
        Stage::with(&[MANIFEST, ENVIRONMENT, (KEYS.0, "pin: 1\n"), ("environments/test/kv/config.yaml", "pin: !absent\n")]);
    let absent = stage.repo.tip().short();
    let said = stage.repo.commit("said", &[("environments/test/kv/config.yaml", "pin: 2\n")]).short();
    stage.repo.commit("absent", &[("environments/test/kv/config.yaml", "pin: !absent\n")]);
    let address = listener.local_addr().unwrap();
    stage.configure(&format!("  test: {{keys: [config/], consul: {{address: \"http://{address}\"}}}}\n"));
    for verb in [
        &["why", "config/pin"][..],
        &["why", "config/pin", "--at", &absent],
        &["why", "config/pin", "--at", &said],
        &["diff", &absent, &said],
        &["diff", &said, "HEAD"],
        &["render", "test", "--at", &said],
    ] {
        let told = stage.run(verb);
        assert!(told.out.contains("pin"), "{verb:?}: {told:?}");
        let asked = listener.accept().map_err(|error| error.kind());
        assert_eq!(asked.err(), Some(std::io::ErrorKind::WouldBlock), "{verb:?} asked the target");
    }
}
