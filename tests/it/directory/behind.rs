//! A git server that is behind now and then, while a retired environment is removed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lockstep::client::directory::{DirectoryLease, DirectoryTarget};
use lockstep::domain::desired::FileTree;
use lockstep::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{Kept, Phase};
use lockstep::port::{Clock as _, EdgeError, EdgeKind, Head, Leading, Scheduler as _, Source, Target as _, Tip};
use lockstep::runtime::clock::RealTime;
use lockstep::runtime::memory::Memory;
use lockstep::runtime::pass::{World, pass};
use lockstep::runtime::reading::Fit;
use lockstep::runtime::removal::{Prospect, Removing, Unfinished};

use super::target;
use crate::support::imagined::{Branch, Imagined, commit};

/// Enough for a removal in several groups of files.
const FILES: usize = 600;
/// More passes than a first deploy takes.
const PASSES: usize = 50;

/// Where the branch stands: it has the environment, then no more, then again, then under another name.
const LIVE: u8 = 1;
const RETIRED: u8 = 2;
const BACK: u8 = 3;
const RENAMED: u8 = 4;
const BROKEN: u8 = 5;
/// The environment is not there, and another one can't be read.
const UNCLEAR: u8 = 6;

/// What a fetch finds.
#[derive(Debug, Clone, Copy)]
enum Finds {
    /// The branch at a commit.
    At(u8),
    /// The same, as the fetch before found it, one poll interval earlier.
    Still(u8),
    /// No branch.
    NoBranch,
}

/// A repository whose fetches find what a list says, over and over from a certain place.
struct Lagging {
    finds: Vec<Finds>,
    /// Fetches so far.
    fetches: AtomicUsize,
    /// The list is gone through once; then what follows here is found again and again.
    then: Vec<Finds>,
}

impl Lagging {
    fn new(finds: &[Finds], then: &[Finds]) -> Self {
        Self { finds: finds.to_vec(), fetches: AtomicUsize::new(0), then: then.to_vec() }
    }

    fn found(&self) -> Finds {
        let last = self.fetches.load(Ordering::Acquire).saturating_sub(1);
        self.finds.get(last).copied().unwrap_or_else(|| self.then[(last - self.finds.len()) % self.then.len()])
    }
}

fn number(revision: Revision) -> u8 {
    revision.as_bytes()[0]
}

impl Branch for Lagging {
    fn head(&self) -> Head {
        let (tip, confirmed) = match self.found() {
            Finds::At(number) => (Tip::At(commit(number)), false),
            Finds::Still(number) => (Tip::At(commit(number)), true),
            Finds::NoBranch => (Tip::Gone("main".to_owned()), false),
        };
        Head { tip, confirmed, trouble: None }
    }

    fn fetched(&self) -> Result<(), EdgeError> {
        self.fetches.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
        let other = if number(revision) == UNCLEAR { "layers: [\n" } else { "layers: []\n" };
        let mut files = vec![
            ("lockstep.yaml".to_owned(), "name: calvin-config\nlockstep: \"^1\"\n".to_owned()),
            ("environments/other/environment.yaml".to_owned(), other.to_owned()),
        ];
        let rules = "layers: []\nrollout: {min_healthy_time: 0s, healthy_deadline: 10s, fail_after: 2}\n";
        let manifest = |name: &str, more: &str| (format!("environments/{name}/environment.yaml"), format!("{rules}{more}"));
        match number(revision) {
            LIVE | BACK => {
                files.push(manifest("test", ""));
                let value = |number| (format!("environments/test/files/config/{number:04}"), "x".to_owned());
                files.extend((0..FILES).map(value));
            }
            RENAMED => files.push(manifest("preview", "formerly: test\n")),
            BROKEN => files.push(("environments/test/environment.yaml".to_owned(), "layers: [\n".to_owned())),
            _ => {}
        }
        Ok(FileTree::of_files(files))
    }

    fn descends(&self, revision: Revision, of: Revision) -> bool {
        number(revision) >= number(of)
    }
}

/// An environment that is live, in a directory of its own.
struct Site {
    target: DirectoryTarget,
    lease: DirectoryLease,
    memory: Memory,
    home: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let target = target(&home.path().join("test"), Duration::from_hours(1));
        target.initialise().await.unwrap();
        let Leading::Ours(lease) = target.lead().await.unwrap() else { panic!("nobody else leads") };
        let fit = Fit { roots: KeyRoots::all(), files: true, settle: Duration::ZERO };
        let names = (EnvironmentName::parse("test").unwrap(), RepositoryName::parse("calvin-config").unwrap());
        let mut it = Self { target, lease, memory: Memory::new(names.0, names.1, fit), home };
        it.deploy().await;
        it
    }

    async fn deploy(&mut self) {
        let (source, clock) = (Imagined(Lagging::new(&[], &[Finds::Still(LIVE)])), RealTime.clock());
        let world = World {
            source: &source,
            target: &self.target,
            clock: &clock,
            led_since: clock.now(),
            interrupted: &|| None,
            kept: Kept::default(),
            announce: &|_, _| {},
        };
        for _ in 0..PASSES {
            pass(&world, &mut self.memory, &self.lease).await.unwrap();
            if self.memory.stored().is_some_and(|stored| stored.record.phase == Phase::Steady) {
                return;
            }
        }
        panic!("it is not live");
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.home.path().join("test/current/config")).map_or(0, Iterator::count)
    }

    /// Looks and carries out, with these fetches in between; the first is that before the first key goes.
    async fn remove(&mut self, finds: &[Finds], then: &[Finds], poll: Duration) -> Result<(), EdgeError> {
        Ok(self.tries_to_remove(finds, then, poll).await?)
    }

    async fn tries_to_remove(&mut self, finds: &[Finds], then: &[Finds], poll: Duration) -> Result<(), Unfinished> {
        let shown: Vec<Finds> = [Finds::At(RETIRED)].iter().chain(finds).copied().collect();
        let source = Imagined(Lagging::new(&shown, then));
        source.fetch().await.unwrap();
        let removing =
            Removing { source: &source, target: &self.target, scheduler: &RealTime, poll, by: "Grace", because: "not needed" };
        let prospect: Prospect = removing.look(&mut self.memory).await.unwrap();
        Box::pin(removing.carry_out(&mut self.memory, &self.lease, &prospect)).await
    }

    async fn has_a_record(&self) -> bool {
        self.target.load().await.unwrap().is_some()
    }
}

