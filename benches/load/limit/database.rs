//! Group commits of a bare redb: as many threads as a workload has
//! connections hand in the rows of one tag each and wait for the commit; one
//! writer takes what has arrived and commits it, durable and in two phases.
//!
//! The rows are those that a new tag of an image that is there makes Tidegate
//! write in the commit it waits for, with keys and values of their lengths; no
//! HTTP, no checks, no reactor.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use redb::{Builder, Database as Redb, Durability, TableDefinition};

use crate::figures::{Figures, Timed};

type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: Bytes = TableDefinition::new("meta");
const EVENTS: Bytes = TableDefinition::new("events");
const TAGS: Bytes = TableDefinition::new("tags");
const DIGEST_TAGS: Bytes = TableDefinition::new("digest_tags");
const COUNTS: Bytes = TableDefinition::new("repository_counts");

/// Lengths of the values, about what Tidegate's records have.
const EVENT_BYTES: usize = 160;
const TAG_BYTES: usize = 140;
const COUNTS_BYTES: usize = 8;
/// Most operations in one commit, and the page cache: Tidegate's limits.
const BATCH: usize = 512;
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// How many threads, how many tags, where.
#[derive(clap::Args, Debug)]
pub(crate) struct Database {
    #[arg(long, default_value_t = 4)]
    threads: u64,
    #[arg(long, default_value_t = 5000)]
    count: u64,
    /// A folder on the disk in question
    #[arg(long)]
    folder: PathBuf,
}

/// One tag to be written, and whom to tell.
struct Asked {
    number: u64,
    waiter: SyncSender<()>,
}

impl Database {
    /// Measures it.
    pub(super) fn run(&self) -> Result<Figures> {
        let path = self.folder.join(format!("bare-{}.redb", std::process::id()));
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(&path)?;
        let (inbox, arrived) = channel();
        let begun = Instant::now();
        let (each, written) = std::thread::scope(|scope| {
            let database = &database;
            let writer = scope.spawn(move || write(database, &arrived));
            let given: Vec<_> = (0..self.threads).map(|thread| (thread, inbox.clone())).collect();
            let clients: Vec<_> = given.into_iter().map(|given| scope.spawn(|| self.ask(given))).collect();
            drop(inbox);
            let each = clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
            let each = each.collect::<Result<Vec<_>>>();
            (each, writer.join())
        });
        let whole = begun.elapsed();
        written.map_err(|_| anyhow!("the writer panicked"))??;
        drop(database);
        std::fs::remove_file(&path)?;
        Ok(Timed { whole, each: each?.concat() }.figures())
    }

    fn ask(&self, (thread, inbox): (u64, Sender<Asked>)) -> Result<Vec<Duration>> {
        let (waiter, answer) = sync_channel(1);
        let mut each = Vec::new();
        for number in (thread..self.count).step_by(usize::try_from(self.threads)?) {
            let begun = Instant::now();
            inbox.send(Asked { number, waiter: waiter.clone() }).ok().context("the writer is gone")?;
            answer.recv()?;
            each.push(begun.elapsed());
        }
        Ok(each)
    }
}

fn write(database: &Redb, arrived: &Receiver<Asked>) -> Result<()> {
    while let Ok(first) = arrived.recv() {
        let mut batch = vec![first];
        batch.extend(arrived.try_iter().take(BATCH - 1));
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        {
            let mut meta = transaction.open_table(META)?;
            let mut events = transaction.open_table(EVENTS)?;
            let mut tags = transaction.open_table(TAGS)?;
            let mut digest_tags = transaction.open_table(DIGEST_TAGS)?;
            let mut counts = transaction.open_table(COUNTS)?;
            let repository = 1_u64.to_be_bytes();
            for asked in &batch {
                let (number, name) = (asked.number.to_be_bytes(), format!("n{:07}", asked.number));
                let tag = [&repository[..], name.as_bytes()].concat();
                let way_back = [&repository[..], &[7; 33], name.as_bytes()].concat();
                meta.insert(&b"event"[..], &number[..])?;
                events.insert(&number[..], &[1; EVENT_BYTES][..])?;
                tags.insert(&tag[..], &[2; TAG_BYTES][..])?;
                digest_tags.insert(&way_back[..], &[][..])?;
                counts.insert(&repository[..], &[3; COUNTS_BYTES][..])?;
            }
        }
        transaction.commit()?;
        for asked in batch {
            asked.waiter.send(())?;
        }
    }
    Ok(())
}
