//! Everything that can be stored reads back as itself, and what was not written by us is refused with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::name::{CheckName, EnvironmentName, KeyPath, RepositoryName};
use crate::domain::plan::{Counts, Intent};
use crate::domain::resource::OwnerId;
use crate::domain::revision::{Generation, Revision, RevisionDigest, StateDigest, ValueDigest};
use crate::domain::rollout::{
    Adoption, Allowance, Attempt, Closed, Contested, Drift, Drifted, Former, Grant, HeadNote, HeadVerdict, Identity, LetPass,
    Outcome, Permit, Phase, Pin, Proof, Reached, RefusedAttempt, Rejection, RepairLog, RequestId, Sides, Suspension, TargetId,
    Unproven, Verb,
};
use crate::domain::scope::{KeyPrefix, KeyScope};
use crate::domain::time::Timestamp;

fn revision() -> impl Strategy<Value = Revision> {
    any::<[u8; 20]>().prop_map(Revision::from_bytes)
}

fn digest() -> impl Strategy<Value = RevisionDigest> {
    any::<u64>().prop_map(|n| RevisionDigest::of([n.to_le_bytes().as_slice()]))
}

fn state() -> impl Strategy<Value = StateDigest> {
    any::<u64>().prop_map(|n| StateDigest::of([n.to_le_bytes().as_slice()]))
}

fn value_digest() -> impl Strategy<Value = ValueDigest> {
    any::<u64>().prop_map(|n| ValueDigest::of(&n.to_le_bytes()))
}

fn generation() -> impl Strategy<Value = Generation> {
    (0..=Generation::MAX).prop_map(|n| Generation::new(n).unwrap())
}

fn moment() -> impl Strategy<Value = Timestamp> {
    // From the year 1653 to 2286: stamps that a wrong clock could give.
    (-10_000_000_000_000_i64..10_000_000_000_000).prop_map(Timestamp::from_millis)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,40}", "[\\x00-\\x7f]{0,30}", Just(String::new())]
}

fn key() -> impl Strategy<Value = KeyPath> {
    "[a-zü\"][a-z0-9_/ü\"]{0,30}".prop_filter_map("a key", |text| KeyPath::parse(&text).ok())
}

fn check_name() -> impl Strategy<Value = CheckName> {
    "[a-z][a-z0-9]{0,9}".prop_map(|text| CheckName::parse(&text).unwrap())
}

prop_compose! {
    fn reached()(revision in revision(), tip in of(revision()), rules in of(revision()), state in state(), digest in digest(), generation in generation()) -> Reached {
        Reached { revision, tip: tip.unwrap_or(revision), state, digest, generation, rules: rules.unwrap_or(revision) }
    }
}

prop_compose! {
    fn line()(
        generation in generation(),
        intent in select(Intent::ALL.to_vec()),
        revision in revision(),
        from in of(revision()),
        by in text(),
        because in text(),
        counts in any::<[u32; 5]>(),
        started in moment(),
        closed in of((moment(), select(Outcome::ALL.to_vec()), text())),
    ) -> HistoryLine {
        let [created, updated, adopted, deleted, released] = counts;
        HistoryLine {
            generation, intent, revision, from, by, because, started,
            counts: Counts { created, updated, adopted, deleted, released },
            closed: closed.map(|(at, outcome, text)| Closed { at, outcome, text }),
        }
    }
}

fn scope() -> impl Strategy<Value = KeyScope> {
    let prefix = prop_oneof![
        key().prop_map(|key| key.to_string()),
        key().prop_map(|key| format!("{key}/")),
        Just("*".to_owned()).boxed(),
    ];
    vec(prefix, 0..4).prop_map(|texts| KeyScope::of(texts.iter().map(|text| KeyPrefix::parse(text).unwrap())))
}

prop_compose! {
    fn attempt()(
        line in line(), applied in of(moment()), except in vec(text(), 0..3), drifted_before in btree_set(key(), 0..3),
        adopts in scope(), only_marks in any::<bool>(), puts_back in any::<bool>(),
    ) -> Attempt {
        Attempt { line, applied, except, drifted_before, adopts, only_marks, puts_back }
    }
}

