//! The parts of a record as JSON: identity, reached revisions, proofs, rejections, the attempt under way, what people set.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bound::{LONGEST_NAME, LONGEST_REASON, LONGEST_TEXT, cut, some_keys, some_of};
use super::history::{LineWire, is_false};
use super::permit::{prefixes, scope};
use super::scalar::{Number, Text};
use crate::domain::name::{EnvironmentName, KeyPath, RepositoryName};
use crate::domain::resource::OwnerId;
use crate::domain::revision::{Generation, Revision, RevisionDigest, StateDigest, ValueDigest};
use crate::domain::rollout::{
    Attempt, Contested, Drift, Drifted, Former, HeadNote, HeadVerdict, Identity, Pin, Proof, Reached, RefusedAttempt,
    Rejection, Sides, Suspension, TargetId,
};
use crate::domain::scope::KeyPrefix;
use crate::domain::time::Timestamp;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityWire {
    repository: Text<RepositoryName>,
    environment: Text<EnvironmentName>,
    target: Text<TargetId>,
    owner: Number<OwnerId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FormerWire {
    name: Text<EnvironmentName>,
    until: Number<Generation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReachedWire {
    revision: Text<Revision>,
    tip: Text<Revision>,
    state: Text<StateDigest>,
    digest: Text<RevisionDigest>,
    generation: Number<Generation>,
    /// None: the revision itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<Text<Revision>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofWire {
    digest: Text<RevisionDigest>,
    revision: Text<Revision>,
    at: Text<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectionWire {
    digest: Text<RevisionDigest>,
    revision: Text<Revision>,
    tip: Text<Revision>,
    reason: String,
    at: Text<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptWire {
    line: LineWire,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied: Option<Text<Timestamp>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    drifted_before: BTreeSet<Text<KeyPath>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    adopts: BTreeSet<Text<KeyPrefix>>,
    #[serde(default, skip_serializing_if = "is_false")]
    only_marks: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    puts_back: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusedWire {
    digest: Text<RevisionDigest>,
    rights: u64,
    text: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    keys: BTreeSet<Text<KeyPath>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteWire {
    revision: Option<Text<Revision>>,
    verdict: Text<HeadVerdict>,
    text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PinWire {
    by: String,
    reason: String,
    at: Text<Timestamp>,
    seen: BTreeSet<Text<RevisionDigest>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    rejected: BTreeSet<Text<RevisionDigest>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspensionWire {
    until: Option<Text<Timestamp>>,
    by: String,
    reason: String,
    at: Text<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContestedWire {
    ours: Option<Text<ValueDigest>>,
    theirs: Option<Text<ValueDigest>>,
    wait: Text<Duration>,
    next: Text<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DriftWire {
    keys: u32,
    named: BTreeMap<Text<KeyPath>, SidesWire>,
    at: Text<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SidesWire {
    how: Text<Drifted>,
    wanted: Option<Text<ValueDigest>>,
    live: Option<Text<ValueDigest>>,
}

/// Both directions of a type whose fields cross one by one: naming every field on both sides is what makes a new one fail
/// to compile until it is stored too.
macro_rules! both_ways {
    ($($domain:ident <=> $wire:ident { $($field:ident: $out:expr, $back:expr;)+ })+) => {$(
        impl From<&$domain> for $wire {
            fn from(value: &$domain) -> Self {
                let $domain { $($field),+ } = value;
                Self { $($field: $out($field)),+ }
            }
        }
        impl From<$wire> for $domain {
            fn from(wire: $wire) -> Self {
                let $wire { $($field),+ } = wire;
                Self { $($field: $back($field)),+ }
            }
        }
    )+};
}

fn as_text<T: Clone>(value: &T) -> Text<T> {
    Text(value.clone())
}

fn of_text<T>(text: Text<T>) -> T {
    text.0
}

#[expect(clippy::ref_option, reason = "the macro hands over a field as it is")]
fn as_maybe<T: Clone>(value: &Option<T>) -> Option<Text<T>> {
    value.clone().map(Text)
}

fn of_maybe<T>(text: Option<Text<T>>) -> Option<T> {
    text.map(of_text)
}

fn as_texts<T: Copy + Ord>(values: &BTreeSet<T>) -> BTreeSet<Text<T>> {
    values.iter().copied().map(Text).collect()
}

fn of_texts<T: Ord>(texts: BTreeSet<Text<T>>) -> BTreeSet<T> {
    texts.into_iter().map(of_text).collect()
}

fn as_number<T: Copy>(value: &T) -> Number<T> {
    Number(*value)
}

fn of_number<T>(number: Number<T>) -> T {
    number.0
}

fn as_is<T: Copy>(value: &T) -> T {
    *value
}

fn kept<T>(value: T) -> T {
    value
}

#[expect(clippy::ptr_arg, reason = "the macro hands over a field as it is")]
fn as_name(value: &String) -> String {
    cut(value, LONGEST_NAME)
}

#[expect(clippy::ptr_arg, reason = "the macro hands over a field as it is")]
fn as_reason(value: &String) -> String {
    cut(value, LONGEST_REASON)
}

#[expect(clippy::ptr_arg, reason = "the macro hands over a field as it is")]
fn as_explanation(value: &String) -> String {
    cut(value, LONGEST_TEXT)
}

impl From<&Reached> for ReachedWire {
    fn from(value: &Reached) -> Self {
        let Reached { revision, tip, state, digest, generation, rules } = value;
        Self {
            revision: as_text(revision),
            tip: as_text(tip),
            state: as_text(state),
            digest: as_text(digest),
            generation: as_number(generation),
            rules: (rules != revision).then(|| as_text(rules)),
        }
    }
}

impl From<ReachedWire> for Reached {
    fn from(wire: ReachedWire) -> Self {
        let ReachedWire { revision: Text(revision), tip, state, digest, generation, rules } = wire;
        Self {
            revision,
            tip: of_text(tip),
            state: of_text(state),
            digest: of_text(digest),
            generation: of_number(generation),
            rules: of_maybe(rules).unwrap_or(revision),
        }
    }
}

both_ways! {
    Identity <=> IdentityWire {
        repository: as_text, of_text;
        environment: as_text, of_text;
        target: as_text, of_text;
        owner: as_number, of_number;
    }
    Former <=> FormerWire {
        name: as_text, of_text;
        until: as_number, of_number;
    }
    Proof <=> ProofWire {
        digest: as_text, of_text;
        revision: as_text, of_text;
        at: as_text, of_text;
    }
    Rejection <=> RejectionWire {
        digest: as_text, of_text;
        revision: as_text, of_text;
        tip: as_text, of_text;
        reason: as_reason, kept;
        at: as_text, of_text;
    }
    Attempt <=> AttemptWire {
        line: LineWire::from, Into::into;
        applied: as_maybe, of_maybe;
        except: |except: &Vec<String>| some_of(except), kept;
        drifted_before: |keys: &BTreeSet<KeyPath>| some_keys(keys).cloned().map(Text).collect(),
            |keys: BTreeSet<Text<KeyPath>>| keys.into_iter().map(of_text).collect();
        adopts: prefixes, scope;
        only_marks: as_is, kept;
        puts_back: as_is, kept;
    }
    RefusedAttempt <=> RefusedWire {
        digest: as_text, of_text;
        rights: as_is, kept;
        text: as_explanation, kept;
        keys: |keys: &BTreeSet<KeyPath>| some_keys(keys).cloned().map(Text).collect(),
            |keys: BTreeSet<Text<KeyPath>>| keys.into_iter().map(of_text).collect();
    }
    HeadNote <=> NoteWire {
        revision: as_maybe, of_maybe;
        verdict: as_text, of_text;
        text: as_explanation, kept;
    }
    Pin <=> PinWire {
        by: as_name, kept;
        reason: as_reason, kept;
        at: as_text, of_text;
        seen: as_texts, of_texts;
        rejected: as_texts, of_texts;
    }
    Suspension <=> SuspensionWire {
        until: as_maybe, of_maybe;
        by: as_name, kept;
        reason: as_reason, kept;
        at: as_text, of_text;
    }
    Drift <=> DriftWire {
        keys: as_is, kept;
        named: |named: &BTreeMap<KeyPath, Sides>| {
            named.iter().take(Drift::NAMED).map(|(key, sides)| (Text(key.clone()), sides.into())).collect()
        },
            |named: BTreeMap<Text<KeyPath>, SidesWire>| named.into_iter().map(|(key, sides)| (key.0, sides.into())).collect();
        at: as_text, of_text;
    }
    Sides <=> SidesWire {
        how: as_text, of_text;
        wanted: as_maybe, of_maybe;
        live: as_maybe, of_maybe;
    }
    Contested <=> ContestedWire {
        ours: as_maybe, of_maybe;
        theirs: as_maybe, of_maybe;
        wait: as_text, of_text;
        next: as_text, of_text;
    }
}
