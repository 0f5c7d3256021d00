//! Requests to one Consul: few connections, a deadline for each, bounded answers, patience with a busy server.
//!
//! The token is read at each use and goes into one header; no error, log line or `Debug` can show it.

mod token;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::header::{ACCEPT_ENCODING, RETRY_AFTER};
use reqwest::{Client, Method, Response};
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::slots::Slots;
use super::{fault, tls};
use crate::config::{self, Credential};
use crate::domain::time::written;
use crate::port::{EdgeError, EdgeKind};

/// How long an ordinary request may take, retries included.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// How long a request waits for one of the few connections before it gives up.
const QUEUE: Duration = Duration::from_mins(1);
/// Bytes of the longest answer to an ordinary request: 128 values of the largest size, as base64.
pub(super) const LONGEST_ANSWER: usize = 80 << 20;
/// Connections that rest while no watch uses them: one that comes back too late to be used again must not stay beside the
/// one that took its place.
const RESTING: usize = 3;
/// Bytes of an error's text that are read.
const LONGEST_REFUSAL: usize = 64 << 10;

/// What to do when nothing takes the connection.
const NO_CONNECTION: &str = "is Consul running there, and is `address:` of the environment right?";
/// What to do when an answer stays away.
const NO_ANSWER: &str = "is it Consul that listens at `address:`? If it is, it is overloaded, or the network loses packets";
/// What to do when an answer is not what Consul says.
const NO_CONSUL: &str = "is it Consul that listens at `address:`, and not another server or a proxy's own page?";

/// One Consul over HTTP.
pub(super) struct Http {
    requests: Client,
    /// Consul has asked for no request before this.
    quiet_until: Mutex<Option<Instant>>,
    watches: Client,
    address: String,
    datacenter: Option<String>,
    token: Option<Credential>,
    files: tls::Files,
    name: String,
    slots: Arc<Slots>,
    catalog_slots: Arc<Slots>,
    watch_slots: Slots,
    /// Whether it names the backend of its queries, as every Consul does since 1.10; none before the first query.
    names_backend: Mutex<Option<bool>>,
    /// Until when this Consul is taken to have no ACLs: it said so less than a minute before.
    pub(super) open_until: Mutex<Option<Instant>>,
}

/// One request.
pub(super) struct Ask {
    method: Method,
    url: String,
    body: Option<String>,
    deadline: Duration,
    longest: usize,
    /// For errors: "read the keys below config/".
    pub(super) doing: String,
}

impl Ask {
    /// Reads a URL that [`Http::url`] made.
    pub(super) fn get(url: String, doing: impl Into<String>) -> Self {
        Self { method: Method::GET, url, body: None, deadline: DEADLINE, longest: LONGEST_ANSWER, doing: doing.into() }
    }

    /// Puts a body there.
    pub(super) fn put(url: String, body: String, doing: impl Into<String>) -> Self {
        Self { method: Method::PUT, url, body: Some(body), deadline: DEADLINE, longest: LONGEST_ANSWER, doing: doing.into() }
    }

    /// Posts a body there.
    pub(super) fn post(url: String, body: String, doing: impl Into<String>) -> Self {
        Self { method: Method::POST, url, body: Some(body), deadline: DEADLINE, longest: LONGEST_ANSWER, doing: doing.into() }
    }

    /// With another deadline.
    pub(super) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With another limit on the bytes of the answer.
    pub(super) fn at_most(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }
}

/// What Consul answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// `X-Consul-Index`, at least 1; sent with a 404 too.
    pub(super) index: Option<u64>,
    /// The body, unless a sink took it.
    pub(super) body: Vec<u8>,
}

/// Takes a body piece by piece; an error ends the read.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), String> + Send + 'a;

