//! What a move of the record means for people: each notable event, once, from the history lines that the move opened and
//! closed and from what else changed in the record.

use crate::domain::plan::{Counts, Intent};
use crate::domain::revision::ValueDigest;
use crate::domain::rollout::{Ailing, Answer, Contested, HistoryLine, Outcome, Phase, Request, Rollout, Unproven};
use crate::telemetry::{Event, Subject};

use super::memory::Told;
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
    events.extend(lines.iter().filter_map(|line| of_ending(line, from, to)));
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

fn of_ending(line: &HistoryLine, from: &Rollout, to: &Rollout) -> Option<Event> {
    let closed = line.closed.as_ref()?;
    let because = || closed.text.clone();
    let back = line.intent == Intent::RollBack;
    Some(match closed.outcome {
        Outcome::Proven if back => Event::RollbackFinished { except: Vec::new(), because: because() },
        Outcome::Unproven if back && to.unproven == Some(Unproven::Except) => {
            let except = to.attempt.as_ref().map(|attempt| attempt.except.clone()).unwrap_or_default();
            Event::RollbackFinished { except, because: because() }
        }
        Outcome::Proven => Event::Proven { because: because() },
        // A person took it back: that is no verdict, and the request and the rollback say so.
        Outcome::RolledBack if to.pin != from.pin => return None,
        Outcome::RolledBack => Event::Unhealthy { because: because() },
        Outcome::Superseded => Event::Superseded,
        Outcome::Unproven | Outcome::Refused => Event::Held { phase: to.phase, because: because() },
        Outcome::Frozen => Event::Frozen { because: because() },
        Outcome::Repaired => Event::DriftRepaired { keys: total(line.counts) },
        Outcome::Restored => Event::TargetRestored,
    })
}

/// A goal whose attempt had ended unproven was proven after all.
fn of_late_proof(from: &Rollout, to: &Rollout) -> Option<Event> {
    let because = if to.reason.is_empty() { "healthy" } else { &to.reason };
    (from.phase == Phase::HeldUnproven && to.phase == Phase::Steady).then(|| Event::Proven { because: because.to_owned() })
}

/// What ails an environment that rests, as far as people were not told yet: a check once until it passed again, drift once
/// for each set of keys.
pub(super) fn of_ailing(told: &mut Told, ailing: &Ailing) -> Vec<Event> {
    let Ailing { late, passing, drifted } = ailing;
    told.late.retain(|check| !passing.contains(check));
    let mut events = Vec::new();
    for (check, because) in late {
        if told.late.insert(check.clone()) {
            events.push(Event::LateFailure { check: check.clone(), because: because.clone() });
        }
    }
    if told.drifted != *drifted {
        told.drifted.clone_from(drifted);
        if !drifted.is_empty() {
            events.push(Event::DriftReported { keys: u32::try_from(drifted.len()).unwrap_or(u32::MAX) });
        }
    }
    events
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
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::domain::name::{CheckName, KeyPath};
    use crate::domain::rollout::tests::rollout_after;
    use crate::domain::time::Timestamp;

    /// The events of the move that the last step of a sentence ends with: of the attempt whose line it closed last.
    #[track_caller]
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other event is shown whole")]
    fn check(before: &str, last: &str, expected: &[&str]) {
        let (from, to) = (rollout_after(before), rollout_after(&format!("{before}, {last}")));
        let closed = |record: &Rollout| record.attempt.as_ref().map(|attempt| attempt.line.clone());
        let lines = closed(&to).filter(|line| line.closed.is_some() && closed(&from).as_ref() != Some(line));
        let step = Move { from, to, lines: lines.into_iter().collect(), answered: Vec::new() };
        let told: Vec<String> = of_move(&step)
            .iter()
            .map(|event| match event {
                Event::Proven { because } => format!("proven: {because}"),
                Event::RollbackFinished { except, .. } => format!("rolled back except {except:?}"),
                Event::Held { phase, .. } => format!("held: {}", phase.word()),
                Event::Frozen { .. } => "frozen".to_owned(),
                Event::HeadNotFollowed { verdict, .. } => format!("head: {}", verdict.word()),
                Event::Applied { .. } => "applied".to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(told, expected, "{before}, {last}");
    }

    #[test]
    fn each_end_of_an_attempt_is_told_with_what_it_rests_on() {
        check("commit good, wait 6", "settle", &["proven: healthy"]);
        check("commit -?build, wait 3", "settle", &["proven: applied; no checks"]);
        check(
            "commit good, settle, build sick, settle, commit a=2, wait 3",
            "settle",
            &["proven: no check counted: build failed before"],
        );
        check("commit good, settle, commit a=2 unknown, wait 15", "settle", &["held: held-unproven"]);
        check("commit good, settle, commit a=2 unknown, settle, build well", "commit readme, settle", &[]);
        check("commit good, settle, commit a=2 bad, wait 22", "settle", &["rolled back except []", "head: rejected"]);
        let by_hand = "commit @drift=report, settle, commit a=2 bad, wait 10, by hand a=9, wait 12";
        check(
            by_hand,
            "settle",
            &[
                "rolled back except [\"a (was changed by hand, and drift is only reported here: live sha256 19581e27…, wanted sha256 6b86b273…)\"]",
                "head: rejected",
            ],
        );
        let sick = "commit good, settle, build sick, wait 1, commit a=2, wait 22";
        check(sick, "settle", &["frozen", "head: waiting-frozen"]);
    }

    #[test]
    fn a_proof_that_came_late_says_what_it_rests_on() {
        let held = "commit good ?other, settle, other sick, settle, commit a=2, build blind, settle";
        check(held, "build well, wait 4, tick, pass", &["proven: healthy, not counting other (failed before)"]);
    }

    #[test]
    fn what_ails_is_told_once_and_again_only_after_it_was_well() {
        let name = |text: &str| CheckName::parse(text).unwrap();
        let of = |late: &[&str], passing: &[&str], drifted: &[&str]| Ailing {
            late: late.iter().map(|check| (name(check), "got 503".to_owned())).collect::<BTreeMap<_, _>>(),
            passing: passing.iter().map(|check| name(check)).collect(),
            drifted: drifted.iter().map(|key| KeyPath::parse(key).unwrap()).collect::<BTreeSet<_>>(),
        };
        let mut told = Told::default();
        for (ailing, expected) in [
            (of(&[], &["a", "b"], &[]), 0),
            (of(&["a"], &["b"], &[]), 1),
            (of(&["a"], &["b"], &[]), 0),
            // Can't be told for a while: it did not pass.
            (of(&[], &["b"], &["k"]), 1),
            (of(&["a"], &["b"], &["k"]), 0),
            (of(&["a", "b"], &[], &["k", "l"]), 2),
            (of(&[], &["a", "b"], &[]), 0),
            (of(&["a"], &["b"], &["k"]), 2),
        ] {
            assert_eq!(of_ailing(&mut told, &ailing).len(), expected, "{ailing:?}");
        }
    }

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
