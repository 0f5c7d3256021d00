//! Last good under a ref of the origin's: it outlives a forced push, the garbage collection there, and every mirror.

use std::fs;

use lockstep::config::{Credential, KeepRefs};

use super::behaviour::{collect_garbage, environment};
use super::ssh::{self, SERVE};
use super::*;
use crate::support::git_server::GitServer;
use crate::support::repo::TestRepo;

/// A repository whose good commit is amended away and collected, after a controller kept it and fetched once more.
async fn check(repo: &mut TestRepo, place: &mut Place) {
    place.settings.keep_refs = KeepRefs::Push;
    let good = repo.tip();
    let source = place.open();
    fetched(&source).await;
    source.keep(&environment("production"), &[good], Some(good)).await.unwrap();
    source.exchange_last_good().await;
    let name = "refs/lockstep/production/last-good";
    assert_eq!(repo.git().refname_to_id(name).unwrap().to_string(), good.to_string());

    repo.amend("rewritten", &[("a", "other")]);
    collect_garbage(&repo.path());
    for mirror in place.mirrors() {
        fs::remove_dir_all(mirror).unwrap();
    }
    let source = place.open();
    assert_eq!(fetched(&source).await.tip, Tip::At(repo.tip()));
    source.exchange_last_good().await;
    assert_eq!(text_of(&source.tree(good).await.unwrap(), "a"), "good");

    // A newer one takes its place, although it does not descend from it.
    let newer = repo.tip();
    source.keep(&environment("production"), &[newer], Some(newer)).await.unwrap();
    source.exchange_last_good().await;
    assert_eq!(repo.git().refname_to_id(name).unwrap().to_string(), newer.to_string());
}

#[tokio::test]
async fn locks_that_a_killed_process_left_in_the_mirror_keep_no_later_fetch_from_ending() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    fetched(&place.open()).await;
    let second = repo.commit("second", &[("a", "2")]);
    let production = environment("production");
    let locks = [
        "refs/remotes/origin/main.lock".to_owned(),
        "refs/gone/main.lock".to_owned(),
        format!("refs/lockstep/production/{second}.lock"),
    ];
    for lock in &locks {
        let lock = place.mirror().join(lock);
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        let lock = fs::File::create(lock).unwrap();
        lock.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    let source = place.open();
    assert_eq!(fetched(&source).await.tip, Tip::At(second));
    source.keep(&production, &[second], None).await.unwrap();
    assert_eq!(source.kept(&production).await.unwrap(), [second]);
    repo.delete_branch("main");
    assert_eq!(fetched(&source).await.tip, Tip::Gone("main".into()));
    assert!(locks.iter().all(|lock| !place.mirror().join(lock).exists()));
}

#[tokio::test]
async fn last_good_kept_in_a_local_repository_survives_a_forced_push_and_a_lost_mirror() {
    let mut repo = TestRepo::with(&[("a", "good")]);
    let mut place = Place::local(&repo.path());
    check(&mut repo, &mut place).await;
}

#[tokio::test]
async fn last_good_kept_over_http_survives_a_forced_push_and_a_lost_mirror() {
    let mut repo = TestRepo::with(&[("a", "good")]);
    repo.git().config().unwrap().set_bool("http.receivepack", true).unwrap();
    let server = GitServer::with_token(&repo.path(), "canary-token");
    let mut place = Place::http(&server.url);
    place.settings.token = Some(Credential::File(place.secret("token", "canary-token")));
    check(&mut repo, &mut place).await;
}

#[tokio::test]
async fn last_good_kept_over_ssh_survives_a_forced_push_and_a_lost_mirror() {
    let mut repo = TestRepo::with(&[("a", "good")]);
    let mut place = ssh::place(&repo.path(), SERVE);
    check(&mut repo, &mut place).await;
}

#[tokio::test]
async fn a_server_that_takes_no_push_stands_in_the_way_of_no_fetch() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let server = GitServer::of(&repo.path());
    let mut place = Place::http(&server.url);
    place.settings.keep_refs = KeepRefs::Push;
    let source = place.open();
    fetched(&source).await;
    source.keep(&environment("production"), &[repo.tip()], Some(repo.tip())).await.unwrap();
    source.exchange_last_good().await;
    let newer = repo.commit("newer", &[("a", "2")]);
    let head = fetched(&source).await;
    assert_eq!((head.tip, head.trouble), (Tip::At(newer), None));
    assert!(server.requests().iter().any(|line| line.contains("git-receive-pack")), "nothing was pushed");
}

#[tokio::test]
async fn nothing_is_written_to_the_repository_unless_the_configuration_says_so() {
    let repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    source.keep(&environment("production"), &[repo.tip()], Some(repo.tip())).await.unwrap();
    fetched(&source).await;
    let names: Vec<String> =
        repo.git().references().unwrap().flatten().map(|reference| reference.name().unwrap().to_owned()).collect();
    assert!(names.iter().all(|name| !name.starts_with("refs/lockstep/")), "{names:?}");
}
