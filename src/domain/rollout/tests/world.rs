//! A world in memory: commits, keys, samples, people and a clock around the real decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::check::CheckKind;
use crate::domain::commit::Commit;
use crate::domain::desired::DesiredState;
use crate::domain::desired::sketch::Sketch;
use crate::domain::health::{Finding, HealthLog, Sample};
use crate::domain::live::{Fence, LiveEntry, LiveState};
use crate::domain::name::{CheckName, EnvironmentName, KeyPath, RepositoryName};
use crate::domain::plan::{Action, Change, Intent};
use crate::domain::resource::{Flags, OwnerId};
use crate::domain::revision::{Generation, Revision, ValueDigest};
use crate::domain::rollout::{
    Answer, Apply, Books, HeadView, HistoryLine, Identity, LogSubject, Needed, Observation, Phase, Preview, RefusedAttempt,
    Request, RequestId, Rollout, Save, Step, TargetId, Trouble, TroubleKind, Verb,
};
use crate::domain::time::Timestamp;

/// One commit: its first-parent, and what it says.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) parent: Option<usize>,
    pub(super) sketch: Sketch,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) invalid: bool,
    pub(super) retired: bool,
    pub(super) unfit: bool,
}

/// What an earlier moment looked like, for a restore.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    record: Rollout,
    live: LiveState,
    values: BTreeMap<KeyPath, String>,
    history: BTreeMap<Generation, HistoryLine>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that a script switches by itself")]
pub(super) struct World {
    now: Timestamp,
    led_since: Timestamp,
    /// `r1` is the first.
    pub(super) commits: Vec<Node>,
    pub(super) tip: Option<usize>,
    /// Whether two fetches agree on a tip that is no descendant.
    pub(super) believed: bool,
    /// Commits that the mirror doesn't have.
    pub(super) lost: BTreeSet<usize>,
    /// Commits that the controller's configuration does not allow any more.
    pub(super) narrowed: BTreeSet<usize>,
    pub(super) record: Rollout,
    pub(super) live: LiveState,
    pub(super) values: BTreeMap<KeyPath, String>,
    index: u64,
    pub(super) history: BTreeMap<Generation, HistoryLine>,
    requests: Vec<Request>,
    pub(super) answers: Vec<Answer>,
    health: HealthLog,
    health_of: Option<LogSubject>,
    samples: u64,
    /// The generation that the service has read: it takes a second to notice.
    shown: Generation,
    /// What a check finds whatever the keys say.
    pub(super) found: BTreeMap<CheckName, Finding>,
    /// Keys that may not be written.
    pub(super) denied: BTreeSet<KeyPath>,
    pub(super) unreachable: bool,
    /// Keys that somebody writes at the moment of each of our writes.
    pub(super) contended: BTreeSet<KeyPath>,
    pub(super) rights: u64,
    /// The target says that what was denied may be written.
    pub(super) permitted: bool,
    /// How many changes one transaction takes.
    pub(super) batch: usize,
    trouble: Option<Trouble>,
    remembered: Generation,
    restored: bool,
    snapshot: Option<Snapshot>,
    /// What the last pass waited for.
    pub(super) waiting: String,
}

pub(super) const OWNER: u16 = 7;

/// `r1` is `a000010…`, so that a number can be read from an id and back.
pub(super) fn revision(number: usize) -> Revision {
    let mut id = [0; 20];
    id[0] = 0xa0;
    id[2] = u8::try_from(number >> 4).unwrap();
    id[3] = u8::try_from((number & 0xf) << 4).unwrap();
    Revision::from_bytes(id)
}

pub(crate) fn number(revision: Revision) -> usize {
    let id = revision.as_bytes();
    usize::from(id[2]) << 4 | usize::from(id[3]) >> 4
}

