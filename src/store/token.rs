//! Access tokens, and when they were used.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::Token;
use super::{Change, Key, Order, Parts, Read, Span, StoreError, Table};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::limits;

/// The SHA-256 of a token's text.
pub type Hash = [u8; 32];

fn key(hash: &Hash) -> Key {
    Key::new().hash(hash)
}

fn held(holder: &Id, hash: &Hash) -> Key {
    Key::new().id(holder).hash(hash)
}

/// Uses of tokens that are not written down yet: whoever reads waits for no
/// commit. Clones of the store share it.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<Hash, Timestamp>>);

impl Uses {
    /// Notes one.
    pub fn note(&self, hash: &Hash, at: Timestamp) {
        let mut pending = self.lock();
        if pending.len() < limits::TOKEN_USES_PENDING || pending.contains_key(hash) {
            pending.insert(*hash, at);
        }
    }

    /// The last of one token.
    pub fn of(&self, hash: &Hash) -> Option<Timestamp> {
        self.lock().get(hash).copied()
    }

    /// Takes those of up to `limit` tokens out, to be written down.
    pub fn take(&self, limit: usize) -> Vec<(Hash, Timestamp)> {
        let mut pending = self.lock();
        let hashes: Vec<Hash> = pending.keys().take(limit).copied().collect();
        hashes.into_iter().filter_map(|hash| pending.remove_entry(&hash)).collect()
    }

    /// Puts those back that could not be written down.
    pub fn put_back(&self, taken: &[(Hash, Timestamp)]) {
        let mut pending = self.lock();
        for (hash, at) in taken {
            let last = pending.entry(*hash).or_insert(*at);
            *last = (*last).max(*at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token whose text hashes to `hash`.
pub fn get(read: &impl Read, hash: &Hash) -> Result<Option<Token>, StoreError> {
    read.record(Table::Tokens, &key(hash))
}

/// Hands the tokens of a holder from `start` on to `each`, by hash.
pub fn walk(
    read: &impl Read,
    holder: &Id,
    start: Option<&Hash>,
    mut each: impl FnMut(Hash, Token) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let of_holder = Key::new().id(holder).prefix();
    let span = match start {
        Some(start) => Span { from: of_holder.clone().starting(&held(holder, start)).from, to: of_holder.to },
        None => of_holder,
    };
    read.walk(Table::HeldTokens, &span, Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        let Some((_, hash)) = parts.id().zip(parts.hash()) else { return Ok(ControlFlow::Continue(())) };
        match get(read, &hash)? {
            Some(token) => each(hash, token),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}

/// Writes a token, and whose it is.
pub fn put(change: &mut Change<'_>, hash: &Hash, token: &Token) -> Result<(), StoreError> {
    change.put(Table::Tokens, &key(hash), token)?;
    change.put_mark(Table::HeldTokens, &held(&token.holder, hash))
}

/// Removes a token.
pub fn remove(change: &mut Change<'_>, hash: &Hash, token: &Token) -> Result<(), StoreError> {
    change.remove(Table::Tokens, &key(hash))?;
    change.remove(Table::HeldTokens, &held(&token.holder, hash))?;
    Ok(())
}

/// Removes a slice of the tokens of a holder; how many.
pub fn purge(change: &mut Change<'_>, holder: &Id) -> Result<usize, StoreError> {
    let keys = change.keys(Table::HeldTokens, &Key::new().id(holder).prefix(), limits::BACKGROUND_ROWS)?;
    for raw in &keys {
        let mut parts = Parts::of(raw);
        if let Some((_, hash)) = parts.id().zip(parts.hash()) {
            change.remove(Table::Tokens, &key(&hash))?;
        }
        change.remove_raw(Table::HeldTokens, raw)?;
    }
    Ok(keys.len())
}
