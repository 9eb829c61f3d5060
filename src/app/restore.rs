//! Data folders that no daemon runs on: opened to be backed up, and made from a
//! backup.

use std::path::Path;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::lifecycle::blocking;
use crate::store::backup::{self, BackupError, Restored, Restoring};
use crate::store::{DATABASE, OpenError, Store};

use super::AppError;

/// Opens the store in `root`, which has to be there.
///
/// # Errors
/// When it is not there, in use, or cannot be read.
pub async fn open(root: &Path) -> Result<Store, AppError> {
    let root = root.to_owned();
    if !root.join(DATABASE).exists() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no database in it");
        return Err(OpenError::Folder { path: root, source }.into());
    }
    Ok(blocking(move || Store::open(&root, Clock::system(), Chance::system())).await?)
}

/// Makes a data folder from a backup.
///
/// # Errors
/// One [`BackupError`]; the folder is then as it was found.
pub async fn restore(how: Restoring, progress: impl FnMut(u64, u64) + Send + 'static) -> Result<Restored, BackupError> {
    blocking(move || backup::restore(&how, Clock::system().now(), &Chance::system(), progress)).await
}
