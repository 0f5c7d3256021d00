//! Pull requests: noticed by the polls that go on anyway, merged beside the mirror, and never in the way of the branch.

use std::collections::BTreeMap;
use std::fs;

use lockstep::domain::pull::PullNumber;
use lockstep::port::Merged;

use super::*;
use crate::support::git_server::{GitServer, Manner};
use crate::support::repo::{Change, TestRepo};

/// Names a commit as what a pull request proposes, as a forge does.
pub(super) fn name(repo: &TestRepo, number: u64, head: Revision) {
    let head = git2::Oid::from_bytes(head.as_bytes()).unwrap();
    repo.git().reference(&format!("refs/pull/{number}/head"), head, true, "test").unwrap();
}

/// Opens a pull request of one commit on top of another, or moves it there. No branch leads to it.
pub(super) fn propose(repo: &mut TestRepo, number: u64, from: Revision, message: &str, files: &[(&str, &str)]) -> Revision {
    repo.on("proposal").move_to(from);
    let head = repo.commit(message, files);
    name(repo, number, head);
    repo.delete_branch("proposal");
    repo.on("main");
    head
}

pub(super) async fn merged(source: &GitSource, number: u64, head: Revision, base: Revision) -> Merged {
    let merged = source.merged(PullNumber(number), head, base).await;
    merged.unwrap_or_else(|error| panic!("{}", error.chain()))
}

pub(super) async fn merged_at(source: &GitSource, number: u64, head: Revision, base: Revision) -> Revision {
    match merged(source, number, head, base).await {
        Merged::At(revision) => revision,
        other @ (Merged::Conflicts(_) | Merged::Gone) => panic!("{other:?}"),
    }
}

async fn proposals(source: &GitSource) -> BTreeMap<u64, Revision> {
    source.proposals().await.unwrap().into_iter().map(|(pull, head)| (pull.0, head)).collect()
}

/// Where what was fetched of pull requests lies.
pub(super) fn beside(place: &Place) -> PathBuf {
    place.mirrors().into_iter().find(|path| path.extension().unwrap() == "pulls").unwrap()
}

/// The same repository on this machine and behind a server that counts.
async fn everywhere(repo: &mut TestRepo, mut check: impl AsyncFnMut(&mut TestRepo, Place)) {
    let place = Place::local(&repo.path());
    check(repo, place).await;
    let server = GitServer::of(&repo.path());
    check(repo, Place::http(&server.url)).await;
}

#[tokio::test]
async fn a_pull_request_is_noticed_by_a_poll_and_gone_when_its_ref_goes() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    everywhere(&mut repo, async |repo, place| {
        let source = place.open();
        assert_eq!(fetched(&source).await.tip, Tip::At(repo.tip()));
        assert_eq!(proposals(&source).await, BTreeMap::new());
        let tip = repo.tip();
        let first = propose(repo, 3, tip, "first", &[("b", "1")]);
        let second = propose(repo, 12, tip, "second", &[("c", "1")]);
        fetched(&source).await;
        assert_eq!(proposals(&source).await, [(3, first), (12, second)].into());
        let moved = propose(repo, 3, first, "more", &[("b", "2")]);
        fetched(&source).await;
        assert_eq!(proposals(&source).await, [(3, moved), (12, second)].into());
        for number in [3, 12] {
            repo.git().find_reference(&format!("refs/pull/{number}/head")).unwrap().delete().unwrap();
        }
        fetched(&source).await;
        assert_eq!(proposals(&source.with_proposals()).await, BTreeMap::new());
    })
    .await;
}

#[tokio::test]
async fn pull_requests_cost_no_request_beside_the_poll_and_their_objects_no_byte_of_the_mirror() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    let source = place.open();
    fetched(&source).await;
    let before = server.requests().len();
    let tip = repo.tip();
    let head = propose(&mut repo, 1, tip, "first", &[("b", "1")]);
    for _ in 0..3 {
        fetched(&source).await;
    }
    assert_eq!(proposals(&source).await, [(1, head)].into());
    assert_eq!(server.requests().len(), before + 3, "{:?}", server.requests());
    assert_eq!(place.mirrors().len(), 1);
    merged_at(&source, 1, head, tip).await;
    let asked = server.requests().len();
    merged_at(&source, 1, head, tip).await;
    assert_eq!(server.requests().len(), asked, "it was there already");
    assert_eq!(place.mirrors().len(), 2);
}

