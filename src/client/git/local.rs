//! Fetches from a repository on this machine: objects go from one object store to the other.
//!
//! libgit2's own local transport packs every branch of the origin each time and can't be stopped; here only what the
//! followed branch needs is packed, and every step looks at the deadline.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use git2::{ErrorCode, Oid, PackBuilder, Repository, RepositoryOpenFlags};

use super::fault::{fault, from_git};
use super::id::revision;
use super::packs;
use super::proposed::{Found, proposals};
use super::transport::Session;
use crate::port::{EdgeError, EdgeKind, Tip};

/// Opens the repository that is exactly at this path: a bare one, or a work tree's.
pub(super) fn open(path: &Path) -> Result<Repository, EdgeError> {
    let operation = || format!("open the repository {}", path.display());
    Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, std::iter::empty::<&std::ffi::OsStr>()).map_err(|error| {
        let missing = error.code() == ErrorCode::NotFound;
        let fault = from_git(operation(), error);
        if missing { fault.hint("is the path right, and is it a git repository (`git init`)?") } else { fault }
    })
}

/// Brings what `branch` of the origin needs into the mirror; nothing when it still stands at `known`.
pub(super) fn fetch(
    mirror: &Repository,
    path: &Path,
    branch: &str,
    known: Option<Oid>,
    session: &Session,
) -> Result<Found, EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    let origin = open(path)?;
    session.go_on()?;
    if origin.is_shallow() {
        return Err(fault(EdgeKind::Refused, session.operation())
            .because(format!("{} is a shallow clone", path.display()))
            .hint("run `git fetch --unshallow` there: rolling back needs the history"));
    }
    let proposals = {
        let pulls: Vec<_> = origin.references_glob("refs/pull/*").map_err(failed)?.flatten().collect();
        proposals(pulls.iter().filter_map(|pull| Some((pull.name().ok()?, pull.target()?))))
    };
    let tip = match origin.find_reference(&format!("refs/heads/{branch}")) {
        Ok(reference) => reference.peel_to_commit().map_err(failed)?.id(),
        Err(error) if error.code() == ErrorCode::NotFound => {
            // A detached HEAD is no branch, and holds commits all the same.
            let any = origin.references().map_err(failed)?.next().is_some() || origin.head().is_ok();
            let tip = if any { Tip::NoBranch(branch.to_owned()) } else { Tip::Empty };
            return Ok(Found { tip, proposals });
        }
        Err(error) => return Err(failed(error)),
    };
    if known != Some(tip) {
        if mirror.references().map_err(failed)?.next().is_none() {
            begin(&origin, mirror, session)?;
        } else {
            send(&origin, mirror, tip, session)?;
        }
    }
    Ok(Found { tip: Tip::At(revision(tip)), proposals })
}

/// The first fetch: copies the origin's packs with their indexes, as `git clone` does here, and then whatever lies elsewhere in
/// the origin. A long history has hundreds of thousands of objects: to unpack and digest all of them takes minutes, and which of
/// them the branch needs is no shorter question. Each is digested when it is read.
fn begin(origin: &Repository, mirror: &Repository, session: &Session) -> Result<(), EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    let place = mirror.path().join("objects/pack");
    let packs = packs::list(&origin.commondir().join("objects/pack"));
    for index in packs.map_err(|error| fault(EdgeKind::Transient, session.operation()).because(error))? {
        if index.with_extension("promisor").exists() {
            return Err(fault(EdgeKind::Refused, session.operation())
                .because("it is a partial clone, which lacks files of its own commits")
                .hint("clone it there without --filter"));
        }
        // The index last: a pack without one is not looked at.
        for file in [index.with_extension("pack"), index] {
            copy(&file, &place, session)?;
        }
    }
    let store = mirror.odb().map_err(failed)?;
    store.refresh().map_err(failed)?;
    let mut missing = Vec::new();
    let objects = origin.odb().map_err(failed)?;
    let listed = objects.foreach(|id| {
        if !store.exists(*id) {
            missing.push(*id);
        }
        session.go_on().map_err(|failure| session.stop(failure)).is_ok()
    });
    listed.map_err(failed)?;
    let mut pack = origin.packbuilder().map_err(failed)?;
    for id in missing {
        pack.insert_object(id, None).map_err(failed)?;
    }
    write(pack, mirror, session)
}

/// Copies one file of an object store.
fn copy(file: &Path, to: &Path, session: &Session) -> Result<(), EdgeError> {
    let io = |error: io::Error| fault(EdgeKind::Transient, session.operation()).because(error);
    let mut from = File::open(file).map_err(io)?;
    let to = to.join(file.file_name().unwrap_or_default());
    // What an interrupted fetch left behind.
    match fs::remove_file(&to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let mut to = File::options().write(true).create_new(true).mode(0o444).open(to).map_err(io)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match from.read(&mut piece).map_err(io)? {
            0 => return to.sync_all().map_err(io),
            read => {
                session.count(read)?;
                to.write_all(&piece[..read]).map_err(io)?;
            }
        }
    }
}

/// Copies a commit with all that it needs from one repository into another, but for what the other's refs reach.
pub(super) fn send(from: &Repository, to: &Repository, tip: Oid, session: &Session) -> Result<(), EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    let theirs = from.odb().map_err(failed)?;
    let mut walk = from.revwalk().map_err(failed)?;
    walk.push(tip).map_err(failed)?;
    for reference in to.references().map_err(failed)?.flatten() {
        // What a ref reaches is complete there; `from` may have forgotten it.
        if let Some(id) = reference.target().filter(|id| theirs.exists(*id)) {
            walk.hide(id).map_err(failed)?;
        }
    }
    let mut pack = from.packbuilder().map_err(failed)?;
    pack.insert_walk(&mut walk).map_err(failed)?;
    write(pack, to, session)
}

/// Packs what was chosen into the mirror.
fn write(mut pack: PackBuilder<'_>, to: &Repository, session: &Session) -> Result<(), EdgeError> {
    let failed = |error: git2::Error| session.take_failure().unwrap_or_else(|| from_git(session.operation(), error));
    if pack.object_count() == 0 {
        return Ok(());
    }
    pack.set_threads(0);
    let store = to.odb().map_err(failed)?;
    let mut writer = store.packwriter().map_err(failed)?;
    pack.foreach(|piece| {
        let counted = session.count(piece.len()).map_err(|failure| session.stop(failure));
        counted.and_then(|()| writer.write_all(piece)).is_ok()
    })
    .map_err(failed)?;
    writer.commit().map_err(failed)?;
    Ok(())
}
