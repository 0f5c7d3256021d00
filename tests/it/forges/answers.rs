//! What is understood of a forge's answers: pages, forks, people who write the same, what is gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use lockstep::config::ForgeKind;
use lockstep::domain::commit_status::{Posted, StatusState};
use lockstep::domain::pull::{CommentId, PullNumber, PullRequest};
use lockstep::port::{EdgeKind, Forge as _};
use serde_json::{Value, json};

use super::{BOTH, COMMIT, Scene, commit, context, status};
use crate::support::forge_server::Reply;

/// A link to a second page, at a place where nobody should go.
const NEXT: &str = "<http://192.0.2.1/elsewhere?page=2>; rel=\"next\", <http://192.0.2.1/elsewhere?page=2>; rel=\"last\"";

/// A status as either forge writes it.
fn wire(kind: ForgeKind, id: u64, context: &str, word: &str, text: Option<&str>, link: Option<&str>) -> Value {
    let field = if kind == ForgeKind::GitHub { "state" } else { "status" };
    json!({ "id": id, "context": context, field: word, "description": text, "target_url": link })
}

#[tokio::test]
async fn the_newest_status_of_each_of_our_contexts_counts_on_whatever_page_it_is() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        scene.server.answer(move |request| {
            let page = request.asked("page").unwrap().to_owned();
            let statuses = if page == "1" {
                json!([
                    wire(kind, 3, "lockstep/test", "pending", Some("applying"), None),
                    wire(kind, 9, "ci/build", "success", None, None),
                    wire(kind, 4, "lockstep/plan", "success", None, Some("http://127.0.0.1:8420/plan")),
                    wire(kind, 5, "lockstep/odd", "great", Some("?"), Some("")),
                ])
            } else {
                json!([
                    wire(kind, 8, "lockstep/test", "failure", Some("rolled back"), None),
                    wire(kind, 1, "lockstep/plan", "error", None, None)
                ])
            };
            let reply = Reply::json(200, &json!({ "state": "failure", "statuses": statuses, "total_count": 6 }));
            Some(if page == "1" { reply.with("link", NEXT) } else { reply })
        });
        let found = scene.client.statuses(commit()).await.unwrap();
        let expected = [
            (context("lockstep/odd"), Posted { state: None, text: "?".into(), link: None }),
            (
                context("lockstep/plan"),
                Posted { link: Some("http://127.0.0.1:8420/plan".into()), ..status(StatusState::Success, "") },
            ),
            (context("lockstep/test"), status(StatusState::Failure, "rolled back")),
        ];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
        // The second page was asked for where the first one was.
        assert_eq!(scene.server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_commit_without_statuses_has_none() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        for empty in [json!({ "statuses": [] }), json!({ "statuses": null, "state": "" })] {
            scene.server.answer(move |_| Some(Reply::json(200, &empty)));
            assert!(scene.client.statuses(commit()).await.unwrap().is_empty());
        }
    }
}

/// A pull request as both forges write it.
fn pull(number: u64, base: &str, branch: &str, head_repo: Option<u64>) -> Value {
    let sha = format!("{number:040x}");
    let repo = head_repo.map(|id| json!({ "id": id }));
    json!({
        "number": number,
        "head": { "ref": branch, "label": format!("boss:{branch}"), "sha": sha, "repo": repo },
        "base": { "ref": base, "label": base, "sha": COMMIT, "repo": { "id": 1 } },
    })
}

#[tokio::test]
async fn open_pull_requests_against_the_branch_come_newest_first_and_a_fork_is_told() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        scene.server.answer(move |request| {
            assert_eq!(request.asked("state"), Some("open"));
            assert_eq!(request.asked("base"), (kind == ForgeKind::GitHub).then_some("main"));
            let mut without_commit = pull(9, "main", "gone", Some(1));
            without_commit["head"]["sha"] = json!("");
            let list = json!([
                pull(3, "main", "a", Some(1)),
                pull(7, "main", "b", Some(2)),
                pull(4, "other", "c", Some(1)),
                pull(5, "main", "d", None),
                without_commit,
            ]);
            Some(Reply::json(200, &list))
        });
        let found = scene.client.pulls("main").await.unwrap();
        let told: Vec<(u64, bool)> = found.iter().map(|pull| (pull.number.0, pull.from_fork)).collect();
        assert_eq!(told, [(7, true), (5, true), (3, false)]);
        assert_eq!(found[0].head.to_string(), format!("{:040x}", 7));
    }
}

