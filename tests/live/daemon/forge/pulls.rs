//! Plans of pull requests: one status and one comment each, made again when what they rest on moves.

use lockstep::config::ForgeKind;
use lockstep::domain::revision::Revision;

use super::super::site::{APP, ENVIRONMENT, app};
use super::Town;
use crate::support::eventually;

const PLAN: &str = "lockstep/plan";

/// A commit on a branch of its own, which is what this pull request proposes from now on.
fn propose(town: &mut Town, number: u64, from_fork: bool, files: &[(&str, &str)]) -> Revision {
    let main = town.site.repo.tip();
    let head = {
        let repo = town.repo().on("change");
        repo.move_to(main);
        let head = repo.commit("A change", files);
        repo.on("main");
        head
    };
    let id = git2::Oid::from_str(&head.to_string()).unwrap();
    town.site.repo.git().reference(&format!("refs/pull/{number}/head"), id, true, "propose").unwrap();
    town.desk.proposes(number, head, from_fork);
    assert_eq!(town.deliver("pull_request"), 202);
    head
}

#[test]
fn a_pull_request_has_one_comment_that_is_made_true_again_when_it_or_the_branch_moves() {
    for kind in [ForgeKind::Gitea, ForgeKind::GitHub] {
        let mut town = Town::at(kind);
        town.start();
        town.desk.comment_by("mallory", 7, "<!-- lockstep:plan --> mine");
        let head = propose(&mut town, 7, false, &[(APP, "version: two\nport: 8080\n")]);
        town.desk.until(head, PLAN, "success", "test: 1 to create, 1 to update");
        let comment = town.desk.until_comment(7, "+ config/app/port = 8080");
        assert!(comment.text.contains("- config/app/version = one\n+ config/app/version = two"), "{}", comment.text);

        // Another push.
        let head = propose(&mut town, 7, false, &[(APP, "version: three\n")]);
        town.desk.until(head, PLAN, "success", "test: 1 to update");
        let comment = town.desk.until_comment(7, "+ config/app/version = three");
        assert!(!comment.text.contains("8080"), "{}", comment.text);

        // The branch moves: what the pull request changes of it is another thing now.
        town.repo().commit("Version nine", &[("base/kv/config/other.yaml", "x: 9\n")]);
        assert_eq!(town.deliver("push"), 202);
        town.site.until_steady();
        town.repo().commit("The same", &[(APP, "version: three\n")]);
        assert_eq!(town.deliver("push"), 202);
        town.site.until_steady();
        town.desk.until(head, PLAN, "success", "no changes");
        town.desk.until_comment(7, "no changes");
        assert_eq!(town.desk.comments(7).len(), 1, "{:#?}", town.desk.comments(7));
        // Nothing was deployed of it.
        assert_eq!(town.agent.get("config/app/port"), None);
    }
}

#[test]
fn a_merge_result_that_would_be_refused_fails_and_says_why() {
    let mut town = Town::at(ForgeKind::Gitea);
    town.start();
    let invalid = propose(&mut town, 1, false, &[(APP, "version: one\nversion: two\n")]);
    town.desk.until(invalid, PLAN, "failure", "test: invalid, 1 problem: base/kv/config/app.yaml:2");
    town.desk.until_comment(1, "base/kv/config/app.yaml:2:1");
    let unchecked = {
        let files = [(ENVIRONMENT.0, "layers: []\n"), ("environments/test/kv/config/app.yaml", "version: two\n")];
        propose(&mut town, 2, false, &files)
    };
    town.desk.until(unchecked, PLAN, "failure", "test: refused: ");
    town.desk.until_comment(2, "❌ refused");
    let main = town.repo().commit("Version two", &[(APP, &app("two"))]);
    assert_eq!(town.deliver("push"), 202);
    town.site.until_steady();
    let conflicting = {
        let repo = town.repo().on("change");
        let before = repo.git().find_commit(git2::Oid::from_str(&main.to_string()).unwrap()).unwrap().parent_id(0).unwrap();
        let before = Revision::parse(&before.to_string()).unwrap();
        repo.move_to(before);
        let head = repo.commit("Another", &[(APP, &app("three"))]);
        repo.on("main");
        head
    };
    let id = git2::Oid::from_str(&conflicting.to_string()).unwrap();
    town.site.repo.git().reference("refs/pull/3/head", id, true, "propose").unwrap();
    town.desk.proposes(3, conflicting, false);
    assert_eq!(town.deliver("pull_request"), 202);
    town.desk.until(conflicting, PLAN, "error", "conflicts");
    town.desk.until_comment(3, "`base/kv/config/app.yaml`");
}

#[test]
fn a_fork_learns_nothing_that_it_did_not_write_or_could_read() {
    let mut town = Town::at(ForgeKind::Gitea);
    town.repo().commit("Secret", &[("base/kv/config/db.yaml", "password: !sensitive canary-in-git\n")]);
    town.agent.put("config/theirs/password", b"canary-in-consul");
    town.start();
    // It takes the tag away, and guesses a key of somebody else's.
    let files = [
        ("base/kv/config/db.yaml", "password: another\nuser: x\n"),
        ("base/kv/config/theirs.yaml", "password: canary-in-consul\n"),
    ];
    let head = propose(&mut town, 4, true, &files);
    let guessed = town.desk.until(head, PLAN, "failure", "config/theirs/password");
    let files = [files[0], ("base/kv/config/theirs.yaml", "password: another-guess\n")];
    let head = propose(&mut town, 5, true, &files);
    let missed = town.desk.until(head, PLAN, "failure", "config/theirs/password");
    assert_eq!(guessed.text, missed.text, "a right guess is told from a wrong one");
    for pull in [4, 5] {
        let text = town.desk.until_comment(pull, "config/db/user = x").text;
        assert!(text.contains("config/db/password = (sensitive)") && !text.contains("canary-in-git"), "{text}");
    }
    let log = town.site.logs();
    assert!(!log.contains("canary-in"), "{log}");
}

#[test]
fn whoever_takes_over_finds_the_comment_and_removes_what_was_written_twice() {
    let mut town = Town::at(ForgeKind::Gitea);
    town.start();
    let head = propose(&mut town, 6, false, &[(APP, &app("two"))]);
    let comment = town.desk.until_comment(6, "config/app/version = two");
    town.controller.take().unwrap().kill();
    town.desk.comment_by("lockstep", 6, &comment.text);
    let written = town.desk.told(head, PLAN).len();
    town.controller = Some(town.site.start("one"));
    eventually("the second one is gone", || town.desk.comments(6).len() == 1);
    town.site.until_steady();
    assert_eq!(town.desk.told(head, PLAN).len(), written, "the status stood there");
    assert_eq!(town.desk.comments(6)[0].edits, 0);
    town.desk.closes(6);
    assert_eq!(town.deliver("pull_request"), 202);
    let next = propose(&mut town, 8, false, &[(APP, &app("three"))]);
    town.desk.until(next, PLAN, "success", "test: 1 to update");
    let _ = &town.git;
}
