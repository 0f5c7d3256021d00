//! Over http and https, against real `git http-backend` and against servers in trouble.

use lockstep::config::Credential;

use super::*;
use crate::support::git_server::{GitServer, Manner, PAUSE, PIECES};
use crate::support::repo::TestRepo;

#[tokio::test]
async fn http_serves_as_well_as_a_directory() {
    let mut repo = TestRepo::empty();
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    let source = place.open();
    assert_eq!(fetched(&source).await.tip, Tip::Empty);
    repo.on("other").commit("elsewhere", &[("a", "1")]);
    assert_eq!(fetched(&source).await.tip, no_branch());
    let first = repo.on("main").commit("first", &[("a", "1")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(first));
    let second = repo.commit("second", &[("a", "2")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(second));
    assert_eq!(text_of(&source.tree(second).await.unwrap(), "a"), "2");
    repo.move_to(first);
    assert_eq!(fetched(&source).await.tip, Tip::At(first));
    let amended = repo.commit("another second", &[("a", "3")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(amended));
    assert!(!source.descends(amended, second).await.unwrap());
    repo.delete_branch("main");
    assert_eq!(fetched(&source).await.tip, gone());
    repo.delete_branch("other");
    repo.git().set_head_detached(git2::Oid::from_bytes(amended.as_bytes()).unwrap()).unwrap();
    assert_eq!(fetched(&source).await.tip, gone(), "a detached HEAD is all that is left");
    assert_eq!(fetched(&Place::http(&server.url).open()).await.tip, no_branch(), "whoever never saw the branch");
}

#[tokio::test]
async fn a_fetch_without_news_is_one_request() {
    let repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    let source = place.open();
    fetched(&source).await;
    let before = server.requests().len();
    for _ in 0..5 {
        fetched(&source).await;
    }
    let requests = server.requests();
    assert_eq!(requests.len(), before + 5, "{requests:?}");
    assert!(requests[before..].iter().all(|line| line.contains("/info/refs?service=git-upload-pack")));
}

#[tokio::test]
async fn a_token_opens_a_private_ca_closes_and_neither_shows_in_an_error() {
    let repo = TestRepo::with(&[("a", "1")]);
    let (server, ca) = GitServer::over_tls(&repo.path(), "canary-token");
    let mut place = Place::http(&server.url);
    let limit = place.settings.fetch_timeout;
    place.settings.token = Some(Credential::File(place.secret("token", "canary-token\n")));
    check_fetch_fails(&place.open(), limit, EdgeKind::Refused, "name the file of its CA").await;

    place.settings.ca = Some(place.secret("ca.pem", &ca));
    assert_eq!(fetched(&place.open()).await.tip, Tip::At(repo.tip()));

    place.settings.token = Some(Credential::File(place.secret("token", "canary-wrong")));
    let source = place.open();
    check_fetch_fails(&source, limit, EdgeKind::Denied, "does not take the token").await;
    assert!(!source.head().await.unwrap().trouble.unwrap().contains("canary"));
    place.settings.token = None;
    check_fetch_fails(&place.open(), limit, EdgeKind::Denied, "set `token`").await;
    place.settings.ca = Some(place.secret("empty.pem", ""));
    check_fetch_fails(&place.open(), limit, EdgeKind::Refused, "read the CA file").await;
}

#[tokio::test]
async fn a_token_is_read_at_each_fetch_and_only_from_a_file_of_its_own() {
    let repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::with_token(&repo.path(), "new");
    let mut place = Place::http(&server.url);
    let file = place.secret("token", "old");
    place.settings.token = Some(Credential::File(file.clone()));
    let source = place.open();
    let limit = place.settings.fetch_timeout;
    check_fetch_fails(&source, limit, EdgeKind::Denied, "does not take the token").await;
    place.secret("token", "new");
    fetched(&source).await;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    check_fetch_fails(&source, limit, EdgeKind::Denied, "chmod 600").await;
}

#[tokio::test]
async fn what_the_server_answers_decides_what_kind_of_trouble_it_is() {
    let repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    let source = place.open();
    let limit = place.settings.fetch_timeout;
    for (manner, kind, says) in [
        (Manner::Status(500), EdgeKind::Transient, "500"),
        (Manner::Status(503), EdgeKind::Transient, "tries again"),
        (Manner::Status(429), EdgeKind::Transient, "429"),
        (Manner::Status(401), EdgeKind::Denied, "set `token`"),
        (Manner::Status(403), EdgeKind::Denied, "403"),
        (Manner::Status(404), EdgeKind::NotFound, "is the address right"),
        (Manner::Status(302), EdgeKind::Refused, "redirects are not followed"),
        (Manner::Status(400), EdgeKind::Refused, "400"),
        (Manner::Page, EdgeKind::Refused, "content type \"text/html\""),
    ] {
        server.answer(manner);
        check_fetch_fails(&source, limit, kind, says).await;
    }
    server.answer(Manner::HalfAPack);
    check_fetch_fails(&source, limit, EdgeKind::Transient, "fetch main from http://127.0.0.1").await;
    server.answer(Manner::Git);
    assert_eq!(fetched(&source).await.tip, Tip::At(repo.tip()));
    drop(server);
    check_fetch_fails(&source, limit, EdgeKind::Transient, "error sending request").await;
    // What is here is still served.
    assert_eq!(text_of(&source.tree(repo.tip()).await.unwrap(), "a"), "1");
}

#[tokio::test]
async fn a_server_that_hangs_at_any_point_costs_one_deadline_and_the_next_fetch_goes_on() {
    let repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::of(&repo.path());
    let mut place = Place::http(&server.url);
    place.settings.fetch_timeout = Duration::from_millis(300);
    let source = place.open();
    for manner in [Manner::Silent, Manner::OneByte, Manner::Drip] {
        server.answer(manner);
        check_fetch_fails(&source, place.settings.fetch_timeout, EdgeKind::Transient, "no end after 300ms").await;
    }
    // Nobody waits for the end of this one; the next waits for its turn.
    server.answer(Manner::Silent);
    tokio::time::timeout(Duration::from_millis(50), source.fetch()).await.expect_err("it answered");
    server.answer(Manner::Git);
    let until = Instant::now() + Duration::from_secs(10);
    while source.fetch().await.is_err() {
        assert!(Instant::now() < until, "it never recovered");
    }
    assert_eq!(source.head().await.unwrap().tip, Tip::At(repo.tip()));
    place.settings.fetch_timeout = Duration::from_secs(30);
    assert_eq!(fetched(&place.open()).await.tip, Tip::At(repo.tip()));
}

#[tokio::test]
async fn a_slow_server_is_waited_for_as_long_as_something_comes_and_one_that_stalls_is_not() {
    let repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::of(&repo.path());
    let mut place = Place::http(&server.url);
    place.options.patience = Duration::from_millis(400);
    server.answer(Manner::Stall);
    check_fetch_fails(&place.open(), place.options.patience, EdgeKind::Transient, "nothing came for 400ms").await;
    server.answer(Manner::Silent);
    check_fetch_fails(&place.open(), place.options.patience, EdgeKind::Transient, "whether the server answers").await;

    place.options.patience = PAUSE * PIECES * 4 / 5;
    server.answer(Manner::Trickle);
    let began = Instant::now();
    assert_eq!(fetched(&place.open()).await.tip, Tip::At(repo.tip()));
    assert!(began.elapsed() > place.options.patience * 2, "it was no slow server: {:?}", began.elapsed());

    // Whoever sends for ever has the whole time, and no more bytes than one may send.
    place.settings.fetch_timeout = Duration::from_millis(500);
    server.answer(Manner::Drip);
    check_fetch_fails(&place.open(), place.settings.fetch_timeout, EdgeKind::Transient, "no end after 500ms").await;
    place.settings.fetch_timeout = Duration::from_secs(30);
    place.options.fetch_at_most = 20;
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::Refused, "the server sent more than").await;
}

#[tokio::test]
async fn fetches_of_one_mirror_come_one_after_another() {
    let repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    let source = place.open();
    // A second process' view of the same data directory, too.
    let other = place.open();
    let all = tokio::join!(source.fetch(), source.fetch(), other.fetch(), other.fetch());
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok() && all.3.is_ok(), "{all:?}");
    assert_eq!(source.head().await.unwrap().tip, Tip::At(repo.tip()));
    assert_eq!(other.head().await.unwrap().tip, Tip::At(repo.tip()));
    let packs = server.requests().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(packs, 1, "the pack came once");
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_trouble_that_may_pass() {
    let mut place = Place::http("https://no-such-host.invalid/x.git");
    place.settings.fetch_timeout = Duration::from_secs(10);
    check_fetch_fails(&place.open(), place.settings.fetch_timeout, EdgeKind::Transient, "no-such-host.invalid").await;
}
