//! One HTTP/1.1 connection to a registry, plain or over TLS, and what is asked
//! of it.
//!
//! Nothing is retried and no redirect is followed: an answer that is not the
//! one that was expected ends the run, with its words. Only a connection that
//! the other side closed while it was idle is opened again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::payload::Payload;

/// Where a registry is and how to sign in there.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PlaceArgs {
    /// `http://HOST:PORT` or `https://HOST:PORT`
    #[arg(long)]
    url: String,
    /// `NAME:PASSWORD`, sent with every request (Basic)
    #[arg(long)]
    user: Option<String>,
    /// The authority to trust (PEM)
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// The same, read.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    authority: String,
    host: HeaderValue,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    authorization: Option<HeaderValue>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    place: Place,
    sender: SendRequest<Payload>,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: &'a str,
    /// `Content-Type`.
    pub(crate) kind: Option<&'a str>,
    /// `Accept`.
    pub(crate) accept: Option<&'a str>,
    pub(crate) payload: Payload,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: Bytes,
}

impl PlaceArgs {
    /// Reads them.
    pub(crate) fn place(&self) -> Result<Place> {
        let (scheme, authority) =
            self.url.split_once("://").context("--url is http://HOST:PORT or https://HOST:PORT")?;
        let authority = authority.trim_end_matches('/').to_owned();
        let tls = match scheme {
            "http" => None,
            "https" => {
                let ca = self.ca.as_deref().context("https needs --ca")?;
                let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
                Some((trusting(ca)?, ServerName::try_from(host.to_owned())?))
            }
            _ => bail!("{}: neither http nor https", self.url),
        };
        let basic = |user: &String| HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(user)));
        let authorization = self.user.as_ref().map(basic).transpose()?;
        Ok(Place { host: HeaderValue::from_str(&authority)?, authority, tls, authorization })
    }
}

impl Place {
    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        Ok(Connection { sender: self.sender().await?, place: self.clone() })
    }

    /// Opens a socket and, where it is spoken, TLS: for those who read slowly.
    pub(crate) async fn stream(&self) -> Result<Box<dyn Stream>> {
        let stream =
            TcpStream::connect(&self.authority).await.with_context(|| format!("connect {}", self.authority))?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((config, name)) => {
                Box::new(TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?)
            }
        })
    }

    /// The head of a GET of `path`, as bytes.
    pub(crate) fn get_head(&self, path: &str) -> Vec<u8> {
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.authority).into_bytes();
        if let Some(authorization) = &self.authorization {
            head.extend_from_slice(b"Authorization: ");
            head.extend_from_slice(authorization.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    async fn sender(&self) -> Result<SendRequest<Payload>> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.stream().await?)).await?;
        // Ends with the connection; what goes wrong is told to who sends.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A socket, with TLS or without.
pub(crate) trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for S {}

impl<'a> Ask<'a> {
    /// A request without a body.
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, kind: None, accept: None, payload: Payload::Empty }
    }

    /// With a body.
    pub(crate) fn with(self, kind: &'a str, payload: Payload) -> Self {
        Self { kind: Some(kind), payload, ..self }
    }
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> Result<Answer> {
        let (head, body) = self.begin(ask).await?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    /// The same, for an answer that has one of the statuses `wanted`.
    pub(crate) async fn expect(&mut self, ask: Ask<'_>, wanted: &[u16]) -> Result<Answer> {
        let words = format!("{} {}", ask.method, ask.path);
        let answer = self.ask(ask).await.with_context(|| words.clone())?;
        if !wanted.contains(&answer.status.as_u16()) {
            let said = String::from_utf8_lossy(&answer.body[..answer.body.len().min(400)]).into_owned();
            return Err(anyhow!("{words}: {} {said}", answer.status));
        }
        Ok(answer)
    }

    /// Sends a request and counts the bytes of the answer, which are dropped.
    pub(crate) async fn count(&mut self, ask: Ask<'_>) -> Result<u64> {
        let words = format!("{} {}", ask.method, ask.path);
        let answer = self.begin(ask).await?;
        if !answer.status().is_success() {
            bail!("{words}: {}", answer.status());
        }
        let (mut body, mut bytes) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(bytes)
    }

    async fn begin(&mut self, ask: Ask<'_>) -> Result<Response<Incoming>> {
        if self.sender.ready().await.is_err() {
            self.sender = self.place.sender().await?;
        }
        let mut request = Request::builder().method(ask.method).uri(ask.path).header(header::HOST, &self.place.host);
        if let Some(authorization) = &self.place.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in [(header::CONTENT_TYPE, ask.kind), (header::ACCEPT, ask.accept)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        Ok(self.sender.send_request(request.body(ask.payload)?).await?)
    }
}

fn trusting(ca: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| format!("{}", ca.display()))? {
        roots.add(certificate?)?;
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
