//! Requests to one forge: a deadline for each, bounded answers, no redirects, and a credential that goes into one header.
//!
//! octocrab makes the requests and carries them, over a client of ours; it reads no answer, since its own reading is unbounded
//! and knows GitHub's answers only. Nothing is tried again here: who asked knows what that is worth.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use http_body_util::BodyExt as _;
use octocrab::service::middleware::reqwest_connector::ReqwestConnector;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use reqwest::{Certificate, Client, Method, Url};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::config::{Forge, ForgeKind};
use crate::domain::time::written;
use crate::port::{Clock, EdgeError, EdgeKind};

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of the longest answer to an ordinary request.
const LONGEST_ANSWER: usize = 1 << 20;

const NO_CONNECTION: &str = "is the forge running there, and is `url:` of `forge:` right?";
const NO_ANSWER: &str = "is it the forge that listens at `url:` of `forge:`? If it is, it is overloaded";
const NO_FORGE: &str =
    "is it the forge's API that answers at `url:` of `forge:`, and not another server or a proxy's own page?";
const UNTRUSTED: &str = "the forge's certificate is not trusted: name the file of its CA in `ca` of `forge:`";

/// One forge over HTTP.
pub(super) struct Http {
    pub(super) kind: ForgeKind,
    pub(super) clock: Arc<dyn Clock>,
    /// Where the API answers, without `/` at its end.
    api: String,
    /// Scheme, host and port, for messages.
    pub(super) origin: String,
    /// `OWNER/NAME`.
    pub(super) repository: String,
    deadline: Duration,
    client: Client,
    /// Made at the first request, since it needs a runtime around it.
    octocrab: OnceLock<Octocrab>,
}

/// A credential on its way.
pub(super) struct Shown {
    /// For the `Authorization` header; no `Debug` shows it.
    pub(super) header: HeaderValue,
    /// What must not be in any text, should a forge repeat it.
    pub(super) secret: SecretString,
}

/// One request.
pub(super) struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    longest: usize,
    /// For errors: "read the commit statuses of 1a2b3c4".
    pub(super) doing: String,
}

impl Ask {
    /// Reads what is at a path below the API's address.
    pub(super) fn get(path: impl Into<String>, doing: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, longest: LONGEST_ANSWER, doing: doing.into() }
    }

    /// Adds something there.
    pub(super) fn post(path: impl Into<String>, body: Value, doing: impl Into<String>) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path, doing) }
    }

    /// Changes what is there.
    pub(super) fn patch(path: impl Into<String>, body: Value, doing: impl Into<String>) -> Self {
        Self { method: Method::PATCH, body: Some(body), ..Self::get(path, doing) }
    }

    /// Takes it away.
    pub(super) fn delete(path: impl Into<String>, doing: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path, doing) }
    }

    /// With another limit on the bytes of the answer.
    pub(super) fn at_most(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }
}

/// What the forge answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Whether it was done.
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }
}

impl Http {
    pub(super) fn new(config: &Forge, deadline: Duration, clock: Arc<dyn Clock>) -> Result<Self, EdgeError> {
        let kind = config.kind;
        let failed = |doing: &str| EdgeError::new(kind.word(), EdgeKind::Refused, format!("{doing} for {}", config.api));
        let url = Url::parse(&config.api).map_err(|cause| failed("read the address").because(cause))?;
        // Another part of the program may have installed it already; both mean the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT.min(deadline))
            .referer(false)
            .retry(reqwest::retry::never())
            .no_gzip();
        if url.scheme() == "https" {
            builder = builder.https_only(true);
        } else {
            // Plain http is for loopback only (the configuration says so): no proxy, no certificates.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        if let Some(ca) = &config.ca {
            let reading = || failed(&format!("read the CA file {}", ca.display()));
            let pem = std::fs::read(ca).map_err(|cause| reading().because(cause))?;
            let all = Certificate::from_pem_bundle(&pem).map_err(|cause| reading().because(cause))?;
            if all.is_empty() {
                return Err(reading().because("it holds no certificate in PEM form"));
            }
            builder = builder.tls_certs_only(all);
        }
        let client = builder.build().map_err(|cause| {
            let hint = "without CA certificates on this machine, name a file of them in `ca` of `forge:`";
            failed("prepare connections").because(cause).hint(hint)
        })?;
        Ok(Self {
            kind,
            clock,
            api: config.api.clone(),
            origin: url.origin().ascii_serialization(),
            repository: config.repository.to_string(),
            deadline,
            client,
            octocrab: OnceLock::new(),
        })
    }

    /// An error of this forge.
    pub(super) fn error(&self, kind: EdgeKind, doing: &str) -> EdgeError {
        EdgeError::new(self.kind.word(), kind, format!("{doing} in {} at {}", self.repository, self.origin))
    }

