//! One upload: append, hash while appending, and seal.
//!
//! An [`Upload`] has one user at a time; the layer above keeps it behind a
//! lock. Its calls block. Dropping the value changes nothing on the disk.

use std::io;
use std::path::PathBuf;

use crate::limits;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::store::crash::crash_point;
use crate::store::medium::OpenFile;

use super::durable::{begin_writeback, sync_bytes};
use super::hash::absorb;
use super::session::{self, DATA, Session};
use super::{BlobFile, FileError, Files, SealError, UploadId};

/// An open upload.
#[derive(Debug)]
pub struct Upload {
    files: Files,
    id: UploadId,
    algorithm: Algorithm,
    /// The file with the bytes; `None` once the upload has ended.
    data: Option<OpenFile>,
    path: PathBuf,
    offset: u64,
    /// The hash of the first `offset` bytes; `None` after a restart, until it
    /// is needed.
    hasher: Option<Hasher>,
    /// Bytes that the disk was asked to begin on.
    started: u64,
}

/// Where an upload stood, to go back to.
#[derive(Debug)]
pub struct Mark {
    offset: u64,
    hasher: Option<Hasher>,
}

/// A blob whose bytes and name are durable, and which no row names yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What the bytes hash to.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// Where they lie.
    pub file: BlobFile,
}

impl Files {
    /// Opens an upload with no bytes. Nothing is synced: a power cut may take
    /// the session, which no one was promised.
    ///
    /// # Errors
    /// When the disk is full or the system refuses.
    pub fn begin_upload(&self, id: UploadId, session: &Session) -> Result<Upload, FileError> {
        self.begin(id, session.algorithm, Some(session))
    }

    /// Opens an upload that was there before a restart; `None` when its
    /// session is gone or broken. Its hash is computed when first needed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume_upload(&self, id: UploadId) -> Result<Option<Upload>, FileError> {
        let Ok(found) = self.session(id)? else { return Ok(None) };
        let path = self.upload_folder(id).join(DATA);
        let data = self.medium().open(&path).map_err(FileError::on("open", &path))?;
        let offset = data.file().metadata().map_err(FileError::on("look at", &path))?.len();
        let algorithm = found.session.algorithm;
        let hasher = (offset == 0).then(|| Hasher::new(algorithm));
        Ok(Some(Upload { files: self.clone(), id, algorithm, data: Some(data), path, offset, hasher, started: offset }))
    }

    /// Writes `bytes` as the blob `digest` in one call and in the same order
    /// as an upload: for manifests that are too large for the database.
    ///
    /// # Errors
    /// [`SealError::Mismatch`] when the bytes are not what `digest` names, and
    /// the file system's failures. Nothing is left of a refused write.
    pub fn write_small(&self, digest: &Digest, bytes: &[u8], id: UploadId) -> Result<Sealed, SealError> {
        let mut upload = self.begin(id, digest.algorithm(), None)?;
        let sealed = match upload.append(bytes) {
            Ok(()) => upload.verify_and_seal(digest),
            Err(error) => Err(error.into()),
        };
        if sealed.is_err() {
            let _removed = self.drop_upload(id);
        }
        sealed
    }

    fn begin(&self, id: UploadId, algorithm: Algorithm, session: Option<&Session>) -> Result<Upload, FileError> {
        self.disk().take(0)?;
        let folder = self.upload_folder(id);
        self.medium().make_folder(&folder).map_err(FileError::on("create the folder", &folder))?;
        crash_point!("upload-folder-created");
        let path = folder.join(DATA);
        let filled = session.map_or(Ok(()), |session| session::write(self.medium(), &folder, session)).and_then(|()| {
            crash_point!("upload-session-written");
            self.medium().create_new(&path).map_err(FileError::on("create", &path))
        });
        if filled.is_err() {
            // Half a session is of no use; what cannot be removed now is
            // found broken at the next start.
            let _removed = self.drop_upload(id);
        }
        let (data, hasher) = (Some(filled?), Some(Hasher::new(algorithm)));
        Ok(Upload { files: self.clone(), id, algorithm, data, path, offset: 0, hasher, started: 0 })
    }
}

impl Upload {
    /// Its id.
    pub fn id(&self) -> UploadId {
        self.id
    }

