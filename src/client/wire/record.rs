//! The record as JSON, bounded: whatever a rollout went through, it fits one value of the target.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bound::{LONGEST_TEXT, cut, due_first, most_repaired, newest};
use super::history::{LineWire, is_false};
use super::parts::{
    AttemptWire, ContestedWire, DriftWire, FormerWire, IdentityWire, NoteWire, PinWire, ProofWire, ReachedWire, RefusedWire,
    RejectionWire, SuspensionWire,
};
use super::permit::{PermitWire, prefixes, scope};
use super::scalar::{Number, Text};
use crate::domain::name::{CheckName, KeyPath};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{
    Attempt, Drift, HeadNote, Permit, Phase, Pin, Proof, Reached, RefusedAttempt, Rejection, RepairLog, Rollout, Suspension,
    Unproven,
};
use crate::domain::scope::KeyPrefix;
use crate::domain::time::Timestamp;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordWire {
    identity: IdentityWire,
    generation: Number<Generation>,
    phase: Text<Phase>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    goal: Option<ReachedWire>,
    complete: Option<ReachedWire>,
    last_good: Option<ReachedWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repair: Option<LineWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<NoteWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<PinWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspension: Option<SuspensionWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unproven: Option<Text<Unproven>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<RefusedWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permit: Option<PermitWire>,
    #[serde(default, skip_serializing_if = "is_false")]
    overwrite_drift: bool,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    adopted: BTreeSet<Text<KeyPrefix>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen_tip: Option<Text<Revision>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen_head: Option<Text<Revision>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back_in_step: Option<Text<Revision>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<FormerWire>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    baseline: BTreeSet<Text<CheckName>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectionWire>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proven: Vec<ProofWire>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attempted: Vec<Text<Reached>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    repairs: BTreeMap<Text<KeyPath>, Vec<Text<Timestamp>>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    contested: BTreeMap<Text<KeyPath>, ContestedWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drift: Option<DriftWire>,
}

impl From<&Rollout> for RecordWire {
    fn from(record: &Rollout) -> Self {
        let Rollout {
            identity,
            generation,
            phase,
            goal,
            complete,
            last_good,
            attempted,
            proven,
            rejected,
            attempt,
            repair,
            baseline,
            reason,
            note,
            pin,
            suspension,
            repairs,
            drift,
            unproven,
            refused,
            permit,
            overwrite_drift,
            adopted,
            frozen_tip,
            frozen_head,
            back_in_step,
            former,
        } = record;
        let RepairLog { recent, contested } = repairs;
        Self {
            identity: identity.into(),
            generation: Number(*generation),
            phase: Text(*phase),
            reason: cut(reason, LONGEST_TEXT),
            goal: goal.as_ref().map(ReachedWire::from),
            complete: complete.as_ref().map(ReachedWire::from),
            last_good: last_good.as_ref().map(ReachedWire::from),
            attempt: attempt.as_ref().map(AttemptWire::from),
            repair: repair.as_ref().map(LineWire::from),
            note: note.as_ref().map(NoteWire::from),
            pin: pin.as_ref().map(PinWire::from),
            suspension: suspension.as_ref().map(SuspensionWire::from),
            unproven: unproven.map(Text),
            refused: refused.as_ref().map(RefusedWire::from),
            permit: permit.as_ref().map(PermitWire::from),
            overwrite_drift: *overwrite_drift,
            adopted: prefixes(adopted),
            frozen_tip: frozen_tip.map(Text),
            frozen_head: frozen_head.map(Text),
            back_in_step: back_in_step.map(Text),
            former: former.iter().map(FormerWire::from).collect(),
            baseline: baseline.iter().cloned().map(Text).collect(),
            rejected: newest(rejected, Rollout::REJECTIONS).iter().map(RejectionWire::from).collect(),
            proven: newest(proven, Rollout::PROOFS).iter().map(ProofWire::from).collect(),
            attempted: attempted.iter().cloned().map(Text).collect(),
            repairs: most_repaired(recent)
                .map(|(key, times)| (Text(key.clone()), times.iter().copied().map(Text).collect()))
                .collect(),
            drift: Some(drift).filter(|drift| drift.keys > 0).map(DriftWire::from),
            contested: due_first(contested).map(|(key, fight)| (Text(key.clone()), fight.into())).collect(),
        }
    }
}

impl From<RecordWire> for Rollout {
    fn from(wire: RecordWire) -> Self {
        let RecordWire {
            identity,
            generation,
            phase,
            reason,
            goal,
            complete,
            last_good,
            attempt,
            repair,
            note,
            pin,
            suspension,
            unproven,
            refused,
            permit,
            overwrite_drift,
            adopted,
            frozen_tip,
            frozen_head,
            back_in_step,
            former,
            baseline,
            rejected,
            proven,
            attempted,
            repairs,
            contested,
            drift,
        } = wire;
        Self {
            identity: identity.into(),
            generation: generation.0,
            phase: phase.0,
            goal: goal.map(Reached::from),
            complete: complete.map(Reached::from),
            last_good: last_good.map(Reached::from),
            attempted: attempted.into_iter().map(|reached| reached.0).collect(),
            proven: proven.into_iter().map(Proof::from).collect(),
            rejected: rejected.into_iter().map(Rejection::from).collect(),
            attempt: attempt.map(Attempt::from),
            repair: repair.map(Into::into),
            baseline: baseline.into_iter().map(|check| check.0).collect(),
            reason,
            note: note.map(HeadNote::from),
            pin: pin.map(Pin::from),
            suspension: suspension.map(Suspension::from),
            repairs: RepairLog {
                recent: repairs
                    .into_iter()
                    .map(|(key, times)| (key.0, times.into_iter().map(|time| time.0).collect()))
                    .collect(),
                contested: contested.into_iter().map(|(key, fight)| (key.0, fight.into())).collect(),
            },
            drift: drift.map(Drift::from).unwrap_or_default(),
            unproven: unproven.map(|unproven| unproven.0),
            refused: refused.map(RefusedAttempt::from),
            permit: permit.map(Permit::from).filter(Permit::grants),
            overwrite_drift,
            adopted: scope(adopted),
            frozen_tip: frozen_tip.map(|tip| tip.0),
            frozen_head: frozen_head.map(|head| head.0),
            back_in_step: back_in_step.map(|head| head.0),
            former: former.into_iter().map(Into::into).collect(),
        }
    }
}
