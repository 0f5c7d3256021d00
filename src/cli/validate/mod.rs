//! `validate`: every problem of a revision, offline, for use before a merge.

mod fit;
mod place;

use std::collections::BTreeMap;
use std::path::PathBuf;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::error::{Exit, Failure};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::{clean, count};
use crate::config::{self, Config, ConsulVariables};
use crate::domain::commit::misread;
use crate::domain::desired::{Affected, FileTree, Node, Problem, Repository, read};
use crate::domain::revision::Revision;

use place::Place;

/// Check a config repository, offline: every problem with file, line and column
///
/// Reads the files below PATH as they lie there, or those of a commit with --rev. With --config (or `LOCKSTEP_CONFIG`) it also
/// checks what only the controller's configuration can tell: key roots, what a directory can hold, deadlines, and which
/// programs, services and addresses checks may use. Without PATH, in a directory that is no config repository, it reads the
/// repository which the configuration names, as far as this machine has it. Nothing is contacted and nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep validate                                   the files of this directory
  lockstep validate --rev HEAD                        what is committed
  lockstep validate ../calvin-config --environment production
  lockstep validate --config lockstep-controller.yaml  the repository that the configuration names

Exits with 1 when something is wrong, so it serves as a check before a merge.")]
pub(super) struct Args {
    /// A directory with a config repository's files, or a git repository [default: this directory]
    path: Option<PathBuf>,
    /// A commit of the repository at PATH instead of the files that lie there
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
    /// Only what concerns this environment; may be given several times
    #[arg(long = "environment", value_name = "ENV")]
    environments: Vec<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let config = match options.given_config() {
        Some(path) => Some(config::read(path, &ConsulVariables::of_process())?),
        None => None,
    };
    let place = Place::of(args.path.as_deref(), config.as_ref());
    let note = place.note(options);
    let (commit, tree) = place.files(args.rev.clone()).await?;
    let repository = read(&tree);
    let mut report =
        report(&repository, &tree, commit.as_ref().map(|commit| commit.revision), config.as_ref(), &args.environments)?;
    report.notes.extend(misread(&commit));
    report.notes.extend(note);
    output.show(&report)?;
    Ok(if report.valid { Exit::Ok } else { Exit::Failed })
}

