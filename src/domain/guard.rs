//! Station 4: limits on what one commit may take away (rules G1, G2, G4, H1).

use std::collections::BTreeSet;

use super::commit::{Commit, misread};
use super::desired::DesiredState;
use super::environment::DeleteLimits;
use super::name::OWNERS_PREFIX;
use super::plan::{Action, Intent, ObstacleKind, Plan};
use super::resource::OwnerId;
use super::scope::KeyPrefix;
use super::words::{by_reason, listed, shell_word};

/// Why a plan may not be carried out, with numbers and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

/// What the guard looks at beside the plan.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// What the new revision says.
    pub desired: &'a DesiredState,
    /// What the revision that is live says: its gates hold too, so that loosening them counts from the next revision on.
    pub complete: Option<&'a DesiredState>,
    /// What last good says.
    pub last_good: Option<&'a DesiredState>,
    /// There is a last good (or a complete, before anything is proven), and what it says can't be read: every delete
    /// counts, and a revision without checks is taken for one that drops them.
    pub base_is_lost: bool,
    /// Whether this digest was proven here before: a revert always passes (rule G2).
    pub proven: bool,
    /// The commits after complete, up to the new one: their trailers count.
    pub commits: &'a [Commit],
    /// Deletes allowed by a person through `release --allow-deletes`.
    pub allowed_deletes: u32,
    /// A person said `release --override`.
    pub overridden: bool,
}

/// Lets a plan pass or refuses it.
///
/// # Errors
/// The refusal, for an advance that deletes too much, drops its checks, or needs a key that is not ours.
pub fn guard(plan: &Plan, around: &Circumstances<'_>) -> Result<(), Refusal> {
    if plan.intent != Intent::Advance {
        return Ok(());
    }
    obstacles(plan, around)?;
    if around.proven || around.overridden {
        return Ok(());
    }
    deletes(plan, around)?;
    checks(around)
}

fn obstacles(plan: &Plan, around: &Circumstances<'_>) -> Result<(), Refusal> {
    const SHOWN: usize = 5;
    if plan.obstacles.is_empty() {
        return Ok(());
    }
    let held = by_reason(plan.obstacles.iter().map(|obstacle| (obstacle.key.as_str(), obstacle.why.as_str())), SHOWN);
    let name = &around.desired.environment().name;
    let mut ways_out = Vec::new();
    let is_there = |kind| plan.obstacles.iter().any(|obstacle| obstacle.kind == kind);
    if is_there(ObstacleKind::Hidden) {
        ways_out.push("Give the credential that right, or take the key out of the repository".to_owned());
    }
    let adoptable = plan.obstacles.iter().filter(|obstacle| obstacle.kind == ObstacleKind::Adoptable);
    if let Some(prefix) = KeyPrefix::around(adoptable.map(|obstacle| &obstacle.key)) {
        let named = if prefix.is_every() { String::new() } else { format!(" {}", shell_word(prefix.as_str())) };
        ways_out.push(format!(
            "To take over what has the same value, run `lockstep adopt {name}{named}`, or give a commit of this change the trailer \
             `Lockstep-Adopt: {prefix}`"
        ));
    }
    if is_there(ObstacleKind::Differing) {
        ways_out.push(format!(
            "Where the value is another (`lockstep unmanaged {name}` has both digests), commit what is live, take the key out of the \
             repository, or delete it in the target so that lockstep can create it"
        ));
    }
    if is_there(ObstacleKind::Flagged) {
        ways_out.push(
            "Another program's flags are never overwritten: take the key out of the repository, or delete it in the target so \
             that lockstep can create it"
                .to_owned(),
        );
    }
    let owners: BTreeSet<OwnerId> = plan
        .obstacles
        .iter()
        .filter_map(|obstacle| if let ObstacleKind::Owned(owner) = obstacle.kind { Some(owner) } else { None })
        .collect();
    if !owners.is_empty() {
        let entries = listed(owners.iter().map(|owner| format!("`{OWNERS_PREFIX}{owner}`")));
        ways_out.push(format!(
            "A key has one owner: take it out of this repository, or out of the other one, which Consul's key {entries} names"
        ));
    }
    if is_there(ObstacleKind::Drifted) {
        ways_out.push(format!(
            "`lockstep plan {name}` has both digests. To write what the commit says, run `lockstep apply --once --overwrite-drift {name}`; to keep what is live, commit it"
        ));
    }
    let mut said = vec![held, "nothing was written".to_owned()];
    said.extend(misread(around.commits).into_iter().take(SHOWN));
    Err(Refusal(format!("{}. {}", said.join("; "), ways_out.join(". "))))
}

