//! The state of environments as it is printed; the structured form is version 1 and stable.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::people::{PermitView, StopView};
use crate::cli::output::Told;
use crate::cli::text::{At, clean, moment};
use crate::domain::desired::DesiredState;
use crate::domain::environment::DriftPolicy;
use crate::domain::name::EnvironmentName;
use crate::domain::report;
use crate::domain::revision::Revision;
use crate::domain::rollout::{Drift, Phase, Reached, RepairLog, Rollout};
use crate::domain::time::Timestamp;

/// First lines of commit messages, as far as the mirror has them.
pub(super) struct Subjects(pub(super) BTreeMap<Revision, String>);

/// How the goal is judged, as far as the mirror has it.
pub(super) struct Rules {
    pub(super) checks: usize,
    pub(super) min_healthy_time: Duration,
    pub(super) healthy_deadline: Duration,
    pub(super) drift: DriftPolicy,
}

impl From<&DesiredState> for Rules {
    fn from(desired: &DesiredState) -> Self {
        let policy = &desired.environment().policy;
        Self {
            checks: desired.checks().len(),
            min_healthy_time: policy.rollout.min_healthy_time,
            healthy_deadline: policy.rollout.healthy_deadline,
            drift: policy.drift,
        }
    }
}

/// Where environments stand.
#[derive(Serialize)]
pub(super) struct Statuses {
    pub(super) version: u32,
    pub(super) repository: String,
    pub(super) environments: Vec<Environment>,
    #[serde(skip)]
    pub(super) now: Timestamp,
}

/// Where one environment stands.
#[derive(Serialize)]
pub(super) struct Environment {
    #[serde(rename = "environment")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    /// A phase's word, `uninitialised`, `unreachable` or `failed`.
    pub(super) phase: &'static str,
    /// Who leads it now; `null`: nobody.
    pub(super) leader: Option<String>,
    /// All of it in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) headline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// What would help, most important first; empty when nothing is asked of anybody.
    pub(super) advice: Vec<String>,
    /// The one that wrote the goal; 0 before the first deploy.
    pub(super) generation: u32,
    /// The highest given out here: attempts, repairs and people's decisions take one each.
    pub(super) last_generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) goal: Option<RevisionView>,
    /// The revision last applied completely, where it is not the goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<RevisionView>,
    /// The revision that some of its keys may have come to instead: one that was being written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partly: Option<RevisionView>,
    /// A rollback that is not begun, and what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits: Option<String>,
    /// What the goal is being judged by, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verifying: Option<VerifyingView>,
    pub(super) proven: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_good: Option<RevisionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<AttemptView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) head: Option<HeadView>,
    /// Trailers of the head, and of what leads to it, that say nothing: each with why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) misread: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pin: Option<StopView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suspension: Option<StopView>,
    /// What people let the head do, until it does it or another head comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) permit: Option<PermitView>,
    pub(super) rejected: Vec<RejectionView>,
    pub(super) contested: Vec<ContestedView>,
    /// Keys that differ from the goal and are left so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drift: Option<DriftView>,
    pub(super) requests_waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Told>,
    /// It has a record, and that was read: who leads is known.
    #[serde(skip)]
    pub(super) is_read: bool,
    /// Its first deploy makes the record that it lacks.
    #[serde(skip)]
    pub(super) makes_its_record: bool,
}

#[derive(Serialize)]
pub(super) struct RevisionView {
    pub(super) revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    pub(super) generation: u32,
}

/// What a goal needs to be proven. Which checks don't pass yet is the reason.
#[derive(Serialize)]
pub(super) struct VerifyingView {
    /// When it was applied.
    pub(super) since: At,
    /// How long every check has to pass without a break, in seconds.
    pub(super) healthy_seconds: f64,
    /// When what fails then is enough to reject it. A controller that takes over may give it more time.
    pub(super) deadline: At,
}

impl VerifyingView {
    fn of(record: &Rollout, rules: &Rules) -> Option<Self> {
        let since = record.attempt.as_ref().filter(|_| record.phase == Phase::Verifying)?.applied?;
        let healthy_seconds = rules.min_healthy_time.as_secs_f64();
        Some(Self { since: At(since), healthy_seconds, deadline: At(since + rules.healthy_deadline) })
    }
}

#[derive(Serialize)]
pub(super) struct AttemptView {
    pub(super) intent: &'static str,
    pub(super) by: String,
    pub(super) because: String,
    pub(super) started: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<String>,
    pub(super) except: Vec<String>,
}

/// The verdict on a head that changes nothing.
pub(super) const IN_STEP: &str = "in-step";
/// The one on a head that no pass has seen.
pub(super) const NOT_JUDGED: &str = "not-judged";

/// The branch head: why it is not followed, or that it is.
#[derive(Serialize)]
pub(super) struct HeadView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    pub(super) verdict: &'static str,
    /// The revision that says the same for this environment, where that is an older one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unchanged_since: Option<String>,
    pub(super) text: String,
    /// What shows all of it, where the text is the first of many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

