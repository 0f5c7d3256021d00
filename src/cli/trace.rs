//! A key's files from commit to commit, under whatever name the environment had there (rule O9).

use std::collections::BTreeSet;

use super::edges::Edges;
use super::lineage::{Lineage, STEPS, file_alone, has};
use crate::client::git::Wanted;
use crate::domain::desired::{Problem, Provenance, environment_file, files_of, provenance};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Revision;
use crate::port::{Commit, EdgeError, Target as _};

/// The files that can say anything of a key.
pub(super) fn wanted(environment: &EnvironmentName, key: &KeyPath) -> Wanted {
    let (environment, key) = (environment.clone(), key.clone());
    let first = environment_file(&environment);
    Wanted { first, then: Box::new(move |file| files_of(&environment, file, &key)) }
}

/// What an environment was called at a commit: what it is called now, unless the commit has it under a former name only.
///
/// # Errors
/// When the mirror can't be read; `NotFound` when it does not have the commit.
pub(super) async fn called(edges: &Edges, environment: &EnvironmentName, at: Revision) -> Result<EnvironmentName, EdgeError> {
    if has(edges, environment, at).await? {
        return Ok(environment.clone());
    }
    if let Some(name) = called_on_branch(edges, environment, at).await? {
        return Ok(name);
    }
    // Without its target an environment has the names that the branch knows. Not `load`, which reads every key where there is no record.
    if let Ok(target) = edges.target(environment)
        && let Ok(Some(stored)) = target.former(environment).await
    {
        for former in stored.record.former.into_iter().rev() {
            if has(edges, &former.name, at).await? {
                return Ok(former.name);
            }
        }
    }
    Ok(environment.clone())
}

/// The former name that an environment had at a commit, as the branch says: where it went past the commit, the one that it had
/// there; else the newest that the commit has.
async fn called_on_branch(
    edges: &Edges,
    environment: &EnvironmentName,
    at: Revision,
) -> Result<Option<EnvironmentName>, EdgeError> {
    let Some(head) = edges.head().filter(|head| *head != at) else { return Ok(None) };
    let mut lineage = Lineage::of(edges, environment.clone(), head);
    let (mut newest, mut is_beyond) = (None, false);
    while !lineage.is_over() {
        let name = lineage.name().clone();
        let page = lineage.page(file_alone(&name), BTreeSet::from([at]), STEPS).await?;
        // What lies beyond has the files of the next step, whatever part that is in.
        is_beyond &= page.renamed.is_none() || !page.steps.is_empty();
        let is_here = page.steps.iter().any(|(step, _)| is_beyond || step.marked.contains(&at));
        if is_here {
            return Ok(if has(edges, &name, at).await? { Some(name) } else { newest });
        }
        is_beyond |= page.beyond.contains(&at);
        if let Some((former, _)) = page.renamed
            && newest.is_none()
            && has(edges, &former, at).await?
        {
            newest = Some(former);
        }
    }
    Ok(newest)
}

/// One commit at which the files that can name the key changed.
pub(super) struct Traced {
    /// The commit.
    pub(super) commit: Commit,
    /// What it says of the key; none: it does not have the environment.
    pub(super) says: Result<Option<Provenance>, Vec<Problem>>,
    /// The marked commits that say the same: this one, and later ones up to the next newer step.
    pub(super) reached: Vec<Revision>,
    /// From here on back the environment had this name; the commit gave it the newer one.
    pub(super) renamed: Option<(EnvironmentName, Revision)>,
}

/// The commits at which a key's files changed, newest first.
pub(super) struct Trace<'e> {
    lineage: Lineage<'e>,
    key: KeyPath,
    marks: BTreeSet<Revision>,
    /// Marked commits that say what the next step says.
    beyond: Vec<Revision>,
    /// Between two names it may have had none for some commits: it was retired there, and kept its keys.
    in_gap: bool,
    renamed: Option<(EnvironmentName, Revision)>,
}

impl<'e> Trace<'e> {
    /// From a commit on back, at which the environment is called so; some commits are to be told with the step that they have
    /// the files of.
    pub(super) fn new(
        edges: &'e Edges,
        name: EnvironmentName,
        key: &KeyPath,
        upto: Revision,
        marks: BTreeSet<Revision>,
    ) -> Self {
        let lineage = Lineage::of(edges, name, upto);
        Self { lineage, key: key.clone(), marks, beyond: Vec::new(), in_gap: false, renamed: None }
    }

    /// Whether there is no earlier commit.
    pub(super) fn is_over(&self) -> bool {
        self.lineage.is_over()
    }

    /// The next of them, about so many at most; fewer where the environment begins to have a name.
    pub(super) async fn next(&mut self, at_most: usize) -> Result<Vec<Traced>, EdgeError> {
        let mut found = Vec::new();
        let name = self.lineage.name().clone();
        let page = self.lineage.page(wanted(&name, &self.key), self.marks.clone(), at_most).await?;
        for (step, is_there) in page.steps {
            self.in_gap &= !is_there;
            if self.in_gap {
                self.beyond.extend(step.marked);
                continue;
            }
            found.push(Traced {
                says: provenance(&step.tree, &name, &self.key),
                reached: std::mem::take(&mut self.beyond).into_iter().chain(step.marked).collect(),
                renamed: self.renamed.take(),
                commit: step.commit,
            });
        }
        self.beyond.extend(page.beyond);
        if page.renamed.is_some() {
            // What lies before it is the past of another name.
            self.renamed = page.renamed;
            self.in_gap = true;
        }
        Ok(found)
    }
}