fn deletes(plan: &Plan, around: &Circumstances<'_>) -> Result<(), Refusal> {
    // Only what last good has can be lost; before anything is proven, what complete has.
    let base = around.last_good.or(around.complete);
    let counts = |key| around.base_is_lost || base.is_some_and(|base| base.entries().contains_key(key));
    let lost = plan.changes.iter().filter(|change| change.action == Action::Delete && counts(&change.key));
    let lost = u32::try_from(lost.count()).unwrap_or(u32::MAX);
    let allowance = around.commits.iter().map(Commit::allowed_deletes).fold(around.allowed_deletes, u32::saturating_add);
    let limits = stricter(around);
    let counted = lost.saturating_sub(allowance);
    let keys = base.map_or(lost, |base| u32::try_from(base.entries().len()).unwrap_or(u32::MAX));
    let how = format!(
        "to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: {lost}`, or run `lockstep release {} {} \
         --allow-deletes {lost}`",
        around.desired.environment().name,
        plan.revision.short()
    );
    if counted > limits.at_most {
        return Err(Refusal(format!(
            "it would delete {lost} of {keys} keys; deletes.at_most is {} and {allowance} more are allowed; {how}",
            limits.at_most
        )));
    }
    if counted > DeleteLimits::FREE && u64::from(counted) * 100 > u64::from(limits.at_most_percent) * u64::from(keys) {
        let tenths = (u64::from(counted) * 1000 + u64::from(keys) / 2) / u64::from(keys.max(1));
        let share = format!("{}.{} %", tenths / 10, tenths % 10);
        let share = if allowance == 0 {
            format!(" ({share})")
        } else {
            format!("; {allowance} are allowed, and the other {counted} are {share}")
        };
        return Err(Refusal(format!(
            "it would delete {lost} of {keys} keys{share}; deletes.at_most_percent is {}; {how}",
            limits.at_most_percent
        )));
    }
    Ok(())
}

/// The stricter of the live revision's limits and the new one's (rule G4).
fn stricter(around: &Circumstances<'_>) -> DeleteLimits {
    let DeleteLimits { at_most, at_most_percent } = &around.desired.environment().policy.deletes;
    around.complete.map(|state| &state.environment().policy.deletes).map_or_else(
        || DeleteLimits { at_most: *at_most, at_most_percent: *at_most_percent },
        |live| DeleteLimits {
            at_most: (*at_most).min(live.at_most),
            at_most_percent: (*at_most_percent).min(live.at_most_percent),
        },
    )
}

/// A commit that deletes its own checks would prove itself (rule H1).
fn checks(around: &Circumstances<'_>) -> Result<(), Refusal> {
    let had = match around.last_good.map(|state| state.checks().len()) {
        Some(0) => return Ok(()),
        Some(checks) => format!("last good has {checks}"),
        // Nobody can say that it had none.
        None if around.base_is_lost => "what last good has can't be read".to_owned(),
        None => return Ok(()),
    };
    if around.desired.checks().is_empty() && !around.commits.iter().any(Commit::allows_no_checks) {
        return Err(Refusal(format!(
            "it has no health checks and {had}; if that is meant, give a commit of this change the trailer \
             `Lockstep-Allow-No-Checks: true`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
