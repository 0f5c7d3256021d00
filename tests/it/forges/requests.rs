//! What is sent: nothing that the API's own description has not.

use std::collections::BTreeSet;

use lockstep::config::ForgeKind;
use serde_json::json;

use super::{Call, Scene};
use crate::support::contract::Contract;
use crate::support::forge_server::ForgeServer;

/// The server fails the test at its end if one of them is none of the API's.
async fn check(server: ForgeServer, numbered: &str, comment: &str, own: &[&str]) {
    let scene = Scene::with(server);
    for call in Call::ALL {
        call.make(&scene.client).await.unwrap_or_else(|error| panic!("{call:?}: {}", error.chain()));
    }
    scene.client.product().await.unwrap().expect("it says what it is");
    scene.client.identity().await.unwrap().expect("it says who we are");
    scene.client.place().await.unwrap();
    scene.client.branch("release/1.x").await.unwrap();
    scene.client.hooks().await.unwrap();
    let shared = [
        "GET /repos/{owner}/{repo}",
        "GET /repos/{owner}/{repo}/branches/{branch}",
        "GET /repos/{owner}/{repo}/commits/{ref}/status",
        "GET /repos/{owner}/{repo}/hooks",
        "GET /repos/{owner}/{repo}/pulls",
        "POST /repos/{owner}/{repo}/pulls",
        "POST /repos/{owner}/{repo}/statuses/{sha}",
        "GET /user",
    ];
    let mut expected: BTreeSet<String> = shared.iter().chain(own).map(|route| (*route).to_owned()).collect();
    expected.extend(["GET", "POST"].map(|method| format!("{method} /repos/{{owner}}/{{repo}}/issues/{numbered}/comments")));
    expected.extend(["PATCH", "DELETE"].map(|method| format!("{method} /repos/{{owner}}/{{repo}}/issues/comments/{comment}")));
    assert_eq!(scene.server.routes(), expected);
}

#[tokio::test]
async fn every_request_to_github_is_one_that_its_description_has() {
    check(ForgeServer::of(ForgeKind::GitHub), "{issue_number}", "{comment_id}", &["GET /rate_limit"]).await;
}

#[tokio::test]
async fn every_request_to_an_enterprise_server_is_one_that_its_description_has() {
    check(ForgeServer::enterprise(), "{issue_number}", "{comment_id}", &["GET /rate_limit"]).await;
}

#[tokio::test]
async fn every_request_to_gitea_is_one_that_its_description_has() {
    check(ForgeServer::of(ForgeKind::Gitea), "{index}", "{id}", &["GET /version"]).await;
}

#[test]
fn the_server_of_these_tests_notices_what_a_description_has_not() {
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let status = "/repos/o/r/statuses/abc";
    for (contract, page) in [(Contract::github("api.github.com"), "per_page"), (Contract::gitea(), "limit")] {
        let post = |body| contract.violations("POST", status, &[], Some(&body));
        assert_eq!(post(json!({"state": "success", "context": "a"})), [""; 0]);
        for (wrong, expected) in [
            (json!({"state": "great"}), "is none of"),
            (json!({"state": "success", "link": "a"}), "body has no link"),
            (json!({"state": "success", "context": 1}), "context is no"),
        ] {
            let found = post(wrong);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
        assert_eq!(contract.violations("POST", "/repos/o/r/status/abc", &[], None).len(), 1);
        assert_eq!(contract.violations("POST", status, &[], None).len(), 1);
        assert_eq!(contract.violations("PUT", status, &[], None).len(), 1);
        let list = |query: Vec<(String, String)>| contract.violations("GET", "/repos/o/r/pulls", &query, None).len();
        assert_eq!(list(pair(page, "50")) + list(pair("state", "open")), 0);
        assert_eq!(list(pair(page, "x")), 2);
        assert_eq!(list(pair(page, "101")) + list(pair("state", "merged")) + list(pair("size", "1")), 3);
        let comment = |body| contract.violations("POST", "/repos/o/r/issues/1/comments", &[], Some(&body));
        assert_eq!(comment(json!({})), ["body lacks body"]);
    }
}
