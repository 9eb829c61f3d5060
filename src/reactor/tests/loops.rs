//! Chains of promotions that come back: they end, they say why, and what
//! stands where they began is never set to something older.

use super::world::World;
use crate::event::Cause;
use crate::oci::Digest;
use crate::policy::{Outcome, Reason};
use crate::reactor::{evaluate, react, sweep};
use crate::registry::Caller;
use crate::store::event;
use crate::store::record::PolicyBody;

/// The decision that keeps `repository:tag` from going back to `place`, and
/// its words.
fn came_through(world: &World, repository: &str, tag: &str, place: &str) {
    let verdict = world.verdict(repository, tag);
    let found = verdict.decisions.iter().map(|decided| &decided.decision);
    let found: Vec<_> = found.filter(|made| matches!(made.reason, Reason::CameThrough { .. })).collect();
    assert_eq!(found.len(), 1, "{verdict:?}");
    assert_eq!(found[0].outcome, Outcome::Deny);
    let words = found[0].reason.to_string();
    assert_eq!(words, format!("the image came here through {place}: going back would be a loop"));
}

/// Every tag sets at most one event a push and step: a ring that turned would
/// write more.
fn events(world: &World) -> u64 {
    event::last(&world.store().snapshot().expect("reads")).expect("reads")
}

