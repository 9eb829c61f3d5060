//! What runs now, and what may run next: bounds in all, for one policy and for
//! one remote, and a fair turn among the remotes.
//!
//! A claim is held in memory alone: there is one process, and what it had
//! claimed when it died is still due.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::chance::Id;
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::Tag;
use crate::remote::Origin;

use super::budget::Rate;
use super::gc::Collection;

/// How many run at once, in all, for one policy and for one remote.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// In all.
    pub workers: usize,
    /// Beyond that, each the only one of its remote.
    pub reserve: usize,
    /// For one policy.
    pub workers_per_policy: usize,
    /// For one remote.
    pub workers_per_remote: usize,
    /// How collection runs where nothing else is said.
    pub collection: Collection,
    /// How fast scrub reads where nothing else is said.
    pub scrub: Rate,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: limits::JOB_WORKERS,
            reserve: limits::JOB_WORKERS_RESERVE,
            workers_per_policy: limits::JOB_WORKERS / 2,
            workers_per_remote: limits::JOB_WORKERS_PER_REMOTE,
            collection: Collection::default(),
            scrub: Rate::default(),
        }
    }
}

/// One piece of work that one worker holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    /// A transfer of a policy.
    Transfer(Id, Tag),
    /// A job, of a policy where it has one.
    Job(Id, Option<Id>),
}

impl Claim {
    fn policy(&self) -> Option<Id> {
        match self {
            Self::Transfer(policy, _) => Some(*policy),
            Self::Job(_, policy) => *policy,
        }
    }
}

/// Something that is due.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Since when.
    pub(super) at: Timestamp,
    /// What.
    pub(super) claim: Claim,
    /// With whom; none when the policy is gone and nobody is asked.
    pub(super) remote: Option<Origin>,
}

/// What runs now.
#[derive(Debug, Default)]
pub(super) struct Claims {
    work: HashSet<Claim>,
    by_policy: HashMap<Id, usize>,
    by_remote: HashMap<Option<Origin>, usize>,
}

impl Claims {
    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.work.len()
    }

    /// Whether something could be taken up now.
    pub(super) fn has_room(&self, claim: &Claim, remote: &Option<Origin>, options: &Options) -> bool {
        let of_policy = claim.policy().map_or(0, |policy| self.by_policy.get(&policy).copied().unwrap_or(0));
        let of_remote = self.under_way(remote);
        let in_all = if of_remote == 0 { options.workers + options.reserve } else { options.workers };
        self.work.len() < in_all
            && of_remote < options.workers_per_remote
            && of_policy < options.workers_per_policy
            && !self.work.contains(claim)
    }

    /// Takes what there is room for. The remote with the least under way comes
    /// first, and among those the one that waits longest.
    pub(super) fn take(&mut self, mut wanted: Vec<Wanted>, options: &Options) -> Vec<(Claim, Option<Origin>)> {
        wanted.sort_by_key(|wanted| wanted.at);
        let mut lines: HashMap<Option<Origin>, VecDeque<Wanted>> = HashMap::new();
        for one in wanted {
            lines.entry(one.remote.clone()).or_default().push_back(one);
        }
        let mut taken = Vec::new();
        loop {
            let turn = lines
                .iter()
                .filter_map(|(remote, line)| Some((self.under_way(remote), line.front()?.at, remote)))
                .min()
                .map(|(_, _, remote)| remote.clone());
            let Some(Wanted { claim, remote, .. }) =
                turn.and_then(|remote| lines.get_mut(&remote)).and_then(VecDeque::pop_front)
            else {
                return taken;
            };
            if self.has_room(&claim, &remote, options) {
                self.work.insert(claim.clone());
                *self.by_remote.entry(remote.clone()).or_default() += 1;
                if let Some(policy) = claim.policy() {
                    *self.by_policy.entry(policy).or_default() += 1;
                }
                taken.push((claim, remote));
            }
        }
    }

    /// Gives back what was taken.
    pub(super) fn release(&mut self, claim: &Claim, remote: &Option<Origin>) {
        self.work.remove(claim);
        if let Some(policy) = claim.policy() {
            count_down(&mut self.by_policy, &policy);
        }
        count_down(&mut self.by_remote, remote);
    }

    fn under_way(&self, remote: &Option<Origin>) -> usize {
        self.by_remote.get(remote).copied().unwrap_or(0)
    }
}

/// One fewer; what is none is not kept, so the map is bounded by what runs.
fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn wanted(chance: &Chance, remote: &str, at: i64, count: usize) -> Vec<Wanted> {
        let one = |_| Wanted {
            at: Timestamp::from_micros(at),
            claim: Claim::Job(chance.id(), Some(chance.id())),
            remote: Some(remote.parse().expect("an origin")),
        };
        (0..count).map(one).collect()
    }

    fn of(taken: &[(Claim, Option<Origin>)], remote: &str) -> usize {
        let remote = Some(remote.parse().expect("an origin"));
        taken.iter().filter(|(_, of)| *of == remote).count()
    }

    #[test]
    fn one_slow_remote_does_not_hold_what_others_wait_for() {
        // A registry that answered a byte a second once held all eight places,
        // and nothing else was mirrored while it did.
        let (chance, options) = (Chance::system(), Options::default());
        let mut claims = Claims::default();
        let slow = claims.take(wanted(&chance, "https://slow.example", 0, 100), &options);
        assert_eq!(slow.len(), options.workers_per_remote);
        let mut both = wanted(&chance, "https://slow.example", 0, 100);
        both.extend(wanted(&chance, "https://good.example", 9, 1));
        let taken = claims.take(both, &options);
        assert_eq!((of(&taken, "https://slow.example"), of(&taken, "https://good.example")), (0, 1));
        for (claim, remote) in slow.iter().chain(&taken) {
            claims.release(claim, remote);
        }
        assert!(claims.work.is_empty() && claims.by_policy.is_empty() && claims.by_remote.is_empty());
    }

    #[test]
    fn a_house_full_of_slow_remotes_lets_the_next_one_in() {
        let (chance, options) = (Chance::system(), Options::default());
        let mut claims = Claims::default();
        let many = |host: usize| wanted(&chance, &format!("https://slow{host}.example"), 0, 50);
        let taken = claims.take((0..5).flat_map(many).collect(), &options);
        assert_eq!(taken.len(), options.workers, "the reserve is for remotes that have nothing");
        // Five remotes share eight places: nobody has more than one over another.
        for host in 0..5 {
            assert!((1..=2).contains(&of(&taken, &format!("https://slow{host}.example"))));
        }
        let next = claims.take(wanted(&chance, "https://good.example", 9, 3), &options);
        assert_eq!(next.len(), 1);
        let more = claims.take((5..100).flat_map(many).collect(), &options);
        assert_eq!(claims.len(), options.workers + options.reserve);
        assert_eq!(more.len(), options.reserve - 1);
    }
}
