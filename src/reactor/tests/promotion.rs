//! Pushes in, promotions and transfers out.

use super::world::{World, remote};
use crate::audit::Audit;
use crate::event::Cause;
use crate::oci::{Condition, Digest, MediaType, Reference, RepoName, Tag};
use crate::policy::{Outcome, Reason};
use crate::reactor::sweep;
use crate::registry::Caller;
use crate::registry::repository::Settings;
use crate::store::record::PolicyBody;
use crate::store::{Read as _, policy, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_promoted_with_its_blobs_and_a_reason() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    let id = world.promote("dev/website", "qa/website").await;
    let digest = world.push("dev/website", "1.4-stable", "one").await;
    world.push("dev/website", "1.4-beta", "two").await;
    world.settle().await;

    let value = world.tag("qa/website", "1.4-stable").expect("was promoted");
    assert_eq!(value.digest, digest);
    assert!(matches!(value.cause, Cause::Promotion { policy: Some(policy), .. } if policy == id));
    assert!(world.tag("qa/website", "1.4-beta").is_none());
    let reader =
        world.registry.manifest(&Caller::System, &"qa/website".parse().expect("a name"), &Reference::Digest(digest));
    assert_eq!(reader.expect("is readable").digest, digest);
    let verdict = world.verdict("dev/website", "1.4-beta");
    assert!(matches!(verdict.decisions[0].decision.reason, Reason::RuleFailed(_)), "{verdict:?}");
    assert!(policy::status(&world.store().snapshot().expect("reads"), &id).expect("reads").last_moved_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_deleted_at_the_target_stays_deleted() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    let target: RepoName = "qa/website".parse().expect("a name");
    world
        .registry
        .delete_tag(&Caller::System, &target, &"1-stable".parse().expect("a tag"), Condition::default())
        .await
        .expect("goes");
    world.settle().await;
    assert_eq!(sweep::sweep(world.store()).await.expect("sweeps"), 0);
    world.settle().await;
    assert!(world.tag("qa/website", "1-stable").is_none(), "the sweep brought it back");
    // A new push is a new wish.
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    assert!(world.tag("qa/website", "1-stable").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_set_back_is_a_new_wish_and_is_not_undone() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let first = world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    let second = world.push("dev/website", "1-stable", "two").await;
    world.settle().await;
    let stands = || world.tag("qa/website", "1-stable").expect("was promoted");
    assert_eq!(stands().digest, second);
    let restore = async |repository: &str, digest: Digest| {
        let (name, tag) = (repository.parse().expect("a name"), "1-stable".parse().expect("a tag"));
        let restored = world.registry.restore_tag(&Caller::System, &name, &tag, &digest, Condition::default()).await;
        assert_eq!(restored.expect("is set back").cause, Cause::Restore);
        world.settle().await;
        assert_eq!(sweep::sweep(world.store()).await.expect("sweeps"), 0);
        world.settle().await;
    };
    // At the target it stays, whatever the policy would do today.
    restore("qa/website", first).await;
    assert_eq!((stands().digest, stands().cause), (first, Cause::Restore));
    // At the source it goes through the policies like a push.
    world.push("dev/website", "1-stable", "three").await;
    world.settle().await;
    restore("dev/website", second).await;
    assert_eq!((stands().digest, stands().previous.is_some()), (second, true));
    assert!(matches!(stands().cause, Cause::Promotion { policy: Some(_), .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_applies_to_existing_tags_unless_told_not_to() {
    let world = World::new(&["dev/website", "qa/website", "ops/website"]).await;
    for number in 0..40 {
        world.push("dev/website", &format!("{number}-stable"), "one").await;
    }
    world.settle().await;
    world.promote("dev/website", "qa/website").await;
    world
        .save(&Caller::System, "dev/website", |saving| {
            saving.body = PolicyBody::Promotion { target: "ops/website".into() };
            saving.evaluate = false;
        })
        .await;
    world.settle().await;
    assert!((0..40).all(|number| world.tag("qa/website", &format!("{number}-stable")).is_some()));
    assert!(world.tag("ops/website", "1-stable").is_none());
    assert_eq!(sweep::sweep(world.store()).await.expect("sweeps"), 0);
    assert!(world.tag("ops/website", "1-stable").is_none(), "the sweep applied what was saved without applying");
    world.push("dev/website", "new-stable", "two").await;
    world.settle().await;
    assert!(world.tag("ops/website", "new-stable").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_target_blocks_with_a_reason_and_goes_on_when_it_can() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    let target: RepoName = "qa/website".parse().expect("a name");
    world.promote("dev/website", "qa/website").await;
    world.push("qa/website", "1-stable", "old").await;
    let immutable = |on| Settings { immutable_tags: Some(on), ..Settings::default() };
    world.registry.update_repository(&Caller::System, &target, immutable(true)).await.expect("is set");
    let digest = world.push("dev/website", "1-stable", "new").await;
    world.settle().await;
    let verdict = world.verdict("dev/website", "1-stable");
    let decision = &verdict.decisions[0].decision;
    assert_eq!(decision.outcome, Outcome::Blocked);
    assert!(decision.reason.to_string().contains("immutable"), "{}", decision.reason);
    sweep::sweep(world.store()).await.expect("sweeps");
    assert_ne!(world.tag("qa/website", "1-stable").map(|value| value.digest), Some(digest));
    world.registry.update_repository(&Caller::System, &target, immutable(false)).await.expect("is set");
    assert_eq!(sweep::sweep(world.store()).await.expect("sweeps"), 0);
    assert_eq!(world.tag("qa/website", "1-stable").map(|value| value.digest), Some(digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_runs_on_its_owners_rights_at_each_run() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    let id = world.account("alice", false, true).await.expect("is made");
    let alice = Caller::account_of(id, "alice".into());
    world.save(&alice, "dev/website", |_| ()).await;
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    assert!(world.tag("qa/website", "1-stable").is_some());
    // She is no admin any more.
    struct Demote;
    impl crate::store::Operation for Demote {
        type Plan = ();
        type Done = ();
        type Refusal = ();
        const NAME: &'static str = "demote";
        const AUDIT: Audit = Audit::Nothing("a test's");
        fn check(&self, _: &crate::store::Change<'_>) -> Result<Result<(), ()>, crate::store::StoreError> {
            Ok(Ok(()))
        }
        fn apply(&self, (): (), tables: &mut crate::store::Change<'_>) -> Result<(), crate::store::StoreError> {
            let mut account = crate::store::account::get(tables, "alice")?.expect("is there");
            account.is_admin = false;
            crate::store::account::put(tables, "alice", &account)
        }
    }
    world.store().submit(crate::store::Lane::Foreground, Demote).await.expect("runs").expect("is done");
    world.push("dev/website", "2-stable", "two").await;
    world.settle().await;
    assert!(world.tag("qa/website", "2-stable").is_none());
    let verdict = world.verdict("dev/website", "2-stable");
    assert!(matches!(verdict.decisions[0].decision.reason, Reason::RightLost { .. }), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_moves_with_its_image_or_follows_it() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    world.promote("dev/website", "qa/website").await;
    let digest = world.push("dev/website", "1-stable", "one").await;
    let early = world.attach("dev/website", digest, "early sbom").await;
    world.settle().await;
    let late = world.attach("dev/website", digest, "late signature").await;
    // The older scheme says it by a tag, which no policy decides about.
    let tag = format!("sha256-{}.sig", digest.hex());
    let config = world.blob("dev/website", b"{}").await;
    let bytes = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[]}}"#
    );
    let signature = world.manifest("dev/website", &tag, bytes, MediaType::OciManifest).await;
    world.settle().await;
    let target: RepoName = "qa/website".parse().expect("a name");
    let (found, _) = world.registry.referrers(&Caller::System, &target, &digest, None, None, 10).expect("lists");
    let mut found: Vec<Digest> = found.into_iter().map(|descriptor| descriptor.digest).collect();
    found.sort_unstable();
    let mut expected = vec![early, late];
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(world.tag("qa/website", &tag).map(|value| value.digest), Some(signature));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_mirror_owes_each_value_once() {
    let world = World::new(&["dev/website"]).await;
    let id = world
        .save(&Caller::System, "dev/website", |saving| {
            saving.body = PolicyBody::Push { remote: remote() };
            saving.tag_template = "far-%n".into();
        })
        .await;
    let first = world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    let name: Tag = "1-stable".parse().expect("a tag");
    let row = || transfer::get(&world.store().snapshot().expect("reads"), &id, &name).expect("reads").expect("is owed");
    assert_eq!((row().want, row().remote_tag.as_str(), row().is_owed()), (first, "far-1-stable", true));
    let job = row().job;
    // The same value again asks for nothing new; another value supersedes it.
    world.push("dev/website", "1-stable", "one").await;
    world.settle().await;
    assert_eq!((row().generation, row().job), (1, job));
    let second = world.push("dev/website", "1-stable", "two").await;
    world.settle().await;
    assert_eq!((row().want, row().generation), (second, 2));
    let read = world.store().snapshot().expect("reads");
    let old = crate::store::queue::get(&read, &job).expect("reads").expect("is kept");
    assert_eq!(old.status, crate::store::record::JobStatus::Canceled);
    assert!(read.has(crate::store::Table::Jobs, &crate::store::Key::new().id(&row().job)).expect("reads"));
}

/// What a policy promotes pushes out what is too much, as a push does.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_keeps_the_tag_limit_of_its_target() {
    let world = World::new(&["dev/website", "qa/website"]).await;
    let target = "qa/website".parse().expect("a name");
    let settings = Settings { tag_limit: Some(2), ..Settings::default() };
    world.registry.update_repository(&Caller::System, &target, settings).await.expect("is set");
    world.promote("dev/website", "qa/website").await;
    for tag in ["1-stable", "2-stable", "3-stable", "4-stable"] {
        world.push("dev/website", tag, tag).await;
        world.settle().await;
    }
    let left = ["1-stable", "2-stable", "3-stable", "4-stable"].map(|tag| world.tag("qa/website", tag).is_some());
    assert_eq!(left, [false, false, true, true]);
    // Nothing of it is promoted again.
    sweep::sweep(world.store()).await.expect("sweeps");
    assert!(world.tag("qa/website", "1-stable").is_none());
}
