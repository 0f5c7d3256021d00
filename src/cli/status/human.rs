//! The state of environments as people read it: each thing that is to be known once, most important first.

use std::time::Duration;

use owo_colors::{OwoColorize as _, Style};

use super::people::{PermitView, StopView};
use super::view::{
    AttemptView, ContestedView, DriftView, DriftedView, Environment, HeadView, IN_STEP, NOT_JUDGED, RejectionView,
    RevisionView, Statuses, VerifyingView,
};
use crate::cli::output::{Page, View};
use crate::cli::text::{self, clean, count, rough, when};
use crate::domain::plan::Intent;
use crate::domain::revision::Revision;
use crate::domain::rollout::{HeadVerdict, Phase};
use crate::domain::time::Timestamp;

/// So many rejections are shown.
const REJECTIONS: usize = 3;

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

/// What one environment was said already.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    /// The text behind a colon, unless it was said before, as a whole or within something longer.
    fn because(&mut self, text: &str) -> String {
        if self.once(text) { format!(": {text}") } else { String::new() }
    }

    /// Whether the text is new; from now on it is not.
    fn once(&mut self, text: &str) -> bool {
        let part_of_a_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let holds = |said: &String| {
            said.match_indices(text).any(|(at, found)| {
                let (before, after) = (&said[..at], &said[at + found.len()..]);
                !part_of_a_word(before.chars().next_back()) && !part_of_a_word(after.chars().next())
            })
        };
        let new = !text.is_empty() && !self.0.iter().any(holds);
        if new {
            self.0.push(text.to_owned());
        }
        new
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
        let stopped =
            if self.suspension.is_some() { ", suspended".style(Style::new().yellow()).to_string() } else { String::new() };
        let retired = if self.is_retired() { ", retired".style(Style::new().yellow()).to_string() } else { String::new() };
        page.line(format_args!("{}  {}{retired}{stopped}", self.name.style(Style::new().bold()), coloured(self.phase)));
        if let Some(target) = &self.target {
            page.field("target", clean(target));
        }
        self.leader(page);
        if let Some(error) = &self.error {
            error.human(page);
        }
        if self.phase == "uninitialised" {
            page.hint(&if self.makes_its_record {
                format!("the first deploy makes its record: `lockstep run`, or `lockstep apply --once {}`", self.name)
            } else {
                format!("`lockstep init {}` makes the first record", self.name)
            });
        }
        let mut said = Said::default();
        // As evidence of a proof it says nothing that "proven" does not.
        said.once("healthy");
        self.place(now, &mut said, page);
        if let Some(reason) = self.reason.as_ref().filter(|reason| said.once(reason)) {
            page.field("reason", reason);
        }
        for line in self.advice.iter().filter(|line| self.waits.as_ref() != Some(*line)) {
            page.hint(line);
        }
        let here = |good: &&RevisionView| self.goal.as_ref().is_some_and(|goal| goal.revision == good.revision);
        if let Some(good) = self.last_good.as_ref().filter(|good| !self.proven && !here(good)) {
            page.field("last good", quoted(&good.revision, good.subject.as_deref()));
        }
        self.head(&mut said, page);
        for text in self.misread.iter().filter(|text| said.once(text)) {
            page.field("trailer", text.style(Style::new().yellow()));
        }
        self.last_attempt(&mut said, page);
        for (word, stop) in [("pinned", &self.pin), ("suspended", &self.suspension)] {
            if let Some(StopView { by, reason, at, until }) = stop {
                let until = until.map_or_else(String::new, |until| format!(", until {}", when(until.0, now)));
                page.field(word, format_args!("by {by} at {}{until}{}", when(at.0, now), said.because(reason)));
            }
        }
        if let Some(PermitView { deletes, every_gate, adopts, texts, revision: _ }) = &self.permit {
            let (deletes, every) = (deletes.iter().map(|deletes| deletes.at), every_gate.iter().map(|grant| grant.at));
            let times = deletes.chain(every).chain(adopts.iter().map(|adoption| adoption.at));
            for (text, at) in texts.iter().zip(times) {
                page.field("allowed", format_args!("{text} at {}", when(at.0, now)));
            }
        }
        self.rejections(now, &mut said, page);
        for ContestedView { key, ours, theirs, repairs, last_repair, next_repair } in &self.contested {
            let digest =
                |digest: &Option<String>| digest.as_ref().map_or("none", |digest| digest.get(..8).unwrap_or(digest)).to_owned();
            let values = match (ours, theirs) {
                // A key that neither side wants is not fought over, so there is something to hide.
                (None, None) => "its value is sensitive".to_owned(),
                (ours, theirs) => format!("sha256 of ours {}, of theirs {}", digest(ours), digest(theirs)),
            };
            page.field("contested", format_args!("{key}: {values}"));
            let last = last_repair.map_or_else(String::new, |last| format!(", last at {}", when(last.0, now)));
            let again = if self.suspension.is_some() {
                "not repaired while it is suspended".to_owned()
            } else if next_repair.0 > now {
                format!("not repaired again before {}", when(next_repair.0, now))
            } else {
                "changed again, it is repaired at once".to_owned()
            };
            page.field("", format_args!("repaired {} in the last 10 minutes{last}; {again}", count(*repairs, "time")));
        }
        if let Some(DriftView { keys, text, named, at: _ }) = &self.drift {
            page.field("drift", text);
            for DriftedView { key, text, .. } in named {
                page.field("", format_args!("{key}: {text}"));
            }
            let more = usize::try_from(*keys).unwrap_or(usize::MAX).saturating_sub(named.len());
            if more > 0 {
                page.field("", format_args!("and {more} more: `lockstep plan {}` shows them all", self.name));
            }
        }
        if self.requests_waiting > 0 {
            let waiting = count(self.requests_waiting, "request");
            page.field("waiting", format_args!("{waiting} without an answer: does a controller run?"));
        }
    }

    /// Who leads it, or what nobody does therefore.
    fn leader(&self, page: &mut Page) {
        match &self.leader {
            Some(leader) => page.field("leader", leader),
            None if self.is_read && self.is_retired() && !self.is_under_way() => page.field(
                "leader",
                format_args!(
                    "none: a retired environment needs none; `lockstep env remove {0}` takes it out of its target, a commit that has \
                     environments/{0} again brings it back",
                    self.name
                ),
            ),
            None if self.is_read => page.field(
                "leader",
                format_args!(
                    "{}: no controller keeps this environment, and nobody looks for drift; start `lockstep run`, or `lockstep apply --once {}`",
                    "none".style(Style::new().yellow()),
                    self.name
                ),
            ),
            None => {}
        }
    }

    /// The branch head does not have it (rule O9).
    fn is_retired(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.verdict == HeadVerdict::Retired.word())
    }

    /// It is being written or judged, which somebody has to bring to its end also when it is retired.
    fn is_under_way(&self) -> bool {
        [Phase::Applying, Phase::Verifying].map(Phase::word).contains(&self.phase)
    }

    /// Where it is, what comes next, and what it needs to be proven.
    fn place(&self, now: Timestamp, said: &mut Said, page: &mut Page) {
        if let Some(waits) = &self.waits {
            page.field("live", self.live());
            page.field("next", waits);
            said.once(waits);
        } else if let Some(goal) = &self.goal {
            page.field("revision", quoted(&goal.revision, goal.subject.as_deref()));
            page.field("", self.standing(now));
            said.once(goal.subject.as_deref().unwrap_or_default());
            if self.live.is_some() {
                page.field("live", self.live());
            }
        }
        if let Some(VerifyingView { healthy_seconds, deadline, since: _ }) = &self.verifying {
            let what = if self.checks == Some(0) { "for having been live" } else { "for every check to pass" };
            let time = rough(Duration::from_secs_f64(*healthy_seconds));
            let (when, ahead) = (when(deadline.0, now), deadline.0 > now);
            let until = if ahead { format!(", by {when} at the latest") } else { format!("; the deadline was {when}") };
            page.field("waits", format_args!("{what} for {time}{until}"));
        }
    }

    /// What is live where that is not the goal, or not wholly.
    fn live(&self) -> String {
        let named = |view: &RevisionView| quoted(&view.revision, view.subject.as_deref());
        let whole = self.live.as_ref().map(|live| format!("{}, generation {}", named(live), live.generation));
        let partly = self.partly.as_ref().map(|partly| format!("what was written of {}", named(partly)));
        let both: Vec<String> = whole.into_iter().chain(partly).collect();
        if both.is_empty() { "nothing".to_owned() } else { both.join(", and ") }
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

    fn head(&self, said: &mut Said, page: &mut Page) {
        let Some(HeadView { revision, subject, verdict, unchanged_since, text, hint }) = &self.head else { return };
        let which = revision.as_deref().map_or_else(|| "none".to_owned(), |revision| quoted(revision, subject.as_deref()));
        let since = unchanged_since.as_deref().map(|since| quoted(since, None));
        match (*verdict, since) {
            (IN_STEP, None) => return page.field("head", text),
            (IN_STEP, Some(since)) => {
                return page.field("head", format_args!("in step with {which}, unchanged since {since}"));
            }
            (NOT_JUDGED, _) => page.field("head", &which),
            _ if revision.is_none() => page.field("head", "there is none to follow"),
            _ => page.field("head", format_args!("{which} is not followed ({verdict})")),
        }
        // What a freeze waits for stands above.
        let is_said = *verdict == HeadVerdict::Frozen.word() && !self.advice.is_empty();
        if said.once(text) && !is_said {
            page.field("", text);
        }
        if let Some(hint) = hint {
            page.hint(hint);
        }
    }

    /// What the last attempt came to, where that says more than the phase.
    fn last_attempt(&self, said: &mut Said, page: &mut Page) {
        let Some(AttemptView { intent, by, because, outcome, evidence, except, .. }) = &self.attempt else { return };
        let how = outcome.unwrap_or(if self.waits.is_some() { "not begun" } else { "under way" });
        // Why an environment that is well by now was taken back once is in `history`.
        let is_past = *intent == Intent::RollBack.word() && self.phase == Phase::Steady.word() && self.proven;
        let because = if is_past { String::new() } else { said.because(because) };
        page.field("attempt", format_args!("{intent} by {by}, {how}{because}"));
        if let Some(evidence) = evidence.as_ref().filter(|evidence| said.once(evidence)) {
            page.field("evidence", evidence);
        }
        for key in except.iter().filter(|key| said.once(key)) {
            page.field("except", key);
        }
    }

    /// Of an environment that is steady they are the past: `history` has them.
    fn rejections(&self, now: Timestamp, said: &mut Said, page: &mut Page) {
        if self.phase == Phase::Steady.word() {
            return;
        }
        for RejectionView { revision, reason, at } in self.rejected.iter().take(REJECTIONS) {
            page.field("rejected", format_args!("{} at {}{}", quoted(revision, None), when(at.0, now), said.because(reason)));
        }
        if self.rejected.len() > REJECTIONS {
            page.field("", format_args!("and {} more", self.rejected.len() - REJECTIONS));
        }
    }
}

#[cfg(test)]
mod tests;
