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
    check("batch 1, commit good, pass", expect!["a000001 pending: applying (1)"]);
    check("commit good, wait 3", expect!["a000001 pending: applied; its checks decide (1)"]);
    check("commit good, settle", expect!["a000001 success: proven: healthy (build passed for 4 s) (1)"]);
    check("commit good, settle, commit readme, settle", expect!["a000001 success: proven: healthy (build passed for 4 s) (1)"]);
}

#[test]
fn a_bad_commit_fails_with_the_evidence_and_where_the_environment_is_now() {
    let bad = "commit good, settle, commit a=2 bad";
    check(
        &format!("{bad}, settle"),
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001: build failed at the deadline: got 503 (3)"#]],
    );
    check(
        &format!("{bad}, settle, commit a=3 bad, settle"),
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001: build failed at the deadline: got 503 (3)
        a000003 failure: rolled back to a000001: build failed at the deadline: got 503 (5)"#]],
    );
    check(
        &format!("{bad}, settle, commit readme, settle"),
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001: build failed at the deadline: got 503 (3)
        a000003 failure: rejected as a000002: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test`…"#]],
    );
    check(
        "commit bad, settle",
        expect!["a000001 failure: unhealthy: build failed at the deadline: got 503; nothing to go back to (1)"],
    );
    check(
        "commit good, settle, commit a=2 unknown, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 pending: not proven yet: build could not be checked: no answer from Consul (2)"#]],
    );
}

#[test]
fn a_commit_that_a_newer_one_overtakes_is_closed_without_a_verdict() {
    check(
        "commit good, settle, commit a=2 bad, wait 2, commit a=3, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 error: superseded by a000003 before it was proven (2)
        a000003 failure: rolled back to a000001: build failed at the deadline: got 503 (4)"#]],
    );
}

#[test]
fn what_is_not_followed_says_why_and_what_moves_on() {
    let frozen = "commit good, settle, commit a=2 bad, build sick, settle";
    check(
        frozen,
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001, unhealthy too: frozen: build failed at the deadline: got 500 (3)"#]],
    );
    check(
        "commit good, settle, commit invalid, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: invalid: 1 problem: environment.yaml:1"#]],
    );
    check(
        "commit good, settle, ask suspend, commit a=2, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 pending: waiting, suspended by Grace: to see"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001: asked for by Grace: to see (3)"#]],
    );
    check(
        "commit good, settle, commit retired, settle",
        expect!["a000001 success: proven: healthy (build passed for 4 s) (1)"],
    );
}

#[test]
fn a_revert_is_told_that_its_state_is_live() {
    let reverted = "commit good, settle, commit a=2 bad, settle, revert, settle";
    check(
        reverted,
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001: build failed at the deadline: got 503 (3)
        a000003 success: in step, unchanged since a000001 (3)"#]],
    );
    check(
        &format!("{reverted}, commit readme, settle"),
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001: build failed at the deadline: got 503 (3)
        a000003 success: in step, unchanged since a000001 (3)"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 22, revert, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001: build failed at the deadline: got 503 (3)
        a000003 success: in step, unchanged since a000001 (3)"#]],
    );
    check(
        "commit good, settle, commit invalid, settle, revert, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000003 success: in step, unchanged since a000001 (1)"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, revert, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 success: proven: healthy (build passed for 4 s) (2)
        a000003 success: proven: healthy (build passed for 4 s) (3)"#]],
    );
}

#[test]
fn what_waits_for_a_frozen_environment_names_the_trailer() {
    check(
        "commit good, settle, commit a=2 bad, build sick, settle, commit a=3, settle",
        expect![[r#"
        a000001 success: proven: healthy (build passed for 4 s) (1)
        a000002 failure: rolled back to a000001, unhealthy too: frozen: build failed at the deadline: got 500 (3)
        a000003 pending: waiting, frozen: a commit with the trailer `Lockstep-Release: test` moves on"#]],
    );
}

#[test]
fn where_every_commit_is_to_have_a_status_one_that_changes_nothing_has_it_too() {
    let said = |sentence: &str| {
        let record = rollout_after(sentence);
        let head = Revision::parse(&"d".repeat(40)).unwrap();
        let said = commit_statuses(&record, &history_after(sentence), Some(head));
        said.get(&head).map(|status| format!("{}: {}", status.state.word(), status.text)).unwrap_or_default()
    };
    for (sentence, expected) in [
        ("commit good, settle", "success: in step, unchanged since a000001"),
        ("commit good, wait 3", "pending: in step with a000001, which is not proven yet"),
        ("commit bad, settle", "pending: in step with a000001, which is not proven yet"),
        ("commit good, settle, commit a=2 bad, settle", "success: in step, unchanged since a000001"),
    ] {
        assert_eq!(said(sentence), expected, "{sentence}");
    }
}

#[test]
fn a_frozen_environment_names_the_trailer_whatever_its_name() {
    let name = "n".repeat(63);
    let text = format!("waiting, frozen: a commit with the trailer `Lockstep-Release: {name}` moves on");
    assert_eq!(CommitStatus::new(StatusState::Pending, &text).text, text);
}
