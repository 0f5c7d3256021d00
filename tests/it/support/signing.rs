//! HMAC-SHA256 as RFC 2104 writes it down, beside the one that the program uses.

use sha2::{Digest as _, Sha256};

/// The length of the digest's block.
const BLOCK: usize = 64;

/// The signature of a body, in lower-case digits.
pub(crate) fn sign(secret: &[u8], body: &[u8]) -> String {
    let mut key = [0; BLOCK];
    if secret.len() > BLOCK {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let pad = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(body).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    outer.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
