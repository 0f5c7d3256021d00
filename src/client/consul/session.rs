//! The session: one for each controller process and Consul, under which it holds all its leases (rule L1).
//!
//! It lives as long as its renewals arrive. What a lost session means is decided by Consul, not by our clock: every
//! transaction carries `check-session`, so a controller that was paused for an hour writes nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::fault;
use super::http::{Ask, DEADLINE, Http};
use crate::port::{EdgeError, EdgeKind};

/// After this long without a renewal Consul may end the session; it takes up to twice as long.
pub(super) const TTL: Duration = Duration::from_secs(10);
/// How long the session of a process that died lasts at most, and a moment for Consul to end it.
pub(super) const OUTLIVED: Duration = Duration::from_secs(2 * TTL.as_secs() + 2);
/// How soon the end of a session is asked for again after a failure that may pass, at first.
const SOON: Duration = Duration::from_millis(100);

/// A session that this process made.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    ended: CancellationToken,
    /// Leases that it holds, and those that are being taken for it.
    leases: AtomicUsize,
}

impl Session {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Consul said that it is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

/// One lease that a session holds, or one that is being taken for it. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Hold(Arc<Session>);

impl Hold {
    fn on(session: &Arc<Session>) -> Self {
        session.leases.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(session))
    }

    pub(super) fn session(&self) -> &Session {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes, renews and ends the session.
#[derive(Debug)]
pub(super) struct Sessions {
    current: tokio::sync::Mutex<Option<Arc<Session>>>,
    /// Counts the sessions that were lost.
    lost: watch::Sender<u64>,
    /// Renewals; dropping this ends them.
    tasks: Mutex<JoinSet<()>>,
    name: String,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

impl Sessions {
    /// `name` is shown to people who list Consul's sessions.
    pub(super) fn new(name: String) -> Self {
        Self { current: tokio::sync::Mutex::new(None), lost: watch::Sender::new(0), tasks: Mutex::default(), name }
    }

    /// Who this process is, for other controllers.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Changes whenever a session was lost.
    pub(super) fn losses(&self) -> watch::Receiver<u64> {
        self.lost.subscribe()
    }

    /// The session for one more lease, made when there is none.
    pub(super) async fn current(&self, http: &Arc<Http>) -> Result<Hold, EdgeError> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !session.has_ended()) {
            return Ok(Hold::on(session));
        }
        let session = Arc::new(self.create(http).await?);
        let renewal = renew(Arc::clone(http), Arc::clone(&session), self.lost.clone());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(renewal);
        let hold = Hold::on(&session);
        *current = Some(session);
        Ok(hold)
    }

    /// Gives the only lease of this session back by ending it, which is one request where there would be two in a moment. False
    /// when it has others.
    ///
    /// # Errors
    /// When Consul could not be told; the session then runs out by itself.
    pub(super) async fn end_with_its_lease(&self, http: &Http, hold: &Hold) -> Result<bool, EdgeError> {
        let ended = {
            let mut current = self.current.lock().await;
            let others = hold.0.leases.load(Ordering::Relaxed) != 1;
            let ended = current.take_if(|known| !others && known.id == hold.0.id);
            if ended.is_none() {
                return Ok(false);
            }
            self.stop_renewing().await;
            ended
        };
        // Nobody waits for that: whoever wants a lease meanwhile makes a session of its own.
        destroy(http, ended).await.map(|()| true)
    }

    async fn stop_renewing(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    /// Takes note that Consul does not know this session any more.
    pub(super) fn forget(&self, session: &Session) {
        end(session, &self.lost);
    }

    async fn create(&self, http: &Http) -> Result<Session, EdgeError> {
        let doing = "create the session";
        // No health check ends it: a gossip hiccup of the agent's node says nothing about this process.
        let body = serde_json::json!({
            "Name": self.name,
            "TTL": format!("{}s", TTL.as_secs()),
            "LockDelay": "0s",
            "Behavior": "release",
            "Checks": [],
            "NodeChecks": [],
        });
        let answer = http.beside(Ask::put(http.url("session/create", &[]), body.to_string(), doing)).await?;
        if answer.status != 200 {
            let needed = Some(("session_prefix", ""));
            return Err(fault::of_answer_about(http.operation(doing), answer.status, &answer.body, needed));
        }
        let Created { id } = http.understand(&answer.body, doing)?;
        Ok(Session { id, ended: CancellationToken::new(), leases: AtomicUsize::new(0) })
    }

    /// Ends the session at once, so that another controller can take over at once.
    pub(super) async fn close(&self, http: &Http) -> Result<(), EdgeError> {
        let taken = self.current.lock().await.take();
        self.stop_renewing().await;
        destroy(http, taken).await
    }
}

/// Asks for the end of a session, for as long as an ordinary request may take, until Consul carries it out: others wait for
/// it (rule L1), and what is asked for twice happens once.
async fn destroy(http: &Http, session: Option<Arc<Session>>) -> Result<(), EdgeError> {
    let Some(session) = session.filter(|session| !session.has_ended()) else { return Ok(()) };
    session.ended.cancel();
    let doing = "destroy the session";
    let url = http.url(&format!("session/destroy/{}", session.id), &[]);
    let (until, mut pause) = (Instant::now() + DEADLINE, SOON);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let ask = Ask::put(url.clone(), String::new(), doing).within(left.min(TTL / 3));
        let outcome = http.patiently_beside(ask).await.and_then(|answer| match answer.status {
            200 => Ok(()),
            _ => Err(http.refusal(doing, &answer)),
        });
        match outcome {
            Err(error) if error.kind == EdgeKind::Transient && Instant::now() + pause < until => sleep(pause).await,
            outcome => return outcome,
        }
        pause = (pause * 2).min(TTL / 10);
    }
}

fn end(session: &Session, lost: &watch::Sender<u64>) {
    if !session.ended.is_cancelled() {
        session.ended.cancel();
        lost.send_modify(|count| *count += 1);
    }
}

/// Renews a session until it is gone. An unreachable Consul is no reason to stop: Consul counts no time without a leader.
async fn renew(http: Arc<Http>, session: Arc<Session>, lost: watch::Sender<u64>) {
    let url = http.url(&format!("session/renew/{}", session.id), &[]);
    let mut wait = TTL / 3;
    loop {
        tokio::select! {
            () = session.ended.cancelled() => return,
            () = sleep(wait) => {}
        }
        let ask = Ask::put(url.clone(), String::new(), "renew the session").within(TTL / 3);
        match http.beside(ask).await {
            Ok(answer) if answer.status == 200 => wait = TTL / 3,
            Ok(answer) if answer.status == 404 => {
                tracing::warn!(session = session.id(), consul = http.name(), "the session is gone: the leases are lost");
                return end(&session, &lost);
            }
            // Sooner than the next renewal would be due: the time left is short.
            Ok(_) | Err(_) => wait = TTL / 10,
        }
    }
}
