//! Forgets what may go of history and answers (rule A5): a few keys in one transaction, fenced like every write.

use std::sync::atomic::Ordering;

use super::ConsulTarget;
use super::lease::Lease;
use super::txn::Transaction;
use crate::client::wire;
use crate::domain::live::Fence;
use crate::domain::rollout::Retention;
use crate::port::EdgeError;

impl ConsulTarget {
    pub(super) async fn forget_past(&self, lease: &Lease, expected: Fence, retention: &Retention) -> Result<(), EdgeError> {
        let doing = format!("forget old history of {}", self.environment);
        self.check_expected(expected, &doing)?;
        let mut old = self.old_lines(retention, &doing).await?;
        old.extend(self.old_answers(retention, &doing).await?);
        if old.is_empty() {
            return Ok(());
        }
        // A restored Consul has another record: what was decided about the one before then changes nothing.
        let mut txn = Transaction::new();
        lease.check(&self.paths, &mut txn);
        txn.check_index(&self.paths.record(), expected.0);
        for (key, index) in old {
            txn.delete_cas(&key, index);
        }
        self.transact(txn, &doing).await.map(|_| ())
    }

    async fn old_lines(&self, retention: &Retention, doing: &str) -> Result<Vec<(String, u64)>, EdgeError> {
        if retention.keeps_every_line() {
            return Ok(Vec::new());
        }
        let old = retention.old_lines(self.lines(doing).await?);
        let keys: Vec<String> = old.into_iter().map(|line| self.paths.line(line)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = self.server.http.read_some(&self.server.limits, &keys, doing).await?;
        Ok(found.into_iter().map(|found| (found.key, found.index)).collect())
    }

    async fn old_answers(&self, retention: &Retention, doing: &str) -> Result<Vec<(String, u64)>, EdgeError> {
        let (http, requests) = (&self.server.http, self.paths.requests());
        // As many as there were when the requests were last read: only whoever leads answers, and reads them again then.
        if retention.keeps_every_answer_of(self.answers.load(Ordering::Relaxed)) {
            return Ok(Vec::new());
        }
        // An answer takes its request's place, so its index says when it was given.
        let mut answers = Vec::new();
        http.read_tree(&requests, doing, &mut |read| {
            if wire::answer_from_json(&read.value).is_ok() {
                answers.push((read.index, read.key));
            }
        })
        .await?;
        Ok(retention.old_answers(answers).into_iter().map(|(index, key)| (key, index)).collect())
    }
}
