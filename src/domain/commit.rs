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
