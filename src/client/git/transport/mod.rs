//! How git's smart protocol reaches a server: our own https and ssh below libgit2's protocol code.
//!
//! libgit2's own transports would bring OpenSSL in, follow redirects, read other people's configuration and wait for ever.
//! Here every byte passes one [`Session`], which holds the deadlines and the limit on size of this one fetch.

mod http;
mod ssh;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};

use super::fault::{fault, overdue, stalled};
use crate::port::{EdgeError, EdgeKind};

pub(super) use http::Http;
pub(super) use ssh::Ssh;

/// No fetch may take longer, whatever the configuration says.
const LONGEST: Duration = Duration::from_hours(24);

/// When something must have ended: at its own time, or when nothing moved for a while. Clones share what moved.
#[derive(Debug, Clone)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
    patience: Duration,
    moved: Arc<Mutex<Instant>>,
}

impl Deadline {
    /// From now on, as long as something moves: a byte that comes, an object that is worked through.
    #[expect(clippy::disallowed_methods, reason = "bounds one call to the outside; no decision sees this time")]
    pub(super) fn within(limit: Duration, patience: Duration) -> Self {
        let limit = limit.min(LONGEST);
        let now = Instant::now();
        Self { at: now + limit, limit, patience: patience.min(limit), moved: Arc::new(Mutex::new(now)) }
    }

    /// Something moved; whether the whole may go on.
    #[expect(clippy::disallowed_methods, reason = "bounds one call to the outside; no decision sees this time")]
    fn go_on(&self) -> bool {
        let now = Instant::now();
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = now;
        now < self.at
    }

    /// What is left if nothing moves from now on; none when it has passed.
    #[expect(clippy::disallowed_methods, reason = "bounds one call to the outside; no decision sees this time")]
    pub(super) fn left(&self) -> Option<Duration> {
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.at.min(moved + self.patience);
        at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// That it has passed, and which of the two it was.
    #[expect(clippy::disallowed_methods, reason = "bounds one call to the outside; no decision sees this time")]
    pub(super) fn passed(&self, operation: impl Into<String>) -> EdgeError {
        if Instant::now() >= self.at { overdue(operation, self.limit) } else { stalled(operation, self.patience) }
    }
}

/// How much one fetch may bring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: u64,
    /// Each takes memory while they are sorted in, however small it is.
    pub(super) objects: usize,
}

/// One fetch: how far it may go, how much came, and what went wrong.
pub(super) struct Session {
    /// Where to and how; none for a repository on this machine.
    endpoint: Option<Endpoint>,
    deadline: Deadline,
    at_most: Bounds,
    received: AtomicU64,
    /// The first failure: libgit2 carries only a text through, so the error itself waits here.
    failure: Mutex<Option<EdgeError>>,
    /// For messages: "fetch main from git.example".
    operation: String,
}

/// The program of git's that answers at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// Sends what is fetched.
    UploadPack,
    /// Takes what is pushed: refs of our own only, and only where the configuration says so.
    ReceivePack,
}

impl Program {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// Where a fetch goes over a network.
pub(super) enum Endpoint {
    /// Smart http: one request and answer at a time.
    Http(Http),
    /// A program at the other end of an ssh connection.
    Ssh(Ssh),
}

impl Session {
    pub(super) fn new(endpoint: Option<Endpoint>, operation: String, deadline: Deadline, at_most: Bounds) -> Self {
        Self { endpoint, deadline, at_most, received: AtomicU64::new(0), failure: Mutex::new(None), operation }
    }

    /// Whether each exchange is a request of its own.
    pub(super) fn is_stateless(&self) -> bool {
        matches!(self.endpoint, Some(Endpoint::Http(_)))
    }

    pub(super) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    pub(super) fn operation(&self) -> &str {
        &self.operation
    }

    /// Counts bytes that came.
    ///
    /// # Errors
    /// When the deadline has passed or more came than may.
    pub(super) fn count(&self, bytes: usize) -> Result<(), EdgeError> {
        let received = self.received.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if received > self.at_most.bytes {
            return Err(fault(EdgeKind::Refused, &self.operation)
                .because(format!("the server sent more than {} MiB", self.at_most.bytes >> 20))
                .hint("a config repository is small: look for large files in its history"));
        }
        self.go_on()
    }

    /// So many objects are announced.
    ///
    /// # Errors
    /// When more are than may come.
    pub(super) fn expect(&self, objects: usize) -> Result<(), EdgeError> {
        if objects <= self.at_most.objects {
            return Ok(());
        }
        Err(fault(EdgeKind::Refused, &self.operation)
            .because(format!("the server sends {objects} objects, and {} are taken", self.at_most.objects)))
    }

    /// A step was done: it does not hang, however long the step took.
    ///
    /// # Errors
    /// When all of it has taken too long.
    pub(super) fn go_on(&self) -> Result<(), EdgeError> {
        if self.deadline.go_on() { Ok(()) } else { Err(self.deadline.passed(&self.operation)) }
    }

    /// Whether there is time left.
    pub(super) fn in_time(&self) -> Result<(), EdgeError> {
        self.deadline.left().map(|_| ()).ok_or_else(|| self.deadline.passed(&self.operation))
    }

    /// Keeps a failure for whoever started the fetch, and gives libgit2 something to stop at.
    pub(super) fn stop(&self, failure: EdgeError) -> io::Error {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let stop = io::Error::other("the fetch was stopped");
        first.get_or_insert(failure);
        stop
    }

    /// The failure that stopped the fetch, if one of ours did.
    pub(super) fn take_failure(&self) -> Option<EdgeError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What libgit2's protocol code talks to.
pub(super) struct Channel(Arc<Session>);

impl Channel {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self(session)
    }
}

impl SmartSubtransport for Channel {
    fn action(&self, _url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let session = &self.0;
        let stop = |failure: EdgeError| git2::Error::from_str(&session.stop(failure).to_string());
        match (&session.endpoint, action) {
            (Some(Endpoint::Http(_)), Service::UploadPackLs) => {
                Ok(Box::new(http::Exchange::advertisement(session, Program::UploadPack)))
            }
            (Some(Endpoint::Http(_)), Service::ReceivePackLs) => {
                Ok(Box::new(http::Exchange::advertisement(session, Program::ReceivePack)))
            }
            (Some(Endpoint::Http(_)), Service::UploadPack) => {
                Ok(Box::new(http::Exchange::negotiation(session, Program::UploadPack)))
            }
            (Some(Endpoint::Http(_)), Service::ReceivePack) => {
                Ok(Box::new(http::Exchange::negotiation(session, Program::ReceivePack)))
            }
            (Some(Endpoint::Ssh(ssh)), Service::UploadPackLs) => {
                Ok(Box::new(ssh::Conversation::begin(ssh, session, Program::UploadPack).map_err(stop)?))
            }
            (Some(Endpoint::Ssh(ssh)), Service::ReceivePackLs) => {
                Ok(Box::new(ssh::Conversation::begin(ssh, session, Program::ReceivePack).map_err(stop)?))
            }
            // Over ssh libgit2 goes on with the stream that it has.
            (Some(Endpoint::Ssh(_)) | None, _) => {
                Err(stop(fault(EdgeKind::Refused, &session.operation).because("there is nobody to talk to")))
            }
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        // The streams end what they hold when libgit2 frees them.
        Ok(())
    }
}
