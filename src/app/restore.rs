//! Data folders that no daemon runs on: looked at to be backed up, and made from
//! a backup.

use std::path::Path;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::lifecycle::blocking;
use crate::store::Store;
use crate::store::backup::{self, BackupError, Restored, Restoring};

use super::AppError;

/// Opens the store in `root`, which has to be there, and leaves it as it is.
///
/// # Errors
/// When it is not there, in use, or cannot be read.
pub async fn open(root: &Path) -> Result<Store, AppError> {
    let root = root.to_owned();
    Ok(blocking(move || Store::look(&root, Clock::system(), Chance::system())).await?)
}

/// Makes a data folder from a backup.
///
/// # Errors
/// One [`BackupError`]; the folder is then as it was found.
pub async fn restore(how: Restoring, progress: impl FnMut(u64, u64) + Send + 'static) -> Result<Restored, BackupError> {
    blocking(move || backup::restore(&how, Clock::system().now(), &Chance::system(), progress)).await
}
