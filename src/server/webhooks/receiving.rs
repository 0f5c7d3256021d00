//! One delivery from its headers to its verdict: what can be refused before the body is, and the body is hashed as it comes.

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::event::{News, news};
use super::presented::{Forge, presented};
use super::refusal::Refusal;
use super::secrets::Secrets;
use crate::config::CredentialError;
use crate::server::Limits;

/// Why a delivery was refused, and what a person must know of it beside.
type Refused = (Refusal, Option<CredentialError>);

/// Takes a delivery. Nothing of the body is kept.
///
/// # Errors
/// With what is wrong; the body is then read no further.
pub(super) async fn receive<B>(
    forge: Forge,
    secrets: &Secrets,
    limits: &Limits,
    headers: &HeaderMap,
    body: B,
) -> Result<News, Refused>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let refuse = |refusal| (refusal, None);
    let length = length(headers).map_err(refuse)?;
    if length > limits.body_bytes {
        return Err(refuse(Refusal::TooLarge));
    }
    let presented = presented(forge, headers).map_err(refuse)?;
    let news = news(forge, headers).map_err(refuse)?;
    let digests = secrets.begin().map_err(|cause| (Refusal::SecretUnreadable, Some(cause)))?;
    let digested = async {
        let (mut digests, mut body, mut left) = (digests, body, length);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::Broken)?;
            let Some(bytes) = frame.data_ref() else { continue };
            // hyper gives no more than was declared; a body from elsewhere might.
            left = left.checked_sub(bytes.len() as u64).ok_or(Refusal::TooLarge)?;
            digests.update(bytes);
        }
        if left == 0 { Ok(digests) } else { Err(Refusal::Broken) }
    };
    let digests = timeout(limits.body_time, digested).await.unwrap_or(Err(Refusal::Slow)).map_err(refuse)?;
    if digests.confirm(&presented) { Ok(news) } else { Err(refuse(Refusal::Wrong)) }
}

/// The body's length, said once.
fn length(headers: &HeaderMap) -> Result<u64, Refusal> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::Chunked);
    }
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Refusal::LengthMissing) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits {
        // More digits than a number has are a length, too.
        Some(digits) if !digits.is_empty() => Ok(digits.parse().unwrap_or(u64::MAX)),
        _ => Err(Refusal::LengthMissing),
    }
}
