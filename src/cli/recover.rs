//! `recover`: a record that was lost, made anew from the marks on the keys (rule A6).

use serde::Serialize;

use super::ask::{By, reason};
use super::confirm::confirm;
use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::former::formerly;
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::{clean, count};
use crate::config::TargetConfig;
use crate::domain::name::EnvironmentName;
use crate::domain::resource::OwnerId;
use crate::domain::rollout::{Formerly, Identity, Recovery, Remains};
use crate::domain::words::one_or;
use crate::port::{EdgeKind, Target as _, Told};

/// Make the record of an environment anew after it was lost, from the marks on its keys
///
/// Where a target has keys with this environment's mark and no record, nothing is written until somebody says that the record
/// was lost: restore a snapshot, or run this. The new record has the owner id of those marks, goes on above every number that
/// can be seen, and has no last good. Nothing else is written, and no key is ever deleted by it: the next pass judges the
/// branch head as a first one, and a marked key that no revision has stays and is listed.
///
/// Where several owners could be meant, all are listed with what carries their mark, and --owner chooses; the others' keys stay
/// theirs. Shows first what it found, and asks for the environment's name; --yes answers instead. Its token needs the rules of
/// `lockstep acl-policy ENV --init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep recover production                            show what was found, ask, and make the record
  lockstep recover production --yes --reason 'the record was deleted by hand'
  lockstep recover production --owner 1723 --yes         where several owners could be meant

Exits with 0 when the record is made, or is there; with 1 when it is refused, and says why; with 2 when nobody confirmed it; with 4
when a target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Whose marks are the environment's, where several owners could be meant
    #[arg(long, value_name = "ID", value_parser = owner)]
    owner: Option<OwnerId>,
    /// Why: shown in history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    by: By,
}

fn owner(text: &str) -> Result<OwnerId, String> {
    text.parse().ok().and_then(OwnerId::new).ok_or_else(|| "an owner id is a number from 1 to 65535".to_owned())
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let outcome = recovered(&edges, &environment, args, options, output).await;
    edges.close().await;
    output.show(&outcome?)?;
    Ok(Exit::Ok)
}

async fn recovered(
    edges: &Edges,
    environment: &EnvironmentName,
    args: &Args,
    options: &Options,
    output: &Output,
) -> Result<Recovered, Failure> {
    let target = edges.target(environment)?;
    let formerly = formerly(edges, environment).await?;
    let found = target.load().await;
    if let Ok(Some(stored)) = &found {
        return Ok(Recovered::of(environment, &target, &stored.record.identity, None));
    }
    if matches!(formerly, Formerly::Unknown(_)) {
        // What a branch that can't be used keeps from being taken over was not lost.
        edges.heir(environment, &edges.fit(environment)?, &target).await?;
    }
    if let AnyTarget::Consul(consul) = &target {
        consul.may_recover_after(&formerly).await?;
    }
    // Whatever else is wrong with the target comes first, and a record that is there is not lost.
    let remains = match found {
        Err(error) if error.kind != EdgeKind::Refused => return Err(error.into()),
        found => match (target.remains().await?, found) {
            (Some(remains), _) => remains,
            (None, Err(error)) => return Err(error.into()),
            (None, Ok(_)) => return Err(Failure::new(format!("somebody is making a record of {environment} just now"))),
        },
    };
    // What is left of an environment that was removed was not lost, unless the branch wants it again.
    if let (Some(removed), Formerly::Unknown(why)) = (&remains.removed, &formerly) {
        let text = format!("{environment} can't be recovered: {}; and {}", clean(removed), clean(why));
        return Err(Failure::new(text).hint(format!(
            "nothing was lost: take {environment} out of the controller's configuration; to begin anew commit it again, take its \
             target_id out, and run `lockstep init {environment}`"
        )));
    }
    let recovery = chosen(&remains, environment, args)?;
    let pinned = match edges.target_config(environment)? {
        TargetConfig::Consul(consul) => consul.target_id.clone(),
        TargetConfig::Directory(_) => None,
    };
    if let (Some(pinned), Some(known)) = (&pinned, &recovery.target)
        && pinned != known
    {
        let text = format!("the target id of {environment} here is {known}, and the configuration pins {pinned}");
        return Err(Failure::new(text).hint("correct the address, or the target_id if the environment moved on purpose"));
    }
    output.beside(&Found { environment: environment.to_string(), target: target.character().name, recovery: &recovery });
    confirm(environment, "recover", "recovered", args.yes).await?;
    let by = args.by.name();
    let because = args.reason.as_deref().unwrap_or_default();
    let told = Told { revision: edges.newest_known(environment).await?, by: &by, because, at: edges.now() };
    let identity = match &target {
        AnyTarget::Consul(consul) => consul.recover_after(&formerly, &recovery, &told).await?,
        // A directory holds one record: that of a former name is in the way of another.
        AnyTarget::Directory(_) => target.recover(&recovery, &told).await?,
    };
    let to_pin = matches!(target, AnyTarget::Consul(_)) && pinned.as_ref() != Some(&identity.target);
    let anew = Anew {
        generation: recovery.generation.number(),
        keys: recovery.keys,
        pin: to_pin.then(|| options.config().display().to_string()),
    };
    Ok(Recovered::of(environment, &target, &identity, Some(anew)))
}

