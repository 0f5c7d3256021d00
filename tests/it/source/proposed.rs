//! Pull requests of people who wish the controller no good: anybody may open one, with anything in it.

use std::fs;

use lockstep::domain::pull::PullNumber;
use lockstep::port::Merged;

use super::hostile::{noise, raw};
use super::pulls::{merged, merged_at, name, propose};
use super::*;
use crate::support::git_server::GitServer;
use crate::support::repo::{Change, TestRepo};

/// A repository whose branch moved on since, so that a merge has something to do: where they part, and the branch's tip.
fn parted() -> (TestRepo, Revision, Revision) {
    let mut repo = TestRepo::with(&[("a", "1"), ("b", "1")]);
    let start = repo.tip();
    let tip = repo.commit("meanwhile", &[("a", "2")]);
    (repo, start, tip)
}

/// A pull request of one commit with a tree made by hand.
fn propose_raw(repo: &mut TestRepo, number: u64, from: Revision, tree: &[u8]) -> Revision {
    repo.on("proposal").move_to(from);
    let head = repo.commit_raw_tree("raw", tree);
    name(repo, number, head);
    repo.on("main");
    head
}

/// What stands below a directory, names of locks and mirrors apart.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            match entry.path().extension().and_then(std::ffi::OsStr::to_str) {
                Some("pulls" | "pulls-lock" | "lock") => {}
                _ if entry.file_type().unwrap().is_dir() => directories.push(entry.path()),
                _ => all.push(entry.path()),
            }
        }
    }
    all.sort();
    all
}

/// It is refused, says this, and soon; what is read of the branch afterwards is as it was, and so is its trouble: none.
async fn check_refused(place: &Place, number: u64, head: Revision, base: Revision, says: &str) {
    let source = place.open();
    fetched(&source).await;
    let before = below(place.data.path());
    let began = Instant::now();
    for _ in 0..2 {
        let error = source.merged(PullNumber(number), head, base).await.expect_err(says);
        assert_eq!(error.kind, EdgeKind::Refused, "{}", error.chain());
        assert!(error.chain().contains(says), "{:?} does not say {says:?}", error.chain());
        assert!(!error.chain().contains(char::is_control), "{:?}", error.chain());
    }
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    assert_eq!(below(place.data.path()), before);
    assert_eq!(fetched(&source).await.trouble, None);
    assert_eq!(text_of(&source.tree(base).await.unwrap(), "a"), "2");
}

#[tokio::test]
async fn names_that_mislead_are_not_merged() {
    let (mut repo, start, tip) = parted();
    let blob = repo.blob(b"[core]\n\tfsmonitor = touch /tmp/x\n");
    let config = repo.git().odb().unwrap().write(git2::ObjectType::Tree, &raw("100644", b"config", blob)).unwrap();
    let config = *Revision::parse(&config.to_string()).unwrap().as_bytes();
    let nested = repo.git().odb().unwrap().write(git2::ObjectType::Tree, &raw("40000", b".GIT", config)).unwrap();
    let nested = *Revision::parse(&nested.to_string()).unwrap().as_bytes();
    let cases = [
        (raw("40000", b".git", config), "is no name that git would check out"),
        (raw("40000", b".Git ", config), "is no name that git would check out"),
        (raw("40000", b"git~1", config), "is no name that git would check out"),
        (raw("40000", "\u{200c}.git".as_bytes(), config), "is no name that git would check out"),
        (raw("40000", b"..", config), "is no name that git would check out"),
        (raw("100644", b"../../x", blob), "is no name that git would check out"),
        (raw("100644", b"/etc/passwd", blob), "is no name that git would check out"),
        (raw("100644", b"a/\x1b[31m\n", blob), "is no name that git would check out"),
        (raw("40000", b"z", nested), "is no name that git would check out"),
        ([raw("100644", b"a", blob), raw("100755", b"a", blob)].concat(), "is there twice"),
        (raw("40000", b"d", blob), "a directory is a blob"),
        (raw("40000", b"d", config)[..20].to_vec(), ""),
    ];
    let server = GitServer::of(&repo.path());
    let heads: Vec<_> = (1..).zip(&cases).map(|(n, (tree, _))| (n, propose_raw(&mut repo, n, start, tree))).collect();
    for ((number, head), (_, says)) in heads.into_iter().zip(&cases) {
        // A server that checks what it sends would not send some of them; from this machine they come.
        let place = Place::local(&repo.path());
        if says.is_empty() || *says == "a directory is a blob" {
            let source = Place::http(&server.url).open();
            fetched(&source).await;
            source.merged(PullNumber(number), head, tip).await.expect_err("a broken tree was merged");
            assert_eq!(fetched(&source).await.trouble, None);
            continue;
        }
        check_refused(&place, number, head, tip, says).await;
        check_refused(&Place::http(&server.url), number, head, tip, says).await;
    }
}

