//! Repositories.

use super::Stored;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::store::key::RepoId;

/// A repository. The key is its name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Repository {
    /// Its number, which stored keys hold; never reused.
    pub number: RepoId,
    /// Its id in the management API.
    pub id: Id,
    /// Everyone may read it.
    pub is_public: bool,
    /// A line about it.
    pub short_description: String,
    /// A page about it.
    pub long_description: String,
    /// A tag that exists is never moved or removed.
    pub immutable_tags: bool,
    /// Kept for DTR's clients: scan what is pushed.
    pub scan_on_push: bool,
    /// At most so many tags; 0 is no limit.
    pub tag_limit: u64,
    /// Kept for DTR's clients.
    pub enable_manifest_lists: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Stored for Repository {
    const VERSION: u8 = 1;
}

/// How often a repository was used. The key is its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Image manifests that were read. Pulls since the last look of the sweep
    /// are in memory alone, and a crash loses them.
    pub pulls: u64,
    /// Manifests that clients put under a tag.
    pub pushes: u64,
}

impl Stored for Counts {
    const VERSION: u8 = 1;
}
