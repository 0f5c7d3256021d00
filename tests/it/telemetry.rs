//! Every event makes exactly one line and moves exactly one metric, and no label is free text.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep::domain::name::{CheckName, EnvironmentName, KeyPath};
use lockstep::domain::plan::{Counts, Intent};
use lockstep::domain::revision::{Generation, Revision};
use lockstep::domain::rollout::{HeadVerdict, Outcome, Phase, Verb};
use lockstep::domain::time::Timestamp;
use lockstep::port::EdgeKind;
use lockstep::server::webhooks::Refusal;
use lockstep::telemetry::{ControllerEvent, Event, LogFormat, Subject, Telemetry, subscriber};

/// A text with everything that must neither break a line nor become a label.
const EVIDENCE: &str = "free text\nwith a \"break\" and \u{1b}[31mcolour";

fn events() -> Vec<Event> {
    let because = || EVIDENCE.to_owned();
    let counts = Counts { created: 1, updated: 2, adopted: 0, deleted: 3, released: 4 };
    let from = Some(Revision::from_bytes([1; 20]));
    let key = || KeyPath::parse("config/free text").unwrap();
    let request = |verb| Event::RequestAnswered { verb, by: "someone@somewhere".into(), accepted: true, because: because() };
    vec![
        Event::RolloutStarted { intent: Intent::Advance, from, counts },
        Event::RolloutStarted { intent: Intent::Repair, from: None, counts },
        Event::Applied { counts, took: Duration::from_millis(1_500) },
        Event::Proven { because: because() },
        Event::Unhealthy { because: because() },
        Event::RollbackStarted { from, because: because() },
        Event::RollbackFinished { except: Vec::new(), because: because() },
        Event::RollbackFinished { except: vec![because()], because: because() },
        Event::Superseded,
        Event::Held { phase: Phase::HeldUnproven, because: because() },
        Event::Frozen { because: because() },
        Event::HeadNotFollowed { verdict: HeadVerdict::Refused, because: because() },
        Event::DriftRepaired { keys: 3, because: because() },
        Event::DriftReported { keys: 3, because: because() },
        Event::Contested { key: key(), because: because() },
        Event::LateFailure { check: CheckName::parse("free-text").unwrap(), because: because() },
        Event::LeaseGained,
        Event::LeaseReleased { because: because() },
        Event::LeaseLost { because: because() },
        Event::Following { leader: because(), hint: "it leads soon".to_owned() },
        request(Verb::RollBack { to: from }),
        request(Verb::Release { revision: None, lets_pass: None }),
        request(Verb::Suspend { until: Some(Timestamp::from_millis(1)) }),
        request(Verb::Resume),
        request(Verb::OverwriteDrift),
        Event::RequestAnswered { verb: Verb::Resume, by: "x".into(), accepted: false, because: because() },
        Event::TargetRestored,
        Event::PassFailed { kind: EdgeKind::Transient, because: because(), hint: None },
        Event::PassFailed { kind: EdgeKind::Denied, because: because(), hint: Some(EVIDENCE.to_owned()) },
    ]
}

fn controller_events() -> Vec<ControllerEvent> {
    vec![
        ControllerEvent::FetchFailed { kind: EdgeKind::Denied, because: EVIDENCE.to_owned(), hint: Some(EVIDENCE.to_owned()) },
        ControllerEvent::ClockJumped { by: Duration::from_secs(61) },
        ControllerEvent::DeliveryRefused { forge: "github", reason: "signature-wrong", because: "it is of another body" },
        ControllerEvent::SecretUnreadable { forge: "gitea", because: EVIDENCE.to_owned(), hint: "put it there" },
    ]
}

/// The stable name of each event. A new one doesn't compile here until it has a name, and the list above is then held to
/// contain it.
const fn name(event: &Event) -> &'static str {
    match event {
        Event::RolloutStarted { .. } => "rollout-started",
        Event::Applied { .. } => "applied",
        Event::Proven { .. } => "proven",
        Event::Unhealthy { .. } => "unhealthy",
        Event::RollbackStarted { .. } => "rollback-started",
        Event::RollbackFinished { .. } => "rollback-finished",
        Event::Superseded => "superseded",
        Event::Held { .. } => "held",
        Event::Frozen { .. } => "frozen",
        Event::HeadNotFollowed { .. } => "head-not-followed",
        Event::DriftRepaired { .. } => "drift-repaired",
        Event::DriftReported { .. } => "drift-reported",
        Event::Contested { .. } => "contested",
        Event::LateFailure { .. } => "late-failure",
        Event::LeaseGained => "lease-gained",
        Event::LeaseReleased { .. } => "lease-released",
        Event::LeaseLost { .. } => "lease-lost",
        Event::Following { .. } => "following",
        Event::RequestAnswered { .. } => "request-answered",
        Event::TargetRestored => "target-restored",
        Event::PassFailed { .. } => "pass-failed",
    }
}

const NAMES: usize = 21;

