//! From which generation on a key's value is newer than what a person names: a generation, a commit, or a moment.

use std::collections::BTreeMap;

use crate::cli::edges::Edges;
use crate::cli::error::Failure;
use crate::cli::key::{Named, SHORTEST_ID, names_when_reached, read, unknown_generation};
use crate::cli::text::before;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Generation, Revision, RevisionDigest};
use crate::domain::rollout::{HistoryLine, Rollout};
use crate::port::{EdgeError, EdgeKind, Source as _};

/// The generation after which a key's value is newer than what a text names; none: every generation is.
pub(super) async fn since(
    edges: &Edges,
    environment: &EnvironmentName,
    text: &str,
    record: Option<&Rollout>,
    lines: &[HistoryLine],
) -> Result<Option<Generation>, Failure> {
    let newest = record.map(|record| record.generation);
    let number = text.parse().ok().and_then(Generation::new);
    let is_told = |generation: &Generation| lines.iter().any(|line| line.generation == *generation);
    // A long number could begin a commit's id as well.
    if let Some(generation) = number.filter(|generation| text.len() < SHORTEST_ID || is_told(generation)) {
        // One that history forgot is older than all that it has.
        return if newest.is_some_and(|newest| generation <= newest) {
            Ok(Some(generation))
        } else {
            Err(unknown_generation(environment, generation, newest))
        };
    }
    let revision = match edges.resolve(text).await {
        Ok(revision) => revision,
        Err(unknown) => {
            let Some(moment) = before(text, edges.now()) else {
                // History forgot it, so it is older than all that it has.
                if let Some(generation) = number.filter(|generation| newest.is_some_and(|newest| *generation <= newest)) {
                    return Ok(Some(generation));
                }
                return Err(
                    unknown.hint("name a generation, a commit, a moment such as 2026-12-27T08:00:00Z, or 2h for two hours ago")
                );
            };
            if moment > edges.now() {
                return Err(Failure::usage(format!("{text} is still to come: nothing can have changed since"))
                    .hint("name a moment that is over, such as 2026-12-27T08:00:00Z, or 2h for two hours ago"));
            }
            return Ok(lines.iter().filter(|line| line.started < moment).map(|line| line.generation).max());
        }
    };
    let attempts: Vec<&HistoryLine> = lines.iter().filter(|line| line.is_deployment()).collect();
    if let Some(line) = attempts.iter().find(|line| line.revision == revision) {
        return Ok(Some(line.generation));
    }
    let standing_in = Alike::new(edges, environment, revision, record, lines).attempt(&attempts).await?;
    standing_in.map(Some).ok_or_else(|| {
        Failure::usage(format!("{environment} was never taken to {}", revision.short()))
            .hint(format!("`lockstep history {environment}` lists its generations and their commits"))
    })
}

/// Which attempts say of the environment what a commit says of which none was made: one that changed nothing, or one that came
/// together with others.
struct Alike<'a> {
    edges: &'a Edges,
    environment: &'a EnvironmentName,
    revision: Revision,
    /// What the record knows of some revisions.
    known: BTreeMap<Revision, RevisionDigest>,
    /// What the environment was called when it was taken to each: a commit may have another one of its name as well.
    names: BTreeMap<Revision, EnvironmentName>,
    /// What the commit says of it, by such names; none: by that which it had there.
    says: BTreeMap<Option<EnvironmentName>, Option<RevisionDigest>>,
}

impl<'a> Alike<'a> {
    fn new(
        edges: &'a Edges,
        environment: &'a EnvironmentName,
        revision: Revision,
        record: Option<&Rollout>,
        lines: &[HistoryLine],
    ) -> Self {
        let known = record.map_or_else(BTreeMap::new, |record| {
            let goal = record.goal.iter().map(|goal| (goal.revision, goal.digest));
            let proven = record.proven.iter().map(|proof| (proof.revision, proof.digest));
            let rejected = record.rejected.iter().map(|rejection| (rejection.revision, rejection.digest));
            goal.chain(proven).chain(rejected).collect()
        });
        let names = record.map(|record| names_when_reached(record, lines)).unwrap_or_default();
        Self { edges, environment, revision, known, names, says: BTreeMap::new() }
    }

    /// The attempt that stands for the commit, of some that are newest first: the newest before it that says the same, or the first
    /// that brought it, or one that the branch lost.
    async fn attempt(mut self, attempts: &[&HistoryLine]) -> Result<Option<Generation>, EdgeError> {
        let revisions = || attempts.iter().map(|line| line.revision).collect();
        let later = self.edges.source.astray(self.revision, revisions()).await?;
        let (until_then, later): (Vec<&HistoryLine>, Vec<&HistoryLine>) =
            attempts.iter().copied().partition(|line| !later.contains_key(&line.revision));
        if let Some(found) = self.newest(&until_then).await? {
            return Ok(Some(found));
        }
        for line in later.iter().rev() {
            if self.edges.source.descends(line.revision, self.revision).await? {
                if self.is(line.revision).await? {
                    return Ok(Some(line.generation));
                }
                break;
            }
        }
        // A branch that is gone has lost all of them.
        let lost = match self.edges.head() {
            Some(head) => self.edges.source.astray(head, revisions()).await?.into_keys().collect(),
            None => revisions(),
        };
        let lost = |line: &&HistoryLine| lost.contains(&line.revision);
        self.newest(&later.into_iter().filter(lost).collect::<Vec<_>>()).await
    }

    /// The newest that says the same. Of what is live, proven or rejected that is known; of the rest only the newest can be it, and is
    /// read.
    async fn newest(&mut self, attempts: &[&HistoryLine]) -> Result<Option<Generation>, EdgeError> {
        for (at, line) in attempts.iter().enumerate() {
            if (at == 0 || self.known.contains_key(&line.revision)) && self.is(line.revision).await? {
                return Ok(Some(line.generation));
            }
        }
        Ok(None)
    }

    /// Whether an attempt's revision says what the commit says of the environment by the name that it had with the attempt.
    async fn is(&mut self, attempt: Revision) -> Result<bool, EdgeError> {
        let name = self.names.get(&attempt).cloned();
        let Some(says) = self.says(name.clone()).await? else { return Ok(false) };
        Ok(match self.known.get(&attempt) {
            Some(known) => *known == says,
            None => self.digest(attempt, name.as_ref()).await? == Some(says),
        })
    }

    /// What the commit says. It may have the environment under a former name only.
    async fn says(&mut self, name: Option<EnvironmentName>) -> Result<Option<RevisionDigest>, EdgeError> {
        if let Some(says) = self.says.get(&name) {
            return Ok(*says);
        }
        let says = match self.digest(self.revision, name.as_ref()).await? {
            None if name.is_some() => self.digest(self.revision, None).await?,
            says => says,
        };
        self.says.insert(name, says);
        Ok(says)
    }

    /// What a commit says of the environment, under this name or else that which it had there; none where it can't be read for it.
    async fn digest(&self, at: Revision, name: Option<&EnvironmentName>) -> Result<Option<RevisionDigest>, EdgeError> {
        let named = Named { called: name.cloned(), ..Named::commit(at) };
        let said = async { read(self.edges, &named.called(self.edges, self.environment).await?, at).await };
        match said.await {
            Ok(read) => Ok(read.ok().flatten().map(|desired| desired.revision_digest())),
            Err(error) if error.kind == EdgeKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
