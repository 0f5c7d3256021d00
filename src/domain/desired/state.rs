//! What one revision says of one environment: every key with its value and origin, every check, and the policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::canonical::Canonical;
use crate::domain::check::Check;
use crate::domain::environment::{Environment, Policy, RolloutPolicy};
use crate::domain::keymap::{KeyMap, Summed};
use crate::domain::name::{CheckName, KeyPath};
use crate::domain::revision::{PieceDigest, RevisionDigest, StateDigest, ValueDigest};

/// One key as a revision wants it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes that the key must hold.
    pub value: Arc<[u8]>,
    /// Their digest.
    pub digest: ValueDigest,
    /// Tagged `!keep`: when a later revision drops the key it is released, not deleted (rule F2).
    pub keep: bool,
    /// Tagged `!sensitive`: the value is hidden in every output.
    pub sensitive: bool,
    /// Where the value stands.
    pub origin: Origin,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The value may be sensitive, and a Debug that sometimes shows it would end in a log some day.
        f.debug_struct("Entry").field("digest", &self.digest).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The place in the repository that gives a key its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file's path in the repository.
    pub file: Arc<str>,
    /// Line, from 1; 0 for a whole file.
    pub line: u32,
    /// Column, from 1; 0 for a whole file.
    pub column: u32,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 { write!(f, ":{}", self.line) } else { Ok(()) }
    }
}

/// What some keys that follow each other are.
#[derive(Debug)]
pub struct EntrySum {
    /// Their names and values.
    pub(in crate::domain) digest: PieceDigest,
    /// Their tags, as the revision digest takes them.
    tags: Vec<u8>,
}

impl Summed for Entry {
    type Sum = EntrySum;

    fn sum(entries: &[(KeyPath, Self)]) -> EntrySum {
        let parts = entries.iter().flat_map(|(key, entry)| [key.as_str().as_bytes(), entry.digest.as_bytes().as_slice()]);
        let tagged = entries.iter().filter(|(_, entry)| entry.keep || entry.sensitive);
        EntrySum { digest: PieceDigest::of(parts), tags: tagged.fold(Canonical::fields(), tags).finish() }
    }
}

/// What one revision says of one environment.
#[derive(Debug, Clone)]
pub struct DesiredState {
    environment: Environment,
    entries: KeyMap<Entry>,
    checks: BTreeMap<CheckName, Check>,
    /// Beside the checks and not in them: a check that only moved in its file is the same check.
    check_origins: BTreeMap<CheckName, Origin>,
    state_digest: StateDigest,
    revision_digest: RevisionDigest,
    /// Bytes that variables made of its values and checks, at most.
    filled: usize,
}

impl PartialEq for DesiredState {
    /// Whether both say the same: how much of it variables made says nothing.
    fn eq(&self, other: &Self) -> bool {
        let Self { environment, entries, checks, check_origins, state_digest, revision_digest, filled: _ } = self;
        (environment, entries, checks, check_origins)
            == (&other.environment, &other.entries, &other.checks, &other.check_origins)
            && (state_digest, revision_digest) == (&other.state_digest, &other.revision_digest)
    }
}

impl Eq for DesiredState {}

impl DesiredState {
    /// Puts the parts together and takes both digests (rule R2).
    #[must_use]
    pub fn new(environment: Environment, entries: KeyMap<Entry>, checks: BTreeMap<CheckName, Check>) -> Self {
        // Of pieces that most revisions share, and whose borders depend on the keys alone.
        let state_digest = StateDigest::of(entries.pieces().map(|piece| piece.sum().digest.as_bytes().as_slice()));
        let mut parts = vec![state_digest.as_bytes().to_vec(), health(&environment), marks(&entries)];
        parts.extend(checks.values().map(Check::canonical));
        let revision_digest = RevisionDigest::of(parts.iter().map(Vec::as_slice));
        Self { environment, entries, checks, check_origins: BTreeMap::new(), state_digest, revision_digest, filled: 0 }
    }

    /// The same with other keys, all else being equal.
    pub(super) fn with_entries(&self, entries: KeyMap<Entry>, filled: usize) -> Self {
        let Self { environment, checks, check_origins, .. } = self;
        let state = Self::new(environment.clone(), entries, checks.clone());
        Self { filled, ..state.with_check_origins(check_origins.clone()) }
    }

    /// The same, knowing how many bytes variables made.
    pub(super) fn with_filled(self, filled: usize) -> Self {
        Self { filled, ..self }
    }

    /// How many bytes variables made of its values and checks, at most.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// The same, knowing where each check says what it asks.
    #[must_use]
    pub fn with_check_origins(self, check_origins: BTreeMap<CheckName, Origin>) -> Self {
        Self { check_origins, ..self }
    }

    /// The environment's own rules.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Every key, in order.
    #[must_use]
    pub fn entries(&self) -> &KeyMap<Entry> {
        &self.entries
    }

    /// Every check, in order.
    #[must_use]
    pub fn checks(&self) -> &BTreeMap<CheckName, Check> {
        &self.checks
    }

    /// Where a check says what it asks, if it was read from a file.
    #[must_use]
    pub fn check_origin(&self, name: &CheckName) -> Option<&Origin> {
        self.check_origins.get(name)
    }