impl Http {
    pub(super) fn new(config: &config::Consul) -> Result<Self, EdgeError> {
        let tls = tls::client_config(config)?;
        // One is for the catalog: samples of checks must not wait behind large reads. A single one serves both.
        let connections = usize::from(config.connections).max(1);
        let slots = Arc::new(Slots::new((connections - 1).max(1)));
        let catalog_slots = if connections == 1 { Arc::clone(&slots) } else { Arc::new(Slots::new(1)) };
        let watches = Self::watches(config);
        let client = |idle: usize| {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                // A proxy variable meant for the internet must not carry Consul's token to that proxy.
                .no_proxy()
                .connect_timeout(Duration::from_secs(5))
                .pool_max_idle_per_host(idle)
                .pool_idle_timeout(Duration::from_secs(30))
                .tcp_nodelay(true)
                .gzip(true)
                .build()
                .map_err(|cause| {
                    EdgeError::new("consul", EdgeKind::Refused, format!("set a client up for {}", config.address))
                        .because(cause)
                })
        };
        let name = match &config.datacenter {
            Some(datacenter) => format!("{}, datacenter {datacenter}", config.address),
            None => config.address.clone(),
        };
        Ok(Self {
            requests: client((connections - 1).max(1))?,
            quiet_until: Mutex::default(),
            watches: client(RESTING)?,
            address: config.address.trim_end_matches('/').to_owned(),
            datacenter: config.datacenter.clone(),
            token: config.token.clone(),
            files: tls::Files::of(config),
            name,
            slots,
            catalog_slots,
            watch_slots: Slots::new(watches),
            names_backend: Mutex::default(),
            open_until: Mutex::default(),
        })
    }

    /// The Consul's address and datacenter, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A URL below `/v1/`; the path's segments are encoded, the query's parts must be safe as they are.
    pub(super) fn url(&self, path: &str, query: &[&str]) -> String {
        let mut url = format!("{}/v1/", self.address);
        encode(path, true, &mut url);
        let mut separator = '?';
        for part in query {
            url.push(separator);
            url.push_str(part);
            separator = '&';
        }
        if let Some(datacenter) = &self.datacenter {
            url.push(separator);
            url.push_str("dc=");
            encode(datacenter, false, &mut url);
        }
        url
    }

    /// An error of this Consul.
    pub(super) fn error(&self, kind: EdgeKind, doing: &str) -> EdgeError {
        EdgeError::new("consul", kind, self.operation(doing))
    }

    /// What a whole answer says.
    pub(super) fn understand<'a, T: Deserialize<'a>>(&self, body: &'a [u8], doing: &str) -> Result<T, EdgeError> {
        serde_json::from_slice(body).map_err(|cause| self.not_understood(cause, doing))
    }

    /// The error of an answer that is none of Consul's.
    pub(super) fn not_understood(&self, cause: serde_json::Error, doing: &str) -> EdgeError {
        self.error(EdgeKind::Transient, doing).because(cause).hint(NO_CONSUL)
    }

    /// The error that an answer's status means.
    pub(super) fn refusal(&self, doing: &str, answer: &Answer) -> EdgeError {
        fault::of_answer(self.operation(doing), answer.status, &answer.body)
    }

    /// What was being done where, for an error's text.
    pub(super) fn operation(&self, doing: &str) -> String {
        format!("{doing} at {}", self.name)
    }

    /// Sends a request and collects the answer, whatever its status.
    pub(super) async fn send(&self, ask: Ask) -> Result<Answer, EdgeError> {
        self.collect(&self.slots, ask).await
    }

    /// The same, in the catalog's own place.
    pub(super) async fn send_for_catalog(&self, ask: Ask) -> Result<Answer, EdgeError> {
        self.collect(&self.catalog_slots, ask).await
    }

    async fn collect(&self, slots: &Slots, ask: Ask) -> Result<Answer, EdgeError> {
        let mut body = Vec::new();
        let longest = ask.longest;
        let mut answer = self.stream_in(slots, ask, &mut |piece| collect(&mut body, piece, longest)).await?;
        if !body.is_empty() {
            answer.body = body;
        }
        Ok(answer)
    }

