//! A golden database, served by the whole daemon in this process, and asked
//! over its local socket.

use std::path::Path;

use tidegate::app::{self, Stop};
use tidegate::chance::Chance;
use tidegate::clock::Clock;
use tidegate::config::{Config, Environment, Listener, Overrides};
use tidegate::lifecycle::Scope;
use tidegate::limits;
use tidegate::oci::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::make::{LAYER, first};

/// Of the first format.
pub(crate) async fn v1(folder: &Path) {
    let free = Listener::tls(([127, 0, 0, 1], 0).into());
    let overrides = Overrides { data: Some(folder.to_owned()), listeners: vec![free] };
    let config = Config::embedded(&overrides, &Environment::bare(folder.to_owned())).unwrap();
    let app = app::build(&config, Clock::system(), Chance::system()).await.unwrap();
    let (stop, running) = (Stop::new(), Scope::new());
    let ran = running.spawn(app::run(app, stop.clone()));
    let socket = config.admin_socket.clone();
    let manifest = get(&socket, "/v2/dev/app/manifests/1.0").await;
    assert!(manifest.0.contains("200 OK") && manifest.1 == first(), "{}", manifest.0);
    let blob = get(&socket, &format!("/v2/dev/app/blobs/{}", Digest::sha256_of(LAYER))).await;
    assert!(blob.0.contains("200 OK") && blob.1 == LAYER, "{}", blob.0);
    let tags = get(&socket, "/v2/dev/app/tags/list").await;
    assert_eq!(
        String::from_utf8_lossy(&tags.1),
        r#"{"name":"dev/app","tags":["1.0","all","large","latest","sparse"]}"#
    );
    let jobs = get(&socket, "/api/v0/jobs").await;
    assert!(jobs.0.contains("200 OK"), "{}", jobs.0);
    stop.ask();
    tokio::time::timeout(limits::SHUTDOWN + limits::DRAIN * 4, ran).await.expect("it stops").unwrap().unwrap();
    let report = app::verify::folder(folder, tidegate::store::verify::Depth::Bytes).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// Head and body of an answer.
async fn get(socket: &Path, path: &str) -> (String, Vec<u8>) {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(limits::COMMAND_ANSWER, asked).await.expect("in time");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
}
