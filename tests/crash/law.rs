//! What must hold of a store whatever it died of, read off the store itself.
//!
//! The event log is written in the commit that does what it tells, so it is
//! held against the tables, and against itself.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::path::Path;

use tidegate::audit::Action;
use tidegate::chance::{Chance, Id};
use tidegate::clock::Clock;
use tidegate::event::{Event, Kind};
use tidegate::oci::{Digest, Tag};
use tidegate::policy::{Outcome, Reason};
use tidegate::reactor::react;
use tidegate::store::record::{Policy, PolicyBody, TagValue};
use tidegate::store::{
    Change, Lane, Operation, RepoId, Snapshot, Store, StoreError, audit, event, policy, repo, tag, transfer,
};

/// What the log tells about one store.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Promotions that happened.
    pub(crate) promotions: usize,
    /// Tags that were set.
    pub(crate) settings: usize,
    /// Tags sent to another registry.
    pub(crate) sent: usize,
    /// Tags brought in from another registry.
    pub(crate) brought: usize,
}

/// A value of a tag: repository, tag, and the event that set it.
type Source = (u64, String, u64);

/// The law over a folder on which no daemon runs. Its reactor stopped before
/// its jobs did, so their last events are handled first.
pub(crate) async fn hold_folder(data: &Path) -> Result<Told, String> {
    let store = Store::open(data, Clock::system(), Chance::system()).map_err(|error| error.to_string())?;
    caught_up(&store).await.map_err(|error| error.to_string())?;
    let told = hold(&store, true);
    store.close();
    told
}

/// Handles every event that is there, and waits until the reactor's place in the
/// log is written, which by itself rides on somebody's commit.
pub(crate) async fn caught_up(store: &Store) -> Result<(), StoreError> {
    loop {
        react::catch_up(store).await?;
        let carried = store.submit(Lane::Background, Carry).await?;
        carried.unwrap_or_else(|never| match never {});
        let read = store.snapshot()?;
        if event::cursor(&read)? == event::last(&read)? {
            return Ok(());
        }
    }
}

/// Does nothing; what rides goes with it.
struct Carry;

impl Operation for Carry {
    type Plan = ();
    type Done = ();
    type Refusal = Infallible;
    const NAME: &'static str = "carry";
    const AUDIT: tidegate::audit::Audit = tidegate::audit::Audit::Nothing("a test's");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Infallible>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), _tables: &mut Change<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads the whole log and holds it against the tables. `settled` says that
/// everything owed had the time to happen.
pub(crate) fn hold(store: &Store, settled: bool) -> Result<Told, String> {
    let read = store.snapshot().map_err(|error| error.to_string())?;
    let mut log = Log::default();
    let events = event::after(&read, 0, usize::MAX).map_err(|error| error.to_string())?;
    for event in &events {
        log.add(event)?;
    }
    acts_are_as_told(&read, &events)?;
    log.tags_are_as_told(&read)?;
    if settled {
        log.what_is_owed_is_done(&read)?;
    }
    Ok(log.told)
}

/// Each event that is somebody's act stands in the audit log once, and nothing
/// stands there that did not happen: both were written in the commit that did
/// it.
fn acts_are_as_told(read: &Snapshot, events: &[Event]) -> Result<(), String> {
    let acts: BTreeSet<u64> = events
        .iter()
        .filter(|event| match event.kind {
            Kind::RepositoryCreated
            | Kind::RepositoryDeleted
            | Kind::TagSet { .. }
            | Kind::TagDeleted { .. }
            | Kind::PolicySaved { .. }
            | Kind::PolicyDeleted { .. } => true,
            // Collection removes manifests too, and tells its start alone.
            Kind::ManifestDeleted { .. }
            | Kind::ManifestLinked { .. }
            | Kind::Promoted { .. }
            | Kind::PushMirrored { .. }
            | Kind::PullMirrored { .. } => false,
        })
        .map(|event| event.seq)
        .collect();
    let (mut told, mut start) = (Vec::new(), None);
    loop {
        let found =
            audit::page(read, &audit::Filter::default(), start, usize::MAX).map_err(|error| error.to_string())?;
        let acts = found.entries.into_iter().filter(|entry| entry.action != Action::ManifestDelete);
        told.extend(acts.filter_map(|entry| entry.event));
        match found.next {
            Some(next) => start = Some(next),
            None => break,
        }
    }
    told.sort_unstable();
    if told.iter().copied().eq(acts.iter().copied()) {
        return Ok(());
    }
    Err(format!("the audit log tells of {told:?}, and what happened is {acts:?}"))
}

