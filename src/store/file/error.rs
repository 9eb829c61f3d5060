//! What can go wrong with files, by what the caller does about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::limits;
use crate::oci::Digest;

use super::UploadId;

/// A failure of the file half of the store.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Something else stands where a folder should.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// Where.
        path: PathBuf,
    },
    /// Renaming from one to the other is impossible, and with it the write order.
    #[error("{} and {} must be on one file system", uploads.display(), blobs.display())]
    TwoFileSystems {
        /// The folder of uploads.
        uploads: PathBuf,
        /// The folder of blobs.
        blobs: PathBuf,
    },
    /// The disk or the quota is full; writes can go on when there is room.
    #[error("no room to {action} {}", path.display())]
    Full {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Any other failure of the system.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A sync failed: what was written may be gone, and nothing may be
    /// acknowledged any more.
    #[error("sync {}; nothing is acknowledged until a restart", path.display())]
    Sync {
        /// What was to be made durable.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// An earlier sync failed, so nothing is acknowledged.
    #[error("store anything: an earlier sync failed, and only a restart can tell what is on the disk")]
    Stopped,
    /// A file is not as long as it is known to be.
    #[error("read {}: it should have {expected} bytes and has {found}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The length on record.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// The upload was sealed or dropped before.
    #[error("go on with upload {id}: it has ended")]
    Ended {
        /// Which.
        id: UploadId,
    },
    /// More bytes than a blob may have.
    #[error("take more than {} bytes in one blob", limits::BLOB_BYTES)]
    TooLarge,
}

/// Why an upload could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The bytes have another digest. Nothing was stored; the session is as
    /// it was.
    #[error("store the upload: its bytes hash to {found}")]
    Mismatch {
        /// The digest of the bytes.
        found: Digest,
    },
    /// The file system failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl FileError {
    /// Whether the process must stop acknowledging and be started again.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Sync { .. } | Self::Stopped)
    }

    /// A file that should be there and is not.
    pub fn gone(file: &super::BlobFile) -> Self {
        Self::Io { action: "open", path: file.path(), source: io::ErrorKind::NotFound.into() }
    }

    /// Whether the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether the system has no descriptor or no memory for this now, and may
    /// have one soon.
    pub fn is_exhausted(&self) -> bool {
        use rustix::io::Errno;
        let Self::Io { source, .. } = self else { return false };
        Errno::from_io_error(source).is_some_and(|errno| [Errno::MFILE, Errno::NFILE, Errno::NOMEM].contains(&errno))
    }

    /// For `map_err`: `action` on `path` failed.
    pub(in crate::store) fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action, path, source },
            io::ErrorKind::NotADirectory => Self::NotAFolder { path },
            _ => Self::Io { action, path, source },
        }
    }
}

impl SealError {
    /// Whether the process must stop acknowledging and be started again.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::File(error) if error.is_fatal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_and_is_not_fatal() {
        let from = |errno: rustix::io::Errno| FileError::on("write", Path::new("/d/x"))(errno.into());
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let error = from(errno);
            assert!(error.is_full() && !error.is_fatal(), "{error:?}");
            assert_eq!(error.to_string(), "no room to write /d/x");
        }
        let error = from(rustix::io::Errno::IO);
        assert!(!error.is_full() && !error.is_fatal());
        assert_eq!(error.to_string(), "write /d/x");
        assert!(std::error::Error::source(&error).is_some());
    }
}