impl World {
    pub(super) fn new() -> Self {
        let start = Timestamp::from_millis(1_000_000_000);
        let identity = Identity {
            repository: RepositoryName::parse("config").unwrap(),
            environment: EnvironmentName::parse("test").unwrap(),
            target: TargetId::parse("0123456789abcdef").unwrap(),
            owner: OwnerId::new(OWNER).unwrap(),
        };
        Self {
            now: start,
            led_since: start,
            commits: Vec::new(),
            tip: None,
            believed: false,
            lost: BTreeSet::new(),
            narrowed: BTreeSet::new(),
            record: Rollout::new(identity),
            live: LiveState::default(),
            values: BTreeMap::new(),
            index: 1,
            history: BTreeMap::new(),
            requests: Vec::new(),
            answers: Vec::new(),
            health: HealthLog::default(),
            health_of: None,
            samples: 0,
            shown: Generation::default(),
            found: BTreeMap::new(),
            denied: BTreeSet::new(),
            unreachable: false,
            contended: BTreeSet::new(),
            rights: 1,
            permitted: false,
            batch: usize::MAX,
            trouble: None,
            remembered: Generation::default(),
            restored: false,
            snapshot: None,
            waiting: String::new(),
        }
    }

    /// What a commit says, as far as the mirror has it and it is valid.
    pub(super) fn desired(&self, revision: Revision) -> Option<DesiredState> {
        let number = number(revision);
        let node = &self.commits[number - 1];
        let gone = self.lost.contains(&number) || self.narrowed.contains(&number);
        (!gone && !node.invalid && !node.retired).then(|| node.sketch.state())
    }

    /// What a commit says, whatever the mirror has.
    fn says(&self, revision: Revision) -> DesiredState {
        self.commits[number(revision) - 1].sketch.state()
    }

