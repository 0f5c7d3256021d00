//! What the branch head is to an environment: followed, waited with, refused, or not believed (rules R2, R3, R6, R7, G3, S1).

use expect_test::expect;

use super::{check, rollout_after};

use crate::domain::rollout::HeadVerdict;

#[test]
fn a_readme_commit_moves_nothing() {
    check(
        "commit good, settle, commit readme, settle",
        expect![[r#"
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
    // On top of a bad one it is still bad.
    check(
        "commit good, settle, commit a=2 bad, settle, commit readme, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 10, commit readme, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_change_of_checks_alone_is_an_attempt() {
    check(
        "commit good, settle, commit ?second, settle",
        expect![[r#"
        steady r2
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_revert_of_the_bad_commit_is_in_step_at_once() {
    check(
        "commit good, settle, commit a=2 bad, settle, revert, settle",
        expect![[r#"
        steady r1, rejected r2
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_rejected_digest_stays_rejected_across_restarts_and_reverts_of_reverts() {
    check(
        "commit good, settle, commit a=2 bad, settle, take over, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, settle, revert, settle, revert, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_retry_trailer_counts_once_and_only_after_the_rejection() {
    check(
        "commit good, settle, commit a=2 bad, settle, commit readme +Retry=test, settle",
        expect![[r#"
        held-after-rollback r1, rejected r3
        head rejected: rejected as r3: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy
        4. advance r3 by Ada: rolled-back: build failed at the deadline: got 503
        5. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, build sick, settle, ask release, build well, settle",
        expect![[r#"
            steady r2
            live: a=2 health=good
            done: released r2; ended the freeze
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
            3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500
            4. release r2 by Grace: done: released r2; ended the freeze
            5. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad +Retry=test, settle, commit readme +Retry=production, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_retry_that_is_healthy_is_proven_and_no_longer_rejected() {
    let healed = "commit good, settle, commit a=2 ?late, late sick, settle, late well";
    check(
        &format!("{healed}, settle"),
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: late failed at the deadline: got 500; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: late failed at the deadline: got 500
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        &format!("{healed}, commit readme +Retry=test, settle"),
        expect![[r#"
        steady r3
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: late failed at the deadline: got 500
        3. rollback r1 by lockstep: proven: healthy
        4. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{healed}, ask release r2, settle"),
        expect![[r#"
            steady r2
            live: a=2 health=good
            done: released r2
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: late failed at the deadline: got 500
            3. rollback r1 by lockstep: proven: healthy
            4. release r2 by Grace: done: released r2
            5. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{healed}, ask release r1, settle"),
        expect![[r#"
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: late failed at the deadline: got 500; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good
            done: nothing to do: r1 is not rejected here; the head is still not followed: rejected as r2: late failed at the deadline: got 500; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: late failed at the deadline: got 500
            3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn the_newest_commit_supersedes_while_applying() {
    check(
        "commit good, settle, batch 2, commit a=2 b=2 c=2 d=2, pass, show, commit a=3, settle",
        expect![[r#"
        applying r2, complete r1, good r1
        live: a=2 b=2 health=good
        --
        steady r3
        live: a=3 b=2 c=2 d=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_push_during_a_failing_verification_supersedes_at_once() {
    check(
        "commit good, settle, commit a=2 bad, wait 10, commit a=3 good, wait 1, show, settle",
        expect![[r#"
        verifying r3, good r1
        waits: build was not sampled yet
        live: a=3 health=good
        --
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, build blind, wait 10, commit a=3, wait 1",
        expect![[r#"
        verifying r3, good r1
        waits: build was not sampled yet
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: under way"#]],
    );
}

#[test]
fn a_push_during_a_passing_verification_waits_for_the_proof() {
    check(
        "commit good, settle, commit a=2, wait 4, commit a=3, wait 1, show, wait 2, show, settle",
        expect![[r#"
        verifying r2, good r1
        waits: healthy for 2 s more to be proven
        live: a=2 health=good
        --
        verifying r3, good r2
        waits: build was not sampled yet
        live: a=3 health=good
        --
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_fix_that_comes_at_the_verdict_needs_no_detour() {
    check(
        "commit good, settle, commit a=2, wait 4, build sick, wait 2, commit a=3, wait 1, build well, settle",
        expect![[r#"
        steady r3, rejected r2
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_push_during_a_rollback_waits_for_its_writes() {
    let turning = "commit good b=1 c=1, settle, commit a=2 b=2 c=2 bad, wait 20, batch 1, tick, pass";
    check(
        &format!("{turning}, show, commit a=3 good, pass, show, settle"),
        expect![[r#"
        applying r1, complete r2, rejected r2
        live: a=1 b=2 c=2 health=bad
        --
        applying r1, complete r2, rejected r2
        live: a=1 b=1 c=2 health=bad
        --
        steady r3, rejected r2
        live: a=3 b=2 c=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: superseded: superseded by r3
        4. advance r3 by Ada: proven: healthy"#]],
    );
    let failing = "commit good, settle, commit a=2 bad, wait 21, unreachable, commit a=3 good, wait 2, show";
    check(
        &format!("{failing}, reachable, settle"),
        expect![[r#"
        verifying r1, rejected r2
        waits: healthy for 4 s more to be proven
        live: a=1 health=good
        --
        steady r3, rejected r2
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy
        4. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 10, deny b, commit b=1 good, wait 2, show, settle",
        expect![[r#"
            verifying r2, good r1, not permitted: permission denied
            because: not passing: build (got 503)
            head refused: permission denied
            waits: build fails: got 503
            live: a=2 health=bad
            --
            held-refused r1, rejected r2, not permitted: permission denied
            head refused: permission denied
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn an_invalid_refused_or_retired_head_interrupts_nothing() {
    check(
        "commit good, settle, commit a=2, wait 3, commit invalid, settle",
        expect![[r#"
        held-refused r2
        head invalid: 1 problem: environment.yaml:1
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 3, commit retired, settle",
        expect![[r#"
        steady r2
        head retired: r3 has no environment test; nothing is written or deleted
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, theirs b, commit a=2 bad, wait 10, commit b=1, settle",
        expect![[r#"
            held-refused r1, rejected r2
            head refused: b: owned by lockstep owner 8 (another repository or environment); nothing was written. A key has one owner: take it out of this repository, or out of the other one, which Consul's key `lockstep/owners/8` names
            live: a=1 b=theirs(theirs) health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit invalid, settle, commit a=3, settle",
        expect![[r#"
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_retired_environment_is_left_as_it_is() {
    check(
        "commit good, settle, commit retired, settle, by hand a=9, settle",
        expect![[r#"
        steady r1
        head retired: r2 has no environment test; nothing is written or deleted
        live: a=9(unmarked) health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_is_judged_when_the_environment_is_retired_is_left_too_and_not_proven_with_keys_of_others() {
    check(
        "commit good, wait 3, commit retired, wait 1, by hand a=9, settle",
        expect![[r#"
        held-unproven r1, good none, unproven drifted
        because: healthy, but changed by hand meanwhile: a
        head retired: r2 has no environment test; nothing is written or deleted
        live: a=9(unmarked) health=good
        1. advance r1 by Ada: unproven: healthy, but changed by hand meanwhile: a"#]],
    );
}

#[test]
fn a_rewind_is_believed_only_when_two_fetches_agree() {
    check(
        "commit good, settle, commit a=2, settle, rewind r1, settle, show, believe, settle",
        expect![[r#"
        steady r2
        head not-believed: the branch went to r1, which does not contain the commit followed so far; it is believed when the next fetch agrees
        live: a=2 health=good
        --
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, fork r1 a=3, settle, show, believe, settle",
        expect![[r#"
        steady r2
        head not-believed: the branch went to r3, which does not contain the commit followed so far; it is believed when the next fetch agrees
        live: a=2 health=good
        --
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 3, rewind r1, settle",
        expect![[r#"
        steady r2
        head not-believed: the branch went to r1, which does not contain the commit followed so far; it is believed when the next fetch agrees
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_is_built_on_a_rewritten_branch_that_left_the_environment_where_it_was_is_no_rewind() {
    check(
        "commit good, settle, commit a=2, settle, fork r1 a=2, settle, show, believe, settle, commit readme, settle",
        expect![[r#"
            steady r2
            head not-believed: the branch went to r3, which does not contain the commit followed so far; it is believed when the next fetch agrees
            live: a=2 health=good
            --
            steady r2
            live: a=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask rollback r1, settle, fork r1 a=2, settle, show, believe, settle, commit readme, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head not-believed: the branch went to r3, which does not contain the commit followed so far; it is believed when the next fetch agrees
            live: a=1 health=good
            --
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask suspend, settle, fork r1 a=3, settle, show, believe, settle, commit readme, settle",
        expect![[r#"
            steady r2, suspended by Grace
            head not-believed: the branch went to r3, which does not contain the commit followed so far; it is believed when the next fetch agrees
            live: a=2 health=good
            --
            steady r2, suspended by Grace
            head suspended: suspended by Grace: to see
            live: a=2 health=good
            done: suspended until `lockstep resume test`
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`"#]],
    );
}

#[test]
fn a_rewritten_branch_whose_head_is_not_followed_is_written_down_once_and_what_mends_it_is_no_rewind() {
    for (word, verdict) in
        [("unfit", HeadVerdict::Refused), ("invalid", HeadVerdict::Invalid), ("retired", HeadVerdict::Retired)]
    {
        let rewritten = format!("commit good, settle, commit a=2, settle, fork r1 a=2 {word}, settle, believe, settle");
        let note = rollout_after(&rewritten).note.map(|note| note.verdict);
        assert_eq!(note, Some(verdict), "{rewritten}");
        let mended = format!("{rewritten}, commit readme, settle");
        assert_eq!(rollout_after(&mended).note, None, "{mended}");
    }
}

#[test]
fn a_branch_that_is_gone_takes_nothing_away() {
    check(
        "commit good, settle, branch gone, settle, by hand a=9, settle",
        expect![[r#"
        steady r1
        head not-believed: the branch does not exist any more
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn a_goal_that_is_not_in_the_mirror_is_fetched_and_not_decided_about() {
    check(
        "commit good, settle, batch 1, commit a=2 b=2, pass, lose r2, wait 5, show, find r2, settle",
        expect![[r#"
            applying r2, complete r1, good r1
            waits: r2 is in no mirror; bring it back into the branch, which is fetched again, or commit a fix
            live: a=2 health=good
            --
            steady r2
            live: a=2 b=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy"#]],
    );
}
