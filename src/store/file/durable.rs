//! The calls that make things durable, with this folder's errors; no other file
//! of it syncs.
//!
//! A name is durable when its directory is synced, bytes when their file is.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use super::FileError;
use crate::store::medium::{Medium, OpenFile};

/// Makes the folder `path` for this user alone, unless it is there. The name
/// is durable once the parent is synced.
pub(super) fn make_folder(medium: &Medium, path: &Path) -> Result<(), FileError> {
    match medium.make_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(FileError::NotAFolder { path: path.to_owned() }),
            Err(error) => Err(FileError::on("look at", path)(error)),
        },
        made => made.map_err(FileError::on("create the folder", path)),
    }
}

/// Syncs the bytes of `file`, and of its length what is needed to read them.
/// Never call it again on a file for which it failed.
pub(super) fn sync_bytes(file: &OpenFile, path: &Path) -> Result<(), FileError> {
    file.sync_bytes().map_err(|source| FileError::Sync { path: path.to_owned(), source })
}

/// Syncs the names in the folder `path`.
pub(super) fn sync_names(medium: &Medium, path: &Path) -> Result<(), FileError> {
    Folder::open(medium, path)?.sync_names()
}

/// A folder held open, so that syncing it after a rename cannot fail for want
/// of a descriptor.
pub(super) struct Folder {
    file: File,
    path: PathBuf,
    medium: Medium,
}

impl Folder {
    /// Opens the folder `path`.
    pub(super) fn open(medium: &Medium, path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::on("open", path))?;
        Ok(Self { file, path: path.to_owned(), medium: medium.clone() })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the names in it.
    pub(super) fn sync_names(&self) -> Result<(), FileError> {
        let synced = self.medium.sync_names_of(&self.file, &self.path);
        synced.map_err(|source| FileError::Sync { path: self.path.clone(), source })
    }
}

/// Asks the disk to begin on bytes `first..end`, without waiting.
///
/// `POSIX_FADV_DONTNEED` starts the writing of dirty pages and lets go of clean
/// ones; on a range that was just written all are dirty and so stay cached.
/// (`sync_file_range`, made for this, has no safe wrapper.) It is advice: what
/// it could not do, the sync does, and an error in the writing is kept by the
/// kernel for that sync to report.
pub(super) fn begin_writeback(file: &File, first: u64, end: u64) {
    if let Some(length) = NonZeroU64::new(end.saturating_sub(first)) {
        let _advice = rustix::fs::fadvise(file, first, Some(length), rustix::fs::Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_is_fatal() {
        // A socket cannot be synced: EINVAL, the one way to a failing sync
        // without a broken disk.
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let socket = OpenFile::unwatched(File::from(std::os::fd::OwnedFd::from(socket)));
        let error = sync_bytes(&socket, Path::new("/d/x")).unwrap_err();
        assert!(error.is_fatal(), "{error:?}");
        assert!(FileError::Stopped.is_fatal());
    }

    #[test]
    fn folders_are_private_and_made_once() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("a");
        let medium = Medium::default();
        make_folder(&medium, &path).expect("made");
        make_folder(&medium, &path).expect("there already");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
        let file = root.path().join("file");
        fs::write(&file, b"").expect("written");
        assert!(matches!(make_folder(&medium, &file), Err(FileError::NotAFolder { path }) if path == file));
        assert!(matches!(make_folder(&medium, &file.join("b")), Err(FileError::NotAFolder { .. })));
    }
}