prop_compose! {
    fn repairs()(
        recent in btree_map(key(), vec(moment(), 1..4), 0..5),
        contested in btree_map(key(), (of(value_digest()), of(value_digest()), moment(), any::<u32>()), 0..4),
    ) -> RepairLog {
        let contested = contested.into_iter().map(|(key, (ours, theirs, next, wait))| (key, Contested { ours, theirs, next, wait: Duration::from_millis(wait.into()) })).collect();
        RepairLog { recent, contested }
    }
}

prop_compose! {
    fn drift()(
        named in btree_map(key(), (of(value_digest()), of(value_digest()), select(Drifted::ALL.to_vec())), 0..4), more in 0..9_u32, at in moment(),
    ) -> Drift {
        let named: BTreeMap<_, _> = named.into_iter().map(|(key, (wanted, live, how))| (key, Sides { how, wanted, live })).collect();
        let keys = u32::try_from(named.len()).unwrap() + if named.is_empty() { 0 } else { more };
        if keys == 0 { Drift::default() } else { Drift { keys, named, at } }
    }
}

prop_compose! {
    fn note()(revision in of(revision()), verdict in select(HeadVerdict::ALL.to_vec()), text in text()) -> HeadNote {
        HeadNote { revision, verdict, text }
    }
}

prop_compose! {
    fn refused()(digest in digest(), rights in any::<u64>(), text in text(), keys in btree_set(key(), 0..3)) -> RefusedAttempt {
        RefusedAttempt { digest, rights, text, keys }
    }
}

prop_compose! {
    fn pin()(
        seen in btree_set(digest(), 0..4), rejected in btree_set(digest(), 0..4), by in text(), reason in text(), at in moment(),
    ) -> Pin {
        Pin { seen, rejected, by, reason, at }
    }
}

prop_compose! {
    fn suspension()(until in of(moment()), by in text(), reason in text(), at in moment()) -> Suspension {
        Suspension { until, by, reason, at }
    }
}

prop_compose! {
    fn grant()(by in text(), reason in text(), at in moment()) -> Grant {
        Grant { by, reason, at }
    }
}

prop_compose! {
    fn permit()(
        revision in revision(), digest in digest(), deletes in of((1..=u32::MAX, grant())), every_gate in of(grant()),
        (adopts, grant) in (scope(), grant()),
    ) -> Permit {
        let adopts = Some(Adoption { scope: adopts, grant }).filter(|adoption| !adoption.scope.is_empty());
        let deletes = deletes.map(|(count, grant)| Allowance { count: NonZeroU32::new(count).unwrap(), grant });
        Permit { revision, digest, deletes, every_gate, adopts }
    }
}

prop_compose! {
    fn lists()(
        attempted in vec(reached(), 0..4),
        proven in vec((digest(), revision(), moment()), 0..4),
        rejected in vec((digest(), revision(), revision(), text(), moment()), 0..4),
    ) -> (Vec<Reached>, Vec<Proof>, Vec<Rejection>) {
        (
            attempted.into_iter().map(|reached| Reached { rules: reached.revision, ..reached }).collect(),
            proven.into_iter().map(|(digest, revision, at)| Proof { digest, revision, at }).collect(),
            rejected
                .into_iter()
                .map(|(digest, revision, tip, reason, at)| Rejection { digest, revision, tip, reason, at })
                .collect(),
        )
    }
}

