//! `why`: which line of which layer gives a key its value, and what it overrides.

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::edges::Edges;
use super::error::{Exit, Failure};
use super::hiding::{Shown, is_hidden};
use super::key::{KeyArgs, Named, at, open, shown};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::clean;
use super::value::{Value, line};
use crate::domain::desired::{Provenance, provenance};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Generation;

/// Show which line of which layer gives a key its value, and what it overrides
///
/// Reads of the revision only the files that can name the key, so it is as fast in a large repository as in a small one. The
/// target is asked only for what the branch does not tell: what commit a generation was of, what the environment was called, or what
/// may tag a value of a commit that the branch does not have. This is what the repository says, `plan` tells whether it is live. What
/// is tagged `!sensitive`, there, at the branch head, or when the key was last on the branch, is never shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep why config/app/port                        in every environment
  lockstep why config/app/port --env production --at HEAD~3
  lockstep why config/app/port --env production --at 12      as generation 12 had it

Exits with 1 when no environment has the key, or a file that could name it can't be read.")]
pub(super) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    /// Instead of the branch head: a commit (an id, its first digits, HEAD~1) or the number of a generation of the environment
    #[arg(long, value_name = "REV|GENERATION")]
    at: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let key = args.key.key()?;
    let edges = open(options, output).await?;
    let names = args.key.environments(&edges)?;
    let asked = at(&edges, &names, args.at.as_ref()).await?;
    if let Some(note) = &asked.note {
        output.note(note);
    }
    let mut environments = Vec::new();
    for environment in &names {
        environments.push(one(&edges, environment, &key, &asked).await?);
    }
    let exit = if environments.iter().any(|environment| environment.value.is_some()) { Exit::Ok } else { Exit::Failed };
    let broken = environments.iter().any(|environment| !environment.problems.is_empty());
    let [generation, decision] = [asked.generation, asked.decision].map(|number| number.map(Generation::number));
    let (revision, title) = (asked.revision.to_string(), asked.title());
    output.show(&Why { version: VERSION, key: key.to_string(), revision, generation, decision, environments, title })?;
    Ok(if broken { exit.worst(Exit::Failed) } else { exit })
}

async fn one(edges: &Edges, environment: &EnvironmentName, key: &KeyPath, at: &Named) -> Result<Environment, Failure> {
    let (name, tree) = at.picked(edges, environment, key).await.map_err(|error| at.unread(environment, error))?;
    let called = Some(name.to_string()).filter(|_| name != *environment);
    let nothing = Environment { name: environment.to_string(), called, ..Environment::default() };
    Ok(match provenance(&tree, &name, key) {
        Err(problems) => {
            Environment { problems: problems.iter().map(|problem| clean(&problem.to_string())).collect(), ..nothing }
        }
        Ok(None) => Environment { retired: true, ..nothing },
        Ok(Some(Provenance { said, entry, sensitive })) => {
            let last = said.len().saturating_sub(1);
            let shows = !sensitive && said.iter().any(|said| said.value.is_some());
            let sensitive = sensitive || shows && is_hidden(edges, environment, key, Shown::At(&[at.revision])).await?;
            let said = said.into_iter().enumerate().map(|(at, said)| Said {
                layer: said.layer,
                file: said.origin.file.to_string(),
                line: said.origin.line,
                taken_back: said.value.is_none(),
                value: said.value.map(|value| if sensitive { Value::hidden(false) } else { Value::of(&value) }),
                wins: at == last,
                place: clean(&said.origin.to_string()),
            });
            Environment { value: entry.map(|entry| shown(&entry, sensitive)), said: said.collect(), ..nothing }
        }
    })
}

#[derive(Serialize)]
struct Why {
    version: u32,
    key: String,
    revision: String,
    /// The generation that was of it, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    /// The generation that was named, where that was a decision and brought nothing live.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<u32>,
    environments: Vec<Environment>,
    #[serde(skip)]
    title: String,
}

#[derive(Default, Serialize)]
struct Environment {
    #[serde(rename = "environment")]
    name: String,
    /// What the revision calls it, where that is a former name.
    #[serde(skip_serializing_if = "Option::is_none")]
    called: Option<String>,
    /// What it is; none: it has no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// What each layer says, first to last.
    said: Vec<Said>,
    /// The revision has no such environment.
    retired: bool,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Said {
    layer: String,
    file: String,
    line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// It takes back what earlier layers say.
    taken_back: bool,
    wins: bool,
    #[serde(skip)]
    place: String,
}

impl View for Why {
    fn human(&self, page: &mut Page) {
        page.line(format_args!("{} at {}", clean(&self.key).style(Style::new().bold()), self.title));
        for environment in &self.environments {
            environment.human(page);
        }
    }
}

impl Environment {
    fn human(&self, page: &mut Page) {
        let called = self.called.as_ref().map_or_else(String::new, |called| format!(" (called {called} then)"));
        let name = format!("{}{called}", self.name.style(Style::new().bold()));
        match &self.value {
            Some(value) => page.line(format_args!("{name}: {}", line(value))),
            None if self.retired => page.line(format_args!("{name}: the revision has no such environment")),
            None if !self.problems.is_empty() => page.line(format_args!("{name}: {}", "invalid".style(Style::new().red()))),
            None if self.said.is_empty() => page.line(format_args!("{name}: no layer has the key")),
            None => page.line(format_args!("{name}: taken back, so the environment does not have the key")),
        }
        for said in self.said.iter().rev() {
            let value = said.value.as_ref().map_or_else(|| "!absent".to_owned(), line);
            if said.wins {
                page.line(format_args!("  > {}  {value}", said.place));
            } else {
                let text = format!("  overrides {}  {value}", said.place);
                page.line(format_args!("  {}", text.style(Style::new().dimmed())));
            }
        }
        for problem in &self.problems {
            page.line(format_args!("  {problem}"));
        }
    }
}