#[derive(Serialize)]
pub(super) struct RejectionView {
    pub(super) revision: String,
    pub(super) reason: String,
    pub(super) at: At,
}

#[derive(Serialize)]
pub(super) struct ContestedView {
    pub(super) key: String,
    /// The digest that it should have; absent when it should not be there, or is sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ours: Option<String>,
    /// The digest that somebody else gave it last; absent when it was deleted, or is sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) theirs: Option<String>,
    /// How often it was repaired in the last ten minutes.
    pub(super) repairs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_repair: Option<At>,
    /// Changed again, it is not repaired before this moment.
    pub(super) next_repair: At,
}

#[derive(Serialize)]
pub(super) struct DriftView {
    pub(super) keys: u32,
    /// How many and why, in words.
    pub(super) text: String,
    /// The first of them.
    pub(super) named: Vec<DriftedView>,
    /// When they were found so. A value that changes again and again is told anew after a minute.
    pub(super) at: String,
}

#[derive(Serialize)]
pub(super) struct DriftedView {
    pub(super) key: String,
    pub(super) how: &'static str,
    /// The digest that it should have; absent when it should not be there, or is sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wanted: Option<String>,
    /// The digest that it has; absent when it was deleted, or is sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<String>,
    #[serde(skip)]
    pub(super) text: String,
}

impl DriftView {
    fn of(record: &Rollout, policy: Option<DriftPolicy>) -> Option<Self> {
        let text = report::drifted_under(record, policy)?;
        let Drift { keys, named, at } = &record.drift;
        let named = named.iter().map(|(key, sides)| DriftedView {
            key: key.to_string(),
            how: sides.how.word(),
            wanted: sides.wanted.map(|digest| digest.to_string()),
            live: sides.live.map(|digest| digest.to_string()),
            text: sides.said(),
        });
        Some(Self { keys: *keys, text, named: named.collect(), at: moment(*at) })
    }
}

impl ContestedView {
    /// Fights that go on: those of more than ten minutes ago are over.
    fn of(record: &Rollout, now: Timestamp) -> Vec<Self> {
        let RepairLog { contested, .. } = &record.repairs;
        let views = contested.iter().map(|(key, fight)| {
            let mut repairs = record.repairs.lately(key, now);
            let last = repairs.next_back();
            Self {
                key: key.to_string(),
                ours: fight.ours.map(|digest| digest.to_string()),
                theirs: fight.theirs.map(|digest| digest.to_string()),
                repairs: repairs.count() + usize::from(last.is_some()),
                last_repair: last.map(At),
                next_repair: At(fight.next),
            }
        });
        views.filter(|view| view.repairs > 0 || view.next_repair.0 > now).collect()
    }
}

impl HeadView {
    /// There is none, and why; nobody has judged that yet.
    pub(super) fn none(why: String) -> Self {
        Self { revision: None, subject: None, verdict: NOT_JUDGED, unchanged_since: None, text: why, hint: None }
    }

    /// A head that says what the environment's revision says, or that nobody has judged yet.
    pub(super) fn followed(
        head: Revision,
        subject: Option<String>,
        in_step_with: Option<Revision>,
        environment: &EnvironmentName,
        under_way: Option<&str>,
    ) -> Self {
        let unchanged_since = in_step_with.filter(|goal| *goal != head).map(|goal| goal.to_string());
        let (verdict, text, hint) = match (in_step_with, under_way) {
            (Some(goal), _) if goal == head => (IN_STEP, format!("in step with {}", head.short()), None),
            (Some(goal), _) => (IN_STEP, format!("in step with {}, unchanged since {}", head.short(), goal.short()), None),
            (None, Some(what)) => (NOT_JUDGED, what.to_owned(), None),
            (None, None) => (
                NOT_JUDGED,
                "nothing of it is written yet".to_owned(),
                Some(format!(
                    "`lockstep plan {environment}` shows what it would change, the controller's log what it waits for"
                )),
            ),
        };
        let subject = subject.map(|subject| clean(&subject));
        Self { revision: Some(head.to_string()), subject, verdict, unchanged_since, text, hint }
    }
}

impl RevisionView {
    fn of(reached: &Reached, subjects: &Subjects) -> Self {
        Self {
            revision: reached.revision.to_string(),
            subject: subjects.0.get(&reached.revision).map(|subject| clean(subject)),
            generation: reached.generation.number(),
        }
    }
}