#[tokio::test]
async fn trees_that_unfold_without_end_and_directories_without_bottom_are_not_merged() {
    let (mut repo, start, tip) = parted();
    let mut id = repo.blob(b"x");
    let mut mode = "100644";
    let mut level = Vec::new();
    for _ in 0..16 {
        level = (0..10).flat_map(|n| raw(mode, format!("d{n}").as_bytes(), id)).collect();
        let tree = repo.git().odb().unwrap().write(git2::ObjectType::Tree, &level).unwrap();
        id = *Revision::parse(&tree.to_string()).unwrap().as_bytes();
        mode = "40000";
    }
    let bomb = propose_raw(&mut repo, 1, start, &level);
    for _ in 0..1_000 {
        level = raw("40000", b"d", id);
        let tree = repo.git().odb().unwrap().write(git2::ObjectType::Tree, &level).unwrap();
        id = *Revision::parse(&tree.to_string()).unwrap().as_bytes();
    }
    let deep = propose_raw(&mut repo, 2, start, &level);
    let blob = repo.blob(b"y");
    let wide: Vec<u8> = (0..320_000).flat_map(|n| raw("100644", format!("{n:07}").as_bytes(), blob)).collect();
    let wide = propose_raw(&mut repo, 3, start, &wide);
    let broad: Vec<u8> = (0..210_000).flat_map(|n| raw("100644", format!("{n:07}").as_bytes(), blob)).collect();
    let broad = propose_raw(&mut repo, 4, start, &broad);
    let place = Place::local(&repo.path());
    check_refused(&place, 1, bomb, tip, "more than 200000 files and directories").await;
    check_refused(&place, 2, deep, tip, "more than 64 directories inside one another").await;
    check_refused(&place, 3, wide, tip, "a directory is a tree of").await;
    check_refused(&place, 4, broad, tip, "more than 200000 files and directories").await;
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    check_refused(&place, 1, bomb, tip, "more than 200000 files and directories").await;
    check_refused(&place, 2, deep, tip, "more than 64 directories inside one another").await;

    // Where nothing is to be merged nothing is unfolded: whoever reads it is told that it is cut.
    let source = place.open();
    let ahead = merged_at(&source, 1, bomb, start).await;
    let tree = source.with_proposals().tree(ahead).await.unwrap();
    assert!(tree.cut.unwrap().contains("more than 200000 files and directories"));
}

#[tokio::test]
async fn large_files_are_merged_by_their_names_alone_and_not_where_both_changed_them() {
    let mut repo = TestRepo::with(&[("a", "1"), ("text", "1")]);
    let start = repo.tip();
    let zeros = vec![0; 64 << 20];
    repo.on("proposal").move_to(start);
    let added = repo.change("added", &[("zeros", Change::File(&zeros)), ("b", Change::File(b"2"))]);
    name(&repo, 1, added);
    repo.move_to(start);
    let lines = "x\n".repeat(1 << 20);
    let changed = repo.commit("changed", &[("text", &lines)]);
    name(&repo, 2, changed);
    let tip = repo.on("main").commit("meanwhile", &[("a", "2"), ("text", "2")]);
    let server = GitServer::of(&repo.path());
    let place = Place::http(&server.url);
    let source = place.open();
    fetched(&source).await;
    let merge = merged_at(&source, 1, added, tip).await;
    let tree = source.with_proposals().tree(merge).await.unwrap();
    assert_eq!(tree.nodes["zeros"], Node::TooLarge { size: 64 << 20 });
    assert_eq!((text_of(&tree, "a"), text_of(&tree, "b")), ("2", "2"));
    check_refused(&place, 2, changed, tip, "both changed text, which is too large to merge: 2097152 bytes").await;
}

#[tokio::test]
async fn links_and_submodules_are_carried_and_never_followed() {
    let (mut repo, start, tip) = parted();
    repo.on("proposal").move_to(start);
    let changes = [
        ("passwd", Change::Link("/etc/passwd")),
        ("b", Change::Link("../../other")),
        ("loop", Change::Link("loop")),
        (".gitmodules", Change::File(b"[submodule \"m\"]\n\tpath = m\n\turl = --upload-pack=touch /tmp/x\n")),
        ("m", Change::Submodule),
        ("A", Change::File(b"another case")),
    ];
    let head = repo.change("links", &changes);
    name(&repo, 1, head);
    // A link on both sides, each to somewhere else.
    repo.move_to(start);
    let other = repo.change("link", &[("a", Change::Link("/etc/passwd"))]);
    name(&repo, 2, other);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let merge = merged_at(&source, 1, head, tip).await;
    let tree = source.with_proposals().tree(merge).await.unwrap();
    for link in ["passwd", "b", "loop"] {
        assert_eq!(tree.nodes[link], Node::Symlink, "{link}");
    }
    assert_eq!(tree.nodes["m"], Node::Submodule);
    assert_eq!((text_of(&tree, "a"), text_of(&tree, "A")), ("2", "another case"));
    assert_eq!(merged(&source, 2, other, tip).await, Merged::Conflicts(vec!["a".to_owned()]));
}

