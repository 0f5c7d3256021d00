//! The notable events, and what each says in the log.

use std::time::Duration;

use crate::domain::name::{CheckName, EnvironmentName, KeyPath};
use crate::domain::plan::{Counts, Intent};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{HeadVerdict, Phase, Verb};
use crate::port::EdgeKind;

/// Which environment an event is about, and which attempt at which revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The environment.
    pub environment: EnvironmentName,
    /// Of an attempt, the revision that it went to; of a head that is not followed, the head; else what the environment is on
    /// or on the way to.
    pub revision: Option<Revision>,
    /// The attempt.
    pub generation: Option<Generation>,
}

/// Something notable in one environment. Each happens at one place of the loop and is emitted there, once.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An attempt begins; for a rollback, announced before its first write: if we die there, people know why things move.
    RolloutStarted {
        /// Anything but a rollback, which is [`Event::RollbackStarted`].
        intent: Intent,
        /// The goal before.
        from: Option<Revision>,
        /// What is planned.
        counts: Counts,
    },
    /// Everything is written.
    Applied {
        /// What was planned.
        counts: Counts,
        /// From the first write to the last.
        took: Duration,
    },
    /// Healthy for long enough, or live for long enough without checks.
    Proven {
        /// What the proof rests on; names the checks that did not count.
        because: String,
    },
    /// The checks failed.
    Unhealthy {
        /// The evidence.
        because: String,
    },
    /// The way back begins, before its first write.
    RollbackStarted {
        /// The goal before: what is being left.
        from: Option<Revision>,
        /// The evidence, or who asked for it and why.
        because: String,
    },
    /// The environment is back on last good (or where a person said).
    RollbackFinished {
        /// The keys that had to be left, if any, each with why.
        except: Vec<String>,
        /// What its end rests on.
        because: String,
    },
    /// A newer commit took an attempt's place.
    Superseded,
    /// The environment waits for a newer commit or better knowledge.
    Held {
        /// Which of the three holds.
        phase: Phase,
        /// Why.
        because: String,
    },
    /// A rollback was itself unhealthy: a person must act.
    Frozen {
        /// The evidence.
        because: String,
    },
    /// The head is not followed.
    HeadNotFollowed {
        /// Of what kind the reason is.
        verdict: HeadVerdict,
        /// The reason.
        because: String,
    },
    /// Drift was put right.
    DriftRepaired {
        /// How many keys.
        keys: u32,
        /// Some of them, and what had become of the first.
        because: String,
    },
    /// Drift was seen and left: by the environment's policy, or because a person stopped all writes.
    DriftReported {
        /// How many keys.
        keys: u32,
        /// Some of them.
        because: String,
    },
    /// Somebody else keeps changing a key.
    Contested {
        /// Which.
        key: KeyPath,
        /// Both values' digests, unless the key is sensitive.
        because: String,
    },
    /// A check fails on a proven revision: reported, never rolled back (rule H5).
    LateFailure {
        /// Which.
        check: CheckName,
        /// What it found.
        because: String,
    },
    /// This controller leads the environment now.
    LeaseGained,
    /// It gave the lease back in good order.
    LeaseReleased {
        /// Why.
        because: String,
    },
    /// It does no longer, and did not mean to.
    LeaseLost {
        /// Why.
        because: String,
    },
    /// Another controller leads the environment; this one stands by.
    Following {
        /// Who leads.
        leader: String,
        /// When this one will lead, if that one is gone: a crash looks like somebody who leads, for a while (rule L1).
        hint: String,
    },
    /// A person's request was carried out or refused.
    RequestAnswered {
        /// What was asked.
        verb: Verb,
        /// By whom.
        by: String,
        /// Whether it was carried out.
        accepted: bool,
        /// What was done, or why not.
        because: String,
    },
    /// The target's state is older than remembered: it was restored from a snapshot (rule A6).
    TargetRestored,
    /// A pass ended with an error; the next one looks again.
    PassFailed {
        /// Of what kind.
        kind: EdgeKind,
        /// The error and its causes.
        because: String,
        /// What to do, as the command line says it.
        hint: Option<String>,
    },
}

