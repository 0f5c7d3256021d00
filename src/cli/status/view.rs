//! The state of environments as it is printed; the structured form is version 1 and stable.

use std::collections::BTreeMap;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::output::{Page, Told, View};
use crate::cli::text::{self, clean, count, moment, when};
use crate::domain::name::EnvironmentName;
use crate::domain::report;
use crate::domain::revision::Revision;
use crate::domain::rollout::{Phase, Reached, Rollout};
use crate::domain::time::Timestamp;

/// So many rejections are shown to people.
const REJECTIONS: usize = 3;

/// First lines of commit messages, as far as the mirror has them.
pub(super) struct Subjects(pub(super) BTreeMap<Revision, String>);

/// Where environments stand.
#[derive(Serialize)]
pub(super) struct Statuses {
    pub(super) version: u32,
    pub(super) repository: String,
    pub(super) environments: Vec<Environment>,
    #[serde(skip)]
    pub(super) now: Timestamp,
}

/// A moment: its text for programs, itself for people.
#[derive(Debug, Clone, Copy)]
struct At(Timestamp);

impl Serialize for At {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&moment(self.0))
    }
}

/// Where one environment stands.
#[derive(Serialize)]
pub(super) struct Environment {
    #[serde(rename = "environment")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// A phase's word, `uninitialised`, `unreachable` or `failed`.
    pub(super) phase: &'static str,
    /// Who leads it now; `null`: nobody.
    pub(super) leader: Option<String>,
    /// All of it in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    headline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What would help, most important first; empty when nothing is asked of anybody.
    advice: Vec<String>,
    generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<RevisionView>,
    proven: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_good: Option<RevisionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<HeadView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<StopView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspension: Option<StopView>,
    rejected: Vec<RejectionView>,
    contested: Vec<ContestedView>,
    requests_waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Told>,
}

#[derive(Serialize)]
struct RevisionView {
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    generation: u32,
}

#[derive(Serialize)]
struct AttemptView {
    intent: &'static str,
    by: String,
    because: String,
    started: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<String>,
    except: Vec<String>,
}

#[derive(Serialize)]
struct HeadView {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    verdict: &'static str,
    text: String,
}

#[derive(Serialize)]
struct StopView {
    by: String,
    reason: String,
    at: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<At>,
}

#[derive(Serialize)]
struct RejectionView {
    revision: String,
    reason: String,
    at: At,
}

#[derive(Serialize)]
struct ContestedView {
    key: String,
    next_repair: At,
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
    /// From its record.
    pub(super) fn of(
        environment: &EnvironmentName,
        target: String,
        record: &Rollout,
        subjects: &Subjects,
        checks: Option<usize>,
        requests_waiting: usize,
    ) -> Self {
        let proven = record.goal.as_ref().is_some_and(|goal| {
            record.last_good.as_ref().is_some_and(|good| good.digest == goal.digest)
                && record.unproven.is_none()
                && !matches!(record.phase, Phase::Applying | Phase::Verifying | Phase::Frozen)
        });
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
        Self {
            name: environment.to_string(),
            target: Some(target),
            phase: record.phase.word(),
            leader: None,
            headline: Some(clean(&report::headline(record))),
            reason: Some(clean(&record.reason)).filter(|reason| !reason.is_empty()),
            advice: report::advice(record).iter().map(|line| clean(line)).collect(),
            generation: record.generation.number(),
            goal: record.goal.as_ref().map(|goal| RevisionView::of(goal, subjects)),
            proven,
            checks,
            last_good: record.last_good.as_ref().map(|good| RevisionView::of(good, subjects)),
            attempt,
            head: record.note.as_ref().map(|note| HeadView {
                revision: note.revision.map(|revision| revision.to_string()),
                subject: note.revision.and_then(|revision| subjects.0.get(&revision)).map(|subject| clean(subject)),
                verdict: note.verdict.word(),
                text: clean(&note.text),
            }),
            pin: record.pin.as_ref().map(|pin| StopView {
                by: clean(&pin.by),
                reason: clean(&pin.reason),
                at: At(pin.at),
                until: None,
            }),
            suspension: record.suspension.as_ref().map(|stop| StopView {
                by: clean(&stop.by),
                reason: clean(&stop.reason),
                at: At(stop.at),
                until: stop.until.map(At),
            }),
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
            contested: record
                .repairs
                .contested
                .iter()
                .map(|(key, fight)| ContestedView { key: key.to_string(), next_repair: At(fight.next) })
                .collect(),
            requests_waiting,
            error: None,
        }
    }

    /// Its target has no record.
    pub(super) fn uninitialised(environment: &EnvironmentName, target: String) -> Self {
        Self { target: Some(target), ..Self::empty(environment, "uninitialised") }
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
            goal: None,
            proven: false,
            checks: None,
            last_good: None,
            attempt: None,
            head: None,
            pin: None,
            suspension: None,
            rejected: Vec::new(),
            contested: Vec::new(),
            requests_waiting: 0,
            error: None,
        }
    }
}

