//! The record, history, requests and answers as files below `.lockstep/`, each of mode 0600.
//!
//! **One rename moves everything.** The file `record` holds the record together with the history lines and answers of its
//! last move, and renaming it into place is the move. Only then are the lines copied to `history/<generation>` and
//! `answers/<id>`; readers look at both, and whoever moves the record next makes up for copies that a crash prevented
//! before it replaces them. So a crash at any point leaves a move wholly done or not done, and copying twice changes nothing.
//!
//! `record` is JSON lines: `{"v":1,"sequence":N,"history":H,"answers":A}`, the record, then H lines and A answers. The
//! sequence grows by one a move and is the record's fence.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::{Dir, LEFTOVER};
use crate::client::wire;
use crate::domain::revision::Generation;
use crate::domain::rollout::{Answer, HistoryLine, Request, RequestId, Retention, Rollout, Save};
use crate::domain::time::Timestamp;

/// Only the user that lockstep runs as reads its state.
pub(super) const PRIVATE: u32 = 0o600;
/// The directory of it.
pub(super) const PRIVATE_DIR: u32 = 0o700;
/// The name of the state directory.
pub(super) const STATE: &str = ".lockstep";

pub(super) const RECORD: &str = "record";
const HISTORY: &str = "history";
const REQUESTS: &str = "requests";
const ANSWERS: &str = "answers";

/// Bytes of the longest line, request or answer that is read.
const LONGEST_SMALL: usize = 64 << 10;
/// Requests that are looked at in one go; the others wait.
const MOST_REQUESTS: usize = 1_000;
/// Nobody needs so long to write a request.
const LONGEST_WRITE: Duration = Duration::from_hours(1);

/// Why state can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    /// A file operation failed.
    #[error("a file of the state can't be used")]
    Io(#[from] io::Error),
    /// A file does not hold what it should.
    #[error(transparent)]
    Wire(#[from] wire::WireError),
    /// The record's file is damaged.
    #[error(
        "the record's file is damaged: {0}; restore `.lockstep/record` from a backup, or move `.lockstep` away and begin anew"
    )]
    Damaged(String),
    /// The record is not as it was when it was read.
    #[error("the record has moved: it is at {found}, and this move is based on {expected}")]
    Moved {
        /// The sequence it has.
        found: u64,
        /// The sequence that was named.
        expected: u64,
    },
    /// A line that should be created exists.
    #[error("history has a line for generation {0} already")]
    LineExists(Generation),
}

/// The record's file, read.
#[derive(Debug)]
pub(super) struct Journal {
    /// The record's fence.
    pub sequence: u64,
    /// The record.
    pub record: Rollout,
    /// The history lines of its last move.
    pub history: Vec<HistoryLine>,
    /// The answers of its last move.
    pub answers: Vec<Answer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    v: u32,
    sequence: u64,
    history: usize,
    answers: usize,
}

impl Journal {
    fn to_bytes(sequence: u64, save: &Save) -> Vec<u8> {
        let Save { record, opens: _, history, answers } = save;
        let header = Header { v: wire::VERSION, sequence, history: history.len(), answers: answers.len() };
        let lines = [serde_json::to_vec(&header).unwrap_or_default(), wire::record_to_json(record)]
            .into_iter()
            .chain(history.iter().map(wire::history_to_json))
            .chain(answers.iter().map(wire::answer_to_json));
        lines.flat_map(|line| line.into_iter().chain([b'\n'])).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let damaged = |why: &str| StateError::Damaged(why.to_owned());
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let mut next = || lines.next().and_then(|line| line.strip_suffix(b"\n")).ok_or_else(|| damaged("it was cut short"));
        let header: Header = serde_json::from_slice(next()?).map_err(|error| damaged(&error.to_string()))?;
        if header.v != wire::VERSION {
            return Err(damaged(&format!("its format is version {}; run the lockstep that wrote it", header.v)));
        }
        let record = wire::record_from_json(next()?)?;
        let history = (0..header.history).map(|_| Ok(wire::history_from_json(next()?)?)).collect::<Result<_, StateError>>()?;
        let answers = (0..header.answers).map(|_| Ok(wire::answer_from_json(next()?)?)).collect::<Result<_, StateError>>()?;
        if lines.next().is_some() {
            return Err(damaged("it holds more than it says"));
        }
        Ok(Self { sequence: header.sequence, record, history, answers })
    }
}

/// The state directory.
#[derive(Debug)]
pub(super) struct State(pub(super) Dir);

impl State {
    /// Makes the directories that are missing.
    pub(super) fn make(root: &Dir) -> io::Result<Self> {
        let state = root.make_sub(STATE, PRIVATE_DIR)?;
        for name in [HISTORY, REQUESTS, ANSWERS] {
            state.make_sub(name, PRIVATE_DIR)?;
        }
        state.sync()?;
        root.sync()?;
        Ok(Self(state))
    }

    /// Opens it.
    pub(super) fn open(root: &Dir) -> io::Result<Self> {
        root.sub(STATE).map(Self)
    }

