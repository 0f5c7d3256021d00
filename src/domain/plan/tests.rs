//! What becomes of one key, by what the revision says and what is live; and what holds of every plan (rules O2, O3, A4).

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::domain::desired::sketch::desired;
use crate::domain::resource::{KeyMark, Ownership};
use crate::domain::revision::ValueDigest;
use crate::domain::scope::{KeyPrefix, KeyScope};

const OWNER: u16 = 7;
static NOTHING: std::sync::LazyLock<KeyScope> = std::sync::LazyLock::new(KeyScope::default);

fn owner() -> OwnerId {
    OwnerId::new(OWNER).unwrap()
}

/// Live keys from words: `a=1` is ours, `a=1!hand` has no flags, `!theirs` another owner's mark, `!foreign` other flags,
/// `!adopted` our mark on a key that was there before.
fn live(words: &str) -> LiveState {
    let mut live = LiveState::default();
    for (number, word) in words.split_whitespace().enumerate() {
        let (key, text) = word.split_once('=').unwrap();
        let (value, tag) = text.split_once('!').unwrap_or((text, ""));
        let other = if tag == "theirs" { OWNER + 1 } else { OWNER };
        let mark =
            KeyMark { adopted: tag == "adopted", owner: OwnerId::new(other).unwrap(), generation: Generation::new(3).unwrap() };
        let flags = match tag {
            "hand" => Flags(0),
            "foreign" => Flags(42),
            _ => mark.flags(),
        };
        let fence = Fence(u64::try_from(number).unwrap() + 10);
        live.entries
            .insert(KeyPath::parse(key).unwrap(), LiveEntry { digest: ValueDigest::of(value.as_bytes()), flags, fence });
    }
    live
}

/// A plan from what was complete to what is wanted, over what is live.
struct Case<'a> {
    intent: Intent,
    complete: &'a str,
    wanted: &'a str,
    live: &'a str,
    leave: &'a [&'a str],
}

impl Case<'_> {
    fn plan(&self) -> Plan {
        let (complete, wanted) = (desired(self.complete), desired(self.wanted));
        plan(&terms(self.intent, &wanted, &complete, &[&complete], &self.leave()), &live(self.live))
    }

    fn leave(&self) -> BTreeSet<KeyPath> {
        self.leave.iter().map(|key| KeyPath::parse(key).unwrap()).collect()
    }
}

fn terms<'a>(
    intent: Intent,
    wanted: &'a DesiredState,
    complete: &'a DesiredState,
    reached: &'a [&'a DesiredState],
    leave: &'a BTreeSet<KeyPath>,
) -> Terms<'a> {
    Terms {
        intent,
        revision: Revision::from_bytes([1; 20]),
        generation: Generation::new(4).unwrap(),
        owner: owner(),
        desired: wanted,
        complete: Some(complete),
        proven: Some(complete),
        reached,
        adopts: &NOTHING,
        adopted: &NOTHING,
        reverts: false,
        drift: wanted.environment().policy.drift,
        half_removed: false,
        leave,
    }
}

