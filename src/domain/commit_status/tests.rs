//! What a forge is told of each commit.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use expect_test::{Expect, expect};

use super::*;
use crate::domain::rollout::tests::{history_after, rollout_after};

/// The statuses at the end of a sentence.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check(sentence: &str, expected: Expect) {
    let said = commit_statuses(&rollout_after(sentence), &history_after(sentence), None);
    let lines = said.iter().map(|(revision, status)| {
        let number = status.generation.map_or(String::new(), |generation| format!(" ({})", generation.number()));
        assert!(status.text.chars().count() <= CommitStatus::LONGEST, "{}", status.text);
        format!("{} {}: {}{number}", revision.short(), status.state.word(), status.text)
    });
    expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_commit_is_pending_until_it_is_proven() {
    check("batch 1, commit good, pass", expect![[""]]);
    check("commit good, wait 3", expect![[""]]);
    check("commit good, settle", expect![[""]]);
    check("commit good, settle, commit readme, settle", expect![[""]]);
}

#[test]
fn a_bad_commit_fails_with_the_evidence_and_where_the_environment_is_now() {
    let bad = "commit good, settle, commit a=2 bad";
    check(&format!("{bad}, settle"), expect![[""]]);
    check(&format!("{bad}, settle, commit a=3 bad, settle"), expect![[""]]);
    check(&format!("{bad}, settle, commit readme, settle"), expect![[""]]);
    check("commit bad, settle", expect![[""]]);
    check("commit good, settle, commit a=2 unknown, settle", expect![[""]]);
}

#[test]
fn a_commit_that_a_newer_one_overtakes_is_closed_without_a_verdict() {
    check("commit good, settle, commit a=2 bad, wait 2, commit a=3, settle", expect![[""]]);
}

#[test]
fn what_is_not_followed_says_why_and_what_moves_on() {
    let frozen = "commit good, settle, commit a=2 bad, build sick, settle";
    check(frozen, expect![[""]]);
    check("commit good, settle, commit invalid, settle", expect![[""]]);
    check("commit good, settle, ask suspend, commit a=2, settle", expect![[""]]);
    check("commit good, settle, commit a=2, settle, ask rollback, settle", expect![[""]]);
    check("commit good, settle, commit retired, settle", expect![[""]]);
}

#[test]
fn a_frozen_environment_names_the_trailer_whatever_its_name() {
    let name = "n".repeat(63);
    let text = format!("waiting, frozen: a commit with the trailer `Lockstep-Release: {name}` moves on");
    assert_eq!(CommitStatus::new(StatusState::Pending, &text).text, text);
}
