//! What the comment and the status of a pull request say, and what they never say.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::*;
use crate::domain::desired::sketch::desired;
use crate::domain::environment::DriftPolicy;
use crate::domain::live::{Fence, LiveEntry};
use crate::domain::plan::{Intent, Terms, plan};
use crate::domain::resource::{KeyMark, OwnerId};
use crate::domain::revision::{Generation, Revision};
use crate::domain::scope::KeyScope;

fn name(text: &str) -> EnvironmentName {
    EnvironmentName::parse(text).unwrap()
}

/// The changes from one revision, which is live but for what was written by hand, to another.
fn changes(live: &str, by_hand: &str, wanted: &str) -> Changes {
    let (complete, wanted) = (desired(live), desired(wanted));
    let mark = KeyMark { adopted: false, owner: OwnerId::new(7).unwrap(), generation: Generation::new(3).unwrap() };
    let mut state = LiveState::default();
    for (key, entry) in complete.entries().iter().chain(desired(by_hand).entries().iter()) {
        state.entries.insert(key.clone(), LiveEntry { digest: entry.digest, flags: mark.flags(), fence: Fence(10) });
    }
    let terms = Terms {
        intent: Intent::Advance,
        revision: Revision::from_bytes([1; 20]),
        generation: Generation::new(4).unwrap(),
        owner: OwnerId::new(7).unwrap(),
        desired: &wanted,
        complete: Some(&complete),
        proven: Some(&complete),
        reached: &[&complete],
        adopts: &KeyScope::default(),
        adopted: &KeyScope::default(),
        reverts: false,
        drift: DriftPolicy::Correct,
        half_removed: false,
        leave: &BTreeSet::new(),
    };
    Changes::of(&plan(&terms, &state), &wanted, &[&complete], &state)
}

