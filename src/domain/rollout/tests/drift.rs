//! Drift: against the goal, put right or reported, and fights over a key (rules O2, R4, R9, R10).

use expect_test::expect;

use super::check;

#[test]
fn drift_is_put_right_and_the_mark_with_it() {
    check(
        "commit good b=1, settle, by hand a=9, wait 1",
        expect![[r#"
        steady r1
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good b=1, settle, by hand -a b=1, wait 1",
        expect![[r#"
            steady r1
            live: a=1 b=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: deleted by hand; b: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn drift_is_judged_against_the_goal_while_the_head_is_not_followed() {
    check(
        "commit good, settle, commit a=2 bad, settle, by hand a=2, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy
        4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good, settle, commit invalid, settle, by hand a=9, settle",
        expect![[r#"
        held-refused r1
        head invalid: 1 problem: environment.yaml:1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit bad, settle, by hand a=9, settle",
        expect![[r#"
        held-unproven r1, good none, unproven nothing-to-go-back-to
        because: build failed at the deadline: got 503; nothing to go back to
        live: a=1 health=bad
        1. advance r1 by Ada: unproven: build failed at the deadline: got 503; nothing to go back to
        2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn drift_while_verifying_is_put_right_and_does_not_restart_the_deadline() {
    check(
        "commit good, settle, commit a=2 bad, wait 15, by hand a=9, wait 6",
        expect![[r#"
            verifying r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            waits: build was not sampled yet
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)
            4. rollback r1 by lockstep: under way"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 4, by hand a=9, settle",
        expect![[r#"
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. repair r2 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn unmanaged_keys_and_marks_of_others_are_left() {
    check(
        "commit good, settle, by hand z=9, foreign y, theirs x, settle",
        expect![[r#"
        steady r1
        live: a=1 health=good x=theirs(theirs) y=foreign(foreign) z=9(unmarked)
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_key_of_the_goal_that_somebody_else_took_is_told_with_whose_it_is() {
    check(
        "commit good b=1, settle, theirs b, settle, show, by hand b=1, settle",
        expect![[r#"
        steady r1
        because: left as it is: b (owned by lockstep owner 8 (another repository or environment))
        live: a=1 b=theirs(theirs) health=good
        --
        steady r1
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. repair r1 by lockstep: repaired: b: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good b=1, settle, theirs b, commit a=2, settle",
        expect![[r#"
            held-refused r1
            because: left as it is: b (owned by lockstep owner 8 (another repository or environment))
            head refused: b: owned by lockstep owner 8 (another repository or environment); nothing was written. A key has one owner: take it out of this repository, or out of the other one, which Consul's key `lockstep/owners/8` names
            live: a=1 b=theirs(theirs) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_key_that_somebody_keeps_changing_is_contested_and_repaired_with_patience() {
    let twice = "commit good, settle, by hand a=9, wait 1, by hand a=9, wait 1";
    check(
        &format!("{twice}, show, by hand a=9, wait 1, show, by hand a=9, wait 5, show, wait 10"),
        expect![[r#"
            steady r1
            live: a=1 health=good
            --
            steady r1, contested a
            live: a=1 health=good
            --
            steady r1, contested a
            because: contested, the next repair waits: a
            live: a=9(unmarked) health=good
            --
            steady r1, contested a
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            5. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        &format!("{twice}, wait 600, by hand a=9, wait 1"),
        expect![[r#"
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
        3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
        4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn no_digest_of_a_sensitive_key_is_kept_since_it_could_be_guessed_from_it() {
    let fight = "by hand a=9 b=9, wait 1, by hand a=9 b=9, wait 1, by hand a=9 b=9, wait 1";
    let contested = super::rollout_after(&format!("commit good a=1!sensitive b=1, settle, {fight}")).repairs.contested;
    let told = |key: &str| contested.get(key).map(|fight| (fight.ours.is_some(), fight.theirs.is_some()));
    assert_eq!((told("a"), told("b")), (Some((false, false)), Some((true, true))));
}

/// What the record says of the fight over `a` after a sentence, with the digests' first digits.
fn fight_after(sentence: &str) -> Option<(Option<String>, Option<String>)> {
    let record = super::rollout_after(sentence);
    let short = |digest: crate::domain::revision::ValueDigest| digest.to_string()[..8].to_owned();
    record.repairs.contested.get("a").map(|fight| (fight.ours.map(short), fight.theirs.map(short)))
}

#[test]
fn a_fight_is_about_what_the_goal_says_and_over_with_the_key() {
    #[track_caller]
    fn check(sentence: &str, ours_and_theirs: Option<(&str, &str)>) {
        let told = |digest: &str| if digest == "hidden" { None } else { Some(digest.to_owned()) };
        assert_eq!(fight_after(sentence), ours_and_theirs.map(|(ours, theirs)| (told(ours), told(theirs))), "{sentence}");
    }
    let begun = "commit good b=1, settle, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1";
    let (one, two, nine) = ("6b86b273", "d4735e3a", "19581e27");
    check(begun, Some((one, nine)));
    check(&format!("{begun}, commit b=2, settle"), Some((one, nine)));
    check(&format!("{begun}, commit a=2, settle"), Some((two, nine)));
    check(&format!("{begun}, commit a=2 bad, settle"), Some((one, nine)));
    check(&format!("{begun}, commit a=2!sensitive, settle"), Some(("hidden", "hidden")));
    check(&format!("{begun}, commit -a, settle"), None);
    check(&format!("{begun}, commit a=9, settle"), None);
    check(&format!("{begun}, commit b=2 @drift=report, settle"), None);
    check(&format!("{begun}, commit @drift=report, settle"), None);
    // Whoever writes what we write takes the mark away.
    let same = begun.replace("a=9", "a=1");
    check(&format!("{same}, commit b=2, settle"), Some((one, one)));
}

#[test]
fn overwriting_reported_drift_again_and_again_is_a_person_and_no_fight() {
    let again = "by hand a=9, settle, ask overwrite drift, settle";
    let record = super::rollout_after(&format!("commit @drift=report, settle, {again}, {again}, {again}, {again}"));
    assert!(record.repairs.contested.is_empty(), "{:?}", record.repairs);
    assert_eq!(record.drift.keys, 0);
}

#[test]
fn a_contested_key_does_not_keep_other_keys_from_repair() {
    let fight = "by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9";
    check(
        &format!("commit good b=1, settle, {fight} b=9, wait 2"),
        expect![[r#"
            steady r1, contested a
            because: contested, the next repair waits: a
            live: a=9(unmarked) b=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            4. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)
            5. repair r1 by lockstep: repaired: b: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn a_repair_that_fails_is_tried_again() {
    check(
        "commit good, settle, unreachable, by hand a=9, wait 20, show, reachable, settle",
        expect![[r#"
        steady r1
        waits: no answer from Consul
        live: a=9(unmarked) health=good
        --
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
    check(
        "commit good b=1, settle, deny a, by hand a=9 b=9, wait 20, show, allow, wait 61",
        expect![[r#"
        steady r1
        live: a=9(unmarked) b=1 health=good
        --
        steady r1
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. repair r1 by lockstep: repaired: b: written by somebody else (mark lost)
        3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn reported_drift_is_left_and_said() {
    check(
        "commit @drift=report, settle, by hand a=9, settle",
        expect![[r#"
            steady r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_first_deploy_that_was_cut_short_goes_on_where_drift_is_only_reported() {
    check(
        "batch 1, commit a=1 b=1 c=1 @drift=report, pass, pass, take over, show, settle",
        expect![[r#"
        applying r1, complete none, good none
        live: a=1 b=1
        --
        steady r1
        live: a=1 b=1 c=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "batch 1, commit a=1 b=1 c=1 @drift=report, pass, pass, commit b=2 d=1, settle",
        expect![[r#"
        steady r2
        live: a=1 b=2 c=1 d=1 health=good
        1. advance r1 by Ada: superseded: superseded by r2
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "batch 1, commit a=1 b=1 c=1 @drift=report, pass, pass, by hand a=9, settle",
        expect![[r#"
        held-refused r1, complete none, good none
        because: waiting for keys that somebody else holds: a (exists already and is not managed by lockstep, with another value)
        live: a=9(unmarked) b=1
        1. advance r1 by Ada: under way"#]],
    );
}

#[test]
fn an_advance_writes_only_what_it_changes_and_is_proven_with_drift() {
    check(
        "commit @drift=report b=1, settle, by hand a=9, settle, commit b=2, settle",
        expect![[r#"
            steady r2
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) b=2 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: proven: healthy, with drift (1 key)"#]],
    );
}

#[test]
fn a_drifted_key_that_the_commit_changes_refuses_it_by_name() {
    check(
        "commit @drift=report, settle, by hand a=9, settle, commit a=2, settle",
        expect![[r#"
            held-refused r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head refused: a: was changed by hand, and drift is only reported here; nothing was written. `lockstep plan test` has both digests. To write what the commit says, run `lockstep apply --once --overwrite-drift test`; to keep what is live, commit it
            live: a=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit @drift=report, settle, by hand a=9, settle, commit -a, settle",
        expect![[r#"
        steady r2
        live: a=9(unmarked) health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_refusal_for_drift_names_live_and_wanted_state_and_the_way_out_and_no_sensitive_digest() {
    check(
        "commit @drift=report b=1!sensitive c=1, settle, by hand a=9 b=9 -c, settle, commit a=2 b=2!sensitive c=2, settle",
        expect![[r#"
            held-refused r1
            drift of 3: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…), b (changed; its value is sensitive), c (deleted, wanted sha256 6b86b273…)
            head refused: a, b: was changed by hand, and drift is only reported here; c: was deleted by hand, and drift is only reported here; nothing was written. `lockstep plan test` has both digests. To write what the commit says, run `lockstep apply --once --overwrite-drift test`; to keep what is live, commit it
            live: a=9(unmarked) b=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit @drift=report, settle, by hand a=9, foreign d, settle, commit a=2 d=2, settle",
        expect![[r#"
            held-refused r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head refused: a: was changed by hand, and drift is only reported here; d: exists already and is not managed by lockstep: it carries another program's flags; nothing was written. Another program's flags are never overwritten: take the key out of the repository, or delete it in the target so that lockstep can create it. `lockstep plan test` has both digests. To write what the commit says, run `lockstep apply --once --overwrite-drift test`; to keep what is live, commit it
            live: a=9(unmarked) d=foreign(foreign) health=good
            1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit @drift=report, settle, by hand a=9, settle, commit a=2, settle, ask overwrite drift, settle",
        expect![[r#"
            steady r2
            live: a=2 health=good
            done: drift is put right once
            1. advance r1 by Ada: proven: healthy
            2. overwrite-drift r1 by Grace: done: drift is put right once
            3. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn overwriting_drift_is_asked_for_once_and_not_for_what_drifts_later() {
    let refused = "commit @drift=report, settle, by hand a=9, settle, commit a=2, settle";
    check(
        &format!("{refused}, ask overwrite drift, settle, by hand a=8, settle"),
        expect![[r#"
            steady r2
            drift of 1: a (changed, live sha256 2c624232…, wanted sha256 d4735e3a…)
            live: a=8(unmarked) health=good
            done: drift is put right once
            1. advance r1 by Ada: proven: healthy
            2. overwrite-drift r1 by Grace: done: drift is put right once
            3. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit @drift=report, settle, ask overwrite drift, settle, by hand a=8, settle",
        expect![[r#"
            steady r1
            drift of 1: a (changed, live sha256 2c624232…, wanted sha256 6b86b273…)
            live: a=8(unmarked) health=good
            done: nothing to do: nothing drifted here
            1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn overwriting_drift_says_what_stays_and_is_refused_where_nothing_is_written() {
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
    fn answered(sentence: &str, expected: expect_test::Expect) {
        let answers = super::answers_after(sentence);
        let said = answers.last().map(|answer| {
            let became = if !answer.accepted {
                "refused"
            } else if answer.changed {
                "done"
            } else {
                "unchanged"
            };
            format!("{became}: {}", answer.text)
        });
        expected.assert_eq(&said.unwrap_or_default());
    }
    let report = "commit @drift=report b=1, settle";
    answered("ask overwrite drift, pass", expect!["unchanged: nothing to do: nothing was ever applied here"]);
    answered(&format!("{report}, ask overwrite drift, settle"), expect!["unchanged: nothing to do: nothing drifted here"]);
    answered(
        &format!("{report}, by hand a=9, theirs b, ask overwrite drift, settle"),
        expect![
            "done: drift is put right once; left as it is: b: owned by lockstep owner 8 (another repository or environment)"
        ],
    );
    answered(
        &format!("{report}, theirs b, ask overwrite drift, settle"),
        expect!["refused: left as it is: b: owned by lockstep owner 8 (another repository or environment)"],
    );
    // An answer is stored, and nobody knows what a head may come to hide.
    answered(
        "commit good b=1 @drift=report, settle, commit a=2 -b bad @drift=report, wait 5, by hand b=9, settle, by hand a=8, settle, \
         commit b=7!sensitive good, settle, ask overwrite drift, settle",
        expect![
            "done: drift is put right once; left as it is: b: exists already and is not managed by lockstep, with another value"
        ],
    );
    answered(
        &format!("{report}, by hand a=9, ask suspend, settle, ask overwrite drift, pass"),
        expect!["refused: suspended by Grace: to see; nothing is written until `lockstep resume test`"],
    );
    answered(
        &format!("{report}, by hand a=9, ask suspend 60, pass, ask overwrite drift, pass"),
        expect![
            "refused: suspended by Grace until 1970-01-12 13:49:18Z: to see; nothing is written until then, or until `lockstep resume test`"
        ],
    );
    answered(
        &format!("{report}, by hand a=9, commit retired, believe, settle, ask overwrite drift, settle"),
        expect!["refused: a000002 has no environment test; nothing is written or deleted"],
    );
    answered(
        &format!("{report}, by hand a=9, unreachable, ask overwrite drift, ask overwrite drift, settle"),
        expect!["unchanged: nothing to do: drift is being put right already"],
    );
    let fight = "commit good, settle, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1";
    answered(
        &format!("{fight}, ask overwrite drift, settle"),
        expect!["refused: left as it is: a: somebody else keeps changing it; not repaired again before 1970-01-12 13:48:31Z"],
    );
    answered(
        &format!("{report}, commit a=2 @drift=report, batch 1, pass, by hand b=9, ask overwrite drift, pass"),
        expect!["done: drift is put right once"],
    );
}

#[test]
fn a_suspension_ends_what_was_to_be_overwritten() {
    check(
        "commit @drift=report, settle, by hand a=9, ask overwrite drift, ask suspend, settle, ask resume, settle",
        expect![[r#"
            steady r1
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=9(unmarked) health=good
            done: drift is put right once
            done: suspended until `lockstep resume test`; drift is not put right any more
            done: resumed
            1. advance r1 by Ada: proven: healthy
            2. overwrite-drift r1 by Grace: done: drift is put right once
            3. suspend r1 by Grace: done: suspended until `lockstep resume test`; drift is not put right any more
            4. resume r1 by Grace: done: resumed"#]],
    );
}

#[test]
fn what_could_not_be_overwritten_is_not_overwritten_later() {
    check(
        "commit @drift=report b=1, settle, by hand a=9, theirs b, ask overwrite drift, settle, show, by hand b=9, settle",
        expect![[r#"
            steady r1
            because: left as it is: b (owned by lockstep owner 8 (another repository or environment))
            live: a=1 b=theirs(theirs) health=good
            --
            steady r1
            drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=1 b=9(unmarked) health=good
            done: drift is put right once; left as it is: b: owned by lockstep owner 8 (another repository or environment)
            1. advance r1 by Ada: proven: healthy
            2. overwrite-drift r1 by Grace: done: drift is put right once; left as it is: b: owned by lockstep owner 8 (another repository or environment)
            3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}

#[test]
fn a_rollback_leaves_a_drifted_key_and_says_so() {
    check(
        "commit @drift=report, settle, commit a=2 bad, wait 10, by hand a=9, settle",
        expect![[r#"
            held-unproven r1, complete r2, rejected r2, unproven except
            because: rolled back except a (was changed by hand, and drift is only reported here)
            drift of 1: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: unproven: rolled back except a (was changed by hand, and drift is only reported here)"#]],
    );
}

#[test]
fn drift_that_appears_during_an_attempt_leaves_it_unproven() {
    check(
        "commit @drift=report b=1, settle, commit a=2, wait 4, by hand b=9, settle",
        expect![[r#"
            held-unproven r2, good r1, unproven drifted
            because: healthy, but changed by hand meanwhile: b
            drift of 1: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)
            live: a=2 b=9(unmarked) health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: unproven: healthy, but changed by hand meanwhile: b"#]],
    );
}

#[test]
fn a_person_can_have_reported_drift_overwritten_once() {
    check(
        "commit @drift=report, settle, by hand a=9, settle, ask overwrite drift, settle, show, by hand a=8, settle",
        expect![[r#"
            steady r1
            live: a=1 health=good
            --
            steady r1
            drift of 1: a (changed, live sha256 2c624232…, wanted sha256 6b86b273…)
            live: a=8(unmarked) health=good
            done: drift is put right once
            1. advance r1 by Ada: proven: healthy
            2. overwrite-drift r1 by Grace: done: drift is put right once
            3. repair r1 by lockstep: repaired: a: written by somebody else (mark lost)"#]],
    );
}
