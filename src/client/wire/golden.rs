//! The stored forms of format version 1, byte by byte. A record that one controller writes is read by another one, so a change
//! here is a new version, or a field that is left out where it says nothing new; never what this file happens to print.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::{
    Answer, HistoryLine, Request, Rollout, WireError, answer_from_json, answer_to_json, history_from_json, history_to_json,
    record_from_json, record_to_json, request_from_json, request_to_json, revision_key,
};
use crate::domain::name::{CheckName, EnvironmentName, KeyPath, RepositoryName};
use crate::domain::plan::{Counts, Intent};
use crate::domain::resource::OwnerId;
use crate::domain::revision::{Generation, Revision, RevisionDigest, StateDigest, ValueDigest};
use crate::domain::rollout::tests::rollout_after;
use crate::domain::rollout::{
    Adoption, Allowance, Attempt, Closed, Contested, Drift, Drifted, Former, Grant, HeadNote, HeadVerdict, Identity, LetPass,
    Outcome, Permit, Phase, Pin, Proof, Reached, RefusedAttempt, Rejection, RepairLog, RequestId, Sides, Suspension, TargetId,
    Unproven, Verb,
};
use crate::domain::scope::{KeyPrefix, KeyScope};
use crate::domain::time::Timestamp;

fn revision(number: u8) -> Revision {
    Revision::from_bytes([number; 20])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_123 + 1_000 * seconds)
}

fn key(text: &str) -> KeyPath {
    KeyPath::parse(text).unwrap()
}

fn digest() -> RevisionDigest {
    RevisionDigest::of([])
}

fn scope() -> KeyScope {
    KeyScope::of(["config/a", "config/b/"].map(|text| KeyPrefix::parse(text).unwrap()))
}

fn value() -> ValueDigest {
    ValueDigest::of(b"")
}

fn reached(number: u8, rules: u8) -> Reached {
    Reached {
        revision: revision(number),
        tip: revision(9),
        state: StateDigest::of([]),
        digest: digest(),
        generation: Generation::new(u32::from(number)).unwrap(),
        rules: revision(rules),
    }
}

fn line(closed: bool) -> HistoryLine {
    HistoryLine {
        generation: Generation::new(17).unwrap(),
        intent: Intent::Advance,
        revision: revision(2),
        from: closed.then(|| revision(1)),
        by: "Ada".to_owned(),
        because: "Port 8081".to_owned(),
        counts: Counts { created: 1, updated: 2, adopted: 5, deleted: 3, released: 4 },
        started: at(0),
        closed: closed.then(|| Closed { at: at(9), outcome: Outcome::Proven, text: "healthy".to_owned() }),
    }
}

fn identity() -> Identity {
    Identity {
        repository: RepositoryName::parse("calvin-config").unwrap(),
        environment: EnvironmentName::parse("test").unwrap(),
        target: TargetId::parse("0123456789abcdef").unwrap(),
        owner: OwnerId::new(513).unwrap(),
    }
}

/// A record that says something in each of its fields.
fn full() -> Rollout {
    let grant = || Grant { by: "Grace".to_owned(), reason: "agreed".to_owned(), at: at(1) };
    let sides = Sides { how: Drifted::MarkLost, wanted: Some(value()), live: None };
    Rollout {
        identity: identity(),
        generation: Generation::new(17).unwrap(),
        phase: Phase::Verifying,
        goal: Some(reached(2, 1)),
        complete: Some(reached(2, 2)),
        last_good: Some(reached(1, 1)),
        attempted: vec![reached(3, 3), Reached { tip: revision(4), ..reached(4, 4) }],
        proven: vec![Proof { digest: digest(), revision: revision(1), at: at(2) }],
        rejected: vec![Rejection {
            digest: digest(),
            revision: revision(3),
            tip: revision(4),
            reason: "503".to_owned(),
            at: at(3),
        }],
        attempt: Some(Attempt {
            line: line(false),
            applied: Some(at(4)),
            except: vec!["config/x (held by nomad)".to_owned()],
            drifted_before: BTreeSet::from([key("config/y")]),
            adopts: scope(),
            only_marks: true,
            puts_back: true,
        }),
        repair: Some(line(false)),
        baseline: BTreeSet::from([CheckName::parse("app-answers").unwrap()]),
        reason: "waiting for checks".to_owned(),
        note: Some(HeadNote {
            revision: Some(revision(5)),
            verdict: HeadVerdict::Refused,
            text: "too many deletes".to_owned(),
        }),
        pin: Some(Pin {
            seen: BTreeSet::from([digest()]),
            rejected: BTreeSet::from([digest()]),
            by: "Ada".to_owned(),
            reason: "it is slow".to_owned(),
            at: at(5),
        }),
        suspension: Some(Suspension { until: Some(at(3_600)), by: "Ada".to_owned(), reason: "a move".to_owned(), at: at(6) }),
        repairs: RepairLog {
            recent: BTreeMap::from([(key("config/z"), vec![at(7), at(8)])]),
            contested: BTreeMap::from([(
                key("config/z"),
                Contested { ours: Some(value()), theirs: None, wait: Duration::from_mins(1), next: at(60) },
            )]),
        },
        drift: Drift { keys: 2, named: BTreeMap::from([(key("config/y"), sides)]), at: at(9) },
        unproven: Some(Unproven::Unknown),
        refused: Some(RefusedAttempt {
            digest: digest(),
            rights: 7,
            text: "permission denied".to_owned(),
            keys: BTreeSet::from([key("config/w")]),
        }),
        permit: Some(Permit {
            revision: revision(5),
            digest: digest(),
            deletes: NonZeroU32::new(40).map(|count| Allowance { count, grant: grant() }),
            every_gate: Some(grant()),
            adopts: Some(Adoption { scope: scope(), grant: grant() }),
        }),
        overwrite_drift: true,
        adopted: KeyScope::every(),
        frozen_tip: Some(revision(6)),
        frozen_head: Some(revision(7)),
        back_in_step: Some(revision(8)),
        former: vec![Former { name: EnvironmentName::parse("staging").unwrap(), until: Generation::new(9).unwrap() }],
    }
}

