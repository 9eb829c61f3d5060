//! How long the reactor's commits take. Not a test: `cargo test --lib
//! reactor::tests::measure -- --ignored --nocapture`.

use super::world::World;
use crate::oci::MediaType;
use crate::reactor::react;
use crate::store::{event, policy};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_thousand_tags_and_ten_policies() {
    const TAGS: usize = 1_000;
    let targets: Vec<String> = (0..10).map(|number| format!("qa/website{number}")).collect();
    let mut repositories = vec!["dev/website"];
    repositories.extend(targets.iter().map(String::as_str));
    let world = World::new(&repositories).await;
    for target in &targets {
        world.promote("dev/website", target).await;
    }
    world.settle().await;
    let clock = world.store().clock().clone();
    // One at a time: what a push waits for until its image is promoted.
    let mut single = Vec::new();
    let (one, two) = (world.image("dev/website", "one").await, world.image("dev/website", "two").await);
    let push = async |number: usize, image: &str| {
        world.manifest("dev/website", &format!("{number}-stable"), image.to_owned(), MediaType::OciManifest).await
    };
    for number in 0..TAGS {
        push(number, &one).await;
        let begun = clock.monotonic();
        react::catch_up(world.store()).await.expect("reacts");
        single.push(begun.elapsed());
    }
    // All at once: what a batch of pushes costs together.
    let before = event::last(&world.store().snapshot().expect("reads")).expect("reads");
    for number in 0..TAGS {
        push(number, &two).await;
    }
    let begun = clock.monotonic();
    react::catch_up(world.store()).await.expect("reacts");
    let all = begun.elapsed();
    let events = event::last(&world.store().snapshot().expect("reads")).expect("reads") - before;
    single.sort_unstable();
    let at = |part: usize| single[single.len() * part / 100].as_micros();
    println!("one push, ten promotions: median {} us, 90 % {} us, 99 % {} us", at(50), at(90), at(99));
    println!("{TAGS} pushes, {events} events: {} ms, {} us a push", all.as_millis(), all.as_micros() / TAGS as u128);
    assert_eq!(policy::repositories(&world.store().snapshot().expect("reads")).expect("reads").len(), 1);
}
