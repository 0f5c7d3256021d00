//! Over ssh, with a program in ssh's place that runs `git-upload-pack` as a server would.

use std::fs;

use super::*;
use crate::support::repo::TestRepo;

/// A program that writes down its arguments and its environment and does this.
fn program(home: &Path, does: &str) -> PathBuf {
    let path = home.join("ssh");
    let log = home.join("log");
    let text = format!("#!/bin/sh\n{{ for a in \"$@\"; do echo \"arg: $a\"; done; env; }} > {}\n{does}\n", log.display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// What sshd does with the command: gives it to a shell.
pub(super) const SERVE: &str = "for last in \"$@\"; do :; done; exec sh -c \"$last\"";

pub(super) fn place(repository: &Path, does: &str) -> Place {
    let url = RepositoryUrl::Ssh {
        user: "git".to_owned(),
        host: "git.example".to_owned(),
        port: 2222,
        path: repository.to_str().unwrap().trim_end_matches('/').to_owned(),
    };
    let mut place = Place::of(url);
    place.options.ssh = program(place.data.path(), does);
    place
}

#[tokio::test]
async fn ssh_serves_as_well_as_a_directory() {
    let mut repo = TestRepo::empty();
    let mut place = place(&repo.path(), SERVE);
    place.settings.ssh_key = Some(place.secret("key", "not looked at"));
    place.settings.known_hosts = Some(place.secret("known_hosts", ""));
    let source = place.open();
    assert_eq!(fetched(&source).await.tip, Tip::Empty);
    let first = repo.commit("first", &[("a", "1")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(first));
    let second = repo.commit("second", &[("a", "2")]);
    assert_eq!(fetched(&source).await.tip, Tip::At(second));
    assert_eq!(fetched(&source).await.tip, Tip::At(second));
    assert_eq!(text_of(&source.tree(second).await.unwrap(), "a"), "2");

    let log = fs::read_to_string(place.data.path().join("log")).unwrap();
    let data = place.data.path().display();
    for part in [
        "arg: BatchMode=yes\n",
        "arg: StrictHostKeyChecking=yes\n",
        &format!("arg: UserKnownHostsFile={data}/known_hosts\n"),
        &format!("arg: -i\narg: {data}/key\n"),
        "arg: -p\narg: 2222\narg: -l\narg: git\narg: --\narg: git.example\narg: git-upload-pack '/",
    ] {
        assert!(log.contains(part), "{part:?} is not in:\n{log}");
    }
    let variables = log.lines().filter(|line| !line.starts_with("arg: ")).map(|line| line.split('=').next().unwrap());
    let mut unexpected =
        variables.filter(|name| !["PATH", "HOME", "SSH_AUTH_SOCK", "PWD", "SHLVL", "_", "OLDPWD"].contains(name));
    assert_eq!(unexpected.next(), None, "a variable was passed on");
}

#[tokio::test]
async fn a_path_in_a_home_is_asked_for_as_it_is_written() {
    for (path, asked) in [("ops/x.git", "'ops/x.git'"), ("/~/ops/x.git", "'~/ops/x.git'"), ("/srv/x y.git", "'/srv/x y.git'")] {
        let mut place = place(Path::new("/unused"), "exit 1");
        let RepositoryUrl::Ssh { path: at, .. } = &mut place.settings.url else { panic!("not ssh") };
        path.clone_into(at);
        place.open().fetch().await.unwrap_err();
        let log = fs::read_to_string(place.data.path().join("log")).unwrap();
        assert!(log.contains(&format!("arg: git-upload-pack {asked}\n")), "{log}");
    }
}

#[tokio::test]
async fn what_ssh_complains_of_decides_what_kind_of_trouble_it_is() {
    let repo = TestRepo::with(&[("a", "1")]);
    for (does, kind, says) in [
        ("echo 'Host key verification failed.' >&2; exit 255", EdgeKind::Denied, "known_hosts"),
        ("echo 'git@x: Permission denied (publickey).' >&2; exit 255", EdgeKind::Denied, "does not take the key"),
        ("echo \"fatal: '/x' does not appear to be a git repository\" >&2; exit 128", EdgeKind::NotFound, "is the path"),
        ("echo 'ssh: connect to host x port 22: Connection refused' >&2; exit 255", EdgeKind::Transient, "Connection refused"),
        ("exec 1>&-; printf 'late \\033[31mwords' >&2", EdgeKind::Transient, "late [31mwords"),
        ("exit 0", EdgeKind::Transient, "closed the connection"),
        ("echo welcome to this server; sleep 5", EdgeKind::Transient, "fetch main from ssh://git@git.example:2222/"),
    ] {
        let place = place(&repo.path(), does);
        check_fetch_fails(&place.open(), place.settings.fetch_timeout, kind, says).await;
    }
    let mut place = place(&repo.path(), "");
    place.options.ssh = PathBuf::from("/no/such/ssh");
    check_fetch_fails(&place.open(), place.settings.fetch_timeout, EdgeKind::Refused, "needs an ssh client").await;
}

#[tokio::test]
async fn an_ssh_that_hangs_is_ended_at_the_deadline() {
    let repo = TestRepo::with(&[("a", "1")]);
    for does in ["exec sleep 600", "printf 0; exec sleep 600", "exec 1>&-; exec sleep 600"] {
        let mut place = place(&repo.path(), &format!("echo $$ > $(dirname \"$0\")/pid; {does}"));
        place.settings.fetch_timeout = Duration::from_millis(400);
        let source = place.open();
        let began = Instant::now();
        let error = source.fetch().await.unwrap_err();
        assert_eq!(error.kind, EdgeKind::Transient, "{}", error.chain());
        assert!(began.elapsed() < Duration::from_secs(3), "{does}: {:?}", began.elapsed());
        let pid = fs::read_to_string(place.data.path().join("pid")).unwrap();
        assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists(), "{does}: it still runs");
    }
}

#[tokio::test]
async fn a_key_that_others_may_read_is_not_used() {
    let repo = TestRepo::with(&[("a", "1")]);
    let mut place = place(&repo.path(), SERVE);
    let key = place.secret("key", "x");
    place.settings.ssh_key = Some(key.clone());
    let source = place.open();
    fetched(&source).await;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    check_fetch_fails(&source, place.settings.fetch_timeout, EdgeKind::Denied, "chmod 600").await;
    assert_eq!(place.try_open().err().unwrap().kind, EdgeKind::Denied);
    place.settings.ssh_key = Some("relative/key".into());
    assert_eq!(place.try_open().err().unwrap().kind, EdgeKind::Refused);
    place.settings.ssh_key = Some("/no/such/key".into());
    assert_eq!(place.try_open().err().unwrap().kind, EdgeKind::NotFound);
}
