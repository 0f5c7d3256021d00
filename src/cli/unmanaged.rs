//! `unmanaged`: live keys below the roots that lockstep does not manage, and which of them the branch head wants (rules O2, O8).

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::below::{Below, below};
use super::error::{Exit, Failure};
use super::key::{beginning, within};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::{clean, count};
use crate::domain::live::LiveEntry;
use crate::domain::name::KeyPath;
use crate::domain::plan::{Action, ObstacleKind};
use crate::domain::resource::Ownership;
use crate::domain::scope::KeyPrefix;
use crate::domain::words::shell_word;

/// List the live keys that lockstep does not manage
///
/// Keys below the environment's roots without its mark: those that the branch head does not want, which are never touched, and
/// those that it wants, each with whether it can be adopted. Needs read rights only and no controller.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep unmanaged production
  lockstep unmanaged production config/app/
  lockstep unmanaged production --output json | jq -r '.keys[] | select(.standing == \"differing\") | .key'

Exits with 0 also when there is none; with 4 when a target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Only keys that begin so
    #[arg(value_name = "PREFIX")]
    prefix: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let prefix = beginning(args.prefix.as_ref())?;
    let (edges, below) = below(&args.environment, options, output).await?;
    within(prefix, &below.environment, &edges.fit(&below.environment)?.roots)?;
    output.show(&Unmanaged::of(&below, prefix))?;
    Ok(Exit::Ok)
}

/// What the branch head has to do with a key that is not managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    /// It is wanted and has the same value.
    Adoptable,
    /// It is wanted, has the same value, and may be adopted already: the next advance takes it over.
    Adopting,
    /// It is wanted and has another value.
    Differing,
    /// It is wanted and carries another program's flags.
    Flagged,
    /// It is wanted and carries another environment's mark.
    Owned,
    /// It is not wanted.
    Unwanted,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    unwanted: usize,
    adoptable: usize,
    adopting: usize,
    differing: usize,
    flagged: usize,
    owned: usize,
}

#[derive(Serialize)]
struct Unmanaged {
    version: u32,
    environment: String,
    /// The revision that says which keys are wanted.
    revision: String,
    counts: Counts,
    keys: Vec<Key>,
    /// Keys that can't be named safely, and that lockstep never touches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmanageable: Vec<String>,
    /// The credential may not surely read everything.
    partial: bool,
    #[serde(skip)]
    adopt: Option<String>,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "key")]
    name: String,
    standing: Standing,
    /// Another program's flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u64>,
    /// The lockstep owner whose mark it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<u16>,
    /// Why it is not managed although it is wanted; both digests where the values differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Unmanaged {
    fn of(below: &Below, prefix: &str) -> Self {
        let Below { environment, revision, owner, look, notes: _ } = below;
        let (plan, live) = (&look.preview.plan, &look.live);
        let mut found: Vec<(&KeyPath, Standing, Option<String>)> = Vec::new();
        found.extend(plan.foreign(live, &look.desired, *owner).map(|key| (key, Standing::Unwanted, None)));
        let dropped = || Some("was managed, lost its mark, and is wanted no more".to_owned());
        found.extend(plan.unmanaged.iter().map(|key| (key, Standing::Unwanted, dropped())));
        found.extend(plan.obstacles.iter().filter_map(|obstacle| {
            let standing = match obstacle.kind {
                ObstacleKind::Adoptable => Standing::Adoptable,
                ObstacleKind::Differing => Standing::Differing,
                ObstacleKind::Flagged => Standing::Flagged,
                ObstacleKind::Owned(_) => Standing::Owned,
                ObstacleKind::Drifted | ObstacleKind::Hidden | ObstacleKind::Left | ObstacleKind::Unfit => return None,
            };
            Some((&obstacle.key, standing, Some(obstacle.said())))
        }));
        let adopting = plan.changes.iter().filter(|change| change.action == Action::Adopt);
        found.extend(adopting.map(|change| (&change.key, Standing::Adopting, Some(change.why.to_string()))));
        found.retain(|(key, ..)| key.as_str().starts_with(prefix));
        found.sort_unstable_by_key(|(key, ..)| *key);
        let mut counts = Counts::default();
        for (_, standing, _) in &found {
            *match standing {
                Standing::Adoptable => &mut counts.adoptable,
                Standing::Adopting => &mut counts.adopting,
                Standing::Differing => &mut counts.differing,
                Standing::Flagged => &mut counts.flagged,
                Standing::Owned => &mut counts.owned,
                Standing::Unwanted => &mut counts.unwanted,
            } += 1;
        }
        let adoptable = found.iter().filter(|(_, standing, _)| *standing == Standing::Adoptable).map(|(key, ..)| *key);
        let adopt = KeyPrefix::around(adoptable).map(|prefix| {
            let named = if prefix.is_every() { String::new() } else { format!(" {}", shell_word(prefix.as_str())) };
            format!("`lockstep adopt {environment}{named}` takes over what has the same value; no value is written")
        });
        Self {
            version: VERSION,
            environment: environment.to_string(),
            revision: revision.to_string(),
            counts,
            keys: found
                .into_iter()
                .map(|(key, standing, why)| Key::of(key, standing, why.as_deref(), live.entries.get(key)))
                .collect(),
            unmanageable: live.unmanageable.iter().filter(|key| key.starts_with(prefix)).map(|key| clean(key)).collect(),
            partial: live.partial,
            adopt,
        }
    }
}

