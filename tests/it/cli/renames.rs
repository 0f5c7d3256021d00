//! A directory whose environment goes on under another name.

use super::stage::{ENVIRONMENT, KEYS, Stage};

#[test]
fn a_directory_goes_on_under_the_new_name_with_its_files_its_numbers_and_its_history() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    let file = format!("{}formerly: test\n", ENVIRONMENT.1);
    stage.repo.commit("Another one", &[("environments/other/environment.yaml", "layers: [base]\n")]);
    stage.repo.remove("Test is not called so any more", &[ENVIRONMENT.0]);
    stage.repo.commit("Preview was test", &[("environments/preview/environment.yaml", &file)]);
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
    // Deletes go on to work: what was reached under the old name counts.
    stage.repo.commit("Fewer", &[(KEYS.0, "app: {port: 1}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live().len(), 1);
    // Another environment's directory is no former one.
    stage.configure("  other: {directory: {path: ./test}}\n");
    let said = stage.run(&["apply", "--once"]).exits(1);
    assert!(format!("{said:?}").contains("it holds environment preview"), "{said:?}");
}
