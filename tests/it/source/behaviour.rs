//! What every repository may do in its life, and what becomes of it here (rules S1 and S2).

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use lockstep::domain::name::EnvironmentName;

use super::*;
use crate::support::repo::{Change, TestRepo};

pub(super) fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

/// Removes from a repository whatever no ref reaches.
pub(super) fn collect_garbage(repository: &Path) {
    let mut gc = std::process::Command::new("git");
    gc.args(["gc", "--prune=now", "-q"]).current_dir(repository).stderr(std::process::Stdio::null());
    assert!(gc.status().unwrap().success());
}

#[tokio::test]
async fn a_commit_comes_with_its_files_and_its_story() {
    let mut repo = TestRepo::with(&[("base/kv/a.yaml", "x: 1"), ("lockstep.yaml", "name: n")]);
    let first = repo.tip();
    let place = Place::local(&repo.path());
    let source = place.open();
    assert_eq!(source.head().await.unwrap(), Head { tip: Tip::Unfetched, confirmed: false, trouble: None });
    assert_eq!(fetched(&source).await.tip, Tip::At(first));

    let second = repo.commit("second\n\nwhy\n\nLockstep-Allow-Deletes: 3\nSigned-off-by: T\n", &[("base/kv/a.yaml", "x: 2")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(second));
    let tree = source.tree(second).await.unwrap();
    assert_eq!((text_of(&tree, "base/kv/a.yaml"), text_of(&tree, "lockstep.yaml")), ("x: 2", "name: n"));
    assert_eq!(text_of(&source.tree(first).await.unwrap(), "base/kv/a.yaml"), "x: 1");

    let commits = source.commits(Some(first), second).await.unwrap();
    assert_eq!(commits.len(), 1);
    assert_eq!((commits[0].author.as_str(), commits[0].subject.as_str()), ("Tester", "second"));
    assert_eq!(commits[0].trailers, [("Lockstep-Allow-Deletes".to_owned(), "3".to_owned())]);
    assert_eq!(commits[0].at, Timestamp::from_millis(1_700_000_120_000));
}

#[tokio::test]
async fn an_empty_repository_and_a_missing_branch_are_told_apart_and_neither_is_an_error() {
    let mut repo = TestRepo::empty();
    let place = Place::local(&repo.path());
    let source = place.open();
    assert_eq!(fetched(&source).await.tip, Tip::Empty);
    repo.on("other").commit("elsewhere", &[("a", "1")]);
    assert_eq!(fetched(&source).await.tip, no_branch());
    let first = repo.on("main").commit("here", &[("a", "2")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(first));
    repo.delete_branch("main");
    let head = fetched(&source).await;
    assert_eq!((head.tip, head.trouble), (gone(), None));
    // Its commits are still there to be compared with.
    assert!(source.tree(first).await.is_ok());
}

#[tokio::test]
async fn a_deleted_branch_is_gone_and_not_empty_wherever_head_is_and_after_a_restart() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let first = repo.tip();
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let detached = git2::Oid::from_bytes(first.as_bytes()).unwrap();
    repo.git().set_head_detached(detached).unwrap();
    repo.delete_branch("main");
    assert_eq!(fetched(&source).await.tip, gone(), "HEAD is detached");
    assert_eq!(fetched(&Place::local(&repo.path()).open()).await.tip, no_branch(), "whoever never saw the branch");
    repo.git().set_head("refs/heads/unborn").unwrap();
    assert_eq!(fetched(&source).await.tip, gone(), "HEAD points to nothing");
    // What was recorded is not lost: it is read again before anything is fetched, and no garbage.
    collect_garbage(&place.mirror());
    let restarted = place.open();
    assert_eq!(restarted.head().await.unwrap().tip, gone());
    assert!(restarted.tree(first).await.is_ok());
    assert_eq!(fetched(&restarted).await.tip, gone());
    let second = repo.on("main").commit("it is back", &[("a", "2")]);
    assert_eq!(fetched(&restarted).await.tip, Tip::At(second));
    assert_eq!(place.open().head().await.unwrap().tip, Tip::At(second));
}

#[tokio::test]
async fn a_tip_is_confirmed_by_two_fetches_a_poll_interval_apart_without_an_error_between() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    assert!(!fetched(&source).await.confirmed, "one fetch is not two");
    place.later(POLL / 2);
    assert!(!fetched(&source).await.confirmed, "too soon");
    place.later(POLL / 2);
    assert!(fetched(&source).await.confirmed);
    assert!(fetched(&source).await.confirmed, "and it stays so");

    let second = repo.commit("another tip", &[("a", "2")]);
    let head = fetched(&source).await;
    assert_eq!((head.tip, head.confirmed), (Tip::At(second), false));
    place.later(POLL / 2);
    let hidden = repo.path().with_extension("hidden");
    fs::rename(repo.path(), &hidden).unwrap();
    let error = source.fetch().await.unwrap_err();
    assert_eq!(error.kind, EdgeKind::NotFound, "{}", error.chain());
    let head = source.head().await.unwrap();
    assert_eq!((head.tip, head.confirmed), (Tip::At(second), false));
    assert!(head.trouble.unwrap().contains("open the repository"));
    fs::rename(&hidden, repo.path()).unwrap();
    place.later(POLL / 2);
    let head = fetched(&source).await;
    assert_eq!((head.confirmed, head.trouble), (false, None), "an error was between");
    place.later(POLL);
    assert!(fetched(&source).await.confirmed);
}

