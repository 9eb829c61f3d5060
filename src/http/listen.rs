//! Listeners: bind, accept, drain.
//!
//! Binding tells at once, in words an operator can act on, why a listener
//! cannot be had. Accepting never ends before its scope does: whatever the
//! system says, there is a pause at most. At the end nobody new is let in,
//! running requests are finished, and what outlasts [`Options::drain`] is cut.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use rustix::io::Errno;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::Body;
use super::connection::{self, Accepted, Options, Peer};
use super::socket::{self, SocketError, SocketPath};
use super::tls::Tls;
use crate::lifecycle::Scope;
use crate::limits;

/// What to listen on.
#[derive(Clone, Debug)]
pub enum Spec {
    /// An address; port 0 takes a free one.
    Tcp {
        /// Where.
        address: SocketAddr,
        /// Over TLS, or plain.
        tls: Option<Tls>,
    },
    /// A unix socket: whoever may open it is trusted as a local caller.
    Unix {
        /// Where.
        path: PathBuf,
    },
}

/// A listener that is bound; nobody is accepted before [`serve`] runs.
#[derive(Debug)]
pub struct Bound {
    index: usize,
    socket: Socket,
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "listen on {address}: another program has that address; stop it (`ss -ltnp` names it), or choose another port (0 takes a free one)"
    )]
    AddressInUse {
        /// Where.
        address: SocketAddr,
    },
    /// The address is none of this machine's.
    #[error(
        "listen on {address}: this machine has no such address; `ip address` lists those it has, 0.0.0.0 and [::] mean all of them"
    )]
    NoSuchAddress {
        /// Where.
        address: SocketAddr,
    },
    /// The port is reserved for privileged programs.
    #[error(
        "listen on {address}: not allowed; ports below 1024 need CAP_NET_BIND_SERVICE, or choose a port from 1024 on"
    )]
    NotAllowed {
        /// Where.
        address: SocketAddr,
    },
    /// The system refused for another reason.
    #[error("listen on {address}")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// What it said.
        source: io::Error,
    },
    /// A unix socket cannot be had.
    #[error(transparent)]
    Unix(#[from] SocketError),
}

#[derive(Debug)]
enum Socket {
    Tcp { listener: TcpListener, address: SocketAddr, tls: Option<Tls> },
    // The path goes first, while the listener still answers: no successor can have taken it yet.
    Unix { path: SocketPath, listener: UnixListener },
}

/// Binds. `index` is the listener's place in the configuration; requests carry
/// it in [`Peer::listener`].
pub async fn bind(spec: Spec, index: usize) -> Result<Bound, ListenError> {
    let socket = match spec {
        Spec::Tcp { address, tls } => {
            let refused = |source: io::Error| match source.kind() {
                io::ErrorKind::AddrInUse => ListenError::AddressInUse { address },
                io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress { address },
                io::ErrorKind::PermissionDenied => ListenError::NotAllowed { address },
                _ => ListenError::Tcp { address, source },
            };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            let address = listener.local_addr().map_err(refused)?;
            Socket::Tcp { listener, address, tls }
        }
        Spec::Unix { path } => {
            let (listener, path) = socket::bind(&path).await?;
            Socket::Unix { path, listener }
        }
    };
    Ok(Bound { index, socket })
}

