//! How an apply ended, for people and for programs.

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::output::{Page, Told, View};
use crate::cli::text::{clean, count, moment};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::report;
use crate::domain::rollout::{Answer, HeadVerdict, Phase, Rollout};
use crate::domain::time::Timestamp;

/// So many keys that were left are shown; structured output has all.
const SHOWN: usize = 10;

/// Where an environment came to.
pub(super) struct Came {
    /// Its record.
    pub(super) record: Rollout,
    /// Nobody has judged the branch head yet.
    pub(super) behind: bool,
    /// What became of `--overwrite-drift`.
    pub(super) answer: Option<Answer>,
    /// Keys that differ although drift was to be overwritten.
    pub(super) left: Vec<Left>,
}

/// A key that stays as it is, and why.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Left {
    key: String,
    why: String,
}

impl Left {
    pub(super) fn new(key: &KeyPath, why: &str) -> Self {
        Self { key: key.to_string(), why: clean(why) }
    }
}

#[derive(Serialize)]
pub(super) struct Ends {
    pub(super) version: u32,
    pub(super) environments: Vec<End>,
}

/// A suspension that holds.
#[derive(Serialize)]
struct Stop {
    by: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// What became of `--overwrite-drift`.
#[derive(Serialize)]
struct Overwriting {
    request: String,
    accepted: bool,
    /// Whether anything was done: false also where nothing had drifted.
    changed: bool,
    text: String,
    /// Keys that differ all the same.
    left: Vec<Left>,
}

/// How one environment ended.
#[derive(Serialize)]
pub(super) struct End {
    environment: String,
    /// On the branch head, and proven; with `--overwrite-drift` without a key that differs.
    pub(super) in_step: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    /// The branch head does not have it: nothing of it is written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspension: Option<Stop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overwrite_drift: Option<Overwriting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Told>,
}

impl End {
    pub(super) fn of(environment: &EnvironmentName, came: &Came, now: Timestamp) -> Self {
        let Came { record, behind, answer, left } = came;
        let suspension = record.suspension.as_ref().filter(|_| record.is_suspended(now));
        let stays = left.is_empty() && (suspension.is_none() || record.drift.keys == 0);
        let is_done = answer.as_ref().is_none_or(|answer| answer.accepted) && stays;
        let in_step = record.phase == Phase::Steady && record.note.is_none() && !behind && is_done;
        Self {
            environment: environment.to_string(),
            in_step,
            phase: Some(record.phase.word()),
            retired: record.note.as_ref().is_some_and(|note| note.verdict == HeadVerdict::Retired),
            revision: record.stands_on().map(|reached| reached.revision.to_string()),
            generation: record.stands_on().map_or(record.generation, |reached| reached.generation).number(),
            reason: if suspension.is_some() { stopped(record) } else { reason(record, in_step) },
            suspension: suspension.map(|stop| Stop {
                by: clean(&stop.by),
                reason: clean(&stop.reason),
                until: stop.until.map(moment),
            }),
            overwrite_drift: answer.as_ref().map(|answer| Overwriting {
                request: answer.id.to_string(),
                accepted: answer.accepted,
                changed: answer.changed,
                text: clean(&answer.text),
                left: left.clone(),
            }),
            error: None,
        }
    }

    pub(super) fn failed(environment: &EnvironmentName, error: Told) -> Self {
        Self {
            environment: environment.to_string(),
            in_step: false,
            phase: None,
            retired: false,
            revision: None,
            generation: 0,
            reason: None,
            suspension: None,
            overwrite_drift: None,
            error: Some(error),
        }
    }
}

/// What a suspension keeps from going on.
fn stopped(record: &Rollout) -> Option<String> {
    let stops = record.suspension.as_ref()?.stops(&record.identity.environment);
    let half_way = record.partly_written().map(|_| "some keys may be written already".to_owned());
    let note = record.note.as_ref().filter(|note| note.verdict != HeadVerdict::Suspended).map(|note| note.text.clone());
    let reason = Some(record.reason.clone()).filter(|reason| !reason.is_empty());
    let texts = [Some(stops), report::waits(record), half_way, note, reason, report::drifted(record)].into_iter().flatten();
    let texts: Vec<String> = texts.collect();
    Some(clean(&texts.join("; ")))
}

/// Why the head is not followed, which is what the caller asked; what else ails the environment comes after it.
fn reason(record: &Rollout, in_step: bool) -> Option<String> {
    let note = record.note.as_ref().map(|note| note.text.as_str());
    let evidence = record.attempt.as_ref().and_then(|attempt| attempt.line.closed.as_ref()).map(|closed| closed.text.as_str());
    let drifted = report::drifted(record);
    let texts =
        [note, Some(record.reason.as_str()), drifted.as_deref(), evidence.filter(|text| !in_step || *text != "healthy")];
    let mut texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
    // How a freeze ends says nothing of why it is frozen.
    let frozen = Some(&record.reason).filter(|reason| record.phase == Phase::Frozen && !reason.is_empty());
    match (frozen, texts.next()) {
        (Some(why), Some(text)) if why != text => Some(clean(&format!("{why}; {text}"))),
        (_, text) => text.map(clean),
    }
}

impl View for Ends {
    fn human(&self, page: &mut Page) {
        for end in &self.environments {
            let End { environment, in_step, phase, retired, revision, generation, reason, overwrite_drift, error, .. } = end;
            let name = environment.style(Style::new().bold()).to_string();
            if let Some(error) = error {
                page.line(format_args!("{name}  failed"));
                error.human(page);
                continue;
            }
            let phase = phase.unwrap_or_default();
            let phase = if *in_step { phase.style(Style::new().green()) } else { phase.style(Style::new().yellow()) };
            let at = revision.as_deref().and_then(|revision| revision.get(..7)).unwrap_or("nothing");
            let retired_too = if *retired { "retired, ".style(Style::new().yellow()).to_string() } else { String::new() };
            page.line(format_args!("{name}  {retired_too}{phase} on {at}, generation {generation}"));
            if let Some(reason) = reason {
                page.line(format_args!("  {reason}"));
            }
            if let Some(overwriting) = overwrite_drift {
                overwriting.human(page);
            }
            if *retired {
                page.hint(&format!(
                    "`lockstep env remove {environment}` takes it out of its target; a commit that has environments/{environment} again \
                     brings it back"
                ));
            }
        }
    }
}

impl Overwriting {
    fn human(&self, page: &mut Page) {
        let Self { accepted, text, left, .. } = self;
        page.line(format_args!("  overwrite-drift: {}{text}", if *accepted { "" } else { "refused: " }));
        for Left { key, why } in left.iter().take(SHOWN) {
            page.line(format_args!("  {key} is left: {why}"));
        }
        if left.len() > SHOWN {
            page.line(format_args!("  and {} more are left", count(left.len() - SHOWN, "key")));
        }
    }
}
