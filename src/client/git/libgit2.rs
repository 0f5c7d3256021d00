//! Sets libgit2 up once for the whole process: our transports, and nobody's configuration but the mirror's own.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use git2::transport::Transport;
use git2::{AutotagOption, ConfigLevel, FetchOptions, RemoteCallbacks, RemoteConnection};

use super::fault::{Said, fault, from_git};
use super::transport::{Channel, Session};
use crate::port::{EdgeError, EdgeKind};

/// The scheme under which libgit2 knows our transport. The mirror's remote is always [`REMOTE`]: libgit2 never sees the real
/// address, so it can neither print it, nor follow a redirect, nor choose one of its own transports for it.
const SCHEME: &str = "lockstep";

/// What every fetch over a network tells libgit2 to connect to.
pub(super) const REMOTE: &str = "lockstep://repository";

/// What an answer that libgit2 can't read usually is.
const NO_SUCH_PROTOCOL: &str = "that is no answer of git's: the origin may be a shallow clone (run `git fetch --unshallow` \
    there), or an ssh server that prints a greeting";

thread_local! {
    /// The fetch that this thread is in. libgit2 makes its transport on the thread that asks it to connect, so this is how
    /// an address and its credentials reach the transport without any state that two repositories share.
    static SESSION: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
}

/// Prepares libgit2. Call it before anything else touches libgit2 in this process; further calls do nothing.
///
/// Afterwards the gitconfig of the user and of the system no longer applies (`insteadOf`, proxies, `safe.directory`):
/// what lockstep fetches depends on its own configuration alone. That a repository belongs to the user who reads it is
/// still checked.
///
/// # Errors
/// When libgit2 refuses, which would be a fault in how it was built.
pub fn prepare() -> Result<(), git2::Error> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| set_up().map_err(|error| error.message().to_owned()))
        .as_ref()
        .copied()
        .map_err(|message| git2::Error::from_str(message))
}

#[expect(unsafe_code, reason = "git2 marks process-wide settings of libgit2 unsafe: nothing else may use it meanwhile")]
fn set_up() -> Result<(), git2::Error> {
    for level in [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData] {
        // SAFETY: runs once, guarded by the caller's `OnceLock`, before this program opens any repository.
        unsafe { git2::opts::set_search_path(level, "")? };
    }
    // SAFETY: as above; no transport is made before this returns.
    unsafe {
        git2::transport::register(SCHEME, |remote| {
            let session = SESSION.with_borrow(Clone::clone);
            let session = session.ok_or_else(|| git2::Error::from_str("no fetch is under way on this thread"))?;
            Transport::smart(remote, session.is_stateless(), Channel::new(session))
        })
    }
}

/// From now on this process does not hold what it reads against the objects' names, as git itself does not: in a walk through a long
/// past that is a third of all the time. An object that a disk spoilt is still told by the sum at the end of its compressed bytes; a
/// pack's index that leads to another object is not. So this is for a process that only shows something. Call it before the mirror is
/// opened.
///
/// # Errors
/// As [`prepare`].
pub fn read_unverified() -> Result<(), git2::Error> {
    prepare()?;
    git2::opts::strict_hash_verification(false);
    Ok(())
}

/// Runs `work` with `session` as this thread's fetch.
pub(super) fn within<T>(session: &Arc<Session>, work: impl FnOnce() -> T) -> T {
    /// Ends the fetch on every way out, a panic included.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            SESSION.set(None);
        }
    }
    SESSION.set(Some(Arc::clone(session)));
    let _end = End;
    work()
}

/// What went wrong in a fetch over a network, where libgit2 says this.
pub(super) fn failure(session: &Session, error: git2::Error) -> EdgeError {
    session.take_failure().unwrap_or_else(|| {
        if error.message().contains("invalid packet line") {
            return fault(EdgeKind::Refused, session.operation()).because(Said(error)).hint(NO_SUCH_PROTOCOL);
        }
        let mut fault = from_git(session.operation(), error);
        // Whatever libgit2 does not like about an answer may be better next time.
        fault.kind = EdgeKind::Transient;
        fault
    })
}

/// Downloads what these refs of the other side need: no tags, nothing but what is asked for, within the session's deadline.
pub(super) fn download(
    connection: &mut RemoteConnection<'_, '_, '_>,
    wanted: &[&str],
    session: &Session,
) -> Result<(), git2::Error> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|progress| {
        let go_on = session.expect(progress.total_objects()).and_then(|()| session.go_on());
        go_on.map_err(|failure| session.stop(failure)).is_ok()
    });
    let mut options = FetchOptions::new();
    options.remote_callbacks(callbacks).download_tags(AutotagOption::None).update_fetchhead(false);
    connection.remote().download(wanted, Some(&mut options))
}
