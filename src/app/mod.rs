//! Build, spawn, drain: the daemon as a whole.
//!
//! Starting is four verbs. A [`crate::config::Config`] was *parsed* before.
//! `build` opens the store, binds the listeners and prepares every part; it
//! runs nothing. `run` *spawns* the parts and, when told to stop, *drains*
//! them in the order of the flow: no new connections, running requests to
//! their end, the reactor and the jobs to a safe point, the store last. A
//! second signal skips the waiting.

/// Opens and binds; runs nothing.
pub mod build;
/// Two registries in one process, for a first look.
pub mod demo;
/// The client of the demonstration.
mod demo_client;
/// How many files and sockets may be open.
mod descriptors;
/// Why the daemon does not start, or ended.
pub mod error;
/// Keeps the certificate good while the daemon runs.
pub mod renew;
/// Data folders that no daemon runs on, for backups.
pub mod restore;
/// Spawns, waits, drains.
pub mod run;
/// The set-up secret's life.
mod setup;
/// The signals that the process acts on.
mod signal;
/// Looks at a data folder that no daemon runs on, and proves it.
pub mod verify;
/// What a person reads at the start.
mod welcome;

pub use build::{App, build, key_files};
pub use error::AppError;
pub use run::{Stop, run, serve};
