//! Acts, on the registry and on the model, and what is held against what.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tidegate::chance::Chance;
use tidegate::clock::{Clock, Timestamp};
use tidegate::limits;
use tidegate::oci::{Condition, Digest, Reference, RepoName, Tag};
use tidegate::registry::account::NewAccount;
use tidegate::registry::collect::{Half, Slice};
use tidegate::registry::manifest::Sent;
use tidegate::registry::repository::Settings;
use tidegate::registry::upload::BrokenBody;
use tidegate::registry::{Caller, Registry, RegistryError};
use tidegate::store::gc::CutOff;
use tidegate::store::verify::{Depth, verify};
use tidegate::store::{Store, blob, manifest, repo, tag};

use crate::model::{Answer, Place};
use crate::shelf::Shelf;

const REPOSITORIES: [&str; 2] = ["dev/a", "dev/b"];
const TAGS: [&str; 3] = ["1", "2", "latest"];
/// When the clocks of all stores here begin.
const BEGIN: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// One act. Numbers pick from what there is.
#[derive(Clone, Debug)]
enum Act {
    /// A client sends a blob.
    Send {
        at: usize,
        blob: usize,
    },
    /// A client asks for it to be mounted.
    Mount {
        from: usize,
        to: usize,
        blob: usize,
    },
    /// A client asks whether a blob is there.
    AskBlob {
        at: usize,
        blob: usize,
    },
    /// A client asks whether a manifest is there.
    AskManifest {
        at: usize,
        thing: usize,
    },
    /// A client puts a manifest.
    Put {
        at: usize,
        thing: usize,
        tag: Option<usize>,
    },
    /// A client does what clients do: asks for each blob, sends what is not
    /// there, and puts the manifest.
    Push {
        at: usize,
        thing: usize,
        tag: Option<usize>,
    },
    /// A client deletes.
    DeleteTag {
        at: usize,
        tag: usize,
    },
    DeleteManifest {
        at: usize,
        thing: usize,
    },
    DeleteBlob {
        at: usize,
        blob: usize,
    },
    /// Collection looks.
    Plan {
        half: Half,
    },
    /// Collection removes what it found when it looked, which may be long ago.
    Collect,
    /// Collection from one end to the other.
    CollectAll,
    /// Time goes by.
    Pass {
        seconds: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let (at, blob, thing) = (0..REPOSITORIES.len(), 0..5_usize, 0..10_usize);
    let tag = prop::option::weighted(0.4, 0..TAGS.len());
    prop_oneof![
        3 => (at.clone(), blob.clone()).prop_map(|(at, blob)| Act::Send { at, blob }),
        2 => (at.clone(), at.clone(), blob.clone()).prop_map(|(from, to, blob)| Act::Mount { from, to, blob }),
        3 => (at.clone(), blob.clone()).prop_map(|(at, blob)| Act::AskBlob { at, blob }),
        3 => (at.clone(), thing.clone()).prop_map(|(at, thing)| Act::AskManifest { at, thing }),
        8 => (at.clone(), thing.clone(), tag.clone()).prop_map(|(at, thing, tag)| Act::Put { at, thing, tag }),
        8 => (at.clone(), thing.clone(), tag).prop_map(|(at, thing, tag)| Act::Push { at, thing, tag }),
        4 => (at.clone(), 0..TAGS.len()).prop_map(|(at, tag)| Act::DeleteTag { at, tag }),
        3 => (at.clone(), thing).prop_map(|(at, thing)| Act::DeleteManifest { at, thing }),
        2 => (at, blob).prop_map(|(at, blob)| Act::DeleteBlob { at, blob }),
        4 => prop_oneof![Just(Half::Manifests), Just(Half::Blobs)].prop_map(|half| Act::Plan { half }),
        8 => Just(Act::Collect),
        2 => Just(Act::CollectAll),
        6 => prop_oneof![Just(1_u64), Just(30), Just(61), Just(4000)].prop_map(|seconds| Act::Pass { seconds }),
    ]
}

struct World {
    registry: Registry,
    clock: Clock,
    now: Duration,
    shelf: Shelf,
    places: [Place; 2],
    /// What collection has found and not removed yet.
    planned: Option<(Half, Slice, Duration)>,
    _folder: tempfile::TempDir,
}

fn name(at: usize) -> RepoName {
    REPOSITORIES[at].parse().expect("a name")
}

fn tagged(at: usize) -> Tag {
    TAGS[at].parse().expect("a tag")
}

impl World {
    async fn new() -> Self {
        // In memory, where there is such a place: the disk is not what is tested.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let clock = Clock::manual(BEGIN);
        let store = Store::open(folder.path(), clock.clone(), Chance::seeded(1)).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        let new = NewAccount {
            name: "dev".to_owned(),
            full_name: String::new(),
            is_org: true,
            is_admin: false,
            is_active: true,
            password_hash: None,
        };
        registry.create_account(&Caller::System, new).await.expect("is made");
        for at in 0..REPOSITORIES.len() {
            registry.create_repository(&Caller::System, &name(at), Settings::default()).await.expect("is made");
        }
        let (now, places) = (Duration::ZERO, Default::default());
        Self { registry, clock, now, shelf: Shelf::new(), places, planned: None, _folder: folder }
    }

