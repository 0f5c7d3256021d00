//! Git over https: two kinds of request, no redirects, and a token that goes into one header and nowhere else.

use std::error::Error as _;
use std::future::Future;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Runtime;

use super::super::fault::fault;
use super::{Endpoint, Program, Session};
use crate::port::{EdgeError, EdgeKind};

/// The longest wait for a connection: a host that is down should not use up the whole fetch.
const CONNECT: Duration = Duration::from_secs(10);
/// GitHub, Gitea and GitLab take any user name beside a token; this is the one that GitHub documents.
const USER: &str = "x-access-token";
/// The longest request: wants and haves, or the pack of a last good commit that the server lacks. libgit2 sends far less.
const LONGEST_REQUEST: usize = 16 << 20;

/// A server that speaks git's smart http.
pub(in super::super) struct Http {
    /// Without credentials and without `/` at its end.
    url: String,
    token: Option<SecretString>,
    client: Client,
    /// Of its own, so that a fetch's deadlines hold whatever the rest of the program does.
    runtime: Runtime,
}

impl Http {
    /// Prepares the requests of one fetch. Call it, and drop it, on a thread that may block.
    ///
    /// # Errors
    /// When the CA file can't be read, or TLS can't be set up.
    pub(in super::super) fn new(url: &str, token: Option<SecretString>, ca: Option<&Path>) -> Result<Self, EdgeError> {
        let refused = || fault(EdgeKind::Refused, format!("prepare https for {url}"));
        // Another part of the program may have installed it already; both mean the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = Client::builder()
            .user_agent(concat!("git/2 (lockstep ", env!("CARGO_PKG_VERSION"), ")"))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .referer(false)
            .no_gzip();
        if url.starts_with("https://") {
            builder = builder.https_only(true);
        } else {
            // Plain http is for loopback only (the configuration says so): no proxy, no certificates.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        if let Some(ca) = ca {
            builder = builder.tls_certs_only(certificates(ca)?);
        }
        let client = builder.build().map_err(|error| {
            refused().because(error).hint("without CA certificates on this machine, name a file of them in `ca`")
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| fault(EdgeKind::Transient, format!("prepare https for {url}")).because(error))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), token, client, runtime })
    }

    fn send(&self, session: &Session, program: Program, body: Option<Vec<u8>>) -> Result<Response, EdgeError> {
        let program = program.name();
        let (mut request, answer) = match body {
            None => (
                self.client.get(format!("{}/info/refs?service={program}", self.url)),
                format!("application/x-{program}-advertisement"),
            ),
            Some(body) => (
                self.client
                    .post(format!("{}/{program}", self.url))
                    .header(CONTENT_TYPE, format!("application/x-{program}-request"))
                    .body(body),
                format!("application/x-{program}-result"),
            ),
        };
        request = request.header(ACCEPT, &answer);
        if let Some(token) = &self.token {
            request = request.basic_auth(USER, Some(token.expose_secret()));
        }
        let response = self.wait(session, request.send())?;
        self.judge(session, response.status())?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind != answer {
            return Err(fault(EdgeKind::Refused, session.operation())
                .because(format!("{} did not answer as a git server does (content type {kind:?})", self.url))
                .hint("give the address that `git clone` takes; git's dumb http protocol is not supported"));
        }
        Ok(response)
    }

    /// What a status means to whoever runs this.
    fn judge(&self, session: &Session, status: StatusCode) -> Result<(), EdgeError> {
        if status == StatusCode::OK {
            return Ok(());
        }
        let (kind, hint) = match status.as_u16() {
            401 | 403 if self.token.is_some() => {
                (EdgeKind::Denied, "the server does not take the token: has it expired, and may it read this repository?")
            }
            401 | 403 => (EdgeKind::Denied, "the server wants a token: set `token` of the repository"),
            404 | 410 => (
                EdgeKind::NotFound,
                "is the address right, and may the token read it? Servers hide what it may not as if it were not there",
            ),
            408 | 429 | 500..=599 => (EdgeKind::Transient, "the server has trouble; lockstep tries again"),
            300..=399 => (EdgeKind::Refused, "redirects are not followed: give the final address"),
            _ => (EdgeKind::Refused, "give the address that `git clone` takes"),
        };
        let because = format!("{} answered {status}", self.url);
        Err(fault(kind, session.operation()).because(because).hint(hint))
    }

    /// Waits no longer than the fetch may take, or than nothing may come.
    fn wait<T>(&self, session: &Session, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, EdgeError> {
        let late = || session.deadline().passed(session.operation());
        let left = session.deadline().left().ok_or_else(late)?;
        let outcome = self.runtime.block_on(async { tokio::time::timeout(left, work).await });
        outcome.map_err(|_| late())?.map_err(|error| unreachable_server(session, error))
    }
}

