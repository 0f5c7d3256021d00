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
            2. advance r2 by Ada: proven: healthy, not counting other (failed before)"#]],
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
            3. rollback r1 by lockstep: proven: healthy, not counting other (failed before)"#]],
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
            3. advance r3 by Ada: proven: healthy, not counting other (failed before)"#]],
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
            3. rollback r1 by lockstep: proven: healthy, not counting other (failed before)"#]],
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
            3. rollback r1 by lockstep: proven: healthy, not counting other (failed before)"#]],
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
fn whoever_has_just_begun_to_lead_finds_out_first_what_fails_already() {
    // Restarted beside a commit that came meanwhile: `other` failed before it.
    check(
        "commit good ?other, settle, other sick, settle, commit a=2, take over, wait 1, show, settle",
        expect![[r#"
        steady r1
        because: failing now: other
        waits: sampling the checks of last good, so that what fails already does not count against the commit
        live: a=1 health=good
        --
        steady r2
        because: failing now: other
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy, not counting other (failed before)"#]],
    );
    // What passes needs one sample.
    check(
        "commit good ?other, settle, commit a=2, take over, wait 1, show, settle",
        expect![[r#"
        verifying r2, good r1
        waits: build was not sampled yet
        live: a=2 health=good
        --
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    // A person who overrides every gate does not wait for this one.
    check(
        "commit good ?other, settle, other sick, settle, commit a=2 -?build -?other, settle, take over, ask release override, wait 1, show",
        expect![[r#"
            verifying r2, good r1
            waits: healthy for 6 s more to be proven
            live: a=2 health=good
            --
            verifying r2, good r1
            waits: healthy for 6 s more to be proven
            live: a=2 health=good
            done: r2 passes every gate
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 passes every gate
            3. advance r2 by Ada: under way"#]],
    );
    // Drift is put right meanwhile, and a person's request is carried out.
    check(
        "commit good ?other, settle, other sick, settle, by hand a=9, commit b=2, take over, wait 1, show, ask suspend, settle",
        expect![[r#"
            steady r1
            because: failing now: other
            waits: sampling the checks of last good, so that what fails already does not count against the commit
            live: a=1 health=good
            --
            steady r1, suspended by Grace
            because: failing now: other
            head suspended: suspended by Grace: to see
            live: a=1 health=good
            done: suspended until `lockstep resume test`
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            3. suspend r1 by Grace: done: suspended until `lockstep resume test`"#]],
    );
    // On last good after a rollback it is the same.
    check(
        "commit good ?other, settle, commit a=2 bad, settle, other sick, settle, commit a=3 good, take over, settle",
        expect![[r#"
            steady r3, rejected r2
            because: failing now: other
            live: a=3 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy
            4. advance r3 by Ada: proven: healthy, not counting other (failed before)"#]],
    );
}

#[test]
fn what_says_nothing_is_waited_for_a_few_samples_and_a_minute_at_most() {
    check(
        "commit good ?other @fail_after=99, settle, other sick, settle, commit a=2, take over, wait 58, show, wait 3",
        expect![[r#"
            steady r1
            waits: sampling the checks of last good, so that what fails already does not count against the commit
            live: a=1 health=good
            --
            verifying r2, good r1
            because: not passing: other (got 500)
            waits: other fails: got 500
            live: a=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: under way"#]],
    );
    check(
        "commit good ?other, settle, other blind, settle, commit a=2, take over, wait 4, show, settle",
        expect![[r#"
        verifying r2, good r1
        waits: build was not sampled yet
        live: a=2 health=good
        --
        held-unproven r2, good r1, unproven unknown
        because: other could not be checked: no leader
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: other could not be checked: no leader"#]],
    );
}

#[test]
fn a_rollback_that_a_person_asks_for_has_a_baseline_too() {
    check(
        "commit good ?other, settle, commit a=2, settle, other sick, settle, ask rollback, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            because: failing now: other
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy, not counting other (failed before)"#]],
    );
}

#[test]
fn a_repair_asks_for_its_own_generation_and_what_was_asked_before_is_no_baseline() {
    check(
        "commit good ?gen=generation, settle, by hand a=9, settle, show, by hand a=8, settle, commit a=2, wait 3, show, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good
            --
            verifying r2, good r1
            waits: healthy for 4 s more to be proven
            live: a=2 health=good
            --
            steady r2
            live: a=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            4. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good ?gen=generation, settle, by hand a=9, wait 9, commit ?gen=rotten, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: gen failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            3. advance r2 by Ada: rolled-back: gen failed at the deadline: got 503
            4. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_repair_while_verifying_asks_anew_and_does_not_restart_the_deadline() {
    check(
        "commit good ?gen=generation, settle, commit a=2, wait 4, by hand a=9, settle",
        expect![[r#"
            steady r2
            live: a=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good ?gen=generation, settle, commit a=2, wait 17, by hand a=9, wait 1, by hand a=8, wait 1, show, settle",
        expect![[r#"
            steady r2
            live: a=2 health=good
            --
            steady r2
            live: a=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)
            4. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good ?gen=generation, settle, commit bad a=2, wait 10, by hand a=9, wait 10, show, wait 1",
        expect![[r#"
            verifying r2, good r1
            because: not passing: build (got 503)
            waits: build fails: got 503
            live: a=2 health=bad
            --
            verifying r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            waits: build was not sampled yet
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)
            4. rollback r1 by lockstep: under way"#]],
    );
}

#[test]
fn a_proof_that_leaves_a_check_out_says_so() {
    check(
        "commit good, settle, build sick, settle, commit a=2, settle",
        expect![[r#"
            steady r2
            because: failing now: build
            live: a=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: no check counted: build failed before"#]],
    );
}
