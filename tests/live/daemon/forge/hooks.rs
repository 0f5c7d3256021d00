//! Deliveries as a forge sends them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lockstep::config::ForgeKind;

use crate::signing::sign;
use crate::support::PATIENCE;

/// Delivers an event, signed with this secret; the status of the answer.
pub(super) fn deliver(port: u16, kind: ForgeKind, event: &str, secret: &str) -> u16 {
    let body = br#"{"ref":"refs/heads/main"}"#;
    let signature = sign(secret.as_bytes(), body);
    let headers = match kind {
        ForgeKind::GitHub => format!("X-GitHub-Event: {event}\r\nX-Hub-Signature-256: sha256={signature}"),
        ForgeKind::Gitea => format!("X-Gitea-Event: {event}\r\nX-Gitea-Signature: {signature}"),
    };
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST /webhooks/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: \
         close\r\n{headers}\r\n\r\n",
        kind.word(),
        body.len()
    );
    stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(body)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}
