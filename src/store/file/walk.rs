//! Every blob file on the disk, one at a time.
//!
//! For the sweep of files that no row names, and for `verify`. The walk holds
//! three open directories and nothing else; a file made or removed meanwhile
//! may or may not be met. Who removes what no row names has to leave out
//! uploads that are between their rename and their commit: their id is in
//! [`BlobFile::upload`].

use std::fs::{self, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use crate::oci::Digest;

use super::files::ALGORITHMS;
use super::place::shard_name;
use super::{BlobFile, FileError, Files};

/// What the walk meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A blob file, by its name: its bytes are not looked at.
    Blob {
        /// Which.
        file: BlobFile,
        /// Its length in bytes.
        size: u64,
    },
    /// Something that this store did not put there; it leaves it alone.
    Stranger(PathBuf),
}

/// The walk.
#[derive(Debug)]
pub struct Walk {
    /// Open directories: blobs, algorithm, shard.
    open: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    path: PathBuf,
    name: String,
    entries: ReadDir,
}

/// How many directories lie above a blob file.
const LEVELS: usize = 3;

impl Files {
    /// Walks over all blob files, in no order.
    ///
    /// # Errors
    /// When the folder cannot be read. The walk gives an error for each
    /// directory or file that it cannot read, and goes on.
    pub fn walk(&self) -> Result<Walk, FileError> {
        let top = Level::open(self.blobs(), String::new())?;
        Ok(Walk { open: top.into_iter().collect() })
    }
}

impl Files {
    /// The files of one digest, by their names. Lists a whole directory: for
    /// what happens seldom.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn copies(&self, digest: &Digest) -> Result<Vec<BlobFile>, FileError> {
        let (algorithm, shard) = (digest.algorithm().as_str(), shard_name(digest.hash()[0]));
        let folder = self.blobs().join(algorithm).join(&shard);
        let failed = || FileError::on("list", &folder);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed())?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed())?.file_name();
            let file = name.to_str().and_then(|name| BlobFile::parse(algorithm, &shard, name));
            found.extend(file.filter(|file| file.digest == *digest));
        }
        Ok(found)
    }
}

impl Iterator for Walk {
    type Item = Result<Found, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let level = self.open.last_mut()?;
            let entry = match level.entries.next() {
                None => {
                    self.open.pop();
                    continue;
                }
                Some(Err(error)) => {
                    // A directory that fails once may fail for ever.
                    let failed = FileError::on("list", &level.path)(error);
                    self.open.pop();
                    return Some(Err(failed));
                }
                Some(Ok(entry)) => entry,
            };
            match self.meet(&entry) {
                Ok(None) => {}
                Ok(Some(found)) => return Some(Ok(found)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Walk {
    /// Looks at one entry of the innermost directory: goes into it, or says
    /// what it is. `None` also when it is gone.
    fn meet(&mut self, entry: &fs::DirEntry) -> Result<Option<Found>, FileError> {
        let path = entry.path();
        // Not followed: a symbolic link is a stranger.
        let data = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            data => data.map_err(FileError::on("look at", &path))?,
        };
        let name = entry.file_name().to_str().map(str::to_owned).unwrap_or_default();
        if self.open.len() < LEVELS {
            if data.is_dir() && self.leads_on(&name) {
                self.open.extend(Level::open(&path, name)?);
                return Ok(None);
            }
            return Ok(Some(Found::Stranger(path)));
        }
        let file = match &self.open[..] {
            [_, algorithm, shard] if data.is_file() => BlobFile::parse(&algorithm.name, &shard.name, &name),
            _ => None,
        };
        Ok(Some(match file {
            Some(file) => Found::Blob { file, size: data.len() },
            None => Found::Stranger(path),
        }))
    }

    /// Whether a directory of this name, in the innermost one, holds blobs.
    fn leads_on(&self, name: &str) -> bool {
        match self.open.len() {
            1 => ALGORITHMS.iter().any(|algorithm| algorithm.as_str() == name),
            _ => name.len() == 2 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        }
    }
}

impl Level {
    /// Opens a directory; `None` when it is gone.
    fn open(path: &Path, name: String) -> Result<Option<Self>, FileError> {
        match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            entries => {
                let entries = entries.map_err(FileError::on("list", path))?;
                Ok(Some(Self { path: path.to_owned(), name, entries }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::oci::Algorithm;
    use crate::store::file::UploadId;

    #[test]
    fn meets_every_blob_file_once_and_calls_strangers_strangers() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let mut expected = BTreeMap::new();
        for n in 0..300_u32 {
            let bytes = n.to_string().repeat(n as usize + 1);
            let algorithm = if n % 3 == 0 { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let mut upload = [0; 16];
            upload[..4].copy_from_slice(&n.to_be_bytes());
            let digest = Digest::of(algorithm, bytes.as_bytes());
            let sealed = files.write_small(&digest, bytes.as_bytes(), UploadId::from_bytes(upload)).expect("written");
            expected.insert(sealed.file, sealed.size);
        }
        let a_blob = files.blob_path(expected.keys().next().expect("some"));
        let shard = a_blob.parent().expect("a shard");
        let mut strangers = vec![
            files.blobs().join("lost+found"),
            files.blobs().join("md5"),
            files.blobs().join("sha256/README"),
            files.blobs().join("sha256/AB"),
            files.blobs().join("sha256/abc"),
            shard.join(".nfs000001"),
            shard.join("folder"),
        ];
        for path in &strangers {
            match path.extension().is_none() && !path.ends_with("README") && !path.ends_with(".nfs000001") {
                true => fs::create_dir(path).expect("made"),
                false => fs::write(path, b"x").expect("written"),
            }
        }
        // A file in the directory of another hash, and a link in place of one.
        let (shard_name, file_name) = (shard.file_name().expect("a name"), a_blob.file_name().expect("a name"));
        let other = files.blobs().join("sha256").join(if shard_name == "00" { "01" } else { "00" });
        fs::create_dir_all(&other).expect("made");
        for path in [other.join(file_name), shard.join(format!("{}f", file_name.to_str().expect("ascii")))] {
            fs::write(&path, b"x").expect("written");
            strangers.push(path);
        }
        let link = shard.join(format!("{}.{}", "0".repeat(64), "0".repeat(32)));
        std::os::unix::fs::symlink(&a_blob, &link).expect("linked");
        strangers.push(link);

        let (mut blobs, mut strange) = (BTreeMap::new(), Vec::new());
        for found in files.walk().expect("walks") {
            match found.expect("read") {
                Found::Blob { file, size } => assert_eq!(blobs.insert(file, size), None, "{file} was met before"),
                Found::Stranger(path) => strange.push(path),
            }
        }
        strange.sort();
        strangers.sort();
        assert_eq!(blobs, expected);
        assert_eq!(strange, strangers);
    }

    #[test]
    fn what_goes_away_meanwhile_is_no_error() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        files.write_small(&Digest::sha256_of(b"x"), b"x", UploadId::from_bytes([1; 16])).expect("written");
        let walk = files.walk().expect("walks");
        fs::remove_dir_all(files.blobs().join("sha256")).expect("removed");
        assert_eq!(walk.filter(|found| found.as_ref().is_ok_and(|f| matches!(f, Found::Blob { .. }))).count(), 0);
    }
}
