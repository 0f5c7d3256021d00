//! Last good of each environment under a ref of the origin's, so that it outlives the branch and every mirror (rule S2,
//! `keep_refs: push`).
//!
//! Only refs below `refs/lockstep/` are written there, and that of an environment that is gone is taken away again. What is found there is brought into the mirror, at most
//! [`MOST`] refs of it, within the deadline and the limit on size of a fetch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use git2::{Direction, Oid, PushOptions, RemoteCallbacks, Repository};

use super::fault::{Said, fault, from_git};
use super::id::oid;
use super::keep::place;
use super::mirror::Origin;
use super::transport::Session;
use super::{libgit2, local};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, EdgeKind};

/// What our refs at the origin end with; one an environment.
const LAST_GOOD: &str = "last-good";
/// Where the mirror keeps what it found at the origin.
const FOUND: &str = "refs/remotes/lockstep/";
/// How long an exchange is left alone after a failure: fetches wait while it goes on.
const AGAIN: Duration = Duration::from_mins(5);
/// So many environments' refs are brought in at most.
const MOST: usize = 1_000;

/// Last good of each environment.
type Marks = BTreeMap<EnvironmentName, Revision>;

/// What this process knows of it.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// As it was last told.
    marks: Marks,
    /// What of it the origin has.
    published: Marks,
    /// Environments whose refs at the origin are to go, and under what name they go on.
    gone: BTreeMap<EnvironmentName, Option<EnvironmentName>>,
    /// What others named at the origin is in the mirror.
    brought: bool,
    /// Why the last exchange failed, and before when there is no other.
    trouble: Option<(String, Timestamp)>,
}

/// What is to be exchanged with the origin.
#[derive(Debug)]
pub(super) struct Exchange {
    bring: bool,
    publish: Marks,
    /// Environments whose refs go, after the others are there.
    take_away: Vec<EnvironmentName>,
}

impl Publishing {
    pub(super) fn mark(&mut self, environment: &EnvironmentName, last_good: Revision) {
        self.gone.remove(environment);
        self.marks.insert(environment.clone(), last_good);
    }

    /// Nothing of this environment is to be named any more; where it goes on, once its last good is named as the heir's.
    pub(super) fn forget(&mut self, environment: &EnvironmentName, heir: Option<&EnvironmentName>) {
        self.marks.remove(environment);
        self.published.remove(environment);
        self.gone.insert(environment.clone(), heir.cloned());
    }

    /// A commit is missing here: somebody may have named it at the origin meanwhile.
    pub(super) fn missed(&mut self) {
        self.brought = false;
    }

    fn news(&self) -> impl Iterator<Item = (&EnvironmentName, &Revision)> {
        self.marks.iter().filter(|(environment, revision)| self.published.get(*environment) != Some(revision))
    }

    /// Those whose refs at the origin can go now.
    fn due(&self) -> impl Iterator<Item = &EnvironmentName> {
        let is_named = |heir: &Option<EnvironmentName>| heir.as_ref().is_none_or(|heir| self.marks.contains_key(heir));
        self.gone.iter().filter(move |(_, heir)| is_named(heir)).map(|(gone, _)| gone)
    }

    pub(super) fn has_news(&self) -> bool {
        self.news().next().is_some() || self.due().next().is_some()
    }

    /// What is to be done; none mostly, and none for a while after a failure.
    pub(super) fn work(&self, now: Timestamp) -> Option<Exchange> {
        if self.trouble.as_ref().is_some_and(|(_, until)| now < *until) {
            return None;
        }
        let publish: Marks = self.news().map(|(environment, revision)| (environment.clone(), *revision)).collect();
        let take_away: Vec<EnvironmentName> = self.due().cloned().collect();
        let is_any = !self.brought || !publish.is_empty() || !take_away.is_empty();
        is_any.then_some(Exchange { bring: !self.brought, publish, take_away })
    }

