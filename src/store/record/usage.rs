//! How much a repository, a namespace or all of them hold, and how much they
//! may.

use super::Stored;

/// How many bytes are held. The key is what holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Bytes, as far as they are counted.
    pub bytes: u64,
    /// The count that this is of; a row of an earlier one means nothing.
    pub epoch: u64,
}

/// How many bytes may be held. The key is what holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quota {
    /// Bytes; never 0.
    pub bytes: u64,
}

/// How far what is held has been counted. A row of `meta`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counting {
    /// The generation in which this count began; its number.
    pub epoch: u64,
    /// The last generation that kept it: a program that does not know of it
    /// leaves this behind, and then it is counted anew.
    pub generation: u64,
    /// Up to where.
    pub upto: Upto,
}

/// A place in the rows that are counted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Upto {
    /// This key of the table with this place in the order of counting, itself
    /// included; those before it are done.
    Row {
        /// The place of the table.
        place: u8,
        /// The key.
        key: Vec<u8>,
    },
    /// All of them: from then on every change is counted as it is made.
    All,
}

impl Stored for Usage {
    const VERSION: u8 = 1;
}
impl Stored for Quota {
    const VERSION: u8 = 1;
}
impl Stored for Counting {
    const VERSION: u8 = 1;
}
