//! The audit log, as it is kept.

use serde::{Deserialize, Serialize};

use super::Stored;
use crate::audit::{Class, Entry};

impl Stored for Entry {
    const VERSION: u8 = 1;
}

/// How the audit log stands: one row of `meta`, read and written once a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The number of the last row; 0 when there was none.
    pub last: u64,
    /// How many rows of each class are kept, by the class's number.
    pub kept: [u64; Class::ALL.len()],
}

impl Stored for Standing {
    const VERSION: u8 = 1;
}
