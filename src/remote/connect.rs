//! The one connector: resolve, check every address, dial only what was checked.
//!
//! A check in front of an HTTP library is a check of another lookup than the
//! one that is dialled. Here they are the same: the addresses that
//! [`Reach`](crate::remote::Reach) passed are the ones that are connected to, for names
//! and for literal addresses alike, on every hop, because nothing else opens
//! connections.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::CertificateError;
use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::wire::Wire;
use super::{Origin, Reach, Refusal, Scheme};
use crate::limits;

/// Where names are looked up.
#[derive(Clone, Default)]
pub enum Names {
    /// The system's resolver.
    #[default]
    System,
    /// A function of one's own, for tests.
    Given(Lookup),
}

/// A name to its addresses.
pub type Lookup = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Given(_) => "Given",
        })
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is of no kind that may be dialled.
    #[error("{origin} is at {address}, {refusal}")]
    Address {
        /// Where to.
        origin: Origin,
        /// The address that was refused.
        address: IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// The name has no address.
    #[error("the name {} could not be resolved", .origin.host())]
    Resolve {
        /// Where to.
        origin: Origin,
        /// What the resolver said.
        source: Arc<io::Error>,
    },
    /// No address answered.
    #[error("no connection to {origin}")]
    Dial {
        /// Where to.
        origin: Origin,
        /// What the last address said.
        source: Arc<io::Error>,
    },
    /// No TLS that is trusted.
    #[error("no trusted TLS connection to {origin}{}", hint(.source))]
    Tls {
        /// Where to.
        origin: Origin,
        /// What was wrong with it.
        source: rustls::Error,
    },
    /// It took too long.
    #[error("no connection to {origin} within {} s", .after.as_secs_f32())]
    Timeout {
        /// Where to.
        origin: Origin,
        /// How long was waited.
        after: Duration,
    },
    /// Not a URI that can be connected to.
    #[error("the address names no origin that can be connected to")]
    Target,
}

/// The connector under a connection pool.
#[derive(Clone)]
pub(super) struct Connector {
    /// Where it may go.
    pub(super) reach: Arc<Reach>,
    /// Where names are looked up.
    pub(super) names: Names,
    /// Whom it believes.
    pub(super) tls: Arc<rustls::ClientConfig>,
    /// Time for all of it: name, addresses, TLS.
    pub(super) patience: Duration,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let origin = Origin::of(&target).ok_or(ConnectError::Target)?;
            let after = connector.patience;
            match tokio::time::timeout(after, connector.connect(&origin)).await {
                Ok(connected) => connected.map(TokioIo::new),
                Err(_) => Err(ConnectError::Timeout { origin, after }),
            }
        })
    }
}

impl Connector {
    async fn connect(&self, origin: &Origin) -> Result<Wire, ConnectError> {
        let addresses = self.checked_addresses(origin).await?;
        let tcp = self.dial(origin, &addresses).await?;
        match origin.scheme() {
            Scheme::Http => Ok(Wire::Plain(tcp)),
            Scheme::Https => self.shake_hands(origin, tcp).await,
        }
    }

    /// The addresses of the origin's host that may be dialled, at least one.
    async fn checked_addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, ConnectError> {
        let failed = |source| ConnectError::Resolve { origin: origin.clone(), source: Arc::new(source) };
        let port = origin.port();
        let all: Vec<SocketAddr> = match (origin.address(), &self.names) {
            (Some(address), _) => vec![(address, port).into()],
            (None, Names::Given(lookup)) => lookup(origin.host()).into_iter().map(|a| (a, port).into()).collect(),
            (None, Names::System) => tokio::net::lookup_host((origin.host(), port)).await.map_err(failed)?.collect(),
        };
        let mut refused = None;
        let mut checked = Vec::new();
        for address in all {
            match self.reach.check(address) {
                Ok(()) => checked.push(address),
                Err(refusal) => refused = refused.or(Some((address.ip(), refusal))),
            }
        }
        match refused {
            _ if !checked.is_empty() => {
                checked.truncate(limits::REMOTE_ADDRESSES);
                Ok(checked)
            }
            Some((address, refusal)) => Err(ConnectError::Address { origin: origin.clone(), address, refusal }),
            None => Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
        }
    }

    /// Tries each address in turn. A silent one gets its share of what is left
    /// of the time, so that the ones after it are reached.
    async fn dial(&self, origin: &Origin, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let deadline = Instant::now() + self.patience;
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for (tried, &address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
            match tokio::time::timeout(share, open(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(ConnectError::Dial { origin: origin.clone(), source: Arc::new(last) })
    }

    async fn shake_hands(&self, origin: &Origin, tcp: TcpStream) -> Result<Wire, ConnectError> {
        let name = match origin.address() {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(origin.host().to_owned()).map_err(|_| ConnectError::Target)?,
        };
        match TlsConnector::from(self.tls.clone()).connect(name, tcp).await {
            Ok(tls) => Ok(Wire::Tls(Box::new(tls))),
            Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(inner) => ConnectError::Tls { origin: origin.clone(), source: inner.clone() },
                None => ConnectError::Dial { origin: origin.clone(), source: Arc::new(error) },
            }),
        }
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// What a person can do about a refused handshake.
fn hint(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "; its certificate was signed by an authority that is not known here, whose certificate can be given as the remote CA"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "; its certificate is for another name",
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "; its certificate has expired, or the clock of this machine is wrong"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "; its certificate is not valid yet, or the clock of this machine is wrong",
        rustls::Error::InvalidMessage(_) => "; what answers there does not speak TLS (http:// in front of the host?)",
        _ => "",
    }
}
