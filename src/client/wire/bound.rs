//! What keeps a stored document small whatever it went through: limits of texts and budgets of lists.
//!
//! A record must fit one value of any target. Nothing that a decision rests on is dropped: attempts, proofs and rejections
//! stay whole, and only texts for people and the log of repairs are cut.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::KeyPath;
use crate::domain::rollout::Contested;
use crate::domain::time::Timestamp;

/// Bytes of the longest evidence or explanation, as JSON.
pub(super) const LONGEST_TEXT: usize = 2_000;
/// Bytes of the longest reason where a record holds many.
pub(super) const LONGEST_REASON: usize = 1_000;
/// Bytes of the longest name of a person.
pub(super) const LONGEST_NAME: usize = 200;
/// Bytes that the log of recent repairs may take. Beyond them the keys repaired least often go first: a fight over one of
/// them is then noticed a repair later, which is all that the log is for.
const REPAIRS: usize = 24_000;
/// Bytes that contested keys may take; beyond them the ones that are due last are forgotten and noticed again.
const CONTESTED: usize = 24_000;
/// Bytes that a list of keys may take: those that had drifted before an attempt, or those that were denied.
const KEYS: usize = 16_000;
/// Bytes that the keys left by a rollback may take; the rest is counted.
const EXCEPT: usize = 8_000;

/// The text, cut so that it takes at most `limit` bytes as JSON (escapes counted); a cut is shown by `…`.
///
/// Reasons and evidence can quote what a check answered; a record must fit one value of the target whatever they hold.
pub(super) fn cut(text: &str, limit: usize) -> String {
    const MARK: char = '…';
    let cost = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    };
    let (mut used, mut room_for_mark) = (0, 0);
    for (at, c) in text.char_indices() {
        used += cost(c);
        if used > limit {
            return format!("{}{MARK}", &text[..room_for_mark]);
        }
        if used + MARK.len_utf8() <= limit {
            room_for_mark = at + c.len_utf8();
        }
    }
    text.to_owned()
}

/// The last `count` of a list that grows at its end.
pub(super) fn newest<T>(list: &[T], count: usize) -> &[T] {
    &list[list.len().saturating_sub(count)..]
}

/// The keys repaired most often, as many as fit.
pub(super) fn most_repaired(recent: &BTreeMap<KeyPath, Vec<Timestamp>>) -> impl Iterator<Item = (&KeyPath, &Vec<Timestamp>)> {
    const ONE_TIME: usize = 27;
    let mut by_count: Vec<_> = recent.iter().collect();
    by_count.sort_by_key(|(_, times)| Reverse((times.len(), times.last().copied())));
    within(by_count, REPAIRS, |(key, times)| 2 * key.as_str().len() + ONE_TIME * times.len() + 8)
}

/// The contested keys that are due first, as many as fit.
pub(super) fn due_first(contested: &BTreeMap<KeyPath, Contested>) -> impl Iterator<Item = (&KeyPath, &Contested)> {
    const DIGESTS: usize = 240;
    let mut by_time: Vec<_> = contested.iter().collect();
    by_time.sort_by_key(|(_, fight)| fight.next);
    within(by_time, CONTESTED, |(key, _)| 2 * key.as_str().len() + DIGESTS)
}

/// The keys that a rollback left, as many as fit, and the number of the others: one that left anything is never proven, so
/// the list may shrink but not vanish.
pub(super) fn some_of(except: &[String]) -> Vec<String> {
    let cut_texts = except.iter().map(|text| cut(text, LONGEST_REASON));
    let mut kept: Vec<String> = within(cut_texts, EXCEPT, |text| 2 * text.len() + 4).collect();
    if kept.len() < except.len() {
        kept.push(format!("and {} more", except.len() - kept.len()));
    }
    kept
}

/// The first keys that fit. One that had drifted before an attempt and is forgotten stands in the way of its proof: the
/// attempt is then held as unproven, which is the safe side. One that was denied and is forgotten is not asked about: a yes to
/// the others means one more try.
pub(super) fn some_keys(keys: &BTreeSet<KeyPath>) -> impl Iterator<Item = &KeyPath> {
    within(keys, KEYS, |key| 2 * key.as_str().len() + 4)
}

/// The first items whose costs stay within the budget.
fn within<T>(items: impl IntoIterator<Item = T>, budget: usize, cost: impl Fn(&T) -> usize) -> impl Iterator<Item = T> {
    let mut used = 0;
    items.into_iter().take_while(move |item| {
        used += cost(item);
        used <= budget
    })
}
