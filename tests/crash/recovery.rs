//! What must be there after a power cut: the store is opened over what the disk
//! kept, in half of the cases with more cuts while it recovers, and held against
//! what had been acknowledged.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tidegate::clock::{Clock, Timestamp};
use tidegate::reactor::{evaluate, sweep};
use tidegate::registry::Registry;
use tidegate::store::medium::Medium;
use tidegate::store::verify::{Depth, verify};

use crate::dice::Dice;
use crate::disk::Disk;
use crate::known::{Known, SOURCES, TAGS, words};
use crate::law;
use crate::tape::Tape;
use crate::world::{World, open};

/// Acts of a recovery within which the power goes again, at most.
const ACTS: usize = 120;

/// A power cut: what the disk kept, and what the clients knew.
pub(crate) struct Cut {
    pub(crate) disk: Disk,
    pub(crate) known: Known,
    pub(crate) seed: u64,
    /// Where it was, for people.
    pub(crate) place: String,
}

/// What recoveries met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cuts: usize,
    /// Cuts after which the power went again while they were recovered from.
    pub(crate) nested: usize,
    /// How often it went again in all.
    pub(crate) again: usize,
    /// Cuts in the middle of something.
    pub(crate) under_way: usize,
    /// Promotions that the logs tell of.
    pub(crate) promotions: usize,
}

/// A new folder, in memory where there is room for that: what the real disk
/// keeps is of no interest here.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

/// Lays a disk into a new folder, and puts a tape over it.
pub(crate) fn lay(disk: Disk) -> (tempfile::TempDir, Arc<Tape>) {
    let folder = scratch();
    disk.lay(folder.path());
    let tape = Tape::new(folder.path(), disk);
    (folder, tape)
}

/// Recovers from one power cut.
pub(crate) async fn recover(cut: Cut, tally: &mut Tally) -> Result<(), String> {
    let Cut { mut disk, known, seed, place } = cut;
    let dice = Dice::new(seed);
    tally.cuts += 1;
    tally.under_way += usize::from(known.effects.iter().any(|effect| !effect.acknowledged));
    let mut again = 0;
    while dice.one_in(if again == 0 { 2 } else { 3 }) {
        let (folder, tape) = lay(disk);
        tape.cut_after(1 + dice.below(ACTS));
        let recovered =
            AssertUnwindSafe(examine(tape.medium(), folder.path(), known.clone(), &dice, false)).catch_unwind().await;
        if !tape.is_cut() {
            return match recovered {
                Ok(told) => {
                    told.map(|told| tally.promotions += told.promotions).map_err(|why| format!("{place}: {why}"))
                }
                Err(_) => Err(format!("{place}: a panic")),
            };
        }
        again += 1;
        tally.again += 1;
        tally.nested += usize::from(again == 1);
        disk = tape.disk().survive(&dice);
    }
    let folder = scratch();
    disk.lay(folder.path());
    let told = examine(Medium::default(), folder.path(), known, &dice, dice.one_in(4)).await;
    tally.promotions += told.map_err(|why| format!("{place}, cut {again} times more: {why}"))?.promotions;
    Ok(())
}

/// Opens the folder, holds what is there against what was acknowledged, lets
/// what is owed happen, and holds the store against its own log. `goes_on`:
/// clients go on, too.
async fn examine(
    medium: Medium,
    folder: &Path,
    mut known: Known,
    dice: &Dice,
    goes_on: bool,
) -> Result<law::Told, String> {
    // The clock is ahead of what it was: a machine that was off for a day.
    let clock = Clock::manual(Timestamp::from_micros(1_700_100_000_000_000));
    let store =
        open(medium, folder, &clock, dice.seed()).map_err(|error| format!("does not open: {}", words(error)))?;
    let registry = Registry::new(store.clone()).map_err(words)?;
    known.hold(&store.snapshot().map_err(words)?)?;
    proven(&registry, Depth::Bytes)?;
    let told = settle(&registry).await?;
    let world = World::over(registry, clock, known, dice.seed());
    if goes_on {
        world.clock.advance(Duration::from_secs(1));
        let (source, tag) = (dice.pick::<&str>(&SOURCES), dice.pick::<&str>(&TAGS));
        world.push(source, tag, dice.below(4)).await.map_err(words)?;
        if let Some(wrong) = world.known().wrong.take() {
            return Err(wrong);
        }
        settle(&world.registry).await?;
        proven(&world.registry, Depth::Names)?;
    }
    world.known().hold_tags(&store.snapshot().map_err(words)?)?;
    store.close();
    Ok(told)
}

/// Lets what is owed happen, and looks whether it did.
async fn settle(registry: &Registry) -> Result<law::Told, String> {
    let store = registry.store();
    loop {
        law::caught_up(store).await.map_err(words)?;
        let commits = *store.writer().commits().borrow();
        evaluate::walk_all(store).await.map_err(words)?;
        if *store.writer().commits().borrow() == commits {
            break;
        }
    }
    let missed = sweep::sweep(store).await.map_err(words)?;
    if missed > 0 {
        return Err(format!("{missed} tags had no verdict"));
    }
    law::hold(store, true)
}

fn proven(registry: &Registry, depth: Depth) -> Result<(), String> {
    let store = registry.store();
    let live: HashSet<_> = registry.open_uploads().into_iter().collect();
    let report = verify(&store.snapshot().map_err(words)?, store.files(), depth, &live).map_err(words)?;
    if report.is_clean() { Ok(()) } else { Err(format!("{:#?}", report.findings)) }
}
