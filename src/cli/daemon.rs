//! The three calls into the rest of the program: `serve`, `demo`, and the
//! folder behind `verify`.
//!
//! INTEGRATION POINT, the only one of the command line: each function below
//! ends in an error until `app` and `store` are there to be called.

use std::path::Path;

use super::arguments::ServeOptions;
use super::error::CliError;
use super::verify::VerifyReport;
use crate::config::{Config, Environment};

/// Reads the configuration and runs the daemon until it is told to stop.
///
/// # Errors
/// [`CliError::Config`] before anything is opened; [`CliError::Daemon`] after.
pub async fn serve(options: &ServeOptions, environment: &Environment) -> Result<(), CliError> {
    let overrides = options.overrides();
    let config = match &options.config {
        Some(path) => Config::load(path, &overrides, environment),
        None => Config::embedded(&overrides, environment),
    };
    let config = config.map_err(CliError::Config)?;
    // INTEGRATION POINT: crate::app::serve(config).await.map_err(CliError::Daemon)
    Err(unwired(&format!("serve on {}", config.listeners.len())))
}

/// Runs the demonstration until it is told to stop.
///
/// # Errors
/// [`CliError::Daemon`].
pub async fn demo() -> Result<(), CliError> {
    // INTEGRATION POINT: crate::app::demo().await.map_err(CliError::Daemon)
    Err(unwired("demo"))
}

/// Opens the data folder `path`, which no daemon runs on, and checks it.
///
/// # Errors
/// [`CliError::Daemon`] when it cannot be opened or read.
pub async fn verify_folder(path: &Path) -> Result<VerifyReport, CliError> {
    // INTEGRATION POINT: store's verify, its findings as a VerifyReport
    Err(unwired(&format!("verify {}", path.display())))
}

fn unwired(what: &str) -> CliError {
    CliError::Daemon(anyhow::anyhow!("this build has only the command line: it cannot {what}"))
}
