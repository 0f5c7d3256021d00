//! Plans as they are printed; the structured form is version 1 and stable.

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::output::{Page, Told, View};
use crate::cli::text::{clean, count};
use crate::cli::value::{Value, difference};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::plan;

/// The plans of one revision.
#[derive(Serialize)]
pub(super) struct Plans {
    pub(super) version: u32,
    pub(super) repository: String,
    pub(super) revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    pub(super) environments: Vec<Environment>,
    #[serde(skip)]
    pub(super) full: bool,
}

/// What became of the plan of one environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Nothing to do.
    InStep,
    /// Something differs.
    Changes,
    /// The revision does not have the environment.
    Retired,
    /// The revision can't be read for it, or be gone to.
    Invalid,
    /// It could not be planned.
    Failed,
    /// Its target could not be reached.
    Unreachable,
}

/// The plan of one environment.
#[derive(Serialize)]
pub(super) struct Environment {
    #[serde(rename = "environment")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    pub(super) state: State,
    pub(super) initialised: bool,
    pub(super) first_deploy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// An attempt whose writes are not over, which goes on before the revision can be gone to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<First>,
    pub(super) counts: Counts,
    pub(super) changes: Vec<ChangeView>,
    pub(super) obstacles: Vec<Obstacle>,
    pub(super) strays: Vec<String>,
    /// Keys that it drops, and that somebody wrote over: they stay.
    pub(super) unmanaged: Vec<String>,
    pub(super) drifted: Vec<String>,
    pub(super) unmanageable: Vec<String>,
    pub(super) foreign: Foreign,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<Refusal>,
    /// Limits that count from the revision after this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) loosened: Vec<String>,
    /// Trailers that say nothing, each with why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) misread: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Told>,
    /// What says more, where the revision can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    #[serde(skip)]
    pub(super) novelty: Novelty,
    /// What makes the record where there is none.
    #[serde(skip)]
    pub(super) record_by: String,
}

/// What the revision says that the one before did not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    /// Nothing: the environment is in step with it.
    Nothing,
    /// The same of every key, and something else of checks or policy.
    Judgement,
    /// Something else of keys.
    Keys,
}

/// What is written before the revision can be gone to.
#[derive(Serialize)]
pub(super) struct First {
    pub(super) intent: &'static str,
    pub(super) revision: String,
    /// Why nothing of it is written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits: Option<String>,
    pub(super) counts: Counts,
    pub(super) changes: Vec<ChangeView>,
}

/// Why the plan would not be carried out.
#[derive(Serialize)]
pub(super) struct Refusal {
    pub(super) verdict: &'static str,
    pub(super) text: String,
}

/// Keys below the roots that are neither ours nor wanted. There may be very many, and a reader wants to know that there are.
#[derive(Debug, Default, Serialize)]
pub(super) struct Foreign {
    /// How many.
    count: usize,
    /// The first of them.
    some: Vec<String>,
}

impl Foreign {
    /// So many are named.
    const NAMED: usize = 5;

    /// All of these, in their order.
    pub(super) fn of<'a>(mut keys: impl Iterator<Item = &'a KeyPath>) -> Self {
        let some: Vec<String> = keys.by_ref().take(Self::NAMED).map(ToString::to_string).collect();
        Self { count: some.len() + keys.count(), some }
    }

    fn human(&self, page: &mut Page) {
        let Self { count: number, some } = self;
        if some.is_empty() {
            return;
        }
        let more = number - some.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let text = format!("unmanaged, left alone: {}: {}{more}", count(*number, "key"), some.join(", "));
        page.line(format_args!("  {}", text.style(Style::new().dimmed())));
    }
}

/// How many changes of each kind.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Counts {
    created: u32,
    updated: u32,
    adopted: u32,
    deleted: u32,
    released: u32,
}

