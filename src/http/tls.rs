//! TLS with a certificate that can be swapped.
//!
//! One [`Tls`] serves every TLS listener. A renewed certificate is swapped in
//! while connections go on: those that are open keep the one they began with.
//! A handshake has a deadline of its own, since nothing in HTTP watches it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::sign_in::ShownCertificate;
use crate::identity::{ClientAuthority, client_certificate};
use crate::limits;

/// Why a connection did not become a TLS connection. The client's doing in
/// either case.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It took too long.
    #[error("the TLS handshake took longer than {} s", .within.as_secs())]
    TooSlow {
        /// The time it had.
        within: Duration,
    },
    /// The two could not agree, or the connection broke.
    #[error("the TLS handshake failed")]
    Failed(#[source] io::Error),
    /// The client spoke plain HTTP; it was told so.
    #[error("the client spoke plain HTTP to a TLS listener")]
    PlainHttp,
}

/// What accepts TLS. Cheap to clone; clones share the certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    current: Arc<watch::Sender<Arc<ServerConfig>>>,
    handshake: Duration,
    /// Where clients are asked for certificates: whose are believed.
    clients: Option<ClientAuthority>,
}

impl Tls {
    /// With the product's deadline.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { current: Arc::new(watch::Sender::new(config)), handshake: limits::TLS_HANDSHAKE, clients: None }
    }

    /// With another deadline for handshakes.
    #[must_use]
    pub fn with_handshake(self, handshake: Duration) -> Self {
        Self { handshake, ..self }
    }

    /// The same certificate, for a listener that asks clients for theirs.
    #[must_use]
    pub fn asking(&self, clients: ClientAuthority) -> Self {
        Self { clients: Some(clients), ..self.clone() }
    }

    /// From now on, new connections get `config`.
    pub fn swap(&self, config: Arc<ServerConfig>) {
        self.current.send_replace(config);
    }

    /// What new connections get.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Completes when that changes, from this call on.
    pub fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut current = self.current.subscribe();
        async move {
            let _ = current.changed().await;
        }
    }

    /// Shakes hands on a fresh connection.
    pub async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.in_time(self.shake_hands(stream)).await
    }

    /// As [`Tls::accept`], and a client that speaks plain HTTP gets an answer
    /// in words: the usual mistake is a URL with `http`. `guard` wraps the
    /// stream once it is known to speak TLS.
    pub(super) async fn accept_tcp<S>(
        &self,
        stream: TcpStream,
        guard: impl FnOnce(TcpStream) -> S,
    ) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accept = async {
            let mut first = [0];
            stream.peek(&mut first).await.map_err(TlsError::Failed)?;
            // A TLS record begins with 22, a request with a method in capitals.
            if first[0].is_ascii_uppercase() {
                turn_away(stream).await.map_err(TlsError::Failed)?;
                return Err(TlsError::PlainHttp);
            }
            self.shake_hands(guard(stream)).await
        };
        self.in_time(accept).await
    }

    async fn shake_hands<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.current();
        let config = self.clients.as_ref().map_or(Arc::clone(&config), |clients| clients.over(&config));
        TlsAcceptor::from(config).accept(stream).await.map_err(TlsError::Failed)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, TlsError>>) -> Result<T, TlsError> {
        let within = self.handshake;
        tokio::time::timeout(within, work).await.unwrap_or(Err(TlsError::TooSlow { within }))
    }
}

/// Whether the client chose HTTP/2 in the handshake.
pub(super) fn chose_http2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// The certificate that the client showed, if it did.
pub(super) fn shown<S>(stream: &TlsStream<S>) -> Option<ShownCertificate> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    Some(ShownCertificate(client_certificate::names(certificate).into()))
}

/// Answers a plain request in the registry's form, since clients that try HTTP
/// after HTTPS show what they are answered; and reads what the client still sends: closing
/// over unread bytes would reset the connection and lose the answer.
async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    const WORDS: &str = "this port speaks HTTPS: use https:// in the URL, and let the client trust the registry's \
                         certificate; its authority is at https://HOST/ca";
    let body = format!(r#"{{"errors":[{{"code":"UNSUPPORTED","message":"{WORDS}","detail":null}}]}}"#) + "\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(limits::REQUEST_HEAD_BYTES as u64), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::identity::{Authority, CertificateNames};

    struct Edge {
        _folder: tempfile::TempDir,
        authority: Authority,
    }

    impl Edge {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::open_or_create(folder.path(), Clock::system().now(), &Chance::system()).unwrap();
            Self { _folder: folder, authority }
        }

        fn config(&self) -> Arc<ServerConfig> {
            let names = CertificateNames::new(Some("edge-7"), ["registry.example", "10.0.0.7"]).unwrap();
            self.authority.server_certificate(&names, Clock::system().now()).unwrap().server_config()
        }

        /// What a client that trusts only this box's authority ends up with.
        async fn connect(&self, tls: &Tls, name: &str) -> io::Result<Vec<u8>> {
            let mut roots = RootCertStore::empty();
            roots.add(self.authority.certificate().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let (near, far) = tokio::io::duplex(1 << 16);
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let connector = TlsConnector::from(Arc::new(config));
            let (client, server) = tokio::join!(connector.connect(name, near), tls.accept(far));
            if client.is_ok() {
                server.unwrap();
            }
            client.map(|stream| stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
        }
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_authority_connects_by_name_and_by_address() {
        let here = Edge::new();
        let tls = Tls::new(here.config());
        for name in ["localhost", "127.0.0.1", "::1", "edge-7", "registry.example", "10.0.0.7"] {
            here.connect(&tls, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(here.connect(&tls, "other.example").await.is_err());
        assert!(Edge::new().connect(&tls, "localhost").await.is_err(), "another box's authority");
    }

    #[tokio::test]
    async fn a_swapped_certificate_is_shown_to_new_connections() {
        let here = Edge::new();
        let tls = Tls::new(here.config());
        let before = here.connect(&tls, "localhost").await.unwrap();
        let names = CertificateNames::new(None, ["new.example"]).unwrap();
        let renewed = here.authority.server_certificate(&names, Clock::system().now()).unwrap();
        tls.clone().swap(renewed.server_config());
        assert_ne!(here.connect(&tls, "new.example").await.unwrap(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_stalls_ends_at_its_deadline() {
        let tls = Tls::new(Edge::new().config());
        let (_silent, far) = tokio::io::duplex(64);
        let begun = tokio::time::Instant::now();
        assert!(matches!(tls.accept(far).await, Err(TlsError::TooSlow { .. })));
        assert_eq!(begun.elapsed(), limits::TLS_HANDSHAKE);
    }
}
