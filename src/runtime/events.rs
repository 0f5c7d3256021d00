//! What a move of the record means for people: each notable event, once, from the history lines that the move opened and
//! closed and from what else changed in the record.

use std::collections::BTreeSet;

use crate::domain::name::KeyPath;
use crate::domain::plan::{Counts, Intent};
use crate::domain::revision::ValueDigest;
use crate::domain::rollout::{Ailing, Answer, Contested, HistoryLine, Outcome, Phase, Request, Rollout, Unproven};
use crate::telemetry::{Event, Subject};

use super::memory::Told;
use super::pass::Move;

/// The subject of events about this line: the revision that the attempt went to, wherever the environment has gone since.
pub(super) fn about(line: &HistoryLine, record: &Rollout) -> Subject {
    let revision = match line.intent {
        // It went nowhere.
        Intent::Restored | Intent::Act(_) => record.stands_on().map(|reached| reached.revision),
        Intent::Advance | Intent::Repair | Intent::RollBack | Intent::Remove => Some(line.revision),
    };
    Subject { environment: record.identity.environment.clone(), revision, generation: Some(line.generation) }
}

/// The subject of events about where the environment is, or is on the way to once that has begun.
pub(super) fn subject(record: &Rollout) -> Subject {
    Subject {
        environment: record.identity.environment.clone(),
        revision: record.stands_on().map(|reached| reached.revision),
        generation: Some(record.generation),
    }
}

/// The event of an attempt that begins. A rollback is announced before its first write: if we die there, people know why
/// things move.
pub(super) fn of_beginning(line: &HistoryLine) -> Event {
    match line.intent {
        Intent::RollBack => Event::RollbackStarted { from: line.from, because: line.cause() },
        intent @ (Intent::Advance | Intent::Repair | Intent::Remove | Intent::Restored | Intent::Act(_)) => {
            Event::RolloutStarted { intent, from: line.from, counts: line.counts }
        }
    }
}

/// The events of one move with what each is about, in the order in which they happened, but for attempts that begin.
pub(super) fn of_move(step: &Move) -> Vec<(Subject, Event)> {
    let Move { from, to, lines, answered } = step;
    let here = |event| (subject(to), event);
    let mut events: Vec<(Subject, Event)> = answered.iter().map(|(request, answer)| here(of_answer(request, answer))).collect();
    events.extend(lines.iter().filter_map(|line| Some((about(line, to), of_ending(line, from, to)?))));
    events.extend(of_late_proof(from, to).map(here));
    events.extend(of_applied(from, to));
    events.extend(of_fights(from, to).into_iter().map(here));
    if to.note != from.note
        && let Some(note) = &to.note
    {
        let event = Event::HeadNotFollowed { verdict: note.verdict, because: note.text.clone() };
        events.push((Subject { revision: note.revision, generation: None, ..subject(to) }, event));
    }
    if to.phase != from.phase && to.phase == Phase::HeldRefused {
        let because = to.note.as_ref().map_or(&to.reason, |note| &note.text).clone();
        events.push(here(Event::Held { phase: to.phase, because }));
    }
    events
}

/// How the attempts of one move ended. What a person decided, and that the target was restored, is a line of history and no
/// attempt: it never began.
pub(super) fn outcomes(step: &Move) -> impl Iterator<Item = Outcome> {
    let attempts = step.lines.iter().filter(|line| match line.intent {
        Intent::Advance | Intent::Repair | Intent::RollBack | Intent::Remove => true,
        Intent::Restored | Intent::Act(_) => false,
    });
    attempts.filter_map(|line| line.closed.as_ref()).map(|closed| closed.outcome)
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
        Outcome::Repaired => Event::DriftRepaired { keys: total(line.counts), because: line.because.clone() },
        Outcome::Restored => Event::TargetRestored,
        // The answer to the request says it.
        Outcome::Done | Outcome::Removed => return None,
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
            let keys = u32::try_from(drifted.len()).unwrap_or(u32::MAX);
            events.push(Event::DriftReported { keys, because: some_of(drifted) });
        }
    }
    events
}