/// Something notable that is not about one environment.
#[derive(Debug, Clone, PartialEq)]
pub enum ControllerEvent {
    /// The config repository could not be fetched.
    FetchFailed {
        /// Of what kind the failure is.
        kind: EdgeKind,
        /// The error and its causes.
        because: String,
        /// What to do, as the command line says it.
        hint: Option<String>,
    },
    /// The forge could not be asked or told.
    ForgeFailed {
        /// Of what kind the failure is.
        kind: EdgeKind,
        /// The error and its causes.
        because: String,
        /// What to do, as the command line says it.
        hint: Option<String>,
    },
    /// A commit status is not tried again until there is another to write.
    StatusGivenUp {
        /// Which, and the error.
        because: String,
    },
    /// The wall clock moved by more than 60 seconds beside the monotonic one (rule L3).
    ClockJumped {
        /// How far.
        by: Duration,
    },
    /// A webhook's delivery was refused. Of each reason one a minute is an event; all are counted.
    DeliveryRefused {
        /// The kind of forge.
        forge: &'static str,
        /// Of a closed set.
        reason: &'static str,
        /// The same for people.
        because: &'static str,
    },
    /// A secret of webhooks can't be read: deliveries are refused until it can.
    SecretUnreadable {
        /// The kind of forge.
        forge: &'static str,
        /// The error and its causes.
        because: String,
        /// What to do.
        hint: &'static str,
    },
}

/// How loud a line is: errors want a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Warning,
    Error,
}

/// What an event says in the log, beside its subject.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) level: Level,
    /// Stable, for machines.
    pub(super) name: &'static str,
    /// For people.
    pub(super) message: &'static str,
    pub(super) from: Option<Revision>,
    pub(super) keys: Option<u64>,
    /// A word of a closed set: intent, phase, verdict, verb or kind of error.
    pub(super) word: Option<&'static str>,
    /// A key, check or kind of forge.
    pub(super) about: Option<&'a str>,
    pub(super) by: Option<&'a str>,
    pub(super) took: Option<Duration>,
    pub(super) because: Option<&'a str>,
    /// What to do.
    pub(super) hint: Option<&'a str>,
}

impl<'a> Line<'a> {
    const fn new(level: Level, name: &'static str, message: &'static str) -> Self {
        Self {
            level,
            name,
            message,
            from: None,
            keys: None,
            word: None,
            about: None,
            by: None,
            took: None,
            because: None,
            hint: None,
        }
    }

    const fn because(self, because: &'a str) -> Self {
        Self { because: Some(because), ..self }
    }

    fn hint(self, hint: Option<&'a String>) -> Self {
        Self { hint: hint.map(String::as_str), ..self }
    }

    const fn word(self, word: &'static str) -> Self {
        Self { word: Some(word), ..self }
    }

    fn keys(self, keys: u64) -> Self {
        Self { keys: Some(keys), ..self }
    }

    fn counts(self, counts: Counts) -> Self {
        let Counts { created, updated, adopted, deleted, released } = counts;
        self.keys([created, updated, adopted, deleted, released].map(u64::from).iter().sum())
    }
}

