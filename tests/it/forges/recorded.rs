//! Every answer that a running Gitea gave is read as what it is.

use std::collections::BTreeSet;

use lockstep::config::ForgeKind;
use lockstep::domain::commit_status::{StatusContext, StatusState};
use lockstep::domain::pull::{Comment, CommentId, NewPull, PullNumber, PullRequest};
use lockstep::domain::revision::Revision;
use lockstep::port::{EdgeError, EdgeKind, Forge as _};
use serde_json::Value;

use super::{Scene, commit, context, status};
use crate::support::forge_server::Reply;

/// A forge that gives the recorded answer of this name to every request.
fn scene(name: &'static str) -> Scene {
    let scene = Scene::of(ForgeKind::Gitea);
    let path = format!("{}/tests/fixtures/gitea-api/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let exchange: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let response = exchange["response"].clone();
    scene.server.answer(move |request| {
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let reply = Reply::json(status, &response["body"]);
        // A page beyond the last is empty.
        let past = request.asked("page").is_some_and(|page| page != "1");
        Some(if past { Reply::text(200, "[]") } else { reply })
    });
    scene
}

/// What a call came to, in one line.
fn told<T: std::fmt::Debug>(outcome: Result<T, EdgeError>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{}: {}", error.kind.word(), error.source.map(|cause| cause.to_string()).unwrap_or_default()),
    }
}

async fn post(name: &'static str) -> String {
    told(scene(name).client.post(commit(), &context("lockstep/test"), &status(StatusState::Success, "")).await)
}

fn new_pull() -> NewPull {
    NewPull { branch: "second".into(), base: "master".into(), title: "Add the queue".into(), text: "A port".into() }
}

#[tokio::test]
async fn every_recorded_answer_is_read_as_what_it_is() {
    let mut read: BTreeSet<&str> = BTreeSet::new();
    let mut check = |name: &'static str, found: String, expected: &str| {
        read.insert(name);
        assert_eq!(found, expected, "{name}");
    };
    let branch = scene("branch").client.branch("master").await.unwrap().head;
    check("branch", branch.to_string(), super::COMMIT);
    check(
        "comment-create",
        told(scene("comment-create").client.comment(PullNumber(2), "plan: 1 create").await),
        "CommentId(7)",
    );
    check("comment-edit", told(scene("comment-edit").client.edit(CommentId(7), "plan: 1 create, 1 update").await), "()");
    let hooks = scene("hooks-list").client.hooks().await.unwrap();
    assert!(hooks[0].active && hooks[0].events.contains(&"pull_request".to_owned()) && hooks[0].last.is_none());
    check(
        "hooks-list",
        format!("{} {:?}", hooks[0].url, hooks[0].content_type),
        "http://127.0.0.1:13099/webhooks/gitea Some(\"json\")",
    );
    check("no-credentials", post("no-credentials").await, "denied: the forge answered 401: token is required");
    check("unauthorised", post("unauthorised").await, "denied: the forge answered 401: token is required");
    check("pull-create", told(scene("pull-create").client.open_pull(&new_pull()).await), "PullNumber(2)");
    let again = told(scene("pull-create-again").client.open_pull(&new_pull()).await);
    assert!(again.starts_with("conflict: the forge answered 409: pull request already exists for these targets"), "{again}");
    check("pull-create-again", String::new(), "");
    let pulls = scene("pulls-open").client.pulls("master").await.unwrap();
    let (number, from_fork) = (PullNumber(2), false);
    assert_eq!(pulls, [PullRequest { number, from_fork, head: pulls[0].head }]);
    check("pulls-open", told(scene("pulls-open").client.pulls_from("second").await), "[PullNumber(2)]");
    check("repo", scene("repo").client.place().await.unwrap().default_branch, "master");
    let missing = scene("repo-missing").client.place().await.unwrap_err();
    check("repo-missing", missing.kind.word().to_owned(), "not-found");
    for name in
        ["status-create-error", "status-create-failure", "status-create-pending", "status-create-success", "status-bad-state"]
    {
        check(name, post(name).await, "()");
    }
    let unknown = post("status-unknown-commit").await;
    assert!(unknown.starts_with("not-found: the forge answered 500: GetCommit["), "{unknown}");
    check("status-unknown-commit", String::new(), "");
    check("token-auth", told(scene("token-auth").client.identity().await), "Some(\"boss\")");
    check("version", told(scene("version").client.product().await), "Some(\"Gitea development\")");
    let combined = scene("status-combined").client.statuses(commit()).await.unwrap();
    let combined: Vec<(&str, Option<StatusState>)> =
        combined.iter().map(|(context, posted)| (StatusContext::as_str(context), posted.state)).collect();
    let expected = [
        ("lockstep/plan", Some(StatusState::Error)),
        ("lockstep/production", Some(StatusState::Failure)),
        ("lockstep/test", None),
    ];
    assert_eq!(combined, expected);
    check("status-combined", String::new(), "");
    let recorded = |name: &str| std::fs::read_dir(name).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    // Those that nothing here asks for: a single pull request, and every status instead of the newest of each.
    let unasked = ["pull", "statuses-list", "comments-list"];
    let rest: Vec<String> = recorded(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gitea-api"))
        .map(|file| file.trim_end_matches(".json").to_owned())
        .filter(|name| !read.contains(name.as_str()) && !unasked.contains(&name.as_str()))
        .collect();
    assert!(rest.is_empty(), "nobody reads {rest:?}");
}

#[tokio::test]
async fn the_recorded_comments_are_those_of_their_user() {
    // Its usual answers are the recorded ones, who we are among them.
    let scene = Scene::of(ForgeKind::Gitea);
    let found = scene.client.comments(PullNumber(2), "plan:").await.unwrap();
    assert_eq!(found, [Comment { id: CommentId(7), text: "plan: 1 create, 1 update".into() }]);
    assert_eq!(scene.server.lines(), ["GET /user", "GET /repos/boss/config/issues/2/comments"]);
}

#[tokio::test]
async fn an_unknown_commit_is_told_from_trouble() {
    let scene = scene("status-unknown-commit");
    let nowhere = Revision::parse("0000000000000000000000000000000000000000").unwrap();
    let error = scene.client.post(nowhere, &context("lockstep/test"), &status(StatusState::Success, "")).await.unwrap_err();
    assert_eq!((error.kind, error.hint.as_deref()), (EdgeKind::NotFound, Some("is the commit pushed there?")));
}
