//! Pushes that are measured: one long blob, many blobs, new images, tags of an
//! image that is there, images whose layers are elsewhere, and one image as
//! docker sends it.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use http::Method;

use crate::client::{Ask, Connection, PlaceArgs};
use crate::figures::{Figures, Timed, timed};
use crate::fill::numbered;
use crate::image::{Blob, Image};
use crate::payload::{Long, Payload};
use crate::push::{self, Form};
use crate::workers::{End, closed_loop};

/// Where, how many, over how many connections.
#[derive(clap::Args, Debug)]
pub(crate) struct Into {
    #[command(flatten)]
    place: PlaceArgs,
    #[arg(long)]
    repository: String,
    #[arg(long, default_value_t = 1)]
    count: u64,
    #[arg(long, default_value_t = 1)]
    connections: usize,
}

/// What is pushed.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Push {
    /// One long blob in one PATCH; it is removed afterwards where that can be
    Blob {
        #[command(flatten)]
        into: Into,
        #[arg(long)]
        bytes: u64,
        /// Say its length beforehand; chunked, as docker does, without
        #[arg(long)]
        announced: bool,
    },
    /// New blobs
    Blobs {
        #[command(flatten)]
        into: Into,
        #[arg(long)]
        bytes: u64,
        #[arg(long, value_enum, default_value_t = Form::Whole)]
        form: Form,
    },
    /// New images with a tag each
    Images {
        #[command(flatten)]
        into: Into,
        /// Layers beside the configuration
        #[arg(long, default_value_t = 1)]
        layers: usize,
        #[arg(long, default_value_t = 1024)]
        layer_bytes: usize,
        #[arg(long, value_enum, default_value_t = Form::Whole)]
        form: Form,
        /// What the tags begin with
        #[arg(long, default_value = "i")]
        prefix: String,
    },
    /// New tags of one image
    Tags {
        #[command(flatten)]
        into: Into,
        /// What the tags begin with
        #[arg(long, default_value = "n")]
        prefix: String,
    },
    /// An image whose layers `from` has, into repositories NAME0000000, …
    Mounts {
        #[command(flatten)]
        into: Into,
        #[arg(long)]
        from: String,
        #[arg(long, default_value_t = 20)]
        layers: usize,
    },
    /// One image as docker sends it
    Docker {
        #[command(flatten)]
        into: Into,
        #[arg(long, default_value_t = 5)]
        layers: usize,
        #[arg(long, default_value_t = 1024 * 1024)]
        layer_bytes: usize,
        /// One request after the other; the layers side by side without it
        #[arg(long)]
        serial: bool,
    },
}

impl Push {
    /// Does it and measures it.
    pub(crate) async fn run(&self) -> Result<Figures> {
        match self {
            Self::Blob { into, bytes, announced } => long_blob(into, *bytes, *announced).await,
            Self::Blobs { into, bytes, form } => blobs(into, *bytes, *form).await,
            Self::Images { into, layers, layer_bytes, form, prefix } => {
                let each = async |connection: &mut Connection, number: u64| {
                    let tag = format!("{prefix}{}", numbered(number));
                    let image = Image::new(*layers, *layer_bytes);
                    push::image(connection, &into.repository, &tag, &image, *form).await
                };
                Ok(into.each(each).await?.figures())
            }
            Self::Tags { into, prefix } => {
                let image = Image::new(1, 1024);
                let mut connection = into.place.place()?.connect().await?;
                push::image(&mut connection, &into.repository, &format!("{prefix}-image"), &image, Form::Whole).await?;
                let each = async |connection: &mut Connection, number: u64| {
                    let tag = format!("{prefix}{}", numbered(number));
                    push::manifest(connection, &into.repository, &tag, &image.manifest).await
                };
                Ok(into.each(each).await?.figures())
            }
            Self::Mounts { into, from, layers } => mounts(into, from, *layers).await,
            Self::Docker { into, layers, layer_bytes, serial } => docker(into, *layers, *layer_bytes, *serial).await,
        }
    }
}

