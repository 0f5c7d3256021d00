//! A rollback that fails too: no automatic move any more, and what ends that (rules R5, R6).

use expect_test::expect;

use super::check;

#[test]
fn a_rollback_that_is_unhealthy_freezes_and_is_never_rolled_back() {
    check(
        "commit good, settle, commit a=2 bad, build sick, settle, show, build well, settle",
        expect![[r#"
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        --
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
        3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
}

#[test]
fn a_rollback_that_can_not_be_told_is_held_and_frozen_when_it_turns_out_unhealthy() {
    check(
        "commit good, settle, commit a=2 bad, wait 21, build blind, settle, show, build sick, settle",
        expect![[r#"
        held-unproven r1, rejected r2, unproven rollback-unknown
        because: build could not be checked: no leader
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        --
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: unproven: build could not be checked: no leader"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 21, build blind, settle, build well, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: unproven: build could not be checked: no leader"#]],
    );
}

#[test]
fn a_freeze_ends_by_a_person_or_by_a_commit_that_says_so_and_by_nothing_else() {
    let frozen = "commit good, settle, commit a=2 bad, build sick, settle, build well";
    check(
        &format!("{frozen}, commit a=3 good, settle"),
        expect![[r#"
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
        3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
    check(
        &format!("{frozen}, commit a=3 good +Release=test, settle"),
        expect![[r#"
        steady r3, rejected r2
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
        3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500
        4. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{frozen}, commit a=3 good +Release=production, settle"),
        expect![[r#"
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
        3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
    check(
        &format!("{frozen}, commit a=3 good, settle, ask release, settle"),
        expect![[r#"
            steady r3
            live: a=3 health=good
            done: released r2; ended the freeze
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
            3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500
            4. release r2 by Grace: done: released r2; ended the freeze
            5. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{frozen}, by hand a=9, settle, take over, settle"),
        expect![[r#"
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
        3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500
        4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn a_freeze_is_not_ended_by_a_trailer_from_before_it() {
    check(
        "commit good, settle, commit a=2 bad +Release=test, build sick, settle, build well, settle",
        expect![[r#"
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
        3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
}

#[test]
fn a_freeze_is_not_ended_by_what_a_rewritten_branch_said_already_before_it_was_believed() {
    check(
        "commit good, settle, commit a=2 bad, build sick, wait 3, fork r1 a=3 +Release=test, settle, show, build well, \
         commit a=4, believe, settle, show, commit a=5 +Release=test, believe, settle",
        expect![[r#"
            frozen r1, rejected r2
            because: the rollback is unhealthy too: build failed at the deadline: got 500
            head not-believed: the branch went to r3, which does not contain the commit followed so far; it is believed when the next fetch agrees
            live: a=1 health=good
            --
            frozen r1, rejected r2
            because: the rollback is unhealthy too: build failed at the deadline: got 500
            head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
            live: a=1 health=good
            --
            steady r5, rejected r2
            live: a=5 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
            3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500
            4. advance r5 by Ada: proven: healthy"#]],
    );
}
