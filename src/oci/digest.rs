//! Content digests: `sha256:<64 hex>` and `sha512:<128 hex>`, lower case.
//!
//! A [`Digest`] is checked when it is parsed, so every path and key made from
//! one is safe. [`Hasher`] computes one while bytes go by.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// The hash functions a digest may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, which every client speaks.
    Sha256,
    /// SHA-512, which the specification registers beside it.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the hash in bytes.
    pub const fn hash_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The byte that stands for the algorithm in stored keys.
    const fn code(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::Algorithm),
        }
    }
}

/// Why a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No colon.
    #[error("a digest is `<algorithm>:<hex>`, such as sha256:9f86d0…")]
    Shape,
    /// Neither sha256 nor sha512.
    #[error("the digest's algorithm must be sha256 or sha512")]
    Algorithm,
    /// Wrong length or characters.
    #[error("a sha256 digest has 64 and a sha512 digest 128 lower-case hexadecimal characters")]
    Hex,
}

/// A content digest. `Display` and `FromStr` round-trip.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hash: [u8; 64],
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The digest of `bytes` under `algorithm`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash, 32 or 64 bytes.
    pub fn hash(&self) -> &[u8] {
        &self.hash[..self.algorithm.hash_bytes()]
    }

    /// The hash in lower-case hexadecimal, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.hash())
    }

    /// The form used in stored keys: one byte for the algorithm, then the hash.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + self.algorithm.hash_bytes());
        key.push(self.algorithm.code());
        key.extend_from_slice(self.hash());
        key
    }

    /// Reads the form that [`Digest::key`] writes from the front of `bytes`,
    /// with what follows it.
    pub fn from_key(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&code, rest) = bytes.split_first()?;
        let algorithm = match code {
            1 => Algorithm::Sha256,
            2 => Algorithm::Sha512,
            _ => return None,
        };
        let raw = rest.get(..algorithm.hash_bytes())?;
        Some((Self::from_hash(algorithm, raw), &rest[algorithm.hash_bytes()..]))
    }

    fn from_hash(algorithm: Algorithm, raw: &[u8]) -> Self {
        let mut hash = [0; 64];
        hash[..raw.len()].copy_from_slice(raw);
        Self { algorithm, hash }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::Shape)?;
        let algorithm: Algorithm = algorithm.parse()?;
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != algorithm.hash_bytes() * 2 || !hex.bytes().all(lower) {
            return Err(DigestError::Hex);
        }
        let mut hash = [0; 64];
        hex::decode_to_slice(hex, &mut hash[..algorithm.hash_bytes()]).map_err(|_| DigestError::Hex)?;
        Ok(Self { algorithm, hash })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text in formats for people, the key form in stored records.
impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.key())
        }
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl serde::de::Visitor<'_> for Key {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Digest, E> {
                match Digest::from_key(bytes) {
                    Some((digest, [])) => Ok(digest),
                    _ => Err(E::custom("no digest")),
                }
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Key)
        } else {
            deserializer.deserialize_bytes(Key)
        }
    }
}

/// A digest in the making.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// An empty hash.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
        })
    }

    /// The algorithm it was made for.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all that went by.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_hash(Algorithm::Sha256, &state.finalize()),
            State::Sha512(state) => Digest::from_hash(Algorithm::Sha512, &state.finalize()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({})", self.algorithm().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn round_trips() {
        let digest: Digest = EMPTY.parse().expect("valid");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(digest, Digest::sha256_of(b""));
        assert_eq!(Digest::from_key(&digest.key()), Some((digest, &[][..])));
        let long = Digest::of(Algorithm::Sha512, b"x");
        assert_eq!(long.to_string().parse(), Ok(long));
        assert_eq!(Digest::from_key(&long.key()), Some((long, &[][..])));
    }

    #[test]
    fn refuses_what_is_no_digest() {
        // An unvalidated digest reached file paths in CVE-2024-3727.
        let upper = EMPTY.to_uppercase();
        for (text, error) in [
            ("", DigestError::Shape),
            ("sha256", DigestError::Shape),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", DigestError::Algorithm),
            ("sha256:", DigestError::Hex),
            ("sha256:../../../etc/passwd", DigestError::Hex),
            (&EMPTY[..EMPTY.len() - 1], DigestError::Hex),
            ("sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", DigestError::Hex),
            (&upper, DigestError::Algorithm),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text}");
        }
    }
}
