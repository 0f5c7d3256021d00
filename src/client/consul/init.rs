//! The first record of an environment: an owner id that nobody else has, and a random target id (rules O4 to O6). Where the
//! environment has a record under a former name, that one is its own (rule O9).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::ConsulTarget;
use super::fault::below;
use super::owner::OwnerEntry;
use super::paths::{OWNERS, owner_key};
use super::txn::Transaction;
use crate::client::wire;
use crate::domain::name::EnvironmentName;
use crate::domain::resource::OwnerId;
use crate::domain::rollout::{Formerly, Identity, Rollout, TargetId};
use crate::port::{EdgeError, EdgeKind};

/// How often an owner id that somebody else took at the same moment is drawn again.
const DRAWS: usize = 16;
/// What to do when the record of the former name came back between the look and the write.
pub(super) const HERE_AGAIN: &str = "the record of its former name is here again; look again";

impl ConsulTarget {
    /// Makes the first record, as [`Target::initialise`](crate::port::Target::initialise) does, of an environment that may have had
    /// another name before.
    ///
    /// # Errors
    /// Besides, `Refused` as long as that name has a record here, or keys below the roots may be that one's: a second record with
    /// another owner could never write them, and nobody would take the first one over any more (rule O9).
    pub async fn initialise_after(&self, formerly: &Formerly) -> Result<Identity, EdgeError> {
        let doing = format!("initialise {}", self.environment);
        let http = &self.server.http;
        if let Some(read) = http.read_key(&self.paths.record(), &doing).await? {
            return self.existing(&read.value, &doing);
        }
        let theirs = self.may_make_one_after(formerly, &doing).await?;
        self.first_use(formerly, &doing).await?;
        let taken: BTreeSet<u16> =
            http.read_names(OWNERS, &doing).await?.iter().filter_map(|name| name.strip_prefix(OWNERS)?.parse().ok()).collect();
        let somebody_else = |error: EdgeError| {
            if theirs.iter().any(|theirs| error.about.contains(theirs)) {
                error.hint(HERE_AGAIN)
            } else if error.about.contains(&self.paths.record()) {
                self.has_one(&doing).because(error)
            } else {
                error
            }
        };
        // What was asked of an environment that was here before, and removed since, is asked of nobody.
        self.drop_requests(&doing).await.map_err(somebody_else)?;
        // Its history stayed: no number is given out twice under one name.
        let generation = self.newest_line().await?.unwrap_or_default();
        for _ in 0..DRAWS {
            let identity = Identity {
                repository: self.repository.clone(),
                environment: self.environment.clone(),
                target: self.draw_target(&doing)?,
                owner: self.draw_owner(&taken, &doing)?,
            };
            let owner_key = owner_key(identity.owner);
            let record = Rollout { generation, ..Rollout::new(identity.clone()) };
            let mut txn = Transaction::new();
            txn.cas(&owner_key, &OwnerEntry::of(&identity).to_bytes(), 0, 0);
            txn.cas(&self.paths.record(), &wire::record_to_json(&record), 0, 0);
            for theirs in &theirs {
                txn.check_absent(theirs);
            }
            match self.transact(txn, &doing).await {
                Ok(_) => {
                    // Nobody else can have made it, so this handle needs no pin to go on.
                    let _ = self.pinned.set(identity.target.clone());
                    return Ok(identity);
                }
                Err(error) if error.kind == EdgeKind::Conflict && error.about == [owner_key] => {}
                Err(error) => return Err(somebody_else(error)),
            }
        }
        Err(http.error(EdgeKind::Conflict, &doing).because("other environments took every owner id that was drawn"))
    }

    /// Whether the environment needs a record of its own, as far as its former names are concerned; the records of those names,
    /// which must not be there when the new one is made.
    ///
    /// # Errors
    /// `Refused` when one is there: the environment goes on with that one.
    pub(super) async fn may_make_one_after(&self, formerly: &Formerly, doing: &str) -> Result<Vec<String>, EdgeError> {
        let Formerly::As(names) = formerly else { return Ok(Vec::new()) };
        let mut theirs = Vec::new();
        for (number, former) in names.iter().enumerate() {
            let old = self.under(former);
            let record = old.paths.record();
            let read = self.server.http.read_key(&record, doing).await;
            if let Some(read) = read.map_err(|error| below(old.paths.base(), error))? {
                return Err(self.goes_on(&names[..=number], former, &read.value, doing));
            }
            theirs.push(record);
        }
        Ok(theirs)
    }

    /// The environment has a record, under the last of these former names.
    fn goes_on(&self, names: &[EnvironmentName], former: &EnvironmentName, value: &[u8], doing: &str) -> EdgeError {
        let takes = format!("`lockstep run` takes it over then, or `lockstep apply --once {}`", self.environment);
        let hint = match wire::record_from_json(value) {
            Ok(record) if self.pinned.get() == Some(&record.identity.target) => takes,
            Ok(record) => format!("{}; {takes}", super::state::pin(&record.identity.target)),
            Err(problem) => format!("that record can't be read ({problem}); nothing is made until it can"),
        };
        let across: Vec<String> = names.windows(2).map(|pair| format!(", {} was called {} before", pair[0], pair[1])).collect();
        let because = format!(
            "the branch head says `formerly: {}`{}, and {former} has its record here: {} goes on with that one, its keys, its \
             owner and its numbers, and needs no other",
            names.first().unwrap_or(former),
            across.concat(),
            self.environment
        );
        self.server.http.error(EdgeKind::Refused, doing).because(because).hint(hint)
    }

    /// There is a record already. The one that the configuration pins is as good as made now; with another the hint says how
    /// to use it.
    fn existing(&self, value: &[u8], doing: &str) -> Result<Identity, EdgeError> {
        let refused = self.has_one(doing);
        let Ok(record) = wire::record_from_json(value) else { return Err(refused.because("it cannot be read")) };
        if self.pinned.get() == Some(&record.identity.target) {
            return self.check_identity(&record, doing).map(|()| record.identity);
        }
        let hint = super::state::pin(&record.identity.target);
        Err(refused.because("this name and environment has a record here already").hint(hint))
    }

    pub(super) fn has_one(&self, doing: &str) -> EdgeError {
        self.server.http.error(EdgeKind::Refused, doing).about(vec![self.paths.record()])
    }

    pub(super) fn draw_target(&self, doing: &str) -> Result<TargetId, EdgeError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|cause| self.server.http.error(EdgeKind::Transient, doing).because(cause))?;
        let mut text = String::with_capacity(32);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        TargetId::parse(&text)
            .ok_or_else(|| self.server.http.error(EdgeKind::Refused, doing).because("the drawn target id is malformed"))
    }

    fn draw_owner(&self, taken: &BTreeSet<u16>, doing: &str) -> Result<OwnerId, EdgeError> {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|cause| self.server.http.error(EdgeKind::Transient, doing).because(cause))?;
        // From a random start to the next free one: no two environments meet, and no draw is in vain.
        let start = u16::from_le_bytes(bytes);
        (0..=u16::MAX)
            .map(|step| start.wrapping_add(step))
            .filter(|number| !taken.contains(number))
            .find_map(OwnerId::new)
            .ok_or_else(|| self.server.http.error(EdgeKind::Refused, doing).because("all 65,535 owner ids are in use"))
    }
}
