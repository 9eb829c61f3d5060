//! hyper with nothing behind it: what any server on it can answer at most.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty as NoBody;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::figures::Figures;

/// Where it listens.
#[derive(clap::Args, Debug)]
pub(crate) struct Empty {
    /// Plain HTTP
    #[arg(long)]
    plain: SocketAddr,
    /// And over TLS
    #[arg(long, requires_all = ["certificate", "key"])]
    tls: Option<SocketAddr>,
    #[arg(long)]
    certificate: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
}

impl Empty {
    /// Serves until it is ended.
    pub(super) fn run(&self) -> Result<Figures> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let tls = async {
                match (self.tls, self.acceptor()?) {
                    (Some(address), Some(acceptor)) => serve(address, Some(acceptor)).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::try_join!(serve(self.plain, None), tls)
        })?;
        Ok(Figures::default())
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key)?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

async fn serve(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| address.to_string())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => answer(TokioIo::new(stream)).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(TokioIo::new(stream)).await;
                    }
                }
            }
        });
    }
}

/// Until the client goes.
async fn answer(stream: impl Read + Write + Unpin) {
    let service = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(NoBody::<Bytes>::new())));
    let _ = http1::Builder::new().serve_connection(stream, service).await;
}
