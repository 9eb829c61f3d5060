//! The daemon's HTTP side at work, for tests: real listeners (plain HTTP on
//! loopback, and a local socket) over a store in a temporary folder, with
//! accounts and repositories to ask about.
//!
//! `root` is a system admin; `ann` and `bob` are users, each with the
//! repositories `<name>/app` and `<name>/other`; `dev` is an organization;
//! `gone` is a user who may not sign in. Everyone's password is [`PASSWORD`].
//!
//! A site is closed with [`Site::close`], which checks that no task stays and
//! that the store is whole.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::rate::Rate;
use super::{Options, Parts, Spec, State, bind, handle, serve};
use crate::chance::Chance;
use crate::clock::{Clock, Timestamp};
use crate::identity::token::TOKEN_KEY;
use crate::identity::{Guesses, Passwords, SealingKeys, Signer};
use crate::jobs::Remotes;
use crate::lifecycle::Scope;
use crate::oci::{Digest, MediaType};
use crate::registry::account::NewAccount;
use crate::registry::repository::Settings;
use crate::registry::{self, Caller, Registry};
use crate::remote::{Names, Outbound, OutboundOptions, Timing};
use crate::secret::Secret;
use crate::store::Store;
use crate::store::file::Keep;
use crate::store::verify::{Depth, verify};

/// Everyone's.
pub(crate) const PASSWORD: &str = "correct horse";
/// Longer than anything here takes; a test that meets it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// The local socket, in the site's folder.
const SOCKET: &str = "admin.sock";

/// Gathers what is logged.
#[derive(Clone, Default)]
pub(crate) struct Gathered(Arc<std::sync::Mutex<Vec<u8>>>);

