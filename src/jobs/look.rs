//! What is due now, gathered for one round of the runner.
//!
//! A round looks at a bounded number of rows. It takes a few of each remote and
//! passes over what has no room, so that a long row of one remote hides nobody;
//! where even that is too much for one round, the next goes on behind it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::chance::Id;
use crate::clock::Timestamp;
use crate::limits;
use crate::remote::Origin;
use crate::store::transfer::Due;
use crate::store::{Read, StoreError, policy, queue, transfer};

use super::claims::{Claim, Claims, Options, Wanted};
use super::remote::origin;

/// Looks at the clock this often even when nothing was committed.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rows looked at in one round.
const LOOK_LONGEST: usize = 10_000;

/// Where the runner stands between two rounds.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// What runs.
    pub(super) running: Claims,
    /// The last row of a round that ended before the rows did.
    after: Option<Due>,
}

/// What one round found.
#[derive(Debug)]
pub(super) struct Round {
    /// What is due.
    pub(super) wanted: Vec<Wanted>,
    /// How long until something else is.
    pub(super) next: Duration,
}

/// A round under way.
struct Looking<'a, R> {
    read: &'a R,
    options: &'a Options,
    running: &'a Claims,
    /// The remote of each policy that was met.
    remotes: HashMap<Id, Option<Origin>>,
    /// How many were gathered of each remote.
    gathered: HashMap<Option<Origin>, usize>,
    wanted: Vec<Wanted>,
    failure: Option<StoreError>,
}

impl Round {
    /// Looks for what is due and has room.
    pub(super) fn look(
        read: &impl Read,
        now: Timestamp,
        place: &mut Place,
        options: &Options,
    ) -> Result<Self, StoreError> {
        let mut looking = Looking {
            read,
            options,
            running: &place.running,
            remotes: HashMap::new(),
            gathered: HashMap::new(),
            wanted: Vec::new(),
            failure: None,
        };
        let mut next = LOOK_EVERY;
        // A row whose next try lies beyond the longest wait was written by a
        // clock that has jumped since: it is due.
        let latest = now.after(limits::REMOTE_WAIT_LONGEST + Duration::from_micros(1));
        let (before, mut after) = (place.after.clone(), None);
        for (from, until) in [(Timestamp::EPOCH, now), (latest, Timestamp::MAX)] {
            let mut seen = 0;
            let resume = before.as_ref().filter(|due| due.at >= from && due.at <= until);
            transfer::due_from(read, from, resume, |due| {
                if due.at > until {
                    next = next.min(due.at.since(now));
                    return ControlFlow::Break(());
                }
                seen += 1;
                if seen == LOOK_LONGEST {
                    after = Some(due.clone());
                }
                looking.consider(due.at, Claim::Transfer(due.policy, due.tag), Some(due.policy));
                if seen < LOOK_LONGEST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let mut seen = 0;
        queue::due(read, |at, id| {
            if at > now && at < latest {
                next = next.min(at.since(now));
                return ControlFlow::Continue(());
            }
            seen += 1;
            looking.job(at, id);
            if seen < LOOK_LONGEST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some(error) = looking.failure {
            return Err(error);
        }
        let wanted = looking.wanted;
        place.after = after;
        Ok(Self { wanted, next })
    }
}

impl<R: Read> Looking<'_, R> {
    fn job(&mut self, at: Timestamp, id: Id) {
        match queue::get(self.read, &id) {
            Ok(job) => {
                let policy = job.and_then(|job| job.policy);
                self.consider(at, Claim::Job(id, policy), policy);
            }
            Err(error) => self.failure = Some(error),
        }
    }

    fn consider(&mut self, at: Timestamp, claim: Claim, policy: Option<Id>) {
        let remote = match policy.map(|policy| self.remote(policy)).transpose() {
            Ok(remote) => remote.flatten(),
            Err(error) => {
                self.failure = Some(error);
                return;
            }
        };
        // Rows that cannot be taken now do not count, or a remote with a long
        // row of them would hide the others.
        let gathered = self.gathered.entry(remote.clone()).or_default();
        if *gathered < self.options.workers && self.running.has_room(&claim, &remote, self.options) {
            *gathered += 1;
            self.wanted.push(Wanted { at, claim, remote });
        }
    }

    fn remote(&mut self, id: Id) -> Result<Option<Origin>, StoreError> {
        if let Some(known) = self.remotes.get(&id) {
            return Ok(known.clone());
        }
        let remote = policy::get(self.read, &id)?.as_ref().and_then(|policy| origin(policy.remote()?));
        self.remotes.insert(id, remote.clone());
        Ok(remote)
    }
}
