//! From a backup to a data folder that a daemon can run on.
//!
//! Everything is made in `restoring/` inside the folder, checked there, and
//! moved into place with the database last. The marker `generation` stands
//! from the first moment, so a daemon that is started on a folder whose restore
//! was cut off refuses it; the next restore takes it over. A restore that is
//! refused leaves the folder as it was.
//!
//! A copy is not the original: unless it replaces it on the same host, it gets
//! an id of its own, and its mirrors are switched off, or two hosts would push
//! to one place. Upload sessions are not in a backup.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::Durability;

use super::draft::{Description, ROW, described};
use super::error::BackupError;
use super::folder::{
    ADDED_KEYS, KEY_FILES, KEYS, LOST_AND_FOUND, SEALING_KEY, entries, lock, lock_shared, make_folder,
    read_description, sync_names,
};
use super::named::{Named, NamedFiles};
use crate::chance::{Chance, Id};
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::Hasher;
use crate::store::file::{BlobFile, Files, UploadId};
use crate::store::gate::Pages;
use crate::store::guard::{Writing, guarded};
use crate::store::medium::Medium;
use crate::store::quarantine::{self, Held};
use crate::store::record::PolicyBody;
use crate::store::record::manifest::Bytes;
use crate::store::verify::{Depth, verify};
use crate::store::{Change, DATABASE, Key, OpenError, Snapshot, StoreError, Table, damaged_page, open, policy};

/// What is to be restored, and how.
#[derive(Clone, Debug)]
pub struct Restoring {
    /// The backup folder.
    pub backup: PathBuf,
    /// The folder to restore into.
    pub data: PathBuf,
    /// It replaces the store that was backed up: it keeps its id, and its
    /// mirrors go on.
    pub same_host: bool,
    /// Hard links in place of copies.
    pub link: bool,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The backup that it came from.
    pub description: Description,
    /// The id of the data folder.
    pub instance: Id,
    /// Mirror policies that were switched off.
    pub paused: u64,
    /// Key files that were put back.
    pub keys: Vec<String>,
    /// What `verify` finds in it: findings of what was backed up.
    pub findings: Vec<String>,
}

/// Where a restore is made.
const STAGING: &str = "restoring";
/// Said of a database with a damaged page, and of what is none.
const UNREADABLE: &str = "does not read as a database";
/// The folder of upload sessions.
const UPLOADS: &str = "uploads";
/// What a restore makes in the folder before the database stands in it.
const MADE: [&str; 7] = [STAGING, open::BLOBS, UPLOADS, "tls", SEALING_KEY, ADDED_KEYS, open::MARKER];

/// Restores a backup. `now` is the time of the change, `progress` is told how
/// many bytes of how many are there. Blocks.
///
/// # Errors
/// One [`BackupError`]; the folder is then as it was found.
pub fn restore(
    how: &Restoring,
    now: Timestamp,
    chance: &Chance,
    mut progress: impl FnMut(u64, u64),
) -> Result<Restored, BackupError> {
    let database = how.backup.join(DATABASE);
    for needed in [&how.backup, &database] {
        if !needed.exists() {
            return Err(BackupError::Unfinished { folder: how.backup.clone(), path: needed.clone() });
        }
    }
    let _backup = lock_shared(&how.backup)?;
    read_description(&how.backup)?;
    let site = Site::open(how)?;
    let pages = site.copy_database(&database)?;
    let (description, generation) = {
        let read = snapshot(&pages, &database)?;
        let described = described(&read).map_err(BackupError::of(&database))?;
        let not_ours = || damaged(&database, "is no database of a backup");
        let (_, generation) = open::numbers(&read).map_err(BackupError::of(&database))?;
        (described.ok_or_else(not_ours)?, generation)
    };
    if description.format > super::draft::FORMAT {
        let (found, known) = (description.format, super::draft::FORMAT);
        return Err(BackupError::Newer { path: database, found, known });
    }
    let instance = if how.same_host { description.instance } else { chance.id() };
    site.mark(instance, generation)?;
    site.bring_files(&snapshot(&pages, &database)?, description.file_bytes, &mut progress)?;
    let whole = site.bring_undamaged(&snapshot(&pages, &database)?)?;
    let copy = Copied { instance: (!how.same_host).then_some(instance), whole: &whole };
    let paused = copy.settle(&pages, now).map_err(BackupError::of(&database))?;
    let findings = {
        let read = snapshot(&pages, &database)?;
        let report = verify(&read, &Files::looking_at(&site.staging), Depth::Names, &HashSet::new());
        let report = report.map_err(BackupError::of(&database))?;
        report.findings.into_iter().map(|found| format!("{}: {}", found.kind, found.detail)).collect()
    };
    drop(pages);
    let keys = site.bring_keys()?;
    site.finish()?;
    Ok(Restored { description, instance, paused, keys, findings })
}

