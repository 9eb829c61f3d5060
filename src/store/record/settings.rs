//! What an operator sets while the daemon runs.

use super::Stored;

/// The settings of the whole registry; one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Whether a push to a repository that is not there makes it, where the
    /// caller may make one.
    pub create_on_push: bool,
}

impl Stored for Settings {
    const VERSION: u8 = 1;
}