#[track_caller]
fn check_all(case: &Case<'_>, expected: Expect) {
    check_plan(&case.plan(), expected);
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check_plan(plan: &Plan, expected: Expect) {
    let mut lines: Vec<String> = plan
        .changes
        .iter()
        .map(|change| format!("{:?} {} at {}: {}", change.action, change.key, change.fence.0, change.why))
        .collect();
    lines.extend(plan.obstacles.iter().map(|obstacle| format!("blocked {}: {}", obstacle.key, obstacle.said())));
    lines.extend(plan.strays.iter().map(|key| format!("stray {key}")));
    lines.extend(plan.unmanaged.iter().map(|key| format!("unmanaged {key}")));
    lines.extend(plan.drifted.iter().map(|key| format!("drifted {key}")));
    expected.assert_eq(&lines.join("\n"));
}

/// An advance from `complete` to `wanted` over `live`.
#[track_caller]
fn check(complete: &str, wanted: &str, live: &str, expected: Expect) {
    check_all(&Case { intent: Intent::Advance, complete, wanted, live, leave: &[] }, expected);
}

/// Back to `complete` itself, over `live`.
#[track_caller]
fn check_repair(complete: &str, live: &str, expected: Expect) {
    check_all(&Case { intent: Intent::Repair, complete, wanted: complete, live, leave: &[] }, expected);
}

#[test]
fn what_differs_is_written_and_nothing_else() {
    check(
        "a=1 b=1",
        "a=1 b=2 c=1",
        "a=1 b=1",
        expect![[r#"
        Update b at 11: changed in base/kv/x.yaml:1
        Create c at 0: new in base/kv/x.yaml:1"#]],
    );
    check("a=1", "a=1", "a=1", expect![[""]]);
}

#[test]
fn sets_come_before_deletes() {
    check(
        "a=1 b=1 z=1",
        "m=1 z=2",
        "a=1 b=1 z=1",
        expect![[r#"
        Create m at 0: new in base/kv/x.yaml:1
        Update z at 12: changed in base/kv/x.yaml:1
        Delete a at 10: no longer in the repository (was in base/kv/x.yaml:1)
        Delete b at 11: no longer in the repository (was in base/kv/x.yaml:1)"#]],
    );
}

#[test]
fn a_key_without_our_mark_is_ours_only_if_complete_has_it() {
    check(
        "a=1",
        "a=2 b=1",
        "a=1!hand b=1!hand",
        expect![[r#"
            Update a at 10: written by somebody else (mark lost)
            blocked b: exists already and is not managed by lockstep, with the same value"#]],
    );
    check("a=1", "a=1", "a=1!hand", expect!["Update a at 10: written by somebody else (mark lost)"]);
    check("a=1", "a=1", "a=1!foreign", expect!["Update a at 10: written by somebody else (mark lost)"]);
    check(
        "",
        "a=1",
        "a=1!foreign",
        expect!["blocked a: exists already and is not managed by lockstep: it carries another program's flags (42)"],
    );
    check("a=1", "a=1", "a=1!theirs", expect!["blocked a: owned by lockstep owner 8 (another repository or environment)"]);
}

#[test]
fn a_key_that_lost_its_mark_and_is_dropped_is_left() {
    check("a=1 b=1", "a=1", "a=1 b=9!hand", expect!["unmanaged b"]);
}

#[test]
fn foreign_keys_are_those_that_are_neither_ours_nor_wanted() {
    let found = live("a=1 b=2!hand c=3!theirs d=4!foreign e=5!hand f=6 g=7!hand");
    let (complete, wanted) = (desired("a=1 e=5"), desired("a=1 g=7"));
    let plan = plan(&terms(Intent::Advance, &wanted, &complete, &[&complete], &BTreeSet::new()), &found);
    let names = |owner| plan.foreign(&found, &wanted, owner).map(KeyPath::as_str).collect::<Vec<_>>();
    // e is dropped and lost its mark: the plan names it by itself; f is a stray of ours; g is in the way.
    assert_eq!(names(Some(owner())), ["b", "c", "d"]);
    assert_eq!(names(None), ["b", "c", "d", "f"]);
}

#[test]
fn a_delete_needs_the_mark_and_a_revision_that_was_reached() {
    check(
        "a=1 b=1",
        "a=1",
        "a=1 b=1 c=1 d=1!theirs",
        expect![[r#"
        Delete b at 11: no longer in the repository (was in base/kv/x.yaml:1)
        stray c"#]],
    );
}

#[test]
fn similar_names_are_different_keys() {
    check(
        "foo=1 foobar=1 foo_v2=1 foo/x=1",
        "foobar=1 foo_v2=1 foo/x=1",
        "foo=1 foobar=1 foo_v2=1 foo/x=1 foo.d/y=1",
        expect![[r#"
        Delete foo at 10: no longer in the repository (was in base/kv/x.yaml:1)
        stray foo.d/y"#]],
    );
}

#[test]
fn a_kept_key_is_released_and_an_adopted_one_is_deleted_only_by_an_advance() {
    check(
        "a=1!keep b=1",
        "",
        "a=1 b=1!adopted",
        expect![[r#"
        Release a at 10: no longer in the repository, tagged !keep
        Delete b at 11: no longer in the repository (was in base/kv/x.yaml:1)"#]],
    );
    let back = Case { intent: Intent::RollBack, complete: "b=1", wanted: "", live: "b=1!adopted", leave: &[] };
    check_all(&back, expect!["Release b at 10: adopted: it was there before lockstep"]);
}

#[test]
fn a_repair_names_what_happened() {
    check_repair(
        "a=1 b=1 c=1",
        "a=9 b=1!hand",
        expect![[r#"
        Update a at 10: changed by hand
        Update b at 11: written by somebody else (mark lost)
        Create c at 0: deleted by hand"#]],
    );
}

#[test]
fn keys_to_leave_become_obstacles() {
    let some = Case { intent: Intent::Repair, complete: "a=1 b=1", wanted: "a=1 b=1", live: "a=9 b=9", leave: &["a"] };
    check_all(
        &some,
        expect![[r#"
        Update b at 11: changed by hand
        blocked a: left for now"#]],
    );
}

#[test]
fn reported_drift_is_not_written_and_stands_in_the_way_of_a_change_of_it() {
    check_repair(
        "a=1 b=1 @drift=report",
        "a=9 b=1!hand",
        expect![[r#"
        drifted a
        drifted b"#]],
    );
    check(
        "a=1 b=1",
        "a=1 b=2 @drift=report",
        "a=9 b=1",
        expect![[r#"
        Update b at 11: changed in base/kv/x.yaml:1
        drifted a"#]],
    );
    check(
        "a=1 b=1",
        "a=2 b=2 @drift=report",
        "a=9 b=1",
        expect![[r#"
            Update b at 11: changed in base/kv/x.yaml:1
            blocked a: was changed by hand, and drift is only reported here: live sha256 19581e27…, wanted sha256 d4735e3a…"#]],
    );
    check(
        "a=1 b=1",
        "b=1 @drift=report",
        "a=9 b=1",
        expect!["blocked a: was changed by hand, and drift is only reported here: live sha256 19581e27…, wanted no such key"],
    );
    check(
        "a=1 b=1",
        "a=2 b=1 @drift=report",
        "b=1",
        expect!["blocked a: was deleted by hand, and drift is only reported here: live deleted, wanted sha256 d4735e3a…"],
    );
}

#[test]
fn only_what_is_nobodys_and_has_the_value_is_adopted_and_the_rest_says_why_not() {
    let (complete, wanted) = (desired("mine=1"), desired("mine=1 a=1 b=1 c=1 d=1 e=1 s=1!sensitive out=1"));
    let scope = KeyScope::of(["a", "b", "c", "d", "e", "s"].map(|key| KeyPrefix::parse(key).unwrap()));
    let (leave, reached) = (BTreeSet::new(), [&complete]);
    let terms = Terms { adopts: &scope, ..terms(Intent::Advance, &wanted, &complete, &reached, &leave) };
    let found = live("mine=1 a=1!hand b=2!hand c=1!foreign d=1!theirs s=2!hand out=1!hand");
    check_plan(
        &plan(&terms, &found),
        expect![[r#"
            Adopt a at 11: is there with the value of base/kv/x.yaml:1
            Create e at 0: new in base/kv/x.yaml:1
            blocked b: exists already and is not managed by lockstep, with another value: live sha256 d4735e3a…, wanted sha256 6b86b273…
            blocked c: exists already and is not managed by lockstep: it carries another program's flags (42)
            blocked d: owned by lockstep owner 8 (another repository or environment)
            blocked out: exists already and is not managed by lockstep, with the same value
            blocked s: exists already and is not managed by lockstep, with another value: live a sensitive value, wanted a sensitive value"#]],
    );
}

fn joined(words: &[(&str, u8, &str)]) -> String {
    let words: Vec<String> = words.iter().map(|(key, value, tag)| format!("{key}={value}{tag}")).collect();
    words.join(" ")
}

/// A few keys with a few values, so that they meet.
fn words() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["foo", "foobar", "foo_v2", "foo/x", "a", "b", "c/d", "c/e"]);
    let tag = prop::sample::select(vec!["", "", "", "!keep"]);
    prop::collection::vec((key, 0..3u8, tag), 0..8).prop_map(|words| joined(&words))
}

fn live_words() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["foo", "foobar", "foo_v2", "foo/x", "a", "b", "c/d", "c/e", "stray", "hand"]);
    let tag = prop::sample::select(vec!["", "", "!hand", "!theirs", "!foreign", "!adopted"]);
    prop::collection::vec((key, 0..3u8, tag), 0..10).prop_map(|words| joined(&words))
}

/// What a target does with a plan.
fn applied(plan: &Plan, wanted: &DesiredState, live: &LiveState) -> LiveState {
    let mut live = live.clone();
    for change in &plan.changes {
        assert_eq!(live.fence(&change.key), change.fence, "{} is written blindly", change.key);
        match change.action {
            Action::Create | Action::Update | Action::Adopt => {
                let digest = wanted.entries()[&change.key].digest;
                let entry = LiveEntry { digest, flags: change.flags, fence: Fence(99) };
                live.entries.insert(change.key.clone(), entry);
            }
            Action::Delete => drop(live.entries.remove(&change.key)),
            Action::Release => live.entries.get_mut(&change.key).unwrap().flags = Flags(0),
        }
    }
    live
}

proptest! {
    #[test]
    fn a_plan_of_equal_states_is_empty(wanted in words()) {
        let wanted = desired(&wanted);
        let (leave, reached) = (BTreeSet::new(), [&wanted]);
        let terms = terms(Intent::Advance, &wanted, &wanted, &reached, &leave);
        let applied = applied(&plan(&terms, &LiveState::default()), &wanted, &LiveState::default());
        prop_assert!(plan(&terms, &applied).is_empty());
    }

    #[test]
    fn a_plan_reaches_the_desired_state_and_touches_only_what_is_ours(
        complete in words(), wanted in words(), found in live_words(), [back, adopting, reverts] in any::<[bool; 3]>(),
    ) {
        let (complete, wanted, live) = (desired(&complete), desired(&wanted), live(&found));
        let intent = if back { Intent::RollBack } else { Intent::Advance };
        let leave = BTreeSet::new();
        let (reached, after_reached) = ([&complete], [&wanted]);
        let scope = if adopting && !back { KeyScope::every() } else { KeyScope::default() };
        let going = terms(intent, &wanted, &complete, &reached, &leave);
        let plan = plan(&Terms { adopts: &scope, reverts, ..going }, &live);
        let blocked: BTreeSet<&KeyPath> = plan.obstacles.iter().map(|obstacle| &obstacle.key).collect();
        let after = applied(&plan, &wanted, &live);

        // Applying it gives the desired state, but for keys that are somebody else's.
        for (key, entry) in wanted.entries() {
            if !blocked.contains(key) {
                let found = &after.entries[key];
                prop_assert_eq!(found.digest, entry.digest);
                prop_assert!(found.flags.mark_of(owner()).is_some());
            }
        }
        // Planning again changes nothing; what was left does not become ours by that.
        let complete_after = if blocked.is_empty() { &wanted } else { &complete };
        let again = super::plan(&terms(intent, &wanted, complete_after, &after_reached, &leave), &after);
        prop_assert!(again.is_empty(), "{again:?}");

        // Only marked keys that a reached revision has are deleted; unmanaged keys never change.
        for change in &plan.changes {
            let found = live.entries.get(&change.key);
            let marked = found.is_some_and(|found| found.flags.mark_of(owner()).is_some());
            let known = complete.entries().contains_key(&change.key);
            if change.action == Action::Adopt {
                let found = found.unwrap();
                prop_assert!(adopting && !back && found.flags == Flags(0));
                prop_assert_eq!(found.digest, wanted.entries()[&change.key].digest);
                prop_assert!(change.flags.mark_of(owner()).unwrap().adopted);
                continue;
            }
            let foundling = found.and_then(|found| found.flags.mark_of(owner())).is_some_and(|mark| mark.adopted);
            prop_assert!(!(foundling && change.action == Action::Delete && (back || reverts)), "{} was there before", change.key);
            let still = change.flags.mark_of(owner()).is_some_and(|mark| mark.adopted);
            prop_assert!(!foundling || change.action != Action::Update || still, "{} was there before", change.key);
            prop_assert!(found.is_none() || marked || known, "{} is not ours", change.key);
            if matches!(change.action, Action::Delete | Action::Release) {
                prop_assert!(marked && known, "{} is deleted without both locks", change.key);
            }
            let theirs = found.is_some_and(|found| {
                matches!(found.flags.ownership(), Ownership::Marked(mark) if mark.owner != owner())
            });
            prop_assert!(!theirs, "{} is another owner's", change.key);
        }
        for (key, found) in &live.entries {
            if plan.changes.iter().all(|change| change.key != *key) {
                prop_assert_eq!(Some(found), after.entries.get(key));
            }
        }
        // Sets before deletes.
        let delete = plan.changes.iter().position(|change| matches!(change.action, Action::Delete | Action::Release));
        let set = plan.changes.iter().rposition(|change| matches!(change.action, Action::Create | Action::Update));
        prop_assert!(delete.zip(set).is_none_or(|(delete, set)| set < delete));
    }
}

#[test]
fn a_key_that_cannot_be_read_is_an_obstacle_and_never_absent() {
    let why = "the token can't read it".to_owned();
    let hide = |keys: &[&str]| keys.iter().map(|key| (KeyPath::parse(key).unwrap(), why.clone())).collect();
    let (complete, wanted) = (desired("a=1 dropped=1 stays=1"), desired("a=2 new=1 stays=1"));
    let none = BTreeSet::new();
    for intent in [Intent::Advance, Intent::RollBack, Intent::Repair] {
        let live = LiveState { partial: true, hidden: hide(&["dropped", "new", "elsewhere"]), ..live("a=1 stays=1") };
        let plan = plan(&terms(intent, &wanted, &complete, &[&complete], &none), &live);
        let changed: Vec<&str> = plan.changes.iter().map(|change| change.key.as_str()).collect();
        let hidden: Vec<&str> = plan
            .obstacles
            .iter()
            .filter(|o| (o.kind, &o.why) == (ObstacleKind::Hidden, &why))
            .map(|o| o.key.as_str())
            .collect();
        assert_eq!((changed, hidden), (vec!["a"], vec!["new", "dropped"]), "{intent:?}");
    }
}
