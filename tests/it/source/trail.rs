//! The past of a few files: which commits changed them, read from the mirror alone.

use std::collections::{BTreeMap, BTreeSet};

use lockstep::client::git::{Trail, TrailEnd, Wanted};
use lockstep::domain::name::EnvironmentName;
use lockstep::port::LastSeen;

use super::*;
use crate::support::repo::{Change, TestRepo};

/// `first`, and the files that its lines name.
fn wanted() -> Wanted {
    let then = |node: Option<&Node>| match node {
        Some(Node::File(bytes)) => String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Wanted { first: "first".to_owned(), then: Box::new(then) }
}

async fn source(repo: &TestRepo) -> (Place, GitSource) {
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    (place, source)
}

/// The subjects of the steps, each with the files that were read there.
fn told(trail: &Trail) -> Vec<String> {
    let step = |step: &lockstep::client::git::Step| {
        let files: Vec<&str> = step.tree.nodes.keys().map(String::as_str).collect();
        format!("{}: {}", step.commit.subject, files.join(" "))
    };
    trail.steps.iter().map(step).collect()
}

#[tokio::test]
async fn only_commits_that_change_the_wanted_files_are_steps_and_only_those_files_are_read() {
    let mut repo = TestRepo::with(&[("other", "x")]);
    let begun = repo.commit_nothing("nothing yet");
    repo.commit("listed", &[("first", "a/b/c\nd\n"), ("a/b/other", "x")]);
    repo.commit("made", &[("a/b/c", "1")]);
    repo.commit("beside it", &[("a/b/other", "y"), ("a/x", "y")]);
    let marked = repo.commit_nothing("nothing");
    repo.commit("changed", &[("a/b/c", "2"), ("d", "1")]);
    repo.change("linked", &[("a/b/c", Change::Link("/etc/passwd"))]);
    repo.remove("gone", &["a/b/c"]);
    repo.commit("unlisted", &[("first", "d\n")]);
    repo.commit("no matter", &[("a/b/c", "3")]);
    let (_place, source) = source(&repo).await;
    let trail = source.trail(repo.tip(), wanted(), BTreeSet::from([marked]), 100).await.unwrap();
    assert_eq!(
        told(&trail),
        [
            "unlisted: d first",
            "gone: d first",
            "linked: a/b/c d first",
            "changed: a/b/c d first",
            "made: a/b/c first",
            "listed: first",
        ]
    );
    assert_eq!(trail.end, TrailEnd::Begun(begun), "what lies before may have the file by another name");
    let before = source.trail(begun, wanted(), BTreeSet::new(), 100).await.unwrap();
    assert_eq!((told(&before), before.end), (vec!["first: ".to_owned()], TrailEnd::Root));
    assert_eq!(trail.steps[2].tree.nodes["a/b/c"], Node::Symlink);
    let marks: Vec<usize> = (0..trail.steps.len()).filter(|at| trail.steps[*at].marked == [marked]).collect();
    assert_eq!(marks, [4], "a marked commit belongs to the step that it still has the files of");

    let picked = source.pick(marked, wanted()).await.unwrap();
    assert_eq!(picked.nodes.keys().collect::<Vec<_>>(), ["a/b/c", "first"]);
}

#[tokio::test]
async fn a_long_past_is_read_in_parts_that_join() {
    let mut repo = TestRepo::with(&[("first", "d")]);
    for number in 0..10 {
        repo.commit(&format!("number {number}"), &[("d", &number.to_string())]);
        repo.commit_nothing("nothing");
    }
    let (_place, source) = source(&repo).await;
    let whole = source.trail(repo.tip(), wanted(), BTreeSet::new(), 100).await.unwrap();
    let (mut from, mut parts) = (repo.tip(), Vec::new());
    loop {
        let part = source.trail(from, wanted(), BTreeSet::new(), 3).await.unwrap();
        parts.extend(told(&part));
        let TrailEnd::More(next) = part.end else { break };
        from = next;
    }
    assert_eq!(parts, told(&whole));
    assert_eq!(parts.len(), 11);
}

#[tokio::test]
async fn a_merge_is_one_step_and_what_was_merged_is_none() {
    let mut repo = TestRepo::with(&[("first", "d")]);
    let base = repo.tip();
    repo.on("side").move_to(base);
    repo.commit("one", &[("d", "2")]);
    let side = repo.commit("two", &[("d", "3")]);
    repo.on("main").commit("beside it", &[("x", "1")]);
    repo.merge("merged", side);
    let (_place, source) = source(&repo).await;
    let trail = source.trail(repo.tip(), wanted(), BTreeSet::new(), 100).await.unwrap();
    assert_eq!(told(&trail), ["merged: d first", "first: first"]);
}

#[tokio::test]
async fn a_commit_that_the_mirror_lacks_is_not_found() {
    let repo = TestRepo::with(&[("first", "d")]);
    let (_place, source) = source(&repo).await;
    let nowhere = Revision::parse(&"7".repeat(40)).unwrap();
    assert_eq!(source.trail(nowhere, wanted(), BTreeSet::new(), 1).await.unwrap_err().kind, EdgeKind::NotFound);
    assert_eq!(source.pick(nowhere, wanted()).await.unwrap_err().kind, EdgeKind::NotFound);
    assert_eq!(source.trail_of_environments(nowhere, 1).await.unwrap_err().kind, EdgeKind::NotFound);
    assert_eq!(source.astray(nowhere, BTreeSet::new()).await.unwrap_err().kind, EdgeKind::NotFound);
}

#[tokio::test]
async fn the_own_file_of_every_environment_is_followed_whatever_it_is_called() {
    let own = |name: &str| format!("environments/{name}/environment.yaml");
    let mut repo = TestRepo::with(&[("environments/README.md", "x"), (&own("a"), "layers: []\n")]);
    repo.commit("keys", &[("environments/a/kv/x.yaml", "y: 1\n"), ("base/environment.yaml", "x")]);
    repo.commit("b", &[(&own("b"), "layers: []\n")]);
    repo.remove("no a", &[&own("a")]);
    let (_place, source) = source(&repo).await;
    let trail = source.trail_of_environments(repo.tip(), 100).await.unwrap();
    let (a, b) = (own("a"), own("b"));
    assert_eq!(told(&trail), [format!("no a: {b}"), format!("b: {a} {b}"), format!("first: {a}")]);
    let part = source.trail_of_environments(repo.tip(), 1).await.unwrap();
    assert_eq!(told(&part), [format!("no a: {b}")]);
    assert!(part.end.next().is_some() && trail.end.next().is_none());
}

#[tokio::test]
async fn commits_astray_have_the_newest_in_common_with_the_branch_that_it_was_at_in_both() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let shared = repo.commit("shared", &[("a", "2")]);
    let ours = repo.commit("ours", &[("a", "3")]);
    repo.on("other").move_to(shared);
    let theirs = repo.commit("theirs", &[("b", "3")]);
    repo.on("alone");
    let alone = repo.commit("alone", &[("b", "3")]);
    repo.on("main");
    // What a merge brought was never what the branch was at.
    let merged = repo.merge("merged", theirs);
    let (_place, source) = source(&repo).await;
    let of = || [merged, ours, theirs, shared, alone].into();
    let astray = source.astray(merged, of()).await.unwrap();
    assert_eq!(astray, [(theirs, Some(shared)), (alone, None)].into());
    let astray = source.astray(theirs, of()).await.unwrap();
    assert_eq!(astray, [(merged, Some(shared)), (ours, Some(shared)), (alone, None)].into());
}