    fn ancestry(&self, of: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(of), |number| self.commits[number - 1].parent)
    }

    fn leaves_what_was_followed(&self, tip: usize) -> bool {
        let followed = self.record.goal.as_ref().map(|goal| number(goal.tip));
        followed.is_some_and(|followed| !self.ancestry(tip).any(|ancestor| ancestor == followed))
    }

    fn head(&self) -> HeadView {
        let Some(tip) = self.tip else { return HeadView::None("the branch does not exist any more".to_owned()) };
        if !self.believed && self.leaves_what_was_followed(tip) {
            return HeadView::Rewound(revision(tip));
        }
        let node = &self.commits[tip - 1];
        if node.unfit {
            HeadView::Unfit(revision(tip), "another environment's record claims this name".to_owned())
        } else if node.retired {
            HeadView::Retired(revision(tip))
        } else if node.invalid {
            HeadView::Invalid(revision(tip), "1 problem: environment.yaml:1".to_owned())
        } else {
            HeadView::At(revision(tip))
        }
    }

    fn commit(&self, number: usize) -> Commit {
        Commit {
            revision: revision(number),
            author: "Ada".to_owned(),
            subject: format!("change {number}"),
            trailers: self.commits[number - 1].trailers.clone(),
            unread: 0,
            at: self.now,
        }
    }

    fn books(&self) -> Books {
        let mut books = Books::default();
        let mut needed = self.record.revisions_needed(&self.requests);
        books.rewritten = self.believed && self.tip.is_some_and(|tip| self.leaves_what_was_followed(tip));
        if let (HeadView::At(tip), Some(head)) = (self.head(), self.tip) {
            needed.insert(Needed::named(tip));
            books.head = Some(self.commit(head));
            for after in self.record.ranges_needed() {
                let range = self.ancestry(head).take_while(|ancestor| *ancestor != number(after));
                books.commits.insert((after, tip), range.map(|ancestor| self.commit(ancestor)).collect());
            }
        }
        for one in needed {
            let revision = one.revision;
            if let Some(desired) = self.desired(revision) {
                books.desired.insert(one, desired.into());
            } else if !self.lost.contains(&number(revision)) {
                books.unusable.insert(revision, "invalid: base/kv/x.yaml:1: the key b lies outside the roots".to_owned());
            }
        }
        books
    }

    /// Time passes, second by second; checks are sampled and passes made.
    pub(super) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.tick();
            self.look();
        }
    }

    /// A second passes and checks are sampled; nobody decides anything.
    pub(super) fn tick(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        self.sample();
        if self.record.phase != Phase::Applying && self.record.repair.is_none() {
            self.shown = self.record.goal.as_ref().map_or(self.shown, |goal| goal.generation);
        }
    }

    /// Until nothing changes for longer than every deadline.
    pub(super) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..7_200 {
            let before = (self.record.clone(), self.live.clone());
            self.wait(1);
            quiet = if (&before.0, &before.1) == (&self.record, &self.live) { quiet + 1 } else { 0 };
            if quiet > 90 {
                return;
            }
        }
        panic!("it never settles: {:#?}", self.record);
    }

    fn look(&mut self) {
        for _ in 0..50 {
            if !self.pass() {
                return;
            }
        }
        panic!("passes go on without end: {:#?}", self.record);
    }

    fn sample(&mut self) {
        self.align_health();
        if self.record.sampled().is_none() {
            return;
        }
        let Some(desired) = self.record.goal.as_ref().and_then(|goal| self.desired(goal.revision)) else { return };
        self.samples += 1;
        for check in self.record.checks_asked(&desired).collect::<Vec<_>>() {
            let finding = self.found.get(&check.name).cloned().unwrap_or_else(|| self.answer(&check.kind));
            self.health.take(&Sample { check: check.name.clone(), at: self.now, finding });
        }
    }

    /// What a check finds: `rotten` always fails, `generation` wants the service to have read the generation that it is told
    /// of, every other program goes by the key `health`.
    fn answer(&self, kind: &CheckKind) -> Finding {
        let fail = || Finding::Fail { because: "got 503".to_owned() };
        if let CheckKind::Exec { program, subject } = kind {
            let asked = subject.map(|(_, generation)| generation);
            match program.as_str() {
                "generation" if asked == Some(self.shown) => return Finding::Pass,
                "rotten" | "generation" => return fail(),
                _ => {}
            }
        }
        match self.values.get("health").map_or("good", String::as_str) {
            "bad" => fail(),
            "unknown" => Finding::Unknown { because: "no answer from Consul".to_owned() },
            "flapping" if self.samples.is_multiple_of(2) => fail(),
            _ => Finding::Pass,
        }
    }

    /// The log of samples starts anew with each attempt and each term, as the loop does it.
    fn align_health(&mut self) {
        let Some(desired) = self.record.goal.as_ref().and_then(|goal| self.desired(goal.revision)) else { return };
        let Self { record, health, health_of, led_since, now, .. } = self;
        record.align(health, health_of, &desired, Duration::ZERO, *led_since, *now);
    }

    fn seen<'a>(&'a self, books: &'a Books) -> Observation<'a> {
        Observation {
            now: self.now,
            led_since: self.led_since,
            settle: Duration::ZERO,
            rights: self.rights,
            permitted: self.permitted().is_some(),
            head: self.head(),
            books,
            live: &self.live,
            health: &self.health,
            requests: &self.requests,
            trouble: self.trouble.as_ref(),
            remembered: self.remembered,
            restored: self.restored,
        }
    }

    /// What a plan of the branch head shows; none where more than the plan decides about what is written: an attempt or a repair
    /// is under way, a write failed, somebody asks for something.
    pub(super) fn preview(&self) -> Option<Preview> {
        let HeadView::At(tip) = self.head() else { return None };
        let under_way = self.record.repair.is_some()
            || matches!(self.record.phase, Phase::Applying | Phase::Verifying)
            || self.record.attempt.as_ref().is_some_and(|attempt| attempt.line.closed.is_none());
        if under_way || self.trouble.is_some() || !self.requests.is_empty() || self.restored {
            return None;
        }
        let books = self.books();
        let desired = self.desired(tip)?;
        Some(self.record.preview(tip, &desired, &self.seen(&books)))
    }

    /// The step that follows from looking now; the same look gives the same step.
    pub(super) fn decided(&mut self) -> Step {
        self.align_health();
        let books = self.books();
        let seen = self.seen(&books);
        let step = self.record.decide(&seen);
        assert_eq!(step, self.record.decide(&seen), "the same look gives the same step");
        step
    }

    /// One pass; whether something was written.
    ///
    /// Always true of a step: it writes no managed key while suspended, sets come before deletes, every fence is the one that
    /// was seen, only keys that are ours are written, every mark names the plan's generation, and generations never go down.
    pub(super) fn pass(&mut self) -> bool {
        self.forget_denial();
        let step = self.decided();
        self.waiting.clear();
        match step {
            Step::Wait(waiting) => {
                self.waiting = waiting.reason;
                false
            }
            Step::Record(save) => {
                assert_ne!(
                    (&save.record, save.history.is_empty(), save.answers.is_empty()),
                    (&self.record, true, true),
                    "a move that moves nothing is made again and again"
                );
                self.save(&save);
                true
            }
            Step::Apply(apply) => {
                self.check(&apply);
                self.apply(&apply)
            }
        }
    }

    fn check(&self, apply: &Apply) {
        let plan = &apply.plan;
        assert!(!plan.is_empty(), "an empty plan is written");
        assert!(!self.record.is_suspended(self.now), "suspended, and a managed key is written");
        let first_delete = plan.changes.iter().position(|change| matches!(change.action, Action::Delete | Action::Release));
        let last_set =
            plan.changes.iter().rposition(|change| matches!(change.action, Action::Create | Action::Update | Action::Adopt));
        assert!(first_delete.zip(last_set).is_none_or(|(delete, set)| set < delete), "a delete before a set: {plan:#?}");
        // Whatever the mirror has: what complete says is true all the same.
        let complete = self.record.complete.as_ref().map(|complete| self.says(complete.revision));
        let goal = self.says(apply.closing.record.goal.as_ref().unwrap().revision);
        for change in &plan.changes {
            assert_eq!(change.fence, self.live.fence(&change.key), "{} is written blindly", change.key);
            if let Some(found) = self.live.entries.get(&change.key) {
                let ours = found.flags.mark_of(self.record.identity.owner).is_some()
                    || complete.as_ref().is_some_and(|state| state.entries().contains_key(&change.key));
                let adopts = change.action == Action::Adopt
                    && found.flags == Flags(0)
                    && found.digest == goal.entries()[&change.key].digest;
                assert!(ours || adopts, "{} is not ours and is written", change.key);
            }
            if matches!(change.action, Action::Create | Action::Update | Action::Adopt) {
                let mark = change.flags.mark_of(self.record.identity.owner);
                assert_eq!(mark.map(|mark| mark.generation), Some(plan.generation), "{} has another mark", change.key);
            }
        }
    }

    fn apply(&mut self, apply: &Apply) -> bool {
        let plan = &apply.plan;
        let keys = |set: &BTreeSet<KeyPath>| -> Vec<KeyPath> {
            plan.changes.iter().map(|change| &change.key).filter(|key| set.contains(*key)).cloned().collect()
        };
        let (denied, contended) = (keys(&self.denied), keys(&self.contended));
        let complete = plan.changes.len() <= self.batch;
        let now: Vec<&Change> = plan.changes.iter().take(self.batch).collect();
        if self.unreachable {
            return self.fail(TroubleKind::Transient, "no answer from Consul", Vec::new(), plan.intent, plan.revision);
        }
        if denied.iter().any(|key| now.iter().any(|change| change.key == *key)) {
            return self.fail(TroubleKind::Denied, "permission denied", denied, plan.intent, plan.revision);
        }
        if contended.iter().any(|key| now.iter().any(|change| change.key == *key)) {
            return self.fail(TroubleKind::Conflict, "somebody else keeps writing a", contended, plan.intent, plan.revision);
        }
        let goal = apply.closing.record.goal.clone().unwrap();
        let desired = self.says(goal.revision);
        for change in now {
            self.index += 1;
            match change.action {
                Action::Create | Action::Update | Action::Adopt => {
                    let entry = &desired.entries()[&change.key];
                    self.put(change.key.clone(), &String::from_utf8_lossy(&entry.value), change.flags);
                }
                Action::Delete => {
                    self.live.entries.remove(&change.key);
                    self.values.remove(&change.key);
                }
                Action::Release => self.live.entries.get_mut(&change.key).unwrap().flags = change.flags,
            }
        }
        if complete {
            self.save(&apply.at_once());
        } else if let Some(opening) = &apply.opening {
            self.save(opening);
        }
        self.trouble = None;
        true
    }

    pub(super) fn put(&mut self, key: KeyPath, value: &str, flags: Flags) {
        self.index += 1;
        let digest = ValueDigest::of(value.as_bytes());
        self.live.entries.insert(key.clone(), LiveEntry { digest, flags, fence: Fence(self.index) });
        self.values.insert(key, value.to_owned());
    }

    /// As the loop does when the target says that what was denied may be written.
    fn forget_denial(&mut self) {
        let over = self.permitted().cloned();
        self.trouble.take_if(|trouble| over.is_some_and(|refused| refused.is_about(trouble)));
    }

    /// What was denied and may be written by now.
    fn permitted(&self) -> Option<&RefusedAttempt> {
        self.record.refusal_in_the_way(&self.head(), &self.books()).filter(|_| self.permitted)
    }

    /// A write that failed, remembered as the loop does it; the first conflict is ordinary news.
    fn fail(&mut self, kind: TroubleKind, text: &str, keys: Vec<KeyPath>, intent: Intent, revision: Revision) -> bool {
        let same = |trouble: &&Trouble| (trouble.kind, trouble.intent, trouble.revision) == (kind, intent, revision);
        let before = self.trouble.as_ref().filter(same);
        let since = before.map_or(self.now, |trouble| trouble.since);
        let first = before.is_none() && kind == TroubleKind::Conflict;
        let wait = match kind {
            TroubleKind::Denied => 60,
            TroubleKind::Conflict if first => 0,
            TroubleKind::Conflict | TroubleKind::Transient => 5,
        };
        let retry = self.now + Duration::from_secs(wait);
        self.trouble = Some(Trouble { kind, text: text.to_owned(), keys, intent, revision, since, retry });
        true
    }

    fn save(&mut self, save: &Save) {
        assert!(save.record.generation >= self.record.generation, "a generation went down");
        self.record = save.record.clone();
        self.remembered = self.remembered.max(self.record.generation);
        self.restored = false;
        for line in &save.history {
            let before = self.history.insert(line.generation, line.clone());
            assert_eq!(save.opens == Some(line.generation), before.is_none(), "line {} is opened wrongly", line.generation);
            assert!(
                before.as_ref().is_none_or(|before| before.closed.is_none() && line.closed.is_some()),
                "history line {} is written twice: {before:?}",
                line.generation
            );
        }
        for answer in &save.answers {
            self.answers.push(answer.clone());
            self.requests.retain(|request| request.id != answer.id);
        }
    }

    pub(super) fn ask(&mut self, by: &str, verb: Verb) {
        let id = RequestId::parse(&format!("{:016x}", self.answers.len() + self.requests.len())).unwrap();
        self.requests.push(Request { id, by: by.to_owned(), at: self.now, reason: "to see".to_owned(), verb });
    }

    pub(super) fn at(&self, seconds: u64) -> Timestamp {
        self.now + Duration::from_secs(seconds)
    }

    pub(super) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Another controller takes over: it knows only what is written down.
    pub(super) fn take_over(&mut self) {
        self.led_since = self.now;
        self.health = HealthLog::counting_from(self.now);
        self.health_of = None;
        self.trouble = None;
        self.remembered = self.record.generation;
    }

    pub(super) fn take_snapshot(&mut self) {
        let (record, live) = (self.record.clone(), self.live.clone());
        self.snapshot = Some(Snapshot { record, live, values: self.values.clone(), history: self.history.clone() });
    }

    /// A person removes the environment, as far as so many keys: then whoever did it is gone. All of them: its line is closed,
    /// as the target does it with the record's end.
    pub(super) fn remove(&mut self, changes: usize) {
        let books = self.books();
        let removal = match self.record.removal("Grace", "moved", &self.seen(&books)) {
            Ok(removal) => removal,
            Err(refused) => {
                self.waiting = refused.because;
                return self.record.reason.clone_from(&self.waiting);
            }
        };
        if let Some(opening) = &removal.opening {
            self.save(opening);
        }
        for change in removal.plan.changes.iter().take(changes) {
            assert_eq!(self.live.fence(&change.key), change.fence);
            match change.action {
                Action::Release => self.live.entries.get_mut(&change.key).unwrap().flags = change.flags,
                Action::Delete => {
                    self.live.entries.remove(&change.key);
                    self.values.remove(&change.key);
                }
                Action::Create | Action::Update | Action::Adopt => panic!("a removal writes no value: {change:?}"),
            }
        }
        // One that is broken off before its first key is not over, even if there is none.
        if changes > 0 && changes >= removal.plan.changes.len() {
            let line = removal.farewell(self.now).line;
            self.history.insert(line.generation, line);
        }
    }

    /// The target goes back to the snapshot, all of it.
    pub(super) fn restore(&mut self) {
        let Snapshot { record, live, values, history } = self.snapshot.clone().unwrap();
        (self.record, self.live, self.values, self.history) = (record, live, values, history);
        self.restored = true;
        self.health_of = None;
    }
}