    /// What an answer says.
    pub(super) fn understand<T: DeserializeOwned>(&self, answer: &Answer, doing: &str) -> Result<T, EdgeError> {
        serde_json::from_slice(&answer.body).map_err(|cause| {
            // The parser's own words may quote what it read.
            let what = if cause.is_eof() { "it ends too early" } else { "it is not what the API says" };
            let because =
                format!("the answer ({}) can't be read: {what}, at byte {}", answer.status, offset(&answer.body, &cause));
            self.error(EdgeKind::Transient, doing).because(because).hint(NO_FORGE)
        })
    }

    /// Sends a request and collects the answer, whatever its status.
    pub(super) async fn send(&self, ask: &Ask, shown: Option<&Shown>) -> Result<Answer, EdgeError> {
        timeout(self.deadline, self.exchange(ask, shown)).await.unwrap_or_else(|_| {
            let within = written(self.deadline);
            Err(self
                .error(EdgeKind::Transient, &ask.doing)
                .because(format!("no complete answer within {within}"))
                .hint(NO_ANSWER))
        })
    }

    async fn exchange(&self, ask: &Ask, shown: Option<&Shown>) -> Result<Answer, EdgeError> {
        let broken = |cause: &(dyn StdError + 'static)| self.broken(cause, &ask.doing);
        // The whole address, so that nobody joins it with another.
        let request = http::Request::builder().method(ask.method.clone()).uri(format!("{}{}", self.api, ask.path));
        let octocrab = self.octocrab.get_or_init(|| octocrab(self.client.clone()));
        let mut request = octocrab.build_request(request, ask.body.as_ref()).map_err(|cause| broken(&cause))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lockstep/", env!("CARGO_PKG_VERSION"))));
        match self.kind {
            ForgeKind::GitHub => headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            ForgeKind::Gitea => {
                headers.remove("x-github-api-version");
                headers.insert(ACCEPT, HeaderValue::from_static("application/json"))
            }
        };
        if let Some(shown) = shown {
            headers.insert(AUTHORIZATION, shown.header.clone());
        }
        let response = octocrab.send(request).await.map_err(|cause| broken(&cause))?;
        let (parts, mut body) = response.into_parts();
        let mut answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body: Vec::new() };
        let too_long = || {
            let because = format!("the answer is longer than {} bytes", ask.longest);
            self.error(EdgeKind::Transient, &ask.doing).because(because).hint(NO_FORGE)
        };
        let declared = answer.header("content-length").and_then(|length| length.parse::<u64>().ok());
        if declared.is_some_and(|length| length > ask.longest as u64) && answer.is_good() {
            return Err(too_long());
        }
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|cause| broken(&cause))?.into_data() else { continue };
            if answer.body.len() + piece.len() > ask.longest {
                if answer.is_good() {
                    return Err(too_long());
                }
                // What the status says counts, however much is said about it.
                break;
            }
            answer.body.extend_from_slice(&piece);
        }
        Ok(answer)
    }

    /// A request that got no answer, or half of one.
    fn broken(&self, cause: &(dyn StdError + 'static), doing: &str) -> EdgeError {
        let error = self.error(EdgeKind::Transient, doing).because(deepest(cause));
        let causes = || std::iter::successors(Some(cause), |cause: &&(dyn StdError + 'static)| (*cause).source());
        if causes().any(|cause| matches!(certificate_problem(cause), Some(rustls::Error::InvalidCertificate(_)))) {
            return EdgeError { kind: EdgeKind::Refused, ..error.hint(UNTRUSTED) };
        }
        if causes().filter_map(|cause| cause.downcast_ref::<reqwest::Error>()).any(reqwest::Error::is_connect) {
            return error.hint(NO_CONNECTION);
        }
        error
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http({})", self.api)
    }
}

/// octocrab over this client and nothing else: no authentication of its own, no retries, no cache, no redirects.
fn octocrab(client: Client) -> Octocrab {
    let built = OctocrabBuilder::new_empty().with_service(ReqwestConnector::new(client)).with_auth(AuthState::None).build();
    match built {
        Ok(octocrab) => octocrab,
        Err(never) => match never {},
    }
}

/// Where the parser stopped.
fn offset(body: &[u8], error: &serde_json::Error) -> usize {
    let before: usize = body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    before + error.column()
}

/// What is below all that the HTTP client wraps around it, such as "connection refused".
fn deepest(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// rustls' error in an `io::Error`, or in one inside another: `source()` passes those over.
fn certificate_problem<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut error = error;
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    error.downcast_ref()
}

/// A text as one segment of a path, or one part of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut into = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
    into
}
