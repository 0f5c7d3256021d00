//! `rollback`: away from what is live, to what was proven, and stay there (rules R11, G2).

use std::collections::BTreeSet;

use super::super::Save;
use super::super::attempt::Aim;
use super::super::line::Outcome;
use super::super::observation::{HeadView, Observation};
use super::super::people::Pin;
use super::super::reached::Reached;
use super::super::record::Rollout;
use super::super::request::Request;
use crate::domain::desired::DesiredState;
use crate::domain::plan::Intent;
use crate::domain::revision::Revision;

impl Rollout {
    pub(super) fn asked_back(
        &self,
        to: Option<Revision>,
        request: &Request,
        seen: &Observation<'_>,
    ) -> Result<(Save, String), String> {
        if let HeadView::Retired(tip) = seen.head {
            return Err(self.retired_at(tip));
        }
        // What a rollback that waits has not written is neither left nor rejected.
        let goal = self.stands_on().ok_or("nothing was ever applied here")?;
        let to = to.or_else(|| self.way_back()).ok_or_else(|| self.no_way_back(goal))?;
        let desired = seen.books.desired(to).ok_or_else(|| seen.books.why_unknown(to))?;
        let digest = desired.revision_digest();
        if self.is_in_step_with(digest) {
            return Ok((Save::of(self.clone()), self.there_already(to)));
        }
        if let Some(rejection) = self.rejection(digest) {
            let proven = self.proven_last();
            return Err(format!("{} is rejected, and nobody goes back to that: {}; {proven}", to.short(), rejection.reason));
        }
        // The guard lets every rollback pass, so only what was proven here may be gone back to (rule G2).
        if !self.is_proven(digest) && self.last_good.as_ref().is_none_or(|good| good.digest != digest) {
            return Err(format!("{} was never proven here; {}", to.short(), self.proven_last()));
        }
        let because = format!("rolled back by {}: {}", request.by, request.reason);
        let mut before = self.clone();
        if let Some(failing) = self.failing_on_last_good(seen) {
            before.baseline = failing;
        }
        let mut rejected = self.pin.as_ref().map_or_else(BTreeSet::new, |pin| pin.rejected.clone());
        // What its checks have rejected already is rejected for their reason, which no `resume` takes back.
        if self.rejection(goal.digest).is_none() {
            before.reject(goal, &because, seen);
            rejected.insert(goal.digest);
        }
        rejected.retain(|digest| before.rejection(*digest).is_some());
        // What a person rejects is no place to go back to later.
        if before.last_good.as_ref().is_some_and(|good| good.digest == goal.digest) {
            before.last_good = before.newest_proof(seen);
        }
        let mut pinned: BTreeSet<_> = [goal.digest].into();
        pinned.extend(seen.head.followable().and_then(|tip| seen.books.desired(tip)).map(DesiredState::revision_digest));
        pinned.remove(&digest);
        before.goal = Some(goal.clone());
        let plan = before.plan(Intent::RollBack, to, desired, before.next_generation(seen), seen);
        let closed = if self.is_pending() {
            before.close_open_lines(
                Outcome::Superseded,
                &format!("superseded by {} before its first write", to.short()),
                seen.now,
            )
        } else {
            before.close_open_lines(Outcome::RolledBack, &because, seen.now)
        };
        let tip = self.believed_tip(seen, goal);
        let (by, reason) = (request.by.clone(), request.reason.clone());
        let aim = Aim { intent: Intent::RollBack, revision: to, tip, by: by.clone(), because: reason.clone() };
        let mut save = before.begin(aim, desired, &plan, seen.now).with_lines(closed);
        save.record = save.record.pending_while_suspended(seen.now);
        save.record.pin = Some(Pin { seen: pinned, rejected, by, reason, at: seen.now });
        Ok((save, format!("rolling back from {} to {}", goal.revision.short(), to.short())))
    }

    /// Some places to go back to.
    fn proven_last(&self) -> String {
        let proven: Vec<String> = self.proven.iter().rev().take(3).map(|proof| proof.revision.short()).collect();
        if proven.is_empty() { "nothing was proven yet".to_owned() } else { format!("proven last: {}", proven.join(", ")) }
    }

    /// Why there is nowhere to go back to, and what to do about it.
    fn no_way_back(&self, goal: &Reached) -> String {
        let (name, short) = (&self.identity.environment, goal.revision.short());
        if !self.is_proven(goal.digest) {
            return format!(
                "it is on {short}, and nothing was proven here yet: commit a fix, or take the change back with `git revert`"
            );
        }
        let resume =
            if self.pin.is_some() { format!(", or follow the branch again: `lockstep resume {name}`") } else { String::new() };
        format!(
            "it is on {short}, and nothing older that was proven here is left to go back to; `lockstep history {name}` shows what \
             was tried. To leave {short}, commit a change or a `git revert`{resume}"
        )
    }

    /// The environment is where a person wants it; whether it stays there is said too.
    fn there_already(&self, to: Revision) -> String {
        let short = to.short();
        if self.is_pending() {
            return format!("it is going to {short} already");
        }
        let stays =
            if self.pin.is_some() { "and stays there" } else { "and follows the branch: `lockstep suspend` keeps it there" };
        format!("it is on {short} already, {stays}")
    }

    /// The newest revision that is still taken for proven and that the mirror has.
    fn newest_proof(&self, seen: &Observation<'_>) -> Option<Reached> {
        self.proven.iter().rev().find_map(|proof| {
            let desired = seen.books.of_proof(proof)?;
            Some(Reached {
                revision: proof.revision,
                tip: proof.revision,
                state: desired.state_digest(),
                digest: proof.digest,
                generation: self.generation,
                rules: proof.revision,
            })
        })
    }

    /// Last good; when that is where the environment is, the newest other revision that was proven.
    fn way_back(&self) -> Option<Revision> {
        let goal = self.stands_on()?;
        let good = self.last_good.as_ref().filter(|good| good.digest != goal.digest).map(|good| good.revision);
        good.or_else(|| self.proven.iter().rev().find(|proof| proof.digest != goal.digest).map(|proof| proof.revision))
    }
}
