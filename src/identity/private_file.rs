//! Key files: whole or absent, and nobody else's to read.
//!
//! A file is written under a temporary name, synced, renamed and its folder
//! synced, so that a power cut leaves the old file or the new one. A private
//! file that others could read is refused: what it protects may be known
//! already, and an operator must look.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::limits;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{act} {}", .path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A private file can be read or written by others.
    #[error("{} has mode {mode:04o}, so others can read it: make it 0600, and replace the key if somebody may have", .path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder, a pipe or a device, which may have no end or nothing to say.
    #[error("{} is no regular file, so it is no key or certificate: put a file there, or nothing", .path.display())]
    NotFile {
        /// What is there.
        path: PathBuf,
    },
    /// The file is larger than any key or certificate.
    #[error("{} is larger than {} bytes, so it is no key or certificate", .path.display(), limits::KEY_FILE_BYTES)]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// The file is no text.
    #[error("{} is not text", .path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads a file that only its owner may touch; `None` when there is none.
pub fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>, FileError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let metadata = file.metadata().map_err(|source| failed("look at", path, source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read_text(file, path).map(Some)
}

/// Reads a file whoever else may read it; `None` when there is none.
pub fn read(path: &Path) -> Result<Option<Zeroizing<String>>, FileError> {
    open(path)?.map(|file| read_text(file, path)).transpose()
}

/// Writes a file with exactly `mode`, whole or not at all, and makes its
/// folder (0750) when there is none.
pub fn write(path: &Path, text: &str, mode: u32) -> Result<(), FileError> {
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(|source| failed("make", folder, source))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let write = || -> io::Result<()> {
        // One that a crash left behind, perhaps with another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| failed("write", path, source))
}

/// Removes a file; the name is gone once this returns.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let folder = folder_of(path);
    let gone = || fs::remove_file(path).and_then(|()| File::open(folder)?.sync_all());
    gone().map_err(|source| failed("remove", path, source))
}

fn open(path: &Path) -> Result<Option<File>, FileError> {
    // Opening a pipe would wait for whoever writes to it.
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(at_once).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("open", path, source)),
    };
    let metadata = file.metadata().map_err(|source| failed("look at", path, source))?;
    if metadata.is_file() { Ok(Some(file)) } else { Err(FileError::NotFile { path: path.to_owned() }) }
}

fn read_text(file: File, path: &Path) -> Result<Zeroizing<String>, FileError> {
    // Room for all of it at once: a buffer that grows leaves copies of the key behind.
    let size = file.metadata().map_err(|source| failed("look at", path, source))?.len();
    if size > limits::KEY_FILE_BYTES {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
    match file.take(limits::KEY_FILE_BYTES).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(FileError::NotText { path: path.to_owned() }),
        Err(source) => Err(failed("read", path, source)),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

fn failed(act: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError::Io { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_round_trips_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/key");
        assert!(read_private(&path).unwrap().is_none());
        write(&path, "one", 0o600).unwrap();
        write(&path, "two", 0o600).unwrap();
        assert_eq!(read_private(&path).unwrap().unwrap().as_str(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_a_crash_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(folder.path().join("key.new"), "torn, and longer than the new text").unwrap();
        write(&path, "whole", 0o600).unwrap();
        assert_eq!(read_private(&path).unwrap().unwrap().as_str(), "whole");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for mode in [0o640, 0o604, 0o620] {
            write(&path, "secret", mode).unwrap();
            let error = read_private(&path).unwrap_err();
            assert!(matches!(&error, FileError::Exposed { mode: found, .. } if *found == mode), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(read(&path).unwrap().unwrap().as_str(), "secret");
        }
    }

    /// A pipe in the place of a key once kept the daemon from starting, without
    /// a word.
    #[test]
    fn a_pipe_a_device_and_a_folder_are_refused_by_name_and_at_once() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("key");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
            for error in [read(path).unwrap_err(), read_private(path).unwrap_err()] {
                assert!(matches!(error, FileError::NotFile { .. }), "{error}");
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&path), Err(FileError::NotText { .. })));
        File::create(&path).unwrap().set_len(limits::KEY_FILE_BYTES + 1).unwrap();
        assert!(matches!(read(&path), Err(FileError::TooLarge { .. })));
    }
}
