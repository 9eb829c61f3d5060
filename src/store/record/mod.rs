//! Stored shapes.
//!
//! A value in a table is one version byte and then the record in postcard's
//! encoding. A record that changes its shape gets the next version; the old
//! shape stays in its file as an ancestor and is turned into the new one when
//! it is read (`decode_old`). Nothing is rewritten in bulk.

/// Accounts.
pub mod account;
/// The audit log.
pub mod audit;
/// Events.
pub mod event;
/// Jobs and the crons that make them.
pub mod job;
/// Manifests, blobs and what links them to repositories.
pub mod manifest;
/// Organizations: members, teams, grants.
pub mod organization;
/// Policies, their status, and walks over existing tags.
pub mod policy;
/// What is damaged, and the passes that look for it.
pub mod quarantine;
/// Repositories.
pub mod repository;
/// What an operator sets while the daemon runs.
pub mod settings;
/// Tags and their history.
pub mod tag;
/// Access tokens, robots, and certificates that stand for accounts.
pub mod token;
/// Transfers to and from other registries.
pub mod transfer;
/// How much is held, and how much may be.
pub mod usage;
/// What was decided about a tag.
pub mod verdict;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use account::Account;
pub use job::{Cron, Job, JobAction, JobStatus};
pub use manifest::{Blob, Linked, ManifestBody, ManifestLinks, Referrer};
pub use organization::{Grant, Member, OrganizationSize, Team};
pub use policy::{Evaluation, Owner, Policy, PolicyBody, PolicyStatus, Remote};
pub use quarantine::{Holder, Pass, Quarantined};
pub use repository::{Counts, Repository};
pub use settings::Settings;
pub use tag::{Removal, TagPast, TagRemoved, TagValue};
pub use token::{Certified, Origin, Robot, Token};
pub use transfer::{Direction, Transfer};
pub use usage::{Quota, Usage};
pub use verdict::{Decided, Verdict};

/// Why stored bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// No bytes at all.
    #[error("it is empty")]
    Empty,
    /// A version byte that this program does not know.
    #[error("it has version {0}, which this tidegate does not know")]
    Version(u8),
    /// The bytes do not decode.
    #[error("it does not decode: {0}")]
    Encoding(String),
    /// The page of the database that it lies on cannot be read.
    #[error("its page is damaged ({0}); restore the database from a backup")]
    Page(String),
}

/// A type that a table holds.
pub trait Stored: Serialize + DeserializeOwned {
    /// The version that is written.
    const VERSION: u8;

    /// The stored bytes.
    ///
    /// # Panics
    /// Never for our records: they are plain data in memory.
    fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![Self::VERSION]).expect("plain data always encodes")
    }

    /// Back from stored bytes, of this version or an older one.
    fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        match bytes.split_first() {
            None => Err(Damage::Empty),
            Some((&version, rest)) if version == Self::VERSION => decode(rest),
            Some((&version, rest)) => Self::decode_old(version, rest),
        }
    }

    /// Reads an older version.
    fn decode_old(version: u8, _rest: &[u8]) -> Result<Self, Damage> {
        Err(Damage::Version(version))
    }
}

/// Reads one postcard value that fills `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damage> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(Damage::Encoding(format!("{} bytes are left over", rest.len()))),
        Err(error) => Err(Damage::Encoding(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Two {
        name: String,
        count: u64,
    }

    impl Stored for Two {
        const VERSION: u8 = 2;

        fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
            match version {
                1 => Ok(Self { name: decode(rest)?, count: 0 }),
                _ => Err(Damage::Version(version)),
            }
        }
    }

    #[test]
    fn migrates_on_read_and_names_damage() {
        let two = Two { name: "a".into(), count: 3 };
        assert_eq!(Two::decode(&two.encode()), Ok(two));
        let one = postcard::to_extend("old", vec![1]).expect("encodes");
        assert_eq!(Two::decode(&one), Ok(Two { name: "old".into(), count: 0 }));
        assert_eq!(Two::decode(&[]), Err(Damage::Empty));
        assert_eq!(Two::decode(&[9, 0]), Err(Damage::Version(9)));
        assert!(matches!(Two::decode(&[2, 200]), Err(Damage::Encoding(_))));
        let mut long = Two { name: "a".into(), count: 3 }.encode();
        long.push(0);
        assert!(matches!(Two::decode(&long), Err(Damage::Encoding(_))));
    }
}