    /// Sends a request and gives the body of a 200 to `sink` as it comes; another status's body is in the answer.
    pub(super) async fn stream(&self, ask: Ask, sink: &mut Sink<'_>) -> Result<Answer, EdgeError> {
        self.stream_in(&self.slots, ask, sink).await
    }

    async fn stream_in(&self, slots: &Slots, ask: Ask, sink: &mut Sink<'_>) -> Result<Answer, EdgeError> {
        let _slot = slots.take(QUEUE).await.ok_or_else(|| self.too_busy(&ask.doing))?;
        self.patiently(&self.requests, &ask, sink).await
    }

    fn too_busy(&self, doing: &str) -> EdgeError {
        self.error(EdgeKind::Transient, doing).because("every connection was busy for a minute").hint("raise `connections:`")
    }

    /// How many queries may block at once: one of the watches' connections is left for the session, whose renewal waits
    /// for nothing.
    pub(super) fn watches(config: &config::Consul) -> usize {
        usize::from(config.watches).saturating_sub(1).max(2)
    }

    /// Sends a query that blocks until there is news.
    pub(super) async fn watch(&self, ask: Ask) -> Result<Answer, EdgeError> {
        let _slot = self.watch_slots.take(QUEUE).await.ok_or_else(|| self.too_busy(&ask.doing))?;
        self.beside(ask).await
    }

    /// Sends a request beside the limits: for the session, whose renewal must not wait behind a large read.
    pub(super) async fn beside(&self, ask: Ask) -> Result<Answer, EdgeError> {
        let mut body = Vec::new();
        let mut sink = |piece: &[u8]| collect(&mut body, piece, ask.longest);
        let outcome = timeout(ask.deadline, self.once(&self.watches, &ask, &mut sink)).await;
        let (mut answer, _) = outcome.unwrap_or_else(|_| Err(self.overdue(&ask)))?;
        if !body.is_empty() {
            answer.body = body;
        }
        Ok(answer)
    }

    /// The same, and waits for a Consul that says that it is busy.
    pub(super) async fn patiently_beside(&self, ask: Ask) -> Result<Answer, EdgeError> {
        let mut body = Vec::new();
        let mut answer = self.patiently(&self.watches, &ask, &mut |piece| collect(&mut body, piece, ask.longest)).await?;
        if !body.is_empty() {
            answer.body = body;
        }
        Ok(answer)
    }

