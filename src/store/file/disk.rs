//! How much room the disk has, and who may still write.
//!
//! A full disk must not be met in the middle of a commit, so writing ends
//! before: below the high-water mark (`keep`) nothing that brings bytes is
//! taken, below a quarter of it nothing that adds rows. What gives room back
//! (deletes, collection) always goes on, and so does reading. Others may fill
//! the disk to the last byte all the same: for that a reserve file lies
//! beside the blobs, and is removed so that deletes have room to be written.
//!
//! Nothing remembers that the disk was full: the file system is asked each
//! time, which takes a microsecond, so writing resumes when there is room.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::limits;
use crate::store::medium::Medium;

use super::{FileError, Room};

/// The high-water mark: bytes and files that are kept free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A twentieth of the disk; more on a small one, see [`limits::KEEP_BYTES`].
    Usual,
    /// This many bytes.
    Bytes(u64),
    /// This part of the disk, in hundredths.
    Percent(u8),
}

/// Who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only what gives room back.
    Bare,
    /// What adds rows, but no bytes.
    Low,
    /// Everybody.
    Plenty,
}

/// The watch over one file system. Clones share it.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    medium: Medium,
    folder: PathBuf,
    keep: Keep,
    /// The level that was told last, as its number.
    level: AtomicU8,
}

impl Keep {
    /// The mark in bytes, on a disk of `total` bytes.
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(part) => total / 100 * u64::from(part),
            Self::Usual => (total / 20).max(limits::KEEP_BYTES.min(total / 8)),
        }
    }
}

impl Disk {
    /// Watches the file system of `folder`.
    pub(super) fn new(medium: Medium, folder: PathBuf, keep: Keep) -> Self {
        Self(Arc::new(Inner { medium, folder, keep, level: AtomicU8::new(Level::Plenty as u8) }))
    }

    /// What the file system has left.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn room(&self) -> Result<Room, FileError> {
        let found = rustix::fs::statvfs(&self.0.folder)
            .map_err(|errno| FileError::on("ask for the room in", &self.0.folder)(errno.into()))?;
        Ok(Room {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_inodes: (found.f_files > 0).then_some(found.f_favail),
            total_inodes: found.f_files,
        })
    }

    /// The mark, in bytes.
    pub fn keep(&self, room: &Room) -> u64 {
        self.0.keep.bytes(room.total_bytes)
    }

    /// Who may write now. When the system does not say how much room there is,
    /// nobody is kept from trying.
    pub fn level(&self) -> Level {
        self.room().map_or(Level::Plenty, |room| self.note(&room))
    }

    /// The level that `room` means; a change of it is logged.
    fn note(&self, room: &Room) -> Level {
        let level = self.level_of(room);
        let before = self.0.level.swap(level as u8, Ordering::Relaxed);
        if before != level as u8 {
            tell(level, room, self.keep(room));
        }
        level
    }

    fn level_of(&self, room: &Room) -> Level {
        let keep = self.keep(room);
        let inodes = (room.total_inodes / 100).clamp(limits::KEEP_INODES_LEAST, limits::KEEP_INODES_MOST);
        let is_below =
            |part: u64| room.free_bytes < keep / part || room.free_inodes.is_some_and(|free| free < inodes / part);
        match (is_below(1), is_below(4)) {
            (_, true) => Level::Bare,
            (true, false) => Level::Low,
            (false, false) => Level::Plenty,
        }
    }

    /// Whether `bytes` more may be written.
    ///
    /// # Errors
    /// [`FileError::Full`] when that would pass the mark.
    pub fn take(&self, bytes: u64) -> Result<(), FileError> {
        let room = self.room()?;
        if self.note(&room) == Level::Plenty && room.free_bytes.saturating_sub(bytes) >= self.keep(&room) {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        Err(FileError::Full { action: "take more in", path: self.0.folder.clone(), source })
    }

    /// Sets bytes aside, where there is room for them and none are.
    pub fn set_aside(&self) {
        let Ok(room) = self.room() else { return };
        let (keep, path) = (self.keep(&room), self.reserve());
        let bytes = limits::RESERVE_BYTES.min(keep / 4);
        if room.free_bytes < keep.saturating_add(bytes) || path.exists() {
            return;
        }
        let made = self.0.medium.create_new(&path).and_then(|file| file.allocate(0, bytes));
        if let Err(error) = made {
            tracing::debug!(error = %error, "no bytes were set aside for a full disk");
            let _ = self.0.medium.remove(&path);
        }
    }

    /// Gives back what was set aside; whether there was any.
    pub fn give_back(&self) -> bool {
        let given = self.0.medium.remove(&self.reserve()).is_ok();
        if given {
            tracing::warn!("the disk is full; what was set aside for that is given back, so that deletes go on");
        }
        given
    }

    fn reserve(&self) -> PathBuf {
        self.0.folder.join("reserve")
    }
}

fn tell(level: Level, room: &Room, keep: u64) {
    let (free_bytes, free_files) = (room.free_bytes, room.free_inodes);
    match level {
        Level::Plenty => tracing::info!(free_bytes, "there is room again; writes go on"),
        Level::Low => tracing::warn!(
            free_bytes,
            keep_bytes = keep,
            free_files,
            "the disk is nearly full: uploads are refused until there is room"
        ),
        Level::Bare => tracing::error!(
            free_bytes,
            keep_bytes = keep,
            free_files,
            "the disk is full: only reads, deletes and collection go on until there is room"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(keep: Keep) -> Disk {
        Disk::new(Medium::default(), PathBuf::from("/"), keep)
    }

    #[test]
    fn a_small_disk_keeps_a_larger_part_and_a_large_one_a_twentieth() {
        const MIB: u64 = 1 << 20;
        assert_eq!(Keep::Usual.bytes(64 * MIB), 8 * MIB);
        assert_eq!(Keep::Usual.bytes(16 * 1024 * MIB), 16 * 1024 * MIB / 20);
        assert_eq!(Keep::Usual.bytes(5 * 1024 * MIB), 512 * MIB);
        assert_eq!(Keep::Percent(10).bytes(1_000), 100);
    }

    #[test]
    fn bytes_and_files_both_count() {
        let disk = disk(Keep::Bytes(1_000));
        let room = |free_bytes, free_inodes| Room {
            free_bytes,
            total_bytes: 100_000,
            free_inodes: Some(free_inodes),
            total_inodes: 100_000,
        };
        for (free_bytes, free_inodes, level) in [
            (1_000, 1_000, Level::Plenty),
            (999, 1_000, Level::Low),
            (250, 1_000, Level::Low),
            (249, 1_000, Level::Bare),
            (1_000, 999, Level::Low),
            (1_000, 249, Level::Bare),
        ] {
            assert_eq!(disk.level_of(&room(free_bytes, free_inodes)), level, "{free_bytes} {free_inodes}");
        }
        // A file system that sets no bound on files.
        let boundless = Room { free_bytes: 1_000, total_bytes: 100_000, free_inodes: None, total_inodes: 0 };
        assert_eq!(disk.level_of(&boundless), Level::Plenty);
    }

    #[test]
    fn the_reserve_is_set_aside_once_and_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::new(Medium::default(), folder.path().to_owned(), Keep::Bytes(1 << 20));
        disk.set_aside();
        disk.set_aside();
        let length = std::fs::metadata(folder.path().join("reserve")).expect("there").len();
        assert_eq!(length, 1 << 18);
        assert!(disk.give_back());
        assert!(!disk.give_back());
    }
}
