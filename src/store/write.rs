//! Writing: operations as data, committed in groups by one writer.
//!
//! redb has one writer at a time and every durable commit costs a sync, so
//! what arrives while one commit syncs goes into the next one together. An
//! [`Operation`] is data: `check` reads and may refuse, `apply` writes and
//! fails only when the disk does. In a batch each operation sees the ones
//! before it. Every answer, refusals included, waits for the commit.
//!
//! If we die before the commit, nothing of the batch happened and nobody was
//! told that it did; if we die after it, all of it happened.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use redb::{Database, Durability, ReadableTable as _, Table as RedbTable, WriteTransaction};
use tokio::sync::{Semaphore, oneshot, watch};

use super::error::StoreError;
use super::key::{Key, Span};
use super::read::{Order, Read, walk};
use super::record::Stored;
use super::tables::Table;
use crate::clock::{Clock, Timestamp};
use crate::limits;

/// A change to the store, as data. It may run more than once before it is
/// committed, each time on a fresh transaction.
pub trait Operation: Send + 'static {
    /// What `check` finds out and `apply` needs.
    type Plan;
    /// The answer when it was done.
    type Done: Send + 'static;
    /// The answer when it may not be done.
    type Refusal: Send + 'static;
    /// Its name in logs and metrics.
    const NAME: &'static str;

    /// Reads, and decides whether this may be done. Writes nothing.
    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError>;

    /// Writes. Fails only when the store does.
    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<Self::Done, StoreError>;
}

/// Which queue an operation waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for the answer: requests and the reactor.
    Foreground,
    /// Jobs and sweeps: at least one of them in every batch.
    Background,
}

/// A transaction being written: all tables, open.
pub struct Change<'t> {
    tables: Vec<RedbTable<'t, &'static [u8], &'static [u8]>>,
    now: Timestamp,
}

impl<'t> Change<'t> {
    fn open(transaction: &'t WriteTransaction, now: Timestamp) -> Result<Self, StoreError> {
        let open = |table: Table| Ok(transaction.open_table(table.definition())?);
        Ok(Self { tables: Table::ALL.into_iter().map(open).collect::<Result<_, StoreError>>()?, now })
    }

    /// The time of this commit: later than every commit's before it.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Writes a record.
    pub fn put<R: Stored>(&mut self, table: Table, key: &Key, record: &R) -> Result<(), StoreError> {
        self.put_bytes(table, key, &record.encode())
    }

    /// Writes a key that says it all.
    pub fn put_mark(&mut self, table: Table, key: &Key) -> Result<(), StoreError> {
        self.put_bytes(table, key, &[])
    }

    /// Writes raw bytes.
    pub fn put_bytes(&mut self, table: Table, key: &Key, value: &[u8]) -> Result<(), StoreError> {
        self.tables[table as usize].insert(key.bytes(), value)?;
        Ok(())
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, table: Table, key: &Key) -> Result<bool, StoreError> {
        Ok(self.tables[table as usize].remove(key.bytes())?.is_some())
    }

    /// Removes a key as it stands in the table.
    pub fn remove_raw(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.tables[table as usize].remove(key)?.is_some())
    }
}

impl Read for Change<'_> {
    fn with<T>(&self, table: Table, key: &Key, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        Ok(self.tables[table as usize].get(key.bytes())?.map(|value| read(value.value())))
    }

    fn walk(
        &self,
        table: Table,
        span: &Span,
        order: Order,
        each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        walk(&self.tables[table as usize], span, order, each)
    }
}

/// The writer's side that everyone holds: hand an operation in, wait for its
/// answer.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    room: [Arc<Semaphore>; 2],
    commits: watch::Sender<u64>,
    /// The time of the last commit, in microseconds.
    last: AtomicI64,
    failed: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Inbox {
    foreground: VecDeque<Box<dyn Pending>>,
    background: VecDeque<Box<dyn Pending>>,
    closed: bool,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.foreground.is_empty() && self.background.is_empty()
    }

    fn drain(&mut self) -> Vec<Box<dyn Pending>> {
        self.foreground.drain(..).chain(self.background.drain(..)).collect()
    }
}

