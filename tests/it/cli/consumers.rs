//! What docs/consumers.md tells those who read a directory, done: its commands as they are printed there.

use super::stage::{MANIFEST, Stage};
use crate::support::pages;

#[test]
fn the_documented_way_to_read_a_directory_stays_with_one_revision() {
    let environment = "layers: [base]\nrollout: {min_healthy_time: 0s, healthy_deadline: 1s, fail_after: 1}\n";
    let builds = "base/kv/config/services/builds.yaml";
    let port = |number: u16| format!("protocols: {{http: {{port: \"{number}\"}}}}\n");
    let mut stage = Stage::with(&[MANIFEST, ("environments/test/environment.yaml", environment), (builds, &port(8080))]);
    stage.configure("  test: {directory: {path: ./live/test}}\n");
    std::fs::create_dir(stage.home.path().join("live")).unwrap();
    let first = stage.repo.tip();
    stage.run(&["apply", "--once", "test"]).exits(0);

    let [look, go_in] = pages::commands(&pages::page("docs/consumers.md"), "A directory").try_into().unwrap();
    let home = stage.home.path().to_owned();
    let run = |commands: &str| pages::run(commands, &home, &[]).unwrap();
    assert_eq!(run(&look), format!("8080{first}\n"));
    assert_eq!(run(&(look.clone() + &go_in)), format!("8080{first}\n8080"));

    // Whoever looked before a commit stays with what was there.
    let (begin, read) = look.split_at(look.find("cat ").unwrap());
    let (enter, again) = go_in.split_at(go_in.find("cat ").unwrap());
    let second = stage.repo.commit("Move", &[(builds, &port(8081))]);
    let lockstep =
        format!("{} --config {} apply --once test >/dev/null", env!("CARGO_BIN_EXE_lockstep"), stage.config().display());
    let printed = run(&format!(
        "{begin}home=$PWD\n{enter}cd \"$home\"\n{enter}(cd \"$home\" && {lockstep})\n{again}cd \"$home\"\n{read}"
    ));
    assert_eq!(printed, format!("80808080{first}\n"));
    assert_eq!(run(&look), format!("8081{second}\n"));
}
