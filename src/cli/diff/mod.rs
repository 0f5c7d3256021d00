//! `diff`: what one revision says of each environment that another does not.

mod view;

use std::collections::BTreeSet;

use super::edges::Edges;
use super::error::{Exit, Failure};
use super::hiding::{Shown, hidden};
use super::key::{Named, named, open, read};
use super::options::Options;
use super::output::{Output, VERSION};
use super::renames::{Pair, Side, pairs};
use crate::domain::desired::{affected, read_part};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Generation;

use view::{Diff, Environment, Key, Read};

/// Show what lies between two revisions for each environment
///
/// Keys, checks and rules, not files. A change of a layer shows in every environment that it reaches, and one that a later layer
/// overrides shows in none. An environment that was renamed between the two (`formerly:`) is one that goes on. No target is asked,
/// unless a generation is named, or the branch does not have one of the two: what the environment is on may tag what that shows. Of the repository only
/// what differs is read, and the files that can name the same keys: what is wrong
/// elsewhere in both is not looked for. Values tagged `!sensitive`, in either, at the branch head, or when
/// the key was last on the branch, are never shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep diff HEAD~1 HEAD                       what the newest commit means
  lockstep diff 1a2b3c4 HEAD --env production
  lockstep diff 11 12 --env production            what generation 12 changed

Exits with 0 when the two say the same, 3 when they differ, 1 when one of them can't be read.")]
pub(super) struct Args {
    /// The commit that is gone from (an id, its first digits, HEAD~1), or, with one --env, the number of a generation of it
    #[arg(value_name = "A")]
    from: String,
    /// The commit or the generation that is gone to
    #[arg(value_name = "B")]
    to: String,
    /// Only this environment; may be given several times
    #[arg(long = "env", value_name = "ENV")]
    environments: Vec<String>,
    /// Show long values whole
    #[arg(long)]
    full: bool,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = open(options, output).await?;
    let sides = [side(&edges, args, &args.from, output).await?, side(&edges, args, &args.to, output).await?];
    let [(from_named, from), (to_named, to)] = &sides;
    let mut pairs = pairs(&edges, from, to).await?;
    match called_then(&edges, args, sides.each_ref(), &pairs).await? {
        Some(pair) => pairs = vec![pair],
        None => retain(&mut pairs, args, from, to)?,
    }
    let environments = compare(&edges, from, to, &pairs).await?;
    let exit = environments.iter().fold(Exit::Ok, |exit, environment| exit.worst(environment.exit()));
    let [from_generation, to_generation] = [from_named, to_named].map(|named| named.generation.map(Generation::number));
    output.show(&Diff {
        version: VERSION,
        from: from.revision.to_string(),
        to: to.revision.to_string(),
        from_generation,
        to_generation,
        environments,
        full: args.full,
        title: format!("{} → {}", from_named.title(), to_named.title()),
    })?;
    Ok(exit)
}

/// Leaves those that were asked for, which are all where none was named.
fn retain(pairs: &mut Vec<Pair>, args: &Args, from: &Side, to: &Side) -> Result<(), Failure> {
    if let Some(unknown) = args.environments.iter().find(|name| !pairs.iter().any(|pair| pair.is(name))) {
        let known: BTreeSet<&EnvironmentName> = from.names.union(&to.names).collect();
        let known: Vec<&str> = known.into_iter().map(EnvironmentName::as_str).collect();
        let failure = Failure::usage(format!("neither revision has an environment {unknown:?}"));
        return Err(failure.hint(format!("they have {}", known.join(", "))));
    }
    pairs.retain(|pair| args.environments.is_empty() || args.environments.iter().any(|wanted| pair.is(wanted)));
    Ok(())
}

