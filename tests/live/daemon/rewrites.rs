//! A branch that was rewritten, and a mirror that is gone with it.

use std::path::Path;
use std::process::Command;

use super::service::BAD;
use super::site::{APP, Running, app};
use crate::support::eventually;

/// What `git gc` does once nothing names an object any more.
fn collect_garbage(repository: &Path) {
    let mut gc = Command::new("git");
    gc.args(["gc", "--prune=now", "--quiet"]).current_dir(repository);
    assert!(gc.status().unwrap().success());
}

#[test]
fn with_last_good_in_no_mirror_a_failing_head_is_held_by_name_and_a_better_one_is_gone_to() {
    let mut it = Running::start();
    let good = it.release("good");
    it.site.until_steady();
    it.controller.terminate();
    assert!(it.controller.ended().success());
    // The last good commit exists nowhere now: not in the branch, not in the origin's objects, not in a mirror.
    it.site.repo.amend("Rewritten", &[(APP, &app(BAD))]);
    collect_garbage(&it.site.repo.path());
    let gone = Command::new("git").args(["cat-file", "-e", &good.to_string()]).current_dir(it.site.repo.path()).output();
    assert!(!gone.unwrap().status.success());
    std::fs::remove_dir_all(it.site.home().join("one")).unwrap();
    let before = it.agent.values("config/");

    it.controller = it.site.start("two");
    let mut chances = 0;
    eventually("it leads, although it lacks commits that another might have", || {
        assert!(it.controller.log().contains("leads now") || it.agent.values("config/") == before, "{}", it.site.logs());
        // Each sign that the lease may be free is one more chance: the minute of them that it leaves to others passes at once.
        chances += 1;
        it.agent.put("lockstep/demo/test/lease", format!("{chances}").as_bytes());
        it.controller.log().contains("leads now")
    });
    let status = it.site.until("held", |status| status["phase"] == "held-unproven");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("503") && reason.contains(&format!("last good {} is in no mirror", good.short())), "{status:#}");
    assert_eq!(it.agent.get("config/app/version").unwrap(), BAD.as_bytes());

    it.release("better");
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"better");
    it.site.check_history();
}

#[test]
fn a_forced_push_is_followed_once_two_fetches_agree_and_a_deleted_branch_changes_nothing() {
    let mut it = Running::start();
    it.release("two");
    it.site.until_steady();
    it.site.repo.amend("Rewritten", &[(APP, &app("rewritten"))]);
    it.site.until_steady();
    assert_eq!(it.agent.get("config/app/version").unwrap(), b"rewritten");

    let before = it.agent.values("config/");
    let tip = it.site.repo.tip();
    it.site.repo.on("another").commit("Elsewhere", &[("base/kv/config/elsewhere.yaml", "x: 1\n")]);
    it.site.repo.on("main").delete_branch("main");
    let status = it.site.until("a word on the branch", |status| !status["head"].is_null());
    assert!(status["head"]["text"].as_str().unwrap().contains("branch main is gone from the repository"), "{status:#}");
    assert_eq!(it.agent.values("config/"), before);
    it.site.repo.git().reference("refs/heads/main", git2::Oid::from_bytes(tip.as_bytes()).unwrap(), false, "test").unwrap();
    it.site.until("back", |status| status["head"].is_null());
    it.release("three");
    it.site.until_steady();
    it.site.check_history();
}
