//! All durable state: one database for names and links, blob files beside it.

/// Named places where a test lets the process die.
pub mod crash;
/// Blob files and upload sessions on the file system.
pub mod file;
