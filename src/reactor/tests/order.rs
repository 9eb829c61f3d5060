//! What comes late does not replace what is newer: a blocked promotion that is
//! tried again, a walk over existing tags, and a reactor that was behind end as
//! if each image had been promoted when it came.

use super::world::World;
use crate::oci::Condition;
use crate::policy::{Outcome, Reason};
use crate::reactor::{evaluate, react, sweep};
use crate::registry::Caller;
use crate::registry::repository::Settings;
use crate::store::record::PolicyBody;

impl World {
    async fn immutable(&self, repository: &str, immutable: bool) {
        let settings = Settings { immutable_tags: Some(immutable), ..Settings::default() };
        let name = repository.parse().expect("a name");
        self.registry.update_repository(&Caller::System, &name, settings).await.expect("changes");
    }

    /// A policy that calls every stable tag `latest` at the target.
    async fn to_latest(&self, again: bool, evaluate: bool) -> crate::chance::Id {
        self.save(&Caller::System, "dev/website", |saving| {
            saving.tag_template = "latest".into();
            saving.body = PolicyBody::Promotion { target: "qa/website".into() };
            (saving.again, saving.evaluate) = (again, evaluate);
        })
        .await
    }

    fn is_overtaken(&self, tag: &str) -> bool {
        let verdict = self.verdict("dev/website", tag);
        let decision = &verdict.decisions[0].decision;
        decision.outcome == Outcome::Deny && matches!(decision.reason, Reason::Overtaken { .. })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_promotion_does_not_come_back_over_a_newer_image() {
    // The target was immutable for a while; a minute after it was opened again
    // the sweep set `latest` back to the image that had been blocked.
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.to_latest(false, true).await;
    world.push("dev/website", "a-stable", "a").await;
    world.settle().await;
    world.immutable("qa/website", true).await;
    world.push("dev/website", "b-stable", "b").await;
    world.settle().await;
    world.immutable("qa/website", false).await;
    let newest = world.push("dev/website", "c-stable", "c").await;
    world.settle().await;
    for _ in 0..2 {
        assert_eq!(sweep::sweep(world.store()).await.expect("sweeps"), 0);
        assert_eq!(world.tag("qa/website", "latest").expect("is there").digest, newest);
    }
    assert!(world.is_overtaken("b-stable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_promotion_does_not_come_back_over_what_a_person_pushed() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    world.push("qa/website", "1-stable", "old").await;
    world.immutable("qa/website", true).await;
    world.push("dev/website", "1-stable", "blocked").await;
    world.settle().await;
    world.immutable("qa/website", false).await;
    let fix = world.push("qa/website", "1-stable", "fix").await;
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_eq!(world.tag("qa/website", "1-stable").expect("is there").digest, fix);
    // Without anything newer it goes on, as it was owed.
    world.push("qa/website", "2-stable", "old").await;
    world.immutable("qa/website", true).await;
    let owed = world.push("dev/website", "2-stable", "owed").await;
    world.settle().await;
    world.immutable("qa/website", false).await;
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_eq!(world.tag("qa/website", "2-stable").expect("is there").digest, owed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_gives_many_tags_one_name_ends_with_the_newest() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    for tag in ["3-stable", "1-stable"] {
        world.push("dev/website", tag, tag).await;
    }
    let newest = world.push("dev/website", "2-stable", "2").await;
    world.settle().await;
    world.to_latest(false, true).await;
    world.settle().await;
    assert_eq!(world.tag("qa/website", "latest").expect("is there").digest, newest);
    assert!(world.is_overtaken("3-stable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_does_not_replace_what_is_pushed_while_it_goes_on() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.push("dev/website", "z-stable", "z").await;
    react::catch_up(world.store()).await.expect("reacts");
    world.to_latest(false, true).await;
    let newest = world.push("dev/website", "a-stable", "a").await;
    react::catch_up(world.store()).await.expect("reacts");
    evaluate::walk_all(world.store()).await.expect("walks");
    world.settle().await;
    assert_eq!(world.tag("qa/website", "latest").expect("is there").digest, newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_with_evaluation_replaces_what_stood_at_the_target_by_other_hands() {
    // As DTR's Save & Apply does: the person wants the target to follow.
    let world = World::new(&["dev/website", "qa/website"]).await;
    let image = world.push("dev/website", "1-stable", "ours").await;
    world.push("qa/website", "1-stable", "theirs").await;
    world.settle().await;
    world.promote("dev/website", "qa/website").await;
    world.settle().await;
    assert_eq!(world.tag("qa/website", "1-stable").expect("is there").digest, image);
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_in_so_many_words_what_was_deleted_at_the_target_is_promoted_again() {
    // Save & Apply of an unchanged policy did nothing at all.
    let world = World::new(&["dev/website", "qa/website"]).await;
    let id = world.promote("dev/website", "qa/website").await;
    let image = world.push("dev/website", "1-stable", "1").await;
    world.settle().await;
    let (qa, tag) = ("qa/website".parse().expect("a name"), "1-stable".parse().expect("a tag"));
    for (again, comes_back) in [(false, false), (true, true)] {
        world.registry.delete_tag(&Caller::System, &qa, &tag, Condition::default()).await.ok();
        world
            .save(&Caller::System, "dev/website", |saving| {
                (saving.id, saving.again) = (Some(id), again);
            })
            .await;
        world.settle().await;
        sweep::sweep(world.store()).await.expect("sweeps");
        let stands = world.tag("qa/website", "1-stable").map(|value| value.digest);
        assert_eq!(stands, comes_back.then_some(image), "again {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn down_a_chain_the_image_is_as_old_as_its_push() {
    let world = World::new(&["dev/website", "qa/website", "prod/website"]).await;
    world
        .save(&Caller::System, "qa/website", |saving| {
            saving.tag_template = "latest".into();
            saving.body = PolicyBody::Promotion { target: "prod/website".into() };
        })
        .await;
    world.promote("dev/website", "qa/website").await;
    let images = [("1-stable", "1"), ("2-stable", "2"), ("1-stable", "1 again")];
    for (tag, seed) in images {
        let image = world.push("dev/website", tag, seed).await;
        world.settle().await;
        assert_eq!(world.tag("prod/website", "latest").expect("is there").digest, image);
    }
    // An image that was there before comes again when it is pushed again.
    let image = world.push("dev/website", "1-stable", "1").await;
    world.settle().await;
    assert_eq!(world.tag("prod/website", "latest").expect("is there").digest, image);
}
