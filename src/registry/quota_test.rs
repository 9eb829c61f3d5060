//! Random work against quotas: after every act the counters are what the rows
//! add up to, and nothing got past a quota.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::account::NewAccount;
use super::collect::Half;
use super::manifest::Sent;
use super::repository::{Purge, Settings};
use super::upload::BrokenBody;
use super::{Caller, Registry, RegistryError};
use crate::audit::Audit;
use crate::chance::Chance;
use crate::clock::{Clock, Timestamp};
use crate::oci::{Condition, Digest, Reference, RepoName, Tag};
use crate::store::file::Flaw;
use crate::store::gc::CutOff;
use crate::store::quarantine::{self, Held};
use crate::store::usage::{self, Scope};
use crate::store::verify::{Depth, verify};
use crate::store::{Change, Lane, Operation, Read, RepoId, Store, StoreError, blob, repo};

const REPOSITORIES: [&str; 4] = ["dev/a", "dev/b", "dev-x/a", "qa/a"];
const BLOBS: usize = 6;
const TAGS: usize = 3;

/// One act.
#[derive(Clone, Debug)]
enum Act {
    Push { repo: usize, blob: usize },
    Mount { from: usize, to: usize, blob: usize },
    Image { repo: usize, tag: usize, blob: usize },
    Attach { repo: usize, tag: usize },
    Promote { from: usize, to: usize, tag: usize },
    DeleteTag { repo: usize, tag: usize },
    DeleteManifest { repo: usize, tag: usize },
    DeleteBlob { repo: usize, blob: usize },
    DeleteRepository { repo: usize },
    Purge,
    Condemn { blob: usize },
    Collect,
    Quota { of: usize, bytes: u64 },
    CountAnew,
    Count { rows: usize },
}

fn act() -> impl Strategy<Value = Act> {
    let (repo, blob, tag) = (0..REPOSITORIES.len(), 0..BLOBS, 0..TAGS);
    let (from, to) = (repo.clone(), repo.clone());
    prop_oneof![
        6 => (repo.clone(), blob.clone()).prop_map(|(repo, blob)| Act::Push { repo, blob }),
        4 => (from.clone(), to.clone(), blob.clone()).prop_map(|(from, to, blob)| Act::Mount { from, to, blob }),
        6 => (repo.clone(), tag.clone(), blob.clone()).prop_map(|(repo, tag, blob)| Act::Image { repo, tag, blob }),
        2 => (repo.clone(), tag.clone()).prop_map(|(repo, tag)| Act::Attach { repo, tag }),
        4 => (from, to, tag.clone()).prop_map(|(from, to, tag)| Act::Promote { from, to, tag }),
        2 => (repo.clone(), tag.clone()).prop_map(|(repo, tag)| Act::DeleteTag { repo, tag }),
        2 => (repo.clone(), tag).prop_map(|(repo, tag)| Act::DeleteManifest { repo, tag }),
        2 => (repo.clone(), blob.clone()).prop_map(|(repo, blob)| Act::DeleteBlob { repo, blob }),
        1 => repo.prop_map(|repo| Act::DeleteRepository { repo }),
        1 => Just(Act::Purge),
        1 => blob.prop_map(|blob| Act::Condemn { blob }),
        2 => Just(Act::Collect),
        3 => (0..REPOSITORIES.len() + 2, prop_oneof![Just(0), 1_u64..3_000]).prop_map(|(of, bytes)| Act::Quota { of, bytes }),
        1 => Just(Act::CountAnew),
        3 => (1_usize..5).prop_map(|rows| Act::Count { rows }),
    ]
}

/// Something done straight to the tables.
struct Do<F>(F);

impl<F: Fn(&mut Change<'_>) -> Result<(), StoreError> + Send + 'static> Operation for Do<F> {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "do";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, _: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        (self.0)(tables)
    }
}

struct World {
    registry: Registry,
    _folder: tempfile::TempDir,
}

