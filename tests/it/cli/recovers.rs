//! `recover` on a directory, and on a command line that is wrong.

use super::stage::{KEYS, Stage};

#[test]
fn a_lost_record_of_a_directory_is_made_anew_from_the_list_of_its_live_version() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let before = stage.live();
    let nothing = stage.run(&["recover", "test", "--yes", "--output", "json"]).exits(0).json();
    assert_eq!(nothing["changed"], false, "{nothing}");
    for lost in ["record", ""] {
        let place = stage.home.path().join("test/.lockstep").join(lost);
        if lost.is_empty() {
            std::fs::remove_dir_all(&place).unwrap();
        } else {
            std::fs::remove_file(&place).unwrap();
        }
        let shown = stage.run(&["recover", "test"]).exits(2).err;
        assert!(shown.contains("3 keys with the mark of owner") && shown.contains("--yes"), "{shown}");
        stage.run(&["status"]).exits(1);
        let said = stage.run(&["recover", "test", "--yes", "--reason", "a slip", "--output", "json"]).exits(0).json();
        assert_eq!((&said["changed"], &said["keys"]), (&true.into(), &3.into()), "{said}");
        assert_eq!(stage.live(), before);
        stage.run(&["apply", "--once"]).exits(0);
        assert_eq!((stage.live(), stage.phase()), (before.clone(), "steady".to_owned()));
        assert!(stage.run(&["history", "test"]).exits(0).out.contains("a slip"));
    }
    // From here on as always, deletes included.
    stage.repo.commit("Fewer", &[(KEYS.0, "app: {port: 1}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!(stage.live().len(), 1);
}

#[test]
fn a_damaged_newest_line_of_history_keeps_its_number() {
    let stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    // A number that no key carries.
    stage.run(&["suspend", "test", "--reason", "a look first"]).exits(0);
    let own = stage.home.path().join("test/.lockstep");
    let lines = std::fs::read_dir(own.join("history")).unwrap();
    let newest = lines.map(|line| line.unwrap().file_name().to_str().unwrap().parse::<u64>().unwrap()).max().unwrap();
    let line = own.join("history").join(newest.to_string());
    std::fs::write(&line, "garbage").unwrap();
    std::fs::remove_file(own.join("record")).unwrap();
    let said = stage.run(&["recover", "test", "--yes", "--output", "json"]).exits(0).json();
    assert_eq!(said["generation"].as_u64(), Some(newest + 1), "{said}");
    assert_eq!(std::fs::read_to_string(&line).unwrap(), "garbage");
}

#[test]
fn an_older_record_of_a_directory_beside_newer_lines_of_history_goes_on_above_them() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    let own = stage.home.path().join("test/.lockstep");
    let old = std::fs::read(own.join("record")).unwrap();
    stage.run(&["suspend", "test", "--reason", "a look first"]).exits(0);
    stage.run(&["resume", "test"]).exits(0);
    std::fs::write(own.join("record"), old).unwrap();
    let lines = [2, 3].map(|number| own.join("history").join(number.to_string()));
    let before = lines.each_ref().map(|line| std::fs::read(line).unwrap());
    stage.repo.commit("Fewer", &[(KEYS.0, "app: {port: 1}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    assert_eq!((stage.live().len(), stage.phase()), (1, "steady".to_owned()));
    assert_eq!(lines.map(|line| std::fs::read(line).unwrap()), before);
}

#[test]
fn a_record_is_made_anew_while_the_branch_is_gone_too() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.delete_branch("main");
    std::fs::remove_file(stage.home.path().join("test/.lockstep/record")).unwrap();
    let said = stage.run(&["recover", "test", "--yes", "--reason", "a slip", "--output", "json"]).exits(0).json();
    assert_eq!((&said["changed"], &said["keys"]), (&true.into(), &3.into()), "{said}");
    assert!(stage.run(&["history", "test"]).exits(0).out.contains("a slip"));
}

#[test]
fn what_was_never_there_or_cannot_be_read_is_not_recovered() {
    let stage = Stage::new();
    let said = stage.run(&["recover", "test", "--yes"]).exits(1).err;
    assert!(said.contains("nothing of it is left here") && said.contains("lockstep init test"), "{said}");
    stage.run(&["apply", "--once"]).exits(0);
    std::fs::write(stage.home.path().join("test/.lockstep/record"), "garbage").unwrap();
    let said = stage.run(&["recover", "test", "--yes"]).exits(1).err;
    assert!(said.contains("the record's file is damaged"), "{said}");
    let help = stage.run(&["recover", "--help"]).exits(0).out;
    for text in ["Examples:", "lockstep recover production --owner 1723 --yes", "no key is ever deleted"] {
        assert!(help.contains(text), "{text}: {help}");
    }
    for wrong in [
        &["recover"][..],
        &["recover", "nowhere", "--yes"],
        &["recover", "test", "--owner", "65536"],
        &["recover", "test", "--owner", "me"],
        &["recover", "test", "--reason", ""],
    ] {
        stage.run(wrong).exits(2);
    }
}
