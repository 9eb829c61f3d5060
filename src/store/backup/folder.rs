//! The folder that a backup lies in.
//!
//! ```text
//! backup.json                                what it is; written last
//! tidegate.redb                              the database, put in place by one rename
//! blobs/<algorithm>/<2 hex>/<hex>.<upload>   the files that it names
//! keys/                                      sealing key and certificate authority, when asked for
//! incoming/                                  what is on its way
//! ```
//!
//! One process at a time works on it: the folder itself is locked.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::draft::{Description, Draft, FORMAT};
use super::error::BackupError;
use super::named::Named;
use crate::oci::Hasher;
use crate::store::file::{BlobFile, Files, Found};
use crate::store::verify::{Depth, verify};
use crate::store::{DATABASE, Read, Snapshot, blob, open};

/// A backup folder that is being written. Clones share it.
#[derive(Clone, Debug)]
pub struct BackupFolder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    files: Files,
    before: Option<Description>,
    /// Folders that got a name which is not durable yet.
    unsynced: Mutex<BTreeSet<PathBuf>>,
    _lock: File,
}

/// A file on its way into a backup: hashed while it is written.
#[derive(Debug)]
pub struct IncomingFile {
    folder: BackupFolder,
    named: Named,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    written: u64,
}

/// Files that only an earlier backup named, and how much they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What people and programs read about a backup.
pub(super) const DESCRIPTION: &str = "backup.json";
/// What is on its way.
const INCOMING: &str = "incoming";
/// Key files.
pub(super) const KEYS: &str = "keys";
/// Made by `mkfs`, at the top of a file system.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// What seals the credentials of mirrors.
pub const SEALING_KEY: &str = "sealing.key";

/// The file of sealing keys that were made while the first one was missing.
pub const ADDED_KEYS: &str = "sealing.added.key";
/// The key files of a data folder, as a backup calls them: what seals the
/// credentials of mirrors, and the certificate authority.
pub const KEY_FILES: [&str; 4] = [SEALING_KEY, ADDED_KEYS, "tls/ca.key", "tls/ca.crt"];

impl BackupFolder {
    /// Takes the folder `path` for a backup, and makes it where it is missing.
    ///
    /// # Errors
    /// When it holds something else, is a data folder, is used by another
    /// process, or cannot be written to.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        // Nothing is made in a data folder, not even what would be refused.
        for above in path.ancestors() {
            let Ok(above) = fs::canonicalize(above) else { continue };
            outside_data(&above)?;
            break;
        }
        make_folder(path)?;
        let path = fs::canonicalize(path).map_err(BackupError::on("look at", path))?;
        outside_data(&path)?;
        let lock = lock(&path)?;
        recognise(&path)?;
        let incoming = path.join(INCOMING);
        make_folder(&incoming)?;
        for entry in entries(&incoming)? {
            let left = incoming.join(entry);
            fs::remove_file(&left).map_err(BackupError::on("remove", &left))?;
        }
        make_folder(&path.join(open::BLOBS))?;
        let (files, before) = (Files::looking_at(&path), read_description(&path)?);
        Ok(Self(Arc::new(Inner { path, files, before, unsynced: Mutex::default(), _lock: lock })))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What lies in it from before.
    pub fn before(&self) -> Option<&Description> {
        self.0.before.as_ref()
    }

    /// Whether the backup of `instance` belongs here.
    ///
    /// # Errors
    /// [`BackupError::Another`] when it does not.
    pub fn take_for(&self, instance: crate::chance::Id) -> Result<(), BackupError> {
        match self.before().filter(|before| before.instance != instance) {
            Some(before) => {
                Err(BackupError::Another { path: self.0.path.clone(), found: before.instance, wanted: instance })
            }
            None => Ok(()),
        }
    }

    /// Where the database is built.
    pub fn draft_path(&self) -> PathBuf {
        self.0.path.join(INCOMING).join(DATABASE)
    }

    /// Whether a file is there already, as long as it should be.
    pub fn has(&self, named: &Named) -> bool {
        let found = fs::symlink_metadata(self.place(&named.file));
        found.is_ok_and(|found| found.is_file() && found.len() == named.size)
    }

