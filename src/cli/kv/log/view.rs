//! What `kv log` shows: for people one timeline, for programs the versions and, beside them, what the branch has no more.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::attempts::Attempts;
use super::timeline::{Block, Mark, Says, timeline};
use crate::cli::output::{Page, View};
use crate::cli::text::{clean, count, moment, when};
use crate::cli::value::{Value, line};
use crate::domain::desired::Problem;
use crate::domain::name::EnvironmentName;
use crate::domain::past::{Held, Version};
use crate::domain::revision::{Revision, ValueDigest};
use crate::domain::time::Timestamp;

/// People are told so many moves, and so many commits that were invalid, of one version.
const SHOWN: usize = 3;

/// What a value is shown as.
pub(super) fn value(held: &Held, hidden: bool) -> Value {
    match &held.bytes {
        _ if hidden => Value::hidden(false),
        Some(bytes) => Value::of(bytes),
        None => Value::sized(held.size, &held.digest),
    }
}

#[derive(Serialize)]
pub(super) struct Log {
    pub(super) version: u32,
    pub(super) key: String,
    pub(super) environments: Vec<Environment>,
    #[serde(skip)]
    pub(super) now: Timestamp,
}

#[derive(Serialize)]
pub(super) struct Environment {
    #[serde(rename = "environment")]
    pub(super) name: String,
    /// Newest first.
    pub(super) versions: Vec<VersionView>,
    /// There are older ones.
    pub(super) more: bool,
    /// Where there is no version: commits that could not be read, and may have had the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) invalid: Vec<Invalid>,
    /// Attempts of commits that the branch does not have any more, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) off_branch: Vec<OffBranch>,
    /// So many older such commits are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) more_off_branch: Option<NonZeroUsize>,
    /// The next page begins before the last version.
    #[serde(skip)]
    pub(super) goes_on: bool,
}

/// A commit that the environment was taken to and that is not of the branch: somebody rewrote it since.
#[derive(Serialize)]
pub(super) struct OffBranch {
    /// Newest first.
    pub(super) generations: Vec<u32>,
    pub(super) revision: String,
    /// The mirror still has the commit.
    pub(super) in_mirror: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    pub(super) live: bool,
    #[serde(skip)]
    pub(super) short: String,
    #[serde(skip)]
    pub(super) committed: Option<Timestamp>,
    #[serde(skip)]
    pub(super) says: Says,
}

#[derive(Serialize)]
pub(super) struct VersionView {
    pub(super) revision: String,
    pub(super) author: String,
    pub(super) subject: String,
    pub(super) at: String,
    /// None: this commit took the key away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Value>,
    /// Where the value stood, newest first.
    pub(super) places: Vec<PlaceView>,
    /// Names that the environment had while the key had this value, and before, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) formerly: Vec<FormerView>,
    /// The attempts that brought it live, newest first; none: nobody could say, since the target or its record is not there.
    pub(super) generations: Option<Vec<u32>>,
    /// None: likewise, or history forgot attempts of when it was there already.
    pub(super) live: Option<bool>,
    /// Commits among these that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) invalid: Vec<Invalid>,
    #[serde(skip)]
    pub(super) short: String,
    #[serde(skip)]
    pub(super) committed: Timestamp,
    #[serde(skip)]
    pub(super) digest: Option<ValueDigest>,
}

#[derive(Serialize)]
pub(super) struct PlaceView {
    /// The commit that put it there.
    pub(super) since: String,
    pub(super) file: String,
    pub(super) line: u32,
    #[serde(skip)]
    pub(super) text: String,
}

/// A name that the environment had.
#[derive(Serialize)]
pub(super) struct FormerView {
    pub(super) name: String,
    /// The commit that gave it the newer one.
    pub(super) until: String,
    #[serde(skip)]
    pub(super) short: String,
}

impl FormerView {
    pub(super) fn of(name: &EnvironmentName, until: Revision) -> Self {
        Self { name: name.to_string(), until: until.to_string(), short: until.short() }
    }
}

#[derive(Serialize)]
pub(super) struct Invalid {
    pub(super) revision: String,
    pub(super) problem: String,
}

impl Invalid {
    pub(super) fn of((revision, problem): &(Revision, Problem)) -> Self {
        Self { revision: revision.to_string(), problem: clean(&problem.to_string()) }
    }

