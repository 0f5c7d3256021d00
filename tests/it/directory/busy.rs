//! A branch that gets commit after commit while an environment is taken back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use lockstep::domain::desired::FileTree;
use lockstep::domain::health::{Finding, Sample};
use lockstep::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
use lockstep::domain::plan::Intent;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{HistoryLine, Kept, Phase, Rollout};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, EdgeError, Head, Leading, Target as _};
use lockstep::runtime::interruption::Interruption;
use lockstep::runtime::memory::Memory;
use lockstep::runtime::pass::{Passed, World, pass};
use lockstep::runtime::reading::Fit;

use super::target;
use crate::support::imagined::{Branch, Imagined, commit, stands_at};

/// Enough for a build in several groups of files, each of which could be interrupted.
const FILES: usize = 600;
/// More passes than any of this takes.
const PASSES: usize = 200;
const GOOD: u8 = 1;
const BAD: u8 = 2;

/// A repository whose commits differ in the value of every file; it stands where `tip` says.
#[derive(Default)]
struct Busy {
    tip: AtomicU8,
}

impl Branch for Busy {
    fn head(&self) -> Head {
        stands_at(commit(self.tip.load(Ordering::Acquire)))
    }

    fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
        let rules = "layers: []\nrollout: {min_healthy_time: 2s, healthy_deadline: 10s, fail_after: 2}\n";
        let mut files = vec![
            ("lockstep.yaml".to_owned(), "name: calvin-config\nlockstep: \"^1\"\n".to_owned()),
            ("environments/test/environment.yaml".to_owned(), rules.to_owned()),
            ("environments/test/checks/answers.yaml".to_owned(), "kind: exec\nprogram: smoke\ninterval: 1s\n".to_owned()),
        ];
        let value = |number| (format!("environments/test/files/config/{number:04}"), revision.short());
        files.extend((0..FILES).map(value));
        Ok(FileTree::of_files(files))
    }
}

/// Time that passes only while nothing is to be done.
#[derive(Default)]
struct Waited(AtomicI64);

impl Clock for Waited {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire))
    }
}

/// The value that every file of the live version has.
#[track_caller]
fn live(path: &Path) -> String {
    let mut values: Vec<_> =
        (0..FILES).map(|number| std::fs::read_to_string(path.join(format!("current/config/{number:04}"))).unwrap()).collect();
    values.dedup();
    assert_eq!(values.len(), 1, "a mix of revisions");
    values.remove(0)
}

#[tokio::test]
async fn a_rollback_goes_through_although_the_branchs_head_keeps_moving() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("test");
    let target = target(&path, Duration::from_hours(1));
    target.initialise().await.unwrap();
    let Leading::Ours(lease) = target.lead().await.unwrap() else { panic!("nobody else leads") };
    let (branch, clock) = (Imagined(Busy::default()), Waited::default());
    branch.0.tip.store(GOOD, Ordering::Release);
    // From the moment in which a rollback is announced, each look at the world meanwhile finds one commit more.
    let (going_back, arrived) = (AtomicBool::new(false), AtomicU8::new(0));
    let announce = |_: &Rollout, line: &HistoryLine| going_back.store(line.intent == Intent::RollBack, Ordering::Release);
    let interrupted = || {
        going_back.load(Ordering::Acquire).then(|| {
            arrived.fetch_add(1, Ordering::AcqRel);
            branch.0.tip.fetch_add(1, Ordering::AcqRel);
            Interruption::NewHead
        })
    };
    let world = World {
        source: &branch,
        target: &target,
        clock: &clock,
        led_since: clock.now(),
        interrupted: &interrupted,
        kept: Kept::default(),
        announce: &announce,
    };
    let fit = Fit { roots: KeyRoots::all(), files: true, settle: Duration::ZERO };
    let (environment, repository) = (EnvironmentName::parse("test").unwrap(), RepositoryName::parse("calvin-config").unwrap());
    let mut memory = Memory::new(environment, repository, fit);
    let mut back = None;
    for _ in 0..PASSES {
        match pass(&world, &mut memory, &lease).await.unwrap() {
            Passed::Moved(done) => {
                let goal = done.to.goal.as_ref().unwrap().revision;
                if going_back.load(Ordering::Acquire) && done.to.complete == done.to.goal && back.is_none() {
                    // Its writes are complete: nothing of it was given up for the commits that came meanwhile.
                    assert_eq!((goal, live(&path)), (commit(GOOD), commit(GOOD).short()));
                    assert_eq!(done.from.last_good, done.to.last_good);
                    back = Some(arrived.load(Ordering::Acquire));
                }
                if done.to.phase == Phase::Steady && goal == commit(GOOD) && back.is_none() {
                    branch.0.tip.store(BAD, Ordering::Release);
                }
            }
            Passed::Stale => {}
            Passed::Waiting { .. } => {
                let record = &memory.stored().unwrap().record;
                if record.phase == Phase::Steady && back.is_some() {
                    break;
                }
                let goal = record.goal.clone().unwrap();
                let names: Vec<_> = memory.desired(&goal).unwrap().checks().keys().cloned().collect();
                clock.0.fetch_add(1_000, Ordering::AcqRel);
                let fails = || Finding::Fail { because: "it is down".to_owned() };
                let finding = || if goal.revision == commit(BAD) { fails() } else { Finding::Pass };
                for check in names {
                    memory.take(&Sample { check, at: clock.now(), finding: finding() });
                }
            }
            Passed::Troubled(error) => panic!("{}", error.chain()),
        }
    }
    assert!(back.is_some_and(|arrived| arrived >= 2), "{back:?} commits came while it went back");
    // Then the newest of them goes live, and none of those between.
    let newest = branch.0.tip.load(Ordering::Acquire);
    assert_eq!(newest, BAD + arrived.load(Ordering::Acquire));
    let record = &memory.stored().unwrap().record;
    assert_eq!((record.phase, live(&path)), (Phase::Steady, commit(newest).short()));
    let lines = target.history(10).await.unwrap();
    let attempts: Vec<_> = lines.iter().rev().map(|line| (line.intent, line.revision)).collect();
    let advance = |number| (Intent::Advance, commit(number));
    assert_eq!(attempts, [advance(GOOD), advance(BAD), (Intent::RollBack, commit(GOOD)), advance(newest)]);
}