impl Gathered {
    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A listener at work.
pub(crate) struct Site {
    pub(crate) state: State,
    pub(crate) address: SocketAddr,
    scope: Scope,
    clients: Scope,
    is_closed: bool,
    // Last, so that it outlives what uses it.
    folder: tempfile::TempDir,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    is_local: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Site {
    pub(crate) async fn open() -> Self {
        Self::open_with(registry::Options::default()).await
    }

    /// The same, set up by an operator.
    pub(crate) async fn open_with(options: registry::Options) -> Self {
        Self::open_as(options, Keep::Usual, Rate::new(0)).await
    }

    /// The same, on a disk that is to keep so much free, for clients that may
    /// send so many requests.
    pub(crate) async fn open_as(options: registry::Options, keep: Keep, rate: Rate) -> Self {
        // A table of refusals is full of wrong passwords.
        Self::open_whole(options, keep, rate, Guesses::allowing(u32::MAX, Duration::ZERO)).await
    }

    /// The same as ever, with a count of wrong passwords.
    pub(crate) async fn open_counting(options: registry::Options, guesses: Guesses) -> Self {
        Self::open_whole(options, Keep::Usual, Rate::new(0), guesses).await
    }

    async fn open_whole(options: registry::Options, keep: Keep, rate: Rate, guesses: Guesses) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chance = Chance::system();
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let store = Store::open_keeping(folder.path(), keep, clock, chance.clone()).unwrap();
        let registry = Registry::with(store, options).unwrap();
        let passwords = Passwords::new(&chance);
        populate(&registry, &passwords).await;
        let scope = Scope::new();
        let remotes = remotes(folder.path(), &scope, registry.store().clock());
        let ca_pem = Some("-----BEGIN CERTIFICATE-----\n".to_owned());
        let state = {
            let key_files = vec![("sealing.key", folder.path().join("sealing-keys"))];
            let scrub = crate::jobs::scrub::Settings { schedule: "@every 30h".parse().ok(), ..Default::default() };
            let instance = registry.store().instance();
            let signer = Signer::open_or_create(&folder.path().join(TOKEN_KEY), instance, &chance).unwrap();
            State::new(Parts {
                registry,
                passwords,
                signer,
                guesses,
                ca_pem,
                remotes,
                key_files,
                scrub,
                rate,
                tally: Arc::default(),
            })
        };
        state.set_ready(true);
        let tcp = Spec::Tcp { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls: None };
        let listeners = [tcp, Spec::Unix { path: folder.path().join(SOCKET) }];
        let mut address = None;
        for (index, spec) in listeners.into_iter().enumerate() {
            let bound = bind(spec, index).await.unwrap();
            address = address.or(bound.local_addr());
            let state = state.clone();
            let handler = move |request, peer| handle(state.clone(), request, peer);
            let options = Options { drain: PATIENCE, ..Options::default() };
            scope.spawn(serve(bound, scope.clone(), options, handler));
        }
        Self { state, address: address.unwrap(), scope, clients: Scope::new(), is_closed: false, folder }
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The local socket.
    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let answered = async {
            if ask.is_local {
                let stream = UnixStream::connect(self.socket()).await.unwrap();
                self.send_over(stream, ask).await
            } else {
                self.send_over(TcpStream::connect(self.address).await.unwrap(), ask).await
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("in time")
    }

    async fn send_over(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, ask: Ask) -> Answer {
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.clients.spawn(connection);
        let mut request = Request::builder().method(ask.method).uri(ask.path).body(Full::new(ask.body)).unwrap();
        *request.headers_mut() = ask.headers;
        request.headers_mut().insert(header::HOST, "registry.example".parse().unwrap());
        let (head, body) = client.send_request(request).await.unwrap().into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    /// Sends bytes as they are, and their end; all that comes back.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let talked = async {
            // Whoever refuses may be gone before all is sent.
            let _ = stream.write_all(bytes.as_ref()).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(PATIENCE, talked).await.expect("in time")
    }

    /// Sends a request and checks its status; what came back.
    pub(crate) async fn expect(&self, status: u16, ask: Ask) -> Answer {
        let told = format!("{} {}", ask.method, ask.path);
        let answer = self.send(ask).await;
        assert_eq!(answer.status, status, "{told}: {}", answer.text());
        answer
    }

    /// Pushes a blob in one request.
    pub(crate) async fn push_blob(&self, user: &str, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.expect(201, Ask::post(&path).body(bytes).user(user)).await;
        digest
    }

    /// Pushes an image of one layer under a tag; the digest of its manifest.
    pub(crate) async fn push_image(&self, user: &str, repository: &str, tag: &str, layer: &[u8]) -> Digest {
        let config = self.push_blob(user, repository, b"{}").await;
        let digest = self.push_blob(user, repository, layer).await;
        let manifest = image(&config, 2, &[(digest, layer.len())], None);
        self.push_manifest(user, repository, tag, &manifest).await
    }

    /// Pushes a manifest under a reference; its digest.
    pub(crate) async fn push_manifest(
        &self,
        user: &str,
        repository: &str,
        reference: &str,
        manifest: &Value,
    ) -> Digest {
        let bytes = manifest.to_string();
        let kind = manifest["mediaType"].as_str().unwrap();
        let ask = Ask::put(&format!("/v2/{repository}/manifests/{reference}")).body(&bytes).user(user);
        let answer = self.expect(201, ask.header("content-type", kind)).await;
        answer.header("docker-content-digest").parse().unwrap()
    }

    /// Stops it, and checks that nothing stays behind and nothing is broken.
    pub(crate) async fn close(mut self) {
        self.is_closed = true;
        assert!(self.scope.drain(PATIENCE).await, "{} tasks stay", self.scope.running());
        assert!(self.clients.drain(PATIENCE).await, "{} clients stay", self.clients.running());
        let registry = self.state.registry();
        let live: HashSet<_> = registry.open_uploads().into_iter().collect();
        let store = registry.store();
        let report = verify(&store.snapshot().unwrap(), store.files(), Depth::Bytes, &live).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        assert_eq!(report.orphans, 0);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        assert!(self.is_closed || std::thread::panicking(), "a test must close its site");
    }
}

impl Ask {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new(), is_local: false }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn head(path: &str) -> Self {
        Self::new(Method::HEAD, path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn put(path: &str) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(crate) fn patch(path: &str) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Signed in with the right password.
    pub(crate) fn user(self, name: &str) -> Self {
        self.header("authorization", &basic(name, PASSWORD))
    }

    /// The same with HEAD.
    pub(crate) fn with_head(mut self) -> Self {
        self.method = Method::HEAD;
        self
    }

    /// Over the local socket.
    pub(crate) fn local(mut self) -> Self {
        self.is_local = true;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn body(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body = Bytes::copy_from_slice(bytes.as_ref());
        self
    }
}

impl Answer {
    /// A header that must be there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {self:?}"));
        value.to_str().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The words of an error.
    pub(crate) fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// An `Authorization` header.
pub(crate) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// An image manifest.
pub(crate) fn image(config: &Digest, size: usize, layers: &[(Digest, usize)], subject: Option<&Digest>) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|(digest, size)| {
            serde_json::json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size })
        })
        .collect();
    let kind = MediaType::OciManifest.as_str();
    let mut manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size },
        "layers": layers,
    });
    if let Some(subject) = subject {
        manifest["subject"] = serde_json::json!({ "mediaType": kind, "digest": subject, "size": 2 });
    }
    manifest
}

/// A way to other registries, as the daemon has it.
fn remotes(folder: &Path, scope: &Scope, clock: &Clock) -> Remotes {
    let outbound = Outbound::new(OutboundOptions {
        scope: scope.child(),
        clock: clock.clone(),
        own: Vec::new(),
        allow: Vec::new(),
        user_agent: "tidegate/test".to_owned(),
        timing: Timing::default(),
        names: Names::System,
    });
    let chance = Chance::system();
    let keys = SealingKeys::of_file(&folder.join("sealing-keys"), &chance).unwrap();
    Remotes::new(outbound, keys)
}

async fn populate(registry: &Registry, passwords: &Passwords) {
    let hash = passwords.hash(&Secret::new(PASSWORD)).await.unwrap();
    for (name, is_org, is_admin, is_active) in [
        ("root", false, true, true),
        ("ann", false, false, true),
        ("bob", false, false, true),
        ("gone", false, true, false),
        ("dev", true, false, true),
    ] {
        let password_hash = (!is_org).then(|| hash.clone());
        let (name, full_name) = (name.to_owned(), String::new());
        let new = NewAccount { name, full_name, is_org, is_admin, is_active, password_hash };
        registry.create_account(&Caller::System, new).await.unwrap();
    }
    for name in ["ann/app", "ann/other", "bob/app", "bob/other"] {
        registry.create_repository(&Caller::System, &name.parse().unwrap(), Settings::default()).await.unwrap();
    }
}
