//! Which values stay hidden: a key that is tagged `!sensitive` now, or was when it was last there, is shown at no commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::edges::Edges;
use super::error::Failure;
use super::renames::called_since;
use super::trace::called;
use crate::client::git::{TrailEnd, Wanted};
use crate::domain::desired::{Tagging, environment_file, files_of_all};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Revision;
use crate::port::{EdgeError, EdgeKind, Target as _};

/// So many commits at which something changed are looked at at a time.
const STEPS: usize = 32;

/// Those of some keys of an environment that no commit may show, although the commits that have them tag none of them. No
/// keys cost nothing; of each commit only the files are read that can name a key of which no newer one said anything.
///
/// The branch head decides, since a value is often tagged only after somebody noticed that it should be. Where it can't be
/// read or says nothing of a key, the newest commit decides that can be and does: a value that leaked is removed after it was
/// tagged. What the branch never says, or where there is none, is asked of the commits that the environment is on and that
/// the mirror keeps. Where none of all these can be read, every key stays hidden.
pub(super) async fn hidden(
    edges: &Edges,
    environment: &EnvironmentName,
    keys: BTreeSet<KeyPath>,
) -> Result<BTreeSet<KeyPath>, Failure> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let head = edges.head();
    let mut known = Known { tagged: BTreeSet::new(), open: keys, is_read: false };
    if let Some(head) = head {
        known.look(edges, &called_since(edges, environment, head).await?, head).await?;
    }
    if !known.open.is_empty() {
        let unsaid = known.open.clone();
        let mut starts = beside(edges, environment).await;
        if let Some(head) = head {
            starts = edges.source.astray(head, starts).await?;
        }
        // None of them is the newest: one that tags a key is enough.
        for start in starts {
            known.open = unsaid.difference(&known.tagged).cloned().collect();
            match known.look_under_any_name(edges, environment, start).await {
                Err(error) if error.kind == EdgeKind::NotFound => {}
                looked => looked?,
            }
        }
    }
    let Known { mut tagged, open, is_read } = known;
    if !is_read {
        tagged.extend(open);
    }
    Ok(tagged)
}

/// The same of one key.
pub(super) async fn is_hidden(edges: &Edges, environment: &EnvironmentName, key: &KeyPath) -> Result<bool, Failure> {
    Ok(!hidden(edges, environment, BTreeSet::from([key.clone()])).await?.is_empty())
}

/// What is known so far.
struct Known {
    tagged: BTreeSet<KeyPath>,
    open: BTreeSet<KeyPath>,
    is_read: bool,
}

impl Known {
    /// The same of a commit that may have the environment under a name from before or after this one.
    async fn look_under_any_name(
        &mut self,
        edges: &Edges,
        environment: &EnvironmentName,
        at: Revision,
    ) -> Result<(), EdgeError> {
        let before = called(edges, environment, at).await?;
        let name = if before == *environment { called_since(edges, environment, at).await? } else { before };
        self.look(edges, &name, at).await
    }

    /// Asks a commit and those before it, as far as it takes, about the open keys.
    async fn look(&mut self, edges: &Edges, environment: &EnvironmentName, from: Revision) -> Result<(), EdgeError> {
        let mut tagging = Tagging::of(environment.clone(), self.open.clone());
        // Most are said by the commit itself: no other is read for them.
        tagging.look(&edges.source.pick(from, wanted(&tagging)).await?);
        let mut next = Some(from);
        while let Some(from) = next.filter(|_| !tagging.open().is_empty()) {
            let trail = edges.source.trail(from, wanted(&tagging), BTreeSet::new(), STEPS).await?;
            next = match trail.end {
                TrailEnd::More(next) => Some(next),
                TrailEnd::Root => None,
            };
            let mut renaming = from;
            for step in &trail.steps {
                if !tagging.look(&step.tree) {
                    // What lies before it is the past of another name.
                    next = Some(if renaming == from { from } else { before(edges, renaming).await? });
                    break;
                }
                renaming = step.commit.revision;
            }
        }
        self.is_read |= tagging.is_read();
        let (tagged, open) = tagging.told();
        self.tagged.extend(tagged);
        self.open = open;
        Ok(())
    }
}

/// Commits that may say what the branch does not, or not any more: where it stood before it was gone, what the environment is
/// on, what the mirror keeps for it.
async fn beside(edges: &Edges, environment: &EnvironmentName) -> BTreeSet<Revision> {
    let mut found: BTreeSet<Revision> = edges.source.last_stood().await.ok().flatten().into_iter().collect();
    if let Ok(target) = edges.target(environment)
        && let Ok(Some(stored)) = target.load().await
    {
        found.extend(stored.record.goal.map(|goal| goal.revision));
    }
    found.extend(edges.source.kept(environment).await.unwrap_or_default());
    found
}

async fn before(edges: &Edges, revision: Revision) -> Result<Revision, EdgeError> {
    edges.source.resolve(&format!("{revision}~1")).await
}

/// The files that can say anything of the open keys.
fn wanted(tagging: &Tagging) -> Wanted {
    let (name, keys) = (tagging.name().clone(), Arc::new(tagging.open().clone()));
    Wanted { first: environment_file(&name), then: Box::new(move |file| files_of_all(&name, file, keys.iter())) }
}
