//! Lists, page by page, as far as somebody wants to know them.

use serde::de::DeserializeOwned;

use super::http::{Answer, Ask};
use super::{ForgeClient, gitea, github};
use crate::config::ForgeKind;
use crate::port::EdgeError;

/// So many pages of a list are read at most.
const MOST_PAGES: u32 = 20;
/// Whether there is a next page is said by a link; where none is, a page shorter than this is the last one.
const FULL_PAGE: usize = 10;
/// Bytes of the longest page.
const LONGEST_PAGE: usize = 4 << 20;

/// A list below the repository's own path.
pub(super) struct List<'a> {
    pub(super) rest: &'a str,
    /// A part of a query that leaves something out, or nothing.
    pub(super) narrowed: &'a str,
    /// Items of one page; none: the list has no pages.
    pub(super) page: Option<usize>,
    /// For errors.
    pub(super) doing: &'a str,
}

/// What was taken of one page.
pub(super) struct Taken {
    /// So many items were on it.
    pub(super) held: usize,
    /// No more are wanted.
    pub(super) enough: bool,
}

impl ForgeClient {
    /// Reads a list; `take` is given each page.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        list: List<'_>,
        mut take: impl FnMut(T) -> Taken + Send,
    ) -> Result<(), EdgeError> {
        let List { rest, narrowed, page: most, doing } = list;
        for number in 1..=MOST_PAGES {
            let page = most.map(|most| match self.http.kind {
                ForgeKind::GitHub => github::page(number, most),
                ForgeKind::Gitea => gitea::page(number, most),
            });
            let query = [narrowed, page.as_deref().unwrap_or_default()];
            let query = query.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
            let separator = if query.is_empty() { "" } else { "?" };
            let ask = Ask::get(self.path(&format!("{rest}{separator}{query}")), doing).at_most(LONGEST_PAGE);
            let answer = self.ask(&ask).await?;
            let Taken { held, enough } = take(self.http.understand(&answer, doing)?);
            if held == 0 || enough || most.is_none() || !goes_on(&answer, held) {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a page of a list that holds so many is followed by another. The link itself is not followed: the forge may be known there
/// by an address that nobody was asked to trust.
fn goes_on(answer: &Answer, held: usize) -> bool {
    match answer.header("link") {
        Some(links) => links.split(',').any(|link| link.contains("rel=\"next\"")),
        None => held >= FULL_PAGE,
    }
}
