//! The sealing keys of a daemon that runs: which there are, which seals, and
//! how they are replaced.
//!
//! They lie in two files. The *main* one is `sealing.key`, or what the service
//! manager hands over, which is read and never written. A key that had to be
//! made while the main file was missing goes into a file of its own beside the
//! database, so that the main file can be put back as it was: then the keys of
//! both open, and those of the main one seal.
//!
//! A key is on the disk before it seals anything, and it is taken away only by
//! name, by whoever has seen that nothing is sealed by it: between that look
//! and the end nobody seals ([`SealingKeys::hold`], [`SealingKeys::sealing`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Notify, RwLock as Gate, RwLockReadGuard as Sealing, RwLockWriteGuard as Held};

use super::credential::{Keyring, KeyringError, SealError, Sealed};
use crate::chance::Chance;
use crate::secret::Secret;
use crate::store::error_chain;

/// Where the keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlaces {
    /// The main file.
    pub main: PathBuf,
    /// Whether it comes from the service manager: then it is not ours to write.
    pub is_given: bool,
    /// The file of keys that were made while the main one was missing.
    pub added: PathBuf,
}

/// One key, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub id: String,
    /// Whether it seals.
    pub seals: bool,
    /// The file that it lies in.
    pub path: PathBuf,
}

/// Why the keys do not change.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// The files.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The service manager's file.
    #[error(
        "the sealing keys come from the service manager ({}), which this daemon only reads: change the credential's \
         source (a new key goes on a line of its own before the others; `tidegate key generate` writes such a file) \
         and restart the service",
        .path.display()
    )]
    Given {
        /// That file.
        path: PathBuf,
    },
    /// There is no such key.
    #[error("there is no sealing key {0}")]
    Unknown(String),
    /// It is the one that seals.
    #[error("key {0} is the one that seals; add another first")]
    Seals(String),
}

/// The sealing keys. Clones share them.
#[derive(Clone)]
pub struct SealingKeys(Arc<Inner>);

struct Inner {
    places: KeyPlaces,
    rings: RwLock<Rings>,
    /// Keys that something is sealed by and that are in neither file.
    missing: Mutex<BTreeSet<String>>,
    /// Why a file that is there could not be used when it was last read.
    unusable: Mutex<Option<String>>,
    looked_for: Notify,
    gate: Gate<()>,
    chance: Chance,
}

#[derive(Default)]
struct Rings {
    main: Option<Keyring>,
    added: Option<Keyring>,
}

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKeys").field("places", &self.0.places).finish_non_exhaustive()
    }
}

impl SealingKeys {
    /// Opens the files. `sealed_by` are the keys that something is sealed by:
    /// where there are none and no file either, the first key is made. Over
    /// rows that another key sealed none is made, for that would hide that it
    /// was lost. A file that is there and cannot be used is as one that is lost
    /// ([`SealingKeys::unusable`]). Blocks.
    ///
    /// # Errors
    /// When the first key cannot be written.
    pub fn open(places: KeyPlaces, sealed_by: &BTreeSet<String>, chance: &Chance) -> Result<Self, KeyringError> {
        let mut rings = Rings::default();
        let unusable = rings.read_again(&places).err().map(|error| error_chain(&error));
        if rings.is_empty() && sealed_by.is_empty() && unusable.is_none() {
            rings.main = Some(Keyring::open_or_create(&places.main, chance)?);
        }
        let missing = sealed_by.iter().filter(|id| !rings.has(id)).cloned().collect();
        Ok(Self(Arc::new(Inner {
            places,
            rings: RwLock::new(rings),
            missing: Mutex::new(missing),
            unusable: Mutex::new(unusable),
            looked_for: Notify::new(),
            gate: Gate::new(()),
            chance: chance.clone(),
        })))
    }