prop_compose! {
    fn record()(
        owner in 1..=u16::MAX,
        generation in generation(),
        phase in select(Phase::ALL.to_vec()),
        [goal, complete, last_good] in [of(reached()), of(reached()), of(reached())],
        (attempted, proven, rejected) in lists(),
        (attempt, repair) in (of(attempt()), of(line())),
        baseline in btree_set(check_name(), 0..4),
        reason in text(),
        (note, pin, suspension) in (of(note()), of(pin()), of(suspension())),
        (repairs, drift) in (repairs(), drift()),
        (unproven, refused) in (of(select(Unproven::ALL.to_vec())), of(refused())),
        overwrite_drift in any::<bool>(),
        (frozen_tip, frozen_head, back_in_step) in (of(revision()), of(revision()), of(revision())),
        former in vec(generation().prop_map(|until| Former { name: EnvironmentName::parse("old").unwrap(), until }), 0..3),
        (permit, adopted) in (of(permit()), scope()),
    ) -> Rollout {
        Rollout {
            identity: identity(owner),
            generation, phase, goal, complete, last_good, attempted, proven, rejected, attempt, repair, baseline, reason, note,
            pin, suspension, repairs, drift, unproven, refused, overwrite_drift, adopted, frozen_tip, frozen_head, back_in_step, former,
            permit: permit.filter(Permit::grants),
        }
    }
}

fn identity(owner: u16) -> Identity {
    Identity {
        repository: RepositoryName::parse("calvin-config").unwrap(),
        environment: EnvironmentName::parse("test").unwrap(),
        target: TargetId::parse("0123456789abcdef").unwrap(),
        owner: OwnerId::new(owner).unwrap(),
    }
}

fn request_id() -> impl Strategy<Value = RequestId> {
    any::<u64>().prop_map(|n| RequestId::parse(&format!("{n:016x}")).unwrap())
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        of(revision()).prop_map(|to| Verb::RollBack { to }),
        (of(revision()), revision(), of(any::<u32>()), any::<bool>()).prop_map(
            |(revision, head, allow_deletes, overriding)| Verb::Release {
                revision,
                lets_pass: LetPass::new(head, allow_deletes, overriding)
            }
        ),
        (revision(), scope())
            .prop_map(|(head, adopts)| Verb::Release { revision: None, lets_pass: Some(LetPass::adopting(head, adopts)) }),
        of(moment()).prop_map(|until| Verb::Suspend { until }),
        Just(Verb::Resume),
        Just(Verb::OverwriteDrift),
    ]
}

proptest! {
    // A record is large; sixty-four of them reach every field many times.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_reads_back_as_itself(record in record()) {
        prop_assert_eq!(record_from_json(&record_to_json(&record)).unwrap(), record);
    }

    #[test]
    fn a_history_line_reads_back_as_itself(line in line()) {
        prop_assert_eq!(history_from_json(&history_to_json(&line)).unwrap(), line);
    }

    #[test]
    fn a_request_and_its_answer_read_back_as_themselves(
        id in request_id(), by in text(), at in moment(), reason in text(), verb in verb(), [accepted, changed] in any::<[bool; 2]>(),
    ) {
        let answer = Answer { id: id.clone(), at, accepted, changed, text: reason.clone() };
        let request = Request { id, by, at, reason, verb };
        prop_assert_eq!(request_from_json(&request_to_json(&request)).unwrap(), request);
        prop_assert_eq!(answer_from_json(&answer_to_json(&answer)).unwrap(), answer);
    }

    #[test]
    fn bytes_of_others_are_an_error_and_no_panic(bytes in vec(any::<u8>(), 0..200), at in 0..400_usize) {
        prop_assert!(record_from_json(&bytes).is_err());
        let mut cut_short = record_to_json(&Rollout::new(identity(1)));
        cut_short.truncate(at.min(cut_short.len() - 1));
        prop_assert!(record_from_json(&cut_short).is_err());
    }

    #[test]
    fn a_cut_text_takes_no_more_than_its_limit_and_a_short_one_is_left(text in "\\PC{0,60}|[\\x00-\\x7f]{0,60}", limit in 3..80_usize) {
        let cut = bound::cut(&text, limit);
        prop_assert!(serde_json::to_string(&cut).unwrap().len() - 2 <= limit);
        if serde_json::to_string(&text).unwrap().len() - 2 <= limit {
            prop_assert_eq!(cut, text);
        } else {
            prop_assert!(cut.ends_with('…'));
        }
    }
}

fn repeated<T: Clone>(value: T, count: usize) -> Vec<T> {
    vec![value; count]
}

