//! Which values stay hidden: a key that is tagged `!sensitive` now, or was when it was last there, is shown at no commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::edges::Edges;
use super::error::Failure;
use super::lineage::{Lineage, names};
use crate::client::git::Wanted;
use crate::domain::desired::{Tagging, environment_file, files_of_all};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::plan::Obstacle;
use crate::domain::revision::Revision;
use crate::domain::rollout::Rollout;
use crate::port::{EdgeError, EdgeKind, Target as _};

/// So many commits at which something changed are looked at at a time.
const STEPS: usize = 32;
/// How long a target is asked what the environment is on: one that is away holds up no look at the repository.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the values are from that are to be shown.
#[derive(Clone, Copy)]
pub(super) enum Shown<'r> {
    /// The target: they may be of any commit.
    Live,
    /// These commits.
    At(&'r [Revision]),
}

/// Those of some keys of an environment that no commit may show, although the commits that have them tag none of them. No
/// keys cost nothing; of each commit only the files are read that can name a key of which no newer one said anything.
///
/// The branch head decides, since a value is often tagged only after somebody noticed that it should be. Where it can't be
/// read or says nothing of a key, the newest commit decides that can be and does: a value that leaked is removed after it was
/// tagged. What the branch never says, or where there is none, is asked of the commits that the environment is on and that
/// the mirror keeps, unless what is shown is all the branch's own. Where none of all these can be read, every key stays hidden.
pub(super) async fn hidden(
    edges: &Edges,
    environment: &EnvironmentName,
    keys: BTreeSet<KeyPath>,
    shown: Shown<'_>,
) -> Result<BTreeSet<KeyPath>, Failure> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let head = edges.head();
    let mut known =
        Known { edges, tagged: BTreeSet::new(), open: keys, called: BTreeSet::from([environment.clone()]), is_read: false };
    if let Some(head) = head {
        known.ask(environment, head, &Asked::new()).await?;
    }
    let is_settled = known.open.is_empty() || known.is_read && is_of_the_branch(edges, shown).await?;
    if !is_settled {
        known.ask_beside(environment).await?;
    }
    let Known { mut tagged, open, is_read, .. } = known;
    if !is_read {
        tagged.extend(open);
    }
    Ok(tagged)
}

/// The same of one key.
pub(super) async fn is_hidden(
    edges: &Edges,
    environment: &EnvironmentName,
    key: &KeyPath,
    shown: Shown<'_>,
) -> Result<bool, Failure> {
    Ok(!hidden(edges, environment, BTreeSet::from([key.clone()]), shown).await?.is_empty())
}

/// The obstacles of a plan, without the digests of values that stay hidden.
pub(super) async fn tellable(
    edges: &Edges,
    environment: &EnvironmentName,
    obstacles: Vec<Obstacle>,
) -> Result<Vec<Obstacle>, Failure> {
    let telling = obstacles.iter().filter(|obstacle| obstacle.tells_digests()).map(|obstacle| obstacle.key.clone()).collect();
    let hidden = hidden(edges, environment, telling, Shown::Live).await?;
    let told = |obstacle: Obstacle| if hidden.contains(&obstacle.key) { obstacle.without_digests() } else { obstacle };
    Ok(obstacles.into_iter().map(told).collect())
}

/// A record without the digests of values that stay hidden; without any, where nobody can tell which those are.
pub(super) async fn tellable_record(edges: &Edges, environment: &EnvironmentName, record: Rollout) -> Rollout {
    let keys = record.keys_with_digests();
    let hidden = hidden(edges, environment, keys.clone(), Shown::Live).await.unwrap_or(keys);
    record.without_digests(&hidden)
}

async fn is_of_the_branch(edges: &Edges, shown: Shown<'_>) -> Result<bool, EdgeError> {
    match (edges.head(), shown) {
        (None, _) | (_, Shown::Live) => Ok(false),
        (Some(head), Shown::At(commits)) => Ok(edges.source.astray(head, commits.iter().copied().collect()).await?.is_empty()),
    }
}

/// What was asked already: these commits and those before them, under these names.
type Asked = BTreeSet<(Revision, EnvironmentName)>;

/// Commits that the branch does not have.
struct Beside<'e> {
    edges: &'e Edges,
    environment: &'e EnvironmentName,
    /// Each with the newest that it has in common with the branch.
    starts: BTreeMap<Revision, Option<Revision>>,
    /// All that were found, those of the branch too.
    found: BTreeSet<Revision>,
    /// Those of them that nobody knows yet whether the branch has them.
    new: BTreeSet<Revision>,
    /// The names by which they were looked for.
    names: BTreeSet<EnvironmentName>,
    /// The target does not answer.
    is_away: bool,
}

impl<'e> Beside<'e> {
    async fn of(edges: &'e Edges, environment: &'e EnvironmentName) -> Self {
        let new = edges.source.last_stood().await.ok().flatten().into_iter().collect();
        let (starts, found, names) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { edges, environment, starts, found, new, names, is_away: false }
    }

