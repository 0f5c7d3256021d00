//! What people and other programs do to a directory: links in the way, damaged files, wrong paths, names that are no keys.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use lockstep::client::directory::misfits;
use lockstep::port::{EdgeKind, Target};

use super::{led, names, target};
use crate::suite::{desired, is, key, request};

#[tokio::test]
async fn a_link_in_the_way_is_never_written_through() {
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let wanted = desired([("config/a", "1"), ("config/b", "1")]);

    // A managed file becomes a link: drift, and the repair replaces the link itself.
    let led = led().await;
    led.apply(&wanted, 1).await;
    let path = led.place.path();
    std::fs::remove_file(path.join("current/config/a")).unwrap();
    symlink(&victim, path.join("current/config/a")).unwrap();
    assert_eq!(led.target.values(&[key("config/a")]).await.unwrap(), BTreeMap::new(), "a link was followed");
    led.apply(&wanted, 2).await;
    assert!(path.join("current/config/a").symlink_metadata().unwrap().is_file());

    // An unmanaged link goes along as a link.
    symlink(&victim, path.join("current/config/mine")).unwrap();
    led.apply(&desired([("config/a", "3"), ("config/b", "1")]), 3).await;
    assert_eq!(std::fs::read_link(path.join("current/config/mine")).unwrap(), victim);

    // A folder becomes a link: refused, with its name.
    std::fs::remove_dir_all(path.join("current/config")).unwrap();
    symlink(elsewhere.path(), path.join("current/config")).unwrap();
    let live = led.live().await;
    let error = is(led.try_apply(&live, &wanted, 4).await, EdgeKind::Refused);
    assert!(error.chain().contains("\"config\" is a file, and \"config/a\" needs a folder"), "{}", error.chain());
    std::fs::remove_file(path.join("current/config")).unwrap();
    led.apply(&wanted, 4).await;

    // The directory of all versions becomes a link.
    std::fs::rename(path.join("versions"), elsewhere.path().join("versions")).unwrap();
    symlink(elsewhere.path().join("versions"), path.join("versions")).unwrap();
    is(led.target.live().await, EdgeKind::Refused);
    is(led.try_apply(&live, &wanted, 5).await, EdgeKind::Refused);

    // And so does the state.
    std::fs::rename(path.join(".lockstep"), elsewhere.path().join("state")).unwrap();
    symlink(elsewhere.path().join("state"), path.join(".lockstep")).unwrap();
    is(led.target.load().await, EdgeKind::Refused);
    is(led.target.submit(&request(1, 1)).await, EdgeKind::Refused);
    assert_eq!(names(elsewhere.path().to_owned()), ["state", "versions", "victim"]);
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
}

#[tokio::test]
async fn a_current_that_lockstep_did_not_make_is_refused() {
    let led = led().await;
    let wanted = desired([("config/a", "1")]);
    led.apply(&wanted, 1).await;
    let (current, live) = (led.place.path().join("current"), led.live().await);
    for target in ["/etc", "../other/current", "versions/1/config", "versions/01"] {
        std::fs::remove_file(&current).unwrap();
        symlink(target, &current).unwrap();
        let error = is(led.target.live().await, EdgeKind::Refused);
        assert!(error.chain().contains(target), "{}", error.chain());
        is(led.try_apply(&live, &desired([("config/a", "2")]), 2).await, EdgeKind::Refused);
    }
    std::fs::remove_file(&current).unwrap();
    std::fs::create_dir(&current).unwrap();
    is(led.target.live().await, EdgeKind::Refused);
}

#[tokio::test]
async fn a_current_turned_back_by_hand_is_drift() {
    let led = led().await;
    led.apply(&desired([("config/a", "1")]), 1).await;
    let wanted = desired([("config/a", "2")]);
    led.apply(&wanted, 2).await;
    let current = led.place.path().join("current");
    std::fs::remove_file(&current).unwrap();
    symlink("versions/1", &current).unwrap();
    led.apply(&wanted, 3).await;
    assert_eq!(led.values().await["config/a"], b"2");
    std::fs::remove_file(&current).unwrap();
    led.apply(&wanted, 4).await;
    assert_eq!(led.values().await["config/a"], b"2");
}

#[tokio::test]
async fn a_damaged_list_makes_every_key_drift() {
    let led = led().await;
    let wanted = desired([("config/a", "1")]);
    led.apply(&wanted, 1).await;
    let list = led.place.path().join("versions/1.manifest");
    for damage in [Some("lockstep manifest 1\ngeneration 1\n"), Some("\u{0}"), None] {
        match damage {
            Some(text) => {
                std::fs::remove_file(&list).unwrap();
                std::fs::write(&list, text).unwrap();
            }
            None => std::fs::remove_file(&list).unwrap(),
        }
        assert!(led.live().await.entries.values().all(|entry| entry.flags.0 == 0));
    }
    led.apply(&wanted, 2).await;
    assert!(led.live().await.entries.values().all(|entry| entry.flags.mark_of(led.owner).is_some()));
}

