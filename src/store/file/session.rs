//! Upload sessions as they lie on the disk, and finding them after a restart.
//!
//! A session is a folder, not a row: opening an upload or adding to it costs
//! no commit. Nothing of it is synced before the seal, so a power cut may
//! take a session, or the end of its bytes; the offset is always the length
//! of the file, and the hash is computed anew from it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::limits;
use crate::oci::{Algorithm, RepoName};
use crate::store::medium::Medium;

use super::{FileError, Files, UploadId};

/// Who uploads to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The repository that the blob is for.
    pub repository: RepoName,
    /// The account that opened it.
    pub owner: String,
    /// The algorithm that the bytes are hashed with while they arrive.
    pub algorithm: Algorithm,
    /// When it was opened.
    pub created: Timestamp,
}

/// A session found on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOnDisk {
    /// Its id.
    pub id: UploadId,
    /// What its file says.
    pub session: Session,
    /// Bytes it has.
    pub offset: u64,
    /// When its bytes last grew, by the file system.
    pub touched: Timestamp,
}

/// A session that cannot go on; [`Files::drop_upload`] removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenSession {
    /// Its id.
    pub id: UploadId,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It died before it was whole, or while it was dropped.
    #[error("there is no session file")]
    NoSession,
    /// The session file does not read.
    #[error("the session file is not understood: {0}")]
    Garbled(String),
    /// It was sealed, or it died before it was whole.
    #[error("its bytes are gone")]
    NoData,
}

/// What lies in the folder of uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Sessions that can go on.
    pub whole: Vec<SessionOnDisk>,
    /// Sessions that cannot.
    pub broken: Vec<BrokenSession>,
    /// Things that this store did not put there; it leaves them alone.
    pub strangers: Vec<PathBuf>,
}

/// The session file. Unknown fields are passed over: an older release may
/// read what a newer one wrote.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    version: u8,
    repository: RepoName,
    owner: String,
    algorithm: String,
    created_micros: i64,
}

/// The version of [`Stored`].
const VERSION: u8 = 1;
/// The file with the session.
const SESSION: &str = "session";
/// The file with the bytes.
pub(super) const DATA: &str = "data";

impl Files {
    /// Every session on the disk. For the time before any upload runs: one
    /// that is just being opened looks broken.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn sessions(&self) -> Result<Sessions, FileError> {
        let folder = self.uploads();
        let mut found = Sessions::default();
        for entry in fs::read_dir(folder).map_err(FileError::on("list", folder))? {
            let entry = entry.map_err(FileError::on("list", folder))?;
            let is_folder = entry.file_type().map_err(FileError::on("look at", &entry.path()))?.is_dir();
            match entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                Some(id) if is_folder => match self.session(id)? {
                    Ok(session) => found.whole.push(session),
                    Err(fault) => found.broken.push(BrokenSession { id, fault }),
                },
                _ => found.strangers.push(entry.path()),
            }
        }
        Ok(found)
    }

    /// The uploads that have a session, whole or not; none where there is no
    /// folder for them.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn upload_ids(&self) -> Result<std::collections::HashSet<UploadId>, FileError> {
        let folder = self.uploads();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            entries => entries.map_err(FileError::on("list", folder))?,
        };
        let ids = entries.filter_map(|entry| match entry {
            Ok(entry) => entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Ok),
            Err(error) => Some(Err(FileError::on("list", folder)(error))),
        });
        ids.collect()
    }

    /// One session on the disk.
    pub(super) fn session(&self, id: UploadId) -> Result<Result<SessionOnDisk, Fault>, FileError> {
        let folder = self.upload_folder(id);
        let session = match read(&folder.join(SESSION))? {
            Ok(session) => session,
            Err(fault) => return Ok(Err(fault)),
        };
        let data = folder.join(DATA);
        match fs::symlink_metadata(&data) {
            Ok(found) if found.is_file() => {
                let touched = found.modified().map(|at| Timestamp::from_utc(at.into())).unwrap_or(session.created);
                Ok(Ok(SessionOnDisk { id, session, offset: found.len(), touched }))
            }
            Ok(_) => Ok(Err(Fault::NoData)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(Fault::NoData)),
            Err(error) => Err(FileError::on("look at", &data)(error)),
        }
    }
}

