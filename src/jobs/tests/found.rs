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

#[tokio::test(flavor = "multi_thread")]
async fn a_called_off_transfer_comes_back_with_the_next_look() {
    // A job that was cancelled once left its tag away for good, while the
    // policy said SUCCESS.
    for remove in [false, true] {
        let world = World::new().await;
        let (digest, _) = world.publish("1", "one");
        far(&world.far).cut = true;
        let id = world.pull_mirror(false).await;
        world.poll(id).await;
        let row = world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
        world.cancel(row.job, remove).await;
        assert!(world.transfer(&id, "1").is_some_and(|row| !row.is_owed()));
        assert!(world.standing(&id).contains("1 is missing: 1: called off by ann"), "{}", world.standing(&id));
        far(&world.far).cut = false;
        world.poll(id).await;
        let value = world.wait(|| world.tag("1")).await;
        assert_eq!(value.digest, digest);
        world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
        assert_eq!((world.status(&id).code.as_str(), world.standing(&id).as_str()), ("SUCCESS", ""));
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_a_push_mirror_again_sends_what_was_called_off() {
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    far(&world.far).away = Some(503);
    let digest = world.push("1", "one").await;
    let row = world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    world.cancel(row.job, true).await;
    assert!(world.standing(&id).contains("1 is missing: 1"), "{}", world.standing(&id));
    far(&world.far).away = None;
    world.save_again(&id, |_| {}).await;
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    assert_eq!(far(&world.far).tags.get("1"), Some(&digest));
    let shown = world.transfer(&id, "1").and_then(|row| world.job(&row.job)).expect("a job shows it");
    assert_eq!((shown.status, shown.last_error.as_str()), (JobStatus::Done, ""));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_by_hand_hurries_what_waits_and_says_what_still_does() {
    // The look said "1 tag, nothing to do" while the tag waited out a quarter
    // of an hour, although the cause was gone.
    let world = World::new().await;
    let (digest, layer) = world.publish("1", "one");
    let whole = far(&world.far).blobs[&layer].clone();
    far(&world.far).lie = Some((layer, vec![b'x'; whole.len()]));
    let id = world.pull_mirror(false).await;
    world.poll(id).await;
    let row = world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    assert!(row.next_at > world.store().now());
    // The failed job says all of it.
    let job = world.job(&row.job).expect("is kept");
    assert!(job.last_error.contains("hash"), "{job:?}");
    let read = world.store().snapshot().expect("reads");
    assert_eq!(super::super::query::next_try(&read, &row.job, &job).expect("reads"), Some(row.next_at));
    assert_eq!(super::super::query::subject(&read, &job).expect("reads"), "dev/web:1");
    // Still lying: it is tried at once, and the look does not say SUCCESS.
    let looked = world.poll(id).await;
    world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 1)).await;
    let words = world.standing(&id);
    assert!(words.starts_with("1 waits until 20") && words.contains(": 1: "), "{words}");
    assert_eq!(world.status(&id).code, "FAILED");
    assert_eq!(looked.status, JobStatus::Done);
    let log = queue::lines(&world.store().snapshot().expect("reads"), &world.last_poll(&id), 0, 100).expect("reads");
    assert!(log.iter().any(|(_, line)| line.contains(" 1 waits ")), "{log:?}");
    // Mended: no clock moves.
    far(&world.far).lie = None;
    world.poll(id).await;
    assert_eq!(world.wait(|| world.tag("1")).await.digest, digest);
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_slot_brings_a_failed_look_forward_and_leaves_a_named_wait() {
    let world = World::new().await;
    let (digest, _) = world.publish("1", "one");
    far(&world.far).away = Some(403);
    let id = world.pull_mirror(false).await;
    let job = world.poll(id).await;
    assert!(job.scheduled_at > world.store().now() && job.last_error.contains("denies"), "{job:?}");
    far(&world.far).away = None;
    // The slot comes while the look waits out its quarter of an hour.
    assert_eq!(world.slot(&id).await, Some(world.last_poll(&id)));
    assert_eq!(world.wait(|| world.tag("1")).await.digest, digest);
    world.rest(id).await;
    // Asked for fewer requests for an hour: the schedule waits, a person may not.
    far(&world.far).away = Some(429);
    far(&world.far).named = Some(3_600);
    let limited = world.poll(id).await;
    assert!(limited.scheduled_at >= world.store().now().after(Duration::from_secs(3_600)), "{limited:?}");
    world.slot(&id).await;
    let job = world.job(&world.last_poll(&id)).expect("is kept");
    assert_eq!((job.scheduled_at, job.attempts), (limited.scheduled_at, 1));
    far(&world.far).away = None;
    world.ask(id).await;
    world.wait(|| world.job(&world.last_poll(&id)).filter(|job| job.status == JobStatus::Done)).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_a_pull_mirror_keeps_the_one_look_that_waits() {
    let world = World::new().await;
    far(&world.far).away = Some(500);
    let id = world.pull_mirror(false).await;
    world.poll(id).await;
    let before = world.last_poll(&id);
    let other = |policy: &mut Saving| {
        let PolicyBody::Pull { schedule, .. } = &mut policy.body else { panic!("a pull mirror") };
        *schedule = "@every 10m".into();
    };
    world.save_again(&id, other).await;
    world.ask(id).await;
    assert_eq!(world.last_poll(&id), before, "another look waits beside the first");
    far(&world.far).away = None;
    world.wait(|| world.job(&before).filter(|job| job.status == JobStatus::Done)).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_tags_are_told_once() {
    let world = World::new().await;
    let (digest, _) = world.publish("1", "one");
    for name in ["../etc", "-x", "a b", "", "no:tag", "no/tag"] {
        far(&world.far).tags.insert(name.into(), digest);
    }
    let id = world.pull_mirror(false).await;
    world.poll(id).await;
    let log = queue::lines(&world.store().snapshot().expect("reads"), &world.last_poll(&id), 0, 100).expect("reads");
    let told: Vec<&String> = log.iter().map(|(_, line)| line).filter(|line| line.contains("no tags")).collect();
    assert_eq!(told.len(), 1, "{log:?}");
    assert!(told[0].contains("passed over 6 names that are no tags: ") && told[0].contains("\"../etc\""), "{told:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_place_that_has_everything_already_is_told() {
    // What the old place held counted for the new one, and no event ever said
    // that the new one has it.
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    let digest = world.push("1", "one").await;
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    let (other, place) = second().await;
    assert_eq!(publish_at(&other, "1", "one"), digest);
    let (url, told) = (place.url(), |kind: &Kind| matches!(kind, Kind::PushMirrored { .. }));
    assert_eq!(world.events(told), 1);
    world
        .save_again(&id, |saving| {
            let PolicyBody::Push { remote } = &mut saving.body else { panic!("a push mirror") };
            remote.host = url;
        })
        .await;
    let row = world.wait(|| world.transfer(&id, "1").filter(|row| row.version == 2 && !row.is_owed())).await;
    assert_eq!(row.have, Some(digest));
    assert!(place.seen().iter().all(|seen| seen.method == "HEAD"), "{:?}", place.asked());
    assert_eq!(world.events(told), 2);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_waits_for_its_entries_unless_it_is_sparse_by_intent() {
    // An index whose entry came a second later was sent torn, and stayed so.
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    let child = world.push("part", "one").await;
    world.wait(|| world.transfer(&id, "part").filter(|row| !row.is_owed())).await;
    let hole = Digest::sha256_of(b"later");
    let entry = |digest: Digest, size: usize, system: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},"platform":{{"os":"linux","architecture":"{system}"}}}}"#
        )
    };
    let size = far(&world.far).manifests[&child].len();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{}]}}"#,
        entry(child, size, "amd64"),
        entry(hole, 5, "arm64")
    );
    let (repository, reference) = ("dev/web".parse().expect("a name"), Reference::Tag("all".parse().expect("a tag")));
    let index = index.into_bytes();
    let digest = Digest::sha256_of(&index);
    world
        .registry
        .put_manifest(&Caller::System, &repository, &reference, Sent { bytes: index.into(), ..Sent::default() })
        .await
        .expect("a sparse index is taken");
    react::catch_up(world.store()).await.expect("reacts");
    let row = world.wait(|| world.transfer(&id, "all").filter(|row| row.attempts > 0)).await;
    assert_eq!(row.last_error, format!("child {hole} is not here yet"));
    assert!(row.is_owed() && !far(&world.far).tags.contains_key("all"));
    assert_eq!(world.job(&row.job).map(|job| job.last_error), Some(row.last_error));
    // Nothing came for an hour: it is meant to be so.
    world.clock.advance(crate::limits::SPARSE_AFTER + Duration::from_secs(60));
    world.wait(|| world.transfer(&id, "all").filter(|row| !row.is_owed())).await;
    assert_eq!(far(&world.far).tags.get("all"), Some(&digest));
    world.close().await;
}