/// The first keys, and how many there are besides.
fn some_of(keys: &BTreeSet<KeyPath>) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = keys.iter().take(SHOWN).map(KeyPath::as_str).collect();
    let more = keys.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn of_applied(from: &Rollout, to: &Rollout) -> Option<(Subject, Event)> {
    let attempt = to.attempt.as_ref()?;
    let applied = attempt.applied?;
    let known = from.attempt.as_ref().is_some_and(|before| before.applied == Some(applied));
    let event = || Event::Applied { counts: attempt.line.counts, took: applied.since(attempt.line.started) };
    (!known).then(|| (about(&attempt.line, to), event()))
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
        because: match request.reason.as_str() {
            "" => answer.text.clone(),
            reason => format!("{}; asked because: {reason}", answer.text),
        },
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
    use crate::domain::revision::Generation;
    use crate::domain::rollout::tests::{history_after, number, rollout_after};
    use crate::domain::rollout::{RequestId, Verb};
    use crate::domain::time::Timestamp;

    /// What the last step of a sentence did.
    fn step(before: &str, last: &str) -> Move {
        let whole = format!("{before}, {last}");
        let (from, to) = (rollout_after(before), rollout_after(&whole));
        let old = history_after(before);
        let lines = history_after(&whole).into_iter().filter(|line| !old.contains(line)).collect();
        Move { from, to, lines, answered: Vec::new() }
    }

    /// The events of the move that the last step of a sentence ends with.
    #[track_caller]
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other event is shown whole")]
    fn check(before: &str, last: &str, expected: &[&str]) {
        let told: Vec<String> = of_move(&step(before, last))
            .iter()
            .map(|(_, event)| match event {
                Event::Proven { because } => format!("proven: {because}"),
                Event::Unhealthy { .. } => "unhealthy".to_owned(),
                Event::RollbackFinished { except, .. } => format!("rolled back except {except:?}"),
                Event::Held { phase, .. } => format!("held: {}", phase.word()),
                Event::Frozen { .. } => "frozen".to_owned(),
                Event::HeadNotFollowed { verdict, .. } => format!("head: {}", verdict.word()),
                Event::Applied { .. } => "applied".to_owned(),
                Event::DriftRepaired { .. } => "repaired".to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(told, expected, "{before}, {last}");
    }

    /// The name of an event, and the revision and the generation that it is about.
    type Named = (&'static str, (Option<usize>, Option<u32>));

    /// Of each event of the last step: its name, the revision, and the generation.
    #[track_caller]
    fn check_about(before: &str, last: &str, expected: &[(&str, Option<usize>, Option<u32>)]) {
        let mut step = step(before, last);
        if let Some(verb) = last.strip_prefix("ask resume").map(|_| Verb::Resume) {
            let (id, at) = (RequestId::parse("0123456789abcdef").unwrap(), Timestamp::from_millis(0));
            let request = Request { id: id.clone(), by: "Grace".to_owned(), at, reason: String::new(), verb };
            step.answered.push((request, Answer { id, at, accepted: true, changed: true, text: String::new() }));
        }
        let beginnings = step.lines.iter().filter(|line| line.closed.is_none());
        let mut told: Vec<_> = beginnings.map(|line| (about(line, &step.to), of_beginning(line))).collect();
        told.extend(of_move(&step));
        let told: Vec<_> = told
            .iter()
            .map(|(about, event)| (event.name(), about.revision.map(number), about.generation.map(Generation::number)))
            .collect();
        assert_eq!(told, expected, "{before}, {last}");
    }

    #[test]
    fn each_event_names_the_revision_and_the_generation_that_it_is_about() {
        let bad = "commit good, settle, commit a=2 bad";
        let at = |revision, generation| (Some(revision), Some(generation));
        let table: &[(&str, &str, &[Named])] = &[
            ("batch 1", "commit good b=1, pass", &[("rollout-started", at(1, 1))]),
            ("batch 1, commit good, pass, pass", "pass", &[("applied", at(1, 1))]),
            ("commit good, wait 6", "settle", &[("proven", at(1, 1))]),
            // What is unhealthy is what is left, and not where it goes.
            (&format!("{bad}, wait 20, batch 1"), "tick, pass", &[("rollback-started", at(1, 3)), ("unhealthy", at(2, 2))]),
            // The head is judged as soon as the way back is written.
            (
                &format!("{bad}, wait 20"),
                "wait 1",
                &[
                    ("rollback-started", at(1, 3)),
                    ("unhealthy", at(2, 2)),
                    ("applied", at(1, 3)),
                    ("head-not-followed", (Some(2), None)),
                ],
            ),
            (&format!("{bad}, wait 22"), "settle", &[("rollback-finished", at(1, 3))]),
            // What is superseded is what was under way, and not the newer one.
            (
                "commit good, settle, batch 1, commit a=2 b=2, pass",
                "commit a=3, pass",
                &[("rollout-started", at(3, 3)), ("superseded", at(2, 2))],
            ),
            ("commit good, settle, commit a=2 unknown, wait 15", "settle", &[("held", at(2, 2))]),
            ("commit good, settle", "commit invalid, settle", &[("head-not-followed", (Some(2), None)), ("held", at(1, 1))]),
            (
                "commit good, settle, batch 1, deny b, commit a=2 b=2, pass, pass",
                "pass",
                &[("rollback-started", at(1, 3)), ("held", at(2, 2))],
            ),
            (
                "commit good, settle, build sick, wait 1, commit a=2, wait 22",
                "settle",
                &[("frozen", at(1, 3)), ("head-not-followed", (Some(2), None))],
            ),
            ("commit good, settle, by hand a=9", "pass", &[("drift-repaired", at(1, 2))]),
            (
                "commit good, settle, by hand a=9, wait 1, by hand a=9, wait 1, by hand a=9",
                "pass",
                &[("drift-repaired", at(1, 4)), ("contested", at(1, 4))],
            ),
            ("snapshot, commit good, settle, snapshot, commit a=2, settle, restore", "pass", &[("target-restored", at(1, 3))]),
            ("commit good, settle, ask suspend, pass", "ask resume, pass", &[("request-answered", at(1, 3))]),
        ];
        for (before, last, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(name, (revision, generation))| (*name, *revision, *generation)).collect();
            check_about(before, last, &expected);
        }
    }

    #[test]
    fn each_end_of_an_attempt_is_told_with_what_it_rests_on() {
        check("commit good, wait 6", "settle", &["proven: healthy (build passed for 4 s)"]);
        check("commit -?build, wait 3", "settle", &["proven: applied; no checks"]);
        check(
            "commit good, settle, build sick, settle, commit a=2, wait 3",
            "settle",
            &["proven: no check counted: build failed before"],
        );
        check("commit good, settle, commit a=2 unknown, wait 15", "settle", &["held: held-unproven"]);
        check("commit good, settle, commit a=2 unknown, settle, build well", "commit readme, settle", &[]);
        check("commit good, settle, commit a=2 bad, wait 22", "settle", &["rolled back except []"]);
        let by_hand = "commit @drift=report, settle, commit a=2 bad, wait 10, by hand a=9, wait 12";
        check(by_hand, "settle", &["rolled back except [\"a (was changed by hand, and drift is only reported here)\"]"]);
        let sick = "commit good, settle, build sick, wait 1, commit a=2, wait 22";
        check(sick, "settle", &["frozen", "head: waiting-frozen"]);
    }

    #[track_caller]
    fn check_outcomes(before: &str, last: &str, expected: &[Outcome]) {
        assert_eq!(outcomes(&step(before, last)).collect::<Vec<_>>(), expected, "{before}, {last}");
    }

    #[test]
    fn only_what_began_counts_as_an_attempt_that_ended() {
        check_outcomes("commit good, wait 6", "settle", &[Outcome::Proven]);
        check_outcomes("commit good, settle, by hand a=9", "settle", &[Outcome::Repaired]);
        check_outcomes("commit good, settle, commit a=2 bad, wait 22", "settle", &[Outcome::Proven]);
        check_outcomes("commit good, settle", "ask suspend, settle", &[]);
        check_outcomes("commit good, settle, snapshot, commit a=2, settle", "restore, wait 1", &[]);
    }

    #[test]
    fn a_proof_that_came_late_says_what_it_rests_on() {
        let held = "commit good ?other, settle, other sick, settle, commit a=2, build blind, settle";
        check(
            held,
            "build well, wait 4, tick, pass",
            &["proven: healthy (build passed for 4 s), not counting other (failed before)"],
        );
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