    async fn run(&mut self, act: &Act) -> Result<(), TestCaseError> {
        // No two acts at one moment, as with commits.
        self.pass(Duration::from_micros(100)).await;
        match *act {
            Act::Send { at, blob } => self.send(at, blob).await,
            Act::Mount { from, to, blob } => self.mount(from, to, blob).await,
            Act::AskBlob { at, blob } => self.ask_blob(at, blob).map(drop),
            Act::AskManifest { at, thing } => self.ask_manifest(at, thing).map(drop),
            Act::Put { at, thing, tag } => self.put(at, thing, tag).await.map(drop),
            Act::Push { at, thing, tag } => self.push(at, thing, tag).await,
            Act::DeleteTag { at, tag } => self.delete_tag(at, tag).await,
            Act::DeleteManifest { at, thing } => self.delete_manifest(at, thing).await,
            Act::DeleteBlob { at, blob } => self.delete_blob(at, blob).await,
            Act::Plan { half } => self.plan(half, None),
            Act::Collect => self.collect().await.map(drop),
            Act::CollectAll => self.collect_all().await,
            Act::Pass { seconds } => {
                self.pass(Duration::from_secs(seconds)).await;
                Ok(())
            }
        }?;
        self.compare()
    }

    async fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock.advance(time);
        tokio::time::advance(time).await;
    }

