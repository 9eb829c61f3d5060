//! What is wrong with a configuration, and where: one line for a person.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::limits;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no configuration by its size alone.
    #[error("{} is larger than {} bytes, the most that is read", path.display(), limits::CONFIG_BYTES)]
    TooLarge {
        /// The file as it was named.
        path: PathBuf,
    },
    /// The file is not text.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// The file as it was named.
        path: PathBuf,
    },
    /// A key or a value is wrong.
    #[error("{place}: {reason}")]
    Setting {
        /// File, line, column and key.
        place: Place,
        /// What is wrong with it, and what is allowed.
        reason: String,
    },
    /// A variable for tests asks for something that cannot be had.
    #[error("{variable}: {reason}")]
    Rehearsal {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// What follows from the surroundings does not do, and no line of a file
    /// is to blame.
    #[error("the path of the admin socket, {}, is longer than {} bytes: set admin.socket to a shorter one", path.display(), limits::SOCKET_PATH_BYTES)]
    SocketPath {
        /// The path that was too long.
        path: PathBuf,
    },
}

/// Where in a file a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The dotted key; absent when the text is not TOML at all.
    pub key: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ": {key}"))
    }
}