#[tokio::test]
async fn a_merge_result_is_read_like_any_other_commit_by_whoever_looks_for_it_and_by_nobody_else() {
    let mut repo = TestRepo::with(&[("base/a", "1"), ("base/b", "1")]);
    everywhere(&mut repo, async |repo, place| {
        let start = repo.tip();
        let source = place.open();
        // The first fetch of a repository on this machine copies whatever is there.
        fetched(&source).await;
        let proposed = propose(repo, 7, start, "One\n\nLockstep-Allow-Deletes: 60\n", &[("base/b", "2")]);
        let head = propose(repo, 7, proposed, "Two", &[("base/c", "3")]);
        let base = repo.commit("meanwhile", &[("base/a", "9")]);
        fetched(&source).await;
        let merge = merged_at(&source, 7, head, base).await;
        assert_eq!(merged_at(&source, 7, head, base).await, merge, "the same each time");
        assert_eq!(merged_at(&place.open().with_proposals(), 7, head, base).await, merge, "and for another process");

        let all = source.with_proposals();
        let tree = all.tree(merge).await.unwrap();
        let files: Vec<_> = tree.nodes.keys().map(|path| (path.as_str(), text_of(&tree, path))).collect();
        assert_eq!(files, [("base/a", "9"), ("base/b", "2"), ("base/c", "3")]);
        assert_eq!(all.differing(base, merge).await.unwrap().unwrap(), ["base/b", "base/c"]);
        assert!(all.descends(merge, base).await.unwrap() && all.descends(merge, head).await.unwrap());
        assert!(!all.descends(merge, merge_of_nothing()).await.unwrap());
        let commits = all.commits(Some(base), merge).await.unwrap();
        let said: Vec<_> = commits.iter().map(|commit| (commit.subject.as_str(), commit.trailers.len())).collect();
        assert_eq!(said, [("Merge a pull request", 0), ("Two", 0), ("One", 1)]);
        assert_eq!((&commits[0].author, commits[0].at), (&commits[1].author, commits[1].at));

        for revision in [merge, head, proposed] {
            let errors = [
                source.tree(revision).await.unwrap_err(),
                source.commits(Some(base), revision).await.unwrap_err(),
                source.descends(revision, base).await.unwrap_err(),
                source.resolve(&revision.to_string()).await.unwrap_err(),
            ];
            assert!(errors.iter().all(|error| error.kind == EdgeKind::NotFound), "{errors:?}");
            assert_eq!(source.differing(base, revision).await.unwrap(), None);
        }
        // Not even by a handle that sees them.
        let environment = super::behaviour::environment("production");
        all.keep(&environment, &[merge, base], None).await.unwrap();
        assert_eq!(all.kept(&environment).await.unwrap(), [base]);
        assert_eq!(fetched(&source).await.tip, Tip::At(base));
        repo.move_to(start);
    })
    .await;
}

/// A commit that nobody has.
fn merge_of_nothing() -> Revision {
    Revision::parse(&"7".repeat(40)).unwrap()
}

#[tokio::test]
async fn what_is_contained_changes_nothing_and_what_could_be_fast_forwarded_is_merged_all_the_same() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let first = repo.tip();
    let tip = repo.commit("second", &[("a", "2")]);
    let ahead = propose(&mut repo, 1, tip, "ahead", &[("a", "3")]);
    name(&repo, 2, first);
    name(&repo, 3, tip);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    assert_eq!(merged(&source, 2, first, tip).await, Merged::At(tip));
    assert_eq!(merged(&source, 3, tip, tip).await, Merged::At(tip));
    let merge = merged_at(&source, 1, ahead, tip).await;
    assert!(![tip, ahead].contains(&merge));
    let all = source.with_proposals();
    assert_eq!(all.differing(ahead, merge).await.unwrap().unwrap(), [""; 0]);
    assert_eq!(subjects(&all, Some(tip), merge).await, ["Merge a pull request", "ahead"]);
}