#[derive(Debug, Default)]
struct Log {
    told: Told,
    /// The last value of each tag that was ever set: its event, and the digest
    /// unless it was removed since.
    tags: BTreeMap<(u64, String), (u64, Option<Digest>)>,
    /// How often each policy was saved so far.
    saved: BTreeMap<Id, usize>,
    /// What was promoted by which save of which policy.
    promoted: BTreeSet<(Id, usize, Source)>,
    /// What a tag of a repository ever named.
    named: BTreeSet<(String, Digest)>,
    /// The tag that each event set.
    set: BTreeMap<u64, (String, String)>,
}

impl Log {
    fn add(&mut self, event: &Event) -> Result<(), String> {
        let number = event.repository_number;
        match &event.kind {
            Kind::TagSet { tag, digest, .. } => {
                self.told.settings += 1;
                self.named.insert((event.repository.to_string(), *digest));
                self.set.insert(event.seq, (event.repository.to_string(), tag.to_string()));
                self.tags.insert((number, tag.to_string()), (event.seq, Some(*digest)));
            }
            Kind::TagDeleted { tag, .. } => {
                self.tags.insert((number, tag.to_string()), (event.seq, None));
            }
            Kind::PolicySaved { policy } => *self.saved.entry(*policy).or_default() += 1,
            Kind::Promoted { policy: Some(policy), tag, digest, .. } => {
                self.told.promotions += 1;
                let key = (number, tag.to_string());
                let Some((seq, Some(value))) = self.tags.get(&key) else {
                    return Err(format!("event {}: {tag} was promoted and was not there", event.seq));
                };
                if value != digest {
                    return Err(format!("event {}: {tag} was {value}, and {digest} was promoted", event.seq));
                }
                let saves = self.saved.get(policy).copied().unwrap_or(0);
                if !self.promoted.insert((*policy, saves, (key.0, key.1, *seq))) {
                    return Err(format!("event {}: policy {policy} promoted event {seq} ({tag}) twice", event.seq));
                }
            }
            Kind::PushMirrored { .. } => self.told.sent += 1,
            Kind::PullMirrored { .. } => self.told.brought += 1,
            Kind::RepositoryCreated
            | Kind::RepositoryDeleted
            | Kind::ManifestLinked { .. }
            | Kind::ManifestDeleted { .. }
            | Kind::PolicyDeleted { .. }
            | Kind::Promoted { policy: None, .. } => {}
        }
        Ok(())
    }

    /// Every tag has the value that its last event gave it.
    fn tags_are_as_told(&self, read: &Snapshot) -> Result<(), String> {
        let repositories: BTreeSet<u64> = self.tags.keys().map(|(number, _)| *number).collect();
        let mut found: BTreeMap<(u64, String), (u64, Digest)> = BTreeMap::new();
        for number in repositories {
            for (name, value) in tags(read, RepoId(number)) {
                found.insert((number, name.to_string()), (value.seq, value.digest));
            }
        }
        let told: BTreeMap<_, _> = self
            .tags
            .iter()
            .filter_map(|(key, (seq, digest))| digest.map(|digest| (key.clone(), (*seq, digest))))
            .collect();
        for key in found.keys().chain(told.keys()) {
            let (found, told) = (found.get(key), told.get(key));
            if found != told {
                return Err(format!("repository {} tag {}: {found:?}, and the log says {told:?}", key.0, key.1));
            }
        }
        Ok(())
    }

