//! The lease: a lock of our session on the environment's `lease` key. Locks only advise in Consul, so what makes the lease
//! binding is `check-session` on this key in every transaction.

use super::ConsulTarget;
use super::fault;
use super::paths::Paths;
use super::session::Hold;
use super::txn::Transaction;
use crate::port::{EdgeError, Leading};

/// Proof that this process leads the environment, as far as it knows.
#[derive(Debug)]
pub struct Lease {
    hold: Hold,
}

impl Lease {
    /// The session that holds it.
    pub fn session(&self) -> &str {
        self.hold.session().id()
    }

    /// Whether Consul has said that it is gone.
    pub fn is_lost(&self) -> bool {
        self.hold.session().has_ended()
    }

    /// Makes a transaction fail unless the lease is still held.
    pub(super) fn check(&self, paths: &Paths, txn: &mut Transaction) {
        txn.check_session(&paths.lease(), self.session());
    }
}

impl ConsulTarget {
    pub(super) async fn take_lease(&self) -> Result<Leading<Lease>, EdgeError> {
        let doing = format!("take the lease of {}", self.environment);
        let key = self.paths.lease();
        let holder = self.server.sessions.name().to_owned();
        // Twice: the session may have ended since it was last renewed.
        for _ in 0..2 {
            let hold = self.server.sessions.current(&self.server.http).await?;
            let mut txn = Transaction::new();
            txn.lock(&key, holder.as_bytes(), hold.session().id());
            // Whoever leads reads these next.
            txn.get_tree(&self.paths.record());
            txn.get_tree(&self.paths.requests());
            let faults = match self.server.http.try_transaction(&self.server.limits, txn, &doing).await? {
                Ok(found) => {
                    self.glimpse.keep(found);
                    return Ok(Leading::Ours(Lease { hold }));
                }
                Err(faults) => faults,
            };
            if faults.iter().any(fault::OpFault::is_lost_session) {
                self.server.sessions.forget(hold.session());
            } else if faults.iter().all(fault::OpFault::is_conflict) {
                break;
            } else {
                return Err(fault::of_transaction(self.server.http.operation(&doing), &faults, &[key]));
            }
        }
        let holder = self.holder(&doing).await?;
        Ok(Leading::Theirs(holder.unwrap_or_else(|| "somebody who has just gone".into())))
    }

    /// Whose session holds the lease, by the name that it left there.
    pub(super) async fn holder(&self, doing: &str) -> Result<Option<String>, EdgeError> {
        let Some(read) = self.server.http.read_key(&self.paths.lease(), doing).await? else { return Ok(None) };
        if !read.locked {
            return Ok(None);
        }
        // Anybody can write that value; it is shown to people.
        let text: String = String::from_utf8_lossy(&read.value).chars().filter(|c| !c.is_control()).take(120).collect();
        Ok(Some(if text.is_empty() { "somebody who left no name".into() } else { text }))
    }

    pub(super) async fn give_lease_back(&self, lease: Lease) -> Result<(), EdgeError> {
        if lease.is_lost() {
            return Ok(());
        }
        if self.server.sessions.end_with_its_lease(&self.server.http, &lease.hold).await? {
            return Ok(());
        }
        let session = lease.session().to_owned();
        // Whoever gives the last one back meanwhile ends the session, and this lease with it.
        drop(lease);
        let doing = format!("give the lease of {} back", self.environment);
        let mut txn = Transaction::new();
        txn.unlock(&self.paths.lease(), b"", &session);
        match self.server.http.try_transaction(&self.server.limits, txn, &doing).await? {
            Ok(_) => Ok(()),
            // It was lost already, which is just as well.
            Err(faults) if faults.iter().all(fault::OpFault::is_conflict) => Ok(()),
            Err(faults) => Err(fault::of_transaction(self.server.http.operation(&doing), &faults, &[self.paths.lease()])),
        }
    }
}