/// What everything holds and may hold, as the counters say.
type Standings = Vec<(u64, Option<u64>)>;

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let store = Store::open(folder.path(), clock, Chance::seeded(5)).expect("opens");
        let world = Self { registry: Registry::new(store).expect("sessions"), _folder: folder };
        for name in ["dev", "dev-x", "qa"] {
            let new = NewAccount {
                name: name.to_owned(),
                full_name: String::new(),
                is_org: true,
                is_admin: false,
                is_active: true,
                password_hash: None,
            };
            world.registry.create_account(&Caller::System, new).await.expect("is made");
        }
        for at in 0..REPOSITORIES.len() {
            world.create(at).await;
        }
        world
    }

    fn store(&self) -> &Store {
        self.registry.store()
    }

    async fn create(&self, at: usize) {
        self.registry.create_repository(&Caller::System, &name(at), Settings::default()).await.expect("is made");
    }

    async fn submit(&self, act: impl Fn(&mut Change<'_>) -> Result<(), StoreError> + Send + 'static) {
        self.store().submit(Lane::Background, Do(act)).await.expect("runs").expect("is done");
    }

    fn number(&self, read: &impl Read, at: usize) -> RepoId {
        repo::get(read, &name(at)).expect("reads").expect("is there").number
    }

    fn standings(&self) -> Standings {
        let read = self.store().snapshot().expect("reads");
        let of = |scope| {
            let used = usage::counted(&read, scope).expect("reads");
            (used, usage::quota(&read, scope).expect("reads"))
        };
        let repositories = (0..REPOSITORIES.len()).map(|at| of(Scope::Repository(self.number(&read, at))));
        let all: Vec<_> = repositories.collect();
        [all, vec![of(Scope::Namespace("dev")), of(Scope::All)]].concat()
    }

    async fn push(&self, repo: usize, bytes: &[u8]) -> Result<(), RegistryError> {
        let body = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::copy_from_slice(bytes))]);
        let (digest, length) = (Digest::sha256_of(bytes), Some(bytes.len() as u64));
        self.registry.store_blob(&Caller::System, &name(repo), &digest, length, body).await.map(drop)
    }

    async fn manifest(&self, repo: usize, reference: Reference, bytes: String) -> Result<(), RegistryError> {
        let sent = Sent { bytes: bytes.into(), ..Sent::default() };
        self.registry.put_manifest(&Caller::System, &name(repo), &reference, sent).await.map(drop)
    }

    async fn act(&self, act: &Act) -> Result<(), RegistryError> {
        let (registry, system) = (&self.registry, &Caller::System);
        match *act {
            Act::Push { repo, blob } => self.push(repo, &content(blob)).await,
            Act::Mount { from, to, blob } => {
                registry.mount(system, Some(&name(from)), &name(to), &digest(blob)).await.map(drop)
            }
            Act::Image { repo, tag, blob } => {
                self.push(repo, b"{}").await?;
                self.push(repo, &content(blob)).await?;
                self.manifest(repo, Reference::Tag(tagged(tag)), image(blob, "")).await
            }
            Act::Attach { repo, tag } => {
                let Some(subject) = self.tag(repo, tag) else { return Ok(()) };
                let kind = "application/vnd.oci.image.manifest.v1+json";
                let subject = format!(r#","subject":{{"mediaType":"{kind}","digest":"{subject}","size":9}}"#);
                let bytes = image(0, &subject);
                self.manifest(repo, Reference::Digest(Digest::sha256_of(bytes.as_bytes())), bytes).await
            }
            Act::Promote { from, to, tag } => {
                let (from, to, tag) = (name(from), name(to), tagged(tag));
                registry.promote(system, (&from, &tag), (&to, &tag)).await.map(drop)
            }
            Act::DeleteTag { repo, tag } => {
                registry.delete_tag(system, &name(repo), &tagged(tag), Condition::default()).await
            }
            Act::DeleteManifest { repo, tag } => match self.tag(repo, tag) {
                Some(digest) => registry.delete_manifest(system, &name(repo), &digest, Condition::default()).await,
                None => Ok(()),
            },
            Act::DeleteBlob { repo, blob } => registry.delete_blob(system, &name(repo), &digest(blob)).await,
            Act::DeleteRepository { repo } => {
                registry.delete_repository(system, &name(repo)).await?;
                self.create(repo).await;
                Ok(())
            }
            Act::Purge => {
                self.store().submit(Lane::Background, Purge).await?.expect("is done");
                Ok(())
            }
            Act::Condemn { blob } => {
                let of = digest(blob);
                let stands = blob::get(&self.store().snapshot()?, &of)?.map(|blob| blob.upload);
                let flaw = Flaw::Missing;
                self.submit(move |tables| quarantine::condemn(tables, &Held::blob(of), stands, &flaw).map(drop)).await;
                Ok(())
            }
            Act::Collect => self.collect().await,
            Act::Quota { of, bytes } => self.quota(of, bytes).await,
            Act::CountAnew => {
                self.submit(usage::count_anew).await;
                Ok(())
            }
            Act::Count { rows } => {
                self.submit(move |tables| usage::count(tables, rows).map(drop)).await;
                Ok(())
            }
        }
    }

    async fn quota(&self, of: usize, bytes: u64) -> Result<(), RegistryError> {
        match of.checked_sub(REPOSITORIES.len()) {
            None => {
                let settings = Settings { quota_bytes: Some(bytes), ..Settings::default() };
                self.registry.update_repository(&Caller::System, &name(of), settings).await.map(drop)
            }
            Some(0) => self.registry.set_quota(&Caller::System, Some("dev"), bytes).await.map(drop),
            Some(_) => self.registry.set_quota(&Caller::System, None, bytes).await.map(drop),
        }
    }

    async fn collect(&self) -> Result<(), RegistryError> {
        let end = Timestamp::from_micros(i64::MAX / 2);
        let cut_off = CutOff { blobs: end, manifests: end };
        for half in [Half::Manifests, Half::Blobs] {
            let slice = self.registry.plan_collection(half, cut_off, None, &HashSet::new())?;
            self.registry.collect(half, cut_off, slice, Duration::ZERO).await?;
        }
        Ok(())
    }

    fn tag(&self, repo: usize, tag: usize) -> Option<Digest> {
        let reference = Reference::Tag(tagged(tag));
        self.registry.manifest(&Caller::System, &name(repo), &reference).ok().map(|served| served.digest)
    }

    /// Does it, and looks at what it did.
    async fn check(&self, act: &Act) -> Result<(), String> {
        let before = self.standings();
        let was_whole = usage::is_whole(&self.store().snapshot().expect("reads")).expect("reads");
        let done = self.act(act).await;
        let after = self.standings();
        let read = self.store().snapshot().expect("reads");
        let differences = usage::differences(&read).expect("reads");
        if !differences.is_empty() {
            return Err(format!("{act:?} ({done:?}): {differences:?}"));
        }
        if matches!(act, Act::Quota { .. } | Act::CountAnew | Act::Count { .. } | Act::DeleteRepository { .. }) {
            return Ok(());
        }
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            if was_whole && after.1.is_some_and(|limit| after.0 > limit) && after.0 > before.0 {
                return Err(format!("{act:?} ({done:?}) went past quota {at}: {before:?}, then {after:?}"));
            }
        }
        match (&done, was_whole) {
            (Err(RegistryError::Quota(_)), false) => Err(format!("{act:?} was refused before all was counted")),
            (Err(RegistryError::Quota(why)), true) if why.used + why.reserved + why.needed <= why.limit => {
                Err(format!("{act:?} had room: {why}"))
            }
            (Err(RegistryError::Store(error)), _) => Err(format!("{act:?} failed: {error}")),
            _ => Ok(()),
        }
    }
}

