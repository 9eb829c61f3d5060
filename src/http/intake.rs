//! Request bodies that are read whole, and the memory that they may take.
//!
//! Each has a cap, and a client can begin a hundred on one connection. So their
//! bytes are counted, all together, as they come: what a client announces costs
//! it nothing, and sets nothing aside. The room of a body goes along with its
//! bytes, and is given back when the last of them are let go.
//!
//! There are three pools. Callers without a name have one of their own, so that
//! they take nothing from the others. Those with one have a pool for the first
//! bytes of every body, so that a small one never waits for large ones, and one
//! for what is beyond.
//!
//! A body that finds no room has the oldest in that pool given up, once that has
//! been coming for longer than [`limits::BODY_ROOM_GRACE`]. So bodies that each
//! hold a part and wait for the rest do not wait for each other for ever, and
//! whoever sends bodies without an end keeps out nobody who comes after.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body::Body as HttpBody;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::body::{BodyError, BoxError, Chunks};
use crate::limits;
use crate::registry::Caller;

/// Reads bodies, all into the same memory. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    strangers: Pool,
    small: Pool,
    large: Pool,
}

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// Nobody has said who.
    Stranger,
    /// Somebody with a name.
    Known,
}

/// Memory of which each body that comes holds a share.
#[derive(Clone, Debug)]
struct Pool {
    free: Arc<Semaphore>,
    coming: Arc<Mutex<Coming>>,
}

/// The bodies that come, in the order in which they began.
#[derive(Debug, Default)]
struct Coming {
    begun: u64,
    shares: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    since: Instant,
    /// Tells it that it is given up.
    given_up: Arc<Notify>,
}

/// What one body that comes holds of one pool.
#[derive(Debug)]
struct Share {
    pool: Pool,
    number: u64,
    room: Option<OwnedSemaphorePermit>,
}

/// A body that comes.
struct Gathering<'i> {
    intake: &'i Intake,
    sender: Sender,
    cap: usize,
    bytes: Vec<u8>,
    /// Of the bytes that wait for no large body, and of those beyond.
    small: Option<Share>,
    large: Option<Share>,
    given_up: Arc<Notify>,
}

/// A body that has come.
struct Whole {
    bytes: Vec<u8>,
    _room: [Option<OwnedSemaphorePermit>; 2],
}

impl Sender {
    /// What the caller is.
    pub(super) fn of(caller: &Caller) -> Self {
        if *caller == Caller::Anonymous { Self::Stranger } else { Self::Known }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            strangers: Pool::new(limits::STRANGERS_BODIES_BYTES),
            small: Pool::new(limits::SMALL_BODIES_BYTES),
            large: Pool::new(limits::BODIES_BYTES),
        }
    }
}

impl Intake {
    /// Reads a whole body of at most `cap` bytes, within [`limits::BODY_WHOLE`] and
    /// never waiting longer than [`limits::BODY_STALL`] for its next byte. Its
    /// room is held for as long as what is returned, or a clone of it.
    pub(super) async fn read<B>(&self, body: B, cap: usize, sender: Sender) -> Result<Bytes, BodyError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > cap {
            return Err(BodyError::TooLarge { cap });
        }
        let mut gathering = Gathering::new(self, cap, sender);
        let given_up = Arc::clone(&gathering.given_up);
        let whole = async {
            let mut chunks = Chunks::new(body);
            while let Some(chunk) = chunks.next().await {
                gathering.add(&chunk?).await?;
            }
            Ok(gathering.end())
        };
        tokio::select! {
            biased;
            () = given_up.notified() => Err(BodyError::NoRoom),
            read = timeout(limits::BODY_WHOLE, whole) => {
                read.unwrap_or(Err(BodyError::Stalled { within: limits::BODY_WHOLE }))
            }
        }
    }
}

impl<'i> Gathering<'i> {
    fn new(intake: &'i Intake, cap: usize, sender: Sender) -> Self {
        Self { intake, sender, cap, bytes: Vec::new(), small: None, large: None, given_up: Arc::default() }
    }

