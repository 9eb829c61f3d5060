//! Reading a blob file, for downloads and for everyone else.
//!
//! A download's next chunk is read inline when the page cache has it, which is
//! cheaper than a trip to another thread, and on the blocking pool when not.
//! Chunks begin small and grow while the client takes them quickly and all
//! downloads together hold little ([`super::buffers`]), so that a thousand slow
//! clients hold little memory and no thread each.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::time::Instant;

use crate::lifecycle;
use crate::limits;

use super::buffers::Buffers;
use super::{BlobFile, FileError, Files, Traffic};

/// An open blob file, and how far a download of it has come. It keeps the
/// bytes readable after the file is unlinked.
#[derive(Debug)]
pub struct BlobReader {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    at: u64,
    end: u64,
    buffers: Buffers,
    pace: Pace,
    traffic: Traffic,
    /// Whether the file system can read from the page cache alone.
    cached_reads: bool,
}

impl Files {
    /// Opens a blob file that should have `size` bytes; `None` when it is
    /// gone, which is logged: a name leads to it. The reader is set on the
    /// whole file.
    ///
    /// # Errors
    /// [`FileError::Length`] when the file is longer or shorter, before any
    /// byte of it is served; else when the system refuses.
    pub fn open_blob(&self, file: &BlobFile, size: u64) -> Result<Option<BlobReader>, FileError> {
        let found = self.find_blob(file, size)?;
        if found.is_none() {
            self.tell_missing(&self.blob_path(file));
        }
        Ok(found)
    }

    /// As [`Files::open_blob`], for those who report by themselves what is
    /// missing.
    ///
    /// # Errors
    /// As [`Files::open_blob`].
    pub(in crate::store) fn find_blob(&self, file: &BlobFile, size: u64) -> Result<Option<BlobReader>, FileError> {
        let path = self.blob_path(file);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(FileError::on("open", &path))?,
        };
        let found = file.metadata().map_err(FileError::on("look at", &path))?.len();
        if found != size {
            return Err(FileError::Length { path, expected: size, found });
        }
        let (file, buffers, pace, traffic) =
            (Arc::new(file), Buffers::new(self.lending().clone()), Pace::default(), self.traffic().clone());
        Ok(Some(BlobReader { file, path, size, at: 0, end: size, buffers, pace, traffic, cached_reads: true }))
    }
}

impl BlobReader {
    /// How many bytes the blob has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes are left to read.
    pub fn remaining(&self) -> u64 {
        self.end - self.at
    }

    /// This reader set on bytes `first..=last`, cut to those that exist.
    #[must_use]
    pub fn part(mut self, first: u64, last: u64) -> Self {
        self.end = last.saturating_add(1).min(self.size);
        self.at = first.min(self.end);
        self
    }

