//! The folder itself: opening it, its room, and taking files away.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits;
use crate::oci::{Algorithm, Digest};
use crate::store::crash::crash_point;
use crate::store::medium::Medium;

use super::buffers::Lending;
use super::disk::{Disk, Keep};
use super::durable::{Folder, make_folder, sync_names};
use super::place::shard_name;
use super::{BlobFile, FileError, Traffic, UploadId};

/// Every algorithm that has a folder under `blobs`.
pub(super) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// The file half of the store. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    blobs: PathBuf,
    uploads: PathBuf,
    medium: Medium,
    /// Algorithms whose blob directories have names that this process has made
    /// durable. Those that are merely there may be the work of a process that
    /// died before it did.
    ready: Mutex<HashSet<Algorithm>>,
    /// A sync has failed.
    stopped: AtomicBool,
    disk: Disk,
    traffic: Traffic,
    lending: Lending,
    missing: Mutex<Missing>,
}

/// Files that a name led to and that were not there.
#[derive(Debug, Default)]
struct Missing {
    /// When one was told of last.
    told: Option<Instant>,
    /// How many were met since.
    untold: u64,
}

/// What the file system has left for this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files that can be made; `None` where the file system sets no bound.
    pub free_inodes: Option<u64>,
    /// Files in all; 0 where the file system sets no bound.
    pub total_inodes: u64,
}

impl Files {
    /// Opens the folder `root`, and makes it and the folders in it where they
    /// are missing; its parent has to exist.
    ///
    /// # Errors
    /// When a folder cannot be made or written to, something else stands in
    /// its place, or uploads and blobs lie on two file systems.
    pub fn open(root: &Path) -> Result<Self, FileError> {
        Self::open_on(Medium::default(), root, Keep::Usual)
    }

    /// The same, on a medium and with a high-water mark of the caller's.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub fn open_on(medium: Medium, root: &Path, keep: Keep) -> Result<Self, FileError> {
        let (blobs, uploads) = (root.join("blobs"), root.join("uploads"));
        make_folder(&medium, root)?;
        make_folder(&medium, &blobs)?;
        make_folder(&medium, &uploads)?;
        for algorithm in ALGORITHMS {
            make_folder(&medium, &blobs.join(algorithm.as_str()))?;
        }
        let device = |path: &Path| Ok(fs::metadata(path).map_err(FileError::on("look at", path))?.dev());
        for algorithm in ALGORITHMS {
            let folder = blobs.join(algorithm.as_str());
            if device(&folder)? != device(&uploads)? {
                return Err(FileError::TwoFileSystems { uploads, blobs: folder });
            }
            writable(&medium, &folder)?;
        }
        writable(&medium, &uploads)?;
        sync_names(&medium, &blobs)?;
        sync_names(&medium, root)?;
        sync_names(&medium, &parent(root))?;
        let disk = Disk::new(medium.clone(), root.to_owned(), keep);
        Ok(Self::over(medium, blobs, uploads, disk))
    }

    /// The blob files below `root`, to be looked at: nothing is made or checked.
    pub(in crate::store) fn looking_at(root: &Path) -> Self {
        let (blobs, uploads) = (root.join("blobs"), root.join("uploads"));
        let disk = Disk::new(Medium::default(), root.to_owned(), Keep::Usual);
        Self::over(Medium::default(), blobs, uploads, disk)
    }

    fn over(medium: Medium, blobs: PathBuf, uploads: PathBuf, disk: Disk) -> Self {
        let (ready, stopped, missing) = (Mutex::default(), AtomicBool::new(false), Mutex::default());
        let (traffic, lending) = (Traffic::default(), Lending::default());
        Self(Arc::new(Inner { blobs, uploads, medium, ready, stopped, disk, traffic, lending, missing }))
    }

    /// Logs that a file which is named is not there; one line a while for all
    /// of them, since a disk that is gone takes every file with it.
    pub(super) fn tell_missing(&self, path: &Path) {
        let (now, mut missing) = (Instant::now(), self.0.missing.lock().unwrap_or_else(PoisonError::into_inner));
        missing.untold += 1;
        if missing.told.is_some_and(|told| now.saturating_duration_since(told) < limits::MISSING_FILE_TELL) {
            return;
        }
        let (files, path) = (std::mem::take(&mut missing.untold), path.display());
        missing.told = Some(now);
        tracing::error!(files, %path, "a blob file that the database names is not there; is its disk mounted? `tidegate verify` names all that are missing");
    }

    /// The watch over the room on the disk.
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// How much is read and written for those who wait for it.
    pub fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    /// What all downloads hold.
    pub(super) fn lending(&self) -> &Lending {
        &self.0.lending
    }

    /// Removes a blob file; false when it was gone. For a file whose row is
    /// dropped and whose grace is over. The removal is not synced: a file that
    /// comes back after a power cut is an orphan, and swept.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn unlink(&self, file: &BlobFile) -> Result<bool, FileError> {
        let path = self.blob_path(file);
        let removed = match self.medium().remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            removed => removed.map(|()| true).map_err(FileError::on("remove", &path))?,
        };
        crash_point!("blob-unlinked");
        Ok(removed)
    }

    /// Removes the session of an upload with its bytes; nothing when it is
    /// gone. An [`Upload`](super::Upload) of it that is still held can no
    /// longer be sealed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn drop_upload(&self, id: UploadId) -> Result<(), FileError> {
        let path = self.upload_folder(id);
        match self.medium().remove_folder(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(FileError::on("remove", &path)),
        }
    }

    /// Whether a sync has failed, so that nothing is acknowledged any more.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Keeps hold of a failed sync: from then on nothing is sealed. Every
    /// result of the write order goes through here.
    pub(super) fn watch<T>(&self, result: Result<T, FileError>) -> Result<T, FileError> {
        if result.as_ref().is_err_and(FileError::is_fatal) {
            self.0.stopped.store(true, Ordering::SeqCst);
        }
        result
    }

    /// What the folders lie on.
    pub(in crate::store) fn medium(&self) -> &Medium {
        &self.0.medium
    }

    /// The folder of all blobs.
    pub(super) fn blobs(&self) -> &Path {
        &self.0.blobs
    }

    /// The folder of all uploads.
    pub(super) fn uploads(&self) -> &Path {
        &self.0.uploads
    }

    /// Where a blob file lies.
    pub(super) fn blob_path(&self, file: &BlobFile) -> PathBuf {
        self.0.blobs.join(file.path())
    }

    /// The folder of one upload.
    pub(super) fn upload_folder(&self, id: UploadId) -> PathBuf {
        self.0.uploads.join(id.to_string())
    }

    /// The directory for blobs of `digest`, made and with a durable name.
    pub(super) fn shard(&self, digest: &Digest) -> Result<Folder, FileError> {
        let algorithm = digest.algorithm();
        let parent = self.0.blobs.join(algorithm.as_str());
        // The lock is held over the sync: who finds the directory ready must
        // be able to rely on it. All are made at once, for one sync.
        let mut ready = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&algorithm) {
            self.make_shards(&parent)?;
            crash_point!("blob-shards-created");
            sync_names(self.medium(), &parent)?;
            ready.insert(algorithm);
        }
        drop(ready);
        Folder::open(self.medium(), &parent.join(shard_name(digest.hash()[0])))
    }

    /// Makes those directories below `parent` that are not there.
    fn make_shards(&self, parent: &Path) -> Result<(), FileError> {
        let mut there = HashSet::new();
        for entry in fs::read_dir(parent).map_err(FileError::on("list", parent))? {
            let entry = entry.map_err(FileError::on("list", parent))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                there.insert(entry.file_name());
            }
        }
        let mut missing = (0..=u8::MAX).map(shard_name).filter(|name| !there.contains(OsStr::new(name)));
        missing.try_for_each(|name| make_folder(self.medium(), &parent.join(name)))
    }
}