    async fn add(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        let length = self.bytes.len() + chunk.len();
        if length > self.cap {
            return Err(BodyError::TooLarge { cap: self.cap });
        }
        let capacity = self.bytes.capacity();
        if length > capacity {
            // Twice as much each time, as vectors grow, and not beyond what
            // this one can need; what is counted is what is allocated.
            let most = if length <= limits::SMALL_BODY_BYTES { limits::SMALL_BODY_BYTES } else { self.cap };
            let wanted = (2 * capacity).min(most).max(length);
            self.make_room(capacity, wanted).await?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// Room for the bytes from `held` on, up to `wanted` in all.
    async fn make_room(&mut self, held: usize, wanted: usize) -> Result<(), BodyError> {
        let Intake { strangers, small, large } = self.intake;
        let (first, beyond) = match self.sender {
            Sender::Stranger => (strangers, 0),
            Sender::Known => {
                let beyond = |bytes: usize| bytes.saturating_sub(limits::SMALL_BODY_BYTES);
                (small, beyond(wanted) - beyond(held))
            }
        };
        first.grow(&mut self.small, wanted - held - beyond, &self.given_up).await?;
        large.grow(&mut self.large, beyond, &self.given_up).await
    }

    /// The bytes, which nobody gives up any more.
    fn end(self) -> Bytes {
        let room = [self.small, self.large].map(|share| share.and_then(|mut share| share.room.take()));
        if self.bytes.is_empty() { Bytes::new() } else { Bytes::from_owner(Whole { bytes: self.bytes, _room: room }) }
    }
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pool {
    fn new(bytes: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes as usize)), coming: Arc::default() }
    }

    /// Adds room for so many bytes to a body's share, which begins with them.
    async fn grow(&self, share: &mut Option<Share>, bytes: usize, given_up: &Arc<Notify>) -> Result<(), BodyError> {
        if bytes == 0 {
            return Ok(());
        }
        let room = self.take(bytes).await?;
        match share {
            Some(share) => share.add(room),
            None => *share = Some(self.enter(room, given_up)),
        }
        Ok(())
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let many = u32::try_from(bytes).map_err(|_| BodyError::NoRoom)?;
        if let Ok(room) = Arc::clone(&self.free).try_acquire_many_owned(many) {
            return Ok(room);
        }
        let taking = pin!(Arc::clone(&self.free).acquire_many_owned(many));
        let looking = self.look(bytes, taking);
        timeout(limits::BODY_ROOM_WAIT, looking).await.unwrap_or(Err(BodyError::NoRoom))
    }

    /// Waits for room, and looks again and again for somebody to give up.
    async fn look<F, E>(
        &self,
        bytes: usize,
        mut taking: std::pin::Pin<&mut F>,
    ) -> Result<OwnedSemaphorePermit, BodyError>
    where
        F: Future<Output = Result<OwnedSemaphorePermit, E>>,
    {
        loop {
            self.lock().give_up(bytes);
            if let Ok(taken) = timeout(limits::BODY_ROOM_LOOK, taking.as_mut()).await {
                return taken.map_err(|_| BodyError::NoRoom);
            }
        }
    }

    fn enter(&self, room: OwnedSemaphorePermit, given_up: &Arc<Notify>) -> Share {
        let mut coming = self.lock();
        let number = coming.begun;
        coming.begun += 1;
        let held = Held { bytes: room.num_permits(), since: Instant::now(), given_up: Arc::clone(given_up) };
        coming.shares.insert(number, held);
        Share { pool: self.clone(), number, room: Some(room) }
    }

