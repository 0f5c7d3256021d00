//! The lines that say where an environment stands.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use expect_test::{Expect, expect};

use super::*;
use crate::domain::rollout::tests::rollout_after;

/// The report at the end of a sentence; the first commit is `a000010`, the second `a000020`, and so on.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check(sentence: &str, expected: Expect) {
    let rollout = rollout_after(sentence);
    let mut text = headline(&rollout);
    for line in explain(&rollout) {
        text.push_str("\n- ");
        text.push_str(&line);
    }
    expected.assert_eq(&text);
}

#[test]
fn an_environment_in_step_is_said_in_one_line() {
    check("commit good, settle", expect!["steady on a000001"]);
    check("commit good, settle, build sick, settle", expect!["steady on a000001: failing now: build"]);
}

#[test]
fn before_the_first_deploy_and_on_the_way() {
    check(
        "branch gone, settle",
        expect![[r#"
        nothing applied yet: the branch does not exist any more
        - the branch can't be followed: the branch does not exist any more"#]],
    );
    check(
        "batch 1, commit good, pass",
        expect![[r#"
        applying a000001
        - nothing was proven here yet, so there is nothing to go back to"#]],
    );
    check(
        "commit good, wait 3",
        expect![[r#"
        verifying a000001
        - nothing was proven here yet, so there is nothing to go back to"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 3",
        expect![[r#"
        verifying a000002: not passing: build (got 503)
        - last good is a000001"#]],
    );
    check(
        "commit bad, settle",
        expect![[r#"
        on a000001, not proven: build failed at the deadline: got 503; nothing to go back to
        - there is nothing to go back to; a newer commit moves on, and it is proven if the checks pass
        - nothing was proven here yet, so there is nothing to go back to"#]],
    );
}

#[test]
fn a_fight_promises_no_repair_that_does_not_come() {
    let fight = "commit good, settle, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1";
    check(
        fight,
        expect![[r#"
            steady on a000001: contested, the next repair waits: a
            - somebody else keeps changing a; they are repaired with growing pauses: find out who writes them"#]],
    );
    check(
        &format!("{fight}, ask suspend, settle"),
        expect![[r#"
            suspended by Grace; steady on a000001: 1 key differs from the revision
            - `lockstep resume test` goes on
            - suspended by Grace: to see
            - somebody else keeps changing a; nothing is repaired while it is suspended: find out who writes them
            - 1 key differs from the revision and is left while it is suspended: a (changed, live sha256 19581e27…, wanted sha256 6b86b273…)"#]],
    );
}

#[test]
fn a_rollback_says_why() {
    let bad = "commit good b=1, settle, commit a=2 b=2 bad";
    check(
        &format!("{bad}, settle"),
        expect![[r#"
        rolled back to a000001: build failed at the deadline: got 503
        - a000002 is not followed: rejected as a000002: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on"#]],
    );
    check(
        &format!("{bad}, wait 20, batch 1, tick, pass"),
        expect!["rolling back to a000001: build failed at the deadline: got 503"],
    );
    check(
        &format!("{bad}, wait 22"),
        expect![[r#"
        rolled back to a000001, verifying: build failed at the deadline: got 503
        - a000002 is not followed: rejected as a000002: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle",
        expect![[r#"
            rolled back to a000001: asked for by Grace: to see
            - a000002 waits: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on"#]],
    );
    check(
        "commit good b=1, settle, commit a=2 bad, wait 5, theirs b, settle",
        expect![[r#"
        on a000001, not proven: rolled back except b (owned by lockstep owner 8 (another repository or environment))
        - it is proven as soon as the keys it had to leave can be written
        - a000002 is not followed: rejected as a000002: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on"#]],
    );
}

#[test]
fn a_hold_says_what_it_waits_for() {
    check(
        "commit good, settle, commit a=2, build blind, settle",
        expect![[r#"
        on a000002, not proven: build could not be checked: no leader
        - the checks can't tell; it is proven as soon as they pass for long enough
        - last good is a000001"#]],
    );
    check(
        "commit @auto_revert=off, settle, commit bad, settle",
        expect![[r#"
        on a000002, not proven: build failed at the deadline: got 503; auto_revert is off
        - rollout.auto_revert is off: run `lockstep rollback test`, or commit a fix
        - last good is a000001"#]],
    );
    check(
        "commit good, settle, commit blank ?build, settle",
        expect![[r#"
        on a000002, not proven: the desired state is empty; it is never taken for last good
        - last good is a000001"#]],
    );
    check(
        "commit good, settle, commit invalid, settle",
        expect![[r#"
        staying on a000001, the head is refused: 1 problem: environment.yaml:1
        - a000002 is invalid: 1 problem: environment.yaml:1"#]],
    );
    check(
        "commit good k*100, settle, commit -k*, settle",
        expect![[r#"
            staying on a000001, the head is refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give…
            - a000002 is refused: it would delete 100 of 102 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test a000002 --allow-deletes 100`"#]],
    );
    check(
        "commit good, settle, batch 1, contend b, commit a=2 b=2, wait 90",
        expect![[r#"
        stopped half-way to a000002: somebody else keeps writing a
        - it goes on when nothing stands in the way any more, or with a newer commit
        - last good is a000001"#]],
    );
    check(
        "commit @drift=report b=1, settle, commit a=2, wait 4, by hand b=9, settle",
        expect![[r#"
            on a000002, not proven: healthy, but changed by hand meanwhile: b
            - put the keys back by hand, or run `lockstep apply test --once --overwrite-drift`
            - last good is a000001
            - 1 key differs from the revision and is left since drift is only reported here: b (changed, live sha256 19581e27…, wanted sha256 6b86b273…)"#]],
    );
}

#[test]
fn what_can_not_be_gone_back_to_and_what_was_denied_say_what_would_help() {
    check(
        "commit good b=1, settle, commit a=2 -b bad, wait 5, narrow r1, settle",
        expect![[r#"
            on a000002, not proven: build failed at the deadline: got 503; last good a000001 can't be used under today's configuration: invalid:…
            - it goes back by itself as soon as last good can be used again; a newer commit moves on too
            - last good is a000001"#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 5, lose r1, settle",
        expect![[r#"
            on a000002, not proven: build failed at the deadline: got 503; last good a000001 is in no mirror; bring it back into the branch, which is…
            - it goes back by itself as soon as last good can be used again; a newer commit moves on too
            - last good is a000001"#]],
    );
    check(
        "batch 1, deny b, commit good b=2, settle",
        expect![[r#"
            stopped half-way to a000001: permission denied
            - give the token the rights it lacks: where the target can tell, that is noticed within a minute, else run `lockstep release test`; another token or a newer commit is tried by itself
            - nothing was proven here yet, so there is nothing to go back to"#]],
    );
    check(
        "commit good, settle, batch 1, deny b, commit a=2 b=2, settle",
        expect![[r#"
            staying on a000001, the head is refused: permission denied
            - give the token the rights it lacks: where the target can tell, that is noticed within a minute, else run `lockstep release test`; another token or a newer commit is tried by itself
            - a000002 is refused: permission denied"#]],
    );
}

#[test]
fn a_freeze_says_how_it_ends() {
    check(
        "commit good, settle, commit a=2 bad, build sick, settle",
        expect![[r#"
        frozen on a000001: the rollback is unhealthy too: build failed at the deadline: got 500
        - no automatic move any more: mend what is wrong, then run `lockstep release test` or give a commit the trailer `Lockstep-Release: test`
        - a000002 waits: waiting, frozen: run `lockstep release test`, or give a commit the trailer `Lockstep-Release: test`"#]],
    );
}

#[test]
fn what_people_did_is_said() {
    check(
        "commit good, settle, ask suspend, wait 1, commit a=2, settle",
        expect![[r#"
            suspended by Grace; steady on a000001
            - `lockstep resume test` goes on
            - a000002 waits: suspended by Grace: to see
            - suspended by Grace: to see"#]],
    );
    check(
        "commit good, settle, batch 1, commit a=2 b=2, pass, ask suspend, settle",
        expect![[r#"
            suspended by Grace; applying a000002
            - some keys may be written already, and no more are until it is resumed
            - `lockstep resume test` goes on
            - suspended by Grace: to see
            - last good is a000001"#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask suspend, wait 1, ask rollback, settle",
        expect![[r#"
            suspended by Grace; on a000002; a rollback to a000001 waits: asked for by Grace: to see
            - rollback to a000001 waits: suspended by Grace: to see; `lockstep resume test` carries it out
            - a000002 waits: pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
            - suspended by Grace: to see"#]],
    );
    check(
        "commit good k*100, settle, commit -k*, settle, ask suspend, wait 1, ask release override, wait 1, ask release deletes 9, wait 1",
        expect![[r#"
            suspended by Grace; steady on a000001
            - `lockstep resume test` goes on
            - a000002 waits: suspended by Grace: to see
            - suspended by Grace: to see
            - a000002 may delete 9 keys beyond the limits, by Grace: to see
            - a000002 passes every gate, by Grace: to see"#]],
    );
}

#[test]
fn fights_and_old_failures_are_said() {
    check(
        "commit good, settle, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1",
        expect![[r#"
            steady on a000001
            - somebody else keeps changing a; they are repaired with growing pauses: find out who writes them"#]],
    );
    check(
        "commit good ?other, settle, other sick, settle, commit a=2, wait 3",
        expect![[r#"
        verifying a000002
        - last good is a000001
        - not counted, because failing before this change: other"#]],
    );
}

#[test]
fn every_line_is_one_bounded_line() {
    let mut rollout = rollout_after("commit good, settle, commit invalid, settle");
    if let Some(note) = &mut rollout.note {
        note.text = "ü\n".repeat(1_000);
    }
    let lines = [vec![headline(&rollout)], explain(&rollout)].concat();
    for line in lines {
        assert!(line.chars().count() <= LONGEST_LINE && !line.contains('\n'), "{line}");
    }
    assert!(headline(&rollout).chars().count() <= LONGEST_HEADLINE);
}
