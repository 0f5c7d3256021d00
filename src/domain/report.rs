//! Station 8: a rollout as people read it: one headline, and what they need to know and could do next.

use super::environment::DriftPolicy;
use super::plan::Intent;
use super::rollout::{Adoption, Allowance, Attempt, HeadVerdict, Permit, Phase, Reached, Rollout, Suspension, Unproven};
use super::words::{count, listed};

/// The longest headline in characters: one line of a terminal's title, a chat or a commit status.
pub const LONGEST_HEADLINE: usize = 140;
/// The longest line of an explanation in characters.
pub const LONGEST_LINE: usize = 400;

/// Where an environment stands, in one line of at most [`LONGEST_HEADLINE`] characters: "steady on 1a2b3c4".
#[must_use]
pub fn headline(rollout: &Rollout) -> String {
    let Some(goal) = &rollout.goal else {
        let why = rollout.note.as_ref().map_or("no commit was seen yet", |note| &note.text);
        return clipped(&format!("nothing applied yet: {why}"), LONGEST_HEADLINE);
    };
    let goal = short(goal);
    let back = rollout.attempt.as_ref().filter(|attempt| attempt.line.intent == Intent::RollBack);
    let text = match (rollout.phase, back) {
        (Phase::Idle, _) => "nothing applied yet".to_owned(),
        (Phase::Applying, None) => format!("applying {goal}"),
        (Phase::Applying, Some(attempt)) if rollout.is_pending() => {
            format!("{}; a rollback to {goal} waits: {}", standing(rollout), cause(attempt))
        }
        (Phase::Applying, Some(attempt)) => format!("rolling back to {goal}: {}", cause(attempt)),
        (Phase::Verifying, None) => with(&format!("verifying {goal}"), &rollout.reason),
        (Phase::Verifying, Some(_)) if !rollout.reason.is_empty() => {
            format!("rolled back to {goal}, verifying: {}", rollout.reason)
        }
        (Phase::Verifying, Some(attempt)) => format!("rolled back to {goal}, verifying: {}", cause(attempt)),
        (Phase::Steady, _) => {
            let texts = [Some(rollout.reason.clone()).filter(|reason| !reason.is_empty()), differing(rollout)];
            with(&format!("steady on {goal}"), &texts.into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
        (Phase::HeldAfterRollback, Some(attempt)) => format!("rolled back to {goal}: {}", cause(attempt)),
        (Phase::HeldAfterRollback, None) => with(&format!("staying on {goal}"), note_text(rollout)),
        (Phase::HeldUnproven, _) => with(&format!("on {goal}, not proven"), &rollout.reason),
        (Phase::HeldRefused, _) if rollout.note.is_none() => with(&format!("stopped half-way to {goal}"), &rollout.reason),
        (Phase::HeldRefused, _) => with(&format!("staying on {goal}, the head is refused"), note_text(rollout)),
        (Phase::Frozen, _) => with(&format!("frozen on {goal}"), &rollout.reason),
    };
    let text = match &rollout.suspension {
        Some(suspension) => format!("suspended by {}; {text}", suspension.by),
        None => text,
    };
    clipped(&text, LONGEST_HEADLINE)
}

/// What a person needs to know beside the headline, and what they could do: a few lines of at most [`LONGEST_LINE`]
/// characters, most important first; none when the environment is in step and well.
#[must_use]
pub fn explain(rollout: &Rollout) -> Vec<String> {
    let mut lines: Vec<String> = [advice(rollout), head(rollout), people(rollout), last_good(rollout)].concat();
    if !rollout.baseline.is_empty() {
        let checks = listed(rollout.baseline.iter().map(ToString::to_string));
        lines.push(format!("not counted, because failing before this change: {checks}"));
    }
    if !rollout.repairs.contested.is_empty() {
        let keys = listed(rollout.repairs.contested.keys().map(ToString::to_string));
        let repaired = if rollout.suspension.is_some() {
            "nothing is repaired while it is suspended"
        } else {
            "they are repaired with growing pauses"
        };
        lines.push(format!("somebody else keeps changing {keys}; {repaired}: find out who writes them"));
    }
    lines.extend(drifted(rollout).map(|text| {
        let named = rollout.drift.named.iter().map(|(key, sides)| format!("{key} ({})", sides.said()));
        format!("{text}: {}", named.collect::<Vec<_>>().join(", "))
    }));
    lines.extend(permitted(rollout));
    lines.iter().map(|line| clipped(line, LONGEST_LINE)).collect()
}

/// How many keys differ from the goal, or from what is live while a rollback waits, and are left so, and why that is, after a
/// pass has looked.
#[must_use]
pub fn drifted(rollout: &Rollout) -> Option<String> {
    drifted_under(rollout, Some(DriftPolicy::Report))
}

/// The same where no pass may have looked since a person resumed it: what is put right then is left no more. Without the
/// policy nothing is said of why.
#[must_use]
pub fn drifted_under(rollout: &Rollout, policy: Option<DriftPolicy>) -> Option<String> {
    let differ = differing(rollout)?;
    let are = if rollout.drift.keys == 1 { "is" } else { "are" };
    Some(match policy {
        _ if rollout.suspension.is_some() => format!("{differ} and {are} left while it is suspended"),
        Some(DriftPolicy::Report) => format!("{differ} and {are} left since drift is only reported here"),
        Some(DriftPolicy::Correct) => format!("{differ} and {are} put right next"),
        None => differ,
    })
}

fn differing(rollout: &Rollout) -> Option<String> {
    let keys = Some(rollout.drift.keys).filter(|keys| *keys > 0)?;
    Some(format!("{} {} from the revision", count(keys, "key"), if keys == 1 { "differs" } else { "differ" }))
}

/// The rollback that is not begun, and what it waits for.
#[must_use]
pub fn waits(rollout: &Rollout) -> Option<String> {
    let goal = short(rollout.goal.as_ref().filter(|_| rollout.is_pending())?);
    let name = &rollout.identity.environment;
    Some(match &rollout.suspension {
        Some(suspension) => format!("rollback to {goal} waits: {}; `lockstep resume {name}` carries it out", suspension.said()),
        None => format!("rollback to {goal} waits for whoever leads next"),
    })
}

/// What people let the head do, as long as it did not do it: each with who and why.
#[must_use]
pub fn permitted(rollout: &Rollout) -> Vec<String> {
    let Some(Permit { revision, deletes, every_gate, adopts, digest: _ }) = &rollout.permit else { return Vec::new() };
    let deletes = deletes.as_ref().map(|Allowance { count: more, grant }| {
        format!("{} may delete {} beyond the limits, by {}", revision.short(), count(more.get(), "key"), grant.who())
    });
    let every = every_gate.as_ref().map(|grant| format!("{} passes every gate, by {}", revision.short(), grant.who()));
    let adopts = adopts.as_ref().map(|Adoption { scope, grant }| {
        format!("{} may adopt {scope} where the values are its own, by {}", revision.short(), grant.who())
    });
    deletes.into_iter().chain(every).chain(adopts).collect()
}

/// What the phase asks of people, or what would end it.
#[must_use]
pub fn advice(rollout: &Rollout) -> Vec<String> {
    let name = &rollout.identity.environment;
    let advice = match (rollout.phase, rollout.unproven) {
        (Phase::Applying, _) if rollout.suspension.is_some() && !rollout.is_pending() => {
            "some keys may be written already, and no more are until it is resumed".to_owned()
        }
        (Phase::Frozen, _) => format!(
            "no automatic move any more: mend what is wrong, then run `lockstep release {name}` or give a commit the trailer \
             `Lockstep-Release: {name}`"
        ),
        (Phase::HeldUnproven, Some(Unproven::Unknown | Unproven::RollbackUnknown)) => {
            "the checks can't tell; it is proven as soon as they pass for long enough".to_owned()
        }
        (Phase::HeldUnproven, Some(Unproven::NothingToGoBackTo)) if rollout.last_good.is_some() => {
            "it goes back by itself as soon as last good can be used again; a newer commit moves on too".to_owned()
        }
        (Phase::HeldUnproven, Some(Unproven::NothingToGoBackTo)) => {
            "there is nothing to go back to; a newer commit moves on, and it is proven if the checks pass".to_owned()
        }
        (Phase::HeldUnproven, Some(Unproven::AutoRevertOff)) => {
            format!("rollout.auto_revert is off: run `lockstep rollback {name}`, or commit a fix")
        }
        (Phase::HeldUnproven, Some(Unproven::Except)) => {
            "it is proven as soon as the keys it had to leave can be written".to_owned()
        }
        (Phase::HeldUnproven, Some(Unproven::Drifted)) => {
            format!("put the keys back by hand, or run `lockstep apply {name} --once --overwrite-drift`")
        }
        (Phase::HeldUnproven, Some(Unproven::Released)) => "it is proven as soon as the checks pass for long enough".to_owned(),
        (Phase::HeldRefused, _) if rollout.refused.is_some() => format!(
            "give the token the rights it lacks: where the target can tell, that is noticed within a minute, else run `lockstep release \
             {name}`; another token or a newer commit is tried by itself"
        ),
        (Phase::HeldRefused, _) if rollout.note.is_none() => {
            "it goes on when nothing stands in the way any more, or with a newer commit".to_owned()
        }
        (Phase::HeldUnproven, Some(Unproven::Empty) | None)
        | (
            Phase::Idle | Phase::Applying | Phase::Verifying | Phase::Steady | Phase::HeldAfterRollback | Phase::HeldRefused,
            _,
        ) => String::new(),
    };
    // What a rollback waits for is said with it.
    let stopped = rollout.suspension.as_ref().filter(|_| !rollout.is_pending());
    let resume = stopped.map(|_| format!("`lockstep resume {name}` goes on"));
    [advice].into_iter().filter(|advice| !advice.is_empty()).chain(waits(rollout)).chain(resume).collect()
}

/// Why the head is not followed.
fn head(rollout: &Rollout) -> Vec<String> {
    let Some(note) = &rollout.note else { return Vec::new() };
    let which = note.revision.map_or_else(|| "the branch".to_owned(), |revision| revision.short());
    let what = match note.verdict {
        HeadVerdict::Invalid => "is invalid",
        HeadVerdict::Refused => "is refused",
        HeadVerdict::Rejected => "is not followed",
        HeadVerdict::Pinned | HeadVerdict::Suspended | HeadVerdict::Frozen => "waits",
        HeadVerdict::NotBelieved if note.revision.is_none() => "can't be followed",
        HeadVerdict::NotBelieved => "is not believed yet",
        HeadVerdict::Retired => "has no such environment",
    };
    vec![format!("{which} {what}: {}", note.text)]
}

/// What people did that still holds.
fn people(rollout: &Rollout) -> Vec<String> {
    let name = &rollout.identity.environment;
    let suspended = rollout.suspension.as_ref().map(Suspension::said);
    let pinned = rollout
        .pin
        .as_ref()
        .filter(|_| rollout.note.as_ref().is_none_or(|note| note.verdict != HeadVerdict::Pinned))
        .map(|pin| format!("pinned by {}: {}; a newer change or `lockstep resume {name}` ends it", pin.by, pin.reason));
    suspended.into_iter().chain(pinned).collect()
}

/// What it would go back to, where that isn't where it is.
fn last_good(rollout: &Rollout) -> Vec<String> {
    let Some(goal) = &rollout.goal else { return Vec::new() };
    match &rollout.last_good {
        None => vec!["nothing was proven here yet, so there is nothing to go back to".to_owned()],
        Some(good) if good.digest == goal.digest => Vec::new(),
        Some(good) => vec![format!("last good is {}", short(good))],
    }
}

/// What is live while a rollback waits.
fn standing(rollout: &Rollout) -> String {
    match (&rollout.complete, rollout.partly_written()) {
        (_, Some(part)) => format!("partly on {}", short(part)),
        (Some(whole), None) => format!("on {}", short(whole)),
        (None, None) => "on nothing".to_owned(),
    }
}

/// Why it goes back: the evidence, or whose word it is.
fn cause(attempt: &Attempt) -> String {
    attempt.line.cause()
}

fn note_text(rollout: &Rollout) -> &str {
    rollout.note.as_ref().map_or("", |note| &note.text)
}

fn short(reached: &Reached) -> String {
    reached.revision.short()
}

fn with(text: &str, reason: &str) -> String {
    if reason.is_empty() { text.to_owned() } else { format!("{text}: {reason}") }
}

/// One line of so many characters at most: reasons quote check answers and file problems, which may be long.
pub(super) fn clipped(text: &str, longest: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= longest {
        return line;
    }
    let kept: String = line.chars().take(longest.saturating_sub(1)).collect();
    // Not in the middle of a word, unless that word is most of the line.
    let whole = kept.rfind(' ').filter(|at| *at > kept.len() / 2).and_then(|at| kept.get(..at)).unwrap_or(&kept);
    format!("{}…", whole.trim_end())
}

#[cfg(test)]
mod tests;
