//! Credentials of other registries, sealed to the row that holds them.
//!
//! A stored credential is XChaCha20-Poly1305 under a key of a file beside the
//! database, bound to the record and origin it was given for: copied into
//! another row, or into this row after its origin was edited, it does not open.
//! A key has an id, a sealed text names the key it needs, so that keys can be
//! replaced while old rows still open, and a lost key is told from a torn row.
//!
//! The form of a sealed text: `v1.<key id>.<base64url of nonce and ciphertext>`.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::private_file::{self, FileError};
use crate::chance::Chance;
use crate::limits;
use crate::secret::Secret;

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds something else.
    #[error("{} line {line}: expected {expected}", .path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The file already holds as many keys as it may.
    #[error("{} holds {} keys already: remove the oldest once nothing is sealed by them", .path.display(), limits::SEALING_KEYS)]
    Full {
        /// Which file.
        path: PathBuf,
    },
}

/// Why a sealed text does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Its key is not in the ring: lost or replaced. Nothing is wrong with the
    /// text; it opens again when the key file is put back.
    #[error("key {key} is missing; put the key back, or save the mirror again with its password")]
    UnknownKey {
        /// The key it needs.
        key: String,
    },
    /// The key is there, but the text was changed, or belongs to another record or origin.
    #[error("the sealed credential was changed, or belongs to another record or origin")]
    Refused,
    /// There is no key at all to seal with.
    #[error("there is no sealing key")]
    NoKey,
    /// The text has no form that this version knows.
    #[error("not a sealed credential of a version known here")]
    Malformed,
}

/// A sealed credential, as rows hold it. Safe to store and to copy.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// The sealing keys: the first seals, all of them open.
pub struct Keyring {
    path: PathBuf,
    keys: Vec<Key>,
}

struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

const HEADER: &str = "tidegate-sealing-keys v1";
const VERSION: &str = "v1";
const NONCE_BYTES: usize = 24;

impl Sealed {
    /// Takes a stored text; it is looked at when it is opened.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the key that opens it; `None` when it is malformed.
    pub fn key_id(&self) -> Option<&str> {
        self.parts().map(|(key, _)| key)
    }

    fn parts(&self) -> Option<(&str, &str)> {
        let (version, rest) = self.0.split_once('.')?;
        if version != VERSION {
            return None;
        }
        rest.split_once('.')
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(by {})", self.key_id().unwrap_or("?"))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("path", &self.path).field("keys", &self.key_ids().collect::<Vec<_>>()).finish()
    }
}

impl Keyring {
    /// Opens the key file; `None` when there is none. A daemon whose rows hold
    /// sealed credentials starts degraded then, and makes no new file over them.
    pub fn open(path: &Path) -> Result<Option<Self>, KeyringError> {
        let Some(text) = private_file::read_private(path)? else { return Ok(None) };
        let keys = parse(&text).map_err(|(line, expected)| KeyringError::Malformed {
            path: path.to_owned(),
            line,
            expected,
        })?;
        Ok(Some(Self { path: path.to_owned(), keys }))
    }

    /// Opens the key file, or makes it with one new key where there is none:
    /// only for a database that holds nothing sealed yet.
    pub fn open_or_create(path: &Path, chance: &Chance) -> Result<Self, KeyringError> {
        match Self::open(path)? {
            Some(ring) => Ok(ring),
            None => {
                let mut ring = Self { path: path.to_owned(), keys: Vec::new() };
                ring.rotate(chance)?;
                Ok(ring)
            }
        }
    }

    /// Adds a new key that seals from now on; the ones before still open.
    pub fn rotate(&mut self, chance: &Chance) -> Result<(), KeyringError> {
        if self.keys.len() >= limits::SEALING_KEYS {
            return Err(KeyringError::Full { path: self.path.clone() });
        }
        self.keys.insert(0, Key::new(chance));
        if let Err(error) = private_file::write(&self.path, &render(self.keys.iter()), 0o600) {
            // A key that is on no disk must not seal anything.
            self.keys.remove(0);
            return Err(error.into());
        }
        Ok(())
    }

    /// Takes a key away, and the file with the last one; whether it was that.
    pub(super) fn remove(&mut self, id: &str) -> Result<bool, KeyringError> {
        let kept: Vec<&Key> = self.keys.iter().filter(|key| key.id != id).collect();
        if kept.is_empty() {
            private_file::remove(&self.path)?;
            return Ok(true);
        }
        private_file::write(&self.path, &render(kept.into_iter()), 0o600)?;
        self.keys.retain(|key| key.id != id);
        Ok(false)
    }

