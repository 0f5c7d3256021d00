//! A new directory of files, all of it or nothing: written beside its place, made durable, renamed.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::port::{EdgeError, EdgeKind};

/// The name of this system in errors.
const SYSTEM: &str = "files";

/// A directory in the making. Dropped before [`Folder::finish`], it is removed; killed, it leaves its own place behind and
/// nothing at the other.
#[derive(Debug)]
pub struct Folder {
    beside: PathBuf,
    into: PathBuf,
    finished: bool,
}

impl Folder {
    /// Whether a directory can be made here: there is nothing, or an empty directory, and its parent exists.
    ///
    /// # Errors
    /// `Refused` when something is there.
    pub fn check(into: &Path) -> Result<(), EdgeError> {
        let operation = || format!("make the directory {}", into.display());
        let refused = |why: &str, hint: &str| {
            Err(EdgeError::new(SYSTEM, EdgeKind::Refused, operation()).because(why.to_owned()).hint(hint))
        };
        match fs::symlink_metadata(into) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(operation(), error)),
            Ok(found) if !found.is_dir() => return refused("something else has that name", "name a new directory"),
            Ok(_) => {
                if fs::read_dir(into).map_err(|error| failed(operation(), error))?.next().is_some() {
                    return refused("it is not empty", "name a new directory: nothing is ever written over");
                }
            }
        }
        let parent = parent(into);
        if !parent.is_dir() {
            return refused(&format!("there is no directory {}", parent.display()), "make it first");
        }
        if into.file_name().is_none() {
            return refused("it has no name of its own", "name a new directory, such as ../my-config");
        }
        Ok(())
    }

    /// Begins a directory that will be at `into`, readable by this user alone.
    ///
    /// # Errors
    /// As [`Folder::check`], and when nothing can be written beside it.
    pub fn begin(into: &Path) -> Result<Self, EdgeError> {
        Self::check(into)?;
        let name = into.file_name().unwrap_or_default().to_string_lossy();
        let beside = parent(into).join(format!(".{name}.partial-{}", std::process::id()));
        let operation = format!("make the directory {}", beside.display());
        let made = DirBuilder::new().mode(0o700).create(&beside);
        made.map_err(|error| failed(operation, error).hint("an import that was killed may have left it: remove it"))?;
        Ok(Self { beside, into: into.to_owned(), finished: false })
    }

    /// Where the files are until it is finished.
    #[must_use]
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Writes a new file at a relative path whose segments are ordinary names.
    ///
    /// # Errors
    /// When the path leads out of the directory, something is there already, or the file system refuses.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), EdgeError> {
        let operation = || format!("write {}", self.into.join(path).display());
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(EdgeError::new(SYSTEM, EdgeKind::Refused, operation()).because("its path leads elsewhere"));
        }
        let place = self.beside.join(path);
        let directory = parent(&place);
        let written =
            fs::create_dir_all(directory).and_then(|()| File::create_new(&place)).and_then(|mut file| file.write_all(bytes));
        written.map_err(|error| failed(operation(), error))
    }

    /// Puts the directory in its place.
    ///
    /// # Errors
    /// When something came there meanwhile, or the file system refuses.
    pub fn finish(mut self) -> Result<(), EdgeError> {
        let operation = format!("put the directory {} in its place", self.into.display());
        let put = File::open(&self.beside)
            .and_then(|directory| Ok(rustix::fs::syncfs(&directory)?))
            .and_then(|()| fs::rename(&self.beside, &self.into));
        put.map_err(|error| {
            let taken = [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::AlreadyExists, io::ErrorKind::NotADirectory];
            if !taken.contains(&error.kind()) {
                return failed(operation.clone(), error);
            }
            EdgeError::new(SYSTEM, EdgeKind::Refused, operation.as_str())
                .because("something else came there meanwhile")
                .hint("name a new directory: nothing is ever written over")
        })?;
        File::open(parent(&self.into)).and_then(|parent| parent.sync_all()).map_err(|error| failed(operation, error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.beside);
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(operation: String, error: io::Error) -> EdgeError {
    EdgeError::new(SYSTEM, EdgeKind::Refused, operation).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_there_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let into = home.path().join("new");
        let folder = Folder::begin(&into).unwrap();
        folder.write("a/b/c", b"1").unwrap();
        assert!(!into.exists());
        drop(folder);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        fs::create_dir(&into).unwrap();
        let folder = Folder::begin(&into).unwrap();
        folder.write("a/b/c", b"1").unwrap();
        folder.finish().unwrap();
        assert_eq!(fs::read(into.join("a/b/c")).unwrap(), b"1");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        let error = Folder::begin(&into).unwrap_err();
        assert!(error.chain().contains("it is not empty"), "{}", error.chain());
    }

    #[test]
    fn of_two_at_once_the_second_to_finish_is_refused_and_nothing_is_lost() {
        let home = tempfile::tempdir().unwrap();
        let into = home.path().join("new");
        let late = Folder::begin(&into).unwrap();
        late.write("a", b"late").unwrap();
        // As another process finishes it.
        fs::create_dir(&into).unwrap();
        fs::write(into.join("a"), b"first").unwrap();
        let error = late.finish().unwrap_err();
        assert!(error.chain().contains("something else came there meanwhile"), "{}", error.chain());
        assert_eq!(fs::read(into.join("a")).unwrap(), b"first");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
        let late = Folder::begin(&home.path().join("file")).unwrap();
        fs::write(home.path().join("file"), b"").unwrap();
        assert!(late.finish().is_err());
        assert!(home.path().join("file").is_file());
    }

    #[test]
    fn nothing_is_written_elsewhere_or_over_anything() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::begin(&home.path().join("new")).unwrap();
        folder.write("a", b"1").unwrap();
        for path in ["a", "../x", "/x", "a/b", "x/./y", ""] {
            assert!(folder.write(path, b"2").is_err(), "{path:?}");
        }
        fs::write(home.path().join("file"), b"").unwrap();
        for into in ["file", "none/new", "."] {
            assert!(Folder::begin(&home.path().join(into)).is_err(), "{into:?}");
        }
    }
}
