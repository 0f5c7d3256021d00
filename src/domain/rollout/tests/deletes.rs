//! Deletes: which keys go, how many may, and what lets more go (rules O2, O3, G1, G2, G4; the guard's own table has the limits).

use expect_test::expect;

use super::{check, history_after};

#[test]
fn only_the_exact_key_goes() {
    check(
        "commit foo=1 foobar=1 foo_v2=1 foo/x=1, settle, by hand foo.bak=1, commit -foo, settle",
        expect![[r#"
            steady r2
            live: a=1 foo.bak=1(unmarked) foo/… foo_v2=1 foobar=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_marked_copy_is_a_stray_and_stays() {
    check(
        "commit good, settle, copy a z, settle, show, commit -a, settle",
        expect![[r#"
        steady r1
        live: a=1 health=good z=1
        --
        steady r2
        live: health=good z=1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_key_without_our_mark_that_the_new_revision_drops_is_left() {
    check(
        "commit good b=1, settle, batch 1, by hand b=9, commit -b, settle",
        expect![[r#"
        steady r2
        live: a=1 b=9(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_key_that_the_commit_about_to_go_live_drops_gets_no_mark_back_meanwhile() {
    check(
        "commit good b=1, settle, take over, by hand b=9 a=9, commit -b, pass, settle",
        expect![[r#"
            steady r2
            live: a=1 b=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            3. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good b=1, settle, commit a=2, wait 5, by hand b=9, commit -b, settle",
        expect![[r#"
            steady r3
            live: a=2 b=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: unproven: healthy, but changed by hand meanwhile: b
            3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_key_that_a_refused_head_drops_is_repaired_as_ever() {
    check(
        "commit good k*100 b=1, settle, commit -k* -b, settle, by hand b=9, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 101 of 103 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 101`, or run `lockstep release test r2 --allow-deletes 101`
            live: a=1 b=1 health=good k/…×100
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: b: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn a_dropped_key_that_was_to_be_kept_or_was_adopted_is_released_rather_than_deleted() {
    check(
        "commit good b=1!keep, settle, commit -b, settle",
        expect![[r#"
        steady r2
        live: a=1 b=1(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit b=1 bad, wait 5, adopted b, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=1(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good b=1, settle, adopted b, commit -b, settle",
        expect![[r#"
        steady r2
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_mass_delete_is_refused_with_numbers_and_the_environment_stays() {
    check(
        "commit good k*100, settle, commit -k*, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            live: a=1 health=good k/…×100
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good k*100, settle, commit blank ?build, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 102 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 102`, or run `lockstep release test r2 --allow-deletes 102`
            live: a=1 health=good k/…×100
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn trailers_up_to_the_head_add_up_to_an_allowance() {
    check(
        "commit good k*100, settle, commit -k* +Allow-Deletes=20, settle, commit readme +Allow-Deletes=80, settle",
        expect![[r#"
        steady r3
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good k*100 +Allow-Deletes=100, settle, commit -k*, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            live: a=1 health=good k/…×100
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_fix_on_top_of_a_commit_that_was_taken_back_needs_no_trailer_again() {
    check(
        "commit good k*100, settle, commit bad -k* +Allow-Deletes=100, settle, commit good, settle",
        expect![[r#"
            steady r3, rejected r2
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy
            4. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 -?build +Allow-No-Checks=true, wait 3, ask rollback, settle, commit a=3, settle",
        expect![[r#"
            steady r3, rejected r2
            live: a=3 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: rolled back by Grace: to see
            3. rollback r1 by Grace: proven: healthy
            4. advance r3 by Ada: proven: applied; no checks"#]],
    );
}

#[test]
fn a_person_can_allow_deletes_for_the_next_change_only() {
    check(
        "commit good k*100, settle, commit -k*, settle, ask release deletes 100, settle, show, commit k*100, settle, commit -k* a=2, settle",
        expect![[r#"
            steady r2
            live: a=1 health=good
            --
            held-refused r3
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r4 --allow-deletes 100`
            live: a=1 health=good k/…×100
            done: r2 may delete 100 keys more
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 may delete 100 keys more
            3. advance r2 by Ada: proven: healthy
            4. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_a_person_allows_holds_for_the_head_of_that_moment_and_ends_with_it() {
    check(
        "commit good k*100 j*55, settle, commit -k* -j*, settle, ask release deletes 30, settle, show, revert, settle, show, commit -j*, settle",
        expect![[r#"
            held-refused r1, permit for r2: 30 deletes by Grace
            head refused: it would delete 155 of 157 keys; deletes.at_most is 50 and 30 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 155`, or run `lockstep release test r2 --allow-deletes 155`
            live: a=1 health=good j/…×55 k/…×100
            --
            steady r1
            live: a=1 health=good j/…×55 k/…×100
            --
            held-refused r1
            head refused: it would delete 55 of 157 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 55`, or run `lockstep release test r4 --allow-deletes 55`
            live: a=1 health=good j/…×55 k/…×100
            done: r2 may delete 30 keys more; the head is still not followed: it would delete 155 of 157 keys; deletes.at_most is 50 and 30 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 155`, or run `lockstep release test r2 --allow-deletes 155`
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 may delete 30 keys more"#]],
    );
    check(
        "commit good k*100, settle, ask release deletes 100, wait 1, commit -k*, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            live: a=1 health=good k/…×100
            refused: r1 changes nothing here, so there is nothing to allow; ask again when the change is on the branch
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good k*100, settle, commit -k*, settle, ask suspend, wait 1, ask release override, wait 1, show, commit a=2, wait 1, ask resume, settle",
        expect![[r#"
            steady r1, permit for r2: every gate by Grace, suspended by Grace
            head suspended: suspended by Grace: to see
            live: a=1 health=good k/…×100
            --
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r3 --allow-deletes 100`
            live: a=1 health=good k/…×100
            done: suspended until `lockstep resume test`
            done: r2 passes every gate; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed; the head is still not followed: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r3 --allow-deletes 100`
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. release r2 by Grace: done: r2 passes every gate
            4. resume r1 by Grace: done: resumed"#]],
    );
    check(
        "commit good k*100, settle, commit -k*, settle, commit invalid, ask release deletes 100, settle",
        expect![[r#"
        held-refused r1
        head invalid: 1 problem: environment.yaml:1
        live: a=1 health=good k/…×100
        refused: the branch has no head that could be let pass; `lockstep status` says why
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_commit_that_comes_before_the_answer_is_not_let_pass_in_place_of_the_one_that_was_meant() {
    let refused = "commit good k*100, settle, commit -k*, settle";
    // Pushed between the look and the answer; or carried out long after it was asked.
    check(
        &format!("{refused}, ask release override, commit -k* a=2, settle"),
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r3 --allow-deletes 100`
            live: a=1 health=good k/…×100
            refused: r2 was to be let pass, and the branch is at r3, which says something else here; look at it with `lockstep plan test`, and ask again if r3 may pass
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{refused}, ask release deletes 100, commit -k* a=2, wait 1, commit -k* a=3, settle"),
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r4 --allow-deletes 100`
            live: a=1 health=good k/…×100
            refused: r2 was to be let pass, and the branch is at r3, which says something else here; look at it with `lockstep plan test`, and ask again if r3 may pass
            1. advance r1 by Ada: proven: healthy"#]],
    );
    // By name: what is named is let pass, and nothing else.
    check(
        &format!("{refused}, commit -k* a=2, settle, ask release r2 override, settle"),
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r3 --allow-deletes 100`
            live: a=1 health=good k/…×100
            refused: r2 was to be let pass, and the branch is at r3, which says something else here; look at it with `lockstep plan test`, and ask again if r3 may pass
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{refused}, ask release r2 deletes 100, settle"),
        expect![[r#"
        steady r2
        live: a=1 health=good
        done: r2 may delete 100 keys more
        1. advance r1 by Ada: proven: healthy
        2. release r2 by Grace: done: r2 may delete 100 keys more
        3. advance r2 by Ada: proven: healthy"#]],
    );
    // What says the same here is the same.
    check(
        &format!("{refused}, ask release override, commit readme, settle"),
        expect![[r#"
        steady r3
        live: a=1 health=good
        done: r3 passes every gate
        1. advance r1 by Ada: proven: healthy
        2. release r3 by Grace: done: r3 passes every gate
        3. advance r3 by Ada: proven: healthy"#]],
    );
    // Whoever leads may not have it yet.
    check(
        &format!("{refused}, commit -k* a=2, lose r2, ask release r2 override, settle"),
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r3 --allow-deletes 100`
            live: a=1 health=good k/…×100
            refused: r2 was to be let pass, and the branch is at r3 for whoever leads, where r2 can't be read; ask again when `lockstep status test` shows r2 as the head
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_is_let_pass_stays_so_while_the_head_can_not_be_followed() {
    let allowed = "commit good k*100, settle, commit -k*, settle, ask suspend, wait 1, ask release override, wait 1";
    check(
        &format!("{allowed}, commit invalid, wait 1, show, rewind r2, believe, wait 1, ask resume, settle"),
        expect![[r#"
            held-refused r1, permit for r2: every gate by Grace, suspended by Grace
            head invalid: 1 problem: environment.yaml:1
            live: a=1 health=good k/…×100
            --
            steady r2
            live: a=1 health=good
            done: suspended until `lockstep resume test`
            done: r2 passes every gate; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. release r2 by Grace: done: r2 passes every gate
            4. resume r1 by Grace: done: resumed
            5. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{allowed}, commit retired, wait 1, show, rewind r2, believe, wait 1, ask resume, settle"),
        expect![[r#"
            steady r1, permit for r2: every gate by Grace, suspended by Grace
            head retired: r3 has no environment test; nothing is written or deleted
            live: a=1 health=good k/…×100
            --
            steady r2
            live: a=1 health=good
            done: suspended until `lockstep resume test`
            done: r2 passes every gate; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. release r2 by Grace: done: r2 passes every gate
            4. resume r1 by Grace: done: resumed
            5. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn each_grant_is_its_own_persons() {
    check(
        "commit good k*100, settle, commit -k*, settle, ask suspend, wait 1, ask release override by Grace, wait 1, ask release deletes 9 by Ada, wait 1",
        expect![[r#"
            steady r1, permit for r2: 9 deletes by Ada and every gate by Grace, suspended by Grace
            head suspended: suspended by Grace: to see
            live: a=1 health=good k/…×100
            done: suspended until `lockstep resume test`
            done: r2 passes every gate; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            done: r2 may delete 9 keys more; still nothing is written before `lockstep resume test`: suspended by Grace: to see
            1. advance r1 by Ada: proven: healthy
            2. suspend r1 by Grace: done: suspended until `lockstep resume test`
            3. release r2 by Grace: done: r2 passes every gate
            4. release r2 by Ada: done: r2 may delete 9 keys more"#]],
    );
    let line = history_after(
        "commit good k*100, settle, commit -k*, settle, ask suspend, wait 1, ask release override by Grace, wait 1, ask release deletes 9 by Ada, wait 1, ask resume, settle",
    );
    // Nine more would not have been enough.
    assert_eq!(line.last().unwrap().because, "change 2 (gates overridden by Grace: to see)");
}

#[test]
fn to_allow_no_deletes_takes_an_allowance_back_and_is_nothing_to_do_where_there_is_none() {
    check(
        "commit good k*100, settle, commit -k*, settle, ask release deletes 0, wait 1, ask release deletes 9, wait 1, ask release deletes 0, wait 1, ask release deletes 0, settle",
        expect![[r#"
            held-refused r1
            head refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            live: a=1 health=good k/…×100
            done: nothing to do: nothing was allowed beyond the limits; the head is still not followed: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            done: r2 may delete 9 keys more; the head is still not followed: it would delete 100 of 102 keys; deletes.at_most is 50 and 9 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            done: r2 keeps to the limits again; the head is still not followed: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            done: nothing to do: nothing was allowed beyond the limits; the head is still not followed: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test r2 --allow-deletes 100`
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 may delete 9 keys more
            3. release r2 by Grace: done: r2 keeps to the limits again"#]],
    );
}

#[test]
fn history_names_who_allowed_what_a_change_did() {
    let because = |sentence: &str| history_after(sentence).pop().unwrap().because;
    let refused = "commit good k*100, settle, commit -k*, settle";
    assert_eq!(
        because(&format!("{refused}, ask release deletes 100, settle")),
        "change 2 (100 more deletes allowed by Grace: to see)"
    );
    assert_eq!(because(&format!("{refused}, ask release override, settle")), "change 2 (gates overridden by Grace: to see)");
}

#[test]
fn to_allow_deletes_takes_no_rejection_back() {
    check(
        "commit good k*100, settle, commit bad, settle, commit good -k*, settle, ask release deletes 100, settle",
        expect![[r#"
            steady r3, rejected r2
            live: a=1 health=good
            done: r3 may delete 100 keys more
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy
            4. release r3 by Grace: done: r3 may delete 100 keys more
            5. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good k*100, settle, commit bad -k* +Allow-Deletes=100, settle, ask release deletes 100, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, permit for r2: 100 deletes by Grace
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good k/…×100
            done: r2 may delete 100 keys more; the head is still not followed: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy
            4. release r2 by Grace: done: r2 may delete 100 keys more"#]],
    );
}

#[test]
fn a_person_can_override_every_gate_once() {
    check(
        "commit good k*100, settle, commit -k* -?build, settle, ask release override, settle",
        expect![[r#"
            steady r2
            live: a=1 health=good
            done: r2 passes every gate
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 passes every gate
            3. advance r2 by Ada: proven: applied; no checks"#]],
    );
}

#[test]
fn a_revert_of_a_commit_that_added_500_keys_passes() {
    check(
        "commit good, settle, commit k*500, settle, revert, settle",
        expect![[r#"
        steady r3
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_rollback_is_never_refused() {
    check(
        "commit good, settle, commit k*500 bad, settle",
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
fn the_head_is_judged_again_when_live_state_changes() {
    check(
        "commit good, settle, theirs b, commit b=1, settle, show, by hand -b, settle",
        expect![[r#"
            held-refused r1
            head refused: b: owned by lockstep owner 8 (another repository or environment); nothing was written. A key has one owner: take it out of this repository, or out of the other one, which Consul's key `lockstep/owners/8` names
            live: a=1 b=theirs(theirs) health=good
            --
            steady r2
            live: a=1 b=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand b=9, commit b=1, settle",
        expect![[r#"
            held-refused r1
            head refused: b: exists already and is not managed by lockstep, with another value; nothing was written. Where the value is another (`lockstep unmanaged test` has both digests), commit what is live, take the key out of the repository, or delete it in the target so that lockstep can create it
            live: a=1 b=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, foreign b, commit b=1, settle",
        expect![[r#"
            held-refused r1
            head refused: b: exists already and is not managed by lockstep: it carries another program's flags; nothing was written. Another program's flags are never overwritten: take the key out of the repository, or delete it in the target so that lockstep can create it
            live: a=1 b=foreign(foreign) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn deletes_are_limited_although_what_last_good_says_is_lost() {
    check(
        "commit good k*30, settle, batch 1, commit a=2 b=2, pass, lose r1, commit -k*, settle, show, commit k*30, settle",
        expect![[r#"
            held-refused r2
            head refused: it would delete 30 of 33 keys (90.9 %); deletes.at_most_percent is 20; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 30`, or run `lockstep release test r3 --allow-deletes 30`
            live: a=2 b=2 health=good k/…×30
            --
            steady r2
            live: a=2 b=2 health=good k/…×30
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy"#]],
    );
}
