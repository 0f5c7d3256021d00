//! A forge's secrets, read again for each delivery: a rotated one needs no restart.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use super::presented::Signature;
use crate::config::{Credential, CredentialError};

/// Where the secrets are, any of which may have signed.
#[derive(Debug, Clone)]
pub(super) struct Secrets(Vec<Credential>);

impl Secrets {
    /// These; without one there is nothing to serve.
    pub(super) fn at(credentials: Vec<Credential>) -> Option<Self> {
        (!credentials.is_empty()).then_some(Self(credentials))
    }

    /// Reads all of them, and begins a digest of a body with each.
    ///
    /// # Errors
    /// When one can't be read, whichever it is: which one a forge signs with is not known here.
    pub(super) fn begin(&self) -> Result<Digests, CredentialError> {
        let mut digests = Vec::with_capacity(self.0.len());
        for credential in &self.0 {
            // A key of any length is one; if it were not, it would confirm nothing.
            digests.extend(Hmac::new_from_slice(credential.read()?.expose_secret().as_bytes()).ok());
        }
        Ok(Digests(digests))
    }
}

/// Digests of one body, with each secret.
pub(super) struct Digests(Vec<Hmac<Sha256>>);

impl Digests {
    /// More of the body.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|digest| digest.update(bytes));
    }

    /// Whether all of these are right with one and the same secret. Every one is compared with every secret, in constant time, so
    /// that the time says nothing of which was near.
    pub(super) fn confirm(self, presented: &[Signature]) -> bool {
        let mut confirmed = false;
        for digest in self.0 {
            let mut right = true;
            for signature in presented {
                right &= digest.clone().verify_slice(signature).is_ok();
            }
            confirmed |= right;
        }
        confirmed
    }
}
