//! What `status` shows people of a record.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use expect_test::{Expect, expect};

use super::super::view::{Rules, Subjects};
use super::*;
use crate::cli::output::VERSION;
use crate::domain::environment::DriftPolicy;
use crate::domain::rollout::tests::rollout_after;

/// What `status` shows a moment after a sentence; the first commit is `a000010`, the second `a000020`, and so on.
#[track_caller]
fn check(sentence: &str, expected: Expect) {
    check_led_by(Some("host-1:42"), sentence, expected);
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check_led_by(leader: Option<&str>, sentence: &str, expected: Expect) {
    let now = Timestamp::from_millis(1_000_600_000);
    let record = rollout_after(sentence).as_of(now).into_owned();
    let named = [&record.goal, &record.complete, &record.last_good].into_iter().flatten().map(|reached| reached.revision);
    let named = named.chain(record.note.as_ref().and_then(|note| note.revision));
    let subjects = Subjects(named.map(|revision| (revision, format!("Change {}", revision.short()))).collect());
    let name = &record.identity.environment;
    let rules = Rules {
        checks: 1,
        min_healthy_time: Duration::from_secs(10),
        healthy_deadline: Duration::from_secs(20),
        drift: DriftPolicy::Correct,
    };
    let mut environment = Environment::of(name, "directory live/test".to_owned(), &record, &subjects, Some(&rules), 0, now);
    environment.leader = leader.map(ToOwned::to_owned);
    let status = Statuses { version: VERSION, repository: "config".to_owned(), environments: vec![environment], now };
    let mut page = Page::default();
    status.human(&mut page);
    expected.assert_eq(&page.plain());
}

#[test]
fn each_thing_is_said_once() {
    check(
        "commit good, settle",
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 1 since 1970-01-12 13:46:41Z (9m59s ago)
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
        "#]],
    );
    check(
        "commit good, settle, commit a=2 bad, settle",
        expect![[r#"
            test  held-after-rollback
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 3 since 1970-01-12 13:48:39Z (8m1s ago)
              head         a000002 Change a000002 is not followed (rejected)
                           rejected as a000002: build failed at the deadline: got 503; a newer change, `lockstep release test` or the trailer `Lockstep-Retry: test` moves on
              attempt      rollback by lockstep, proven
              evidence     healthy (build passed for 4 s)
              rejected     a000002 at 1970-01-12 13:48:39Z (8m1s ago)
        "#]],
    );
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle",
        expect![[r#"
            test  held-after-rollback
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 3 since 1970-01-12 13:49:57Z (6m43s ago)
              head         a000002 Change a000002 is not followed (pinned)
                           pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
              attempt      rollback by Grace, proven
              evidence     healthy (build passed for 4 s)
              pinned       by Grace at 1970-01-12 13:49:57Z (6m43s ago)
              rejected     a000002 at 1970-01-12 13:49:57Z (6m43s ago): rolled back by Grace: to see
        "#]],
    );
    check(
        "commit good, settle, commit a=2, build blind, settle",
        expect![[r#"
        test  held-unproven
          target       directory live/test
          leader       host-1:42
          revision     a000002 Change a000002
                       not proven, generation 2 since 1970-01-12 13:48:19Z (8m21s ago)
          reason       build could not be checked: no leader
          hint: the checks can't tell; it is proven as soon as they pass for long enough
          last good    a000001 Change a000001
          attempt      advance by Ada, unproven: change 2
    "#]],
    );
    check(
        "commit good, settle, commit invalid, settle, ask suspend, settle",
        expect![[r#"
            test  held-refused, suspended
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 1 since 1970-01-12 13:46:41Z (9m59s ago)
              hint: `lockstep resume test` goes on
              head         a000002 Change a000002 is not followed (invalid)
                           1 problem: environment.yaml:1
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
              suspended    by Grace at 1970-01-12 13:49:51Z (6m49s ago): to see
        "#]],
    );
    check(
        "commit good, settle, commit a=2 bad, build sick, settle",
        expect![[r#"
            test  frozen
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           not proven, generation 3 since 1970-01-12 13:48:39Z (8m1s ago)
              reason       the rollback is unhealthy too: build failed at the deadline: got 500
              hint: no automatic move any more: mend what is wrong, then run `lockstep release test` or give a commit the trailer `Lockstep-Release: test`
              head         a000002 Change a000002 is not followed (waiting-frozen)
              attempt      rollback by lockstep, frozen
              rejected     a000002 at 1970-01-12 13:48:39Z (8m1s ago)
        "#]],
    );
}

#[test]
fn of_a_retired_environment_that_nobody_leads_it_is_said_what_helps_and_not_to_start_a_controller() {
    check_led_by(
        None,
        "commit good, settle, commit retired, settle",
        expect![[r#"
        test  steady, retired
          target       directory live/test
          leader       none: a retired environment needs none; `lockstep env remove test` takes it out of its target, a commit that has environments/test again brings it back
          revision     a000001 Change a000001
                       proven, generation 1 since 1970-01-12 13:46:41Z (9m59s ago)
          head         a000002 Change a000002 is not followed (retired)
                       a000002 has no environment test; nothing is written or deleted
          attempt      advance by Ada, proven: change 1
          evidence     healthy (build passed for 4 s)
    "#]],
    );
    // What is half-way somebody has to end first.
    check_led_by(
        None,
        "commit good, wait 3, commit retired, pass",
        expect![[r#"
        test  verifying, retired
          target       directory live/test
          leader       none: no controller keeps this environment, and nobody looks for drift; start `lockstep run`, or `lockstep apply --once test`
          revision     a000001 Change a000001
                       not proven, generation 1 since 1970-01-12 13:46:41Z (9m59s ago)
          waits        for every check to pass for 10s; the deadline was 1970-01-12 13:47:01Z (9m39s ago)
          head         a000002 Change a000002 is not followed (retired)
                       a000002 has no environment test; nothing is written or deleted
          attempt      advance by Ada, under way: change 1
    "#]],
    );
}

#[test]
fn a_rollback_that_waits_is_said_beside_what_is_live_the_head_and_drift() {
    check(
        "commit good, settle, commit a=2, settle, ask suspend 900, wait 1, ask rollback, wait 1, by hand a=9, wait 1",
        expect![[r#"
            test  applying, suspended
              target       directory live/test
              leader       host-1:42
              live         a000002 Change a000002, generation 2
              next         rollback to a000001 waits: suspended by Grace until 1970-01-12 14:04:56Z: to see; `lockstep resume test` carries it out
              head         a000002 Change a000002 is not followed (pinned)
                           pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
              attempt      rollback by Grace, not begun
              pinned       by Grace at 1970-01-12 13:49:58Z (6m42s ago)
              suspended    by Grace at 1970-01-12 13:49:57Z (6m43s ago), until 1970-01-12 14:04:56Z (in 8m16s)
              rejected     a000002 at 1970-01-12 13:49:58Z (6m42s ago): rolled back by Grace: to see
              drift        1 key differs from the revision and is left while it is suspended
                           a: changed, live sha256 19581e27…, wanted sha256 d4735e3a…
        "#]],
    );
    check(
        "commit good b=1, settle, batch 1, commit a=2 b=2, pass, ask suspend, wait 1, ask rollback, wait 1",
        expect![[r#"
            test  applying, suspended
              target       directory live/test
              leader       host-1:42
              live         a000001 Change a000001, generation 1, and what was written of a000002 Change a000002
              next         rollback to a000001 waits: suspended by Grace: to see; `lockstep resume test` carries it out
              head         a000002 Change a000002 is not followed (pinned)
                           pinned by a rollback of Grace (to see); a newer change or `lockstep resume test` moves on
              attempt      rollback by Grace, not begun
              pinned       by Grace at 1970-01-12 13:48:20Z (8m20s ago)
              suspended    by Grace at 1970-01-12 13:48:19Z (8m21s ago)
              rejected     a000002 at 1970-01-12 13:48:20Z (8m20s ago): rolled back by Grace: to see
        "#]],
    );
    check(
        "commit good b=1, settle, batch 1, commit a=2 b=2, pass, ask suspend, wait 1, commit a=3, wait 1",
        expect![[r#"
            test  applying, suspended
              target       directory live/test
              leader       host-1:42
              revision     a000002 Change a000002
                           not proven, generation 2 since 1970-01-12 13:48:18Z (8m22s ago)
              live         a000001 Change a000001, generation 1, and what was written of a000002 Change a000002
              hint: some keys may be written already, and no more are until it is resumed
              hint: `lockstep resume test` goes on
              last good    a000001 Change a000001
              head         a000003 Change a000003 is not followed (suspended)
                           suspended by Grace: to see
              attempt      advance by Ada, under way: change 2
              suspended    by Grace at 1970-01-12 13:48:19Z (8m21s ago)
        "#]],
    );
}

#[test]
fn while_it_is_judged_it_says_what_is_needed_until_when_and_which_check_does_not_pass() {
    check(
        "commit good, settle, commit a=2, wait 3",
        expect![[r#"
            test  verifying
              target       directory live/test
              leader       host-1:42
              revision     a000002 Change a000002
                           not proven, generation 2 since 1970-01-12 13:48:19Z (8m21s ago)
              waits        for every check to pass for 10s; the deadline was 1970-01-12 13:48:39Z (8m1s ago)
              last good    a000001 Change a000001
              attempt      advance by Ada, under way: change 2
        "#]],
    );
    check(
        "commit good ?other, settle, build sick, other blind, commit a=2 ?other=rotten, wait 3",
        expect![[r#"
            test  verifying
              target       directory live/test
              leader       host-1:42
              revision     a000002 Change a000002
                           not proven, generation 2 since 1970-01-12 13:48:19Z (8m21s ago)
              waits        for every check to pass for 10s; the deadline was 1970-01-12 13:48:39Z (8m1s ago)
              reason       not passing: build, other (build: got 500)
              last good    a000001 Change a000001
              attempt      advance by Ada, under way: change 2
        "#]],
    );
    check(
        "commit good, settle, commit a=2 bad, wait 3, ask suspend, wait 1, commit a=3, settle",
        expect![[r#"
            test  verifying, suspended
              target       directory live/test
              leader       host-1:42
              revision     a000002 Change a000002
                           not proven, generation 2 since 1970-01-12 13:48:19Z (8m21s ago)
              waits        for every check to pass for 10s; the deadline was 1970-01-12 13:48:39Z (8m1s ago)
              reason       not passing: build (got 503)
              hint: `lockstep resume test` goes on
              last good    a000001 Change a000001
              head         a000003 Change a000003 is not followed (suspended)
                           suspended by Grace: to see
              attempt      advance by Ada, under way: change 2
              suspended    by Grace at 1970-01-12 13:48:22Z (8m18s ago)
        "#]],
    );
}

#[test]
fn a_decision_is_in_status_before_anybody_made_a_pass() {
    check(
        "commit good, settle, commit a=2, settle, ask rollback, settle, ask resume, pass",
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 3 since 1970-01-12 13:49:57Z (6m43s ago)
              attempt      rollback by Grace, proven
              evidence     healthy (build passed for 4 s)
        "#]],
    );
    check(
        "commit good, settle, ask suspend, wait 1, by hand a=9, commit a=2, wait 1, ask resume, pass",
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 1 since 1970-01-12 13:46:41Z (9m59s ago)
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
              drift        1 key differs from the revision and is put right next
                           a: changed, live sha256 19581e27…, wanted sha256 6b86b273…
        "#]],
    );
}

#[test]
fn a_suspension_that_ran_out_is_not_said_any_more_whoever_noticed() {
    check(
        "commit good, settle, ask suspend 60, wait 1, commit a=2, wait 1",
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 1 since 1970-01-12 13:46:41Z (9m59s ago)
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
        "#]],
    );
}

#[test]
fn old_rejections_are_the_past_of_an_environment_that_is_steady() {
    check(
        "commit good, settle, commit a=2 bad, settle, commit a=3 good, settle",
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000003 Change a000003
                           proven, generation 4 since 1970-01-12 13:50:17Z (6m23s ago)
              attempt      advance by Ada, proven: change 3
              evidence     healthy (build passed for 4 s)
        "#]],
    );
}

#[test]
fn a_key_that_somebody_else_wants_is_named_with_whose_it_is_or_both_values() {
    let fight = "by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9, wait 1";
    check(
        &format!("commit good, settle, {fight}"),
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 4 since 1970-01-12 13:46:41Z (9m59s ago)
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
              contested    a: sha256 of ours 6b86b273, of theirs 19581e27
                           repaired 3 times in the last 10 minutes, last at 1970-01-12 13:48:21Z (8m19s ago); changed again, it is repaired at once
        "#]],
    );
    check(
        &format!("commit good, settle, {fight}, ask suspend, settle"),
        expect![[r#"
            test  steady, suspended
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 4 since 1970-01-12 13:46:41Z (9m59s ago)
              hint: `lockstep resume test` goes on
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
              suspended    by Grace at 1970-01-12 13:48:22Z (8m18s ago): to see
              contested    a: sha256 of ours 6b86b273, of theirs 19581e27
                           repaired 3 times in the last 10 minutes, last at 1970-01-12 13:48:21Z (8m19s ago); not repaired while it is suspended
        "#]],
    );
    check(
        &format!("commit good a=1!sensitive, settle, {fight}"),
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 4 since 1970-01-12 13:46:41Z (9m59s ago)
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
              contested    a: its value is sensitive
                           repaired 3 times in the last 10 minutes, last at 1970-01-12 13:48:21Z (8m19s ago); changed again, it is repaired at once
        "#]],
    );
    check(
        "commit good b=1, settle, theirs b, settle",
        expect![[r#"
            test  steady
              target       directory live/test
              leader       host-1:42
              revision     a000001 Change a000001
                           proven, generation 1 since 1970-01-12 13:46:41Z (9m59s ago)
              reason       left as it is: b (owned by lockstep owner 8 (another repository or environment))
              attempt      advance by Ada, proven: change 1
              evidence     healthy (build passed for 4 s)
        "#]],
    );
}

#[test]
fn a_text_within_a_longer_one_was_said_and_a_part_of_a_word_was_not() {
    let mut said = Said::default();
    for (text, new) in [
        ("pinned by Grace (to see)", true),
        ("to see", false),
        ("to se", true),
        ("Grace", false),
        ("", false),
        ("pinned by Grace (to see)", false),
        ("see more", true),
    ] {
        assert_eq!(said.once(text), new, "{text:?}");
    }
}
