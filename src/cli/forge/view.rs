//! What `forge check` found, one line for each thing.

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::error::Exit;
use crate::cli::output::{Page, VERSION, View};
use crate::cli::text::clean;
use crate::port::{EdgeError, EdgeKind};

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It works.
    Works,
    /// It does not.
    Fails,
    /// Nobody can tell without doing more.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    check: &'static str,
    outcome: Outcome,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Line {
    pub(super) fn works(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Works, text: text.into(), hint: None }
    }

    pub(super) fn fails(check: &'static str, text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fails, ..Self::works(check, text) }
    }

    pub(super) fn unknown(check: &'static str, text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unknown, ..Self::works(check, text) }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// A call that failed.
    pub(super) fn failed(check: &'static str, error: EdgeError) -> Self {
        let text = error.chain();
        let text = text.strip_prefix(error.system).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text).to_owned();
        Self { hint: error.hint, ..Self::fails(check, text) }
    }
}

/// The whole screen.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    version: u32,
    forge: String,
    checks: Vec<Line>,
    /// Something did not answer at all.
    #[serde(skip)]
    unreachable: bool,
}

impl Found {
    pub(super) fn of(forge: String) -> Self {
        Self { version: VERSION, forge, checks: Vec::new(), unreachable: false }
    }

    pub(super) fn add(&mut self, line: Line) {
        self.checks.push(line);
    }

    /// The answer of a call, or none and a line that says why.
    pub(super) fn take<T>(&mut self, check: &'static str, outcome: Result<T, EdgeError>) -> Option<T> {
        outcome
            .map_err(|error| {
                self.unreachable |= error.kind == EdgeKind::Transient && error.asked_to_wait().is_none();
                self.add(Line::failed(check, error));
            })
            .ok()
    }

    pub(super) fn exit(&self) -> Exit {
        if self.unreachable {
            return Exit::Unreachable;
        }
        if self.checks.iter().any(|line| line.outcome == Outcome::Fails) { Exit::Failed } else { Exit::Ok }
    }
}

impl View for Found {
    fn human(&self, page: &mut Page) {
        page.line(clean(&self.forge));
        for Line { check, outcome, text, hint } in &self.checks {
            let text = clean(text);
            let name = format!("{check:<16}");
            match outcome {
                Outcome::Works => page.line(format_args!("  {} {name} {text}", "✓".style(Style::new().green()))),
                Outcome::Fails => page.line(format_args!("  {} {name} does not work: {text}", "✗".style(Style::new().red()))),
                Outcome::Unknown => page.line(format_args!("  {} {name} not known: {text}", "?".style(Style::new().yellow()))),
            }
            if let Some(hint) = hint {
                page.hint(hint);
            }
        }
        let (fails, unknown) = (self.count(Outcome::Fails), self.count(Outcome::Unknown));
        let not_known = if unknown == 0 { String::new() } else { format!(", {unknown} not known") };
        match fails {
            0 => page.line(format_args!("all that was tried works{not_known}")),
            1 => page.line(format_args!("1 thing does not work{not_known}")),
            _ => page.line(format_args!("{fails} things do not work{not_known}")),
        }
    }
}

impl Found {
    fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|line| line.outcome == outcome).count()
    }
}
