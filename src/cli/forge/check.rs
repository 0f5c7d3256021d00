//! `forge check`: whether address, credential, repository, statuses, pull requests and webhook work, in one screen.

use super::view::{Found, Line};
use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::client::forge::{ForgeClient, Hook, Place, Rights};
use crate::config::{self, Config, ConsulVariables, ForgeKind, Statuses};
use crate::domain::commit_status::{Posted, StatusContext, StatusState};
use crate::domain::revision::Revision;
use crate::port::{EdgeKind, Forge as _};

/// The last part of the context that `--write` writes.
const OWN_CONTEXT: &str = "check";

/// See whether everything that the configuration's `forge:` needs works
///
/// It reads, and writes nothing, unless --write is given. Not known is what only a write can show.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep forge check
  lockstep forge check --write
  lockstep forge check --output json | jq -r '.checks[] | select(.outcome == \"fails\") | .text'

Exits with 0 when nothing fails, with 1 when something does, and with 4 when the forge is not reachable.")]
pub(super) struct Args {
    /// Write a commit status `lockstep/check` on the branch head, and read it back
    #[arg(long)]
    write: bool,
    /// Where the forge reaches this controller: which webhooks are its own [default: `server.public_url`]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let config = config::read(options.config(), &ConsulVariables::of_process())?;
    let Some(forge) = &config.forge else {
        let hint = "write forge: {github: …} or {gitea: …}; docs/controller.md has every field";
        return Err(Failure::new("the configuration has no `forge:`").hint(hint));
    };
    if args.write && config.environments.keys().any(|name| name.as_str() == OWN_CONTEXT) {
        let hint = "try what may be written with another repository";
        return Err(Failure::usage("--write would overwrite the status of the environment called check").hint(hint));
    }
    let look = Look { client: ForgeClient::new(forge)?, forge, config: &config, args };
    let found = look.at_all().await;
    output.show(&found)?;
    Ok(found.exit())
}

/// Where this controller's own webhooks deliver to; none: nobody said.
fn own_address(args: &Args, config: &Config) -> Option<String> {
    let url = args.public_url.as_ref().or(config.server.public_url.as_ref())?;
    Some(url.trim_end_matches('/').to_owned())
}

/// One look at the forge.
struct Look<'a> {
    client: ForgeClient,
    forge: &'a config::Forge,
    config: &'a Config,
    args: &'a Args,
}

