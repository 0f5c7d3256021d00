//! The signatures that a delivery presents: each once, in its one form, before a byte of the body is read.

use axum::http::HeaderMap;

use super::refusal::Refusal;

/// An HMAC-SHA256.
pub(super) type Signature = [u8; 32];

/// Who delivers, in the way of which kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Forge {
    /// GitHub, and GitHub Enterprise.
    GitHub,
    /// Gitea, Forgejo and Gogs.
    Gitea,
}

/// How a header presents a signature: its name, and what stands before the digits.
type Form = (&'static str, &'static str);

/// Where GitHub writes it. Gitea does too.
const HUB: Form = ("x-hub-signature-256", "sha256=");
const GITEA: [Form; 4] = [("x-gitea-signature", ""), ("x-forgejo-signature", ""), ("x-gogs-signature", ""), HUB];
/// Where an older way of signing stands, which counts for nothing.
const SHA1: &str = "x-hub-signature";

impl Forge {
    /// Stable, for the path, metrics and the log.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Gitea => "gitea",
        }
    }

    const fn forms(self) -> &'static [Form] {
        match self {
            Self::GitHub => &[HUB],
            Self::Gitea => &GITEA,
        }
    }

    /// Where the event's name may stand, in the order in which it is looked for.
    pub(super) const fn event_headers(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["x-github-event"],
            Self::Gitea => &["x-gitea-event", "x-forgejo-event", "x-gogs-event", "x-github-event"],
        }
    }
}

/// Every signature that is presented: at least one, and all of them must be right.
pub(super) fn presented(forge: Forge, headers: &HeaderMap) -> Result<Vec<Signature>, Refusal> {
    let mut signatures = Vec::new();
    for (name, prefix) in forge.forms() {
        let mut values = headers.get_all(*name).iter();
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return Err(Refusal::SignatureRepeated);
        }
        let digits = value.as_bytes().strip_prefix(prefix.as_bytes());
        signatures.push(digits.and_then(signature).ok_or(Refusal::SignatureMalformed)?);
    }
    if signatures.is_empty() {
        return Err(if headers.contains_key(SHA1) { Refusal::Sha1Only } else { Refusal::SignatureMissing });
    }
    Ok(signatures)
}

/// 64 hexadecimal digits and nothing else.
fn signature(digits: &[u8]) -> Option<Signature> {
    let mut signature = Signature::default();
    if digits.len() != 2 * signature.len() {
        return None;
    }
    for (byte, pair) in signature.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(signature)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    const RIGHT: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn read(forge: Forge, headers: &[(&'static str, &str)]) -> Result<usize, Refusal> {
        let pairs = headers.iter().map(|(name, value)| {
            let value = value.replace("RIGHT", RIGHT);
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut map = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            map.append(name, value);
        });
        presented(forge, &map).map(|signatures| {
            assert!(signatures.iter().all(|signature| signature[15] == 0xff && signature[16] == 0));
            signatures.len()
        })
    }

    #[test]
    fn a_signature_is_read_in_its_one_form_and_case_only() {
        use Refusal::{Sha1Only, SignatureMalformed, SignatureMissing, SignatureRepeated};
        let hub = "x-hub-signature-256";
        for (headers, expected) in [
            (&[(hub, "sha256=RIGHT")][..], Ok(1)),
            (&[], Err(SignatureMissing)),
            (&[("x-hub-signature", "sha1=RIGHT")], Err(Sha1Only)),
            (&[("x-gitea-signature", "RIGHT")], Err(SignatureMissing)),
            (&[(hub, "sha256=RIGHT"), (hub, "sha256=RIGHT")], Err(SignatureRepeated)),
            (&[(hub, "")], Err(SignatureMalformed)),
            (&[(hub, "RIGHT")], Err(SignatureMalformed)),
            (&[(hub, "sha256=")], Err(SignatureMalformed)),
            (&[(hub, "SHA256=RIGHT")], Err(SignatureMalformed)),
            (&[(hub, "sha1=RIGHT")], Err(SignatureMalformed)),
            (&[(hub, "sha256= RIGHT")], Err(SignatureMalformed)),
            (&[(hub, " sha256=RIGHT")], Err(SignatureMalformed)),
            (&[(hub, "sha256=RIGHT ")], Err(SignatureMalformed)),
            (&[(hub, "sha256=RIGHT\t")], Err(SignatureMalformed)),
            (&[(hub, "sha256=RIGHT0")], Err(SignatureMalformed)),
            (&[(hub, "sha256=RIGHT00")], Err(SignatureMalformed)),
            (&[(hub, &format!("sha256={}", &RIGHT[1..]))], Err(SignatureMalformed)),
            (&[(hub, &format!("sha256={}g", &RIGHT[1..]))], Err(SignatureMalformed)),
            (&[(hub, &format!("sha256=+{}", &RIGHT[1..]))], Err(SignatureMalformed)),
            (&[(hub, &format!("sha256={}é", &RIGHT[2..]))], Err(SignatureMalformed)),
            (&[(hub, "sha256=RIGHT,sha256=RIGHT")], Err(SignatureMalformed)),
        ] {
            assert_eq!(read(Forge::GitHub, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn giteas_relatives_each_have_their_header_and_all_that_are_there_count() {
        use Refusal::{Sha1Only, SignatureMalformed, SignatureMissing, SignatureRepeated};
        let [gitea, forgejo, gogs] = ["x-gitea-signature", "x-forgejo-signature", "x-gogs-signature"];
        for (headers, expected) in [
            (&[(gitea, "RIGHT")][..], Ok(1)),
            (&[(forgejo, "RIGHT")], Ok(1)),
            (&[(gogs, "RIGHT")], Ok(1)),
            (&[("x-hub-signature-256", "sha256=RIGHT")], Ok(1)),
            (&[(gitea, "RIGHT"), (gogs, "RIGHT"), (forgejo, "RIGHT"), ("x-hub-signature-256", "sha256=RIGHT")], Ok(4)),
            (&[], Err(SignatureMissing)),
            (&[("x-hub-signature", "sha1=RIGHT")], Err(Sha1Only)),
            (&[(gitea, "sha256=RIGHT")], Err(SignatureMalformed)),
            (&[(gitea, "RIGHT"), (gogs, "")], Err(SignatureMalformed)),
            (&[(gitea, "RIGHT"), ("x-hub-signature-256", "RIGHT")], Err(SignatureMalformed)),
            (&[(gitea, "RIGHT"), (gogs, "RIGHT"), (gogs, "RIGHT")], Err(SignatureRepeated)),
        ] {
            assert_eq!(read(Forge::Gitea, headers), expected, "{headers:?}");
        }
    }
}
