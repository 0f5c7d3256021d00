//! What is Gitea's and Forgejo's own: rights, pages, and lists that are narrowed here because they can't be there.

/// What a credential needs.
pub(super) const RIGHTS: &str =
    "The token needs the scopes write:repository and write:issue, and its user the right to write to the repository";

/// Part of a query: one page of a list.
pub(super) fn page(number: u32, most: usize) -> String {
    // More than 50 are given only where the server's own settings say so.
    format!("page={number}&limit={}", most.min(50))
}

/// Part of a query: the open pull requests, newest first; which branch they are against is for the reader to tell.
pub(super) const OPEN: &str = "state=open";

/// Part of a query: every pull request, newest first.
pub(super) const ALL: &str = "state=all";
