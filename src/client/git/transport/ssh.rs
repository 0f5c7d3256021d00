//! Git over ssh: one child process, spoken to through pipes that never block past the deadline.
//!
//! The machine's own ssh client brings agents, hardware keys and `known_hosts`. It gets no shell, no terminal, no
//! configuration of a user's, and no environment variable that it does not need: lockstep's hold credentials.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::super::fault::{fault, tidy};
use super::{Program, Session};
use crate::port::{EdgeError, EdgeKind};

/// What is kept of the program's complaints.
const LONGEST_COMPLAINT: usize = 4096;
/// What is shown of them.
const LONGEST_SHOWN: usize = 300;

/// A repository behind an ssh server, and the program that goes there.
#[derive(Debug, Clone)]
pub(in super::super) struct Ssh {
    /// The ssh client.
    pub(in super::super) program: PathBuf,
    /// Who to be there.
    pub(in super::super) user: String,
    /// Where.
    pub(in super::super) host: String,
    /// The server's port.
    pub(in super::super) port: u16,
    /// The repository's path there; one without a leading `/` lies in the user's home.
    pub(in super::super) path: String,
    /// The private key, instead of an agent's.
    pub(in super::super) key: Option<PathBuf>,
    /// The known hosts, instead of the user's.
    pub(in super::super) known_hosts: Option<PathBuf>,
}

