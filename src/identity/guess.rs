//! Guessing passwords: how often anyone may be wrong.
//!
//! Each account and each block of addresses has a bucket. A wrong password
//! fills it by one, and it leaks; past the free ones, each further try has to
//! wait, longer and longer, up to half a minute. Nothing is ever locked: whoever
//! waits gets a try. A pair of account and address that was right before has a
//! bucket of its own, so that what others do to an account, or from elsewhere,
//! does not reach its owner.
//!
//! All in memory, bounded, and the same for accounts that are not there. Not
//! here: the passwords, and what needs no guessing to be refused: an access
//! token has 256 random bits.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::limits;

/// Where tries come from: an IPv4 address, or the /64 of an IPv6 one, which is
/// what one customer has. This host's own stand for everybody, since a proxy may
/// stand before us: there the account alone is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block([u8; 8]);

impl Block {
    /// The block of an address.
    pub fn of(address: IpAddr) -> Self {
        let mut block = [0; 8];
        match super::address_block(address) {
            own if own.is_loopback() => {}
            // No global IPv6 network begins with zeros.
            IpAddr::V4(v4) => block[4..].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => block.copy_from_slice(&v6.octets()[..8]),
        }
        Self(block)
    }

    /// Whether it may be everybody's.
    const fn is_shared(self) -> bool {
        u64::from_be_bytes(self.0) == 0
    }
}

/// Counts wrong passwords. Clones share the count.
#[derive(Clone, Debug)]
pub struct Guesses {
    books: Arc<Mutex<Books>>,
    pace: Pace,
}

/// What wrong ones cost.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Wrong ones that cost no waiting.
    free: u32,
    /// What the next one costs; each after it twice as much, up to a bound.
    wait: Duration,
}

/// A try that was let through and is not over; it counts as wrong until it is
/// said to be right.
#[derive(Debug)]
#[must_use]
pub struct Try {
    account: AccountKey,
    block: Block,
}

#[derive(Debug)]
struct Books {
    accounts: Ledger<AccountKey, Bucket>,
    blocks: Ledger<Block, Bucket>,
    known: Ledger<(AccountKey, Block), Bucket>,
}

/// A name, which may be as long as a stranger likes.
type AccountKey = [u8; 16];

/// How many wrong ones there were, as far as they are not forgotten.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    wrong: u32,
    /// When `wrong` was counted.
    at: Instant,
    /// Before this there is no other try.
    next: Instant,
}

/// A map that holds the newest so many.
#[derive(Debug)]
struct Ledger<K, V> {
    most: usize,
    rows: HashMap<K, (V, u64)>,
    order: VecDeque<(K, u64)>,
    written: u64,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            accounts: Ledger::new(limits::GUESS_ENTRIES),
            blocks: Ledger::new(limits::GUESS_ENTRIES),
            known: Ledger::new(limits::GUESS_KNOWN),
        }
    }
}

impl Default for Guesses {
    fn default() -> Self {
        Self::allowing(limits::GUESSES_FREE, limits::GUESS_FIRST_WAIT)
    }
}

impl Guesses {
    /// With another number of wrong ones that cost no waiting, and another cost
    /// of the next.
    pub fn allowing(free: u32, wait: Duration) -> Self {
        Self { books: Arc::default(), pace: Pace { free, wait } }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a try may be made now; how long to wait otherwise. Counts
    /// nothing.
    ///
    /// # Errors
    /// The time to wait.
    pub fn look(&self, name: &str, block: Block, now: Instant) -> Result<(), Duration> {
        self.lock().wait(account_key(name), block, now)
    }

    /// Whether this account was signed in to from there before.
    pub fn was_right_before(&self, name: &str, block: Block) -> bool {
        self.lock().known.get(&(account_key(name), block)).is_some()
    }

    /// Lets a try through and counts it as wrong for now.
    ///
    /// # Errors
    /// The time to wait.
    pub fn begin(&self, name: &str, block: Block, now: Instant) -> Result<Try, Duration> {
        let (mut books, pace) = (self.lock(), self.pace);
        let account = account_key(name);
        books.wait(account, block, now)?;
        if let Some(bucket) = books.known.get_mut(&(account, block)) {
            bucket.add(now, pace);
        } else {
            books.accounts.entry(account, || Bucket::new(now)).add(now, pace);
            if !block.is_shared() {
                books.blocks.entry(block, || Bucket::new(now)).add(now, pace);
            }
        }
        Ok(Try { account, block })
    }

    /// The try was right: it is not counted, and the pair is known from now on.
    pub fn was_right(&self, attempt: Try, now: Instant) {
        let (mut books, pace) = (self.lock(), self.pace);
        let Try { account, block } = attempt;
        let pair = (account, block);
        if books.known.get_mut(&pair).is_none() {
            if let Some(bucket) = books.accounts.get_mut(&account) {
                bucket.take_back(pace);
            }
            if let Some(bucket) = books.blocks.get_mut(&block) {
                bucket.take_back(pace);
            }
        }
        books.known.set(pair, Bucket::new(now));
    }
}

impl Books {
    fn wait(&self, account: AccountKey, block: Block, now: Instant) -> Result<(), Duration> {
        let next = match self.known.get(&(account, block)) {
            Some(bucket) => Some(bucket.next),
            None => {
                let of_account = self.accounts.get(&account).map(|bucket| bucket.next);
                of_account.max(self.blocks.get(&block).map(|bucket| bucket.next))
            }
        };
        match next.map(|next| next.saturating_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(wait),
            Some(_) | None => Ok(()),
        }
    }
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { wrong: 0, at: now, next: now }
    }

