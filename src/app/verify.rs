//! Opens a data folder that no daemon runs on, and proves it.

use std::path::Path;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::lifecycle::blocking;
use crate::registry::Registry;
use crate::store::verify::{Depth, Report, verify};
use crate::store::{Store, damaged_page};

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
        // A page can be damaged and still make sense to whoever reads it.
        let damaged = damaged_page(&root)?;
        let store = Store::open(&root, Clock::system(), Chance::system())?;
        let registry = Registry::new(store.clone())?;
        let live = registry.open_uploads().into_iter().collect();
        let mut report = verify(&store.snapshot()?, store.files(), Depth::Bytes, &live)?;
        store.close();
        if let Some(why) = damaged {
            report.find_page(&why);
        }
        Ok(report)
    })
    .await
}
