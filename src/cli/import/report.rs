//! What an import says in the end: what is equal, what is missing and why, and what comes next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::listed::listed;
use super::parity::Parity;
use super::write::Written;
use crate::cli::error::Exit;
use crate::cli::output::{Page, VERSION, View};
use crate::cli::text::{clean, count};
use crate::domain::import::{LeftOut, Legacy, Reason, Told};
use crate::domain::name::EnvironmentName;

/// The report.
#[derive(Serialize)]
pub(super) struct Report {
    version: u32,
    environment: String,
    source: String,
    into: String,
    files: usize,
    /// Keys that were found.
    found: usize,
    /// Keys that read back with the bytes that were found.
    equal: usize,
    /// Keys that don't; there should be none.
    differing: Vec<String>,
    left_out: Vec<NotTaken>,
    /// Keys that `--leave-out` named.
    asked_out: usize,
    look_like_secrets: Vec<String>,
    /// The token may not surely read everything.
    #[serde(rename = "partial")]
    pub(super) is_partial: bool,
    /// What the other tool spoils, changes and does besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Tool>,
    /// The keys as the repository has them against what is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parity: Option<Parity>,
}

#[derive(Serialize)]
struct Tool {
    /// Taken as they were meant.
    repaired: Vec<ToldKey>,
    /// Taken as the tool writes them, which is not what the file has.
    converted: Vec<ToldKey>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct ToldKey {
    key: String,
    file: String,
    why: String,
}

#[derive(Serialize)]
struct NotTaken {
    key: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    why: String,
    advice: String,
    /// It carries a mark, which `init` asks about.
    #[serde(skip)]
    is_marked: bool,
}

impl Report {
    pub(super) fn new(
        environment: &EnvironmentName,
        source: String,
        into: &Path,
        found: usize,
        asked_out: usize,
        written: Written,
    ) -> Self {
        let Written { files, compared, left_out, secrets } = written;
        let differing = [compared.differing, compared.only_found, compared.only_repository].concat();
        let not_taken = |LeftOut { key, reason }: LeftOut| NotTaken {
            kind: reason.word(),
            file: reason.file().map(clean),
            why: clean(&reason.why()),
            advice: clean(reason.advice()),
            is_marked: matches!(reason, Reason::Kept(_)),
            key,
        };
        Self {
            version: VERSION,
            environment: environment.to_string(),
            source,
            into: into.display().to_string(),
            files,
            found,
            equal: compared.equal,
            differing: differing.iter().map(ToString::to_string).collect(),
            left_out: left_out.into_iter().map(not_taken).collect(),
            asked_out,
            look_like_secrets: secrets.iter().map(ToString::to_string).collect(),
            is_partial: false,
            tool: None,
            parity: None,
        }
    }

    /// Adds what is to be said of the tool that the keys come from.
    pub(super) fn tells(&mut self, legacy: Legacy) {
        let Legacy { repaired, converted, notes, .. } = legacy;
        let told = |Told { key, file, why }: Told| ToldKey { key, file: clean(&file), why };
        self.tool = Some(Tool {
            repaired: repaired.into_iter().map(told).collect(),
            converted: converted.into_iter().map(told).collect(),
            notes: notes.iter().map(|note| clean(note)).collect(),
        });
    }

    /// The keys that were left out.
    pub(super) fn left_out(&self) -> BTreeSet<String> {
        self.left_out.iter().map(|left| left.key.clone()).collect()
    }

