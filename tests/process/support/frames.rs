//! HTTP/2 by hand, frame by frame, over TLS: for clients that do what no client
//! does.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::daemon::{ADMIN, Daemon, PASSWORD};

/// How long a write may stall.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a frame is waited for that may not come: longer than a large answer
/// waits for its turn.
const ANSWERS: Duration = Duration::from_secs(15);

/// A connection.
pub(crate) struct Frames {
    stream: TlsStream<TcpStream>,
    /// `Authorization` of everything that is asked.
    authorization: String,
}

/// One frame (RFC 9113 §4.1).
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RESET: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const WINDOW: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    /// The stream, or the settings, end here.
    pub(crate) const END: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;

    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    fn write(&self, to: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        to.extend_from_slice(&length[1..]);
        to.extend_from_slice(&[self.kind, self.flags]);
        to.extend_from_slice(&self.stream.to_be_bytes());
        to.extend_from_slice(&self.payload);
    }
}

impl Frames {
    /// Opens one and says that streams have a window of `window` bytes.
    pub(crate) async fn open(daemon: &Daemon, window: u32) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(daemon.ca()).unwrap()).unwrap();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(daemon.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let authorization = format!("Basic {}", STANDARD.encode(format!("{ADMIN}:{PASSWORD}")));
        let mut frames = Self { stream, authorization };
        let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut setting = vec![0, 4];
        setting.extend_from_slice(&window.to_be_bytes());
        Frame::new(Frame::SETTINGS, 0, 0, setting).write(&mut begin);
        Frame::new(Frame::SETTINGS, Frame::END, 0, []).write(&mut begin);
        assert!(frames.raw(&begin).await);
        frames
    }

    /// The headers of a request, each a literal that nobody has to remember
    /// (RFC 7541 §6.2.2).
    pub(crate) fn request(&self, method: &str, path: &str) -> Vec<u8> {
        let mut block = Vec::new();
        let fields =
            [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")].into_iter();
        for (name, value) in fields.chain([("authorization", self.authorization.as_str())]) {
            block.push(0);
            text(name, &mut block);
            text(value, &mut block);
        }
        block
    }

    /// Asks for `path` on a stream.
    pub(crate) fn get(&self, stream: u32, path: &str) -> Frame {
        Frame::new(Frame::HEADERS, Frame::END | Frame::END_HEADERS, stream, self.request("GET", path))
    }

    /// Sends frames; false when the other side took no more of them.
    pub(crate) async fn send(&mut self, frames: &[Frame]) -> bool {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut bytes));
        self.raw(&bytes).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> bool {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        matches!(tokio::time::timeout(PATIENCE, sent).await, Ok(Ok(())))
    }

    /// The next frame; `None` when the connection is at its end, or nothing came.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(ANSWERS, read).await.unwrap_or(None)
    }

    /// Reads on until a frame of this kind comes; `None` when none does.
    pub(crate) async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}

/// A text without Huffman's coding: its length in seven bits and more
/// (RFC 7541 §5.1), and its bytes.
fn text(text: &str, to: &mut Vec<u8>) {
    const PREFIX: usize = 127;
    match text.len().checked_sub(PREFIX) {
        None => to.push(u8::try_from(text.len()).expect("below the prefix")),
        Some(mut rest) => {
            to.push(127);
            while rest >= 128 {
                to.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                rest /= 128;
            }
            to.push(u8::try_from(rest).expect("seven bits"));
        }
    }
    to.extend_from_slice(text.as_bytes());
}
