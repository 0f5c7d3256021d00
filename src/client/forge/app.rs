//! A GitHub App's installation: a short-lived token, asked for with a message that the App's key signed, and renewed in time.
//!
//! The key is read when a token is asked for; the token is kept in memory only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::http::{Ask, Http, Shown};
use crate::config::{LONGEST_CREDENTIAL, read_private};
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, EdgeKind};

/// A token is renewed so long before its end.
const AHEAD: Duration = Duration::from_mins(5);
/// A signed message began so long ago, for clocks that differ.
const BEFORE: Duration = Duration::from_mins(1);
/// It ends so soon; GitHub takes none of more than ten minutes.
const GOOD_FOR: Duration = Duration::from_mins(9);

const KEY: &str = "`app.key` of `forge:` is the private key that the App's page gave, a PEM file of mode 0600";
const IDENTITY: &str = "are `app.id`, `app.installation` and `app.key` of `forge:` those of one App, is it installed on the repository, and \
                        is this machine's clock right?";

/// An installation of an App.
pub(super) struct App {
    id: u64,
    pub(super) installation: u64,
    key: PathBuf,
    /// The only repository that its tokens are for.
    repository: String,
    installed: Mutex<Option<Installed>>,
}

struct Installed {
    token: SecretString,
    ends: Timestamp,
    permissions: BTreeMap<String, String>,
}

/// What GitHub answers to a request for a token.
#[derive(Deserialize)]
struct Issued {
    token: String,
    /// Such as 2027-01-15T08:00:00Z.
    expires_at: String,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

impl App {
    pub(super) fn new(id: u64, installation: u64, key: PathBuf, repository: String) -> Self {
        Self { id, installation, key, repository, installed: Mutex::default() }
    }

    /// A token that serves for a while yet, and is not the one that was refused.
    pub(super) async fn token(&self, http: &Http, refused: Option<&Shown>) -> Result<Shown, EdgeError> {
        let mut installed = self.installed.lock().await;
        let now = http.clock.now();
        let known = installed.as_ref().filter(|known| {
            refused.is_none_or(|refused| refused.secret.expose_secret() != known.token.expose_secret()) && known.ends > now
        });
        if let Some(known) = known.filter(|known| known.ends > now + AHEAD) {
            return shown(http, &known.token);
        }
        match self.issue(http).await {
            Ok(new) => shown(http, &installed.insert(new).token),
            // What is at hand serves for minutes yet.
            Err(error) => {
                known.filter(|_| error.kind == EdgeKind::Transient).map_or(Err(error), |known| shown(http, &known.token))
            }
        }
    }

    /// What the installation may do: `statuses: write`, …
    pub(super) async fn permissions(&self, http: &Http) -> Result<BTreeMap<String, String>, EdgeError> {
        self.token(http, None).await?;
        Ok(self.installed.lock().await.as_ref().map(|installed| installed.permissions.clone()).unwrap_or_default())
    }

    async fn issue(&self, http: &Http) -> Result<Installed, EdgeError> {
        let path = format!("/app/installations/{}/access_tokens", self.installation);
        let ask = Ask::post(path, json!({ "repositories": [self.repository] }), "ask for a token of the App's installation");
        let signed = self.signed(http)?;
        let answer = http.send(&ask, Some(&signed)).await?;
        let answer = http.judge(&ask.doing, answer, Some(&signed)).map_err(|error| match error.kind {
            EdgeKind::Denied | EdgeKind::NotFound | EdgeKind::Refused => error.hint(IDENTITY),
            EdgeKind::Transient | EdgeKind::Conflict => error,
        })?;
        let Issued { token, expires_at, permissions } = http.understand(&answer, &ask.doing)?;
        let token = SecretString::from(token);
        let ends: jiff::Timestamp = expires_at
            .parse()
            .map_err(|_| http.error(EdgeKind::Transient, &ask.doing).because("the answer does not say when the token ends"))?;
        Ok(Installed { token, ends: Timestamp::from_millis(ends.as_millisecond()), permissions })
    }

    /// Says that we are the App, for a few minutes.
    pub(super) fn signed(&self, http: &Http) -> Result<Shown, EdgeError> {
        let failed = |kind| http.error(kind, "sign as the App").hint(KEY);
        let unusable = |problem: &str| failed(EdgeKind::Denied).because(format!("the key in {} {problem}", self.key.display()));
        let pem = read_private(&self.key).map_err(|cause| failed(EdgeKind::Denied).because(cause))?;
        if pem.len() as u64 > LONGEST_CREDENTIAL {
            return Err(unusable("is longer than 16 KiB"));
        }
        let key = match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(unusable("is no RSA key in PEM form")),
        };
        let key = key.map_err(|rejected| unusable(&format!("is no RSA key of 2048 to 4096 bits ({rejected})")))?;
        let seconds = |at: Timestamp| at.as_millis().div_euclid(1_000);
        let now = http.clock.now();
        let claims = json!({ "iat": seconds(now - BEFORE), "exp": seconds(now + GOOD_FOR), "iss": self.id.to_string() });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| unusable("could not sign"))?;
        shown(http, &SecretString::from(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// A token as GitHub is shown it.
pub(super) fn shown(http: &Http, token: &SecretString) -> Result<Shown, EdgeError> {
    bearer(http, "Bearer", token)
}

/// A token in a header that no `Debug` shows.
pub(super) fn bearer(http: &Http, scheme: &str, token: &SecretString) -> Result<Shown, EdgeError> {
    let mut header = HeaderValue::from_str(&format!("{scheme} {}", token.expose_secret()))
        .map_err(|_| http.error(EdgeKind::Denied, "show the token").because("it holds characters that no header can carry"))?;
    header.set_sensitive(true);
    Ok(Shown { header, secret: token.clone() })
}
