//! `kv log`: every version that a key had, with the commit that made it and the attempts that brought it live.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::edges::Edges;
use crate::cli::error::{Exit, Failure};
use crate::cli::hiding::{Shown, is_hidden};
use crate::cli::key::{KeyArgs, Named, at, history, open};
use crate::cli::options::Options;
use crate::cli::output::{Output, Page, VERSION, View};
use crate::cli::text::{clean, count, moment, when};
use crate::cli::trace::{Trace, Traced, picked};
use crate::cli::value::{Value, line};
use crate::domain::desired::{Problem, provenance};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::past::{Held, Past, Step, Told, Version};
use crate::domain::revision::{Generation, Revision};
use crate::domain::time::Timestamp;
use crate::port::EdgeKind;

/// So many commits at which something changed are read at a time.
const PAGE: usize = 64;
/// People are told so many moves, and so many commits that were invalid, of one version.
const SHOWN: usize = 3;

/// Show every version of a key: value, commit, author, file and line, and the generations that brought it live
///
/// Follows the branch from commit to commit, also where the file or the environment was renamed or the key moved to another file
/// or layer, and reads of each commit only the files that can name the key. A value over 4 KiB is shown by size and digest: `kv get --at`
/// prints it. What is tagged `!sensitive` is hidden, and so is what the key was before it was tagged. Without the target's record
/// nothing is said of what was live.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep kv log config/app/port
  lockstep kv log config/app/port --env production --limit 100 --output json
  lockstep kv log config/app/port --at 1a2b3c4~1         what came before that commit

Exits with 1 when no commit had the key, as far as they can be read.")]
pub(super) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    /// Up to this instead of the branch head: a commit (an id, its first digits, HEAD~1) or the number of a generation of the environment
    #[arg(long, value_name = "REV|GENERATION")]
    at: Option<String>,
    /// At most so many versions of each environment, the newest first
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let key = args.key.key()?;
    let edges = open(options, output).await?;
    let names = args.key.environments(&edges)?;
    let upto = at(&edges, &names, args.at.as_ref()).await?;
    if let Some(note) = &upto.note {
        output.note(note);
    }
    let mut environments = Vec::new();
    for environment in &names {
        environments.push(one(&edges, environment, &key, &upto, usize::from(args.limit), output).await?);
    }
    edges.close().await;
    let had = |environment: &Environment| {
        !environment.versions.is_empty() || environment.off_branch.iter().any(|commit| commit.value.is_some())
    };
    let exit = if environments.iter().any(had) { Exit::Ok } else { Exit::Failed };
    output.show(&Log { version: VERSION, key: key.to_string(), environments, now: edges.now() })?;
    Ok(exit)
}

async fn one(
    edges: &Edges,
    environment: &EnvironmentName,
    key: &KeyPath,
    asked: &Named,
    limit: usize,
    output: &Output,
) -> Result<Environment, Failure> {
    let upto = asked.revision;
    let known = attempts(edges, environment, output).await;
    let attempts = known.as_deref().unwrap_or_default();
    let marks: BTreeSet<Revision> = attempts.iter().map(|(_, revision)| *revision).collect();
    let mut past = Past::default();
    let mut names = Vec::new();
    let unread = |error| asked.unread(environment, error);
    let name = asked.called(edges, environment).await.map_err(unread)?;
    let mut trace = Trace::new(edges, name, key, upto, marks);
    while !trace.is_over() && past.complete() < limit {
        for Traced { commit, says, reached, renamed } in trace.next(PAGE).await.map_err(unread)? {
            past.add(Step { commit, says, reached });
            names.extend(renamed.map(|(name, by)| (past.complete(), FormerView::of(&name, by))));
        }
    }
    let is_whole = trace.is_over();
    let newest_tag = past.newest_tag().filter(|_| edges.head() == Some(upto));
    let mut told = past.told(attempts, is_whole);
    // What is live is told in any case.
    let room = limit.saturating_sub(told.versions.len()).max(1);
    let OffBranches { shown: mut off_branch, more: more_off_branch } =
        off_branch(edges, environment, key, &told.astray, attempts.last(), room).await?;
    let shows_any = told.shows_any() || off_branch.iter().any(OffBranch::shows);
    // Where the walk began at the branch head, that has said it.
    let shown: Vec<Revision> = [upto].into_iter().chain(told.astray.iter().map(|(_, revision)| *revision)).collect();
    let hides = match newest_tag {
        Some(tagged) => tagged,
        None => shows_any && is_hidden(edges, environment, key, Shown::At(&shown)).await?,
    };
    if hides {
        told.hide();
        off_branch.iter_mut().for_each(OffBranch::hide);
    }
    let Told { mut versions, astray: _, broken } = told;
    let more = versions.len() > limit || !is_whole;
    versions.truncate(limit);
    let mut views: Vec<VersionView> = versions.iter().map(|version| VersionView::of(version, known.is_some())).collect();
    for (version, former) in names {
        if let Some(view) = views.get_mut(version) {
            view.formerly.push(former);
        }
    }
    let invalid = broken.iter().filter(|_| views.is_empty()).map(Invalid::of).collect();
    Ok(Environment { name: environment.to_string(), versions: views, more, invalid, off_branch, more_off_branch })
}

