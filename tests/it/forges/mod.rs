//! The forge client against a server that holds it to GitHub's and Gitea's own descriptions.

mod answers;
mod credentials;
mod failures;
mod recorded;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use lockstep::client::forge::ForgeClient;
use lockstep::config::{Forge as Config, ForgeKind};
use lockstep::domain::commit_status::{Posted, StatusContext, StatusState};
use lockstep::domain::pull::{CommentId, NewPull, PullNumber};
use lockstep::domain::revision::Revision;
use lockstep::port::{EdgeError, Forge as _};
use tempfile::TempDir;

use crate::support::forge_server::ForgeServer;

/// A commit of the recorded repository.
const COMMIT: &str = "8688c0ebc4a1612237ca2de261bcdb566599e56d";
const BOTH: [ForgeKind; 2] = [ForgeKind::GitHub, ForgeKind::Gitea];

/// A forge, and a client with a token for it.
struct Scene {
    server: ForgeServer,
    client: ForgeClient,
    folder: TempDir,
}

impl Scene {
    fn of(kind: ForgeKind) -> Self {
        Self::with(ForgeServer::of(kind))
    }

    fn with(server: ForgeServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = patient(&server.config(folder.path()));
        Self { server, client, folder }
    }
}

/// A client that waits long enough for a busy machine.
fn patient(config: &Config) -> ForgeClient {
    waiting(config, Duration::from_secs(20))
}

fn waiting(config: &Config, deadline: Duration) -> ForgeClient {
    ForgeClient::with(config, deadline, Arc::new(lockstep::runtime::clock::SystemClock::start())).unwrap()
}

fn commit() -> Revision {
    Revision::parse(COMMIT).unwrap()
}

fn context(name: &str) -> StatusContext {
    StatusContext::parse(name).unwrap()
}

fn status(state: StatusState, text: &str) -> Posted {
    Posted { state: Some(state), text: text.to_owned(), link: None }
}

/// Everything that the loop asks of a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Statuses,
    Post,
    Pulls,
    Comments,
    Comment,
    Edit,
    Remove,
    PullsFrom,
    OpenPull,
}

impl Call {
    const ALL: [Self; 9] = [
        Self::Statuses,
        Self::Post,
        Self::Pulls,
        Self::Comments,
        Self::Comment,
        Self::Edit,
        Self::Remove,
        Self::PullsFrom,
        Self::OpenPull,
    ];

    async fn make(self, client: &ForgeClient) -> Result<(), EdgeError> {
        let pull = NewPull {
            branch: "lockstep/revert-8688c0e".into(),
            base: "master".into(),
            title: "Revert \"Turn on debug logs\"".into(),
            text: "checks failed".into(),
        };
        let posted = Posted { link: Some("http://127.0.0.1:8420/e".into()), ..status(StatusState::Failure, "rolled back") };
        match self {
            Self::Statuses => client.statuses(commit()).await.map(drop),
            Self::Post => client.post(commit(), &context("lockstep/test"), &posted).await,
            Self::Pulls => client.pulls("release/1.x").await.map(drop),
            Self::Comments => client.comments(PullNumber(2), "plan").await.map(drop),
            Self::Comment => client.comment(PullNumber(2), "a plan").await.map(drop),
            Self::Edit => client.edit(CommentId(7), "another plan").await,
            Self::Remove => client.remove(CommentId(7)).await,
            Self::PullsFrom => client.pulls_from("lockstep/revert-8688c0e").await.map(drop),
            Self::OpenPull => client.open_pull(&pull).await.map(drop),
        }
    }
}
