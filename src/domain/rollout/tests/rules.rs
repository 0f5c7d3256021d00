//! What a commit says of deletes and drift alone: no attempt, and yet it holds (rules G4, R3, R10).

use expect_test::expect;

use super::check;

#[test]
fn limits_that_only_a_commit_of_their_own_loosens_hold_for_the_commit_after_it() {
    check(
        "commit good k*100, settle, commit @at_most=500 @percent=100, settle, show, commit -k*, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good k/…×100
            --
            steady r3
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good k*100, settle, commit -k* @at_most=500 @percent=100, settle, commit readme, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r3 --allow-deletes 100`
            live: a=1 health=good k/…×100
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn limits_that_are_tightened_hold_at_once() {
    check(
        "commit good k*20 @percent=100, settle, commit -k* @at_most=5, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 20 of 22 keys; deletes.at_most is 5 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 20`, or run `lockstep release test r2 --allow-deletes 20`
            live: a=1 health=good k/…×20
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good k*20 @percent=100, settle, commit @at_most=5, settle, commit -k* @at_most=50, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 20 of 22 keys; deletes.at_most is 5 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 20`, or run `lockstep release test r3 --allow-deletes 20`
            live: a=1 health=good k/…×20
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn drift_is_put_right_as_soon_as_a_commit_says_so_and_reported_as_soon_as_one_says_that() {
    check(
        "commit good @drift=report, settle, by hand a=9, settle, show, commit @drift=correct, settle",
        expect![[r#"
            steady r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) health=good
            --
            steady r1
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good, settle, commit @drift=report, settle, by hand a=9, settle",
        expect![[r#"
            steady r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_rollback_brings_back_the_rules_that_held_last() {
    check(
        "commit good b=1, settle, commit @drift=report, settle, commit a=2 bad @drift=correct, settle, by hand b=9, settle",
        expect![[r#"
            held-after-rollback r1, rejected r3
            drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head rejected: rejected as r3: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 b=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r3 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn rules_of_a_commit_that_was_forced_out_hold_no_longer() {
    check(
        "commit good, settle, commit @drift=report, settle, by hand a=9, settle, show, rewind r1, believe, lose r2, settle",
        expect![[r#"
            steady r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) health=good
            --
            steady r1
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}
