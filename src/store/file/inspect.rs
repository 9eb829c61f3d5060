//! Looking at a blob file, a piece at a time: is it there, as long as it should
//! be, and are its bytes those that its name says?
//!
//! The page cache is left alone. A file is read past it (`O_DIRECT`), so that
//! what is looked at is what lies on the disk and not what memory still holds
//! of it, and nothing that downloads need is pushed out. Where the file system
//! cannot do that, what the cache did not have before is let go of again.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::limits;
use crate::oci::{Digest, Hasher};

use super::{BlobFile, FileError, Files, Flaw};

/// Looks at one file after the other through one buffer. Its calls block.
#[derive(Debug)]
pub struct Inspector {
    files: Files,
    buffer: Buffer,
    open: Option<Open>,
}

/// How far a look has come with one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes were read, and more are to come.
    More(u64),
    /// So many bytes were read, the last; all are as they should be.
    Whole(u64),
    /// They are not.
    Flawed(Flaw),
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    name: BlobFile,
    size: u64,
    at: u64,
    hasher: Hasher,
    how: How,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Past the page cache.
    Direct,
    /// Through it, leaving in it what was in it before.
    Cached,
}

impl Inspector {
    /// An inspector that looks at nothing yet.
    pub fn new(files: Files) -> Self {
        Self { files, buffer: Buffer::default(), open: None }
    }

    /// Looks at the next piece of `name`, which should have `size` bytes; from
    /// its beginning when another file, or none, was looked at before.
    ///
    /// # Errors
    /// When the system cannot look. That is no flaw of the file.
    pub fn look(&mut self, name: &BlobFile, size: u64) -> Result<Step, FileError> {
        let mut open = match self.open.take().filter(|open| open.name == *name && open.size == size) {
            Some(open) => open,
            None => match self.begin(name, size)? {
                Ok(open) => open,
                Err(flaw) => return Ok(Step::Flawed(flaw)),
            },
        };
        let step = open.read_on(self.buffer.bytes())?;
        if matches!(step, Step::More(_)) {
            self.open = Some(open);
        }
        Ok(step)
    }

    /// Begins anew with the next look, whatever the file.
    pub fn start_over(&mut self) {
        self.open = None;
    }

    fn begin(&self, name: &BlobFile, size: u64) -> Result<Result<Open, Flaw>, FileError> {
        let path = self.files.blob_path(name);
        let (file, how) = match open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.is_there(name)?;
                return Ok(Err(Flaw::Missing));
            }
            Err(error) => return Flaw::of_medium(&error).map(Err).ok_or_else(|| FileError::on("open", &path)(error)),
            Ok(opened) => opened,
        };
        let found = file.metadata().map_err(FileError::on("look at", &path))?;
        if !found.is_file() {
            return Ok(Err(Flaw::Unreadable { why: "something else lies in its place".to_owned() }));
        }
        if let Some(flaw) = Flaw::of_length(size, found.len()) {
            return Ok(Err(flaw));
        }
        let hasher = Hasher::new(name.digest.algorithm());
        Ok(Ok(Open { file, path, name: *name, size, at: 0, hasher, how }))
    }
}

impl Files {
    /// That a file is gone says something about the file only where there are
    /// others: where none is, the disk is away.
    fn is_there(&self, name: &BlobFile) -> Result<(), FileError> {
        let folder = self.blobs().join(name.digest.algorithm().as_str());
        let mut entries = std::fs::read_dir(&folder).map_err(FileError::on("list", &folder))?;
        match entries.next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(FileError::on("list", &folder)(error)),
            None => {
                let none = io::Error::new(io::ErrorKind::NotFound, "it is empty; is its disk there?");
                Err(FileError::on("find blobs in", &folder)(none))
            }
        }
    }
}

impl Open {
    /// Reads and hashes one piece.
    fn read_on(&mut self, buffer: &mut [u8]) -> Result<Step, FileError> {
        let left = self.size - self.at;
        if left == 0 {
            return Ok(self.verdict(0));
        }
        let read = match self.read_some(buffer) {
            Ok(read) => read,
            Err(error) => {
                let flaw = Flaw::of_medium(&error).ok_or_else(|| FileError::on("read", &self.path)(error))?;
                return Ok(Step::Flawed(flaw));
            }
        };
        if read == 0 {
            return Ok(Step::Flawed(Flaw::Short { found: self.at }));
        }
        if read as u64 > left {
            return Ok(Step::Flawed(Flaw::Long { found: self.at + read as u64 }));
        }
        self.hasher.update(&buffer[..read]);
        self.at += read as u64;
        Ok(if self.at == self.size { self.verdict(read as u64) } else { Step::More(read as u64) })
    }

    fn verdict(&self, read: u64) -> Step {
        let found: Digest = self.hasher.clone().finish();
        if found == self.name.digest { Step::Whole(read) } else { Step::Flawed(Flaw::Altered { found }) }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self.how {
                How::Direct => self.file.read_at(buffer, self.at),
                How::Cached => self.read_through_cache(buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file system says only now that it cannot, or that its
                // blocks are larger than we thought.
                Err(error) if self.how == How::Direct && Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                    (self.file, self.how) = (open_cached(&self.path)?, How::Cached);
                }
                read => return read,
            }
        }
    }

    fn read_through_cache(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut slices = [IoSliceMut::new(buffer)];
        if let Ok(read) = rustix::io::preadv2(&self.file, &mut slices, self.at, ReadWriteFlags::NOWAIT) {
            return Ok(read);
        }
        let read = self.file.read_at(buffer, self.at)?;
        if let Some(length) = NonZeroU64::new(read as u64) {
            let _advice = rustix::fs::fadvise(&self.file, self.at, Some(length), Advice::DontNeed);
        }
        Ok(read)
    }
}