/// A record in which everything that can grow has grown far beyond reason.
fn overgrown() -> Rollout {
    let revision = Revision::from_bytes([0xab; 20]);
    let tip = Revision::from_bytes([0xcd; 20]);
    let digest = RevisionDigest::of([]);
    let at = Timestamp::from_millis(1_790_000_000_123);
    let long = "\"\u{1}ü\n".repeat(100_000);
    let reached = Reached {
        revision,
        tip,
        state: StateDigest::of([]),
        digest,
        generation: Generation::new(Generation::MAX).unwrap(),
        rules: tip,
    };
    let line = HistoryLine {
        generation: Generation::default(),
        intent: Intent::RollBack,
        revision,
        from: Some(tip),
        by: long.clone(),
        because: long.clone(),
        counts: Counts::default(),
        started: at,
        closed: Some(Closed { at, outcome: Outcome::RolledBack, text: long.clone() }),
    };
    let keys = (0..20_000).map(|n| KeyPath::parse(&format!("config/{n:05}/{}", "k".repeat(400))).unwrap());
    let wide = KeyScope::of((0..99).map(|n| KeyPrefix::parse(&format!("{n:02}{}", "\"".repeat(400))).unwrap()));
    Rollout {
        goal: Some(reached.clone()),
        complete: Some(reached.clone()),
        last_good: Some(reached.clone()),
        attempted: repeated(Reached { rules: revision, ..reached }, 1_000),
        proven: repeated(Proof { digest, revision, at }, 100),
        rejected: repeated(Rejection { digest, revision, tip, reason: long.clone(), at }, 32),
        attempt: Some(Attempt {
            line: line.clone(),
            applied: Some(at),
            except: repeated(long.clone(), 500),
            drifted_before: keys.clone().collect(),
            adopts: wide.clone(),
            only_marks: true,
            puts_back: true,
        }),
        repair: Some(line),
        baseline: (0..200).map(|n| CheckName::parse(&format!("check-{n}")).unwrap()).collect(),
        reason: long.clone(),
        note: Some(HeadNote { revision: Some(tip), verdict: HeadVerdict::Frozen, text: long.clone() }),
        pin: Some(Pin {
            seen: BTreeSet::from([digest]),
            rejected: BTreeSet::from([digest]),
            by: long.clone(),
            reason: long.clone(),
            at,
        }),
        suspension: Some(Suspension { until: None, by: long.clone(), reason: long.clone(), at }),
        refused: Some(RefusedAttempt { digest, rights: u64::MAX, text: long.clone(), keys: keys.clone().collect() }),
        permit: Some(Permit {
            revision,
            digest,
            deletes: Some(Allowance { count: NonZeroU32::MAX, grant: Grant { by: long.clone(), reason: long.clone(), at } }),
            every_gate: Some(Grant { by: long.clone(), reason: long.clone(), at }),
            adopts: Some(Adoption { scope: wide.clone(), grant: Grant { by: long.clone(), reason: long, at } }),
        }),
        adopted: wide,
        drift: Drift {
            keys: u32::MAX,
            named: keys.clone().map(|key| (key, Sides { how: Drifted::MarkLost, wanted: None, live: None })).collect(),
            at,
        },
        repairs: RepairLog {
            recent: keys.clone().map(|key| (key, vec![at; 3])).collect(),
            contested: keys.map(|key| (key, Contested { ours: None, theirs: None, wait: Duration::ZERO, next: at })).collect(),
        },
        ..Rollout::new(identity(1))
    }
}

#[test]
fn an_overgrown_record_fits_one_value_and_keeps_what_decisions_rest_on() {
    let before = overgrown();
    let bytes = record_to_json(&before);
    assert!(bytes.len() < 370_000, "{} bytes", bytes.len());
    let after = record_from_json(&bytes).unwrap();
    assert_eq!(after.attempted, before.attempted);
    assert_eq!(after.proven, before.proven);
    assert_eq!(after.rejected.len(), before.rejected.len());
    let except = after.attempt.unwrap().except;
    assert!(except.last().unwrap().starts_with("and 49"), "{except:?}");
    assert!(after.repairs.recent.len() > 10);
    assert!(after.repairs.contested.len() > 10);
    assert!(history_to_json(&before.repair.unwrap()).len() < 5_000);
}