    /// Waits and asks again when Consul says that it is busy: it says so before it does anything. A write that may take long
    /// is no longer asked for than a read: people are told of a busy Consul, and the next pass asks again.
    async fn patiently(&self, client: &Client, ask: &Ask, sink: &mut Sink<'_>) -> Result<Answer, EdgeError> {
        let begin = Instant::now();
        let (until, patience) = (begin + ask.deadline, begin + ask.deadline.min(DEADLINE));
        let mut delays = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(3))
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            let outcome = timeout_at(until, async {
                self.quiet().await;
                self.once(client, ask, sink).await
            });
            let (answer, wait) = outcome.await.unwrap_or_else(|_| Err(self.overdue(ask)))?;
            if !matches!(answer.status, 429 | 503) {
                return Ok(answer);
            }
            if let Some(wait) = wait {
                self.keep_quiet(Instant::now() + wait);
            }
            let delay = delays.next().unwrap_or(Duration::from_secs(3)).max(wait.unwrap_or_default());
            if Instant::now() + delay >= patience {
                return Ok(answer);
            }
            sleep(delay).await;
        }
    }

    /// Waits for as long as Consul has asked for: a request that it would turn away, whatever it is about, only adds to its
    /// trouble.
    async fn quiet(&self) {
        let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    fn keep_quiet(&self, until: Instant) {
        let mut known = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(until));
    }

    async fn once(&self, client: &Client, ask: &Ask, sink: &mut Sink<'_>) -> Result<(Answer, Option<Duration>), EdgeError> {
        let mut request = client.request(ask.method.clone(), &ask.url).headers(self.headers(&ask.doing)?);
        if let Some(body) = &ask.body {
            // Transactions follow each other closely, and compressing their short answers is what Consul would wait for.
            request = request.header(ACCEPT_ENCODING, "identity").body(body.clone());
        }
        let unreachable = |cause: reqwest::Error| {
            let error = self.error(EdgeKind::Transient, &ask.doing);
            match tls::advice(&cause, &self.files) {
                Some(hint) => error.because(cause.without_url()).hint(hint),
                None if cause.is_connect() => error.because(deepest(&cause)).hint(NO_CONNECTION),
                None => error.because(cause.without_url()),
            }
        };
        let mut response = request.send().await.map_err(|cause| {
            let handshaken = self.address.starts_with("https://") && !cause.is_connect();
            if !handshaken || !tls::ended(&cause) || tls::advice(&cause, &self.files).is_some() {
                return unreachable(cause);
            }
            let closed = format!("the server closed the connection after the TLS handshake ({})", deepest(&cause));
            let hint = format!("{}; or has Consul just ended?", tls::about_ours(&self.files));
            self.error(EdgeKind::Transient, &ask.doing).because(closed).hint(hint)
        })?;
        let wait = retry_after(&response);
        let mut answer = Answer { status: response.status().as_u16(), index: index(&response), body: Vec::new() };
        if answer.index.is_some() {
            let named = response.headers().contains_key("x-consul-query-backend");
            *self.names_backend.lock().unwrap_or_else(PoisonError::into_inner) = Some(named);
        }
        if answer.status == 200 {
            while let Some(piece) = response.chunk().await.map_err(unreachable)? {
                sink(&piece).map_err(|problem| self.error(EdgeKind::Refused, &ask.doing).because(problem))?;
            }
        } else {
            while let Some(piece) = response.chunk().await.map_err(unreachable)? {
                let room = LONGEST_REFUSAL - answer.body.len();
                answer.body.extend_from_slice(&piece[..piece.len().min(room)]);
                if answer.body.len() == LONGEST_REFUSAL {
                    break;
                }
            }
        }
        Ok((answer, wait))
    }

    /// Whether this Consul is surely older than those that take more than the smallest transaction, so that asking it is in
    /// vain.
    pub(super) fn predates_larger_transactions(&self) -> bool {
        *self.names_backend.lock().unwrap_or_else(PoisonError::into_inner) == Some(false)
    }

    fn overdue(&self, ask: &Ask) -> EdgeError {
        let within = written(ask.deadline);
        self.error(EdgeKind::Transient, &ask.doing).because(format!("no complete answer within {within}")).hint(NO_ANSWER)
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http({})", self.name)
    }
}

/// What is below all that the HTTP client wraps around it, such as "connection refused".
fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

fn collect(body: &mut Vec<u8>, piece: &[u8], longest: usize) -> Result<(), String> {
    if body.len() + piece.len() > longest {
        return Err(format!("the answer is longer than {longest} bytes"));
    }
    body.extend_from_slice(piece);
    Ok(())
}

fn index(response: &Response) -> Option<u64> {
    let text = response.headers().get("x-consul-index")?.to_str().ok()?;
    // Consul's documentation: an index below 1 must be taken for 1.
    text.parse::<u64>().ok().map(|index| index.max(1))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Percent-encodes what is not plainly safe in a URL; `/` stays where it separates segments.
pub(super) fn encode(text: &str, keep_slashes: bool, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => into.push(char::from(byte)),
            b'/' if keep_slashes => into.push('/'),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                into.push('%');
                into.push(char::from(DIGITS[usize::from(byte >> 4)]));
                into.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_takes_keys_literally() {
        let mut config = crate::client::consul::tests::config("http://127.0.0.1:1");
        config.datacenter = Some("a b&c".into());
        let http = Http::new(&config).unwrap();
        assert_eq!(
            http.url("kv/a b/ü?x#y%2f", &["raw"]),
            "http://127.0.0.1:1/v1/kv/a%20b/%C3%BC%3Fx%23y%252f?raw&dc=a%20b%26c"
        );
    }
}
