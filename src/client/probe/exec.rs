//! `exec` checks: a program from the controller's own list ends with status 0.
//!
//! The repository names an entry of that list and nothing else: no path, no argument, no variable. There is no shell. The
//! program gets `LOCKSTEP_ENVIRONMENT`, and `LOCKSTEP_REVISION` and `LOCKSTEP_GENERATION` of what is being judged; the
//! controller's own environment, which may hold tokens, does not reach it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::text::{excerpt, fail, unknown};
use crate::domain::health::Finding;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Generation, Revision};

/// How much of each output stream is kept; the rest is read and dropped, so that a talkative program can end.
const KEPT_OUTPUT: usize = 4 << 10;

/// How long output is waited for after the program ended: a child of it may have kept the pipe.
const AFTER_END: Duration = Duration::from_millis(200);

/// Runs the program once. At the deadline it is killed with all its children.
pub(super) async fn ask(
    program: &Path,
    environment: &EnvironmentName,
    subject: Option<(Revision, Generation)>,
    deadline: Instant,
) -> Finding {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LOCKSTEP_ENVIRONMENT", environment.as_str())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some((revision, generation)) = subject {
        command.env("LOCKSTEP_REVISION", revision.to_string()).env("LOCKSTEP_GENERATION", generation.to_string());
    }
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return unknown(format!("start {}: {error}", program.display())),
    };
    let name = program.display();
    match timeout_at(deadline, run(child)).await {
        Err(_) => fail(format!("{name} did not end in time and was killed")),
        Ok(Err(error)) => unknown(format!("wait for {name}: {error}")),
        Ok(Ok((status, _))) if status.success() => Finding::Pass,
        Ok(Ok((status, said))) => {
            let said = excerpt(&said);
            let said = if said.is_empty() { said } else { format!(": {said}") };
            fail(format!("{name} ended with {status}{said}"))
        }
    }
}

/// Waits for the end; the output is that of the error stream, else that of the other.
async fn run(mut child: Child) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut group = Group::of(&child);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status = {
        let reading = async { tokio::join!(drain(stdout, &mut out), drain(stderr, &mut err)) };
        tokio::pin!(reading);
        tokio::select! {
            biased;
            status = child.wait() => {
                group.ended();
                let _: Result<_, _> = timeout(AFTER_END, reading).await;
                status?
            }
            _ = &mut reading => {
                let status = child.wait().await;
                group.ended();
                status?
            }
        }
    };
    Ok((status, if err.is_empty() { out } else { err }))
}

/// Reads to the end, keeps the beginning.
async fn drain(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let room = KEPT_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// The process group of a running program: killed when this is dropped before the program ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program was waited for: its number may belong to somebody else now.
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It can only fail because nobody is left to kill.
            let _: Result<_, _> = kill_process_group(group, Signal::KILL);
        }
    }
}
