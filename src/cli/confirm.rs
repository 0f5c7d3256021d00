//! Asking a person to mean it: the environment's name, typed in.

use std::io::{IsTerminal as _, Write as _};

use super::error::Failure;
use crate::domain::name::EnvironmentName;

/// Asks a person at a terminal for the environment's name; nobody there is no.
pub(super) async fn confirm(environment: &EnvironmentName, doing: &str, done: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let refused = |text: &str| Failure::usage(format!("{environment} was not {done}: {text}"));
    if !std::io::stdin().is_terminal() {
        return Err(refused("nobody is there to confirm it").hint("confirm it with --yes"));
    }
    let mut stream = std::io::stderr();
    let _ = write!(stream, "type the environment's name to {doing} it: ").and_then(|()| stream.flush());
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    match typed.await {
        Ok(Ok(line)) if line.trim() == environment.as_str() => Ok(()),
        Ok(Ok(_)) => Err(refused("that is not its name")),
        Ok(Err(_)) | Err(_) => Err(refused("the answer can't be read")),
    }
}
