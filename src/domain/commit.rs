//! A commit as far as decisions need it: who wrote it, and what its trailers allow.

use super::name::EnvironmentName;
use super::revision::Revision;
use super::scope::KeyPrefix;
use super::time::Timestamp;

/// One commit of the config repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub revision: Revision,
    /// Name of its author.
    pub author: String,
    /// First line of its message.
    pub subject: String,
    /// `Lockstep-…` trailers of its message, in order.
    pub trailers: Vec<(String, String)>,
    /// When it was committed, by the committer's clock: for people only.
    pub at: Timestamp,
}

impl Commit {
    fn values<'a>(&'a self, trailer: &'a str) -> impl Iterator<Item = &'a str> {
        self.trailers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(trailer)).map(|(_, value)| value.trim())
    }

    /// The sum of its `Lockstep-Allow-Deletes: N` trailers (rule G1). One that is no number allows nothing.
    #[must_use]
    pub fn allowed_deletes(&self) -> u32 {
        self.values("Lockstep-Allow-Deletes").filter_map(|text| text.parse::<u32>().ok()).fold(0, u32::saturating_add)
    }

    /// Whether it says that a revision without checks is meant (rule H1).
    #[must_use]
    pub fn allows_no_checks(&self) -> bool {
        self.values("Lockstep-Allow-No-Checks").next().is_some()
    }

    /// What its `Lockstep-Adopt: PREFIX` trailers say may be taken over with its value (rule O8). One that is no prefix names
    /// nothing.
    pub fn adopts(&self) -> impl Iterator<Item = KeyPrefix> {
        self.values("Lockstep-Adopt").filter_map(|text| KeyPrefix::parse(text).ok())
    }

    /// Its `Lockstep-Adopt` trailers that name no keys and so adopt nothing: each with why, and what to write instead.
    pub fn misread(&self) -> impl Iterator<Item = String> {
        self.values("Lockstep-Adopt").filter_map(|text| {
            let error = KeyPrefix::parse(text).err()?;
            Some(format!(
                "the trailer `Lockstep-Adopt:` of {} adopts nothing: {error}; name a key, a prefix that ends with '/', or * for every key",
                self.revision.short()
            ))
        })
    }

    /// Whether it asks to try a rejected digest again in this environment (rule R2).
    #[must_use]
    pub fn retries(&self, environment: &EnvironmentName) -> bool {
        self.values("Lockstep-Retry").any(|name| name == environment.as_str())
    }

    /// Whether it ends a freeze of this environment (rule R6).
    #[must_use]
    pub fn releases(&self, environment: &EnvironmentName) -> bool {
        self.values("Lockstep-Release").any(|name| name == environment.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, adopted: &[&str], misread: &str) {
        let commit = Commit {
            revision: Revision::from_bytes([0xa1; 20]),
            author: String::new(),
            subject: String::new(),
            trailers: vec![("lockstep-adopt".to_owned(), value.to_owned())],
            at: Timestamp::from_millis(0),
        };
        assert_eq!(commit.adopts().map(|prefix| prefix.to_string()).collect::<Vec<_>>(), adopted, "{value:?}");
        let told: Vec<String> = commit.misread().collect();
        assert_eq!(told.len(), usize::from(adopted.is_empty()), "{told:?}");
        for text in told {
            assert!(text.starts_with("the trailer `Lockstep-Adopt:` of a1a1a1a adopts nothing: key "), "{text}");
            assert!(text.contains(misread) && !text.chars().any(char::is_control), "{text}");
        }
    }

    #[test]
    fn a_trailer_adopts_what_it_names_or_is_told_with_why_it_names_nothing() {
        check(" config/app/ ", &["config/app/"], "");
        check("config/app", &["config/app"], "");
        check("*", &["*"], "");
        check("", &[], "is empty");
        check("/config/", &[], "has an empty segment");
        check("config/ other /", &[], "has a segment that begins or ends with white space");
        check("config//", &[], "has an empty segment");
        check("../x", &[], "has a '.' or '..' segment");
        check("a\u{1b}[2J", &[], "contains a control character");
        check("lockstep/", &[], "which is reserved");
        check(&"k".repeat(600), &[], "is longer than 512 bytes");
    }
}
