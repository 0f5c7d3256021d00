//! What people let one head do, as JSON: each grant with its own person; and as it was stored before, in three places.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::bound::{LONGEST_NAME, LONGEST_REASON, cut};
use super::scalar::Text;
use crate::domain::revision::{Revision, RevisionDigest};
use crate::domain::rollout::{Allowance, Grant, Permit};
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
    /// Whose word all of it was, before each grant had its own: read, and never written.
    #[serde(default, skip_serializing)]
    by: Option<String>,
    #[serde(default, skip_serializing)]
    reason: Option<String>,
    #[serde(default, skip_serializing)]
    at: Option<Text<Timestamp>>,
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
struct GrantWire {
    by: String,
    reason: String,
    at: Text<Timestamp>,
}

impl From<&Permit> for PermitWire {
    fn from(permit: &Permit) -> Self {
        let Permit { revision, digest, deletes, every_gate } = permit;
        Self {
            revision: Text(*revision),
            digest: Text(*digest),
            deletes: deletes.as_ref().map(|Allowance { count, grant }| {
                let GrantWire { by, reason, at } = grant.into();
                AllowanceWire { count: *count, by, reason, at }
            }),
            every_gate: every_gate.as_ref().map(GrantWire::from),
            by: None,
            reason: None,
            at: None,
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

impl PermitWire {
    /// The permit, if it grants anything. `allowed_deletes` and `overridden` are what an older record held beside it: how
    /// many, and who passes every gate and why.
    pub(super) fn read(self, allowed_deletes: u32, overridden: Option<String>) -> Option<Permit> {
        let Self { revision, digest, deletes, every_gate, by, reason, at } = self;
        let older = by.zip(at).map(|(by, at)| Grant { by, reason: reason.unwrap_or_default(), at: at.0 });
        let allowance = |grant| NonZeroU32::new(allowed_deletes).map(|count| Allowance { count, grant });
        let deletes = deletes
            .map(|AllowanceWire { count, by, reason, at }| Allowance { count, grant: GrantWire { by, reason, at }.into() })
            .or_else(|| older.clone().and_then(allowance));
        let overrider = || {
            let (who, grant) = overridden.zip(older)?;
            // Who gave the last grant may not be who gave this one: then the text is all that is known.
            Some(if who == grant.who() { grant } else { Grant { by: who, reason: String::new(), ..grant } })
        };
        let every_gate = every_gate.map(Grant::from).or_else(overrider);
        let permit = Permit { revision: revision.0, digest: digest.0, deletes, every_gate };
        Some(permit).filter(Permit::grants)
    }
}
