//! What lies below an environment's roots, beside what a revision says of it: what `unmanaged` and `strays` list.

use std::collections::BTreeSet;

use super::edges::{Edges, Freshness};
use super::error::Failure;
use super::hiding::tellable;
use super::options::Options;
use super::output::Output;
use crate::domain::name::EnvironmentName;
use crate::domain::resource::OwnerId;
use crate::domain::revision::Revision;
use crate::domain::rollout::Needed;
use crate::runtime::observe::no_head;
use crate::runtime::preview::{Look, Previewed, preview};

/// One look below the roots. No controller need run, and nothing is written.
pub(super) struct Below {
    /// Of this environment.
    pub(super) environment: EnvironmentName,
    /// The revision that says which keys are wanted: the branch head, or where that can't be used, what the environment is on.
    pub(super) revision: Revision,
    /// Whose mark is ours; none before `init`.
    pub(super) owner: Option<OwnerId>,
    /// What was found.
    pub(super) look: Box<Look>,
    /// Which revisions could not be read, and what that means.
    pub(super) notes: Vec<String>,
}

/// Looks below the roots of one environment, and says on standard error what could not be seen.
pub(super) async fn below(name: &str, options: &Options, output: &Output) -> Result<(Edges, Below), Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(name)?;
    let found = look(&edges, environment).await;
    edges.close().await;
    let below = found?;
    let behind = edges.behind.iter().map(|trouble| format!("the mirror may be behind: {trouble}"));
    behind.chain(below.notes.iter().cloned()).for_each(|note| output.note(&note));
    Ok((edges, below))
}

async fn look(edges: &Edges, environment: EnvironmentName) -> Result<Below, Failure> {
    let target = edges.target(&environment)?;
    let mut notes = Vec::new();
    let at = async |needed| {
        preview(&environment, &edges.repository, edges.fit(&environment)?, &edges.source, &target, needed, edges.now())
            .await
            .map_err(Failure::from)
    };
    let why = match edges.head() {
        None => no_head(&edges.tip),
        Some(head) => match at(Needed::named(head)).await? {
            Previewed::Look(look) => return Ok(Below::of(environment, head, look, notes)),
            Previewed::Invalid(text) | Previewed::Unfit(text) => {
                format!("the branch head {} can't be used here: {text}", head.short())
            }
            Previewed::Retired => format!("the branch head {} has no environment {environment}", head.short()),
            Previewed::Missing => format!("the mirror does not have the branch head {}", head.short()),
        },
    };
    let Some(goal) = edges.record(&environment, &target).await?.and_then(|stored| stored.record.goal) else {
        return Err(Failure::new(format!("say which keys {environment} wants: {why}, and nothing was ever applied there"))
            .hint(format!("`lockstep kv list {environment}` lists the live keys all the same")));
    };
    let (reached, goal) = (Needed::reached(goal.revision, goal.digest), goal.revision);
    let Previewed::Look(mut look) = at(reached).await? else {
        return Err(Failure::new(format!(
            "say which keys {environment} wants: {why}, and {}, which it is on, can't be read either",
            goal.short()
        ))
        .hint(format!("`lockstep kv list {environment}` lists the live keys all the same")));
    };
    // A newer commit may tag what this one does not.
    let obstacles = std::mem::take(&mut look.preview.plan.obstacles);
    look.preview.plan.obstacles = tellable(edges, &environment, obstacles).await?;
    notes.push(format!("{why}; {}, which the environment is on, says here which keys are wanted", goal.short()));
    Ok(Below::of(environment, goal, look, notes))
}

impl Below {
    fn of(environment: EnvironmentName, revision: Revision, look: Box<Look>, mut notes: Vec<String>) -> Self {
        let mut needed = look.record.as_ref().map_or_else(BTreeSet::new, |record| record.revisions_needed(&[]));
        needed.insert(Needed::named(revision));
        let unread = needed.len().saturating_sub(look.before.len());
        if unread > 0 {
            notes.push(format!(
                "{unread} of the revisions that the environment reached can't be read here: their keys may be listed as strays"
            ));
        }
        if look.live.partial {
            notes.push("there may be more: the token may not surely read everything below the roots".to_owned());
        }
        let owner = look.record.as_ref().map(|record| record.identity.owner);
        Self { environment, revision, owner, look, notes }
    }
}
