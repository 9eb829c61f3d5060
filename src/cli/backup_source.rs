//! Where a backup comes from: a daemon that runs, over its socket or a URL, or
//! the folder of one that does not.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use serde_json::Value;
use tokio::sync::mpsc;

use super::client::Client;
use super::download::Download;
use super::error::CliError;
use super::terminal::rows;
use crate::app::key_files;
use crate::chance::Id;
use crate::lifecycle::blocking;
use crate::limits;
use crate::oci::Digest;
use crate::store::Store;
use crate::store::backup::{BackupError, BackupFolder, BackupOver, Named};
use crate::store::file::BlobReader;

/// What is backed up.
pub enum Source {
    /// A daemon is asked.
    Daemon(Client),
    /// A folder is read, which is held meanwhile.
    Folder {
        /// The store in it.
        store: Store,
        /// The folder.
        data: PathBuf,
    },
}

/// Pieces of a stream as something to read from, on a thread that may block.
pub struct Pieces {
    from: mpsc::Receiver<Bytes>,
    current: Bytes,
}

/// A file on its way.
enum Reading {
    Download(Download),
    File(Box<BlobReader>),
}

impl Source {
    /// Sends the rows of all tables, until all are sent or nobody takes them.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn send_rows(&self, folder: &BackupFolder, to: mpsc::Sender<Bytes>) -> Result<(), CliError> {
        match self {
            Self::Daemon(client) => {
                let mut download =
                    client.download(Method::POST, &format!("/api/v0/backups?folder={}", name_of(folder))).await?;
                while let Some(piece) = download.next().await? {
                    if to.send(piece).await.is_err() {
                        break;
                    }
                }
            }
            Self::Folder { store, .. } => {
                let begun = store.clone();
                let id = blocking(move || begun.begin_backup("")).await.map_err(CliError::BackupOver)?;
                loop {
                    let store = store.clone();
                    let piece = blocking(move || store.backup_rows(&id)).await.map_err(CliError::BackupOver)?;
                    let Some(piece) = piece else { break };
                    if to.send(piece).await.is_err() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Brings one file into the folder. `progress` is told of its bytes.
    ///
    /// # Errors
    /// When it cannot be had or written, or is not what its name says.
    pub async fn fetch(
        &self,
        lease: &Id,
        named: Named,
        folder: &BackupFolder,
        progress: impl Fn(u64),
    ) -> Result<(), CliError> {
        let mut reading = self.open(lease, named).await?;
        let folder = folder.clone();
        let mut incoming = blocking(move || folder.begin(named)).await.map_err(CliError::Backup)?;
        let mut gathered = BytesMut::new();
        loop {
            let piece = reading.next().await?;
            let is_last = piece.is_none();
            if let Some(piece) = piece {
                progress(piece.len() as u64);
                gathered.extend_from_slice(&piece);
            }
            if is_last || gathered.len() >= limits::BACKUP_GATHER_BYTES {
                let bytes = gathered.split();
                let written = blocking(move || incoming.write(&bytes).map(|()| incoming)).await;
                incoming = written.map_err(CliError::Backup)?;
            }
            if is_last {
                return blocking(move || incoming.finish()).await.map_err(CliError::Backup);
            }
        }
    }

    /// The key files: their names and what is in them.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn keys(&self, lease: &Id) -> Result<Vec<(String, String)>, CliError> {
        match self {
            Self::Daemon(client) => {
                let answer = client.get(&format!("/api/v0/backups/{lease}/keys")).await?;
                let text =
                    |key: &Value, part: &str| key.pointer(part).and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok(rows(&answer, "/keys").iter().map(|key| (text(key, "/name"), text(key, "/text"))).collect())
            }
            Self::Folder { data, .. } => {
                let mut keys = Vec::new();
                for (name, path) in key_files(data, None) {
                    match std::fs::read_to_string(&path) {
                        Ok(text) => keys.push((name.to_owned(), text)),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(source) => {
                            return Err(CliError::Backup(BackupError::Io { action: "read", path, source }));
                        }
                    }
                }
                Ok(keys)
            }
        }
    }

    /// Lets go of what the backup held. That it could not be told is no harm:
    /// it ends by itself.
    pub async fn end(&self, lease: &Id) {
        match self {
            Self::Daemon(client) => {
                let _ = client.delete(&format!("/api/v0/backups/{lease}")).await;
            }
            Self::Folder { store, .. } => {
                store.end_backup(lease);
            }
        }
    }

    async fn open(&self, lease: &Id, named: Named) -> Result<Reading, CliError> {
        let Named { file, size } = named;
        match self {
            Self::Daemon(client) => {
                let path = format!("/api/v0/backups/{lease}/files/{}/{}?size={size}", file.digest, file.upload);
                Ok(Reading::Download(client.download(Method::GET, &path).await?))
            }
            Self::Folder { store, .. } => {
                store.renew_backup(lease);
                let files = store.files().clone();
                let opened = blocking(move || files.open_blob(&file, size)).await.map_err(of_store)?;
                let gone = || BackupError::WrongBytes { path: file.path(), why: "it is not there".to_owned() };
                Ok(Reading::File(Box::new(opened.ok_or_else(gone).map_err(CliError::Backup)?)))
            }
        }
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, CliError> {
        match self {
            Self::Download(download) => download.next().await,
            Self::File(reader) => reader.next_chunk().await.transpose().map_err(of_store),
        }
    }
}

impl Pieces {
    /// Reads what is sent here.
    pub fn new(from: mpsc::Receiver<Bytes>) -> Self {
        Self { from, current: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.from.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// A folder's name for the daemon, which need not know where it lies: the same
/// for the same folder of the same host.
fn name_of(folder: &BackupFolder) -> String {
    let system = rustix::system::uname();
    let place = [system.nodename().to_bytes(), folder.path().as_os_str().as_bytes()].join(&0);
    Digest::sha256_of(&place).hex()
}

fn of_store(error: crate::store::file::FileError) -> CliError {
    CliError::BackupOver(BackupOver::Store(error.into()))
}
