//! Filling a registry before something is measured: tags, repositories,
//! referrers, manifests, blobs, by the thousand.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::json;

use crate::client::{Ask, Connection, Place, PlaceArgs};
use crate::figures::Figures;
use crate::image::{Blob, Image, empty, referrer};
use crate::payload::Payload;
use crate::push::{self, Form};
use crate::workers::{End, closed_loop};

/// What every filling needs to know.
#[derive(clap::Args, Debug)]
pub(crate) struct Into {
    #[command(flatten)]
    place: PlaceArgs,
    /// The repository, or for `repositories` the front of their names
    #[arg(long)]
    repository: String,
    /// How many
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Connections at once
    #[arg(long, default_value_t = 8)]
    connections: usize,
}

/// What to fill it with.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Fill {
    /// One image under one tag
    Image {
        #[command(flatten)]
        into: Into,
        #[arg(long, default_value = "latest")]
        tag: String,
        #[arg(long, default_value_t = 5)]
        layers: usize,
        #[arg(long, default_value_t = 1024)]
        layer_bytes: usize,
    },
    /// Tags t0000000, t0000001, … of one image
    Tags {
        #[command(flatten)]
        into: Into,
        /// Tags set by one request (`?tag=`), where a registry takes that
        #[arg(long, default_value_t = 1)]
        together: u64,
        /// The number of the first
        #[arg(long, default_value_t = 0)]
        first: u64,
    },
    /// Repositories NAME0000000, NAME0000001, … with one manifest each
    Repositories {
        #[command(flatten)]
        into: Into,
        /// Make each over `/api/v0` first
        #[arg(long)]
        make: bool,
        /// The number of the first; number 0 is there when it is another
        #[arg(long, default_value_t = 0)]
        first: u64,
    },
    /// Repositories, made over `/api/v0`, with nothing in them
    RepositoriesOnly {
        #[command(flatten)]
        into: Into,
    },
    /// One blob: the content of a file
    File {
        #[command(flatten)]
        into: Into,
        #[arg(long)]
        path: PathBuf,
    },
    /// Manifests attached to the image `latest`, which is pushed first
    Referrers {
        #[command(flatten)]
        into: Into,
    },
    /// Manifests without tags
    Manifests {
        #[command(flatten)]
        into: Into,
    },
    /// Blobs
    Blobs {
        #[command(flatten)]
        into: Into,
        #[arg(long, default_value_t = 1024)]
        bytes: usize,
        /// Name so many of them by each manifest; none without it
        #[arg(long)]
        named_by: Option<usize>,
    },
}

/// The name of the tag or the end of the name of the repository `number`.
pub(crate) fn numbered(number: u64) -> String {
    format!("{number:07}")
}

impl Fill {
    /// Does it.
    pub(crate) async fn run(&self) -> Result<Figures> {
        match self {
            Self::Image { into, tag, layers, layer_bytes } => {
                let image = Image::new(*layers, *layer_bytes);
                let mut connection = into.place.place()?.connect().await?;
                push::image(&mut connection, &into.repository, tag, &image, Form::Whole).await?;
                Ok(Figures::default())
            }
            Self::Tags { into, together, first } => tags(into, *together, *first).await,
            Self::Repositories { into, make, first } => repositories(into, *make, *first).await,
            Self::RepositoriesOnly { into } => {
                let each = async |connection: &mut Connection, number: u64| {
                    make(connection, &format!("{}{}", into.repository, numbered(number))).await
                };
                into.each(&into.place.place()?, each).await
            }
            Self::File { into, path } => {
                let mut connection = into.place.place()?.connect().await?;
                push::blob(&mut connection, &into.repository, &Blob::of(std::fs::read(path)?), Form::Whole).await?;
                Ok(Figures::default())
            }
            Self::Referrers { into } => referrers(into).await,
            Self::Manifests { into } => manifests(into).await,
            Self::Blobs { into, bytes, named_by } => match named_by {
                None => blobs(into, *bytes).await,
                Some(layers) => named_blobs(into, *bytes, *layers).await,
            },
        }
    }
}

impl Into {
    async fn begin(&self) -> Result<(Place, Connection)> {
        let place = self.place.place()?;
        let connection = place.connect().await?;
        Ok((place, connection))
    }

    async fn each(&self, place: &Place, work: impl AsyncFn(&mut Connection, u64) -> Result<()>) -> Result<Figures> {
        Ok(closed_loop(place, self.connections, End::Count(self.count), work).await?.figures())
    }
}