/// Writes the session file into an upload's folder.
pub(super) fn write(medium: &Medium, folder: &Path, session: &Session) -> Result<(), FileError> {
    let path = folder.join(SESSION);
    let stored = Stored {
        version: VERSION,
        repository: session.repository.clone(),
        owner: session.owner.clone(),
        algorithm: session.algorithm.as_str().to_owned(),
        created_micros: session.created.micros(),
    };
    let text = serde_json::to_vec(&stored).expect("strings and numbers have a JSON form");
    let file = medium.create_new(&path).map_err(FileError::on("create", &path))?;
    file.write_all_at(&text, 0).map_err(FileError::on("write", &path))
}

/// Reads a session file.
fn read(path: &Path) -> Result<Result<Session, Fault>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Fault::NoSession)),
        Err(error) => return Err(FileError::on("open", path)(error)),
    };
    let mut text = Vec::new();
    file.take(limits::SESSION_FILE_BYTES).read_to_end(&mut text).map_err(FileError::on("read", path))?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Result<Session, Fault> {
    let garbled = |reason: String| Fault::Garbled(reason);
    let stored: Stored = serde_json::from_slice(text).map_err(|error| garbled(error.to_string()))?;
    if stored.version != VERSION {
        return Err(garbled(format!("version {} where {VERSION} is known", stored.version)));
    }
    Ok(Session {
        repository: stored.repository,
        owner: stored.owner,
        algorithm: stored
            .algorithm
            .parse()
            .map_err(|error: crate::oci::digest::DigestError| garbled(error.to_string()))?,
        created: Timestamp::from_micros(stored.created_micros),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            repository: "dev/website".parse().expect("valid"),
            owner: "jo \"quoted\"".to_owned(),
            algorithm: Algorithm::Sha512,
            created: Timestamp::from_micros(1_700_000_000_000_001),
        }
    }

    #[test]
    fn finds_whole_broken_and_strange_sessions() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let id = |byte| UploadId::from_bytes([byte; 16]);
        let make = |byte, with_session: bool, with_data: bool| {
            let folder = files.upload_folder(id(byte));
            fs::create_dir(&folder).expect("made");
            if with_session {
                write(files.medium(), &folder, &session()).expect("written");
            }
            if with_data {
                fs::write(folder.join(DATA), b"12345").expect("written");
            }
            folder
        };
        make(1, true, true);
        make(2, false, true);
        make(3, true, false);
        let garbled = make(4, false, true);
        fs::write(garbled.join(SESSION), b"{\"version\":1").expect("written");
        fs::create_dir(files.uploads().join("lost+found")).expect("made");
        fs::write(files.uploads().join(id(5).to_string()), b"a file").expect("written");

        let mut found = files.sessions().expect("listed");
        let [whole] = &found.whole[..] else { panic!("one whole session: {found:?}") };
        assert_eq!((whole.id, &whole.session, whole.offset), (id(1), &session(), 5));
        assert!(whole.touched > session().created);
        found.broken.sort_by_key(|broken| broken.id);
        let broken: Vec<_> = found.broken.iter().map(|broken| (broken.id, &broken.fault)).collect();
        assert_eq!(broken[..2], [(id(2), &Fault::NoSession), (id(3), &Fault::NoData)]);
        assert!(matches!(broken[2..], [(last, Fault::Garbled(_))] if last == id(4)), "{broken:?}");
        assert_eq!(found.strangers.len(), 2);

        for broken in &found.broken {
            files.drop_upload(broken.id).expect("dropped");
        }
        let left = files.sessions().expect("listed");
        assert_eq!((left.whole.len(), left.broken.len(), left.strangers.len()), (1, 0, 2));
    }

    #[test]
    fn reads_only_what_it_knows() {
        let good =
            r#"{"version":1,"repository":"dev/website","owner":"jo","algorithm":"sha256","created_micros":5,"x":1}"#;
        assert!(parse(good.as_bytes()).is_ok());
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("dev/website", "../../etc"),
            ("sha256", "md5"),
            ("\"owner\":\"jo\",", ""),
            ("}", ""),
        ] {
            let bad = good.replace(from, to);
            assert!(matches!(parse(bad.as_bytes()), Err(Fault::Garbled(_))), "{bad}");
        }
        assert!(matches!(parse(b""), Err(Fault::Garbled(_))));
    }
}