    fn add(&mut self, now: Instant, pace: Pace) {
        let every = limits::GUESS_FORGOTTEN.as_secs().max(1);
        let forgotten = now.saturating_duration_since(self.at).as_secs() / every;
        // What is left of the last half minute is not lost for the next count.
        self.at += Duration::from_secs(forgotten * every);
        self.wrong = self.wrong.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX));
        if self.wrong == 0 {
            self.at = now;
        }
        self.wrong = self.wrong.saturating_add(1);
        if let Some(beyond) = self.wrong.checked_sub(pace.free) {
            let wait = pace.wait.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
            self.next = now + wait.min(limits::GUESS_WAIT);
        }
    }

    fn take_back(&mut self, pace: Pace) {
        self.wrong = self.wrong.saturating_sub(1);
        if self.wrong < pace.free {
            self.next = self.at;
        }
    }
}

impl<K: Copy + Eq + Hash, V> Ledger<K, V> {
    fn new(most: usize) -> Self {
        Self { most, rows: HashMap::new(), order: VecDeque::new(), written: 0 }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key).map(|(value, _)| value)
    }

    /// The row, which counts as new again.
    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.rows.contains_key(key) {
            return None;
        }
        self.renew(*key);
        self.rows.get_mut(key).map(|(value, _)| value)
    }

    fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.rows.contains_key(&key) {
            self.set(key, make());
        } else {
            self.renew(key);
        }
        &mut self.rows.get_mut(&key).expect("just set").0
    }

    fn set(&mut self, key: K, value: V) {
        let is_new = !self.rows.contains_key(&key);
        while is_new
            && self.rows.len() >= self.most
            && let Some((oldest, written)) = self.order.pop_front()
        {
            // It may have been written again since.
            if self.rows.get(&oldest).is_some_and(|(_, last)| *last == written) {
                self.rows.remove(&oldest);
            }
        }
        self.written += 1;
        self.rows.insert(key, (value, self.written));
        self.order.push_back((key, self.written));
        self.tidy();
    }

    fn renew(&mut self, key: K) {
        self.written += 1;
        if let Some((_, last)) = self.rows.get_mut(&key) {
            *last = self.written;
            self.order.push_back((key, self.written));
        }
        self.tidy();
    }

    /// Drops what the order says twice, once that is half of it.
    fn tidy(&mut self) {
        if self.order.len() > self.most.saturating_mul(2) {
            let rows = &self.rows;
            self.order.retain(|(key, written)| rows.get(key).is_some_and(|(_, last)| last == written));
        }
    }
}

