//! Checks that failed before: no commit is blamed for them (rule H5).

use expect_test::expect;

use super::check;

#[test]
fn a_check_that_failed_all_along_does_not_blame_the_commit() {
    check(
        "commit good ?other, settle, other sick, settle, commit a=2, wait 3, show, settle",
        expect![[r#"
        verifying r2, good r1, baseline other
        waits: healthy for 4 s more to be proven
        live: a=2 health=good
        --
        steady r2
        because: failing now: other
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_superseding_attempt_and_the_rollback_inherit_it() {
    let sick = "commit good ?other, settle, other sick, settle, commit a=2 bad";
    check(
        &format!("{sick}, settle"),
        expect![[r#"
        held-after-rollback r1, rejected r2
        because: failing now: other
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        &format!("{sick}, wait 10, commit a=3 good, wait 1, show, settle"),
        expect![[r#"
        verifying r3, good r1, baseline other
        waits: build was not sampled yet
        live: a=3 health=good
        --
        steady r3
        because: failing now: other
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{sick}, wait 10, take over, settle"),
        expect![[r#"
        held-after-rollback r1, rejected r2
        because: failing now: other
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_check_that_is_new_or_changed_counts_fully() {
    check(
        "commit good ?other, settle, other sick, settle, commit ?other=changed, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        because: failing now: other
        head rejected: rejected as r2: other failed at the deadline: got 500; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: other failed at the deadline: got 500
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit ?other, other sick, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: other failed at the deadline: got 500; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: other failed at the deadline: got 500
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_check_that_failed_only_lately_counts_fully() {
    check(
        "commit good ?other, settle, other sick, wait 1, commit a=2, settle",
        expect![[r#"
        frozen r1, rejected r2
        because: the rollback is unhealthy too: other failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: other failed at the deadline: got 500
        3. rollback r1 by lockstep: frozen: other failed at the deadline: got 500"#]],
    );
}

#[test]
fn a_rollback_that_a_person_asks_for_has_a_baseline_too() {
    check(
        "commit good ?other, settle, commit a=2, settle, other sick, settle, ask rollback, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2, pinned by Grace
        because: failing now: other
        head pinned: pinned by Grace (to see); a newer change or `lockstep resume test` with `lockstep release test` moves on
        live: a=1 health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. rollback r1 by Grace: proven: healthy"#]],
    );
}
