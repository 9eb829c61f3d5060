//! How the daemon is reached: a unix socket, or TCP with TLS.
//!
//! This is the way to *our own* daemon, named by the person at the terminal;
//! the connector with its address checks is for other registries and lives in
//! `remote`.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::uri::{Authority, Scheme, Uri};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::error::CliError;
use crate::config::file::read_text;
use crate::secret::Secret;

/// A daemon's address on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonUrl {
    authority: Authority,
    tls: bool,
}

/// Why a text is no address of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No URL, or with parts that have no meaning here.
    #[error("give https://HOST[:PORT], without a path; the name to sign in with goes to --username")]
    Shape,
    /// A password would go over the network in the clear.
    #[error("plain http:// shows the password to the network; only a loopback address takes it")]
    PlainBeyondLoopback,
}

/// A way to a daemon.
#[derive(Clone)]
pub enum Target {
    /// The local endpoint: whoever may open it has every right.
    Socket(PathBuf),
    /// A listener, where one signs in.
    Url {
        /// Where.
        url: DaemonUrl,
        /// Set when it is `https`.
        tls: Option<Arc<ClientConfig>>,
        /// The value of `Authorization`, when someone signs in.
        authorization: Option<Secret>,
    },
}

/// A stream of bytes, whatever carries it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl FromStr for DaemonUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let parts = text.parse::<Uri>().map_err(|_| UrlError::Shape)?.into_parts();
        let tls = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTPS => true,
            Some(scheme) if scheme == Scheme::HTTP => false,
            Some(_) | None => return Err(UrlError::Shape),
        };
        let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
        let authority = parts.authority.filter(|authority| !authority.as_str().contains('@')).ok_or(UrlError::Shape)?;
        if path != "/" || authority.host().is_empty() {
            return Err(UrlError::Shape);
        }
        let url = Self { authority, tls };
        let loopback = url.host().parse().map_or(url.host() == "localhost", |ip: std::net::IpAddr| ip.is_loopback());
        if tls || loopback { Ok(url) } else { Err(UrlError::PlainBeyondLoopback) }
    }
}

impl DaemonUrl {
    /// The host, an IPv6 address without its brackets.
    fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.tls { 443 } else { 80 })
    }
}

impl std::fmt::Display for DaemonUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

impl Target {
    /// A listener, trusted by the certificates in `ca` or by the system's.
    ///
    /// # Errors
    /// When `ca` cannot be read or holds no certificate.
    pub fn url(url: DaemonUrl, ca: Option<&Path>, sign_in: Option<(&str, &Secret)>) -> Result<Self, CliError> {
        let tls = url.tls.then(|| trust(ca)).transpose()?;
        let authorization = sign_in.map(|(name, password)| {
            let pair = Secret::new(format!("{name}:{}", password.expose()));
            Secret::new(format!("Basic {}", BASE64.encode(pair.expose())))
        });
        Ok(Self::Url { url, tls, authorization })
    }

    /// How it is called in messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Url { url, .. } => url.to_string(),
        }
    }

    /// The value of `Host`.
    pub fn host(&self) -> &str {
        match self {
            Self::Socket(_) => "localhost",
            Self::Url { url, .. } => url.authority.as_str(),
        }
    }

    /// The value of `Authorization`.
    pub const fn authorization(&self) -> Option<&Secret> {
        match self {
            Self::Socket(_) => None,
            Self::Url { authorization, .. } => authorization.as_ref(),
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// What the system or the TLS library said.
    pub async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let (url, tls) = match self {
            Self::Socket(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Url { url, tls, .. } => (url, tls),
        };
        let tcp = TcpStream::connect((url.host(), url.port())).await?;
        let Some(config) = tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::try_from(url.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?))
    }
}

/// The certificates in the PEM file `path`; one at least.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<(String, Vec<CertificateDer<'static>>), CliError> {
    let text = read_text(path).map_err(CliError::File)?;
    let bad = |reason: String| CliError::BadCertificate { path: path.to_owned(), reason };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|e| bad(e.to_string()))?;
    if found.is_empty() { Err(CliError::NoCertificate(path.to_owned())) } else { Ok((text, found)) }
}

fn trust(ca: Option<&Path>) -> Result<Arc<ClientConfig>, CliError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)?.1 {
                let bad = |reason: rustls::Error| CliError::BadCertificate {
                    path: path.to_owned(),
                    reason: reason.to_string(),
                };
                roots.add(certificate).map_err(bad)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider's own cipher suites fit the default versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::json;

    #[test]
    fn urls_are_https_or_on_loopback() {
        let read = |text: &str| text.parse::<DaemonUrl>().map(|url| (url.host().to_owned(), url.port()));
        assert_eq!(read("https://registry.example.org"), Ok(("registry.example.org".into(), 443)));
        assert_eq!(read("https://[2001:db8::1]:5000/"), Ok(("2001:db8::1".into(), 5000)));
        assert_eq!(read("http://127.0.0.1:5001"), Ok(("127.0.0.1".into(), 5001)));
        assert_eq!(read("http://[::1]"), Ok(("::1".into(), 80)));
        assert_eq!(read("http://localhost:1"), Ok(("localhost".into(), 1)));
        assert_eq!(read("http://registry.example.org"), Err(UrlError::PlainBeyondLoopback));
        assert_eq!(read("http://127.0.0.1.example.org"), Err(UrlError::PlainBeyondLoopback));
        for bad in ["", "registry.example.org", "ftp://x", "https://u:p@x", "https://x/api", "https://x?y", "https://"]
        {
            assert_eq!(read(bad), Err(UrlError::Shape), "{bad}");
        }
    }

    #[tokio::test]
    async fn over_tls_one_signs_in_and_trusts_the_ca_that_was_named() {
        let fake = Fake::new(vec![reply("GET /api/v0/jobs?limit=20", 200, json!({"jobs": []}))]);
        let (port, ca) = fake.listen_with_tls().await;
        let url = format!("https://localhost:{port}");
        let mut environment = fake.environment();
        environment.password = Some(Secret::new("s3cret"));
        // Without the CA the certificate is a stranger's: nothing is sent.
        let ran = fake.run_in(&environment, &["--url", &url, "--username", "me", "job", "list"], "").await;
        assert_eq!(ran.exit, Exit::Failure);
        assert!(
            ran.err.starts_with(&format!("error: no daemon answers at {url}: invalid peer certificate")),
            "{}",
            ran.err
        );
        let words = ["--url", &url, "--username", "me", "--ca", ca.to_str().unwrap(), "job", "list"];
        fake.run_in(&environment, &words, "").await.done();
        let seen = fake.seen();
        assert_eq!(seen.len(), 1);
        // The base64 of `me:s3cret`.
        assert_eq!(seen[0].authorization.as_deref(), Some("Basic bWU6czNjcmV0"));
        assert_eq!(seen[0].host, format!("localhost:{port}"));
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(matches!(certificates(&path), Err(CliError::NoCertificate(_))));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(certificates(&path), Err(CliError::BadCertificate { .. })));
    }
}
