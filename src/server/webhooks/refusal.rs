//! Why a delivery is not accepted: a closed set, for answers, metrics and the log alike.

use axum::http::StatusCode;

use crate::server::Problem;

/// What is wrong with a delivery, in the order in which it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The body comes in chunks.
    Chunked,
    /// The body's length is not said, or not in one way.
    LengthMissing,
    /// The body is longer than any delivery.
    TooLarge,
    /// No header has a signature.
    SignatureMissing,
    /// Only the old signature is there, which is none any more.
    Sha1Only,
    /// A signature's header is there more than once.
    SignatureRepeated,
    /// A signature is not written as signatures are.
    SignatureMalformed,
    /// No header names the event, or not one.
    EventMissing,
    /// A secret can't be read.
    SecretUnreadable,
    /// The body did not come in time.
    Slow,
    /// The body ended early, or was garbled.
    Broken,
    /// The signature is of another body or with another secret.
    Wrong,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Chunked,
        Self::LengthMissing,
        Self::TooLarge,
        Self::SignatureMissing,
        Self::Sha1Only,
        Self::SignatureRepeated,
        Self::SignatureMalformed,
        Self::EventMissing,
        Self::SecretUnreadable,
        Self::Slow,
        Self::Broken,
        Self::Wrong,
    ];

    /// What the peer is told. Nothing of what it sent is repeated.
    #[must_use]
    pub const fn problem(self) -> Problem {
        let (status, code, detail) = match self {
            Self::Chunked => (
                StatusCode::LENGTH_REQUIRED,
                "body-chunked",
                "the body comes in chunks; forges say its length, so a proxy in between re-chunks: let it buffer the request",
            ),
            Self::LengthMissing => (StatusCode::LENGTH_REQUIRED, "length-missing", "there is no content-length"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the body is larger than 25 MiB"),
            Self::SignatureMissing => (
                StatusCode::UNAUTHORIZED,
                "signature-missing",
                "there is no signature; enter a secret where the forge has its webhooks",
            ),
            Self::Sha1Only => (
                StatusCode::UNAUTHORIZED,
                "signature-sha1",
                "there is a sha1 signature only, which is not accepted; the forge must send X-Hub-Signature-256",
            ),
            Self::SignatureRepeated => {
                (StatusCode::UNAUTHORIZED, "signature-repeated", "a signature's header is there more than once")
            }
            Self::SignatureMalformed => {
                (StatusCode::UNAUTHORIZED, "signature-malformed", "a signature is not 64 hexadecimal digits in their form")
            }
            Self::EventMissing => (StatusCode::BAD_REQUEST, "event-missing", "no header names the event, or not as one word"),
            Self::SecretUnreadable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "secret-unreadable",
                "the secret can't be read here; the controller's log says why",
            ),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "body-slow", "the body did not come in time"),
            Self::Broken => (StatusCode::BAD_REQUEST, "body-broken", "the body ended early or was garbled"),
            Self::Wrong => (
                StatusCode::UNAUTHORIZED,
                "signature-wrong",
                "the signature is not of this body with a secret that is known here",
            ),
        };
        Problem { status, code, detail }
    }

    /// Stable, for metrics and the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.problem().code
    }

    /// Whether some of the body may still be on its way: then the connection can't be used again.
    pub(super) const fn leaves_the_body(self) -> bool {
        !matches!(self, Self::Wrong)
    }
}
