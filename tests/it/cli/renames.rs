//! A directory whose environment goes on under another name.

use super::stage::{ENVIRONMENT, KEYS, Stage, until};
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
    let listed = stage.run(&["kv", "list", "preview", "--output", "json"]).exits(0).json();
    assert_eq!(listed["keys"][2]["revision"], oldest, "{listed:#}");
    assert_eq!(stage.run(&["kv", "list", "preview", "--changed-since", "1"]).exits(0).out, "");
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
