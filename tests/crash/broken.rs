//! A disk that breaks or is full, act by act.
//!
//! A failed sync is the end: nothing is acknowledged from then on, whatever the
//! disk says later, and the next start has all that was. A write without room is
//! refused, costs nothing, and goes on by itself when there is room.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tidegate::oci::{Algorithm, Condition, Digest, Reference};
use tidegate::registry::manifest::Sent;
use tidegate::registry::upload::{BrokenBody, Said};
use tidegate::registry::{Caller, RegistryError};
use tidegate::store::medium::Act;

use crate::dice::Dice;
use crate::disk::Disk;
use crate::known::{named, tagged};
use crate::recovery::{Cut, Tally, lay, recover};
use crate::tape::{Fails, Tape};
use crate::world::World;

/// Rounds of work before something breaks, and within which it is met.
const ROUNDS: usize = 40;
/// Ways in which the disk forgets after it broke.
const WAYS: u64 = 20;
/// What the reserve gives to the database.
const RESERVE: u64 = 1 << 20;

/// Whether an act fails; the path is below the disk.
type Breaks = fn(&Act<'_>, &Path) -> bool;

#[tokio::test]
async fn a_failed_sync_of_a_blobs_bytes_is_the_end() {
    breaks(|act, path| matches!(act, Act::SyncBytes(_)) && path.starts_with("data/uploads")).await;
}

#[tokio::test]
async fn a_failed_sync_of_a_blobs_name_is_the_end() {
    breaks(|act, path| matches!(act, Act::SyncNames(_)) && path.parent() == Some(Path::new("data/blobs/sha256"))).await;
}

#[tokio::test]
async fn a_failed_sync_of_the_new_folders_of_blobs_is_the_end() {
    // They are made with the first blob.
    breaks_after(0, |act, path| matches!(act, Act::SyncNames(_)) && path == Path::new("data/blobs/sha256")).await;
}

#[tokio::test]
async fn a_failed_sync_of_the_database_is_the_end() {
    breaks(|act, path| matches!(act, Act::SyncBytes(_)) && path.ends_with("tidegate.redb")).await;
}

#[tokio::test]
async fn a_failed_write_to_the_database_is_the_end() {
    breaks(|act, path| matches!(act, Act::Write(..)) && path.ends_with("tidegate.redb")).await;
}

async fn breaks(breaks: Breaks) {
    breaks_after(ROUNDS, breaks).await;
}

/// Works until an act fails that way, and then with a disk that works again.
async fn breaks_after(rounds: usize, breaks: Breaks) {
    let (folder, tape) = lay(Disk::default());
    let world = World::new(tape.medium(), folder.path(), 1).await;
    for _ in 0..rounds {
        world.round().await.expect("the disk works");
    }
    tape.fail(Some(Box::new(move |act, path| breaks(act, path).then(|| io::Error::from_raw_os_error(5)))));
    let mut broke = false;
    for number in 0..ROUNDS {
        let blob = format!("blob {number}");
        let stored = store(&world, blob.as_bytes()).await;
        if let Err(error) = stored {
            assert!(matches!(error, RegistryError::Store(_)), "{error:?}");
            broke = true;
            break;
        }
    }
    assert!(broke, "it was never met");
    tape.fail(None);
    let held = world.registry.store();
    let mut failure = held.writer().failure();
    failure.wait_for(Option::is_some).await.expect("the daemon is told to end");
    let late = store(&world, b"late").await.expect_err("nothing is acknowledged any more");
    assert!(matches!(late, RegistryError::Store(_)), "{late:?}");
    let read = held.snapshot().expect("reads go on");
    world.known().hold(&read).expect("all that was acknowledged can be read");
    drop(read);
    let known = world.known().clone();
    drop(world);
    start_anew(&tape, known).await;
}

/// What the disk kept is a store like any other, in every way it may forget.
async fn start_anew(tape: &Arc<Tape>, known: crate::known::Known) {
    let disk = tape.disk();
    for seed in 0..WAYS {
        let place = format!("way {seed}");
        let cut = Cut { disk: disk.survive(&Dice::new(seed)), known: known.clone(), seed, place };
        recover(cut, &mut Tally::default()).await.unwrap_or_else(|why| panic!("{why}"));
    }
}

/// A disk without room: nothing new is made, nothing in `uploads` grows, and
/// the database has the `bytes` that it has, which can be written again, and
/// those of the reserve once that is given back.
fn full(mut bytes: u64) -> Fails {
    Box::new(move |act, path| {
        if matches!(act, Act::Remove(_)) && path == Path::new("data/reserve") {
            bytes += RESERVE;
        }
        let fails = match act {
            Act::MakeFolder(_) | Act::Create(..) | Act::CreateNew(..) | Act::Allocate(..) => true,
            Act::Write(_, at, data) => !path.ends_with("tidegate.redb") || at + data.len() as u64 > bytes,
            // The file may grow, with a hole in it.
            Act::SetLength(..)
            | Act::Open(..)
            | Act::SyncBytes(_)
            | Act::SyncNames(_)
            | Act::Rename(..)
            | Act::Remove(_)
            | Act::RemoveFolder(_) => false,
        };
        fails.then(|| io::Error::from_raw_os_error(28))
    })
}

#[tokio::test]
async fn without_room_writes_are_refused_and_go_on_when_there_is_some() {
    let (folder, tape) = lay(Disk::default());
    let world = World::new(tape.medium(), folder.path(), 1).await;
    for _ in 0..ROUNDS {
        world.round().await.expect("the disk works");
    }
    for time in 0..3 {
        let at_hand = world.registry.begin_upload(&Caller::System, &named("dev/a"), Algorithm::Sha256).await;
        let session = at_hand.expect("is opened").to_string();
        let database = folder.path().join("data/tidegate.redb");
        world.registry.store().files().disk().set_aside();
        tape.fail(Some(full(std::fs::metadata(database).expect("is there").len())));
        refused(store(&world, b"a blob").await);
        let opened = world.registry.begin_upload(&Caller::System, &named("dev/a"), Algorithm::Sha256).await;
        refused(opened.map(drop));
        let piece = body(b"a layer");
        let (name, caller) = (named("dev/a"), Caller::System);
        let appended = world.registry.append_upload(&caller, &name, &session, Said::default(), piece).await;
        refused(appended.map(drop));
        // Rows go into free pages until there are none; what was refused then
        // is not there, and what was acknowledged is.
        let mut taken = Vec::new();
        for number in 0..2_000 {
            let text = format!("time {time}, {number}");
            match put(&world, &text).await {
                Ok(digest) => taken.push(digest),
                Err(error) => {
                    refused(Err(error));
                    break;
                }
            }
        }
        assert!(taken.len() < 2_000, "all of them went into a full disk");
        let read = world.registry.store().snapshot().expect("reads go on");
        world.known().hold(&read).expect("all that was acknowledged can be read");
        drop(read);
        for digest in &taken {
            let any = Condition::default();
            let deleted = world.registry.delete_manifest(&Caller::System, &name, digest, any).await;
            deleted.expect("what gives room back goes on");
        }
        assert!(world.registry.store().writer().failure().borrow().is_none(), "nobody has to end");
        tape.fail(None);
        let whole = body(b"a layer");
        world.registry.append_upload(&caller, &name, &session, Said::default(), whole).await.expect("there is room");
        let digest = Digest::sha256_of(b"a layer");
        world.registry.finish_upload(&caller, &name, &session, &digest).await.expect("there is room");
        put(&world, &format!("room {time}")).await.expect("there is room");
        for _ in 0..ROUNDS {
            world.round().await.expect("the disk works");
        }
    }
    let known = world.known().clone();
    drop(world);
    start_anew(&tape, known).await;
}

/// Refused for want of room, and for nothing else.
fn refused(answer: Result<(), RegistryError>) {
    let error = answer.expect_err("there is no room");
    assert!(matches!(error, RegistryError::Full), "{error:?}");
}

fn body(bytes: &[u8]) -> impl futures_util::Stream<Item = Result<Bytes, BrokenBody>> + Send + 'static {
    futures_util::stream::iter([Ok(Bytes::copy_from_slice(bytes))])
}

async fn store(world: &World, bytes: &[u8]) -> Result<(), RegistryError> {
    let digest = Digest::sha256_of(bytes);
    world.registry.store_blob(&Caller::System, &named("dev/a"), &digest, None, body(bytes)).await.map(drop)
}

/// An index without entries, which needs nothing else, and takes as much of the
/// database as a manifest may.
async fn put(world: &World, text: &str) -> Result<Digest, RegistryError> {
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"x":"{text:>15000}"}}}}"#
    );
    let (sent, tag) = (Sent { bytes: bytes.into(), ..Sent::default() }, Reference::Tag(tagged("full")));
    world.registry.put_manifest(&Caller::System, &named("dev/a"), &tag, sent).await.map(|put| put.0)
}