/// Commits that the branch does not have any more.
#[derive(Default)]
struct OffBranches {
    /// Newest first.
    shown: Vec<OffBranch>,
    /// So many older ones are not shown.
    more: Option<NonZeroUsize>,
}

/// The attempts whose commits the branch does not have any more: it was rewritten. Newest first.
async fn off_branch(
    edges: &Edges,
    environment: &EnvironmentName,
    key: &KeyPath,
    astray: &[(Generation, Revision)],
    newest: Option<&(Generation, Revision)>,
    at_most: usize,
) -> Result<OffBranches, Failure> {
    let revisions: BTreeSet<Revision> = astray.iter().map(|(_, revision)| *revision).collect();
    let Some(head) = edges.head().filter(|_| !revisions.is_empty()) else { return Ok(OffBranches::default()) };
    let mut gone = edges.source.astray(head, revisions).await?;
    let mut found = Vec::new();
    for (newest_of_it, revision) in astray.iter().rev() {
        if found.len() == at_most {
            break;
        }
        if gone.remove(revision).is_none() {
            continue;
        }
        let generations = astray.iter().rev().filter(|(_, other)| other == revision).map(|(number, _)| number.number());
        let (in_mirror, says) = match picked(edges, environment, key, *revision).await {
            Ok((name, tree)) => (true, provenance(&tree, &name, key).ok().flatten()),
            Err(error) if error.kind == EdgeKind::NotFound => (false, None),
            Err(error) => return Err(error.into()),
        };
        let entry = says.and_then(|says| Some((says.entry?, says.sensitive)));
        let commit = if in_mirror { edges.commit(*revision).await } else { None };
        found.push(OffBranch {
            author: commit.as_ref().map(|commit| clean(&commit.author)),
            subject: commit.as_ref().map(|commit| clean(&commit.subject)),
            at: commit.as_ref().map(|commit| moment(commit.at)),
            committed: commit.map(|commit| commit.at),
            generations: generations.collect(),
            revision: revision.to_string(),
            in_mirror,
            place: entry.as_ref().map(|(entry, _)| clean(&entry.origin.to_string())),
            value: entry.map(|(entry, sensitive)| value(&Held::from(entry), sensitive)),
            live: newest.is_some_and(|(newest, _)| newest == newest_of_it),
            short: revision.short(),
        });
    }
    Ok(OffBranches { shown: found, more: NonZeroUsize::new(gone.len()) })
}

fn value(held: &Held, hidden: bool) -> Value {
    match &held.bytes {
        _ if hidden => Value::hidden(false),
        Some(bytes) => Value::of(bytes),
        None => Value::sized(held.size, &held.digest),
    }
}

/// The environment's attempts, oldest first; none where nobody can say, with a note why: a log without them is worth having too.
async fn attempts(edges: &Edges, environment: &EnvironmentName, output: &Output) -> Option<Vec<(Generation, Revision)>> {
    let found = async {
        let target = edges.target(environment)?;
        let (record, lines) = history(edges, environment, &target).await?;
        if record.is_none() {
            // One whose record is still under a former name has a past all the same.
            edges.record(environment, &target).await?;
        }
        Ok::<_, Failure>(lines)
    };
    match found.await {
        Ok(lines) => {
            let attempts = lines.iter().rev().filter(|line| line.is_deployment());
            Some(attempts.map(|line| (line.generation, line.revision)).collect())
        }
        Err(failure) => {
            let why: Vec<String> = std::iter::once(failure.message).chain(failure.causes).collect();
            output.note(&format!("what was live in {environment} is not known: {}", why.join(": ")));
            None
        }
    }
}