    /// Begins to write a file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn begin(&self, named: Named) -> Result<IncomingFile, BackupError> {
        let name = format!("{}.{}", named.file.digest.hex(), named.file.upload);
        let path = self.0.path.join(INCOMING).join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.map_err(BackupError::on("create", &path))?;
        let hasher = Hasher::new(named.file.digest.algorithm());
        Ok(IncomingFile { folder: self.clone(), named, path, file, hasher, written: 0 })
    }

    /// Looks whether a database and the files here fit together, names and
    /// lengths. What is in quarantine is known to be missing. Blocks.
    ///
    /// # Errors
    /// [`BackupError::Findings`] when they do not.
    pub fn verify(&self, read: &Snapshot) -> Result<(), BackupError> {
        let report = verify(read, &self.0.files, Depth::Names, &std::collections::HashSet::new());
        let report = report.map_err(BackupError::of(&self.draft_path()))?;
        match report.unknown() {
            None => Ok(()),
            Some((found, count)) => {
                Err(BackupError::Findings { first: format!("{}: {}", found.kind, found.detail), count })
            }
        }
    }

    /// The files here that a database does not name. Blocks.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn stale(&self, read: &impl Read) -> Result<Vec<(BlobFile, u64)>, BackupError> {
        let mut stale = Vec::new();
        let failed = |source| BackupError::Database { path: self.draft_path(), source };
        for found in self.0.files.walk().map_err(|error| failed(error.into()))? {
            if let Found::Blob { file, size } = found.map_err(|error| failed(error.into()))?
                && !blob::names_file(read, &file).map_err(failed)?
            {
                stale.push((file, size));
            }
        }
        Ok(stale)
    }

    /// Puts a database in place, once all the files that it names are durable:
    /// from then on this is the backup. Gives the bytes of the database.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn install(&self, draft: Draft) -> Result<u64, BackupError> {
        let (made, bytes) = draft.close()?;
        let mut unsynced = self.0.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in std::mem::take(&mut *unsynced) {
            sync_names(&folder)?;
        }
        let place = self.0.path.join(DATABASE);
        fs::rename(&made, &place).map_err(BackupError::on("put in place", &place))?;
        sync_names(&self.0.path)?;
        Ok(bytes)
    }

    /// Removes files that the database in place does not name.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn prune(&self, stale: &[(BlobFile, u64)]) -> Result<Pruned, BackupError> {
        let mut pruned = Pruned::default();
        for (file, size) in stale {
            let path = self.place(file);
            fs::remove_file(&path).map_err(BackupError::on("remove", &path))?;
            pruned.files += 1;
            pruned.bytes += size;
        }
        Ok(pruned)
    }

    /// Writes a key file, for its owner's eyes alone. `name` is one of
    /// [`KEY_FILES`].
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_key(&self, name: &str, text: &str) -> Result<(), BackupError> {
        let path = self.0.path.join(KEYS).join(name);
        let mut folder = self.0.path.clone();
        for part in path.strip_prefix(&folder).unwrap_or(&path).parent().into_iter().flatten() {
            folder.push(part);
            make_folder(&folder)?;
        }
        write_whole(&path, text.as_bytes())
    }

    /// The key files that lie here.
    pub fn keys(&self) -> Vec<String> {
        let is_there = |name: &&str| self.0.path.join(KEYS).join(name).is_file();
        KEY_FILES.into_iter().filter(is_there).map(str::to_owned).collect()
    }

    /// Writes down what the backup is. The last step.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn describe(&self, description: &Description) -> Result<(), BackupError> {
        let text = serde_json::to_string_pretty(description).expect("a description is plain data") + "\n";
        write_whole(&self.0.path.join(DESCRIPTION), text.as_bytes())?;
        let incoming = self.0.path.join(INCOMING);
        fs::remove_dir(&incoming).map_err(BackupError::on("remove", &incoming))?;
        sync_names(&self.0.path)
    }

    fn place(&self, file: &BlobFile) -> PathBuf {
        self.0.path.join(open::BLOBS).join(file.path())
    }
}