/// The text is written for the value, and the value is read from the text.
#[track_caller]
fn check<T: PartialEq + Debug>(value: &T, write: fn(&T) -> Vec<u8>, read: fn(&[u8]) -> Result<T, WireError>, form: &Expect) {
    let bytes = write(value);
    form.assert_eq(std::str::from_utf8(&bytes).unwrap());
    assert_eq!(&read(&bytes).unwrap(), value);
}

#[test]
fn a_record_is_stored_so() {
    check(
        &Rollout::new(identity()),
        record_to_json,
        record_from_json,
        &expect![[
            r#"{"v":1,"record":{"identity":{"repository":"calvin-config","environment":"test","target":"0123456789abcdef","owner":513},"generation":0,"phase":"idle","goal":null,"complete":null,"last_good":null}}"#
        ]],
    );
    check(
        &full(),
        record_to_json,
        record_from_json,
        &expect![[
            r#"{"v":1,"record":{"identity":{"repository":"calvin-config","environment":"test","target":"0123456789abcdef","owner":513},"generation":17,"phase":"verifying","reason":"waiting for checks","goal":{"revision":"0202020202020202020202020202020202020202","tip":"0909090909090909090909090909090909090909","state":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","generation":2,"rules":"0101010101010101010101010101010101010101"},"complete":{"revision":"0202020202020202020202020202020202020202","tip":"0909090909090909090909090909090909090909","state":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","generation":2},"last_good":{"revision":"0101010101010101010101010101010101010101","tip":"0909090909090909090909090909090909090909","state":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","generation":1},"attempt":{"line":{"generation":17,"intent":"advance","revision":"0202020202020202020202020202020202020202","by":"Ada","because":"Port 8081","counts":{"created":1,"updated":2,"adopted":5,"deleted":3,"released":4},"started":"2026-09-21T14:13:20.123Z"},"applied":"2026-09-21T14:13:24.123Z","except":["config/x (held by nomad)"],"drifted_before":["config/y"],"adopts":["config/a","config/b/"],"only_marks":true,"puts_back":true},"repair":{"generation":17,"intent":"advance","revision":"0202020202020202020202020202020202020202","by":"Ada","because":"Port 8081","counts":{"created":1,"updated":2,"adopted":5,"deleted":3,"released":4},"started":"2026-09-21T14:13:20.123Z"},"note":{"revision":"0505050505050505050505050505050505050505","verdict":"refused","text":"too many deletes"},"pin":{"by":"Ada","reason":"it is slow","at":"2026-09-21T14:13:25.123Z","seen":["v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"rejected":["v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"suspension":{"until":"2026-09-21T15:13:20.123Z","by":"Ada","reason":"a move","at":"2026-09-21T14:13:26.123Z"},"unproven":"unknown","refused":{"digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","rights":7,"text":"permission denied","keys":["config/w"]},"permit":{"revision":"0505050505050505050505050505050505050505","digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","deletes":{"count":40,"by":"Grace","reason":"agreed","at":"2026-09-21T14:13:21.123Z"},"every_gate":{"by":"Grace","reason":"agreed","at":"2026-09-21T14:13:21.123Z"},"adopts":{"keys":["config/a","config/b/"],"by":"Grace","reason":"agreed","at":"2026-09-21T14:13:21.123Z"}},"overwrite_drift":true,"adopted":["*"],"frozen_tip":"0606060606060606060606060606060606060606","frozen_head":"0707070707070707070707070707070707070707","back_in_step":"0808080808080808080808080808080808080808","former":[{"name":"staging","until":9}],"baseline":["app-answers"],"rejected":[{"digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","revision":"0303030303030303030303030303030303030303","tip":"0404040404040404040404040404040404040404","reason":"503","at":"2026-09-21T14:13:23.123Z"}],"proven":[{"digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","revision":"0101010101010101010101010101010101010101","at":"2026-09-21T14:13:22.123Z"}],"attempted":["3 0303030303030303030303030303030303030303 0909090909090909090909090909090909090909 v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","4 0404040404040404040404040404040404040404 = v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"repairs":{"config/z":["2026-09-21T14:13:27.123Z","2026-09-21T14:13:28.123Z"]},"contested":{"config/z":{"ours":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","theirs":null,"wait":"60000ms","next":"2026-09-21T14:14:20.123Z"}},"drift":{"keys":2,"named":{"config/y":{"how":"mark-lost","wanted":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","live":null}},"at":"2026-09-21T14:13:29.123Z"}}}"#
        ]],
    );
}

