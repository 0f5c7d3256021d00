//! What every target must do, as tests over `T: Target`: the directory and Consul pass the same ones.
//!
//! A test binary takes them all with `suite::conformance!(MyPlace)`, where `MyPlace` implements [`Place`].

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lockstep::domain::desired::{DesiredState, Entry, Origin};
use lockstep::domain::environment::{Environment, Policy};
use lockstep::domain::keymap::KeyMap;
use lockstep::domain::live::{Fence, LiveEntry, LiveState};
use lockstep::domain::name::{EnvironmentName, KeyPath};
use lockstep::domain::plan::{Action, Change, Counts, Intent, Plan, Why};
use lockstep::domain::resource::{Flags, KeyMark, OwnerId};
use lockstep::domain::revision::{Generation, Revision, ValueDigest};
use lockstep::domain::rollout::{
    Answer, Apply, Closed, HistoryLine, Outcome, Phase, Reached, Request, RequestId, Rollout, Save, Stored, Verb,
};
use lockstep::domain::time::Timestamp;
use lockstep::port::{EdgeError, EdgeKind, Leading, Target, Wake, Written};

// The binaries that run the suite find it by different ways, and this beside it by one.
#[path = "suite_past.rs"]
mod past;
pub use past::*;

/// One environment that nobody else uses, and what a person can do to it by hand.
pub trait Place: Send + Sync + Sized {
    /// The target under test.
    type Target: Target;

    /// A fresh environment, not initialised.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// A handle on the environment, as one controller has it; each call is another controller.
    fn target(&self) -> Self::Target;

    /// Writes a key by hand without any mark, or deletes it.
    fn edit(&self, key: &str, value: Option<&[u8]>) -> impl Future<Output = ()> + Send;

    /// Takes the lease away from whoever holds it, without telling: an expired session, a removed lock.
    fn lose_lease(&self) -> impl Future<Output = ()> + Send;
}

/// Every test of the suite for one kind of place, as a test each.
#[macro_export]
macro_rules! conformance {
    ($place:ty) => {
        $crate::conformance!($place:
            an_environment_nobody_initialised_has_no_record_and_no_keys,
            initialising_twice_makes_one_record,
            a_move_names_the_fence_of_the_last_one,
            a_history_line_is_created_once_and_closed_later,
            a_request_is_listed_until_its_answer_is_there,
            old_history_goes_unless_a_live_key_or_the_record_names_it,
            the_newest_answers_stay_and_no_open_request_goes,
            only_the_leader_forgets,
            only_one_controller_leads_and_a_release_hands_over,
            a_lost_lease_writes_nothing,
            a_plan_leaves_exactly_its_values_and_marks,
            values_come_back_byte_for_byte,
            a_hand_edit_after_the_look_is_a_conflict_and_stays,
            a_plan_on_a_stale_record_writes_nothing,
            a_plan_that_was_stopped_is_finished_by_the_next_one,
            only_the_exact_key_is_deleted,
            unmanaged_keys_survive_every_plan,
            an_empty_plan_moves_the_record_only,
            a_thousand_keys_go_in_and_out_again,
            a_hand_edit_wakes_the_watcher,
            a_request_wakes_the_watcher,
        );
    };
    ($place:ty: $($test:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            $crate::suite::$test(<$place as $crate::suite::Place>::fresh().await).await;
        }
    )+};
}

pub fn key(text: &str) -> KeyPath {
    KeyPath::parse(text).unwrap()
}

fn generation(number: u32) -> Generation {
    Generation::new(number).unwrap()
}

fn revision(number: u8) -> Revision {
    Revision::from_bytes([number; 20])
}

/// A revision with these keys and no checks.
pub fn desired<K: AsRef<str>, V: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, V)>) -> DesiredState {
    let entries = entries.into_iter().map(|(name, value)| {
        let value: Arc<[u8]> = value.as_ref().into();
        let origin = Origin { file: "base/kv/all.yaml".into(), line: 1, column: 1 };
        let entry = Entry { digest: ValueDigest::of(&value), value, keep: false, sensitive: false, origin };
        (key(name.as_ref()), entry)
    });
    let environment = Environment {
        name: EnvironmentName::parse("test").unwrap(),
        layers: Vec::new(),
        variables: BTreeMap::new(),
        policy: Policy::default(),
        formerly: None,
    };
    DesiredState::new(environment, entries.collect(), BTreeMap::new())
}