/// Nobody fetches while keys go, as far as this test goes.
const NEVER: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_git_server_that_is_behind_ends_no_removal_for_a_commit_that_nobody_made() {
    for behind in [Finds::At(LIVE), Finds::NoBranch] {
        let mut site = Site::new().await;
        // Before the first key: nothing goes, and nobody is told that the environment came back.
        let error = site.remove(&[behind], &[behind], NEVER).await.unwrap_err();
        assert_eq!((error.kind, site.files()), (EdgeKind::Transient, FILES), "{behind:?}: {}", error.chain());
        // Before the record goes: it stays, and the next one goes on from there.
        let error = site.remove(&[Finds::At(RETIRED), behind], &[behind], NEVER).await.unwrap_err();
        assert_eq!((error.kind, site.files()), (EdgeKind::Transient, 0), "{behind:?}: {}", error.chain());
        let text = format!("{} {}", error.chain(), error.hint.unwrap_or_default());
        assert!(!text.contains("put back") && text.contains("run it again"), "{behind:?}: {text}");
        assert!(site.has_a_record().await);
        site.remove(&[], &[Finds::Still(RETIRED)], NEVER).await.unwrap();
        assert!(!site.has_a_record().await);
    }
    // While keys go, time and again.
    let mut site = Site::new().await;
    let mut now_and_then = [Finds::At(LIVE), Finds::At(RETIRED), Finds::NoBranch, Finds::At(RETIRED)];
    for turn in 0.. {
        now_and_then.rotate_left(1);
        match site.remove(&[Finds::At(RETIRED)], &now_and_then, Duration::from_micros(100)).await {
            Ok(()) => break,
            Err(error) => assert!(turn < 50 && error.kind == EdgeKind::Transient, "{turn}: {}", error.chain()),
        }
        assert_eq!(site.files(), 0, "what is begun goes on");
    }
    assert!(!site.has_a_record().await);
}

#[tokio::test]
async fn what_the_branch_says_for_certain_ends_a_removal_with_what_to_do_about_it() {
    for (finds, says, hint, leader) in [
        (Finds::At(BACK), "has the environment test", "commit its removal", Some("test")),
        // A rewind that two fetches agree about.
        (Finds::Still(LIVE), "has the environment test", "commit its removal", Some("test")),
        (Finds::At(RENAMED), "goes on as preview", "take `formerly: test` out of", Some("preview")),
        (Finds::At(BROKEN), "is invalid", "commit a fix", Some("test")),
        // As long as the environment is retired nobody puts anything back, and the next removal goes on.
        (Finds::At(UNCLEAR), "it may say that test goes on as other", "commit a fix", None),
    ] {
        let mut site = Site::new().await;
        // Before the first key there is nothing to put back.
        let error = EdgeError::from(site.tries_to_remove(&[finds], &[finds], NEVER).await.unwrap_err());
        assert_eq!((error.kind, site.files()), (EdgeKind::Refused, FILES), "{finds:?}: {}", error.chain());
        let told = error.hint.unwrap_or_default();
        assert!(told.contains(hint) && !told.contains("put back"), "{finds:?}: {told}");
        // Before the record goes.
        let error = match site.tries_to_remove(&[Finds::At(RETIRED), finds], &[finds], NEVER).await.unwrap_err() {
            Unfinished::Wanted(error) if leader.is_some() => error,
            Unfinished::Failed(error) if leader.is_none() => error,
            other @ (Unfinished::Wanted(_) | Unfinished::Failed(_)) => panic!("{finds:?}: {other:?}"),
        };
        assert_eq!((error.kind, site.files()), (EdgeKind::Refused, 0), "{finds:?}: {}", error.chain());
        assert!(error.chain().contains(says), "{finds:?}: {}", error.chain());
        let told = error.hint.unwrap_or_default();
        let puts_back = leader.map_or_else(
            || !told.contains("put back"),
            |leader| {
                told.contains(&format!("is put back by whoever leads {leader} next"))
                    && told.contains(&format!("`lockstep apply --once {leader}`"))
            },
        );
        assert!(told.contains(hint) && puts_back, "{finds:?}: {told}");
        assert!(site.has_a_record().await);
    }
}
