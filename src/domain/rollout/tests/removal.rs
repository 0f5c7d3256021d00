//! A retired environment taken away: what goes, what stays, and what becomes of it when it is wanted again (rule O9).

use expect_test::{Expect, expect};

use super::check;

#[test]
fn what_is_ours_and_reached_goes_and_the_rest_stays() {
    check(
        "commit good b=1 c=1, settle, adopted c, copy a z, theirs y, foreign x, by hand w=1, commit retired, settle, remove",
        expect![[r#"
            steady r1
            head retired: r2 has no environment test; nothing is written or deleted
            live: c=1(unmarked) w=1(unmarked) x=foreign(foreign) y=theirs(theirs) z=1
            1. advance r1 by Ada: proven: healthy
            2. remove r1 by Grace: removed: removed; 1 stray with its mark stays"#]],
    );
}

#[test]
fn what_lost_its_mark_is_left_and_counted() {
    check(
        "commit good b=1 c=1, settle, by hand b=9, copy a z, commit retired, pass, remove",
        expect![[r#"
        steady r1
        head retired: r2 has no environment test; nothing is written or deleted
        live: b=9(unmarked) z=1
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: removed: removed; 1 stray with its mark stays; 1 key without its mark stays"#]],
    );
    check(
        "commit good b=1 c=1, settle, by hand b=9, by hand c=9, commit retired, pass, remove",
        expect![[r#"
        steady r1
        head retired: r2 has no environment test; nothing is written or deleted
        live: b=9(unmarked) c=9(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: removed: removed; 2 keys without its mark stay"#]],
    );
}

#[test]
fn nothing_goes_while_the_environment_is_not_retired_or_is_stopped_or_under_way() {
    check(
        "commit good, settle, remove",
        expect![[r#"
        steady r1
        because: the branch head r1 has the environment test
        waits: the branch head r1 has the environment test
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit invalid, settle, remove",
        expect![[r#"
        held-refused r1
        because: the branch head r2 is 1 problem: environment.yaml:1
        head invalid: 1 problem: environment.yaml:1
        waits: the branch head r2 is 1 problem: environment.yaml:1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, branch gone, settle, remove",
        expect![[r#"
        steady r1
        because: the branch does not exist any more
        head not-believed: the branch does not exist any more
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, ask suspend, settle, commit retired, settle, remove",
        expect![[r#"
        steady r1, suspended by Grace
        because: suspended by Grace: to see
        head retired: r2 has no environment test; nothing is written or deleted
        waits: suspended by Grace: to see
        live: a=1 health=good
        done: suspended until `lockstep resume test`
        1. advance r1 by Ada: proven: healthy
        2. suspend r1 by Grace: done: suspended until `lockstep resume test`"#]],
    );
    check(
        "commit good, wait 3, commit retired, pass, remove",
        expect![[r#"
        verifying r1, good none
        because: an attempt is under way: it is verifying
        head retired: r2 has no environment test; nothing is written or deleted
        waits: an attempt is under way: it is verifying
        live: a=1 health=good
        1. advance r1 by Ada: under way"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, commit retired, settle, lose r2, remove",
        expect![[r#"
        steady r2
        because: which keys may go is not known: r2 is in no mirror; bring it back into the branch, which is fetched again, or commit a fix
        head retired: r3 has no environment test; nothing is written or deleted
        waits: which keys may go is not known: r2 is in no mirror; bring it back into the branch, which is fetched again, or commit a fix
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_removal_that_was_broken_off_goes_on_under_its_number() {
    check(
        "commit good b=1, settle, commit retired, settle, remove 1, settle, show, take over, remove",
        expect![[r#"
        steady r1
        head retired: r2 has no environment test; nothing is written or deleted
        live: b=1 health=good
        --
        steady r1
        head retired: r2 has no environment test; nothing is written or deleted
        live: 
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: removed: removed"#]],
    );
}

#[test]
fn keys_that_are_gone_already_come_back_with_the_environment_and_not_before() {
    check(
        "commit good b=1, settle, commit retired, settle, remove 2, settle, show, revert, settle",
        expect![[r#"
        steady r1
        head retired: r2 has no environment test; nothing is written or deleted
        live: health=good
        --
        steady r1
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: superseded: broken off; the environment is wanted again: a, b: deleted by hand"#]],
    );
    check(
        "commit good b=1, settle, commit retired, settle, remove 2, settle, commit b=2, settle",
        expect![[r#"
        steady r3
        live: a=1 b=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good b=1, settle, commit retired, settle, remove 0, settle, revert, settle",
        expect![[r#"
        steady r1
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: superseded: broken off; the environment is wanted again: put right"#]],
    );
}

/// An adopted key is given back by a removal that breaks off, the environment comes back by this step, and is removed wholly.
#[track_caller]
fn check_given_back(back: &str, expected: Expect) {
    let before = "commit good, settle, by hand c=1, commit c=1 +Adopt=c, settle, commit retired, settle, remove 2, settle";
    check(&format!("{before}, show, {back}, settle, show, commit retired, settle, remove"), expected);
}

#[test]
fn an_adopted_key_that_a_broken_off_removal_gave_back_is_given_back_again_by_the_next_one() {
    check_given_back(
        "revert",
        expect![[r#"
        steady r2
        head retired: r3 has no environment test; nothing is written or deleted
        live: c=1(unmarked) health=good
        --
        steady r2
        live: a=1 c=1 health=good
        --
        steady r2
        head retired: r5 has no environment test; nothing is written or deleted
        live: c=1(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. remove r2 by Grace: superseded: broken off; the environment is wanted again: a: deleted by hand; c: written by somebody else (mark lost)
        4. remove r2 by Grace: removed: removed"#]],
    );
    check_given_back(
        "commit b=2",
        expect![[r#"
        steady r2
        head retired: r3 has no environment test; nothing is written or deleted
        live: c=1(unmarked) health=good
        --
        steady r4
        live: a=1 b=2 c=1 health=good
        --
        steady r4
        head retired: r5 has no environment test; nothing is written or deleted
        live: c=1(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. remove r2 by Grace: superseded: superseded by r4
        4. advance r4 by Ada: proven: healthy
        5. remove r4 by Grace: removed: removed"#]],
    );
    check_given_back(
        "commit c=2",
        expect![[r#"
        steady r2
        head retired: r3 has no environment test; nothing is written or deleted
        live: c=1(unmarked) health=good
        --
        steady r4
        live: a=1 c=2 health=good
        --
        steady r4
        head retired: r5 has no environment test; nothing is written or deleted
        live: c=2(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. remove r2 by Grace: superseded: superseded by r4
        4. advance r4 by Ada: proven: healthy
        5. remove r4 by Grace: removed: removed"#]],
    );
}

#[test]
fn what_a_broken_off_removal_took_comes_back_where_drift_is_only_reported_and_what_people_changed_stays() {
    let before = "commit good b=1 @drift=report, settle, by hand b=9, settle, commit retired, settle, remove 1, settle";
    check(
        &format!("{before}, revert, settle"),
        expect![[r#"
        steady r1
        drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        live: a=1 b=9(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: superseded: broken off; the environment is wanted again: a: deleted by hand"#]],
    );
    check(
        &format!("{before}, commit c=2 @drift=report, settle"),
        expect![[r#"
            steady r3
            drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=1 b=9(unmarked) c=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. remove r1 by Grace: superseded: superseded by r3
            3. advance r3 by Ada: proven: healthy, with drift (1 key)"#]],
    );
    check(
        &format!("{before}, deny a, revert, settle, show, allow, new rights, settle"),
        expect![[r#"
        steady r1
        drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        live: b=9(unmarked) health=good
        --
        steady r1
        drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        live: a=1 b=9(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. remove r1 by Grace: superseded: broken off; the environment is wanted again: a: deleted by hand"#]],
    );
    let adopted = "commit good @drift=report, settle, by hand c=1, commit c=1 @drift=report +Adopt=c, settle, commit retired, settle, remove 2, settle";
    check(
        &format!("{adopted}, revert, settle, show, commit retired, settle, remove"),
        expect![[r#"
        steady r2
        live: a=1 c=1 health=good
        --
        steady r2
        head retired: r5 has no environment test; nothing is written or deleted
        live: c=1(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. remove r2 by Grace: superseded: broken off; the environment is wanted again: a: deleted by hand; c: written by somebody else (mark lost)
        4. remove r2 by Grace: removed: removed"#]],
    );
}

#[test]
fn a_removal_that_was_broken_off_where_nothing_was_reached_is_over_when_the_environment_is_back_although_the_head_is_refused() {
    check(
        "by hand a=5, commit retired, settle, remove 0, settle, show, commit good, settle",
        expect![[r#"
        idle
        head retired: r1 has no environment test; nothing is written or deleted
        live: a=5(unmarked)
        --
        held-refused
        head refused: a: exists already and is not managed by lockstep, with another value; nothing was written. Where the value is another (`lockstep unmanaged test` has both digests), commit what is live, take the key out of the repository, or delete it in the target so that lockstep can create it
        live: a=5(unmarked)
        1. remove r1 by Grace: superseded: broken off; the environment is wanted again: no key had gone"#]],
    );
}

#[test]
fn an_attempt_that_a_removal_found_half_written_is_judged_when_the_environment_is_back() {
    // Somebody took a key that it needs meanwhile, and gave it back later.
    let half = "commit good b=1, settle, batch 1, commit b=2 c=2, pass, by hand c=9, wait 700, show, whole";
    let back = "commit retired, settle, remove 1, settle, show, by hand -c, revert";
    check(
        &format!("{half}, {back}, settle"),
        expect![[r#"
        held-refused r2, complete r1, good r1
        because: waiting for keys that somebody else holds: c (exists already and is not managed by lockstep, with another value)
        live: a=1 b=2 c=9(unmarked) health=good
        --
        held-unproven r2, complete r1, good r1, unproven unknown
        because: a removal began before it was written completely and judged
        head retired: r3 has no environment test; nothing is written or deleted
        live: b=2 c=9(unmarked) health=good
        --
        steady r2
        live: a=1 b=2 c=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by the environment's removal
        3. remove r2 by Grace: superseded: broken off; the environment is wanted again: a: deleted by hand; c: new in base/kv/x.yaml:1"#]],
    );
    check(
        &format!("{half}, {back}, wait 6, build sick, settle"),
        expect![[r#"
        held-refused r2, complete r1, good r1
        because: waiting for keys that somebody else holds: c (exists already and is not managed by lockstep, with another value)
        live: a=1 b=2 c=9(unmarked) health=good
        --
        held-unproven r2, complete r1, good r1, unproven unknown
        because: a removal began before it was written completely and judged
        head retired: r3 has no environment test; nothing is written or deleted
        live: b=2 c=9(unmarked) health=good
        --
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by the environment's removal
        3. remove r2 by Grace: superseded: broken off; the environment is wanted again: a: deleted by hand; c: new in base/kv/x.yaml:1
        4. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
}

#[test]
fn a_rollback_that_a_removal_found_half_written_is_judged_when_the_environment_is_back() {
    let half =
        "commit good b=1, settle, commit a=2 b=2 bad, wait 20, batch 1, tick, pass, contend b, wait 700, show, peace, whole";
    let back = "commit retired, settle, remove 1, settle, show, revert";
    check(
        &format!("{half}, {back}, settle"),
        expect![[r#"
        held-refused r1, complete r2, rejected r2
        because: somebody else keeps writing a
        waits: somebody else keeps writing a
        live: a=1 b=2 health=bad
        --
        held-unproven r1, complete r2, rejected r2, unproven rollback-unknown
        because: a removal began before it was written completely and judged
        head retired: r3 has no environment test; nothing is written or deleted
        live: b=2 health=bad
        --
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: superseded: superseded by the environment's removal
        4. remove r1 by Grace: superseded: broken off; the environment is wanted again: a: deleted by hand; b, health: changed in base/kv/x.yaml:1"#]],
    );
}

#[test]
fn a_rollback_that_comes_upon_a_removal_that_was_broken_off_puts_back_what_that_took_also_where_drift_is_only_reported() {
    let before = "commit good b=1 c=1 @drift=report, settle, commit b=2 @drift=report, settle, by hand c=9, settle, commit retired, settle, remove 2";
    check(
        &format!("{before}, show, revert, batch 1, ask rollback, settle"),
        expect![[r#"
        steady r2
        drift of 1: c (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        head retired: r3 has no environment test; nothing is written or deleted
        live: c=9(unmarked) health=good
        --
        held-after-rollback r1, rejected r2, pinned by Grace
        drift of 1: c (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 b=1 c=9(unmarked) health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. remove r2 by Grace: superseded: rolled back by Grace: to see
        4. rollback r1 by Grace: proven: healthy, with drift (1 key)"#]],
    );
    check(
        &format!("{before}, ask rollback, settle"),
        expect![[r#"
        steady r2
        drift of 1: c (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
        head retired: r3 has no environment test; nothing is written or deleted
        live: c=9(unmarked) health=good
        refused: r3 has no environment test; nothing is written or deleted
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. remove r2 by Grace: under way"#]],
    );
}

#[test]
fn a_rollback_that_put_back_what_it_could_leaves_what_people_delete_afterwards_where_drift_is_only_reported() {
    let before = "commit good b=1 c=1 @drift=report, settle, commit -c @drift=report, settle, by hand c=9, settle, commit retired, settle, remove 2";
    check(
        &format!("{before}, revert, batch 1, ask rollback, settle, show, by hand -b, settle"),
        expect![[r#"
            held-unproven r1, complete r2, rejected r2, unproven except, pinned by Grace
            because: rolled back except c (exists already and is not managed by lockstep, with another value)
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 b=1 c=9(unmarked) health=good
            --
            held-unproven r1, complete r2, rejected r2, unproven except, pinned by Grace
            because: rolled back except c (exists already and is not managed by lockstep, with another value)
            drift of 1: b (deleted, wanted sha256 6b86b273…)
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            live: a=1 c=9(unmarked) health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. remove r2 by Grace: superseded: rolled back by Grace: to see
            4. rollback r1 by Grace: unproven: rolled back except c (exists already and is not managed by lockstep, with another value)"#]],
    );
}