    /// One of them, and a name by which it was not asked yet, of those by which the environment may be called.
    async fn next(
        &mut self,
        called: &mut BTreeSet<EnvironmentName>,
        asked: &Asked,
    ) -> Result<Option<(Revision, EnvironmentName)>, EdgeError> {
        while let Some(name) = called.difference(&self.names).next().cloned() {
            called.extend(self.find(&name).await);
            self.names.insert(name);
        }
        self.new.retain(|start| self.found.insert(*start));
        let new = std::mem::take(&mut self.new);
        match self.edges.head() {
            Some(head) if !new.is_empty() => self.starts.extend(self.edges.source.astray(head, new).await?),
            Some(_) => {}
            None => self.starts.extend(new.into_iter().map(|start| (start, None))),
        }
        let all = self.starts.keys().flat_map(|start| called.iter().map(|name| (*start, name.clone())));
        Ok(all.into_iter().find(|one| !asked.contains(one)))
    }

    /// Looks for those that are known by a name; the names that the record has besides.
    async fn find(&mut self, name: &EnvironmentName) -> Vec<EnvironmentName> {
        self.new.extend(self.edges.source.kept(name).await.unwrap_or_default());
        // Its record is in its own place under this name, or in that of the name that is asked about.
        let target = self.edges.target(name).or_else(|_| self.edges.target(self.environment));
        let Some(target) = target.ok().filter(|_| !self.is_away) else { return Vec::new() };
        // Not `load`, which reads every key where there is no record.
        let record = match tokio::time::timeout(PATIENCE, target.former(name)).await {
            Ok(Ok(stored)) => stored.map(|stored| stored.record),
            Ok(Err(error)) => {
                self.is_away = error.kind == EdgeKind::Transient;
                None
            }
            Err(_) => {
                self.is_away = true;
                None
            }
        };
        let Some(record) = record else { return Vec::new() };
        self.new.extend(record.goal.map(|goal| goal.revision));
        record.former.into_iter().map(|former| former.name).collect()
    }
}

/// What is known so far.
struct Known<'e> {
    edges: &'e Edges,
    tagged: BTreeSet<KeyPath>,
    open: BTreeSet<KeyPath>,
    /// The names that the environment had or has.
    called: BTreeSet<EnvironmentName>,
    is_read: bool,
}

impl Known<'_> {
    /// Asks a commit and those before it, as far as it takes, about the open keys, under whatever name the environment went on.
    /// Tells the names that it had there.
    async fn ask(
        &mut self,
        name: &EnvironmentName,
        from: Revision,
        asked: &Asked,
    ) -> Result<BTreeSet<EnvironmentName>, EdgeError> {
        let mut passed = BTreeSet::new();
        for name in names(self.edges, name, from).await?.into_iter().rev() {
            // What was called so before was read with what it is called now.
            if !self.open.is_empty() && !passed.contains(&name) {
                passed.extend(self.look(name, from, asked).await?);
            }
        }
        self.called.extend(passed.iter().cloned());
        Ok(passed)
    }

    /// Asks what may say what the branch does not, or not any more: where it stood before it was gone, what the environment is
    /// on, what the mirror keeps for it.
    async fn ask_beside(&mut self, environment: &EnvironmentName) -> Result<(), Failure> {
        let (unsaid, of_the_branch) = (self.open.clone(), self.called.clone());
        let mut beside = Beside::of(self.edges, environment).await;
        let mut asked = Asked::new();
        while let Some((start, name)) = beside.next(&mut self.called, &asked).await? {
            if let Some(joint) = beside.starts.get(&start).copied().flatten() {
                asked.extend(of_the_branch.iter().map(|name| (joint, name.clone())));
            }
            // None of them is the newest: one that tags a key is enough.
            self.open = unsaid.difference(&self.tagged).cloned().collect();
            match self.ask(&name, start, &asked).await {
                Err(error) if error.kind == EdgeKind::NotFound => {}
                passed => asked.extend(passed?.into_iter().map(|name| (start, name))),
            }
            asked.insert((start, name));
        }
        Ok(())
    }

    /// Asks a commit and those before it about the open keys; the names that the environment had there.
    async fn look(
        &mut self,
        name: EnvironmentName,
        from: Revision,
        asked: &Asked,
    ) -> Result<BTreeSet<EnvironmentName>, EdgeError> {
        let mut called = BTreeSet::from([name.clone()]);
        let mut lineage = Lineage::of(self.edges, name.clone(), from);
        let mut tagging = Tagging::of(name, self.open.clone());
        // Most are said by the commit itself: no other is read for them.
        tagging.look(&self.edges.source.pick(from, wanted(&tagging)).await?);
        'past: while !lineage.is_over() && !tagging.open().is_empty() {
            let marks = asked.iter().filter(|(_, name)| name == tagging.name()).map(|(at, _)| *at).collect();
            let page = lineage.page(wanted(&tagging), marks, STEPS).await?;
            for (step, _) in &page.steps {
                // What lies before was asked already.
                if !step.marked.is_empty() {
                    break 'past;
                }
                tagging.look(&step.tree);
            }
            if !page.beyond.is_empty() {
                break;
            }
            if let Some((former, _)) = page.renamed {
                called.insert(former.clone());
                tagging.rename(former);
            }
        }
        self.is_read |= tagging.is_read();
        let (tagged, open) = tagging.told();
        self.tagged.extend(tagged);
        self.open = open;
        Ok(called)
    }
}

/// The files that can say anything of the open keys.
fn wanted(tagging: &Tagging) -> Wanted {
    let (name, keys) = (tagging.name().clone(), Arc::new(tagging.open().clone()));
    Wanted { first: environment_file(&name), then: Box::new(move |file| files_of_all(&name, file, keys.iter())) }
}