    fn what_is_owed_is_done(&self, read: &Snapshot) -> Result<(), String> {
        let (last, cursor) = (event::last(read).expect("reads"), event::cursor(read).expect("reads"));
        if last != cursor {
            return Err(format!("the reactor stands at {cursor} of {last}"));
        }
        for policy in policy::all(read).expect("reads") {
            if !policy.enabled || repo::name_of(read, policy.repository).expect("reads").is_none() {
                continue;
            }
            for (name, value) in tags(read, policy.repository) {
                // What was there before a save that asked for no walk, and what
                // the rules leave out, is not owed.
                if value.seq < policy.applies_from || !takes(&policy, &name) || value.chain.contains(&policy.id) {
                    continue;
                }
                match &policy.body {
                    PolicyBody::Promotion { .. } => self.is_promoted(read, &policy, &name, &value)?,
                    PolicyBody::Push { .. } => is_owed_or_sent(read, &policy, &name, &value)?,
                    PolicyBody::Pull { .. } => {}
                }
            }
        }
        Ok(())
    }

    fn is_promoted(&self, read: &Snapshot, policy: &Policy, name: &Tag, value: &TagValue) -> Result<(), String> {
        let place = format!("policy {} and {name} as event {} set it", policy.id, value.seq);
        let verdict = policy::verdict(read, policy.repository, name).expect("reads");
        let verdict = verdict.filter(|verdict| verdict.seq == value.seq).ok_or(format!("{place}: no verdict"))?;
        let decided = verdict.of(&policy.id).ok_or(format!("{place}: no decision"))?;
        // What came late stays away from what is newer.
        if let Reason::Overtaken { by, seq } = decided.decision.reason {
            let target = decided.decision.target.as_ref().zip(decided.decision.tag.as_ref());
            let target = target.map(|(target, tag)| (target.to_string(), tag.to_string()));
            return if by > seq && self.set.get(&by) == target.as_ref() {
                Ok(())
            } else {
                Err(format!("{place}: {:?}", decided.decision))
            };
        }
        if decided.decision.outcome != Outcome::Allow || decided.decision.version != policy.version {
            return Err(format!("{place}: {:?}", decided.decision));
        }
        // A target that names the image already is left alone.
        if let PolicyBody::Promotion { target } = &policy.body
            && self.named.contains(&(target.to_string(), value.digest))
        {
            return Ok(());
        }
        let source = (policy.repository.0, name.to_string(), value.seq);
        let saves = self.saved.get(&policy.id).copied().unwrap_or(0);
        if !(0..=saves).any(|save| self.promoted.contains(&(policy.id, save, source.clone()))) {
            return Err(format!("{place}: decided, and not promoted"));
        }
        Ok(())
    }
}

fn is_owed_or_sent(read: &Snapshot, policy: &Policy, name: &Tag, value: &TagValue) -> Result<(), String> {
    let row = transfer::get(read, &policy.id, name).expect("reads");
    match row {
        Some(row) if row.want == value.digest => Ok(()),
        row => Err(format!("policy {} owes {name} as {}, and has {row:?}", policy.id, value.digest)),
    }
}

/// The rules that these tests use: the tag ends with one of the values.
fn takes(policy: &Policy, name: &Tag) -> bool {
    policy.rules.iter().all(|rule| {
        assert_eq!((rule.field.as_str(), rule.operator.as_str()), ("tag", "ew"), "a rule the law does not know");
        rule.values.iter().any(|value| name.as_str().ends_with(value.as_str()))
    })
}

fn tags(read: &Snapshot, number: RepoId) -> Vec<(Tag, TagValue)> {
    let mut found = Vec::new();
    tag::walk(read, number, None, |name, value| {
        found.push((name, value));
        Ok(ControlFlow::Continue(()))
    })
    .expect("reads");
    found
}