#[tokio::test]
async fn at_most_two_hundred_pull_requests_are_looked_at_and_the_pages_end() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        scene.server.answer(|request| {
            let page: u64 = request.asked("page").unwrap().parse().unwrap();
            let list: Vec<Value> = (0..50).map(|at| pull(10_000 - page * 50 - at, "main", "x", Some(1))).collect();
            Some(Reply::json(200, &json!(list)).with("link", NEXT))
        });
        assert_eq!(scene.client.pulls("main").await.unwrap().len(), PullRequest::MOST);
        assert_eq!(scene.server.requests().len(), 4);
        // None of them is wanted: it ends all the same.
        assert!(scene.client.pulls("other").await.unwrap().is_empty());
        assert_eq!(scene.server.requests().len(), 24);
    }
}

#[tokio::test]
async fn pull_requests_from_a_branch_are_those_of_the_repository_itself() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        scene.server.answer(move |request| {
            assert_eq!(request.asked("state"), Some("all"));
            assert_eq!(request.asked("head"), (kind == ForgeKind::GitHub).then_some("boss:lockstep/revert"));
            let mut merged = pull(2, "main", "lockstep/revert", Some(1));
            // The branch is gone, and Gitea names where its commits are.
            merged["head"]["ref"] = json!("refs/pull/2/head");
            let list = json!([
                merged,
                pull(3, "main", "lockstep/revert", Some(7)),
                pull(6, "main", "lockstep/revert", Some(1)),
                pull(5, "main", "other", Some(1))
            ]);
            Some(Reply::json(200, &list))
        });
        let found = scene.client.pulls_from("lockstep/revert").await.unwrap();
        assert_eq!(found, [PullNumber(6), PullNumber(2)]);
    }
}

fn comment(id: u64, login: Option<&str>, text: Option<&str>) -> Value {
    json!({ "id": id, "body": text, "user": login.map(|login| json!({ "login": login })) })
}

#[tokio::test]
async fn only_what_the_credential_wrote_with_the_marker_is_its_comment() {
    for (kind, may_know) in BOTH.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let scene = Scene::of(kind);
        let lookups = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&lookups);
        scene.server.answer(move |request| {
            if request.path == "/user" {
                counted.fetch_add(1, Ordering::SeqCst);
                let denied = Reply::json(
                    403,
                    &json!({ "message": "token does not have at least one of required scope(s): [read:user]" }),
                );
                return Some(if may_know { Reply::json(200, &json!({ "login": "Boss" })) } else { denied });
            }
            let list = json!([
                comment(9, Some("boss"), Some("<!-- lockstep plan --> two")),
                comment(3, Some("boss"), Some("<!-- lockstep plan --> one")),
                comment(4, Some("mallory"), Some("<!-- lockstep plan --> mine")),
                comment(5, None, Some("<!-- lockstep plan --> a ghost's")),
                comment(6, Some("boss"), Some("thanks")),
                comment(7, Some("boss"), None),
            ]);
            Some(Reply::json(200, &list))
        });
        for _ in 0..2 {
            let found = scene.client.comments(PullNumber(2), "<!-- lockstep plan -->").await.unwrap();
            let expected: &[u64] = if may_know { &[3, 9] } else { &[3, 4, 5, 9] };
            assert_eq!(
                found.iter().map(|comment| comment.id).collect::<Vec<_>>(),
                expected.iter().copied().map(CommentId).collect::<Vec<_>>()
            );
        }
        assert_eq!(lookups.load(Ordering::SeqCst), 1, "who we are is asked once");
    }
}

#[tokio::test]
async fn a_comment_that_somebody_removed_is_not_found_and_removing_it_again_is_no_error() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        scene.server.answer(|_| Some(Reply::json(404, &json!({ "message": "Not Found" }))));
        assert_eq!(scene.client.edit(CommentId(7), "x").await.unwrap_err().kind, EdgeKind::NotFound);
        scene.client.remove(CommentId(7)).await.unwrap();
    }
}

#[tokio::test]
async fn a_status_without_a_word_that_forges_know_is_not_sent() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        let nothing = Posted { state: None, text: String::new(), link: None };
        let error = scene.client.post(commit(), &context("lockstep/test"), &nothing).await.unwrap_err();
        assert_eq!((error.kind, scene.server.requests().len()), (EdgeKind::Refused, 0));
    }
}

#[tokio::test]
async fn what_a_forge_is_asked_for_each_second_is_what_it_asks_for() {
    let paces = BOTH.map(|kind| {
        let scene = Scene::of(kind);
        (scene.client.pace().as_millis(), scene.client.name().replace(&scene.server.origin[7..], "HOST"))
    });
    assert_eq!(paces, [(1_000, "github at HOST, boss/config".to_owned()), (100, "gitea at HOST, boss/config".to_owned())]);
}
