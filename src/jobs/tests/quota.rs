//! Pulls into a repository whose quota leaves no room.

use super::World;
use crate::registry::Caller;
use crate::registry::repository::Settings;

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_without_room_fetches_nothing_backs_off_and_says_why() {
    let world = World::new().await;
    let (digest, _) = world.publish("1", "one");
    let bound = async |bytes| {
        let settings = Settings { quota_bytes: Some(bytes), ..Settings::default() };
        world
            .registry
            .update_repository(&Caller::System, &"dev/web".parse().expect("a name"), settings)
            .await
            .expect("is set");
    };
    // Room for the blobs, and none for the manifest that names them.
    bound(15_100).await;
    let id = world.pull_mirror(false).await;
    world.poll(id).await;
    let waits = world.transfer(&id, "1").expect("is owed");
    assert!(waits.is_owed() && waits.attempts == 1 && world.tag("1").is_none(), "{waits:?}");
    assert!(waits.last_error.contains("the quota of the repository dev/web leaves no room"), "{}", waits.last_error);
    assert_eq!(world.status(&id).code, "FAILED");
    assert_eq!(world.asked("GET", "/blobs/"), 0, "bytes were fetched for nothing");
    // It comes back as seldom as what somebody has to change something about.
    let wait = waits.next_at.since(world.store().now());
    assert!(wait > crate::limits::RETRY_LONGEST / 3, "{wait:?}");
    bound(0).await;
    world.clock.advance(crate::limits::RETRY_LONGEST);
    world.wait(|| world.tag("1")).await;
    assert_eq!(world.tag("1").map(|value| value.digest), Some(digest));
    world.rest(id).await;
    world.close().await;
}
