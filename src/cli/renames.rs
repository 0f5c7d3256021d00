//! Environments that were renamed between two commits, as the commits say (rule O9); no target is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::edges::Edges;
use super::lineage::{Lineage, STEPS, file_alone};
use crate::domain::desired::{FileTree, environment_names, former_name, heads};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::port::EdgeError;

/// A revision, and what tells the environments of it.
pub(super) struct Side {
    pub(super) revision: Revision,
    heads: FileTree,
    /// Its environments.
    pub(super) names: BTreeSet<EnvironmentName>,
}

impl Side {
    /// Reads what tells the environments of a revision.
    ///
    /// # Errors
    /// When the mirror can't be read, or does not have the commit.
    pub(super) async fn of(edges: &Edges, revision: Revision) -> Result<Self, EdgeError> {
        let heads = edges.source.part(revision, heads()).await?;
        let names = environment_names(&heads);
        Ok(Self { revision, heads, names })
    }

    /// The own files of the environments.
    pub(super) const fn heads(&self) -> &FileTree {
        &self.heads
    }
}

/// One environment of two revisions, whatever each of them calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// What the first calls it; none: it does not have it.
    pub(super) before: Option<EnvironmentName>,
    /// What the second calls it.
    pub(super) after: Option<EnvironmentName>,
    /// Its newer name.
    pub(super) name: EnvironmentName,
    /// Its older one, where the two differ.
    pub(super) formerly: Option<EnvironmentName>,
}

impl Pair {
    /// Whether it has this name in either revision.
    pub(super) fn is(&self, name: &str) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(|known| known.as_str() == name)
    }
}

/// The environments of two revisions. What one of them calls otherwise is one environment where a commit says so
/// (`formerly:`), whichever of the two revisions is the newer one; where nobody says so it is two.
///
/// # Errors
/// When the mirror can't be read.
pub(super) async fn pairs(edges: &Edges, from: &Side, to: &Side) -> Result<Vec<Pair>, EdgeError> {
    let onwards = renamed(edges, to, from).await?;
    let mut taken: BTreeSet<&EnvironmentName> = onwards.values().collect();
    // The second revision may be the older one.
    let mut back = renamed(edges, from, to).await?;
    back.retain(|newer, older| !taken.contains(newer) && !onwards.contains_key(older));
    let back: BTreeMap<&EnvironmentName, &EnvironmentName> = back.iter().map(|(newer, older)| (older, newer)).collect();
    taken.extend(back.values());
    let mut pairs = Vec::new();
    for name in &to.names {
        let one = |before: Option<&EnvironmentName>, newer: &EnvironmentName, older: Option<&EnvironmentName>| Pair {
            before: before.cloned(),
            after: Some(name.clone()),
            name: newer.clone(),
            formerly: older.cloned(),
        };
        pairs.push(match (onwards.get(name), back.get(name)) {
            (Some(older), _) => one(Some(older), name, Some(older)),
            (None, Some(newer)) => one(Some(newer), newer, Some(name)),
            (None, None) => one(from.names.get(name).filter(|name| !taken.contains(name)), name, None),
        });
    }
    let is_told = |name: &EnvironmentName, pairs: &[Pair]| pairs.iter().any(|pair| pair.before.as_ref() == Some(name));
    for name in &from.names {
        if !is_told(name, &pairs) {
            pairs.push(Pair { before: Some(name.clone()), after: None, name: name.clone(), formerly: None });
        }
    }
    pairs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(pairs)
}

/// Those environments of a later revision that an earlier one has by another name, with that name.
async fn renamed(edges: &Edges, later: &Side, earlier: &Side) -> Result<BTreeMap<EnvironmentName, EnvironmentName>, EdgeError> {
    let mut found = BTreeMap::new();
    let gone: BTreeSet<&EnvironmentName> = earlier.names.difference(&later.names).collect();
    let mut open = gone.clone();
    for name in &later.names {
        let said = former_name(&later.heads, name).filter(|former| open.remove(former));
        if let Some(former) = said {
            found.insert(name.clone(), former);
        } else if !earlier.names.contains(name) && !open.is_empty() {
            let mut lineage = Lineage::of(edges, name.clone(), later.revision);
            while let Some(former) = former(&mut lineage).await? {
                if open.remove(&former) {
                    found.insert(name.clone(), former);
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// The next name that an environment had before, as the commits say.
async fn former(lineage: &mut Lineage<'_>) -> Result<Option<EnvironmentName>, EdgeError> {
    while !lineage.is_over() {
        let page = lineage.page(file_alone(lineage.name()), BTreeSet::new(), STEPS).await?;
        if let Some((former, _)) = page.renamed {
            return Ok(Some(former));
        }
    }
    Ok(None)
}
