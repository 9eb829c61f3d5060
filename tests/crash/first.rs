//! The first start on an empty disk, cut at every act, each in many ways: what
//! the power leaves must open, and then be a store like any other.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tidegate::chance::Chance;
use tidegate::clock::{Clock, Timestamp};
use tidegate::registry::account::NewAccount;
use tidegate::registry::{Caller, Registry};
use tidegate::store::file::Keep;
use tidegate::store::medium::{Act, Medium};
use tidegate::store::verify::{Depth, verify};
use tidegate::store::{Store, account};

use crate::dice::Dice;
use crate::disk::Disk;
use crate::known::words;
use crate::recovery::{lay, scratch};
use crate::tape::Hole;

/// Ways in which the disk forgets, for each act.
const WAYS: u64 = 36;
/// Below a folder that is not there either.
const DATA: &str = "deep/data";

#[tokio::test]
async fn a_first_start_that_is_cut_at_any_act_is_made_good_by_the_next() {
    let (acts, cuts) = walk(None).await.unwrap_or_else(|why| panic!("{why}"));
    println!("{cuts} cuts at each of {acts} acts");
    assert!(acts > 60, "a start that does so little does not make a database: {acts}");
}

/// Starts a store and makes an account, once; then recovers from a cut after
/// each act. How many acts and cuts there were.
pub(crate) async fn walk(hole: Option<Hole>) -> Result<(usize, usize), String> {
    let (folder, tape) = lay(Disk::default());
    if let Some(hole) = hole {
        tape.hole(hole);
    }
    let disks = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&disks);
    tape.each(Box::new(move |disk: &Disk, number, act: &Act<'_>| {
        let act = format!("act {number}, {:.60}", format!("{act:?}"));
        kept.lock().unwrap_or_else(PoisonError::into_inner).push((disk.clone(), false, act));
    }));
    let registry = open(tape.medium(), folder.path(), u64::MAX)?;
    make_account(&registry).await?;
    tape.hush();
    registry.store().close();
    let mut disks = std::mem::take(&mut *disks.lock().unwrap_or_else(PoisonError::into_inner));
    disks.push((tape.disk(), true, "the last act, with the account acknowledged".to_owned()));
    let mut cuts = 0;
    for (number, (disk, is_known, act)) in disks.iter().enumerate() {
        for way in 0..WAYS {
            let seed = number as u64 * WAYS + way;
            cuts += 1;
            recover(disk, seed, *is_known).await.map_err(|why| format!("after {act}, in way {way}: {why}"))?;
        }
    }
    Ok((disks.len(), cuts))
}

/// Starts over what is left, in half of the cases with more cuts meanwhile.
async fn recover(disk: &Disk, seed: u64, is_known: bool) -> Result<(), String> {
    let dice = Dice::new(seed);
    // No two starts give the same ids.
    let mut start = seed << 16;
    let mut disk = disk.survive(&dice);
    while dice.one_in(2) {
        let (folder, tape) = lay(disk);
        tape.cut_after(1 + dice.below(100));
        start += 1;
        let begun = AssertUnwindSafe(async { open(tape.medium(), folder.path(), start) }).catch_unwind().await;
        if !tape.is_cut() {
            begun.map_err(|_| "a panic")??;
        }
        disk = tape.disk().survive(&dice);
    }
    let folder = scratch();
    disk.lay(folder.path());
    let registry = open(Medium::default(), folder.path(), start + 1)?;
    let store = registry.store();
    let is_there = account::get(&store.snapshot().map_err(words)?, "dev").map_err(words)?.is_some();
    if is_known && !is_there {
        return Err("the acknowledged account is gone".to_owned());
    }
    if !is_there {
        make_account(&registry).await?;
    }
    let report = verify(&store.snapshot().map_err(words)?, store.files(), Depth::Bytes, &Default::default());
    let report = report.map_err(words)?;
    if report.is_clean() { Ok(()) } else { Err(format!("{:#?}", report.findings)) }
}

fn open(medium: Medium, folder: &Path, seed: u64) -> Result<Registry, String> {
    let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
    let store = Store::open_on_medium(medium, &folder.join(DATA), Keep::Bytes(1 << 16), clock, Chance::seeded(seed));
    Registry::new(store.map_err(|error| format!("does not open: {}", words(error)))?).map_err(words)
}

async fn make_account(registry: &Registry) -> Result<(), String> {
    let (full_name, password_hash) = (String::new(), None);
    let new =
        NewAccount { name: "dev".into(), full_name, is_org: true, is_admin: false, is_active: true, password_hash };
    registry.create_account(&Caller::System, new).await.map(drop).map_err(words)
}