/// A request that got no answer, or half of one.
fn unreachable_server(session: &Session, error: reqwest::Error) -> EdgeError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = certificate_problem(inner) {
            return fault(EdgeKind::Refused, session.operation())
                .because(error.without_url())
                .hint("the server's certificate is not trusted: name the file of its CA in `ca` of the repository");
        }
        cause = inner.source();
    }
    fault(EdgeKind::Transient, session.operation()).because(error.without_url())
}

/// rustls' error in an `io::Error`, or in one inside another: `source()` passes those over.
fn certificate_problem<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut error = error;
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    error.downcast_ref()
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, EdgeError> {
    let operation = || format!("read the CA file {}", path.display());
    let pem = std::fs::read(path).map_err(|error| fault(EdgeKind::NotFound, operation()).because(error))?;
    let all = Certificate::from_pem_bundle(&pem).map_err(|error| fault(EdgeKind::Refused, operation()).because(error))?;
    if all.is_empty() {
        return Err(fault(EdgeKind::Refused, operation()).because("it holds no certificate in PEM form"));
    }
    Ok(all)
}

/// One request and its answer, as the stream that libgit2 writes to and then reads from.
pub(super) struct Exchange {
    session: Arc<Session>,
    program: Program,
    state: State,
}

enum State {
    /// What is to be asked; none: the list of refs.
    Asking(Option<Vec<u8>>),
    /// The answer, and the piece of it that is being handed out.
    Answering(Response, Cursor<Vec<u8>>),
    /// All of it was read, or it failed.
    Over,
}

impl Exchange {
    /// Asks which refs there are.
    pub(super) fn advertisement(session: &Arc<Session>, program: Program) -> Self {
        Self { session: Arc::clone(session), program, state: State::Asking(None) }
    }

    /// Says what is wanted and what is here, and gets a pack; or sends one, and gets a verdict.
    pub(super) fn negotiation(session: &Arc<Session>, program: Program) -> Self {
        Self { session: Arc::clone(session), program, state: State::Asking(Some(Vec::new())) }
    }

    fn advance(&mut self, buffer: &mut [u8]) -> Result<usize, EdgeError> {
        let session = &self.session;
        let Some(Endpoint::Http(http)) = &session.endpoint else { return Ok(0) };
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Asking(body) => {
                    self.state = State::Answering(http.send(session, self.program, body)?, Cursor::default());
                }
                State::Answering(response, mut piece) if piece.position() < piece.get_ref().len() as u64 => {
                    let n = piece.read(buffer).unwrap_or_default();
                    self.state = State::Answering(response, piece);
                    return Ok(n);
                }
                State::Answering(mut response, _) => {
                    let Some(piece) = http.wait(session, response.chunk())? else { return Ok(0) };
                    session.count(piece.len())?;
                    self.state = State::Answering(response, Cursor::new(piece.into()));
                }
                State::Over => return Ok(0),
            }
        }
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.advance(buffer).map_err(|failure| self.session.stop(failure))
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Asking(Some(body)) if body.len() + bytes.len() <= LONGEST_REQUEST => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            State::Asking(_) | State::Answering(..) | State::Over => {
                Err(io::Error::other("this request is complete, or too long"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