    /// What is written.
    #[must_use]
    pub fn state_digest(&self) -> StateDigest {
        self.state_digest
    }

    /// What is written and how it is judged.
    #[must_use]
    pub fn revision_digest(&self) -> RevisionDigest {
        self.revision_digest
    }

    /// Whether it names no key at all (rule G5).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The health policy's part of the revision digest: only what a verdict rests on.
fn health(environment: &Environment) -> Vec<u8> {
    // Taken apart without `..`: a new field does not compile until somebody decides whether proofs depend on it.
    let Environment { name: _, layers: _, variables: _, policy, formerly: _ } = environment; // The keys and checks show their effect.
    let Policy { rollout, deletes: _, drift: _ } = policy; // How much may be deleted and what drift means is no health.
    let RolloutPolicy {
        apply_deadline: _, // How long writing may take says nothing about health.
        settle,
        min_healthy_time,
        healthy_deadline,
        fail_after,
        auto_revert: _, // What follows an unhealthy verdict is not part of the verdict.
    } = rollout;
    let health = Canonical::of("health");
    let health = match settle {
        Some(settle) => health.duration("settle", *settle),
        None => health,
    };
    health
        .duration("min_healthy_time", *min_healthy_time)
        .duration("healthy_deadline", *healthy_deadline)
        .number("fail_after", *fail_after)
        .finish()
}

/// The tags' part of the revision digest. They write nothing, so the state digest leaves them out; but a commit that adds
/// one must become the goal, or a later delete or output would go by the revision before it (rules F2, R3).
fn marks(entries: &KeyMap<Entry>) -> Vec<u8> {
    entries.pieces().fold(Canonical::of("tags"), |marks, piece| marks.part(&piece.sum().tags)).finish()
}

fn tags(tags: Canonical, (key, entry): &(KeyPath, Entry)) -> Canonical {
    let Entry { value: _, digest: _, origin: _, keep, sensitive } = entry;
    tags.text("key", key.as_str()).number("keep", *keep).number("sensitive", *sensitive)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::check::CheckKind;
    use crate::domain::name::EnvironmentName;

    fn state(change: impl FnOnce(&mut Environment, &mut Entry, &mut Check)) -> DesiredState {
        let mut environment = Environment {
            name: EnvironmentName::parse("test").unwrap(),
            layers: vec!["base".into()],
            variables: BTreeMap::new(),
            policy: Policy::default(),
            formerly: None,
        };
        let mut entry = Entry {
            value: b"v".as_slice().into(),
            digest: ValueDigest::of(b"v"),
            keep: false,
            sensitive: false,
            origin: Origin { file: "base/kv/a.yaml".into(), line: 1, column: 1 },
        };
        let mut check = Check {
            name: CheckName::parse("smoke").unwrap(),
            kind: CheckKind::Exec { program: "smoke".into(), subject: None },
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
        };
        change(&mut environment, &mut entry, &mut check);
        let entries: KeyMap<Entry> = [(KeyPath::parse("a").unwrap(), entry)].into();
        let checks = [(check.name.clone(), check)].into();
        DesiredState::new(environment, entries, checks)
    }

    #[test]
    fn the_digests_are_held_because_proofs_and_rejections_rest_on_them() {
        let state = state(|_, _, _| {});
        assert_eq!(state.state_digest().to_string(), "v1:b9caa814f23412ef07e6e052daabb0e61c52ad5fa140ae9cbca89f9393e01eeb");
        assert_eq!(state.revision_digest().to_string(), "v1:a0db71d907501f669d8facc3d6dc83a231ac41ad6b48a66930143b2f3216de24");
    }

    #[test]
    fn each_digest_moves_with_what_it_stands_for_and_with_nothing_else() {
        type Change = fn(&mut Environment, &mut Entry, &mut Check);
        #[track_caller]
        fn check(what: &str, change: Change, state_moves: bool, revision_moves: bool) {
            let (before, after) = (state(|_, _, _| {}), state(change));
            assert_eq!(before.state_digest() != after.state_digest(), state_moves, "state digest: {what}");
            assert_eq!(before.revision_digest() != after.revision_digest(), revision_moves, "revision digest: {what}");
        }
        check("value", |_, entry, _| entry.digest = ValueDigest::of(b"w"), true, true);
        check("keep", |_, entry, _| entry.keep = true, false, true);
        check("sensitive", |_, entry, _| entry.sensitive = true, false, true);
        check("origin", |_, entry, _| entry.origin.line = 7, false, false);
        check("check", |_, _, check| check.timeout = Duration::from_millis(999), false, true);
        check("settle", |env, _, _| env.policy.rollout.settle = Some(Duration::ZERO), false, true);
        check("fail_after", |env, _, _| env.policy.rollout.fail_after = 4, false, true);
        check("min_healthy_time", |env, _, _| env.policy.rollout.min_healthy_time = Duration::ZERO, false, true);
        check("healthy_deadline", |env, _, _| env.policy.rollout.healthy_deadline = Duration::from_mins(6), false, true);
        check("apply_deadline", |env, _, _| env.policy.rollout.apply_deadline = Duration::ZERO, false, false);
        check("auto_revert", |env, _, _| env.policy.rollout.auto_revert = false, false, false);
        check("deletes", |env, _, _| env.policy.deletes.at_most = 1, false, false);
    }
}