#[tokio::test]
async fn what_was_said_of_a_name_last_is_found_where_the_branch_had_it_last() {
    let own = "environments/b/environment.yaml";
    let name = |text: &str| EnvironmentName::parse(text).unwrap();
    let mut repo = TestRepo::with(&[("other", "x")]);
    repo.commit("b was x", &[(own, "layers: [base]\nformerly: x\n")]);
    let here = repo.commit("b was a", &[(own, "layers: [base]\nformerly: a\n")]);
    repo.commit_nothing("nothing");
    let gone = repo.remove("no b", &[own]);
    let later = repo.commit_nothing("later");
    let (_place, source) = source(&repo).await;
    let was_a = |gone| Some(LastSeen { formerly: Some(name("a")), gone });
    for (upto, since, expected) in [
        (repo.tip(), None, was_a(Some(gone))),
        (repo.tip(), Some(here), was_a(Some(gone))),
        (repo.tip(), Some(gone), None),
        (repo.tip(), Some(later), None),
        (here, None, was_a(None)),
    ] {
        let seen = source.last_seen(&[name("b"), name("nobody")].into(), upto, since).await.unwrap();
        let expected: BTreeMap<_, _> = expected.map(|seen| (name("b"), seen)).into_iter().collect();
        assert_eq!(seen, expected, "{since:?}");
    }
}
