//! Keys that were there before lockstep: taken over with their values, and given back rather than deleted (rule O8).

use expect_test::expect;

use super::script::{check, rollout_after};

#[test]
fn a_brownfield_environment_is_taken_over_and_is_last_good_at_once() {
    check(
        "by hand a=1 health=bad other=9, commit bad, settle, show, ask adopt, pass, pass, pass, pass, show, settle",
        expect![[r#"
            held-refused
            head refused: a, health: exists already and is not managed by lockstep, with the same value; nothing was written. To take over what has the same value, run `lockstep adopt test`, or give a commit of this change the trailer `Lockstep-Adopt: *`
            live: a=1(unmarked) health=bad(unmarked) other=9(unmarked)
            --
            steady r1
            live: a=1 health=bad other=9(unmarked)
            --
            steady r1
            because: failing now: build
            live: a=1 health=bad other=9(unmarked)
            done: r1 may adopt 2 keys, with the value that is there
            1. release r1 by Grace: done: r1 may adopt 2 keys, with the value that is there
            2. advance r1 by Ada: proven: adopted 2 keys; nothing changed value"#]],
    );
}

#[test]
fn a_trailer_adopts_what_lies_below_its_prefix_and_nothing_else() {
    check(
        "commit good, settle, by hand k/1=1 k/2=1 l=1, commit k/1=1 k/2=1 +Adopt=k/, settle",
        expect![[r#"
        steady r2
        live: a=1 health=good k/…×2 l=1(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 2 keys; nothing changed value"#]],
    );
    check(
        "commit good, settle, by hand k/1=1 l=1, commit k/1=1 l=1 +Adopt=k/, settle",
        expect![[r#"
        held-refused r1
        head refused: l: exists already and is not managed by lockstep, with the same value; nothing was written. To take over what has the same value, run `lockstep adopt test l`, or give a commit of this change the trailer `Lockstep-Adopt: l`
        live: a=1 health=good k/…(unmarked) l=1(unmarked)
        1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand k=1, commit k=1 +Adopt=*, settle",
        expect![[r#"
        steady r2
        live: a=1 health=good k=1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value"#]],
    );
    // Once: the next commit's new key is not covered by it.
    check(
        "commit good, settle, by hand k/1=1, commit k/1=1 +Adopt=k/, settle, by hand k/2=1, commit k/2=1, settle",
        expect![[r#"
        held-refused r2
        head refused: k/2: exists already and is not managed by lockstep, with the same value; nothing was written. To take over what has the same value, run `lockstep adopt test k/2`, or give a commit of this change the trailer `Lockstep-Adopt: k/2`
        live: a=1 health=good k/… k/…(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value"#]],
    );
}

#[test]
fn a_trailer_counts_on_the_first_deploy() {
    check(
        "by hand a=1 health=good, commit good +Adopt=*, settle",
        expect![[r#"
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: adopted 2 keys; nothing changed value"#]],
    );
}

#[test]
fn a_value_that_differs_is_refused_with_both_digests() {
    check(
        "commit good, settle, by hand k/1=1 k/2=9, commit k/1=1 k/2=2 +Adopt=k/, settle",
        expect![[r#"
            held-refused r1
            head refused: k/2: exists already and is not managed by lockstep, with another value; nothing was written. Where the value is another (`lockstep unmanaged test` has both digests), commit what is live, take the key out of the repository, or delete it in the target so that lockstep can create it
            live: a=1 health=good k/…(unmarked)×2
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand k/1=1 k/2=9, commit k/1=1 k/2=2, ask adopt k/, settle",
        expect![[r#"
            held-refused r1
            head refused: k/1: exists already and is not managed by lockstep, with the same value; k/2: exists already and is not managed by lockstep, with another value; nothing was written. To take over what has the same value, run `lockstep adopt test k/1`, or give a commit of this change the trailer `Lockstep-Adopt: k/1`. Where the value is another (`lockstep unmanaged test` has both digests), commit what is live, take the key out of the repository, or delete it in the target so that lockstep can create it
            live: a=1 health=good k/…(unmarked)×2
            refused: k/2: exists already and is not managed by lockstep, with another value: live sha256 19581e27…, wanted sha256 d4735e3a…; nothing was adopted: only keys that have the wanted values already can be
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand k/1=1 k/2=9, commit k/1=1 k/2=2, ask adopt k/1, settle",
        expect![[r#"
            held-refused r1, permit for r2: k/1 adopted by Grace
            head refused: k/2: exists already and is not managed by lockstep, with another value; nothing was written. Where the value is another (`lockstep unmanaged test` has both digests), commit what is live, take the key out of the repository, or delete it in the target so that lockstep can create it
            live: a=1 health=good k/…(unmarked)×2
            done: r2 may adopt 1 key, with the value that is there; the head is still not followed: k/2: exists already and is not managed by lockstep, with another value; nothing was written. Where the value is another (`lockstep unmanaged test` has both digests), commit what is live, take the key out of the repository, or delete it in the target so that lockstep can create it
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 may adopt 1 key, with the value that is there"#]],
    );
}

#[test]
fn keys_of_another_program_or_owner_are_not_adopted() {
    check(
        "commit good, settle, foreign b, theirs c, commit b=foreign c=theirs, ask adopt, settle",
        expect![[r#"
            held-refused r1
            head refused: b: exists already and is not managed by lockstep: it carries another program's flags; c: owned by lockstep owner 8 (another repository or environment); nothing was written. Another program's flags are never overwritten: take the key out of the repository, or delete it in the target so that lockstep can create it. A key has one owner: take it out of this repository, or out of the other one, which Consul's key `lockstep/owners/8` names
            live: a=1 b=foreign(foreign) c=theirs(theirs) health=good
            refused: b: exists already and is not managed by lockstep: it carries another program's flags (42); c: owned by lockstep owner 8 (another repository or environment); nothing was adopted: only keys that have the wanted values already can be
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn an_adoption_is_for_the_commit_that_was_seen_and_repeats_as_nothing_to_do() {
    check(
        "commit good, settle, by hand b=1 c=1, commit b=1, settle, ask adopt, commit c=1, settle",
        expect![[r#"
            held-refused r1
            head refused: b, c: exists already and is not managed by lockstep, with the same value; nothing was written. To take over what has the same value, run `lockstep adopt test`, or give a commit of this change the trailer `Lockstep-Adopt: *`
            live: a=1 b=1(unmarked) c=1(unmarked) health=good
            refused: r2 was to be let pass, and the branch is at r3, which says something else here; look at it with `lockstep plan test`, and ask again if r3 may pass
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand b=1, commit b=1, settle, ask adopt, settle, ask adopt, settle",
        expect![[r#"
            steady r2
            live: a=1 b=1 health=good
            done: r2 may adopt 1 key, with the value that is there
            done: nothing to do: no key that the head wants there is unmanaged, so none is to be adopted
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 may adopt 1 key, with the value that is there
            3. advance r2 by Ada: proven: adopted 1 key; nothing changed value"#]],
    );
    check(
        "commit good, settle, ask adopt, commit b=1, ask adopt, settle",
        expect![[r#"
        steady r2
        live: a=1 b=1 health=good
        refused: r1 was to be let pass, and the branch is at r2, which says something else here; look at it with `lockstep plan test`, and ask again if r2 may pass
        done: nothing to do: no key that the head wants there is unmanaged, so none is to be adopted
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn an_adoption_beside_a_change_of_values_is_judged_like_any_other() {
    check(
        "commit good, settle, by hand b=1, commit b=1 a=2, ask adopt, settle",
        expect![[r#"
            steady r2
            live: a=2 b=1 health=good
            done: r2 may adopt 1 key, with the value that is there
            1. advance r1 by Ada: proven: healthy
            2. release r2 by Grace: done: r2 may adopt 1 key, with the value that is there
            3. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand b=1, commit b=1 bad +Adopt=b, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=1(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn marks_alone_prove_nothing_about_what_is_unproven_or_judged_otherwise() {
    // What is live is not proven.
    check(
        "commit unknown, settle, by hand b=1, commit b=1 +Adopt=b, wait 9, show",
        expect![[r#"
        verifying r2, good none
        because: not passing: build (could not be checked: no answer from Consul)
        waits: build could not be checked: no answer from Consul
        live: a=1 b=1 health=unknown
        --
        verifying r2, good none
        because: not passing: build (could not be checked: no answer from Consul)
        waits: build could not be checked: no answer from Consul
        live: a=1 b=1 health=unknown
        1. advance r1 by Ada: unproven: build could not be checked: no answer from Consul
        2. advance r2 by Ada: under way"#]],
    );
    // It is judged by other checks from here on.
    check(
        "commit good, settle, by hand b=1, commit b=1 ?rotten +Adopt=b, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: rotten failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=1(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: rotten failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_rollback_or_a_revert_gives_back_what_was_adopted_and_a_commit_that_removes_it_deletes_it() {
    check(
        "commit good, settle, by hand b=1, commit b=1 +Adopt=b, settle, ask rollback, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2, pinned by Grace
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 b=1(unmarked) health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand b=1, commit b=1 +Adopt=b, settle, revert, settle",
        expect![[r#"
        steady r3
        live: a=1 b=1(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand b=1, commit b=1 +Adopt=b, settle, commit -b a=3, settle",
        expect![[r#"
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn the_bit_stays_over_updates_repairs_and_lost_marks() {
    check(
        "commit good, settle, by hand b=1, commit b=1 +Adopt=b, settle, by hand b=9, settle, ask rollback r1, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2, pinned by Grace
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 b=1(unmarked) health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. repair r2 by lockstep: repaired: b: written by somebody else (mark lost)
        4. rollback r1 by Grace: proven: healthy"#]],
    );
    check(
        "commit good, settle, by hand b=1, commit b=1 +Adopt=b, settle, commit b=2, settle, ask rollback r1, settle",
        expect![[r#"
        held-after-rollback r1, rejected r3, pinned by Grace
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 b=2(unmarked) health=good
        done: rolling back from r3 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. advance r3 by Ada: proven: healthy
        4. rollback r1 by Grace: proven: healthy"#]],
    );
    for (hand, expected) in [
        (
            "by hand b=1",
            expect![[r#"
        held-after-rollback r1, rejected r2, pinned by Grace
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 b=1(unmarked) health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. repair r2 by lockstep: repaired: b: written by somebody else (mark lost)
        4. rollback r1 by Grace: proven: healthy"#]],
        ),
        (
            "by hand -b",
            expect![[r#"
        held-after-rollback r1, rejected r2, pinned by Grace
        head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
        live: a=1 b=1(unmarked) health=good
        done: rolling back from r2 to r1
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: adopted 1 key; nothing changed value
        3. repair r2 by lockstep: repaired: b: deleted by hand
        4. rollback r1 by Grace: proven: healthy"#]],
        ),
    ] {
        check(
            &format!("commit good, settle, by hand b=1, commit b=1 +Adopt=b, settle, {hand}, settle, ask rollback r1, settle"),
            expected,
        );
    }
}

#[test]
fn a_folder_that_is_named_as_a_key_is_told_so() {
    check(
        "commit good, settle, by hand k/1=1, commit k/1=1, ask adopt k, settle",
        expect![[r#"
        held-refused r1
        head refused: k/1: exists already and is not managed by lockstep, with the same value; nothing was written. To take over what has the same value, run `lockstep adopt test k/1`, or give a commit of this change the trailer `Lockstep-Adopt: k/1`
        live: a=1 health=good k/…(unmarked)
        refused: k is no key of the head; for all that lies below it name `k/`
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_is_cut_short_goes_on_with_what_it_began_with() {
    check(
        "by hand a=1 health=good k/1=1 k/2=1 k/3=1, commit good k/1=1 k/2=1 k/3=1, settle, batch 2, ask adopt, pass, pass, take over, show, settle",
        expect![[r#"
            applying r1, complete none, good none
            live: a=1 health=good k/…(unmarked)×3
            --
            steady r1
            live: a=1 health=good k/…×3
            done: r1 may adopt 5 keys, with the value that is there
            1. release r1 by Grace: done: r1 may adopt 5 keys, with the value that is there
            2. advance r1 by Ada: proven: adopted 5 keys; nothing changed value"#]],
    );
    // The adoption is superseded half-way by a commit without the keys: they are given back, not deleted.
    check(
        "commit good, settle, by hand k/1=1 k/2=1 k/3=1, batch 1, commit k/1=1 k/2=1 k/3=1 +Adopt=k/, pass, show, commit -k/1 -k/2 -k/3 a=2, settle",
        expect![[r#"
            applying r2, complete r1, good r1
            live: a=1 health=good k/… k/…(unmarked)×2
            --
            steady r3
            live: a=2 health=good k/…(unmarked)×3
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: superseded: superseded by r3
            3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn what_takes_the_place_of_an_adoption_that_is_not_proven_gives_it_back_and_what_is_proven_goes_with_the_commit_that_removes_it()
 {
    const ADOPTED: &str = "commit good, settle, by hand k/1=1, commit k/1=1 a=2 +Adopt=k/";
    check(
        &format!("{ADOPTED}, pass, pass, show, commit -k/1 a=3, settle"),
        expect![[r#"
        verifying r2, good r1
        live: a=2 health=good k/…
        --
        steady r3
        live: a=3 health=good k/…(unmarked)
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        &format!("{ADOPTED}, settle, commit -k/1 a=3, settle"),
        expect![[r#"
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. advance r3 by Ada: proven: healthy"#]],
    );
    // Taken back by a person, tried again, and not wanted any more before it is proven.
    check(
        &format!("{ADOPTED}, settle, ask rollback, settle, ask resume, pass, pass, show, commit -k/1 a=3, settle"),
        expect![[r#"
            applying r2, good r1
            live: a=2 health=good k/…
            --
            steady r3
            live: a=3 health=good k/…(unmarked)
            done: rolling back from r2 to r1
            done: unpinned; r2 may be tried again
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. rollback r1 by Grace: proven: healthy
            4. resume r1 by Grace: done: unpinned; r2 may be tried again
            5. advance r2 by Ada: superseded: superseded by r3
            6. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_key_that_changes_between_two_transactions_is_never_overwritten() {
    check(
        "commit good, settle, by hand k/1=1 k/2=1 k/3=1, batch 1, commit k/1=1 k/2=1 k/3=1 +Adopt=k/, pass, by hand k/3=9, settle, show, by hand k/3=1, settle",
        expect![[r#"
            held-refused r2, complete r1, good r1
            because: waiting for keys that somebody else holds: k/3 (exists already and is not managed by lockstep, with another value)
            live: a=1 health=good k/… k/…(unmarked)×2
            --
            steady r2
            live: a=1 health=good k/…×3
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: adopted 3 keys; nothing changed value"#]],
    );
}

#[test]
fn a_trailer_that_names_no_keys_adopts_nothing_and_the_refusal_says_so() {
    check(
        "commit good, settle, by hand k/1=1, commit k/1=1 +Adopt=/k/, settle",
        expect![[r#"
            held-refused r1
            head refused: k/1: exists already and is not managed by lockstep, with the same value; nothing was written; the trailer `Lockstep-Adopt:` of r2 adopts nothing: key "/k" has an empty segment: no leading, trailing or double '/'; name a key, a prefix that ends with '/', or * for every key. To take over what has the same value, run `lockstep adopt test k/1`, or give a commit of this change the trailer `Lockstep-Adopt: k/1`
            live: a=1 health=good k/…(unmarked)
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_refusal_stays_as_it_is_while_somebody_writes_the_key_again_and_again() {
    for (before, writes) in [
        ("commit good, settle, by hand k=9, commit k=1, settle", ["by hand k=8", "by hand k=7"]),
        ("commit good, settle, foreign k, commit k=1, settle", ["foreign k", "foreign k"]),
    ] {
        let again = writes.map(|write| format!(", {write}, settle")).concat();
        let (before, after) = (rollout_after(before), rollout_after(&format!("{before}{again}")));
        assert!(before.note.as_ref().is_some_and(|note| note.text.contains("exists already")), "{before:?}");
        assert_eq!(after, before, "the record was written at the pace of whoever writes the key");
    }
}

#[test]
fn a_key_that_came_while_its_adoption_was_under_way_is_remembered_as_adopted() {
    let begun = "commit good, settle, by hand k/1=1 k/2=1, batch 1, commit k/1=1 k/2=1 k/3=1 +Adopt=k/, pass";
    check(
        &format!("{begun}, by hand k/3=1, settle, by hand k/3=1, settle, show, commit retired, settle, remove"),
        expect![[r#"
            steady r2
            live: a=1 health=good k/…×3
            --
            steady r2
            head retired: r3 has no environment test; nothing is written or deleted
            live: k/…(unmarked)×3
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy
            3. repair r2 by lockstep: repaired: k/3: written by somebody else (mark lost)
            4. remove r2 by Grace: removed: removed"#]],
    );
}