    /// The same for one file that is made where it is missing.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn of_file(path: &Path, chance: &Chance) -> Result<Self, KeyringError> {
        let places = KeyPlaces { main: path.to_owned(), is_given: false, added: path.with_extension("added") };
        Self::open(places, &BTreeSet::new(), chance)
    }

    /// All keys, the one that seals first.
    pub fn list(&self) -> Vec<KeyInfo> {
        let rings = self.read();
        let places = &self.0.places;
        let of = |ring: &Option<Keyring>, path: &Path| -> Vec<KeyInfo> {
            let ids = ring.iter().flat_map(Keyring::key_ids);
            ids.map(|id| KeyInfo { id: id.to_owned(), seals: false, path: path.to_owned() }).collect()
        };
        let mut all = of(&rings.main, &places.main);
        all.extend(of(&rings.added, &places.added));
        if let Some(first) = all.first_mut() {
            first.seals = true;
        }
        all
    }

    /// The id of the key that seals; none when all are lost.
    pub fn current(&self) -> Option<String> {
        self.read().sealing().map(|ring| ring.current().to_owned())
    }

    /// Seals, by the key that is current.
    ///
    /// # Errors
    /// [`SealError::NoKey`]; [`SealingKeys::make_if_lost`] makes one.
    pub fn seal(&self, record: &str, secret: &Secret) -> Result<Sealed, SealError> {
        let rings = self.read();
        Ok(rings.sealing().ok_or(SealError::NoKey)?.seal(record, secret, &self.0.chance))
    }

    /// Opens what was sealed for the same `record`. A key that is not known is
    /// looked for on the disk, for somebody may just have put it back.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn unseal(&self, record: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        match self.read().unseal(record, sealed) {
            Err(SealError::UnknownKey { .. }) => {}
            found => return found,
        }
        // What is wrong with the files is told by whoever looks for them.
        let _ = self.look();
        let opened = self.read().unseal(record, sealed);
        if let Err(SealError::UnknownKey { key }) = &opened {
            self.missing_keys().insert(key.clone());
            self.look_soon();
        }
        opened
    }

    /// Adds a key that seals from now on. Blocks.
    ///
    /// # Errors
    /// [`KeyChangeError`].
    pub fn add(&self) -> Result<String, KeyChangeError> {
        let places = &self.0.places;
        if places.is_given {
            return Err(KeyChangeError::Given { path: places.main.clone() });
        }
        let mut rings = self.write();
        self.read_again(&mut rings)?;
        let chance = &self.0.chance;
        let id = match &mut rings.main {
            Some(main) => {
                main.rotate(chance)?;
                main.current().to_owned()
            }
            // The main file is lost, and has to find its place empty.
            None => rings.add_beside(places, chance)?,
        };
        Ok(id)
    }

    /// Makes a key where all are lost, so that new credentials can be sealed;
    /// whether it did. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make_if_lost(&self) -> Result<bool, KeyringError> {
        let mut rings = self.write();
        if rings.sealing().is_some() {
            return Ok(false);
        }
        // What is wrong with the main one is told elsewhere, and no reason to
        // seal nothing.
        if self.read_again(&mut rings).is_ok() && rings.sealing().is_some() {
            return Ok(false);
        }
        rings.add_beside(&self.0.places, &self.0.chance)?;
        Ok(true)
    }

    /// Takes a key away. The caller holds [`SealingKeys::hold`] and has seen
    /// that nothing is sealed by it. Blocks.
    ///
    /// # Errors
    /// [`KeyChangeError`].
    pub fn retire(&self, id: &str, _held: &Held<'_, ()>) -> Result<(), KeyChangeError> {
        let places = &self.0.places;
        let mut rings = self.write();
        self.read_again(&mut rings)?;
        if rings.sealing().is_some_and(|ring| ring.current() == id) {
            return Err(KeyChangeError::Seals(id.to_owned()));
        }
        if rings.main.as_ref().is_some_and(|main| main.has(id)) {
            if places.is_given {
                return Err(KeyChangeError::Given { path: places.main.clone() });
            }
            rings.main.as_mut().map(|main| main.remove(id)).transpose()?;
        } else if !rings.has(id) {
            return Err(KeyChangeError::Unknown(id.to_owned()));
        }
        if let Some(added) = rings.added.as_mut().filter(|added| added.has(id))
            && added.remove(id)?
        {
            rings.added = None;
        }
        Ok(())
    }

    /// Keeps keys from being taken away while something is sealed and written
    /// down.
    pub async fn sealing(&self) -> Sealing<'_, ()> {
        self.0.gate.read().await
    }

    /// Waits until nobody seals, and keeps it so.
    pub async fn hold(&self) -> Held<'_, ()> {
        self.0.gate.write().await
    }

    /// Looks for keys on the disk that were not there; the missing ones that
    /// are found. Blocks.
    ///
    /// # Errors
    /// When a file is there and cannot be used.
    pub fn look(&self) -> Result<BTreeSet<String>, KeyringError> {
        let mut rings = self.write();
        let read = self.read_again(&mut rings);
        let mut missing = self.missing_keys();
        let found: BTreeSet<String> = missing.iter().filter(|id| rings.has(id)).cloned().collect();
        missing.retain(|id| !rings.has(id));
        // One file that is broken hides no key that the other has.
        if found.is_empty() { read.map(|()| found) } else { Ok(found) }
    }

    /// Keys that something is sealed by and that are not here.
    pub fn missing(&self) -> BTreeSet<String> {
        self.missing_keys().clone()
    }

    /// Why a file that is there cannot be used: it can be read by others, is
    /// malformed, or the system refuses. Its keys are as lost ones until it can.
    pub fn unusable(&self) -> Option<String> {
        self.0.unusable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is no key to look for, and nothing wrong with the files.
    pub fn is_whole(&self) -> bool {
        self.missing_keys().is_empty() && self.unusable().is_none()
    }

    /// Takes down what something is sealed by at this time.
    pub fn set_sealed_by(&self, sealed_by: &BTreeSet<String>) {
        let rings = self.read();
        *self.missing_keys() = sealed_by.iter().filter(|id| !rings.has(id)).cloned().collect();
    }

    /// Asks whoever looks for missing keys to do so now.
    pub fn look_soon(&self) {
        self.0.looked_for.notify_one();
    }

    /// Waits until somebody asks.
    pub async fn asked_to_look(&self) {
        self.0.looked_for.notified().await;
    }

    fn read_again(&self, rings: &mut Rings) -> Result<(), KeyringError> {
        let read = rings.read_again(&self.0.places);
        let why = read.as_ref().err().map(|error| error_chain(error));
        *self.0.unusable.lock().unwrap_or_else(PoisonError::into_inner) = why;
        read
    }

    fn read(&self) -> RwLockReadGuard<'_, Rings> {
        self.0.rings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rings> {
        self.0.rings.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing_keys(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    fn is_empty(&self) -> bool {
        self.main.is_none() && self.added.is_none()
    }

    fn has(&self, id: &str) -> bool {
        [&self.main, &self.added].into_iter().flatten().any(|ring| ring.has(id))
    }

    fn sealing(&self) -> Option<&Keyring> {
        self.main.as_ref().or(self.added.as_ref())
    }

    fn unseal(&self, record: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        let holds = |ring: &&Keyring| sealed.key_id().is_some_and(|id| ring.has(id));
        let ring = [&self.main, &self.added].into_iter().flatten().find(holds).or(self.sealing());
        match (ring, sealed.key_id()) {
            (Some(ring), _) => ring.unseal(record, sealed),
            (None, Some(key)) => Err(SealError::UnknownKey { key: key.to_owned() }),
            (None, None) => Err(SealError::Malformed),
        }
    }

    /// Takes up what the files hold by now. A key that was known stays known:
    /// something may be sealed by it. Both are read, also when one cannot be.
    fn read_again(&mut self, places: &KeyPlaces) -> Result<(), KeyringError> {
        let mut read = Ok(());
        for (ring, path) in [(&mut self.main, &places.main), (&mut self.added, &places.added)] {
            match Keyring::open(path) {
                Ok(Some(mut found)) => {
                    if let Some(known) = ring.take() {
                        found.keep(known);
                    }
                    *ring = Some(found);
                }
                Ok(None) => {}
                Err(error) => read = read.and(Err(error)),
            }
        }
        read
    }

    fn add_beside(&mut self, places: &KeyPlaces, chance: &Chance) -> Result<String, KeyringError> {
        let ring = match self.added.take() {
            Some(mut added) => {
                let rotated = added.rotate(chance);
                self.added = Some(added);
                rotated?;
                self.added.as_ref()
            }
            None => {
                self.added = Some(Keyring::open_or_create(&places.added, chance)?);
                self.added.as_ref()
            }
        };
        Ok(ring.map(|ring| ring.current().to_owned()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