fn mark(owner: OwnerId, at: u32) -> Flags {
    KeyMark { adopted: false, owner, generation: generation(at) }.flags()
}

/// The plain difference between what is live and what is wanted: what the planner makes of it is not tested here.
pub fn difference(live: &LiveState, wanted: &DesiredState, owner: OwnerId, at: u32) -> Plan {
    let flags = mark(owner, at);
    let change =
        |key: &KeyPath, action| Change { key: key.clone(), action, fence: live.fence(key), flags, why: Why::Said("test") };
    let mut changes = Vec::new();
    for (key, entry) in wanted.entries() {
        match live.entries.get(key) {
            None => changes.push(change(key, Action::Create)),
            Some(found) if found.digest != entry.digest || found.flags.mark_of(owner).is_none() => {
                changes.push(change(key, Action::Update));
            }
            Some(_) => {}
        }
    }
    for (key, found) in &live.entries {
        if !wanted.entries().contains_key(key) && found.flags.mark_of(owner).is_some() {
            changes.push(change(key, Action::Delete));
        }
    }
    let number = u8::try_from(at % 250).unwrap();
    plan(at, revision(number), changes)
}

fn plan(at: u32, revision: Revision, changes: Vec<Change>) -> Plan {
    let generation = generation(at);
    Plan {
        intent: Intent::Advance,
        revision,
        generation,
        changes,
        obstacles: Vec::new(),
        strays: Vec::new(),
        unmanaged: Vec::new(),
        drifted: Vec::new(),
    }
}

pub fn line(at: u32, revision: Revision, counts: Counts) -> HistoryLine {
    HistoryLine {
        generation: generation(at),
        intent: Intent::Advance,
        revision,
        from: None,
        by: "Ada".into(),
        because: "a commit".into(),
        counts,
        started: Timestamp::from_millis(1_790_000_000_000),
        closed: None,
    }
}

fn closed(line: &HistoryLine) -> HistoryLine {
    let at = line.started + Duration::from_secs(5);
    HistoryLine { closed: Some(Closed { at, outcome: Outcome::Proven, text: "healthy".into() }), ..line.clone() }
}

pub fn only(record: Rollout) -> Save {
    Save::of(record)
}

/// A plan with the records that a rollout would put around it.
pub fn around(record: &Rollout, wanted: &DesiredState, plan: Plan, opens: bool) -> Apply {
    let reached = Reached {
        revision: plan.revision,
        tip: plan.revision,
        state: wanted.state_digest(),
        digest: wanted.revision_digest(),
        generation: plan.generation,
        rules: plan.revision,
    };
    let goal = Some(reached.clone());
    let during = Rollout {
        generation: plan.generation,
        phase: Phase::Applying,
        goal: goal.clone(),
        attempted: vec![reached],
        ..record.clone()
    };
    let after = Rollout { phase: Phase::Verifying, complete: goal, ..during.clone() };
    let line = line(plan.generation.number(), plan.revision, plan.counts());
    let opening = opens.then(|| Save::opening(during, line));
    Apply { opening, plan, closing: only(after) }
}

/// One controller that leads a fresh environment.
pub struct Led<P: Place> {
    pub place: P,
    pub target: P::Target,
    pub lease: <P::Target as Target>::Lease,
    pub owner: OwnerId,
}

impl<P: Place> Led<P> {
    pub async fn start(place: P) -> Self {
        let target = place.target();
        let owner = target.initialise().await.unwrap().owner;
        let lease = lease(&target).await;
        Self { place, target, lease, owner }
    }

    pub async fn stored(&self) -> Stored {
        self.target.load().await.unwrap().unwrap()
    }

    pub async fn live(&self) -> LiveState {
        self.target.live().await.unwrap()
    }

    pub async fn try_apply(&self, live: &LiveState, wanted: &DesiredState, at: u32) -> Result<Written, EdgeError> {
        let stored = self.stored().await;
        let apply = around(&stored.record, wanted, difference(live, wanted, self.owner, at), true);
        self.target.apply(&self.lease, stored.fence, &apply, wanted, &|| true).await
    }