/// An operation with somebody waiting for it, its types forgotten.
trait Pending: Send {
    fn name(&self) -> &'static str;
    /// Checks and applies; the outcome is kept until `answer`.
    fn run(&mut self, tables: &mut Change<'_>) -> Result<(), StoreError>;
    /// Tells the waiter, with `failure` in place of the outcome if there is one.
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

type Outcome<O> = Result<Result<<O as Operation>::Done, <O as Operation>::Refusal>, StoreError>;

struct Submitted<O: Operation> {
    operation: O,
    outcome: Option<Result<O::Done, O::Refusal>>,
    waiter: oneshot::Sender<Outcome<O>>,
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl<O: Operation> Pending for Submitted<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn run(&mut self, tables: &mut Change<'_>) -> Result<(), StoreError> {
        self.outcome = None;
        self.outcome = Some(match self.operation.check(tables)? {
            Err(refusal) => Err(refusal),
            Ok(plan) => Ok(self.operation.apply(plan, tables)?),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<StoreError>) {
        let outcome = match (failure, self.outcome) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => Err(StoreError::Stopped),
        };
        // Whoever asked may have gone; what was committed stays committed.
        let _ = self.waiter.send(outcome);
    }
}

impl Writer {
    pub(super) fn start(database: Arc<Database>, clock: Clock) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            arrived: Condvar::new(),
            room: [limits::INBOX_OPERATIONS; 2].map(|operations| Arc::new(Semaphore::new(operations))),
            commits: watch::Sender::new(0),
            last: AtomicI64::new(0),
            failed: watch::Sender::new(None),
        });
        let work = Work { shared: Arc::clone(&shared), database, clock, last: Timestamp::EPOCH, quick: true };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || work.run())?;
        Ok((Self { shared }, thread))
    }

    /// Hands an operation in and waits until it is committed or refused.
    pub async fn submit<O: Operation>(&self, lane: Lane, operation: O) -> Outcome<O> {
        let room = Arc::clone(&self.shared.room[lane as usize]);
        let room = room.acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let (waiter, answer) = oneshot::channel();
        let pending = Box::new(Submitted { operation, outcome: None, waiter, _room: room });
        {
            let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            if inbox.closed {
                return Err(StoreError::Stopped);
            }
            match lane {
                Lane::Foreground => inbox.foreground.push_back(pending),
                Lane::Background => inbox.background.push_back(pending),
            }
        }
        self.shared.arrived.notify_one();
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// The time of the last commit. Commits never go back in time, whatever the
    /// clock does.
    pub(super) fn last(&self) -> Timestamp {
        Timestamp::from_micros(self.shared.last.load(Ordering::Acquire))
    }

    /// Changes after every commit that changed something; the value counts them.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.shared.commits.subscribe()
    }

    /// Becomes `Some` when a write failed and the daemon has to be restarted.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed.subscribe()
    }

    /// A file could not be made durable: nothing is acknowledged any more.
    pub fn stop(&self, error: &dyn std::error::Error) {
        self.shared.failed.send_replace(Some(error_chain(error)));
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.arrived.notify_all();
    }

    /// Takes no more operations; those in the inbox are still committed.
    pub(super) fn close(&self) {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.arrived.notify_all();
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

/// The writer thread's own state.
struct Work {
    shared: Arc<Shared>,
    database: Arc<Database>,
    clock: Clock,
    last: Timestamp,
    /// Whether the last commit left the file so that it opens at once.
    quick: bool,
}

/// An operation that failed by itself, and how.
struct Poison {
    at: usize,
    error: StoreError,
}

/// What woke the writer.
enum Woken {
    Batch(Vec<Box<dyn Pending>>),
    Quiet,
    Closed,
}

impl Work {
    fn run(mut self) {
        loop {
            match self.gather() {
                Woken::Batch(batch) => {
                    if let Err(error) = self.commit(batch) {
                        return self.fail(&error);
                    }
                }
                Woken::Quiet => {
                    if let Err(error) = self.settle() {
                        return self.fail(&error);
                    }
                }
                Woken::Closed => {
                    let is_sound = self.shared.failed.borrow().is_none();
                    if is_sound && let Err(error) = self.settle() {
                        self.fail(&error);
                    }
                    return;
                }
            }
        }
    }

    /// Waits for operations and takes what there is, foreground first, at
    /// least one of the background.
    fn gather(&self) -> Woken {
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.failed.borrow().is_some() {
            let left = inbox.drain();
            drop(inbox);
            answer(left, Some(StoreError::Stopped));
            return Woken::Closed;
        }
        while inbox.is_empty() {
            if inbox.closed {
                return Woken::Closed;
            }
            if self.quick {
                inbox = self.shared.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            } else {
                let (guard, waited) = self
                    .shared
                    .arrived
                    .wait_timeout(inbox, limits::QUIET_COMMIT)
                    .unwrap_or_else(PoisonError::into_inner);
                inbox = guard;
                if waited.timed_out() && inbox.is_empty() {
                    return if inbox.closed { Woken::Closed } else { Woken::Quiet };
                }
            }
        }
        let foreground = inbox.foreground.len().min(limits::BATCH_OPERATIONS);
        let mut batch: Vec<_> = inbox.foreground.drain(..foreground).collect();
        let room = (limits::BATCH_OPERATIONS - foreground).max(1).min(inbox.background.len());
        batch.extend(inbox.background.drain(..room));
        Woken::Batch(batch)
    }

    fn commit(&mut self, mut batch: Vec<Box<dyn Pending>>) -> Result<(), StoreError> {
        match self.attempt(&mut batch) {
            Ok(None) => {
                answer(batch, None);
                Ok(())
            }
            // One of them failed by itself: nothing was written. The others
            // must not pay for it, so each gets a commit of its own, checks
            // again.
            Ok(Some(Poison { at, error })) => {
                tracing::error!(
                    operation = batch[at].name(),
                    error = error_chain(&error),
                    "an operation failed; its batch is replayed one by one"
                );
                batch.remove(at).answer(Some(error));
                while !batch.is_empty() {
                    let mut one = vec![batch.remove(0)];
                    match self.attempt(&mut one) {
                        Ok(None) => answer(one, None),
                        Ok(Some(poison)) => answer(one, Some(poison.error)),
                        Err(error) => {
                            answer(one, Some(error.clone()));
                            answer(batch, Some(error.clone()));
                            return Err(error);
                        }
                    }
                }
                Ok(())
            }
            Err(error) => {
                answer(batch, Some(error.clone()));
                Err(error)
            }
        }
    }

    /// Runs a batch on one transaction and commits it. `Some`: one of them
    /// failed by itself, and nothing was written. An error means that the
    /// database failed, for all of them.
    fn attempt(&mut self, batch: &mut [Box<dyn Pending>]) -> Result<Option<Poison>, StoreError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        let now = self.clock.now().max(self.last.after(std::time::Duration::from_micros(1)));
        let mut change = Change::open(&transaction, now)?;
        let mut failed = None;
        for (at, pending) in batch.iter_mut().enumerate() {
            let error = match catch_unwind(AssertUnwindSafe(|| pending.run(&mut change))) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(payload) => {
                    let (operation, panic) = (pending.name(), panic_words(payload.as_ref()));
                    tracing::error!(operation, panic, "an operation panicked");
                    StoreError::Panicked(operation)
                }
            };
            failed = Some(Poison { at, error });
            break;
        }
        drop(change);
        if let Some(poison) = failed {
            // redb skips the abort while unwinding, so it is called here.
            let aborted = transaction.abort();
            return match poison.error {
                // A record that does not decode is one operation's trouble.
                StoreError::Panicked(_) | StoreError::Damaged { .. } => {
                    aborted.map(|()| Some(poison)).map_err(Into::into)
                }
                StoreError::Database(_) | StoreError::File(_) | StoreError::Stopped => Err(poison.error),
            };
        }
        let quick = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        transaction.set_quick_repair(quick);
        crate::store::crash::crash_point!("before-commit");
        transaction.commit()?;
        crate::store::crash::crash_point!("after-commit");
        self.last = now;
        self.shared.last.store(now.micros(), Ordering::Release);
        self.quick = quick;
        self.shared.commits.send_modify(|count| *count += 1);
        Ok(None)
    }

    /// An empty commit after which the file opens at once.
    fn settle(&mut self) -> Result<(), StoreError> {
        if self.quick {
            return Ok(());
        }
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        transaction.commit()?;
        self.quick = true;
        Ok(())
    }

    /// After a failed write nothing is acknowledged any more: what the kernel
    /// kept of it is not known. The daemon ends and its supervisor starts it
    /// again.
    fn fail(self, error: &StoreError) {
        let words = error_chain(error);
        tracing::error!(error = words, "a write failed; nothing is acknowledged any more");
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.closed = true;
        let left = inbox.drain();
        drop(inbox);
        answer(left, Some(StoreError::Stopped));
        self.shared.failed.send_replace(Some(words));
    }
}

