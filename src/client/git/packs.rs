//! Keeps the mirror's packs few: every fetch adds one, and each lookup asks them all.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use git2::Repository;

use super::fault::{fault, from_git};
use super::transport::Session;
use crate::port::{EdgeError, EdgeKind};

/// From this number of small packs on they are made one.
const MANY: usize = 32;
/// A pack from this size on is left as it is: rewriting it costs more than it saves.
const LARGE: u64 = 4 << 20;

/// Makes one pack of the small ones when there are many. No object is lost, reachable or not.
pub(super) fn tidy(mirror: &Repository, session: &Session, doors: &RwLock<()>) -> Result<(), EdgeError> {
    let operation = || format!("tidy the packs of the mirror {}", mirror.path().display());
    let io = |error: std::io::Error| fault(EdgeKind::Transient, operation()).because(error);
    let failed = |error: git2::Error| from_git(operation(), error);
    let home = mirror.path().join("objects/pack");
    let before = list(&home).map_err(io)?;
    let mut small = before.clone();
    small.retain(|index| fs::metadata(index.with_extension("pack")).is_ok_and(|pack| pack.len() < LARGE));
    if small.len() < MANY {
        return Ok(());
    }

    // A repository of nothing but these packs tells which objects they hold.
    let aside = set_aside(mirror).map_err(io)?;
    let view = Repository::init_bare(&aside.0).map_err(failed)?;
    for index in &small {
        for file in [index.clone(), index.with_extension("pack")] {
            fs::hard_link(&file, aside.0.join("objects/pack").join(file.file_name().unwrap_or_default())).map_err(io)?;
        }
    }
    let mut builder = view.packbuilder().map_err(failed)?;
    builder.set_threads(0);
    let mut ids = Vec::new();
    view.odb()
        .map_err(failed)?
        .foreach(|id| {
            ids.push(*id);
            true
        })
        .map_err(failed)?;
    for id in ids {
        builder.insert_object(id, None).map_err(failed)?;
    }
    let store = mirror.odb().map_err(failed)?;
    let mut writer = store.packwriter().map_err(failed)?;
    builder.foreach(|piece| session.go_on().is_ok() && writer.write_all(piece).is_ok()).map_err(failed)?;
    writer.commit().map_err(failed)?;
    drop(writer);
    if list(&home).map_err(io)?.iter().all(|index| before.contains(index)) {
        // One of the small packs held everything, so it is the new one: leave well alone.
        return Ok(());
    }
    // Nobody may be between finding an object in a pack and opening that pack.
    let _alone = doors.write().unwrap_or_else(PoisonError::into_inner);
    // The index goes first, since a pack without one is not looked at.
    for index in &small {
        fs::remove_file(index).map_err(io)?;
        fs::remove_file(index.with_extension("pack")).map_err(io)?;
    }
    store.refresh().map_err(failed)
}

/// The indexes of all packs.
pub(super) fn list(home: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut packs = Vec::new();
    for entry in fs::read_dir(home)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("idx")) {
            packs.push(path);
        }
    }
    Ok(packs)
}

/// A directory that is gone when this is.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // Left behind it is only in the way of the next tidying, which clears it first.
        fs::remove_dir_all(&self.0).ok();
    }
}

fn set_aside(mirror: &Repository) -> std::io::Result<Aside> {
    let aside = Aside(mirror.path().join("tidying"));
    match fs::remove_dir_all(&aside.0) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(aside),
    }
}
