//! The value of a tag, current or past, and its removals.

use super::{Damage, Stored, decode};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::{Actor, Cause};
use crate::oci::{Digest, MediaType};

/// What a tag names, since when, and why.
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
    /// What it named before; none where it named nothing, or where the first
    /// version of this record did not say.
    pub previous: Option<Digest>,
}

/// A row of a tag's history, under the sequence number of its event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TagPast {
    /// What it named once.
    Value(TagValue),
    /// It was removed.
    Removed(TagRemoved),
}

/// The removal of a tag.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TagRemoved {
    /// What it named.
    pub digest: Digest,
    /// The sequence number of the event that removed it.
    pub seq: u64,
    /// When that was.
    pub at: Timestamp,
    /// Who removed it.
    pub actor: Actor,
    /// Why.
    pub cause: Removal,
}

/// Why a tag is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Removal {
    /// Somebody removed the tag.
    Tag,
    /// Somebody removed its manifest, and every tag of it went along.
    Manifest,
    /// It was the oldest of more tags than the repository keeps.
    Limit,
}

impl TagPast {
    /// The sequence number of its event.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Value(value) => value.seq,
            Self::Removed(removed) => removed.seq,
        }
    }

    /// When it came to be so.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Value(value) => value.set_at,
            Self::Removed(removed) => removed.at,
        }
    }

    /// What the tag named then.
    pub fn value(self) -> Option<TagValue> {
        match self {
            Self::Value(value) => Some(value),
            Self::Removed(_) => None,
        }
    }
}

/// A value before it kept what the tag named before; the only row of a history
/// then.
#[derive(serde::Deserialize)]
struct TagValue1 {
    digest: Digest,
    kind: MediaType,
    size: u64,
    seq: u64,
    set_at: Timestamp,
    created_at: Timestamp,
    actor: Actor,
    cause: Cause,
    chain: Vec<Id>,
}

impl From<TagValue1> for TagValue {
    fn from(old: TagValue1) -> Self {
        let TagValue1 { digest, kind, size, seq, set_at, created_at, actor, cause, chain } = old;
        Self { digest, kind, size, seq, set_at, created_at, actor, cause, chain, previous: None }
    }
}

/// What stands at the front of a stored value, whatever its version.
#[derive(serde::Deserialize)]
struct Front {
    _digest: Digest,
    _kind: MediaType,
    _size: u64,
    seq: u64,
}

impl TagValue {
    /// The sequence number of a stored value, without the rest of it.
    pub fn seq_of(stored: &[u8]) -> Result<u64, Damage> {
        match stored.split_first() {
            None => Err(Damage::Empty),
            Some((1 | 2, rest)) => match postcard::take_from_bytes::<Front>(rest) {
                Ok((front, _)) => Ok(front.seq),
                Err(error) => Err(Damage::Encoding(error.to_string())),
            },
            Some((&other, _)) => Err(Damage::Version(other)),
        }
    }
}

impl Stored for TagValue {
    const VERSION: u8 = 2;

    fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
        match version {
            1 => Ok(decode::<TagValue1>(rest)?.into()),
            other => Err(Damage::Version(other)),
        }
    }
}

impl Stored for TagPast {
    const VERSION: u8 = 2;

    fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
        match version {
            1 => Ok(Self::Value(decode::<TagValue1>(rest)?.into())),
            other => Err(Damage::Version(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(previous: Option<Digest>) -> TagValue {
        let at = Timestamp::from_micros(7);
        TagValue {
            digest: Digest::sha256_of(b"x"),
            kind: MediaType::OciManifest,
            size: 5,
            seq: 3,
            set_at: at,
            created_at: at,
            actor: Actor::System,
            cause: Cause::Restore,
            chain: Vec::new(),
            previous,
        }
    }

    #[test]
    fn values_and_rows_of_the_first_version_are_read() {
        let value = value(None);
        let at = value.set_at;
        let fields = (value.digest, value.kind, 5_u64, 3_u64, at, at, Actor::System, Cause::Restore, Vec::<Id>::new());
        let stored = postcard::to_extend(&fields, vec![1]).expect("encodes");
        assert_eq!(TagValue::decode(&stored), Ok(value.clone()));
        assert_eq!((TagValue::seq_of(&stored), TagValue::seq_of(&value.encode())), (Ok(3), Ok(3)));
        assert_eq!(TagPast::decode(&stored), Ok(TagPast::Value(value)));
    }

    #[test]
    fn rows_read_back_as_they_were_written() {
        let digest = Digest::sha256_of(b"before");
        let (actor, at) = (Actor::System, Timestamp::from_micros(9));
        let removed = TagRemoved { digest, seq: 4, at, actor, cause: Removal::Manifest };
        for past in [TagPast::Value(value(Some(digest))), TagPast::Removed(removed)] {
            assert_eq!(TagPast::decode(&past.encode()), Ok(past));
        }
        assert_eq!(TagPast::decode(&[3]), Err(Damage::Version(3)));
    }
}
