//! Repositories and configurations that are broken, or made to break something.

use std::fs;

use lockstep::client::git::TreeLimits;

use super::*;
use crate::support::repo::TestRepo;

/// Bytes that don't shrink.
pub(super) fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// One entry of a raw tree object.
pub(super) fn raw(mode: &str, name: &[u8], id: [u8; 20]) -> Vec<u8> {
    [mode.as_bytes(), b" ", name, b"\0", &id].concat()
}

#[tokio::test]
async fn names_that_no_checkout_would_take_stand_for_themselves_and_hide_nothing_else() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let blob = repo.blob(b"hidden");
    let tree = [
        raw("100644", b".git", blob),
        raw("100644", b"\xff\xfe", blob),
        raw("100644", b"good", blob),
        raw("100644", b"twice", blob),
        raw("100755", b"twice", blob),
    ]
    .concat();
    let tip = repo.commit_raw_tree("odd names", &tree);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let tree = source.tree(tip).await.unwrap();
    let bad: Vec<_> = tree.nodes.iter().filter(|(_, node)| **node == Node::BadName).map(|(path, _)| path.as_str()).collect();
    assert_eq!(bad, [".git", "twice", "\u{fffd}\u{fffd}"]);
    assert_eq!(text_of(&tree, "good"), "hidden");
}

#[tokio::test]
async fn no_program_that_a_repository_names_is_run() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut repo = TestRepo::with(&[(".gitattributes", "* filter=trap diff=trap merge=trap text eol=crlf\n"), ("a", "1\n")]);
    let traps = tempfile::tempdir().unwrap();
    let (trap, sprung) = (traps.path().join("trap"), traps.path().join("sprung"));
    fs::write(&trap, format!("#!/bin/sh\necho \"$0 $*\" >>{}\ncat\n", sprung.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = repo.git().config().unwrap();
    for name in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "credential.helper",
        "filter.trap.clean",
        "filter.trap.smudge",
        "filter.trap.process",
        "diff.trap.textconv",
        "merge.trap.driver",
        "uploadpack.packObjectsHook",
    ] {
        config.set_str(name, trap.to_str().unwrap()).unwrap();
    }
    let hooks = repo.git().path().join("hooks");
    fs::create_dir_all(&hooks).unwrap();
    for name in ["post-checkout", "post-merge", "pre-push", "reference-transaction", "pre-receive", "update", "post-update"] {
        fs::copy(&trap, hooks.join(name)).unwrap();
    }
    let mut place = Place::local(&repo.path());
    place.settings.keep_refs = lockstep::config::KeepRefs::Push;
    let source = place.open();
    fetched(&source).await;
    let tip = repo.commit("more", &[("b", "2\n")]);
    fetched(&source).await;
    let tree = source.tree(tip).await.unwrap();
    assert_eq!((text_of(&tree, "a"), text_of(&tree, "b")), ("1\n", "2\n"), "as it was committed");
    source.keep(&super::behaviour::environment("test"), &[tip], Some(tip)).await.unwrap();
    source.exchange_last_good().await;
    assert!(!source.has_last_good_to_publish(), "a push is where most hooks would run");
    assert!(!sprung.exists(), "{}", fs::read_to_string(&sprung).unwrap());
}

#[tokio::test]
async fn a_tree_that_unfolds_without_end_is_cut() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    // Sixteen levels, each naming the next ten times: 10^16 files in seventeen objects.
    let mut id = repo.blob(b"x");
    let mut mode = "100644";
    let mut level = Vec::new();
    for _ in 0..16 {
        level = (0..10).flat_map(|n| raw(mode, format!("d{n}").as_bytes(), id)).collect();
        let git = repo.git().odb().unwrap();
        id = *Revision::parse(&git.write(git2::ObjectType::Tree, &level).unwrap().to_string()).unwrap().as_bytes();
        mode = "40000";
    }
    let tip = repo.commit_raw_tree("bomb", &level);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let began = Instant::now();
    let tree = source.tree(tip).await.unwrap();
    assert!(tree.cut.unwrap().contains("more than 200000 files and directories"));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn limits_on_depth_on_bytes_and_on_paths_cut_and_say_so() {
    let mut repo = TestRepo::with(&[("one", "aaaaaaaaaa"), ("same", "aaaaaaaaaa"), ("1/2/3/f", "bbbbbbbbbb")]);
    let mut place = Place::local(&repo.path());
    fetched(&place.open()).await;
    let tip = repo.tip();
    let usual = place.options.tree;
    for (limits, expected) in [
        (TreeLimits { total: 20, path: 7, depth: 3, entries: 6, ..usual }, None),
        (TreeLimits { total: 19, ..usual }, Some("its files have more than")),
        (TreeLimits { path: 6, ..usual }, Some("a path of more than 6 bytes")),
        (TreeLimits { depth: 2, ..usual }, Some("more than 2 directories inside one another")),
        (TreeLimits { entries: 5, ..usual }, Some("more than 5 files and directories")),
    ] {
        place.options.tree = limits;
        let cut = place.open().tree(tip).await.unwrap().cut;
        match (&cut, expected) {
            (None, None) => {}
            (Some(why), Some(part)) if why.contains(part) => {}
            _ => panic!("{cut:?}, not {expected:?}, with {limits:?}"),
        }
    }
    let deep = repo.commit("deep", &[(format!("{}f", "d/".repeat(64)).as_str(), "1")]);
    let deeper = repo.commit("deeper", &[(format!("{}f", "d/".repeat(65)).as_str(), "1")]);
    place.options.tree = usual;
    let source = place.open();
    fetched(&source).await;
    assert_eq!(source.tree(deep).await.unwrap().cut, None);
    assert!(source.tree(deeper).await.unwrap().cut.is_some());
}

