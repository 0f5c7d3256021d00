//! A directory whose environment goes on under another name.

use std::collections::BTreeMap;

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage, until};
use crate::support::repo::{Change, TestRepo};

/// What is asked of a key goes on before the rename, and says where the name changed.
#[track_caller]
fn check_questions(stage: &Stage, oldest: &str) {
    let log = stage.run(&["kv", "log", "config/app/port", "--output", "json"]).exits(0).json();
    let version = &log["environments"][0]["versions"][0];
    let renaming = stage.repo.tip().to_string();
    assert_eq!((&version["revision"], &version["live"]), (&oldest.into(), &true.into()), "{log:#}");
    assert_eq!(version["generations"], serde_json::json!([1]), "the rename brought no other value: {log:#}");
    assert_eq!(version["formerly"], serde_json::json!([{"name": "test", "until": renaming}]), "{log:#}");
    let said = stage.run(&["kv", "log", "config/app/port"]).exits(0).out;
    assert!(said.contains(&format!("the environment was called test until {}", &renaming[..7])), "{said}");
    let said = stage.run(&["kv", "log", "config/app/port", "--at", oldest]).exits(0).out;
    assert!(said.contains("8080  (base/kv/config.yaml:2)"), "{said}");
    // A key that the new name never had, and that was tagged under the old one.
    let said = stage.run(&["kv", "log", "config/app/password"]).exits(0).out;
    assert!(said.contains("(sensitive)"), "{said}");
    let said = stage.run(&["why", "config/app/port", "--at", oldest]).exits(0).out;
    assert!(said.contains("preview (called test then): 8080"), "{said}");
    assert_eq!(
        stage.run(&["why", "config/app/port", "--at", oldest, "--output", "json"]).json()["environments"][0]["called"],
        "test"
    );
    assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", "1"]).exits(0).out, "8080");
    stage.run(&["kv", "get", "config/app/password", "--at", "1"]).exits(1);
    check_rendered(stage, oldest);
    let listed = stage.run(&["kv", "list", "preview", "--output", "json"]).exits(0).json();
    assert_eq!(listed["keys"][2]["revision"], oldest, "{listed:#}");
    assert_eq!(stage.run(&["kv", "list", "preview", "--changed-since", "1"]).exits(0).out, "");
    // The rename has a number, and was no deployment.
    let said = stage.run(&["kv", "get", "config/app/port", "--at", "2"]).exits(0);
    assert!(said.out == "8080" && said.err.contains("(rename by lockstep): live then was generation 1"), "{said:?}");
    let renaming = stage.repo.tip().short();
    // It changed no key, and stands for what was live before.
    assert_eq!(stage.run(&["kv", "list", "preview", "--changed-since", &renaming]).exits(0).out, "");
}

/// A commit from before the rename, named by itself or by its generation, is rendered as what it was called there.
#[track_caller]
fn check_rendered(stage: &Stage, oldest: &str) {
    for at in [oldest, "1"] {
        let said = stage.run(&["render", "preview", "--at", at]).exits(0).out;
        assert!(said.starts_with(&format!("preview (called test then) at {}: 3 keys", &oldest[..7])), "{said}");
        assert!(said.contains("config/app/port = 8080") && said.contains("config/app/password = (sensitive)"), "{said}");
    }
    let told = stage.run(&["render", "preview", "--at", oldest, "--output", "json"]).exits(0).json();
    assert_eq!((&told["environment"], &told["called"]), (&"preview".into(), &"test".into()), "{told:#}");
    let exported = stage.run(&["render", "preview", "--at", oldest, "--format", "consul-export"]).exits(0);
    assert!(exported.out.contains("config/app/port") && exported.err.contains("preview was called test then"), "{exported:?}");
    let now = stage.run(&["render", "preview", "--output", "json"]).exits(0).json();
    assert_eq!((&now["environment"], &now["called"]), (&"preview".into(), &serde_json::Value::Null), "{now:#}");
}

/// A commit that moves an environment's file, with more in it.
fn renaming(repo: &mut TestRepo, from: &str, to: &str, more: &str) -> String {
    let [gone, new] = [from, to].map(|name| format!("environments/{name}/environment.yaml"));
    let file = format!("{}{more}", ENVIRONMENT.1);
    let files = [(gone.as_str(), Change::Gone), (new.as_str(), Change::File(file.as_bytes()))];
    repo.change(&format!("{from} is {to}"), &files).to_string()
}

