//! Promotions into repositories whose quota leaves no room.

use super::world::World;
use crate::policy::{Outcome, Reason};
use crate::reactor::sweep;
use crate::registry::Caller;
use crate::registry::repository::Settings;

async fn bound(world: &World, repository: &str, bytes: u64) {
    let settings = Settings { quota_bytes: Some(bytes), ..Settings::default() };
    world
        .registry
        .update_repository(&Caller::System, &repository.parse().expect("a name"), settings)
        .await
        .expect("is set");
}

fn outcome(world: &World) -> (Outcome, Reason) {
    let verdict = world.verdict("dev/website", "1-stable");
    let [decided] = verdict.decisions.as_slice() else { panic!("one policy: {verdict:?}") };
    (decided.decision.outcome, decided.decision.reason.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_without_room_is_blocked_and_goes_on_when_there_is_some() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    bound(&world, "qa/website", 20).await;
    world.promote("dev/website", "qa/website").await;
    let image = world.push("dev/website", "1-stable", "the first image").await;
    world.settle().await;
    let (blocked, reason) = outcome(&world);
    assert_eq!((blocked, world.tag("qa/website", "1-stable")), (Outcome::Blocked, None));
    assert!(reason.to_string().contains("the quota of the repository qa/website leaves no room"), "{reason}");
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_eq!(outcome(&world).0, Outcome::Blocked, "there is no more room than before");
    bound(&world, "qa/website", 20_000).await;
    assert_eq!(sweep::sweep(world.store()).await.expect("sweeps"), 0);
    assert_eq!(outcome(&world).0, Outcome::Allow);
    assert_eq!(world.tag("qa/website", "1-stable").map(|value| value.digest), Some(image));
    // The same image under another tag needs no room.
    bound(&world, "qa/website", 1).await;
    world.push("dev/website", "2-stable", "the first image").await;
    world.settle().await;
    assert!(world.tag("qa/website", "2-stable").is_some());
}

/// A signature that came when the target was full never got there: its image
/// was promoted, and that decision is final.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_and_finds_no_room_follows_when_there_is_some() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let image = world.push("dev/website", "1-stable", "an image").await;
    world.settle().await;
    bound(&world, "qa/website", 1).await;
    let sbom = world.attach("dev/website", image, "what is in it").await;
    world.settle().await;
    assert!(!world.has("qa/website", sbom));
    let (blocked, reason) = outcome(&world);
    assert!(blocked == Outcome::Blocked && reason.to_string().contains("leaves no room"), "{reason}");
    bound(&world, "qa/website", 0).await;
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_eq!(outcome(&world).0, Outcome::Allow);
    assert!(world.has("qa/website", sbom));
    assert_eq!(world.attached("qa/website", image), [sbom]);
}

/// Whoever removed the promoted tag meant it: it does not come back with a
/// signature.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_removed_at_the_target_is_not_brought_back() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let image = world.push("dev/website", "1-stable", "an image").await;
    world.settle().await;
    let (name, tag) = ("qa/website".parse().expect("a name"), "1-stable".parse().expect("a tag"));
    world.registry.delete_tag(&Caller::System, &name, &tag, Default::default()).await.expect("goes");
    bound(&world, "qa/website", 1).await;
    world.attach("dev/website", image, "what is in it").await;
    world.settle().await;
    bound(&world, "qa/website", 0).await;
    sweep::sweep(world.store()).await.expect("sweeps");
    assert!(world.tag("qa/website", "1-stable").is_none());
}
