//! Credentials: a token that is rotated, an App whose tokens are renewed, and nothing that shows one.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockstep::client::forge::ForgeClient;
use lockstep::config::{ForgeCredential, ForgeKind};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, EdgeKind};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::{BOTH, Call, Scene};
use crate::support::forge_server::{ForgeServer, Reply, Request, write_private};

/// 2027-01-15T08:00:00Z.
const START: i64 = 1_800_000_000_000;

#[tokio::test]
async fn a_rotated_token_is_shown_at_the_next_call() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        Call::Statuses.make(&scene.client).await.unwrap();
        let scheme = if kind == ForgeKind::GitHub { "Bearer" } else { "token" };
        scene.server.let_in(&[format!("{scheme} canary-second")]);
        let error = Call::Statuses.make(&scene.client).await.unwrap_err();
        assert_eq!(error.kind, EdgeKind::Denied);
        write_private(&scene.folder.path().join("token"), "canary-second\n");
        Call::Statuses.make(&scene.client).await.unwrap();
        let shown: Vec<_> = scene.server.requests().iter().map(|request| request.authorization().unwrap().to_owned()).collect();
        assert_eq!(shown[2], format!("{scheme} canary-second"));
        assert!(!format!("{:?} {}", scene.client, error.chain()).contains("canary"));
    }
}

#[tokio::test]
async fn a_token_that_can_not_be_read_is_a_denial_that_says_where_it_was_looked_for() {
    for kind in BOTH {
        let scene = Scene::of(kind);
        std::fs::remove_file(scene.folder.path().join("token")).unwrap();
        let error = Call::Post.make(&scene.client).await.unwrap_err();
        assert_eq!((error.kind, scene.server.requests().len()), (EdgeKind::Denied, 0));
        assert!(error.chain().contains("/token: No such file"), "{}", error.chain());
    }
}

/// A clock that a test sets.
struct Set(AtomicI64);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + self.0.load(Ordering::SeqCst))
    }
}

/// A GitHub with an App installed, which counts the tokens that it gives out.
struct Installed {
    server: ForgeServer,
    client: ForgeClient,
    clock: Arc<Set>,
    issued: Arc<AtomicUsize>,
    /// How a request for a token is answered instead.
    trouble: Arc<Mutex<Option<Reply>>>,
    _folder: tempfile::TempDir,
}

impl Installed {
    /// `lasts`: minutes that a token is good for.
    fn with_key(format: &str, lasts: i64) -> Self {
        let server = ForgeServer::of(ForgeKind::GitHub);
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("app.pem");
        generate(&key, format);
        let public = public_key(&key);
        let mut config = server.config(folder.path());
        config.credential = ForgeCredential::App { id: 123, installation: 456, key };
        let clock = Arc::new(Set(AtomicI64::new(0)));
        let client = ForgeClient::with(&config, Duration::from_secs(20), Arc::clone(&clock) as Arc<_>).unwrap();
        let (issued, trouble) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
        let (count, wrong, time) = (Arc::clone(&issued), Arc::clone(&trouble), Arc::clone(&clock));
        server.let_in(&[1, 2, 3].map(|number| format!("Bearer ghs_canary{number}")));
        server.answer(move |request| match request.path.as_str() {
            "/app/installations/456/access_tokens" => {
                check_signed(request, &public, time.now());
                assert_eq!(request.body, Some(json!({ "repositories": ["config"] })));
                if let Some(reply) = wrong.lock().unwrap().clone() {
                    return Some(reply);
                }
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let ends = jiff::Timestamp::from_millisecond(time.now().as_millis() + lasts * 60_000).unwrap();
                let permissions = json!({ "statuses": "write", "pull_requests": "read", "metadata": "read" });
                let body = json!({ "token": format!("ghs_canary{number}"), "expires_at": ends.to_string(), "permissions": permissions });
                Some(Reply::json(201, &body))
            }
            "/app" => {
                check_signed(request, &public, time.now());
                Some(Reply::json(200, &json!({ "id": 123, "slug": "lockstep-bot" })))
            }
            _ => None,
        });
        Self { server, client, clock, issued, trouble, _folder: folder }
    }

    fn after(&self, minutes: i64) {
        self.clock.0.store(minutes * 60_000, Ordering::SeqCst);
    }

    fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }
}

/// Makes an RSA key as GitHub gives it, or in the newer form.
fn generate(path: &Path, format: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "rsa", "-b", "2048", "-m", format, "-N", "", "-f"]).arg(path);
    assert!(command.status().expect("these tests need ssh-keygen").success());
}

fn public_key(path: &Path) -> Vec<u8> {
    let pem = std::fs::read(path).unwrap();
    let pair = if let Ok(der) = PrivatePkcs1KeyDer::from_pem_slice(&pem) {
        RsaKeyPair::from_der(der.secret_pkcs1_der())
    } else {
        RsaKeyPair::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap().secret_pkcs8_der())
    };
    pair.unwrap().public().as_ref().to_vec()
}