#[test]
fn a_diff_across_renames_is_of_one_environment_that_goes_on_and_of_two_where_nobody_says_so() {
    const STAGE: &str = "environments/stage/environment.yaml";
    let plain = KEYS.1.replace("!sensitive ", "");
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, (KEYS.0, &plain)]);
    let repo = &mut stage.repo;
    let test = repo.tip().to_string();
    let renamed = renaming(repo, "test", "stage", "formerly: test\n");
    let other = plain.replace("8080", "1").replace("hunter2canary", "second");
    repo.commit("another port", &[(KEYS.0, &other), (STAGE, ENVIRONMENT.1)]);
    let again = renaming(repo, "stage", "preview", "variables: {x: y}\nformerly: stage\n");
    repo.commit("tagged", &[(KEYS.0, &KEYS.1.replace("8080", "1").replace("hunter2canary", "third"))]);
    repo.commit("gone", &[(KEYS.0, "app: {port: 1}\n"), ("environments/preview/environment.yaml", ENVIRONMENT.1)]);
    let unsaid = renaming(repo, "preview", "unsaid", "");
    stage.configure("  preview: {directory: {path: ./test}}\n");
    let diff = |rest: &[&str]| stage.run(&[&["diff"], rest].concat()).exits(3).out;

    let said = diff(&[&test, &renamed]);
    assert!(said.ends_with("\nstage (formerly test): the same keys\n"), "{said}");
    // Two renames, the first of which nobody says any more; either way, and by either name.
    for names in [&[][..], &["--env", "test"], &["--env", "preview"]] {
        for (commits, port) in [([&test, &again], "- 8080"), ([&again, &test], "- 1")] {
            let said = diff(&[&[commits[0].as_str(), commits[1].as_str()], names].concat());
            assert!(said.contains("\npreview (formerly test): 2 keys differ\n"), "{said}");
            assert!(said.contains("~ config/app/port") && said.contains(port), "{said}");
            assert!(said.contains("~ config/app/password") && said.contains("(sensitive)"), "{said}");
            assert!(said.contains("the rules of environment.yaml differ: "), "{said}");
        }
    }
    let told = stage.run(&["diff", &test, &again, "--output", "json"]).exits(3).json();
    let environments = told["environments"].as_array().unwrap();
    let names: Vec<_> = environments.iter().map(|found| [&found["environment"], &found["formerly"], &found["whole"]]).collect();
    assert_eq!(names, [[&"preview".into(), &"test".into(), &serde_json::Value::Null]], "{told:#}");
    let said = diff(&[&again, &unsaid]);
    assert!(said.contains("preview: no longer there") && said.contains("unsaid: a new environment, 1 key"), "{said}");
    // A value that was tagged under a later name is shown under no earlier one.
    let said = diff(&[&renamed, &format!("{again}~1")]);
    assert!(said.contains("stage: 2 keys differ") && said.contains("(sensitive)"), "{said}");
    stage.run(&["diff", &test, &test, "--env", "stage"]).exits(2);
}

#[test]
fn a_diff_across_a_retirement_goes_on_under_the_environments_own_name_whatever_the_file_says_since_it_is_back() {
    let mut stage = Stage::new();
    let first = stage.repo.tip().to_string();
    renaming(&mut stage.repo, "test", "stage", "formerly: test\n");
    stage.repo.remove("Stage is retired", &["environments/stage/environment.yaml"]);
    let file = format!("{}formerly: nobody\n", ENVIRONMENT.1);
    let back = stage.repo.commit("Stage is back", &[("environments/stage/environment.yaml", &file)]).to_string();
    stage.configure("  stage: {directory: {path: ./test}}\n");
    for commits in [[&first, &back], [&back, &first]] {
        let said = stage.run(&["diff", commits[0], commits[1]]).exits(3).out;
        assert!(said.ends_with("\nstage (formerly test): the same keys\n"), "{said}");
    }
}