#[test]
fn a_line_of_history_is_stored_so() {
    check(
        &line(false),
        history_to_json,
        history_from_json,
        &expect![[
            r#"{"v":1,"history":{"generation":17,"intent":"advance","revision":"0202020202020202020202020202020202020202","by":"Ada","because":"Port 8081","counts":{"created":1,"updated":2,"adopted":5,"deleted":3,"released":4},"started":"2026-09-21T14:13:20.123Z"}}"#
        ]],
    );
    check(
        &line(true),
        history_to_json,
        history_from_json,
        &expect![[
            r#"{"v":1,"history":{"generation":17,"intent":"advance","revision":"0202020202020202020202020202020202020202","from":"0101010101010101010101010101010101010101","by":"Ada","because":"Port 8081","counts":{"created":1,"updated":2,"adopted":5,"deleted":3,"released":4},"started":"2026-09-21T14:13:20.123Z","closed":{"at":"2026-09-21T14:13:29.123Z","outcome":"proven","text":"healthy"}}}"#
        ]],
    );
}

#[test]
fn a_request_is_stored_so() {
    let verbs = [
        Verb::RollBack { to: None },
        Verb::RollBack { to: Some(revision(1)) },
        Verb::Release { revision: None, lets_pass: None },
        Verb::Release { revision: Some(revision(1)), lets_pass: LetPass::new(revision(2), Some(40), true) },
        Verb::Release { revision: None, lets_pass: Some(LetPass::adopting(revision(2), scope())) },
        Verb::Suspend { until: None },
        Verb::Suspend { until: Some(at(3_600)) },
        Verb::Resume,
        Verb::OverwriteDrift,
    ];
    let mut forms = String::new();
    for verb in verbs {
        let id = RequestId::parse("0123456789abcdef").unwrap();
        let request = Request { id, by: "ada@desk".to_owned(), at: at(0), reason: "a move".to_owned(), verb };
        let bytes = request_to_json(&request);
        assert_eq!(request_from_json(&bytes).unwrap(), request);
        forms = forms + std::str::from_utf8(&bytes).unwrap() + "\n";
    }
    expect![[r#"
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"rollback":{}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"rollback":{"to":"0101010101010101010101010101010101010101"}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"release":{}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"release":{"revision":"0101010101010101010101010101010101010101","lets_pass":{"head":"0202020202020202020202020202020202020202","allow_deletes":40,"overriding":true}}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"release":{"lets_pass":{"head":"0202020202020202020202020202020202020202","adopts":["config/a","config/b/"]}}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"suspend":{}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"suspend":{"until":"2026-09-21T15:13:20.123Z"}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"resume":{}}}}
        {"v":1,"request":{"id":"0123456789abcdef","by":"ada@desk","at":"2026-09-21T14:13:20.123Z","reason":"a move","verb":{"overwrite-drift":{}}}}
    "#]].assert_eq(&forms);
}

#[test]
fn an_answer_is_stored_so() {
    let id = RequestId::parse("0123456789abcdef").unwrap();
    let answer = Answer { id, at: at(0), accepted: true, changed: false, text: "nothing to do".to_owned() };
    check(
        &answer,
        answer_to_json,
        answer_from_json,
        &expect![[
            r#"{"v":1,"answer":{"id":"0123456789abcdef","at":"2026-09-21T14:13:20.123Z","accepted":true,"changed":false,"text":"nothing to do"}}"#
        ]],
    );
}

#[test]
fn the_revision_key_is_stored_so() {
    let bytes = revision_key(&full()).unwrap();
    expect![[r#"{"state":"complete","revision":"0202020202020202020202020202020202020202","generation":2,"digest":"v1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#]].assert_eq(std::str::from_utf8(&bytes).unwrap());
}

#[test]
fn readers_are_told_nothing_of_a_rollback_that_waits() {
    let sentence = "commit good, settle, commit a=2, settle, ask suspend, wait 1";
    let before = revision_key(&rollout_after(sentence)).unwrap();
    assert!(std::str::from_utf8(&before).unwrap().starts_with(r#"{"state":"complete""#));
    assert_eq!(revision_key(&rollout_after(&format!("{sentence}, ask rollback, wait 1"))).unwrap(), before);
}

#[test]
fn a_request_that_lets_a_head_pass_without_naming_it_is_refused() {
    let text = r#"{"v":1,"request":{"id":"0123456789abcdef","by":"ada","at":"1970-01-01T00:00:00.000Z","reason":"",
                   "verb":{"release":{"lets_pass":{"overriding":true}}}}}"#;
    let error = request_from_json(text.as_bytes()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("missing field `head`"), "{error}: {source}");
}
