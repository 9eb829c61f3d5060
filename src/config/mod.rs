//! The only reader of files and environment.
//!
//! What a person wrote becomes values here, once, before anything is opened
//! or bound: `file` reads TOML into raw settings that remember where they
//! stood, `resolve` checks them, fills in what was left out and gives a
//! [`Config`], in which every text has become a type of [`value`]. What the
//! service manager and the shell pass on arrives as an [`Environment`], read
//! once by `main` and handed down, so that a test hands in its own.
//!
//! A mistake is one [`ConfigError`], and one line: file, line, column, key,
//! what is wrong, what is allowed. Nothing here touches a socket or makes a
//! folder. It is not the place of any module's defaults beyond what an
//! operator may set: bounds live in `limits`.

/// How long, how much, how often.
pub mod amount;
/// The variables and the folder the process was started with.
pub mod environment;
/// What is wrong with a configuration, and where.
pub mod error;
/// TOML to raw settings with their places.
pub mod file;
/// What a test asks of a daemon that it is going to kill.
pub mod rehearsal;
/// Raw settings to a checked configuration.
pub mod resolve;
/// Listeners, networks, log formats, names.
pub mod value;

pub use amount::When;
pub use environment::Environment;
pub use error::ConfigError;
pub use resolve::{CertificateFiles, Config, Gc, Overrides, Remote, Tls};
pub use value::{Listener, LogFilter, LogFormat, Network, TlsName};
