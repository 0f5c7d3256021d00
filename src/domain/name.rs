//! Names that are checked once, where they enter, and trusted ever after.
//!
//! Every name here ends in a URL, a file name or a transaction somewhere, so nothing that could climb out of its place
//! (`..`, a leading `/`, control characters, encoded slashes) can be constructed.

use std::fmt;
use std::sync::Arc;

/// Why a text is no name; the text says what is wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} {problem}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    problem: &'static str,
}

impl NameError {
    fn new(kind: &'static str, text: &str, problem: &'static str) -> Self {
        // A hostile name can be megabytes long; an error message is for people.
        Self { kind, text: text.chars().take(120).collect(), problem }
    }

    /// What is wrong, without the text: "is empty".
    #[must_use]
    pub const fn problem(&self) -> &'static str {
        self.problem
    }
}

const LABEL_RULE: &str =
    "must be 1 to 63 characters of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit, without '..'";

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| plain(c) || c == '-' || c == '.')
        && text.starts_with(plain)
        && text.ends_with(plain)
        && !text.contains("..")
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $kind:literal, reserved: $reserved:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text.
            ///
            /// # Errors
            /// When it is not 1 to 63 characters of `a-z`, `0-9`, `-` and `.`, or is a reserved word.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if !is_label(text) {
                    return Err(NameError::new($kind, text, LABEL_RULE));
                }
                if $reserved.contains(&text) {
                    return Err(NameError::new($kind, text, "is reserved; choose another name"));
                }
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

label!(
    /// An environment: the name of its directory below `environments/`.
    EnvironmentName,
    "environment name",
    reserved: [""]
);
label!(
    /// The repository's identity, from `name:` in `lockstep.yaml`; a URL never enters it (rule O4).
    /// `owners` is reserved: `lockstep/owners/` lists the owner ids beside the state of every repository (rule O5).
    RepositoryName,
    "repository name",
    reserved: ["owners"]
);
label!(
    /// A health check: the name of its file below `checks/`, without `.yaml`.
    CheckName,
    "check name",
    reserved: [""]
);
label!(
    /// A service as Consul's catalog knows it.
    ServiceName,
    "service name",
    reserved: [""]
);

/// The longest key in bytes. Consul takes far longer ones; nobody can read them.
pub const LONGEST_KEY: usize = 512;

/// The prefix that holds lockstep's own state; no desired key may lie below it (rule O5).
pub const STATE_PREFIX: &str = "lockstep/";
/// Where a target that several share says whose each owner id is (rule O4).
pub const OWNERS_PREFIX: &str = "lockstep/owners/";

/// A key of Consul's KV (or a file of a directory target) that lockstep can manage.
///
/// Consul's transactions take any bytes but its URLs clean the path, so a key that the two would read differently
/// (`a//b`, `a/../b`, `/lead`, control characters) is refused here, before any URL is built (rule A2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Arc<str>);