    /// Fills `buffer` from byte `at` on, wherever the reader stands. Blocks.
    ///
    /// # Errors
    /// [`FileError::Length`] when the file ends before.
    pub fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> Result<(), FileError> {
        self.file.read_exact_at(buffer, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.too_short(),
            _ => FileError::on("read", &self.path)(error),
        })
    }

    /// The next bytes, never none of them; `None` at the end. A call that is
    /// dropped has read nothing.
    ///
    /// # Errors
    /// [`FileError::Length`] when the file has become shorter: an answer is
    /// broken off, never cut silently. After an error there is nothing more.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, FileError>> {
        let remaining = self.remaining();
        if remaining == 0 {
            return None;
        }
        let is_roomy = self.buffers.is_roomy(self.pace.bytes);
        if !is_roomy {
            self.buffers.all_home().await;
        }
        let wanted = self.pace.next_bytes(Instant::now());
        let wanted = if is_roomy { wanted } else { wanted.min(limits::READ_FIRST_BYTES) };
        let mut buffer = self.buffers.take(wanted.min(usize::try_from(remaining).unwrap_or(usize::MAX)));
        let read = match self.read_cached(&mut buffer) {
            Some(read) => read,
            None => {
                let (file, at) = (Arc::clone(&self.file), self.at);
                let read;
                (buffer, read) = lifecycle::blocking(move || {
                    let read = read_some(&file, &mut buffer, at);
                    (buffer, read)
                })
                .await;
                read
            }
        };
        let failed = match read {
            Ok(0) => self.too_short(),
            Ok(read) => {
                self.at += read as u64;
                self.traffic.moved(read as u64);
                self.pace.handed(Instant::now());
                return Some(Ok(self.buffers.lend(buffer, read)));
            }
            Err(error) => FileError::on("read", &self.path)(error),
        };
        self.end = self.at;
        Some(Err(failed))
    }

    /// The chunks as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, FileError>> + Send {
        stream::unfold(self, async |mut reader| Some((reader.next_chunk().await?, reader)))
    }

    /// Reads what the page cache has; `None` when the pool has to read.
    fn read_cached(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if !self.cached_reads {
            return None;
        }
        let mut slices = [IoSliceMut::new(buffer)];
        match rustix::io::preadv2(&self.file, &mut slices, self.at, ReadWriteFlags::NOWAIT) {
            Ok(read) => Some(Ok(read)),
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.cached_reads = false;
                None
            }
            Err(errno) => Some(Err(errno.into())),
        }
    }

    fn too_short(&self) -> FileError {
        let found = self.file.metadata().map_or(self.at, |found| found.len());
        FileError::Length { path: self.path.clone(), expected: self.size, found }
    }
}

/// How large the next chunk is, by how quickly the last was taken.
#[derive(Debug)]
struct Pace {
    bytes: usize,
    /// When the last chunk was handed out.
    handed: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { bytes: limits::READ_FIRST_BYTES, handed: None }
    }
}

impl Pace {
    /// The size of the chunk that is asked for at `now`.
    fn next_bytes(&mut self, now: Instant) -> usize {
        if let Some(handed) = self.handed.take() {
            let taken = now.duration_since(handed);
            if taken <= limits::READ_QUICK {
                self.bytes = (self.bytes * 2).min(limits::READ_LARGEST_BYTES);
            } else if taken > limits::READ_SLOW {
                self.bytes = (self.bytes / 2).max(limits::READ_FIRST_BYTES);
            }
        }
        self.bytes
    }

    fn handed(&mut self, now: Instant) {
        self.handed = Some(now);
    }
}