/// The folder that holds the name of `path`.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    }
}

/// Fails where a file cannot be made and removed in the folder `path`. Tried
/// and not asked for: rights, mounts and quotas all have a say.
fn writable(medium: &Medium, path: &Path) -> Result<(), FileError> {
    let probe = path.join(".writable");
    let made = medium.create(&probe);
    made.and_then(|_| medium.remove(&probe)).map_err(FileError::on("write to the folder", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_a_missing_an_empty_and_a_used_folder() {
        let outer = tempfile::tempdir().expect("a folder");
        let root = outer.path().join("data");
        for _ in 0..2 {
            Files::open(&root).expect("opened");
        }
        for folder in ["uploads", "blobs/sha256", "blobs/sha512"] {
            assert!(root.join(folder).is_dir(), "{folder}");
        }
        let deep = outer.path().join("a/b");
        assert!(matches!(Files::open(&deep), Err(FileError::Io { path, .. }) if path == deep));
    }

    #[test]
    fn says_what_stands_in_the_way() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("file");
        fs::write(&file, b"").expect("written");
        let error = Files::open(&file).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a folder", file.display()));
        fs::write(root.path().join("blobs"), b"").expect("written");
        assert!(matches!(Files::open(root.path()), Err(FileError::NotAFolder { path }) if path.ends_with("blobs")));
    }

    #[test]
    fn says_when_a_folder_cannot_be_written_to() {
        // /proc/self is a folder in which nobody, root included, makes another.
        let error = Files::open(Path::new("/proc/self")).unwrap_err();
        assert!(matches!(&error, FileError::Io { action: "create the folder", .. }), "{error:?}");
        assert!(std::error::Error::source(&error).is_some());
        assert!(matches!(
            writable(&Medium::default(), Path::new("/sys/kernel")),
            Err(FileError::Io { action: "write to the folder", .. })
        ));
    }

    #[test]
    fn uploads_and_blobs_lie_on_one_file_system() {
        let root = tempfile::tempdir().expect("a folder");
        // /proc is a file system of its own everywhere.
        std::os::unix::fs::symlink("/proc/self", root.path().join("uploads")).expect("linked");
        assert!(matches!(Files::open(root.path()), Err(FileError::TwoFileSystems { .. })));
    }

    #[test]
    fn room_is_what_the_file_system_says() {
        let root = tempfile::tempdir().expect("a folder");
        let room = Files::open(root.path()).expect("opened").disk().room().expect("room");
        assert!(room.free_inodes != Some(0));
        assert!(room.free_bytes > 0 && room.free_bytes <= room.total_bytes, "{room:?}");
    }

    #[test]
    fn removing_twice_is_removing_once() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let file = BlobFile { digest: Digest::sha256_of(b"x"), upload: UploadId::from_bytes([1; 16]) };
        let path = files.blob_path(&file);
        fs::create_dir_all(path.parent().expect("a shard")).expect("made");
        fs::write(&path, b"x").expect("written");
        assert!(files.unlink(&file).expect("removed"));
        assert!(!files.unlink(&file).expect("gone"));
        files.drop_upload(file.upload).expect("nothing to drop");
    }
}