    /// Whether it was sealed: nothing goes on from there.
    pub fn has_ended(&self) -> bool {
        self.data.is_none()
    }

    /// How many bytes it has.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds `bytes` at the end. Blocks.
    ///
    /// # Errors
    /// When the disk is full, the blob would be too large, the upload has
    /// ended, or the system refuses. What was written before the failure
    /// counts: [`Upload::offset`] says how much, and the upload can go on.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        if limits::BLOB_BYTES - self.offset.min(limits::BLOB_BYTES) < bytes.len() as u64 {
            return Err(FileError::TooLarge);
        }
        self.files.disk().take(bytes.len() as u64)?;
        let mut hasher = self.take_hasher()?;
        let written = loop {
            if bytes.is_empty() {
                break Ok(());
            }
            let data = self.data.as_ref().ok_or(FileError::Ended { id: self.id })?;
            match data.write_at(bytes, self.offset) {
                Ok(0) => break Err(FileError::on("write", &self.path)(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    hasher.update(&bytes[..count]);
                    self.offset += count as u64;
                    self.files.traffic().moved(count as u64);
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(FileError::on("write", &self.path)(error)),
            }
        };
        self.hasher = Some(hasher);
        crash_point!("upload-data-written");
        if let Some(data) = &self.data
            && self.offset - self.started >= limits::UPLOAD_WRITEBACK_BYTES
        {
            begin_writeback(data.file(), self.started, self.offset);
            self.started = self.offset;
        }
        written
    }

    /// Where it stands.
    pub fn mark(&self) -> Mark {
        Mark { offset: self.offset, hasher: self.hasher.clone() }
    }

    /// Cuts it back to where it stood at `mark`: bytes, offset and hash. Blocks.
    ///
    /// # Errors
    /// When the upload has ended or the system refuses; then it stands where it
    /// stood before the call.
    pub fn rewind(&mut self, mark: Mark) -> Result<(), FileError> {
        let data = self.data.as_ref().ok_or(FileError::Ended { id: self.id })?;
        data.set_len(mark.offset).map_err(FileError::on("cut back", &self.path))?;
        self.offset = mark.offset;
        self.hasher = mark.hasher;
        self.started = self.started.min(mark.offset);
        Ok(())
    }

    /// Makes the upload the blob `expected`: its bytes durable, then its name.
    /// The session ends with it. Blocks.
    ///
    /// The file has no row yet: who cannot commit one unlinks
    /// [`Sealed::file`], or leaves it to the next start.
    ///
    /// # Errors
    /// [`SealError::Mismatch`] stores nothing and leaves the session as it
    /// was, to be dropped or gone on with. After a failure that
    /// [`is_fatal`](SealError::is_fatal) nothing can be sealed any more.
    pub fn verify_and_seal(&mut self, expected: &Digest) -> Result<Sealed, SealError> {
        let found = self.digest(expected.algorithm())?;
        if found != *expected {
            return Err(SealError::Mismatch { found });
        }
        let file = BlobFile { digest: found, upload: self.id };
        let files = self.files.clone();
        files.watch(self.seal(&file))?;
        // What is left is a session without bytes, which the next start drops.
        let _removed = files.drop_upload(self.id);
        crash_point!("upload-folder-removed");
        Ok(Sealed { digest: found, size: self.offset, file })
    }

    /// The write order, up to the commit that is the caller's.
    fn seal(&mut self, file: &BlobFile) -> Result<(), FileError> {
        if self.files.is_stopped() {
            return Err(FileError::Stopped);
        }
        let data = self.data.as_ref().ok_or(FileError::Ended { id: self.id })?;
        let found = data.file().metadata().map_err(FileError::on("look at", &self.path))?.len();
        if found != self.offset {
            return Err(FileError::Length { path: self.path.clone(), expected: self.offset, found });
        }
        let shard = self.files.shard(&file.digest)?;
        sync_bytes(data, &self.path)?;
        crash_point!("upload-data-synced");
        let place = shard.path().join(file.file_name());
        self.files.medium().rename(&self.path, &place).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileError::Ended { id: self.id },
            _ => FileError::on("rename", &self.path)(error),
        })?;
        self.data = None;
        crash_point!("blob-renamed");
        shard.sync_names()?;
        crash_point!("blob-directory-synced");
        Ok(())
    }

    /// The digest of the bytes so far.
    fn digest(&mut self, algorithm: Algorithm) -> Result<Digest, FileError> {
        if algorithm == self.algorithm {
            let hasher = self.take_hasher()?;
            self.hasher = Some(hasher.clone());
            return Ok(hasher.finish());
        }
        let mut hasher = Hasher::new(algorithm);
        let data = self.data.as_ref().ok_or(FileError::Ended { id: self.id })?;
        absorb(data.file(), &self.path, self.offset, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// The hash state, computed from the file where it is not in memory. Who
    /// took it puts it back with what was added.
    fn take_hasher(&mut self) -> Result<Hasher, FileError> {
        let data = self.data.as_ref().ok_or(FileError::Ended { id: self.id })?;
        if let Some(hasher) = self.hasher.take() {
            return Ok(hasher);
        }
        let mut hasher = Hasher::new(self.algorithm);
        absorb(data.file(), &self.path, self.offset, &mut hasher)?;
        Ok(hasher)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};

    use super::*;
    use crate::chance::Chance;
    use crate::clock::Timestamp;
    use crate::store::file::{Fault, Found};

    const ID: UploadId = UploadId::from_bytes([1; 16]);

    fn session(algorithm: Algorithm) -> Session {
        let repository = "dev/website".parse().expect("valid");
        Session { repository, owner: "jo".to_owned(), algorithm, created: Timestamp::from_micros(5) }
    }

    fn begin(root: &tempfile::TempDir, algorithm: Algorithm) -> (Files, Upload) {
        let files = Files::open(root.path()).expect("opened");
        let upload = files.begin_upload(ID, &session(algorithm)).expect("begun");
        (files, upload)
    }

    fn random(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Chance::seeded(length as u64).fill(&mut bytes);
        bytes
    }

    fn blobs(files: &Files) -> Vec<BlobFile> {
        let found = files.walk().expect("walks").map(|found| match found.expect("read") {
            Found::Blob { file, .. } => file,
            Found::Stranger(path) => panic!("a stranger: {}", path.display()),
        });
        found.collect()
    }

    #[test]
    fn what_is_appended_in_pieces_is_sealed_under_its_digest() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for ends_in in [Algorithm::Sha256, Algorithm::Sha512] {
                let root = tempfile::tempdir().expect("a folder");
                let (files, mut upload) = begin(&root, algorithm);
                // Past the bound at which the disk is asked to begin.
                let bytes = random(limits::UPLOAD_WRITEBACK_BYTES as usize + 100_001);
                for part in bytes.chunks(1_000_003) {
                    upload.append(part).expect("appended");
                }
                assert_eq!(upload.offset(), bytes.len() as u64);
                let digest = Digest::of(ends_in, &bytes);
                let sealed = upload.verify_and_seal(&digest).expect("sealed");
                let file = BlobFile { digest, upload: ID };
                assert_eq!(sealed, Sealed { digest, size: bytes.len() as u64, file });
                assert!(fs::read(files.blob_path(&file)).expect("there") == bytes);
                assert_eq!(blobs(&files), [file]);
                assert_eq!(files.sessions().expect("listed"), Default::default());
            }
        }
    }

    #[test]
    fn an_upload_cut_back_is_as_if_nothing_had_come() {
        for resumed in [false, true] {
            let root = tempfile::tempdir().expect("a folder");
            let (files, mut upload) = begin(&root, Algorithm::Sha256);
            upload.append(b"hello").expect("appended");
            if resumed {
                upload = files.resume_upload(ID).expect("looked").expect("there");
            }
            let mark = upload.mark();
            upload.append(&random(limits::UPLOAD_WRITEBACK_BYTES as usize + 1)).expect("appended");
            upload.rewind(mark).expect("cut");
            assert_eq!(upload.offset(), 5);
            upload.append(b" world").expect("appended");
            upload.verify_and_seal(&Digest::sha256_of(b"hello world")).expect("sealed");
        }
    }

    #[test]
    fn an_upload_goes_on_after_a_restart() {
        for ends_in in [Algorithm::Sha256, Algorithm::Sha512] {
            let root = tempfile::tempdir().expect("a folder");
            let (_, mut upload) = begin(&root, Algorithm::Sha256);
            let bytes = random(2_000_000);
            upload.append(&bytes[..700_001]).expect("appended");
            drop(upload);

            let files = Files::open(root.path()).expect("opened");
            let found = files.sessions().expect("listed");
            let [whole] = &found.whole[..] else { panic!("one session: {found:?}") };
            assert_eq!((whole.id, &whole.session, whole.offset), (ID, &session(Algorithm::Sha256), 700_001));
            let mut upload = files.resume_upload(ID).expect("opened").expect("there");
            assert_eq!(upload.offset(), 700_001);
            upload.append(&bytes[700_001..1_500_000]).expect("appended");
            drop(upload);

            // And again, with nothing left to append: the hash is made by the seal.
            let mut upload = files.resume_upload(ID).expect("opened").expect("there");
            let digest = Digest::of(ends_in, &bytes[..1_500_000]);
            assert_eq!(upload.verify_and_seal(&digest).expect("sealed").size, 1_500_000);
            assert!(files.resume_upload(ID).expect("looked").is_none());
        }
    }

    #[test]
    fn a_digest_that_does_not_match_stores_nothing_and_keeps_the_session() {
        let root = tempfile::tempdir().expect("a folder");
        let (files, mut upload) = begin(&root, Algorithm::Sha256);
        upload.append(b"hello").expect("appended");
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let expected = Digest::of(algorithm, b"other");
            let error = upload.verify_and_seal(&expected).unwrap_err();
            assert!(
                matches!(error, SealError::Mismatch { found } if found == Digest::of(algorithm, b"hello")),
                "{error:?}"
            );
            assert_eq!(blobs(&files), []);
        }
        assert_eq!(files.sessions().expect("listed").whole[0].offset, 5);
        // The client may still send the rest.
        upload.append(b" world").expect("appended");
        upload.verify_and_seal(&Digest::sha256_of(b"hello world")).expect("sealed");
    }

    #[test]
    fn two_uploads_of_one_digest_are_two_files() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let digest = Digest::sha256_of(b"same");
        let mut first = files.begin_upload(ID, &session(Algorithm::Sha256)).expect("begun");
        let other = UploadId::from_bytes([2; 16]);
        let mut second = files.begin_upload(other, &session(Algorithm::Sha256)).expect("begun");
        for upload in [&mut first, &mut second] {
            upload.append(b"same").expect("appended");
            upload.verify_and_seal(&digest).expect("sealed");
        }
        let mut found = blobs(&files);
        found.sort();
        assert_eq!(found, [BlobFile { digest, upload: ID }, BlobFile { digest, upload: other }]);
        // Removing one leaves the other.
        files.unlink(&found[0]).expect("removed");
        assert!(files.open_blob(&found[1], 4).expect("opened").is_some());
    }

    #[test]
    fn an_id_is_used_once() {
        let root = tempfile::tempdir().expect("a folder");
        let (files, mut upload) = begin(&root, Algorithm::Sha256);
        upload.append(b"first").expect("appended");
        let again = files.begin_upload(UploadId::from_bytes([2; 16]), &session(Algorithm::Sha256));
        assert!(again.is_ok());
        assert!(matches!(
            files.begin_upload(ID, &session(Algorithm::Sha256)),
            Err(FileError::Io { action: "create the folder", .. })
        ));
        // The first is unharmed.
        upload.verify_and_seal(&Digest::sha256_of(b"first")).expect("sealed");
    }

    #[test]
    fn an_upload_that_has_ended_takes_nothing_more() {
        let root = tempfile::tempdir().expect("a folder");
        let (files, mut upload) = begin(&root, Algorithm::Sha256);
        let empty = Digest::sha256_of(b"");
        upload.verify_and_seal(&empty).expect("sealed");
        assert!(matches!(upload.append(b"x"), Err(FileError::Ended { id: ID })));
        assert!(matches!(upload.verify_and_seal(&empty), Err(SealError::File(FileError::Ended { id: ID }))));

        // Dropped from another side while it is held.
        let other = UploadId::from_bytes([2; 16]);
        let mut upload = files.begin_upload(other, &session(Algorithm::Sha256)).expect("begun");
        files.drop_upload(other).expect("dropped");
        assert!(matches!(upload.verify_and_seal(&empty), Err(SealError::File(FileError::Ended { .. }))));
        assert_eq!(blobs(&files), [BlobFile { digest: empty, upload: ID }]);
    }

    #[test]
    fn a_file_that_grew_behind_our_back_is_not_sealed() {
        let root = tempfile::tempdir().expect("a folder");
        let (files, mut upload) = begin(&root, Algorithm::Sha256);
        upload.append(b"hello").expect("appended");
        fs::write(&upload.path, b"hello and more").expect("written");
        let error = upload.verify_and_seal(&Digest::sha256_of(b"hello")).unwrap_err();
        assert!(matches!(error, SealError::File(FileError::Length { expected: 5, found: 14, .. })), "{error:?}");
        assert_eq!(blobs(&files), []);
    }

    #[test]
    fn a_failed_sync_stops_every_seal_and_is_not_tried_again() {
        let root = tempfile::tempdir().expect("a folder");
        let (files, mut upload) = begin(&root, Algorithm::Sha256);
        let empty = Digest::sha256_of(b"");
        // A socket in place of the file: its sync fails.
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let real = upload.data.replace(OpenFile::unwatched(File::from(std::os::fd::OwnedFd::from(socket))));
        let error = upload.verify_and_seal(&empty).unwrap_err();
        assert!(matches!(error, SealError::File(FileError::Sync { .. })) && error.is_fatal(), "{error:?}");
        // A sync would work now; it is not asked for.
        upload.data = real;
        let error = upload.verify_and_seal(&empty).unwrap_err();
        assert!(matches!(error, SealError::File(FileError::Stopped)) && error.is_fatal(), "{error:?}");
        let error = files.clone().write_small(&empty, b"", UploadId::from_bytes([2; 16])).unwrap_err();
        assert!(matches!(error, SealError::File(FileError::Stopped)), "{error:?}");
        assert!(files.is_stopped());
        assert_eq!(blobs(&files), []);
    }

    #[test]
    fn a_full_disk_is_told_and_what_was_written_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let (_files, mut upload) = begin(&root, Algorithm::Sha256);
        upload.append(b"hello").expect("appended");
        let full = OpenOptions::new().read(true).write(true).open("/dev/full").expect("every Linux has it");
        let real = upload.data.replace(OpenFile::unwatched(full));
        let error = upload.append(b" world").unwrap_err();
        assert!(error.is_full() && !error.is_fatal(), "{error:?}");
        assert_eq!(upload.offset(), 5);
        // There is room again.
        upload.data = real;
        upload.append(b" world").expect("appended");
        upload.verify_and_seal(&Digest::sha256_of(b"hello world")).expect("sealed");
    }

    #[test]
    fn a_blob_has_a_largest_size() {
        let root = tempfile::tempdir().expect("a folder");
        let (_files, mut upload) = begin(&root, Algorithm::Sha256);
        upload.offset = limits::BLOB_BYTES - 1;
        assert!(matches!(upload.append(b"xy"), Err(FileError::TooLarge)));
        assert_eq!(upload.offset(), limits::BLOB_BYTES - 1);
    }

    #[test]
    fn a_small_write_that_is_refused_leaves_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let digest = Digest::sha256_of(b"promised");
        assert!(matches!(files.write_small(&digest, b"sent", ID), Err(SealError::Mismatch { .. })));
        assert_eq!(blobs(&files), []);
        assert_eq!(files.sessions().expect("listed"), Default::default());
        // The same id can be used, as nothing is left of it.
        assert_eq!(files.write_small(&digest, b"promised", ID).expect("written").size, 8);
    }

    #[test]
    fn a_session_without_its_file_does_not_go_on() {
        let root = tempfile::tempdir().expect("a folder");
        let (files, upload) = begin(&root, Algorithm::Sha256);
        fs::remove_file(&upload.path).expect("removed");
        assert!(files.resume_upload(ID).expect("looked").is_none());
        assert_eq!(files.sessions().expect("listed").broken[0].fault, Fault::NoData);
    }
}
