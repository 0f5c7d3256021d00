//! `http` checks: one GET, no redirect followed, no proxy used, a bounded part of the answer read.

use std::sync::Arc;

use reqwest::header::HOST;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::peer::{Peer, unconnected};
use super::text::{excerpt, fail, unknown};
use crate::domain::health::Finding;
use crate::port::{EdgeError, EdgeKind};

/// How much of a body is looked at.
pub(super) const LARGEST_BODY: usize = 64 << 10;

/// What is asked and expected.
#[derive(Debug)]
pub(super) struct Question {
    /// Path and query, beginning with `/`.
    pub(super) path: String,
    /// The status that means pass.
    pub(super) status: u16,
    /// A text that the body must contain.
    pub(super) body: Option<String>,
}

/// A client that goes exactly where it is told: no proxy of the environment, no redirect, no pooled connection that would
/// hide a service which takes no new ones.
pub(super) fn client() -> Result<Client, EdgeError> {
    let failed = || EdgeError::new("probe", EdgeKind::Refused, "set up the client of http checks");
    // Checks speak plain HTTP. The TLS set-up only keeps the client from asking for a process-wide one; it trusts nobody.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed().because(error))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    // Its cache would be 30 KiB for each of a thousand environments.
    tls.resumption = rustls::client::Resumption::disabled();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .no_gzip()
        .http1_only()
        .pool_max_idle_per_host(0)
        .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed().because(error))
}

/// Asks the first address that takes a connection.
pub(super) async fn ask(client: Client, peer: Peer, question: Arc<Question>, deadline: Instant) -> Finding {
    let place = format!("{}{}", peer.name, question.path);
    let mut last = None;
    for address in &peer.addresses {
        // The URL names the address that the guard saw, so nothing is resolved again.
        let url = Url::parse(&format!("http://{address}{}", question.path)).ok();
        let Some(url) = url.filter(|url| url.socket_addrs(|| None).is_ok_and(|found| found == [*address])) else {
            return unknown(format!("{place} is no URL"));
        };
        match timeout_at(deadline, client.get(url).header(HOST, &peer.name).send()).await {
            Ok(Ok(response)) => return judge(response, &place, &question, deadline).await,
            Ok(Err(error)) if error.is_connect() => last = Some(unconnected(&peer.name, &error)),
            Ok(Err(error)) => return fail(format!("no HTTP answer from {place}: {}", root(&error.without_url()))),
            Err(_) => return fail(format!("no answer from {place} in time")),
        }
    }
    last.unwrap_or_else(|| unknown(format!("{} has no address", peer.name)))
}

async fn judge(response: Response, place: &str, question: &Question, deadline: Instant) -> Finding {
    let (status, expected) = (response.status().as_u16(), question.status);
    if status != expected {
        return fail(format!("got {status} from {place}, expected {expected}"));
    }
    let Some(wanted) = &question.body else {
        return Finding::Pass;
    };
    match timeout_at(deadline, contains(response, wanted.as_bytes())).await {
        Ok(Ok(Look::Found)) => Finding::Pass,
        Ok(Ok(Look::Missing { start, cut })) => {
            let reach = if cut { format!("the first {LARGEST_BODY} bytes") } else { "the body".to_owned() };
            let (wanted, start) = (excerpt(wanted.as_bytes()), excerpt(&start));
            fail(format!("{reach} from {place} lacks `{wanted}`; it begins with `{start}`"))
        }
        Ok(Err(error)) => fail(format!("the body from {place} broke off: {}", root(&error.without_url()))),
        Err(_) => fail(format!("the body from {place} did not end in time")),
    }
}

enum Look {
    Found,
    Missing { start: Vec<u8>, cut: bool },
}

/// Reads until the text is found or the bound is reached; the answer may well be endless.
async fn contains(mut response: Response, wanted: &[u8]) -> Result<Look, reqwest::Error> {
    let mut body: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        // Only the new bytes, and as many old ones as the text could straddle.
        let from = body.len().saturating_sub(wanted.len());
        body.extend_from_slice(&chunk[..chunk.len().min(LARGEST_BODY - body.len())]);
        if memmem(&body[from..], wanted) {
            return Ok(Look::Found);
        }
        if body.len() == LARGEST_BODY {
            return Ok(Look::Missing { start: body, cut: true });
        }
    }
    if wanted.is_empty() { Ok(Look::Found) } else { Ok(Look::Missing { start: body, cut: false }) }
}

fn memmem(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}

/// The deepest cause: the layers above it only say that a request failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_the_address_that_the_guard_saw_is_connected_to_whatever_the_name_resolves_to_by_then() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seen = listener.local_addr().unwrap();
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            let answer =
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        // The name is now that of a metadata service; it was checked as another address, and is only said to the service.
        let peer = Peer { name: "169.254.169.254:80".to_owned(), addresses: vec![seen] };
        let question = Arc::new(Question { path: "/health".to_owned(), status: 200, body: None });
        let deadline = Instant::now() + Duration::from_secs(10);
        let (request, finding) = tokio::join!(served, ask(client().unwrap(), peer, question, deadline));
        assert!(request.contains("host: 169.254.169.254:80") || request.contains("Host: 169.254.169.254:80"), "{request}");
        assert_eq!(finding, fail("got 307 from 169.254.169.254:80/health, expected 200"));
        assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err(), "it asked again");
    }
}
