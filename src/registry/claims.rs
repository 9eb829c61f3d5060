//! What clients have been told is here, and will rely on.
//!
//! A client asks whether a blob is there (HEAD), hears that it is, does not
//! send it, and a little later puts a manifest that names it. Between the two
//! nothing in the store names that blob. So whoever may push and is told that
//! a blob is there has a claim on it for a while: collection leaves it alone,
//! and where a collection was told to spare nothing, the manifest is refused
//! instead of being taken with a hole.
//!
//! A claim and a collection of the same blob exclude each other under one
//! lock: what is being collected is not there for whoever asks meanwhile.
//! Claims live in memory: after a restart, clients ask again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits;
use crate::oci::Digest;
use crate::store::RepoId;

type Place = (RepoId, Digest);

/// The claims of all clients. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// When each was claimed last.
    claimed: HashMap<Place, Instant>,
    /// What is being collected at this moment.
    condemned: HashSet<Place>,
    /// Claims were dropped for want of room at this moment: until they would
    /// have run out, everything counts as claimed.
    overflown: Option<Instant>,
}

impl Claims {
    /// Claims a blob for somebody who is about to rely on it; false when it is
    /// being collected, and so is not there.
    pub(super) fn claim(&self, place: Place, now: Instant) -> bool {
        let mut inner = self.lock();
        let is_there = !inner.condemned.contains(&place);
        if is_there {
            inner.note(place, now);
        }
        is_there
    }

    /// Claims a blob for somebody who has just brought it, or is about to.
    pub(super) fn note(&self, place: Place, now: Instant) {
        self.lock().note(place, now);
    }

    /// Whether somebody relies on a blob: told within the last `since` that it
    /// is there.
    pub(super) fn is_claimed(&self, place: &Place, now: Instant, since: Duration) -> bool {
        self.lock().is_claimed(place, now, since)
    }

    /// Takes those of `places` that nobody has claimed within the last `spare`
    /// for collection: until the answer is dropped they are not there.
    pub(super) fn condemn(&self, places: Vec<Place>, now: Instant, spare: Duration) -> Condemned {
        let mut inner = self.lock();
        let places: Vec<Place> =
            places.into_iter().filter(|place| !inner.is_claimed(place, now, spare.min(limits::CLAIM))).collect();
        inner.condemned.extend(places.iter().copied());
        Condemned { claims: self.clone(), places }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note(&mut self, place: Place, now: Instant) {
        if self.claimed.len() >= limits::CLAIMS && !self.claimed.contains_key(&place) {
            self.claimed.retain(|_, at| now.duration_since(*at) < limits::CLAIM);
            if self.claimed.len() >= limits::CLAIMS {
                self.claimed.clear();
                self.overflown = Some(now);
            }
        }
        self.claimed.insert(place, now);
    }

    fn is_claimed(&self, place: &Place, now: Instant, since: Duration) -> bool {
        let is_recent = |at: &Instant| now.duration_since(*at) < since;
        self.claimed.get(place).is_some_and(is_recent) || self.overflown.as_ref().is_some_and(is_recent)
    }
}

/// Blobs that are being collected.
#[derive(Debug)]
pub(super) struct Condemned {
    claims: Claims,
    places: Vec<Place>,
}

impl Condemned {
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }
}

impl Drop for Condemned {
    fn drop(&mut self) {
        let mut inner = self.claims.lock();
        for place in &self.places {
            inner.condemned.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Place {
        (RepoId(number), Digest::sha256_of(b"a layer"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_claimed_is_spared_and_what_is_condemned_cannot_be_claimed() {
        let claims = Claims::default();
        let spare = Duration::from_secs(60);
        assert!(claims.claim(place(1), Instant::now()));
        let condemned = claims.condemn(vec![place(1), place(2)], Instant::now(), spare);
        assert_eq!(condemned.places(), [place(2)]);
        assert!(!claims.claim(place(2), Instant::now()));
        drop(condemned);
        assert!(claims.claim(place(2), Instant::now()));
        tokio::time::advance(spare).await;
        assert_eq!(claims.condemn(vec![place(1)], Instant::now(), spare).places(), [place(1)]);
        // Told to spare nothing, it takes what was claimed just now.
        claims.claim(place(3), Instant::now());
        assert_eq!(claims.condemn(vec![place(3)], Instant::now(), Duration::ZERO).places(), [place(3)]);
        assert!(claims.is_claimed(&place(3), Instant::now(), limits::CLAIM));
    }

    #[tokio::test(start_paused = true)]
    async fn more_claims_than_fit_spare_everything_for_a_while() {
        let claims = Claims::default();
        for number in 0..=limits::CLAIMS as u64 {
            claims.claim(place(number), Instant::now());
        }
        let spare = limits::CLAIM;
        assert!(claims.condemn(vec![place(0), place(u64::MAX)], Instant::now(), spare).places().is_empty());
        tokio::time::advance(spare).await;
        assert_eq!(claims.condemn(vec![place(0)], Instant::now(), spare).places(), [place(0)]);
    }
}
