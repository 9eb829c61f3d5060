//! The writer's thread: takes what has arrived, runs it in order on one
//! transaction, commits once, and only then answers.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use redb::Durability;
use tokio::time::Instant;

use super::age;
use super::error::{StoreError, error_chain};
use super::gate::Pages;
use super::guard::{Writing, guarded};
use super::write::Change;
use super::writer::{Inbox, Pending, Shared};
use crate::clock::{Clock, Timestamp};
use crate::limits;

/// The writer thread's own state.
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) database: Arc<Pages>,
    pub(super) clock: Clock,
    /// The latest moment on the store's own time line that was committed.
    pub(super) age: Timestamp,
    pub(super) last: Timestamp,
    /// How long the last commit took to reach the disk.
    pub(super) took: Duration,
    /// Whether the last commit left the file so that it opens at once.
    pub(super) quick: bool,
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
    pub(super) fn run(mut self) {
        // Without the writer nobody would ever be answered again: whatever ends
        // it ends the daemon.
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()));
        let words = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error_chain(&error),
            Err(panic) => format!("the writer failed by a fault in the program: {}", panic_words(panic.as_ref())),
        };
        self.fail(words);
    }

    fn work(&mut self) -> Result<(), StoreError> {
        loop {
            match self.gather() {
                Woken::Batch(batch) => self.commit(batch)?,
                Woken::Quiet => match self.settle() {
                    Err(_) if self.database.is_full() => self.open_again()?,
                    settled => settled?,
                },
                Woken::Closed => {
                    let is_sound = self.shared.failed.borrow().is_none();
                    return if is_sound { self.settle() } else { Ok(()) };
                }
            }
        }
    }

    /// Waits for operations and takes what there is: what rides, then the
    /// foreground, then at least one of the background.
    fn gather(&self) -> Woken {
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.failed.borrow().is_some() {
            let left = inbox.drain();
            drop(inbox);
            answer(left, Some(StoreError::Stopped));
            return Woken::Closed;
        }
        let mut silence = Instant::now();
        while inbox.is_empty() && !inbox.closed {
            if self.quick && inbox.riders.is_empty() {
                inbox = self.shared.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                silence = Instant::now();
                continue;
            }
            // Riders and announcements wake the writer too, and put nothing off.
            let left = limits::QUIET_COMMIT.saturating_sub(silence.elapsed());
            if left.is_zero() {
                break;
            }
            inbox = self.shared.arrived.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if inbox.is_empty() {
            return match (inbox.riders.is_empty(), inbox.closed) {
                (false, _) => Woken::Batch(inbox.riders.drain(..).collect()),
                (true, true) => Woken::Closed,
                (true, false) => Woken::Quiet,
            };
        }
        let mut inbox = self.wait_for_announced(inbox);
        let mut batch: Vec<_> = inbox.riders.drain(..).collect();
        let foreground = inbox.foreground.len().min(limits::BATCH_OPERATIONS);
        batch.extend(inbox.foreground.drain(..foreground));
        let room = (limits::BATCH_OPERATIONS - foreground).max(1).min(inbox.background.len());
        batch.extend(inbox.background.drain(..room));
        Woken::Batch(batch)
    }

    /// Waits for operations that had been announced when the first of a batch
    /// was there.
    fn wait_for_announced<'i>(&self, mut inbox: MutexGuard<'i, Inbox>) -> MutexGuard<'i, Inbox> {
        let (begun, next) = (Instant::now(), inbox.coming.next());
        let patience = self.took.min(limits::ANNOUNCED_WAIT);
        while inbox.coming.has_below(next) && !inbox.closed {
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            inbox = self.shared.arrived.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inbox
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
                            one.append(&mut batch);
                            return self.failed(one, error);
                        }
                    }
                }
                Ok(())
            }
            Err(error) => self.failed(batch, error),
        }
    }

    /// The database failed, and nothing of `batch` was written. For want of
    /// room that is nobody's end: the file is opened again, and what gives room
    /// back is tried once more.
    fn failed(&mut self, batch: Vec<Box<dyn Pending>>, error: StoreError) -> Result<(), StoreError> {
        let mut left = batch.into_iter();
        let mut error = error;
        loop {
            if !self.database.is_full() {
                answer(left.collect(), Some(error.clone()));
                return Err(error);
            }
            if let Err(error) = self.open_again() {
                answer(left.collect(), Some(error.clone()));
                return Err(error);
            }
            loop {
                let Some(pending) = left.next() else { return Ok(()) };
                if pending.adds() {
                    pending.answer(Some(StoreError::Full));
                    continue;
                }
                let mut one = vec![pending];
                match self.attempt(&mut one) {
                    Ok(None) => answer(one, None),
                    Ok(Some(poison)) => answer(one, Some(poison.error)),
                    Err(again) => {
                        let full = self.database.is_full();
                        answer(one, Some(if full { StoreError::Full } else { again.clone() }));
                        error = again;
                        break;
                    }
                }
            }
        }
    }

    /// Opens the database again after a write failed for want of room.
    fn open_again(&mut self) -> Result<(), StoreError> {
        tracing::error!("there was no room for a commit; nothing of it was written, and the database is opened again");
        self.shared.disk.give_back();
        for _ in 0..limits::REOPEN_TRIES {
            match self.database.reopen() {
                Ok(()) => {
                    // What closing wrote is not known, but the next commit that
                    // finds the inbox empty says it anew.
                    self.quick = true;
                    return Ok(());
                }
                Err(error) => tracing::error!(error = error_chain(&error), "the database could not be opened again"),
            }
            std::thread::park_timeout(limits::REOPEN_WAIT);
        }
        Err(StoreError::Stopped)
    }

    /// Runs a batch on one transaction and commits it, unless all of it was
    /// refused: whoever may do nothing makes nothing be written either. `Some`:
    /// one of them failed by itself, and nothing was written. An error means that
    /// the database failed, for all of them.
    fn attempt(&mut self, batch: &mut [Box<dyn Pending>]) -> Result<Option<Poison>, StoreError> {
        let mut transaction = self.begin()?;
        let now = self.clock.now().max(self.last.after(std::time::Duration::from_micros(1)));
        let at = batch.iter().map(|pending| pending.age()).max().map_or(self.age, |age| age.max(self.age));
        let mut change = Change::open(&transaction, now, at)?;
        let (mut failed, mut is_applied): (Option<Poison>, bool) = (None, false);
        for (at, pending) in batch.iter_mut().enumerate() {
            let error = match catch_unwind(AssertUnwindSafe(|| pending.run(&mut change))) {
                Ok(Ok(applied)) => {
                    is_applied |= applied;
                    continue;
                }
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
        if failed.is_none() && !is_applied {
            drop(change);
            return transaction.abort().map(|()| None);
        }
        let kept = if failed.is_none() { age::keep(&mut change) } else { Ok(()) };
        let closed = guarded(|| {
            if failed.is_none() {
                return change.finish();
            }
            drop(change);
            Ok::<_, StoreError>(())
        });
        if let Some(poison) = failed {
            // redb skips the abort while unwinding, so it is called here.
            let aborted = transaction.abort();
            return match poison.error {
                // A record that cannot be read is one operation's trouble.
                StoreError::Panicked(_) | StoreError::Damaged { .. } => aborted.map(|()| Some(poison)),
                StoreError::Database(_) | StoreError::File(_) | StoreError::Full | StoreError::Stopped => {
                    Err(poison.error)
                }
            };
        }
        kept.and(closed)?;
        let quick = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        transaction.set_quick_repair(quick);
        crate::store::crash::crash_point!("before-commit");
        let begun = Instant::now();
        transaction.commit()?;
        self.took = begun.elapsed();
        crate::store::crash::crash_point!("after-commit");
        (self.last, self.age) = (now, at);
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
        let mut transaction = self.begin()?;
        transaction.set_quick_repair(true);
        transaction.commit()?;
        self.quick = true;
        Ok(())
    }

    fn begin(&self) -> Result<Writing, StoreError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(true);
        Ok(transaction)
    }

    /// After a failed write nothing is acknowledged any more: what the kernel
    /// kept of it is not known. The daemon ends and its supervisor starts it
    /// again.
    fn fail(self, words: String) {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::chance::Chance;
    use crate::store::{Key, Lane, Operation, Read as _, Store, Table};

    /// Appends to a list under one key; refuses a word, panics on another, and
    /// meets a record that does not decode on a third.
    struct Append(&'static str);

    impl Operation for Append {
        type Plan = Vec<u8>;
        type Done = usize;
        type Refusal = &'static str;
        const NAME: &'static str = "append";
        const AUDIT: crate::audit::Audit = crate::audit::Audit::Nothing("a test's");

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

    /// Each refusal was a commit with its syncs, so whoever had a name and no
    /// rights at all could keep the disk of an edge host busy.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_refused_is_not_committed() {
        let (_folder, store) = store();
        let commits = store.writer().commits();
        store.submit(Lane::Foreground, Append("a")).await.expect("runs").expect("is taken");
        let before = *commits.borrow();
        for _ in 0..5 {
            assert_eq!(store.submit(Lane::Foreground, Append("refuse")).await.expect("runs"), Err("refused"));
        }
        assert_eq!(*commits.borrow(), before);
        store.submit(Lane::Foreground, Append("b")).await.expect("runs").expect("is taken");
        assert_eq!((list(&store).as_str(), *commits.borrow()), ("ab", before + 1));
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
    async fn what_rides_goes_first_in_the_next_commit_and_alone_after_a_silence() {
        let (folder, store) = store();
        let mut commits = store.writer().commits();
        store.ride(Append("r"));
        assert_eq!(store.submit(Lane::Foreground, Append("f")).await.expect("runs"), Ok(2));
        assert_eq!((list(&store).as_str(), *commits.borrow_and_update()), ("rf", 1));
        store.ride(Append("refuse"));
        store.ride(Append("s"));
        commits.changed().await.expect("the writer lives");
        assert_eq!((list(&store).as_str(), *commits.borrow_and_update()), ("rfs", 2));
        store.ride(Append("end"));
        store.close();
        drop(store);
        let store = Store::open(&folder.path().join("data"), Clock::system(), Chance::seeded(1)).expect("opens");
        assert_eq!(list(&store), "rfsend");
    }

    #[test]
    fn a_batch_waits_for_what_was_announced_but_no_longer_than_a_commit_takes() {
        let (_folder, store) = store();
        let (writer, ended) = (store.writer(), AtomicBool::new(false));
        let work = |took| Work {
            shared: Arc::clone(&writer.shared),
            database: Arc::clone(&store.0.database),
            clock: Clock::system(),
            age: Timestamp::EPOCH,
            last: Timestamp::EPOCH,
            took,
            quick: true,
        };
        let gather = |took| drop(work(took).wait_for_announced(writer.shared.inbox.lock().expect("no panic")));
        let announced = writer.announce();
        // A commit that takes no time is not waited with.
        gather(Duration::ZERO);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ended.store(true, Ordering::SeqCst);
                drop(announced);
            });
            gather(Duration::from_secs(60));
        });
        assert!(ended.load(Ordering::SeqCst));
        let mut coming = super::super::coming::Coming::default();
        let (first, next) = (coming.announce(), coming.next());
        let later = coming.announce();
        assert!(coming.has_below(next));
        coming.end(first);
        assert!(!coming.has_below(next) && coming.has_below(later + 1));
    }

    /// Takes the last byte off the list: it gives room back.
    struct Shorten;

    impl Operation for Shorten {
        type Plan = ();
        type Done = ();
        type Refusal = std::convert::Infallible;
        const NAME: &'static str = "shorten";
        const AUDIT: crate::audit::Audit = crate::audit::Audit::Nothing("a test's");
        const ADDS: bool = false;

        fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
            let key = Key::new().text("list");
            let mut list = tables.with(Table::Meta, &key, <[u8]>::to_vec)?.unwrap_or_default();
            list.pop();
            tables.put_bytes(Table::Meta, &key, &list)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_commit_without_room_writes_nothing_and_the_next_with_room_goes_on() {
        let (_folder, store) = store();
        for round in 1..=3 {
            store.submit(Lane::Foreground, Append("ab")).await.expect("runs").expect("is taken");
            let old = store.snapshot().expect("reads");
            // Full while this is committed, and no more when it is tried again:
            // what was set aside has been given back.
            store.0.database.faults().pretend_full(true);
            let adds = store.submit(Lane::Foreground, Append("x"));
            let frees = store.submit(Lane::Background, Shorten);
            let there_is_room = async {
                while !store.0.database.is_full() {
                    tokio::task::yield_now().await;
                }
                store.0.database.faults().pretend_full(false);
            };
            drop(old);
            let (adds, frees, ()) = futures_util::future::join3(adds, frees, there_is_room).await;
            assert!(matches!(adds, Err(StoreError::Full)), "{adds:?}");
            assert!(matches!(frees, Ok(Ok(())) | Err(StoreError::Full)), "{frees:?}");
            if frees.is_err() {
                store.submit(Lane::Background, Shorten).await.expect("runs").expect("is done");
            }
            assert_eq!(list(&store), "a".repeat(round));
        }
        assert!(store.writer().failure().borrow().is_none());
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