    pub async fn apply(&self, wanted: &DesiredState, at: u32) -> Written {
        let live = self.live().await;
        let written = self.try_apply(&live, wanted, at).await.unwrap();
        assert!(written.complete);
        written
    }

    /// Every key that is live and its value.
    pub async fn values(&self) -> BTreeMap<String, Vec<u8>> {
        let keys: Vec<KeyPath> = self.live().await.entries.into_keys().collect();
        let values = self.target.values(&keys).await.unwrap();
        values.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
    }

    pub async fn names(&self) -> Vec<String> {
        self.live().await.entries.into_keys().map(|key| key.to_string()).collect()
    }
}

pub async fn lease<T: Target>(target: &T) -> T::Lease {
    match target.lead().await.unwrap() {
        Leading::Ours(lease) => lease,
        Leading::Theirs(who) => panic!("{who} leads"),
    }
}

#[track_caller]
pub fn is<T: std::fmt::Debug>(result: Result<T, EdgeError>, kind: EdgeKind) -> EdgeError {
    let error = result.expect_err("it went well");
    assert_eq!(error.kind, kind, "{}", error.chain());
    error
}

/// Waits until a condition holds, for ten seconds at most.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < limit, "{what} did not happen within 10 s");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn an_environment_nobody_initialised_has_no_record_and_no_keys(place: impl Place) {
    let target = place.target();
    assert!(target.load().await.unwrap().is_none());
    assert_eq!(target.live().await.unwrap().entries, KeyMap::default());
}

pub async fn initialising_twice_makes_one_record(place: impl Place) {
    let identity = place.target().initialise().await.unwrap();
    match place.target().initialise().await {
        // Only to whoever pins it already.
        Ok(again) => assert_eq!(again, identity),
        Err(error) => assert_eq!(error.kind, EdgeKind::Refused, "{}", error.chain()),
    }
    let stored = place.target().load().await.unwrap().unwrap();
    assert_eq!(stored.record, Rollout::new(identity));
}

pub async fn a_move_names_the_fence_of_the_last_one(place: impl Place) {
    let led = Led::start(place).await;
    let first = led.stored().await;
    let next = Rollout { reason: "moved".into(), ..first.record.clone() };
    let fence = led.target.save(&led.lease, first.fence, &only(next.clone())).await.unwrap();
    assert_ne!(fence, first.fence);
    assert_eq!(led.stored().await, Stored { record: next, fence });

    let late = Rollout { reason: "too late".into(), ..first.record.clone() };
    let late = Save::opening(late, line(1, revision(1), Counts::default()));
    for stale in [first.fence, Fence::ABSENT, Fence(u64::MAX)] {
        is(led.target.save(&led.lease, stale, &late).await, EdgeKind::Conflict);
    }
    assert_eq!(led.stored().await.record.reason, "moved");
    assert_eq!(led.target.history(10).await.unwrap(), Vec::new());
}

pub async fn a_history_line_is_created_once_and_closed_later(place: impl Place) {
    let led = Led::start(place).await;
    let Stored { record, mut fence } = led.stored().await;
    let mut lines: Vec<HistoryLine> = (1..=12).map(|at| line(at, revision(9), Counts::default())).collect();
    for one in &lines {
        let save = Save::opening(record.clone(), one.clone());
        fence = led.target.save(&led.lease, fence, &save).await.unwrap();
    }
    let again = Save::opening(Rollout { reason: "again".into(), ..record.clone() }, lines[3].clone());
    is(led.target.save(&led.lease, fence, &again).await, EdgeKind::Conflict);
    assert_eq!(led.stored().await, Stored { record: record.clone(), fence }, "a refused move moved the record");

    lines[3] = closed(&lines[3]);
    // A line that is opened and closed at once, beside one that is closed.
    lines.push(closed(&line(13, revision(9), Counts::default())));
    let save = Save { opens: Some(generation(13)), history: vec![lines[3].clone(), lines[12].clone()], ..only(record) };
    led.target.save(&led.lease, fence, &save).await.unwrap();
    lines.reverse();
    assert_eq!(led.target.history(100).await.unwrap(), lines, "newest first, by number");
    assert_eq!(led.target.history(2).await.unwrap(), lines[..2]);
    assert_eq!(led.place.target().history(100).await.unwrap(), lines, "another controller sees the same");
}