async fn tags(into: &Into, together: u64, first: u64) -> Result<Figures> {
    let (place, mut connection) = into.begin().await?;
    let (repository, image) = (&into.repository, Image::new(2, 1024));
    let name = |number: u64| format!("t{}", numbered(first + number));
    push::image(&mut connection, repository, &name(0), &image, Form::Whole).await?;
    let requests = into.count.div_ceil(together);
    let put = async |connection: &mut Connection, request: u64| {
        let (from, to) = (request * together, ((request + 1) * together).min(into.count));
        let more: Vec<String> = (from + 1..to).map(|number| format!("tag={}", name(number))).collect();
        let mark = if more.is_empty() { "" } else { "?" };
        let reference = format!("{}{mark}{}", name(from), more.join("&"));
        push::manifest(connection, repository, &reference, &image.manifest).await
    };
    Ok(closed_loop(&place, into.connections, End::Count(requests), put).await?.figures())
}

async fn repositories(into: &Into, api: bool, first: u64) -> Result<Figures> {
    let (place, mut connection) = into.begin().await?;
    let blob = empty();
    let image = Image::of(blob.clone(), vec![blob.clone()]);
    let source = format!("{}{}", into.repository, numbered(0));
    if first == 0 {
        if api {
            make(&mut connection, &source).await?;
        }
        push::image(&mut connection, &source, "latest", &image, Form::Whole).await?;
    }
    let each = async |connection: &mut Connection, number: u64| {
        let number = first + number;
        if number == 0 {
            return Ok(());
        }
        let name = format!("{}{}", into.repository, numbered(number));
        if api {
            make(connection, &name).await?;
        }
        if !push::mount(connection, &name, &blob.digest, &source).await? {
            push::blob(connection, &name, &blob, Form::Whole).await?;
        }
        push::manifest(connection, &name, "latest", &image.manifest).await
    };
    into.each(&place, each).await
}

/// Makes a repository over `/api/v0`.
async fn make(connection: &mut Connection, name: &str) -> Result<()> {
    let (namespace, rest) = name.split_once('/').context("a repository has a namespace")?;
    let path = format!("/api/v0/repositories/{namespace}");
    let body = json!({ "name": rest, "visibility": "private" }).to_string();
    let ask = Ask::new(Method::POST, &path).with("application/json", Payload::Full(body.into()));
    connection.expect(ask, &[201]).await.map(drop)
}

async fn referrers(into: &Into) -> Result<Figures> {
    let (place, mut connection) = into.begin().await?;
    // The same on every registry, so that all are asked the same.
    let (repository, image) = (&into.repository, Image::of(empty(), vec![empty()]));
    push::image(&mut connection, repository, "latest", &image, Form::Whole).await?;
    push::blob(&mut connection, repository, &empty(), Form::Whole).await?;
    let each = async |connection: &mut Connection, number: u64| {
        let manifest = referrer(&image.manifest, number);
        push::manifest(connection, repository, &manifest.digest, &manifest).await
    };
    into.each(&place, each).await
}

async fn manifests(into: &Into) -> Result<Figures> {
    let (place, mut connection) = into.begin().await?;
    let repository = &into.repository;
    let (config, layer) = (empty(), Blob::random(1024));
    push::blob(&mut connection, repository, &config, Form::Whole).await?;
    push::blob(&mut connection, repository, &layer, Form::Whole).await?;
    let subject = Image::of(config, vec![layer]).manifest;
    let each = async |connection: &mut Connection, number: u64| {
        // Attached to what is not there: a manifest like any other.
        let manifest = referrer(&subject, number);
        push::manifest(connection, repository, &manifest.digest, &manifest).await
    };
    into.each(&place, each).await
}

async fn blobs(into: &Into, bytes: usize) -> Result<Figures> {
    let each = async |connection: &mut Connection, _| {
        push::blob(connection, &into.repository, &Blob::random(bytes), Form::Whole).await
    };
    into.each(&into.place.place()?, each).await
}

async fn named_blobs(into: &Into, bytes: usize, layers: usize) -> Result<Figures> {
    let images = into.count.div_ceil(layers as u64);
    let each = async |connection: &mut Connection, number: u64| {
        let tag = format!("t{}", numbered(number));
        push::image(connection, &into.repository, &tag, &Image::new(layers, bytes), Form::Whole).await
    };
    Ok(closed_loop(&into.place.place()?, into.connections, End::Count(images), each).await?.figures())
}