    /// The record's file; none when there is no record.
    pub(super) fn journal(&self) -> Result<Option<Journal>, StateError> {
        self.0.read(RECORD, 4 * wire::LONGEST)?.map(|bytes| Journal::from_bytes(&bytes)).transpose()
    }

    /// Writes the first record, with the lines of history that come with it; `AlreadyExists` when there is one.
    pub(super) fn begin(&self, save: &Save) -> Result<(), StateError> {
        self.0.create_whole(RECORD, &Journal::to_bytes(1, save), PRIVATE)?;
        Ok(self.copy_out(&save.history, &save.answers)?)
    }

    /// The highest number that history has a line of, whether or not that can be read.
    pub(super) fn newest_number(&self) -> io::Result<Option<Generation>> {
        match self.0.sub(HISTORY) {
            Ok(dir) => Ok(generations(&dir)?.pop()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest line of history, whether or not there is a record.
    pub(super) fn newest_line(&self) -> io::Result<Option<HistoryLine>> {
        let Some(newest) = self.newest_number()? else { return Ok(None) };
        let dir = self.0.sub(HISTORY)?;
        let bytes = dir.read(newest.to_string(), LONGEST_SMALL)?;
        Ok(bytes.and_then(|bytes| wire::history_from_json(&bytes).ok()))
    }

    /// The end: requests and answers go, the last line of history is written, and then the record goes.
    pub(super) fn end(&self, line: &HistoryLine) -> io::Result<()> {
        if let Ok(Some(journal)) = self.journal() {
            self.catch_up(&journal)?;
        }
        for name in [REQUESTS, ANSWERS] {
            let dir = self.0.make_sub(name, PRIVATE_DIR)?;
            ids(&dir)?.iter().try_for_each(|id| dir.remove_file(id.as_str()))?;
        }
        self.0.make_sub(HISTORY, PRIVATE_DIR)?.replace(&line.generation.to_string(), &wire::history_to_json(line), PRIVATE)?;
        self.0.remove_file(RECORD)?;
        self.0.sync()
    }

    /// Moves the record: all of it or nothing. The caller holds the lease.
    pub(super) fn save(&self, before: &Journal, expected: u64, save: &Save) -> Result<u64, StateError> {
        if before.sequence != expected {
            return Err(StateError::Moved { found: before.sequence, expected });
        }
        self.catch_up(before)?;
        if let Some(opened) = save.opens
            && self.0.sub(HISTORY)?.stat(opened.to_string())?.is_some()
        {
            return Err(StateError::LineExists(opened));
        }
        let sequence = expected + 1;
        self.0.replace(RECORD, &Journal::to_bytes(sequence, save), PRIVATE)?;
        // The move is done. A copy that fails now is made up for before the next move, and readers don't need it.
        let copied = self.copy_out(&save.history, &save.answers);
        if let Err(error) = copied {
            tracing::warn!(%error, "history will be copied out of the record's file with its next move");
        }
        Ok(sequence)
    }

    /// Makes up for copies that a crash prevented.
    pub(super) fn catch_up(&self, journal: &Journal) -> io::Result<()> {
        self.copy_out(&journal.history, &journal.answers)
    }

    fn copy_out(&self, history: &[HistoryLine], answers: &[Answer]) -> io::Result<()> {
        let put = |dir: &Dir, name: &str, bytes: &[u8]| {
            // Nothing is written when it is there already: the ordinary case of a catch-up.
            if dir.read(name, LONGEST_SMALL).ok().flatten().as_deref() == Some(bytes) {
                Ok(())
            } else {
                dir.replace(name, bytes, PRIVATE)
            }
        };
        if !history.is_empty() {
            let lines = self.0.make_sub(HISTORY, PRIVATE_DIR)?;
            history.iter().try_for_each(|line| put(&lines, &line.generation.to_string(), &wire::history_to_json(line)))?;
        }
        if !answers.is_empty() {
            let given = self.0.make_sub(ANSWERS, PRIVATE_DIR)?;
            let requests = self.0.make_sub(REQUESTS, PRIVATE_DIR)?;
            for answer in answers {
                put(&given, answer.id.as_str(), &wire::answer_to_json(answer))?;
                requests.remove_file(answer.id.as_str())?;
            }
        }
        Ok(())
    }

    /// History, newest first. Lines that can't be read are left out with a word in the log.
    pub(super) fn history(&self, at_most: usize) -> Result<Vec<HistoryLine>, StateError> {
        // The record's file is read first: a line that it holds and that is copied out meanwhile is then seen at least once.
        let newest = self.journal()?.map(|journal| journal.history).unwrap_or_default();
        let mut lines: BTreeMap<Generation, HistoryLine> = BTreeMap::new();
        let dir = self.0.sub(HISTORY)?;
        for generation in generations(&dir)?.into_iter().rev().take(at_most) {
            match dir.read(generation.to_string(), LONGEST_SMALL)?.map(|bytes| wire::history_from_json(&bytes)) {
                Some(Ok(line)) => drop(lines.insert(generation, line)),
                Some(Err(error)) => tracing::warn!(%generation, %error, "a line of history can't be read"),
                None => {}
            }
        }
        lines.extend(newest.into_iter().map(|line| (line.generation, line)));
        Ok(lines.into_values().rev().take(at_most).collect())
    }

    /// Drops lines of history that may go (rule A5).
    pub(super) fn forget_old_lines(&self, retention: &Retention) -> io::Result<()> {
        if retention.keeps_every_line() {
            return Ok(());
        }
        let dir = self.0.sub(HISTORY)?;
        let old = retention.old_lines(generations(&dir)?);
        old.iter().try_for_each(|generation| dir.remove_file(generation.to_string()))
    }

    /// Drops answers that may go.
    pub(super) fn forget_old_answers(&self, retention: &Retention) -> io::Result<()> {
        let dir = self.0.make_sub(ANSWERS, PRIVATE_DIR)?;
        let all = ids(&dir)?;
        if retention.keeps_every_answer_of(all.len()) {
            return Ok(());
        }
        let mut by_age = Vec::with_capacity(all.len());
        for id in all {
            if let Some(stat) = dir.stat(id.as_str())? {
                by_age.push(((stat.st_mtime, stat.st_mtime_nsec), id));
            }
        }
        retention.old_answers(by_age).iter().try_for_each(|(_, id)| dir.remove_file(id.as_str()))
    }

    /// Requests without an answer, oldest first.
    pub(super) fn requests(&self) -> Result<Vec<Request>, StateError> {
        let answered = self.journal()?.map(|journal| journal.answers).unwrap_or_default();
        let dir = self.0.sub(REQUESTS)?;
        let mut requests = Vec::new();
        for id in ids(&dir)?.into_iter().take(MOST_REQUESTS) {
            if answered.iter().any(|answer| answer.id == id) {
                continue;
            }
            match dir.read(id.as_str(), LONGEST_SMALL)?.map(|bytes| wire::request_from_json(&bytes)) {
                Some(Ok(request)) if request.id == id => requests.push(request),
                Some(Ok(request)) => tracing::warn!(file = %id, id = %request.id, "a request lies under another's name"),
                Some(Err(error)) => tracing::warn!(%id, %error, "a request can't be read"),
                None => {}
            }
        }
        requests.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(requests)
    }

    /// Puts a request down; `AlreadyExists` when its id is taken.
    pub(super) fn submit(&self, request: &Request) -> Result<(), StateError> {
        if self.answer(&request.id)?.is_some() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        Ok(self.0.sub(REQUESTS)?.create_whole(request.id.as_str(), &wire::request_to_json(request), PRIVATE)?)
    }

    /// The answer to a request, if it has one.
    pub(super) fn answer(&self, id: &RequestId) -> Result<Option<Answer>, StateError> {
        let newest = self.journal()?.and_then(|journal| journal.answers.into_iter().find(|answer| answer.id == *id));
        if newest.is_some() {
            return Ok(newest);
        }
        let bytes = self.0.sub(ANSWERS)?.read(id.as_str(), LONGEST_SMALL)?;
        Ok(bytes.map(|bytes| wire::answer_from_json(&bytes)).transpose()?)
    }

    /// Removes what a crash left unfinished. Others write requests without the lease, so only old ones go.
    pub(super) fn tidy(&self, now: Timestamp) -> io::Result<()> {
        tidy(&self.0)?;
        [HISTORY, ANSWERS].into_iter().try_for_each(|name| tidy(&self.0.make_sub(name, PRIVATE_DIR)?))?;
        let requests = self.0.make_sub(REQUESTS, PRIVATE_DIR)?;
        for name in leftovers(&requests)? {
            let begun = requests.stat(&name)?.map_or(0, |stat| stat.st_mtime.saturating_mul(1_000));
            if now.since(Timestamp::from_millis(begun)) > LONGEST_WRITE {
                requests.remove_file(&name)?;
            }
        }
        Ok(())
    }
}

/// Removes files that were being written beside others.
pub(super) fn tidy(dir: &Dir) -> io::Result<()> {
    leftovers(dir)?.iter().try_for_each(|name| dir.remove_file(name))
}

fn leftovers(dir: &Dir) -> io::Result<Vec<OsString>> {
    let unfinished = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(LEFTOVER));
    Ok(dir.list()?.into_iter().map(|(name, _)| name).filter(unfinished).collect())
}

fn generations(dir: &Dir) -> io::Result<Vec<Generation>> {
    let numbers = dir.list()?.into_iter().filter_map(|(name, _)| Generation::new(name.to_str()?.parse().ok()?));
    let mut all: Vec<_> = numbers.collect();
    all.sort_unstable();
    Ok(all)
}

fn ids(dir: &Dir) -> io::Result<Vec<RequestId>> {
    Ok(dir.list()?.into_iter().filter_map(|(name, _)| RequestId::parse(name.to_str()?)).collect())
}