fn open(path: &Path) -> io::Result<(File, How)> {
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
    match OpenOptions::new().read(true).custom_flags(direct).open(path) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => Ok((open_cached(path)?, How::Cached)),
        opened => Ok((opened?, How::Direct)),
    }
}

/// Opens a file so that reading a piece brings that piece into the cache and
/// nothing behind it.
fn open_cached(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let _advice = rustix::fs::fadvise(&file, 0, None, Advice::Random);
    Ok(file)
}

/// Memory that a disk can write to itself: it begins where a page does.
#[derive(Debug, Default)]
struct Buffer(Vec<u8>);

/// The largest block of disks and file systems that are read past the cache.
const ALIGNED: usize = 4096;

impl Buffer {
    fn bytes(&mut self) -> &mut [u8] {
        self.0.resize(limits::SCRUB_PIECE_BYTES + ALIGNED, 0);
        let skip = self.0.as_ptr().align_offset(ALIGNED) % ALIGNED;
        &mut self.0[skip..skip + limits::SCRUB_PIECE_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::chance::Chance;
    use crate::store::file::UploadId;

    struct Stored {
        _root: tempfile::TempDir,
        files: Files,
        name: BlobFile,
        bytes: Vec<u8>,
    }

    fn store(length: usize) -> Stored {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let mut bytes = vec![0; length];
        Chance::seeded(3).fill(&mut bytes);
        let upload = UploadId::from_bytes([1; 16]);
        let name = files.write_small(&Digest::sha256_of(&bytes), &bytes, upload).expect("written").file;
        Stored { _root: root, files, name, bytes }
    }

    impl Stored {
        fn look(&self, how: Option<How>) -> Result<Option<Flaw>, FileError> {
            let mut inspector = Inspector::new(self.files.clone());
            let mut read = 0;
            loop {
                let step = inspector.look(&self.name, self.bytes.len() as u64)?;
                if let (Some(open), Some(how)) = (&mut inspector.open, how) {
                    (open.file, open.how) = (open_cached(&open.path).expect("opens"), how);
                }
                match step {
                    Step::More(bytes) => read += bytes,
                    Step::Whole(bytes) => {
                        assert_eq!(read + bytes, self.bytes.len() as u64);
                        return Ok(None);
                    }
                    Step::Flawed(flaw) => return Ok(Some(flaw)),
                }
            }
        }

        fn put(&self, bytes: &[u8]) {
            fs::write(self.files.blob_path(&self.name), bytes).expect("written");
        }
    }

    #[test]
    fn whole_files_of_every_length_are_whole_however_they_are_read() {
        let piece = limits::SCRUB_PIECE_BYTES;
        for length in [0, 1, 511, 512, 4097, piece - 1, piece, piece + 1, 3 * piece + 100] {
            let stored = store(length);
            for how in [None, Some(How::Direct), Some(How::Cached)] {
                assert_eq!(stored.look(how).expect("looked"), None, "{length} {how:?}");
            }
        }
    }

    #[test]
    fn every_flaw_is_seen_and_called_by_its_name() {
        let stored = store(2 * limits::SCRUB_PIECE_BYTES + 77);
        let sound = stored.bytes.clone();
        for at in [0, limits::SCRUB_PIECE_BYTES, sound.len() - 1] {
            let mut other = sound.clone();
            other[at] ^= 0x10;
            stored.put(&other);
            assert_eq!(stored.look(None).expect("looked"), Some(Flaw::Altered { found: Digest::sha256_of(&other) }));
        }
        stored.put(&sound[..sound.len() - 1]);
        assert_eq!(stored.look(None).expect("looked"), Some(Flaw::Short { found: sound.len() as u64 - 1 }));
        stored.put(&[&sound[..], b"x"].concat());
        assert_eq!(stored.look(None).expect("looked"), Some(Flaw::Long { found: sound.len() as u64 + 1 }));
        let path = stored.files.blob_path(&stored.name);
        fs::remove_file(&path).expect("removed");
        assert_eq!(stored.look(None).expect("looked"), Some(Flaw::Missing));
        fs::create_dir(&path).expect("made");
        assert_eq!(stored.look(None).expect("looked").map(|flaw| flaw.kind()), Some("unreadable"));
    }

    #[test]
    fn a_disk_that_is_away_is_no_flaw_of_a_file() {
        // An empty mount point once looked like a registry that lost everything.
        let stored = store(100);
        fs::remove_dir_all(stored.files.blobs().join("sha256")).expect("removed");
        fs::create_dir(stored.files.blobs().join("sha256")).expect("made");
        assert!(stored.look(None).expect_err("nothing is said").to_string().starts_with("find blobs in"));
    }

    #[test]
    fn a_look_that_was_left_goes_on_and_another_file_begins_anew() {
        let stored = store(limits::SCRUB_PIECE_BYTES * 2);
        let (size, piece) = (stored.bytes.len() as u64, limits::SCRUB_PIECE_BYTES as u64);
        let small = stored.files.write_small(&Digest::sha256_of(b"x"), b"x", UploadId::from_bytes([2; 16]));
        let small = small.expect("written").file;
        let mut inspector = Inspector::new(stored.files.clone());
        assert_eq!(inspector.look(&stored.name, size).expect("looked"), Step::More(piece));
        assert_eq!(inspector.look(&small, 1).expect("looked"), Step::Whole(1));
        assert_eq!(inspector.look(&stored.name, size).expect("looked"), Step::More(piece));
        assert_eq!(inspector.look(&stored.name, size).expect("looked"), Step::Whole(piece));
        assert_eq!(inspector.look(&stored.name, size).expect("looked"), Step::More(piece));
        inspector.start_over();
        assert_eq!(inspector.look(&stored.name, size).expect("looked"), Step::More(piece));
    }
}
