//! What differs between two commits, and a part of one.

use lockstep::domain::desired::Selection;

use super::*;
use crate::support::repo::{Change, TestRepo};

#[tokio::test]
async fn the_files_that_differ_are_found_whatever_became_of_them() {
    let mut repo =
        TestRepo::with(&[("same", "x"), ("a/b/same", "x"), ("a/b/c", "1"), ("a/gone", "1"), ("d", "1"), ("e/f", "1")]);
    let before = repo.tip();
    repo.remove("make room", &["a/gone", "d", "e/f"]);
    repo.change(
        "all that can be",
        &[
            ("a/b/c", Change::File(b"2")),
            ("d/now/a/directory", Change::File(b"1")),
            ("e", Change::File(b"now a file")),
            ("new/file", Change::File(b"1")),
            ("link", Change::Link("/etc/passwd")),
            ("module", Change::Submodule),
        ],
    );
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let expected = ["a/b/c", "a/gone", "d", "d/now/a/directory", "e", "e/f", "link", "module", "new/file"];
    assert_eq!(source.changed(before, repo.tip()).await.unwrap(), expected);
    assert_eq!(source.changed(repo.tip(), before).await.unwrap(), expected);
    assert!(source.changed(before, before).await.unwrap().is_empty());
    let nowhere = Revision::parse(&"7".repeat(40)).unwrap();
    assert_eq!(source.changed(before, nowhere).await.unwrap_err().kind, EdgeKind::NotFound);
}

#[tokio::test]
async fn of_a_commit_only_the_selected_files_are_read() {
    let files = [
        ("a/b/c", "1"),
        ("a/b/d", "1"),
        ("a/x", "1"),
        ("e/f/g", "1"),
        ("h", "1"),
        ("environments/test/environment.yaml", "{}"),
    ];
    let repo = TestRepo::with(&files);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let mut selection = Selection::environment_files();
    selection.paths(["a/b/c".to_owned(), "nothing".to_owned(), "e".to_owned()]);
    let tree = source.part(repo.tip(), selection).await.unwrap();
    assert_eq!(tree.nodes.keys().collect::<Vec<_>>(), ["a/b/c", "environments/test/environment.yaml"]);
    assert_eq!(tree.partly.iter().collect::<Vec<_>>(), ["a", "a/b", "e", "environments", "environments/test"]);
    let mut selection = Selection::default();
    selection.directories(["a".to_owned()]);
    let tree = source.part(repo.tip(), selection).await.unwrap();
    assert_eq!(tree.nodes.keys().collect::<Vec<_>>(), ["a/b/c", "a/b/d", "a/x"]);
}

#[tokio::test]
async fn commits_that_the_branch_never_was_at_are_known() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let first = repo.tip();
    let lost = repo.commit("lost", &[("a", "2")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    repo.amend("instead", &[("a", "3")]);
    repo.on("side").move_to(first);
    let side = repo.commit("side", &[("b", "1")]);
    repo.on("main").merge("merged", side);
    fetched(&source).await;
    let nowhere = Revision::parse(&"7".repeat(40)).unwrap();
    let of = [first, repo.tip(), lost, side, nowhere].into();
    let astray = source.astray(repo.tip(), of).await.unwrap();
    assert_eq!(astray, [(lost, Some(first)), (side, Some(first)), (nowhere, None)].into());
}