fn subject() -> Subject {
    Subject {
        environment: EnvironmentName::parse("production").unwrap(),
        revision: Some(Revision::from_bytes([0xab; 20])),
        generation: Generation::new(42),
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log lines that `report` writes.
fn lines(format: LogFormat, report: impl FnOnce()) -> Vec<String> {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = subscriber(format, "trace", false, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, report);
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Every metric with its labels and value; the parts of a histogram count as one.
fn metrics(telemetry: &Telemetry) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in telemetry.metrics().encode().unwrap().lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        let labels =
            labels.trim_end_matches('}').split(',').filter(|label| !label.starts_with("le=")).collect::<Vec<_>>().join(",");
        found.entry(format!("{name}{{{labels}}}")).or_default().push(value.to_owned());
    }
    found
}

/// Exactly one line, exactly one metric.
#[track_caller]
fn check(telemetry: &Telemetry, report: impl Fn()) -> serde_json::Value {
    let before = metrics(telemetry);
    let written = lines(LogFormat::Json, &report);
    let after = metrics(telemetry);
    assert_eq!(written.len(), 1, "{written:#?}");
    let moved: Vec<&String> =
        after.iter().filter(|(series, value)| before.get(*series) != Some(value)).map(|(series, _)| series).collect();
    assert_eq!(moved.len(), 1, "{moved:?} moved with {}", written[0]);
    serde_json::from_str(&written[0]).unwrap()
}

#[test]
fn each_event_is_one_line_and_one_metric() {
    let telemetry = Telemetry::new();
    let mut names = BTreeSet::new();
    for event in events() {
        let line = check(&telemetry, || telemetry.emit(&subject(), &event));
        assert_eq!(line["event"], name(&event));
        assert_eq!((&line["environment"], &line["generation"]), (&"production".into(), &42.into()), "{line}");
        assert_eq!(line["revision"], "ab".repeat(20), "{line}");
        let failed = if let Event::PassFailed { hint, .. } = &event { hint.as_deref() } else { None };
        let hint = failed.or_else(|| matches!(event, Event::Following { .. }).then_some("it leads soon"));
        assert_eq!(line["hint"].as_str(), hint, "{line}");
        names.insert(name(&event));
    }
    assert_eq!(names.len(), NAMES, "an event is missing from the list");
    for event in controller_events() {
        let line = check(&telemetry, || telemetry.emit_controller(&event));
        assert!(line["environment"].is_null(), "{line}");
        let hinted = matches!(event, ControllerEvent::FetchFailed { .. } | ControllerEvent::SecretUnreadable { .. });
        assert_eq!(line["hint"].is_string(), hinted, "{line}");
    }
}

#[test]
fn no_label_is_free_text() {
    let telemetry = Telemetry::new();
    for event in &events() {
        telemetry.emit(&subject(), event);
    }
    for event in &controller_events() {
        telemetry.emit_controller(event);
    }
    telemetry.metrics().in_phase(&subject().environment, Phase::Steady);
    telemetry.metrics().pass_succeeded(&subject().environment, Timestamp::from_millis(1_700_000_000_500));
    let kinds = [EdgeKind::Transient, EdgeKind::Conflict, EdgeKind::Refused, EdgeKind::NotFound, EdgeKind::Denied];
    let closed: BTreeSet<&str> =
        ["production", "gained", "released", "lost", "following", "repaired", "reported", "carried-out", "refused"]
            .into_iter()
            .chain(["rollback", "release", "suspend", "resume", "overwrite-drift"])
            .chain(Phase::ALL.map(Phase::word))
            .chain(Outcome::ALL.map(Outcome::word))
            .chain(Intent::ALL.map(Intent::word))
            .chain(HeadVerdict::ALL.map(HeadVerdict::word))
            .chain(kinds.map(EdgeKind::word))
            .chain(["github", "gitea", "accepted"])
            .chain(Refusal::ALL.map(Refusal::word))
            .chain(events().iter().map(name))
            .collect();
    let mut seen = 0;
    for series in metrics(&telemetry).keys() {
        let labels = series.split_once('{').unwrap().1.trim_end_matches('}');
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (_, value) = label.split_once('=').unwrap();
            assert!(closed.contains(value.trim_matches('"')), "{series} has a free label {value}");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} labels were looked at");
    let text = telemetry.metrics().encode().unwrap();
    assert!(text.contains("lockstep_env_last_success_timestamp_seconds{environment=\"production\"} 1700000000"), "{text}");
    assert!(text.contains("lockstep_env_phase{environment=\"production\",phase=\"steady\"} 1"), "{text}");
}

#[test]
fn a_human_line_stays_one_line_whatever_the_evidence_says() {
    let telemetry = Telemetry::new();
    for event in events() {
        let written = lines(LogFormat::Human, || telemetry.emit(&subject(), &event));
        assert_eq!(written.len(), 1, "{written:#?}");
        assert!(!written[0].contains('\u{1b}'), "{written:?} moves the terminal");
        assert!(written[0].contains("environment=\"production\""), "{written:?}");
    }
}

#[test]
fn a_filter_that_is_none_is_refused() {
    assert!(subscriber(LogFormat::Human, "lockstep=loud", false, io::sink).is_err());
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    assert!("xml".parse::<LogFormat>().is_err());
}
