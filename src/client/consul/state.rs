//! lockstep's own state in Consul: record, lease, `revision` key, history and requests of one environment (rule O5).

use std::sync::atomic::Ordering;

use super::ConsulTarget;
use super::kv::Read;
use super::lease::Lease;
use super::paths::Paths;
use super::txn::{Found, Transaction};
use crate::client::wire;
use crate::domain::live::Fence;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Generation;
use crate::domain::rollout::{Answer, Formerly, HistoryLine, Identity, Request, RequestId, Rollout, Save, Stored, TargetId};
use crate::port::{EdgeError, EdgeKind};

impl Paths {
    /// The operations of a move of the record: the record on its fence, the `revision` key that follows from it, lines and
    /// answers.
    pub(super) fn push_save(&self, txn: &mut Transaction, expected: Fence, save: &Save) {
        txn.cas(&self.record(), &wire::record_to_json(&save.record), 0, expected.0);
        if let Some(marker) = wire::revision_key(&save.record) {
            txn.set(&self.revision(), &marker, 0);
        }
        for line in &save.history {
            let (key, text) = (self.line_of(line.generation, &save.record), wire::history_to_json(line));
            if save.opens == Some(line.generation) {
                // A number is given out once: a line that exists already means that somebody else gave it out too.
                txn.cas(&key, &text, 0, 0);
            } else {
                txn.set(&key, &text, 0);
            }
        }
        for answer in &save.answers {
            txn.set(&self.request(&answer.id), &wire::answer_to_json(answer), 0);
        }
    }

    /// Where a line of this record goes. One that was opened under a former name is closed under this one, in a place of its own:
    /// this name may have had a line of that number, of another environment (rule A5).
    fn line_of(&self, generation: Generation, record: &Rollout) -> String {
        let called = record.called_at(generation);
        if *called == record.identity.environment { self.line(generation) } else { self.line_as(called, generation) }
    }

    /// The record's fence after a transaction that wrote it.
    pub(super) fn fence_in(&self, found: &[Found]) -> Option<Fence> {
        let record = self.record();
        found.iter().find(|found| found.key == record).map(|found| Fence(found.index))
    }
}

impl ConsulTarget {
    pub(super) async fn load_record(&self) -> Result<Option<Stored>, EdgeError> {
        let doing = format!("read the record of {}", self.environment);
        let http = &self.server.http;
        let read = match self.glimpse.record(&self.paths.record()) {
            Some(read) => Some(read),
            None => http.read_key(&self.paths.record(), &doing).await?,
        };
        let Some(read) = read else {
            return self.first_use(&Formerly::Never, &doing).await.map(|()| None);
        };
        self.record_in(&read, &doing).map(Some)
    }

    /// The record that was read, if it is the one that the configuration means.
    pub(super) fn record_in(&self, read: &Read, doing: &str) -> Result<Stored, EdgeError> {
        let record = wire::record_from_json(&read.value).map_err(|cause| {
            let error = self.server.http.error(EdgeKind::Refused, doing).because(cause);
            error.about(vec![self.paths.record()]).hint("nothing is written until the record can be read")
        })?;
        self.check_identity(&record, doing)?;
        Ok(Stored { record, fence: Fence(read.index) })
    }

    /// Refuses a record that is not the one that the configuration means (rule O6).
    pub(super) fn check_identity(&self, record: &Rollout, doing: &str) -> Result<(), EdgeError> {
        let Identity { repository, environment, target, owner: _ } = &record.identity;
        let refused =
            |problem: String, hint: String| Err(self.server.http.error(EdgeKind::Refused, doing).because(problem).hint(hint));
        if repository != &self.repository || environment != &self.environment {
            return refused(
                format!("it is the record of {environment} of the repository {repository}, copied here"),
                "remove the copy, or correct the address of this Consul".into(),
            );
        }
        match self.pinned.get() {
            Some(pinned) if pinned == target => Ok(()),
            Some(pinned) => refused(
                format!("this Consul's target id is {target}, and the configuration pins {pinned}"),
                "correct the address, or the target_id if the environment moved on purpose".into(),
            ),
            None => refused(
                "the configuration pins no target id, so any Consul at this address would be taken for the right one".into(),
                pin(target),
            ),
        }
    }

    pub(super) async fn save_record(&self, lease: &Lease, expected: Fence, save: &Save) -> Result<Fence, EdgeError> {
        let doing = format!("save the record of {}", self.environment);
        self.check_expected(expected, &doing)?;
        let mut txn = Transaction::new();
        lease.check(&self.paths, &mut txn);
        self.paths.push_save(&mut txn, expected, save);
        self.check_size(&txn, &doing).await?;
        let found = self.transact(txn, &doing).await?;
        self.fence_after(&found, &doing)
    }

    /// Only `init` makes a record (rule O6), and a cas on an absent key would make one too.
    pub(super) fn check_expected(&self, expected: Fence, doing: &str) -> Result<(), EdgeError> {
        if expected != Fence::ABSENT {
            return Ok(());
        }
        Err(self.server.http.error(EdgeKind::Conflict, doing).because("a move starts from a record that was read"))
    }

    /// The record's new fence; a transaction that was carried out always names it.
    pub(super) fn fence_after(&self, found: &[Found], doing: &str) -> Result<Fence, EdgeError> {
        self.paths.fence_in(found).ok_or_else(|| {
            self.server.http.error(EdgeKind::Transient, doing).because("the answer does not say what was written")
        })
    }

