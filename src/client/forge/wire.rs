//! What forges answer, as far as it is read: the fields that GitHub and Gitea share, and either's own where they differ.

use serde::Deserialize;

use crate::domain::commit_status::{Posted, StatusState};
use crate::domain::pull::{PullNumber, PullRequest};
use crate::domain::revision::Revision;

/// The newest status of each context at a commit.
#[derive(Deserialize)]
pub(super) struct Combined {
    /// Null where there is none; an answer that does not have it is none of a forge's.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) statuses: Option<Vec<Status>>,
}

/// One status.
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) id: u64,
    pub(super) context: String,
    /// GitHub's word.
    state: Option<String>,
    /// Gitea's.
    #[serde(rename = "status")]
    word: Option<String>,
    description: Option<String>,
    target_url: Option<String>,
}

impl Status {
    /// What it says.
    pub(super) fn posted(self) -> Posted {
        Posted {
            state: self.state.or(self.word).as_deref().and_then(StatusState::parse),
            text: self.description.unwrap_or_default(),
            link: self.target_url.filter(|link| !link.is_empty()),
        }
    }
}

/// Something with an id: proof that a write was made.
#[derive(Deserialize)]
pub(super) struct Made {
    pub(super) id: u64,
}

/// A pull request.
#[derive(Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) head: Side,
    pub(super) base: Side,
}

/// What is to be merged, or what it is to be merged into.
#[derive(Deserialize)]
pub(super) struct Side {
    #[serde(rename = "ref")]
    pub(super) branch: String,
    /// The branch's name, after its owner's and a colon where that is another; it stays when the branch is gone.
    label: Option<String>,
    sha: Option<String>,
    /// Null where the repository is gone.
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
}

impl Pull {
    /// Whether it comes from another repository, or from one that is gone.
    fn is_from_fork(&self) -> bool {
        let id = |side: &Side| side.repo.as_ref().map(|repo| repo.id);
        id(&self.head).is_none() || id(&self.head) != id(&self.base)
    }

    /// Whether it comes from this branch of the repository itself.
    pub(super) fn is_from(&self, branch: &str) -> bool {
        let labelled = self.head.label.as_deref().map(|label| label.rsplit_once(':').map_or(label, |(_, name)| name));
        !self.is_from_fork() && (self.head.branch == branch || labelled == Some(branch))
    }

    /// Its number.
    pub(super) fn number(&self) -> PullNumber {
        PullNumber(self.number)
    }

    /// As decisions know it; none without a commit, as one has whose branch was never there.
    pub(super) fn request(&self) -> Option<PullRequest> {
        let head = Revision::parse(self.head.sha.as_deref()?).ok()?;
        Some(PullRequest { number: self.number(), head, from_fork: self.is_from_fork() })
    }
}

/// A comment.
#[derive(Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) body: Option<String>,
    user: Option<User>,
}

impl Comment {
    /// Whether this login wrote it.
    pub(super) fn is_by(&self, login: &str) -> bool {
        self.user.as_ref().is_some_and(|user| user.login.eq_ignore_ascii_case(login))
    }
}

/// A person, or what acts as one.
#[derive(Deserialize)]
pub(super) struct User {
    pub(super) login: String,
}