#[tokio::test]
async fn a_rewind_and_a_rewritten_branch_are_seen_as_they_are() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let first = repo.tip();
    let second = repo.commit("second", &[("a", "2")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    repo.move_to(first);
    assert_eq!(fetched(&source).await.tip, Tip::At(first));
    assert!(!source.descends(first, second).await.unwrap());
    assert!(source.descends(second, first).await.unwrap());

    repo.move_to(second);
    let amended = repo.amend("second, better", &[("a", "3")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(amended));
    assert!(!source.descends(amended, second).await.unwrap());
    assert!(source.descends(amended, first).await.unwrap());
    assert!(source.descends(amended, amended).await.unwrap());
}

#[tokio::test]
async fn a_kept_commit_outlives_its_branch_at_the_origin_and_in_the_mirror() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let good = repo.commit("good", &[("a", "good")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    // A name that git would not take as it is.
    for name in ["production", "eu.lock"] {
        source.keep(&environment(name), &[good], None).await.unwrap();
    }
    let amended = repo.amend("rewritten", &[("a", "other")]);
    fetched(&source).await;
    let mirror = place.mirror();
    collect_garbage(&mirror);
    assert_eq!(text_of(&source.tree(good).await.unwrap(), "a"), "good");

    // A later list lets go of what is no longer in it, and only of that environment's.
    source.keep(&environment("production"), &[amended], None).await.unwrap();
    assert_eq!(text_of(&source.tree(good).await.unwrap(), "a"), "good");
    source.keep(&environment("eu.lock"), &[], None).await.unwrap();
    collect_garbage(&mirror);
    assert_eq!(source.tree(good).await.unwrap_err().kind, EdgeKind::NotFound);
}

#[tokio::test]
async fn a_commit_that_is_not_there_stands_in_the_way_of_no_other() {
    let repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let unknown = Revision::from_bytes([9; 20]);
    source.keep(&environment("e"), &[unknown, repo.tip()], None).await.unwrap();
    assert!(place.mirror().join(format!("refs/lockstep/e/{}", repo.tip())).exists());
}

#[tokio::test]
async fn commits_are_listed_newest_first_between_two_points_and_through_merges() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let first = repo.tip();
    let side = {
        repo.on("side").move_to(first);
        repo.commit("on the side", &[("b", "1")])
    };
    repo.on("main").commit("second", &[("a", "2")]);
    let merged = repo.merge("merge side", side);
    let empty = repo.commit_nothing("nothing new");
    let place = Place::local(&repo.path());
    let source = place.open();
    assert_eq!(fetched(&source).await.tip, Tip::At(empty));

    let all = subjects(&source, Some(first), empty).await;
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(&all[..2], ["nothing new", "merge side"]);
    assert_eq!(subjects(&source, Some(merged), empty).await, ["nothing new"]);
    assert_eq!(subjects(&source, None, empty).await, ["nothing new"]);
    assert_eq!(subjects(&source, Some(Revision::from_bytes([9; 20])), empty).await, ["nothing new"]);
    assert_eq!(subjects(&source, Some(empty), empty).await, Vec::<String>::new());
    assert!(source.descends(empty, side).await.unwrap());
    let tree = source.tree(empty).await.unwrap();
    assert_eq!((text_of(&tree, "a"), text_of(&tree, "b")), ("2", "1"));
    let error = source.commits(None, Revision::from_bytes([9; 20])).await.unwrap_err();
    assert_eq!(error.kind, EdgeKind::NotFound);
    assert!(!source.descends(first, Revision::from_bytes([9; 20])).await.unwrap());
}

#[tokio::test]
async fn a_revert_of_a_revert_brings_the_same_files_back() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let change = repo.commit("change", &[("a", "2"), ("b", "new")]);
    let back = repo.revert(change);
    let again = repo.revert(back);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    assert_eq!(source.tree(again).await.unwrap(), source.tree(change).await.unwrap());
    assert_eq!(source.tree(back).await.unwrap().nodes.len(), 1);

    let none = repo.remove("everything goes", &["a", "b"]);
    fetched(&source).await;
    assert_eq!(source.tree(none).await.unwrap().nodes, FileTree::default().nodes);
}

#[tokio::test]
async fn a_commit_of_ten_thousand_files_is_read_whole() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let files: Vec<_> = (0..10_000).map(|n| (format!("base/files/d{}/f{n}", n % 97), format!("content {n}"))).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let tip = repo.commit("many", &files);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let tree = source.tree(tip).await.unwrap();
    assert_eq!((tree.nodes.len(), tree.cut.as_deref()), (10_001, None));
    assert_eq!(text_of(&tree, "base/files/d0/f97"), "content 97");
}

