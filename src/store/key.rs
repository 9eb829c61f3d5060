//! Keys: parts one after the other, in an order that sorts as the values do.

use std::ops::Bound;

use crate::chance::Id;
use crate::clock::Timestamp;
use crate::oci::{Digest, Tag};

/// A repository's number. Keys hold it instead of the name: short, and the
/// same through everything that happens to the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct RepoId(pub u64);

/// A key in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// An empty key: the front of every other.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a repository's number.
    #[must_use]
    pub fn repo(self, repo: RepoId) -> Self {
        self.number(repo.0)
    }

    /// Adds one byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Adds a whole number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds a moment; those before the epoch count as the epoch.
    #[must_use]
    pub fn time(self, at: Timestamp) -> Self {
        self.number(u64::try_from(at.micros()).unwrap_or(0))
    }

    /// Adds a digest. Its own first byte gives its length, so another part may
    /// follow.
    #[must_use]
    pub fn digest(mut self, digest: &Digest) -> Self {
        self.0.extend_from_slice(&digest.key());
        self
    }

    /// Adds an identifier, 16 bytes.
    #[must_use]
    pub fn id(mut self, id: &Id) -> Self {
        self.0.extend_from_slice(id.bytes());
        self
    }

    /// Adds a SHA-256, 32 bytes.
    #[must_use]
    pub fn hash(mut self, hash: &[u8; 32]) -> Self {
        self.0.extend_from_slice(hash);
        self
    }

    /// Adds text that ends the key.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds text that another part follows: a zero byte, which no name holds,
    /// ends it.
    #[must_use]
    pub fn text_then(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    /// Adds a tag that ends the key.
    #[must_use]
    pub fn tag(self, tag: &Tag) -> Self {
        self.text(tag.as_str())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// All keys that begin with this one.
    pub fn prefix(&self) -> Span {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Span { from: Bound::Included(self.0.clone()), to: Bound::Excluded(end) };
            }
        }
        Span { from: Bound::Included(self.0.clone()), to: Bound::Unbounded }
    }
}

/// A stretch of keys.
#[derive(Clone, Debug)]
pub struct Span {
    /// Where it begins.
    pub from: Bound<Vec<u8>>,
    /// Where it ends.
    pub to: Bound<Vec<u8>>,
}

impl Span {
    /// Every key.
    pub fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// The part of this stretch that sorts after `key`.
    #[must_use]
    pub fn after(self, key: &Key) -> Self {
        Self { from: Bound::Excluded(key.0.clone()), to: self.to }
    }

    /// The part of this stretch that begins at `key`.
    #[must_use]
    pub fn starting(self, key: &Key) -> Self {
        Self { from: Bound::Included(key.0.clone()), to: self.to }
    }

    /// The part of this stretch up to and with `key`.
    #[must_use]
    pub fn through(self, key: &Key) -> Self {
        Self { from: self.from, to: Bound::Included(key.0.clone()) }
    }

    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.from.as_ref().map(Vec::as_slice), self.to.as_ref().map(Vec::as_slice))
    }
}

/// Reads parts back from the front of a stored key.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'k>(&'k [u8]);

impl<'k> Parts<'k> {
    /// Begins at the front.
    pub fn of(key: &'k [u8]) -> Self {
        Self(key)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (front, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*front)
    }

    /// The next whole number.
    pub fn number(&mut self) -> Option<u64> {
        let (front, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*front))
    }

    /// The next repository number.
    pub fn repo(&mut self) -> Option<RepoId> {
        self.number().map(RepoId)
    }

    /// The next moment.
    pub fn time(&mut self) -> Option<Timestamp> {
        self.number().map(|micros| Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)))
    }

    /// The next digest.
    pub fn digest(&mut self) -> Option<Digest> {
        let (digest, rest) = Digest::from_key(self.0)?;
        self.0 = rest;
        Some(digest)
    }

    /// The next identifier.
    pub fn id(&mut self) -> Option<Id> {
        let (front, rest) = self.0.split_first_chunk::<16>()?;
        self.0 = rest;
        Some(Id::from_bytes(*front))
    }

    /// The next SHA-256.
    pub fn hash(&mut self) -> Option<[u8; 32]> {
        let (front, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(*front)
    }

    /// The next text that a zero byte ends.
    pub fn text_then(&mut self) -> Option<&'k str> {
        let end = self.0.iter().position(|&b| b == 0)?;
        let text = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 1..];
        Some(text)
    }

    /// The rest, as text.
    pub fn text(self) -> Option<&'k str> {
        std::str::from_utf8(self.0).ok()
    }

    /// The rest, as a tag.
    pub fn tag(self) -> Option<Tag> {
        self.text()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let digest = Digest::sha256_of(b"x");
        let key = Key::new().repo(RepoId(7)).digest(&digest).text("v1");
        let mut parts = Parts::of(key.bytes());
        assert_eq!(parts.repo(), Some(RepoId(7)));
        assert_eq!(parts.digest(), Some(digest));
        assert_eq!(parts.text(), Some("v1"));
    }

    #[test]
    fn a_prefix_spans_its_keys_and_no_others() {
        let span = Key::new().number(u64::MAX).prefix();
        assert!(matches!(span.to, Bound::Unbounded));
        let span = Key::new().text("ab").prefix();
        assert_eq!(span.to, Bound::Excluded(b"ac".to_vec()));
    }
}