#[tokio::test]
async fn addresses_and_branches_that_could_be_options_are_refused_before_anything_runs() {
    let ssh = |user: &str, host: &str, path: &str| RepositoryUrl::Ssh {
        user: user.to_owned(),
        host: host.to_owned(),
        port: 22,
        path: path.to_owned(),
    };
    let urls = [
        RepositoryUrl::Local("--upload-pack=touch /tmp/x".into()),
        RepositoryUrl::Local("-x".into()),
        RepositoryUrl::Local("ext::sh -c id".into()),
        RepositoryUrl::Local("".into()),
        RepositoryUrl::Http("ext::sh -c id".into()),
        RepositoryUrl::Http("-oProxyCommand=id".into()),
        RepositoryUrl::Http("http://example.org/x".into()),
        RepositoryUrl::Http("https://user:canary@example.org/x".into()),
        RepositoryUrl::Http("https://canary@example.org/x".into()),
        RepositoryUrl::Http("https://example.org/x?token=canary".into()),
        RepositoryUrl::Http("file:///etc".into()),
        RepositoryUrl::Http("git://example.org/x".into()),
        ssh("-oProxyCommand=id", "host", "/x"),
        ssh("git", "-oProxyCommand=id", "/x"),
        ssh("git", "host;id", "/x"),
        ssh("git", "host", "--upload-pack=id"),
        ssh("git", "host", "/x'; id; '"),
        ssh("git", "host", "/x\nid"),
        ssh("a b", "host", "/x"),
        ssh("", "host", "/x"),
    ];
    for url in urls {
        let error = Place::of(url.clone()).try_open().err().unwrap_or_else(|| panic!("{url:?} was accepted"));
        assert_eq!(error.kind, EdgeKind::Refused, "{url:?}");
        assert!(!error.chain().contains("canary"), "{}", error.chain());
    }
    for branch in ["-x", "--upload-pack=id", "", "a..b", "a b", "a\nb", "../x", "/x", "x.lock", "a~1", "refs@{1}", ":x"] {
        let mut place = Place::local(Path::new("/nowhere"));
        place.settings.branch = branch.to_owned();
        assert!(place.try_open().is_err(), "{branch:?} was accepted");
    }
}

/// Its name, what does it, and whether kept commits survive it.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path), bool);

