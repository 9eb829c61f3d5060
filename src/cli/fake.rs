//! A daemon for tests: it answers what it was told to, in that order, on a
//! unix socket or over TLS, and remembers what it was asked.
//!
//! It asserts on drop that every answer was asked for.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, IF_MATCH};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::dial::{Stream, Target};
use super::run::run;
use super::terminal::{Exit, Terminal};
use crate::config::Environment;
use crate::lifecycle::Scope;

/// One answer, and the request it is for.
#[derive(Clone)]
pub(crate) struct Reply {
    request: String,
    status: u16,
    body: Value,
    next: Option<&'static str>,
}

/// One request.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) authorization: Option<String>,
    pub(crate) if_match: String,
    pub(crate) body: Value,
}

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The daemon.
pub(crate) struct Fake {
    folder: TempDir,
    socket: PathBuf,
    memory: Arc<Memory>,
    scope: Scope,
}

#[derive(Default)]
struct Memory {
    script: Mutex<Vec<Reply>>,
    seen: Mutex<Vec<Seen>>,
}

/// The answer `status` and `body` to `request`, which is method, path and
/// query.
pub(crate) fn reply(request: &str, status: u16, body: Value) -> Reply {
    Reply { request: request.to_owned(), status, body, next: None }
}

impl Reply {
    /// With the header that leads to the next page.
    pub(crate) fn next(mut self, start: &'static str) -> Self {
        self.next = Some(start);
        self
    }
}

impl Ran {
    /// What was printed; the command must have succeeded and not complained.
    pub(crate) fn done(self) -> String {
        assert_eq!((self.exit, self.err.as_str()), (Exit::Success, ""));
        self.out
    }
}

impl Fake {
    /// A daemon with this script.
    pub(crate) fn new(script: Vec<Reply>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("fake.sock");
        let memory = Arc::new(Memory { script: Mutex::new(script), seen: Mutex::default() });
        let scope = Scope::new();
        let listener = UnixListener::bind(&socket).unwrap();
        let (own, heard) = (scope.clone(), Arc::clone(&memory));
        scope.spawn(async move {
            while let Some(Ok((stream, _))) = own.until_stopped(listener.accept()).await {
                own.spawn(serve(Box::new(stream), Arc::clone(&heard)));
            }
        });
        Self { folder, socket, memory, scope }
    }

    /// Answers on a TCP port too, with TLS; gives the port and the file with
    /// the certificate to trust.
    pub(crate) async fn listen_with_tls(&self) -> (u16, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca = self.folder.path().join("ca.pem");
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (own, heard) = (self.scope.clone(), Arc::clone(&self.memory));
        self.scope.spawn(async move {
            while let Some(Ok((stream, _))) = own.until_stopped(listener.accept()).await {
                // A client that does not trust the certificate goes away here.
                if let Ok(stream) = acceptor.accept(stream).await {
                    own.spawn(serve(Box::new(stream), Arc::clone(&heard)));
                }
            }
        });
        (port, ca)
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its socket, to dial.
    pub(crate) fn target(&self) -> Target {
        Target::Socket(self.socket.clone())
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.memory.seen.lock().unwrap().clone()
    }

    /// Surroundings in a folder of the test's own, with `TIDEGATE_SOCKET` set
    /// to this daemon.
    pub(crate) fn environment(&self) -> Environment {
        let mut environment = Environment::bare(self.folder.path().to_owned());
        environment.socket = Some(self.socket.clone());
        environment.service_socket = self.folder.path().join("service.sock");
        environment
    }

    /// Runs the command line against this daemon.
    pub(crate) async fn run(&self, words: &[&str], stdin: &str) -> Ran {
        self.run_in(&self.environment(), words, stdin).await
    }

    /// Runs the command line in surroundings of the test's own.
    pub(crate) async fn run_in(&self, environment: &Environment, words: &[&str], stdin: &str) -> Ran {
        let (mut stdin, mut out, mut err) = (stdin.as_bytes(), Vec::new(), Vec::new());
        let mut terminal = Terminal { stdin: &mut stdin, stdout: &mut out, stderr: &mut err, interactive: false };
        let words = std::iter::once("tidegate").chain(words.iter().copied());
        let exit = run(words, environment, &mut terminal).await;
        Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.scope.stop();
        if !std::thread::panicking() {
            let left: Vec<String> = self.memory.script.lock().unwrap().iter().map(|r| r.request.clone()).collect();
            assert!(left.is_empty(), "never asked for: {left:?}");
        }
    }
}

async fn serve(stream: Box<dyn Stream>, memory: Arc<Memory>) {
    let answer = |request: Request<Incoming>| {
        let memory = Arc::clone(&memory);
        async move { Ok::<_, Infallible>(memory.answer(request).await) }
    };
    // A client that goes away is no matter.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

impl Memory {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let asked = format!("{} {}", request.method(), request.uri());
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let header =
            |headers: &HeaderMap, name| headers.get(name).map(|v: &http::HeaderValue| v.to_str().unwrap().to_owned());
        let host = header(&head.headers, HOST).unwrap_or_default();
        let if_match = header(&head.headers, IF_MATCH).unwrap_or_default();
        let authorization = header(&head.headers, AUTHORIZATION);
        self.seen.lock().unwrap().push(Seen { host, authorization, if_match, body });
        let mut script = self.script.lock().unwrap();
        let expected = script.first().is_some_and(|reply| reply.request == asked);
        let reply = if expected {
            script.remove(0)
        } else {
            let message = format!("the script has no {asked} here");
            reply(&asked, 500, json!({"errors": [{"code": "UNSCRIPTED", "message": message}]}))
        };
        let body = if reply.body.is_null() { Bytes::new() } else { Bytes::from(reply.body.to_string()) };
        let mut response = Response::builder().status(reply.status);
        if let Some(next) = reply.next {
            response = response.header("X-Next-Page-Start", next);
        }
        response.body(Full::new(body)).unwrap()
    }
}
