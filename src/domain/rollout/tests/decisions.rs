//! What people decided is found later, with who and why, and what it means meanwhile is said (rules R4, R11).

use expect_test::expect;

use super::check;

#[test]
fn what_people_decide_is_in_history_and_what_changes_nothing_is_not() {
    check(
        "commit good, settle, commit a=2 bad, settle, ask release r2, settle, ask suspend, wait 1, ask resume, wait 1, ask resume, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good
            done: released r2
            done: suspended until `lockstep resume test`
            done: resumed; the head is still not followed: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            done: nothing to do: it is neither suspended nor pinned; the head is still not followed: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy
            4. release r2 by Grace: done: released r2
            5. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            6. rollback r1 by lockstep: proven: healthy
            7. suspend r1 by Grace: done: suspended until `lockstep resume test`
            8. resume r1 by Grace: done: resumed"#]],
    );
    check(
        "commit good @drift=report, settle, by hand a=9, wait 1, ask overwrite drift, settle, ask release r1, settle, ask suspend 5, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good
            done: drift is put right once
            done: nothing to do: r1 is not rejected here
            done: suspended until 1970-01-12 13:51:27Z
            1. advance r1 by Ada: proven: healthy
            2. overwrite-drift r1 by Grace: done: drift is put right once
            3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            4. suspend r1 by Grace: done: suspended until 1970-01-12 13:51:27Z"#]],
    );
    // An allowance that never came to its head is found later all the same.
    check(
        "commit good k*100, settle, commit -k*, settle, ask release deletes 100, pass, commit k*100, settle",
        expect![[r#"
        steady r1
        live: a=1 health=good k/…×100
        done: r2 may delete 100 keys more
        1. advance r1 by Ada: proven: healthy
        2. release r2 by Grace: done: r2 may delete 100 keys more"#]],
    );
}

#[test]
fn a_numbered_decision_in_the_middle_of_an_attempt_leaves_its_marks_true() {
    check(
        "commit good b=1, settle, batch 1, commit a=2 b=2 c=2, pass, ask suspend, wait 2, ask release, wait 1, ask resume, settle, by hand c=9, settle",
        expect![[r#"
            steady r2
            live: a=2 b=2 c=2 health=good
            done: suspended until `lockstep resume test`
            done: nothing to do: nothing is rejected, refused or frozen here
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. resume r2 by Grace: done: resumed
            5. repair r2 by lockstep: repaired: c: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn what_drifted_while_suspended_is_proven_only_once_it_is_put_right() {
    check(
        "commit good, settle, commit a=2, wait 4, ask suspend, wait 1, by hand a=9, settle, show, ask resume, settle",
        expect![[r#"
            held-unproven r2, good r1, unproven drifted, suspended by Grace
            because: healthy, but changed by hand meanwhile: a
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 d4735e3a…)
            live: a=9(unmarked) health=good
            --
            steady r2
            live: a=2 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: unproven: healthy, but changed by hand meanwhile: a
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. resume r2 by Grace: done: resumed
            5. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn drift_while_suspended_is_said_with_both_sides_in_every_phase_and_forgotten_when_it_is_put_right() {
    check(
        "commit good b=1!sensitive c=1, settle, ask suspend, wait 1, by hand a=9 b=9 -c, wait 1, show, ask resume, settle",
        expect![[r#"
            steady r1, suspended by Grace
            drift of 3: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…), b (changed; its value is sensitive), c (deleted, wanted sha256 6b86b273…)
            live: a=9(unmarked) b=9(unmarked) health=good
            --
            steady r1
            live: a=1 b=1 c=1 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. resume r1 by Grace: done: resumed
            4. repair r1 by lockstep: repaired: a, b: written by somebody else (mark lost); c: deleted by hand"#]],
    );
    check(
        "commit bad, settle, ask suspend, wait 1, by hand a=9, settle, show, ask resume, settle",
        expect![[r#"
            held-unproven r1, good none, unproven nothing-to-go-back-to, suspended by Grace
            because: build failed at the deadline: got 503; nothing to go back to
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) health=bad
            --
            held-unproven r1, good none, unproven nothing-to-go-back-to
            because: build failed at the deadline: got 503; nothing to go back to
            live: a=1 health=bad
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: unproven: build failed at the deadline: got 503; nothing to go back to
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. resume r1 by Grace: done: resumed
            4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good, wait 4, ask suspend, wait 1, by hand a=9, wait 1, show, ask resume, settle",
        expect![[r#"
            verifying r1, good none, suspended by Grace
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            waits: healthy for 1 s more to be proven
            live: a=9(unmarked) health=good
            --
            steady r1
            live: a=1 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. resume r1 by Grace: done: resumed
            4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good, settle, ask suspend 30, wait 1, by hand a=9, wait 1, show, wait 40",
        expect![[r#"
            steady r1, suspended by Grace
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) health=good
            --
            steady r1
            live: a=1 health=good
            done: suspended until 1970-01-12 13:48:48Z
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until 1970-01-12 13:48:48Z
            3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    // What an attempt has not written yet did not drift.
    check(
        "commit good b=1, settle, batch 1, commit a=2 b=2, pass, ask suspend, settle",
        expect![[r#"
        applying r2, complete r1, good r1, suspended by Grace
        waits: suspended while applying
        live: a=2 b=1 health=good
        done: suspended until `lockstep resume test`
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: under way
        3. suspend r2 by Grace: done: suspended until `lockstep resume test`"#]],
    );
}

#[test]
fn on_the_oldest_proven_revision_going_back_says_so_and_what_else_could_be_done() {
    check(
        "commit good, settle, ask rollback, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good
            refused: it is on r1, and nothing older that was proven here is left to go back to; `lockstep history test` shows what was tried. To leave r1, commit a change or a `git revert`
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit bad, settle, ask rollback, settle",
        expect![[r#"
        held-unproven r1, good none, unproven nothing-to-go-back-to
        because: build failed at the deadline: got 503; nothing to go back to
        live: a=1 health=bad
        refused: it is on r1, and nothing was proven here yet: commit a fix, or take the change back with `git revert`
        1. advance r1 by Ada: unproven: build failed at the deadline: got 503; nothing to go back to"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle, ask rollback, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            refused: it is on r1, and nothing older that was proven here is left to go back to; `lockstep history test` shows what was tried. To leave r1, commit a change or a `git revert`, or follow the branch again: `lockstep resume test`
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle, ask rollback r1, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            done: nothing to do: it is on r1 already, and stays there
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy"#]],
    );
}

#[test]
fn going_back_while_suspended_says_what_it_waits_for() {
    check(
        "commit good, settle, commit a=2, settle, ask suspend, wait 1, ask rollback, settle",
        expect![[r#"
            applying r1, complete r2, rejected r2, pinned by Grace, suspended by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=2 health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r2 to r1; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. rollback r1 by Grace: under way"#]],
    );
}

#[test]
fn a_decision_is_in_history_under_a_revision_that_it_is_about() {
    // What was released, not where the environment is.
    check(
        "commit good, settle, commit bad, settle, commit bad a=2, settle, ask release, settle",
        expect![[r#"
        held-after-rollback r1, rejected r3
        head rejected: rejected as r3: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        done: released r2, r3
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy
        4. advance r3 by Ada: rolled-back: build failed at the deadline: got 503
        5. rollback r1 by lockstep: proven: healthy
        6. release r3 by Grace: done: released r2, r3
        7. advance r3 by Ada: rolled-back: build failed at the deadline: got 503
        8. rollback r1 by lockstep: proven: healthy"#]],
    );
    // Nothing was applied yet: the head, whatever is wrong with it.
    check(
        "commit invalid, settle, ask suspend, wait 1, ask resume, settle",
        expect![[r#"
        held-refused
        head invalid: 1 problem: environment.yaml:1
        live: 
        done: suspended until `lockstep resume test`
        done: resumed; the head is still not followed: 1 problem: environment.yaml:1
        1. suspend r1 by Grace: done: suspended until `lockstep resume test`
        2. resume r1 by Grace: done: resumed"#]],
    );
    // There is no commit that a line could name.
    check(
        "branch gone, ask suspend, wait 1, ask resume, settle",
        expect![[r#"
        idle
        head not-believed: the branch does not exist any more
        live: 
        done: suspended until `lockstep resume test`
        done: resumed; the head is still not followed: the branch does not exist any more"#]],
    );
}

#[test]
fn what_changes_nothing_is_called_so_by_the_answer_itself() {
    let changed = |sentence: &str| super::answers_after(sentence).into_iter().map(|answer| answer.changed).collect::<Vec<_>>();
    assert_eq!(
        changed("commit good, settle, ask suspend, wait 1, ask resume, wait 1, ask resume, settle"),
        [true, true, false]
    );
    assert_eq!(changed("commit good, settle, ask rollback r1, settle, ask rollback, settle"), [false, false]);
    assert_eq!(
        changed("commit good @drift=report, settle, by hand a=9, wait 1, ask resume, ask overwrite drift, settle, ask release"),
        [false, true]
    );
}

#[test]
fn the_same_suspension_again_changes_nothing_and_another_word_on_it_does() {
    check(
        "commit good, settle, ask suspend, wait 1, ask suspend, wait 1, ask suspend by Bob, settle",
        expect![[r#"
        steady r1, suspended by Bob
        live: a=1 health=good
        done: suspended until `lockstep resume test`
        done: nothing to do: suspended until `lockstep resume test`
        done: suspended until `lockstep resume test`
        1. advance r1 by Ada: proven: healthy
        2. suspend r1 by Grace: done: suspended until `lockstep resume test`
        3. suspend r1 by Bob: done: suspended until `lockstep resume test`"#]],
    );
    // One that ran out is none.
    check(
        "commit good, settle, ask suspend 5, wait 9, ask suspend, settle",
        expect![[r#"
        steady r1, suspended by Grace
        live: a=1 health=good
        done: suspended until 1970-01-12 13:48:23Z
        done: suspended until `lockstep resume test`
        1. advance r1 by Ada: proven: healthy
        2. suspend r1 by Grace: done: suspended until 1970-01-12 13:48:23Z
        3. suspend r1 by Grace: done: suspended until `lockstep resume test`"#]],
    );
}

#[test]
fn what_a_person_decided_is_in_the_record_with_what_it_means_for_the_head_before_the_next_pass() {
    let back = "commit good, settle, commit a=2, settle, ask rollback, settle";
    check(
        &format!("{back}, ask suspend, pass, show, ask resume, pass, show, ask resume, pass"),
        expect![[r#"
        held-after-rollback r1, rejected r2, pinned by Grace, suspended by Grace
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 health=good
        --
        held-after-rollback r1, rejected r2, pinned by Grace
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 health=good
        --
        steady r1
        live: a=1 health=good
        done: rolling back from r2 to r1
        done: suspended until `lockstep resume test`
        done: resumed; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        done: unpinned; r2 may be tried again
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. rollback r1 by Grace: proven: healthy
        4. suspend r1 by Grace: done: suspended until `lockstep resume test`
        5. resume r1 by Grace: done: resumed; still pinned by a rollback of Grace
        6. resume r1 by Grace: done: unpinned; r2 may be tried again"#]],
    );
    check(
        "commit good, settle, ask suspend, wait 1, commit a=2, wait 1, ask resume, pass",
        expect![[r#"
        steady r1
        live: a=1 health=good
        done: suspended until `lockstep resume test`
        done: resumed
        1. advance r1 by Ada: proven: healthy
        2. suspend r1 by Grace: done: suspended until `lockstep resume test`
        3. resume r1 by Grace: done: resumed"#]],
    );
    check(
        "commit good k*100, settle, commit -k*, settle, ask release deletes 100, pass",
        expect![[r#"
        steady r1, permit for r2: 100 deletes by Grace
        live: a=1 health=good k/…×100
        done: r2 may delete 100 keys more
        1. advance r1 by Ada: proven: healthy
        2. release r2 by Grace: done: r2 may delete 100 keys more"#]],
    );
    check(
        "commit good k*100, settle, commit -k*, settle, ask suspend, pass, show, ask resume, pass",
        expect![[r#"
            steady r1, suspended by Grace
            head suspended: suspended by Grace: to see
            live: a=1 health=good k/…×100
            --
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            live: a=1 health=good k/…×100
            done: suspended until `lockstep resume test`
            done: resumed; the head is still not followed: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. resume r1 by Grace: done: resumed"#]],
    );
}

#[test]
fn drift_that_is_there_still_is_said_until_it_is_put_right() {
    check(
        "commit good, settle, ask suspend, wait 1, by hand a=9, wait 1, ask resume, pass, show, settle",
        expect![[r#"
        steady r1
        drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        live: a=9(unmarked) health=good
        --
        steady r1
        live: a=1 health=good
        done: suspended until `lockstep resume test`
        done: resumed
        1. advance r1 by Ada: proven: healthy
        2. suspend r1 by Grace: done: suspended until `lockstep resume test`
        3. resume r1 by Grace: done: resumed
        4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good, settle, ask suspend 30, wait 1, by hand a=9, wait 28, tick, pass, show, settle",
        expect![[r#"
        steady r1
        drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        live: a=9(unmarked) health=good
        --
        steady r1
        live: a=1 health=good
        done: suspended until 1970-01-12 13:48:48Z
        1. advance r1 by Ada: proven: healthy
        2. suspend r1 by Grace: done: suspended until 1970-01-12 13:48:48Z
        3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 4, ask suspend, wait 1, by hand a=9, wait 1, ask resume, pass, show, settle",
        expect![[r#"
            verifying r2, good r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 d4735e3a…)
            live: a=9(unmarked) health=good
            --
            steady r2
            live: a=2 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. resume r2 by Grace: done: resumed
            5. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn an_allowance_is_named_in_history_only_by_what_it_let_pass() {
    let because = |sentence: &str| super::history_after(sentence).into_iter().map(|line| line.because).collect::<Vec<_>>();
    let many = "commit good k*100, settle, commit -k*, settle, ask suspend, pass";
    for (asked, expected) in [
        ("ask release deletes 100", "change 2 (100 more deletes allowed by Grace: to see)"),
        ("ask release override", "change 2 (gates overridden by Grace: to see)"),
        ("ask release deletes 100, pass, ask release override", "change 2 (100 more deletes allowed by Grace: to see)"),
        ("ask release deletes 1, pass, ask release override", "change 2 (gates overridden by Grace: to see)"),
    ] {
        let lines = because(&format!("{many}, {asked}, pass, ask resume, settle"));
        assert_eq!(lines.last().unwrap(), expected, "{asked}");
    }
    let lines = because(
        "commit good, settle, ask suspend, wait 1, commit a=2, wait 1, ask release deletes 9, pass, ask resume, settle",
    );
    assert_eq!(lines.last().unwrap(), "change 2", "it needed none");
}

#[test]
fn a_restored_target_is_noted_under_no_commit_where_there_is_none() {
    check(
        "branch gone, settle, snapshot, wait 1, restore, settle",
        expect![[r#"
        idle
        head not-believed: the branch does not exist any more
        live: "#]],
    );
}