impl Counts {
    /// `2 to create, 1 to delete`; none where nothing changes.
    fn said(self) -> Option<String> {
        let Self { created, updated, adopted, deleted, released } = self;
        let parts = [
            ("to create", created),
            ("to update", updated),
            ("to adopt", adopted),
            ("to delete", deleted),
            ("to release", released),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(_, number)| *number > 0).map(|(what, number)| format!("{number} {what}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl First {
    fn headline(&self) -> String {
        let short = self.revision.get(..7).unwrap_or(&self.revision);
        let counts = self.counts.said().unwrap_or_else(|| "no key changes".to_owned());
        format!("{counts} by the {} to {short}, which goes first", self.intent)
    }
}

impl From<plan::Counts> for Counts {
    fn from(counts: plan::Counts) -> Self {
        let plan::Counts { created, updated, adopted, deleted, released } = counts;
        Self { created, updated, adopted, deleted, released }
    }
}

/// One change.
#[derive(Serialize)]
pub(super) struct ChangeView {
    pub(super) key: String,
    pub(super) action: ActionWord,
    pub(super) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Value>,
}

/// What is done to a key.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ActionWord {
    Create,
    Update,
    Adopt,
    Delete,
    Release,
}

impl From<plan::Action> for ActionWord {
    fn from(action: plan::Action) -> Self {
        match action {
            plan::Action::Create => Self::Create,
            plan::Action::Update => Self::Update,
            plan::Action::Adopt => Self::Adopt,
            plan::Action::Delete => Self::Delete,
            plan::Action::Release => Self::Release,
        }
    }
}

/// A key that is in the way.
#[derive(Serialize)]
pub(super) struct Obstacle {
    pub(super) key: String,
    pub(super) kind: ObstacleWord,
    pub(super) why: String,
}

/// Why a key is in the way, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ObstacleWord {
    /// It is there with the same value, and `lockstep adopt` takes it over.
    Adoptable,
    /// It is there with another value.
    Differing,
    /// It is there with another program's flags.
    Flagged,
    /// Another environment's mark is on it.
    Owned,
    /// It was changed by hand, and that is only reported.
    Drifted,
    /// It can't be read.
    Hidden,
    /// It is left for now.
    Left,
    /// The target can't hold it.
    Unfit,
}

impl From<plan::ObstacleKind> for ObstacleWord {
    fn from(kind: plan::ObstacleKind) -> Self {
        match kind {
            plan::ObstacleKind::Adoptable => Self::Adoptable,
            plan::ObstacleKind::Differing => Self::Differing,
            plan::ObstacleKind::Flagged => Self::Flagged,
            plan::ObstacleKind::Owned(_) => Self::Owned,
            plan::ObstacleKind::Drifted => Self::Drifted,
            plan::ObstacleKind::Hidden => Self::Hidden,
            plan::ObstacleKind::Left => Self::Left,
            plan::ObstacleKind::Unfit => Self::Unfit,
        }
    }
}

impl Obstacle {
    /// As people read them: what `adopt` takes over apart from what it does not.
    const GROUPS: [(&str, Style, &[ObstacleWord]); 3] = [
        ("in the way until they are adopted", Style::new().cyan(), &[ObstacleWord::Adoptable]),
        ("in the way, with another value", Style::new().yellow(), &[ObstacleWord::Differing]),
        (
            "in the way",
            Style::new().red(),
            &[
                ObstacleWord::Flagged,
                ObstacleWord::Owned,
                ObstacleWord::Drifted,
                ObstacleWord::Hidden,
                ObstacleWord::Left,
                ObstacleWord::Unfit,
            ],
        ),
    ];
}

impl Environment {
    /// Nothing known yet.
    pub(super) fn new(environment: &EnvironmentName, target: &str) -> Self {
        Self { target: Some(target.to_owned()), ..Self::empty(environment, State::InStep) }
    }

    /// It could not be planned.
    pub(super) fn failed(environment: &EnvironmentName, error: Told, unreachable: bool) -> Self {
        let state = if unreachable { State::Unreachable } else { State::Failed };
        Self { error: Some(error), ..Self::empty(environment, state) }
    }

