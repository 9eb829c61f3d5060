//! What arrives after what it belongs to was promoted or mirrored.

use super::world::{World, index, remote};
use crate::chance::Id;
use crate::limits;
use crate::oci::{Condition, Digest, MediaType, RepoName};
use crate::reactor::follow::Late;
use crate::reactor::sweep;
use crate::registry::Caller;
use crate::store::record::{PolicyBody, Transfer};
use crate::store::{event, repo, transfer};

const IMAGE: MediaType = MediaType::OciManifest;
const INDEX: MediaType = MediaType::OciIndex;

fn digest(bytes: &str) -> Digest {
    Digest::sha256_of(bytes.as_bytes())
}

/// Puts what an index names, when it names it already.
async fn put(world: &World, repository: &str, kind: MediaType, bytes: &str) -> Digest {
    world.manifest(repository, &digest(bytes).to_string(), bytes.to_owned(), kind).await
}

async fn mirror(world: &World, source: &str) -> Id {
    world.save(&Caller::System, source, |saving| saving.body = PolicyBody::Push { remote: remote() }).await
}

fn owed(world: &World, policy: Id, tag: &str) -> Transfer {
    let read = world.store().snapshot().expect("reads");
    transfer::get(&read, &policy, &tag.parse().expect("a tag")).expect("reads").expect("is owed")
}

/// An index pushed before its entries was promoted torn, and stayed so: nobody
/// could pull it where it was promoted to.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_comes_later_follows_its_index_down_the_chain() {
    let world = World::new(&["dev/website", "qa/website", "prod/website"]).await;
    world.promote("dev/website", "qa/website").await;
    world.promote("qa/website", "prod/website").await;
    let (amd, arm) = (world.image("dev/website", "amd").await, world.image("dev/website", "arm").await);
    put(&world, "dev/website", IMAGE, &amd).await;
    let root = world.index("dev/website", "1-stable", &[(IMAGE, &amd), (IMAGE, &arm)]).await;
    world.settle().await;
    for repository in ["qa/website", "prod/website"] {
        assert_eq!(world.tag(repository, "1-stable").map(|value| value.digest), Some(root));
        assert!(world.has(repository, digest(&amd)) && !world.has(repository, digest(&arm)));
    }
    put(&world, "dev/website", IMAGE, &arm).await;
    world.settle().await;
    // `verify`, when the world goes, proves that its blobs came along.
    assert!(world.has("qa/website", digest(&arm)) && world.has("prod/website", digest(&arm)));
    // The same again asks for nothing.
    let events = || event::last(&world.store().snapshot().expect("reads")).expect("reads");
    let settled = events();
    put(&world, "dev/website", IMAGE, &arm).await;
    world.settle().await;
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_eq!(events(), settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_indexes_are_followed_whatever_comes_last() {
    for image_first in [true, false] {
        let world = World::new(&["dev/website", "qa/website"]).await;
        world.promote("dev/website", "qa/website").await;
        let image = world.image("dev/website", "deep").await;
        let inner = index(&[(IMAGE, &image)]);
        let middle = index(&[(INDEX, &inner)]);
        world.index("dev/website", "1-stable", &[(INDEX, &middle)]).await;
        world.settle().await;
        let mut parts = [(INDEX, &middle), (INDEX, &inner), (IMAGE, &image)];
        if image_first {
            parts.reverse();
        }
        for (kind, bytes) in parts {
            assert!(!world.has("qa/website", digest(bytes)));
            put(&world, "dev/website", kind, bytes).await;
            world.settle().await;
        }
        for (_, bytes) in parts {
            assert!(world.has("qa/website", digest(bytes)), "image first: {image_first}");
        }
    }
}

/// A signature on one platform's image is attached to what the index lists,
/// not to what was promoted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_to_an_entry_later_follows_the_index() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let policy = mirror(&world, "dev/website").await;
    let image = world.image("dev/website", "amd").await;
    put(&world, "dev/website", IMAGE, &image).await;
    world.index("dev/website", "1-stable", &[(IMAGE, &image)]).await;
    world.settle().await;
    let before = owed(&world, policy, "1-stable");
    let sbom = world.attach("dev/website", digest(&image), "sbom").await;
    // And what is attached to that.
    let signed = world.attach("dev/website", sbom, "signature of it").await;
    let name = format!("sha256-{}.sig", digest(&image).hex());
    let signature = world.sign("dev/website", &name, "signature").await;
    world.settle().await;
    assert_eq!(world.attached("qa/website", digest(&image)), [sbom]);
    assert_eq!(world.attached("qa/website", sbom), [signed]);
    assert_eq!(world.tag("qa/website", &name).map(|value| value.digest), Some(signature));
    assert!(owed(&world, policy, "1-stable").generation >= before.generation + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_owes_an_index_again_when_an_entry_comes() {
    let world = World::new(&["dev/website"]).await;
    let policy = mirror(&world, "dev/website").await;
    let image = world.image("dev/website", "late").await;
    let root = world.index("dev/website", "1-stable", &[(IMAGE, &image)]).await;
    world.settle().await;
    let before = owed(&world, policy, "1-stable");
    assert_eq!((before.want, before.generation), (root, 1));
    put(&world, "dev/website", IMAGE, &image).await;
    world.settle().await;
    let after = owed(&world, policy, "1-stable");
    assert_eq!((after.want, after.generation, after.job), (root, 2, before.job));
    // An image that belongs to nothing asks for nothing.
    world.push("dev/website", "other", "other").await;
    world.settle().await;
    assert_eq!(owed(&world, policy, "1-stable").generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_brought_back_to_where_the_index_is_gone() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let image = world.image("dev/website", "late").await;
    let root = world.index("dev/website", "1-stable", &[(IMAGE, &image)]).await;
    world.settle().await;
    let target: RepoName = "qa/website".parse().expect("a name");
    world.registry.delete_manifest(&Caller::System, &target, &root, Condition::default()).await.expect("goes");
    put(&world, "dev/website", IMAGE, &image).await;
    world.settle().await;
    assert!(!world.has("qa/website", digest(&image)));
}

/// A manifest that many indexes list would otherwise be one commit that holds
/// up every push.
#[tokio::test(flavor = "multi_thread")]
async fn many_indexes_of_one_entry_are_followed_in_slices() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let policy = mirror(&world, "dev/website").await;
    let image = world.image("dev/website", "shared").await;
    let count = limits::FOLLOW_STEPS + 4;
    for number in 0..count {
        let other = format!(r#"{{"number":{number}}}"#);
        world.index("dev/website", &format!("{number}-stable"), &[(IMAGE, &image), (IMAGE, &other)]).await;
    }
    world.settle().await;
    put(&world, "dev/website", IMAGE, &image).await;
    let slices: Vec<usize> = {
        let read = world.store().snapshot().expect("reads");
        let name: RepoName = "dev/website".parse().expect("a name");
        let repository = repo::get(&read, &name).expect("reads").expect("is there").number;
        let late = Late { repository, name, digest: digest(&image), tag: None };
        let planned = late.plan(&read, || world.store().chance().id()).expect("plans");
        planned.iter().map(|slice| slice.steps()).collect()
    };
    assert_eq!(slices.iter().sum::<usize>(), 2 * count, "{slices:?}");
    assert!(slices.len() > 1 && slices.iter().all(|steps| *steps <= limits::FOLLOW_STEPS), "{slices:?}");
    world.settle().await;
    assert!(world.has("qa/website", digest(&image)));
    for number in 0..count {
        assert_eq!(owed(&world, policy, &format!("{number}-stable")).generation, 2);
    }
}