#[test]
fn the_keys_repaired_most_often_stay_in_the_log() {
    let mut record = overgrown();
    let fought = KeyPath::parse("zz/fought-over").unwrap();
    record.repairs.recent.insert(fought.clone(), vec![Timestamp::from_millis(5); 4]);
    let after = record_from_json(&record_to_json(&record)).unwrap();
    assert_eq!(after.repairs.recent.get(&fought).map(Vec::len), Some(4));
}

#[track_caller]
fn check(bytes: &str, expected: &str) {
    let error = record_from_json(bytes.as_bytes()).unwrap_err();
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        text = format!("{text}: {source}");
    }
    assert!(text.contains(expected), "{text:?} does not say {expected:?}");
}

#[test]
fn a_document_that_is_not_ours_is_named_with_its_trouble() {
    let good = String::from_utf8(record_to_json(&Rollout::new(identity(1)))).unwrap();
    check(&good.replace("\"v\":1", "\"v\":7"), "version 7, and this lockstep reads version 1: run the lockstep that");
    check(&good.replace("\"v\":1,", ""), "missing field `v`");
    check(&good.replace("\"v\":1,", "\"v\":1,\"later\":2,"), "unknown field `later`");
    check(&good.replace("\"phase\":\"idle\"", "\"phase\":\"asleep\""), "\"asleep\" is no phase");
    check(&good.replace("\"generation\":0", "\"generation\":268435456"), "over 28 bits");
    check(&good.replace("\"owner\":1", "\"owner\":0"), "owner id 0");
    check(&good.replace("\"phase\":\"idle\",", ""), "missing field `phase`");
    check("", "can't be read");
    check(&"[".repeat(10_000), "can't be read");
    check(&format!("{{\"v\":1,\"record\":\"{}\"}}", "x".repeat(LONGEST)), "more than lockstep ever writes");
    let request = Request {
        id: RequestId::parse("0123456789abcdef").unwrap(),
        by: "ada@desk".into(),
        at: Timestamp::from_millis(0),
        reason: String::new(),
        verb: Verb::Resume,
    };
    check(&String::from_utf8(request_to_json(&request)).unwrap(), "unknown field `request`");
}

#[test]
fn the_revision_key_says_complete_only_when_the_goal_is_wholly_written() {
    let mut record = Rollout::new(identity(1));
    assert_eq!(revision_key(&record), None);
    let reached = |n: u8| {
        let revision = Revision::from_bytes([n; 20]);
        let generation = Generation::new(u32::from(n)).unwrap();
        Reached {
            revision,
            tip: revision,
            state: StateDigest::of([[n].as_slice()]),
            digest: RevisionDigest::of([]),
            generation,
            rules: revision,
        }
    };
    let state = |record: &Rollout| {
        let bytes = revision_key(record).unwrap();
        let key: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        key["state"].as_str().unwrap().to_owned()
    };
    record.goal = Some(reached(2));
    record.phase = Phase::Applying;
    assert_eq!(state(&record), "applying");
    record.phase = Phase::HeldRefused;
    record.complete = Some(reached(1));
    assert_eq!(state(&record), "applying", "half of revision 2 is written over revision 1");
    record.phase = Phase::Applying;
    record.complete = Some(reached(2));
    assert_eq!(state(&record), "complete", "the record that closes a plan");
    // A repair of the same revision opens with its own generation.
    record.goal = Some(Reached { generation: Generation::new(3).unwrap(), ..reached(2) });
    assert_eq!(state(&record), "applying", "a repair is being written");
    // A README commit on top moves nothing but the tip.
    record.complete = record.goal.clone().map(|goal| Reached { tip: Revision::from_bytes([9; 20]), ..goal });
    assert_eq!(state(&record), "complete");
}