#[tokio::test]
async fn a_renamed_file_is_merged_with_what_changed_in_it_meanwhile() {
    let text = |second: &str| format!("first: 1\nsecond: {second}\n{}", "more: of the same\n".repeat(20));
    let mut repo = TestRepo::with(&[("old.yaml", &text("2"))]);
    let start = repo.tip();
    repo.on("proposal").move_to(start);
    repo.remove("away", &["old.yaml"]);
    let head = repo.commit("there", &[("new.yaml", &text("2"))]);
    name(&repo, 1, head);
    let base = repo.on("main").commit("meanwhile", &[("old.yaml", &text("3"))]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let merge = merged_at(&source, 1, head, base).await;
    let tree = source.with_proposals().tree(merge).await.unwrap();
    assert_eq!(tree.nodes.keys().collect::<Vec<_>>(), ["new.yaml"]);
    assert_eq!(text_of(&tree, "new.yaml"), text("3"));
}

#[tokio::test]
async fn conflicts_name_their_files_cleaned_and_not_all_of_them() {
    let many: Vec<String> = (0..30).map(|n| format!("many/{n:02}")).collect();
    let with = |text: &'static str| many.iter().map(|path| (path.as_str(), text)).collect::<Vec<_>>();
    let mut repo = TestRepo::with(&with("1"));
    let start = repo.commit("more", &[("a", "1"), ("b\u{1b}[31m\nc", "1")]);
    let few = propose(&mut repo, 1, start, "few", &[("a", "2"), ("b\u{1b}[31m\nc", "2")]);
    let lots = propose(&mut repo, 2, start, "lots", &with("2"));
    repo.commit("meanwhile", &with("3"));
    let base = repo.commit("more of it", &[("a", "3"), ("b\u{1b}[31m\nc", "3")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let expected = vec!["a".to_owned(), "b [31m c".to_owned()];
    assert_eq!(merged(&source, 1, few, base).await, Merged::Conflicts(expected));
    assert_eq!(merged(&source, 2, lots, base).await, Merged::Conflicts(many[..20].to_vec()));
}

#[tokio::test]
async fn what_is_gone_moved_unknown_or_unrelated_is_told_apart() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    everywhere(&mut repo, async |repo, place| {
        let base = repo.tip();
        let source = place.open();
        let early = source.merged(PullNumber(1), base, base).await.unwrap_err();
        assert_eq!(early.kind, EdgeKind::NotFound, "{}", early.chain());
        fetched(&source).await;
        let head = propose(repo, 1, base, "first", &[("b", "1")]);
        assert_eq!(merged(&source, 2, head, base).await, Merged::Gone, "no such pull request");
        let moved = propose(repo, 1, base, "other", &[("b", "2")]);
        assert_eq!(merged(&source, 1, head, base).await, Merged::Gone, "it moved on");
        merged_at(&source, 1, moved, base).await;
        let error = source.merged(PullNumber(1), moved, merge_of_nothing()).await.unwrap_err();
        assert_eq!(error.kind, EdgeKind::NotFound, "{}", error.chain());

        let stranger = repo.on("stranger").commit("unrelated", &[("b", "1")]);
        name(repo, 2, stranger);
        let blob = repo.blob(b"no commit");
        repo.git().reference("refs/pull/3/head", git2::Oid::from_bytes(&blob).unwrap(), true, "test").unwrap();
        let blob = Revision::from_bytes(blob);
        for (number, head, says) in [(2, stranger, "no commit in common"), (3, blob, "is no commit")] {
            let error = source.merged(PullNumber(number), head, base).await.unwrap_err();
            assert_eq!(error.kind, EdgeKind::Refused, "{}", error.chain());
            assert!(error.chain().contains(says), "{}", error.chain());
        }
        repo.delete_branch("stranger");
        repo.on("main");
    })
    .await;
}

#[tokio::test]
async fn only_what_is_new_is_sent_and_no_more_than_a_pull_request_may_bring() {
    let first = super::hostile::noise(1, 300_000);
    let mut repo = TestRepo::with(&[("a", "1")]);
    let base = repo.change("noise", &[("noise", Change::File(&first))]);
    let server = GitServer::of(&repo.path());
    let mut places = [Place::local(&repo.path()), Place::http(&server.url)];
    for place in &mut places {
        place.options.pull_at_most = 20_000;
        place.options.tree.entries = 50;
        // The first fetch of a repository on this machine copies whatever is there.
        fetched(&place.open()).await;
    }
    let small = propose(&mut repo, 1, base, "small", &[("a", "2")]);
    repo.on("proposal").move_to(base);
    let large = repo.change("large", &[("more", Change::File(&super::hostile::noise(2, 200_000)))]);
    name(&repo, 2, large);
    let names: Vec<String> = (0..60).map(|n| format!("many/{n}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let many = propose(&mut repo, 3, base, "many", &files);
    for place in &places {
        let source = place.open();
        let merge = merged_at(&source, 1, small, base).await;
        let over_network = matches!(place.settings.url, RepositoryUrl::Http(_));
        let refused = [(2, large, "sent more than"), (3, many, "objects, and 50 are taken")];
        for (number, head, says) in refused.iter().take(if over_network { 2 } else { 1 }) {
            let error = source.merged(PullNumber(*number), *head, base).await.unwrap_err();
            assert_eq!(error.kind, EdgeKind::Refused, "{}", error.chain());
            assert!(error.chain().contains(says), "{}", error.chain());
        }
        assert_eq!(merged_at(&source, 1, small, base).await, merge);
        assert_eq!(fetched(&source).await.trouble, None);
    }
}

#[tokio::test]
async fn the_branch_is_polled_while_a_pull_request_hangs_no_longer_than_its_own_deadline() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let base = repo.tip();
    let server = GitServer::of(&repo.path());
    let mut place = Place::http(&server.url);
    place.options.patience = Duration::from_secs(2);
    let source = place.open();
    fetched(&source).await;
    let head = propose(&mut repo, 1, base, "first", &[("b", "1")]);
    server.answer(Manner::Stall);
    let asked = server.requests().len();
    let merging = source.merged(PullNumber(1), head, base);
    let polling = async {
        let until = Instant::now() + Duration::from_secs(10);
        while !server.requests()[asked..].iter().any(|line| line.starts_with("POST")) {
            assert!(Instant::now() < until, "it never asked for the pull request");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.answer(Manner::Git);
        let tip = repo.commit("meanwhile", &[("a", "2")]);
        let began = Instant::now();
        assert_eq!(fetched(&source).await.tip, Tip::At(tip));
        assert_eq!(text_of(&source.tree(tip).await.unwrap(), "a"), "2");
        (began.elapsed(), Instant::now())
    };
    let began = Instant::now();
    let ((error, ended), (took, polled)) = tokio::join!(async { (merging.await.unwrap_err(), Instant::now()) }, polling);
    assert!(polled < ended && took < place.options.patience, "the poll waited: {took:?}");
    assert_eq!(error.kind, EdgeKind::Transient, "{}", error.chain());
    assert!(error.chain().contains("nothing came for 2s"), "{}", error.chain());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(source.head().await.unwrap().trouble, None, "the branch has none");
    merged_at(&source, 1, head, base).await;
}

#[tokio::test]
async fn what_was_fetched_of_pull_requests_is_begun_anew_where_it_is_not_to_be_used() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let start = repo.tip();
    let head = propose(&mut repo, 1, start, "first", &[("b", &"some text ".repeat(50))]);
    let base = repo.commit("meanwhile", &[("a", "2")]);
    let server = GitServer::of(&repo.path());
    let mut place = Place::http(&server.url);
    fetched(&place.open()).await;
    let merge = merged_at(&place.open(), 1, head, base).await;
    let pulls = beside(&place);
    let packs = |pulls: &Path| -> Vec<PathBuf> {
        fs::read_dir(pulls.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let rot = |extension: &str| {
        for path in packs(&pulls).into_iter().filter(|path| path.extension().unwrap() == extension) {
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.len() - 20;
            bytes[20..end].fill(0xa5);
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    };
    let cases: [(&str, &dyn Fn()); 8] = [
        ("no description", &|| fs::remove_file(pulls.join("description")).unwrap()),
        ("a half-made repository", &|| {
            fs::remove_dir_all(&pulls).unwrap();
            fs::create_dir_all(pulls.join("objects")).unwrap();
        }),
        ("no objects", &|| fs::remove_dir_all(pulls.join("objects")).unwrap()),
        ("a broken HEAD", &|| fs::write(pulls.join("HEAD"), "garbage").unwrap()),
        ("rotten packs", &|| rot("pack")),
        ("rotten indexes", &|| rot("idx")),
        ("no packs", &|| packs(&pulls).iter().for_each(|path| fs::remove_file(path).unwrap())),
        ("another mirror's", &|| fs::write(pulls.join("description"), "7 7 7").unwrap()),
    ];
    for (what, damage) in cases {
        let source = place.open();
        damage();
        assert_eq!(merged_at(&source, 1, head, base).await, merge, "{what}");
        let tree = source.with_proposals().tree(merge).await.unwrap();
        assert!(text_of(&tree, "b").starts_with("some text"), "{what}");
        assert_eq!(source.head().await.unwrap().trouble, None, "{what}");
    }

    // A reader that meets it says so, and the next merge mends it.
    let source = place.open();
    rot("pack");
    source.with_proposals().tree(merge).await.unwrap_err();
    assert_eq!(merged_at(&source, 1, head, base).await, merge);
    source.with_proposals().tree(merge).await.unwrap();

    place.options.pulls_at_most = 1;
    fs::write(pulls.join("large"), vec![7; 100_000]).unwrap();
    assert_eq!(merged_at(&place.open(), 1, head, base).await, merge);
    assert!(!pulls.join("large").exists(), "it was too large and is there still");
}

#[tokio::test]
async fn a_process_that_was_killed_while_it_fetched_a_pull_request_leaves_nothing_in_the_way() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let base = repo.tip();
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    fetched(&place.open()).await;
    let first = propose(&mut repo, 1, base, "first", &[("b", "1")]);
    merged_at(&place.open(), 1, first, base).await;
    let second = propose(&mut repo, 1, first, "second", &[("b", "2")]);
    let pulls = beside(&place);
    let tip = repo.commit("meanwhile", &[("a", "2")]);
    fetched(&place.open()).await;
    fs::write(pulls.join("refs/heads/base.lock"), "").unwrap();
    fs::write(pulls.join("objects/pack/pack_git2_0123456789abcdef"), b"PACK\0\0\0\x02\0\0").unwrap();
    fs::write(pulls.join(format!("objects/pack/pack-{}.pack", "1".repeat(40))), b"PACK\0\0\0\x02\0\0").unwrap();
    fs::write(pulls.join("objects/tmp_object_git2_0123"), b"x").unwrap();
    fs::create_dir_all(pulls.join("tidying/objects")).unwrap();
    let source = place.open();
    let merge = merged_at(&source, 1, second, tip).await;
    assert_eq!(text_of(&source.with_proposals().tree(merge).await.unwrap(), "b"), "2");
}

#[tokio::test]
async fn a_mirror_that_is_replaced_or_tidied_takes_nothing_of_a_pull_request_with_it() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let base = repo.tip();
    let head = propose(&mut repo, 1, base, "first", &[("b", "1")]);
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    let source = place.open();
    fetched(&source).await;
    let merge = merged_at(&source, 1, head, base).await;
    // So many fetches that the mirror's packs become one.
    let mirror = place.mirrors().into_iter().find(|path| path.extension().unwrap() == "git").unwrap();
    let mut tip = base;
    for n in 0..40 {
        tip = repo.commit("next", &[("a", &n.to_string())]);
        fetched(&source).await;
    }
    assert!(fs::read_dir(mirror.join("objects/pack")).unwrap().count() < 60);
    assert_eq!(text_of(&source.with_proposals().tree(merge).await.unwrap(), "b"), "1");

    // The rewound commits are in the old mirror only, and the merge rests on them.
    repo.move_to(base);
    let other = repo.commit("rewritten", &[("c", "1")]);
    fs::write(mirror.join("description"), "another's").unwrap();
    assert_eq!(fetched(&source).await.tip, Tip::At(other));
    let error = source.with_proposals().tree(merge).await.unwrap_err();
    assert_eq!(error.kind, EdgeKind::NotFound, "{}", error.chain());
    assert_eq!(source.merged(PullNumber(1), head, tip).await.unwrap_err().kind, EdgeKind::NotFound);
    let merge = merged_at(&source, 1, head, other).await;
    let tree = source.with_proposals().tree(merge).await.unwrap();
    assert_eq!(tree.nodes.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(source.head().await.unwrap().trouble, None);
}