#[derive(Serialize)]
struct Log {
    version: u32,
    key: String,
    environments: Vec<Environment>,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
struct Environment {
    #[serde(rename = "environment")]
    name: String,
    /// Newest first.
    versions: Vec<VersionView>,
    /// There are older ones.
    more: bool,
    /// Where there is no version: commits that could not be read, and may have had the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid: Vec<Invalid>,
    /// Attempts of commits that the branch does not have any more, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    off_branch: Vec<OffBranch>,
    /// So many older such commits are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    more_off_branch: Option<NonZeroUsize>,
}

/// A commit that the environment was taken to and that is not of the branch: somebody rewrote it since.
#[derive(Serialize)]
struct OffBranch {
    /// Newest first.
    generations: Vec<u32>,
    revision: String,
    /// The mirror still has the commit.
    in_mirror: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    live: bool,
    #[serde(skip)]
    short: String,
    #[serde(skip)]
    committed: Option<Timestamp>,
}

#[derive(Serialize)]
struct VersionView {
    revision: String,
    author: String,
    subject: String,
    at: String,
    /// None: this commit took the key away.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// Where the value stood, newest first.
    places: Vec<PlaceView>,
    /// Names that the environment had while the key had this value, and before, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    formerly: Vec<FormerView>,
    /// The attempts that brought it live, newest first; none: nobody could say, since the target or its record is not there.
    generations: Option<Vec<u32>>,
    /// Likewise.
    live: Option<bool>,
    /// Commits among these that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid: Vec<Invalid>,
    #[serde(skip)]
    short: String,
    #[serde(skip)]
    committed: Timestamp,
}

#[derive(Serialize)]
struct PlaceView {
    /// The commit that put it there.
    since: String,
    file: String,
    line: u32,
    #[serde(skip)]
    text: String,
}

/// A name that the environment had.
#[derive(Serialize)]
struct FormerView {
    name: String,
    /// The commit that gave it the newer one.
    until: String,
    #[serde(skip)]
    short: String,
}

impl FormerView {
    fn of(name: &EnvironmentName, until: Revision) -> Self {
        Self { name: name.to_string(), until: until.to_string(), short: until.short() }
    }
}

#[derive(Serialize)]
struct Invalid {
    revision: String,
    problem: String,
}

impl Invalid {
    fn of((revision, problem): &(Revision, Problem)) -> Self {
        Self { revision: revision.to_string(), problem: clean(&problem.to_string()) }
    }

    fn human(&self, page: &mut Page) {
        let Self { revision, problem } = self;
        let short = revision.get(..7).unwrap_or_default();
        page.line(format_args!("           {}", format!("{short} was invalid: {problem}").style(Style::new().red())));
    }
}

impl VersionView {
    fn of(version: &Version, is_known: bool) -> Self {
        let Version { commit, held, hidden, places, broken, generations, live } = version;
        let places = places.iter().map(|(since, place)| PlaceView {
            since: since.to_string(),
            file: place.file.to_string(),
            line: place.line,
            text: clean(&place.to_string()),
        });
        Self {
            revision: commit.revision.to_string(),
            author: clean(&commit.author),
            subject: clean(&commit.subject),
            at: moment(commit.at),
            value: held.as_ref().map(|held| value(held, *hidden)),
            places: places.collect(),
            formerly: Vec::new(),
            generations: is_known.then(|| generations.iter().map(|generation| generation.number()).collect()),
            live: is_known.then_some(*live),
            invalid: broken.iter().map(Invalid::of).collect(),
            short: commit.revision.short(),
            committed: commit.at,
        }
    }