    /// What came of it. A failure is told once.
    pub(super) fn note(&mut self, work: Exchange, outcome: Result<(), EdgeError>, now: Timestamp) {
        match outcome {
            Ok(()) => {
                self.brought = true;
                self.published.extend(work.publish);
                self.gone.retain(|gone, _| !work.take_away.contains(gone));
                self.trouble = None;
            }
            Err(error) => {
                let text = error.chain();
                if self.trouble.as_ref().is_none_or(|(told, _)| *told != text) {
                    tracing::warn!(error = %text, hint = error.hint, "last good can't be kept in the repository");
                }
                self.trouble = Some((text, now + AGAIN));
            }
        }
    }
}

/// Does the work: first brings in, then publishes.
pub(super) fn exchange(
    mirror: &Repository,
    session: &Arc<Session>,
    with: Origin<'_>,
    work: &Exchange,
) -> Result<(), EdgeError> {
    if work.bring {
        match with {
            Origin::Here(path) => bring_from_here(mirror, session, path)?,
            Origin::There => bring_over_network(mirror, session)?,
        }
    }
    publish(mirror, session, with, &work.publish)?;
    take_away(mirror, session, with, &work.take_away)?;
    // An exchange that was under way when they were forgotten may have brought them in again.
    work.take_away.iter().try_for_each(|environment| forget_found(mirror, environment))
}

/// The ref of an environment's last good at the origin.
fn published(environment: &EnvironmentName) -> String {
    format!("{}{LAST_GOOD}", place(environment))
}

/// Lets go of what the mirror found at the origin for an environment, or named for a push.
pub(super) fn forget_found(mirror: &Repository, environment: &EnvironmentName) -> Result<(), EdgeError> {
    let failed = |error| from_git(format!("let last good of {environment} go from the mirror"), error);
    let Some(name) = found(&published(environment)) else { return Ok(()) };
    for reference in mirror.references_glob(&name).map_err(failed)?.flatten() {
        { reference }.delete().map_err(failed)?;
    }
    Ok(())
}

/// Takes the refs of these environments away from the origin, and no others.
fn take_away(
    mirror: &Repository,
    session: &Arc<Session>,
    from: Origin<'_>,
    environments: &[EnvironmentName],
) -> Result<(), EdgeError> {
    let names: Vec<String> = environments.iter().map(published).collect();
    if names.is_empty() {
        return Ok(());
    }
    match from {
        Origin::Here(path) => {
            let failed = |error| from_git(session.operation(), error);
            let origin = local::open(path)?;
            for name in &names {
                session.go_on()?;
                for reference in origin.references_glob(name).map_err(failed)?.flatten() {
                    { reference }.delete().map_err(failed)?;
                }
            }
            Ok(())
        }
        Origin::There => {
            let there = named_there(mirror, session)?;
            let specs: Vec<String> = names.iter().filter(|name| there.contains(*name)).map(|name| format!(":{name}")).collect();
            if specs.is_empty() { Ok(()) } else { push(mirror, session, &specs) }
        }
    }
}

/// The names of the refs that the origin has.
fn named_there(mirror: &Repository, session: &Arc<Session>) -> Result<BTreeSet<String>, EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    libgit2::within(session, || {
        let mut remote = mirror.remote_anonymous(libgit2::REMOTE).map_err(failed)?;
        let connection = remote.connect_auth(Direction::Fetch, None, None).map_err(failed)?;
        Ok(connection.list().map_err(failed)?.iter().map(|head| head.name().to_owned()).collect())
    })
}

/// Names these commits at the origin, as far as the mirror has them.
fn publish(mirror: &Repository, session: &Arc<Session>, to: Origin<'_>, marks: &Marks) -> Result<(), EdgeError> {
    let marks: Vec<(String, Oid)> = marks
        .iter()
        .filter(|(_, revision)| mirror.find_commit(oid(**revision)).is_ok())
        .map(|(environment, revision)| (published(environment), oid(*revision)))
        .collect();
    if marks.is_empty() {
        return Ok(());
    }
    match to {
        Origin::Here(path) => publish_here(mirror, session, path, &marks),
        Origin::There => publish_over_network(mirror, session, &marks),
    }
}

