//! One case of the fuzz target `webhooks`: bytes become a delivery, the real router answers it, and an oracle that knows nothing of
//! the program's own code says whether it had to be accepted. `tests/it/webhooks/corpus.rs` replays the corpus without a fuzzer.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use lockstep::config::{Credential, Webhooks};
use lockstep::runtime::clock::SystemClock;
use lockstep::runtime::wakes::Deliveries;
use lockstep::server::webhooks::Doors;
use lockstep::server::{Limits, router};
use lockstep::telemetry::Telemetry;

/// HMAC-SHA256 in lower-case digits.
type Sign = dyn Fn(&[u8], &[u8]) -> String;

const SECRETS: [&str; 2] = ["of before the rotation", "of after it"];
/// The longest body that is taken.
const LARGEST: usize = 600;

const METHODS: [&str; 7] = ["GET", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE", "post"];
const PATHS: [&str; 4] = ["/webhooks/github", "/webhooks/gitea", "/webhooks/gitea/", "/webhooks"];
const HUB: &str = "x-hub-signature-256";
const NAMES: [&str; 14] = [
    HUB,
    "x-gitea-signature",
    "x-forgejo-signature",
    "x-gogs-signature",
    "x-hub-signature",
    "x-github-event",
    "x-gitea-event",
    "x-forgejo-event",
    "x-gogs-event",
    "content-length",
    "transfer-encoding",
    "content-type",
    "expect",
    "x-something-else",
];
const WORDS: [&str; 10] =
    ["push", "create", "delete", "pull_request", "pull_request_review", "ping", "a b", "", "chunked", "PUSH"];

/// Takes bytes apart from the front; what is missing is zero.
struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn some(&mut self, length: usize) -> &'a [u8] {
        let (some, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        some
    }
}

/// How a header's value is made once the body is known.
enum Value<'a> {
    /// The signature with this secret, after a prefix or without one.
    Signature {
        secret: &'static str,
        prefix: &'static str,
    },
    /// The same in capitals.
    Capitals {
        prefix: &'static str,
    },
    /// The same with another byte at this place.
    Spoiled {
        prefix: &'static str,
        at: usize,
        byte: u8,
    },
    Word(&'static str),
    Bytes(&'a [u8]),
    Length(usize),
}

impl Value<'_> {
    fn written(&self, body: &[u8], sign: &Sign) -> Vec<u8> {
        match self {
            Self::Signature { secret, prefix } => format!("{prefix}{}", sign(secret.as_bytes(), body)).into_bytes(),
            Self::Capitals { prefix } => format!("{prefix}{}", sign(SECRETS[0].as_bytes(), body).to_uppercase()).into_bytes(),
            Self::Spoiled { prefix, at, byte } => {
                let mut bytes = format!("{prefix}{}", sign(SECRETS[0].as_bytes(), body)).into_bytes();
                let length = bytes.len();
                bytes[at % length] = *byte;
                bytes
            }
            Self::Word(word) => word.as_bytes().to_vec(),
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Length(off) => (body.len() + off).to_string().into_bytes(),
        }
    }
}

struct Case {
    method: &'static str,
    path: &'static str,
    headers: HeaderMap,
    chunks: Vec<Vec<u8>>,
}