#[tokio::test]
async fn a_damaged_mirror_is_fetched_anew_with_what_it_kept() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let kept = repo.commit("kept", &[("a", "kept")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let name = lockstep::domain::name::EnvironmentName::parse("e").unwrap();
    source.keep(&name, &[kept], None).await.unwrap();
    let tip = repo.amend("rewritten", &[("a", "2")]);
    fetched(&source).await;

    let break_head = |mirror: &Path| fs::write(mirror.join("HEAD"), "garbage").unwrap();
    let drop_tip = |mirror: &Path| {
        // The tip's pack is the newest; without it the branch leads nowhere.
        let packs = fs::read_dir(mirror.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        let mut packs: Vec<_> = packs.map(|path| (fs::metadata(&path).unwrap().modified().unwrap(), path)).collect();
        packs.sort();
        let newest = packs.pop().unwrap().1;
        for extension in ["idx", "pack"] {
            fs::remove_file(newest.with_extension(extension)).unwrap();
        }
    };
    let relabel = |mirror: &Path| fs::write(mirror.join("description"), "https://example.org/another").unwrap();
    let no_objects = |mirror: &Path| fs::remove_dir_all(mirror.join("objects")).unwrap();
    let gone = |mirror: &Path| fs::remove_dir_all(mirror).unwrap();
    let cases: [Damage<'_>; 5] = [
        ("no tip", &drop_tip, true),
        ("a broken HEAD", &break_head, false),
        ("another's name", &relabel, false),
        ("no objects", &no_objects, false),
        ("no mirror", &gone, false),
    ];
    for (what, damage, keeps) in cases {
        damage(&place.mirror());
        for (round, source) in [&source, &place.open()].into_iter().enumerate() {
            assert_eq!(fetched(source).await.tip, Tip::At(tip), "{what}, round {round}");
            assert_eq!(text_of(&source.tree(tip).await.unwrap(), "a"), "2", "{what}");
        }
        assert_eq!(place.mirrors().len(), 1, "{what}: something was left behind");
        if keeps {
            assert_eq!(text_of(&source.tree(kept).await.unwrap(), "a"), "kept", "{what}");
        }
    }
}

#[tokio::test]
async fn an_object_that_rots_is_noticed_by_its_reader_and_healed_by_the_next_fetch() {
    let repo = TestRepo::with(&[("a", &"some content ".repeat(100)), ("b", "2")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let pack = fs::read_dir(place.mirror().join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().unwrap() == "pack").unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    // Behind the header, before the trailer: all objects.
    let end = bytes.len() - 20;
    bytes[20..end].fill(0xa5);
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let error = place.open().tree(repo.tip()).await.unwrap_err();
    assert_eq!(error.kind, EdgeKind::Transient, "{}", error.chain());
    assert!(source.tree(repo.tip()).await.is_err());
    fetched(&source).await;
    assert_eq!(text_of(&source.tree(repo.tip()).await.unwrap(), "b"), "2");
}

#[tokio::test]
async fn a_shallow_origin_is_refused_since_its_history_ends_in_nothing() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    repo.commit("second", &[("a", "2")]);
    let home = tempfile::tempdir().unwrap();
    let clone = home.path().join("shallow.git");
    let url = format!("file://{}", repo.path().display());
    let clone_it = std::process::Command::new("git").args(["clone", "-q", "--bare", "--depth=1", &url]).arg(&clone).status();
    assert!(clone_it.unwrap().success());
    let place = Place::local(&clone);
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::Refused, "git fetch --unshallow").await;
    let server = crate::support::git_server::GitServer::of(&clone);
    let place = Place::http(&server.url);
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::Refused, "git fetch --unshallow").await;
}

#[tokio::test]
async fn a_repository_larger_than_a_fetch_may_be_is_refused() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let noise = noise(1, 300_000);
    repo.change("noise", &[("noise", crate::support::repo::Change::File(&noise))]);
    let mut place = Place::local(&repo.path());
    place.options.fetch_at_most = 100_000;
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::Refused, "sent more than").await;
    let server = crate::support::git_server::GitServer::of(&repo.path());
    let mut place = Place::http(&server.url);
    place.options.fetch_at_most = 100_000;
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::Refused, "sent more than").await;
}

#[tokio::test]
async fn what_is_no_repository_is_named() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::local(home.path());
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::NotFound, "open the repository").await;
    let place = Place::local(Path::new("/no/such/repository"));
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::NotFound, "/no/such/repository").await;
    let git = std::process::Command::new("git")
        .args(["init", "-q", "--object-format=sha256"])
        .current_dir(home.path())
        .status()
        .unwrap();
    assert!(git.success());
    let place = Place::local(home.path());
    check_fetch_fails(&place.open(), Duration::from_secs(5), EdgeKind::Refused, "SHA-1").await;
}

#[tokio::test]
async fn a_fetch_that_hangs_in_the_file_system_is_given_up_and_never_piles_up() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let branch = repo.path().join("refs/heads/main");
    fs::remove_file(&branch).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &branch, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut place = Place::local(&repo.path());
    place.settings.fetch_timeout = Duration::from_millis(300);
    let source = place.open();
    check_fetch_fails(&source, Duration::from_millis(1300), EdgeKind::Transient, "does not even stop").await;
    // The lane is still taken, so no second thread was started beside the one that hangs.
    for _ in 0..4 {
        check_fetch_fails(&source, Duration::from_millis(300), EdgeKind::Transient, "earlier fetch still hangs").await;
    }

    // The disk is back: the one that hung ends, and the next one works.
    let writer = fs::OpenOptions::new().write(true).open(&branch).unwrap();
    fs::remove_file(&branch).unwrap();
    drop(writer);
    let tip = repo.commit("back", &[("a", "2")]);
    let until = Instant::now() + Duration::from_secs(10);
    while source.fetch().await.is_err() {
        assert!(Instant::now() < until, "it never recovered");
    }
    assert_eq!(source.head().await.unwrap().tip, Tip::At(tip));
}

#[tokio::test]
async fn a_replacement_that_was_cut_short_loses_nothing() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let kept = repo.commit("kept", &[("a", "kept")]);
    let place = Place::local(&repo.path());
    fetched(&place.open()).await;
    let name = lockstep::domain::name::EnvironmentName::parse("e").unwrap();
    place.open().keep(&name, &[kept], None).await.unwrap();
    let tip = repo.amend("rewritten", &[("a", "2")]);
    // As a process that died between the two renames leaves it.
    let mirror = place.mirror();
    fs::rename(&mirror, mirror.with_extension("old")).unwrap();
    fs::create_dir(mirror.with_extension("new")).unwrap();
    let source = place.open();
    assert_eq!(fetched(&source).await.tip, Tip::At(tip));
    assert_eq!(text_of(&source.tree(kept).await.unwrap(), "a"), "kept");
}
