//! The name of an upload: 128 random bits as 32 lower-case hexadecimal digits.
//!
//! It names the session's folder, ends the name of the blob file, and is the
//! last part of the upload's URL, where it is also what keeps others out.

use std::fmt;
use std::str::FromStr;

use crate::chance::Chance;

/// An upload's id. `Display` and `FromStr` round-trip.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct UploadId([u8; 16]);

/// A text that is no upload id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an upload id is 32 lower-case hexadecimal digits")]
pub struct UploadIdError;

impl UploadId {
    /// A new one.
    pub fn new(chance: &Chance) -> Self {
        let mut bytes = [0; 16];
        chance.fill(&mut bytes);
        Self(bytes)
    }

    /// The raw bytes, as stored rows hold them.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        // One spelling only: the id is a file name.
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(UploadIdError);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| UploadIdError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_has_one_spelling() {
        let id = UploadId::new(&Chance::system());
        let text = id.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(UploadId::from_bytes(*id.bytes()), id);
        assert_ne!(UploadId::new(&Chance::system()), id);
        for bad in [
            "",
            "..",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789abcdef0123456789abcdeg",
            "0123456789ABCDEF0123456789ABCDEF",
            "../../../../../../../../etc/passwd",
            "01234567-89ab-cdef-0123-456789abcdef",
        ] {
            assert_eq!(bad.parse::<UploadId>(), Err(UploadIdError), "{bad}");
        }
    }
}
