//! Connection pools to other registries, and the options that all share.
//!
//! There is one pool for each trust and reach: a connection that was opened
//! under a lax check is never used under a strict one. Connection tasks run in
//! the scope that was handed in and end with it.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::WARNING;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioTimer;
use rustls::RootCertStore;
use tokio::sync::OnceCell;

use super::answer::Answer;
use super::body::SendBody;
use super::connect::{Connector, Names};
use super::{Origin, Reach, Subnet, Trust};
use crate::clock::Clock;
use crate::lifecycle::{self, Scope};
use crate::limits;
use crate::oci::warning;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// To connect, TLS included.
    pub connect: Duration,
    /// To answer a request's head.
    pub answer: Duration,
    /// Without a byte, in either direction.
    pub stall: Duration,
    /// To answer once a whole blob was sent.
    pub commit: Duration,
    /// For the whole body of an answer that is no blob.
    pub read: Duration,
    /// Bytes a second below which a body is given up.
    pub slowest: u64,
    /// Over what time that is measured.
    pub window: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: limits::REMOTE_CONNECT,
            answer: limits::REMOTE_ANSWER,
            stall: limits::REMOTE_STALL,
            commit: limits::REMOTE_COMMIT,
            read: limits::REMOTE_READ,
            slowest: limits::REMOTE_SLOWEST,
            window: limits::REMOTE_SLOWEST_OVER,
        }
    }
}

/// What every connection to somewhere else shares.
#[derive(Clone, Debug)]
pub struct OutboundOptions {
    /// Where connection tasks run.
    pub scope: Scope,
    /// For `Retry-After` dates and the life of tokens.
    pub clock: Clock,
    /// This instance's own listeners, as they were bound.
    pub own: Vec<SocketAddr>,
    /// The operator's allow-list of address ranges.
    pub allow: Vec<Subnet>,
    /// How this daemon names itself, `tidegate/1.2.3`.
    pub user_agent: String,
    /// How long things may take.
    pub timing: Timing,
    /// Where names are looked up.
    pub names: Names,
}

/// The way out of the box. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    options: OutboundOptions,
    roots: OnceCell<RootCertStore>,
    pools: Mutex<HashMap<(Trust, bool), Pool>>,
    /// What other registries warned of.
    warned: Mutex<HashSet<(Origin, String)>>,
}

/// Connections under one trust and reach. It sends requests, and neither
/// follows redirects nor knows credentials.
pub(super) type Pool = Client<Connector, SendBody>;

impl Outbound {
    /// A way out with no connection yet.
    pub fn new(options: OutboundOptions) -> Self {
        Self(Arc::new(Shared { options, roots: OnceCell::new(), pools: Mutex::default(), warned: Mutex::default() }))
    }

    pub(super) fn options(&self) -> &OutboundOptions {
        &self.0.options
    }

    /// The connections for one kind of trust; `private` as in [`Reach`].
    pub(super) async fn pool(&self, trust: &Trust, private: bool) -> Result<Pool, rustls::Error> {
        let key = (trust.clone(), private);
        if let Some(pool) = self.pools().get(&key) {
            return Ok(pool.clone());
        }
        let roots = self.0.roots.get_or_init(system_roots).await;
        let connector = Connector {
            reach: Arc::new(self.reach(private)),
            names: self.0.options.names.clone(),
            tls: Arc::new(trust.client(roots)?),
            patience: self.0.options.timing.connect,
        };
        let pool = Client::builder(InScope(self.0.options.scope.clone()))
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(limits::REMOTE_IDLE)
            .pool_max_idle_per_host(limits::REMOTE_IDLE_CONNECTIONS)
            .http2_initial_stream_window_size(limits::REMOTE_STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(limits::REMOTE_STREAM_WINDOW_BYTES.saturating_mul(4))
            .http2_keep_alive_interval(self.0.options.timing.stall / 2)
            .http2_keep_alive_timeout(self.0.options.timing.stall / 2)
            .build(connector);
        let mut pools = self.pools();
        if pools.len() >= limits::REMOTE_POOLS {
            // Requests under way keep their pool; the rest is opened again.
            pools.clear();
        }
        Ok(pools.entry(key).or_insert(pool).clone())
    }

    /// Logs what a registry warns of, each thing once: it says it with every
    /// answer.
    pub(super) fn tell_warnings(&self, answer: &Answer) {
        for header in answer.headers(WARNING).take(limits::REMOTE_WARNINGS) {
            let Some(text) = warning::text(header).map(|text| answer.clean(&text)).filter(|text| !text.is_empty())
            else {
                continue;
            };
            let mut warned = self.0.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.len() >= limits::REMOTE_WARNINGS_REMEMBERED {
                warned.clear();
            }
            if warned.insert((answer.origin.clone(), text.clone())) {
                tracing::warn!(remote.origin = %answer.origin, warning = text, "another registry warns");
            }
        }
    }

    fn reach(&self, private: bool) -> Reach {
        Reach { private, own: self.0.options.own.clone(), allow: self.0.options.allow.clone() }
    }

    fn pools(&self) -> std::sync::MutexGuard<'_, HashMap<(Trust, bool), Pool>> {
        self.0.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Outbound").field(&self.0.options).finish()
    }
}

async fn system_roots() -> RootCertStore {
    let loaded = lifecycle::blocking(rustls_native_certs::load_native_certs).await;
    for error in &loaded.errors {
        tracing::warn!(error = %error, "some of the system's trusted certificates could not be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, passed_over) = roots.add_parsable_certificates(loaded.certs);
    tracing::debug!(added, passed_over, "read the system's trusted certificates");
    roots
}

/// Runs connection tasks in a scope.
#[derive(Clone)]
struct InScope(Scope);

impl<F> hyper::rt::Executor<F> for InScope
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, task: F) {
        let scope = self.0.clone();
        self.0.spawn(async move { scope.until_stopped(task).await });
    }
}