/// The mirror's own name for a ref of ours at the origin; none for what is no such ref.
fn found(name: &str) -> Option<String> {
    let rest = name.strip_prefix(super::mirror::KEPT)?;
    rest.ends_with(&format!("/{LAST_GOOD}")).then(|| format!("{FOUND}{rest}"))
}

fn bring_from_here(mirror: &Repository, session: &Session, path: &Path) -> Result<(), EdgeError> {
    let failed = |error| from_git(session.operation(), error);
    let origin = local::open(path)?;
    let ours = format!("{}*/{LAST_GOOD}", super::mirror::KEPT);
    for reference in origin.references_glob(&ours).map_err(failed)?.flatten().take(MOST) {
        let named = reference.name().ok().and_then(found).zip(reference.target());
        let Some((name, id)) = named else { continue };
        session.go_on()?;
        if mirror.refname_to_id(&name).is_ok_and(|known| known == id) || origin.find_commit(id).is_err() {
            continue;
        }
        local::send(&origin, mirror, id, session)?;
        mirror.reference(&name, id, true, "fetch").map_err(failed)?;
    }
    Ok(())
}

fn bring_over_network(mirror: &Repository, session: &Arc<Session>) -> Result<(), EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    libgit2::within(session, || {
        let mut remote = mirror.remote_anonymous(libgit2::REMOTE).map_err(failed)?;
        let mut connection = remote.connect_auth(Direction::Fetch, None, None).map_err(failed)?;
        let named: Vec<(String, String, Oid)> = connection
            .list()
            .map_err(failed)?
            .iter()
            .filter_map(|head| Some((head.name().to_owned(), found(head.name())?, head.oid())))
            .filter(|(_, name, id)| mirror.refname_to_id(name).ok() != Some(*id))
            .take(MOST)
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let wanted: Vec<&str> = named.iter().map(|(there, ..)| there.as_str()).collect();
        libgit2::download(&mut connection, &wanted, session).map_err(failed)?;
        for (_, name, id) in &named {
            mirror.reference(name, *id, true, "fetch").map_err(failed)?;
        }
        Ok(())
    })
}

fn publish_here(mirror: &Repository, session: &Session, path: &Path, marks: &[(String, Oid)]) -> Result<(), EdgeError> {
    let failed = |error| from_git(session.operation(), error);
    let origin = local::open(path)?;
    for (name, id) in marks {
        session.go_on()?;
        if origin.refname_to_id(name).is_ok_and(|known| known == *id) {
            continue;
        }
        local::send(mirror, &origin, *id, session)?;
        origin.reference(name, *id, true, "lockstep: last good").map_err(failed)?;
    }
    Ok(())
}

fn publish_over_network(mirror: &Repository, session: &Arc<Session>, marks: &[(String, Oid)]) -> Result<(), EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    let mut specs = Vec::new();
    for (name, id) in marks {
        // libgit2 pushes what a ref of the mirror names; this one is only for that.
        let Some(here) = found(name) else { continue };
        mirror.reference(&here, *id, true, "publish").map_err(failed)?;
        specs.push(format!("+{here}:{name}"));
    }
    push(mirror, session, &specs)
}

fn push(mirror: &Repository, session: &Arc<Session>, specs: &[String]) -> Result<(), EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    let mut refused = None;
    libgit2::within(session, || {
        let mut remote = mirror.remote_anonymous(libgit2::REMOTE).map_err(failed)?;
        let mut callbacks = RemoteCallbacks::new();
        callbacks.push_update_reference(|name, status| {
            refused = refused.take().or_else(|| status.map(|status| format!("{name}: {status}")));
            Ok(())
        });
        let mut options = PushOptions::new();
        options.remote_callbacks(callbacks);
        remote.push(specs, Some(&mut options)).map_err(failed)
    })?;
    match refused {
        None => Ok(()),
        Some(text) => Err(fault(EdgeKind::Denied, session.operation())
            .because(Said(git2::Error::from_str(&text)))
            .hint("with `keep_refs: push` the token or key must be allowed to push refs/lockstep/")),
    }
}
