//! The requests that a push is made of.

use anyhow::{Context as _, Result};
use http::{Method, StatusCode, Uri, header};

use crate::client::{Answer, Ask, Connection};
use crate::image::{Blob, Image, MANIFEST};
use crate::payload::Payload;

const BYTES: &str = "application/octet-stream";

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// POST, then all of it in the PUT: crane, zb.
    Whole,
    /// POST, PATCH without a length, PUT: docker.
    Streamed,
}

/// Opens a session; where it is.
pub(crate) async fn begin(connection: &mut Connection, repository: &str) -> Result<String> {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let answer = connection.expect(Ask::new(Method::POST, &path), &[202]).await?;
    location(&answer)
}

/// Sends a body to a session; where it is from then on.
pub(crate) async fn append(connection: &mut Connection, session: &str, payload: Payload) -> Result<String> {
    let ask = Ask::new(Method::PATCH, session).with(BYTES, payload);
    location(&connection.expect(ask, &[202, 204]).await?)
}

/// Ends a session, with the rest of the blob or without.
pub(crate) async fn finish(connection: &mut Connection, session: &str, digest: &str, rest: Payload) -> Result<()> {
    let mark = if session.contains('?') { '&' } else { '?' };
    let path = format!("{session}{mark}digest={digest}");
    connection.expect(Ask::new(Method::PUT, &path).with(BYTES, rest), &[201]).await.map(drop)
}

/// Pushes a blob.
pub(crate) async fn blob(connection: &mut Connection, repository: &str, blob: &Blob, form: Form) -> Result<()> {
    send(connection, repository, &blob.digest, Payload::Full(blob.bytes.clone()), form).await
}

/// Pushes a blob whose digest is known.
pub(crate) async fn send(
    connection: &mut Connection,
    repository: &str,
    digest: &str,
    payload: Payload,
    form: Form,
) -> Result<()> {
    let session = begin(connection, repository).await?;
    match form {
        Form::Whole => finish(connection, &session, digest, payload).await,
        Form::Streamed => {
            let session = append(connection, &session, payload).await?;
            finish(connection, &session, digest, Payload::Empty).await
        }
    }
}

/// Puts a manifest under a tag or its digest.
pub(crate) async fn manifest(
    connection: &mut Connection,
    repository: &str,
    reference: &str,
    manifest: &Blob,
) -> Result<()> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let ask = Ask::new(Method::PUT, &path).with(MANIFEST, Payload::Full(manifest.bytes.clone()));
    connection.expect(ask, &[201]).await.map(drop)
}

/// Pushes an image, one request after the other.
pub(crate) async fn image(
    connection: &mut Connection,
    repository: &str,
    tag: &str,
    image: &Image,
    form: Form,
) -> Result<()> {
    for part in image.blobs() {
        blob(connection, repository, part, form).await?;
    }
    manifest(connection, repository, tag, &image.manifest).await
}

/// Whether a blob is there.
pub(crate) async fn has(connection: &mut Connection, repository: &str, digest: &str) -> Result<bool> {
    let path = format!("/v2/{repository}/blobs/{digest}");
    Ok(connection.expect(Ask::new(Method::HEAD, &path), &[200, 404]).await?.status == StatusCode::OK)
}

/// Links a blob of another repository; whether that was done.
pub(crate) async fn mount(connection: &mut Connection, repository: &str, digest: &str, from: &str) -> Result<bool> {
    let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={}", from.replace('/', "%2F"));
    Ok(connection.expect(Ask::new(Method::POST, &path), &[201, 202]).await?.status == StatusCode::CREATED)
}

/// Where an answer says that its session is: path and query, for some say the
/// whole URL.
fn location(answer: &Answer) -> Result<String> {
    let location = answer.headers.get(header::LOCATION).context("an upload session without Location")?;
    let uri: Uri = location.to_str()?.parse().with_context(|| format!("Location {location:?}"))?;
    uri.path_and_query().map(ToString::to_string).context("a Location without a path")
}