impl Case {
    fn of(bytes: &[u8], sign: &Sign) -> Self {
        let mut bits = Bits(bytes);
        let method = match bits.byte() {
            0..=199 => "POST",
            other => METHODS[other % METHODS.len()],
        };
        let path = match bits.byte() {
            first @ 0..=199 => PATHS[first % 2],
            other => PATHS[other % PATHS.len()],
        };
        let says_length = bits.byte() < 200;
        let mut written = Vec::new();
        for _ in 0..bits.byte() % 8 {
            let name = NAMES[bits.byte() % NAMES.len()];
            let form = bits.byte();
            // Mostly the prefix that the header wants.
            let prefix = if (name == HUB) == (form < 224) { "sha256=" } else { "" };
            let value = match form % 8 {
                0 => Value::Signature { secret: SECRETS[0], prefix },
                1 => Value::Signature { secret: SECRETS[1], prefix },
                2 => Value::Signature { secret: "of somebody else", prefix },
                3 => Value::Spoiled { prefix, at: bits.byte(), byte: u8::try_from(bits.byte()).unwrap_or_default() },
                4 => {
                    let length = bits.byte() % 100;
                    Value::Bytes(bits.some(length))
                }
                5 => Value::Capitals { prefix },
                6 => Value::Word(WORDS[bits.byte() % WORDS.len()]),
                _ => Value::Length(bits.byte() % 3),
            };
            written.push((name, value));
        }
        let mut chunks = Vec::new();
        while !bits.0.is_empty() {
            let length = bits.byte() % 200;
            chunks.push(bits.some(length).to_vec());
        }
        let body = chunks.concat();
        let mut headers = HeaderMap::new();
        if says_length {
            headers.append("content-length", HeaderValue::from(body.len()));
        }
        for (name, value) in written {
            // What can't be a header's value never comes so far.
            if let Ok(value) = HeaderValue::from_bytes(&value.written(&body, sign)) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        Self { method, path, headers, chunks }
    }

    /// All values of a header.
    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    /// Whether it has to be accepted: by what the forges' documents say, not by what the program does.
    fn is_genuine(&self, sign: &Sign) -> bool {
        let body = self.chunks.concat();
        let (signatures, events): (&[&str], &[&str]) = match self.path {
            "/webhooks/github" => (&[HUB], &["x-github-event"]),
            "/webhooks/gitea" => (
                &["x-gitea-signature", "x-forgejo-signature", "x-gogs-signature", HUB],
                &["x-gitea-event", "x-forgejo-event", "x-gogs-event", "x-github-event"],
            ),
            _ => return false,
        };
        let signed_with = |secret: &str| {
            let right = sign(secret.as_bytes(), &body);
            signatures.iter().all(|name| {
                let prefix = if *name == HUB { "sha256=" } else { "" };
                self.all(name).iter().all(|value| {
                    value.starts_with(prefix.as_bytes()) && value[prefix.len()..].eq_ignore_ascii_case(right.as_bytes())
                })
            })
        };
        let counts: Vec<usize> = signatures.iter().map(|name| self.all(name).len()).collect();
        let length: Option<usize> = match self.all("content-length")[..] {
            [one] if one.iter().all(u8::is_ascii_digit) => std::str::from_utf8(one).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        let event = events.iter().map(|name| self.all(name)).find(|values| !values.is_empty());
        self.method == "POST"
            && self.all("transfer-encoding").is_empty()
            && length == Some(body.len())
            && body.len() <= LARGEST
            && counts.iter().all(|count| *count <= 1)
            && counts.contains(&1)
            && SECRETS.iter().any(|secret| signed_with(secret))
            && event.is_some_and(|values| matches!(values[..], [one] if is_word(one)))
    }
}

fn is_word(event: &[u8]) -> bool {
    !event.is_empty() && event.len() <= 64 && event.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

/// The real router, on secrets in files as it has them.
fn served() -> &'static (Router, Deliveries) {
    static SERVED: OnceLock<(Router, Deliveries)> = OnceLock::new();
    SERVED.get_or_init(|| {
        let home = tempfile::tempdir().unwrap().keep();
        let secrets = SECRETS.map(|secret| {
            let path = home.join(secret);
            std::fs::write(&path, secret).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            Credential::File(path)
        });
        let webhooks = Webhooks { github: secrets.to_vec(), gitea: secrets.to_vec() };
        let limits = Limits { body_bytes: LARGEST as u64, ..Limits::default() };
        let (deliveries, telemetry) = (Deliveries::default(), Arc::new(Telemetry::new()));
        let clock = Arc::new(SystemClock::start()) as Arc<_>;
        let doors = Doors::open(webhooks, &limits, &deliveries, &telemetry, &clock).unwrap();
        (router([doors.routes()], &limits), deliveries)
    })
}

/// Sends what these bytes mean, and panics unless it is answered as it must be. True when it was accepted.
pub(crate) fn judge(bytes: &[u8], sign: &Sign) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (router, deliveries) = served();
        let case = Case::of(bytes, sign);
        let (mut sender, body) = http_body_util::channel::Channel::<Bytes>::new(1 + case.chunks.len());
        for chunk in &case.chunks {
            sender.send_data(Bytes::from(chunk.clone())).await.unwrap();
        }
        drop(sender);
        let mut request = Request::builder().method(case.method).uri(case.path).body(body).unwrap();
        *request.headers_mut() = case.headers.clone();
        let answer = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
        let status = answer.status().as_u16();
        let headers = format!("{:?}", answer.headers());
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status == 202, case.is_genuine(sign), "{} {} {:?} {status}", case.method, case.path, case.headers);
        assert!(matches!(status, 202 | 400 | 401 | 404 | 405 | 408 | 411 | 413), "{status}");
        if case.method != "HEAD" {
            let told: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(told["code"].is_string(), status != 202, "{told}");
        }
        let rang = deliveries.take_branch();
        assert!(status == 202 || !rang, "a refused delivery rang");
        let said = format!("{headers}{}", String::from_utf8_lossy(&text));
        for name in &NAMES[..5] {
            for value in case.all(name).into_iter().filter(|value| value.len() >= 32) {
                assert!(!said.contains(&*String::from_utf8_lossy(value)), "{said} repeats what was presented");
            }
        }
        status == 202
    })
}
