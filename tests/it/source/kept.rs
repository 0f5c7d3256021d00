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

#[tokio::test]
async fn what_is_gone_is_kept_no_more_whatever_its_name_ends_with() {
    let mut repo = TestRepo::with(&[("a", "1")]);
    let place = Place::local(&repo.path());
    let source = place.open();
    fetched(&source).await;
    let (old, other) = (repo.tip(), environment("other"));
    source.keep(&other, &[old], None).await.unwrap();
    for name in ["production", "production.lock"] {
        let (gone, heir) = (environment(name), environment("heir"));
        source.keep(&gone, &[old], Some(old)).await.unwrap();
        source.keep(&heir, &[old], None).await.unwrap();
        assert_eq!(source.kept(&gone).await.unwrap(), [old], "{name}");
        source.forget(&gone, Some(&heir)).await.unwrap();
        assert_eq!(source.kept(&gone).await.unwrap(), [], "{name}");
        source.forget(&gone, None).await.unwrap();
    }
    // Nothing of the others went with it, and their commit outlives the branch.
    repo.amend("rewritten", &[("a", "2")]);
    collect_garbage(&repo.path());
    assert_eq!(fetched(&source).await.tip, Tip::At(repo.tip()));
    for name in ["other", "heir"] {
        assert_eq!(source.kept(&environment(name)).await.unwrap(), [old], "{name}");
    }
    assert_eq!(text_of(&source.tree(old).await.unwrap(), "a"), "1");
}

/// Last good of an environment that is renamed or removed, at an origin that takes pushes.
async fn check_gone(repo: &TestRepo, place: &mut Place) {
    place.settings.keep_refs = KeepRefs::Push;
    let good = repo.tip();
    let [production, live, other] = ["production", "live", "other"].map(environment);
    let named = || {
        let references = repo.git().references_glob("refs/lockstep/*").unwrap();
        let mut names: Vec<String> = references.flatten().map(|found| found.name().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let source = place.open();
    fetched(&source).await;
    for environment in [&production, &other] {
        source.keep(environment, &[good], Some(good)).await.unwrap();
    }
    source.exchange_last_good().await;
    assert_eq!(named(), ["refs/lockstep/other/last-good", "refs/lockstep/production/last-good"]);

    // Not before the new name's is there, and also by a process that knows nothing of what was named.
    let source = place.open();
    fetched(&source).await;
    source.keep(&live, &[good], None).await.unwrap();
    source.forget(&production, Some(&live)).await.unwrap();
    source.exchange_last_good().await;
    assert_eq!(named(), ["refs/lockstep/other/last-good", "refs/lockstep/production/last-good"]);
    source.keep(&live, &[good], Some(good)).await.unwrap();
    assert!(source.has_last_good_to_publish());
    source.exchange_last_good().await;
    assert_eq!(named(), ["refs/lockstep/live/last-good", "refs/lockstep/other/last-good"]);

    // Removed, and once more where nothing is there.
    for _ in 0..2 {
        source.forget(&live, None).await.unwrap();
        assert!(source.has_last_good_to_publish());
        source.exchange_last_good().await;
        assert_eq!(named(), ["refs/lockstep/other/last-good"]);
        assert!(!source.has_last_good_to_publish());
    }
    let mirror = git2::Repository::open_bare(place.mirror()).unwrap();
    let left: Vec<String> = mirror
        .references()
        .unwrap()
        .flatten()
        .map(|found| found.name().unwrap().to_owned())
        .filter(|name| name.contains("/live/") || name.contains("/production/"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn last_good_of_what_is_renamed_or_removed_goes_from_a_local_repository() {
    let repo = TestRepo::with(&[("a", "good")]);
    let mut place = Place::local(&repo.path());
    check_gone(&repo, &mut place).await;
}

#[tokio::test]
async fn last_good_of_what_is_renamed_or_removed_goes_over_http() {
    let repo = TestRepo::with(&[("a", "good")]);
    repo.git().config().unwrap().set_bool("http.receivepack", true).unwrap();
    let server = GitServer::with_token(&repo.path(), "canary-token");
    let mut place = Place::http(&server.url);
    place.settings.token = Some(Credential::File(place.secret("token", "canary-token")));
    check_gone(&repo, &mut place).await;
}
