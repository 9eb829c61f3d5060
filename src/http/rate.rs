//! How many requests one client may send: a bucket of tokens for each account,
//! or for each address where nobody signed in. Whoever holds the local socket is
//! not counted.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use super::connection::Peer;
use crate::chance::Id;
use crate::identity::address_block;
use crate::limits;
use crate::registry::Caller;

/// Tables that are locked on their own, so that clients do not wait for each
/// other.
const SHARDS: usize = 16;

/// Counts the requests of every client.
#[derive(Debug)]
pub struct Rate {
    /// Requests a second; `None`: as many as they like.
    per_second: Option<u32>,
    hasher: RandomState,
    shards: [Mutex<HashMap<Client, Bucket>>; SHARDS],
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Account(Id),
    /// A network of IPv6 counts as one: one house has all of its addresses.
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Too many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests; the most is {per_second} a second")]
pub struct TooMany {
    /// How many are allowed.
    pub per_second: u32,
    /// When the next one is.
    pub wait: Duration,
}

impl TooMany {
    /// As `Retry-After`, in whole seconds and never zero.
    pub(super) fn retry_after(&self) -> HeaderValue {
        HeaderValue::from(self.wait.as_secs() + 1)
    }
}

impl Rate {
    /// With this many requests a second for each client; zero: no bound.
    pub fn new(per_second: u32) -> Self {
        let per_second = (per_second > 0).then_some(per_second);
        Self { per_second, hasher: RandomState::new(), shards: Default::default() }
    }

    /// Counts a request of `caller` (none: nobody signed in) from `peer`.
    ///
    /// # Errors
    /// [`TooMany`] when it is one too many; it is not counted then.
    pub(super) fn admit(&self, caller: Option<&Caller>, peer: Peer) -> Result<(), TooMany> {
        let Some(per_second) = self.per_second else { return Ok(()) };
        match client(caller, peer) {
            Some(client) => self.count(client, per_second, Instant::now()),
            None => Ok(()),
        }
    }

    fn count(&self, client: Client, per_second: u32, now: Instant) -> Result<(), TooMany> {
        let rate = f64::from(per_second);
        let full = rate * f64::from(limits::REQUESTS_BURST_SECONDS);
        let filled = |bucket: &Bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            passed.mul_add(rate, bucket.tokens).min(full)
        };
        let shard = self.hasher.hash_one(client) as usize % SHARDS;
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= limits::REQUESTS_CLIENTS / SHARDS && !shard.contains_key(&client) {
            shard.retain(|_, bucket| filled(bucket) < full);
            // All of them busy: they begin anew.
            if shard.len() >= limits::REQUESTS_CLIENTS / SHARDS {
                shard.clear();
            }
        }
        let bucket = shard.entry(client).or_insert(Bucket { tokens: full, at: now });
        *bucket = Bucket { tokens: filled(bucket), at: now };
        if bucket.tokens < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - bucket.tokens) / rate);
            return Err(TooMany { per_second, wait });
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

fn client(caller: Option<&Caller>, peer: Peer) -> Option<Client> {
    match caller {
        Some(Caller::System) => None,
        Some(Caller::Account { id, .. } | Caller::Robot { id, .. }) => Some(Client::Account(*id)),
        None | Some(Caller::Anonymous) => Some(Client::Address(address_block(peer.addr?.ip()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(addr: &str) -> Peer {
        Peer { addr: Some(addr.parse().unwrap()), local: false, uid: None, tls: true, listener: 0 }
    }

    fn account(id: u8) -> Caller {
        Caller::account_of(Id::from_bytes([id; 16]), "ann".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_a_burst_and_then_its_rate() {
        let rate = Rate::new(2);
        let (ann, from) = (account(1), peer("192.0.2.1:1"));
        let most = 2 * limits::REQUESTS_BURST_SECONDS;
        let taken = |caller: Option<&Caller>, from| (0..most * 2).filter(|_| rate.admit(caller, from).is_ok()).count();
        assert_eq!(taken(Some(&ann), from), most as usize);
        let refused = rate.admit(Some(&ann), from).unwrap_err();
        assert_eq!((refused.per_second, refused.wait), (2, Duration::from_millis(500)));
        // Wherever it comes from; others are others.
        rate.admit(Some(&ann), peer("192.0.2.9:1")).unwrap_err();
        rate.admit(Some(&account(2)), from).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(taken(Some(&ann), from), 2);
        // Nobody: by address, by network for IPv6; never the local socket.
        assert_eq!(taken(None, from), most as usize);
        rate.admit(None, peer("192.0.2.2:1")).unwrap();
        assert_eq!(taken(None, peer("[2001:db8::1]:1")), most as usize);
        rate.admit(None, peer("[2001:db8::2]:1")).unwrap_err();
        rate.admit(None, peer("[2001:db8:0:1::1]:1")).unwrap();
        rate.admit(None, peer("[::ffff:192.0.2.1]:1")).unwrap_err();
        let local = Peer { addr: None, local: true, uid: None, tls: false, listener: 0 };
        assert_eq!(taken(Some(&Caller::System), local), most as usize * 2);
        assert!((0..10_000).all(|_| Rate::new(0).admit(None, from).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_from_many_addresses_takes_no_memory() {
        let rate = Rate::new(1);
        for host in 0..u32::try_from(limits::REQUESTS_CLIENTS * 3).unwrap() {
            let ip = std::net::Ipv4Addr::from_bits(host);
            let peer = Peer { addr: Some((ip, 1).into()), ..peer("192.0.2.1:1") };
            rate.admit(None, peer).unwrap();
        }
        let held: usize = rate.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= limits::REQUESTS_CLIENTS, "{held}");
    }
}