impl Look<'_> {
    async fn at_all(&self) -> Found {
        let mut found = Found::of(self.client.name());
        let api = &self.forge.api;
        match found.take("address", self.client.product().await) {
            None => return found,
            Some(Some(product)) => found.add(Line::works("address", format!("{product} answers at {api}"))),
            Some(None) => {
                let text = format!("what answers at {api} does not say that it is {}", self.kind());
                found.add(Line::fails("address", text).hint("is `url:` of `forge:` the address of the API?"));
            }
        }
        if !self.at_credential(&mut found).await {
            return found;
        }
        let Some(Place { default_branch, rights }) = found.take("repository", self.client.place().await) else { return found };
        let repository = &self.forge.repository;
        found.add(Line::works("repository", format!("{repository}, its default branch is {default_branch}")));
        let head = self.at_branch(&mut found).await;
        if self.forge.statuses == Statuses::Off {
            found.add(Line::works("statuses", "not wanted: statuses: off"));
        } else if let Some(head) = head {
            self.at_statuses(head, rights, &mut found).await;
        }
        self.at_pulls(rights, &mut found).await;
        self.at_hooks(&mut found).await;
        found
    }

    fn kind(&self) -> &'static str {
        match self.forge.kind {
            ForgeKind::GitHub => "GitHub",
            ForgeKind::Gitea => "Gitea or Forgejo",
        }
    }

    /// Whether to go on.
    async fn at_credential(&self, found: &mut Found) -> bool {
        let Some(login) = found.take("credential", self.client.identity().await) else { return false };
        found.add(match (login, self.client.installation()) {
            (Some(login), Some(number)) => Line::works("credential", format!("App {login}, installation {number}")),
            (Some(login), None) => Line::works("credential", format!("a token of {login}")),
            (None, _) => Line::unknown("credential", "it was taken, and may not read whose it is"),
        });
        true
    }

    async fn at_branch(&self, found: &mut Found) -> Option<Revision> {
        let name = &self.config.repository.branch;
        let branch = found.take("branch", self.client.branch(name).await)?;
        found.add(Line::works("branch", format!("{name} is at {}", branch.head.short())));
        Some(branch.head)
    }

    async fn at_statuses(&self, head: Revision, rights: Rights, found: &mut Found) {
        let Some(statuses) = found.take("read statuses", self.client.statuses(head).await) else { return };
        let many = match statuses.len() {
            0 => "none of lockstep's".to_owned(),
            1 => "1 of lockstep's".to_owned(),
            many => format!("{many} of lockstep's"),
        };
        found.add(Line::works("read statuses", format!("{} has {many}", head.short())));
        if self.args.write {
            return self.write_status(head, found).await;
        }
        found.add(match rights.statuses {
            Some(true) => Line::works("write statuses", "the credential has the right"),
            Some(false) => Line::fails("write statuses", "the credential lacks the right").hint(self.client.rights()),
            None => Line::unknown("write statuses", "the forge tells only who writes one")
                .hint("--write writes one and reads it back"),
        });
    }

    async fn write_status(&self, head: Revision, found: &mut Found) {
        let Some(context) = StatusContext::parse(&format!("{}{OWN_CONTEXT}", StatusContext::PREFIX)) else { return };
        let status = Posted { state: Some(StatusState::Success), text: "lockstep forge check".to_owned(), link: None };
        if found.take("write statuses", self.client.post(head, &context, &status).await).is_none() {
            return;
        }
        let Some(statuses) = found.take("write statuses", self.client.statuses(head).await) else { return };
        found.add(match statuses.get(&context) {
            Some(there) if *there == status => Line::works("write statuses", format!("{context} is on {}", head.short())),
            Some(_) | None => Line::fails("write statuses", format!("{context} was taken, and is not on {}", head.short())),
        });
    }

    async fn at_pulls(&self, rights: Rights, found: &mut Found) {
        if !self.forge.plans && !self.forge.revert_pull_requests {
            return found.add(Line::works("pull requests", "not wanted: plans: false"));
        }
        let branch = &self.config.repository.branch;
        let Some(pulls) = found.take("pull requests", self.client.pulls(branch).await) else { return };
        let text = match pulls.len() {
            1 => format!("1 open against {branch}"),
            many => format!("{many} open against {branch}"),
        };
        found.add(Line::works("pull requests", text));
        found.add(match rights.comments {
            Some(true) => Line::works("write comments", "the credential has the right"),
            Some(false) => Line::fails("write comments", "the credential lacks the right").hint(self.client.rights()),
            None => Line::unknown("write comments", "the forge tells only who writes one"),
        });
    }

    async fn at_hooks(&self, found: &mut Found) {
        let end = format!("/webhooks/{}", self.forge.kind.word());
        let own = own_address(self.args, self.config);
        let hooks = match self.client.hooks().await {
            Ok(hooks) => hooks,
            Err(error) if matches!(error.kind, EdgeKind::Denied | EdgeKind::NotFound) => {
                let settings = format!("look at the repository's settings, under Webhooks, for one that ends with {end}");
                return found.add(Line::unknown("webhook", "the credential may not list webhooks").hint(settings));
            }
            Err(error) => {
                found.take::<()>("webhook", Err(error));
                return;
            }
        };
        let is_own =
            |hook: &&Hook| own.as_ref().map_or_else(|| hook.url.ends_with(&end), |own| hook.url == format!("{own}{end}"));
        let mut ours = hooks.iter().filter(is_own).peekable();
        if ours.peek().is_none() {
            let wanted = own.unwrap_or_else(|| "https://THIS-CONTROLLER".to_owned());
            let text = format!("none delivers to {wanted}{end}; without one the repository is looked at every poll interval");
            return found.add(
                Line::unknown("webhook", text)
                    .hint("add one for push and pull request events, with content type application/json"),
            );
        }
        for hook in ours {
            found.add(hook_line(hook));
        }
    }
}

/// What is to be said of a webhook that delivers here.
fn hook_line(Hook { url, active, events, content_type, last }: &Hook) -> Line {
    let everything = events.iter().any(|event| event == "*");
    let lacking: Vec<&str> = ["push", "pull_request"]
        .into_iter()
        .filter(|event| !everything && !events.iter().any(|known| known == event))
        .collect();
    if !active {
        return Line::fails("webhook", format!("{url} is switched off"));
    }
    if !lacking.is_empty() {
        return Line::fails("webhook", format!("{url} is not told of {}", lacking.join(" and ")));
    }
    if content_type.as_deref() != Some("json") {
        let hint = "choose application/json: the signature is of the body as it is sent";
        return Line::fails("webhook", format!("{url} delivers as {}", content_type.as_deref().unwrap_or("nothing known")))
            .hint(hint);
    }
    let answered = |last: &str| last.split(' ').next().and_then(|code| code.parse::<u16>().ok());
    match last {
        Some(last) if answered(last).is_some_and(|code| !(200..300).contains(&code)) => {
            Line::fails("webhook", format!("{url}: the last delivery was answered {last}"))
        }
        Some(last) => Line::works("webhook", format!("{url}, the last delivery was answered {last}")),
        None => Line::works("webhook", format!("{url}, for push and pull requests")),
    }
}
