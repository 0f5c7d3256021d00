//! `strays`: keys with this environment's mark that no revision has which it reached (rule O3).

use serde::Serialize;

use super::below::{Below, below};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::{clean, count};
use crate::config::TargetConfig;
use crate::domain::words::shell_word;

/// List marked copies that no reached revision contains
///
/// Somebody copied a key with its flags, as `consul kv export` and `import` do. lockstep reports such a key and never deletes it: the
/// mark alone is no proof that it is its own. Needs read rights only and no controller.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep strays production
  lockstep strays production --output json | jq -r '.keys[].key'

Exits with 0 also when there is none; with 4 when a target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let (edges, below) = below(&args.environment, options, output).await?;
    let is_consul = matches!(edges.target_config(&below.environment)?, TargetConfig::Consul(_));
    output.show(&Strays::of(&below, is_consul))?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Strays {
    version: u32,
    environment: String,
    count: usize,
    keys: Vec<Stray>,
    #[serde(skip)]
    is_consul: bool,
}

#[derive(Serialize)]
struct Stray {
    #[serde(rename = "key")]
    name: String,
    /// The attempt that its mark names.
    generation: u32,
    /// What a delete that must not hit a later write names: Consul's `ModifyIndex`.
    index: u64,
}

impl Strays {
    fn of(below: &Below, is_consul: bool) -> Self {
        let Below { environment, revision: _, owner, look, notes: _ } = below;
        let marked = look.preview.plan.strays.iter().filter_map(|key| {
            let found = look.live.entries.get(key)?;
            let mark = found.flags.mark_of((*owner)?)?;
            Some(Stray { name: key.to_string(), generation: mark.generation.number(), index: found.fence.0 })
        });
        let keys: Vec<Stray> = marked.collect();
        Self { version: VERSION, environment: environment.to_string(), count: keys.len(), keys, is_consul }
    }
}

impl View for Strays {
    fn human(&self, page: &mut Page) {
        for Stray { name, generation, .. } in &self.keys {
            page.line(format_args!("{generation:>6}  {}", clean(name)));
        }
        page.line(format_args!("{}: {}", self.environment, count(self.keys.len(), "stray")));
        let Some(Stray { name, index, .. }) = self.keys.first() else { return };
        let word = clean(&shell_word(name));
        if self.is_consul {
            page.hint(&format!("to delete one unless it changed since: `consul kv delete -cas -modify-index={index} {word}`"));
            page.hint(&format!(
                "to keep one as somebody's own, write it again, which takes the mark off: `consul kv put {word} …`"
            ));
        } else {
            page.hint("to get rid of one, delete its file below `current/`");
        }
        page.hint("to have one managed, commit it: what carries the mark is taken for the environment's own then");
    }
}
