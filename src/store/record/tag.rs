//! The value of a tag, current or past.

use super::Stored;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::{Actor, Cause};
use crate::oci::{Digest, MediaType};

/// What a tag names, since when, and why. The same shape in the history.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TagValue {
    /// The manifest.
    pub digest: Digest,
    /// The manifest's kind.
    pub kind: MediaType,
    /// The manifest's length in bytes.
    pub size: u64,
    /// The sequence number of the event that set it.
    pub seq: u64,
    /// When that was.
    pub set_at: Timestamp,
    /// When the tag first came to be.
    pub created_at: Timestamp,
    /// Who set it.
    pub actor: Actor,
    /// Why.
    pub cause: Cause,
    /// Policies that brought it here, oldest first.
    pub chain: Vec<Id>,
}

impl Stored for TagValue {
    const VERSION: u8 = 1;
}