pub fn request(id: u64, second: i64) -> Request {
    Request {
        id: RequestId::parse(&format!("{id:016x}")).unwrap(),
        by: "ada@desk".into(),
        at: Timestamp::from_millis(1_790_000_000_000 + second * 1_000),
        reason: "the build is broken".into(),
        verb: Verb::RollBack { to: Some(revision(7)) },
    }
}

pub async fn a_request_is_listed_until_its_answer_is_there(place: impl Place) {
    let led = Led::start(place).await;
    let cli = led.place.target();
    let (old, new) = (request(0xf, 1), request(0x1, 2));
    cli.submit(&new).await.unwrap();
    cli.submit(&old).await.unwrap();
    is(cli.submit(&Request { reason: "another".into(), ..old.clone() }).await, EdgeKind::Conflict);
    assert_eq!(led.target.requests().await.unwrap(), [old.clone(), new.clone()], "oldest first");
    assert_eq!(cli.answer(&old.id).await.unwrap(), None);

    let answer = Answer { id: old.id.clone(), at: old.at, accepted: true, changed: true, text: "rolled back".into() };
    let Stored { record, fence } = led.stored().await;
    let save = Save { answers: vec![answer.clone()], ..only(record) };
    is(led.target.save(&led.lease, Fence(fence.0 + 1_000), &save).await, EdgeKind::Conflict);
    assert_eq!(cli.answer(&old.id).await.unwrap(), None, "a refused move answered");
    led.target.save(&led.lease, fence, &save).await.unwrap();
    assert_eq!(cli.answer(&old.id).await.unwrap(), Some(answer));
    assert_eq!(cli.requests().await.unwrap(), [new]);
}

pub async fn only_one_controller_leads_and_a_release_hands_over(place: impl Place) {
    let led = Led::start(place).await;
    let other = led.place.target();
    match other.lead().await.unwrap() {
        Leading::Theirs(who) => {
            assert!(!who.is_empty());
            assert_eq!(other.leader().await.unwrap(), Some(who));
        }
        Leading::Ours(_) => panic!("two controllers lead"),
    }
    let Led { place: _place, target, lease: ours, .. } = led;
    target.release(ours).await.unwrap();
    assert_eq!(other.leader().await.unwrap(), None);
    let theirs = lease(&other).await;
    assert!(matches!(target.lead().await.unwrap(), Leading::Theirs(_)));
    let Stored { record, fence } = target.load().await.unwrap().unwrap();
    other.save(&theirs, fence, &only(record)).await.unwrap();
}

pub async fn a_lost_lease_writes_nothing(place: impl Place) {
    let led = Led::start(place).await;
    let wanted = desired([("config/a", "1")]);
    let live = led.live().await;
    led.place.lose_lease().await;
    let Stored { record, fence } = led.stored().await;
    let save = Save::opening(record.clone(), line(1, revision(1), Counts::default()));
    is(led.target.save(&led.lease, fence, &save).await, EdgeKind::Conflict);
    is(led.try_apply(&live, &wanted, 1).await, EdgeKind::Conflict);
    assert_eq!(led.stored().await, Stored { record, fence });
    assert_eq!(led.names().await, Vec::<String>::new());
    assert_eq!(led.target.history(10).await.unwrap(), Vec::new());
}