#[derive(Serialize)]
struct Report {
    version: u32,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    environments: Vec<EnvironmentReport>,
    problems: Vec<ProblemReport>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct EnvironmentReport {
    environment: String,
    valid: bool,
    problems: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<usize>,
}

#[derive(Serialize)]
struct ProblemReport {
    file: String,
    #[serde(skip_serializing_if = "is_zero")]
    line: u32,
    #[serde(skip_serializing_if = "is_zero")]
    column: u32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// `null`: the whole revision.
    environments: Option<Vec<String>>,
    #[serde(skip)]
    excerpt: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn report(
    repository: &Repository,
    tree: &FileTree,
    revision: Option<Revision>,
    config: Option<&Config>,
    wanted: &[String],
) -> Result<Report, Failure> {
    let mut problems: Vec<Problem> = repository.problems().to_vec();
    let mut notes = Vec::new();
    if let Some(config) = config {
        for (name, state) in repository.environments() {
            match (config.environments.get(name), state) {
                (Some(target), Some(state)) => problems.extend(fit::problems(state, target, &config.checks)),
                (Some(_), None) => {}
                (None, _) => notes.push(format!("the controller's configuration has no environment {name}")),
            }
        }
        let missing = config.environments.keys().filter(|name| repository.environments().all(|(known, _)| known != *name));
        notes.extend(
            missing.map(|name| format!("environment {name} of the controller's configuration is not in the repository")),
        );
    }
    let known: Vec<&str> = repository.environments().map(|(name, _)| name.as_str()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Failure::usage(format!("the repository has no environment {unknown:?}"))
            .hint(format!("it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    problems.retain(|problem| match &problem.environments {
        Affected::All => true,
        Affected::Only(names) => wanted.is_empty() || names.iter().any(|name| is_wanted(name.as_str())),
    });
    problems.sort();
    let environments: Vec<EnvironmentReport> = repository
        .environments()
        .filter(|(name, _)| is_wanted(name.as_str()))
        .map(|(name, state)| {
            let problems = problems.iter().filter(|problem| problem.environments.contains(name)).count();
            EnvironmentReport {
                environment: name.to_string(),
                valid: problems == 0,
                problems,
                keys: state.map(|state| state.entries().len()),
                checks: state.map(|state| state.checks().len()),
            }
        })
        .collect();
    if environments.is_empty() && problems.is_empty() {
        notes.push(
            "there is no environment, as environments/.gitkeep says: those that were there before are retired".to_owned(),
        );
    }
    let problems: Vec<_> = problems.into_iter().map(|problem| told(problem, tree)).collect();
    Ok(Report {
        version: VERSION,
        valid: problems.is_empty(),
        repository: repository.name().map(ToString::to_string),
        revision: revision.map(|revision| revision.to_string()),
        environments,
        problems,
        notes,
    })
}

fn told(problem: Problem, tree: &FileTree) -> ProblemReport {
    let excerpt = excerpt(&problem, tree);
    let Problem { file, line, column, message, hint, environments } = problem;
    let environments = match environments {
        Affected::All => None,
        Affected::Only(names) => Some(names.iter().map(ToString::to_string).collect()),
    };
    ProblemReport { file, line, column, message, hint, environments, excerpt }
}

/// The line that a problem is about, with a caret below the column. Nothing is shown of a file that has a `!sensitive` value,
/// since any line may be a further one of it, nor of a file that may give such a key its value in another layer.
fn excerpt(problem: &Problem, tree: &FileTree) -> Option<String> {
    const LONGEST: usize = 100;
    let Node::File(bytes) = tree.nodes.get(&problem.file)? else { return None };
    let text = std::str::from_utf8(bytes).ok()?;
    let line = text.lines().nth(usize::try_from(problem.line).ok()?.checked_sub(1)?)?.replace('\t', " ");
    if tree.nodes.iter().any(|(other, node)| may_share_keys(&problem.file, other) && hides(node))
        || line.chars().count() > LONGEST
    {
        return None;
    }
    let number = problem.line.to_string();
    let shown = format!("{number} | {}", clean(&line));
    let Some(before) = usize::try_from(problem.column).ok()?.checked_sub(1) else { return Some(shown) };
    let before = clean(&line.chars().take(before).collect::<String>()).chars().count();
    Some(format!("{shown}\n{}   {}^", " ".repeat(number.len()), " ".repeat(before)))
}

fn hides(node: &Node) -> bool {
    const TAG: &[u8] = b"!sensitive";
    matches!(node, Node::File(bytes) if bytes.windows(TAG.len()).any(|window| window == TAG))
}

/// Whether two files may give values to the same key: they are one, or the keys of one may lie among those of the other.
fn may_share_keys(one: &str, other: &str) -> bool {
    let keys = |file: &'_ str| -> Option<String> {
        let (_, below) = file.split_once("/kv/")?;
        Some(format!("{}/", below.strip_suffix(".yaml").unwrap_or(below)))
    };
    one == other || keys(one).zip(keys(other)).is_some_and(|(one, other)| one.starts_with(&other) || other.starts_with(&one))
}

impl View for Report {
    fn human(&self, page: &mut Page) {
        let bold = Style::new().bold();
        for problem in &self.problems {
            let ProblemReport { file, line, column, message, hint, environments, excerpt } = problem;
            let place = match (line, column) {
                (0, _) => file.clone(),
                (line, 0) => format!("{file}:{line}"),
                (line, column) => format!("{file}:{line}:{column}"),
            };
            page.line(format_args!("{}: {}", place.style(bold), clean(message)));
            for shown in excerpt.iter().flat_map(|text| text.lines()) {
                page.line(format_args!("    {}", shown.style(Style::new().dimmed())));
            }
            if let Some(hint) = hint {
                page.hint(hint);
            }
            if environments.as_ref().is_some_and(Vec::is_empty) {
                page.line("  no environment uses it");
            }
        }
        if !self.problems.is_empty() {
            page.line("");
        }
        let by_name: BTreeMap<&str, &EnvironmentReport> =
            self.environments.iter().map(|report| (report.environment.as_str(), report)).collect();
        for (name, EnvironmentReport { valid, problems, keys, checks, .. }) in by_name {
            let holds = match (keys, checks) {
                (Some(keys), Some(0)) => format!("{}, no checks", count(*keys, "key")),
                (Some(keys), Some(checks)) => format!("{}, {}", count(*keys, "key"), count(*checks, "check")),
                // What could not be read is among the problems.
                _ => String::new(),
            };
            if *valid {
                page.line(format_args!("{} {name}: {holds}", "ok".style(Style::new().green())));
            } else {
                let told = count(*problems, "problem");
                let holds = if holds.is_empty() { holds } else { format!(" ({holds})") };
                page.line(format_args!("{} {name}: {told}{holds}", "invalid".style(Style::new().red())));
            }
        }
        for note in &self.notes {
            page.line(format_args!("note: {}", clean(note)));
        }
        if self.environments.is_empty() && !self.problems.is_empty() {
            page.line(count(self.problems.len(), "problem"));
        }
    }
}
