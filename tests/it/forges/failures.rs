//! Every way in which a forge fails, for reads and for writes: of what kind it is, when to try again, and that it says nothing
//! that it must not.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use lockstep::config::ForgeKind;
use lockstep::port::{EdgeError, EdgeKind};
use serde_json::json;

use super::{BOTH, Call, Scene, patient, waiting};
use crate::support::forge_server::{Manner, Reply, TOKEN};
use crate::support::git_server::GitServer;
use crate::support::repo::TestRepo;

/// No text of an error may hold the credential, or what else a forge slips in.
#[track_caller]
fn check_words(error: &EdgeError, kind: ForgeKind) {
    let text = format!("{} {:?} {error:?}", error.chain(), error.hint);
    assert!(!text.contains("canary") && !text.to_lowercase().contains("bearer"), "{text}");
    assert!(!error.chain().chars().any(char::is_control), "{text}");
    assert!(error.chain().len() < 900, "{text}");
    assert!(
        error.to_string().starts_with(&format!("{}: ", kind.word()))
            && error.to_string().contains(" in boss/config at http://127"),
        "{text}"
    );
    assert!(error.source.is_some(), "{text}");
}

fn error_of(call: Call, scene: &Scene, outcome: Result<(), EdgeError>) -> EdgeError {
    let error = outcome.map(|()| panic!("{call:?} went well")).unwrap_err();
    check_words(&error, scene.server.kind);
    error
}

/// Who we are is no part of what fails here.
fn fails(scene: &Scene, reply: Reply) {
    scene.server.answer(move |request| {
        let known = Reply::json(200, &json!({ "login": "boss" }));
        Some(if request.path == "/user" { known } else { reply.clone() })
    });
}

fn in_seconds(seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    now.saturating_add_signed(seconds).to_string()
}

/// Name, answer, kind, when to try again at the earliest and at the latest in seconds, and a word of the text.
type Case = (&'static str, Reply, EdgeKind, Option<(u64, u64)>, &'static str);