#[test]
fn a_keys_log_is_one_across_two_renames_and_the_values_that_came_between() {
    let mut stage = Stage::new();
    let file = |former: &str| format!("{}formerly: {former}\n", ENVIRONMENT.1);
    let own = |name: &str, port: &str| (format!("environments/{name}/kv/config/app.yaml"), format!("port: {port}\n"));
    let move_to = |stage: &mut Stage, from: &str, to: &str, port: &str| {
        let (path, text) = own(to, port);
        let gone = [format!("environments/{from}/environment.yaml"), own(from, "").0];
        let new = format!("environments/{to}/environment.yaml");
        let mut files: Vec<(&str, Change<'_>)> = gone.iter().map(|path| (path.as_str(), Change::Gone)).collect();
        let manifest = file(from);
        files.extend([(new.as_str(), Change::File(manifest.as_bytes())), (path.as_str(), Change::File(text.as_bytes()))]);
        stage.repo.change(&format!("{from} is {to}"), &files)
    };
    let (path, text) = own("test", "1");
    stage.repo.commit("Ours", &[(&path, &text)]);
    stage.run(&["apply", "--once"]).exits(0);
    let first = move_to(&mut stage, "test", "stage", "1");
    stage.configure("  stage: {directory: {path: ./test}}\n");
    stage.run(&["apply", "--once"]).exits(0);
    let (path, text) = own("stage", "2");
    stage.repo.commit("Two", &[(&path, &text)]);
    stage.run(&["apply", "--once"]).exits(0);
    let second = move_to(&mut stage, "stage", "preview", "3");
    stage.configure("  preview: {directory: {path: ./test}}\n");
    stage.run(&["apply", "--once"]).exits(0);
    let log = stage.run(&["kv", "log", "config/app/port", "--output", "json"]).exits(0).json();
    let versions = log["environments"][0]["versions"].as_array().unwrap();
    let told: Vec<_> =
        versions.iter().map(|version| (version["value"]["text"].as_str().unwrap(), version["live"] == true)).collect();
    assert_eq!(told, [("3", true), ("2", false), ("1", false), ("8080", false)], "{log:#}");
    let formerly = |name: &str, until| serde_json::json!([{"name": name, "until": lockstep::domain::revision::Revision::to_string(until)}]);
    assert_eq!(versions[1]["formerly"], formerly("stage", &second), "{log:#}");
    assert_eq!(versions[2]["formerly"], formerly("test", &first), "{log:#}");
    assert_eq!(versions[2]["places"].as_array().unwrap().len(), 2, "the file moved with the environment: {log:#}");
}

/// Gives the environment `test` the name `preview`.
fn rename(repo: &mut TestRepo) {
    let file = format!("{}formerly: test\n", ENVIRONMENT.1);
    repo.commit("Another one", &[("environments/other/environment.yaml", "layers: [base]\n")]);
    repo.remove("Test is not called so any more", &[ENVIRONMENT.0]);
    repo.commit("Preview was test", &[("environments/preview/environment.yaml", &file)]);
}

#[test]
fn a_directory_goes_on_under_the_new_name_with_its_files_its_numbers_and_its_history() {
    let mut stage = Stage::new();
    let first = stage.repo.tip().to_string();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    rename(&mut stage.repo);
    stage.configure("  preview: {directory: {path: ./test}}\n");
    assert!(stage.run(&["plan"]).out.contains("takes over the record and the keys of test"));
    assert!(stage.run(&["history", "preview"]).exits(1).err.contains("takes over that of test, at generation 1"));
    let said = stage.run(&["apply", "--once"]).exits(0);
    assert!(said.err.contains("goes on with the record of its former name"), "{said:?}");
    assert_eq!(stage.live(), before);
    assert_eq!(stage.kept(), BTreeMap::from([("preview".to_owned(), 2)]), "what is live, and the head that it was renamed at");
    let history = stage.run(&["history", "preview", "--output", "json"]).exits(0).json();
    let told: Vec<_> = history["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["generation"].as_u64(), line["formerly"].as_str()))
        .collect();
    assert_eq!(told, [(Some(2), None), (Some(1), Some("test"))], "{history:#}");
    check_questions(&stage, &first);
    // Deletes go on to work: what was reached under the old name counts.
    stage.repo.commit("Fewer", &[(KEYS.0, "app: {port: 1}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live().len(), 1);
    // Another environment's directory is no former one.
    stage.configure("  other: {directory: {path: ./test}}\n");
    let said = stage.run(&["apply", "--once"]).exits(1);
    assert!(format!("{said:?}").contains("it holds environment preview"), "{said:?}");
}

/// Gives the environment two names in a row while nobody looks, and another one a word about neither.
fn rename_twice(repo: &mut TestRepo) -> String {
    renaming(repo, "test", "stage", "formerly: test\n");
    repo.commit("Another one", &[("environments/other/environment.yaml", "layers: [base]\n")]);
    repo.remove("Stage is not called so any more", &["environments/stage/environment.yaml"]);
    let file = format!("{}formerly: stage\n", ENVIRONMENT.1);
    repo.commit("Preview was stage", &[("environments/preview/environment.yaml", &file)]).to_string()
}

#[test]
fn a_record_is_taken_over_across_a_name_that_nobody_ever_led_and_its_keys_are_not_removed_meanwhile() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    let renamed = rename_twice(&mut stage.repo);
    let said = stage.run(&["env", "remove", "test", "--yes"]).exits(1).err;
    assert!(said.contains("test goes on as preview") && said.contains("`formerly: stage`"), "{said}");
    assert_eq!(stage.live(), before);

    stage.configure("  preview: {directory: {path: ./test}}\n");
    assert!(stage.run(&["plan"]).out.contains("takes over the record and the keys of test"));
    assert!(stage.run(&["history", "preview"]).exits(1).err.contains("takes over that of test, at generation 1"));
    let said = stage.run(&["apply", "--once"]).exits(0);
    assert!(said.err.contains("goes on with the record of its former name"), "{said:?}");
    assert_eq!(stage.live(), before);
    let said = stage.run(&["kv", "log", "config/app/port"]).exits(0).out;
    assert!(said.contains("was called stage until") && said.contains(&renamed[..7]), "{said}");
}

#[test]
fn a_name_between_two_renames_that_nobody_led_is_known_at_its_commits_when_the_branch_does_not_say_it_any_more() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let renamed = rename_twice(&mut stage.repo);
    stage.configure("  preview: {directory: {path: ./test}}\n");
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("It is preview now", &[("environments/preview/environment.yaml", ENVIRONMENT.1)]);
    stage.run(&["apply", "--once"]).exits(0);
    // The second of them changed nothing of it.
    for at in [format!("{renamed}~3"), format!("{renamed}~2")] {
        let said = stage.run(&["render", "preview", "--at", &at]).exits(0).out;
        assert!(said.starts_with("preview (called stage then) at ") && said.contains("config/app/port = 8080"), "{said}");
        let said = stage.run(&["why", "config/app/port", "--at", &at]).exits(0).out;
        assert!(said.contains("preview (called stage then): 8080"), "{said}");
        assert_eq!(stage.run(&["kv", "get", "config/app/port", "--at", &at]).exits(0).out, "8080");
        let said = stage.run(&["kv", "log", "config/app/port", "--at", &at]).exits(0).out;
        assert!(said.contains("8080  (base/kv/config.yaml:2)"), "{said}");
        assert_eq!(stage.run(&["kv", "list", "preview", "--changed-since", &at]).exits(0).out, "");
    }
    let said = stage.run(&["render", "preview", "--at", &format!("{renamed}~4")]).exits(0).out;
    assert!(said.starts_with("preview (called test then) at "), "{said}");
    // Between the two names it was gone.
    stage.run(&["render", "preview", "--at", &format!("{renamed}~1")]).exits(1);
}

/// Somebody edits a value in place.
fn edit(stage: &Stage) {
    let key = stage.home.path().join("test/current/config/app/port");
    std::fs::remove_file(&key).unwrap();
    std::fs::write(&key, "9").unwrap();
}

#[test]
fn where_the_head_cannot_be_used_what_was_reached_under_the_former_name_says_which_keys_are_wanted() {
    let mut stage = Stage::new();
    let first = stage.repo.tip().short();
    stage.run(&["apply", "--once"]).exits(0);
    rename(&mut stage.repo);
    stage.configure("  preview: {directory: {path: ./test}}\n");
    stage.run(&["apply", "--once"]).exits(0);
    for _ in 0..3 {
        edit(&stage);
        stage.run(&["apply", "--once"]).exits(0);
    }
    edit(&stage);
    stage.repo.commit("Broken", &[(KEYS.0, "app: [\n")]);
    for verb in ["strays", "unmanaged"] {
        let said = stage.run(&[verb, "preview"]).exits(0);
        assert!(
            said.err.contains(&format!("{first}, which the environment is on, says here which keys are wanted")),
            "{said:?}"
        );
    }
    let end =
        stage.run(&["apply", "--once", "--overwrite-drift", "--reason", "git is right", "--output", "json"]).exits(1).json();
    let left = &end["environments"][0]["overwrite_drift"]["left"];
    assert_eq!(left[0]["key"], "config/app/port", "{end:#}");
}

#[test]
fn a_name_that_was_given_anew_or_taken_back_leads_to_no_record_and_its_environment_can_be_removed() {
    const TEST: &str = "  test: {directory: {path: ./test}}\n";
    const PREVIEW: &str = "  preview: {directory: {path: ./test}}\n";
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let first = stage.repo.tip();
    let stays = |stage: &Stage, why: &str| {
        stage.configure(PREVIEW);
        let said = stage.run(&["apply", "--once"]).exits(1);
        assert!(format!("{said:?}").contains("it holds environment test"), "{why}: {said:?}");
        stage.configure(TEST);
    };
    // The newest word of the name between says nothing any more.
    renaming(&mut stage.repo, "test", "stage", "formerly: test\n");
    stage.repo.commit("Two environments after all", &[("environments/stage/environment.yaml", ENVIRONMENT.1)]);
    renaming(&mut stage.repo, "stage", "preview", "formerly: stage\n");
    stays(&stage, "taken back");
    // Another environment has the name since.
    stage.repo.move_to(first);
    rename_twice(&mut stage.repo);
    stage.repo.commit("A new test", &[ENVIRONMENT]);
    stays(&stage, "there again");
    stage.repo.remove("No new test", &[ENVIRONMENT.0]);
    stays(&stage, "was there again");
    // And another one says that it had it.
    stage.repo.move_to(first);
    rename_twice(&mut stage.repo);
    let file = format!("{}formerly: test\n", ENVIRONMENT.1);
    stage.repo.commit("Heir", &[("environments/heir/environment.yaml", &file)]);
    stays(&stage, "another one's");

    stage.repo.move_to(first);
    rename_twice(&mut stage.repo);
    stage.repo.commit("A new one", &[("environments/preview/environment.yaml", ENVIRONMENT.1)]);
    stage.run(&["env", "remove", "test", "--yes"]).exits(0);
}

#[test]
fn a_branch_that_may_be_an_old_one_moves_no_record_until_a_second_fetch_agrees() {
    const PREVIEW: &str = "  preview: {directory: {path: ./test}}\n";
    let mut stage = Stage::new();
    let first = stage.repo.tip();
    rename(&mut stage.repo);
    let renamed = stage.repo.tip();
    stage.repo.move_to(first);
    let followed = stage.repo.commit("Not renamed after all", &[(KEYS.0, "app: {port: 1}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();

    // A git server that is behind shows the rename, once.
    stage.repo.move_to(renamed);
    stage.configure_polling("5s", PREVIEW);
    let log = stage.home.path().join("behind.log");
    let mut command = stage.command(&["apply", "--once"]);
    let mut behind = command.stderr(std::fs::File::create(&log).unwrap()).stdout(std::process::Stdio::null()).spawn().unwrap();
    until("it looks again", || std::fs::read_to_string(&log).unwrap().contains("looking again in 5s"));
    stage.repo.move_to(followed);
    assert_eq!(behind.wait().unwrap().code(), Some(1), "{}", std::fs::read_to_string(&log).unwrap());
    stage.configure("  test: {directory: {path: ./test}}\n");
    assert_eq!((stage.phase(), stage.live()), ("steady".to_owned(), before));

    // Two fetches agree: it is what the branch says.
    stage.repo.move_to(renamed);
    stage.configure(PREVIEW);
    let said = stage.run(&["apply", "--once"]).exits(0).err;
    assert!(said.contains("looking again in 1s") && said.contains("goes on with the record of its former name"), "{said}");
}

#[test]
fn no_record_is_taken_over_while_the_former_name_is_still_there_or_somebody_else_claims_it_too() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let file = format!("{}formerly: test\n", ENVIRONMENT.1);
    stage.configure("  preview: {directory: {path: ./test}}\n");
    let refused = |stage: &Stage, why: &str| {
        for verb in [
            &["plan", "preview"][..],
            &["apply", "--once"],
            &["status"],
            &["history", "preview"],
            &["init", "preview"],
            &["recover", "preview", "--yes"],
            &["strays", "preview"],
            &["kv", "list", "preview"],
        ] {
            let said = stage.run(verb).exits(1);
            let told = format!("{}{}", said.out, said.err);
            assert!(told.contains(why) && !told.contains("lost") && !told.contains("lockstep recover"), "{verb:?}: {said:?}");
        }
        let said = stage.run(&["kv", "log", "config/app/port"]);
        assert!(said.err.contains("is not known: ") && said.err.contains(why), "{said:?}");
    };
    stage.repo.commit("A copy", &[("environments/preview/environment.yaml", &file)]);
    refused(&stage, "the environment test is still in this revision");
    stage.repo.commit("Words beside it", &[("README.md", "words\n")]);
    refused(&stage, "the environment test is still in this revision");
    let gone = [(ENVIRONMENT.0, Change::Gone), ("environments/other/environment.yaml", Change::File(file.as_bytes()))];
    stage.repo.change("Two claim it", &gone);
    refused(&stage, "test was the former name of other too");
    stage.repo.remove("One claims it", &["environments/other/environment.yaml"]);
    stage.run(&["apply", "--once"]).exits(0);
    let history = stage.run(&["history", "preview"]).exits(0).out;
    assert!(history.contains("test goes on as preview"), "{history}");
}