async fn renaming(world: &World, source: &str, target: &str, template: &str) {
    world
        .save(&Caller::System, source, |saving| {
            saving.rules = Vec::new();
            saving.body = PolicyBody::Promotion { target: target.into() };
            saving.tag_template = template.into();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_ends_before_it_sets_the_tag_that_it_began_with() {
    let world = World::new(&["dev/website", "qa/website", "prod/website"]).await;
    world.promote("dev/website", "qa/website").await;
    world.promote("qa/website", "prod/website").await;
    world.promote("prod/website", "dev/website").await;
    let digest = world.push("dev/website", "1-stable", "one").await;
    let pushed = world.tag("dev/website", "1-stable").expect("was pushed");
    world.settle().await;
    let value = world.tag("prod/website", "1-stable").expect("went on");
    assert_eq!((value.digest, value.chain.len()), (digest, 2));
    came_through(&world, "prod/website", "1-stable", "dev/website:1-stable");
    assert_eq!(world.tag("dev/website", "1-stable"), Some(pushed), "the origin was set again");
    let settled = events(&world);
    sweep::sweep(world.store()).await.expect("sweeps");
    world.settle().await;
    assert_eq!(events(&world), settled);
}

/// It once did: `dev` was pushed again while the first image was on its way
/// round, and came back to the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_ring_never_sets_its_origin_back() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    world.push("dev/website", "1-stable", "old").await;
    world.settle().await;
    // The way back opens while the origin has moved on: the walk over what is
    // there finds the old image.
    let newer = world.push("dev/website", "1-stable", "new").await;
    let pushed = world.tag("dev/website", "1-stable").expect("was pushed");
    world.promote("qa/website", "dev/website").await;
    evaluate::walk_all(world.store()).await.expect("walks");
    assert_eq!(world.tag("dev/website", "1-stable"), Some(pushed.clone()), "the walk set the origin back");
    came_through(&world, "qa/website", "1-stable", "dev/website:1-stable");
    react::catch_up(world.store()).await.expect("reacts");
    assert_eq!(world.tag("dev/website", "1-stable"), Some(pushed));
    assert_eq!(world.tag("qa/website", "1-stable").map(|value| value.digest), Some(newer));
    came_through(&world, "qa/website", "1-stable", "dev/website:1-stable");
}

/// `why` reads the way back from the history when the tags on it have moved.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_is_known_when_every_tag_on_it_has_moved_on() {
    let world = World::new(&["dev/website", "qa/website", "prod/website"]).await;
    world.promote("dev/website", "qa/website").await;
    world.promote("qa/website", "prod/website").await;
    world.push("dev/website", "1-stable", "old").await;
    world.settle().await;
    // Nothing promotes any more, and both tags before the last move on.
    for repository in ["dev/website", "qa/website"] {
        world.disarm(repository).await;
        world.push(repository, "1-stable", "new").await;
    }
    world.settle().await;
    let newer = world.tag("dev/website", "1-stable");
    world.promote("prod/website", "dev/website").await;
    world.settle().await;
    assert_eq!(world.tag("dev/website", "1-stable"), newer);
    came_through(&world, "prod/website", "1-stable", "dev/website:1-stable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_renames_ends_after_one_round() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    renaming(&world, "dev/website", "qa/website", "%n").await;
    renaming(&world, "qa/website", "dev/website", "latest").await;
    let first = world.push("dev/website", "1", "one").await;
    world.settle().await;
    let digest_of = |repository, tag| world.tag(repository, tag).map(|value| value.digest);
    assert_eq!(digest_of("dev/website", "latest"), Some(first));
    assert_eq!(digest_of("qa/website", "latest"), None);
    let verdict = world.verdict("dev/website", "latest");
    assert_eq!(verdict.decisions[0].decision.reason, Reason::Loop, "{verdict:?}");
    // Pushed by hand, the renamed tag goes round by itself and comes back to
    // itself.
    let second = world.push("dev/website", "latest", "two").await;
    world.settle().await;
    assert_eq!((digest_of("dev/website", "latest"), digest_of("qa/website", "latest")), (Some(second), Some(second)));
    came_through(&world, "qa/website", "latest", "dev/website:latest");
    assert!(matches!(world.tag("dev/website", "latest").expect("stands").cause, Cause::Push));
    // The older image may not take its place when its tag is only set again.
    world.push("dev/website", "1", "one").await;
    world.settle().await;
    assert_eq!(digest_of("dev/website", "latest"), Some(second));
    // A newer one takes it.
    let third = world.push("dev/website", "1", "three").await;
    world.settle().await;
    assert_eq!((digest_of("dev/website", "latest"), digest_of("dev/website", "1")), (Some(third), Some(third)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_allowed_and_not_set_again() {
    let world = World::new(&["dev/website", "qa/website", "prod/website"]).await;
    world.promote("qa/website", "prod/website").await;
    let digest = world.push("qa/website", "1-stable", "one").await;
    world.settle().await;
    let before = world.tag("qa/website", "1-stable").expect("was pushed");
    world.promote("dev/website", "qa/website").await;
    assert_eq!(world.push("dev/website", "1-stable", "one").await, digest);
    world.settle().await;
    assert_eq!(world.tag("qa/website", "1-stable"), Some(before));
    let verdict = world.verdict("dev/website", "1-stable");
    assert_eq!(verdict.decisions[0].decision.outcome, Outcome::Allow);
    // What is attached later follows all the same.
    let late = world.attach("dev/website", digest, "late").await;
    world.settle().await;
    for repository in ["qa/website", "prod/website"] {
        assert_eq!(world.attached(repository, digest), [late], "{repository}");
    }
}

/// A signature that was made anew where the image began is not replaced by the
/// older one that comes back with the image under another tag.
#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_comes_back_replaces_nothing() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    renaming(&world, "dev/website", "qa/website", "%n").await;
    let digest = world.push("dev/website", "1", "one").await;
    let name = format!("sha256-{}.sig", digest.hex());
    world.sign("dev/website", &name, "old").await;
    world.settle().await;
    let old = world.tag("qa/website", &name).map(|value| value.digest);
    // The policy that would take the new one along is gone.
    world.disarm("dev/website").await;
    let new = world.sign("dev/website", &name, "new").await;
    renaming(&world, "qa/website", "dev/website", "again").await;
    world.settle().await;
    let value =
        |repository: &str, tag: &str| -> Option<Digest> { world.tag(repository, tag).map(|value| value.digest) };
    assert_eq!(value("dev/website", "again"), Some(digest));
    assert!(old.is_some() && old != Some(new));
    assert_eq!((value("dev/website", &name), value("qa/website", &name)), (Some(new), old));
}