    fn lock(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Coming {
    /// Gives up the oldest, until they have held so many bytes; none that has
    /// only begun.
    fn give_up(&mut self, bytes: usize) {
        let mut freed = 0;
        while freed < bytes
            && let Some(oldest) = self.shares.first_entry()
            && oldest.get().since.elapsed() >= limits::BODY_ROOM_GRACE
        {
            let oldest = oldest.remove();
            freed += oldest.bytes;
            oldest.given_up.notify_one();
        }
    }
}

impl Share {
    fn add(&mut self, room: OwnedSemaphorePermit) {
        if let Some(held) = self.pool.lock().shares.get_mut(&self.number) {
            held.bytes += room.num_permits();
        }
        match &mut self.room {
            Some(all) => all.merge(room),
            none => *none = Some(room),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.lock().shares.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{Stream, StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;
    use crate::http::Body;

    const SECOND: Duration = Duration::from_secs(1);
    const CHUNK: usize = 16 * 1024;

    fn of<S>(chunks: S) -> impl HttpBody<Data = Bytes, Error = BoxError> + Unpin
    where
        S: Stream<Item = Result<&'static [u8], &'static str>> + Send + Unpin + 'static,
    {
        StreamBody::new(chunks.map(|chunk| match chunk {
            Ok(bytes) => Ok(http_body::Frame::data(Bytes::from_static(bytes))),
            Err(error) => Err(error.into()),
        }))
    }

    /// A body that brings `bytes` and never ends.
    fn unfinished(bytes: usize) -> impl HttpBody<Data = Bytes, Error = BoxError> + Unpin {
        let chunks = std::iter::repeat_n(Ok(&[0_u8; CHUNK][..]), bytes / CHUNK);
        of(stream::iter(chunks).chain(stream::pending()))
    }

    fn whole(bytes: usize) -> Body {
        Body::from(vec![1; bytes])
    }

    impl Intake {
        /// What is held of the three pools.
        fn held(&self) -> [usize; 3] {
            let of = |pool: &Pool, all: u32| all as usize - pool.free.available_permits();
            [
                of(&self.strangers, limits::STRANGERS_BODIES_BYTES),
                of(&self.small, limits::SMALL_BODIES_BYTES),
                of(&self.large, limits::BODIES_BYTES),
            ]
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_cap() {
        let intake = Intake::default();
        let read = async |given: &'static [Result<&'static [u8], &'static str>], cap| {
            intake.read(of(stream::iter(given.iter().copied())), cap, Sender::Known).await
        };
        assert_eq!(read(&[Ok(b"ab"), Ok(b""), Ok(b"cd")], 4).await.unwrap(), "abcd");
        assert_eq!(read(&[], 0).await.unwrap(), "");
        assert!(matches!(read(&[Ok(b"ab"), Ok(b"cd")], 3).await, Err(BodyError::TooLarge { cap: 3 })));
        assert!(matches!(read(&[Ok(b"ab"), Err("cut")], 9).await, Err(BodyError::Broken(_))));
        let announced = Body::sized(5, stream::pending::<Result<Bytes, BoxError>>());
        assert!(matches!(intake.read(announced, 4, Sender::Known).await, Err(BodyError::TooLarge { cap: 4 })));
        assert_eq!(intake.held(), [0; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up() {
        // Just as fast as it has to be, and without an end.
        let drip = stream::repeat(()).then(|()| async {
            tokio::time::sleep(SECOND).await;
            Ok(&[0_u8; limits::BODY_SLOWEST as usize][..])
        });
        let begun = Instant::now();
        let read = Intake::default().read(of(Box::pin(drip)), 1 << 20, Sender::Known).await;
        assert!(matches!(read, Err(BodyError::Stalled { within: limits::BODY_WHOLE })));
        assert_eq!(begun.elapsed(), limits::BODY_WHOLE);
    }

    #[tokio::test]
    async fn room_is_taken_for_what_came_and_goes_along_with_it() {
        let intake = Intake::default();
        let small = intake.read(whole(100), 1 << 20, Sender::Known).await.unwrap();
        assert_eq!(intake.held(), [0, 100, 0]);
        let stranger = intake.read(whole(9_000), 1 << 20, Sender::Stranger).await.unwrap();
        assert_eq!(intake.held(), [9_000, 100, 0]);
        drop((small, stranger));
        // In pieces, which is counted as it grows: no more than twice what came.
        let chunks = std::iter::repeat_n(Ok(&[7_u8; 1_000][..]), 100);
        let large = intake.read(of(stream::iter(chunks)), 1 << 20, Sender::Known).await.unwrap();
        assert_eq!((large.len(), intake.held()[1]), (100_000, limits::SMALL_BODY_BYTES));
        let held = intake.held()[1] + intake.held()[2];
        assert!((100_000..=200_000).contains(&held), "{held}");
        let clone = large.clone();
        drop(large);
        assert_eq!(intake.held()[1] + intake.held()[2], held, "somebody has the bytes");
        drop(clone);
        assert_eq!(intake.held(), [0; 3]);
    }

    /// Bodies without an end, a hundred on each connection, were a megabyte each
    /// for as long as a minute, and nobody had signed in.
    #[tokio::test(start_paused = true)]
    async fn bodies_without_an_end_hold_so_much_and_keep_nobody_out() {
        let intake = Intake::default();
        let scope = crate::lifecycle::Scope::new();
        let flood = |sender| {
            for _ in 0..1_000 {
                let intake = intake.clone();
                scope.spawn(async move { drop(intake.read(unfinished(1 << 20), 1 << 20, sender).await) });
            }
        };
        flood(Sender::Stranger);
        tokio::time::sleep(SECOND / 2).await;
        let all = [limits::STRANGERS_BODIES_BYTES, limits::SMALL_BODIES_BYTES, limits::BODIES_BYTES];
        let all = all.map(|bytes| bytes as usize);
        let held = intake.held();
        assert!(held[0] > all[0] / 2 && held[0] <= all[0] && held[1..] == [0, 0], "{held:?}");
        // Those with a name notice nothing, not for a moment.
        let begun = Instant::now();
        intake.read(whole(4 << 20), 4 << 20, Sender::Known).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // Strangers have to wait for those that have no end.
        intake.read(whole(500), 1 << 20, Sender::Stranger).await.unwrap();
        assert!(begun.elapsed() <= limits::BODY_ROOM_WAIT, "{:?}", begun.elapsed());
        // The same of those with a name, whose small bodies wait for no large one.
        flood(Sender::Known);
        tokio::time::sleep(SECOND / 2).await;
        let held = intake.held();
        assert!(held[2] > all[2] / 2 && held.iter().zip(all).all(|(held, all)| *held <= all), "{held:?}");
        let begun = Instant::now();
        intake.read(whole(limits::SMALL_BODY_BYTES), 1 << 20, Sender::Known).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        intake.read(whole(1 << 20), 1 << 20, Sender::Known).await.unwrap();
        assert!(begun.elapsed() <= limits::BODY_ROOM_WAIT, "{:?}", begun.elapsed());
        // All of them are refused or run out, and nothing is held any more.
        tokio::time::sleep(limits::BODY_WHOLE).await;
        assert_eq!((intake.held(), scope.running()), ([0; 3], 0));
        assert!(intake.large.lock().shares.is_empty() && intake.strangers.lock().shares.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_wait_for_each_other_do_not_wait_for_ever() {
        // Half of each is here, and there is room for no more.
        let intake = Intake::default();
        let half = limits::BODIES_BYTES as usize / 4;
        let cap = 4 * half;
        let read = |wait: Duration| {
            let chunk = move |bytes| Ok::<_, BoxError>(Bytes::from(vec![0; bytes]));
            let rest = stream::once(async move {
                tokio::time::sleep(wait).await;
                chunk(half * 2)
            });
            let chunks = stream::iter([chunk(half + limits::SMALL_BODY_BYTES)]).chain(rest);
            intake.read(Body::stream(chunks), cap, Sender::Known)
        };
        let begun = Instant::now();
        let (one, other, third) = tokio::join!(read(SECOND / 10), read(SECOND / 5), read(SECOND / 4));
        let came = [one.is_ok(), other.is_ok(), third.is_ok()];
        assert!(came.contains(&true) && !came[0], "the oldest goes, and another has its room: {came:?}");
        assert!(begun.elapsed() <= limits::BODY_ROOM_WAIT + SECOND, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_come_is_not_given_up_and_whoever_waits_is_told() {
        let intake = Intake::default();
        let held = intake
            .read(whole(limits::BODIES_BYTES as usize), limits::BODIES_BYTES as usize, Sender::Known)
            .await
            .unwrap();
        tokio::time::sleep(limits::BODY_ROOM_GRACE * 2).await;
        let begun = Instant::now();
        let refused = intake.read(whole(1 << 20), 1 << 20, Sender::Known).await;
        assert!(matches!(refused, Err(BodyError::NoRoom)));
        assert_eq!(begun.elapsed(), limits::BODY_ROOM_WAIT);
        let waiting = async { intake.read(whole(1 << 20), 1 << 20, Sender::Known).await };
        let (come, ()) = tokio::join!(waiting, async {
            tokio::time::sleep(SECOND).await;
            drop(held);
        });
        assert_eq!(come.unwrap().len(), 1 << 20);
    }
}
