//! What a failed file operation means to the loop: its kind, and what a person can do.

use std::io;
use std::path::Path;

use crate::port::{EdgeError, EdgeKind};

/// The name of this system in errors and metrics.
pub(super) const SYSTEM: &str = "directory";

/// A failure of this kind with a text as its cause.
pub(super) fn fault(kind: EdgeKind, operation: impl Into<String>, because: impl Into<String>) -> EdgeError {
    EdgeError::new(SYSTEM, kind, operation).because(because.into())
}

/// Turns a failed file operation into the error of the operation that needed it.
pub(super) trait During<T> {
    /// `operation` names what was being done: "read the record of".
    fn during(self, operation: &str, path: &Path) -> Result<T, EdgeError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, operation: &str, path: &Path) -> Result<T, EdgeError> {
        self.map_err(|error| of_io(error, operation, path))
    }
}

/// The error of an operation whose file operation failed.
pub(super) fn of_io(error: io::Error, operation: &str, path: &Path) -> EdgeError {
    let (kind, hint) = meaning(error.kind());
    let fault = EdgeError::new(SYSTEM, kind, format!("{operation} {}", path.display())).because(error);
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's list grows; what is not listed may pass")]
fn meaning(kind: io::ErrorKind) -> (EdgeKind, Option<&'static str>) {
    use io::ErrorKind as Io;
    match kind {
        Io::StorageFull | Io::QuotaExceeded => (EdgeKind::Transient, Some("free some space on that file system")),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            (EdgeKind::Denied, Some("let the user that lockstep runs as write to that directory"))
        }
        Io::NotFound => (EdgeKind::NotFound, None),
        Io::NotADirectory | Io::IsADirectory | Io::AlreadyExists => {
            (EdgeKind::Refused, Some("something that lockstep did not make is in the way; move it"))
        }
        Io::InvalidInput | Io::InvalidData | Io::InvalidFilename => (EdgeKind::Refused, None),
        _ => (EdgeKind::Transient, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, errno: i32, expected: EdgeKind) {
        let error = of_io(io::Error::from_raw_os_error(errno), "build version", Path::new("/live/versions/7"));
        assert_eq!(error.kind, expected, "{name}: {}", error.chain());
        assert!(error.to_string().starts_with("directory: build version /live/versions/7"), "{error}");
    }

    #[test]
    fn a_full_disk_may_pass_and_a_forbidden_one_does_not() {
        for (name, errno, expected) in [
            ("ENOSPC", 28, EdgeKind::Transient),
            ("EDQUOT", 122, EdgeKind::Transient),
            ("EIO", 5, EdgeKind::Transient),
            ("EMFILE", 24, EdgeKind::Transient),
            ("EACCES", 13, EdgeKind::Denied),
            ("EPERM", 1, EdgeKind::Denied),
            ("EROFS", 30, EdgeKind::Denied),
            ("ENOENT", 2, EdgeKind::NotFound),
            ("ENOTDIR", 20, EdgeKind::Refused),
            ("EEXIST", 17, EdgeKind::Refused),
            ("ENAMETOOLONG", 36, EdgeKind::Refused),
        ] {
            check(name, errno, expected);
        }
    }
}
