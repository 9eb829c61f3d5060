//! The demonstration's client: the local socket for management, TLS with the
//! registry's own authority and a password for the registry API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use super::AppError;
use crate::limits;

/// A client of one registry.
pub(super) struct DemoClient {
    socket: PathBuf,
    address: SocketAddr,
    ca: String,
    basic: String,
    tls: tokio_rustls::TlsConnector,
}

impl DemoClient {
    pub(super) fn new(
        socket: PathBuf,
        address: SocketAddr,
        ca: &str,
        account: &str,
        password: &str,
    ) -> Result<Self, AppError> {
        let failed = |error: &dyn std::fmt::Display| AppError::Demo(format!("the authority: {error}"));
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{account}:{password}"));
        Ok(Self { socket, address, ca: ca.to_owned(), basic, tls: Arc::new(config).into() })
    }

    /// The authority's certificate.
    pub(super) fn ca(&self) -> &str {
        &self.ca
    }

    /// A management call over the local socket.
    pub(super) async fn local(&self, method: &str, path: &str, body: &Value) -> Result<Value, AppError> {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.map_err(|error| broken(path, &error))?;
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(bytes))
            .map_err(|error| broken(path, &error))?;
        let answer = exchange(stream, request, path).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }

    /// A call of the registry API over TLS.
    pub(super) async fn remote(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Bytes, AppError> {
        let stream = tokio::net::TcpStream::connect(self.address).await.map_err(|error| broken(path, &error))?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = self.tls.connect(name, stream).await.map_err(|error| broken(path, &error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Basic {}", self.basic))
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .map_err(|error| broken(path, &error))?;
        exchange(stream, request, path).await
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, path: &str) -> Result<Bytes, AppError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(path, &error))?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(|error| broken(path, &error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), limits::REMOTE_BODY_BYTES).collect().await;
        let bytes = body.map_err(|error| broken(path, &error))?.to_bytes();
        if status.is_success() {
            Ok(bytes)
        } else {
            let words = String::from_utf8_lossy(&bytes).into_owned();
            Err(AppError::Demo(format!("{path} answered {status}: {words}")))
        }
    };
    tokio::pin!(asking);
    tokio::select! {
        // The connection drives the exchange; that it ended says nothing yet.
        _ = connection => asking.await,
        answer = &mut asking => answer,
    }
}

fn broken(path: &str, error: &dyn std::fmt::Display) -> AppError {
    AppError::Demo(format!("{path}: {error}"))
}