impl Environment {
    /// From its record as it holds now.
    pub(super) fn of(
        environment: &EnvironmentName,
        target: String,
        record: &Rollout,
        subjects: &Subjects,
        rules: Option<&Rules>,
        requests_waiting: usize,
        now: Timestamp,
    ) -> Self {
        let proven = record.is_on_proven();
        let attempt = record.attempt.as_ref().map(|attempt| {
            let line = &attempt.line;
            AttemptView {
                intent: line.intent.word(),
                by: clean(&line.by),
                because: clean(&line.because),
                started: At(line.started),
                closed: line.closed.as_ref().map(|closed| At(closed.at)),
                outcome: line.closed.as_ref().map(|closed| closed.outcome.word()),
                evidence: line.closed.as_ref().map(|closed| clean(&closed.text)),
                except: attempt.except.iter().map(|text| clean(text)).collect(),
            }
        });
        let goal = record.goal.as_ref().map(|goal| goal.generation);
        let live =
            record.complete.as_ref().filter(|complete| Some(complete.generation) != goal && record.being_written().is_some());
        Self {
            name: environment.to_string(),
            target: Some(target),
            phase: record.phase.word(),
            leader: None,
            headline: Some(clean(&report::headline(record))),
            reason: Some(clean(&record.reason)).filter(|reason| !reason.is_empty()),
            advice: report::advice(record).iter().map(|line| clean(line)).collect(),
            generation: record.goal.as_ref().map_or(0, |goal| goal.generation.number()),
            last_generation: record.generation.number(),
            live: live.map(|live| RevisionView::of(live, subjects)),
            partly: record.partly_written().map(|partly| RevisionView::of(partly, subjects)),
            waits: report::waits(record).map(|text| clean(&text)),
            verifying: rules.and_then(|rules| VerifyingView::of(record, rules)),
            goal: record.goal.as_ref().map(|goal| RevisionView::of(goal, subjects)),
            proven,
            checks: rules.map(|rules| rules.checks),
            last_good: record.last_good.as_ref().map(|good| RevisionView::of(good, subjects)),
            attempt,
            head: record.note.as_ref().map(|note| HeadView {
                revision: note.revision.map(|revision| revision.to_string()),
                subject: note.revision.and_then(|revision| subjects.0.get(&revision)).map(|subject| clean(subject)),
                verdict: note.verdict.word(),
                unchanged_since: None,
                text: clean(&note.text),
                hint: None,
            }),
            misread: Vec::new(),
            pin: record.pin.as_ref().map(StopView::from),
            suspension: record.suspension.as_ref().map(StopView::from),
            permit: PermitView::of(record),
            rejected: record
                .rejected
                .iter()
                .rev()
                .map(|rejection| RejectionView {
                    revision: rejection.revision.to_string(),
                    reason: clean(&rejection.reason),
                    at: At(rejection.at),
                })
                .collect(),
            contested: ContestedView::of(record, now),
            drift: DriftView::of(record, rules.map(|rules| rules.drift)),
            requests_waiting,
            error: None,
            is_read: true,
            makes_its_record: false,
        }
    }

    /// Its target has no record, and may be of a kind whose first deploy makes it.
    pub(super) fn uninitialised(environment: &EnvironmentName, target: String, makes_its_record: bool) -> Self {
        Self { target: Some(target), makes_its_record, ..Self::empty(environment, "uninitialised") }
    }

    /// It could not be read.
    pub(super) fn failed(environment: &EnvironmentName, error: Told, unreachable: bool) -> Self {
        Self { error: Some(error), ..Self::empty(environment, if unreachable { "unreachable" } else { "failed" }) }
    }

    fn empty(environment: &EnvironmentName, phase: &'static str) -> Self {
        Self {
            name: environment.to_string(),
            target: None,
            phase,
            leader: None,
            headline: None,
            reason: None,
            advice: Vec::new(),
            generation: 0,
            last_generation: 0,
            goal: None,
            live: None,
            partly: None,
            waits: None,
            verifying: None,
            proven: false,
            checks: None,
            last_good: None,
            attempt: None,
            head: None,
            misread: Vec::new(),
            pin: None,
            suspension: None,
            permit: None,
            rejected: Vec::new(),
            contested: Vec::new(),
            drift: None,
            requests_waiting: 0,
            error: None,
            is_read: false,
            makes_its_record: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::Unproven;
    use crate::domain::rollout::tests::rollout_after;

    #[track_caller]
    fn check(sentence: &str, expected: (Phase, Option<Unproven>), proven: bool) {
        let record = rollout_after(sentence);
        let name = &record.identity.environment;
        let view =
            Environment::of(name, String::new(), &record, &Subjects(BTreeMap::new()), None, 0, Timestamp::from_millis(0));
        assert_eq!((record.phase, record.unproven), expected);
        assert_eq!(view.proven, proven, "{sentence}");
    }

    #[test]
    fn last_good_is_proven_only_while_it_is_wholly_there_and_well() {
        check("commit good, settle", (Phase::Steady, None), true);
        check(
            "commit @drift=report, settle, commit a=2 bad, wait 10, by hand a=9, settle",
            (Phase::HeldUnproven, Some(Unproven::Except)),
            false,
        );
        check("commit good, settle, build sick, wait 1, commit a=2, settle", (Phase::Frozen, None), false);
    }
}