impl Key {
    fn of(key: &KeyPath, standing: Standing, why: Option<&str>, found: Option<&LiveEntry>) -> Self {
        let (flags, owner) = match found.map(|found| (found.flags, found.flags.ownership())) {
            Some((flags, Ownership::Foreign)) => (Some(flags.0), None),
            Some((_, Ownership::Marked(mark))) => (None, Some(mark.owner.number())),
            Some((_, Ownership::Unmarked)) | None => (None, None),
        };
        Self { name: clean(key.as_str()), standing, flags, owner, why: why.map(clean) }
    }
}

impl View for Unmanaged {
    fn human(&self, page: &mut Page) {
        for Key { name, standing, flags, owner, why } in &self.keys {
            let (sign, style) = match standing {
                Standing::Unwanted => (" ", Style::new().dimmed()),
                Standing::Adoptable | Standing::Adopting => ("=", Style::new().cyan()),
                Standing::Differing => ("~", Style::new().yellow()),
                Standing::Flagged | Standing::Owned => ("!", Style::new().red()),
            };
            let told = match (why, flags, owner) {
                (Some(why), ..) => format!(" ({why})"),
                (None, Some(flags), _) => format!(" (another program's flags: {flags})"),
                (None, None, Some(owner)) => format!(" (owned by lockstep owner {owner})"),
                (None, None, None) => String::new(),
            };
            page.line(format_args!("{} {}{}", sign.style(style), name, told.style(Style::new().dimmed())));
        }
        for key in &self.unmanageable {
            page.line(format_args!("  {key} {}", "(not manageable: no safe name)".style(Style::new().dimmed())));
        }
        let Counts { unwanted, adoptable, adopting, differing, flagged, owned } = self.counts;
        let parts = [
            (unwanted, "not wanted and never touched"),
            (adoptable, "wanted, with the same value"),
            (adopting, "taken over by the next advance"),
            (differing, "wanted, with another value"),
            (flagged, "wanted, with another program's flags"),
            (owned, "wanted, with another environment's mark"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
        let all = count(self.keys.len(), "unmanaged key");
        let short = self.revision.get(..7).unwrap_or(&self.revision);
        let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        page.line(format_args!("{} at {short}: {all}{parts}", self.environment));
        if let Some(adopt) = &self.adopt {
            page.hint(adopt);
        }
    }
}