fn name(at: usize) -> RepoName {
    REPOSITORIES[at].parse().expect("a name")
}

fn tagged(at: usize) -> Tag {
    format!("t{at}").parse().expect("a tag")
}

fn content(blob: usize) -> Vec<u8> {
    vec![b'a' + u8::try_from(blob).expect("few"); 100 + 37 * blob]
}

fn digest(blob: usize) -> Digest {
    Digest::sha256_of(&content(blob))
}

fn image(blob: usize, more: &str) -> String {
    let (config, layer, size) = (Digest::sha256_of(b"{}"), digest(blob), content(blob).len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]{more}}}"#
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn counters_are_what_the_rows_add_up_to_and_nothing_gets_past_a_quota(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runs");
        let told = runtime.block_on(async {
            let world = World::new().await;
            for act in &acts {
                world.check(act).await?;
            }
            // Counted to its end, it comes to the same.
            while !usage::is_whole(&world.store().snapshot().expect("reads")).expect("reads") {
                world.check(&Act::Count { rows: 3 }).await?;
            }
            let live = world.registry.open_uploads().into_iter().collect();
            let read = world.store().snapshot().expect("reads");
            let report = verify(&read, world.store().files(), Depth::Names, &live).expect("verifies");
            match report.unknown() {
                Some(found) => Err(format!("{found:?}")),
                None => Ok(()),
            }
        });
        prop_assert!(told.is_ok(), "{}", told.unwrap_err());
    }
}
