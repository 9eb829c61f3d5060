//! Randomness as a value: identifiers and jitter come from a source that is
//! handed in, so that a test can replay them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A random identifier, written as a lower-case hyphenated UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 16]);

impl Id {
    /// The raw bytes, as stored keys hold them.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The first eight hexadecimal digits, in capitals: DTR's short form of a
    /// policy's id in its activity stream.
    pub fn short(&self) -> String {
        hex::encode_upper(&self.0[..4])
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = hex::encode(self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 hexadecimal digits in the form 8-4-4-4-12")]
pub struct IdError;

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let groups: Vec<&str> = text.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
            return Err(IdError);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(groups.concat(), &mut bytes).map_err(|_| IdError)?;
        Ok(Self(bytes))
    }
}

/// Text in formats for people, 16 bytes in stored records.
impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 16]>::deserialize(deserializer).map(Self);
        }
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The source of randomness.
#[derive(Clone, Debug)]
pub struct Chance(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Seeded(Arc<AtomicU64>),
}

impl Chance {
    /// The system's randomness, fit for secrets.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same row of numbers for the same seed. Never for secrets.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(AtomicU64::new(seed))))
    }

    /// Fills `bytes`.
    ///
    /// # Panics
    /// When the system has no randomness to give: nothing safe can be done.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            Source::System => getrandom::fill(bytes).expect("the system gives randomness"),
            Source::Seeded(_) => {
                for part in bytes.chunks_mut(8) {
                    let word = self.next().to_le_bytes();
                    part.copy_from_slice(&word[..part.len()]);
                }
            }
        }
    }

    /// 64 random bits, for jitter.
    pub fn next(&self) -> u64 {
        match &self.0 {
            Source::System => {
                let mut bytes = [0; 8];
                self.fill(&mut bytes);
                u64::from_le_bytes(bytes)
            }
            Source::Seeded(state) => {
                // SplitMix64: small, and good enough to spread test data.
                let mut z =
                    state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).wrapping_add(0x9e37_79b9_7f4a_7c15);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }

    /// A new identifier: 122 random bits in a version 4 UUID (RFC 9562 §5.4).
    pub fn id(&self) -> Id {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Id(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        let id = Chance::system().id();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "x", "00000000-0000-0000-0000-00000000000g", "000000000000-0000-0000-0000-00000000"] {
            assert_eq!(bad.parse::<Id>(), Err(IdError), "{bad}");
        }
    }

    #[test]
    fn a_seed_replays() {
        let row = |seed| {
            let chance = Chance::seeded(seed);
            (chance.next(), chance.id())
        };
        assert_eq!(row(7), row(7));
        assert_ne!(row(7), row(8));
    }
}
