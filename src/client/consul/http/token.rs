//! The token: read at each use, in one header that nothing shows.

use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::Http;
use crate::port::{EdgeError, EdgeKind};

/// Bytes that tell tokens apart.
const FINGERPRINT: usize = 2;
/// What to do when the token can't be read.
const NO_TOKEN: &str = "put the token there, readable for lockstep's own user only, or correct `token:` of the environment";

impl Http {
    pub(super) fn headers(&self, doing: &str) -> Result<HeaderMap, EdgeError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.token(doing)? {
            headers.insert("x-consul-token", token);
        }
        Ok(headers)
    }

    /// The token as a header that no `Debug` shows; none when the configuration has none.
    pub(in super::super) fn token(&self, doing: &str) -> Result<Option<HeaderValue>, EdgeError> {
        let Some(credential) = &self.token else { return Ok(None) };
        let value = credential.read().map_err(|cause| self.error(EdgeKind::Denied, doing).because(cause).hint(NO_TOKEN))?;
        let mut header = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| self.error(EdgeKind::Denied, doing).because("the token holds characters that no header can carry"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Tells one token from the next: 16 bits of a digest, 0 without a token. It ends in the record, so it fits one guess of
    /// 65,536 and confirms none; as rarely a new token passes for the one before: what was denied is then tried
    /// again only once the target says that the keys may be written, or after a `release`.
    pub(in super::super) fn rights(&self) -> u64 {
        let token = self.token("read the token").ok().flatten();
        let Some(token) = token else { return 0 };
        let digest = Sha256::new().chain_update(b"lockstep consul token ").chain_update(token.as_bytes()).finalize();
        digest.iter().take(FINGERPRINT).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Credential;

    /// A client with this token in a file.
    fn with_token(dir: &std::path::Path, secret: &str) -> Http {
        let mut config = crate::client::consul::tests::config("http://127.0.0.1:1");
        let path = dir.join("token");
        std::fs::write(&path, secret).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        config.token = Some(Credential::File(path));
        Http::new(&config).unwrap()
    }

    #[test]
    fn no_debug_shows_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let http = with_token(dir.path(), "s3cr3t");
        assert!(http.token("test").unwrap().is_some());
        assert!(!format!("{http:?} {:?}", http.headers("test").unwrap()).contains("s3cr3t"));
    }

    #[test]
    fn what_tells_tokens_apart_is_too_short_to_confirm_a_guess() {
        let dir = tempfile::tempdir().unwrap();
        let marks: std::collections::BTreeSet<u64> =
            (0..64).map(|number| with_token(dir.path(), &format!("token {number}")).rights()).collect();
        assert!(marks.len() > 60 && marks.iter().all(|mark| *mark < 1 << 16), "{marks:?}");
    }
}
