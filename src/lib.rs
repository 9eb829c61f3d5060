//! Tidegate: a container registry that moves images by policy.
//!
//! The rows, lowest first; a module names only modules of earlier rows, and
//! `tests/architecture.rs` holds them to it.

// Row 0: every bound, time as a value, chance as a value, retry arithmetic, what is never printed.
pub mod backoff;
pub mod chance;
pub mod clock;
pub mod limits;
pub mod secret;
// Row 1: the protocol's vocabulary; task scopes.
pub mod lifecycle;
pub mod oci;
// Row 10: the only reader of files and environment.
pub mod config;
// Row 12: the command line.
pub mod cli;