    /// 0 when the repository holds all that was found.
    pub(super) fn exit(&self) -> Exit {
        let is_live = self.parity.as_ref().is_none_or(Parity::is_equal);
        let is_whole = self.left_out.is_empty() && self.differing.is_empty() && !self.is_partial && is_live;
        if is_whole { Exit::Ok } else { Exit::Differences }
    }
}

impl View for Report {
    fn human(&self, page: &mut Page) {
        let Self { environment, source, into, files, found, equal, differing, left_out, asked_out, .. } = self;
        let (bold, yellow) = (Style::new().bold(), Style::new().yellow());
        page.line(format_args!("{}: {} found, {}", environment.style(bold), count(*found, "key"), clean(source)));
        page.line(format_args!(
            "  {} {}: {} in {}",
            format_args!("{} written", count(*equal, "key")).style(Style::new().green()),
            // What another tool makes of a value is told key by key below.
            if self.tool.is_some() { "and read back byte for byte" } else { "with the very bytes that were found" },
            count(*files, "file"),
            clean(into)
        ));
        if !differing.is_empty() {
            page.line(format_args!(
                "  {}",
                "read back as something else; report this as a mistake of lockstep's:".style(yellow)
            ));
            listed(differing.iter(), page);
        }
        if *asked_out > 0 {
            page.line(format_args!("  {} left out as asked", count(*asked_out, "key")));
        }
        let mut kinds: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for NotTaken { key, file, why, advice, .. } in left_out {
            let from = file.as_ref().map_or_else(String::new, |file| format!(" ({file})"));
            kinds.entry((why, advice)).or_default().push(format!("{key}{from}"));
        }
        for ((why, advice), keys) in kinds {
            page.line(format_args!("  {}: {why}", format_args!("{} left out", count(keys.len(), "key")).style(yellow)));
            listed(keys.iter(), page);
            page.hint(advice);
        }
        if let Some(tool) = &self.tool {
            tool.human(page);
        }
        if let Some(parity) = &self.parity {
            parity.human(page);
        }
        if self.is_partial {
            page.line(format_args!(
                "  {}",
                "there may be more: Consul says nothing of keys that a token may not read".style(yellow)
            ));
            page.hint(
                "only a token that may write below the prefixes proves that none is hidden; another may see all the same",
            );
        }
        if !self.look_like_secrets.is_empty() {
            let keys = count(self.look_like_secrets.len(), "key");
            page.line(format_args!("  {}", format_args!("{keys} may hold a secret, by the name").style(yellow)));
            listed(self.look_like_secrets.iter(), page);
            page.hint("a secret does not belong in git: look at them before you push, and leave them out with --leave-out");
        }
        page.line("");
        page.line("next:");
        page.line("  1. commit it: git init, git add, git commit; then name that repository in the controller's configuration");
        page.line(format_args!("  2. `lockstep init {environment}` makes the first record and prints the target_id to pin"));
        let marked = left_out.iter().filter(|left| left.is_marked).count();
        if marked > 0 {
            page.line(format_args!(
                "     (if nobody here has a record for the mark on {}, it refuses and says what to do)",
                count(marked, "key")
            ));
        }
        let known = match (&self.parity, &self.tool) {
            (Some(parity), _) => Some(parity.counts()),
            (None, None) => Some((*equal, 0, 0)),
            (None, Some(_)) => None,
        };
        let plan = format!("  3. `lockstep plan {environment}` writes nothing and shows what would be");
        let adopt = format!("`lockstep adopt {environment}` takes over what has the same value; no value is written");
        let Some((there, new, others)) = known else {
            page.line(format_args!("{plan}: which keys are there already, and which are not"));
            return page.line(format_args!("  4. {adopt}"));
        };
        let parts =
            [(there, "there already, with the same value"), (others, "there with another value"), (new, "to be created")];
        let parts: Vec<String> =
            parts.iter().filter(|(keys, _)| *keys > 0).map(|(keys, what)| format!("{} {what}", count(*keys, "key"))).collect();
        page.line(format_args!("{plan}: {}", parts.join(", ")));
        match (there, others) {
            (0, 0) => page.line(format_args!("  4. `lockstep run` creates them, or `lockstep apply --once {environment}`")),
            (_, 0) => page.line(format_args!("  4. {adopt}")),
            (0, _) => page.line("  4. put one side right where the values differ"),
            (_, _) => page.line(format_args!("  4. put one side right where the values differ; {adopt}")),
        }
    }
}

impl Tool {
    fn human(&self, page: &mut Page) {
        let yellow = Style::new().yellow();
        for (keys, what) in [
            (&self.repaired, "taken as it was meant; what is live was spoilt"),
            (&self.converted, "taken as the tool prints it, which is not how the file has it"),
        ] {
            if !keys.is_empty() {
                page.line(format_args!("  {}: {what}", count(keys.len(), "key").style(yellow)));
                let texts: Vec<String> =
                    keys.iter().map(|ToldKey { key, file, why }| format!("{key}: {why} ({file})")).collect();
                listed(texts.iter(), page);
            }
        }
        for note in &self.notes {
            page.line(format_args!("  {note}"));
        }
    }
}