/// The folder that is restored into. Dropped before it is finished, it is as it
/// was found.
struct Site<'a> {
    how: &'a Restoring,
    staging: PathBuf,
    /// Whether it was there.
    is_given: bool,
    is_finished: bool,
    /// Who owns it, where that is somebody else than who restores.
    owner: Option<(rustix::fs::Uid, rustix::fs::Gid)>,
    _lock: File,
}

impl<'a> Site<'a> {
    /// Takes the folder, and makes it where it is missing.
    fn open(how: &'a Restoring) -> Result<Self, BackupError> {
        let data = &how.data;
        let is_given = data.exists();
        make_folder(data)?;
        let opened = Self::take(how, is_given);
        if opened.is_err() && !is_given {
            // It was made here and is empty.
            let _ = fs::remove_dir(data);
        }
        opened
    }

    fn take(how: &'a Restoring, is_given: bool) -> Result<Self, BackupError> {
        let data = &how.data;
        let lock = lock(data)?;
        let real = |path: &Path| fs::canonicalize(path).map_err(BackupError::on("look at", path));
        let (from, to) = (real(&how.backup)?, real(data)?);
        if to.starts_with(&from) || from.starts_with(&to) {
            return Err(BackupError::NotEmpty { path: to, found: "the backup itself".to_owned() });
        }
        let looked = |path: &Path| fs::metadata(path).map_err(BackupError::on("look at", path));
        let (backup, folder) = (looked(&from)?, looked(&to)?);
        if how.link && backup.dev() != folder.dev() {
            return Err(BackupError::TwoFileSystems { backup: from, data: to });
        }
        let names = entries(data)?;
        let is_cut_off = names.iter().any(|name| name == STAGING) && !data.join(DATABASE).exists();
        let is_ours = |name: &str| name == LOST_AND_FOUND || is_cut_off && MADE.contains(&name);
        if let Some(found) = names.iter().find(|name| !is_ours(name)) {
            return Err(BackupError::NotEmpty { path: data.clone(), found: found.clone() });
        }
        if is_cut_off {
            clear(data)?;
        }
        let me = rustix::process::geteuid();
        let owner = (me.is_root() && folder.uid() != me.as_raw())
            .then(|| (rustix::fs::Uid::from_raw(folder.uid()), rustix::fs::Gid::from_raw(folder.gid())));
        let staging = data.join(STAGING);
        let site = Self { how, staging, is_given, is_finished: false, owner, _lock: lock };
        make_folder(&site.staging)?;
        Ok(site)
    }

    /// Copies the database and opens the copy, every page checked.
    fn copy_database(&self, database: &Path) -> Result<Pages, BackupError> {
        let copy = self.staging.join(DATABASE);
        copy_bytes(database, &copy, |_| ())?;
        let refused = |error: OpenError| match error {
            OpenError::Folder { path, source } => BackupError::Io { action: "read", path, source },
            OpenError::Corrupt { why, .. } => damaged(database, format!("{UNREADABLE}: {why}")),
            other => damaged(database, other.to_string()),
        };
        if let Some(why) = damaged_page(&self.staging).map_err(refused)? {
            return Err(damaged(database, format!("{UNREADABLE}: {why}")));
        }
        guarded(|| open::builder().open(&copy)).map(Pages::new).map_err(BackupError::of(database))
    }

    /// Writes the marker: from now on no daemon takes the folder for a new one.
    fn mark(&self, instance: Id, generation: u64) -> Result<(), BackupError> {
        let path = self.how.data.join(open::MARKER);
        open::write_marker(&Medium::default(), &self.how.data, open::Marker { instance, generation, event: 0 })
            .map_err(|source| BackupError::Io { action: "write", path, source })
    }

