//! Which names an environment had or has, as the own files of all environments say from commit to commit (rule O9).

use std::collections::BTreeSet;

use super::edges::Edges;
use crate::client::git::{Step, TrailEnd, Wanted};
use crate::domain::desired::{Heirs, environment_file, former_name};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::port::EdgeError;

/// So many commits at which some own file changed are looked at at a time.
pub(super) const STEPS: usize = 64;

/// An environment's own file, and no other.
pub(super) fn file_alone(environment: &EnvironmentName) -> Wanted {
    Wanted::alone(environment_file(environment))
}

/// Whether a commit has an environment of this name.
///
/// # Errors
/// As [`names`].
pub(super) async fn has(edges: &Edges, name: &EnvironmentName, at: Revision) -> Result<bool, EdgeError> {
    let tree = edges.source.pick(at, file_alone(name)).await?;
    Ok(tree.nodes.contains_key(&environment_file(name)))
}

/// The names under which an environment went on up to a commit, its own first: where the commit has it, that is the only one.
/// Commits without any of them may lie between two names.
///
/// # Errors
/// When the mirror can't be read; `NotFound` when it does not have the commit.
pub(super) async fn names(
    edges: &Edges,
    environment: &EnvironmentName,
    upto: Revision,
) -> Result<Vec<EnvironmentName>, EdgeError> {
    if has(edges, environment, upto).await? {
        return Ok(vec![environment.clone()]);
    }
    let mut heirs = Heirs::of(environment.clone());
    let mut next = Some(upto);
    while let Some(from) = next {
        let trail = edges.source.trail_of_environments(from, STEPS).await?;
        let goes_on = trail.steps.iter().all(|step| heirs.look(&step.tree));
        next = trail.end.next().filter(|_| goes_on);
    }
    Ok(heirs.names())
}

/// An environment back along first parents, under whatever name it had. One that was retired and is back has its own past first.
pub(super) struct Lineage<'e> {
    edges: &'e Edges,
    /// Its name here.
    name: EnvironmentName,
    /// Where it goes on; none: at the first commit of all.
    from: Option<Revision>,
    /// What it was called before, as the oldest file under this name says that says so.
    former: Option<EnvironmentName>,
    /// The oldest commit so far that has it under this name.
    above: Option<Revision>,
}

/// A part of it, newest first.
pub(super) struct Page {
    /// The commits at which something changed, and whether each has the environment.
    pub(super) steps: Vec<(Step, bool)>,
    /// Marked commits further back than the last step: they have the files of the first step of the next part.
    pub(super) beyond: Vec<Revision>,
    /// The name that it has in the next part, and the commit that gave it the newer one: the last step, of this part or of the one
    /// before.
    pub(super) renamed: Option<(EnvironmentName, Revision)>,
}

impl<'e> Lineage<'e> {
    /// From a commit on back, at which the environment is called so.
    pub(super) fn of(edges: &'e Edges, name: EnvironmentName, upto: Revision) -> Self {
        Self { edges, name, from: Some(upto), former: None, above: None }
    }

    /// What the environment is called in the next part.
    pub(super) fn name(&self) -> &EnvironmentName {
        &self.name
    }

    /// Whether there is no earlier commit.
    pub(super) fn is_over(&self) -> bool {
        self.from.is_none()
    }

    /// The next part, of about so many steps at most. The first of the wanted files is the own file under [`Self::name`].
    ///
    /// # Errors
    /// As [`names`].
    pub(super) async fn page(&mut self, wanted: Wanted, marks: BTreeSet<Revision>, at_most: usize) -> Result<Page, EdgeError> {
        let mut page = Page { steps: Vec::new(), beyond: Vec::new(), renamed: None };
        let Some(from) = self.from.take() else { return Ok(page) };
        let source = &self.edges.source;
        let trail = source.trail(from, wanted, marks, at_most).await?;
        for step in trail.steps {
            let says = former_name(&step.tree, &self.name);
            let is_there = step.tree.nodes.contains_key(&environment_file(&self.name));
            // What has the name before may be another environment, which the renamed one took the place of.
            if let (true, Some(renaming), Some(former)) = (is_there, self.above, &self.former)
                && says.as_ref() != Some(former)
            {
                let before = source.resolve(&format!("{renaming}~1")).await?;
                if has(self.edges, former, before).await? {
                    self.name.clone_from(former);
                    page.renamed = self.former.take().zip(self.above.take());
                    self.from = Some(before);
                    return Ok(page);
                }
            }
            self.former = says.or_else(|| self.former.take());
            self.above = is_there.then_some(step.commit.revision);
            page.steps.push((step, is_there));
        }
        page.beyond = trail.beyond;
        self.from = trail.end.next();
        if let (TrailEnd::Begun(before), Some(former)) = (trail.end, &self.former)
            && self.was_called(former, before).await?
        {
            self.name.clone_from(former);
            page.renamed = self.former.take().zip(self.above.take());
        }
        Ok(page)
    }

    /// Whether the environment had its former name when it was last there, up to a commit that does not have it under this one.
    async fn was_called(&self, former: &EnvironmentName, upto: Revision) -> Result<bool, EdgeError> {
        let files = [&self.name, former].map(environment_file);
        let mut next = Some(upto);
        while let Some(from) = next {
            let other = files[1].clone();
            let wanted = Wanted { first: files[0].clone(), then: Box::new(move |_| vec![other.clone()]) };
            let trail = self.edges.source.trail(from, wanted, BTreeSet::new(), 2).await?;
            for step in &trail.steps {
                let [has_newer, has_former] = files.each_ref().map(|file| step.tree.nodes.contains_key(file));
                if has_former || has_newer {
                    return Ok(has_former);
                }
            }
            next = trail.end.next();
        }
        Ok(true)
    }
}
