//! Requests about a commit that this mirror does not have yet: whoever asked may have fetched it a moment before (rule L2).

use std::collections::BTreeMap;
use std::time::Duration;

use super::reading::{Reading, Readings};
use crate::domain::rollout::{Request, RequestId};
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, Source};

/// So long the fetches that are asked for may take to bring the commit. Less than the command line waits for an answer.
const PATIENCE: Duration = Duration::from_secs(45);

/// Since when each such request waits.
#[derive(Debug, Default)]
pub(super) struct Ahead(BTreeMap<RequestId, Timestamp>);

impl Ahead {
    /// The requests that can be carried out now, in their order. One whose commit stays away is among them in the end: it is
    /// then refused with the reason.
    ///
    /// # Errors
    /// When the mirror can't be read.
    pub(super) async fn ready<S: Source>(
        &mut self,
        requests: &[Request],
        readings: &mut Readings,
        source: &S,
        now: Timestamp,
    ) -> Result<Vec<Request>, EdgeError> {
        let mut waiting = BTreeMap::new();
        let mut ready = Vec::new();
        for request in requests {
            let is_missing = match request.verb.lets_pass() {
                Some(commit) => matches!(readings.of(commit, source).await?, Reading::Missing),
                None => false,
            };
            if is_missing {
                let since = self.0.get(&request.id).copied().unwrap_or(now);
                waiting.insert(request.id.clone(), since);
                if now.since(since) < PATIENCE {
                    continue;
                }
            }
            ready.push(request.clone());
        }
        self.0 = waiting;
        Ok(ready)
    }

    /// When the first of them has waited long enough; none: nobody waits.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.0.values().min().map(|since| *since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::desired::FileTree;
    use crate::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
    use crate::domain::revision::Revision;
    use crate::domain::rollout::{LetPass, Verb};
    use crate::port::{EdgeKind, Head};
    use crate::runtime::imagined::{Branch, Imagined, commit, stands_at};
    use crate::runtime::reading::Fit;

    /// A mirror that has the first commit only.
    struct Mirror;

    impl Branch for Mirror {
        fn head(&self) -> Head {
            stands_at(commit(1))
        }

        fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
            let has = revision == commit(1);
            if has { Ok(FileTree::default()) } else { Err(EdgeError::new("git", EdgeKind::NotFound, "read a commit")) }
        }
    }

    fn request(id: u8, verb: Verb) -> Request {
        let id = RequestId::parse(&format!("{id:016x}")).unwrap();
        Request { id, by: "ada".to_owned(), at: Timestamp::from_millis(0), reason: String::new(), verb }
    }

    fn lets_pass(id: u8, number: u8) -> Request {
        request(id, Verb::Release { revision: None, lets_pass: LetPass::new(commit(number), Some(9), false) })
    }

    /// Which requests are carried out so many seconds later.
    async fn ready(ahead: &mut Ahead, requests: &[Request], seconds: u64) -> Vec<Request> {
        let fit = Fit { roots: KeyRoots::all(), files: false, settle: Duration::ZERO };
        let (environment, repository) = (EnvironmentName::parse("test").unwrap(), RepositoryName::parse("demo").unwrap());
        let now = Timestamp::from_millis(0) + Duration::from_secs(seconds);
        ahead.ready(requests, &mut Readings::new(environment, repository, fit), &Imagined(Mirror), now).await.unwrap()
    }

    #[tokio::test]
    async fn a_request_about_a_commit_that_is_still_to_be_fetched_waits_for_it_and_no_other_waits_for_that() {
        let mut ahead = Ahead::default();
        let (unknown, known, other) = (lets_pass(1, 2), lets_pass(2, 1), request(3, Verb::Resume));
        let asked = [unknown.clone(), known.clone(), other.clone()];
        assert_eq!(ready(&mut ahead, &asked, 10).await, [known, other]);
        assert_eq!(ahead.until(), Some(Timestamp::from_millis(10_000) + PATIENCE));
        assert_eq!(ready(&mut ahead, &asked[..1], 54).await, []);
        assert_eq!(ready(&mut ahead, &asked[..1], 55).await, asked[..1]);
        assert_eq!(ready(&mut ahead, &[], 56).await, []);
        assert_eq!(ahead.until(), None);
        assert_eq!(ready(&mut ahead, &[unknown], 57).await, []);
    }
}