pub async fn a_plan_leaves_exactly_its_values_and_marks(place: impl Place) {
    let led = Led::start(place).await;
    let first = desired([("config/stays", "1"), ("config/changes", "1"), ("config/goes", "1"), ("config/released", "1")]);
    let written = led.apply(&first, 1).await;
    assert_eq!(written.record, led.stored().await.fence);
    let live = led.live().await;
    assert!(live.entries.values().all(|entry| entry.flags == mark(led.owner, 1)), "{live:?}");
    same_as_live(&written, &live);

    let second = desired([("config/stays", "1"), ("config/changes", "2"), ("config/new", "1")]);
    let mut plan = difference(&live, &second, led.owner, 2);
    let released = plan.changes.iter_mut().find(|change| change.key == key("config/released")).unwrap();
    (released.action, released.flags) = (Action::Release, Flags(0));
    let stored = led.stored().await;
    let apply = around(&stored.record, &second, plan, true);
    let written = led.target.apply(&led.lease, stored.fence, &apply, &second, &|| true).await.unwrap();

    let live = led.live().await;
    let flags: Vec<_> = live.entries.iter().map(|(key, entry)| (key.as_str(), entry.flags)).collect();
    let [one, two] = [mark(led.owner, 1), mark(led.owner, 2)];
    assert_eq!(flags, [("config/changes", two), ("config/new", two), ("config/released", Flags(0)), ("config/stays", one)]);
    assert_eq!(led.values().await["config/changes"], b"2");
    assert_eq!(led.values().await["config/released"], b"1");
    assert_eq!(written.keys.len(), 4);
    same_as_live(&written, &live);
    let stored = led.stored().await;
    assert_eq!((stored.fence, &stored.record), (written.record, &apply.closing.record));
    let generations: Vec<u32> = led.target.history(9).await.unwrap().iter().map(|line| line.generation.number()).collect();
    assert_eq!(generations, [2, 1]);
    assert_eq!(led.place.target().live().await.unwrap(), live, "another controller sees the same");
}

#[track_caller]
fn same_as_live(written: &Written, live: &LiveState) {
    for (key, entry) in &written.keys {
        let found: Option<&LiveEntry> = live.entries.get(key);
        assert_eq!(found, entry.as_ref(), "{key} is not as it was said to be written");
    }
}

pub async fn values_come_back_byte_for_byte(place: impl Place) {
    let led = Led::start(place).await;
    let values: BTreeMap<String, Vec<u8>> = BTreeMap::from([
        ("config/all-bytes".into(), (0..=255).collect()),
        ("config/empty".into(), Vec::new()),
        ("config/longest".into(), (0..390_000_u32).map(|n| (n % 251) as u8).collect()),
        ("config/newline".into(), b"one\n".to_vec()),
        ("config/no-newline".into(), b"one".to_vec()),
        ("config/crlf".into(), b"\xef\xbb\xbfone\r\n".to_vec()),
        ("config/ü ñ;$(id)/%41?x=y&z#".into(), b"odd name".to_vec()),
    ]);
    let wanted = desired(&values);
    let written = led.apply(&wanted, 1).await;
    assert_eq!(led.values().await, values);
    let live = led.live().await;
    same_as_live(&written, &live);
    for (key, entry) in wanted.entries() {
        assert_eq!(live.entries[key].digest, entry.digest, "{key}");
    }
    let absent = led.target.values(&[key("config/absent"), key("config/empty/below")]).await.unwrap();
    assert_eq!(absent, BTreeMap::new());
}

pub async fn a_hand_edit_after_the_look_is_a_conflict_and_stays(place: impl Place) {
    let led = Led::start(place).await;
    led.apply(&desired([("config/a", "1"), ("config/b", "1")]), 1).await;
    let wanted = desired([("config/a", "2"), ("config/c", "2")]);
    let edits: [(&str, Option<&[u8]>); 4] =
        [("config/a", Some(b"by hand")), ("config/a", None), ("config/b", Some(b"by hand")), ("config/c", Some(b"by hand"))];
    for (edited, value) in edits {
        let live = led.live().await;
        led.place.edit(edited, value).await;
        let before = led.values().await;
        let record = led.stored().await;
        let error = is(led.try_apply(&live, &wanted, 2).await, EdgeKind::Conflict);
        assert!(error.about.iter().any(|key| key == edited), "{edited} is not named in {:?}", error.about);
        assert_eq!(led.values().await, before, "after the edit of {edited} something was written");
        assert_eq!(led.stored().await, record);
        let entry = led.live().await.entries.get(&key(edited)).copied();
        assert_eq!(entry.map(|entry| entry.flags), value.map(|_| Flags(0)), "the mark went with the edit");
    }
    led.apply(&wanted, 2).await;
    let values = led.values().await;
    assert_eq!(values["config/a"], b"2");
    assert_eq!(values["config/b"], b"by hand", "an unmarked key was deleted");
    assert_eq!(values["config/c"], b"2");
}