/// One blocking read.
fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt as _;

    use super::*;
    use crate::chance::Chance;
    use crate::oci::Digest;
    use crate::store::file::UploadId;

    struct Stored {
        _root: tempfile::TempDir,
        files: Files,
        file: BlobFile,
        bytes: Vec<u8>,
    }

    fn store(length: usize) -> Stored {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let mut bytes = vec![0; length];
        Chance::seeded(9).fill(&mut bytes);
        let upload = UploadId::from_bytes([1; 16]);
        let file = files.write_small(&Digest::sha256_of(&bytes), &bytes, upload).expect("written").file;
        Stored { _root: root, files, file, bytes }
    }

    impl Stored {
        fn open(&self) -> BlobReader {
            self.files.open_blob(&self.file, self.bytes.len() as u64).expect("opened").expect("there")
        }
    }

    async fn chunks(mut reader: BlobReader) -> (Vec<usize>, Vec<u8>) {
        let (mut lengths, mut all) = (Vec::new(), Vec::new());
        while let Some(chunk) = reader.next_chunk().await {
            let chunk = chunk.expect("read");
            lengths.push(chunk.len());
            all.extend_from_slice(&chunk);
        }
        (lengths, all)
    }

    #[tokio::test]
    async fn reads_every_range_with_and_without_the_page_cache() {
        let stored = store(1_000_003);
        let length = stored.bytes.len();
        let last = length - 1;
        for (first, last) in [(0, last), (0, 0), (last, last), (5, 4_999), (16_384, 999_999), (0, usize::MAX)] {
            for cached_reads in [true, false] {
                let mut reader = stored.open();
                reader.cached_reads = cached_reads;
                let reader = reader.part(first as u64, last as u64);
                let expected = &stored.bytes[first..length.min(last.saturating_add(1))];
                assert_eq!(reader.remaining(), expected.len() as u64);
                assert!(chunks(reader).await.1 == expected, "{first}..={last}, cached {cached_reads}");
            }
        }
        let beyond = stored.open().part(length as u64, length as u64 + 5);
        assert!(chunks(beyond).await.1.is_empty());
        let streamed: Vec<_> = stored.open().into_stream().map(|chunk| chunk.expect("read")).collect().await;
        assert!(streamed.concat() == stored.bytes);
        let mut four = [0; 4];
        stored.open().read_exact_at(&mut four, 100).expect("read");
        assert_eq!(four, stored.bytes[100..104]);
    }

    #[tokio::test]
    async fn chunks_begin_small_and_stay_bounded() {
        let stored = store(3 << 20);
        let (lengths, all) = chunks(stored.open()).await;
        assert_eq!(lengths[0], limits::READ_FIRST_BYTES);
        assert!(lengths.iter().all(|&length| length <= limits::READ_LARGEST_BYTES), "{lengths:?}");
        assert!(all == stored.bytes);
    }

    #[test]
    fn chunks_grow_for_a_quick_client_and_shrink_for_a_slow_one() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        let slow = limits::READ_SLOW + Duration::from_millis(1);
        let between = limits::READ_QUICK + Duration::from_millis(1);
        let quick =
            [Duration::ZERO, limits::READ_QUICK, Duration::ZERO, Duration::ZERO, Duration::ZERO, Duration::ZERO];
        let mut kib = Vec::new();
        for taken in quick.into_iter().chain([between, slow, slow, slow, slow, slow, slow, Duration::ZERO]) {
            kib.push(pace.next_bytes(now) >> 10);
            pace.handed(now);
            now += taken;
        }
        assert_eq!(kib, [16, 32, 64, 128, 256, 512, 512, 512, 256, 128, 64, 32, 16, 16]);
        assert_eq!(pace.next_bytes(now) >> 10, 32);
        // A call that was dropped and made again does not grow it twice.
        assert_eq!(pace.next_bytes(now) >> 10, 32);
    }

    #[tokio::test]
    async fn a_file_of_another_length_is_an_error_and_no_short_answer() {
        let stored = store(100_000);
        let size = stored.bytes.len() as u64;
        for wrong in [size - 1, size + 1] {
            let error = stored.files.open_blob(&stored.file, wrong).unwrap_err();
            assert!(
                matches!(error, FileError::Length { expected, found, .. } if (expected, found) == (wrong, size)),
                "{error:?}"
            );
        }
        // It loses its end while it is read.
        for cached_reads in [true, false] {
            let mut reader = stored.open();
            reader.cached_reads = cached_reads;
            let first = reader.next_chunk().await.expect("more").expect("read").len() as u64;
            let file = File::options().write(true).open(stored.files.blob_path(&stored.file)).expect("opened");
            file.set_len(first + 10).expect("cut");
            assert_eq!(reader.next_chunk().await.expect("more").expect("what is left").len(), 10);
            let error = reader.next_chunk().await.expect("an end").unwrap_err();
            assert!(
                matches!(error, FileError::Length { expected, found, .. } if (expected, found) == (size, first + 10)),
                "{error:?}"
            );
            assert!(reader.next_chunk().await.is_none());
            let mut end = [0; 4];
            assert!(matches!(reader.read_exact_at(&mut end, first + 8), Err(FileError::Length { .. })));
            file.set_len(0).expect("cut");
            std::fs::write(stored.files.blob_path(&stored.file), &stored.bytes).expect("mended");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_none_and_an_open_one_stays_readable() {
        let stored = store(50_000);
        let reader = stored.open();
        assert!(stored.files.unlink(&stored.file).expect("removed"));
        assert!(stored.files.open_blob(&stored.file, 50_000).expect("looked").is_none());
        assert!(chunks(reader).await.1 == stored.bytes);
    }
}
