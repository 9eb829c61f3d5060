//! The calls into the rest of the program: `serve`, `demo`, and folders that no
//! daemon runs on.

use std::path::Path;

use super::arguments::ServeOptions;
use super::error::{CliError, UsageError};
use crate::app;
use crate::config::{Config, Environment};
use crate::http::VerifyReport;
use crate::store::Store;
use crate::store::backup::{Restored, Restoring};
use crate::store::verify::Depth;

/// Reads the configuration and runs the daemon until it is told to stop.
///
/// # Errors
/// [`CliError::Config`] before anything is opened; [`CliError::Daemon`] after.
pub async fn serve(options: &ServeOptions, environment: &Environment) -> Result<(), CliError> {
    for (index, one) in options.listen.iter().enumerate() {
        if let Some(other) = options.listen[..index].iter().find(|other| other.overlaps(one)) {
            let (one, other) = (one.address(), other.address());
            return Err(CliError::Usage(UsageError::Overlap { one, other }));
        }
    }
    let overrides = options.overrides();
    let config = match &options.config {
        Some(path) => Config::load(path, &overrides, environment),
        None => Config::embedded(&overrides, environment),
    };
    let config = config.map_err(CliError::Config)?;
    if let Some(crash_at) = &config.crash_at {
        crash_at.arm().map_err(CliError::Config)?;
    }
    app::serve(config, environment).await.map_err(CliError::Daemon)
}

/// Runs the demonstration until it is told to stop.
///
/// # Errors
/// [`CliError::Daemon`].
pub async fn demo(environment: &Environment) -> Result<(), CliError> {
    app::demo::demo(environment).await.map_err(CliError::Daemon)
}

/// Looks at the data folder `path`, which no daemon runs on, and checks it.
///
/// # Errors
/// [`CliError::Daemon`] when it cannot be opened or read.
pub async fn verify_folder(path: &Path, depth: Depth) -> Result<VerifyReport, CliError> {
    app::verify::folder(path, depth).await.map(|report| VerifyReport::new(report, depth)).map_err(CliError::Daemon)
}

/// Opens the store in the data folder `path`, which no daemon runs on.
///
/// # Errors
/// [`CliError::Daemon`] when it cannot be opened.
pub async fn open_store(path: &Path) -> Result<Store, CliError> {
    app::restore::open(path).await.map_err(CliError::Daemon)
}

/// Restores a backup. `progress` is told how many bytes of how many are there.
///
/// # Errors
/// [`CliError::Backup`]; the folder is then as it was found.
pub async fn restore(how: Restoring, progress: impl FnMut(u64, u64) + Send + 'static) -> Result<Restored, CliError> {
    app::restore::restore(how, progress).await.map_err(CliError::Backup)
}
