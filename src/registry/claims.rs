//! What clients have been told is here, and will rely on.
//!
//! A client asks whether a blob is there (HEAD), hears that it is, does not
//! send it, and a little later puts a manifest that names it. Between the two
//! nothing in the store names that blob. The same goes for what a client has
//! just sent, and for the entries of an index. So whoever may push and is told
//! that a blob or a manifest is there has a claim on it: collection leaves it
//! alone for a while, and where it went all the same, the manifest that names
//! it is refused instead of being taken with a hole.
//!
//! A claim is opened each time that something is told, and closed by each
//! manifest that names it, so that what was pushed and deleted again can be
//! collected at once, and what another client still relies on cannot.
//!
//! A claim and a collection of the same thing exclude each other under one
//! lock: what is being collected is not there for whoever asks meanwhile.
//! Claims live in memory: after a restart, clients ask again. Who opens very many
//! loses the oldest of its own, never those of others.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::chance::Id;
use crate::limits;
use crate::oci::Digest;
use crate::store::RepoId;

type Place = (RepoId, Digest);
/// Whose a claim is: an account's; `None`: of who needs none.
type Claimer = Option<Id>;

/// The claims of all clients. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// The claims on each.
    claimed: HashMap<Place, Claimed>,
    /// How many of them are whose.
    by: HashMap<Id, usize>,
    /// What is being collected at this moment.
    condemned: HashSet<Place>,
    /// Claims were dropped for want of room at this moment: until they would
    /// have run out, everything counts as claimed.
    overflown: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Claimed {
    /// When it was claimed last.
    at: Instant,
    /// How often, less the manifests that have come for it.
    open: u32,
    /// Who claimed it last.
    by: Claimer,
}

impl Claims {
    /// Claims something for somebody who is about to rely on it; false when it is
    /// being collected, and so is not there.
    pub(super) fn claim(&self, place: Place, by: Claimer, now: Instant) -> bool {
        let mut inner = self.lock();
        let is_there = !inner.condemned.contains(&place);
        if is_there {
            inner.note(place, by, now);
        }
        is_there
    }

    /// Claims something for somebody who has just brought it, or is about to.
    pub(super) fn note(&self, place: Place, by: Claimer, now: Instant) {
        self.lock().note(place, by, now);
    }

    /// Closes one claim on each of `places`: the manifest that it was for is here.
    pub(super) fn fulfil(&self, places: impl IntoIterator<Item = Place>) {
        let mut inner = self.lock();
        for place in places {
            if let Some(claimed) = inner.claimed.get_mut(&place) {
                claimed.open -= 1;
                if claimed.open == 0 {
                    inner.remove(&place);
                }
            }
        }
    }

    /// Drops all claims on something that a client has deleted: nobody is told
    /// any more that it is here.
    pub(super) fn drop_all(&self, place: &Place) {
        self.lock().remove(place);
    }

    /// Whether somebody relies on something: told within the last `since` that
    /// it is there.
    pub(super) fn is_claimed(&self, place: &Place, now: Instant, since: Duration) -> bool {
        self.lock().is_claimed(place, now, since)
    }

    /// The same, told of this very thing: what is spared because claims had to be
    /// dropped does not count.
    pub(super) fn was_told(&self, place: &Place, now: Instant, since: Duration) -> bool {
        self.lock().claimed.get(place).is_some_and(|claimed| now.duration_since(claimed.at) < since)
    }