impl Into {
    async fn each(&self, work: impl AsyncFn(&mut Connection, u64) -> Result<()>) -> Result<Timed> {
        closed_loop(&self.place.place()?, self.connections, End::Count(self.count), work).await
    }
}

/// Only what the server does is timed: its bytes are made and hashed before.
async fn long_blob(into: &Into, bytes: u64, announced: bool) -> Result<Figures> {
    let mut connection = into.place.place()?.connect().await?;
    let mut all = Duration::ZERO;
    for _ in 0..into.count {
        let long = Long::new(bytes);
        let digest = long.digest();
        let session = push::begin(&mut connection, &into.repository).await?;
        let (done, time) = timed(async {
            let session = push::append(&mut connection, &session, Payload::Long { long, announced }).await?;
            push::finish(&mut connection, &session, &digest, Payload::Empty).await
        })
        .await;
        done?;
        all += time;
        let path = format!("/v2/{}/blobs/{digest}", into.repository);
        connection.expect(Ask::new(Method::DELETE, &path), &[202, 404, 405]).await?;
    }
    let (seconds, bytes) = (all.as_secs_f64(), (bytes * into.count) as f64);
    Ok(Figures::default().with("seconds", seconds).with("bytesPerSecond", bytes / seconds))
}

async fn blobs(into: &Into, bytes: u64, form: Form) -> Result<Figures> {
    // Hashing them is not the server's work.
    let made = |_| {
        let long = Long::new(bytes);
        (long.digest(), long)
    };
    let made: Vec<(String, Long)> = (0..into.count).map(made).collect();
    let each = async |connection: &mut Connection, number: u64| {
        let (digest, long) = &made[usize::try_from(number)?];
        let payload = Payload::Long { long: long.clone(), announced: true };
        push::send(connection, &into.repository, digest, payload, form).await
    };
    let timed = into.each(each).await?;
    let rate = (bytes * into.count) as f64 / timed.whole.as_secs_f64();
    Ok(timed.figures().with("bytesPerSecond", rate))
}

async fn mounts(into: &Into, from: &str, layers: usize) -> Result<Figures> {
    let mut connection = into.place.place()?.connect().await?;
    let image = Image::new(layers, 1024);
    push::image(&mut connection, from, "latest", &image, Form::Whole).await?;
    let each = async |connection: &mut Connection, number: u64| {
        let repository = format!("{}{}", into.repository, numbered(number));
        for blob in image.blobs() {
            if push::has(connection, &repository, &blob.digest).await? {
                continue;
            }
            ensure!(push::mount(connection, &repository, &blob.digest, from).await?, "a mount was refused");
        }
        push::manifest(connection, &repository, "latest", &image.manifest).await
    };
    Ok(into.each(each).await?.figures())
}

async fn docker(into: &Into, layers: usize, layer_bytes: usize, serial: bool) -> Result<Figures> {
    let place = into.place.place()?;
    let mut whole = Duration::ZERO;
    let mut each = Vec::new();
    for number in 0..into.count {
        let image = Image::new(layers, layer_bytes);
        let mut connection = place.connect().await?;
        let send = async |connection: &mut Connection, blob: &Blob| {
            if !push::has(connection, &into.repository, &blob.digest).await? {
                push::blob(connection, &into.repository, blob, Form::Streamed).await?;
            }
            anyhow::Ok(())
        };
        let (done, time) = timed(async {
            if serial {
                for layer in &image.layers {
                    send(&mut connection, layer).await?;
                }
            } else {
                let side_by_side =
                    image.layers.iter().map(async |layer| send(&mut place.connect().await?, layer).await);
                try_join_all(side_by_side).await?;
            }
            send(&mut connection, &image.config).await?;
            push::manifest(&mut connection, &into.repository, &format!("d{number}"), &image.manifest).await
        })
        .await;
        done?;
        whole += time;
        each.push(time);
    }
    Ok(Timed { whole, each }.figures())
}