    fn empty(environment: &EnvironmentName, state: State) -> Self {
        Self {
            name: environment.to_string(),
            target: None,
            state,
            initialised: false,
            first_deploy: false,
            from: None,
            first: None,
            counts: Counts::default(),
            changes: Vec::new(),
            obstacles: Vec::new(),
            strays: Vec::new(),
            unmanaged: Vec::new(),
            drifted: Vec::new(),
            unmanageable: Vec::new(),
            foreign: Foreign::default(),
            checks: None,
            refusal: None,
            loosened: Vec::new(),
            misread: Vec::new(),
            note: None,
            error: None,
            hint: None,
            novelty: Novelty::Keys,
            record_by: String::new(),
        }
    }
}

impl View for Plans {
    fn human(&self, page: &mut Page) {
        let short = self.revision.get(..7).unwrap_or(&self.revision);
        page.line(format_args!("{} at {short} {}", self.repository, self.subject.as_deref().unwrap_or_default()));
        for environment in &self.environments {
            page.line("");
            environment.human(self.full, page);
        }
    }
}

impl Environment {
    fn human(&self, full: bool, page: &mut Page) {
        let name = self.name.style(Style::new().bold());
        page.line(format_args!("{name}  {}", self.headline()));
        if let Some(error) = &self.error {
            error.human(page);
        }
        if let Some(note) = &self.note {
            page.line(format_args!("  {}", clean(note)));
        }
        if let Some(hint) = &self.hint {
            page.hint(hint);
        }
        if let Some(Refusal { verdict, text }) = &self.refusal {
            // A text that begins with the verdict says it well enough.
            let said = [*verdict, "waiting, frozen"].iter().any(|word| text.starts_with(word));
            let what = if said { "not applied:".to_owned() } else { format!("not applied ({verdict}):") };
            page.line(format_args!("  {} {text}", what.style(Style::new().red().bold())));
        }
        for text in self.loosened.iter().chain(&self.misread) {
            page.line(format_args!("  {}", text.style(Style::new().yellow())));
        }
        if self.state == State::Changes && !self.initialised {
            page.line(format_args!("  the target has no record of this environment yet: {} makes it", self.record_by));
        } else if self.state == State::Changes && self.first_deploy {
            page.line("  first deploy: there is nothing to roll back to until it is proven");
        }
        if self.state == State::Changes && self.checks == Some(0) {
            page.line("  no checks: proven when it was live for min_healthy_time");
        }
        if let Some(First { intent, revision, waits, changes, .. }) = &self.first {
            let short = revision.get(..7).unwrap_or(revision);
            let why = waits.as_deref().map_or_else(|| "is under way".to_owned(), |waits| format!("waits: {waits}"));
            page.line(format_args!("  {}", format!("the {intent} to {short} {why}").style(Style::new().yellow())));
            for change in changes {
                change.human(full, page);
            }
            if !self.changes.is_empty() {
                page.line("  what the revision would change of what is live now:");
            }
        }
        for change in &self.changes {
            change.human(full, page);
        }
        for (what, style, kinds) in Obstacle::GROUPS {
            let group = self.obstacles.iter().filter(|obstacle| kinds.contains(&obstacle.kind));
            let group: Vec<String> = group.map(|obstacle| format!("{} ({})", obstacle.key, obstacle.why)).collect();
            keys(what, style, group.into_iter(), page);
        }
        keys("drifted, reported only", Style::new().yellow(), self.drifted.iter().cloned(), page);
        keys("no longer managed, left as somebody wrote them", Style::new().yellow(), self.unmanaged.iter().cloned(), page);
        keys("strays, left alone", Style::new().yellow(), self.strays.iter().cloned(), page);
        keys("not manageable, left alone", Style::new().yellow(), self.unmanageable.iter().cloned(), page);
        self.foreign.human(page);
    }

    fn headline(&self) -> String {
        match self.state {
            State::InStep => format!("{}", "in step".style(Style::new().green())),
            State::Retired => "not in this revision".to_owned(),
            State::Invalid => format!("{}", "invalid".style(Style::new().red())),
            State::Failed => format!("{}", "could not be planned".style(Style::new().red())),
            State::Unreachable => format!("{}", "not reachable".style(Style::new().red())),
            State::Changes => {
                let own = match (self.counts.said(), self.novelty) {
                    (Some(counts), Novelty::Nothing) => format!("{counts} (drift)"),
                    (Some(counts), _) => counts,
                    (None, Novelty::Nothing) => "drift".to_owned(),
                    // Checks or policy alone are a new revision too (rule R3).
                    (None, Novelty::Judgement) => "no key changes; checks or health policy do".to_owned(),
                    (None, Novelty::Keys) if !self.obstacles.is_empty() => "no key changes".to_owned(),
                    (None, Novelty::Keys) => "no key changes; live is already as it says".to_owned(),
                };
                match &self.first {
                    Some(first) if self.changes.is_empty() => first.headline(),
                    Some(first) => format!("{}; the revision itself: {own}", first.headline()),
                    None => own,
                }
            }
        }
    }
}

impl ChangeView {
    fn human(&self, full: bool, page: &mut Page) {
        let (sign, style) = match self.action {
            ActionWord::Create => ("+", Style::new().green()),
            ActionWord::Update => ("~", Style::new().yellow()),
            ActionWord::Adopt => ("=", Style::new().cyan()),
            ActionWord::Delete => ("-", Style::new().red()),
            ActionWord::Release => ("o", Style::new().cyan()),
        };
        let why = format!("({})", self.why);
        page.line(format_args!("  {} {}", format!("{sign} {}", self.key).style(style), why.style(Style::new().dimmed())));
        match self.action {
            ActionWord::Create | ActionWord::Update => difference(self.before.as_ref(), self.after.as_ref(), full, page),
            ActionWord::Delete => difference(self.before.as_ref(), None, full, page),
            ActionWord::Adopt | ActionWord::Release => {}
        }
    }
}

/// A list of keys under a word, cut where it gets long.
fn keys(what: &str, style: Style, keys: impl ExactSizeIterator<Item = String>, page: &mut Page) {
    const SHOWN: usize = 20;
    let number = keys.len();
    if number == 0 {
        return;
    }
    page.line(format_args!("  {}", format!("{what}: {}", count(number, "key")).style(style)));
    for key in keys.take(SHOWN) {
        page.line(format_args!("    {key}"));
    }
    if number > SHOWN {
        page.line(format_args!("    … and {} more", number - SHOWN));
    }
}
