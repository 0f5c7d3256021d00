//! What people did that holds until somebody undoes it, as it is printed: pins, suspensions, permits.

use serde::Serialize;

use crate::cli::text::{At, clean};
use crate::domain::report;
use crate::domain::rollout::{Adoption, Allowance, Grant, Permit, Pin, Rollout, Suspension};

/// A rollback that pins, or a suspension.
#[derive(Serialize)]
pub(super) struct StopView {
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<At>,
}

impl From<&Pin> for StopView {
    fn from(pin: &Pin) -> Self {
        Self { by: clean(&pin.by), reason: clean(&pin.reason), at: At(pin.at), until: None }
    }
}

impl From<&Suspension> for StopView {
    fn from(stop: &Suspension) -> Self {
        Self { by: clean(&stop.by), reason: clean(&stop.reason), at: At(stop.at), until: stop.until.map(At) }
    }
}

/// What people let one head do.
#[derive(Serialize)]
pub(super) struct PermitView {
    pub(super) revision: String,
    /// It may delete more than the limits allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deletes: Option<AllowanceView>,
    /// It passes every gate.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub(super) every_gate: Option<GrantView>,
    /// It may take over keys that are there with its values already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) adopts: Option<AdoptionView>,
    /// All of it in words.
    #[serde(skip)]
    pub(super) texts: Vec<String>,
}

impl PermitView {
    pub(super) fn of(record: &Rollout) -> Option<Self> {
        let Permit { revision, deletes, every_gate, adopts, digest: _ } = record.permit.as_ref()?;
        Some(Self {
            revision: revision.to_string(),
            deletes: deletes.as_ref().map(|Allowance { count, grant }| {
                let GrantView { by, reason, at } = grant.into();
                AllowanceView { count: count.get(), by, reason, at }
            }),
            every_gate: every_gate.as_ref().map(GrantView::from),
            adopts: adopts.as_ref().map(|Adoption { scope, grant }| {
                let GrantView { by, reason, at } = grant.into();
                AdoptionView { keys: scope.iter().map(ToString::to_string).collect(), by, reason, at }
            }),
            texts: report::permitted(record).iter().map(|text| clean(text)).collect(),
        })
    }
}

/// So many deletes beyond the limits.
#[derive(Serialize)]
pub(super) struct AllowanceView {
    pub(super) count: u32,
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: At,
}

/// Keys that may be taken over: single ones, and all below a prefix that ends with `/`; `*` is every key.
#[derive(Serialize)]
pub(super) struct AdoptionView {
    pub(super) keys: Vec<String>,
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: At,
}

/// A person's word.
#[derive(Serialize)]
pub(super) struct GrantView {
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: At,
}

impl From<&Grant> for GrantView {
    fn from(grant: &Grant) -> Self {
        Self { by: clean(&grant.by), reason: clean(&grant.reason), at: At(grant.at) }
    }
}