impl Event {
    /// Its stable name in the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.line().name
    }

    pub(super) fn line(&self) -> Line<'_> {
        use Level::{Error, Info, Warning};
        match self {
            Self::RolloutStarted { intent, from, counts } => Line {
                from: *from,
                ..Line::new(Info, "rollout-started", "rollout started").word(intent.word()).counts(*counts)
            },
            Self::Applied { counts, took } => {
                Line { took: Some(*took), ..Line::new(Info, "applied", "everything is written").counts(*counts) }
            }
            Self::Proven { because } => Line::new(Info, "proven", "proven").because(because),
            Self::Unhealthy { because } => Line::new(Warning, "unhealthy", "unhealthy").because(because),
            Self::RollbackStarted { from, because } => {
                Line { from: *from, ..Line::new(Warning, "rollback-started", "rolling back").because(because) }
            }
            Self::RollbackFinished { except, because } => {
                let line = Line::new(Warning, "rollback-finished", "rolled back").because(because);
                match except.first() {
                    None => line,
                    Some(key) => Line { about: Some(key), message: "rolled back except", ..line.keys(except.len() as u64) },
                }
            }
            Self::Superseded => Line::new(Info, "superseded", "a newer commit took its place"),
            Self::Held { phase, because } => Line::new(Warning, "held", "held").word(phase.word()).because(because),
            Self::Frozen { because } => {
                Line::new(Error, "frozen", "frozen: a person must act (lockstep release)").because(because)
            }
            Self::HeadNotFollowed { verdict, because } => {
                Line::new(Warning, "head-not-followed", "the branch head is not followed").word(verdict.word()).because(because)
            }
            Self::DriftRepaired { keys, because } => {
                Line::new(Warning, "drift-repaired", "drift was put right").keys(u64::from(*keys)).because(because)
            }
            Self::DriftReported { keys, because } => {
                Line::new(Warning, "drift-reported", "drift was left as it is").keys(u64::from(*keys)).because(because)
            }
            Self::Contested { key, because } => Line {
                about: Some(key.as_str()),
                ..Line::new(Error, "contested", "somebody else keeps changing a key").because(because)
            },
            Self::LateFailure { check, because } => Line {
                about: Some(check.as_str()),
                ..Line::new(Warning, "late-failure", "a check fails on a proven revision").because(because)
            },
            Self::LeaseGained => Line::new(Info, "lease-gained", "this controller leads now"),
            Self::LeaseReleased { because } => {
                Line::new(Info, "lease-released", "this controller gave the lease back").because(because)
            }
            Self::LeaseLost { because } => Line::new(Warning, "lease-lost", "this controller leads no longer").because(because),
            Self::Following { leader, hint } => Line {
                by: Some(leader),
                hint: Some(hint),
                ..Line::new(Info, "following", "another controller leads; standing by")
            },
            Self::RequestAnswered { verb, by, accepted, because } => {
                let message = if *accepted { "a request was carried out" } else { "a request was refused" };
                Line { by: Some(by), ..Line::new(Info, "request-answered", message).word(verb_word(verb)).because(because) }
            }
            Self::TargetRestored => Line::new(Error, "target-restored", "the target was restored from older state"),
            Self::PassFailed { kind, because, hint } => {
                Line::new(Warning, "pass-failed", "a pass failed; the next one looks again")
                    .word(kind.word())
                    .because(because)
                    .hint(hint.as_ref())
            }
        }
    }
}

impl ControllerEvent {
    pub(super) fn line(&self) -> Line<'_> {
        match self {
            Self::FetchFailed { kind, because, hint } => {
                Line::new(Level::Warning, "fetch-failed", "the config repository could not be fetched")
                    .word(kind.word())
                    .because(because)
                    .hint(hint.as_ref())
            }
            Self::ForgeFailed { kind, because, hint } => {
                Line::new(Level::Warning, "forge-failed", "the forge could not be asked or told; deploys go on")
                    .word(kind.word())
                    .because(because)
                    .hint(hint.as_ref())
            }
            Self::StatusGivenUp { because } => {
                Line::new(Level::Warning, "status-given-up", "a commit status is given up").because(because)
            }
            Self::ClockJumped { by } => {
                Line { took: Some(*by), ..Line::new(Level::Warning, "clock-jumped", "the wall clock jumped") }
            }
            Self::DeliveryRefused { forge, reason, because } => Line {
                about: Some(forge),
                ..Line::new(Level::Warning, "delivery-refused", "a webhook's delivery was refused")
                    .word(reason)
                    .because(because)
            },
            Self::SecretUnreadable { forge, because, hint } => Line {
                about: Some(forge),
                hint: Some(hint),
                ..Line::new(Level::Error, "secret-unreadable", "deliveries are refused: a webhook's secret can't be read")
                    .because(because)
            },
        }
    }
}

/// The verb as the command line has it.
pub(super) const fn verb_word(verb: &Verb) -> &'static str {
    match verb {
        Verb::RollBack { .. } => "rollback",
        Verb::Release { .. } => "release",
        Verb::Suspend { .. } => "suspend",
        Verb::Resume => "resume",
        Verb::OverwriteDrift => "overwrite-drift",
    }
}
