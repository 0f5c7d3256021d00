//! `kv log`: every version that a key had, with the commit that made it and the attempts that brought it live.

mod timeline;
mod attempts;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use crate::cli::edges::Edges;
use crate::cli::error::{Exit, Failure};
use crate::cli::hiding::{Shown, is_hidden};
use crate::cli::key::{KeyArgs, Named, at, open};
use crate::cli::options::Options;
use crate::cli::output::{Output, VERSION};
use crate::cli::text::{clean, moment};
use crate::cli::trace::{Trace, Traced};
use crate::client::git::read_unverified;
use crate::domain::desired::provenance;
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::past::{Held, Past, Step, Told};
use crate::domain::revision::{Generation, Revision};
use crate::domain::time::Timestamp;
use crate::port::EdgeKind;

use attempts::attempts;
use timeline::Says;
use view::{Environment, FormerView, Invalid, Log, OffBranch, VersionView, value};

/// So many commits at which something changed are read at a time.
const PAGE: usize = 64;

/// Show every version of a key: value, commit, author, file and line, and the generations that brought it live
///
/// Follows the branch from commit to commit, also where the file or the environment was renamed or the key moved to another file
/// or layer, and reads of each commit only the files that can name the key. An attempt whose commit the branch has no more stands
/// where it was made, and is told with the version beside it where both have the same value. A value over 4 KiB is shown by size and digest: `kv get --at`
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
    /// At most so many values of each environment, the newest first; what is live of a commit that the branch has no more is
    /// shown besides
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let key = args.key.key()?;
    read_unverified().map_err(|error| Failure::new("can't set libgit2 up").because(&error))?;
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
        !environment.versions.is_empty()
            || environment.more
            || environment.off_branch.iter().any(|commit| commit.value.is_some())
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
    let attempts = known.as_ref().map_or(&[][..], |known| &known.made);
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
    // Of a page that does not begin at the head, what is newer was on another one.
    let until = match edges.head() {
        Some(head) if head != upto => edges.commit(upto).await.map(|commit| commit.at),
        _ => None,
    };
    let called = known.as_ref().map(|known| &known.called);
    let wanted = Wanted { newest: attempts.last(), called, until, at_most: limit };
    let OffBranches { shown: mut off_branch, more: more_off_branch } =
        off_branch(edges, environment, key, &told.astray, wanted).await?;
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
    // One more tells what lies between the last of the page and the next one.
    let more = versions.len() > limit + 1 || !is_whole;
    versions.truncate(limit + 1);
    let mut views: Vec<VersionView> = versions.iter().map(|version| VersionView::of(version, known.as_ref())).collect();
    for (version, former) in names {
        if let Some(view) = views.get_mut(version) {
            view.formerly.push(former);
        }
    }
    let invalid = broken.iter().filter(|_| views.is_empty()).map(Invalid::of).collect();
    let (name, versions) = (environment.to_string(), views);
    let mut environment = Environment { name, versions, more, invalid, off_branch, more_off_branch, goes_on: true };
    environment.limit(limit);
    Ok(environment)
}

/// Commits that the branch does not have any more.
#[derive(Default)]
struct OffBranches {
    /// Newest first.
    shown: Vec<OffBranch>,
    /// So many older ones are not shown.
    more: Option<NonZeroUsize>,
}

/// Which of them.
struct Wanted<'a> {
    /// The newest attempt of all.
    newest: Option<&'a (Generation, Revision)>,
    /// What the environment was called when it was taken to each.
    called: Option<&'a BTreeMap<Revision, EnvironmentName>>,
    /// Made then or before.
    until: Option<Timestamp>,
    at_most: usize,
}

/// The attempts whose commits the branch does not have any more: it was rewritten. Newest first.
async fn off_branch(
    edges: &Edges,
    environment: &EnvironmentName,
    key: &KeyPath,
    astray: &[(Generation, Revision)],
    Wanted { newest, called, until, at_most }: Wanted<'_>,
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
        let commit = edges.commit(*revision).await;
        if until.is_some_and(|until| commit.as_ref().is_none_or(|commit| commit.at > until)) {
            continue;
        }
        let generations = astray.iter().rev().filter(|(_, other)| other == revision).map(|(number, _)| number.number());
        let called = called.and_then(|called| called.get(revision)).cloned();
        let named = Named { called, ..Named::commit(*revision) };
        let (in_mirror, says) = match named.picked(edges, environment, key).await {
            Ok((name, tree)) => (true, provenance(&tree, &name, key).ok()),
            Err(error) if error.kind == EdgeKind::NotFound => (false, None),
            Err(error) => return Err(error.into()),
        };
        let entry = says.map(|says| says.and_then(|says| Some((says.entry?, says.sensitive))));
        let says = entry.as_ref().map_or(Says::Unknown, |entry| Says::of(entry.as_ref().map(|(entry, _)| entry.digest)));
        let (entry, commit) = (entry.flatten(), commit.filter(|_| in_mirror));
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
            says,
        });
    }
    Ok(OffBranches { shown: found, more: NonZeroUsize::new(gone.len()) })
}
