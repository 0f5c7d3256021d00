//! `forge check` against a forge that holds it to its API: what one screen says, and how it ends.

use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use lockstep::config::ForgeKind;
use serde_json::{Value, json};

use super::stage::{Said, Stage};
use crate::support::forge_server::{ForgeServer, Manner, Reply, Request, TOKEN, write_private};

/// A forge, and a configuration that names it.
struct Scene {
    server: ForgeServer,
    stage: Stage,
}

impl Scene {
    fn of(kind: ForgeKind) -> Self {
        let server = ForgeServer::of(kind);
        let stage = Stage::new();
        write_private(&stage.home.path().join("forge-token"), TOKEN);
        let place = format!("{{url: '{}', repository: boss/config, token: {{file: forge-token}}}}", server.origin);
        stage.configure(&format!("  test: {{directory: {{path: ./test}}}}\nforge: {{{}: {place}}}\n", kind.word()));
        Self { server, stage }
    }

    fn check(&self, arguments: &[&str]) -> Said {
        let said = self.stage.run(&[&["forge", "check"], arguments].concat());
        assert!(!format!("{said:?}").contains("canary"), "the token is shown: {said:?}");
        said
    }

    fn steady(&self, said: &Said) -> String {
        said.out.replace(&self.server.origin, "http://FORGE").replace(self.server.origin.trim_start_matches("http://"), "FORGE")
    }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn shows(scene: &Scene, arguments: &[&str], code: i32, expected: Expect) {
    let said = scene.check(arguments).exits(code);
    expected.assert_eq(&scene.steady(&said));
}

#[test]
fn one_screen_says_what_works_at_gitea() {
    let scene = Scene::of(ForgeKind::Gitea);
    shows(
        &scene,
        &["--public-url", "http://127.0.0.1:13099/"],
        0,
        expect![[r"
        gitea at FORGE, boss/config
          ✓ address          Gitea development answers at http://FORGE/api/v1
          ✓ credential       a token of boss
          ✓ repository       boss/config, its default branch is master
          ✓ branch           main is at 8688c0e
          ✓ read statuses    8688c0e has 3 of lockstep's
          ? write statuses   not known: the forge tells only who writes one
          hint: --write writes one and reads it back
          ✓ pull requests    0 open against main
          ? write comments   not known: the forge tells only who writes one
          ✓ webhook          http://127.0.0.1:13099/webhooks/gitea, for push and pull requests
        all that was tried works, 2 not known
    "]],
    );
    assert!(scene.server.requests().iter().all(|request| request.method == "GET"), "nothing is written unless asked for");
}

/// A GitHub as far as `forge check` looks; hooks and scopes as given.
fn github(scopes: Option<&'static str>, hooks: Reply) -> impl Fn(&Request) -> Option<Reply> + Send + Sync {
    move |request| match request.path.as_str() {
        "/repos/boss/config" => {
            let body = json!({ "default_branch": "main", "permissions": { "admin": false, "push": true, "pull": true } });
            let reply = Reply::json(200, &body);
            Some(if let Some(scopes) = scopes { reply.with("x-oauth-scopes", scopes) } else { reply })
        }
        "/repos/boss/config/hooks" => Some(hooks.clone()),
        "/repos/boss/config/pulls" => Some(Reply::text(200, "[]")),
        path if path.ends_with("/status") => Some(Reply::json(200, &json!({ "statuses": [] }))),
        _ => None,
    }
}

fn hook(url: &str, active: bool, events: &[&str], content_type: &str, last: Option<u16>) -> Value {
    let last = json!({ "code": last, "status": last.map_or("unused", |_| "active"), "message": last.map(|_| "OK") });
    json!({ "active": active, "events": events, "config": { "url": url, "content_type": content_type }, "last_response": last })
}

#[test]
fn one_screen_says_what_works_at_github() {
    let scene = Scene::of(ForgeKind::GitHub);
    let url = "https://lockstep.example/webhooks/github";
    let hooks = json!([
        hook("https://ci.example/", true, &["*"], "form", None),
        hook(url, true, &["push", "pull_request"], "json", Some(202))
    ]);
    scene.server.answer(github(Some("repo:status, read:org"), Reply::json(200, &hooks)));
    shows(
        &scene,
        &[],
        1,
        expect![[r#"
        github at FORGE, boss/config
          ✓ address          GitHub answers at http://FORGE/api/v3
          ✓ credential       a token of octocat
          ✓ repository       boss/config, its default branch is main
          ✓ branch           main is at 7fd1a60
          ✓ read statuses    7fd1a60 has none of lockstep's
          ✓ write statuses   the credential has the right
          ✓ pull requests    0 open against main
          ✗ write comments   does not work: the credential lacks the right
          hint: A fine-grained token or an App needs "Commit statuses" and "Pull requests", read and write; a classic token repo:status, and repo for pull requests
          ✓ webhook          https://lockstep.example/webhooks/github, the last delivery was answered 202 OK
        1 thing does not work
    "#]],
    );
}

#[test]
fn a_program_reads_the_same() {
    let scene = Scene::of(ForgeKind::Gitea);
    let told = scene.check(&["--output", "json"]).exits(0).json();
    assert_eq!((&told["version"], told["forge"].as_str().unwrap().starts_with("gitea at 127.0.0.1:")), (&json!(1), true));
    let checks: Vec<String> = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{}: {}", line["check"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        checks,
        [
            "address: works",
            "credential: works",
            "repository: works",
            "branch: works",
            "read statuses: works",
            "write statuses: unknown",
            "pull requests: works",
            "write comments: unknown",
            "webhook: works",
        ]
    );
    assert!(told["checks"].as_array().unwrap().iter().all(|line| line["text"].is_string()));
}

#[test]
fn what_a_token_may_write_is_known_where_its_scopes_are_told() {
    for (scopes, statuses, comments) in [
        (Some("repo"), "works", "works"),
        (Some("public_repo, repo:status"), "works", "works"),
        (Some("repo:status"), "works", "fails"),
        (Some("read:org"), "fails", "fails"),
        (Some(""), "fails", "fails"),
        (None, "unknown", "unknown"),
    ] {
        let scene = Scene::of(ForgeKind::GitHub);
        scene.server.answer(github(scopes, Reply::text(200, "[]")));
        let told = scene.check(&["--output", "json"]).json();
        let of = |check: &str| {
            let lines = told["checks"].as_array().unwrap();
            lines.iter().find(|line| line["check"] == check).unwrap()["outcome"].as_str().unwrap().to_owned()
        };
        assert_eq!((of("write statuses").as_str(), of("write comments").as_str()), (statuses, comments), "{scopes:?}");
    }
}

#[test]
fn what_is_wrong_with_a_webhook_is_said() {
    let url = "https://lockstep.example/webhooks/github";
    let both = ["push", "pull_request"];
    let list = |hook: Value| Reply::json(200, &json!([hook]));
    let denied = |status| Reply::json(status, &json!({ "message": "Must have admin rights" }));
    for (hooks, outcome, words) in [
        (list(hook(url, true, &both, "json", Some(202))), "works", "answered 202 OK"),
        (list(hook(url, true, &["*"], "json", None)), "works", "for push and pull requests"),
        (list(hook(url, false, &both, "json", None)), "fails", "is switched off"),
        (list(hook(url, true, &["pull_request"], "json", None)), "fails", "is not told of push"),
        (list(hook(url, true, &["issues"], "json", None)), "fails", "is not told of push and pull_request"),
        (list(hook(url, true, &both, "form", None)), "fails", "delivers as form"),
        (list(hook(url, true, &both, "json", Some(401))), "fails", "answered 401 OK"),
        (
            list(hook("https://other.example/webhooks/github", true, &both, "json", None)),
            "unknown",
            "none delivers to https://lockstep.example/webhooks/github",
        ),
        (denied(403), "unknown", "may not list webhooks"),
        (denied(404), "unknown", "may not list webhooks"),
    ] {
        let scene = Scene::of(ForgeKind::GitHub);
        scene.server.answer(github(Some("repo"), hooks));
        let said = scene.check(&["--public-url", "https://lockstep.example", "--output", "json"]);
        let told = said.json();
        let line = told["checks"].as_array().unwrap().last().unwrap();
        assert_eq!((line["check"].as_str(), line["outcome"].as_str()), (Some("webhook"), Some(outcome)), "{line}");
        assert!(line["text"].as_str().unwrap().contains(words), "{line} lacks {words}");
        assert_eq!(said.code, i32::from(outcome == "fails"));
    }
}

#[test]
fn with_write_a_status_is_written_and_read_back() {
    for (kind, keeps) in [(ForgeKind::GitHub, true), (ForgeKind::Gitea, true), (ForgeKind::Gitea, false)] {
        let scene = Scene::of(kind);
        let there: Arc<Mutex<Option<Value>>> = Arc::default();
        scene.server.answer(move |request| match (request.method.as_str(), &request.body) {
            ("POST", Some(body)) => {
                let mut status = body.clone();
                status["id"] = json!(1);
                status["status"] = body["state"].clone();
                *there.lock().unwrap() = keeps.then(|| status.clone());
                Some(Reply::json(201, &status))
            }
            _ if request.path.ends_with("/status") => {
                let statuses: Vec<Value> = there.lock().unwrap().iter().cloned().collect();
                Some(Reply::json(200, &json!({ "statuses": statuses })))
            }
            _ if request.path.ends_with("/hooks") => Some(Reply::text(200, "[]")),
            _ => None,
        });
        let said = scene.check(&["--write"]).exits(i32::from(!keeps));
        let expected = if keeps {
            "✓ write statuses   lockstep/check is on"
        } else {
            "does not work: lockstep/check was taken, and is not on"
        };
        assert!(said.out.contains(expected), "{}", said.out);
        let written: Vec<Value> = scene.server.requests().into_iter().filter_map(|request| request.body).collect();
        assert_eq!(
            written,
            [json!({ "context": "lockstep/check", "state": "success", "description": "lockstep forge check" })]
        );
    }
}

#[test]
fn what_does_not_answer_is_told_from_what_refuses() {
    type Case = (&'static str, fn(&Request) -> Option<Reply>, i32, &'static str);
    let cases: [Case; 6] = [
        (
            "refused",
            |request| (request.path == "/user").then(|| Reply::json(401, &json!({ "message": "bad token" }))),
            1,
            "has it expired?",
        ),
        (
            "may not know who",
            |request| (request.path == "/user").then(|| Reply::json(403, &json!({ "message": "no" }))),
            0,
            "may not read whose it is",
        ),
        (
            "no such repository",
            |request| (request.path == "/repos/boss/config").then(|| Reply::json(404, &json!({ "message": "no" }))),
            1,
            "To one without the right",
        ),
        (
            "no such branch",
            |request| request.path.contains("/branches/").then(|| Reply::json(404, &json!({ "message": "no" }))),
            1,
            "read the branch main",
        ),
        (
            "another server",
            |request| (request.path == "/version").then(|| Reply::text(200, "<html>")),
            1,
            "does not say that it is Gitea or Forgejo",
        ),
        ("down", |request| (request.path == "/version").then(|| Reply::text(503, "")), 4, "answered 503"),
    ];
    for (name, answer, code, words) in cases {
        let scene = Scene::of(ForgeKind::Gitea);
        scene.server.answer(answer);
        let said = scene.check(&[]).exits(code);
        assert!(said.out.contains(words), "{name}: {}", said.out);
    }
    let scene = Scene::of(ForgeKind::GitHub);
    scene.server.answer(|_| Some(Reply::text(200, "").sent(Manner::Cut(9))));
    scene.check(&[]).exits(4);
}

#[test]
fn a_forgejo_and_an_enterprise_server_are_called_what_they_are() {
    let scene = Scene::of(ForgeKind::Gitea);
    scene
        .server
        .answer(|request| (request.path == "/version").then(|| Reply::json(200, &json!({ "version": "7.0.0+gitea-1.21.11" }))));
    assert!(scene.check(&[]).out.contains("Forgejo 7.0.0 answers at"));
    let scene = Scene::of(ForgeKind::GitHub);
    scene.server.answer(|request| {
        (request.path == "/rate_limit")
            .then(|| Reply::text(404, "").with("x-github-enterprise-version", "enterprise-server@3.19.0"))
    });
    assert!(scene.check(&[]).out.contains("GitHub Enterprise Server 3.19.0 answers at"));
}

#[test]
fn without_a_forge_there_is_nothing_to_check() {
    let said = Stage::new().run(&["forge", "check"]).exits(1);
    assert!(said.err.contains("has no `forge:`") && said.err.contains("docs/controller.md"), "{}", said.err);
    let stage = Stage::new();
    let forge = "forge: {gitea: {url: 'http://127.0.0.1:1', repository: o/r, token: {env: A}}}\n";
    stage.configure(&format!("  check: {{directory: {{path: ./test}}}}\n{forge}"));
    assert!(stage.run(&["forge", "check", "--write"]).exits(2).err.contains("the environment called check"));
}
