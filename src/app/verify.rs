//! Opens a data folder that no daemon runs on, and proves it.

use std::path::Path;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::lifecycle::blocking;
use crate::registry::Registry;
use crate::store::Store;
use crate::store::verify::{Depth, Report, verify};

use super::AppError;

/// Looks at everything in `root`.
///
/// # Errors
/// When the folder is not there, in use, or cannot be read.
pub async fn folder(root: &Path) -> Result<Report, AppError> {
    let root = root.to_owned();
    if !root.join(crate::store::DATABASE).exists() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no database in it");
        return Err(crate::store::OpenError::Folder { path: root, source }.into());
    }
    blocking(move || {
        let store = Store::open(&root, Clock::system(), Chance::system())?;
        let registry = Registry::new(store.clone())?;
        let live = registry.open_uploads().into_iter().collect();
        let report = verify(&store.snapshot()?, store.files(), Depth::Bytes, &live)?;
        store.close();
        Ok(report)
    })
    .await
}