#[tokio::test]
async fn a_refusal_is_of_the_kind_that_its_status_headers_and_words_mean() {
    use EdgeKind::{Conflict, Denied, NotFound, Refused, Transient};
    let said = |status, text: &str| Reply::json(status, &json!({ "message": text }));
    let full = json!({
        "message": "Validation Failed",
        "errors": [{ "resource": "Status", "code": "custom", "message": "This SHA and context has reached the maximum number of statuses." }],
    });
    let page = "<html><h1>Bad gateway</h1></html>";
    let cases: Vec<Case> = vec![
        ("401", said(401, "Bad credentials"), Denied, None, "answered 401: Bad credentials"),
        ("403", said(403, "Resource not accessible by integration"), Denied, None, "not accessible"),
        (
            "403 limited",
            said(403, "API rate limit exceeded").with("x-ratelimit-remaining", "0").with("x-ratelimit-reset", &in_seconds(90)),
            Transient,
            Some((60, 92)),
            "rate limit",
        ),
        (
            "403 limited for a day",
            said(403, "no").with("x-ratelimit-remaining", "0").with("x-ratelimit-reset", &in_seconds(86_400)),
            Transient,
            Some((3_600, 3_600)),
            "403",
        ),
        (
            "403 limited, its end past",
            said(403, "no").with("x-ratelimit-remaining", "0").with("x-ratelimit-reset", "7"),
            Transient,
            Some((1, 1)),
            "403",
        ),
        (
            "403 secondary",
            said(403, "You have exceeded a secondary rate limit").with("retry-after", "17"),
            Transient,
            Some((17, 17)),
            "secondary",
        ),
        (
            "403 secondary, without a time",
            said(403, "You have exceeded a secondary rate limit"),
            Transient,
            Some((60, 60)),
            "secondary",
        ),
        ("404", said(404, "Not Found"), NotFound, None, "404"),
        ("409", said(409, "is at another"), Conflict, None, "409"),
        ("410", said(410, "This issue was deleted"), NotFound, None, "410"),
        ("422", said(422, "Validation Failed"), Refused, None, "Validation Failed"),
        ("422 at the most statuses", Reply::json(422, &full), Refused, None, "maximum number of statuses"),
        ("422 without such a commit", said(422, "No commit found for SHA: 8688c0e"), NotFound, None, "No commit found"),
        (
            "422 there already",
            Reply::json(422, &json!({"message": "Validation Failed", "errors": ["A pull request already exists for boss:x."]})),
            Conflict,
            None,
            "already exists",
        ),
        ("429", said(429, "slow down").with("retry-after", "99999"), Transient, Some((3_600, 3_600)), "429"),
        ("429 without a time", Reply::text(429, ""), Transient, Some((60, 60)), "429"),
        ("500", said(500, "boom"), Transient, None, "500"),
        ("502 with a page", Reply::text(502, page).with("content-type", "text/html"), Transient, None, "answered 502"),
        ("503 with a time", said(503, "maintenance").with("retry-after", "5"), Transient, Some((5, 5)), "maintenance"),
        ("301", Reply::text(301, "").with("location", "http://192.0.2.1/canary"), Refused, None, "301"),
        ("307", Reply::text(307, "").with("location", "http://192.0.2.1/canary"), Refused, None, "307"),
        ("400", said(400, "bad"), Refused, None, "400"),
        ("hostile words", said(422, &format!("\u{1b}[2J{TOKEN}\r\n{}", "x".repeat(5_000))), Refused, None, "***"),
        ("hostile length", Reply::text(422, &"x".repeat(3 << 20)), Refused, None, "422"),
    ];
    for kind in BOTH {
        let scene = Scene::of(kind);
        for (name, reply, expected, wait, word) in &cases {
            fails(&scene, reply.clone());
            for call in Call::ALL {
                if call == Call::Remove && *expected == NotFound {
                    continue;
                }
                let error = error_of(call, &scene, call.make(&scene.client).await);
                assert_eq!(error.kind, *expected, "{name}: {call:?}: {}", error.chain());
                assert!(error.chain().contains(word), "{name}: {}", error.chain());
                let waits = error.asked_to_wait().map(|wait| wait.as_secs());
                let in_time =
                    wait.map_or(waits.is_none(), |(least, most)| waits.is_some_and(|wait| (least..=most).contains(&wait)));
                assert!(in_time, "{name}: {waits:?} and not {wait:?}");
                assert_eq!(error.lacks_right, *expected == Denied, "{name}");
                assert!(matches!(expected, Conflict | Refused) || error.hint.is_some(), "{name} has no hint");
            }
        }
        let refused = scene.server.requests();
        assert!(refused.iter().all(|request| request.headers["host"] == scene.server.origin[7..]));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_no_answer_may_go_well_later() {
    let good = json!({ "id": 7, "number": 7, "statuses": [], "login": "boss" }).to_string();
    let broken = [
        ("broken off in the middle", Reply::text(200, "{\"id\":").sent(Manner::Cut(100)), "200"),
        ("truncated", Reply::text(200, &good[..good.len() - 3]), "can't be read"),
        ("of another shape", Reply::text(200, "{\"canary\": [\"canary\"]}"), "not what the API says"),
        ("of another kind", Reply::text(200, "\"canary\""), "not what the API says"),
        ("a page", Reply::text(200, "<html>canary</html>"), "not what the API says"),
        ("deep", Reply::text(200, &"[".repeat(100_000)), "not what the API says"),
        ("said to be of a GiB", Reply::text(200, &good).sent(Manner::Cut(1 << 30)), "longer than"),
        ("endless", Reply::text(200, "[").sent(Manner::Endless), "longer than"),
        ("empty", Reply::text(200, ""), "ends too early"),
    ];
    for kind in BOTH {
        let scene = Scene::of(kind);
        for (name, reply, word) in &broken {
            fails(&scene, reply.clone());
            // Nothing is read of the answer to a removal.
            for call in Call::ALL.into_iter().filter(|call| *call != Call::Remove) {
                let error = error_of(call, &scene, call.make(&scene.client).await);
                assert_eq!(error.kind, EdgeKind::Transient, "{name}: {call:?}: {}", error.chain());
                let said = error.chain();
                assert!(*name == "broken off in the middle" || said.contains(word), "{name}: {call:?}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_forge_that_does_not_answer_is_given_up_in_time() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        let config = scene.server.config(scene.folder.path());
        let hasty = waiting(&config, Duration::from_millis(300));
        fails(&scene, Reply::text(200, "").sent(Manner::Silent));
        for call in [Call::Statuses, Call::Post] {
            let begin = Instant::now();
            let error = error_of(call, &scene, call.make(&hasty).await);
            assert_eq!(error.kind, EdgeKind::Transient, "{}", error.chain());
            assert!(error.chain().contains("no complete answer within 300ms"), "{}", error.chain());
            assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        }
    }
}

#[tokio::test]
async fn a_forge_that_is_not_there_is_told_so() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        // A port that was just free.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut config = scene.server.config(scene.folder.path());
        config.api = format!("http://127.0.0.1:{port}/api/v1");
        let client = patient(&config);
        for call in [Call::Pulls, Call::Comment] {
            let error = error_of(call, &scene, call.make(&client).await);
            assert_eq!(error.kind, EdgeKind::Transient);
            assert!(
                error.chain().contains("refused") && error.hint.as_deref().is_some_and(|hint| hint.contains("`url:`")),
                "{}",
                error.chain()
            );
        }
    }
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_only_there() {
    let repository = TestRepo::with(&[("lockstep.yaml", "name: demo\n")]);
    let (server, ca) = GitServer::over_tls(&repository.path(), "unused");
    let scene = Scene::of(ForgeKind::Gitea);
    let mut config = scene.server.config(scene.folder.path());
    let (origin, _) = server.url.rsplit_once('/').unwrap();
    config.api = format!("{origin}/api/v1");
    let file = scene.folder.path().join("ca.pem");
    std::fs::write(&file, ca).unwrap();
    let untrusted = Call::Post.make(&patient(&config)).await.unwrap_err();
    assert_eq!(untrusted.kind, EdgeKind::Refused, "{}", untrusted.chain());
    assert!(untrusted.hint.as_deref().is_some_and(|hint| hint.contains("`ca`")), "{untrusted:?}");
    assert!(server.requests().is_empty(), "the credential was shown to a server that nobody trusts");
    config.ca = Some(file.clone());
    let answered = Call::Post.make(&patient(&config)).await.unwrap_err();
    // It wants a token of its own.
    assert_eq!(answered.kind, EdgeKind::Denied, "{}", answered.chain());
    std::fs::write(&file, "canary").unwrap();
    let clock = std::sync::Arc::new(lockstep::runtime::clock::SystemClock::start());
    let none = lockstep::client::forge::ForgeClient::with(&config, Duration::from_secs(1), clock).unwrap_err();
    assert!(none.chain().contains("ca.pem") && !none.chain().contains("canary"), "{}", none.chain());
}