pub async fn a_plan_on_a_stale_record_writes_nothing(place: impl Place) {
    let led = Led::start(place).await;
    let stale = led.stored().await;
    let moved = Rollout { reason: "moved".into(), ..stale.record.clone() };
    led.target.save(&led.lease, stale.fence, &only(moved)).await.unwrap();
    let wanted = desired([("config/a", "1")]);
    let apply = around(&stale.record, &wanted, difference(&led.live().await, &wanted, led.owner, 1), true);
    is(led.target.apply(&led.lease, stale.fence, &apply, &wanted, &|| true).await, EdgeKind::Conflict);
    assert_eq!(led.names().await, Vec::<String>::new());
    assert_eq!(led.target.history(9).await.unwrap(), Vec::new());
}

pub async fn a_plan_that_was_stopped_is_finished_by_the_next_one(place: impl Place) {
    let led = Led::start(place).await;
    let wanted = desired((0..300).map(|n| (format!("config/{n:03}"), format!("value {n}"))));
    let stored = led.stored().await;
    let live = led.live().await;
    let apply = around(&stored.record, &wanted, difference(&live, &wanted, led.owner, 1), true);
    let asked = AtomicU32::new(0);
    let stop = || asked.fetch_add(1, Ordering::SeqCst) >= 1;
    let written = led.target.apply(&led.lease, stored.fence, &apply, &wanted, &stop).await.unwrap();
    assert_eq!((asked.load(Ordering::SeqCst), written.complete), (1, false), "it is asked between steps and heard");
    let live = led.live().await;
    assert!(live.entries.len() < 300, "{} keys", live.entries.len());
    // Some of them, or none where a plan becomes visible at once; in any case what it says.
    assert_eq!(live.entries.len(), written.keys.len());
    same_as_live(&written, &live);
    let stored = led.stored().await;
    assert_eq!(stored.record.phase, Phase::Applying);
    assert_eq!(stored.fence, written.record);
    let rest = around(&stored.record, &wanted, difference(&live, &wanted, led.owner, 1), false);
    let written = led.target.apply(&led.lease, stored.fence, &rest, &wanted, &|| true).await.unwrap();
    assert!(written.complete);
    let live = led.live().await;
    assert!(difference(&live, &wanted, led.owner, 1).is_empty());
    assert_eq!(led.stored().await.record, apply.closing.record);
    assert_eq!(led.target.history(9).await.unwrap().len(), 1, "one attempt, one line");
}