#[tokio::test]
async fn a_fetch_without_news_writes_nothing_and_a_restart_knows_the_last_tip() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let stamp = |path: &Path| {
        let mut stamps = Vec::new();
        let mut stack = vec![path.to_owned()];
        while let Some(path) = stack.pop() {
            let about = fs::metadata(&path).unwrap();
            stamps.push((path.clone(), about.mtime_nsec(), about.size()));
            if about.is_dir() {
                stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        stamps.sort();
        stamps
    };
    let before = stamp(&place.mirror());
    for _ in 0..20 {
        fetched(&source).await;
    }
    source.keep(&environment("e"), &[], None).await.unwrap();
    assert_eq!(stamp(&place.mirror()), before);

    let tip = repo.tip();
    drop(source);
    repo.commit("while away", &[("a", "2")]);
    let source = place.open();
    assert_eq!(source.head().await.unwrap(), Head { tip: Tip::At(tip), confirmed: false, trouble: None });
}

#[tokio::test]
async fn many_small_fetches_leave_few_packs_and_lose_nothing() {
    let mut repo = TestRepo::with(&[("a", "0")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    let mut all = vec![repo.tip()];
    fetched(&source).await;
    let kept = repo.commit("kept", &[("a", "kept")]);
    fetched(&source).await;
    source.keep(&environment("e"), &[kept], None).await.unwrap();
    repo.move_to(all[0]);
    for n in 1..70 {
        all.push(repo.commit("more", &[("a", &n.to_string())]));
        fetched(&source).await;
    }
    let packs = fs::read_dir(place.mirror().join("objects/pack")).unwrap();
    let packs = packs.filter(|entry| entry.as_ref().unwrap().path().extension().unwrap() == "pack").count();
    assert!(packs < 35, "{packs} packs");
    for (n, revision) in all.iter().enumerate() {
        assert_eq!(text_of(&source.tree(*revision).await.unwrap(), "a"), n.to_string());
    }
    assert_eq!(text_of(&source.tree(kept).await.unwrap(), "a"), "kept");
    assert!(!place.mirror().join("tidying").exists());
}

#[tokio::test]
async fn another_branch_or_another_origin_never_mixes_with_the_first() {
    let mut repo = TestRepo::with(&[("a", "main")]);
    repo.on("release").commit("r", &[("a", "release")]);
    repo.on("main/deeper");
    let mut place = Place::local(&repo.path());
    fetched(&place.open()).await;
    place.settings.branch = "release".to_owned();
    let source = place.open();
    assert_eq!(source.head().await.unwrap().tip, Tip::Unfetched);
    let Tip::At(tip) = fetched(&source).await.tip else { panic!("no tip") };
    assert_eq!(text_of(&source.tree(tip).await.unwrap(), "a"), "release");

    let other = TestRepo::with(&[("b", "other")]);
    place.settings.url = RepositoryUrl::Local(other.path());
    place.settings.branch = "main".to_owned();
    let source = place.open();
    assert_eq!(source.head().await.unwrap().tip, Tip::Unfetched);
    assert_eq!(source.tree(repo.tip_of("main")).await.unwrap_err().kind, EdgeKind::NotFound);
    assert_eq!(fetched(&source).await.tip, Tip::At(other.tip()));
    assert_eq!(source.tree(repo.tip_of("main")).await.unwrap_err().kind, EdgeKind::NotFound);
    assert_eq!(place.mirrors().len(), 2);
}

#[tokio::test]
async fn a_branch_that_was_a_directory_of_branches_can_become_a_branch() {
    let mut repo = TestRepo::empty();
    repo.on("deploy/eu").commit("a", &[("a", "1")]);
    let mut place = Place::local(&repo.path());
    place.settings.branch = "deploy/eu".to_owned();
    fetched(&place.open()).await;
    repo.delete_branch("deploy/eu");
    let tip = repo.on("deploy").commit("b", &[("a", "2")]);
    place.settings.branch = "deploy".to_owned();
    assert_eq!(fetched(&place.open()).await.tip, Tip::At(tip));
}

#[tokio::test]
async fn a_mirror_is_its_owners_and_has_no_hooks() {
    let repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    fetched(&place.open()).await;
    let mirror = place.mirror();
    assert_eq!(fs::metadata(&mirror).unwrap().mode() & 0o777, 0o700);
    let hooks = fs::read_dir(mirror.join("hooks")).map_or(0, Iterator::count);
    assert_eq!(hooks, 0);
}

#[tokio::test]
async fn a_commit_in_a_watched_repository_is_noticed_at_once() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    let (told, mut news) = tokio::sync::mpsc::channel(100);
    let mut watching = tokio::task::JoinSet::new();
    watching.spawn({
        let source = source.clone();
        async move {
            // A full channel is news enough.
            source.watch(&|| told.try_send(()).unwrap_or_default()).await;
        }
    });
    let soon = Duration::from_secs(5);
    tokio::time::timeout(soon, news.recv()).await.expect("no first look").unwrap();
    for n in 0..3 {
        // One commit may be told twice when this machine is busy.
        while tokio::time::timeout(Duration::from_millis(100), news.recv()).await.is_ok() {}
        fetched(&source).await;
        let woken = tokio::time::timeout(Duration::from_millis(100), news.recv()).await;
        assert!(woken.is_err(), "our own fetch woke us");
        let began = Instant::now();
        let tip = repo.commit("news", &[("a", &n.to_string())]);
        tokio::time::timeout(soon, news.recv()).await.expect("nothing heard").unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "after {:?}", began.elapsed());
        assert_eq!(fetched(&source).await.tip, Tip::At(tip));
    }
    // Its branches are in one file after this, and the next commit replaces that.
    let pack = std::process::Command::new("git").args(["pack-refs", "--all"]).current_dir(repo.path()).status().unwrap();
    assert!(pack.success());
    tokio::time::timeout(soon, news.recv()).await.expect("nothing heard").unwrap();
    watching.shutdown().await;
}

#[tokio::test]
async fn a_work_tree_serves_as_well_as_a_bare_repository() {
    let home = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let out = std::process::Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
            .args(args)
            .current_dir(home.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    git(&["init", "-q"]);
    fs::write(home.path().join("a"), "not committed yet").unwrap();
    let source = Place::local(home.path());
    let source = (source.open(), source);
    assert_eq!(fetched(&source.0).await.tip, Tip::Empty);
    git(&["add", "a"]);
    git(&["commit", "-qm", "first"]);
    let Tip::At(tip) = fetched(&source.0).await.tip else { panic!("no tip") };
    assert_eq!(text_of(&source.0.tree(tip).await.unwrap(), "a"), "not committed yet");
}

#[tokio::test]
async fn links_submodules_and_files_that_are_too_large_are_named_and_not_read() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let large = vec![b'x'; (10 << 20) + 1];
    let tip = repo.change(
        "odd",
        &[
            ("link", Change::Link("/etc/passwd")),
            ("loop", Change::Link("loop")),
            ("up", Change::Link("../other-environment")),
            ("module", Change::Submodule),
            ("large", Change::File(&large)),
            (".gitattributes", Change::File(b"* filter=lfs\n")),
            (".gitmodules", Change::File(b"[submodule \"m\"]\n\tpath = module\n\turl = --upload-pack=touch /tmp/x\n")),
        ],
    );
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let tree = source.tree(tip).await.unwrap();
    assert_eq!(tree.cut, None);
    for path in ["link", "loop", "up"] {
        assert_eq!(tree.nodes[path], Node::Symlink);
    }
    assert_eq!(tree.nodes["module"], Node::Submodule);
    assert_eq!(tree.nodes["large"], Node::TooLarge { size: (10 << 20) + 1 });
    assert_eq!(text_of(&tree, ".gitattributes"), "* filter=lfs\n");
}
