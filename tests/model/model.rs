//! What is true of a registry, by the simplest means: sets, and a search
//! through all of them for every question.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate::limits;
use tidegate::oci::Digest;

use crate::shelf::{Shelf, Thing};

/// One repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Blobs, and since when each is here.
    pub(crate) blobs: BTreeMap<Digest, Duration>,
    /// Manifests, and since when each is here or without a tag.
    pub(crate) manifests: BTreeMap<Digest, Duration>,
    pub(crate) tags: BTreeMap<usize, Digest>,
    /// What clients were told is here: when last, and how often less the
    /// manifests that came for it.
    claims: BTreeMap<Digest, (Duration, u32)>,
}

/// What a client may be answered to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    Refused,
}

impl Place {
    pub(crate) fn claim(&mut self, digest: Digest, now: Duration) {
        let claim = self.claims.entry(digest).or_default();
        *claim = (now, claim.1 + 1);
    }

    pub(crate) fn renew(&mut self, digest: &Digest, now: Duration) {
        if let Some(claim) = self.claims.get_mut(digest) {
            claim.0 = now;
        }
    }

    pub(crate) fn fulfil(&mut self, thing: &Thing) {
        for digest in thing.relied_on() {
            if let Some(claim) = self.claims.get_mut(&digest) {
                claim.1 -= 1;
                if claim.1 == 0 {
                    self.claims.remove(&digest);
                }
            }
        }
    }

    pub(crate) fn drop_claims(&mut self, digest: &Digest) {
        self.claims.remove(digest);
    }

    pub(crate) fn is_claimed(&self, digest: &Digest, now: Duration, since: Duration) -> bool {
        self.claims.get(digest).is_some_and(|(at, _)| now - *at < since)
    }

    /// What a client is answered that puts `thing` now.
    pub(crate) fn answer(&self, thing: &Thing, now: Duration) -> Answer {
        let told = |digest: &Digest| self.is_claimed(digest, now, limits::CLAIM);
        if thing.config.is_some_and(|config| !self.blobs.contains_key(&config)) {
            return Answer::Refused;
        }
        let absent: Vec<_> = thing.layers.iter().filter(|layer| !self.blobs.contains_key(layer)).collect();
        if !thing.layers.is_empty() && absent.len() == thing.layers.len() || absent.into_iter().any(told) {
            return Answer::Refused;
        }
        let mut absent = thing.entries.iter().filter(|entry| !self.manifests.contains_key(entry));
        if absent.any(told) { Answer::Refused } else { Answer::Taken }
    }

    /// Whether any manifest here names a blob.
    pub(crate) fn is_named(&self, shelf: &Shelf, blob: &Digest) -> bool {
        self.manifests.keys().any(|digest| shelf.thing(digest).blobs().contains(blob))
    }

    /// Whether a tag leads to a manifest through the indexes that name it.
    pub(crate) fn is_led_to(&self, shelf: &Shelf, digest: &Digest) -> bool {
        let names = |at: &&Digest| shelf.thing(at).entries.contains(digest);
        let mut indexes = self.manifests.keys().filter(names);
        indexes.any(|at| self.tags.values().any(|tagged| tagged == at) || self.is_led_to(shelf, at))
    }

    /// The manifests here that name this one, and its subject.
    fn above(&self, shelf: &Shelf, digest: &Digest) -> BTreeSet<Digest> {
        let names = |at: &&Digest| {
            shelf.thing(at).entries.contains(digest) || shelf.thing(digest).subject.as_ref() == Some(*at)
        };
        self.manifests.keys().filter(names).copied().collect()
    }

    /// A manifest and all that lead to it.
    pub(crate) fn lineage(&self, shelf: &Shelf, digest: &Digest) -> BTreeSet<Digest> {
        let mut all = BTreeSet::from([*digest]);
        loop {
            let more: BTreeSet<_> = all.iter().flat_map(|at| self.above(shelf, at)).collect();
            let before = all.len();
            all.extend(more);
            if all.len() == before {
                return all;
            }
        }
    }

    /// The manifests that something needs: with a tag, or young, and what these
    /// lead to.
    pub(crate) fn kept(&self, shelf: &Shelf, cut_off: Duration) -> BTreeSet<Digest> {
        let roots: BTreeSet<_> = self
            .manifests
            .iter()
            .filter(|(digest, at)| **at >= cut_off || self.tags.values().any(|tagged| tagged == *digest))
            .map(|(digest, _)| *digest)
            .collect();
        let leads = |digest: &&Digest| !self.lineage(shelf, digest).is_disjoint(&roots);
        self.manifests.keys().filter(leads).copied().collect()
    }
}
