//! What a move of the record means for people: each notable event, once, from the history lines that the move opened and
//! closed and from what else changed in the record.

use crate::domain::plan::{Counts, Intent};
use crate::domain::revision::ValueDigest;
use crate::domain::rollout::{Answer, Contested, HistoryLine, Outcome, Phase, Request, Rollout};
use crate::telemetry::{Event, Subject};

use super::pass::Move;

/// The subject of events about this record.
pub(super) fn subject(record: &Rollout) -> Subject {
    Subject {
        environment: record.identity.environment.clone(),
        revision: record.goal.as_ref().map(|goal| goal.revision),
        generation: Some(record.generation),
    }
}

/// The event of an attempt that begins. A rollback is announced before its first write: if we die there, people know why
/// things move.
pub(super) fn of_beginning(line: &HistoryLine) -> Event {
    match line.intent {
        Intent::RollBack => Event::RollbackStarted { from: line.from, because: line.because.clone() },
        intent @ (Intent::Advance | Intent::Repair | Intent::Restored) => {
            Event::RolloutStarted { intent, from: line.from, counts: line.counts }
        }
    }
}

/// The events of one move, in the order in which they happened, but for attempts that begin.
pub(super) fn of_move(step: &Move) -> Vec<Event> {
    let Move { from, to, lines, answered } = step;
    let mut events: Vec<Event> = answered.iter().map(|(request, answer)| of_answer(request, answer)).collect();
    events.extend(lines.iter().filter_map(|line| of_ending(line, to)));
    events.extend(of_late_proof(from, to));
    events.extend(of_applied(from, to));
    events.extend(of_fights(from, to));
    if to.note != from.note
        && let Some(note) = &to.note
    {
        events.push(Event::HeadNotFollowed { verdict: note.verdict, because: note.text.clone() });
    }
    if to.phase != from.phase && to.phase == Phase::HeldRefused {
        let because = to.note.as_ref().map_or(&to.reason, |note| &note.text).clone();
        events.push(Event::Held { phase: to.phase, because });
    }
    events
}

fn of_ending(line: &HistoryLine, record: &Rollout) -> Option<Event> {
    let closed = line.closed.as_ref()?;
    let because = || closed.text.clone();
    Some(match closed.outcome {
        Outcome::Proven if line.intent == Intent::RollBack => Event::RollbackFinished { except: Vec::new() },
        Outcome::Proven => Event::Proven,
        Outcome::RolledBack => Event::Unhealthy { because: because() },
        Outcome::Superseded => Event::Superseded,
        Outcome::Unproven | Outcome::Refused => Event::Held { phase: record.phase, because: because() },
        Outcome::Frozen => Event::Frozen { because: because() },
        Outcome::Repaired => Event::DriftRepaired { keys: total(line.counts) },
        Outcome::Restored => Event::TargetRestored,
    })
}

/// A goal whose attempt had ended unproven was proven after all.
fn of_late_proof(from: &Rollout, to: &Rollout) -> Option<Event> {
    (from.phase == Phase::HeldUnproven && to.phase == Phase::Steady).then_some(Event::Proven)
}

fn of_applied(from: &Rollout, to: &Rollout) -> Option<Event> {
    let attempt = to.attempt.as_ref()?;
    let applied = attempt.applied?;
    let known = from.attempt.as_ref().is_some_and(|before| before.applied == Some(applied));
    (!known).then(|| Event::Applied { counts: attempt.line.counts, took: applied.since(attempt.line.started) })
}

fn of_fights(from: &Rollout, to: &Rollout) -> Vec<Event> {
    to.repairs
        .contested
        .iter()
        .filter(|(key, _)| !from.repairs.contested.contains_key(*key))
        .map(|(key, fight)| Event::Contested { key: key.clone(), because: both_values(fight) })
        .collect()
}

fn both_values(fight: &Contested) -> String {
    let word = |digest: Option<ValueDigest>| digest.map_or("none".to_owned(), |digest| digest.to_string());
    match (fight.ours, fight.theirs) {
        // A key that neither side wants is not fought over, so there is something to hide.
        (None, None) => "its value is sensitive".to_owned(),
        (ours, theirs) => format!("ours is {}, theirs {}", word(ours), word(theirs)),
    }
}

fn of_answer(request: &Request, answer: &Answer) -> Event {
    Event::RequestAnswered {
        verb: request.verb.clone(),
        by: request.by.clone(),
        accepted: answer.accepted,
        because: answer.text.clone(),
    }
}

const fn total(counts: Counts) -> u32 {
    counts.created + counts.updated + counts.deleted + counts.released
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_fight_is_told_with_both_digests_and_of_a_sensitive_key_with_none() {
        let digest = |text: &str| Some(ValueDigest::of(text.as_bytes()));
        let told =
            |ours, theirs| both_values(&Contested { ours, theirs, wait: Duration::ZERO, next: Timestamp::from_millis(0) });
        assert!(told(digest("a"), digest("b")).starts_with("ours is ca978112"), "{}", told(digest("a"), digest("b")));
        assert!(told(digest("a"), None).ends_with("theirs none"));
        assert_eq!(told(None, None), "its value is sensitive");
    }
}