    async fn send(&mut self, at: usize, blob: usize) -> Result<(), TestCaseError> {
        let (bytes, digest) = self.shelf.blobs[blob].clone();
        let body = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::from(bytes))]);
        let stored = self.registry.store_blob(&Caller::System, &name(at), &digest, None, body).await;
        prop_assert!(stored.is_ok(), "{stored:?}");
        self.places[at].blobs.insert(digest, self.now);
        self.places[at].claim(digest, self.now);
        Ok(())
    }

    async fn mount(&mut self, from: usize, to: usize, blob: usize) -> Result<(), TestCaseError> {
        let digest = self.shelf.blobs[blob].1;
        let done = self.registry.mount(&Caller::System, Some(&name(from)), &name(to), &digest).await;
        let had = self.places[from].blobs.contains_key(&digest) || self.places[to].blobs.contains_key(&digest);
        prop_assert_eq!(done.map_err(|error| TestCaseError::fail(error.to_string()))?, had);
        if had {
            self.places[to].claim(digest, self.now);
            self.places[to].blobs.insert(digest, self.now);
        } else {
            // It is not here, so nobody relies on it; what was told before holds
            // anew.
            self.places[to].renew(&digest, self.now);
        }
        Ok(())
    }

    fn ask_blob(&mut self, at: usize, blob: usize) -> Result<bool, TestCaseError> {
        let digest = self.shelf.blobs[blob].1;
        let is_there = self.registry.blob_size(&Caller::System, &name(at), &digest).is_ok();
        prop_assert_eq!(is_there, self.places[at].blobs.contains_key(&digest));
        if is_there {
            self.places[at].claim(digest, self.now);
        }
        Ok(is_there)
    }

    fn ask_manifest(&mut self, at: usize, thing: usize) -> Result<bool, TestCaseError> {
        let digest = self.shelf.things[thing].digest;
        let reference = Reference::Digest(digest);
        let is_there = self.registry.manifest_told(&Caller::System, &name(at), &reference).is_ok();
        prop_assert_eq!(is_there, self.places[at].manifests.contains_key(&digest));
        if is_there {
            self.places[at].claim(digest, self.now);
        }
        Ok(is_there)
    }

    async fn put(&mut self, at: usize, thing: usize, tag: Option<usize>) -> Result<Answer, TestCaseError> {
        let thing = self.shelf.things[thing].clone();
        let place = &mut self.places[at];
        let expected = place.answer(&thing, self.now);
        let reference = tag.map_or(Reference::Digest(thing.digest), |tag| Reference::Tag(tagged(tag)));
        let sent = Sent { bytes: thing.bytes.clone().into(), ..Sent::default() };
        let put = self.registry.put_manifest(&Caller::System, &name(at), &reference, sent).await;
        let answer = match &put {
            Ok(_) => Answer::Taken,
            Err(RegistryError::ManifestBlobUnknown { .. }) => Answer::Refused,
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(answer, expected, "{:?} {:?}", put, thing);
        if tag.is_none() {
            place.claim(thing.digest, self.now);
        }
        if answer == Answer::Taken {
            place.manifests.insert(thing.digest, self.now);
            if let Some(tag) = tag
                && let Some(before) = place.tags.insert(tag, thing.digest)
                && before != thing.digest
                && let Some(since) = place.manifests.get_mut(&before)
            {
                *since = self.now;
            }
            place.fulfil(&thing);
        }
        Ok(answer)
    }

    /// What a client was told is there is there when it puts the manifest: a
    /// push that does not dawdle is never refused, whatever is collected.
    async fn push(&mut self, at: usize, thing: usize, tag: Option<usize>) -> Result<(), TestCaseError> {
        let wanted = self.shelf.things[thing].clone();
        for digest in wanted.blobs() {
            let blob = self.shelf.blobs.iter().position(|(_, of)| *of == digest).expect("is on the shelf");
            if !self.ask_blob(at, blob)? {
                self.send(at, blob).await?;
            }
            self.pass(Duration::from_secs(1)).await;
            self.collect_some().await?;
        }
        for entry in &wanted.entries {
            let thing = self.shelf.things.iter().position(|thing| thing.digest == *entry).expect("is on the shelf");
            if !self.ask_manifest(at, thing)? {
                Box::pin(self.push(at, thing, None)).await?;
            }
            self.pass(Duration::from_secs(1)).await;
            self.collect_some().await?;
        }
        let answer = self.put(at, thing, tag).await?;
        prop_assert_eq!(answer, Answer::Taken, "a push was refused: {:?}", wanted);
        let place = &self.places[at];
        for digest in wanted.blobs() {
            prop_assert!(place.blobs.contains_key(&digest), "a push lost {}", digest);
        }
        for digest in &wanted.entries {
            prop_assert!(place.manifests.contains_key(digest), "a push lost {}", digest);
        }
        Ok(())
    }

    async fn delete_tag(&mut self, at: usize, tag: usize) -> Result<(), TestCaseError> {
        let deleted =
            self.registry.delete_tag(&Caller::System, &name(at), &tagged(tag), Condition::default()).await.is_ok();
        let place = &mut self.places[at];
        let was = place.tags.remove(&tag);
        prop_assert_eq!(deleted, was.is_some());
        if let Some(since) = was.and_then(|was| place.manifests.get_mut(&was)) {
            *since = self.now;
        }
        Ok(())
    }

    async fn delete_manifest(&mut self, at: usize, thing: usize) -> Result<(), TestCaseError> {
        let digest = self.shelf.things[thing].digest;
        let deleted =
            self.registry.delete_manifest(&Caller::System, &name(at), &digest, Condition::default()).await.is_ok();
        let place = &mut self.places[at];
        let may = place.manifests.contains_key(&digest) && !place.is_led_to(&self.shelf, &digest);
        prop_assert_eq!(deleted, may);
        if deleted {
            place.manifests.remove(&digest);
            place.tags.retain(|_, of| *of != digest);
            place.drop_claims(&digest);
        }
        Ok(())
    }

    async fn delete_blob(&mut self, at: usize, blob: usize) -> Result<(), TestCaseError> {
        let digest = self.shelf.blobs[blob].1;
        let deleted = self.registry.delete_blob(&Caller::System, &name(at), &digest).await.is_ok();
        let place = &mut self.places[at];
        let may = place.blobs.contains_key(&digest) && !place.is_named(&self.shelf, &digest);
        prop_assert_eq!(deleted, may);
        if deleted {
            place.blobs.remove(&digest);
            place.drop_claims(&digest);
        }
        Ok(())
    }

    fn cut_off(at: Duration) -> CutOff {
        let at = BEGIN.after(at);
        CutOff { blobs: at, manifests: at }
    }

    /// Looks for what can go, with no grace at all.
    fn plan(&mut self, half: Half, cut_off: Option<Duration>) -> Result<(), TestCaseError> {
        let at = cut_off.unwrap_or(self.now);
        let slice = self.registry.plan_collection(half, Self::cut_off(at), None, &HashSet::new());
        self.planned = Some((half, slice.map_err(|error| TestCaseError::fail(error.to_string()))?, at));
        Ok(())
    }

    /// One step of a collection that spares nothing: what was found before, or
    /// what is found now.
    async fn collect_some(&mut self) -> Result<(), TestCaseError> {
        if self.planned.is_none() {
            let half = if self.now.as_micros().is_multiple_of(2) { Half::Manifests } else { Half::Blobs };
            self.plan(half, None)?;
            return Ok(());
        }
        self.collect().await
    }

    /// Removes what was found; the model says of everything that went whether
    /// it may, and takes it over.
    async fn collect(&mut self) -> Result<(), TestCaseError> {
        let Some((half, slice, cut_off)) = self.planned.take() else { return Ok(()) };
        let spare = limits::PUSH_UNDER_WAY;
        let before = self.places.clone();
        let done = self.registry.collect(half, Self::cut_off(cut_off), slice, spare).await;
        prop_assert!(done.is_ok(), "{:?}", done);
        for (at, was) in before.into_iter().enumerate() {
            let (blobs, manifests) = self.found(at)?;
            let kept = was.kept(&self.shelf, cut_off);
            let claimed = |digest: &Digest| was.is_claimed(digest, self.now, spare);
            for digest in was.manifests.keys().filter(|digest| !manifests.contains(digest)) {
                prop_assert!(half == Half::Manifests && !kept.contains(digest), "{} was needed", digest);
                for above in was.lineage(&self.shelf, digest) {
                    prop_assert!(!manifests.contains(&above), "{} went without {}", digest, above);
                    prop_assert!(!claimed(&above), "{} went, and somebody was told that it is here", above);
                }
            }
            for digest in was.blobs.keys().filter(|digest| !blobs.contains(digest)) {
                prop_assert!(half == Half::Blobs && was.blobs[digest] < cut_off, "{} was young", digest);
                prop_assert!(!was.is_named(&self.shelf, digest), "the blob {} was named", digest);
                prop_assert!(!claimed(digest), "{} went, and somebody was told that it is here", digest);
            }
            self.places[at].blobs.retain(|digest, _| blobs.contains(digest));
            self.places[at].manifests.retain(|digest, _| manifests.contains(digest));
        }
        Ok(())
    }

    /// After the last push has ended: everything goes that nothing needs.
    async fn collect_all(&mut self) -> Result<(), TestCaseError> {
        self.pass(limits::PUSH_UNDER_WAY).await;
        let cut_off = self.now;
        for half in [Half::Manifests, Half::Blobs] {
            self.plan(half, Some(cut_off))?;
            self.collect().await?;
        }
        for place in &self.places {
            let kept = place.kept(&self.shelf, cut_off);
            let left: BTreeSet<_> = place.manifests.keys().copied().collect();
            prop_assert_eq!(&left, &kept, "manifests that nothing needs are left");
            for blob in place.blobs.keys() {
                prop_assert!(place.is_named(&self.shelf, blob), "{} is left and nothing names it", blob);
            }
        }
        Ok(())
    }

    /// Blobs and manifests of one repository, as the store has them.
    fn found(&self, at: usize) -> Result<(BTreeSet<Digest>, BTreeSet<Digest>), TestCaseError> {
        let fail = |error: tidegate::store::StoreError| TestCaseError::fail(error.to_string());
        let read = self.registry.store().snapshot().map_err(fail)?;
        let number = repo::get(&read, &name(at)).map_err(fail)?.expect("is there").number;
        let (mut blobs, mut manifests) = (BTreeSet::new(), BTreeSet::new());
        for (_, digest) in &self.shelf.blobs {
            if blob::is_readable(&read, number, digest).map_err(fail)? {
                blobs.insert(*digest);
            }
        }
        for thing in &self.shelf.things {
            if manifest::is_readable(&read, number, &thing.digest).map_err(fail)? {
                manifests.insert(thing.digest);
            }
        }
        Ok((blobs, manifests))
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let fail = |error: tidegate::store::StoreError| TestCaseError::fail(error.to_string());
        for (at, place) in self.places.iter().enumerate() {
            let (blobs, manifests) = self.found(at)?;
            prop_assert_eq!(&blobs, &place.blobs.keys().copied().collect(), "blobs of {}", REPOSITORIES[at]);
            prop_assert_eq!(
                &manifests,
                &place.manifests.keys().copied().collect(),
                "manifests of {}",
                REPOSITORIES[at]
            );
            let read = self.registry.store().snapshot().map_err(fail)?;
            let number = repo::get(&read, &name(at)).map_err(fail)?.expect("is there").number;
            let mut tags = BTreeMap::new();
            for number_of_tag in 0..TAGS.len() {
                if let Some(value) = tag::get(&read, number, &tagged(number_of_tag)).map_err(fail)? {
                    tags.insert(number_of_tag, value.digest);
                }
            }
            prop_assert_eq!(&tags, &place.tags, "tags of {}", REPOSITORIES[at]);
        }
        let (store, live) = (self.registry.store(), self.registry.open_uploads().into_iter().collect());
        let report = verify(&store.snapshot().map_err(fail)?, store.files(), Depth::Names, &live).map_err(fail)?;
        prop_assert!(report.is_clean(), "{:#?}", report.findings);
        Ok(())
    }
}

/// Cases of one run: TIDEGATE_MODEL_CASES, or what takes a minute or so.
fn cases() -> u32 {
    std::env::var("TIDEGATE_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_registry_does_what_its_model_does_while_it_is_collected(acts in prop::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let told = runtime.expect("a runtime").block_on(async {
            let mut world = World::new().await;
            for (number, act) in acts.iter().enumerate() {
                world.run(act).await.map_err(|error| TestCaseError::fail(format!("act {number}, {act:?}: {error}")))?;
            }
            world.collect_all().await?;
            let told = world.compare();
            world.registry.store().close();
            told
        });
        told?;
    }
}
