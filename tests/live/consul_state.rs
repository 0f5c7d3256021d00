//! The record, the lease, history and requests in a real Consul.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep::client::consul::ConsulTarget;
use lockstep::client::consul::Server;
use lockstep::domain::live::Fence;
use lockstep::domain::name::{EnvironmentName, RepositoryName};
use lockstep::domain::plan::Counts;
use lockstep::domain::rollout::{Answer, Request, RequestId, Save, TargetId, Verb};
use lockstep::domain::time::Timestamp;
use lockstep::port::{EdgeError, EdgeKind, Leading, Target as _};

use crate::fake::{Fake, Reply};
use crate::stage::{Stage, closed, line};
use crate::support::{Agent, config, controller, request, roots, target};

const STATE: &str = "lockstep/calvin-config/test/";

fn save(record: lockstep::domain::rollout::Rollout) -> Save {
    Save::of(record)
}

#[tokio::test(flavor = "multi_thread")]
async fn init_makes_one_record_with_an_owner_of_its_own_and_nothing_else_does() {
    let agent = Agent::start();
    let first = controller(&agent.address(), None);
    assert!(first.load().await.unwrap().is_none());

    let identity = first.initialise().await.unwrap();
    let owner = agent.get(&format!("lockstep/owners/{}", identity.owner)).unwrap();
    let owner: serde_json::Value = serde_json::from_slice(&owner).unwrap();
    assert_eq!(owner["target"], identity.target.as_str());
    assert_eq!((owner["repository"].as_str(), owner["environment"].as_str()), (Some("calvin-config"), Some("test")));

    // A second init is refused and shows what to pin; with the pin it finds what it would have made.
    assert!(first.load().await.unwrap().is_some(), "who made it may read it");
    let again = controller(&agent.address(), None).initialise().await.unwrap_err();
    assert_eq!(again.kind, EdgeKind::Refused);
    assert!(again.hint.unwrap().contains(identity.target.as_str()));
    let pinned = controller(&agent.address(), Some(identity.target.clone()));
    let before = agent.tree("");
    assert_eq!(pinned.initialise().await.unwrap(), identity);
    assert_eq!(agent.tree(""), before);
    let wrong = controller(&agent.address(), TargetId::parse("another-target")).initialise().await.unwrap_err();
    assert_eq!(wrong.kind, EdgeKind::Refused, "{}", wrong.chain());

    // Another environment gets another owner.
    let other = ConsulTarget::new(
        Server::connect(&config(&agent.address())).unwrap(),
        RepositoryName::parse("calvin-config").unwrap(),
        EnvironmentName::parse("other").unwrap(),
        roots(),
        None,
    );
    assert_ne!(other.initialise().await.unwrap().owner, identity.owner);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_inits_at_once_make_one_record() {
    let agent = Agent::start();
    let (a, b) = (controller(&agent.address(), None), controller(&agent.address(), None));
    let (a, b) = tokio::join!(a.initialise(), b.initialise());
    assert_eq!([&a, &b].iter().filter(|outcome| outcome.is_ok()).count(), 1, "{a:?} {b:?}");
    assert_eq!([a, b].into_iter().find_map(Result::err).unwrap().kind, EdgeKind::Refused);
    assert_eq!(agent.tree("lockstep/owners/").len(), 1, "the loser left an owner entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_configuration_does_not_pin_is_refused() {
    let agent = Agent::start();
    let identity = controller(&agent.address(), None).initialise().await.unwrap();

    let unpinned = controller(&agent.address(), None).load().await.unwrap_err();
    assert_eq!(unpinned.kind, EdgeKind::Refused);
    assert!(unpinned.hint.unwrap().contains(&format!("target_id: {}", identity.target)));

    let wrong = controller(&agent.address(), TargetId::parse("another-target")).load().await.unwrap_err();
    assert_eq!(wrong.kind, EdgeKind::Refused);

    // Another environment's record, copied to this name by hand.
    let record = agent.get(&format!("{STATE}record")).unwrap();
    agent.put("lockstep/calvin-config/copy/record", &record);
    let copy = ConsulTarget::new(
        Server::connect(&config(&agent.address())).unwrap(),
        RepositoryName::parse("calvin-config").unwrap(),
        EnvironmentName::parse("copy").unwrap(),
        roots(),
        Some(identity.target.clone()),
    );
    assert_eq!(copy.load().await.unwrap_err().kind, EdgeKind::Refused);

    agent.put(&format!("{STATE}record"), b"{ half a rec");
    let garbled = controller(&agent.address(), Some(identity.target)).load().await.unwrap_err();
    assert_eq!(garbled.kind, EdgeKind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_controller_leads_and_a_graceful_stop_hands_over_at_once() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let server = Server::connect(&config(&agent.address())).unwrap();
    let second = target(server.clone(), Some(stage.target_id()));
    let Leading::Theirs(holder) = second.lead().await.unwrap() else { panic!("two lead") };
    assert!(holder.contains(&std::process::id().to_string()), "{holder:?} does not say who");

    // The session is not tied to the node's health, and leaves no delay behind.
    let (_, sessions) = agent.curl("GET", "/v1/session/list", b"");
    let sessions: Vec<serde_json::Value> = serde_json::from_slice(&sessions).unwrap();
    assert!(sessions.iter().all(|session| session["LockDelay"] == 0), "{sessions:?}");
    assert!(sessions.iter().all(|session| session["NodeChecks"].as_array().is_none_or(Vec::is_empty)), "{sessions:?}");

    // Giving the lease back is enough for another to take it; ending the session too.
    let begin = Instant::now();
    stage.target.release(stage.lease).await.unwrap();
    let Leading::Ours(lease) = second.lead().await.unwrap() else { panic!("the lease was not given back") };
    let Leading::Theirs(_) = stage.target.lead().await.unwrap() else { panic!("two lead") };
    drop(lease);
    server.close().await.unwrap();
    let Leading::Ours(_) = stage.target.lead().await.unwrap() else { panic!("the session was not ended") };
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// A Consul that answers so when it is first asked to end a session.
async fn check_handover(first: fn() -> Reply) {
    let agent = Agent::start();
    let (port, asked_to_end) = (agent.port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked_to_end);
    let proxy = Fake::start(move |asked| {
        let ends = asked.path.starts_with("/v1/session/destroy/");
        if ends && count.fetch_add(1, Ordering::Relaxed) == 0 { first() } else { asked.forward(port) }
    });
    let identity = controller(&agent.address(), None).initialise().await.unwrap();
    let stage = Stage::join(&proxy.address(), identity.target.clone()).await;
    let second = controller(&agent.address(), Some(identity.target));
    let begin = Instant::now();
    stage.target.release(stage.lease).await.unwrap();
    let Leading::Ours(_) = second.lead().await.unwrap() else { panic!("the lease was not given back") };
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(asked_to_end.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_hands_over_at_once_even_if_consul_is_busy_just_then() {
    check_handover(|| Reply::refuse(429, "slow down")).await;
    check_handover(|| Reply::refuse(503, "busy")).await;
    check_handover(|| Reply::refuse(500, "No cluster leader")).await;
    check_handover(|| Reply::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_to_lead_that_is_given_up_holds_nothing_back() {
    let agent = Agent::start();
    let (port, held, ended) = (agent.port(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (hold, count) = (Arc::clone(&held), Arc::clone(&ended));
    let proxy = Fake::start(move |asked| {
        // No answer within this test's time to an attempt to take the lease.
        if hold.load(Ordering::Relaxed) && asked.count("lock") > 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        count.fetch_add(usize::from(asked.path.starts_with("/v1/session/destroy/")), Ordering::Relaxed);
        asked.forward(port)
    });
    let identity = controller(&agent.address(), None).initialise().await.unwrap();
    let stage = Stage::join(&proxy.address(), identity.target).await;
    held.store(true, Ordering::Relaxed);
    let attempt = tokio::time::timeout(Duration::from_millis(100), stage.target.lead()).await;
    assert!(attempt.is_err(), "it was not given up");
    stage.target.release(stage.lease).await.unwrap();
    assert_eq!(ended.load(Ordering::Relaxed), 1, "the only lease was given back otherwise than by ending the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_leader_writes_nothing() {
    let agent = Agent::start();
    let mut stale = Stage::new(&agent).await;
    // Its session ends behind its back, as after a pause of the process, and another takes over.
    let path = format!("/v1/session/destroy/{}", stale.lease.session());
    assert_eq!(agent.curl("PUT", &path, b"").0, 200);
    let mut fresh = Stage::join(&agent.address(), stale.target_id()).await;
    let wanted = crate::stage::desired([("config/a", "fresh")]);
    fresh.go(&wanted, 1).await.unwrap();

    let before = agent.tree("");
    let bad = crate::stage::desired([("config/a", "stale"), ("config/b", "stale")]);
    let refused = stale.go(&bad, 2).await.unwrap_err();
    assert_eq!(refused.kind, EdgeKind::Conflict, "{}", refused.chain());
    assert!(refused.about.contains(&format!("{STATE}lease")), "{:?}", refused.about);
    // Even with the newest record in hand: the session alone fences.
    let stored = fresh.target.load().await.unwrap().unwrap();
    let refused = stale.target.save(&stale.lease, stored.fence, &save(stored.record)).await.unwrap_err();
    assert_eq!(refused.kind, EdgeKind::Conflict);
    assert_eq!(agent.tree(""), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_leader_is_replaced_within_two_ttls_and_two_seconds() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let second = controller(&agent.address(), Some(stage.target_id()));
    // Dropping everything ends the renewals without ending the session: what a kill does.
    drop(stage);
    let begin = Instant::now();
    loop {
        if let Leading::Ours(_) = second.lead().await.unwrap() {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(22), "no takeover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_outlives_its_ttl_while_it_is_renewed() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let second = controller(&agent.address(), Some(stage.target_id()));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(24) {
        assert!(matches!(second.lead().await.unwrap(), Leading::Theirs(_)), "lost after {:?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stage.target.save(&stage.lease, stage.fence, &save(stage.record.clone())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_moves_only_from_where_it_stands() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let mut record = stage.record.clone();
    record.reason = "first".into();
    let fence = stage.target.save(&stage.lease, stage.fence, &save(record.clone())).await.unwrap();
    assert_ne!(fence, stage.fence);

    let mut late = stage.record.clone();
    late.reason = "late".into();
    let refused = stage.target.save(&stage.lease, stage.fence, &save(late)).await.unwrap_err();
    assert_eq!((refused.kind, refused.about), (EdgeKind::Conflict, vec![format!("{STATE}record")]));
    let stored = stage.target.load().await.unwrap().unwrap();
    assert_eq!((stored.fence, stored.record), (fence, record.clone()));

    // Only init makes a record, even when it is gone.
    agent.delete(&format!("{STATE}record"));
    let made = stage.target.save(&stage.lease, Fence::ABSENT, &save(record)).await.unwrap_err();
    assert_eq!(made.kind, EdgeKind::Conflict);
    assert_eq!(stage.target.load().await.unwrap_err().kind, EdgeKind::Refused);
    assert_eq!(agent.get(&format!("{STATE}record")), None);
}

/// The record was lost: nobody takes this Consul for a new one, and nothing is written there.
#[track_caller]
fn check_lost(agent: &Agent, refused: &EdgeError, says: &[&str]) {
    let text = format!("{} {}", refused.chain(), refused.hint.as_deref().unwrap_or_default());
    assert_eq!(refused.kind, EdgeKind::Refused, "{text}");
    for words in ["the record was lost", "restore a snapshot"].iter().chain(says) {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(agent.get(&format!("{STATE}record")), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_lost_the_record_is_never_taken_for_a_new_one() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let names: Vec<String> = (1..=5).map(|number| format!("config/k{number}")).collect();
    stage.go(&crate::stage::desired(names.iter().map(|name| (name, "ours"))), 1).await.unwrap();
    let (pin, owner) = (stage.target_id(), stage.owner());
    agent.put("config/by-hand", b"somebody else's");

    // The record alone: its owner entry still says whose the keys are.
    agent.delete(&format!("{STATE}record"));
    let (unpinned, pinned) = (controller(&agent.address(), None), controller(&agent.address(), Some(pin.clone())));
    let named = ["5 key(s)", "config/k1, config/k2, config/k3:"];
    check_lost(&agent, &unpinned.initialise().await.unwrap_err(), &named);
    check_lost(&agent, &unpinned.load().await.unwrap_err(), &named);

    // Everything of lockstep's own.
    assert_eq!(agent.curl("DELETE", "/v1/kv/lockstep/?recurse", b"").0, 200);
    check_lost(&agent, &unpinned.initialise().await.unwrap_err(), &named);
    check_lost(&agent, &unpinned.load().await.unwrap_err(), &named);
    check_lost(&agent, &pinned.initialise().await.unwrap_err(), &[pin.as_str(), "address"]);
    check_lost(&agent, &pinned.load().await.unwrap_err(), &[pin.as_str(), "address"]);
    assert!(agent.tree("lockstep/").is_empty());

    // Another environment's keys are no sign of a lost record: it has an owner entry.
    let entry = br#"{"repository": "other", "environment": "test", "target": "0123456789abcdef"}"#;
    agent.put(&format!("lockstep/owners/{owner}"), entry);
    assert!(unpinned.load().await.unwrap().is_none());
    assert_ne!(unpinned.initialise().await.unwrap().owner, owner);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_without_a_record_is_refused_even_where_there_is_nothing_else() {
    let agent = Agent::start();
    let pinned = controller(&agent.address(), TargetId::parse("0123456789abcdef"));
    check_lost(&agent, &pinned.initialise().await.unwrap_err(), &["0123456789abcdef", "address"]);
    check_lost(&agent, &pinned.load().await.unwrap_err(), &["0123456789abcdef", "address"]);
    assert!(agent.tree("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_history_is_created_once_and_closed_with_the_record() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let generation = stage.record.generation.next();
    let mut record = stage.record.clone();
    record.generation = generation;
    let open = line(generation, 1, Counts::default());
    let saved = Save::opening(record.clone(), open.clone());
    let fence = stage.target.save(&stage.lease, stage.fence, &saved).await.unwrap();
    assert_eq!(stage.target.history(10).await.unwrap(), vec![open.clone()]);

    record.reason = "again".into();
    let again = Save::opening(record.clone(), open.clone());
    let refused = stage.target.save(&stage.lease, fence, &again).await.unwrap_err();
    assert_eq!(refused.kind, EdgeKind::Conflict);
    assert_eq!(stage.target.load().await.unwrap().unwrap().fence, fence, "half of it was written");

    let ended = closed(open);
    let done = Save { history: vec![ended.clone()], ..Save::of(record) };
    stage.target.save(&stage.lease, fence, &done).await.unwrap();
    assert_eq!(stage.target.history(10).await.unwrap(), vec![ended]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_newest_first_by_number() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let (mut record, mut fence) = (stage.record.clone(), stage.fence);
    for _ in 0..12 {
        record.generation = record.generation.next();
        let saved = Save::opening(record.clone(), closed(line(record.generation, 1, Counts::default())));
        fence = stage.target.save(&stage.lease, fence, &saved).await.unwrap();
    }
    let numbers: Vec<u32> = stage.target.history(11).await.unwrap().iter().map(|line| line.generation.number()).collect();
    assert_eq!(numbers, (2..=12).rev().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_put_down_once_and_answered_with_the_record() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let request = |id: &str| Request {
        id: RequestId::parse(id).unwrap(),
        by: "ada@host".into(),
        at: Timestamp::from_millis(5),
        reason: "because".into(),
        verb: Verb::Resume,
    };
    let (first, second) = (request("ffffffffffffffff"), request("0000000000000000"));
    // From a machine that doesn't lead, and in this order.
    let elsewhere = controller(&agent.address(), Some(stage.target_id()));
    elsewhere.submit(&first).await.unwrap();
    elsewhere.submit(&second).await.unwrap();
    assert_eq!(elsewhere.submit(&first).await.unwrap_err().kind, EdgeKind::Conflict);
    assert_eq!(elsewhere.answer(&first.id).await.unwrap(), None);
    agent.put(&format!("{STATE}requests/junk"), b"not a request");
    assert_eq!(stage.target.requests().await.unwrap(), vec![first.clone(), second.clone()]);

    let answer =
        Answer { id: first.id.clone(), at: Timestamp::from_millis(6), accepted: true, changed: true, text: "resumed".into() };
    let mut record = stage.record.clone();
    record.reason = "resumed".into();
    let saved = Save { answers: vec![answer.clone()], ..Save::of(record) };
    stage.target.save(&stage.lease, stage.fence, &saved).await.unwrap();
    assert_eq!(elsewhere.answer(&first.id).await.unwrap(), Some(answer));
    assert_eq!(stage.target.requests().await.unwrap(), vec![second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_or_datacenter_is_an_error_that_says_so() {
    let [closed] = crate::support::free_ports();
    let nobody = controller(&format!("http://127.0.0.1:{closed}"), None).load().await.unwrap_err();
    assert_eq!(nobody.kind, EdgeKind::Transient);
    assert!(nobody.chain().contains(&closed.to_string()), "{}", nobody.chain());

    let agent = Agent::start();
    let mut elsewhere = config(&agent.address());
    elsewhere.datacenter = Some("nowhere".into());
    let elsewhere = target(Server::connect(&elsewhere).unwrap(), None).load().await.unwrap_err();
    assert_eq!(elsewhere.kind, EdgeKind::Refused, "{}", elsewhere.chain());
    assert!(elsewhere.hint.unwrap().contains("datacenter"));
    assert!(request(agent.port(), "GET", "/v1/kv/lockstep/?keys", b"").is_some_and(|(status, _)| status == 404));
}
