//! A unix socket's path: taken over from the dead, refused to the living.
//!
//! A daemon that was killed leaves its socket file behind. The next one asks
//! whether somebody still answers on it, and replaces it only if nobody does.
//! Between asking and replacing it holds a lock on the folder, so that of two
//! daemons that start together one is refused. Nobody can connect before the
//! socket has its mode, because it listens only after that.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::limits;

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A daemon lives behind it, or is just coming up there.
    #[error("listen on {}: another daemon answers there; stop it, or choose another path", .path.display())]
    Answers {
        /// Where.
        path: PathBuf,
    },
    /// Something else lies there.
    #[error("listen on {}: a file that is no socket lies there; move it away, or choose another path", .path.display())]
    NotASocket {
        /// Where.
        path: PathBuf,
    },
    /// The system takes no path of that length.
    #[error("listen on {}: the path has {length} bytes, a socket's has at most {}; choose a shorter one", .path.display(), limits::SOCKET_PATH_BYTES)]
    PathTooLong {
        /// Where.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The system refused.
    #[error("{act} {}", .path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A path that this process listens on; dropped, it removes it.
#[derive(Debug)]
pub(super) struct SocketPath {
    path: PathBuf,
    identity: Identity,
}

/// Which file it is: what lies at the path later may be somebody else's.
/// Inodes are used again, so the time of birth is part of it.
type Identity = (u64, u64, Option<SystemTime>);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// Listens at `path` with mode 0660, in a folder that is made (0750) where
/// there is none.
pub(super) async fn bind(path: &Path) -> Result<(UnixListener, SocketPath), SocketError> {
    let length = path.as_os_str().as_bytes().len();
    if length > limits::SOCKET_PATH_BYTES {
        return Err(SocketError::PathTooLong { path: path.to_owned(), length });
    }
    let failed = |act| move |source| SocketError::Io { act, path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(failed("make the folder of"))?;
    let lock = File::open(folder).map_err(failed("open the folder of"))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(SocketError::Answers { path: path.to_owned() }),
        Err(error) => return Err(failed("lock the folder of")(error.into())),
    }
    clear(path).await?;
    let bind = || -> io::Result<(UnixListener, SocketPath)> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        let held = SocketPath { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) };
        Ok((socket.listen(BACKLOG)?, held))
    };
    bind().map_err(failed("listen on"))
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => {
                if let Err(error) = fs::remove_file(&self.path) {
                    tracing::warn!(%error, path = %self.path.display(), "the socket could not be removed");
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}

impl SocketPath {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

/// Removes what a dead daemon left at `path`.
async fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |act| move |source| SocketError::Io { act, path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("look at")(source)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path).await {
        // Nobody has it open any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("remove the old socket"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full backlog is an answer too.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SocketError::Answers { path: path.to_owned() }),
        Ok(_) => Err(SocketError::Answers { path: path.to_owned() }),
        Err(source) => Err(failed("ask who answers on")(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/admin.sock");
        let (listener, held) = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let (client, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(client.is_ok() && accepted.is_ok());
        drop(held);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_living_daemons_socket_is_refused_and_goes_on_working() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (_listener, _held) = bind(&path).await.unwrap();
        assert!(matches!(bind(&path).await, Err(SocketError::Answers { .. })));
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (listener, held) = bind(&path).await.unwrap();
        // As after kill -9: closed, but never removed.
        std::mem::forget(held);
        drop(listener);
        assert!(path.exists());
        let (_listener, _held) = bind(&path).await.unwrap();
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn two_that_start_together_do_not_both_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let lock = File::open(folder.path()).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(matches!(bind(&path).await, Err(SocketError::Answers { .. })));
        drop(lock);
        bind(&path).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "keep me").unwrap();
        assert!(matches!(bind(&path).await, Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "keep me");
        let long = folder.path().join("x".repeat(limits::SOCKET_PATH_BYTES));
        assert!(matches!(bind(&long).await, Err(SocketError::PathTooLong { .. })));
    }

    #[tokio::test]
    async fn a_successors_socket_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (listener, held) = bind(&path).await.unwrap();
        drop(listener);
        let (_listener, _successor) = bind(&path).await.unwrap();
        drop(held);
        UnixStream::connect(&path).await.unwrap();
    }
}