    /// Keeps keys that were known before the file was read again.
    pub(super) fn keep(&mut self, known: Self) {
        for key in known.keys {
            if !self.has(&key.id) {
                self.keys.push(key);
            }
        }
    }

    /// Whether it holds a key.
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// The text of a key file with a new key before those of `present`, which
    /// is the text of one or empty. For files that are not ours to write.
    pub fn generate(present: &str, chance: &Chance) -> Result<Zeroizing<String>, (usize, &'static str)> {
        let mut keys = if present.trim().is_empty() { Vec::new() } else { parse(present)? };
        keys.insert(0, Key::new(chance));
        Ok(render(keys.iter()))
    }

    /// The id of the key that seals.
    pub fn current(&self) -> &str {
        &self.keys[0].id
    }

    /// The ids of all keys, the one that seals first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Seals `secret` for `record`: the id of the row and the origin that the
    /// credential is for, in a spelling of the caller's that names no two alike.
    pub fn seal(&self, record: &str, secret: &Secret, chance: &Chance) -> Sealed {
        let key = &self.keys[0];
        let mut nonce = [0; NONCE_BYTES];
        chance.fill(&mut nonce);
        let aad = associated(&key.id, record);
        let ciphertext = key
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: secret.expose().as_bytes(), aad: &aad })
            .expect("only a message of 256 GiB is too long to seal");
        let mut body = nonce.to_vec();
        body.extend(ciphertext);
        Sealed(format!("{VERSION}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(body)))
    }

    /// Opens what [`Keyring::seal`] sealed for the same `record`.
    pub fn unseal(&self, record: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        let (id, body) = sealed.parts().ok_or(SealError::Malformed)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Malformed)?;
        let (nonce, ciphertext) = body.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Malformed)?;
        let key =
            self.keys.iter().find(|key| key.id == id).ok_or_else(|| SealError::UnknownKey { key: id.to_owned() })?;
        let aad = associated(id, record);
        let plain = key
            .cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad })
            .map_err(|_| SealError::Refused)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| SealError::Refused)
    }
}

