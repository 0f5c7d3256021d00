//! Keys on a page: the first of them, and how many more there are.

use crate::cli::output::Page;
use crate::cli::text::clean;

/// Keys of one kind that a page lists; the structured form has all.
const LISTED: usize = 10;

/// Some keys, and how many more there are.
pub(super) fn listed<'a>(keys: impl ExactSizeIterator<Item = &'a String>, page: &mut Page) {
    let more = keys.len().saturating_sub(LISTED);
    for key in keys.take(LISTED) {
        page.line(format_args!("    {}", clean(key)));
    }
    if more > 0 {
        page.line(format_args!("    and {more} more; --output json lists all"));
    }
}
