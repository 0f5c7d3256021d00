//! Reads a credential at the moment of its use: bounded, from a file that only its owner can read, never kept.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::Credential;

/// Longer than any token; a file beyond it is another file.
pub const LONGEST_CREDENTIAL: u64 = 16 << 10;

/// Why a credential could not be read. No variant holds any of its value.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file could not be read.
    #[error("read the credential file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Other users can read or write the file.
    #[error("the credential file {} has mode {mode:04o}: others can read or write it; run chmod 600 on it", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The environment variable is not set.
    #[error("the environment variable {name}, which holds a credential, is not set")]
    Unset {
        /// Which.
        name: String,
    },
    /// There is something, but no credential.
    #[error("the credential in {place} {problem}")]
    Unusable {
        /// The file or variable.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Credential {
    /// Reads the value; white space around it is dropped. Blocks for one small file read.
    ///
    /// # Errors
    /// When the file or variable is missing, empty, over [`LONGEST_CREDENTIAL`] bytes or no single line of text; or when
    /// others than the file's owner may read or write it.
    pub fn read(&self) -> Result<SecretString, CredentialError> {
        match self {
            Self::File(path) => {
                let bytes = read_private(path)?;
                let unusable = |_| CredentialError::Unusable { place: path.display().to_string(), problem: "is no text" };
                usable(&String::from_utf8(bytes).map_err(unusable)?, || path.display().to_string())
            }
            Self::Env(name) => {
                #[expect(clippy::disallowed_methods, reason = "config is where the environment is read")]
                let value = std::env::var(name).map_err(|_| CredentialError::Unset { name: name.clone() })?;
                usable(&value, || format!("the environment variable {name}"))
            }
        }
    }
}

/// Reads a file that holds a secret: at most one byte more than [`LONGEST_CREDENTIAL`], so that its reader can tell.
///
/// # Errors
/// When it is missing, no regular file, or others than its owner may read or write it.
pub fn read_private(path: &Path) -> Result<Vec<u8>, CredentialError> {
    let failed = |source| CredentialError::File { path: path.to_owned(), source };
    // Without NONBLOCK, opening a pipe that nobody writes to would hang.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(CredentialError::Unusable { place: path.display().to_string(), problem: "is no regular file" });
    }
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o066 != 0 {
        return Err(CredentialError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_CREDENTIAL + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn usable(value: &str, place: impl Fn() -> String) -> Result<SecretString, CredentialError> {
    let refuse = |problem| Err(CredentialError::Unusable { place: place(), problem });
    if value.len() as u64 > LONGEST_CREDENTIAL {
        return refuse("is longer than 16 KiB");
    }
    let value = value.trim();
    if value.is_empty() {
        return refuse("is empty");
    }
    // It ends in a header; a line break there would begin another one.
    if value.chars().any(char::is_control) {
        return refuse("has a line break or another control character inside");
    }
    Ok(SecretString::from(value))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[track_caller]
    fn check(content: &[u8], mode: u32, expected: Result<&str, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let found = Credential::File(path).read();
        assert!(!format!("{found:?}").contains("canary"), "Debug shows the value");
        match (found, expected) {
            (Ok(secret), Ok(text)) => assert_eq!(secret.expose_secret(), text),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_credential_file_is_its_owners_alone() {
        check(b" canary\n", 0o600, Ok("canary"));
        check(b"canary", 0o400, Ok("canary"));
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602] {
            check(b"canary", mode, Err("others can read or write it"));
        }
    }

    #[test]
    fn a_credential_is_one_line_of_text() {
        check(b"", 0o600, Err("is empty"));
        check(b" \n\t", 0o600, Err("is empty"));
        check(b"canary\nX-Evil: 1", 0o600, Err("control character"));
        check(b"canary\0", 0o600, Err("control character"));
        check(b"canary\xff", 0o600, Err("is no text"));
        check(&b"canary ".repeat(4_000), 0o600, Err("longer than 16 KiB"));
    }

    #[test]
    fn what_is_no_file_is_named_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = Credential::File(folder.path().to_owned()).read().unwrap_err();
        assert!(error.to_string().contains("is no regular file"), "{error}");
        assert!(matches!(Credential::File(folder.path().join("none")).read(), Err(CredentialError::File { .. })));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
            .unwrap();
        assert!(Credential::File(pipe).read().is_err());
    }

    #[test]
    fn a_variable_is_read_when_it_is_used() {
        assert!(Credential::Env("PATH".into()).read().is_ok());
        let error = Credential::Env("LOCKSTEP_NEVER_SET".into()).read().unwrap_err();
        assert!(matches!(error, CredentialError::Unset { .. }), "{error}");
    }
}
