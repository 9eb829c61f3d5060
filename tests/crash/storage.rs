//! A store on a disk that forgets.
//!
//! Random work goes through the registry, the reactor and the settling of
//! transfers. After one act in
//! six of its medium the power is cut: a copy of
//! what the disk would have kept is laid into a folder of its own, and recovered
//! from, while the work goes on.
//!
//! Half of the runs hand in one operation at a time and repeat exactly from
//! their seed. In the others up to four wait for one commit; how they fall into
//! commits is up to the threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tidegate::chance::Chance;
use tidegate::store::medium::Act;

use crate::dice::{self, Dice};
use crate::disk::Disk;
use crate::known::Known;
use crate::recovery::{Cut, Tally, lay, recover};
use crate::tape::{Each, Hole};
use crate::world::World;

/// Power cuts of one run of work.
const CUTS_PER_RUN: usize = 400;
/// Acts of the medium for one power cut, about: so that a run gets somewhere.
const ACTS_PER_CUT: u64 = 6;
/// Threads that recover.
const THREADS: usize = 2;
/// Cuts that wait for one of them.
const WAITING: usize = 8;

#[tokio::test]
async fn the_power_goes_at_any_act_of_the_disk() {
    let (seed, cuts) = (dice::seed(), dice::count("TIDEGATE_CRASHES", 10_000));
    println!("{}={seed} TIDEGATE_CRASHES={cuts}", dice::SEED);
    let begun = tokio::time::Instant::now();
    let recoveries = Recoveries::begin(cuts);
    for run in 0.. {
        let seed = seed + run;
        if recoveries.left() == 0 {
            break;
        }
        if let Err(why) = run_once(seed, None, &recoveries).await {
            recoveries.fail(format!("seed {seed}, with the power on: {why}"));
        }
    }
    let tally = recoveries.end().unwrap_or_else(|why| panic!("{why}"));
    println!("{tally:?} in {:.1} s", begun.elapsed().as_secs_f32());
    assert!(tally.cuts >= cuts, "{tally:?}");
    assert!(tally.nested >= cuts / 5, "hardly a cut hit a recovery: {tally:?}");
    assert!(tally.under_way > cuts / 20, "hardly a cut hit a write: {tally:?}");
    assert!(tally.promotions > cuts / 10, "hardly anything was promoted: {tally:?}");
}

/// What a store with a hole in its write order comes to, within so many power
/// cuts: what gave it away, and after how many.
pub(crate) async fn given_away(hole: Hole, within: usize) -> Option<(usize, String)> {
    let recoveries = Recoveries::begin(within);
    for seed in 0.. {
        if recoveries.left() == 0 {
            break;
        }
        if let Err(why) = run_once(seed, Some(hole), &recoveries).await {
            recoveries.fail(format!("seed {seed}, with the power on: {why}"));
        }
    }
    let made = Arc::clone(&recoveries.made);
    let told = recoveries.end().err();
    told.map(|why| (made.load(Ordering::Acquire), why))
}

/// One run of random work, with its power cuts.
async fn run_once(seed: u64, hole: Option<Hole>, recoveries: &Recoveries) -> Result<(), String> {
    let (folder, tape) = lay(Disk::default());
    if let Some(hole) = hole {
        tape.hole(hole);
    }
    let world = World::new(tape.medium(), folder.path(), seed).await;
    let until = recoveries.left().saturating_sub(CUTS_PER_RUN);
    tape.each(cut_now_and_then(seed, &world, recoveries));
    let mut worked = Ok(());
    while recoveries.left() > until && worked.is_ok() {
        worked = world.round().await;
    }
    tape.hush();
    world.registry.store().close();
    worked
}

/// Hands on what is left of the disk after one act in so many.
fn cut_now_and_then(seed: u64, world: &World, recoveries: &Recoveries) -> Each {
    let (chance, known) = (Chance::seeded(seed ^ 0x5eed), Arc::clone(&world.known));
    let (sender, left) = (recoveries.sender.clone().expect("it runs"), Arc::clone(&recoveries.left));
    Box::new(move |disk: &Disk, number: usize, act: &Act<'_>| {
        let cut_seed = chance.next();
        let takes = |left: usize| left.checked_sub(1);
        // The folders of blobs are all made at once and are all alike.
        let is_alike = matches!(act, Act::MakeFolder(path) if path.iter().any(|part| part == "blobs"));
        let acts_per_cut = if is_alike { 16 * ACTS_PER_CUT } else { ACTS_PER_CUT };
        if !cut_seed.is_multiple_of(acts_per_cut)
            || left.fetch_update(Ordering::AcqRel, Ordering::Acquire, takes).is_err()
        {
            return;
        }
        let known: Known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let disk = disk.survive(&Dice::new(cut_seed));
        let place = format!("{}={seed}, after act {number}, {}", dice::SEED, name(act));
        // Nobody takes it only when one has failed already.
        let _ = sender.send(Cut { disk, known, seed: cut_seed, place });
    })
}

/// The act without its bytes.
fn name(act: &Act<'_>) -> String {
    match act {
        Act::Write(handle, offset, bytes) => format!("Write({handle:?}, {offset}, {} bytes)", bytes.len()),
        act => format!("{act:?}"),
    }
}

/// Threads that recover from power cuts.
struct Recoveries {
    /// Cuts that are still to be made.
    left: Arc<AtomicUsize>,
    /// Cuts that were recovered from.
    made: Arc<AtomicUsize>,
    sender: Option<SyncSender<Cut>>,
    threads: Vec<JoinHandle<Tally>>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Recoveries {
    fn begin(cuts: usize) -> Self {
        let (left, made) = (Arc::new(AtomicUsize::new(cuts)), Arc::new(AtomicUsize::new(0)));
        let (sender, receiver) = sync_channel(WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        let failure = Arc::new(Mutex::new(None));
        let thread = |_| {
            let (receiver, failure) = (Arc::clone(&receiver), Arc::clone(&failure));
            let (left, made) = (Arc::clone(&left), Arc::clone(&made));
            std::thread::spawn(move || work(&receiver, &failure, &left, &made))
        };
        let threads = (0..THREADS).map(thread).collect();
        Self { left, made, sender: Some(sender), threads, failure }
    }

    fn left(&self) -> usize {
        self.left.load(Ordering::Acquire)
    }

    /// Nothing more has to be tried.
    fn fail(&self, why: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.left.store(0, Ordering::Release);
    }

    /// Waits for all of them.
    fn end(mut self) -> Result<Tally, String> {
        self.sender = None;
        let mut sum = Tally::default();
        for thread in self.threads.drain(..) {
            let Tally { cuts, nested, again, under_way, promotions } = thread.join().expect("it caught what it met");
            sum.cuts += cuts;
            sum.nested += nested;
            sum.again += again;
            sum.under_way += under_way;
            sum.promotions += promotions;
        }
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(why) => Err(why),
            None => Ok(sum),
        }
    }
}

fn work(cuts: &Mutex<Receiver<Cut>>, failure: &Mutex<Option<String>>, left: &AtomicUsize, made: &AtomicUsize) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut tally = Tally::default();
    loop {
        let Ok(cut) = cuts.lock().unwrap_or_else(PoisonError::into_inner).recv() else { return tally };
        let is_over = failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if is_over {
            continue;
        }
        let place = cut.place.clone();
        made.fetch_add(1, Ordering::AcqRel);
        let recovered =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(recover(cut, &mut tally))));
        let recovered = recovered.unwrap_or_else(|_| Err(format!("{place}: a panic")));
        if let Err(why) = recovered {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
            left.store(0, Ordering::Release);
        }
    }
}
