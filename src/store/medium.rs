//! The medium that the store's own folder lies on: every act that decides what
//! a power cut leaves of it goes through here.
//!
//! That is making and emptying files, writing to them, changing their length,
//! making their bytes durable, and making, moving and removing names. Reading
//! does not. In a release build these are the plain calls. With debug
//! assertions a test may put a `Watch` on the medium of one store, which is
//! told of each act before it is done and may let it fail: so a disk can be
//! simulated that forgets, or one that breaks. No other file of `store` changes
//! anything on the file system (`tests/architecture.rs` holds it to that), but
//! for backups, whose folder is another one.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
#[cfg(debug_assertions)]
use std::sync::Arc;

/// The medium of one store. Clones share the watch.
#[derive(Clone, Debug, Default)]
pub struct Medium {
    #[cfg(debug_assertions)]
    watch: Option<Arc<dyn Watch>>,
}

/// One act, before it is done.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// The name of a new folder.
    MakeFolder(&'a Path),
    /// A file is made; one that is there is emptied.
    Create(&'a Path, Handle),
    /// A file is made that is not there.
    CreateNew(&'a Path, Handle),
    /// A file that is there is opened for writing. Changes nothing by itself.
    Open(&'a Path, Handle),
    /// Bytes at an offset.
    Write(Handle, u64, &'a [u8]),
    /// A file is cut or grows.
    SetLength(Handle, u64),
    /// Room is set aside from an offset on, so many bytes. What is read of it is
    /// zeros.
    Allocate(Handle, u64, u64),
    /// The bytes of a file become durable.
    SyncBytes(Handle),
    /// The names in a folder become durable.
    SyncNames(&'a Path),
    /// From one name to another, in one step.
    Rename(&'a Path, &'a Path),
    /// The name of a file goes.
    Remove(&'a Path),
    /// The name of an empty folder goes.
    RemoveFolder(&'a Path),
}

/// An open file of a watched medium, among all that were opened on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

/// Told of every act.
#[cfg(debug_assertions)]
pub trait Watch: Send + Sync + std::fmt::Debug {
    /// An act is about to be done; it is not when this is an error, and then
    /// that is what its caller gets.
    fn act(&self, act: &Act<'_>) -> io::Result<()>;

    /// A number for a file that is being opened.
    fn handle(&self) -> Handle;
}

/// An open file of the store's.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    #[cfg(debug_assertions)]
    watch: Option<(Arc<dyn Watch>, Handle)>,
}

impl Medium {
    /// A medium with a watch on it.
    #[cfg(debug_assertions)]
    pub fn watched(watch: Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch) }
    }

    /// Tells the watch, if there is one.
    fn tell<'a>(&self, act: impl FnOnce() -> Act<'a>) -> io::Result<()> {
        #[cfg(debug_assertions)]
        if let Some(watch) = &self.watch {
            return watch.act(&act());
        }
        drop(act);
        Ok(())
    }

    /// Opens a file as the act says that `act` makes of its handle.
    fn open_as<'a>(
        &self,
        path: &Path,
        options: &OpenOptions,
        act: impl FnOnce(Handle) -> Act<'a>,
    ) -> io::Result<OpenFile> {
        #[cfg(debug_assertions)]
        if let Some(watch) = &self.watch {
            let handle = watch.handle();
            watch.act(&act(handle))?;
            return Ok(OpenFile { file: options.open(path)?, watch: Some((Arc::clone(watch), handle)) });
        }
        drop(act);
        Ok(OpenFile::unwatched(options.open(path)?))
    }

    /// Makes a folder for this user alone.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.tell(|| Act::MakeFolder(path))?;
        DirBuilder::new().mode(0o700).create(path)
    }

    /// Makes a file for this user alone, or empties the one that is there.
    pub(super) fn create(&self, path: &Path) -> io::Result<OpenFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        self.open_as(path, &options, |handle| Act::Create(path, handle))
    }

    /// Makes a file that is not there, for this user alone.
    pub(super) fn create_new(&self, path: &Path) -> io::Result<OpenFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        self.open_as(path, &options, |handle| Act::CreateNew(path, handle))
    }

    /// Opens a file that is there, to read and write it.
    pub(super) fn open(&self, path: &Path) -> io::Result<OpenFile> {
        self.open_as(path, OpenOptions::new().read(true).write(true), |handle| Act::Open(path, handle))
    }

    /// Moves a name to another, in place of what has that.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tell(|| Act::Rename(from, to))?;
        fs::rename(from, to)
    }

    /// Removes a file's name.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.tell(|| Act::Remove(path))?;
        fs::remove_file(path)
    }

    /// Removes a folder with all that is in it.
    pub(super) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { self.remove_folder(&entry.path())? } else { self.remove(&entry.path())? }
        }
        self.tell(|| Act::RemoveFolder(path))?;
        fs::remove_dir(path)
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_names(&self, path: &Path) -> io::Result<()> {
        self.sync_names_of(&File::open(path)?, path)
    }

    /// The same, for a folder that is held open.
    pub(super) fn sync_names_of(&self, folder: &File, path: &Path) -> io::Result<()> {
        self.tell(|| Act::SyncNames(path))?;
        folder.sync_all()
    }

    /// Takes what others than this user may do with a file from them. It is no
    /// act: it may be lost, and is done again at the next start.
    pub(super) fn keep_private(&self, path: &Path) -> io::Result<()> {
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 == 0 {
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(mode & 0o700))
    }
}

impl OpenFile {
    /// A file on which nothing is watched: one that is only read.
    pub(super) fn unwatched(file: File) -> Self {
        Self {
            file,
            #[cfg(debug_assertions)]
            watch: None,
        }
    }

    /// The file, to read and to look at.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn tell<'a>(&self, act: impl FnOnce(Handle) -> Act<'a>) -> io::Result<()> {
        #[cfg(debug_assertions)]
        if let Some((watch, handle)) = &self.watch {
            return watch.act(&act(*handle));
        }
        drop(act);
        Ok(())
    }

    /// Writes some of `bytes` at an offset; how many.
    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.tell(|handle| Act::Write(handle, at, bytes))?;
        self.file.write_at(bytes, at)
    }

    /// Writes all of `bytes` at an offset.
    pub(super) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.tell(|handle| Act::Write(handle, at, bytes))?;
        self.file.write_all_at(bytes, at)
    }

    /// Makes the file so many bytes long.
    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.tell(|handle| Act::SetLength(handle, bytes))?;
        self.file.set_len(bytes)
    }

    /// Sets room aside for the file.
    pub(super) fn allocate(&self, at: u64, bytes: u64) -> io::Result<()> {
        self.tell(|handle| Act::Allocate(handle, at, bytes))?;
        Ok(rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), at, bytes)?)
    }

    /// Makes the bytes durable, and of the length what is needed to read them.
    /// Never call it again on a file for which it failed.
    pub(super) fn sync_bytes(&self) -> io::Result<()> {
        self.tell(Act::SyncBytes)?;
        self.file.sync_data()
    }
}
