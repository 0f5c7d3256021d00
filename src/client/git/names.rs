//! How environments were called that the branch does not have any more: what was said of their names last (rule O9).

use std::collections::BTreeSet;

use super::GitSource;
use super::trail::Wanted;
use crate::domain::desired::{environment_file, former_name};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::port::{EdgeError, LastSeen};

/// The most parts of a trail that are read for one name: what was not there in so many commits is unknown.
const MOST_PARTS: usize = 10;

impl GitSource {
    pub(super) async fn seen_last(
        &self,
        environment: &EnvironmentName,
        upto: Revision,
        since: Option<Revision>,
    ) -> Result<Option<LastSeen>, EdgeError> {
        let file = environment_file(environment);
        let marks: BTreeSet<Revision> = since.into_iter().collect();
        let (mut next, mut gone, mut is_passed) = (Some(upto), None, false);
        for _ in 0..MOST_PARTS {
            let Some(from) = next else { break };
            let trail = self.trail(from, Wanted::alone(file.clone()), marks.clone(), 1).await?;
            for step in &trail.steps {
                if step.tree.nodes.contains_key(&file) {
                    return Ok(Some(LastSeen { formerly: former_name(&step.tree, environment), gone }));
                }
                if is_passed || !step.marked.is_empty() {
                    return Ok(None);
                }
                gone = Some(step.commit.revision);
            }
            is_passed |= !trail.beyond.is_empty();
            next = trail.end.next();
        }
        Ok(None)
    }
}
