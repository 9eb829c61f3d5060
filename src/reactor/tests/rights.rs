//! A policy acts on its owner's rights: it stops, visibly, when the place in an
//! organization or the grant that gave them is gone, and goes on when it is
//! back.

use super::world::{World, remote};
use crate::access::Level;
use crate::chance::Id;
use crate::policy::Outcome;
use crate::reactor::sweep;
use crate::registry::Caller;
use crate::registry::grant::Place;
use crate::store::policy;
use crate::store::record::PolicyBody;

const SYSTEM: &Caller = &Caller::System;

/// `ann` leads a team that may do everything in `dev`, and one that may in `qa`.
async fn world() -> (World, Caller) {
    let world = World::new(&["dev/website", "qa/website"]).await;
    let id = world.account("ann", false, false).await.expect("is made");
    for namespace in ["dev", "qa"] {
        let registry = &world.registry;
        registry.create_team(SYSTEM, namespace, ("releases".into(), String::new())).await.expect("is made");
        registry.put_team_member(SYSTEM, (namespace, "releases"), "ann", None).await.expect("is let in");
        let place = Place::Namespace(namespace.to_owned());
        registry.grant(SYSTEM, place, "releases", Level::Admin).await.expect("is granted");
    }
    (world, Caller::account_of(id, "ann".to_owned()))
}

fn status(world: &World, id: &Id) -> (String, String) {
    let status = policy::status(&world.store().snapshot().expect("reads"), id).expect("reads");
    (status.code, status.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_membership_stops_a_promotion_and_says_so_and_a_new_one_lets_it_go_on() {
    let (world, ann) = world().await;
    let id = world.save(&ann, "dev/website", |_| {}).await;
    let mirror = world.save(&ann, "dev/website", |saving| saving.body = PolicyBody::Push { remote: remote() }).await;
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    assert!(world.tag("qa/website", "1-stable").is_some(), "it acts on the rights of its owner's team");

    world.registry.remove_member(SYSTEM, "qa", "ann").await.expect("is taken out");
    let digest = world.push("dev/website", "2-stable", "two").await;
    world.settle().await;
    assert!(world.tag("qa/website", "2-stable").is_none());
    let verdict = world.verdict("dev/website", "2-stable");
    let decided = verdict.of(&id).expect("decided");
    assert_eq!(decided.decision.outcome, Outcome::Blocked);
    assert!(decided.decision.reason.to_string().contains("ann"), "{}", decided.decision.reason);
    assert_eq!(status(&world, &id).0, "BLOCKED");
    assert_eq!(verdict.of(&mirror).expect("decided").decision.outcome, Outcome::Allow, "it still reads its source");

    // Read on the source is lost with the other membership.
    world.registry.revoke(SYSTEM, Place::Namespace("dev".into()), "releases").await.expect("is taken away");
    world.push("dev/website", "3-stable", "three").await;
    world.settle().await;
    for policy in [&id, &mirror] {
        let verdict = world.verdict("dev/website", "3-stable");
        assert_eq!(verdict.of(policy).expect("decided").decision.outcome, Outcome::Blocked);
    }

    for namespace in ["dev", "qa"] {
        let place = Place::Namespace(namespace.to_owned());
        world.registry.grant(SYSTEM, place, "releases", Level::Admin).await.expect("is granted");
    }
    world.registry.put_team_member(SYSTEM, ("qa", "releases"), "ann", None).await.expect("is let in");
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_eq!(world.tag("qa/website", "2-stable").map(|value| value.digest), Some(digest));
    assert!(world.tag("qa/website", "3-stable").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_of_an_account_that_is_gone_say_so() {
    let (world, ann) = world().await;
    let id = world.save(&ann, "dev/website", |_| {}).await;
    world.registry.delete_account(SYSTEM, "ann").await.expect("goes").expect("was there");
    // Another account of the same name is another account.
    world.account("ann", false, true).await.expect("is made");
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    assert!(world.tag("qa/website", "1-stable").is_none());
    let (code, detail) = status(&world, &id);
    assert_eq!(code, "BLOCKED");
    assert!(detail.contains("the account is gone; save the policy again"), "{detail}");
}
