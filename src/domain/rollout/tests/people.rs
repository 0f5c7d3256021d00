//! What people ask for: going back, pins, suspensions, releases (rules R11, L2).

use expect_test::expect;

use super::check;

#[test]
fn a_person_goes_back_and_pins_until_something_new_comes() {
    let back = "commit good, settle, commit a=2, settle, ask rollback, settle";
    check(
        back,
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        &format!("{back}, commit readme, settle"),
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        &format!("{back}, commit a=3, settle"),
        expect![[r#"
        steady r3, rejected r2
        live: a=3 health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. rollback r1 by Grace: proven: healthy
        4. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{back}, ask resume, settle"),
        expect![[r#"
            steady r2
            live: a=2 health=good
            done: rolling back from r2 to r1
            done: unpinned; r2 may be tried again
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy
            4. resume r1 by Grace: done: unpinned; r2 may be tried again
            5. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{back}, ask release, settle, show, ask resume, settle"),
        expect![[r#"
            held-after-rollback r1, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            --
            steady r2
            live: a=2 health=good
            done: rolling back from r2 to r1
            done: released r2; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            done: unpinned
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy
            4. release r2 by Grace: done: released r2
            5. resume r1 by Grace: done: unpinned
            6. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn resuming_takes_back_what_going_back_rejected_and_no_other_rejection() {
    // One rollback after the other: neither was meant to outlive the stay.
    check(
        "commit good, settle, commit a=2, settle, commit a=3, settle, ask rollback, settle, ask rollback, settle, show, ask resume, settle",
        expect![[r#"
            held-after-rollback r1, rejected r3 r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            --
            steady r3
            live: a=3 health=good
            done: rolling back from r3 to r2
            done: rolling back from r2 to r1
            done: unpinned; r3, r2 may be tried again
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy
            4. rollback r2 by Grace: proven: healthy
            5. rollback r1 by Grace: proven: healthy
            6. resume r1 by Grace: done: unpinned; r3, r2 may be tried again
            7. advance r3 by Ada: proven: healthy"#]],
    );
    // Its checks had rejected it before a person went back.
    check(
        "commit good @auto_revert=off, settle, commit a=2 bad, settle, ask rollback, settle, show, ask resume, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` with `lockstep release test` moves on
            live: a=1 health=good
            --
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            done: unpinned; the head is still not followed: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: unproven: build failed at the deadline: got 503; auto_revert is off
            3. rollback r1 by Grace: proven: healthy
            4. resume r1 by Grace: done: unpinned"#]],
    );
    // An older failure stays where it is.
    check(
        "commit good, settle, commit a=2 bad, settle, commit a=3 good, settle, ask rollback, settle, ask resume, settle",
        expect![[r#"
            steady r3, rejected r2
            live: a=3 health=good
            done: rolling back from r3 to r1
            done: unpinned; r3 may be tried again
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy
            4. advance r3 by Ada: proven: healthy
            5. rollback r1 by Grace: proven: healthy
            6. resume r1 by Grace: done: unpinned; r3 may be tried again
            7. advance r3 by Ada: proven: healthy"#]],
    );
    // The stay was over already, so what it rejected is a rejection like every other.
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle, commit a=3, settle, ask resume, settle, fork r3 a=2, settle",
        expect![[r#"
            held-after-rollback r3, rejected r2
            head rejected: rejected as r2: rolled back by Grace: to see; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=3 health=good
            done: rolling back from r2 to r1
            done: nothing to do: it is neither suspended nor pinned
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy
            4. advance r3 by Ada: proven: healthy"#]],
    );
    // Tried anew it is judged anew.
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle, ask resume, pass, pass, build sick, settle",
        expect![[r#"
            frozen r1, rejected r2
            because: the rollback is unhealthy too: build failed at the deadline: got 500
            head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
            live: a=1 health=good
            done: rolling back from r2 to r1
            done: unpinned; r2 may be tried again
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy
            4. resume r1 by Grace: done: unpinned; r2 may be tried again
            5. advance r2 by Ada: rolled-back: build failed at the deadline: got 500
            6. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
}

#[test]
fn a_person_goes_back_to_a_revision_by_name() {
    let three = "commit good, settle, commit a=2, settle, commit a=3, settle";
    check(
        &format!("{three}, ask rollback r1, settle"),
        expect![[r#"
            held-after-rollback r1, rejected r3, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r3 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy
            4. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        &format!("{three}, ask rollback r3, settle"),
        expect![[r#"
            steady r3
            live: a=3 health=good
            done: nothing to do: it is on r3 already, and follows the branch: `lockstep suspend` keeps it there
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{three}, ask rollback r1, settle, ask rollback r3, settle"),
        expect![[r#"
            held-after-rollback r1, rejected r3, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r3 to r1
            refused: r3 is rejected, and nobody goes back to that: rolled back by Grace: to see; proven last: r1, r2
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy
            4. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit invalid, settle, commit a=3, settle, ask rollback r2, settle",
        expect![[r#"
            steady r3
            live: a=3 health=good
            refused: r2 can't be used under today's configuration: invalid: base/kv/x.yaml:1: the key b lies outside the roots; take the change of the controller's configuration back (its roots were narrowed?), or commit a fix
            1. advance r1 by Ada: proven: healthy
            2. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn going_back_needs_somewhere_to_go() {
    check(
        "ask rollback, settle",
        expect![[r#"
        idle
        head not-believed: the branch does not exist any more
        live: 
        refused: nothing was ever applied here"#]],
    );
    check(
        "commit good, settle, ask rollback, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good
            refused: it is on r1, and nothing older that was proven here is left to go back to; `lockstep history test` shows what was tried. To leave r1, commit a change or a `git revert`
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn going_back_while_something_is_under_way_ends_it() {
    check(
        "commit good, settle, commit a=2, wait 4, ask rollback, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: rolled back by Grace: to see
            3. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        "commit good, settle, batch 1, commit a=2 b=2 c=2, pass, ask rollback, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: rolled back by Grace: to see
            3. rollback r1 by Grace: proven: healthy"#]],
    );
}

#[test]
fn a_rollback_that_a_person_asked_for_is_frozen_when_it_is_unhealthy() {
    check(
        "commit good, settle, commit a=2, settle, ask rollback, wait 1, build sick, settle",
        expect![[r#"
        frozen r1, rejected r2, pinned by Grace
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. rollback r1 by Grace: frozen: build failed at the deadline: got 500"#]],
    );
    // `resume` says what it waits for then.
    check(
        "commit good, settle, commit a=2, settle, ask rollback, wait 1, build sick, settle, ask resume, settle",
        expect![[r#"
            frozen r1
            because: the rollback is unhealthy too: build failed at the deadline: got 500
            head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
            live: a=1 health=good
            done: rolling back from r2 to r1
            done: unpinned; r2 may be tried again; the head is still not followed: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: frozen: build failed at the deadline: got 500
            4. resume r1 by Grace: done: unpinned; r2 may be tried again"#]],
    );
}

#[test]
fn what_a_person_rejected_is_never_gone_back_to() {
    check(
        "commit good, settle, commit a=2, settle, ask rollback, pass, commit a=3 bad, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2 r3
        head rejected: rejected as r3: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. rollback r1 by Grace: superseded: superseded by r3
        4. advance r3 by Ada: rolled-back: build failed at the deadline: got 503
        5. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn while_suspended_nothing_is_written_and_everything_is_watched() {
    let suspended = "commit good, settle, ask suspend, wait 1";
    check(
        &format!("{suspended}, by hand a=9, commit b=2, settle"),
        expect![[r#"
            steady r1, suspended by Grace
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head suspended: suspended by Grace: to see
            live: a=9(unmarked) health=good
            done: suspended until `lockstep resume test`
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`"#]],
    );
    check(
        &format!("{suspended}, by hand a=9, commit b=2, settle, ask resume, settle"),
        expect![[r#"
            steady r2
            live: a=1 b=2 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. resume r1 by Grace: done: resumed
            4. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{suspended}, build sick, settle"),
        expect![[r#"
            steady r1, suspended by Grace
            because: failing now: build
            live: a=1 health=good
            done: suspended until `lockstep resume test`
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`"#]],
    );
}

#[test]
fn a_suspension_in_the_middle_of_things_stops_their_writes() {
    check(
        "commit good, settle, batch 1, commit a=2 b=2, pass, ask suspend, settle, show, ask resume, settle",
        expect![[r#"
            applying r2, complete r1, good r1, suspended by Grace
            waits: suspended while applying
            live: a=2 health=good
            --
            steady r2
            live: a=2 b=2 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. resume r2 by Grace: done: resumed"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 5, ask suspend, settle, show, ask resume, settle",
        expect![[r#"
            verifying r2, good r1, suspended by Grace
            because: not passing: build (got 503)
            waits: suspended while unhealthy: build failed at the deadline: got 503
            live: a=2 health=bad
            --
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. resume r2 by Grace: done: resumed
            5. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 4, ask suspend, settle",
        expect![[r#"
            steady r2, suspended by Grace
            live: a=2 health=good
            done: suspended until `lockstep resume test`
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`"#]],
    );
}

#[test]
fn a_half_written_attempt_stands_still_while_suspended_whatever_else_happens_and_resume_goes_on_with_it() {
    let half = "commit good b=1 c=1, settle, batch 1, commit a=2 b=2 c=2, pass, ask suspend, pass";
    // Another controller, drift, and time beyond every deadline: nothing is written.
    check(
        &format!("{half}, by hand c=9, take over, wait 300, show, ask resume, settle"),
        expect![[r#"
            applying r2, complete r1, good r1, suspended by Grace
            waits: suspended while applying
            live: a=2 b=1 c=9(unmarked) health=good
            --
            steady r2
            live: a=2 b=2 c=2 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. resume r2 by Grace: done: resumed"#]],
    );
    // A newer commit waits too; what is resumed gives way to it.
    check(
        &format!("{half}, commit d=1, wait 30, show, ask resume, settle"),
        expect![[r#"
            applying r2, complete r1, good r1, suspended by Grace
            head suspended: suspended by Grace: to see
            waits: suspended while applying
            live: a=2 b=1 c=1 health=good
            --
            steady r3
            live: a=2 b=2 c=2 d=1 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: superseded: superseded by r3
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. resume r2 by Grace: done: resumed
            5. advance r3 by Ada: proven: healthy"#]],
    );
    // The way back is not written either before it is resumed.
    check(
        &format!("{half}, ask rollback, wait 30, show, ask resume, settle"),
        expect![[r#"
            applying r1, rejected r2, pinned by Grace, suspended by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=2 b=1 c=1 health=good
            --
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 b=1 c=1 health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r2 to r1; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: rolled back by Grace: to see
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. rollback r1 by Grace: proven: healthy
            5. resume r2 by Grace: done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace"#]],
    );
    check(
        "commit good b=1, settle, batch 1, commit a=2 b=2, pass, ask suspend 60, wait 50, show, settle",
        expect![[r#"
            applying r2, complete r1, good r1, suspended by Grace
            waits: suspended while applying
            live: a=2 b=1 health=good
            --
            steady r2
            live: a=2 b=2 health=good
            done: suspended until 1970-01-12 13:49:18Z
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until 1970-01-12 13:49:18Z"#]],
    );
    check(
        "batch 1, commit good b=1 c=1, pass, pass, ask suspend, settle, show, ask resume, settle",
        expect![[r#"
            applying r1, complete none, good none, suspended by Grace
            waits: suspended while applying
            live: a=1 b=1
            --
            steady r1
            live: a=1 b=1 c=1 health=good
            done: suspended until `lockstep resume test`
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. resume r1 by Grace: done: resumed"#]],
    );
}

#[test]
fn a_half_written_rollback_stands_still_while_suspended() {
    check(
        "commit good b=1, settle, commit a=2 b=2 bad, wait 20, batch 1, tick, pass, ask suspend, settle, show, ask resume, settle",
        expect![[r#"
            applying r1, complete r2, rejected r2, suspended by Grace
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            waits: suspended while applying
            live: a=1 b=2 health=bad
            --
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 b=1 health=good
            done: suspended until `lockstep resume test`
            done: resumed; the head is still not followed: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy
            4. suspend r1 by Grace: done: suspended until `lockstep resume test`
            5. resume r1 by Grace: done: resumed"#]],
    );
}

#[test]
fn a_suspension_ends_by_itself_when_it_says_so() {
    check(
        "commit good, settle, ask suspend 60, wait 1, commit a=2, wait 50, show, settle",
        expect![[r#"
            steady r1, suspended by Grace
            head suspended: suspended by Grace until 1970-01-12 13:49:18Z: to see
            live: a=1 health=good
            --
            steady r2
            live: a=2 health=good
            done: suspended until 1970-01-12 13:49:18Z
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until 1970-01-12 13:49:18Z
            3. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_person_who_goes_back_while_suspended_is_told_that_nothing_is_written() {
    check(
        "commit good, settle, commit a=2, settle, ask suspend, wait 1, ask rollback, settle, show, ask resume, settle",
        expect![[r#"
            applying r1, complete r2, rejected r2, pinned by Grace, suspended by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=2 health=good
            --
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r2 to r1; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. rollback r1 by Grace: proven: healthy
            5. resume r2 by Grace: done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace"#]],
    );
}

#[test]
fn a_release_without_anything_to_release_says_so() {
    check(
        "commit good, settle, ask release, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good
            done: nothing to do: nothing is rejected, refused or frozen here
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, ask resume, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good
            done: nothing to do: it is neither suspended nor pinned
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_suspended_environment_does_not_move_on_when_its_commit_is_lost() {
    check(
        "commit good, settle, commit a=2, pass, pass, ask suspend, pass, lose r2, commit a=3, settle",
        expect![[r#"
            verifying r2, good r1, suspended by Grace
            waits: r2 is in no mirror; bring it back into the branch, which is fetched again, or commit a fix
            live: a=2 health=good
            done: suspended until `lockstep resume test`
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: under way
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`"#]],
    );
}

#[test]
fn a_person_goes_back_only_to_what_was_proven() {
    check(
        "commit good, settle, commit k*30, settle, commit -k* a=2, settle, ask rollback r3, settle",
        expect![[r#"
            held-refused r2
            head refused: it would delete 30 of 32 keys (93.8 %); deletes.at_most_percent is 20; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 30`, or run `lockstep release test r3 --allow-deletes 30`
            live: a=1 health=good k/…×30
            refused: r3 was never proven here; proven last: r2, r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_rollback_goes_to_what_was_proven_last_and_a_revert_is_newer_than_what_it_takes_back() {
    check(
        "commit good, settle, commit a=2, settle, revert, settle, commit a=3, settle, ask rollback, settle",
        expect![[r#"
            held-after-rollback r3, rejected r4, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            done: rolling back from r4 to r3
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy
            4. advance r4 by Ada: proven: healthy
            5. rollback r3 by Grace: proven: healthy"#]],
    );
}
