//! Proves a data folder that no daemon runs on, and leaves it as it is.

use std::path::Path;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::lifecycle::blocking;
use crate::store::verify::{Depth, Report, verify};
use crate::store::{Store, StoreError, damaged_page};

use super::AppError;

/// Looks at everything in `root`.
///
/// # Errors
/// When the folder is not there, in use, or cannot be read.
pub async fn folder(root: &Path, depth: Depth) -> Result<Report, AppError> {
    let root = root.to_owned();
    blocking(move || {
        // A page can be damaged and still make sense to whoever reads it.
        let damaged = damaged_page(&root)?;
        let store = Store::look(&root, Clock::system(), Chance::system())?;
        let live = store.files().upload_ids().map_err(StoreError::from)?;
        let mut report = verify(&store.snapshot()?, store.files(), depth, &live)?;
        if let Some(why) = damaged {
            report.find_page(&why);
        }
        Ok(report)
    })
    .await
}