/// The request says that it is the App, signed by its key, for a few minutes around now.
fn check_signed(request: &Request, public: &[u8], now: Timestamp) {
    let token = request.authorization().unwrap().strip_prefix("Bearer ").unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(message.as_bytes(), &signature).unwrap();
    let parts: Vec<Value> =
        message.split('.').map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()).collect();
    let seconds = now.as_millis() / 1_000;
    assert_eq!(
        parts,
        [json!({ "alg": "RS256", "typ": "JWT" }), json!({ "iat": seconds - 60, "exp": seconds + 540, "iss": "123" })]
    );
}

#[tokio::test]
async fn an_app_signs_with_its_key_in_either_form_and_writes_as_itself() {
    for format in ["PEM", "PKCS8"] {
        let app = Installed::with_key(format, 60);
        for call in Call::ALL {
            call.make(&app.client).await.unwrap_or_else(|error| panic!("{call:?}: {}", error.chain()));
        }
        assert_eq!(app.issued(), 1);
        assert_eq!(app.client.identity().await.unwrap().as_deref(), Some("lockstep-bot[bot]"));
        let rights = app.client.place().await.unwrap().rights;
        assert_eq!((rights.statuses, rights.comments), (Some(true), Some(false)));
        assert!(!format!("{:?}", app.client).contains("canary"));
    }
}

#[tokio::test]
async fn an_apps_token_is_renewed_five_minutes_before_its_end() {
    let app = Installed::with_key("PEM", 60);
    for (minutes, expected) in [(0, 1), (54, 1), (56, 2), (57, 2), (120, 3)] {
        app.after(minutes);
        Call::Statuses.make(&app.client).await.unwrap();
        assert_eq!(app.issued(), expected, "after {minutes} minutes");
    }
}

#[tokio::test]
async fn a_token_that_is_good_yet_serves_while_no_new_one_is_to_be_had() {
    let app = Installed::with_key("PEM", 60);
    Call::Statuses.make(&app.client).await.unwrap();
    *app.trouble.lock().unwrap() = Some(Reply::text(503, ""));
    app.after(58);
    Call::Statuses.make(&app.client).await.unwrap();
    app.after(61);
    assert_eq!(Call::Statuses.make(&app.client).await.unwrap_err().kind, EdgeKind::Transient);
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_not_in_a_loop() {
    let app = Installed::with_key("PEM", 60);
    Call::Post.make(&app.client).await.unwrap();
    // Somebody revoked the first one.
    app.server.let_in(&["Bearer ghs_canary2".to_owned()]);
    Call::Post.make(&app.client).await.unwrap();
    assert_eq!((app.issued(), app.server.requests().len()), (2, 5));
    app.server.let_in(&[]);
    let error = Call::Post.make(&app.client).await.unwrap_err();
    assert_eq!(error.kind, EdgeKind::Denied);
    assert_eq!((app.issued(), app.server.requests().len()), (3, 8), "two tries and one renewal");
    assert!(!format!("{} {error:?}", error.chain()).contains("canary"));
}

#[tokio::test]
async fn many_calls_at_once_ask_for_one_token() {
    let app = Installed::with_key("PEM", 60);
    let calls = (Call::Statuses, Call::Pulls, Call::Post);
    let (a, b, c) = tokio::join!(calls.0.make(&app.client), calls.1.make(&app.client), calls.2.make(&app.client));
    a.and(b).and(c).unwrap();
    assert_eq!(app.issued(), 1);
}

#[tokio::test]
async fn an_app_that_github_does_not_know_is_told_what_to_look_at() {
    let app = Installed::with_key("PEM", 60);
    for (status, kind) in [(401, EdgeKind::Denied), (404, EdgeKind::NotFound), (422, EdgeKind::Refused)] {
        *app.trouble.lock().unwrap() =
            Some(Reply::json(status, &json!({ "message": "A JSON web token could not be decoded" })));
        let error = Call::Post.make(&app.client).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("`app.id`")), "{error:?}");
    }
    *app.trouble.lock().unwrap() = Some(Reply::json(201, &json!({ "token": "ghs_canary9", "expires_at": "tomorrow" })));
    let error = Call::Post.make(&app.client).await.unwrap_err();
    assert!(error.kind == EdgeKind::Transient && error.chain().contains("when the token ends"), "{}", error.chain());
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn a_key_that_is_none_is_named_and_never_shown() {
    let server = ForgeServer::of(ForgeKind::GitHub);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("app.pem");
    let mut config = server.config(folder.path());
    config.credential = ForgeCredential::App { id: 123, installation: 456, key: key.clone() };
    let client = super::patient(&config);
    let wrong = "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n";
    let long = "canary\n".repeat(4_000);
    for (text, mode, words) in [
        ("canary", 0o600, "is no RSA key in PEM form"),
        (wrong, 0o600, "is no RSA key"),
        (long.as_str(), 0o600, "is longer than 16 KiB"),
        ("canary", 0o644, "others can read or write it"),
    ] {
        write_private(&key, text);
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let error = Call::Post.make(&client).await.unwrap_err();
        assert_eq!(error.kind, EdgeKind::Denied);
        assert!(error.chain().contains(words) && error.chain().contains("app.pem"), "{}", error.chain());
        assert!(!format!("{} {error:?}", error.chain()).contains("canary"));
    }
    assert!(server.requests().is_empty());
}
