//! Asking something of an environment: the request goes beside the record, whoever leads carries it out, and when nobody
//! does, this process leads for as long as that takes (rule L2).

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::edges::{AnyProbe, AnyTarget, Edges};
use super::error::{Exit, Failure};
use super::output::{Output, Page, VERSION, View};
use super::progress::Steps;
use super::text::{clean, rough};
use crate::client::git::GitSource;
use crate::domain::desired::parse_duration;
use crate::domain::name::EnvironmentName;
use crate::domain::rollout::{Answer, Phase, Request, RequestId, Rollout, Verb};
use crate::port::{EdgeError, Leading, Target as _};
use crate::runtime::memory::Memory;
use crate::runtime::observe::no_record;
use crate::runtime::once::{Once, Progress};
use crate::runtime::reading::Fit;

/// From one look for an answer to the next.
const LOOK: Duration = Duration::from_millis(200);
/// Every so many looks: does somebody lead still?
const LOOKS: u32 = 10;

/// Options of every verb that asks something.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    #[command(flatten)]
    by: By,
    /// How long to wait for the outcome, such as 30s or 5m
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
}

/// Whoever asks.
#[derive(Debug, clap::Args)]
pub(super) struct By {
    /// Who asks, as history and status show it [default: the user's name]
    #[arg(long, env = "USER", hide_env = true, value_name = "NAME")]
    by: Option<String>,
}

impl By {
    /// The person and the machine.
    pub(super) fn name(&self) -> String {
        let host = rustix::system::uname();
        let user = self.by.clone().unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        format!("{user}@{}", host.nodename().to_string_lossy())
    }
}

/// Reads a duration of the command line.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("{error}; {}", error.hint()))
}

/// A reason says something.
pub(super) fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("say why".to_owned()) } else { Ok(text.trim().to_owned()) }
}

/// What is asked.
pub(super) struct Question {
    /// Of which environment.
    pub(super) environment: EnvironmentName,
    /// What.
    pub(super) verb: Verb,
    /// Why.
    pub(super) reason: String,
}

/// Asks, waits for the answer and prints it. What was so already is no failure.
pub(super) async fn ask(edges: &Edges, question: Question, asking: &Asking, output: &Output) -> Result<Exit, Failure> {
    let outcome = asked(edges, &question, asking, output).await;
    edges.close().await;
    let (answer, after) = outcome?;
    let is_frozen = after.as_ref().is_some_and(|record| record.phase == Phase::Frozen);
    let exit = if answer.accepted && !is_frozen { Exit::Ok } else { Exit::Failed };
    output.show(&Told {
        version: VERSION,
        environment: question.environment.to_string(),
        request: answer.id.to_string(),
        accepted: answer.accepted,
        changed: answer.changed,
        text: clean(&answer.text),
        phase: after.as_ref().map(|record| record.phase.word()),
        reason: after.map(|record| clean(&record.reason)).filter(|reason| !reason.is_empty()),
    })?;
    Ok(exit)
}

async fn asked(
    edges: &Edges,
    question: &Question,
    asking: &Asking,
    output: &Output,
) -> Result<(Answer, Option<Rollout>), Failure> {
    let Question { environment, verb, reason } = question;
    let target = edges.target(environment)?;
    if edges.record(environment, &target).await?.is_none() {
        let failure = Failure::from(no_record(&target));
        if target.makes_its_record() {
            let hint = format!("nothing was applied to {environment} yet; the first deploy makes its record");
            return Err(Failure { hint: Some(hint), ..failure });
        }
        return Err(failure);
    }
    let id = submit(edges, &target, verb.clone(), reason, &asking.by.name()).await?;
    let waiting = wait(edges, environment, &target, &id, verb, output);
    timeout(asking.timeout, waiting).await.unwrap_or_else(|_| {
        Err(Failure::new(format!("there is no answer from {environment} within {}", rough(asking.timeout)))
            .hint(stays(&id, environment)))
    })
}

/// What becomes of a request that nobody has answered yet.
pub(super) fn stays(id: &RequestId, environment: &EnvironmentName) -> String {
    format!("the request {id} stays: whoever leads carries it out; `lockstep status {environment}` shows what came of it")
}

/// Puts a request down.
pub(super) async fn submit(
    edges: &Edges,
    target: &AnyTarget,
    verb: Verb,
    reason: &str,
    by: &str,
) -> Result<RequestId, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new("draw an id for the request").because(&error))?;
    let Some(id) = RequestId::parse(&format!("{:016x}", u64::from_le_bytes(bytes))) else {
        return Err(Failure::new("draw an id for the request"));
    };
    let request = Request { id: id.clone(), by: clean(by), at: edges.now(), reason: reason.to_owned(), verb };
    target.submit(&request).await?;
    Ok(id)
}

