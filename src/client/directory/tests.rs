//! Faults that a test outside can't cause: a disk that runs full in the middle of a build, and one that is slow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::attend;
use super::build::tests_hook::ROOM;
use super::disk::Disk;
use crate::domain::desired::{DesiredState, Entry, Origin};
use crate::domain::environment::{Environment, Policy};
use crate::domain::live::Fence;
use crate::domain::name::{EnvironmentName, KeyPath, KeyRoots, RepositoryName};
use crate::domain::plan::{Action, Change, Intent, Plan, Why};
use crate::domain::resource::Flags;
use crate::domain::revision::{Generation, Revision, ValueDigest};
use crate::domain::rollout::{Apply, Save};
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeKind, Leading};

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
}

fn desired(values: &[(&str, &str)]) -> DesiredState {
    let entries = values.iter().map(|(key, value)| {
        let value: Arc<[u8]> = value.as_bytes().into();
        let origin = Origin { file: "f".into(), line: 1, column: 1 };
        let entry = Entry { digest: ValueDigest::of(&value), value, keep: false, sensitive: false, origin };
        (KeyPath::parse(key).unwrap(), entry)
    });
    let name = EnvironmentName::parse("test").unwrap();
    let environment =
        Environment { name, layers: Vec::new(), variables: BTreeMap::new(), policy: Policy::default(), formerly: None };
    DesiredState::new(environment, entries.collect(), BTreeMap::new())
}

#[test]
fn a_disk_that_fills_up_during_a_build_leaves_no_trace() {
    let guard = tempfile::tempdir().unwrap();
    let path = guard.path().join("test");
    let disk = Disk {
        path: path.clone(),
        repository: RepositoryName::parse("calvin-config").unwrap(),
        environment: EnvironmentName::parse("test").unwrap(),
        roots: KeyRoots::all(),
        keep: Duration::ZERO,
        clock: Arc::new(Still),
    };
    disk.initialise().unwrap();
    let Leading::Ours(lease) = disk.lead().unwrap() else { panic!("somebody else leads") };
    let wanted = desired(&[("a/1", "x"), ("a/2", "x"), ("b/3", "x"), ("b/4", "x")]);
    let stored = disk.load().unwrap().unwrap();
    let changes = wanted.entries().keys().map(|key| Change {
        key: key.clone(),
        action: Action::Create,
        fence: Fence::ABSENT,
        flags: Flags(0),
        why: Why::Said(""),
    });
    let plan = Plan {
        intent: Intent::Advance,
        revision: Revision::from_bytes([1; 20]),
        generation: Generation::default().next(),
        changes: changes.collect(),
        obstacles: Vec::new(),
        strays: Vec::new(),
        unmanaged: Vec::new(),
        drifted: Vec::new(),
    };
    let closing = Save::of(stored.record);
    let apply = Apply { opening: None, plan, closing };
    for room in 0..4 {
        ROOM.set(Some(room));
        let error = disk.apply(&lease, stored.fence, &apply, &wanted, &|| true).unwrap_err();
        assert_eq!(error.kind, EdgeKind::Transient, "{}", error.chain());
        assert!(error.hint.is_some_and(|hint| hint.contains("free some space")));
        assert!(!path.join("current").exists());
        assert_eq!(std::fs::read_dir(path.join("versions")).unwrap().count(), 0, "after {room} files");
        assert_eq!(disk.load().unwrap().unwrap().fence, stored.fence);
    }
    ROOM.set(None);
    disk.apply(&lease, stored.fence, &apply, &wanted, &|| true).unwrap();
    assert_eq!(disk.live().unwrap().entries.len(), 4);
}

#[tokio::test]
async fn a_build_that_gets_on_takes_as_long_as_it_takes_and_a_silent_one_is_given_up() {
    let limit = Duration::from_secs(1);
    let (border, borders) = mpsc::channel(1);
    let slow = async move {
        for at in 0..12 {
            tokio::time::sleep(limit / 10).await;
            let (answer, heard) = oneshot::channel::<bool>();
            border.send(answer).await.unwrap();
            assert!(heard.await.unwrap(), "stopped at border {at}");
        }
        "built"
    };
    assert_eq!(attend(slow, limit, borders, &|| true).await, Some("built"));

    let (_border, borders) = mpsc::channel(1);
    assert_eq!(attend(std::future::pending::<()>(), limit / 100, borders, &|| true).await, None);
}
