//! Histories of tags end: what a tag was is forgotten once it has not been so
//! for long enough. A slice is looked at on a snapshot, and its rows go in one
//! small commit of the background lane; rows are written once and never
//! changed, so what was old on the snapshot is old in the commit.

use std::time::Duration;

use crate::audit::Audit;
use crate::lifecycle;
use crate::limits;
use crate::registry::{Registry, RegistryError};
use crate::store::{Change, Lane, Operation, StoreError, tag};

/// Takes rows out of the history.
struct Forget(Vec<Vec<u8>>);

impl Operation for Forget {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "forget history";
    const AUDIT: Audit = Audit::Nothing("what goes by age goes as it was set");
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        tag::forget(tables, &self.0)
    }
}

/// Forgets what tags have not been for `kept`; how many rows went. Measured on
/// a clock that nobody sets.
pub(super) async fn forget(registry: &Registry, kept: Duration) -> Result<usize, RegistryError> {
    let store = registry.store();
    let cut_off = store.steady().before(kept);
    let (mut removed, mut last) = (0, None);
    loop {
        let reader = store.clone();
        let slice =
            lifecycle::blocking(move || tag::ended_before(&reader.snapshot()?, cut_off, last, limits::BACKGROUND_ROWS))
                .await?;
        if slice.last.is_none() {
            return Ok(removed);
        }
        last = slice.last;
        if !slice.ended.is_empty() {
            removed += slice.ended.len();
            store.submit(Lane::Background, Forget(slice.ended)).await?.unwrap_or_else(|never| match never {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gc::{Collecting, Collection};
    use super::super::log::JobLog;
    use super::*;
    use crate::chance::{Chance, Id};
    use crate::clock::{Clock, Timestamp};
    use crate::oci::{Condition, Digest, Reference, RepoName, Tag};
    use crate::registry::account::NewAccount;
    use crate::registry::history::{Became, TagChange};
    use crate::registry::manifest::Sent;
    use crate::registry::repository::Settings;
    use crate::registry::{Caller, RegistryError};
    use crate::store::Store;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    struct World {
        registry: Registry,
        clock: Clock,
        name: RepoName,
        tag: Tag,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
            let store = Store::open(folder.path(), clock.clone(), Chance::seeded(1)).expect("opens");
            let registry = Registry::new(store).expect("sessions");
            let new = NewAccount {
                name: "dev".into(),
                full_name: String::new(),
                is_org: true,
                is_admin: false,
                is_active: true,
                password_hash: None,
            };
            registry.create_account(&Caller::System, new).await.expect("is made");
            let name: RepoName = "dev/web".parse().expect("a name");
            registry.create_repository(&Caller::System, &name, Settings::default()).await.expect("is made");
            Self { registry, clock, name, tag: "1.0".parse().expect("a tag"), _folder: folder }
        }

        /// An index without entries needs nothing else.
        async fn push(&self, text: &str) -> Digest {
            let bytes = format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"x":"{text}"}}}}"#
            );
            let (sent, tag) = (Sent { bytes: bytes.into(), ..Sent::default() }, Reference::Tag(self.tag.clone()));
            self.registry.put_manifest(&Caller::System, &self.name, &tag, sent).await.expect("is taken").0
        }

        async fn pass(&self, time: Duration) {
            self.clock.advance(time);
            tokio::time::advance(time).await;
        }

        /// What is done every night.
        async fn night(&self) {
            let (how, log) =
                (Collection::default(), JobLog::new(self.registry.store().clone(), Id::from_bytes([1; 16])));
            let how = Collection { consent: true, ..how };
            Collecting { registry: &self.registry, how, log: &log }.run().await.expect("collects");
            forget(&self.registry, limits::TAG_HISTORY_KEPT).await.expect("forgets");
        }

        async fn restore(&self, digest: &Digest) -> Result<(), RegistryError> {
            let any = Condition::default();
            self.registry.restore_tag(&Caller::System, &self.name, &self.tag, digest, any).await.map(drop)
        }

        async fn delete(&self) {
            let any = Condition::default();
            self.registry.delete_tag(&Caller::System, &self.name, &self.tag, any).await.expect("goes");
        }

        fn history(&self) -> Result<Vec<TagChange>, RegistryError> {
            self.registry.tag_history(&Caller::System, &self.name, &self.tag, None, 1_000).map(|(found, _)| found)
        }

        /// The digests, newest first, and whether each can be set back.
        fn told(&self) -> Vec<Option<(Digest, bool)>> {
            let told = |change: &TagChange| match change.became {
                Became::Value { digest, is_here, .. } => Some((digest, is_here)),
                Became::Nothing(_) => None,
            };
            self.history().expect("has one").iter().map(told).collect()
        }
    }

    /// What a tag named when somebody made a mistake can be had back for as
    /// long as is promised, however long it had stood before, and not for ever.
    #[tokio::test(start_paused = true)]
    async fn a_tag_can_be_set_back_for_two_weeks() {
        let world = World::new().await;
        let first = world.push("first").await;
        world.pass(DAY * 365).await;
        let second = world.push("second").await;
        world.pass(limits::UNTAGGED_KEPT - DAY).await;
        world.night().await;
        assert_eq!(world.told(), [Some((second, true)), Some((first, true))]);
        world.restore(&first).await.expect("is here");
        // A tag that was removed is no different.
        world.pass(DAY).await;
        world.delete().await;
        world.pass(limits::UNTAGGED_KEPT - DAY / 2).await;
        world.night().await;
        assert_eq!(world.told(), [None, Some((first, true)), Some((second, false)), Some((first, true))]);
        world.restore(&first).await.expect("is here");
        let gone = world.restore(&second).await.expect_err("was collected");
        assert_eq!(gone.to_string(), format!("the manifest {second} is not in dev/web"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_history_ends_by_age_counted_from_when_it_was_over() {
        let world = World::new().await;
        let (first, kept) = (world.push("first").await, limits::TAG_HISTORY_KEPT);
        world.pass(kept * 2).await;
        let second = world.push("second").await;
        world.pass(kept - DAY).await;
        assert_eq!(forget(&world.registry, kept).await.expect("forgets"), 0);
        let third = world.push("third").await;
        world.pass(DAY * 2).await;
        assert_eq!(forget(&world.registry, kept).await.expect("forgets"), 1);
        // What it followed is still told.
        let history = world.history().expect("has one");
        assert_eq!(history.iter().map(|change| change.previous).collect::<Vec<_>>(), [Some(second), Some(first)]);
        assert_eq!(world.told(), [Some((third, true)), Some((second, true))]);
        // Of a tag that is gone nothing stays.
        world.delete().await;
        world.pass(kept + DAY).await;
        assert_eq!(forget(&world.registry, kept).await.expect("forgets"), 3);
        assert!(matches!(world.history(), Err(RegistryError::ManifestUnknown { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_history_ends_by_count_and_the_newest_stay() {
        let world = World::new().await;
        let mut pushed = Vec::new();
        for number in 0..limits::TAG_HISTORY + 5 {
            pushed.push(world.push(&number.to_string()).await);
        }
        world.delete().await;
        let told: Vec<Option<Digest>> = world.told().into_iter().map(|told| told.map(|(digest, _)| digest)).collect();
        let newest = pushed.iter().rev().map(|digest| Some(*digest)).take(limits::TAG_HISTORY - 1);
        assert_eq!(told, std::iter::once(None).chain(newest).collect::<Vec<_>>());
        let oldest = world.history().expect("has one").pop().expect("is not empty");
        assert!(oldest.previous.is_some(), "what came before the oldest is told by itself");
    }
}