#[tokio::test]
async fn no_program_that_a_pull_request_names_is_run_and_nothing_of_it_is_written_as_a_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let text = |middle: &str| format!("{}{middle}\n{}", "same\n".repeat(9), "same\n".repeat(9));
    let mut repo = TestRepo::with(&[("a", &text("1")), ("b", "1")]);
    let start = repo.tip();
    let traps = tempfile::tempdir().unwrap();
    let (trap, sprung) = (traps.path().join("trap"), traps.path().join("sprung"));
    fs::write(&trap, format!("#!/bin/sh\necho \"$0 $*\" >>{}\ncat\n", sprung.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    let trap = trap.to_str().unwrap();
    let mut config = repo.git().config().unwrap();
    for name in ["merge.trap.driver", "filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "diff.trap.textconv"] {
        config.set_str(name, trap).unwrap();
    }
    let attributes = "* filter=trap diff=trap merge=trap text eol=crlf\n[attr]binary merge=trap\n";
    let script = format!("#!/bin/sh\n{trap}\n");
    let head = propose(
        &mut repo,
        1,
        start,
        "traps",
        &[
            (".gitattributes", attributes),
            ("info/attributes", attributes),
            ("hooks/post-merge", &script),
            ("hooks/reference-transaction", &script),
            ("config", &format!("[merge \"trap\"]\n\tdriver = {trap}\n[core]\n\tfsmonitor = {trap}\n\thooksPath = hooks\n")),
            ("a", &text("2").replacen("same", "first", 1)),
        ],
    );
    let tip = repo.commit("meanwhile", &[("a", &format!("{}last\n", text("1")))]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let merge = merged_at(&source, 1, head, tip).await;
    let tree = source.with_proposals().tree(merge).await.unwrap();
    let expected = format!("{}last\n", text("2").replacen("same", "first", 1));
    assert_eq!(text_of(&tree, "a"), expected, "merged line by line, as it was committed");
    assert!(!sprung.exists(), "{}", fs::read_to_string(&sprung).unwrap());
    for name in ["hooks", "info/attributes", ".gitattributes", "a", "config.lock"] {
        assert!(!super::pulls::beside(&place).join(name).exists(), "{name}");
    }
    let config = fs::read_to_string(super::pulls::beside(&place).join("config")).unwrap();
    assert!(!config.contains("trap"), "{config}");
}

#[tokio::test]
async fn a_commit_that_claims_to_be_odd_is_merged_under_what_it_claims() {
    let (mut repo, start, tip) = parted();
    let tree = repo.git().find_commit(git2::Oid::from_bytes(start.as_bytes()).unwrap()).unwrap().tree_id();
    let place = Place::local(&repo.path());
    let source = place.open();
    let claims = [
        "author  <> 0 +0000\ncommitter  <> 0 +0000\n",
        "author \u{1b}[31mA\u{7} <a> 99999999999999 +9959\ncommitter B <b> -5 -0000\n",
        "author A <a@b> 1700000000 +0000\nauthor C <c@d> 1 +0000\ncommitter B <b> 1700000000 +0000\ngpgsig x\n",
    ];
    for (number, claim) in (1..).zip(claims) {
        let text = format!(
            "tree {tree}\nparent {start}\n{claim}\n{}",
            String::from_utf8(noise(3, 40).iter().map(|b| b % 90 + 33).collect()).unwrap()
        );
        let head = repo.git().odb().unwrap().write(git2::ObjectType::Commit, text.as_bytes()).unwrap();
        let head = Revision::parse(&head.to_string()).unwrap();
        name(&repo, number, head);
        fetched(&source).await;
        let merge = merged_at(&source, number, head, tip).await;
        assert_eq!(merged_at(&source, number, head, tip).await, merge);
        let commits = source.with_proposals().commits(Some(tip), merge).await.unwrap();
        assert_eq!(commits.len(), 2, "{claim}");
        assert!(commits.iter().all(|commit| !commit.author.contains(char::is_control)), "{commits:?}");
    }
    repo.commit_nothing("on");
    assert_eq!(fetched(&source).await.trouble, None);
}