pub async fn only_the_exact_key_is_deleted(place: impl Place) {
    let led = Led::start(place).await;
    let similar = ["config/foo", "config/foobar", "config/foo_v2", "config/foo.bar", "config/fo", "config/foo2/x"];
    led.place.edit("config/foo3/by-hand", Some(b"mine")).await;
    led.apply(&desired(similar.map(|name| (name, "1"))), 1).await;
    led.apply(&desired(similar[1..].iter().map(|name| (*name, "1"))), 2).await;
    let expected: BTreeSet<&str> = similar[1..].iter().copied().chain(["config/foo3/by-hand"]).collect();
    assert_eq!(led.names().await.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
}

pub async fn unmanaged_keys_survive_every_plan(place: impl Place) {
    let led = Led::start(place).await;
    led.apply(&desired([("config/a", "1")]), 1).await;
    led.place.edit("config/mine", Some(b"by hand")).await;
    led.place.edit("config/deep/er/mine", Some(b"by hand too")).await;
    led.apply(&desired([("config/a", "2")]), 2).await;
    led.apply(&desired::<&str, &str>([]), 3).await;
    let expected = [("config/deep/er/mine", b"by hand too".as_slice()), ("config/mine", b"by hand")];
    let values = led.values().await;
    assert_eq!(values.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect::<Vec<_>>(), expected);
    assert!(led.live().await.entries.values().all(|entry| entry.flags == Flags(0)));
}

pub async fn an_empty_plan_moves_the_record_only(place: impl Place) {
    let led = Led::start(place).await;
    let wanted = desired([("config/a", "1")]);
    led.apply(&wanted, 1).await;
    let live = led.live().await;
    let written = led.apply(&wanted, 2).await;
    assert_eq!(written.keys, Vec::new());
    assert_eq!(led.live().await, live);
    let stored = led.stored().await;
    assert_eq!((stored.fence, stored.record.generation), (written.record, generation(2)));
}

pub async fn a_thousand_keys_go_in_and_out_again(place: impl Place) {
    let led = Led::start(place).await;
    let many = desired((0..1_000).map(|n| (format!("config/{}/{n:04}", n % 7), format!("value {n}"))));
    let written = led.apply(&many, 1).await;
    assert_eq!(written.keys.len(), 1_000);
    let live = led.live().await;
    assert_eq!(live.entries.len(), 1_000);
    same_as_live(&written, &live);
    led.apply(&desired([("config/0/0000", "value 0")]), 2).await;
    assert_eq!(led.names().await, ["config/0/0000"]);
}

#[derive(Default)]
struct Woken {
    live: AtomicBool,
    state: AtomicBool,
}

impl Wake for Woken {
    fn live(&self) {
        self.live.store(true, Ordering::SeqCst);
    }
    fn state(&self) {
        self.state.store(true, Ordering::SeqCst);
    }
}

impl Woken {
    /// A watch may call at its start; what counts is what comes after that.
    fn forget(&self) {
        self.live.store(false, Ordering::SeqCst);
        self.state.store(false, Ordering::SeqCst);
    }
}

/// Runs a watch beside `doing`, which can rely on the watch being at work.
async fn watching<T: Target>(target: &T, woken: &Woken, probe: impl Future<Output = ()>, doing: impl Future<Output = ()>) {
    let doing = async {
        probe.await;
        doing.await;
    };
    tokio::select! {
        () = target.watch(woken) => panic!("the watch ended"),
        () = doing => {}
    }
}

pub async fn a_hand_edit_wakes_the_watcher(place: impl Place) {
    let led = Led::start(place).await;
    led.apply(&desired([("config/a", "1"), ("config/b/c", "1")]), 1).await;
    let woken = Woken::default();
    let place = &led.place;
    let probe = async {
        // Any first wake says that the watch stands.
        let mut n = 0;
        while !woken.live.load(Ordering::SeqCst) {
            place.edit("config/probe", Some(format!("{n}").as_bytes())).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            n += 1;
        }
    };
    let doing = async {
        for (edited, value) in [("config/a", Some(b"2".as_slice())), ("config/b/c", None), ("config/new/d", Some(b"3"))] {
            quiet(&woken).await;
            place.edit(edited, value).await;
            until("a wake for a hand edit", || woken.live.load(Ordering::SeqCst)).await;
        }
        // Still at work after a switch to other keys.
        led.apply(&desired([("config/a", "5")]), 2).await;
        quiet(&woken).await;
        place.edit("config/a", Some(b"6")).await;
        until("a wake for a hand edit after an apply", || woken.live.load(Ordering::SeqCst)).await;
    };
    watching(&led.target, &woken, probe, doing).await;
}

/// Waits until the wakes of what was done before have come in.
async fn quiet(woken: &Woken) {
    loop {
        woken.forget();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if !woken.live.load(Ordering::SeqCst) && !woken.state.load(Ordering::SeqCst) {
            return;
        }
    }
}

pub async fn a_request_wakes_the_watcher(place: impl Place) {
    let led = Led::start(place).await;
    let woken = Woken::default();
    let probe = async {
        let mut n = 100;
        while !woken.state.load(Ordering::SeqCst) {
            led.place.target().submit(&request(n, 0)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            n += 1;
        }
    };
    let doing = async {
        quiet(&woken).await;
        led.place.target().submit(&request(1, 1)).await.unwrap();
        until("a wake for a request", || woken.state.load(Ordering::SeqCst)).await;
        quiet(&woken).await;
        let Stored { record, fence } = led.stored().await;
        // A record that is written as it was is no news to a target that compares.
        let record = Rollout { reason: "moved".into(), ..record };
        led.target.save(&led.lease, fence, &only(record)).await.unwrap();
        until("a wake for a move of the record", || woken.state.load(Ordering::SeqCst)).await;
    };
    watching(&led.target, &woken, probe, doing).await;
}