    /// Brings every file that the database names. That all are there is looked
    /// at before the first is copied.
    fn bring_files(&self, read: &Snapshot, total: u64, progress: &mut impl FnMut(u64, u64)) -> Result<(), BackupError> {
        let database = self.how.backup.join(DATABASE);
        let each = |work: &mut dyn FnMut(&Named) -> Result<(), BackupError>| -> Result<(), BackupError> {
            let mut walk = NamedFiles::new();
            loop {
                let slice = walk.next(read).map_err(BackupError::of(&database))?;
                if slice.is_empty() {
                    return Ok(());
                }
                slice.iter().try_for_each(&mut *work)?;
            }
        };
        each(&mut |named| {
            let path = self.how.backup.join(open::BLOBS).join(named.file.path());
            match fs::metadata(&path) {
                Ok(found) if found.len() == named.size => Ok(()),
                Ok(found) => Err(damaged(&path, format!("has {} bytes, not {}", found.len(), named.size))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(damaged(&path, "is missing")),
                Err(source) => Err(BackupError::on("look at", &path)(source)),
            }
        })?;
        make_folder(&self.staging.join(open::BLOBS))?;
        let mut done = 0;
        progress(done, total);
        each(&mut |named| {
            self.bring(named, |bytes| {
                done += bytes;
                progress(done, total);
            })
        })
    }

    /// Brings files that were damaged when the backup was made, where an earlier
    /// backup to the same folder has them as they should be; whose they are.
    fn bring_undamaged(&self, read: &Snapshot) -> Result<Vec<(Held, UploadId)>, BackupError> {
        let database = self.how.backup.join(DATABASE);
        let mut kept = Vec::new();
        let walked = quarantine::walk(read, None, |held, row| {
            kept.extend(row.upload.map(|upload| (held, upload, row.size)));
            Ok(ControlFlow::Continue(()))
        });
        walked.map_err(BackupError::of(&database))?;
        let mut whole = Vec::new();
        for (held, upload, size) in kept {
            let named = Named { file: BlobFile { digest: held.digest, upload }, size };
            let path = self.how.backup.join(open::BLOBS).join(named.file.path());
            let mut hasher = Hasher::new(held.digest.algorithm());
            let is_there = fs::metadata(&path).is_ok_and(|found| found.len() == size);
            if is_there && read_bytes(&path, |piece| hasher.update(piece)).is_ok() && hasher.finish() == held.digest {
                self.bring(&named, |_| ())?;
                whole.push((held, upload));
            }
        }
        Ok(whole)
    }

    fn bring(&self, named: &Named, progress: impl FnMut(u64)) -> Result<(), BackupError> {
        let within = Path::new(open::BLOBS).join(named.file.path());
        let (from, to) = (self.how.backup.join(&within), self.staging.join(&within));
        for folder in to.ancestors().skip(1).take(2).collect::<Vec<_>>().into_iter().rev() {
            make_folder(folder)?;
        }
        let mut hasher = Hasher::new(named.file.digest.algorithm());
        let mut progress = progress;
        let mut absorb = |piece: &[u8]| {
            hasher.update(piece);
            progress(piece.len() as u64);
        };
        if self.how.link {
            fs::hard_link(&from, &to).map_err(BackupError::on("link", &to))?;
            read_bytes(&from, &mut absorb)?;
        } else {
            copy_bytes(&from, &to, &mut absorb)?;
        }
        if hasher.finish() == named.file.digest {
            Ok(())
        } else {
            Err(damaged(&from, "holds other bytes than its name says"))
        }
    }

    /// Puts back the key files that are in the backup.
    fn bring_keys(&self) -> Result<Vec<String>, BackupError> {
        let mut brought = Vec::new();
        for name in KEY_FILES {
            let from = self.how.backup.join(KEYS).join(name);
            if !from.exists() {
                continue;
            }
            let to = self.staging.join(name);
            if let Some(folder) = to.parent() {
                make_folder(folder)?;
            }
            copy_bytes(&from, &to, |_| ())?;
            brought.push(name.to_owned());
        }
        Ok(brought)
    }

    /// Makes all of it durable, and moves it into place, the database last.
    fn finish(mut self) -> Result<(), BackupError> {
        let data = &self.how.data;
        make_folder(&self.staging.join(UPLOADS))?;
        self.give_away(&self.staging)?;
        self.give_away(&data.join(open::MARKER))?;
        self.sync()?;
        let mut names = entries(&self.staging)?;
        names.sort_by_key(|name| name == DATABASE);
        for name in names {
            if name == DATABASE {
                sync_names(data)?;
            }
            let (from, to) = (self.staging.join(&name), data.join(&name));
            fs::rename(&from, &to).map_err(BackupError::on("put in place", &to))?;
            self.is_finished = name == DATABASE;
        }
        fs::remove_dir(&self.staging).map_err(BackupError::on("remove", &self.staging))?;
        sync_names(data)
    }

    /// Everything that was written on this file system, onto the disk: one
    /// call for what may be a hundred thousand files.
    fn sync(&self) -> Result<(), BackupError> {
        let folder = File::open(&self.staging).map_err(BackupError::on("open", &self.staging))?;
        rustix::fs::syncfs(&folder).map_err(|errno| BackupError::on("sync", &self.staging)(errno.into()))
    }

    /// Gives `path` and what is in it to the folder's owner: root restores what
    /// a service then has to read.
    fn give_away(&self, path: &Path) -> Result<(), BackupError> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        let failed = |errno: rustix::io::Errno| BackupError::on("change the owner of", path)(errno.into());
        rustix::fs::chown(path, Some(user), Some(group)).map_err(failed)?;
        if path.is_dir() {
            for name in entries(path)? {
                self.give_away(&path.join(name))?;
            }
        }
        Ok(())
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let data = &self.how.data;
        let gone = clear(data).and_then(|()| match self.is_given {
            true => Ok(()),
            false => fs::remove_dir(data).map_err(BackupError::on("remove", data)),
        });
        if let Err(error) = gone {
            tracing::warn!(error = crate::store::error_chain(&error), "what a restore had begun could not be removed");
        }
    }
}

