//! `release`: drop rejections or a freeze, and let one head pass the guard (rules R2, R6, G1, G4).

use std::num::NonZeroU32;

use super::super::Save;
use super::super::head::Candidate;
use super::super::observation::{HeadView, Observation};
use super::super::people::{Allowance, Grant, Permit};
use super::super::phase::Phase;
use super::super::record::Rollout;
use super::super::request::{LetPass, Request};
use crate::domain::revision::Revision;
use crate::domain::words::{count, listed};

impl Rollout {
    pub(super) fn asked_release(
        &self,
        revision: Option<Revision>,
        lets_pass: Option<&LetPass>,
        request: &Request,
        seen: &Observation<'_>,
    ) -> Result<(Save, String), String> {
        let mut record = self.clone();
        let mut done = Vec::new();
        // To let the head delete more says nothing of what its checks rejected, nor of a freeze.
        let only_allows = revision.is_none() && lets_pass.is_some_and(|lets_pass| !lets_pass.overriding);
        if let Some(revision) = revision {
            let before = record.rejected.len();
            record.rejected.retain(|rejection| rejection.revision != revision);
            if record.rejected.len() < before {
                done.push(format!("released {}", revision.short()));
            }
        } else if !only_allows {
            if !record.rejected.is_empty() {
                let revisions = record.rejected.iter().map(|rejection| rejection.revision.short());
                done.push(format!("released {}", listed(revisions)));
                record.rejected.clear();
            }
            if record.phase == Phase::Frozen {
                record = record.unfrozen(&request.by);
                done.push("ended the freeze".to_owned());
            }
        }
        if !only_allows && record.refused.take().is_some() {
            done.push("the refused revision is tried again".to_owned());
        }
        if let Some(lets_pass) = lets_pass {
            done.extend(record.permit_the_head(lets_pass, request, seen)?);
        }
        if done.is_empty() {
            done.push(match revision {
                _ if only_allows && lets_pass.is_some_and(|lets_pass| !lets_pass.adopts.is_empty()) => {
                    "no key that the head wants there is unmanaged, so none is to be adopted".to_owned()
                }
                _ if only_allows => "nothing was allowed beyond the limits".to_owned(),
                None => "nothing is rejected, refused or frozen here".to_owned(),
                Some(revision) => format!("{} is not rejected here", revision.short()),
            });
        }
        Ok((Save::of(record), done.join("; ")))
    }

    /// Lets the head pass what the guard has against it, this head and no other, and says so. A head that says something else
    /// than the commit that was meant is not let pass: whoever asked has not seen it.
    fn permit_the_head(
        &mut self,
        lets_pass: &LetPass,
        request: &Request,
        seen: &Observation<'_>,
    ) -> Result<Vec<String>, String> {
        let HeadView::At(tip) = seen.head else {
            return Err("the branch has no head that could be let pass; `lockstep status` says why".to_owned());
        };
        let desired = seen.books.desired(tip).ok_or_else(|| seen.books.why_unknown(tip))?;
        let (short, digest) = (tip.short(), desired.revision_digest());
        let LetPass { head: meant, allow_deletes, overriding, ref adopts } = *lets_pass;
        if meant != tip {
            let (name, meant_short) = (&self.identity.environment, meant.short());
            let Some(other) = seen.books.desired(meant) else {
                return Err(format!(
                    "{meant_short} was to be let pass, and the branch is at {short} for whoever leads, where {meant_short} can't be \
                     read; ask again when `lockstep status {name}` shows {meant_short} as the head"
                ));
            };
            if other.revision_digest() != digest {
                return Err(format!(
                    "{meant_short} was to be let pass, and the branch is at {short}, which says something else here; look at it with \
                     `lockstep plan {name}`, and ask again if {short} may pass"
                ));
            }
        }
        let only_adopts = allow_deletes.is_none() && !overriding;
        if self.is_in_step_with(digest) && only_adopts {
            return Ok(vec![]);
        }
        if self.is_in_step_with(digest) {
            return Err(format!(
                "{short} changes nothing here, so there is nothing to allow; ask again when the change is on the branch"
            ));
        }
        let grant = Grant { by: request.by.clone(), reason: request.reason.clone(), at: seen.now };
        let before = self.permit_for(digest).cloned();
        let mut permit = before.unwrap_or(Permit { revision: tip, digest, deletes: None, every_gate: None, adopts: None });
        let mut done = Vec::new();
        if let Some(deletes) = allow_deletes {
            let allowance = NonZeroU32::new(deletes).map(|count| Allowance { count, grant: grant.clone() });
            match (&permit.deletes, &allowance) {
                (_, Some(_)) => done.push(format!("{short} may delete {} more", count(deletes, "key"))),
                (Some(_), None) => done.push(format!("{short} keeps to the limits again")),
                (None, None) => {}
            }
            permit.deletes = allowance;
        }
        if overriding {
            permit.every_gate = Some(grant.clone());
            done.push(format!("{short} passes every gate"));
        }
        if !adopts.is_empty() {
            let candidate = Candidate { tip, desired, retried: false };
            if let Some(adopted) = self.adoptable(&mut permit, &candidate, adopts, grant, seen)? {
                done.push(format!("{short} may adopt {}, with the value that is there", count(adopted, "key")));
            }
        }
        if !done.is_empty() {
            self.permit = Some(Permit { revision: tip, ..permit }).filter(Permit::grants);
        }
        Ok(done)
    }

    /// Whether the head is another one by now than the one that a person let pass, or is what the environment is on.
    pub(in crate::domain::rollout) fn has_outlived_its_permit(&self, seen: &Observation<'_>) -> bool {
        let (Some(permit), HeadView::At(tip)) = (&self.permit, &seen.head) else { return false };
        self.is_in_step_with(permit.digest)
            || seen.books.desired(*tip).is_some_and(|desired| desired.revision_digest() != permit.digest)
    }
}