fn merged(plans: Vec<(&str, Forecast)>) -> PullPlan {
    let plans = plans.into_iter().map(|(environment, plan)| (name(environment), plan)).collect();
    PullPlan::Merged { plans, trailers: Vec::new(), from_fork: false }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check(plan: PullPlan, expected: Expect) {
    let status = plan.status();
    expected.assert_eq(&format!("{}: {}\n{}", status.state.word(), status.text, comment(&plan)));
}

#[test]
fn a_plan_is_a_table_and_the_changes_of_each_environment() {
    let test = changes("a=1 b=2 gone=old", "", "a=1 b=3 new=x");
    let production = Changes { judgement_only: true, ..Changes::default() };
    let plan = merged(vec![
        ("production", Forecast::Changes(production)),
        ("staging", Forecast::InStep),
        ("test", Forecast::Changes(test)),
    ]);
    check(
        plan,
        expect![[r#"
        success: production: no key changes; checks or health policy do; test: 1 to create, 1 to update, 1 to delete
        <!-- lockstep:plan -->
        ### lockstep plan: 2 environments change

        What the merge result would do:

        | environment | plan |
        |---|---|
        | `production` | no key changes; checks or health policy do |
        | `staging` | no changes |
        | `test` | 1 to create, 1 to update, 1 to delete |

        **`test`**

        ```diff
        - b = 2
        + b = 3
        + new = x
        - gone = old
        ```
    "#]],
    );
}

#[test]
fn what_would_not_be_deployed_is_a_failure_with_its_reason() {
    let refused = Forecast::Refused(changes("a=1 b=2", "", "a=1"), "60 deletes of 80 keys; at most 50".to_owned());
    check(
        merged(vec![("production", refused), ("test", Forecast::InStep)]),
        expect![[r#"
        failure: production: refused: 60 deletes of 80 keys; at most 50
        <!-- lockstep:plan -->
        ### lockstep plan: it would not be deployed to 1 environment

        What the merge result would do:

        | environment | plan |
        |---|---|
        | `production` | ❌ refused: `60 deletes of 80 keys; at most 50` |
        | `test` | no changes |

        **`production`**

        ```diff
        - b = 2
        ```
    "#]],
    );
    let problems = ["base/kv/a.yaml:3:1: duplicate key `x`", "base/kv/b.yaml:1:1: <script>@everyone</script>"];
    let invalid = Forecast::Invalid(problems.map(str::to_owned).to_vec());
    check(
        merged(vec![("production", invalid), ("test", Forecast::Unknown("consul did not answer".to_owned()))]),
        expect![[r#"
            failure: production: invalid, 2 problems: base/kv/a.yaml:3:1: duplicate key `x`
            <!-- lockstep:plan -->
            ### lockstep plan: it would not be deployed to 1 environment; not known for 1

            What the merge result would do:

            | environment | plan |
            |---|---|
            | `production` | ❌ invalid: 2 problems |
            | `test` | ⚠️ not known: `consul did not answer` |

            **`production`**

            ```diff
            - base/kv/a.yaml:3:1: duplicate key `x`
            - base/kv/b.yaml:1:1: <script>@everyone</script>
            ```
        "#]],
    );
    check(
        PullPlan::Conflicts(vec!["base/kv/a.yaml".to_owned()]),
        expect![[r#"
        error: it conflicts with the branch, so there is nothing to plan
        <!-- lockstep:plan -->
        ### lockstep plan: it conflicts with the branch

        There is no merge result to plan until the conflict is resolved:
        - `base/kv/a.yaml`
    "#]],
    );
}

#[test]
fn what_environments_and_people_wait_for_is_no_fault_of_the_pull_request() {
    check(
        merged(vec![("test", Forecast::Retired), ("x", Forecast::Unknown("no leader".to_owned()))]),
        expect![[r#"
            error: x: not known: no leader
            <!-- lockstep:plan -->
            ### lockstep plan: 1 environment changes; not known for 1

            What the merge result would do:

            | environment | plan |
            |---|---|
            | `test` | the environment is gone: nothing is written or deleted |
            | `x` | ⚠️ not known: `no leader` |
        "#]],
    );
    let waits = Changes { notes: vec!["it would wait: suspended by Grace".to_owned()], ..changes("a=1", "", "a=2") };
    check(
        merged(vec![("test", Forecast::Changes(waits))]),
        expect![[r#"
        success: test: 1 to update
        <!-- lockstep:plan -->
        ### lockstep plan: 1 environment changes

        What the merge result would do:

        | environment | plan |
        |---|---|
        | `test` | 1 to update |

        **`test`**

        > `it would wait: suspended by Grace`

        ```diff
        - a = 1
        + a = 2
        ```
    "#]],
    );
}

#[test]
fn no_value_that_a_revision_hides_or_that_a_hand_wrote_is_ever_in_a_comment() {
    for (live, by_hand, wanted) in [
        ("k=canary!sensitive", "", "k=other"),
        ("k=canary!sensitive", "", "k=canary x=1"),
        ("k=other", "", "k=canary!sensitive"),
        ("k=canary!sensitive", "", "x=1"),
        ("x=1", "", "x=1 k=canary!sensitive"),
        ("k=1", "k=canary", "k=2"),
        ("k=1", "k=canary", "x=2"),
    ] {
        let plan = merged(vec![("test", Forecast::Changes(changes(live, by_hand, wanted)))]);
        assert!(!comment(&plan).contains("canary") && !plan.status().text.contains("canary"), "{}", comment(&plan));
        assert!(comment(&plan).contains('k'), "the key itself is named");
    }
}

#[test]
fn nothing_that_somebody_wrote_ends_its_code_block_or_its_cell() {
    let hostile = "```\n@everyone <img src=x> closes #1\n````\n| x |\u{202e}";
    let key = KeyPath::parse("config/`a`").unwrap();
    let line = ChangeShown { key, action: Action::Create, before: None, after: Some(ValueShown::Text(hostile.to_owned())) };
    let changed = Changes { lines: vec![line], notes: vec![hostile.to_owned()], ..Changes::default() };
    let plan = PullPlan::Merged {
        plans: vec![(name("test"), Forecast::Refused(changed, hostile.to_owned()))],
        trailers: vec![format!("Lockstep-Adopt: {hostile}")],
        from_fork: true,
    };
    check(
        plan,
        expect![[r#"
        failure: test: refused: ``` @everyone <img src=x> closes #1 ```` | x |\u{202e}
        <!-- lockstep:plan -->
        ### lockstep plan: it would not be deployed to 1 environment

        What the merge result would do:

        | environment | plan |
        |---|---|
        | `test` | ❌ refused: ````` ```\n@everyone <img src=x> closes #1\n````\n\| x \|\u{202e} ````` |

        Its commits carry trailers that lockstep follows once they are merged (this plan leaves them out): `````Lockstep-Adopt: ```\n@everyone <img src=x> closes #1\n````\n\| x \|\u{202e}`````

        **`test`**

        > ````` ```\n@everyone <img src=x> closes #1\n````\n\| x \|\u{202e} `````

        `````diff
        + config/`a` =
        +   ```
        +   @everyone <img src=x> closes #1
        +   ````
        +   | x |\u{202e}
        `````
    "#]],
    );
}

#[test]
fn a_long_plan_is_folded_and_a_huge_one_cut() {
    let many = merged(vec![("test", Forecast::Changes(changes("a=1", "", "a=1 config/many*100")))]);
    let text = comment(&many);
    assert!(text.contains("<details><summary>test: 100 to create, 100 lines</summary>"), "{text}");
    let huge = (0..60).map(|_| ("test", Forecast::Changes(changes("a=1", "", "a=1 config/many*1000")))).collect();
    let text = comment(&merged(huge));
    assert!(text.len() < 65_000 && text.ends_with("once it is merged.\n"), "{}", text.len());
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    let long = ValueShown::Text("line\n".repeat(5_000));
    let line = ChangeShown { key: KeyPath::parse("k").unwrap(), action: Action::Create, before: None, after: Some(long) };
    let text = comment(&merged(vec![("test", Forecast::Changes(Changes { lines: vec![line], ..Changes::default() }))]));
    assert!(text.contains("… 4976 more lines"), "{text}");
}

#[test]
fn a_value_of_several_lines_shows_the_lines_that_change() {
    let file = |port: u32| ValueShown::Text(format!("global\n  maxconn 100\n\nfrontend x\n  bind :{port}\n  mode http\n"));
    let line = ChangeShown {
        key: KeyPath::parse("config/haproxy.cfg").unwrap(),
        action: Action::Update,
        before: Some(file(80)),
        after: Some(file(8080)),
    };
    let counts = Counts { updated: 1, ..Counts::default() };
    let changed = Changes { counts, lines: vec![line], ..Changes::default() };
    check(
        merged(vec![("test", Forecast::Changes(changed))]),
        expect![[r#"
        success: test: 1 to update
        <!-- lockstep:plan -->
        ### lockstep plan: 1 environment changes

        What the merge result would do:

        | environment | plan |
        |---|---|
        | `test` | 1 to update |

        **`test`**

        ```diff
        ! config/haproxy.cfg
    
            frontend x
        -     bind :80
        +     bind :8080
              mode http
        ```
    "#]],
    );
}

#[test]
fn trailers_that_a_pull_request_brings_along_are_named() {
    let commit = |trailers: &[(&str, &str)]| Commit {
        revision: Revision::from_bytes([1; 20]),
        author: "Ada".to_owned(),
        subject: "x".to_owned(),
        trailers: trailers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        unread: 0,
        at: crate::domain::time::Timestamp::from_millis(0),
    };
    let allows = ("Lockstep-Allow-Deletes", "1000");
    let trailers = PullPlan::trailers(&[commit(&[allows]), commit(&[allows, ("Lockstep-Retry", "test")])]);
    assert_eq!(trailers, ["Lockstep-Allow-Deletes: 1000", "Lockstep-Retry: test"]);
    let plan = PullPlan::Merged { plans: vec![(name("test"), Forecast::InStep)], trailers, from_fork: false };
    assert!(!plan.is_idle() && comment(&plan).contains("`Lockstep-Allow-Deletes: 1000`"), "{}", comment(&plan));
    assert!(merged(vec![("test", Forecast::InStep)]).is_idle());
}