/// What a copy differs in from what was backed up.
struct Copied<'a> {
    /// The id that it gets; none when it replaces the original.
    instance: Option<Id>,
    /// What was damaged there and is not here.
    whole: &'a [(Held, UploadId)],
}

impl Copied<'_> {
    /// Makes it so; how many mirrors were switched off.
    fn settle(&self, pages: &Pages, now: Timestamp) -> Result<u64, StoreError> {
        let mut transaction: Writing = pages.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(true);
        let mut paused = 0;
        {
            let mut change = Change::open(&transaction, now, now)?;
            change.remove(Table::Meta, &Key::new().text(ROW))?;
            for (held, upload) in self.whole {
                quarantine::mend(&mut change, held, Bytes::File(*upload))?;
            }
            if let Some(instance) = self.instance {
                change.put_bytes(Table::Meta, &Key::new().text("instance"), instance.bytes())?;
                paused = pause_mirrors(&mut change, now)?;
            }
            change.finish()?;
        }
        transaction.commit()?;
        Ok(paused)
    }
}

/// Switches all mirrors off; how many were on.
fn pause_mirrors(change: &mut Change<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let mut paused = 0;
    for before in policy::all(change)? {
        let is_mirror = matches!(before.body, PolicyBody::Push { .. } | PolicyBody::Pull { .. });
        if is_mirror && before.enabled {
            let mut after = before.clone();
            (after.enabled, after.updated_at) = (false, now);
            policy::put(change, &after, Some(&before))?;
            paused += 1;
        }
    }
    Ok(paused)
}

fn snapshot(pages: &Pages, database: &Path) -> Result<Snapshot, BackupError> {
    pages.begin_read().map(Snapshot::new).map_err(BackupError::of(database))
}

fn damaged(path: &Path, why: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), why: why.into() }
}

/// Removes what a restore has made. The marker goes last: until then nobody
/// takes the folder for a new one.
fn clear(data: &Path) -> Result<(), BackupError> {
    for name in MADE {
        let path = data.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(BackupError::on("remove", &path))?,
        }
    }
    Ok(())
}

/// Copies a file, and shows its bytes to `each` on the way.
fn copy_bytes(from: &Path, to: &Path, mut each: impl FnMut(&[u8])) -> Result<(), BackupError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut made = made.map_err(BackupError::on("create", to))?;
    let mut failed = Ok(());
    read_bytes(from, |piece| {
        if failed.is_ok() {
            each(piece);
            failed = made.write_all(piece);
        }
    })?;
    failed.map_err(BackupError::on("write", to))
}

fn read_bytes(from: &Path, mut each: impl FnMut(&[u8])) -> Result<(), BackupError> {
    let mut file = File::open(from).map_err(BackupError::on("open", from))?;
    let mut buffer = vec![0; limits::BACKUP_COPY_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => each(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BackupError::on("read", from)(error)),
        }
    }
}
