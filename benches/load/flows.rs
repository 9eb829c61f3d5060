//! Whole pushes and pulls of small images, as zot's `zb` does them: monolithic
//! and streamed pushes that send the same layer each time, pulls of manifest,
//! configuration and layer, and three pulls to one push.

use anyhow::Result;
use http::Method;

use crate::client::{Ask, Connection, PlaceArgs};
use crate::figures::Figures;
use crate::fill::numbered;
use crate::image::{Blob, Image};
use crate::push::{self, Form};
use crate::workers::{End, closed_loop};

/// What one piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Flow {
    /// Push, each blob in one PUT.
    Push,
    /// Push, each blob in a PATCH.
    PushStreamed,
    /// Pull.
    Pull,
    /// Three pulls to one push.
    Mixed,
}

/// Which, how many, how large.
#[derive(clap::Args, Debug)]
pub(crate) struct Flows {
    #[command(flatten)]
    place: PlaceArgs,
    #[arg(long)]
    repository: String,
    #[arg(long, value_enum)]
    flow: Flow,
    /// Bytes of the layer
    #[arg(long, default_value_t = 1_000_000)]
    bytes: usize,
    #[arg(long, default_value_t = 200)]
    count: u64,
    #[arg(long, default_value_t = 4)]
    connections: usize,
}

impl Flows {
    /// Does it and measures it.
    pub(crate) async fn run(&self) -> Result<Figures> {
        let place = self.place.place()?;
        let (repository, there) = (&self.repository, Image::new(1, self.bytes));
        let tag = &there.config.digest[7..23];
        push::image(&mut place.connect().await?, repository, tag, &there, Form::Whole).await?;
        let push = async |connection: &mut Connection, number: u64, form: Form| {
            let config =
                Blob::of(format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"author\":\"{tag}{number}\"}}"));
            let image = Image::of(config, there.layers.clone());
            push::image(connection, repository, &format!("{tag}-{}", numbered(number)), &image, form).await
        };
        let pull = async |connection: &mut Connection| {
            for path in [
                format!("/v2/{repository}/manifests/{tag}"),
                format!("/v2/{repository}/blobs/{}", there.config.digest),
                format!("/v2/{repository}/blobs/{}", there.layers[0].digest),
            ] {
                let mut ask = Ask::new(Method::GET, &path);
                ask.accept = Some(crate::image::MANIFEST);
                connection.count(ask).await?;
            }
            anyhow::Ok(())
        };
        let each = async |connection: &mut Connection, number: u64| match self.flow {
            Flow::Push => push(connection, number, Form::Whole).await,
            Flow::PushStreamed => push(connection, number, Form::Streamed).await,
            Flow::Pull => pull(connection).await,
            Flow::Mixed if number.is_multiple_of(4) => push(connection, number, Form::Whole).await,
            Flow::Mixed => pull(connection).await,
        };
        let timed = closed_loop(&place, self.connections, End::Count(self.count), each).await?;
        let rate = (self.bytes as u64 * self.count) as f64 / timed.whole.as_secs_f64();
        Ok(timed.figures().with("bytesPerSecond", rate))
    }
}
