//! `init` beside what is there already: the record of a former name, marks that may be of one, and another `init`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockstep::client::consul::{ConsulTarget, Server};
use lockstep::domain::name::{EnvironmentName, RepositoryName};
use lockstep::domain::rollout::{Formerly, TargetId};
use lockstep::port::{EdgeError, EdgeKind, Target as _};

use crate::fake::Fake;
use crate::stage::{Stage, desired};
use crate::support::{Agent, config, controller, request, roots};

const OLD_RECORD: &str = "lockstep/calvin-config/test/record";

fn name(text: &str) -> EnvironmentName {
    EnvironmentName::parse(text).unwrap()
}

/// What an environment without a record is initialised through.
fn preview(address: &str, pinned: Option<TargetId>) -> ConsulTarget {
    let server = Server::connect(&config(address)).unwrap();
    ConsulTarget::new(server, RepositoryName::parse("calvin-config").unwrap(), name("preview"), roots(), pinned)
}

#[track_caller]
fn check_refused(agent: &Agent, refused: &EdgeError, says: &[&str]) {
    let text = format!("{} {}", refused.chain(), refused.hint.as_deref().unwrap_or_default());
    assert_eq!(refused.kind, EdgeKind::Refused, "{text}");
    for words in says {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(agent.tree("lockstep/calvin-config/preview/").is_empty() && agent.tree("lockstep/owners/").len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_record_of_a_former_name_or_keys_that_may_be_its_nothing_is_made() {
    let agent = Agent::start();
    let mut test = Stage::new(&agent).await;
    test.go(&desired([("config/a", "1")]), 1).await.unwrap();
    let (id, before) = (test.target_id(), agent.tree(""));
    let (renamed, unknown) = (Formerly::As(vec![name("test")]), Formerly::Unknown("the branch is gone".to_owned()));
    let twice = Formerly::As(vec![name("stage"), name("test")]);
    let unpinned = || preview(&agent.address(), None);

    let pin = format!("target_id: {id}");
    let refused = unpinned().initialise_after(&renamed).await.unwrap_err();
    check_refused(&agent, &refused, &["formerly: test", &pin, "`lockstep run`", "`lockstep apply --once preview`"]);
    let refused = preview(&agent.address(), Some(id.clone())).initialise_after(&renamed).await.unwrap_err();
    check_refused(&agent, &refused, &["formerly: test", "`lockstep run`"]);
    assert!(!refused.hint.unwrap().contains(&pin), "it is pinned already");
    let refused = unpinned().initialise_after(&twice).await.unwrap_err();
    check_refused(&agent, &refused, &["formerly: stage", "stage was called test before", &pin]);
    let refused = unpinned().may_recover_after(&twice).await.unwrap_err();
    check_refused(&agent, &refused, &["formerly: stage", "test has its record here"]);
    let refused = unpinned().initialise_after(&unknown).await.unwrap_err();
    check_refused(&agent, &refused, &["1 key(s)", "config/a", "another environment of calvin-config", "the branch is gone"]);

    // Its record was lost: whoever begins anew over its keys could never write them.
    assert_eq!(agent.tree(""), before);
    agent.delete(OLD_RECORD);
    for formerly in [renamed, twice] {
        let refused = unpinned().initialise_after(&formerly).await.unwrap_err();
        check_refused(&agent, &refused, &["config/a", "it was lost", "`lockstep recover test`"]);
    }

    // Where nothing is marked nobody is in the way.
    let empty = Agent::start();
    preview(&empty.address(), None).initialise_after(&unknown).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_former_name_that_comes_back_at_the_last_moment_stops_it() {
    let agent = Agent::start();
    let (port, comes) = (agent.port(), AtomicBool::new(true));
    let proxy = Fake::start(move |asked| {
        if asked.writes() && comes.swap(false, Ordering::SeqCst) {
            request(port, "PUT", &format!("/v1/kv/{OLD_RECORD}"), b"a snapshot was restored").unwrap();
        }
        asked.forward(port)
    });
    let refused =
        preview(&proxy.address(), None).initialise_after(&Formerly::As(vec![name("stage"), name("test")])).await.unwrap_err();
    assert_eq!(refused.kind, EdgeKind::Conflict, "{}", refused.chain());
    let left: Vec<String> = agent.tree("").into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, [OLD_RECORD]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slower_of_two_inits_deletes_no_request_to_the_environment_that_the_other_one_made() {
    const REQUEST: &str = "lockstep/calvin-config/test/requests/0123456789abcdef";
    let agent = Agent::start();
    let (address, port) = (agent.address(), agent.port());
    let is_first = Arc::new(AtomicBool::new(true));
    let proxy = Fake::start(move |asked| {
        // It has seen that there is no record, and is about to look for requests to one before.
        if asked.path.contains("/test/requests/") && is_first.swap(false, Ordering::SeqCst) {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(controller(&address, None).initialise()).unwrap();
            request(port, "PUT", &format!("/v1/kv/{REQUEST}"), b"asked of the winner").unwrap();
        }
        asked.forward(port)
    });
    let refused = controller(&proxy.address(), None).initialise().await.unwrap_err();
    assert_eq!(refused.kind, EdgeKind::Refused, "{}", refused.chain());
    assert_eq!(agent.get(REQUEST).as_deref(), Some(b"asked of the winner".as_slice()));
    assert_eq!(agent.tree("lockstep/owners/").len(), 1);
}