impl KeyPath {
    /// Checks the text.
    ///
    /// # Errors
    /// When it is empty or over 512 bytes, begins or ends with `/`, has an empty, `.` or `..` segment, a space at the
    /// end of a segment, a control character, a backslash or a percent-encoded one, or lies below `lockstep/`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = |problem| Err(NameError::new("key", text, problem));
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() > LONGEST_KEY {
            return refuse("is longer than 512 bytes");
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFFD}')) {
            return refuse("contains a control character");
        }
        if text.contains('\\') {
            return refuse("contains a backslash");
        }
        let lower = text.to_ascii_lowercase();
        if ["%2f", "%2e", "%5c", "%00"].iter().any(|encoded| lower.contains(encoded)) {
            return refuse("contains a percent-encoded separator");
        }
        for segment in text.split('/') {
            match segment {
                "" => return refuse("has an empty segment: no leading, trailing or double '/'"),
                "." | ".." => return refuse("has a '.' or '..' segment"),
                _ if segment.trim() != segment => return refuse("has a segment that begins or ends with white space"),
                _ => {}
            }
        }
        if text.starts_with(STATE_PREFIX) || text == "lockstep" {
            return refuse("lies below lockstep/, which is reserved for lockstep's own state");
        }
        Ok(Self(text.into()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::borrow::Borrow<str> for KeyPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The only places that an environment may write (rule O7): prefixes that end with `/`, or everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRoots(Vec<String>);

impl KeyRoots {
    /// Every key: for targets that hold one environment and nothing else, such as a directory.
    #[must_use]
    pub fn all() -> Self {
        Self(Vec::new())
    }

    /// Checks each prefix: a valid key followed by `/`, and none inside another.
    ///
    /// # Errors
    /// When the list is empty, a prefix does not end with `/` or is no valid key without it, or two overlap.
    pub fn parse<S: AsRef<str>>(prefixes: &[S]) -> Result<Self, NameError> {
        let mut roots: Vec<String> = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let text = prefix.as_ref();
            let refuse = |problem| Err(NameError::new("key root", text, problem));
            let Some(key) = text.strip_suffix('/') else {
                return refuse("must end with '/': 'config' would also take 'config-of-others'");
            };
            KeyPath::parse(key)?;
            if roots.iter().any(|other| other.starts_with(text) || text.starts_with(other.as_str())) {
                return refuse("lies inside another root of this environment");
            }
            roots.push(text.to_owned());
        }
        if roots.is_empty() {
            return Err(NameError::new("key root", "", "is missing: name at least one, such as config/"));
        }
        roots.sort();
        Ok(Self(roots))
    }

    /// Whether the key lies below one of the roots.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|root| key.starts_with(root.as_str()))
    }

    /// The prefixes, each ending with `/`; empty when every key is allowed.
    #[must_use]
    pub fn prefixes(&self) -> &[String] {
        &self.0
    }

    /// Whether a key could lie below a root of both: two environments on one target must not share keys (rule O7).
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let inside = |a: &Self, b: &Self| a.0.iter().any(|root| b.contains(root));
        self.0.is_empty() || other.0.is_empty() || inside(self, other) || inside(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_a_url_and_a_transaction_would_read_differently_are_refused() {
        for bad in [
            "",
            "/lead",
            "trail/",
            "a//b",
            "a/../b",
            "./x",
            "a/.",
            "..",
            "a\0b",
            "a\nb",
            "a%2fb",
            "a%2Eb",
            "a\\b",
            "a /b",
            " a",
            "lockstep/x",
            "lockstep",
        ] {
            assert!(KeyPath::parse(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["a", "config/services/consul/domain", "a b", "ü/ñ", "...", "a..b", "-x", ";$(id)", "lockstep2/x"] {
            assert!(KeyPath::parse(good).is_ok(), "{good:?} was refused");
        }
        assert!(KeyPath::parse(&"k".repeat(LONGEST_KEY + 1)).is_err());
    }

    #[test]
    fn labels_cannot_climb_or_inject() {
        for bad in ["", "..", "a..b", "../x", "a/b", "A", "a_b", "a\0", "-a", "a-", ";$(id)", "%2f", &"a".repeat(64)] {
            assert!(EnvironmentName::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(EnvironmentName::parse("production-2.eu").is_ok());
        assert!(RepositoryName::parse("owners").is_err());
    }

    #[test]
    fn a_root_takes_only_what_lies_below_it() {
        let roots = KeyRoots::parse(&["config/", "resources/"]).unwrap();
        assert!(roots.contains("config/x"));
        assert!(!roots.contains("configuration/x"));
        assert!(KeyRoots::parse(&["config"]).is_err());
        assert!(KeyRoots::parse(&["config/", "config/a/"]).is_err());
        assert!(KeyRoots::parse::<&str>(&[]).is_err());
        assert!(roots.overlaps(&KeyRoots::parse(&["config/deep/"]).unwrap()));
        assert!(!roots.overlaps(&KeyRoots::parse(&["other/"]).unwrap()));
        assert!(roots.overlaps(&KeyRoots::all()));
    }
}
