//! While a plan is being written: deadlines, conflicts, denials, crashes, restores (rules A5, A6, A9, H6, L3).

use expect_test::expect;

use super::check;

#[test]
fn an_advance_is_all_or_nothing_before_its_first_write() {
    check(
        "commit good, settle, foreign c, commit b=1 c=1, settle",
        expect![[r#"
            held-refused r1
            head refused: c: exists already and is not managed by lockstep: it carries another program's flags; nothing was written. Another program's flags are never overwritten: take the key out of the repository, or delete it in the target so that lockstep can create it
            live: a=1 c=foreign(foreign) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_key_taken_after_the_first_write_is_waited_for_and_then_holds_the_attempt() {
    let half = "commit good, settle, batch 1, commit b=1 c=1, pass, theirs c";
    check(
        &format!("{half}, wait 30, show, wait 31, show, by hand -c, settle"),
        expect![[r#"
        applying r2, complete r1, good r1
        waits: waiting for keys that somebody else holds: c (owned by lockstep owner 8 (another repository or environment))
        live: a=1 b=1 c=theirs(theirs) health=good
        --
        held-refused r2, complete r1, good r1
        because: waiting for keys that somebody else holds: c (owned by lockstep owner 8 (another repository or environment))
        live: a=1 b=1 c=theirs(theirs) health=good
        --
        steady r2
        live: a=1 b=1 c=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{half}, settle, commit -c, settle"),
        expect![[r#"
        steady r3
        live: a=1 b=1 c=theirs(theirs) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_rollback_leaves_a_key_that_somebody_else_holds_and_is_not_proven_until_it_is_free() {
    let taken = "commit good b=1, settle, commit a=2 bad, wait 5, theirs b, settle";
    check(
        taken,
        expect![[r#"
        held-unproven r1, complete r2, rejected r2, unproven except
        because: rolled back except b (owned by lockstep owner 8 (another repository or environment))
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=theirs(theirs) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: unproven: rolled back except b (owned by lockstep owner 8 (another repository or environment))"#]],
    );
    check(
        &format!("{taken}, by hand -b, settle"),
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: unproven: rolled back except b (owned by lockstep owner 8 (another repository or environment))
        4. repair r1 by lockstep: repaired: b: deleted by hand"#]],
    );
}

#[test]
fn a_rollback_does_not_take_a_key_that_somebody_made_meanwhile() {
    check(
        "commit good b=1, settle, commit a=2 -b bad, wait 5, by hand b=9, settle, by hand a=8, settle",
        expect![[r#"
            held-unproven r1, complete r2, rejected r2, unproven except
            because: rolled back except b (exists already and is not managed by lockstep, with another value)
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 b=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: unproven: rolled back except b (exists already and is not managed by lockstep, with another value)
            4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn what_is_unreachable_is_tried_on_and_never_a_rejection() {
    check(
        "commit good, settle, batch 1, commit a=2 b=2, pass, unreachable, wait 300, show, reachable, settle",
        expect![[r#"
        applying r2, complete r1, good r1
        waits: no answer from Consul
        live: a=2 health=good
        --
        steady r2
        live: a=2 b=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, unreachable, commit a=2, wait 300, show, reachable, settle",
        expect![[r#"
        steady r1
        waits: no answer from Consul
        live: a=1 health=good
        --
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_conflict_beyond_the_deadline_is_held_and_names_the_keys() {
    check(
        "commit good, settle, contend a, commit a=2, wait 30, show, wait 60, show, peace, settle",
        expect![[r#"
        steady r1
        waits: somebody else keeps writing a
        live: a=1 health=good
        --
        held-refused r1
        head refused: somebody else keeps writing a
        live: a=1 health=good
        --
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, batch 1, contend b, commit a=2 b=2, wait 90, show, peace, settle",
        expect![[r#"
        held-refused r2, complete r1, good r1
        because: somebody else keeps writing a
        waits: somebody else keeps writing a
        live: a=2 health=good
        --
        steady r2
        live: a=2 b=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_is_denied_part_way_goes_back_and_is_tried_again_only_when_rights_or_the_revision_change() {
    let denied = "commit good, settle, batch 1, deny b, commit a=2 b=2, settle";
    check(
        denied,
        expect![[r#"
        held-refused r1, not permitted: permission denied
        head refused: permission denied
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: refused: permission denied
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        &format!("{denied}, allow, wait 300, show, new rights, settle"),
        expect![[r#"
        held-refused r1, not permitted: permission denied
        head refused: permission denied
        live: a=1 health=good
        --
        steady r2
        live: a=2 b=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: refused: permission denied
        3. rollback r1 by lockstep: proven: healthy
        4. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{denied}, commit -b, settle"),
        expect![[r#"
        steady r3
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: refused: permission denied
        3. rollback r1 by lockstep: proven: healthy
        4. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{denied}, allow, ask release, settle"),
        expect![[r#"
            steady r2
            live: a=2 b=2 health=good
            done: the refused revision is tried again
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: refused: permission denied
            3. rollback r1 by lockstep: proven: healthy
            4. release r2 by Grace: done: the refused revision is tried again
            5. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_was_denied_is_tried_again_as_soon_as_the_target_says_that_it_may_be_written() {
    let proven = expect![[r#"
        steady r2
        live: a=2 b=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: refused: permission denied
        3. rollback r1 by lockstep: proven: healthy
        4. advance r2 by Ada: proven: healthy"#]];
    check("commit good, settle, batch 1, deny b, commit a=2 b=2, settle, permitted, settle", proven);
    check(
        "commit good, settle, deny a, commit a=2, settle, permitted, settle",
        expect![[r#"
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "batch 1, deny b, commit good b=2, settle, permitted, settle",
        expect![[r#"
        steady r1
        live: a=1 b=2 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn that_one_denial_is_over_says_nothing_of_another() {
    let left = expect![[r#"
        held-unproven r1, complete r2, rejected r2, unproven except, pinned by Grace, not permitted: permission denied
        because: rolled back except x (could not be written)
        head invalid: 1 problem: environment.yaml:1
        live: a=1 health=good x=2
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. rollback r1 by Grace: unproven: rolled back except x (could not be written)"#]];
    let refused = "commit good x=1, settle, commit x=2 a=2, settle, deny b, commit b=2, settle";
    check(&format!("{refused}, commit invalid, permitted, deny x, ask rollback r1, wait 150"), left);
    let left = expect![[r#"
        held-unproven r1, complete r2, rejected r2, unproven except, pinned by Grace, not permitted: permission denied
        because: rolled back except x (could not be written)
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 health=good x=2
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. rollback r1 by Grace: unproven: rolled back except x (could not be written)"#]];
    check(&format!("{refused}, permitted, deny x, ask rollback r1, wait 150"), left);
    let left = expect![[r#"
        held-refused r2, not permitted: permission denied
        head invalid: 1 problem: environment.yaml:1
        live: a=2 health=good x=9(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)"#]];
    check(&format!("{refused}, commit invalid, permitted, deny x, by hand x=9 a=9, wait 150"), left);
}

#[test]
fn what_is_denied_before_the_first_write_changes_nothing() {
    check(
        "commit good, settle, deny a, commit a=2, settle",
        expect![[r#"
        held-refused r1, not permitted: permission denied
        head refused: permission denied
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_is_denied_to_a_first_deploy_is_held() {
    check(
        "batch 1, deny b, commit b=2, settle, show, allow, new rights, settle",
        expect![[r#"
            held-refused r1, complete none, good none, not permitted: permission denied
            because: permission denied
            live: a=1
            --
            steady r1
            live: a=1 b=2 health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_is_denied_to_a_first_deploy_is_not_tried_again_until_rights_revision_or_a_person_change_it() {
    let denied = "batch 1, deny b, commit good b=2, settle";
    check(
        &format!("{denied}, allow, wait 600"),
        expect![[r#"
        held-refused r1, complete none, good none, not permitted: permission denied
        because: permission denied
        live: a=1
        1. advance r1 by Ada: under way"#]],
    );
    check(
        &format!("{denied}, allow, take over, wait 600"),
        expect![[r#"
        held-refused r1, complete none, good none, not permitted: permission denied
        because: permission denied
        live: a=1
        1. advance r1 by Ada: under way"#]],
    );
    check(
        &format!("{denied}, allow, ask release, settle"),
        expect![[r#"
            steady r1
            live: a=1 b=2 health=good
            done: the refused revision is tried again
            1. advance r1 by Ada: proven: healthy
            2. release r1 by Grace: done: the refused revision is tried again"#]],
    );
    check(
        &format!("{denied}, commit -b c=1, settle"),
        expect![[r#"
        steady r2
        live: a=1 c=1 health=good
        1. advance r1 by Ada: superseded: superseded by r2
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{denied}, new rights, settle"),
        expect![[r#"
        held-refused r1, complete none, good none, not permitted: permission denied
        because: permission denied
        live: a=1
        1. advance r1 by Ada: under way"#]],
    );
    check(
        &format!("{denied}, commit c=1, settle"),
        expect![[r#"
        held-refused r1, complete none, good none, not permitted: permission denied
        because: permission denied
        head refused: permission denied
        live: a=1
        1. advance r1 by Ada: under way"#]],
    );
}

#[test]
fn a_rollback_leaves_what_it_may_not_write() {
    check(
        "commit good b=1, settle, commit a=2 b=2 bad, wait 10, deny b, settle",
        expect![[r#"
        held-unproven r1, complete r2, rejected r2, unproven except
        because: rolled back except b (could not be written)
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: unproven: rolled back except b (could not be written)"#]],
    );
}

#[test]
fn another_controller_goes_on_where_the_first_one_stopped() {
    check(
        "commit good, settle, batch 1, commit a=2 b=2 c=2, pass, take over, show, settle",
        expect![[r#"
        applying r2, complete r1, good r1
        live: a=2 health=good
        --
        steady r2
        live: a=2 b=2 c=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 b=2, wait 4, take over, settle",
        expect![[r#"
        steady r2
        live: a=2 b=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good b=1 c=1, settle, commit a=2 b=2 c=2 bad, wait 20, batch 1, tick, pass, take over, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=1 c=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_restored_target_is_noted_and_brought_back_in_step_under_new_numbers() {
    check(
        "commit good, settle, snapshot, commit a=2, settle, restore, settle",
        expect![[r#"
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        3. restored r1 by lockstep: restored: target was restored
        4. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 5, snapshot, settle, restore, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        4. restored r2 by lockstep: restored: target was restored
        5. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_superseded_attempt_leaves_no_keys_behind() {
    check(
        "commit good, settle, batch 1, commit b=2 c=2 d=2, pass, pass, commit -b -c -d e=1, settle",
        expect![[r#"
        steady r3
        live: a=1 e=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, batch 1, commit b=2 c=2 d=2, pass, pass, revert, settle",
        expect![[r#"
        steady r3
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
}