/// The environment that was asked about, by the names that it had: a generation tells its own, whatever else has had it since. The
/// other's is what goes on from there as the commits say, or else what is called so there. None: no generation was named.
async fn called_then(
    edges: &Edges,
    args: &Args,
    [(from_named, from), (to_named, to)]: [&(Named, Side); 2],
    pairs: &[Pair],
) -> Result<Option<Pair>, Failure> {
    let Some(name) = args.environments.first().and_then(|name| edges.environment(name).ok()) else { return Ok(None) };
    let said = match (&from_named.called, &to_named.called) {
        (Some(before), _) => pairs.iter().find(|pair| pair.before.as_ref() == Some(before)),
        (None, Some(after)) => pairs.iter().find(|pair| pair.after.as_ref() == Some(after)),
        (None, None) => return Ok(None),
    };
    let [mut before, mut after] = [said.and_then(|pair| pair.before.clone()), said.and_then(|pair| pair.after.clone())];
    for (called, named, side) in [(&mut before, from_named, from), (&mut after, to_named, to)] {
        if called.is_none() || named.called.is_some() {
            *called = Some(named.called(edges, &name).await?).filter(|name| side.names.contains(name));
        }
    }
    let names = before.as_ref().zip(after.as_ref()).filter(|(before, after)| before != after);
    let formerly = names.map(|(before, after)| if *before == name { after } else { before }).cloned();
    Ok(Some(Pair { before, after, name, formerly }))
}

/// One of the two commits. A generation is of the environment that was named.
async fn side(edges: &Edges, args: &Args, text: &str, output: &Output) -> Result<(Named, Side), Failure> {
    // The configuration may lack one that a commit has: that one has no generations. Those of several mean different commits.
    let known: Vec<EnvironmentName> = match args.environments.as_slice() {
        [name] => edges.environment(name).into_iter().collect(),
        _ => Vec::new(),
    };
    let named = named(edges, &known, text).await?;
    if let Some(note) = &named.note {
        output.note(note);
    }
    let unread = |error| match known.first() {
        Some(name) => named.unread(name, error),
        None => error.into(),
    };
    let side = Side::of(edges, named.revision).await.map_err(unread)?;
    Ok((named, side))
}

/// What lies between two revisions for some environments. Of one that both call the same, only the files are read that differ,
/// and those that can name the same keys.
async fn compare(edges: &Edges, from: &Side, to: &Side, pairs: &[Pair]) -> Result<Vec<Environment>, Failure> {
    let changed = edges.source.changed(from.revision, to.revision).await?;
    let part = affected(from.heads(), to.heads(), &changed);
    let before = edges.source.part(from.revision, part.files.clone()).await?;
    let after = edges.source.part(to.revision, part.files.clone()).await?;
    let mut environments = Vec::new();
    for pair in pairs {
        let Pair { name, formerly, .. } = pair;
        let mut environment = match pair.before.as_ref().filter(|_| pair.before == pair.after) {
            Some(called) if !part.environments().any(|reached| reached == called) => {
                environments.push(Environment::same(name));
                continue;
            }
            Some(called) => {
                Environment::between(name, None, read_part(&before, called, &part), read_part(&after, called, &part))
            }
            None => {
                let (before, after) =
                    (whole(edges, from, pair.before.as_ref()).await?, whole(edges, to, pair.after.as_ref()).await?);
                Environment::between(name, formerly.as_ref(), before, after)
            }
        };
        // Of a key that the branch head has, it has the last word.
        let said = |key: &Key| match edges.head() {
            Some(head) => head == to.revision && key.after.is_some() || head == from.revision && key.before.is_some(),
            None => false,
        };
        let shown = environment.keys.iter().filter(|key| key.is_shown() && !said(key)).map(|key| key.path.clone()).collect();
        let hidden = hidden(edges, name, shown, Shown::At(&[from.revision, to.revision])).await?;
        environment.keys.iter_mut().filter(|key| hidden.contains(&key.path)).for_each(Key::hide);
        environments.push(environment);
    }
    Ok(environments)
}

/// All that a revision says of an environment that it has by this name.
async fn whole(edges: &Edges, side: &Side, name: Option<&EnvironmentName>) -> Result<Read, Failure> {
    match name {
        Some(name) => Ok(read(edges, name, side.revision).await?),
        None => Ok(Ok(None)),
    }
}
