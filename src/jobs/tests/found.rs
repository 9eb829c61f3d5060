//! What people found who tried the mirrors as strangers; each test begins with
//! what it cost.

use super::*;

/// Another registry like the far one.
async fn second() -> (Shared, Fake) {
    let other = Shared::default();
    let fake = Fake::start({
        let other = Arc::clone(&other);
        move |seen| answer(&other, seen)
    })
    .await;
    (other, fake)
}

fn publish_at(shared: &Shared, name: &str, seed: &str) -> Digest {
    let mut far = far(shared);
    let (config, layer) = (format!("{{\"seed\":\"{seed}\"}}").into_bytes(), seed.repeat(5_000).into_bytes());
    let manifest = image(&config, &layer);
    let digest = Digest::sha256_of(&manifest);
    for blob in [config, layer] {
        far.blobs.insert(Digest::sha256_of(&blob), blob);
    }
    far.manifests.insert(digest, manifest);
    far.tags.insert(name.to_owned(), digest);
    digest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_hangs_holds_its_own_places_alone() {
    // Two mirrors of one registry that had stopped answering held all eight
    // places, and a mirror of another registry waited behind them for hours.
    let world = World::new().await;
    for name in 0..20 {
        world.publish(&format!("slow{name}"), "one");
    }
    far(&world.far).hangs = true;
    for _ in 0..3 {
        let id = world.pull_mirror(false).await;
        world.ask(id).await;
    }
    let limit = crate::limits::JOB_WORKERS_PER_REMOTE;
    world.wait(|| (world.runner.running() >= limit).then_some(())).await;
    let (other, fake) = second().await;
    let digest = publish_at(&other, "good", "two");
    let pull = |remote| PolicyBody::Pull { remote, schedule: "@every 30m".into(), changes_only: false };
    let id = world.save_at(fake.url(), pull, Vec::new()).await;
    world.ask(id).await;
    let value = world.wait(|| world.tag("good")).await;
    assert_eq!(value.digest, digest);
    assert!(world.runner.running() <= limit + 1, "{} run", world.runner.running());
}
