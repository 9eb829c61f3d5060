//! The inbox of the writer: two lanes that operations wait in, those that ride
//! along, and the answer that comes after their commit.
//!
//! What commits them is `commit`; what an operation is stands in `write`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};

use super::age::Age;
use super::coming::{Announced, Coming};
use super::commit::Work;
use super::error::{StoreError, error_chain};
use super::file::{Disk, Level};
use super::gate::Pages;
use super::write::{Change, Lane, Operation};
use crate::audit::Origin;
use crate::clock::{Clock, Timestamp};
use crate::limits;

/// The writer's side that everyone holds: hand an operation in, wait for its
/// answer.
#[derive(Clone)]
pub struct Writer {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) inbox: Mutex<Inbox>,
    pub(super) arrived: Condvar,
    pub(super) room: [Arc<Semaphore>; 2],
    pub(super) commits: watch::Sender<u64>,
    /// The time of the last commit, in microseconds.
    pub(super) last: AtomicI64,
    pub(super) failed: watch::Sender<Option<String>>,
    pub(super) disk: Disk,
    pub(super) age: Age,
}

#[derive(Default)]
pub(super) struct Inbox {
    /// Nobody waits for them: they go first in the next commit, whoever makes
    /// it, and in one of their own when there is none for a while.
    pub(super) riders: VecDeque<Box<dyn Pending>>,
    pub(super) foreground: VecDeque<Box<dyn Pending>>,
    pub(super) background: VecDeque<Box<dyn Pending>>,
    pub(super) coming: Coming,
    pub(super) closed: bool,
}

impl Inbox {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.foreground.is_empty() && self.background.is_empty()
    }

    pub(super) fn drain(&mut self) -> Vec<Box<dyn Pending>> {
        self.riders.drain(..).chain(self.foreground.drain(..)).chain(self.background.drain(..)).collect()
    }
}

/// An operation with somebody waiting for it, its types forgotten.
pub(super) trait Pending: Send {
    fn name(&self) -> &'static str;
    /// Whether it waits for room when the disk is full.
    fn adds(&self) -> bool;
    /// When it was handed in, on the store's own time line.
    fn age(&self) -> Timestamp;
    /// Checks and applies; the outcome is kept until `answer`. Whether it was
    /// applied, and not refused.
    fn run(&mut self, tables: &mut Change<'_>) -> Result<bool, StoreError>;
    /// Tells the waiter, with `failure` in place of the outcome if there is one.
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

type Outcome<O> = Result<Result<<O as Operation>::Done, <O as Operation>::Refusal>, StoreError>;

struct Submitted<O: Operation> {
    operation: O,
    age: Timestamp,
    origin: Arc<Origin>,
    outcome: Option<Result<O::Done, O::Refusal>>,
    /// `None`: it rides.
    waiter: Option<oneshot::Sender<Outcome<O>>>,
    _room: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl<O: Operation> Pending for Submitted<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn adds(&self) -> bool {
        O::ADDS
    }

    fn age(&self) -> Timestamp {
        self.age
    }

    fn run(&mut self, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        self.outcome = None;
        tables.audit.begin(&self.origin);
        let outcome = match self.operation.check(tables)? {
            Err(refusal) => Err(refusal),
            Ok(plan) => Ok(self.operation.apply(plan, tables)?),
        };
        debug_assert!(tables.audit.is_within(O::AUDIT), "{} wrote into the audit log what it does not say", O::NAME);
        let is_applied = outcome.is_ok();
        self.outcome = Some(outcome);
        Ok(is_applied)
    }

    fn answer(self: Box<Self>, failure: Option<StoreError>) {
        let Self { operation, outcome, waiter, _room, .. } = *self;
        // What an operation holds is given back before anybody hears of its end.
        drop(operation);
        let outcome = match (failure, outcome) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => Err(StoreError::Stopped),
        };
        // Whoever asked may have gone; what was committed stays committed.
        let _ = waiter.map(|waiter| waiter.send(outcome));
    }
}

impl Writer {
    pub(super) fn start(
        database: Arc<Pages>,
        disk: Disk,
        (clock, age): (Clock, Age),
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            arrived: Condvar::new(),
            room: [limits::INBOX_OPERATIONS; 2].map(|operations| Arc::new(Semaphore::new(operations))),
            commits: watch::Sender::new(0),
            last: AtomicI64::new(0),
            failed: watch::Sender::new(None),
            disk,
            age,
        });
        let work = Work {
            shared: Arc::clone(&shared),
            database,
            clock,
            age: Timestamp::EPOCH,
            last: Timestamp::EPOCH,
            took: Duration::ZERO,
            quick: true,
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || work.run())?;
        Ok((Self { shared }, thread))
    }

    /// Announces an operation that is handed in soon.
    pub fn announce(&self) -> Announced {
        let number = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).coming.announce();
        Announced::new(self.clone(), number)
    }

    /// What was announced has come, or does not come.
    pub(super) fn came(&self, number: u64) {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).coming.end(number);
        self.shared.arrived.notify_one();
    }

    /// Hands an operation in, on behalf of `origin`, and waits until it is
    /// committed or refused.
    pub async fn submit<O: Operation>(&self, lane: Lane, origin: Arc<Origin>, operation: O) -> Outcome<O> {
        self.submit_announced(lane, origin, operation, None).await
    }

    /// The same for one that was announced.
    pub async fn submit_announced<O: Operation>(
        &self,
        lane: Lane,
        origin: Arc<Origin>,
        operation: O,
        announced: Option<Announced>,
    ) -> Outcome<O> {
        if O::ADDS && self.shared.disk.level() == Level::Bare {
            return Err(StoreError::Full);
        }
        let room = Arc::clone(&self.shared.room[lane as usize]);
        let room = room.acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let (waiter, answer) = oneshot::channel();
        let (age, waiter, room) = (self.shared.age.now(), Some(waiter), Some(room));
        let pending = Box::new(Submitted { operation, age, origin, outcome: None, waiter, _room: room });
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
        drop(announced);
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Hands in an operation that nobody waits for: it goes into the next
    /// commit before all others, or into one of its own after
    /// [`limits::QUIET_COMMIT`] without any. Whoever hands it in can bear that
    /// it is refused, fails, or dies with the process, and hands it in again.
    pub fn ride<O: Operation>(&self, origin: Arc<Origin>, operation: O) {
        if O::ADDS && self.shared.disk.level() == Level::Bare {
            return;
        }
        let age = self.shared.age.now();
        let pending = Box::new(Submitted { operation, age, origin, outcome: None, waiter: None, _room: None });
        {
            let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            if inbox.closed || inbox.riders.len() >= limits::RIDERS {
                return;
            }
            inbox.riders.push_back(pending);
        }
        self.shared.arrived.notify_one();
    }

    /// How many operations wait for the next commit.
    pub fn waiting(&self) -> usize {
        let inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.foreground.len() + inbox.background.len()
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