impl View for Statuses {
    fn human(&self, page: &mut Page) {
        for (at, environment) in self.environments.iter().enumerate() {
            if at > 0 {
                page.line("");
            }
            environment.human(self.now, page);
        }
    }
}

/// The phase in the colour of how much it needs a person.
fn coloured(phase: &'static str) -> String {
    let style = match phase {
        "steady" => Style::new().green().bold(),
        "applying" | "verifying" | "idle" | "uninitialised" => Style::new().cyan().bold(),
        "held-after-rollback" | "held-unproven" | "held-refused" => Style::new().yellow().bold(),
        _ => Style::new().red().bold(),
    };
    format!("{}", phase.style(style))
}

fn quoted(revision: &str, subject: Option<&str>) -> String {
    match Revision::parse(revision) {
        Ok(revision) => text::revision(revision, subject),
        Err(_) => revision.to_owned(),
    }
}

impl Environment {
    fn human(&self, now: Timestamp, page: &mut Page) {
        page.line(format_args!("{}  {}", self.name.style(Style::new().bold()), coloured(self.phase)));
        if let Some(target) = &self.target {
            page.field("target", clean(target));
        }
        if let Some(leader) = &self.leader {
            page.field("leader", leader);
        }
        if let Some(error) = &self.error {
            error.human(page);
        }
        if self.phase == "uninitialised" {
            page.hint(&format!("`lockstep init {}` makes the first record; a directory makes its own", self.name));
        }
        if let Some(goal) = &self.goal {
            page.field("revision", quoted(&goal.revision, goal.subject.as_deref()));
            page.field("", self.standing(now));
        }
        if let Some(reason) = &self.reason {
            page.field("reason", reason);
        }
        for line in &self.advice {
            page.hint(line);
        }
        if let Some(good) = self.last_good.as_ref().filter(|_| !self.proven) {
            page.field("last good", quoted(&good.revision, good.subject.as_deref()));
        }
        self.head(page);
        self.last_attempt(page);
        for (word, stop) in [("pinned", &self.pin), ("suspended", &self.suspension)] {
            if let Some(StopView { by, reason, at, until }) = stop {
                let until = until.map_or_else(String::new, |until| format!(", until {}", when(until.0, now)));
                page.field(word, format_args!("by {by} at {}{until}: {reason}", when(at.0, now)));
            }
        }
        for RejectionView { revision, reason, at } in self.rejected.iter().take(REJECTIONS) {
            page.field("rejected", format_args!("{} {}: {reason}", quoted(revision, None), when(at.0, now)));
        }
        if self.rejected.len() > REJECTIONS {
            page.field("", format_args!("and {} more", self.rejected.len() - REJECTIONS));
        }
        for ContestedView { key, next_repair } in &self.contested {
            page.field("contested", format_args!("{key}, repaired next {}", when(next_repair.0, now)));
        }
        if self.requests_waiting > 0 {
            let waiting = count(self.requests_waiting, "request");
            page.field("waiting", format_args!("{waiting} without an answer: does a controller run?"));
        }
    }

    /// Since when, whether it is proven, by what.
    fn standing(&self, now: Timestamp) -> String {
        let proven = match (self.proven, self.checks) {
            (true, Some(0)) => "proven (no checks)",
            (true, _) => "proven",
            (false, Some(0)) => "not proven (no checks)",
            (false, _) => "not proven",
        };
        let since =
            self.attempt.as_ref().map_or_else(String::new, |attempt| format!(" since {}", when(attempt.started.0, now)));
        format!("{proven}, generation {}{since}", self.generation)
    }

    fn head(&self, page: &mut Page) {
        let Some(HeadView { revision, subject, verdict, text }) = &self.head else { return };
        let which = revision.as_deref().map_or_else(|| "none".to_owned(), |revision| quoted(revision, subject.as_deref()));
        page.field("head", format_args!("{which} is not followed ({verdict})"));
        page.field("", text);
    }

    /// What the last attempt came to, where that says more than the phase.
    fn last_attempt(&self, page: &mut Page) {
        let Some(AttemptView { intent, by, because, outcome, evidence, except, .. }) = &self.attempt else { return };
        let how = outcome.map_or_else(|| "under way".to_owned(), ToOwned::to_owned);
        page.field("attempt", format_args!("{intent} by {by}, {how}: {because}"));
        if let Some(evidence) = evidence.as_ref().filter(|text| !text.is_empty() && *text != because) {
            page.field("evidence", evidence);
        }
        for key in except {
            page.field("except", key);
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
        let view = Environment::of(name, String::new(), &record, &Subjects(BTreeMap::new()), None, 0);
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
