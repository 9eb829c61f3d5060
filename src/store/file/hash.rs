//! Hashing a file that is there: an upload after a restart, an upload whose
//! digest names another algorithm, a blob under `verify`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::limits;
use crate::oci::{Digest, Hasher};

use super::{BlobFile, FileError, Files};

/// What the bytes of a blob file are, whatever its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Their digest, under the algorithm of the file's name.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
}

impl Files {
    /// Reads a blob file to its end and hashes it; `None` when it is gone.
    /// `progress` is told how many bytes were read since it was last told.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hash(&self, file: &BlobFile, mut progress: impl FnMut(u64)) -> Result<Option<Hashed>, FileError> {
        let path = self.blob_path(file);
        let open = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(FileError::on("open", &path))?,
        };
        let mut hasher = Hasher::new(file.digest.algorithm());
        let mut size = 0;
        each_part(&open, &path, u64::MAX, |part| {
            hasher.update(part);
            size += part.len() as u64;
            progress(part.len() as u64);
        })?;
        Ok(Some(Hashed { digest: hasher.finish(), size }))
    }
}

/// Hashes exactly the first `length` bytes of `file` into `hasher`.
pub(super) fn absorb(file: &File, path: &Path, length: u64, hasher: &mut Hasher) -> Result<(), FileError> {
    let found = each_part(file, path, length, |part| hasher.update(part))?;
    if found < length {
        return Err(FileError::Length { path: path.to_owned(), expected: length, found });
    }
    Ok(())
}

/// Shows `each` the first `length` bytes of `file`, or all when it has fewer,
/// in parts; says how many there were.
fn each_part(file: &File, path: &Path, length: u64, mut each: impl FnMut(&[u8])) -> Result<u64, FileError> {
    let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(limits::HASH_BUFFER_BYTES)];
    let mut at = 0;
    while at < length {
        let wanted = usize::try_from(length - at).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(&mut buffer[..wanted], at) {
            Ok(0) => break,
            Ok(read) => {
                each(&buffer[..read]);
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::on("read", path)(error)),
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::store::file::UploadId;

    #[test]
    fn tells_what_the_bytes_are_and_not_what_the_name_says() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let mut bytes = vec![0; limits::HASH_BUFFER_BYTES * 2 + 7];
        Chance::seeded(1).fill(&mut bytes);
        let digest = Digest::sha256_of(&bytes);
        let file = files.write_small(&digest, &bytes, UploadId::from_bytes([1; 16])).expect("written").file;
        let mut told = Vec::new();
        let hashed = files.hash(&file, |bytes| told.push(bytes)).expect("read").expect("there");
        assert_eq!(hashed, Hashed { digest, size: bytes.len() as u64 });
        assert_eq!(told, [limits::HASH_BUFFER_BYTES as u64, limits::HASH_BUFFER_BYTES as u64, 7]);

        // One bit flips on the disk.
        bytes[limits::HASH_BUFFER_BYTES] ^= 1;
        std::fs::write(files.blob_path(&file), &bytes).expect("written");
        let hashed = files.hash(&file, |_| ()).expect("read").expect("there");
        assert_eq!(hashed.digest, Digest::sha256_of(&bytes));
        assert_ne!(hashed.digest, file.digest);

        files.unlink(&file).expect("removed");
        assert_eq!(files.hash(&file, |_| ()).expect("looked"), None);
    }
}
