//! `init`: the first record of an environment, and the line to pin it with.

use serde::Serialize;

use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::former::{formerly, names};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::count;
use crate::client::consul::acl::{self, FormerNames};
use crate::config::TargetConfig;
use crate::domain::rollout::Formerly;
use crate::port::{EdgeKind, Target as _};

/// Prepare a target for an environment, once, and print the `target_id` to pin
///
/// Makes the environment's first record, so that a wrong address, an empty Consul or a restored snapshot can never look like
/// a first use. Refused when there is a record already, unless the configuration pins it; also under the name that the branch head
/// gives with `formerly`: that one is taken over by `lockstep run`, or by `lockstep apply --once`. Says besides what the token needs
/// at least, and what comes next.
/// To initialise, a token needs to write below `lockstep/owners/` too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lockstep init production
  # then put the printed line beside `address:` in lockstep-controller.yaml:
  #   target_id: 6f1c0a52d4b94e07")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let target = edges.target(&environment)?;
    let formerly = formerly(&edges, &environment).await?;
    let made = match &target {
        AnyTarget::Consul(consul) => consul.initialise_after(&formerly).await,
        // A directory holds one record: that of a former name is in the way of another, and is taken over where it is.
        AnyTarget::Directory(_) => target.initialise().await,
    };
    let made = match (made, &formerly) {
        // What a branch that can't be used keeps from being taken over was not lost.
        (Err(error), Formerly::Unknown(_)) if error.kind == EdgeKind::Refused => {
            Err(edges.heir(&environment, &edges.fit(&environment)?, &target).await.err().unwrap_or(error))
        }
        (made, _) => made,
    };
    // Only for what is said to come next: the id of a record that was made is told in any case.
    let is_in_use = made.is_ok() && target.load().await.is_ok_and(|found| found.is_some_and(|it| it.record.goal.is_some()));
    // What is there is for people: that it can't be read does not undo the record.
    let there = if made.is_ok() { target.live().await.ok() } else { None };
    edges.close().await;
    let identity = made.map_err(|error| {
        let hint = match (error.lacks_right, edges.target_config(&environment)) {
            // Rules help a token that lacks a right; one that is unknown or unreadable has a hint of its own.
            (true, Ok(TargetConfig::Consul(consul))) => {
                let pending = match &formerly {
                    Formerly::As(names) => names.clone(),
                    Formerly::Never | Formerly::Unknown(_) => Vec::new(),
                };
                let former = FormerNames { pending, ..FormerNames::default() };
                let rules = acl::rules_to_initialise(&edges.repository, &environment, &consul.keys, &former);
                Some(format!("the token needs these rules: {}", rules.trim_end().replace('\n', "; ")))
            }
            _ => error.hint.clone(),
        };
        let failure = Failure::from(error);
        Failure { hint: hint.or_else(|| Some(format!("`lockstep status {environment}` shows what is there"))), ..failure }
    })?;
    let rules = match edges.target_config(&environment)? {
        TargetConfig::Consul(consul) => {
            let (former, _) = names(&edges, &environment, &target).await?;
            Some(acl::rules(&edges.repository, &environment, &consul.keys, &former))
        }
        // Only one machine can see it, and its path is the pin.
        TargetConfig::Directory(_) => None,
    };
    output.show(&Initialised {
        version: VERSION,
        environment: environment.to_string(),
        target: target.character().name,
        target_id: identity.target.to_string(),
        owner: identity.owner.number(),
        config: options.config().display().to_string(),
        acl_rules: rules,
        is_in_use,
        keys_there: there.map(|live| live.entries.len() + live.unmanageable.len()),
    })?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Initialised {
    version: u32,
    environment: String,
    target: String,
    target_id: String,
    owner: u16,
    #[serde(skip)]
    config: String,
    /// What the token needs at least; none for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    acl_rules: Option<String>,
    /// How many keys are below the roots already, whoever's they are; none where they can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_there: Option<usize>,
    /// It was initialised before, and something is live there.
    #[serde(skip)]
    is_in_use: bool,
}

impl View for Initialised {
    fn human(&self, page: &mut Page) {
        let Self { environment, target, target_id, config, acl_rules, is_in_use, keys_there, .. } = self;
        page.line(format_args!("{environment} is ready at {target}"));
        if acl_rules.is_some() {
            page.line(format_args!("pin it below environments.{environment} in {config}, beside `consul:`"));
        } else {
            page.line("a directory needs no pin; for the record, its id is");
        }
        // A line of its own, so that it can be copied, or cut out by a script.
        page.line(format_args!("target_id: {target_id}"));
        if let Some(rules) = acl_rules {
            page.line("");
            page.line("where Consul's ACLs are on, the controller's token needs no more than these rules:");
            rules.lines().for_each(|rule| page.line(format_args!("  {rule}")));
        }
        page.line("");
        if *is_in_use {
            page.line(format_args!("it was in use already; `lockstep status {environment}` shows where it stands"));
            return;
        }
        if let Some(number @ 1..) = *keys_there {
            let are = if number == 1 { "is" } else { "are" };
            page.line(format_args!("{} {are} there already, below its roots; none was touched", count(number, "key")));
            page.line(format_args!(
                "`lockstep unmanaged {environment}` lists them, and `lockstep adopt {environment}` takes over, with their"
            ));
            page.line("values, those that the repository has too; no other key is ever written or deleted");
            page.line("");
        }
        page.line(format_args!(
            "next: `lockstep plan {environment}` shows the first deploy; `lockstep run` keeps the environment in"
        ));
        page.line(format_args!("step from then on, or `lockstep apply --once {environment}` takes it there once"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(is_in_use: bool, expected: &str) {
        let view = Initialised {
            version: VERSION,
            environment: "test".to_owned(),
            target: "consul http://127.0.0.1:8500".to_owned(),
            target_id: "6f1c0a52d4b94e07".to_owned(),
            owner: 7,
            config: "lockstep-controller.yaml".to_owned(),
            acl_rules: Some(String::new()),
            is_in_use,
            keys_there: Some(2_000),
        };
        let mut page = Page::default();
        view.human(&mut page);
        let said = page.plain();
        assert!(said.contains("\ntarget_id: 6f1c0a52d4b94e07\n") && said.contains(expected), "{said}");
        assert_eq!(said.contains("first deploy"), !is_in_use, "{said}");
        assert_eq!(said.contains("2000 keys are there already, below its roots; none was touched"), !is_in_use, "{said}");
    }

    #[test]
    fn what_comes_next_depends_on_whether_something_is_live() {
        check(false, "next: `lockstep plan test` shows the first deploy");
        check(true, "it was in use already; `lockstep status test` shows where it stands");
    }
}