async fn wait(
    edges: &Edges,
    environment: &EnvironmentName,
    target: &AnyTarget,
    id: &RequestId,
    verb: &Verb,
    output: &Output,
) -> Result<(Answer, Option<Rollout>), Failure> {
    let mut looks = 0;
    loop {
        if let Some(answer) = target.answer(id).await? {
            return Ok((answer, None));
        }
        if looks % LOOKS == 0 {
            match target.lead().await? {
                Leading::Ours(lease) => {
                    let foreground = Foreground::new(edges, environment, target)?;
                    let outcome = foreground.answered(&lease, id, verb, output).await;
                    give_back(target, lease).await;
                    return Ok(outcome?);
                }
                Leading::Theirs(who) if looks == LOOKS => output.note(&format!(
                    "{environment} is led by {who}, which has not answered yet; if it has died, its lease ends by itself"
                )),
                Leading::Theirs(_) => {}
            }
        }
        looks += 1;
        sleep(LOOK).await;
    }
}

/// Gives the lease back; a failure only delays the next one who leads.
pub(super) async fn give_back(target: &AnyTarget, lease: <AnyTarget as crate::port::Target>::Lease) {
    if let Err(error) = target.release(lease).await {
        tracing::warn!(error = %error.chain(), "the lease runs out by itself");
    }
}

/// Everything that passes in the foreground need.
pub(super) struct Foreground<'a> {
    edges: &'a Edges,
    environment: &'a EnvironmentName,
    target: &'a AnyTarget,
    probe: Arc<AnyProbe>,
    fit: Fit,
}

impl<'a> Foreground<'a> {
    /// For one environment.
    pub(super) fn new(edges: &'a Edges, environment: &'a EnvironmentName, target: &'a AnyTarget) -> Result<Self, Failure> {
        Ok(Self { edges, environment, target, probe: Arc::new(edges.probe(environment)?), fit: edges.fit(environment)? })
    }

    /// What makes the passes.
    pub(super) fn once(&self) -> Once<'_, GitSource, AnyTarget, AnyProbe> {
        Once {
            source: &self.edges.source,
            target: self.target,
            probe: Arc::clone(&self.probe),
            poll: self.edges.config.repository.poll,
        }
    }

    /// Nothing remembered.
    pub(super) fn memory(&self) -> Memory {
        Memory::new(self.environment.clone(), self.edges.repository.clone(), self.fit.clone())
    }

    /// Carries a request out. A rollback goes on to its end: left half-way it would wait for the next controller.
    async fn answered(
        &self,
        lease: &<AnyTarget as crate::port::Target>::Lease,
        id: &RequestId,
        verb: &Verb,
        output: &Output,
    ) -> Result<(Answer, Option<Rollout>), EdgeError> {
        let (once, mut memory) = (self.once(), self.memory());
        let answer = once.until_answered(&mut memory, lease, id).await?;
        if !answer.changed {
            return Ok((answer, None));
        }
        if !matches!(verb, Verb::RollBack { .. }) {
            let goes_on = memory
                .stored()
                .is_some_and(|stored| stored.record.note.is_none() && !stored.record.is_suspended(self.edges.now()));
            if goes_on {
                output
                    .note("no controller leads this environment: this was done here and now, `lockstep apply --once` goes on");
            }
            return Ok((answer, None));
        }
        let steps = Steps::new(output, self.environment.to_string());
        let mut tell = |news: Progress<'_>| match news {
            Progress::Moved(record) => steps.say(record.phase.word()),
            Progress::Waiting(why) => steps.say(&clean(why)),
            Progress::Trouble(error) => steps.say(&clean(&error.chain())),
        };
        let record = once.until_rest(&mut memory, lease, &mut tell).await;
        drop(steps);
        Ok((answer, Some(record?)))
    }
}

#[derive(Serialize)]
struct Told {
    version: u32,
    environment: String,
    request: String,
    accepted: bool,
    /// Whether anything was done: false also where all was as asked already.
    changed: bool,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl View for Told {
    fn human(&self, page: &mut Page) {
        let Self { environment, accepted, text, phase, reason, .. } = self;
        page.line(format_args!("{environment}: {}{text}", if *accepted { "" } else { "refused: " }));
        if let Some(phase) = phase {
            page.line(format_args!("{environment}: {phase}"));
        }
        if let Some(reason) = reason {
            page.line(format_args!("  {reason}"));
        }
    }
}