    async fn check_size(&self, txn: &Transaction, doing: &str) -> Result<(), EdgeError> {
        let ops = self.server.http.ops_limit(&self.server.limits).await?;
        let bytes = self.server.limits.bytes();
        if txn.ops() <= ops && txn.bytes() <= bytes {
            return Ok(());
        }
        Err(self.server.http.error(EdgeKind::Refused, doing).because(format!(
            "it needs {} operations and {} bytes, and this Consul takes {ops} and {bytes} in one transaction",
            txn.ops(),
            txn.bytes()
        )))
    }

    pub(super) async fn read_history(&self, at_most: usize, upto: Option<Generation>) -> Result<Vec<HistoryLine>, EdgeError> {
        let doing = self.reading_history();
        let mut numbers = self.lines(&doing).await?;
        numbers.retain(|number| upto.is_none_or(|upto| *number <= upto));
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.truncate(at_most);
        let keys: Vec<String> = numbers.into_iter().map(|number| self.paths.line(number)).collect();
        let mut lines: Vec<HistoryLine> = self.read_lines(&keys, &doing).await?.into_iter().map(|(_, line)| line).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.generation));
        Ok(lines)
    }

    /// The lines that were closed under this name and opened under former ones, each with that name.
    ///
    /// # Errors
    /// When Consul can't be asked.
    pub async fn ends(&self) -> Result<Vec<(EnvironmentName, HistoryLine)>, EdgeError> {
        let doing = self.reading_history();
        let prefix = self.paths.history();
        let opened_as = |key: &str| EnvironmentName::parse(key.strip_prefix(&prefix)?.split_once('/')?.0).ok();
        let mut keys = self.server.http.read_names(&prefix, &doing).await?;
        keys.retain(|key| opened_as(key).is_some());
        let lines = self.read_lines(&keys, &doing).await?;
        Ok(lines.into_iter().filter_map(|(key, line)| Some((opened_as(&key)?, line))).collect())
    }

    /// The lines that lie there and can be read, each with its key.
    async fn read_lines(&self, keys: &[String], doing: &str) -> Result<Vec<(String, HistoryLine)>, EdgeError> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut lines = Vec::with_capacity(keys.len());
        for found in self.server.http.read_some(&self.server.limits, &keys, doing).await? {
            match wire::history_from_json(&found.value.unwrap_or_default()) {
                Ok(line) => lines.push((found.key, line)),
                // One bad line must not hide the others.
                Err(problem) => tracing::warn!(key = found.key, %problem, "a line of history cannot be read"),
            }
        }
        Ok(lines)
    }

    /// The highest number that history has a line of, whether or not that can be read.
    pub(super) async fn newest_line(&self) -> Result<Option<Generation>, EdgeError> {
        Ok(self.lines(&self.reading_history()).await?.into_iter().max())
    }

    fn reading_history(&self) -> String {
        format!("read the history of {}", self.environment)
    }

    /// Every generation that history has a line of.
    pub(super) async fn lines(&self, doing: &str) -> Result<Vec<Generation>, EdgeError> {
        let prefix = self.paths.history();
        let names = self.server.http.read_names(&prefix, doing).await?;
        let number = |name: &String| Generation::new(name.strip_prefix(&prefix)?.parse().ok()?);
        Ok(names.iter().filter_map(number).collect())
    }

    pub(super) async fn open_requests(&self) -> Result<Vec<Request>, EdgeError> {
        let doing = format!("read the requests to {}", self.environment);
        let mut below = Vec::new();
        self.server.http.read_tree(&self.paths.requests(), &doing, &mut |read| below.push(read)).await?;
        Ok(self.open_among(below))
    }

    pub(super) fn glimpsed_requests(&self) -> Option<Vec<Request>> {
        self.glimpse.below(&self.paths.requests()).map(|below| self.open_among(below))
    }

    /// The open ones of what lies below `requests/`; the others are counted.
    fn open_among(&self, below: Vec<Read>) -> Vec<Request> {
        let mut open: Vec<(u64, Request)> = Vec::new();
        let mut answers = 0;
        for read in below {
            match wire::request_from_json(&read.value) {
                Ok(request) if read.key == self.paths.request(&request.id) => open.push((read.created, request)),
                Ok(_) => tracing::warn!(key = read.key, "a request lies under another's id"),
                Err(_) if wire::answer_from_json(&read.value).is_ok() => answers += 1,
                Err(problem) => tracing::warn!(key = read.key, %problem, "a request cannot be read"),
            }
        }
        self.answers.store(answers, Ordering::Relaxed);
        // By the askers' clocks, as on every target; Consul's own order decides between equals.
        open.sort_by_key(|(created, request)| (request.at, *created));
        open.into_iter().map(|(_, request)| request).collect()
    }

    pub(super) async fn put_request(&self, request: &Request) -> Result<(), EdgeError> {
        let doing = format!("put a request to {} down", self.environment);
        let mut txn = Transaction::new();
        txn.cas(&self.paths.request(&request.id), &wire::request_to_json(request), 0, 0);
        self.transact(txn, &doing).await.map(|_| ())
    }

    pub(super) async fn read_answer(&self, id: &RequestId) -> Result<Option<Answer>, EdgeError> {
        let doing = format!("read the answer to request {id} to {}", self.environment);
        let read = self.server.http.read_key(&self.paths.request(id), &doing).await?;
        Ok(read.and_then(|read| wire::answer_from_json(&read.value).ok()))
    }
}

/// The line to add to the configuration.
pub(super) fn pin(target: &TargetId) -> String {
    format!("pin it beside the environment's address in the controller's configuration: target_id: {target}")
}
