//! A rollback that a person asks for while all writes are stopped: it waits, and until then nothing is as if it had begun.

use expect_test::expect;

use super::check;
use super::rollout_after;

#[test]
fn asked_for_again_a_rollback_that_waits_goes_where_it_was_going() {
    check(
        "commit good, settle, commit a=2, settle, commit a=3, settle, ask suspend, wait 1, ask rollback, wait 1, ask rollback, wait 1, ask rollback r2, wait 1, show, ask resume, settle",
        expect![[r#"
            applying r2, complete r3, rejected r3, pinned by Grace, suspended by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=3 health=good
            --
            held-after-rollback r2, rejected r3, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=2 health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r3 to r2; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: nothing to do: it is going to r2 already; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: nothing to do: it is going to r2 already; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the rollback to r2 comes next; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy
            4. suspend r3 by Grace: done: suspended until `lockstep resume test`
            5. rollback r2 by Grace: proven: healthy
            6. resume r3 by Grace: done: resumed; the rollback to r2 comes next; still pinned by a rollback of Grace"#]],
    );
}

#[test]
fn another_place_to_go_back_to_takes_the_place_of_the_one_that_waits_and_rejects_nothing_that_was_never_live() {
    check(
        "commit good, settle, commit a=2, settle, commit a=3, settle, ask suspend, wait 1, ask rollback, wait 1, ask rollback r1, wait 1, show, ask resume, settle, show, ask resume, settle",
        expect![[r#"
            applying r1, complete r3, good r2, rejected r3, pinned by Grace, suspended by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=3 health=good
            --
            held-after-rollback r1, rejected r3, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 health=good
            --
            steady r3
            live: a=3 health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r3 to r2; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: rolling back from r3 to r1; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            done: unpinned; r3 may be tried again
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy
            4. suspend r3 by Grace: done: suspended until `lockstep resume test`
            5. rollback r2 by Grace: superseded: superseded by r1 before its first write
            6. rollback r1 by Grace: proven: healthy
            7. resume r3 by Grace: done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace
            8. resume r1 by Grace: done: unpinned; r3 may be tried again
            9. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_was_half_written_before_is_rejected_and_what_waits_is_not() {
    check(
        "commit good b=1, settle, commit a=2, settle, batch 1, commit a=3 b=3, pass, ask suspend, pass, ask rollback, pass, ask rollback, pass, ask rollback r1, wait 1, show, ask resume, settle",
        expect![[r#"
            applying r1, complete r2, good r2, rejected r3, pinned by Grace, suspended by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=3 b=1 health=good
            --
            held-after-rollback r1, rejected r3, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 b=1 health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r3 to r2; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: nothing to do: it is going to r2 already; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: rolling back from r3 to r1; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: rolled-back: rolled back by Grace: to see
            4. suspend r3 by Grace: done: suspended until `lockstep resume test`
            5. rollback r2 by Grace: superseded: superseded by r1 before its first write
            6. rollback r1 by Grace: proven: healthy
            7. resume r3 by Grace: done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace"#]],
    );
}

#[test]
fn a_rollback_that_waits_is_carried_out_whoever_leads_then_and_when_the_suspension_ends_by_itself() {
    check(
        "commit good b=1, settle, commit a=2 b=2, settle, ask suspend 60, wait 1, ask rollback, take over, wait 30, show, batch 1, settle",
        expect![[r#"
            applying r1, complete r2, rejected r2, pinned by Grace, suspended by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=2 b=2 health=good
            --
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 b=1 health=good
            done: suspended until 1970-01-12 13:50:56Z
            done: rolling back from r2 to r1; still nothing is written before `lockstep resume test`: suspended by Grace until 1970-01-12 13:50:56Z: to see
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until 1970-01-12 13:50:56Z
            4. rollback r1 by Grace: proven: healthy"#]],
    );
}

#[test]
fn a_longer_suspension_does_not_make_a_rollback_that_waits_look_begun() {
    check(
        "commit good, settle, commit a=2, settle, commit a=3, settle, ask suspend 60, wait 1, ask rollback, wait 1, ask suspend 600 by Bob, wait 1, ask rollback, wait 1",
        expect![[r#"
            applying r2, complete r3, rejected r3, pinned by Grace, suspended by Bob
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=3 health=good
            done: suspended until 1970-01-12 13:52:34Z
            done: rolling back from r3 to r2; still nothing is written before `lockstep resume test`: suspended by Grace until 1970-01-12 13:52:34Z: to see
            done: suspended until 1970-01-12 14:01:36Z
            done: nothing to do: it is going to r2 already; still nothing is written before `lockstep resume test`: suspended by Bob until 1970-01-12 14:01:36Z: to see
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. advance r3 by Ada: proven: healthy
            4. suspend r3 by Grace: done: suspended until 1970-01-12 13:52:34Z
            5. rollback r2 by Grace: under way
            6. suspend r3 by Bob: done: suspended until 1970-01-12 14:01:36Z"#]],
    );
}

#[test]
fn drift_from_what_is_live_is_said_while_a_rollback_waits_and_nothing_of_it_is_left_after() {
    check(
        "commit good b=1, settle, commit a=2, settle, ask suspend, wait 1, by hand b=9, wait 1, ask rollback, wait 1, by hand a=8, wait 1, show, ask resume, pass, show, settle",
        expect![[r#"
            applying r1, complete r2, rejected r2, pinned by Grace, suspended by Grace
            drift of 2: a (changed, live sha256 2c624232…, wanted sha256 d4735e3a…), b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=8(unmarked) b=9(unmarked) health=good
            --
            applying r1, complete r2, rejected r2, pinned by Grace
            drift of 2: a (changed, live sha256 2c624232…, wanted sha256 d4735e3a…), b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=8(unmarked) b=9(unmarked) health=good
            --
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 b=1 health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r2 to r1; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. rollback r1 by Grace: proven: healthy
            5. resume r2 by Grace: done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace"#]],
    );
    check(
        "commit good b=1 @drift=report, settle, commit a=2, settle, ask suspend, wait 1, by hand b=9, wait 1, ask rollback, wait 1, show, ask resume, settle",
        expect![[r#"
            applying r1, complete r2, rejected r2, pinned by Grace, suspended by Grace
            drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            waits: suspended before the rollback
            live: a=2 b=9(unmarked) health=good
            --
            held-after-rollback r1, rejected r2, pinned by Grace
            drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 b=9(unmarked) health=good
            done: suspended until `lockstep resume test`
            done: rolling back from r2 to r1; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace; the head is still not followed: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. suspend r2 by Grace: done: suspended until `lockstep resume test`
            4. rollback r1 by Grace: proven: healthy, with drift (1 key)
            5. resume r2 by Grace: done: resumed; the rollback to r1 comes next; still pinned by a rollback of Grace"#]],
    );
}

#[test]
fn a_rollback_that_waits_is_one_that_waits_whatever_else_is_asked_before_its_first_write() {
    let waits = "commit good, settle, commit a=2, settle, ask suspend, wait 1, ask rollback, wait 1";
    for asked in ["show", "ask resume, pass", "ask resume, ask resume, pass, pass"] {
        let record = rollout_after(&format!("{waits}, {asked}"));
        assert!(record.is_pending(), "{asked}: {record:#?}");
        let stands_on = record.stands_on().map(|reached| reached.generation);
        assert_eq!(stands_on, record.complete.map(|complete| complete.generation), "{asked}");
    }
}