/// Accepts connections and hands their requests to `handler`, until `scope` is
/// told to stop; then drains. Returns when no connection is left.
pub async fn serve<H, F>(bound: Bound, scope: Scope, options: Options, handler: H)
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let connections = scope.child();
    // Told to stop when patience has run out: drops what still runs.
    let cut = Scope::new();
    let permits = match &bound.socket {
        Socket::Tcp { .. } => Arc::clone(&options.connections),
        Socket::Unix { .. } => Arc::new(Semaphore::new(limits::LOCAL_CONNECTIONS)),
    };
    while let Some((permit, accepted)) = scope.until_stopped(next(&bound, &permits, &options)).await {
        options.tally.accepted.fetch_add(1, Ordering::Relaxed);
        let peer = peer(&bound, &accepted);
        let context =
            connection::Context { connections: connections.clone(), cut: cut.clone(), options: options.clone() };
        let (handler, stop) = (handler.clone(), cut.clone());
        let span = tracing::debug_span!(
            "connection",
            peer.addr = peer.addr.map(tracing::field::display),
            listener = peer.listener
        );
        span.in_scope(|| {
            connections.spawn(async move {
                stop.until_stopped(connection::run(accepted, peer, context, handler)).await;
                drop(permit);
            })
        });
    }
    let listener = bound.to_string();
    drop(bound);
    if !connections.drain(options.drain).await {
        tracing::warn!(listener, connections = connections.running(), "cut connections that did not end in time");
        cut.stop();
        connections.drain(options.drain).await;
    }
}

impl Bound {
    /// The address, with the port that was taken for 0; `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp { address, .. } => Some(*address),
            Socket::Unix { .. } => None,
        }
    }

    /// The path of a unix socket.
    pub fn path(&self) -> Option<&Path> {
        match &self.socket {
            Socket::Tcp { .. } => None,
            Socket::Unix { path, .. } => Some(path.path()),
        }
    }

    /// Whether clients must speak TLS.
    pub fn is_tls(&self) -> bool {
        matches!(&self.socket, Socket::Tcp { tls: Some(_), .. })
    }
}

/// `https://127.0.0.1:5000`, `http://127.0.0.1:5000` or `unix:/run/admin.sock`.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Socket::Tcp { address, tls: Some(_), .. } => write!(f, "https://{address}"),
            Socket::Tcp { address, tls: None, .. } => write!(f, "http://{address}"),
            Socket::Unix { path, .. } => write!(f, "unix:{}", path.path().display()),
        }
    }
}

/// The next connection, once there is room for it.
async fn next(bound: &Bound, permits: &Arc<Semaphore>, options: &Options) -> (OwnedSemaphorePermit, Accepted) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        let error = match accept(&bound.socket).await {
            Ok(accepted) => return (permit, accepted),
            Err(error) => error,
        };
        options.tally.accepts_failed.fetch_add(1, Ordering::Relaxed);
        let pause = pause_after(&error);
        if pause.is_zero() {
            tracing::debug!(%error, listener = %bound, "a connection was gone before it was accepted");
        } else {
            tracing::warn!(%error, listener = %bound, "connections cannot be accepted for now");
            tokio::time::sleep(pause).await;
        }
    }
}

async fn accept(socket: &Socket) -> io::Result<Accepted> {
    match socket {
        Socket::Tcp { listener, tls, .. } => {
            let (stream, from) = listener.accept().await?;
            // Answers are small and awaited; coalescing them costs a round trip.
            stream.set_nodelay(true)?;
            Ok(Accepted::Tcp { stream, from, tls: tls.clone() })
        }
        Socket::Unix { listener, .. } => Ok(Accepted::Unix(listener.accept().await?.0)),
    }
}

/// No pause after an error of that one connection (accept(2), "Error
/// handling"); a short one after any other, which the next try would meet again.
fn pause_after(error: &io::Error) -> Duration {
    const OF_THE_CONNECTION: [Errno; 11] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::INTR,
        Errno::PROTO,
        Errno::PERM,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
        Errno::OPNOTSUPP,
    ];
    match Errno::from_io_error(error) {
        Some(errno) if OF_THE_CONNECTION.contains(&errno) => Duration::ZERO,
        Some(_) | None => limits::ACCEPT_RETRY,
    }
}

fn peer(bound: &Bound, accepted: &Accepted) -> Peer {
    match accepted {
        Accepted::Tcp { from, tls, .. } => {
            Peer { addr: Some(*from), local: false, uid: None, tls: tls.is_some(), listener: bound.index }
        }
        Accepted::Unix(stream) => {
            let uid = stream.peer_cred().ok().map(|cred| cred.uid());
            Peer { addr: None, local: true, uid, tls: false, listener: bound.index }
        }
    }
}

#[cfg(test)]
mod tests;
