//! What the tests of the Consul target act with: desired states, plans and a record that moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep::client::consul::{ConsulTarget, Lease};
use lockstep::domain::desired::{DesiredState, Entry, Origin};
use lockstep::domain::environment::{Environment, Policy};
use lockstep::domain::live::{Fence, LiveState};
use lockstep::domain::name::{EnvironmentName, KeyPath};
use lockstep::domain::plan::{Action, Change, Counts, Intent, Plan, Why};
use lockstep::domain::resource::{Flags, KeyMark, OwnerId};
use lockstep::domain::revision::{Generation, Revision, ValueDigest};
use lockstep::domain::rollout::{Apply, Closed, HistoryLine, Outcome, Phase, Reached, Rollout, Save, TargetId};
use lockstep::domain::time::Timestamp;
use lockstep::port::{EdgeError, Leading, Target as _, Written};

use crate::support::{Agent, controller};

/// A key.
pub(crate) fn key(text: &str) -> KeyPath {
    KeyPath::parse(text).unwrap()
}

/// The revision with this number.
pub(crate) fn revision(number: u8) -> Revision {
    Revision::from_bytes([number; 20])
}

/// A desired state of these keys and nothing else.
pub(crate) fn desired<K: AsRef<str>, V: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, V)>) -> DesiredState {
    let origin = Origin { file: "base/kv/a.yaml".into(), line: 1, column: 1 };
    let entries = entries
        .into_iter()
        .map(|(name, value)| {
            let value: Arc<[u8]> = value.as_ref().into();
            let digest = ValueDigest::of(&value);
            (key(name.as_ref()), Entry { value, digest, keep: false, sensitive: false, origin: origin.clone() })
        })
        .collect();
    let environment = Environment {
        name: EnvironmentName::parse("test").unwrap(),
        layers: Vec::new(),
        variables: BTreeMap::new(),
        policy: Policy::default(),
        formerly: None,
    };
    DesiredState::new(environment, entries, BTreeMap::new())
}

/// `count` keys with this value.
pub(crate) fn many(count: usize, value: &str) -> DesiredState {
    desired((0..count).map(|number| (format!("config/many/{number:05}"), value)))
}

/// A controller that leads, with the record as it believes it to be.
pub(crate) struct Stage {
    pub(crate) target: ConsulTarget,
    pub(crate) lease: Lease,
    pub(crate) fence: Fence,
    pub(crate) record: Rollout,
}

impl Stage {
    /// Initialises the environment and leads it.
    pub(crate) async fn new(agent: &Agent) -> Self {
        let identity = controller(&agent.address(), None).initialise().await.unwrap();
        Self::join(&agent.address(), identity.target).await
    }

    /// Leads an environment that was initialised before.
    pub(crate) async fn join(address: &str, target_id: TargetId) -> Self {
        Self::lead(controller(address, Some(target_id))).await
    }

    /// Leads through this target.
    pub(crate) async fn lead(target: ConsulTarget) -> Self {
        let lease = match target.lead().await.unwrap() {
            Leading::Ours(lease) => lease,
            Leading::Theirs(holder) => panic!("{holder} leads"),
        };
        let stored = target.load().await.unwrap().unwrap();
        Self { target, lease, fence: stored.fence, record: stored.record }
    }

    pub(crate) fn owner(&self) -> OwnerId {
        self.record.identity.owner
    }

    pub(crate) fn target_id(&self) -> TargetId {
        self.record.identity.target.clone()
    }

    /// The flags of our mark at this generation.
    pub(crate) fn mark(&self, generation: Generation) -> Flags {
        KeyMark { adopted: false, owner: self.owner(), generation }.flags()
    }

    /// An advance from what is live to `desired`. It deletes only what carries our mark.
    pub(crate) fn advance(&self, live: &LiveState, desired: &DesiredState, number: u8) -> Apply {
        let generation = self.record.generation.next();
        let flags = self.mark(generation);
        let mut changes = Vec::new();
        for (key, entry) in desired.entries() {
            let action = match live.entries.get(key) {
                None => Action::Create,
                Some(found) if found.digest == entry.digest && found.flags.mark_of(self.owner()).is_some() => continue,
                Some(_) => Action::Update,
            };
            changes.push(Change { key: key.clone(), action, fence: live.fence(key), flags, why: Why::Said("wanted") });
        }
        for (key, entry) in &live.entries {
            if !desired.entries().contains_key(key) && entry.flags.mark_of(self.owner()).is_some() {
                let why = Why::Said("dropped");
                changes.push(Change { key: key.clone(), action: Action::Delete, fence: entry.fence, flags: Flags(0), why });
            }
        }
        self.apply_of(changes, desired, number)
    }

    /// These changes with the records around them.
    pub(crate) fn apply_of(&self, changes: Vec<Change>, desired: &DesiredState, number: u8) -> Apply {
        let generation = self.record.generation.next();
        let revision = revision(number);
        let reached = Reached {
            revision,
            tip: revision,
            state: desired.state_digest(),
            digest: desired.revision_digest(),
            generation,
            rules: revision,
        };
        let mut opening = self.record.clone();
        opening.generation = generation;
        opening.phase = Phase::Applying;
        opening.goal = Some(reached.clone());
        let mut closing = opening.clone();
        closing.phase = Phase::Verifying;
        closing.complete = Some(reached);
        let plan = Plan {
            intent: Intent::Advance,
            revision,
            generation,
            changes,
            obstacles: Vec::new(),
            strays: Vec::new(),
            unmanaged: Vec::new(),
            drifted: Vec::new(),
        };
        let line = line(generation, number, plan.counts());
        Apply { opening: Some(Save::opening(opening, line)), plan, closing: Save::of(closing) }
    }

    /// Takes the environment to `desired` from what is live, and remembers the record.
    pub(crate) async fn go(&mut self, desired: &DesiredState, number: u8) -> Result<Written, EdgeError> {
        let live = self.target.live().await?;
        let apply = self.advance(&live, desired, number);
        self.write(&apply, desired).await
    }

    /// Writes a plan to its end.
    pub(crate) async fn write(&mut self, apply: &Apply, desired: &DesiredState) -> Result<Written, EdgeError> {
        let written = self.target.apply(&self.lease, self.fence, apply, desired, &|| true).await?;
        self.fence = written.record;
        self.record = apply.closing.record.clone();
        Ok(written)
    }
}

/// A line of history that is still open.
pub(crate) fn line(generation: Generation, number: u8, counts: Counts) -> HistoryLine {
    HistoryLine {
        generation,
        intent: Intent::Advance,
        revision: revision(number),
        from: None,
        by: "Ada".into(),
        because: "a commit".into(),
        counts,
        started: Timestamp::from_millis(1),
        closed: None,
    }
}

/// The line, closed.
pub(crate) fn closed(mut line: HistoryLine) -> HistoryLine {
    line.closed = Some(Closed { at: Timestamp::from_millis(2), outcome: Outcome::Proven, text: "healthy".into() });
    line
}