#[tokio::test]
async fn a_change_made_from_an_old_policy_is_not_saved_over_a_newer_one() {
    // Two people who changed one policy at once: the second one's save silently
    // took the first one's back.
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    let name: RepoName = "dev/web".parse().expect("a name");
    let read = || world.registry.policy(&Caller::System, &name, &id).expect("is there").policy;
    let change = |from: &crate::store::record::Policy, template: &str, enabled: bool| Saving {
        id: Some(id),
        repository: name.clone(),
        enabled,
        rules: from.rules.clone(),
        tag_template: template.into(),
        time_zone: from.time_zone.clone(),
        body: from.body.clone(),
        evaluate: false,
        again: false,
    };
    let both_read = read();
    let first = change(&both_read, "a-%n", true);
    let saved = world.registry.save_policy_over(&Caller::System, first, both_read.clone()).await.expect("runs");
    assert!(saved.is_some());
    let second = change(&both_read, &both_read.tag_template, false);
    let saved = world.registry.save_policy_over(&Caller::System, second, both_read).await.expect("runs");
    assert!(saved.is_none(), "it was saved over what it never saw");
    let stands = read();
    assert_eq!((stands.tag_template.as_str(), stands.enabled), ("a-%n", true));
    // Merged again, both stand.
    let merged = change(&stands, &stands.tag_template, false);
    let saved = world.registry.save_policy_over(&Caller::System, merged, stands).await.expect("runs");
    assert!(saved.is_some());
    assert_eq!((read().tag_template.as_str(), read().enabled), ("a-%n", false));
    world.close().await;
}
