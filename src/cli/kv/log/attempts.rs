//! The attempts of an environment, and what history may have forgotten of them.

use std::collections::BTreeMap;

use crate::cli::edges::Edges;
use crate::cli::error::Failure;
use crate::cli::key::{history, names_when_reached};
use crate::cli::output::Output;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{HistoryLine, Rollout};
use crate::domain::time::Timestamp;

/// The environment's attempts, as far as history has them.
pub(super) struct Attempts {
    /// Oldest first.
    pub(super) made: Vec<(Generation, Revision)>,
    /// Numbers are missing that were given out until then: what was there already may have been live with one of them.
    forgotten_until: Option<Timestamp>,
    /// What the environment was called when it last advanced to each of their commits, which may have another of its name.
    pub(super) called: BTreeMap<Revision, EnvironmentName>,
}

impl Attempts {
    /// Whether what was committed then may have been live with a number that history does not have.
    pub(super) fn may_have_forgotten(&self, committed: Timestamp) -> bool {
        self.forgotten_until.is_some_and(|until| committed <= until)
    }
}

/// The environment's attempts; none where nobody can say, with a note why: a log without them is worth having too.
pub(super) async fn attempts(edges: &Edges, environment: &EnvironmentName, output: &Output) -> Option<Attempts> {
    let found = async {
        let target = edges.target(environment)?;
        let (record, lines) = history(edges, environment, &target).await?;
        if record.is_none() {
            // One whose record is still under a former name has a past all the same.
            edges.record(environment, &target).await?;
        }
        Ok::<_, Failure>((record, lines))
    };
    match found.await {
        Ok((record, lines)) => {
            let made = lines.iter().rev().filter(|line| line.is_deployment()).map(|line| (line.generation, line.revision));
            let forgotten_until = record.as_ref().and_then(|record| forgotten_until(record, &lines, edges.now()));
            let called = record.map(|record| names_when_reached(&record, &lines)).unwrap_or_default();
            Some(Attempts { made: made.collect(), forgotten_until, called })
        }
        Err(failure) => {
            let why: Vec<String> = std::iter::once(failure.message).chain(failure.causes).collect();
            output.note(&format!("what was live in {environment} is not known: {}", why.join(": ")));
            None
        }
    }
}

/// When the last of the missing numbers was given out at the latest, by the line above it; none: no number is missing.
fn forgotten_until(record: &Rollout, lines: &[HistoryLine], now: Timestamp) -> Option<Timestamp> {
    let (mut above, mut until) = (record.generation.next(), now);
    for line in lines {
        if line.generation.next() != above {
            return Some(until);
        }
        (above, until) = (line.generation, line.started);
    }
    (above != Generation::default().next()).then_some(until)
}