fn answer(batch: Vec<Box<dyn Pending>>, failure: Option<StoreError>) {
    for pending in batch {
        pending.answer(failure.clone());
    }
}

fn panic_words(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// An error and its sources, on one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        words.push_str(": ");
        words.push_str(&inner.to_string());
        source = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::store::Store;

    /// Appends to a list under one key; refuses a word, panics on another, and
    /// meets a record that does not decode on a third.
    struct Append(&'static str);

    impl Operation for Append {
        type Plan = Vec<u8>;
        type Done = usize;
        type Refusal = &'static str;
        const NAME: &'static str = "append";

        fn check(&self, tables: &Change<'_>) -> Result<Result<Vec<u8>, &'static str>, StoreError> {
            let list = tables.with(Table::Meta, &Key::new().text("list"), <[u8]>::to_vec)?.unwrap_or_default();
            Ok(if self.0 == "refuse" { Err("refused") } else { Ok(list) })
        }

        fn apply(&self, mut list: Vec<u8>, tables: &mut Change<'_>) -> Result<usize, StoreError> {
            list.extend_from_slice(self.0.as_bytes());
            tables.put_bytes(Table::Meta, &Key::new().text("list"), &list)?;
            assert_ne!(self.0, "panic", "asked to");
            if self.0 == "damaged" {
                return Err(StoreError::damaged(Table::Meta, b"list", crate::store::record::Damage::Empty));
            }
            Ok(list.len())
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("data"), Clock::system(), Chance::seeded(1)).expect("opens");
        (folder, store)
    }

    fn list(store: &Store) -> String {
        let read = store.snapshot().expect("reads");
        let list =
            read.with(Table::Meta, &Key::new().text("list"), |bytes| String::from_utf8_lossy(bytes).into_owned());
        list.expect("reads").unwrap_or_default()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_operation_sees_the_ones_before_it_and_a_refusal_writes_nothing() {
        let (_folder, store) = store();
        let mut answers = Vec::new();
        for word in ["a", "refuse", "b"] {
            answers.push(store.submit(Lane::Foreground, Append(word)).await.expect("runs"));
        }
        assert_eq!(answers, [Ok(1), Err("refused"), Ok(2)]);
        assert_eq!(list(&store), "ab");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_or_a_damaged_record_costs_only_the_operation_that_met_it() {
        // The second once stopped the writer for good: one record that did not
        // decode, and the daemon restarted for ever.
        let (_folder, store) = store();
        let words = ["a", "panic", "b", "refuse", "c", "damaged"];
        let submitted = words.map(|word| {
            let lane = if word == "c" { Lane::Background } else { Lane::Foreground };
            store.submit(lane, Append(word))
        });
        let answers = futures_util::future::join_all(submitted).await;
        assert!(matches!(answers[1], Err(StoreError::Panicked(_))), "{answers:?}");
        assert!(matches!(answers[3], Ok(Err("refused"))), "{answers:?}");
        assert!(matches!(answers[5], Err(StoreError::Damaged { .. })), "{answers:?}");
        for number in [0, 2, 4] {
            assert!(matches!(answers[number], Ok(Ok(_))), "{answers:?}");
        }
        let mut kept: Vec<char> = list(&store).chars().collect();
        kept.sort_unstable();
        assert_eq!(kept, ['a', 'b', 'c']);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_answered_is_there_after_a_restart() {
        let (folder, store) = store();
        store.submit(Lane::Foreground, Append("kept")).await.expect("runs").expect("is taken");
        store.close();
        assert!(matches!(store.submit(Lane::Foreground, Append("late")).await, Err(StoreError::Stopped)));
        drop(store);
        let store = Store::open(&folder.path().join("data"), Clock::system(), Chance::seeded(1)).expect("opens");
        assert_eq!(list(&store), "kept");
    }
}