    fn human(&self, now: Timestamp, page: &mut Page) {
        let generations: Vec<String> = self.generations.iter().flatten().map(ToString::to_string).collect();
        let live = match (self.live, generations.is_empty()) {
            (Some(true), _) => format!("live since generation {}", generations.join(", before that ")),
            (Some(false), false) => format!("was live: generation {}", generations.join(", ")),
            (Some(false), true) => "never live".to_owned(),
            (None, _) => "not known whether live".to_owned(),
        };
        let style = if self.live == Some(true) { Style::new().green() } else { Style::new().dimmed() };
        let commit = self.short.style(Style::new().yellow());
        page.line(format_args!("  {commit}  {} by {}  {}", when(self.committed, now), self.author, live.style(style)));
        page.line(format_args!("           {}", self.subject.style(Style::new().dimmed())));
        match (&self.value, self.places.first()) {
            (Some(value), Some(place)) => page.line(format_args!("           {}  ({})", line(value), place.text)),
            (Some(value), None) => page.line(format_args!("           {}", line(value))),
            (None, _) => page.line("           taken away"),
        }
        for pair in self.places.windows(2).take(SHOWN) {
            let since = pair[0].since.get(..7).unwrap_or_default();
            page.line(format_args!("           moved there from {} in {since}", pair[1].text));
        }
        for FormerView { name, short, .. } in &self.formerly {
            page.line(format_args!("           the environment was called {name} until {short}"));
        }
        self.invalid.iter().take(SHOWN).for_each(|invalid| invalid.human(page));
        let untold = self.places.len().saturating_sub(SHOWN + 1) + self.invalid.len().saturating_sub(SHOWN);
        if untold > 0 {
            page.line(format_args!("           … and {untold} more such commits, which --output json has"));
        }
    }
}

impl OffBranch {
    fn shows(&self) -> bool {
        self.value.as_ref().is_some_and(|value| !matches!(value, Value::Sensitive { .. }))
    }

    fn hide(&mut self) {
        self.value = self.value.take().map(|_| Value::hidden(false));
    }

    fn human(&self, now: Timestamp, page: &mut Page) {
        let generations: Vec<String> = self.generations.iter().map(ToString::to_string).collect();
        let plural = if generations.len() == 1 { "" } else { "s" };
        let was = if self.live { "is live" } else { "was live" };
        let commit = self.short.style(Style::new().yellow());
        let generations = generations.join(", ");
        let made = self.committed.zip(self.author.as_ref());
        let made = made.map_or_else(String::new, |(at, author)| format!("{} by {author}  ", when(at, now)));
        page.line(format_args!(
            "  {commit}  {made}{was} with generation{plural} {generations}, and is not on the branch any more"
        ));
        if let Some(subject) = &self.subject {
            page.line(format_args!("           {}", subject.style(Style::new().dimmed())));
        }
        match (&self.value, &self.place) {
            (Some(value), Some(place)) => page.line(format_args!("           {}  ({place})", line(value))),
            _ if self.in_mirror => page.line("           it does not have the key"),
            _ => page.line("           nor in the mirror: what it said is not known"),
        }
    }
}

impl View for Log {
    fn human(&self, page: &mut Page) {
        for environment in &self.environments {
            let Environment { name, versions, more, invalid, off_branch, more_off_branch } = environment;
            page.line(format_args!("{} in {}", clean(&self.key), name.style(Style::new().bold())));
            match (versions.as_slice(), invalid.as_slice()) {
                ([], []) => page.line("  no commit of the branch had the key"),
                ([], _) => page.line("  no commit of the branch had the key, as far as they can be read"),
                _ => {}
            }
            invalid.iter().take(SHOWN).for_each(|invalid| invalid.human(page));
            if invalid.len() > SHOWN {
                page.line(format_args!(
                    "           … and {} more such commits, which --output json has",
                    invalid.len() - SHOWN
                ));
            }
            off_branch.iter().for_each(|commit| commit.human(self.now, page));
            if let Some(more) = more_off_branch {
                let commits = count(more.get(), "older commit");
                page.line(format_args!(
                    "  … and {commits} of attempts that the branch does not have any more: --limit shows more"
                ));
            }
            for version in versions {
                version.human(self.now, page);
            }
            if *more {
                let next = versions.last().map(|oldest| format!(", --at {}~1 goes on from here", oldest.short));
                page.line(format_args!("  … there are older ones: --limit shows more{}", next.unwrap_or_default()));
            }
        }
    }
}