    fn human(&self, page: &mut Page) {
        let Self { revision, problem } = self;
        let short = revision.get(..7).unwrap_or_default();
        page.line(format_args!("           {}", format!("{short} was invalid: {problem}").style(Style::new().red())));
    }
}

impl VersionView {
    pub(super) fn of(version: &Version, known: Option<&Attempts>) -> Self {
        let Version { commit, held, hidden, places, broken, generations, live } = version;
        let places = places.iter().map(|(since, place)| PlaceView {
            since: since.to_string(),
            file: place.file.to_string(),
            line: place.line,
            text: clean(&place.to_string()),
        });
        Self {
            revision: commit.revision.to_string(),
            author: clean(&commit.author),
            subject: clean(&commit.subject),
            at: moment(commit.at),
            value: held.as_ref().map(|held| value(held, *hidden)),
            places: places.collect(),
            formerly: Vec::new(),
            generations: known.map(|_| generations.iter().map(|generation| generation.number()).collect()),
            live: known.filter(|known| !generations.is_empty() || !known.may_have_forgotten(commit.at)).map(|_| *live),
            invalid: broken.iter().map(Invalid::of).collect(),
            short: commit.revision.short(),
            committed: commit.at,
            digest: held.as_ref().map(|held| held.digest),
        }
    }

    fn mark(&self) -> Mark {
        let first = self.generations.iter().flatten().min().copied();
        Mark { committed: Some(self.committed), first, says: Says::of(self.digest) }
    }

    /// With the commits beside the branch that say the same.
    fn human(&self, same: &[&OffBranch], now: Timestamp, page: &mut Page) {
        let generations = self.generations.iter().flatten().chain(same.iter().flat_map(|commit| &commit.generations));
        let generations: BTreeSet<&u32> = generations.collect();
        let generations: Vec<String> = generations.into_iter().rev().map(ToString::to_string).collect();
        let is_live = self.live.map(|live| live || same.iter().any(|commit| commit.live));
        let live = match (is_live, generations.is_empty()) {
            (Some(true), _) => format!("live since generation {}", generations.join(", before that ")),
            (Some(false), false) => format!("was live: generation {}", generations.join(", ")),
            (Some(false), true) => "never live".to_owned(),
            (None, _) => "not known whether live".to_owned(),
        };
        let style = if is_live == Some(true) { Style::new().green() } else { Style::new().dimmed() };
        let commit = self.short.style(Style::new().yellow());
        page.line(format_args!("  {commit}  {} by {}  {}", when(self.committed, now), self.author, live.style(style)));
        page.line(format_args!("           {}", self.subject.style(Style::new().dimmed())));
        match (&self.value, self.places.first()) {
            (Some(value), Some(place)) => page.line(format_args!("           {}  ({})", line(value), place.text)),
            (Some(value), None) => page.line(format_args!("           {}", line(value))),
            (None, _) => page.line("           taken away"),
        }
        for commit in same {
            commit.same(page);
        }
        for pair in self.places.windows(2).take(SHOWN) {
            let since = pair[0].since.get(..7).unwrap_or_default();
            page.line(format_args!("           moved there from {} in {since}", pair[1].text));
        }
        for FormerView { name, short, .. } in &self.formerly {
            page.line(format_args!("           the environment was called {name} until {short}"));
        }
        self.invalid.iter().take(SHOWN).for_each(|invalid| invalid.human(page));
        let untold = self.places.len().saturating_sub(SHOWN + 1) + self.invalid.len().saturating_sub(SHOWN);
        if untold > 0 {
            page.line(format_args!("           … and {untold} more such commits, which --output json has"));
        }
    }
}

impl OffBranch {
    pub(super) fn shows(&self) -> bool {
        self.value.as_ref().is_some_and(|value| !matches!(value, Value::Sensitive { .. }))
    }

    pub(super) fn hide(&mut self) {
        self.value = self.value.take().map(|_| Value::hidden(false));
    }

    fn mark(&self) -> Mark {
        Mark { committed: self.committed, first: self.generations.iter().min().copied(), says: self.says }
    }

    /// Its generations, as a sentence has them.
    fn with(&self) -> String {
        let generations: Vec<String> = self.generations.iter().map(ToString::to_string).collect();
        let plural = if generations.len() == 1 { "" } else { "s" };
        format!("generation{plural} {}", generations.join(", "))
    }