fn account_key(name: &str) -> AccountKey {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(name)[..16]);
    key
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::clock::Clock;

    fn at(n: u32) -> Block {
        Block::of(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)))
    }

    /// How many tries are let through when one is made every `every` for `during`.
    fn let_through(
        guesses: &Guesses,
        begun: Instant,
        during: Duration,
        mut who: impl FnMut(u32) -> (String, Block),
    ) -> u32 {
        let every = Duration::from_millis(20);
        let tries = u32::try_from(during.as_millis() / every.as_millis()).unwrap();
        (0..tries)
            .filter(|n| {
                let (name, block) = who(*n);
                guesses.begin(&name, block, begun + every * *n).is_ok()
            })
            .count()
            .try_into()
            .unwrap()
    }

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn fifty_a_second_for_ten_minutes_are_few_hashes_from_one_address_and_from_many() {
        let now = Clock::system().monotonic();
        let one = let_through(&Guesses::default(), now, TEN_MINUTES, |_| ("ann".into(), at(1)));
        assert!((20..=200).contains(&one), "{one}");
        let many = let_through(&Guesses::default(), now, TEN_MINUTES, |n| ("ann".into(), at(n)));
        assert!((20..=200).contains(&many), "{many}");
        let names = let_through(&Guesses::default(), now, TEN_MINUTES, |n| (format!("user-{n}"), at(1)));
        assert!((20..=200).contains(&names), "{names}");
    }

    #[tokio::test]
    async fn whoever_was_right_before_is_not_reached_by_the_guesses_of_others() {
        let (guesses, now) = (Guesses::default(), Clock::system().monotonic());
        let attempt = guesses.begin("ann", at(7), now).unwrap();
        guesses.was_right(attempt, now);
        let_through(&guesses, now, TEN_MINUTES, |n| ("ann".into(), at(n % 5)));
        let then = now + TEN_MINUTES;
        let_through(&guesses, then, Duration::from_secs(10), |n| (format!("x{n}"), at(7)));
        let then = then + Duration::from_secs(10);
        assert!(guesses.begin("ann", at(3), then).is_err());
        assert!(guesses.begin("bob", at(7), then).is_err());
        for _ in 0..100 {
            let attempt = guesses.begin("ann", at(7), then).expect("the owner signs in");
            guesses.was_right(attempt, then);
        }
    }

    #[tokio::test]
    async fn a_wait_grows_to_half_a_minute_and_no_further_and_is_forgotten() {
        let (guesses, mut now) = (Guesses::default(), Clock::system().monotonic());
        let mut waits = Vec::new();
        for _ in 0..18 {
            if let Err(wait) = guesses.look("ann", at(1), now) {
                waits.push(wait.as_secs());
                now += wait;
            }
            let _ = guesses.begin("ann", at(1), now).expect("whoever waits gets a try");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 16, 30, 30]);
        now += limits::GUESS_FORGOTTEN * 30;
        for _ in 0..limits::GUESSES_FREE {
            assert!(guesses.begin("ann", at(1), now).is_ok());
        }
        assert!(guesses.begin("ann", at(1), now).is_err());
    }

    #[tokio::test]
    async fn right_ones_are_not_counted_however_many() {
        let (guesses, now) = (Guesses::default(), Clock::system().monotonic());
        for n in 0..1_000 {
            let attempt = guesses.begin("ann", at(n), now).expect("is let through");
            guesses.was_right(attempt, now);
        }
    }

    #[tokio::test]
    async fn a_million_addresses_take_bounded_memory_and_do_not_wash_away_the_newest() {
        let (guesses, now) = (Guesses::default(), Clock::system().monotonic());
        for n in 0..1_000_000 {
            let _ = guesses.begin(&format!("user-{n}"), at(n), now);
            if n % 1_000 == 0 {
                let _ = guesses.begin("ann", at(0xff_ffff), now);
            }
        }
        let books = guesses.lock();
        for (rows, order) in [
            (books.accounts.rows.len(), books.accounts.order.len()),
            (books.blocks.rows.len(), books.blocks.order.len()),
        ] {
            assert!(rows <= limits::GUESS_ENTRIES && order <= 2 * limits::GUESS_ENTRIES + 1, "{rows} {order}");
        }
        drop(books);
        assert!(guesses.look("ann", at(0xff_ffff), now).is_err(), "who goes on guessing is still known");
    }

    #[test]
    fn a_block_is_an_address_or_the_network_of_one() {
        let v6 = |text: &str| Block::of(IpAddr::V6(text.parse::<Ipv6Addr>().unwrap()));
        assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff::"));
        assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
        assert_eq!(v6("::ffff:10.0.0.5"), at(5));
        assert_ne!(at(5), at(6));
        assert!(v6("::1").is_shared() && v6("::ffff:127.0.0.1").is_shared() && !at(5).is_shared());
    }
}
