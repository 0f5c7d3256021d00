//! What people let one head do, as JSON: each grant with its own person.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::bound::{LONGEST_NAME, LONGEST_REASON, cut};
use super::scalar::Text;
use crate::domain::revision::{Revision, RevisionDigest};
use crate::domain::rollout::{Adoption, Allowance, Grant, Permit};
use crate::domain::scope::{KeyPrefix, KeyScope};
use crate::domain::time::Timestamp;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PermitWire {
    revision: Text<Revision>,
    digest: Text<RevisionDigest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletes: Option<AllowanceWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_gate: Option<GrantWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopts: Option<AdoptionWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowanceWire {
    count: NonZeroU32,
    by: String,
    reason: String,
    at: Text<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdoptionWire {
    keys: BTreeSet<Text<KeyPrefix>>,
    by: String,
    reason: String,
    at: Text<Timestamp>,
}

/// The prefixes of a scope, in their order.
pub(super) fn prefixes(scope: &KeyScope) -> BTreeSet<Text<KeyPrefix>> {
    scope.iter().cloned().map(Text).collect()
}

/// The scope of these prefixes.
pub(super) fn scope(prefixes: BTreeSet<Text<KeyPrefix>>) -> KeyScope {
    KeyScope::of(prefixes.into_iter().map(|prefix| prefix.0))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantWire {
    by: String,
    reason: String,
    at: Text<Timestamp>,
}

impl From<&Permit> for PermitWire {
    fn from(permit: &Permit) -> Self {
        let Permit { revision, digest, deletes, every_gate, adopts } = permit;
        Self {
            revision: Text(*revision),
            digest: Text(*digest),
            deletes: deletes.as_ref().map(|Allowance { count, grant }| {
                let GrantWire { by, reason, at } = grant.into();
                AllowanceWire { count: *count, by, reason, at }
            }),
            every_gate: every_gate.as_ref().map(GrantWire::from),
            adopts: adopts.as_ref().map(|Adoption { scope, grant }| {
                let GrantWire { by, reason, at } = grant.into();
                AdoptionWire { keys: prefixes(scope), by, reason, at }
            }),
        }
    }
}

impl From<&Grant> for GrantWire {
    fn from(grant: &Grant) -> Self {
        let Grant { by, reason, at } = grant;
        Self { by: cut(by, LONGEST_NAME), reason: cut(reason, LONGEST_REASON), at: Text(*at) }
    }
}

impl From<GrantWire> for Grant {
    fn from(wire: GrantWire) -> Self {
        let GrantWire { by, reason, at } = wire;
        Self { by, reason, at: at.0 }
    }
}

impl From<PermitWire> for Permit {
    fn from(wire: PermitWire) -> Self {
        let PermitWire { revision, digest, deletes, every_gate, adopts } = wire;
        Self {
            revision: revision.0,
            digest: digest.0,
            deletes: deletes
                .map(|AllowanceWire { count, by, reason, at }| Allowance { count, grant: GrantWire { by, reason, at }.into() }),
            every_gate: every_gate.map(Grant::from),
            adopts: adopts
                .map(|AdoptionWire { keys, by, reason, at }| Adoption {
                    scope: scope(keys),
                    grant: GrantWire { by, reason, at }.into(),
                })
                .filter(|adoption| !adoption.scope.is_empty()),
        }
    }
}
