//! Transfers: what must reach, or come from, another registry.

use super::Stored;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::oci::Digest;

/// One tag's way to or from another registry. The key is (policy, local tag).
///
/// It is driven until `have` is `want`; a newer `want` supersedes an older
/// one, and what failed is tried again when `next_at` comes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// What the far side (of a pull: this side) has to hold.
    pub want: Digest,
    /// Goes up with every change of `want` or of what is attached to it.
    pub generation: u64,
    /// The generation that is there.
    pub done: u64,
    /// What was last known to be there.
    pub have: Option<Digest>,
    /// The tag on the far side.
    pub remote_tag: String,
    /// The event sequence number that asked for it.
    pub seq: u64,
    /// The policy's version that asked for it: another one may go elsewhere.
    pub version: u32,
    /// Failures since the last success.
    pub attempts: u32,
    /// When it is tried next; meaningless while nothing is owed.
    pub next_at: Timestamp,
    /// What went wrong last; empty after a success.
    pub last_error: String,
    /// Bytes moved for it in all.
    pub bytes: u64,
    /// The job that shows it.
    pub job: Id,
    /// When this row changed last.
    pub updated_at: Timestamp,
}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Direction {
    /// To another registry.
    Push,
    /// From another registry.
    Pull,
}

impl Transfer {
    /// Whether something is still owed.
    pub fn is_owed(&self) -> bool {
        self.done < self.generation
    }

    /// Whether it ended without bringing what was wanted: called off.
    pub fn is_short(&self) -> bool {
        !self.is_owed() && self.have != Some(self.want)
    }
}

impl Stored for Transfer {
    const VERSION: u8 = 1;
}
