//! A commit as far as decisions need it: who wrote it, and what its trailers allow.

use super::name::EnvironmentName;
use super::revision::Revision;
use super::scope::{KeyPrefix, KeyScope};
use super::time::Timestamp;
use super::words::{count, listed};

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
    /// How many more such trailers it has than are read.
    pub unread: usize,
    /// When it was committed, by the committer's clock: for people only.
    pub at: Timestamp,
}

impl Commit {
    /// So many trailers of a commit are read at most.
    pub const MOST_TRAILERS: usize = 50;

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

    /// Its `Lockstep-Adopt` trailers that name no keys and so adopt nothing, and what trailers are not read: each with why, and
    /// what to write instead.
    fn misread(&self) -> impl Iterator<Item = String> {
        let short = self.revision.short();
        let unread = (self.unread > 0).then(|| {
            let (most, unread) = (Self::MOST_TRAILERS, count(self.unread, "more trailer"));
            format!("{unread} `Lockstep-…:` of {short} say nothing: the first {most} of a commit are read; write fewer, for wider prefixes")
        });
        let misnamed = self.values("Lockstep-Adopt").filter_map(move |text| {
            let error = KeyPrefix::parse(text).err()?;
            Some(format!(
                "the trailer `Lockstep-Adopt:` of {short} adopts nothing: {error}; name a key, a prefix that ends with '/', or * for every key"
            ))
        });
        misnamed.chain(unread)
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

/// Which trailers of some commits, newest first, say nothing: each with why, and what to write instead. They are those that
/// [`KeyScope::of`] leaves out of what all of them together adopt, and those that say nothing by themselves.
pub fn misread<'c>(commits: impl IntoIterator<Item = &'c Commit>) -> Vec<String> {
    let (mut scope, mut told) = (KeyScope::default(), Vec::new());
    for commit in commits {
        told.extend(commit.misread());
        let mut left_out = Vec::new();
        for prefix in commit.adopts() {
            match scope.and([prefix.clone()]) {
                Some(wider) => scope = wider,
                None => left_out.push(prefix.to_string()),
            }
        }
        if !left_out.is_empty() {
            let (short, most, longest) = (commit.revision.short(), KeyScope::MOST, KeyScope::LONGEST);
            told.push(format!(
                "the trailer `Lockstep-Adopt:` of {short} adopts nothing for {}: at most {most} prefixes of {longest} bytes in all are \
                 adopted at a time; name fewer and wider ones",
                listed(left_out.into_iter())
            ));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_beyond_a_limit_is_told_with_the_limit() {
        let commit = |number: u8, from: usize, upto: usize, long: usize| Commit {
            revision: Revision::from_bytes([number; 20]),
            author: String::new(),
            subject: String::new(),
            trailers: (from..upto)
                .map(|number| ("Lockstep-Adopt".to_owned(), format!("k{number:02}{}", "x".repeat(long))))
                .collect(),
            unread: upto.saturating_sub(Commit::MOST_TRAILERS),
            at: Timestamp::from_millis(0),
        };
        for (commits, expected) in [
            (vec![commit(1, 0, 32, 0)], vec![]),
            (vec![commit(2, 0, 20, 0), commit(1, 0, 32, 0)], vec![]),
            (vec![commit(1, 0, 34, 0)], vec!["of 0101010 adopts nothing for k32, k33: at most 32 prefixes of 1000 bytes"]),
            (vec![commit(1, 0, 3, 400)], vec!["adopts nothing for k02xxx"]),
            (vec![commit(2, 0, 20, 0), commit(1, 20, 33, 0)], vec!["of 0101010 adopts nothing for k32: at most 32 prefixes"]),
            (
                vec![commit(1, 40, 52, 0)],
                vec!["2 more trailers `Lockstep-…:` of 0101010 say nothing: the first 50 of a commit are read"],
            ),
        ] {
            let told = misread(&commits);
            assert_eq!(told.len(), expected.len(), "{told:?}");
            for (told, expected) in told.iter().zip(expected) {
                assert!(told.contains(expected), "{told}");
            }
        }
    }

    #[track_caller]
    fn check(value: &str, adopted: &[&str], why: &str) {
        let commit = Commit {
            revision: Revision::from_bytes([0xa1; 20]),
            author: String::new(),
            subject: String::new(),
            trailers: vec![("lockstep-adopt".to_owned(), value.to_owned())],
            unread: 0,
            at: Timestamp::from_millis(0),
        };
        assert_eq!(commit.adopts().map(|prefix| prefix.to_string()).collect::<Vec<_>>(), adopted, "{value:?}");
        let told = misread([&commit]);
        assert_eq!(told.len(), usize::from(adopted.is_empty()), "{told:?}");
        for text in told {
            assert!(text.starts_with("the trailer `Lockstep-Adopt:` of a1a1a1a adopts nothing: key "), "{text}");
            assert!(text.contains(why) && !text.chars().any(char::is_control), "{text}");
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
