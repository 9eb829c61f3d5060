//! Repositories.

use super::{Damage, Stored, decode};
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

/// How often a repository was used, and how many tags it has. The key is its
/// number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Image manifests that were read. Pulls since the last look of the sweep
    /// are in memory alone, and a crash loses them.
    pub pulls: u64,
    /// Manifests that clients put under a tag.
    pub pushes: u64,
    /// Its tags; none until somebody has counted them: the first version of this
    /// record did not say.
    pub tags: Option<u64>,
}

impl Stored for Counts {
    const VERSION: u8 = 2;

    fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
        match version {
            1 => decode(rest).map(|(pulls, pushes)| Self { pulls, pushes, tags: None }),
            other => Err(Damage::Version(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_first_version_are_read() {
        let stored = postcard::to_extend(&(7_u64, 5_u64), vec![1]).expect("encodes");
        assert_eq!(Counts::decode(&stored), Ok(Counts { pulls: 7, pushes: 5, tags: None }));
        let counts = Counts { pulls: 7, pushes: 5, tags: Some(3) };
        assert_eq!(Counts::decode(&counts.encode()), Ok(counts));
        assert_eq!(Counts::decode(&[3]), Err(Damage::Version(3)));
    }
}