impl Key {
    fn new(chance: &Chance) -> Self {
        let (mut id, mut bytes) = ([0; 8], Zeroizing::new([0; 32]));
        chance.fill(&mut id);
        chance.fill(bytes.as_mut());
        Self { id: hex::encode(id), bytes }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

/// What is authenticated beside the secret: version, key and record.
fn associated(key: &str, record: &str) -> Vec<u8> {
    format!("tidegate sealed {VERSION}\0{key}\0{record}").into_bytes()
}

fn render<'a>(keys: impl ExactSizeIterator<Item = &'a Key>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(256 + keys.len() * 80));
    text.push_str(HEADER);
    text.push_str(
        "\n# Stored credentials of mirrors open only with these keys. Back this file up, apart from the data.\n",
    );
    text.push_str("# The first key seals; the others still open what they sealed.\n");
    for key in keys {
        let encoded = Zeroizing::new(STANDARD.encode(*key.bytes));
        text.push_str(&key.id);
        text.push(' ');
        text.push_str(&encoded);
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Result<Vec<Key>, (usize, &'static str)> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    match lines.next() {
        Some((_, HEADER)) => {}
        Some(_) | None => {
            return Err((1, "`tidegate-sealing-keys v1`: this is no sealing key file, or of a later version"));
        }
    }
    let mut keys: Vec<Key> = Vec::new();
    let mut last = 1;
    for (number, line) in lines {
        last = number;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key =
            parse_key(line).ok_or((number, "a key id of 16 hexadecimal digits, a space, and 32 bytes in base64"))?;
        if keys.iter().any(|other| other.id == key.id) {
            return Err((number, "every key id once"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err((last, "at least one key"));
    }
    Ok(keys)
}

fn parse_key(line: &str) -> Option<Key> {
    let (id, encoded) = line.split_once(' ')?;
    if id.len() != 16 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let bytes = Zeroizing::new(<[u8; 32]>::try_from(decoded.as_slice()).ok()?);
    Some(Key { id: id.to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const RECORD: &str = "push-mirror 7 https://registry.example";

    fn ring() -> (tempfile::TempDir, Keyring) {
        let folder = tempfile::tempdir().unwrap();
        let ring = Keyring::open_or_create(&folder.path().join("sealing.keys"), &Chance::system()).unwrap();
        (folder, ring)
    }

    #[test]
    fn what_is_sealed_opens_after_a_restart() {
        let (_folder, ring) = ring();
        let sealed = ring.seal(RECORD, &Secret::new("hunter22"), &Chance::system());
        let again = Keyring::open(&ring.path).unwrap().unwrap();
        assert_eq!(again.unseal(RECORD, &Sealed::from_stored(sealed.as_str())).unwrap().expose(), "hunter22");
        assert_eq!(sealed.key_id(), Some(ring.current()));
        assert!(!sealed.as_str().contains("hunter22"));
        let mode = std::fs::metadata(&ring.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_same_secret_never_looks_the_same() {
        let (_folder, ring) = ring();
        let chance = Chance::system();
        let secret = Secret::new("hunter22");
        assert_ne!(ring.seal(RECORD, &secret, &chance), ring.seal(RECORD, &secret, &chance));
    }

    #[test]
    fn another_record_or_a_changed_byte_is_refused() {
        let (_folder, ring) = ring();
        let sealed = ring.seal(RECORD, &Secret::new("hunter22"), &Chance::system());
        assert_eq!(ring.unseal("push-mirror 7 https://evil.example", &sealed).err(), Some(SealError::Refused));
        let at = sealed.as_str().rfind('.').unwrap() + 1;
        for index in at..sealed.as_str().len() - 1 {
            let mut changed = sealed.as_str().as_bytes().to_vec();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = Sealed::from_stored(String::from_utf8(changed).unwrap());
            assert_eq!(ring.unseal(RECORD, &changed).err(), Some(SealError::Refused), "byte {index}");
        }
    }

    #[test]
    fn a_lost_key_is_told_from_a_changed_text() {
        let (_folder, one) = ring();
        let (_other_folder, two) = ring_of_another_box();
        let sealed = one.seal(RECORD, &Secret::new("hunter22"), &Chance::system());
        assert_eq!(two.unseal(RECORD, &sealed).err(), Some(SealError::UnknownKey { key: one.current().to_owned() }));
        for text in ["", "v1", "v1.x", "v1.x.!", "v2.x.AAAA", "v1.0123456789abcdef.AAAA"] {
            assert_eq!(one.unseal(RECORD, &Sealed::from_stored(text)).err(), Some(SealError::Malformed), "{text}");
        }
    }

    fn ring_of_another_box() -> (tempfile::TempDir, Keyring) {
        ring()
    }

    #[test]
    fn a_replaced_key_still_opens_and_the_new_one_seals() {
        let (_folder, mut ring) = ring();
        let chance = Chance::system();
        let old = ring.seal(RECORD, &Secret::new("old"), &chance);
        ring.rotate(&chance).unwrap();
        let new = ring.seal(RECORD, &Secret::new("new"), &chance);
        assert_ne!(old.key_id(), new.key_id());
        let again = Keyring::open(&ring.path).unwrap().unwrap();
        assert_eq!(again.unseal(RECORD, &old).unwrap().expose(), "old");
        assert_eq!(again.unseal(RECORD, &new).unwrap().expose(), "new");
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_torn_is_refused() {
        let (_folder, ring) = ring();
        let text = std::fs::read_to_string(&ring.path).unwrap();
        private_file::write(&ring.path, &text, 0o640).unwrap();
        assert!(matches!(Keyring::open(&ring.path), Err(KeyringError::File(FileError::Exposed { .. }))));
        let key = text.lines().last().unwrap();
        for (torn, line) in [
            (String::new(), 1),
            ("tidegate-sealing-keys v2\n".to_owned(), 1),
            (format!("{HEADER}\n# none\n"), 2),
            (format!("{HEADER}\n{}", &key[..key.len() - 4]), 2),
            (format!("{HEADER}\n{key}\n{key}\n"), 3),
        ] {
            private_file::write(&ring.path, &torn, 0o600).unwrap();
            match Keyring::open(&ring.path) {
                Err(KeyringError::Malformed { line: found, .. }) => assert_eq!(found, line, "{torn}"),
                other => panic!("{torn}: {other:?}"),
            }
            assert_eq!(std::fs::read_to_string(&ring.path).unwrap(), torn, "never overwritten");
        }
    }

    #[test]
    fn debug_says_no_secret() {
        let (_folder, ring) = ring();
        let sealed = ring.seal(RECORD, &Secret::new("hunter22"), &Chance::system());
        let key = STANDARD.encode(*ring.keys[0].bytes);
        assert!(!format!("{ring:?} {sealed:?}").contains(&key));
    }
}