    /// As one that says what another one said already.
    fn same(&self, page: &mut Page) {
        let (short, was, with) = (&self.short, if self.live { "is" } else { "was" }, self.with());
        page.line(format_args!(
            "           {short} says the same: it {was} live with {with}, and is not on the branch any more"
        ));
    }

    /// With those after it that say the same.
    fn human(&self, same: &[&Self], now: Timestamp, page: &mut Page) {
        let was = if self.live { "is live" } else { "was live" };
        let commit = self.short.style(Style::new().yellow());
        let with = self.with();
        let made = self.committed.zip(self.author.as_ref());
        let made = made.map_or_else(String::new, |(at, author)| format!("{} by {author}  ", when(at, now)));
        page.line(format_args!("  {commit}  {made}{was} with {with}, and is not on the branch any more"));
        if let Some(subject) = &self.subject {
            page.line(format_args!("           {}", subject.style(Style::new().dimmed())));
        }
        match (&self.value, &self.place) {
            (Some(value), Some(place)) => page.line(format_args!("           {}  ({place})", line(value))),
            _ if self.in_mirror => page.line("           it does not have the key"),
            _ => page.line("           nor in the mirror: what it said is not known"),
        }
        for commit in same {
            commit.same(page);
        }
    }
}

impl Environment {
    /// Leaves the newest blocks, and besides what is live.
    pub(super) fn limit(&mut self, limit: usize) {
        let mut blocks = self.blocks();
        let is_live = |at: &usize| self.off_branch.get(*at).is_some_and(|commit| commit.live);
        let next = blocks.iter().skip(limit).find(|next| next.version.is_some() || !next.astray.iter().all(is_live));
        self.goes_on = next.is_none_or(|next| next.version.is_some());
        blocks.truncate(limit);
        let versions = blocks.iter().filter(|block| block.version.is_some()).count();
        self.more |= versions < self.versions.len();
        self.versions.truncate(versions);
        let shown: BTreeSet<usize> = blocks.into_iter().flat_map(|block| block.astray).collect();
        let before = self.off_branch.len();
        let mut at = 0..;
        self.off_branch.retain(|commit| at.next().is_some_and(|at| shown.contains(&at)) || commit.live);
        let left_out = before - self.off_branch.len() + self.more_off_branch.map_or(0, NonZeroUsize::get);
        self.more_off_branch = NonZeroUsize::new(left_out);
    }

    fn blocks(&self) -> Vec<Block> {
        let versions: Vec<Mark> = self.versions.iter().map(VersionView::mark).collect();
        let off_branch: Vec<Mark> = self.off_branch.iter().map(OffBranch::mark).collect();
        timeline(&versions, &off_branch)
    }

    fn human(&self, key: &str, now: Timestamp, page: &mut Page) {
        let Self { name, versions, more, invalid, off_branch, more_off_branch, goes_on } = self;
        page.line(format_args!("{} in {}", clean(key), name.style(Style::new().bold())));
        match (versions.as_slice(), invalid.as_slice()) {
            ([], []) if !more => page.line("  no commit of the branch had the key"),
            ([], [_, ..]) => page.line("  no commit of the branch had the key, as far as they can be read"),
            _ => {}
        }
        invalid.iter().take(SHOWN).for_each(|invalid| invalid.human(page));
        if invalid.len() > SHOWN {
            let untold = invalid.len() - SHOWN;
            page.line(format_args!("           … and {untold} more such commits, which --output json has"));
        }
        for Block { version, astray } in self.blocks() {
            let astray: Vec<&OffBranch> = astray.into_iter().filter_map(|at| off_branch.get(at)).collect();
            match (version.and_then(|at| versions.get(at)), astray.as_slice()) {
                (Some(version), same) => version.human(same, now, page),
                (None, [commit, same @ ..]) => commit.human(same, now, page),
                (None, []) => {}
            }
        }
        if let Some(more) = more_off_branch {
            let commits = count(more.get(), "older commit");
            page.line(format_args!("  … and {commits} of attempts that the branch does not have any more: --limit shows more"));
        }
        if *more {
            let next = versions.last().filter(|_| *goes_on);
            let next = next.map(|oldest| format!(", --at {}~1 goes on from here", oldest.short));
            page.line(format_args!("  … there are older ones: --limit shows more{}", next.unwrap_or_default()));
        }
    }
}

impl View for Log {
    fn human(&self, page: &mut Page) {
        for environment in &self.environments {
            environment.human(&self.key, self.now, page);
        }
    }
}
