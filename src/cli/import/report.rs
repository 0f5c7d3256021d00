//! What an import says in the end: what is equal, what is missing and why, and what comes next.

use std::collections::BTreeMap;
use std::path::Path;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::write::Written;
use crate::cli::error::Exit;
use crate::cli::output::{Page, VERSION, View};
use crate::cli::text::{clean, count};
use crate::domain::import::LeftOut;
use crate::domain::name::EnvironmentName;

/// Keys of one kind that a page lists; the structured form has all.
const LISTED: usize = 10;

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
}

#[derive(Serialize)]
struct NotTaken {
    key: String,
    kind: &'static str,
    why: String,
    advice: String,
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
            why: clean(&reason.why()),
            advice: clean(reason.advice()),
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
        }
    }

    /// 0 when the repository holds all that was found.
    pub(super) fn exit(&self) -> Exit {
        let is_whole = self.left_out.is_empty() && self.differing.is_empty() && !self.is_partial;
        if is_whole { Exit::Ok } else { Exit::Differences }
    }
}

impl View for Report {
    fn human(&self, page: &mut Page) {
        let Self { environment, source, into, files, found, equal, differing, left_out, asked_out, .. } = self;
        let (bold, yellow) = (Style::new().bold(), Style::new().yellow());
        page.line(format_args!("{}: {} found, {}", environment.style(bold), count(*found, "key"), clean(source)));
        page.line(format_args!(
            "  {} with the very bytes that were found: {} in {}",
            format_args!("{} written", count(*equal, "key")).style(Style::new().green()),
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
        let mut kinds: BTreeMap<(&str, &str), Vec<&String>> = BTreeMap::new();
        for NotTaken { key, why, advice, .. } in left_out {
            kinds.entry((why, advice)).or_default().push(key);
        }
        for ((why, advice), keys) in kinds {
            page.line(format_args!("  {}: {why}", format_args!("{} left out", count(keys.len(), "key")).style(yellow)));
            listed(keys.into_iter(), page);
            page.hint(advice);
        }
        if self.is_partial {
            page.line(format_args!("  {}", "there may be more: the token may not surely read everything".style(yellow)));
        }
        if !self.look_like_secrets.is_empty() {
            let keys = count(self.look_like_secrets.len(), "key");
            page.line(format_args!("  {}", format_args!("{keys} may hold a secret, by the name").style(yellow)));
            listed(self.look_like_secrets.iter(), page);
            page.hint("a secret does not belong in git: look at them before you push, and leave them out with --leave-out");
        }
        page.line("");
        page.line(format_args!(
            "next: make it a git repository (git init, git add, git commit), name that in the controller's"
        ));
        page.line(format_args!(
            "configuration, then `lockstep init {environment}` and `lockstep plan {environment}`: the plan lists these"
        ));
        page.line("keys as present with an equal value and not ours yet, until they are adopted");
    }
}

fn listed<'a>(keys: impl ExactSizeIterator<Item = &'a String>, page: &mut Page) {
    let more = keys.len().saturating_sub(LISTED);
    for key in keys.take(LISTED) {
        page.line(format_args!("    {}", clean(key)));
    }
    if more > 0 {
        page.line(format_args!("    and {more} more; --output json lists all"));
    }
}