fn chosen(remains: &Remains, environment: &EnvironmentName, args: &Args) -> Result<Recovery, Failure> {
    remains.recovery(args.owner).map_err(|because| {
        let several = args.owner.is_none() && remains.candidates().len() > 1;
        let hint = if several {
            format!("look at those keys; `lockstep recover {environment} --owner ID` chooses, and the others' keys stay as they are")
        } else {
            format!("correct the address, or restore a snapshot; for a new target take its target_id out and run `lockstep init {environment}`")
        };
        Failure::new(format!("{environment} can't be recovered: {because}")).hint(hint)
    })
}

/// What was found, for whoever is asked.
#[derive(Serialize)]
struct Found<'a> {
    environment: String,
    target: String,
    #[serde(skip)]
    recovery: &'a Recovery,
}

impl View for Found<'_> {
    fn human(&self, page: &mut Page) {
        let Self {
            environment,
            target,
            recovery: Recovery { owner, target: id, generation, keys, rivals, open: _, former: _ },
        } = self;
        page.line(format_args!(
            "recover {environment} at {target}: {} with the mark of owner {owner}, going on with generation {generation}",
            count(*keys, "key")
        ));
        if id.is_none() && target.starts_with("consul") {
            page.line("  nobody here knows the target id any more: it gets another one, which has to be pinned");
        }
        for (other, keys) in rivals {
            let stay = one_or(*keys, "stays as it is", "stay as they are");
            page.line(format_args!("  {} with the mark of owner {other} {stay}", count(*keys, "key")));
        }
        page.line("  no key is written or deleted by this");
    }
}

/// How it ended.
#[derive(Serialize)]
struct Recovered {
    version: u32,
    environment: String,
    target: String,
    /// False when nothing was lost.
    changed: bool,
    target_id: String,
    owner: u16,
    #[serde(flatten)]
    anew: Option<Anew>,
}

/// The record that was made anew.
#[derive(Serialize)]
struct Anew {
    /// Where its numbers begin.
    generation: u32,
    /// How many keys carry its mark.
    keys: usize,
    /// The configuration that does not pin the target id yet.
    #[serde(skip)]
    pin: Option<String>,
}

impl Recovered {
    fn of(environment: &EnvironmentName, target: &AnyTarget, identity: &Identity, anew: Option<Anew>) -> Self {
        Self {
            version: VERSION,
            environment: environment.to_string(),
            target: target.character().name,
            changed: anew.is_some(),
            target_id: identity.target.to_string(),
            owner: identity.owner.number(),
            anew,
        }
    }
}

impl View for Recovered {
    fn human(&self, page: &mut Page) {
        let Self { environment, target, target_id, owner, anew, .. } = self;
        let Some(Anew { pin, .. }) = anew else {
            page.line(format_args!("nothing to do: {environment} has its record at {target}"));
            return;
        };
        page.line(format_args!("{environment} has a record at {target} again, with owner {owner}"));
        if let Some(config) = pin {
            page.line(format_args!("pin its id below environments.{environment} in {config}, beside `consul:`"));
            page.line(format_args!("target_id: {target_id}"));
        }
        page.line(format_args!(
            "next: `lockstep plan {environment}` shows what the branch head would change, and which keys are strays"
        ));
    }
}