    /// Takes those of `places` that nobody has claimed within the last `spare`
    /// for collection: until the answer is dropped they are not there.
    pub(super) fn condemn(&self, places: Vec<Place>, now: Instant, spare: Duration) -> Condemned {
        let spare = spare.min(limits::CLAIM);
        let mut inner = self.lock();
        let asked = places.len();
        let places: Vec<Place> = places.into_iter().filter(|place| !inner.is_claimed(place, now, spare)).collect();
        inner.condemned.extend(places.iter().copied());
        let spared = (asked - places.len()) as u64;
        Condemned { claims: self.clone(), places, spared, now, spare }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note(&mut self, place: Place, by: Claimer, now: Instant) {
        if !self.claimed.contains_key(&place) {
            if let Some(by) = by.filter(|by| self.by.get(by).is_some_and(|count| *count >= limits::CLAIMS_OF_ONE)) {
                self.thin_out(&by);
            }
            if self.claimed.len() >= limits::CLAIMS {
                self.keep(|_, claimed| now.duration_since(claimed.at) < limits::CLAIM);
            }
            if self.claimed.len() >= limits::CLAIMS {
                self.keep(|_, _| false);
                self.overflown = Some(now);
            }
        }
        let open = self.remove(&place).map_or(0, |claimed| claimed.open);
        self.claimed.insert(place, Claimed { at: now, open: open.saturating_add(1), by });
        if let Some(by) = by {
            *self.by.entry(by).or_default() += 1;
        }
    }

    fn remove(&mut self, place: &Place) -> Option<Claimed> {
        let removed = self.claimed.remove(place)?;
        if let Some(by) = removed.by
            && let Some(count) = self.by.get_mut(&by)
        {
            *count -= 1;
            if *count == 0 {
                self.by.remove(&by);
            }
        }
        Some(removed)
    }

    /// Drops the older half of somebody's claims.
    fn thin_out(&mut self, by: &Id) {
        let is_theirs = |claimed: &Claimed| claimed.by.as_ref() == Some(by);
        let mut moments: Vec<Instant> =
            self.claimed.values().filter(|claimed| is_theirs(claimed)).map(|claimed| claimed.at).collect();
        let half = moments.len() / 2;
        let (_, middle, _) = moments.select_nth_unstable(half);
        let (middle, mut left) = (*middle, half);
        // Of many at the same moment, as many go as it takes.
        self.keep(|_, claimed| {
            let goes = is_theirs(claimed) && claimed.at <= middle && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }

    fn keep(&mut self, mut keeps: impl FnMut(&Place, &Claimed) -> bool) {
        self.claimed.retain(|place, claimed| keeps(place, claimed));
        self.by.clear();
        for by in self.claimed.values().filter_map(|claimed| claimed.by) {
            *self.by.entry(by).or_default() += 1;
        }
    }

    fn is_claimed(&self, place: &Place, now: Instant, since: Duration) -> bool {
        let is_recent = |at: Instant| now.duration_since(at) < since;
        self.claimed.get(place).is_some_and(|claimed| is_recent(claimed.at)) || self.overflown.is_some_and(is_recent)
    }
}

/// What is being collected.
#[derive(Debug)]
pub(super) struct Condemned {
    claims: Claims,
    places: Vec<Place>,
    spared: u64,
    now: Instant,
    spare: Duration,
}

impl Condemned {
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// How many were not taken, because somebody relies on them.
    pub(super) fn spared(&self) -> u64 {
        self.spared
    }

    /// Whether somebody relies on something that would have to go with these.
    pub(super) fn is_claimed(&self, place: &Place) -> bool {
        self.claims.is_claimed(place, self.now, self.spare)
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

    const SPARE: Duration = Duration::from_secs(20 * 60);

    fn place(number: u64) -> Place {
        (RepoId(number), Digest::sha256_of(b"a layer"))
    }

    fn condemned(claims: &Claims, number: u64, spare: Duration) -> bool {
        !claims.condemn(vec![place(number)], Instant::now(), spare).places().is_empty()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_claimed_is_spared_and_what_is_condemned_cannot_be_claimed() {
        let claims = Claims::default();
        assert!(claims.claim(place(1), None, Instant::now()));
        let both = claims.condemn(vec![place(1), place(2)], Instant::now(), SPARE);
        assert_eq!((both.places(), both.spared()), (&[place(2)][..], 1));
        assert!(!claims.claim(place(2), None, Instant::now()));
        drop(both);
        assert!(claims.claim(place(2), None, Instant::now()));
        tokio::time::advance(SPARE).await;
        assert!(condemned(&claims, 1, SPARE));
        // Told to spare nothing, it takes what was claimed just now.
        claims.claim(place(3), None, Instant::now());
        assert!(condemned(&claims, 3, Duration::ZERO));
        assert!(claims.is_claimed(&place(3), Instant::now(), limits::CLAIM), "a manifest that names it is refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_manifest_closes_one_claim_of_those_that_are_open() {
        // Two clients share a layer; the image of the first came and went
        // before the second had sent its manifest.
        let claims = Claims::default();
        claims.note(place(1), None, Instant::now());
        claims.claim(place(1), None, Instant::now());
        claims.fulfil([place(1), place(2)]);
        assert!(!condemned(&claims, 1, SPARE));
        claims.fulfil([place(1)]);
        assert!(condemned(&claims, 1, SPARE), "nobody relies on it any more");
        claims.claim(place(1), None, Instant::now());
        claims.drop_all(&place(1));
        assert!(condemned(&claims, 1, SPARE), "it was deleted by a client");
    }

    #[tokio::test(start_paused = true)]
    async fn more_claims_than_fit_spare_everything_for_a_while() {
        let claims = Claims::default();
        for number in 0..=limits::CLAIMS as u64 {
            claims.claim(place(number), None, Instant::now());
        }
        assert!(!condemned(&claims, 0, limits::CLAIM) && !condemned(&claims, u64::MAX, limits::CLAIM));
        tokio::time::advance(limits::CLAIM).await;
        assert!(condemned(&claims, 0, limits::CLAIM));
    }

    /// One pusher that asked for very many blobs stopped collection for all, and
    /// images of others that name what is elsewhere were refused.
    #[tokio::test(start_paused = true)]
    async fn who_claims_very_much_loses_its_own_claims() {
        let claims = Claims::default();
        let (eve, bob) = (Some(Id::from_bytes([1; 16])), Some(Id::from_bytes([2; 16])));
        claims.note(place(0), bob, Instant::now());
        let many = limits::CLAIMS as u64 + 10;
        let begun = Instant::now();
        for number in 1..=many {
            // One after the other: of equal moments none is the older.
            claims.note(place(number), eve, begun + Duration::from_micros(number));
        }
        assert!(!condemned(&claims, 0, limits::CLAIM), "the claims of others hold");
        assert!(!condemned(&claims, many, limits::CLAIM), "and the latest of its own");
        assert!(condemned(&claims, 1, limits::CLAIM) && condemned(&claims, u64::MAX, limits::CLAIM));
        let inner = claims.lock();
        assert!(inner.overflown.is_none() && inner.claimed.len() <= limits::CLAIMS_OF_ONE + 1);
        assert_eq!(inner.by.values().sum::<usize>(), inner.claimed.len());
        drop(inner);
        for number in 1..=many {
            claims.drop_all(&place(number));
        }
        assert_eq!(claims.lock().by.len(), 1);
        // Told is only what was told, whatever is spared beside that.
        for number in 0..=limits::CLAIMS as u64 {
            claims.claim(place(number), None, Instant::now());
        }
        let now = Instant::now();
        assert!(claims.is_claimed(&place(7), now, SPARE) && !claims.was_told(&place(7), now, SPARE));
    }
}