#[tokio::test]
async fn a_record_that_is_not_this_environments_is_refused() {
    let led = led().await;
    led.apply(&desired([("config/a", "1")]), 1).await;
    let record = led.place.path().join(".lockstep/record");
    let good = std::fs::read_to_string(&record).unwrap();
    let cut = &good[..good.len() / 2];
    for (written, expected) in [
        (good.replace("\"calvin-config\"", "\"other-config\""), "repository other-config, not test of calvin-config"),
        (good.replace("\"environment\":\"test\"", "\"environment\":\"production\""), "environment production"),
        (good.replace("{\"v\":1,\"record\"", "{\"v\":2,\"record\""), "run the lockstep that wrote it"),
        (cut.to_owned(), "cut short"),
        (String::new(), "cut short"),
        (format!("{good}{good}"), "more than it says"),
    ] {
        std::fs::write(&record, written).unwrap();
        let error = is(led.target.load().await, EdgeKind::Refused);
        assert!(error.chain().contains(expected), "{} does not say {expected:?}", error.chain());
    }
    std::fs::remove_file(&record).unwrap();
    let error = is(led.target.load().await, EdgeKind::Refused);
    assert!(error.chain().contains("the record was lost"), "{}", error.chain());
    let again = is(led.target.initialise().await, EdgeKind::Refused);
    assert_eq!((again.chain(), again.hint), (error.chain(), error.hint), "one text for both");
}

#[tokio::test]
async fn a_wrong_path_says_what_is_wrong() {
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let at = |path: PathBuf| target(&path, Duration::ZERO);

    let missing = at(there.path().join("no/such/parent"));
    is(missing.load().await, EdgeKind::NotFound);
    let error = is(missing.initialise().await, EdgeKind::NotFound);
    assert!(error.hint.unwrap().contains("parent directory"));

    for wrong in [file.clone(), file.join("below")] {
        is(at(wrong.clone()).load().await, EdgeKind::Refused);
        is(at(wrong.clone()).initialise().await, EdgeKind::Refused);
        is(at(wrong).live().await, EdgeKind::Refused);
    }

    let fresh = at(there.path().join("fresh"));
    for error in [is(fresh.lead().await, EdgeKind::NotFound), is(fresh.submit(&request(1, 1)).await, EdgeKind::NotFound)] {
        assert_eq!(error.system, "directory");
    }
    fresh.initialise().await.unwrap();
    assert!(fresh.load().await.unwrap().is_some());
}

#[tokio::test]
async fn keys_that_need_the_same_name_twice_are_refused_with_both_names() {
    let led = led().await;
    let live = led.live().await;
    let error = is(led.try_apply(&live, &desired([("config/a", "1"), ("config/a/b", "1")]), 1).await, EdgeKind::Refused);
    assert!(error.chain().contains("\"config/a\"") && error.chain().contains("\"config/a/b\""), "{}", error.chain());
    let long = format!("config/{}", "k".repeat(256));
    let error = is(led.try_apply(&live, &desired([(&long, "1")]), 1).await, EdgeKind::Refused);
    assert!(error.chain().contains("has 256"), "{}", error.chain());
    assert_eq!(names(led.place.path()), [".lockstep"], "something was built");

    let found = misfits([&key("a"), &key("a.b"), &key("a/b"), &key("a/b/c")]);
    let named: Vec<&str> = found.iter().map(|obstacle| obstacle.key.as_str()).collect();
    assert_eq!(named, ["a/b", "a/b/c"]);
}

#[tokio::test]
async fn files_that_are_no_keys_are_reported_and_go_along() {
    let led = led().await;
    led.apply(&desired([("config/a", "1")]), 1).await;
    let path = led.place.path();
    std::fs::write(path.join("current/config/back\\slash"), "odd").unwrap();
    std::fs::write(path.join("current/config/new\nline"), "odd").unwrap();
    let disk = std::fs::File::create(path.join("current/config/disk.img")).unwrap();
    disk.set_len((16 << 20) + 1).unwrap();
    std::os::unix::net::UnixListener::bind(path.join("current/config/socket")).unwrap();
    let live = led.live().await;
    assert_eq!(live.unmanageable, ["config/back\\\\slash", "config/new\\nline", "config/socket (no regular file)"]);
    led.apply(&desired([("config/a", "2")]), 2).await;
    assert_eq!(names(path.join("current/config")), ["a", "back\\slash", "disk.img", "new\nline"]);
    assert_eq!(path.join("current/config/disk.img").metadata().unwrap().len(), (16 << 20) + 1);
}