impl IncomingFile {
    /// Writes more of it. Blocks.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        self.file.write_all(bytes).map_err(BackupError::on("write", &self.path))
    }

    /// Takes it in, when its bytes are those that its name says. Blocks.
    ///
    /// # Errors
    /// [`BackupError::WrongBytes`] when they are not.
    pub fn finish(self) -> Result<(), BackupError> {
        let Self { folder, named, path, file, hasher, written } = self;
        let place = folder.place(&named.file);
        let found = hasher.finish();
        if written != named.size || found != named.file.digest {
            let why = format!("{written} bytes of {found}, not {} bytes of {}", named.size, named.file.digest);
            fs::remove_file(&path).map_err(BackupError::on("remove", &path))?;
            return Err(BackupError::WrongBytes { path: place, why });
        }
        file.sync_data().map_err(BackupError::on("sync", &path))?;
        let blobs = folder.0.path.join(open::BLOBS);
        let shard = place.parent().unwrap_or(&blobs).to_owned();
        let algorithm = shard.parent().unwrap_or(&blobs).to_owned();
        make_folder(&algorithm)?;
        make_folder(&shard)?;
        fs::rename(&path, &place).map_err(BackupError::on("put in place", &place))?;
        let mut unsynced = folder.0.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        unsynced.extend([shard, algorithm, blobs, folder.0.path.clone()]);
        Ok(())
    }
}

/// Refuses a place in a data folder.
fn outside_data(path: &Path) -> Result<(), BackupError> {
    let is_data = |folder: &&Path| folder.join(open::MARKER).exists() && folder.join(DATABASE).exists();
    match path.ancestors().find(is_data) {
        Some(data) => Err(BackupError::DataFolder { path: data.to_owned() }),
        None => Ok(()),
    }
}

/// What a backup folder says it holds; `None` when it says nothing.
pub(super) fn read_description(folder: &Path) -> Result<Option<Description>, BackupError> {
    let path = folder.join(DESCRIPTION);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(BackupError::on("read", &path))?,
    };
    let number = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|json| json.get("format")?.as_u64());
    if let Some(found) = number.filter(|format| *format > FORMAT) {
        return Err(BackupError::Newer { path, found, known: FORMAT });
    }
    let described = serde_json::from_slice(&text);
    described.map(Some).map_err(|error| BackupError::Damaged { path, why: format!("does not read: {error}") })
}

/// Locks a folder for this process alone.
pub(super) fn lock(path: &Path) -> Result<File, BackupError> {
    lock_by(path, File::try_lock)
}

/// Locks a folder for all who read it.
pub(super) fn lock_shared(path: &Path) -> Result<File, BackupError> {
    lock_by(path, File::try_lock_shared)
}

fn lock_by(path: &Path, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> Result<File, BackupError> {
    let folder = File::open(path).map_err(BackupError::on("open", path))?;
    match lock(&folder) {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(BackupError::on("lock", path)(source)),
    }
}

/// The names in a folder.
pub(super) fn entries(path: &Path) -> Result<Vec<String>, BackupError> {
    let list = || -> io::Result<Vec<String>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut names = list().map_err(BackupError::on("list", path))?;
    names.sort();
    Ok(names)
}

/// Makes the folder `path` for this user alone, unless it is there.
pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(BackupError::on("create the folder", path)),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_names(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(BackupError::on("sync", path))
}

/// Writes a file of mode 0600, whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let made = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&made, path)
    };
    write().map_err(BackupError::on("write", path))?;
    path.parent().map_or(Ok(()), sync_names)
}

/// Whether a folder is empty or a backup's.
fn recognise(path: &Path) -> Result<(), BackupError> {
    let names = entries(path)?;
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != LOST_AND_FOUND).collect();
    let unfinished = format!("{DESCRIPTION}.new");
    let ours = [DESCRIPTION, &unfinished, DATABASE, open::BLOBS, KEYS, INCOMING];
    let stranger = names.iter().find(|name| !ours.contains(name));
    let is_ours = names.is_empty() || names.contains(&DESCRIPTION) || names.contains(&INCOMING);
    match stranger.or_else(|| names.first().filter(|_| !is_ours)) {
        None => Ok(()),
        Some(found) => Err(BackupError::Occupied { path: path.to_owned(), found: (*found).to_owned() }),
    }
}
