//! From the first write to the verdict: proven, taken back, held, frozen (rules H1 to H4, R1, R2, R5, R6, R8, G5).

use expect_test::expect;

use super::check;
use super::script::history_after;

#[test]
fn a_good_commit_is_proven_and_a_bad_one_ends_at_the_last_proven_one() {
    check(
        "commit good, settle, commit bad, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, settle, commit good, settle",
        expect![[r#"
        steady r3, rejected r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy
        4. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_rollback_goes_to_the_last_proven_one_and_never_to_the_commit_before() {
    check(
        "commit good, settle, commit a=2 bad, settle, commit a=3 bad, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2 r3
        head rejected: rejected as r3: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy
        4. advance r3 by Ada: rolled-back: build failed at the deadline: got 503
        5. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 5, commit a=3, settle",
        expect![[r#"
        held-after-rollback r1, rejected r3
        head rejected: rejected as r3: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: rolled-back: build failed at the deadline: got 503
        4. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_failing_check_rejects_at_the_deadline_or_after_three_failures_in_a_row_that_follow_a_pass() {
    check(
        "commit good, settle, commit bad, wait 20, show, wait 1",
        expect![[r#"
            verifying r2, good r1
            because: not passing: build (got 503)
            waits: build fails: got 503
            live: a=1 health=bad
            --
            verifying r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            waits: build was not sampled yet
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: under way"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 4, build sick, wait 2, show, wait 1",
        expect![[r#"
            verifying r2, good r1
            waits: build fails: got 500
            live: a=2 health=good
            --
            verifying r1, rejected r2
            head rejected: rejected as r2: build failed 3 times in a row: got 500; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            waits: build was not sampled yet
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed 3 times in a row: got 500
            3. rollback r1 by lockstep: under way"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 4, build sick, wait 2, build well, settle",
        expect![[r#"
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn samples_count_after_settle_and_proof_needs_the_whole_healthy_time() {
    check(
        "commit good, wait 6, show, wait 1",
        expect![[r#"
        verifying r1, good none
        waits: healthy for 1 s more to be proven
        live: a=1 health=good
        --
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "build sick, commit good, wait 2, build well, wait 4, show, wait 1",
        expect![[r#"
        verifying r1, good none
        waits: healthy for 1 s more to be proven
        live: a=1 health=good
        --
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn without_checks_a_revision_is_proven_after_the_healthy_time_and_says_so() {
    check(
        "commit -?build, wait 6, show, wait 1",
        expect![[r#"
        verifying r1, good none
        waits: healthy for 1 s more to be proven
        live: a=1 health=good
        --
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: proven: applied; no checks"#]],
    );
}

#[test]
fn a_state_equal_to_the_failing_one_is_never_gone_back_to() {
    // Only the check is new: the keys are the same, so there is nothing to write back.
    check(
        "commit good, settle, commit ?new=rotten, settle",
        expect![[r#"
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: new failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: rolled-back: new failed at the deadline: got 503
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_return_to_last_good_that_is_unhealthy_has_nowhere_to_go() {
    check(
        "commit good, settle, commit a=2, wait 4, revert, build sick, settle",
        expect![[r#"
        frozen r1, rejected r3
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: superseded: superseded by r3
        3. advance r3 by Ada: rolled-back: build failed at the deadline: got 500
        4. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
}

#[test]
fn a_first_deploy_that_is_unhealthy_is_held_and_a_fix_moves_on() {
    check(
        "commit bad, settle, show, commit good, settle",
        expect![[r#"
        held-unproven r1, good none, unproven nothing-to-go-back-to
        because: build failed at the deadline: got 503; nothing to go back to
        live: a=1 health=bad
        --
        steady r2
        live: a=1 health=good
        1. advance r1 by Ada: unproven: build failed at the deadline: got 503; nothing to go back to
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, build sick, settle, show, build well, settle",
        expect![[r#"
        held-unproven r1, good none, unproven nothing-to-go-back-to
        because: build failed at the deadline: got 500; nothing to go back to
        live: a=1 health=good
        --
        steady r1
        live: a=1 health=good
        1. advance r1 by Ada: unproven: build failed at the deadline: got 500; nothing to go back to"#]],
    );
}

#[test]
fn without_auto_revert_an_unhealthy_revision_is_rejected_and_held() {
    check(
        "commit @auto_revert=off, settle, commit bad, settle, show, commit good a=2, settle",
        expect![[r#"
        held-unproven r2, good r1, rejected r2, unproven auto-revert-off
        because: build failed at the deadline: got 503; auto_revert is off
        live: a=1 health=bad
        --
        steady r3, rejected r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: build failed at the deadline: got 503; auto_revert is off
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit @auto_revert=off, settle, commit a=2, build sick, settle, build well, settle",
        expect![[r#"
        held-unproven r2, good r1, rejected r2, unproven auto-revert-off
        because: build failed at the deadline: got 500; auto_revert is off
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: build failed at the deadline: got 500; auto_revert is off"#]],
    );
    check(
        "commit @auto_revert=off, settle, commit bad, settle, ask rollback, settle",
        expect![[r#"
            held-after-rollback r1, rejected r2, pinned by Grace
            head pinned: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` with `lockstep release test` moves on
            live: a=1 health=good
            done: rolling back from r2 to r1
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: unproven: build failed at the deadline: got 503; auto_revert is off
            3. rollback r1 by Grace: proven: healthy"#]],
    );
}

#[test]
fn what_can_not_be_told_at_the_deadline_is_held_and_checked_on() {
    check(
        "commit good, settle, commit a=2, build blind, settle, show, build well, settle",
        expect![[r#"
        held-unproven r2, good r1, unproven unknown
        because: build could not be checked: no leader
        live: a=2 health=good
        --
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: build could not be checked: no leader"#]],
    );
    check(
        "commit good, settle, commit a=2, build blind, settle, build sick, settle",
        expect![[r#"
        frozen r1, rejected r2
        because: the rollback is unhealthy too: build failed at the deadline: got 500
        head waiting-frozen: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: build could not be checked: no leader
        3. rollback r1 by lockstep: frozen: build failed at the deadline: got 500"#]],
    );
    check(
        "commit good, settle, commit a=2, build blind, settle, commit a=3, build well, settle",
        expect![[r#"
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: build could not be checked: no leader
        3. advance r3 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_check_that_flaps_proves_nothing() {
    check(
        "commit good, settle, commit flapping, settle",
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
fn an_empty_state_is_applied_and_never_last_good() {
    check(
        "commit good, settle, commit blank ?build, settle, show, commit a=5, settle",
        expect![[r#"
        held-unproven r2, good r1, unproven empty
        because: the desired state is empty; it is never taken for last good
        live: 
        --
        steady r3
        live: a=5
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: the desired state is empty; it is never taken for last good
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit blank ?build, settle, show, commit a=1, settle",
        expect![[r#"
        held-unproven r1, good none, unproven empty
        because: the desired state is empty; it is never taken for last good
        live: 
        --
        steady r2
        live: a=1
        1. advance r1 by Ada: unproven: the desired state is empty; it is never taken for last good
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn a_commit_that_deletes_its_own_checks_is_refused_unless_it_says_so() {
    check(
        "commit good, settle, commit bad -?build, settle",
        expect![[r#"
        held-refused r1
        head refused: it has no health checks and last good has 1; if that is meant, give a commit of this change the trailer `Lockstep-Allow-No-Checks: true`
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 -?build +Allow-No-Checks=true, settle",
        expect![[r#"
        steady r2
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: applied; no checks"#]],
    );
}

#[test]
fn a_late_failure_is_reported_and_not_rolled_back() {
    check(
        "commit good, settle, build sick, settle",
        expect![[r#"
        steady r1
        because: failing now: build
        live: a=1 health=good
        1. advance r1 by Ada: proven: healthy"#]],
    );
}

#[test]
fn last_good_that_todays_configuration_does_not_allow_is_said_as_such_and_gone_back_to_when_it_does() {
    let narrowed = "commit good b=1, settle, commit a=2 -b bad, wait 5, narrow r1, settle";
    check(
        &format!("{narrowed}, show, widen r1, settle"),
        expect![[r#"
        held-unproven r2, good r1, rejected r2, unproven nothing-to-go-back-to
        because: build failed at the deadline: got 503; last good r1 can't be used under today's configuration: invalid: base/kv/x.yaml:1: the key b lies outside the roots; take the change of the controller's configuration back (its roots were narrowed?), or commit a fix
        live: a=2 health=bad
        --
        held-after-rollback r1, rejected r2
        head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
        live: a=1 b=1 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: unproven: build failed at the deadline: got 503; last good r1 can't be used under today's configuration: invalid: base/kv/x.yaml:1: the key b lies outside the roots; take the change of the controller's configuration back (its roots were narrowed?), or commit a fix
        3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good b=1, settle, commit a=2 -b, settle, narrow r1, ask rollback r1, settle",
        expect![[r#"
        steady r2
        live: a=2 health=good
        refused: r1 can't be used under today's configuration: invalid: base/kv/x.yaml:1: the key b lies outside the roots; take the change of the controller's configuration back (its roots were narrowed?), or commit a fix
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
}

#[test]
fn last_good_that_is_in_no_mirror_is_never_guessed() {
    check(
        "commit good, settle, commit a=2 bad, wait 10, lose r1, settle, show, find r1, settle",
        expect![[r#"
            held-unproven r2, good r1, rejected r2, unproven nothing-to-go-back-to
            because: build failed at the deadline: got 503; last good r1 is in no mirror; bring it back into the branch, which is fetched again, or commit a fix
            live: a=2 health=bad
            --
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: unproven: build failed at the deadline: got 503; last good r1 is in no mirror; bring it back into the branch, which is fetched again, or commit a fix
            3. rollback r1 by lockstep: proven: healthy"#]],
    );
}

#[test]
fn a_new_leader_grants_the_healthy_time_again_whatever_the_clock_says() {
    check(
        "commit good, settle, commit bad, wait 19, take over, wait 5, show, wait 5",
        expect![[r#"
            verifying r2, good r1
            because: not passing: build (got 503)
            waits: build fails: got 503
            live: a=1 health=bad
            --
            verifying r1, rejected r2
            head rejected: rejected as r2: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            waits: healthy for 2 s more to be proven
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: build failed at the deadline: got 503
            3. rollback r1 by lockstep: under way"#]],
    );
}

#[test]
fn while_a_goal_is_judged_the_record_names_the_checks_that_do_not_pass_yet_and_the_head_that_is_not_followed() {
    // What a check finds may differ each time: the record says the first, and is not written again for it.
    check(
        "commit good, settle, build sick, commit a=2 ?other=rotten, wait 3, show, build blind, wait 1, show, build well, wait 1, show, settle",
        expect![[r#"
            verifying r2, good r1
            because: not passing: build, other (build: got 500)
            waits: build fails: got 500
            live: a=2 health=good
            --
            verifying r2, good r1
            because: not passing: build, other (build: got 500)
            waits: build could not be checked: no leader
            live: a=2 health=good
            --
            verifying r2, good r1
            because: not passing: other (got 503)
            waits: other fails: got 503
            live: a=2 health=good
            --
            held-after-rollback r1, rejected r2
            head rejected: rejected as r2: other failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
            live: a=1 health=good
            1. advance r1 by Ada: proven: healthy
            2. advance r2 by Ada: rolled-back: other failed at the deadline: got 503
            3. rollback r1 by lockstep: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 3, commit invalid, wait 1, show, settle",
        expect![[r#"
        verifying r2, good r1
        head invalid: 1 problem: environment.yaml:1
        waits: healthy for 3 s more to be proven
        live: a=2 health=good
        --
        held-refused r2
        head invalid: 1 problem: environment.yaml:1
        live: a=2 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2, wait 3, commit a=3, wait 1, show, settle",
        expect![[r#"
        verifying r2, good r1
        waits: healthy for 3 s more to be proven
        live: a=2 health=good
        --
        steady r3
        live: a=3 health=good
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: proven: healthy
        3. advance r3 by Ada: proven: healthy"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 3, ask suspend, wait 1, commit a=3, settle",
        expect![[r#"
        verifying r2, good r1, suspended by Grace
        because: not passing: build (got 503)
        head suspended: suspended by Grace: to see
        waits: suspended while unhealthy: build failed at the deadline: got 503
        live: a=2 health=bad
        done: suspended until `lockstep resume test`
        1. advance r1 by Ada: proven: healthy
        2. advance r2 by Ada: under way
        3. suspend r2 by Grace: done: suspended until `lockstep resume test`"#]],
    );
}

#[test]
fn a_proof_says_which_checks_passed_and_for_how_long() {
    let evidence = |sentence| {
        let texts = history_after(sentence).into_iter().filter_map(|line| line.closed).map(|closed| closed.text);
        texts.collect::<Vec<_>>()
    };
    let both = "healthy (build passed for 4 s, other passed for 4 s)";
    assert_eq!(evidence("commit good ?other, settle"), [both]);
    let without = "healthy (build passed for 4 s), not counting other (failed before)";
    assert_eq!(evidence("commit good ?other, settle, other sick, settle, commit a=2, settle"), [both, without]);
}
