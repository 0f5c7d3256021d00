//! What a look at the origin shows: where the branch stands, and what its pull requests propose.
//!
//! Forges name the head of every pull request in the same answer that says where the branch stands, so a new one is noticed
//! without a call to the forge's own API.

use std::collections::BTreeMap;

use git2::Oid;

use super::id::revision;
use crate::domain::pull::PullNumber;
use crate::domain::revision::Revision;
use crate::port::Tip;

/// So many pull requests are remembered: those with the highest numbers. A forge names closed ones for ever.
const MOST: usize = 10_000;

/// What each pull request proposes.
pub(super) type Proposals = BTreeMap<PullNumber, Revision>;

/// What a fetch found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) tip: Tip,
    pub(super) proposals: Proposals,
}

/// The name of a pull request's head at the origin: the same at GitHub, Gitea and Forgejo.
pub(super) fn named(pull: PullNumber) -> String {
    format!("refs/pull/{}/head", pull.0)
}

/// The pull requests among the refs of the origin.
pub(super) fn proposals<'a>(refs: impl Iterator<Item = (&'a str, Oid)>) -> Proposals {
    let mut proposals = Proposals::new();
    for (name, id) in refs.filter(|(_, id)| !id.is_zero()) {
        let number = name.strip_prefix("refs/pull/").and_then(|rest| rest.strip_suffix("/head"));
        let number = number.and_then(|number| number.parse().ok()).map(PullNumber);
        // No other spelling of a number would be found again.
        let Some(number) = number.filter(|number| named(*number) == name) else { continue };
        proposals.insert(number, revision(id));
        if proposals.len() > MOST {
            proposals.pop_first();
        }
    }
    proposals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heads_of_pull_requests_are_found_by_their_names_and_the_newest_remembered() {
        let id = |byte: u8| Oid::from_bytes(&[byte; 20]).unwrap();
        let of = |refs: &[(&str, Oid)]| {
            let found = proposals(refs.iter().copied());
            found.into_iter().map(|(pull, head)| (pull.0, head)).collect::<Vec<_>>()
        };
        for name in [
            "refs/heads/main",
            "refs/pull/7/merge",
            "refs/pull/7/head^{}",
            "refs/pull//head",
            "refs/pull/+7/head",
            "refs/pull/07/head",
            "refs/pull/-7/head",
            "refs/pull/7/x/head",
            "refs/pull/18446744073709551616/head",
            "refs/heads/refs/pull/7/head",
        ] {
            assert_eq!(of(&[(name, id(1))]), [], "{name}");
        }
        assert_eq!(of(&[("refs/pull/7/head", Oid::ZERO_SHA1)]), []);
        let expected = [(7, revision(id(1))), (18_446_744_073_709_551_615, revision(id(2)))];
        assert_eq!(of(&[("refs/pull/18446744073709551615/head", id(2)), ("refs/pull/7/head", id(1))]), expected);

        let names: Vec<String> = (1..=MOST as u64 + 5).map(|number| named(PullNumber(number))).collect();
        let all = of(&names.iter().map(|name| (name.as_str(), id(1))).collect::<Vec<_>>());
        assert_eq!((all.len(), all[0].0), (MOST, 6));
    }
}
