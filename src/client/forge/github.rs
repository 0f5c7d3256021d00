//! What is GitHub's own: rights, pages, and how its lists are narrowed.

use serde::Deserialize;

use super::http::{Ask, encoded};

/// What a credential needs.
pub(super) const RIGHTS: &str = "A fine-grained token or an App needs \"Commit statuses\" and \"Pull requests\", read and write; a classic token repo:status, \
                                 and repo for pull requests";

/// Part of a query: one page of a list.
pub(super) fn page(number: u32, most: usize) -> String {
    format!("per_page={most}&page={number}")
}

/// Part of a query: the open pull requests against a branch, newest first.
pub(super) fn open_against(branch: &str) -> String {
    format!("state=open&base={}&sort=created&direction=desc", encoded(branch))
}

/// Part of a query: the pull requests from a branch of this owner's, newest first.
pub(super) fn all_from(owner: &str, branch: &str) -> String {
    format!("state=all&head={}&sort=created&direction=desc", encoded(&format!("{owner}:{branch}")))
}

/// Asks which App we are.
pub(super) fn own_app() -> Ask {
    Ask::get("/app", "read the App's own name")
}

/// An App.
#[derive(Deserialize)]
pub(super) struct OwnApp {
    slug: String,
}

impl OwnApp {
    /// The login of what it writes.
    pub(super) fn login(&self) -> String {
        format!("{}[bot]", self.slug)
    }
}
