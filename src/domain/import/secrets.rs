//! Keys that look as if they hold a secret: a plain secret does not belong in git, where everybody reads it for ever.

/// What a secret's name ends with, letters and digits only.
const NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "secrets",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
];

/// Whether a person should look at this key before it is pushed anywhere: by the end of its name, or because its value is a
/// private key. Conservative: a wrong guess costs a look.
#[must_use]
pub fn looks_secret(key: &str, value: &[u8]) -> bool {
    const LONGEST_HEADER: usize = 64;
    let name = key.rsplit('/').next().unwrap_or(key);
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let begin = String::from_utf8_lossy(&value[..value.len().min(LONGEST_HEADER)]);
    NAMES.iter().any(|secret| name.ends_with(secret)) || (begin.starts_with("-----BEGIN ") && begin.contains("PRIVATE KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_private_keys_are_noticed() {
        for key in ["a/password", "a/db_Password", "a/api-key", "token", "a/AWS_SECRET_ACCESS_KEY", "db.pass"] {
            assert!(looks_secret(key, b"x"), "{key}");
        }
        for key in ["a/port", "config/services/secrets/protocols/http/host", "password/length", "a/keys"] {
            assert!(!looks_secret(key, b"x"), "{key}");
        }
        assert!(looks_secret("a/pem", b"-----BEGIN RSA PRIVATE KEY-----\n..."));
        assert!(!looks_secret("a/pem", b"-----BEGIN CERTIFICATE-----\n..."));
    }
}