impl Ssh {
    /// Refuses whatever ssh, or the shell that the server starts, would read as something else than a name.
    ///
    /// # Errors
    /// `Refused` for a part that could be an option or could end a quotation; `Denied` for a key that others may read.
    pub(in super::super) fn check(&self) -> Result<(), EdgeError> {
        let refuse = |what: &str, text: &str, why: &str| {
            Err(fault(EdgeKind::Refused, format!("use the ssh {what} {:?}", tidy(text, 120))).because(why.to_owned()))
        };
        let name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !name(&self.user) || self.user.starts_with('-') {
            return refuse("user", &self.user, "a user is letters, digits, '.', '_' and '-', and does not begin with '-'");
        }
        let address = self.host.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c));
        if self.host.is_empty() || !address || self.host.starts_with('-') {
            return refuse("host", &self.host, "a host is a name or an address, and does not begin with '-'");
        }
        if self.path.is_empty() || self.path.starts_with('-') || self.path.chars().any(|c| c.is_control() || "'\\!".contains(c))
        {
            return refuse(
                "path",
                &self.path,
                "a path does not begin with '-' and has no quotes, '!', backslashes or control characters",
            );
        }
        for file in [&self.key, &self.known_hosts].into_iter().flatten() {
            let text = file.to_string_lossy();
            let plain =
                file.is_absolute() && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "\"'%$\\".contains(c));
            if !plain || file.to_str().is_none() {
                return refuse(
                    "file",
                    &text,
                    "ssh needs an absolute path without white space, quotes, '%', '$' or backslashes",
                );
            }
        }
        self.key.as_deref().map_or(Ok(()), refuse_exposed)
    }

    fn command(&self, session: &Session, remote: Program) -> Command {
        let mut command = Command::new(&self.program);
        let connect = session.deadline().left().map_or(1, |left| left.as_secs().clamp(1, 10));
        // `-F none`: a user's configuration could name other keys, hosts and programs to run.
        command.args(["-F", "none", "-T", "-x", "-a"]);
        for option in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "ControlPath=none",
            "PermitLocalCommand=no",
            "ClearAllForwardings=yes",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=2",
        ] {
            command.args(["-o", option]);
        }
        command.args(["-o", &format!("ConnectTimeout={connect}")]);
        if let Some(file) = &self.known_hosts {
            command.arg("-o").arg(setting("UserKnownHostsFile=", file));
            command.args(["-o", "GlobalKnownHostsFile=none"]);
        }
        if let Some(key) = &self.key {
            command.args(["-o", "IdentitiesOnly=yes"]).arg("-i").arg(key);
        }
        // git's convention: `/~user/x` lies in that user's home.
        let path = self.path.strip_prefix('/').filter(|rest| rest.starts_with('~')).unwrap_or(&self.path);
        command.args(["-p", &self.port.to_string(), "-l", &self.user, "--", &self.host]);
        command.arg(format!("{} '{path}'", remote.name()));
        command.env_clear();
        for name in ["PATH", "HOME", "SSH_AUTH_SOCK"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The end of a long complaint: ssh warns first and says what happened last.
fn ending(complaint: String) -> String {
    match complaint.char_indices().rev().nth(LONGEST_SHOWN) {
        None => complaint,
        Some((start, _)) => format!("…{}", &complaint[start..]),
    }
}

fn setting(name: &str, path: &Path) -> OsString {
    let mut text = OsString::from(name);
    text.push(path);
    text
}

/// ssh itself refuses such a key only some of the time (not for root, nor through an agent).
fn refuse_exposed(key: &Path) -> Result<(), EdgeError> {
    let refuse = |kind| fault(kind, format!("use the ssh key {}", key.display()));
    let about = std::fs::metadata(key).map_err(|error| refuse(EdgeKind::NotFound).because(error))?;
    let mode = about.permissions().mode() & 0o7777;
    if !about.is_file() {
        return Err(refuse(EdgeKind::Refused).because("it is no regular file"));
    }
    if mode & 0o077 != 0 {
        return Err(refuse(EdgeKind::Denied)
            .because(format!("it has mode {mode:04o}: others can read or write it"))
            .hint("run chmod 600 on it"));
    }
    Ok(())
}

/// The child and its pipes. Dropping it ends the child.
pub(super) struct Conversation {
    session: Arc<Session>,
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: Option<ChildStderr>,
    complaint: Vec<u8>,
}

impl Conversation {
    /// Starts the program.
    pub(super) fn begin(ssh: &Ssh, session: &Arc<Session>, remote: Program) -> Result<Self, EdgeError> {
        ssh.check()?;
        let failed = |error: io::Error| {
            let start = format!("start {}", ssh.program.display());
            fault(EdgeKind::Refused, start).because(error).hint("ssh:// needs an ssh client (Debian: openssh-client)")
        };
        let mut child = ssh.command(session, remote).spawn().map_err(failed)?;
        let (Some(input), Some(output), errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(failed(io::Error::other("it has no pipes")));
        };
        let talk = Self { session: Arc::clone(session), child, input, output, errors, complaint: Vec::new() };
        for pipe in [Some(talk.input.as_fd()), Some(talk.output.as_fd()), talk.errors.as_ref().map(AsFd::as_fd)] {
            pipe.map_or(Ok(()), never_block).map_err(failed)?;
        }
        Ok(talk)
    }

    /// Waits until one of the pipes can be used, and collects complaints meanwhile.
    fn wait(&mut self, writing: bool) -> Result<(), EdgeError> {
        let session = Arc::clone(&self.session);
        loop {
            let late = || session.deadline().passed(session.operation());
            let left = Timespec::try_from(session.deadline().left().ok_or_else(late)?).map_err(|_| late())?;
            let wanted =
                if writing { PollFd::new(&self.input, PollFlags::OUT) } else { PollFd::new(&self.output, PollFlags::IN) };
            let mut pipes = vec![wanted];
            pipes.extend(self.errors.as_ref().map(|errors| PollFd::new(errors, PollFlags::IN)));
            match poll(&mut pipes, Some(&left)) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    return Err(fault(EdgeKind::Transient, session.operation()).because(io::Error::from(error)));
                }
                Ok(_) => {}
            }
            let ready: Vec<bool> = pipes.iter().map(|pipe| !pipe.revents().is_empty()).collect();
            if ready.get(1) == Some(&true) {
                self.listen();
            }
            if ready.first() == Some(&true) {
                return Ok(());
            }
        }
    }

    /// Takes what is in the pipe for complaints; closes it at its end.
    fn listen(&mut self) {
        let mut piece = [0; 1024];
        while let Some(errors) = &mut self.errors {
            match errors.read(&mut piece) {
                Ok(0) => self.errors = None,
                Ok(n) => {
                    let room = LONGEST_COMPLAINT.saturating_sub(self.complaint.len());
                    self.complaint.extend_from_slice(&piece[..n.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.errors = None,
            }
        }
    }

    /// The other side closed the connection: what its complaints say of why.
    fn verdict(&mut self) -> EdgeError {
        // The last words may come a moment after the connection closed.
        let moment = Timespec { tv_sec: 1, tv_nsec: 0 };
        while let Some(errors) = &self.errors {
            if !matches!(poll(&mut [PollFd::new(errors, PollFlags::IN)], Some(&moment)), Ok(1..)) {
                break;
            }
            self.listen();
        }
        let complaint = tidy(&String::from_utf8_lossy(&self.complaint), LONGEST_COMPLAINT);
        let says = |part: &str| complaint.contains(part);
        let (kind, hint) = if says("Host key verification failed") || says("host key is known") {
            (EdgeKind::Denied, "add the server's key, as its operator gives it, to the file in `known_hosts`")
        } else if says("Permission denied") || says("Too many authentication failures") {
            (EdgeKind::Denied, "the server does not take the key in `ssh_key`: is it registered there?")
        } else if says("does not appear to be a git repository") || says("not found") || says("No such file") {
            (EdgeKind::NotFound, "is the path of the repository right, and may this key read it?")
        } else {
            (EdgeKind::Transient, "try `ssh -v` to that host as the user that runs lockstep")
        };
        let because = if complaint.is_empty() { "the server closed the connection".to_owned() } else { ending(complaint) };
        fault(kind, self.session.operation()).because(because).hint(hint)
    }

    fn take(&mut self, buffer: &mut [u8]) -> Result<usize, EdgeError> {
        loop {
            self.wait(false)?;
            match self.output.read(buffer) {
                Ok(0) => return Err(self.verdict()),
                Ok(n) => {
                    self.session.count(n)?;
                    return Ok(n);
                }
                Err(error) if again(&error) => {}
                Err(error) => return Err(fault(EdgeKind::Transient, self.session.operation()).because(error)),
            }
        }
    }

    fn give(&mut self, bytes: &[u8]) -> Result<usize, EdgeError> {
        loop {
            self.wait(true)?;
            match self.input.write(bytes) {
                Ok(n) => return Ok(n),
                Err(error) if again(&error) => {}
                Err(_) => return Err(self.verdict()),
            }
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn never_block(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

impl Read for Conversation {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.take(buffer).map_err(|failure| self.session.stop(failure))
    }
}

impl Write for Conversation {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.give(bytes).map_err(|failure| self.session.stop(failure))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // Nothing is lost: what was fetched is in the mirror by now, or never will be. Both calls fail only if it is gone.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
