//! A client over the local socket, where no one signs in.
//!
//! A connection a request: what breaks is that request and no other.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Longer than this no answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The client of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The `Location` header.
    pub(crate) location: String,
    /// The `Docker-Content-Digest` header.
    pub(crate) digest: String,
    pub(crate) body: Bytes,
}

/// There was no answer.
#[derive(Debug)]
pub(crate) struct Broken;

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// One request.
    pub(crate) async fn send(&self, method: &str, path: &str, kind: &str, body: Bytes) -> Result<Answer, Broken> {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        self.ask(request, body).await
    }

    /// One request with headers of the caller's.
    pub(crate) async fn ask(&self, request: Builder, body: Bytes) -> Result<Answer, Broken> {
        let request = request.header("host", "localhost").body(Full::new(body)).expect("a request");
        let asked = format!("{} {}", request.method(), request.uri());
        match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
            Ok(answer) => answer.ok_or(Broken),
            Err(_) => panic!("{asked} had no answer for {PATIENCE:?}"),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let asked = async {
            let response = sender.send_request(request).await.ok()?;
            let (parts, body) = response.into_parts();
            let header = |name: &str| {
                parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
            };
            let (location, digest) = (header("location"), header("docker-content-digest"));
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer { status: parts.status, location, digest, body })
        };
        let mut asked = std::pin::pin!(asked);
        tokio::select! {
            answer = &mut asked => answer,
            // What had arrived when the connection ended is still an answer.
            _ = connection => asked.await,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Broken> {
        self.send("GET", path, "application/octet-stream", Bytes::new()).await
    }

    /// A call of the management API that must succeed.
    pub(crate) async fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.send(method, path, "application/json", Bytes::from(body.to_string())).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method} {path}: no answer"));
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status.is_success(), "{method} {path}: {} {text}", answer.status);
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Asks the daemon to prove what it stores; words when it cannot.
    pub(crate) async fn verify(&self, depth: &str) -> Result<(), String> {
        let report = self.api("POST", &format!("/api/v0/admin/verify?depth={depth}"), &Value::Null).await;
        if report["clean"] == Value::Bool(true) { Ok(()) } else { Err(format!("{report:#}")) }
    }

    /// Whether a job waits or runs: what has arrived over there may not be
    /// written down here yet.
    pub(crate) async fn is_busy(&self) -> bool {
        let jobs = self.api("GET", "/api/v0/jobs?limit=100", &Value::Null).await;
        let jobs = jobs["jobs"].as_array().expect("a list of jobs");
        jobs.iter().any(|job| matches!(job["status"].as_str().expect("a status"), "waiting" | "running"))
    }

    /// What a tag names; `None` when it names nothing.
    pub(crate) async fn tag(&self, repository: &str, tag: &str) -> Result<Option<String>, Broken> {
        let answer = self.send("HEAD", &format!("/v2/{repository}/manifests/{tag}"), "*/*", Bytes::new()).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.digest)),
            StatusCode::NOT_FOUND => Ok(None),
            other => panic!("{repository}:{tag} answered {other}"),
        }
    }
}
